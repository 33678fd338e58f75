//! ③ Distributions of short times as HDR histograms: how long captures suspend the guest, how long recoveries take.
//!
//! The files are interval logs (version 1.3, V2 compressed histograms) as HdrHistogram's tools read them: values in
//! nanoseconds at three significant digits, one line a cell, tagged `point.level`; for a cell without a value a comment
//! says so. The interval is the virtual time its trials took together, the start is zero. Interval_Max is in
//! milliseconds, as is usual.
//!
//! A line of some trials of a cell, in a part of a run, is tagged `point.level+TIMEns`: the virtual time of these to the nanosecond, which
//! the interval rounds. So lines of all parts of a cell add up to the line that the cell would have had: what is encoded depends on the counts alone.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};

use crate::outcome::{Outcome, Times};
use crate::plan::Cell;

/// First lines of such a file.
pub(crate) const HEADER: &str = "#[Histogram log format version 1.3]\n\
    #[values in nanoseconds; one line a cell, tagged point.level]\n\
    \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n";

/// Begins the line of a cell without a value; readers take it for a comment. With it every cell has exactly one line in
/// every log, so that a resumed run can tell what is there.
const NO_VALUES: &str = "#[no values: ";

/// Significant decimal digits kept.
const DIGITS: u8 = 3;
const MAX_VALUE_DIVISOR: f64 = 1e6;

/// What of some trials of a cell goes into its histograms.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    suspended: Times,
    recovery: Times,
    makespans: Duration,
}

impl Spans {
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        gather(&mut self.suspended, &outcome.suspensions);
        gather(&mut self.recovery, &outcome.recoveries);
        self.makespans += outcome.makespan;
    }
}

fn gather(all: &mut Times, times: &Times) {
    for (nanos, count) in times.iter() {
        all.add(nanos, count);
    }
}

/// The histograms of a cell, or of some of its trials.
#[derive(Debug)]
pub(crate) struct CellHistograms {
    /// For `downtime.hlog`.
    pub downtime: CellHistogram,
    /// For `recovery.hlog`.
    pub recovery: CellHistogram,
}

impl CellHistograms {
    pub(crate) fn new() -> Self {
        CellHistograms {
            downtime: CellHistogram::new(),
            recovery: CellHistogram::new(),
        }
    }

    pub(crate) fn add(&mut self, spans: &Spans) {
        self.downtime.add(&spans.suspended, spans.makespans);
        self.recovery.add(&spans.recovery, spans.makespans);
    }
}

/// One histogram, and the virtual time of the trials it is of.
#[derive(Debug)]
pub(crate) struct CellHistogram {
    values: Histogram<u64>,
    span: Duration,
}

impl CellHistogram {
    pub(crate) fn new() -> Self {
        CellHistogram {
            values: Histogram::new(DIGITS).expect("3 is a valid number of digits"),
            span: Duration::ZERO,
        }
    }

    fn add(&mut self, times: &Times, span: Duration) {
        for (nanos, count) in times.iter() {
            self.record(nanos, count);
        }
        self.span += span;
    }

    fn record(&mut self, nanos: u64, count: u64) {
        self.values
            .record_n(nanos, count)
            .expect("the histogram grows to hold any value");
    }

    /// Takes in a line of some trials of the cell. `None` if it is no such line.
    pub(crate) fn add_part(&mut self, line: &str, cell: &Cell) -> Option<()> {
        let (found, values) = parse(line)?;
        self.span = self.span.checked_add(span_of_part(found, cell)?)?;
        // To add histograms would leave traces of how far each had grown, which are encoded, too.
        for value in values.iter().flat_map(Histogram::iter_recorded) {
            self.record(value.value_iterated_to(), value.count_at_value());
        }
        Some(())
    }

    /// Its line, if it is of all trials of the cell.
    pub(crate) fn line(&self, cell: &Cell) -> String {
        self.tagged(&tag(cell))
    }

    /// Its line, if it is of some of them.
    pub(crate) fn part_line(&self, cell: &Cell) -> String {
        self.tagged(&format!("{}+{}ns", tag(cell), self.span.as_nanos()))
    }

    fn tagged(&self, tag: &str) -> String {
        if self.values.is_empty() {
            return format!("{NO_VALUES}{tag}]\n");
        }
        let mut bytes = Vec::new();
        let mut serializer = V2DeflateSerializer::new();
        // The builder would repeat its divisor as a comment before every line: it goes into a scratch buffer.
        let mut builder = IntervalLogWriterBuilder::new();
        builder.with_max_value_divisor(MAX_VALUE_DIVISOR);
        let mut writer = builder
            .begin_log_with(&mut bytes, &mut serializer)
            .expect("memory accepts every byte");
        writer
            .write_histogram(&self.values, Duration::ZERO, self.span, Tag::new(tag))
            .expect("a histogram of u64 serialises");
        let text = String::from_utf8(bytes).expect("base64 and digits");
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .fold(String::new(), |all, line| all + line + "\n")
    }
}

/// How a cell is named in the logs.
pub(crate) fn tag(cell: &Cell) -> String {
    format!("{}.{}", cell.point, cell.level.name())
}

/// Whether this is the line of all trials of a cell.
pub(crate) fn is_of(line: &str, cell: &Cell) -> bool {
    parse(line).is_some_and(|(found, _)| found == tag(cell))
}

/// Whether this is a line of some trials of a cell.
pub(crate) fn is_of_part(line: &str, cell: &Cell) -> bool {
    parse(line).is_some_and(|(found, _)| span_of_part(found, cell).is_some())
}

/// The virtual time in the tag of a part of a cell.
fn span_of_part(found: &str, cell: &Cell) -> Option<Duration> {
    const SECOND: u128 = 1_000_000_000;
    let nanos = found.strip_prefix(&tag(cell))?.strip_prefix('+')?;
    let nanos: u128 = nanos.strip_suffix("ns")?.parse().ok()?;
    let seconds = u64::try_from(nanos / SECOND).ok()?;
    Some(Duration::new(seconds, u32::try_from(nanos % SECOND).ok()?))
}

/// The tag of a line, and its histogram unless there are no values. `None` if it is not whole: a line that was cut off and got a line
/// feed from somewhere is none.
fn parse(line: &str) -> Option<(&str, Option<Histogram<u64>>)> {
    if let Some(rest) = line.strip_prefix(NO_VALUES) {
        return Some((rest.strip_suffix("]\n")?, None));
    }
    let (head, histogram) = line.strip_suffix('\n')?.rsplit_once(',')?;
    let bytes = STANDARD.decode(histogram).ok()?;
    let values = Deserializer::new().deserialize(&mut &bytes[..]).ok()?;
    Some((head.strip_prefix("Tag=")?.split(',').next()?, Some(values)))
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
    use proptest::prelude::*;

    use super::*;
    use crate::spec::Level;

    fn cell() -> Cell {
        Cell {
            point: 7,
            setting: 0,
            level: Level::Sim,
            program: None,
            mtbf: Duration::from_secs(1),
            policy: "never".parse().unwrap(),
            interval: None,
            costs: crate::model::Costs::default(),
            trials: 1,
        }
    }

    #[test]
    fn another_reader_finds_the_values() {
        let mut histograms = CellHistograms::new();
        let outcome = Outcome {
            suspensions: (1..=100).map(Duration::from_millis).collect(),
            makespan: Duration::from_secs(5),
            ..Outcome::new()
        };
        let mut spans = Spans::default();
        spans.add(&outcome);
        histograms.add(&spans);
        let nothing = histograms.recovery.line(&cell());
        assert_eq!(nothing, "#[no values: 7.sim]\n");
        assert!(is_of(&nothing, &cell()));
        let line = histograms.downtime.line(&cell());
        assert!(line.starts_with("Tag=7.sim,") && is_of(&line, &cell()));
        assert!(!is_of(&line[..line.len() - 9], &cell()) && !is_of_part(&line, &cell()));
        assert_eq!(line.matches('\n').count(), 1);
        let text = HEADER.to_owned() + &nothing + &line;
        let entries: Vec<_> = IntervalLogIterator::new(text.as_bytes()).collect();
        let [Ok(LogEntry::Interval(interval))] = &entries[..] else {
            panic!("{entries:?}")
        };
        assert_eq!(interval.duration(), Duration::from_secs(5));
        assert!(
            (interval.max() - 100.0).abs() < 0.1,
            "milliseconds: {}",
            interval.max()
        );
        let decoded = decode(interval.encoded_histogram());
        assert_eq!(decoded.len(), 100);
        let median_ms = decoded.value_at_quantile(0.5) as f64 / 1e6;
        assert!((median_ms - 50.0).abs() < 0.1, "{median_ms}");
    }

    /// Times of every size, from none to more than a century.
    fn times() -> impl Strategy<Value = Vec<u64>> {
        let time = prop_oneof![
            Just(0),
            0u64..3_000,
            (0u32..62).prop_map(|bits| 1 << bits),
            any::<u64>().prop_map(|n| n >> 2)
        ];
        proptest::collection::vec(time, 0..20)
    }

    proptest! {
        /// Parts of a cell, written and read, come to the line of the cell: to the byte, however its trials are split.
        #[test]
        fn parts_add_up_to_the_line_of_the_cell(trials in proptest::collection::vec(times(), 1..12), cuts in any::<u16>()) {
            let mut whole = CellHistogram::new();
            let mut merged = CellHistogram::new();
            let mut part = CellHistogram::new();
            for (number, trial) in trials.iter().enumerate() {
                let times: Times = trial.iter().map(|&nanos| Duration::from_nanos(nanos)).collect();
                let makespan = Duration::from_nanos(trial.iter().fold(1, |sum, &nanos| nanos ^ sum));
                whole.add(&times, makespan);
                part.add(&times, makespan);
                if cuts >> number & 1 == 1 || number + 1 == trials.len() {
                    let line = part.part_line(&cell());
                    prop_assert!(is_of_part(&line, &cell()) && !is_of(&line, &cell()));
                    prop_assert!(merged.add_part(&line, &cell()).is_some());
                    part = CellHistogram::new();
                }
            }
            prop_assert_eq!(merged.line(&cell()), whole.line(&cell()));
        }
    }

    #[test]
    fn lines_that_are_no_part_of_the_cell_are_refused() {
        let mut part = CellHistogram::new();
        let times: Times = [Duration::from_millis(3)].into_iter().collect();
        part.add(&times, Duration::from_nanos(1_000_000_001));
        let line = part.part_line(&cell());
        assert!(line.starts_with("Tag=7.sim+1000000001ns,0.000,1.000,"), "{line}");
        let of_all = part.line(&cell());
        for bad in [
            line.replace("7.sim", "8.sim"),
            line.replace("HISTF", "HISTG"),
            line.replace("001ns", "ns1"),
            line.trim_end().to_owned(),
            of_all,
            "#[no values: 7.sim]\n".to_owned(),
        ] {
            assert_eq!(CellHistogram::new().add_part(&bad, &cell()), None, "{bad}");
        }
    }

    /// Base64 by hand: the alphabet in order, no dependency for one test.
    fn decode(base64: &str) -> Histogram<u64> {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut bits = 0u32;
        let mut held = 0;
        let mut bytes = Vec::new();
        for byte in base64.bytes().filter(|&byte| byte != b'=') {
            let value = alphabet.iter().position(|&letter| letter == byte).unwrap();
            bits = bits << 6 | u32::try_from(value).unwrap();
            held += 6;
            if held >= 8 {
                held -= 8;
                bytes.push(u8::try_from(bits >> held & 0xff).unwrap());
            }
        }
        Deserializer::new().deserialize(&mut &bytes[..]).unwrap()
    }
}

//! ③ Distributions of short times as HDR histograms: how long captures suspend the guest, how long recoveries take.
//!
//! The files are interval logs (version 1.3, V2 compressed histograms) as HdrHistogram's tools read them: values in
//! nanoseconds at three significant digits, one line a cell, tagged `point.level`; for a cell without a value a comment
//! says so. The interval is the virtual time its trials took together, the start is zero. Interval_Max is in
//! milliseconds, as is usual.

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

fn record(times: &Times, histogram: &mut Histogram<u64>) {
    for (nanos, count) in times.iter() {
        histogram
            .record_n(nanos, count)
            .expect("the histogram grows to hold any value");
    }
}

/// The histograms of one cell.
#[derive(Debug)]
pub(crate) struct CellHistograms {
    suspended: Histogram<u64>,
    recovery: Histogram<u64>,
    span: Duration,
}

impl CellHistograms {
    pub(crate) fn new() -> Self {
        let empty = || Histogram::new(DIGITS).expect("3 is a valid number of digits");
        CellHistograms {
            suspended: empty(),
            recovery: empty(),
            span: Duration::ZERO,
        }
    }

    pub(crate) fn add(&mut self, spans: &Spans) {
        record(&spans.suspended, &mut self.suspended);
        record(&spans.recovery, &mut self.recovery);
        self.span += spans.makespans;
    }

    /// The line of `downtime.hlog`.
    pub(crate) fn downtime_line(&self, cell: &Cell) -> String {
        self.line(&self.suspended, cell)
    }

    /// The line of `recovery.hlog`.
    pub(crate) fn recovery_line(&self, cell: &Cell) -> String {
        self.line(&self.recovery, cell)
    }

    fn line(&self, histogram: &Histogram<u64>, cell: &Cell) -> String {
        let tag = tag(cell);
        if histogram.is_empty() {
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
            .write_histogram(histogram, Duration::ZERO, self.span, Tag::new(&tag))
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

/// The tag of a cell's line, if it is whole: a line that was cut off and got a line feed from somewhere is none.
pub(crate) fn tag_of(line: &str) -> Option<&str> {
    if let Some(rest) = line.strip_prefix(NO_VALUES) {
        return rest.strip_suffix("]\n");
    }
    let (head, histogram) = line.strip_suffix('\n')?.rsplit_once(',')?;
    let bytes = STANDARD.decode(histogram).ok()?;
    let decoded: Result<Histogram<u64>, _> = Deserializer::new().deserialize(&mut &bytes[..]);
    decoded.ok()?;
    head.strip_prefix("Tag=")?.split(',').next()
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

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
        let nothing = histograms.recovery_line(&cell());
        assert_eq!(tag_of(&nothing), Some("7.sim"));
        let line = histograms.downtime_line(&cell());
        assert_eq!(tag_of(&line), Some("7.sim"));
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

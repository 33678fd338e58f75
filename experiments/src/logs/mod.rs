//! ② Recorded failures: what is read of a log, and what is made of it.
//!
//! ```text
//! file ─▶ lanl · fta · table ─▶ Record (one a line) ─▶ filter ─▶ gaps · up · down, in seconds
//! ```
//!
//! Lines are read one at a time; what is kept is a number a record. Formats and where to get the files: `docs/failure-logs.md`.

mod fta;
mod lanl;
mod table;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// How a log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Failure records of Los Alamos, LA-UR-05-7318, as CSV.
    Lanl,
    /// `event_trace.tab` of the Failure Trace Archive.
    Fta,
    /// CSV with a header of our own.
    Csv,
}

/// What is taken from a log; all in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// Times between the beginnings of consecutive failures of all that the filter lets through together. They hold the repair
    /// of the first: the log's clock runs on.
    Gaps,
    /// Times for which a node was up, between two outages.
    Up,
    /// Times for which a node was down.
    Down,
}

/// Which records count; `None`: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// System, as the log names it.
    pub system: Option<String>,
    /// Node, as the log names it.
    pub node: Option<String>,
    /// Cause, as the log names it; without regard to case.
    pub cause: Option<String>,
}

/// A stretch of time of a node.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Record {
    pub system: String,
    pub node: String,
    pub cause: String,
    pub state: State,
    /// Seconds from some origin of the log.
    pub start_s: f64,
    pub duration_s: f64,
}

/// What a record says of its node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// It was down; the record is a failure.
    #[default]
    Down,
    /// It was up.
    Up,
}

/// A log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The log.
        path: PathBuf,
        /// The operating system's words.
        #[source]
        source: io::Error,
    },
    /// A line that is none of this format.
    #[error("{}:{line}: {what}: found {found:?}, expected {expected}", path.display())]
    Line {
        /// The log.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// The field.
        what: &'static str,
        /// As found, the beginning of it.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// Nothing is left after the filter.
    #[error("{}: {records} records, of which the filter leaves too few: {expected}", path.display())]
    Nothing {
        /// The log.
        path: PathBuf,
        /// Records in all.
        records: u64,
        /// What would be enough.
        expected: &'static str,
    },
}

/// What was taken from a log.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// In seconds, in the order of the log; of gaps, and of up times between failures, in the order of time.
    pub values_s: Vec<f64>,
    /// Records of the log, before the filter.
    pub records: u64,
    /// BLAKE3 of the file, in hex.
    pub blake3: String,
}

/// A complaint about a field of a line.
pub(crate) type Fault = (&'static str, String, &'static str);
/// Makes a record of a line.
type Parser = Box<dyn FnMut(&str) -> Result<Record, Fault>>;

/// Reads a log. A path of `-` is standard input.
pub fn read(path: &Path, format: Format, filter: &Filter, what: What) -> Result<Sample, LogError> {
    let (mut starts, mut values, mut outages) = (Vec::new(), Vec::new(), Outages::default());
    let end = each(path, format, &mut |record| {
        if !filter.passes(&record) {
            return;
        }
        match (what, record.state) {
            (What::Gaps, State::Down) => starts.push(record.start_s),
            (What::Down, State::Down) | (What::Up, State::Up) => values.push(record.duration_s),
            // The format has failures alone: a node is up from the end of one to the beginning of the next.
            (What::Up, State::Down) if format != Format::Fta => outages.add(record),
            _ => {}
        }
    })?;
    match what {
        What::Gaps => {
            starts.sort_by(f64::total_cmp);
            starts.splice(0..0, end.origin_s);
            values = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        }
        What::Up => values.extend(outages.between()),
        What::Down => {}
    }
    let path = path.to_owned();
    if values.is_empty() {
        let expected = match what {
            What::Gaps => "two failures at least",
            What::Up | What::Down => "one at least",
        };
        return Err(LogError::Nothing {
            path,
            records: end.records,
            expected,
        });
    }
    Ok(Sample {
        values_s: values,
        records: end.records,
        blake3: end.blake3,
    })
}

/// When the nodes were down. Records of one node may overlap, and a log need not be in order.
#[derive(Debug, Default)]
struct Outages {
    numbers: HashMap<(String, String), usize>,
    /// Node, beginning and end.
    all: Vec<(usize, f64, f64)>,
}

impl Outages {
    fn add(&mut self, record: Record) {
        let next = self.numbers.len();
        let node = *self.numbers.entry((record.system, record.node)).or_insert(next);
        self.all
            .push((node, record.start_s, record.start_s + record.duration_s));
    }

    /// How long each node was up between two outages, in the order in which those times ended.
    fn between(mut self) -> impl Iterator<Item = f64> {
        self.all.sort_by(|a, b| a.1.total_cmp(&b.1));
        let mut down_until = vec![None::<f64>; self.numbers.len()];
        self.all.into_iter().filter_map(move |(node, start, end)| {
            let before = down_until[node];
            down_until[node] = Some(before.map_or(end, |before| before.max(end)));
            before.map(|before| start - before).filter(|&up| up > 0.0)
        })
    }
}

/// What is known of a log after its last line.
pub(crate) struct End {
    pub records: u64,
    pub blake3: String,
    /// When the log begins, if it says so: from there to the first failure is a gap too.
    origin_s: Option<f64>,
}

/// Gives out every record.
pub(crate) fn each(path: &Path, format: Format, take: &mut dyn FnMut(Record)) -> Result<End, LogError> {
    let read_error = |source| LogError::Read {
        path: path.to_owned(),
        source,
    };
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(read_error)?)
    };
    let mut lines = Lines {
        input: BufReader::new(input),
        hasher: blake3::Hasher::new(),
        number: 0,
    };
    let (mut parser, origin_s): (Parser, _) = {
        let header = lines.next().map_err(read_error)?.unwrap_or_default();
        let parser = match format {
            Format::Lanl => lanl::parser(&header).map(|parser| (parser, None)),
            Format::Fta => fta::parser(&header).map(|parser| (parser, None)),
            Format::Csv => table::parser(&header),
        };
        parser.map_err(|fault| lines.complaint(path, fault))?
    };
    let mut records = 0;
    while let Some(line) = lines.next().map_err(read_error)? {
        if line.trim().is_empty() {
            continue;
        }
        records += 1;
        take(parser(&line).map_err(|fault| lines.complaint(path, fault))?);
    }
    Ok(End {
        records,
        blake3: lines.hasher.finalize().to_hex().to_string(),
        origin_s,
    })
}

impl Filter {
    fn passes(&self, record: &Record) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        is(&self.system, &record.system)
            && is(&self.node, &record.node)
            && self
                .cause
                .as_ref()
                .is_none_or(|cause| cause.eq_ignore_ascii_case(&record.cause))
    }
}

/// A line longer than this is no line of a log.
const LINE_BYTES_MAX: u64 = 1 << 16;

struct Lines<R> {
    input: R,
    hasher: blake3::Hasher,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    /// The next line without its end. Bytes are taken for Latin-1, of which ASCII is a part.
    fn next(&mut self) -> io::Result<Option<String>> {
        let mut bytes = Vec::new();
        (&mut self.input)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        self.hasher.update(&bytes);
        while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            bytes.pop();
        }
        Ok(Some(bytes.iter().map(|&byte| char::from(byte)).collect()))
    }

    fn complaint(&self, path: &Path, (what, found, expected): Fault) -> LogError {
        const SHOWN: usize = 60;
        LogError::Line {
            path: path.to_owned(),
            line: self.number.max(1),
            what,
            found: found.chars().take(SHOWN).collect(),
            expected,
        }
    }
}

/// The fields of a line of CSV; quotes as in RFC 4180.
fn csv_fields(line: &str) -> Result<csv::StringRecord, Fault> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(line.as_bytes());
    let mut fields = csv::StringRecord::new();
    match reader.read_record(&mut fields) {
        Ok(true) => Ok(fields),
        _ => Err(("line", line.to_owned(), "fields separated by commas")),
    }
}

fn number(what: &'static str, text: &str, expected: &'static str) -> Result<f64, Fault> {
    match text.trim().parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err((what, text.to_owned(), expected)),
    }
}

#[cfg(test)]
mod tests;

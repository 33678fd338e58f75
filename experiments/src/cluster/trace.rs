//! Jobs from a trace, line by line, so that memory does not grow with it.
//!
//! - `swf`: the Standard Workload Format, version 2.2 (Chapin et al., JSSPP 1999; Parallel Workloads Archive): `;` comments, 18 numbers a
//!   line, −1 for what is not known. Used are 2 submit time (s), 4 run time (s), 5 allocated and 8 requested processors, 7 used and
//!   10 requested memory (KiB a processor). Jobs without a run time or without processors never ran, and are left out.
//! - `csv`: own tables with the columns `submit_s`, `work_s`, and if wanted `slots` and `memory_bytes`.
//!
//! Files that end in `.gz` are unpacked on the way.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::workload::NewJob;

/// A trace that was read through once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Where it is.
    pub path: PathBuf,
    /// How it is written.
    pub format: TraceFormat,
    /// Memory of a slot in bytes where the trace tells none.
    pub memory: u64,
    /// Jobs in it.
    pub jobs: u64,
    /// Time of the first submission, which becomes 0, in nanoseconds.
    pub origin: u64,
    /// BLAKE3 of the file, in hex.
    pub blake3: String,
}

/// How a trace is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TraceFormat {
    /// Standard Workload Format.
    Swf,
    /// A table with the columns `submit_s`, `work_s` [, `slots`, `memory_bytes`].
    Csv,
}

/// A trace that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file cannot be read.
    #[error("cannot read the trace {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        #[source]
        source: io::Error,
    },
    /// A line that is no job.
    #[error("{}:{line}: {what}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// Nothing to do.
    #[error("{}: no job with a run time and processors", path.display())]
    NoJobs {
        /// The file.
        path: PathBuf,
    },
    /// Another file than the one that was checked.
    #[error("{}: the trace changed while the experiment ran", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
}

impl Trace {
    /// As the manifest names it.
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Reads a trace through and checks every line.
    pub fn check(path: &Path, format: TraceFormat, memory: u64) -> Result<Trace, TraceError> {
        let read = |source| TraceError::Read {
            path: path.to_owned(),
            source,
        };
        let mut hasher = blake3::Hasher::new();
        io::copy(&mut File::open(path).map_err(read)?, &mut hasher).map_err(read)?;
        let mut trace = Trace {
            path: path.to_owned(),
            format,
            memory,
            jobs: 0,
            origin: 0,
            blake3: hasher.finalize().to_hex().to_string(),
        };
        let mut reader = trace.open()?;
        while let Some(job) = reader.read()? {
            if trace.jobs == 0 {
                trace.origin = job.submit;
            }
            trace.jobs += 1;
        }
        if trace.jobs == 0 {
            return Err(TraceError::NoJobs {
                path: path.to_owned(),
            });
        }
        Ok(trace)
    }

    /// From its beginning.
    pub(super) fn open(&self) -> Result<TraceReader, TraceError> {
        let file = File::open(&self.path).map_err(|source| TraceError::Read {
            path: self.path.clone(),
            source,
        })?;
        let packed = self
            .path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
        let bytes: Box<dyn Read + Send> = if packed {
            Box::new(MultiGzDecoder::new(file))
        } else {
            Box::new(file)
        };
        Ok(TraceReader {
            trace: self.clone(),
            lines: Lines(BufReader::with_capacity(1 << 16, bytes)),
            line: 0,
            text: Vec::new(),
            columns: None,
            last: 0,
            given: 0,
        })
    }
}

/// A reader that shows nothing of itself.
struct Lines(BufReader<Box<dyn Read + Send>>);

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lines")
    }
}

/// A trace being read.
#[derive(Debug)]
pub(super) struct TraceReader {
    trace: Trace,
    lines: Lines,
    line: u64,
    text: Vec<u8>,
    /// Of a table: where its columns are.
    columns: Option<Columns>,
    last: u64,
    given: u64,
}

/// Where the columns of a table are.
#[derive(Debug, Clone, Copy)]
struct Columns {
    submit: usize,
    work: usize,
    slots: Option<usize>,
    memory: Option<usize>,
}

/// Longer lines are no lines of a trace.
const LINE_MAX: u64 = 1 << 16;
/// A century in seconds, as for every duration.
const SECONDS_MAX: f64 = 3.1536e9;
/// More slots and bytes than any cluster has.
const SLOTS_MAX: f64 = 1e9;
const BYTES_MAX: f64 = 1e18;

impl TraceReader {
    /// The next job of a trial; times are since the first submission.
    pub(super) fn next(&mut self) -> Result<Option<NewJob>, TraceError> {
        let changed = || TraceError::Changed {
            path: self.trace.path.clone(),
        };
        if self.given == self.trace.jobs {
            return Ok(None);
        }
        self.given += 1;
        let (origin, changed) = (self.trace.origin, changed());
        let job = self.read()?;
        let since = job.and_then(|job| {
            Some(NewJob {
                submit: job.submit.checked_sub(origin)?,
                ..job
            })
        });
        since.map(Some).ok_or(changed)
    }

    /// The next job as it is written; `None` at the end.
    fn read(&mut self) -> Result<Option<NewJob>, TraceError> {
        loop {
            self.text.clear();
            self.line += 1;
            let mut limited = Read::take(&mut self.lines.0, LINE_MAX);
            let length = limited.read_until(b'\n', &mut self.text);
            let length = length.map_err(|source| TraceError::Read {
                path: self.trace.path.clone(),
                source,
            })?;
            if length == 0 {
                return Ok(None);
            }
            let job = self.parse().map_err(|what| TraceError::Line {
                path: self.trace.path.clone(),
                line: self.line,
                what,
            })?;
            if let Some(job) = job {
                return Ok(Some(job));
            }
        }
    }

    /// The line in hand; `None` if it holds no job that ran.
    fn parse(&mut self) -> Result<Option<NewJob>, String> {
        if self.text.len() as u64 == LINE_MAX {
            return Err(format!("longer than {LINE_MAX} bytes"));
        }
        let text = std::str::from_utf8(&self.text).map_err(|_| "not UTF-8".to_owned())?;
        let text = text.trim();
        if text.is_empty() || text.starts_with([';', '#']) {
            return Ok(None);
        }
        let job = match (self.trace.format, self.columns) {
            (TraceFormat::Swf, _) => swf(text, self.trace.memory)?,
            (TraceFormat::Csv, Some(columns)) => csv(text, columns, self.trace.memory)?,
            (TraceFormat::Csv, None) => {
                self.columns = Some(Columns::of(text)?);
                None
            }
        };
        if let Some(job) = job {
            if job.submit < self.last {
                return Err(
                    "submitted before the job in front of it: sort the trace by submit time".to_owned(),
                );
            }
            self.last = job.submit;
        }
        Ok(job)
    }
}

/// A line of 18 numbers.
fn swf(text: &str, slot_memory: u64) -> Result<Option<NewJob>, String> {
    let mut fields = [0.0; 18];
    let mut words = text.split_ascii_whitespace();
    for (index, field) in fields.iter_mut().enumerate() {
        let word = words
            .next()
            .ok_or_else(|| format!("expected 18 fields, found {index}"))?;
        *field = number(word, &format!("field {}", index + 1))?;
    }
    if words.next().is_some() {
        return Err("expected 18 fields, found more".to_owned());
    }
    let [
        _,
        submit_s,
        _,
        run_s,
        allocated,
        _,
        used_kib,
        requested,
        _,
        requested_kib,
        ..,
    ] = fields;
    let slots = if allocated > 0.0 { allocated } else { requested };
    let kib = if requested_kib > 0.0 {
        requested_kib
    } else {
        used_kib
    };
    if run_s <= 0.0 || slots < 1.0 {
        return Ok(None);
    }
    let memory = if kib > 0.0 {
        kib * 1024.0
    } else {
        slot_memory as f64
    };
    job(submit_s, run_s, slots, memory * slots).map(Some)
}

impl Columns {
    fn of(header: &str) -> Result<Columns, String> {
        let find = |name: &str| header.split(',').position(|column| column.trim() == name);
        let must = |name: &str| {
            find(name).ok_or_else(|| format!("the header has no column {name}: it needs submit_s and work_s"))
        };
        Ok(Columns {
            submit: must("submit_s")?,
            work: must("work_s")?,
            slots: find("slots"),
            memory: find("memory_bytes"),
        })
    }
}

/// A line of a table.
fn csv(text: &str, columns: Columns, slot_memory: u64) -> Result<Option<NewJob>, String> {
    let field = |index: usize, name: &str| {
        let word = text.split(',').nth(index).map(str::trim);
        number(word.ok_or_else(|| format!("no field for {name}"))?, name)
    };
    let work_s = field(columns.work, "work_s")?;
    let slots = columns.slots.map_or(Ok(1.0), |index| field(index, "slots"))?;
    let memory = columns.memory.map_or(Ok(slot_memory as f64 * slots), |index| {
        field(index, "memory_bytes")
    })?;
    if work_s <= 0.0 || slots < 1.0 {
        return Ok(None);
    }
    job(field(columns.submit, "submit_s")?, work_s, slots, memory).map(Some)
}

fn number(word: &str, what: &str) -> Result<f64, String> {
    word.parse::<f64>()
        .ok()
        .filter(|value| value.is_finite())
        .ok_or_else(|| format!("{what}: expected a number, found {word:?}"))
}

fn job(submit_s: f64, work_s: f64, slots: f64, memory: f64) -> Result<NewJob, String> {
    let within = |value: f64, most: f64, what: &str| {
        if (0.0..=most).contains(&value) {
            return Ok(value);
        }
        Err(format!("{what} = {value} must be between 0 and {most}"))
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be from 0 to what the integer holds"
    )]
    let whole = |value: f64| value as u64;
    Ok(NewJob {
        submit: whole(within(submit_s, SECONDS_MAX, "submit time in seconds")? * 1e9),
        work: whole(within(work_s, SECONDS_MAX, "run time in seconds")? * 1e9),
        slots: u32::try_from(whole(within(slots, SLOTS_MAX, "processors")?)).unwrap_or(u32::MAX),
        memory: whole(within(memory, BYTES_MAX, "memory in bytes")?),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn check(text: &str, format: TraceFormat) -> Result<(Trace, Vec<NewJob>), String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let trace = Trace::check(file.path(), format, 1 << 20)
            .map_err(|error| error.to_string().replace(&file.path().display().to_string(), "t"))?;
        let mut reader = trace.open().unwrap();
        let mut jobs = Vec::new();
        while let Some(job) = reader.next().unwrap() {
            jobs.push(job);
        }
        Ok((trace, jobs))
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn swf_is_read_as_it_is_specified() {
        let text = "; Version: 2.2\n;\n\
            1 100 5 60 4 -1 2048 8 600 -1 1 1 1 -1 -1 -1 -1 -1\n\
            2 110 -1 -1 -1 -1 -1 8 600 -1 0 1 1 -1 -1 -1 -1 -1\n\
            3 130 0 30 -1 -1 -1 2 600 -1 1 1 1 -1 -1 -1 -1 -1\n";
        let (trace, jobs) = check(text, TraceFormat::Swf).unwrap();
        assert_eq!((trace.jobs, trace.origin), (2, 100 * SECOND));
        let job = |submit, work, slots, memory| NewJob {
            submit: submit * SECOND,
            work: work * SECOND,
            slots,
            memory,
        };
        // 2048 KiB a processor; the third tells none, and has the workload's.
        assert_eq!(jobs, [job(0, 60, 4, 8 << 20), job(30, 30, 2, 2 << 20)]);
    }

    #[test]
    fn tables_are_read_by_their_header() {
        let text = "user,work_s,submit_s,slots\na,1.5,0,2\nb,7,0.25,1\n";
        let (_, jobs) = check(text, TraceFormat::Csv).unwrap();
        assert_eq!((jobs[0].work, jobs[0].memory), (3 * SECOND / 2, 2 << 20));
        assert_eq!((jobs[1].submit, jobs[1].slots), (SECOND / 4, 1));
    }

    #[test]
    fn bad_lines_are_named() {
        let good = "1 9 5 60 4 -1 -1 8 600 -1 1 1 1 -1 -1 -1 -1 -1\n";
        for (text, complaint) in [
            ("", "t: no job with a run time and processors"),
            ("; none\n", "t: no job with a run time and processors"),
            ("1 2 3\n", "t:1: expected 18 fields, found 3"),
            (
                &format!("{good}1 x{}", &good[3..]),
                "t:2: field 2: expected a number, found \"x\"",
            ),
            (
                &format!("{good}1 8{}", &good[3..]),
                "t:2: submitted before the job in front of it",
            ),
            (
                &format!("1 -9{}", &good[3..]),
                "t:1: submit time in seconds = -9 must be between",
            ),
            (&good.replace("60", "nan"), "t:1: field 4: expected a number"),
            (
                &good.replace(" -1\n", " -1 1\n"),
                "t:1: expected 18 fields, found more",
            ),
        ] {
            let found = check(text, TraceFormat::Swf).unwrap_err();
            assert!(found.starts_with(complaint), "{found}");
        }
        let found = check("submit_s\n", TraceFormat::Csv).unwrap_err();
        assert_eq!(
            found,
            "t:1: the header has no column work_s: it needs submit_s and work_s"
        );
    }
}

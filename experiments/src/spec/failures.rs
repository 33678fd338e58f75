//! ① `[failures]`: as written, and checked.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::check::{PERIOD_MAX, PERIOD_MIN, mtbfs, within};
use super::error::Problem;
use super::files::Files;
use super::raw::RawPeriods;
use crate::failures::{Bathtub, Bursts, Kinds, Law, Process, Recorded, Rejuvenate, Replay};
use crate::logs::{self, Filter, Format, LogError, What};
use revenant_core::quantity::Period;

type Complaint = (usize, Problem);

/// More nodes than any machine has; with `rejuvenate = "failed"` each takes memory.
const NODES_MAX: u64 = 10_000_000;

/// What strikes the guest, and what follows before a restart can begin.
#[derive(Debug, Clone, PartialEq)]
pub struct Failures {
    /// How failures follow each other.
    pub process: Process,
    /// Mean times between failures of all that can strike the job together, one cell each (M).
    pub mtbf: Vec<Duration>,
    /// Of what kinds they are.
    pub kinds: Kinds,
    /// From the failure until it is noticed.
    pub detection: Duration,
    /// From then until a host is ready for the restart.
    pub downtime: Duration,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFailures {
    law: Spanned<RawLaw>,
    mtbf: Option<Spanned<RawPeriods>>,
    nodes: Option<Spanned<u64>>,
    rejuvenate: Option<Spanned<Rejuvenate>>,
    bursts: Option<Spanned<RawBursts>>,
    kinds: Option<Spanned<Kinds>>,
    detection: Option<Spanned<Period>>,
    downtime: Option<Spanned<Period>>,
    pub(super) reboot: Option<Spanned<Period>>,
    pub(super) hang_detection: Option<Spanned<Period>>,
    pub(super) store_repair: Option<Spanned<Period>>,
    pub(super) silent_mtbf: Option<Spanned<Period>>,
}

/// `"exponential"`, or `{ weibull = 0.7 }` and its like.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawLaw {
    Exponential,
    Weibull(f64),
    Lognormal(f64),
    Gamma(f64),
    Bathtub(RawBathtub),
    Log(RawLog),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBathtub {
    infant_shape: f64,
    infant_share: f64,
    wear_out_shape: f64,
    wear_out_share: f64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLog {
    file: PathBuf,
    name: Option<String>,
    format: Format,
    mode: RawMode,
    start: Option<Period>,
    #[serde(default = "gaps")]
    what: What,
    system: Option<String>,
    node: Option<String>,
    cause: Option<String>,
}

/// How a log is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawMode {
    Replay,
    ReplayAnywhere,
    Bootstrap,
}

fn gaps() -> What {
    What::Gaps
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBursts {
    probability: f64,
    delay: Period,
}

impl RawLog {
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Whether it takes what the other takes, whatever is made of it.
    pub(super) fn is_of_the_records_of(&self, other: &RawLog) -> bool {
        let taken = |log: &RawLog| (log.file.clone(), log.format, log.what, log.filter());
        taken(self) == taken(other)
    }

    fn filter(&self) -> Filter {
        Filter {
            system: self.system.clone(),
            node: self.node.clone(),
            cause: self.cause.clone(),
        }
    }

    /// What rows call it: that of the spec, or the file's with what is taken of it.
    pub(super) fn label(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        let stem = self.file.file_stem().unwrap_or_default();
        let parts = [
            ("system", &self.system),
            ("node", &self.node),
            ("cause", &self.cause),
        ];
        parts
            .iter()
            .filter_map(|(what, value)| value.as_ref().map(|value| format!(" {what} {value}")))
            .fold(stem.to_string_lossy().into_owned(), |label, part| label + &part)
    }
}

/// Checks the section.
pub(super) fn checked(raw: &RawFailures, files: &Files<'_>) -> Result<Failures, Complaint> {
    let process = process(raw, files)?;
    let mtbf = match (&raw.mtbf, &process) {
        (Some(mtbf), _) => mtbfs(mtbf)?,
        (None, Process::Recorded(log)) => vec![own_mtbf(log, raw.law.span().start)?],
        (None, Process::Drawn { .. }) => return Err((raw.law.span().start, Problem::MtbfMissing)),
    };
    if let (
        Process::Drawn {
            bursts: Some(bursts), ..
        },
        Some(written),
    ) = (&process, &raw.bursts)
    {
        let inside = bursts.delay.mul_f64(bursts.probability);
        if mtbf.iter().any(|&mtbf| inside >= mtbf) {
            return Err((written.span().start, Problem::BurstsTooLong));
        }
    }
    let kinds = match &raw.kinds {
        None => Kinds::default(),
        Some(kinds) if kinds.get_ref().are_shares() => *kinds.get_ref(),
        Some(kinds) => return Err((kinds.span().start, Problem::NotShares)),
    };
    Ok(Failures {
        process,
        mtbf,
        kinds,
        detection: span(raw.detection.as_ref(), "failures.detection")?,
        downtime: span(raw.downtime.as_ref(), "failures.downtime")?,
    })
}

fn span(period: Option<&Spanned<Period>>, key: &'static str) -> Result<Duration, Complaint> {
    match period {
        None => Ok(Duration::ZERO),
        Some(period) => within(
            *period.get_ref(),
            period.span().start,
            key,
            Period::default(),
            PERIOD_MAX,
        ),
    }
}

fn process(raw: &RawFailures, files: &Files<'_>) -> Result<Process, Complaint> {
    let offset = raw.law.span().start;
    if let RawLaw::Log(log) = raw.law.get_ref() {
        return recorded(raw, log, offset, files);
    }
    let law = drawn_law(raw.law.get_ref(), "failures.law", offset)?.unwrap_or(Law::Exponential);
    let nodes = raw.nodes.as_ref().map_or(1, |nodes| *nodes.get_ref());
    if let Some(written) = raw.nodes.as_ref().filter(|_| !(1..=NODES_MAX).contains(&nodes)) {
        let problem = Problem::OutOfRange {
            key: "failures.nodes",
            found: nodes,
            least: 1,
            most: NODES_MAX,
        };
        return Err((written.span().start, problem));
    }
    let bursts = match &raw.bursts {
        None => None,
        Some(bursts) => {
            let RawBursts { probability, delay } = *bursts.get_ref();
            if !(0.0..1.0).contains(&probability) {
                return Err((bursts.span().start, Problem::BurstProbability));
            }
            let delay = within(
                delay,
                bursts.span().start,
                "failures.bursts.delay",
                PERIOD_MIN,
                PERIOD_MAX,
            )?;
            Some(Bursts { probability, delay })
        }
    };
    Ok(Process::Drawn {
        law,
        nodes,
        rejuvenate: raw
            .rejuvenate
            .as_ref()
            .map_or(Rejuvenate::Failed, |rejuvenate| *rejuvenate.get_ref()),
        bursts,
    })
}

impl RawFailures {
    /// Where the law is.
    pub(super) fn law_offset(&self) -> usize {
        self.law.span().start
    }
}

/// A law that is drawn from; `None` for a log.
pub(super) fn drawn_law(raw: &RawLaw, key: &'static str, offset: usize) -> Result<Option<Law>, Complaint> {
    let shape = |shape: f64, least: f64, law: &'static str| shape_within(shape, least, law, key, offset);
    Ok(Some(match raw {
        RawLaw::Log(_) => return Ok(None),
        RawLaw::Exponential => Law::Exponential,
        RawLaw::Weibull(k) => Law::Weibull {
            shape: shape(*k, 0.1, "weibull")?,
        },
        RawLaw::Lognormal(sigma) => Law::LogNormal {
            sigma: shape(*sigma, 0.01, "lognormal")?,
        },
        RawLaw::Gamma(k) => Law::Gamma {
            shape: shape(*k, 0.05, "gamma")?,
        },
        RawLaw::Bathtub(raw) => {
            let (infant, wear_out) = (
                (raw.infant_shape, raw.infant_share),
                (raw.wear_out_shape, raw.wear_out_share),
            );
            Law::Bathtub(
                Bathtub::new(infant, wear_out).map_err(|error| (offset, Problem::BadBathtub(error)))?,
            )
        }
    }))
}

/// Between the least, below which the mean is made by draws that never come, and 20.
fn shape_within(
    shape: f64,
    least: f64,
    law: &'static str,
    key: &'static str,
    offset: usize,
) -> Result<f64, Complaint> {
    const MOST: f64 = 20.0;
    if (least..=MOST).contains(&shape) {
        return Ok(shape);
    }
    Err((
        offset,
        Problem::BadShape {
            key,
            law,
            least: least.to_string(),
            most: MOST.to_string(),
        },
    ))
}

fn recorded(raw: &RawFailures, log: &RawLog, offset: usize, files: &Files<'_>) -> Result<Process, Complaint> {
    let unused = [
        raw.nodes
            .as_ref()
            .map(|nodes| (nodes.span().start, "failures.nodes")),
        raw.rejuvenate
            .as_ref()
            .map(|rejuvenate| (rejuvenate.span().start, "failures.rejuvenate")),
        raw.bursts
            .as_ref()
            .map(|bursts| (bursts.span().start, "failures.bursts")),
    ];
    if let Some((offset, key)) = unused.into_iter().flatten().next() {
        return Err((offset, Problem::NotOfALog { key }));
    }
    let bad = |why: String| (offset, Problem::BadLog { why });
    if files.has_namesake(log) {
        return Err(bad(format!(
            "another log is called {:?} too: give each a name",
            log.label()
        )));
    }
    let mode = match (log.mode, log.start) {
        (RawMode::Replay, start) => Replay::From(start.unwrap_or_default().0),
        (RawMode::ReplayAnywhere, None) => Replay::Anywhere,
        (RawMode::Bootstrap, None) => Replay::Bootstrap,
        (RawMode::ReplayAnywhere | RawMode::Bootstrap, Some(_)) => {
            return Err(bad("start goes with mode = \"replay\" alone".to_owned()));
        }
    };
    let read = |path: &Path| {
        let sample = logs::read(path, log.format, &log.filter(), log.what)?;
        Ok(Recorded::new(sample.values_s, mode, log.label(), sample.blake3))
    };
    let recorded = files.log(log, read).map_err(|error| {
        let cause = std::error::Error::source(&error).map_or(String::new(), |cause| format!(": {cause}"));
        let hint = match &error {
            LogError::Read { source, .. } if source.kind() == ErrorKind::NotFound => {
                "; --data DIR tells in which folder it is, docs/failure-logs.md where logs are to be had"
            }
            _ => "",
        };
        bad(format!("{error}{cause}{hint}"))
    })?;
    if recorded.gaps_s.iter().all(|&gap| gap <= 0.0) {
        return Err(bad(format!(
            "{}: all times are zero",
            files.find(&log.file).display()
        )));
    }
    if let Replay::From(start) = recorded.mode
        && start.as_secs_f64() >= recorded.span_s()
    {
        let span = recorded.span_s();
        return Err(bad(format!(
            "start must lie in the {span} s from its first failure to its last"
        )));
    }
    Ok(Process::Recorded(recorded))
}

fn own_mtbf(log: &Recorded, offset: usize) -> Result<Duration, Complaint> {
    let mean = Duration::try_from_secs_f64(log.mean_s).unwrap_or(Duration::MAX);
    within(
        Period(mean),
        offset,
        "the mean gap of the log",
        PERIOD_MIN,
        PERIOD_MAX,
    )
}

//! ① What is asked: an experiment as a TOML file, read and checked once.
//!
//! ```text
//! TOML text ─▶ sweep (a document a setting) ─▶ raw (serde, unknown keys refused) ─▶ check (ranges, combinations) ─▶ Spec
//! ```
//!
//! A [`Spec`] that exists can be run. Every complaint names the file, the line and what would be right. The keys are
//! described in `docs/experiments.md`.

mod check;
mod cluster;
mod error;
mod failures;
mod files;
pub(crate) mod meaning;
mod raw;
mod rules;
mod sweep;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::DeTable;

use crate::cluster::Cluster;
use crate::model::Rules;
pub use error::{Problem, SpecError};
pub use failures::Failures;
use files::Files;
use raw::Raw;
use revenant_core::policy::{Choice, TwoLevel, Verified};
pub use revenant_core::quantity::{Period, QuantityError, Size};
use revenant_sim::{CostProfile, Program};

/// A checked experiment. What may vary from point to point is in its settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Names the experiment in every row.
    pub name: String,
    /// The question it answers, in words.
    pub question: String,
    /// Master seed of every random stream; at most 2^63 − 1, the largest TOML integer.
    pub seed: u64,
    /// Trials a cell at each level.
    pub trials: Trials,
    /// How precise means must be; `None`: as they come out.
    pub precision: Option<Precision>,
    /// Levels to run, in the order of the rows.
    pub levels: Vec<Level>,
    /// Which figures to draw.
    pub figures: Figures,
    /// The combinations of swept values, in order; without a sweep the one there is.
    pub settings: Vec<Setting>,
    /// The file's text, copied into the run's folder.
    pub source: String,
    /// Where it was read from.
    pub path: PathBuf,
}

/// How precise the mean makespan of each cell must be. Trials are then those of a pilot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Precision {
    /// Half-width of the 95 % interval, as a share of the mean.
    pub makespan: f64,
    /// No cell gets more trials, however wide its interval.
    pub trials_max: u32,
}

/// What may differ from point to point: a spec for one combination of swept values.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// `key=value` of each swept key without a column of its own, joined by `;`; empty without such keys.
    pub name: String,
    /// The job that is interrupted.
    pub job: Job,
    /// The guest that does the job and the world it lives in, where one is simulated or measured.
    pub guest: Option<Guest>,
    /// What strikes it.
    pub failures: Failures,
    /// What checkpoints cost and how they are taken.
    pub checkpoint: Checkpoint,
    /// What is not as in the plain case, where the level knows it. What is measured is not known yet:
    /// [`Plan::rules`](crate::plan::Plan) has it.
    pub rules: Rules,
    /// The policy for the shared store, where there is one; it says how often checkpoints go there, whatever their policy.
    pub two_level: Option<TwoLevel>,
    /// The policy for silent errors, where they strike and are looked for.
    pub verified: Option<Verified>,
    /// The cluster, at that level.
    pub cluster: Option<Cluster>,
    /// Policies to compare.
    pub policies: Vec<Choice>,
    /// When a trial is given up.
    pub limits: Limits,
}

/// Which machinery runs a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// The control flow alone, with constant costs: discrete events.
    Model,
    /// The real core on a simulated guest, host and disk.
    Sim,
    /// Many jobs on many hosts, with stores that contend: discrete events.
    Cluster,
}

impl Level {
    /// As specs and rows spell it.
    pub fn name(self) -> &'static str {
        match self {
            Level::Model => "model",
            Level::Sim => "sim",
            Level::Cluster => "cluster",
        }
    }
}

/// Trials a cell; `None` for a level that is not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trials {
    /// At level `model`.
    pub model: Option<u32>,
    /// At level `sim`.
    pub sim: Option<u32>,
    /// At level `cluster`.
    pub cluster: Option<u32>,
}

impl Trials {
    /// Trials a cell at a level.
    pub fn at(&self, level: Level) -> u32 {
        match level {
            Level::Model => self.model.unwrap_or(0),
            Level::Sim => self.sim.unwrap_or(0),
            Level::Cluster => self.cluster.unwrap_or(0),
        }
    }
}

/// The job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Job {
    /// How long it takes without failures and checkpoints (W).
    pub work: Duration,
    /// Checkpoint the finished guest once more.
    pub final_checkpoint: bool,
}

/// The simulated guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Programs to run, one cell each.
    pub programs: Vec<Program>,
    /// Frames of memory.
    pub pages: u64,
    /// Virtual time a step of the program takes.
    pub step: Duration,
    /// What things cost in its world.
    pub world: CostProfile,
}

/// A cost that is given, or found by trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// This long.
    Given(Duration),
    /// As one capture and restore in the simulated world shows.
    Measured,
}

impl Cost {
    /// If it is given.
    pub fn given(self) -> Option<Duration> {
        match self {
            Cost::Given(given) => Some(given),
            Cost::Measured => None,
        }
    }
}

/// What a shared store costs: both are given, or both are found by trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedCost {
    /// Bringing a checkpoint there, besides the local one (C₂).
    pub cost: Cost,
    /// A restart from there (R₂).
    pub restart: Cost,
}

/// How a checkpoint is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Suspend, copy everything, resume.
    StopAndCopy,
    /// Copy while the guest runs, suspend for the rest.
    PreCopy,
}

/// What checkpoints cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// For how long the guest does not work because of one (C).
    pub cost: Cost,
    /// Reading one back and rebuilding the guest (R).
    pub restart: Cost,
    /// What the shared store costs, where there is one.
    pub shared: Option<SharedCost>,
    /// How they are taken at level `sim`.
    pub method: Method,
    /// Save only what changed since the last one, at level `sim`.
    pub incremental: bool,
}

/// When a trial is given up. It then is a row with a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// After more failures than this.
    pub failures: u32,
    /// When this much time has passed and the job is not done.
    pub time: Duration,
}

/// Which figures to draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// File formats; none: no figures.
    pub formats: Vec<FigureFormat>,
}

/// A file format of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FigureFormat {
    /// Scalable Vector Graphics 1.1.
    Svg,
    /// Portable Network Graphics, 600 dpi.
    Png,
    /// Portable Document Format 1.7 with an embedded TrueType font.
    Pdf,
    /// A LaTeX document for pgfplots.
    Tikz,
}

impl Spec {
    /// Reads and checks a spec file. Logs and traces that it names are beside it, or else in the folder `data`.
    pub fn load(path: &Path, data: Option<&Path>) -> Result<Spec, SpecError> {
        let source = std::fs::read_to_string(path).map_err(|source| SpecError::Read {
            path: path.to_owned(),
            source,
        })?;
        Spec::checked(&source, path, data)
    }

    /// Checks a spec that was read from `path`, beside which the logs and traces are that it names.
    pub fn parse(source: &str, path: &Path) -> Result<Spec, SpecError> {
        Spec::checked(source, path, None)
    }

    fn checked(source: &str, path: &Path, data: Option<&Path>) -> Result<Spec, SpecError> {
        let files = Files::new(path, data);
        let syntax = |error: &toml::de::Error| SpecError::Syntax {
            path: path.to_owned(),
            line: line_of(source, error.span().map_or(0, |span| span.start)),
            message: error.message().trim_end().replace('\n', "; "),
        };
        let invalid = |(offset, problem)| SpecError::Invalid {
            path: path.to_owned(),
            line: line_of(source, offset),
            problem,
        };
        let mut base = DeTable::parse(source).map_err(|error| syntax(&error))?;
        let sweep = base.get_mut().remove("sweep");
        let ranges = sweep
            .as_ref()
            .map(sweep::ranges)
            .transpose()
            .map_err(invalid)?
            .unwrap_or_default();
        let combinations = match &sweep {
            Some(sweep) => sweep::combinations(sweep, &ranges).map_err(invalid)?,
            None => vec![],
        };
        let read = |document: Spanned<DeTable<'_>>| -> Result<Raw, SpecError> {
            Raw::deserialize(toml::Deserializer::from(document)).map_err(|error| syntax(&error))
        };
        if combinations.is_empty() {
            let raw = read(base)?;
            let setting = check::setting(&raw, String::new(), &files).map_err(invalid)?;
            return check::spec(&raw, vec![setting], source, &files).map_err(invalid);
        }
        let mut first = None;
        let mut settings = Vec::with_capacity(combinations.len());
        for combination in combinations {
            let raw = read(combination.document(&base).map_err(invalid)?)?;
            settings.push(check::setting(&raw, combination.name, &files).map_err(invalid)?);
            first.get_or_insert(raw);
        }
        let first = first.expect("there is a combination");
        check::spec(&first, settings, source, &files).map_err(invalid)
    }
}

/// The line of a byte offset, counted from 1.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text
        .as_bytes()
        .iter()
        .take(offset)
        .filter(|&&byte| byte == b'\n')
        .count()
}

#[cfg(test)]
mod tests;

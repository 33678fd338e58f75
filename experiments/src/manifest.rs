//! ⑤ Where results come from: the manifest of a run.

use std::collections::BTreeMap;

use revenant_core::Timestamp;
use serde::{Deserialize, Serialize};

use revenant_sim::Program;

use crate::cluster::Workload;
use crate::failures::Process;
use crate::plan::Plan;
use crate::seed;
use crate::spec::{Setting, Spec};

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Begun; if nobody is at it, its process was killed.
    Running,
    /// Ended on request; can be resumed.
    Interrupted,
    /// All trials are there, and the outputs' digests hold.
    Complete,
}

/// What must be the same for a run to be resumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// BLAKE3 of the spec's text, in hex.
    pub spec_blake3: String,
    /// Master seed as run.
    pub seed: u64,
    /// BLAKE3 of the failure logs it replays and of job traces, in hex, by name.
    #[serde(default)]
    pub logs_blake3: BTreeMap<String, String>,
    /// Which part of a run this is, as `2/8`.
    #[serde(default)]
    pub shard: Option<String>,
    /// Trials in all; of a shard those that it runs.
    pub trials: u64,
    /// Trials a cell at each level, as run.
    pub trials_a_cell: BTreeMap<String, u32>,
    /// Trials of each cell, where a precision was asked for; else empty. Of a cell that shards share all trials, whichever are run here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trials_of_cells: Vec<u32>,
    /// Version of the tool.
    pub version: String,
    /// Revision of the source it was built from, `unknown` outside a repository.
    pub revision: String,
}

/// The manifest of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Name of the experiment.
    pub experiment: String,
    /// The question it answers.
    pub question: String,
    /// How far it has come.
    pub status: Status,
    /// What must be the same for it to be resumed.
    pub identity: Identity,
    /// The source had changes that no revision holds.
    pub dirty: bool,
    /// Compiler that built the tool.
    pub rustc: String,
    /// Target it was built for.
    pub target: String,
    /// How seeds and streams derive from the master seed.
    pub seed_rule: String,
    /// What may differ between the levels, and is therefore stated.
    pub conventions: BTreeMap<String, String>,
    /// The command line of the last process that worked on it.
    pub command: Vec<String>,
    /// Processors of the host.
    pub host_cores: usize,
    /// Operating system and architecture of the host.
    pub host_os: String,
    /// When the last process began and ended to work on it, UTC.
    pub started: String,
    /// Absent while it runs.
    pub stopped: Option<String>,
    /// Nominal costs by program (`-` without a guest), and by setting of the sweep if there are several.
    pub costs: BTreeMap<String, CostsRecord>,
    /// Cells and trials, done and given up.
    pub counts: Counts,
    /// The parts it was put together from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<ShardRecord>,
    /// BLAKE3 of the outputs, in hex.
    pub outputs_blake3: BTreeMap<String, String>,
    /// What to mind when reading the results.
    pub warnings: Vec<String>,
}

/// A part that went into a merge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShardRecord {
    /// Which, as `2/8`.
    pub shard: String,
    /// Operating system and architecture of its host.
    pub host_os: String,
    /// Processors of its host.
    pub host_cores: usize,
    /// When the last process began to work on it, UTC.
    pub started: String,
    /// When that ended.
    pub stopped: Option<String>,
    /// BLAKE3 of its manifest, in hex.
    pub manifest_blake3: String,
}

/// Nominal costs in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostsRecord {
    /// Checkpoint cost (C).
    pub checkpoint_s: f64,
    /// Restart cost (R).
    pub restart_s: f64,
    /// From the request for a checkpoint until the guest stands still; it works meanwhile.
    pub lead_s: f64,
    /// From the guest's going on until its checkpoint is committed.
    pub commit_latency_s: f64,
    /// Bringing a checkpoint to the shared store besides (C₂), where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_checkpoint_s: Option<f64>,
    /// A restart from there (R₂).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_restart_s: Option<f64>,
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Combinations of the factors.
    pub points: u64,
    /// Points × levels.
    pub cells: u64,
    /// Trials with a row.
    pub trials_done: u64,
    /// Of these, those given up.
    pub given_up: u64,
    /// Failures that struck in all trials.
    pub failures: u64,
}

/// BLAKE3 of the failure logs that a spec replays and of its traces of jobs, in hex, by name.
pub fn logs_of(spec: &Spec) -> BTreeMap<String, String> {
    let log = |setting: &Setting| match &setting.failures.process {
        Process::Recorded(log) => Some((log.name.clone(), log.blake3.clone())),
        Process::Drawn { .. } => None,
    };
    let trace = |setting: &Setting| match setting.cluster.as_ref().map(|cluster| &cluster.workload) {
        Some(Workload::Trace(trace)) => Some((trace.name(), trace.blake3.clone())),
        _ => None,
    };
    spec.settings
        .iter()
        .flat_map(|setting| [log(setting), trace(setting)])
        .flatten()
        .collect()
}

impl Identity {
    /// Of a plan made by this build.
    pub fn of(plan: &Plan) -> Identity {
        let spec = &plan.spec;
        let a_cell = |level: &crate::spec::Level| (level.name().to_owned(), spec.trials.at(*level));
        Identity {
            spec_blake3: blake3::hash(spec.source.as_bytes()).to_hex().to_string(),
            shard: plan.shard.map(|shard| shard.to_string()),
            logs_blake3: logs_of(spec),
            seed: spec.seed,
            trials: plan.trials(),
            trials_a_cell: spec.levels.iter().map(a_cell).collect(),
            trials_of_cells: match spec.precision {
                Some(_) => plan.cells.iter().map(|cell| cell.trials).collect(),
                None => Vec::new(),
            },
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: env!("REVENANT_REVISION").to_owned(),
        }
    }

    /// The first thing in which another run differs: its name, what it is there, what it is here.
    pub fn difference(&self, there: &Identity) -> Option<(&'static str, String, String)> {
        let trials = |identity: &Identity| format!("{:?}", identity.trials_a_cell);
        let shard = |identity: &Identity| identity.shard.clone().unwrap_or("none".to_owned());
        let logs = |identity: &Identity| format!("{:?}", identity.logs_blake3);
        let of_cells = |identity: &Identity| format!("{:?}", identity.trials_of_cells);
        [
            (
                "spec (BLAKE3)",
                there.spec_blake3.clone(),
                self.spec_blake3.clone(),
            ),
            ("failure logs (BLAKE3)", logs(there), logs(self)),
            ("seed", there.seed.to_string(), self.seed.to_string()),
            ("shard", shard(there), shard(self)),
            ("trials a cell", trials(there), trials(self)),
            ("trials of its cells", of_cells(there), of_cells(self)),
            ("trials", there.trials.to_string(), self.trials.to_string()),
            ("version", there.version.clone(), self.version.clone()),
            ("revision", there.revision.clone(), self.revision.clone()),
        ]
        .into_iter()
        .find(|(_, there, here)| there != here)
    }
}

impl Manifest {
    /// Of a run that begins.
    pub fn begin(plan: &Plan, command: &[String], now: Timestamp) -> Manifest {
        let spec = &plan.spec;
        let points = plan.cells.last().map_or(0, |cell| u64::from(cell.point) + 1);
        Manifest {
            experiment: spec.name.clone(),
            question: spec.question.clone(),
            status: Status::Running,
            identity: Identity::of(plan),
            dirty: env!("REVENANT_DIRTY") == "true",
            rustc: env!("REVENANT_RUSTC").to_owned(),
            target: env!("REVENANT_TARGET").to_owned(),
            seed_rule: seed::RULE.to_owned(),
            conventions: conventions(spec),
            command: command.to_vec(),
            host_cores: std::thread::available_parallelism().map_or(1, usize::from),
            host_os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            started: utc(now),
            stopped: None,
            costs: costs(plan),
            counts: Counts {
                points,
                cells: plan.cells.len() as u64,
                ..Counts::default()
            },
            shards: Vec::new(),
            outputs_blake3: BTreeMap::new(),
            warnings: Vec::new(),
        }
    }

    /// Notes when the process ended to work on it.
    pub fn stop(&mut self, now: Timestamp) {
        self.stopped = Some(utc(now));
    }

    /// As a JSON text.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("texts and numbers") + "\n"
    }
}

fn conventions(spec: &Spec) -> BTreeMap<String, String> {
    let last = |setting: &Setting| {
        let last = if setting.job.final_checkpoint {
            "taken"
        } else {
            "not taken"
        };
        last.to_owned()
    };
    let law = |setting: &Setting| setting.failures.process.name();
    [
        (
            "interval",
            "tau: work between two checkpoints, the checkpoint's cost left out",
        ),
        ("waste", "1 - work / makespan"),
        (
            "checkpoint of the finished guest",
            of_settings(spec, last).as_str(),
        ),
        (
            "failures",
            "strike in work, checkpoint and restart; not in detection and downtime",
        ),
        ("start from nothing", "costs as much as a restart"),
        ("failure law", of_settings(spec, law).as_str()),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// What holds in the settings: each answer once, in order.
fn of_settings(spec: &Spec, ask: impl Fn(&Setting) -> String) -> String {
    let mut answers: Vec<String> = Vec::new();
    for answer in spec.settings.iter().map(ask) {
        if !answers.contains(&answer) {
            answers.push(answer);
        }
    }
    answers.join(", ")
}

fn costs(plan: &Plan) -> BTreeMap<String, CostsRecord> {
    plan.cells
        .iter()
        .map(|cell| {
            let record = CostsRecord {
                checkpoint_s: cell.costs.checkpoint.as_secs_f64(),
                restart_s: cell.costs.restart.as_secs_f64(),
                lead_s: cell.costs.lead.as_secs_f64(),
                commit_latency_s: cell.costs.commit_latency.as_secs_f64(),
                shared_checkpoint_s: cell.costs.shared.map(|shared| shared.checkpoint.as_secs_f64()),
                shared_restart_s: cell.costs.shared.map(|shared| shared.restart.as_secs_f64()),
            };
            let program = cell.program.map_or("-", Program::name);
            let of = match plan.spec.settings.len() {
                1 => program.to_owned(),
                _ => format!("{program}, setting {}", cell.setting),
            };
            (of, record)
        })
        .collect()
}

/// An instant in the form of RFC 3339, whole seconds.
fn utc(now: Timestamp) -> String {
    let seconds = now.0 / 1_000_000_000;
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Proleptic Gregorian calendar in years that begin on 1 March, counted from 1 March 0000, in eras of 400 years.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_the_calendar_has_them() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(Timestamp(seconds * 1_000_000_000)), text);
        }
    }
}

//! One trial of a run once more, with a record of what happened when.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::folder::{Folder, SPEC, TRIALS};
use super::rows::TrialRows;
use super::{RunError, begun_in, plan_of};
use crate::failures::FailureKind;
use crate::model::{Moment, Phase, Recorder, Span, What};
use crate::outcome::Outcome;
use crate::plan::{Plan, WorkItem};
use crate::record::{self, TrialRow};
use crate::sim;
use crate::spec::{Level, Spec};
use crate::trial::TrialError;

/// Folder of the replays, in that of their run.
pub const REPLAY: &str = "replay";
/// What happened in a trial.
pub const TIMELINE: &str = "timeline.json";

/// What happened in one trial, to be drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// Name of the experiment.
    pub experiment: String,
    /// Number of the point.
    pub point: u32,
    /// `model` or `sim`.
    pub level: String,
    /// The policy.
    pub policy: String,
    /// Number of the trial within its cell.
    pub trial: u32,
    /// Its seed.
    pub seed: u64,
    /// From the start to the end, whatever that was.
    pub makespan_s: f64,
    /// What time was spent on: without gaps, in order.
    pub spans: Vec<TimelineSpan>,
    /// What happened at an instant, in order.
    pub events: Vec<TimelineEvent>,
}

/// A stretch of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimelineSpan {
    /// From here.
    pub start_s: f64,
    /// To here.
    pub end_s: f64,
    /// `work`, `lost` (work that a later failure threw away), `checkpoint`, `verify`, `restore`, `detection` or `downtime`.
    pub phase: String,
}

/// An instant at which something happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimelineEvent {
    /// When.
    pub t_s: f64,
    /// `failure`, `silent-error`, `checkpoint`, `checkpoint-failed`, `restored`, `restore-failed`, `finished` or `given-up`.
    pub what: String,
    /// Of a failure: what it took away, as specs spell it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// Runs a trial of the run in `dir` again and writes what happened to `replay/point-P-LEVEL-trial-K/timeline.json` there, which it
/// returns. The level is `model` or `sim`; `None`: the first of the run's levels that is one of these. Logs that the run replays are looked for
/// in `data`. Refuses a trial whose row comes out differently.
pub fn replay(
    dir: &Path,
    data: Option<&Path>,
    level: Option<Level>,
    point: u32,
    trial: u32,
) -> Result<(PathBuf, Timeline), RunError> {
    let folder = Folder::existing(dir)?;
    let there = begun_in(&folder)?;
    let spec = Spec::load(&folder.file(SPEC), data)?.with_identity(there.seed, &there.trials_a_cell);
    // A shard knows the trials of its own cells.
    let shard = there.shard.and_then(|shard| shard.parse().ok());
    let plan = plan_of(&spec, shard)?.resized(&there.trials_of_cells);
    let told = |level: &&Level| **level != Level::Cluster;
    let level = level.or(spec.levels.iter().find(told).copied());
    let level = level.ok_or(RunError::NoTimeline)?;
    let absent = || RunError::NoSuchTrial {
        path: folder.file(TRIALS),
        point,
        level: level.name(),
        trial,
    };
    let cell = plan
        .cells
        .iter()
        .position(|cell| cell.point == point && cell.level == level && trial < cell.trials)
        .ok_or_else(absent)?;
    let item = WorkItem { cell, trial };
    let mut recorder = Recorder::default();
    let outcome = observe(&plan, item, &mut recorder)?;
    let row = TrialRow::new(&plan, item, &outcome);
    let mut rows = TrialRows::open(&folder)?;
    let mut number = 0;
    let found = loop {
        // A row that is not there ends the search like one that is none.
        let found = rows.whole().map_err(|_| absent())?;
        number += 1;
        if (found.point, found.level.as_str(), found.trial) == (point, level.name(), trial) {
            break found;
        }
    };
    if record::line(&found) != record::line(&row) {
        return Err(RunError::ComesOutDifferently {
            path: folder.file(TRIALS),
            row: number,
        });
    }
    let timeline = timeline(&row, &outcome, &recorder);
    let out = dir
        .join(REPLAY)
        .join(format!("point-{point}-{}-trial-{trial}", level.name()));
    std::fs::create_dir_all(&out).map_err(|source| RunError::io("create", &out, source))?;
    let mut text = serde_json::to_string_pretty(&timeline).expect("a timeline is plain data");
    text.push('\n');
    let out = Folder::of(&out);
    out.write(TIMELINE, text.as_bytes())?;
    Ok((out.file(TIMELINE), timeline))
}

fn observe(plan: &Plan, item: WorkItem, recorder: &mut Recorder) -> Result<Outcome, RunError> {
    let cell = &plan.cells[item.cell];
    match cell.level {
        Level::Model => {
            let mut failures = plan.failures(item);
            Ok(plan.model_job(item.cell).observe(
                plan.interval_policy(cell),
                plan.seed(item.trial),
                &mut || failures.draw(),
                Some(recorder),
            ))
        }
        Level::Sim => sim::observe(plan, item, recorder)
            .map_err(|error| RunError::trial(plan, item, TrialError::from(error))),
        Level::Cluster => Err(RunError::NoTimeline),
    }
}

fn timeline(row: &TrialRow, outcome: &Outcome, recorder: &Recorder) -> Timeline {
    let span = |span: &Span| TimelineSpan {
        start_s: span.start.as_secs_f64(),
        end_s: span.end.as_secs_f64(),
        phase: phase(span.phase).to_owned(),
    };
    let event = |moment: &Moment| {
        let (what, kind) = what(moment.what);
        TimelineEvent {
            t_s: moment.at.as_secs_f64(),
            what: what.to_owned(),
            kind: kind.map(str::to_owned),
        }
    };
    Timeline {
        experiment: row.experiment.clone(),
        point: row.point,
        level: row.level.clone(),
        policy: row.policy.clone(),
        trial: row.trial,
        seed: row.seed,
        makespan_s: outcome.makespan.as_secs_f64(),
        spans: recorder.spans.iter().map(span).collect(),
        events: recorder.moments.iter().map(event).collect(),
    }
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Work => "work",
        Phase::Lost => "lost",
        Phase::Checkpoint => "checkpoint",
        Phase::Verify => "verify",
        Phase::Restore => "restore",
        Phase::Detection => "detection",
        Phase::Downtime => "downtime",
    }
}

fn what(what: What) -> (&'static str, Option<&'static str>) {
    match what {
        What::Failure(kind) => ("failure", Some(kind_name(kind))),
        What::SilentError => ("silent-error", None),
        What::Checkpoint => ("checkpoint", None),
        What::CheckpointFailed => ("checkpoint-failed", None),
        What::Restored => ("restored", None),
        What::RestoreFailed => ("restore-failed", None),
        What::Finished => ("finished", None),
        What::GivenUp => ("given-up", None),
    }
}

fn kind_name(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::GuestCrash => "guest-crash",
        FailureKind::HostCrash => "host-crash",
        FailureKind::HostLoss => "host-loss",
        FailureKind::Hang => "hang",
        FailureKind::StoreLoss => "store-loss",
    }
}

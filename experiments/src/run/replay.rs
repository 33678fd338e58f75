//! One trial of a run once more, with a record of what happened when.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::folder::{Folder, SPEC, TRIALS};
use super::rows::TrialRows;
use super::{RunError, begun_in, plan_of};
use crate::cluster::{Watch, Watched};
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
    /// `model`, `sim` or `cluster`.
    pub level: String,
    /// The policy.
    pub policy: String,
    /// Number of the trial within its cell.
    pub trial: u32,
    /// Its seed.
    pub seed: u64,
    /// From the start to the end, whatever that was.
    pub makespan_s: f64,
    /// What time was spent on: without gaps, in order. Of a cluster its jobs tell.
    pub spans: Vec<TimelineSpan>,
    /// What happened at an instant, in order.
    pub events: Vec<TimelineEvent>,
    /// Of a cluster: the jobs that were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<JobTimeline>,
}

/// What happened to a job of a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobTimeline {
    /// Its number, as in `jobs.csv`.
    pub job: u64,
    /// When it was submitted.
    pub submit_s: f64,
    /// Slots it takes.
    pub slots: u32,
    /// What its time was spent on since: without gaps, in order.
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
    /// `work`, `lost` (work that a later failure threw away), `checkpoint`, `verify`, `restore`, `detection` or `downtime`. Of a job of
    /// a cluster `downtime` includes the detection, and `waiting` is for hosts.
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

/// Which trial to run again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Which {
    /// Its level; `None`: the first that the run has.
    pub level: Option<Level>,
    /// Number of its point.
    pub point: u32,
    /// Its number within its cell.
    pub trial: u32,
    /// Of a cluster: the jobs to be told of.
    pub jobs: RangeInclusive<u64>,
}

/// Runs a trial of the run in `dir` again and writes what happened to `replay/point-P-LEVEL-trial-K/timeline.json` there, which it
/// returns. Logs that the run replays are looked for in `data`. Refuses a trial whose row comes out differently.
pub fn replay(dir: &Path, data: Option<&Path>, which: &Which) -> Result<(PathBuf, Timeline), RunError> {
    let (point, trial) = (which.point, which.trial);
    let folder = Folder::existing(dir)?;
    let there = begun_in(&folder)?;
    let spec = Spec::load(&folder.file(SPEC), data)?
        .with_identity(there.identity.seed, &there.identity.trials_a_cell);
    // A shard knows the trials of its own cells.
    let shard = there.identity.shard.and_then(|shard| shard.parse().ok());
    let plan = plan_of(&spec, shard)?.resized(&there.identity.trials_of_cells);
    let first = spec.levels.first().copied().unwrap_or(Level::Model);
    let level = which.level.unwrap_or(first);
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
    let (outcome, seen) = observe(&plan, item, &which.jobs)?;
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
    let timeline = timeline(&row, &outcome, seen);
    if level == Level::Cluster && timeline.jobs.is_empty() {
        return Err(RunError::NoSuchJobs {
            path: folder.file(TRIALS),
            jobs: which.jobs.clone(),
        });
    }
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

/// What was recorded of a trial.
enum Seen {
    Guest(Recorder),
    Jobs(BTreeMap<u64, Watched>),
}

fn observe(plan: &Plan, item: WorkItem, jobs: &RangeInclusive<u64>) -> Result<(Outcome, Seen), RunError> {
    let cell = &plan.cells[item.cell];
    let seed = plan.seed(item.trial);
    let mut recorder = Recorder::default();
    let outcome = if let Some(cluster) = plan.cluster_run(item.cell) {
        let mut watch = Watch::of(jobs.clone());
        let policy = |work| plan.policy_for(cell, work);
        let outcome = cluster
            .observe(&policy, cell.policy.kind().needs_work, seed, &mut watch)
            .map_err(|error| RunError::trial(plan, item, TrialError::from(error)))?;
        return Ok((outcome, Seen::Jobs(watch.seen())));
    } else if cell.level == Level::Sim {
        sim::observe(plan, item, &mut recorder)
            .map_err(|error| RunError::trial(plan, item, TrialError::from(error)))?
    } else {
        let mut failures = plan.failures(item);
        let (policy, next) = (plan.interval_policy(cell), &mut || failures.draw());
        plan.model_job(item.cell)
            .observe(policy, seed, next, Some(&mut recorder))
    };
    Ok((outcome, Seen::Guest(recorder)))
}

fn timeline(row: &TrialRow, outcome: &Outcome, seen: Seen) -> Timeline {
    let mut timeline = Timeline {
        experiment: row.experiment.clone(),
        point: row.point,
        level: row.level.clone(),
        policy: row.policy.clone(),
        trial: row.trial,
        seed: row.seed,
        makespan_s: outcome.makespan.as_secs_f64(),
        spans: Vec::new(),
        events: Vec::new(),
        jobs: Vec::new(),
    };
    match seen {
        Seen::Guest(recorder) => (timeline.spans, timeline.events) = told(&recorder),
        Seen::Jobs(jobs) => {
            let told = jobs.into_iter().map(|(job, watched)| {
                let (spans, events) = told(&watched.recorder);
                JobTimeline {
                    job,
                    submit_s: Duration::from_nanos(watched.submit).as_secs_f64(),
                    slots: watched.slots,
                    spans,
                    events,
                }
            });
            timeline.jobs = told.collect();
        }
    }
    timeline
}

fn told(recorder: &Recorder) -> (Vec<TimelineSpan>, Vec<TimelineEvent>) {
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
    (
        recorder.spans.iter().map(span).collect(),
        recorder.moments.iter().map(event).collect(),
    )
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
        Phase::Waiting => "waiting",
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

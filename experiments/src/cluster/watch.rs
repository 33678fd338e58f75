//! What happens to some jobs of a trial, for a drawing.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use revenant_core::Timestamp;

use super::jobs::{Job, Phase};
use crate::model::{self, Recorder, What};

/// Records jobs; it changes nothing.
#[derive(Debug)]
pub struct Watch {
    wanted: RangeInclusive<u64>,
    jobs: BTreeMap<u64, Watched>,
}

/// A job that was watched.
#[derive(Debug)]
pub struct Watched {
    /// When it was submitted, in nanoseconds.
    pub submit: u64,
    /// Slots it takes.
    pub slots: u32,
    /// Where its time went.
    pub recorder: Recorder,
}

impl Watch {
    /// Of jobs with these numbers.
    pub fn of(wanted: RangeInclusive<u64>) -> Watch {
        Watch {
            wanted,
            jobs: BTreeMap::new(),
        }
    }

    /// What was seen, by number.
    pub fn seen(self) -> BTreeMap<u64, Watched> {
        self.jobs
    }

    /// A job has been in its phase until now.
    pub(super) fn charge(&mut self, job: &Job, now: u64) {
        let phase = match job.phase {
            Phase::Waiting => model::Phase::Waiting,
            Phase::Working { .. } => model::Phase::Work,
            Phase::Saving { .. } => model::Phase::Checkpoint,
            Phase::Restoring { .. } => model::Phase::Restore,
            Phase::Down => model::Phase::Downtime,
        };
        if let Some(recorder) = self.recorder(job) {
            recorder.span(time(job.since), time(now), phase);
        }
    }

    pub(super) fn happened(&mut self, job: &Job, now: u64, what: What) {
        if let Some(recorder) = self.recorder(job) {
            recorder.happened(time(now), what);
        }
    }

    pub(super) fn lose(&mut self, job: &Job, work: u64) {
        if let Some(recorder) = self.recorder(job) {
            recorder.lose(Duration::from_nanos(work));
        }
    }

    fn recorder(&mut self, job: &Job) -> Option<&mut Recorder> {
        let wanted = self.wanted.contains(&job.number);
        let watched = wanted.then(|| self.jobs.entry(job.number))?;
        let watched = watched.or_insert_with(|| Watched {
            submit: job.new.submit,
            slots: job.new.slots,
            recorder: Recorder::default(),
        });
        Some(&mut watched.recorder)
    }
}

fn time(nanos: u64) -> Timestamp {
    Timestamp::default() + Duration::from_nanos(nanos)
}

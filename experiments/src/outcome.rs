//! ③ What became of one trial, at whatever level it ran.

use std::time::Duration;

use crate::cluster::ClusterOutcome;

/// One finished or given-up trial.
///
/// For a finished one `makespan` = `useful` + `checkpointing` + `lost` + `restarting` + `down`, to the nanosecond.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// From the start of the job until its end.
    pub makespan: Duration,
    /// Work of the guest that its result rests on: W when it finished.
    pub useful: Duration,
    /// Time the guest did not work because of checkpoints, committed or not.
    pub checkpointing: Duration,
    /// Work of the guest that was thrown away by failures.
    pub lost: Duration,
    /// Time in restores, finished or struck.
    pub restarting: Duration,
    /// Time from failures until restores could begin: detection and downtime (D).
    pub down: Duration,
    /// Failures that struck.
    pub failures: u64,
    /// Committed checkpoints.
    pub checkpoints: u64,
    /// Whether the guest's state at the end is what its work makes it; `None` where no memory is simulated and no silent error
    /// can strike.
    pub digest_ok: Option<bool>,
    /// For how long each capture kept the guest suspended; level `sim`.
    pub suspensions: Times,
    /// From each failure until the guest ran again. A failure that strikes before that prolongs the same recovery.
    pub recoveries: Times,
    /// What there is to say of many jobs; level `cluster`.
    pub cluster: Option<Box<ClusterOutcome>>,
}

/// Times in order, equal neighbours counted: most recoveries of a job take the same time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Times(Vec<(u64, u64)>);

impl Times {
    /// Adds a time.
    pub fn push(&mut self, time: Duration) {
        self.add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), 1);
    }

    /// Adds a time in nanoseconds, so many times.
    #[inline]
    pub(crate) fn add(&mut self, nanos: u64, times: u64) {
        match self.0.last_mut() {
            Some((last, count)) if *last == nanos => *count += times,
            _ => self.0.push((nanos, times)),
        }
    }

    /// Each time in nanoseconds, with how often it comes in a row.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().copied()
    }

    /// How many times there are.
    pub fn count(&self) -> u64 {
        self.iter().map(|(_, count)| count).sum()
    }
}

impl FromIterator<Duration> for Times {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Times {
        let mut all = Times::default();
        times.into_iter().for_each(|time| all.push(time));
        all
    }
}

impl Outcome {
    /// Whether the work was done.
    pub fn completed(&self) -> bool {
        self.end == End::Completed
    }
}

/// How a trial ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The work is done.
    Completed,
    /// It was given up.
    GivenUp(Reason),
}

/// Why a trial was given up, as the column `reason` says it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// `limits.failures` was exceeded.
    #[error("failure-limit")]
    FailureLimit,
    /// `limits.time` has passed.
    #[error("time-limit")]
    TimeLimit,
    /// No usable checkpoint was left.
    #[error("nothing-to-restore-from")]
    NothingToRestoreFrom,
    /// The work was done, and its result is wrong: a silent error was never found.
    #[error("silently-wrong")]
    SilentlyWrong,
    /// A job needs more than the cluster has.
    #[error("no-host-fits")]
    NoHostFits,
}

impl Outcome {
    /// Of a trial that has not begun.
    pub(crate) fn new() -> Self {
        Outcome {
            end: End::Completed,
            makespan: Duration::ZERO,
            useful: Duration::ZERO,
            checkpointing: Duration::ZERO,
            lost: Duration::ZERO,
            restarting: Duration::ZERO,
            down: Duration::ZERO,
            failures: 0,
            checkpoints: 0,
            digest_ok: None,
            suspensions: Times::default(),
            recoveries: Times::default(),
            cluster: None,
        }
    }
}

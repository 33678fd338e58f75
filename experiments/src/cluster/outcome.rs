//! What became of the jobs of a trial.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::jobs::Job;
use crate::outcome::{End, Outcome, Reason, Times};

/// A job that has ended. Times in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobRecord {
    /// In the order of submission, from 0.
    pub number: u64,
    /// When it was submitted.
    pub submit: u64,
    /// When it got its hosts; `None` if it never did.
    pub started: Option<u64>,
    /// When it ended.
    pub end: u64,
    /// Its work.
    pub work: u64,
    /// Slots it took.
    pub slots: u32,
    /// Memory of all its VMs.
    pub memory: u64,
    /// How it ended.
    pub how: JobEnd,
    /// Time it waited for hosts, at first and after failures.
    pub waiting: u64,
    /// Time it stood still for checkpoints.
    pub checkpointing: u64,
    /// Work that failures threw away.
    pub lost: u64,
    /// Time in restarts.
    pub restarting: u64,
    /// Time from failures until a restart was possible.
    pub down: u64,
    /// Failures that struck it.
    pub failures: u32,
    /// Committed checkpoints.
    pub checkpoints: u64,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobEnd {
    /// Its work is done.
    Done,
    /// It needs more than the cluster has.
    NeverFits,
    /// It failed too often.
    FailureLimit,
}

impl JobEnd {
    /// As the column `reason` says it; nothing of a job that is done.
    pub fn reason(self) -> Option<Reason> {
        match self {
            JobEnd::Done => None,
            JobEnd::NeverFits => Some(Reason::NoHostFits),
            JobEnd::FailureLimit => Some(Reason::FailureLimit),
        }
    }
}

/// Shorter jobs count as this long where their slowdown is taken (bounded slowdown, Feitelson and Rudolph, JSSPP 1998).
const SLOWDOWN_WORK_MIN_NS: u64 = 10_000_000_000;

impl JobRecord {
    pub(super) fn of(job: &Job, end: u64, how: JobEnd) -> JobRecord {
        JobRecord {
            number: job.number,
            submit: job.new.submit,
            started: job.started,
            end,
            work: job.new.work,
            slots: job.new.slots,
            memory: job.new.memory,
            how,
            waiting: job.spent.waiting,
            checkpointing: job.spent.checkpointing,
            lost: job.spent.lost,
            restarting: job.spent.restarting,
            down: job.spent.down,
            failures: job.failures,
            checkpoints: job.checkpoints,
        }
    }

    /// Time in the system over work, bounded: at least 1.
    pub fn slowdown(&self) -> f64 {
        let spent = (self.end - self.submit) as f64;
        (spent / self.work.max(SLOWDOWN_WORK_MIN_NS) as f64).max(1.0)
    }

    /// Work over time in the system (workload-processing ratio; Di et al., SC'13).
    pub fn wpr(&self) -> f64 {
        self.work as f64 / (self.end - self.submit).max(1) as f64
    }
}

/// What a trial says of the whole cluster, beside its [`Outcome`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ClusterOutcome {
    /// Jobs that were submitted.
    pub jobs: u64,
    /// Jobs whose work was done. All means and quantiles are over these.
    pub jobs_done: u64,
    /// Jobs that need more than the cluster has.
    pub jobs_rejected: u64,
    /// Jobs that failed too often.
    pub jobs_given_up: u64,
    /// Jobs that were there when the time was up.
    pub jobs_unfinished: u64,
    /// From the start to the last end of a job that is done.
    pub last_end_s: f64,
    /// Mean bounded slowdown.
    pub slowdown_mean: Option<f64>,
    /// Median.
    pub slowdown_p50: Option<f64>,
    /// 95 % quantile.
    pub slowdown_p95: Option<f64>,
    /// 99 % quantile.
    pub slowdown_p99: Option<f64>,
    /// Mean workload-processing ratio.
    pub wpr_mean: Option<f64>,
    /// 1 − work / time, both times slots; time is from submission to end without waiting for hosts.
    pub waste: Option<f64>,
    /// Mean time a job waited for hosts.
    pub wait_mean_s: Option<f64>,
    /// Mean time a committed checkpoint took; contention included.
    pub checkpoint_mean_s: Option<f64>,
    /// Failures of hosts.
    pub failures: u64,
    /// Failures of jobs: one of a host strikes all that run there.
    pub interruptions: u64,
    /// Share of the time in which the stores in hosts were in use, mean over the hosts.
    pub local_busy: Option<f64>,
    /// The same of shared stores.
    pub shared_busy: Option<f64>,
    /// Share of the slots in service that jobs held or were kept for; more than 1 while spares and lost hosts overlap.
    pub slots_used: f64,
    /// Events the simulation was made of.
    pub events: u64,
}

/// Adds up jobs as they end.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub outcome: ClusterOutcome,
    pub recoveries: Times,
    last_end: u64,
    /// Sums over all jobs outgrow 64 bits of nanoseconds.
    useful: u128,
    waiting: u128,
    checkpointing: u128,
    lost: u128,
    restarting: u128,
    down: u128,
    checkpoints: u64,
    /// Work and time, times slots.
    slot_work: u128,
    slot_time: u128,
    slowdowns: Vec<f64>,
    wpr_sum: f64,
}

impl Totals {
    pub(super) fn add(&mut self, job: &JobRecord) {
        let outcome = &mut self.outcome;
        match job.how {
            JobEnd::Done => outcome.jobs_done += 1,
            JobEnd::NeverFits => outcome.jobs_rejected += 1,
            JobEnd::FailureLimit => outcome.jobs_given_up += 1,
        }
        if job.how != JobEnd::Done {
            return;
        }
        self.last_end = self.last_end.max(job.end);
        self.useful += u128::from(job.work);
        self.waiting += u128::from(job.waiting);
        self.checkpointing += u128::from(job.checkpointing);
        self.lost += u128::from(job.lost);
        self.restarting += u128::from(job.restarting);
        self.down += u128::from(job.down);
        self.checkpoints += job.checkpoints;
        let slots = u128::from(job.slots);
        self.slot_work += slots * u128::from(job.work);
        self.slot_time += slots * u128::from(job.end - job.submit - job.waiting);
        self.slowdowns.push(job.slowdown());
        self.wpr_sum += job.wpr();
    }

    /// The outcome of a trial that ended at `end`, whatever was left.
    pub(super) fn finish(mut self, end: u64, timed_out: bool, slots: u64) -> Outcome {
        let (done, last_end) = (self.outcome.jobs_done, self.last_end);
        let mean = |sum: f64| (done > 0).then(|| sum / done as f64);
        let seconds = |nanos: u128| nanos as f64 / 1e9;
        self.slowdowns.sort_by(f64::total_cmp);
        let quantile = |q: f64| {
            // The least that so many are not above.
            let rank = libm::ceil(q * self.slowdowns.len() as f64);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a rank within the list"
            )]
            let index = (rank as usize).saturating_sub(1);
            self.slowdowns.get(index).copied()
        };
        let cluster = ClusterOutcome {
            last_end_s: seconds(last_end.into()),
            slowdown_mean: mean(self.slowdowns.iter().sum()),
            slowdown_p50: quantile(0.5),
            slowdown_p95: quantile(0.95),
            slowdown_p99: quantile(0.99),
            wpr_mean: mean(self.wpr_sum),
            waste: (self.slot_time > 0).then(|| 1.0 - self.slot_work as f64 / self.slot_time as f64),
            wait_mean_s: mean(seconds(self.waiting)),
            checkpoint_mean_s: (self.checkpoints > 0)
                .then(|| seconds(self.checkpointing) / self.checkpoints as f64),
            slots_used: self.slot_time as f64 / (slots as f64 * end.max(1) as f64),
            ..self.outcome
        };
        let over = if timed_out {
            End::GivenUp(Reason::TimeLimit)
        } else if cluster.jobs_given_up > 0 {
            End::GivenUp(Reason::FailureLimit)
        } else if cluster.jobs_rejected > 0 {
            End::GivenUp(Reason::NoHostFits)
        } else {
            End::Completed
        };
        let sum = |nanos: u128| {
            let rest = u32::try_from(nanos % 1_000_000_000).unwrap_or(0);
            Duration::new(u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX), rest)
        };
        Outcome {
            end: over,
            makespan: Duration::from_nanos(last_end),
            useful: sum(self.useful),
            checkpointing: sum(self.checkpointing),
            lost: sum(self.lost),
            restarting: sum(self.restarting),
            down: sum(self.down),
            failures: cluster.failures,
            checkpoints: self.checkpoints,
            digest_ok: None,
            suspensions: Times::default(),
            recoveries: self.recoveries,
            cluster: Some(Box::new(cluster)),
        }
    }
}

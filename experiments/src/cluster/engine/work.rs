//! Jobs work, begin checkpoints and begin restarts.

use std::time::Duration;

use revenant_core::policy::Seen;

use super::{Engine, Event, PROGRESS};
use crate::cluster::jobs::{Job, Phase, Tier};
use crate::cluster::outcome::JobEnd;
use crate::cluster::workload::NewJob;
use crate::cluster::{StoreKind, ns};

impl Engine<'_> {
    pub(super) fn set_timer(&mut self, place: u32, at: u64) {
        let timer = self.queue.schedule(at, PROGRESS, Event::Job(place));
        self.job(place).timer = Some(timer);
    }

    pub(super) fn on_timer(&mut self, place: u32) {
        let job = self.job(place);
        job.timer = None;
        match job.phase {
            Phase::Working { finishes } => {
                self.charge(place);
                if finishes && !self.run.final_checkpoint {
                    self.end(place, JobEnd::Done);
                } else {
                    self.save(place, finishes);
                }
            }
            Phase::Saving { tier, .. } | Phase::Restoring { tier } => self.move_data(place, tier),
            Phase::Down => {
                self.charge(place);
                let job = self.job(place);
                if job.hosts.is_empty() {
                    job.phase = Phase::Waiting;
                    let number = job.number;
                    self.waiting.insert(number, place);
                    self.look = true;
                } else {
                    self.restore(place);
                }
            }
            Phase::Waiting => {}
        }
    }

    pub(super) fn work(&mut self, place: u32) {
        let now = self.now;
        let interval = self.interval(place);
        let job = self.job(place);
        let back = job.lost_at.take();
        let left = job.new.work - job.done;
        // A job that finishes on the stroke of its interval has finished.
        let (span, finishes) = match interval {
            Some(interval) if interval < left => (interval, false),
            _ => (left, true),
        };
        job.phase = Phase::Working { finishes };
        self.set_timer(place, now.saturating_add(span));
        if let Some(lost_at) = back {
            self.totals.recoveries.add(now - lost_at, 1);
        }
    }

    /// Work until the next checkpoint, as the policy has it.
    fn interval(&self, place: u32) -> Option<u64> {
        let job = self.jobs[place as usize].as_ref()?;
        let run = self.run;
        let cost = job
            .last_cost
            .map_or_else(|| run.checkpoint + job.lone, Duration::from_nanos);
        let since_failure = Duration::from_nanos(self.now - job.risk_from);
        let seen = Seen {
            checkpoint_cost: cost,
            restart_cost: run.restart + job.lone,
            mtbf: run.mtbf / u32::try_from(job.hosts.len()).unwrap_or(u32::MAX).max(1),
            since_failure,
            failures: job.failures,
            at_risk: Duration::from_nanos(job.at_risk) + since_failure,
        };
        let interval = match self.make_policy {
            Some(make) => make(Duration::from_nanos(job.new.work)).interval(&seen),
            None => self.policy.interval(&seen),
        };
        interval.map(ns)
    }

    /// What the nearest store takes for a checkpoint of a job, if nobody else uses it.
    pub(super) fn lone(&self, new: &NewJob) -> Duration {
        let cluster = self.run.cluster;
        let vm = Job::vm(new, 0, cluster.slots_per_host).memory;
        let nanos = match (&cluster.local, &cluster.shared) {
            (Some(local), _) => local.lone_ns(vm, vm),
            (None, Some(shared)) => shared.lone_ns(vm, (new.memory / u64::from(shared.count)).max(vm)),
            (None, None) => 0,
        };
        Duration::from_nanos(nanos)
    }

    fn save(&mut self, place: u32, finished: bool) {
        let tier = match self.run.cluster.local {
            Some(_) => Tier::Local,
            None => Tier::Shared,
        };
        let (now, at) = (self.now, self.after(self.run.checkpoint + self.latency(tier)));
        let job = self.job(place);
        job.save_from = now;
        job.phase = Phase::Saving { tier, finished };
        self.set_timer(place, at);
    }

    pub(super) fn restore(&mut self, place: u32) {
        let nearest = match self.run.cluster.shared {
            Some(_) => Tier::Shared,
            None => Tier::Local,
        };
        let now = self.now;
        let job = self.job(place);
        // A start from nothing reads an image of the same size.
        let tier = job.newest().1.unwrap_or(nearest);
        job.phase = Phase::Restoring { tier };
        job.risk_from = now;
        let at = self.after(self.run.restart + self.latency(tier));
        self.set_timer(place, at);
    }

    pub(super) fn kind(&self, tier: Tier) -> Option<&StoreKind> {
        match tier {
            Tier::Local => self.run.cluster.local.as_ref(),
            Tier::Shared => self.run.cluster.shared.as_ref(),
        }
    }

    pub(super) fn latency(&self, tier: Tier) -> Duration {
        self.kind(tier).map_or(Duration::ZERO, |kind| kind.latency)
    }
}

//! Jobs lose their hosts.

use super::Engine;
use crate::cluster::hosts::Standing;
use crate::cluster::jobs::{Phase, Tier};
use crate::cluster::ns;
use crate::cluster::outcome::JobEnd;
use crate::failures::FailureKind;
use crate::model::What;

impl Engine<'_> {
    /// A host of the job has failed; `gone` if what is stored in it is lost.
    pub(super) fn interrupt(&mut self, place: u32, kind: FailureKind, gone: bool, detection: u64) {
        let now = self.now;
        self.totals.outcome.interruptions += 1;
        #[cfg(test)]
        self.note_phase(place);
        self.stop(place);
        let most = self.run.limits.failures;
        let ready = self
            .now
            .saturating_add(detection)
            .saturating_add(ns(self.run.downtime));
        self.charge(place);
        self.note(place, What::Failure(kind));
        let job = self.job(place);
        job.failures += 1;
        if job.phase != Phase::Down {
            job.at_risk += now - job.risk_from;
        }
        job.risk_from = now;
        if gone {
            job.local = None;
        }
        let (left, tier) = job.newest();
        let lost = job.done - left;
        job.spent.lost += lost;
        job.done = left;
        job.lost_at.get_or_insert(now);
        let failures = job.failures;
        if let Some((watch, job)) = self.watched(place) {
            watch.lose(job, lost);
        }
        if failures > most {
            self.end(place, JobEnd::FailureLimit);
            return;
        }
        let job = self.job(place);
        job.phase = Phase::Down;
        let back = if tier == Some(Tier::Local) {
            // Its newest checkpoint is in its hosts: it waits for them.
            let hosts = job.hosts.clone();
            let until = |host: &u32| match self.hosts.host(*host).standing {
                Standing::Down { until } => until,
                Standing::Up | Standing::Spare => now,
            };
            hosts.iter().map(until).max().unwrap_or(now).max(ready)
        } else {
            job.local = None;
            self.release(place);
            ready
        };
        self.set_timer(place, back);
    }

    #[cfg(test)]
    fn note_phase(&mut self, place: u32) {
        let job = self.job(place);
        let phase = match (job.phase, job.moving > 0) {
            (Phase::Waiting, _) => "waiting",
            (Phase::Working { .. }, _) => "working",
            (Phase::Saving { .. }, false) => "saving",
            (Phase::Saving { .. }, true) => "streaming out",
            (Phase::Restoring { .. }, false) => "restoring",
            (Phase::Restoring { .. }, true) => "streaming in",
            (Phase::Down, _) => "down",
        };
        self.struck.insert(phase);
    }

    /// Whatever the job was about does not happen.
    fn stop(&mut self, place: u32) {
        let now = self.now;
        let job = self.job(place);
        let timer = job.timer.take();
        let mut streams = std::mem::take(&mut job.streams);
        job.moving = 0;
        if let Some(timer) = timer {
            self.queue.cancel(timer);
        }
        for (store, stream) in streams.drain(..).flatten() {
            self.stores[store as usize].cancel(now, stream);
            self.expect_end(store);
        }
        self.job(place).streams = streams;
    }
}

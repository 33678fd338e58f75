//! Checkpoints are moved to stores and from them.

use super::{Engine, Event, PROGRESS};
use crate::cluster::jobs::{Job, Phase, Tier};
use crate::cluster::outcome::JobEnd;
use crate::model::What;

impl Engine<'_> {
    /// Begins the streams of a checkpoint that is written or read.
    pub(super) fn move_data(&mut self, place: u32, tier: Tier) {
        let kind = self.kind(tier).filter(|kind| kind.bandwidth.is_some());
        let Some(count) = kind.map(|kind| kind.count) else {
            self.moved(place);
            return;
        };
        let slots_per_host = self.run.cluster.slots_per_host;
        let job = self.job(place);
        let (new, number) = (job.new, job.number);
        let hosts = std::mem::take(&mut job.hosts);
        let mut streams = std::mem::take(&mut job.streams);
        for (vm, &host) in (0u32..).zip(&hosts) {
            let store = match tier {
                Tier::Local => host,
                Tier::Shared => {
                    let dealt = (number + u64::from(vm)) % u64::from(count);
                    u32::try_from(self.first_shared as u64 + dealt).unwrap_or(u32::MAX)
                }
            };
            let bytes = Job::vm(&new, vm, slots_per_host).memory;
            let stream = self.stores[store as usize].begin(self.now, bytes, (place, vm));
            streams.push(Some((store, stream)));
            self.expect_end(store);
        }
        let job = self.job(place);
        job.moving = u32::try_from(hosts.len()).unwrap_or(u32::MAX);
        job.hosts = hosts;
        job.streams = streams;
    }

    /// Sees to it that the next end of a stream is an event.
    pub(super) fn expect_end(&mut self, place: u32) {
        let store = &mut self.stores[place as usize];
        let next = store.next_end();
        if store.expected.map(|(at, _)| at) == next {
            return;
        }
        if let Some((_, id)) = store.expected.take() {
            self.queue.cancel(id);
        }
        store.expected = next.map(|at| (at, self.queue.schedule(at, PROGRESS, Event::Store(place))));
    }

    pub(super) fn on_store(&mut self, store: u32) {
        self.stores[store as usize].expected = None;
        while let Some((place, vm)) = self.stores[store as usize].ended(self.now) {
            let job = self.job(place);
            job.streams[vm as usize] = None;
            job.moving -= 1;
            if job.moving == 0 {
                job.streams.clear();
                self.moved(place);
            }
        }
        self.expect_end(store);
    }

    /// A checkpoint was written to a store, or read from it.
    fn moved(&mut self, place: u32) {
        let (now, every) = (self.now, self.run.shared_every);
        let cluster = self.run.cluster;
        self.charge(place);
        let job = self.job(place);
        let Phase::Saving { tier, finished } = job.phase else {
            if cluster.local.is_some() && job.shared == Some(job.done) {
                // Reading it from afar leaves a copy here.
                job.local = job.shared;
            }
            self.note(place, What::Restored);
            self.work(place);
            return;
        };
        match tier {
            Tier::Local => {
                job.local = Some(job.done);
                job.since_shared += 1;
                if cluster.shared.is_some() && job.since_shared >= every {
                    let tier = Tier::Shared;
                    job.phase = Phase::Saving { tier, finished };
                    let at = self.after(self.latency(tier));
                    self.set_timer(place, at);
                    return;
                }
            }
            Tier::Shared => {
                job.shared = Some(job.done);
                job.since_shared = 0;
            }
        }
        job.checkpoints += 1;
        job.last_cost = Some(now - job.save_from);
        self.note(place, What::Checkpoint);
        if finished {
            self.end(place, JobEnd::Done);
        } else {
            self.work(place);
        }
    }
}

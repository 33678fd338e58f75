//! Jobs come, wait for hosts, and end.

use super::{Engine, Event, RETURN};
use crate::cluster::jobs::Job;
use crate::cluster::outcome::{JobEnd, JobRecord};
use crate::cluster::trace::TraceError;
use crate::cluster::workload::NewJob;
use crate::model::What;

impl Engine<'_> {
    pub(super) fn on_arrival(&mut self) -> Result<(), TraceError> {
        let Some(new) = self.next_job else {
            return Ok(());
        };
        let number = self.totals.outcome.jobs;
        self.totals.outcome.jobs += 1;
        self.next_job = self.workload.next()?;
        if let Some(next) = self.next_job {
            self.queue.schedule(next.submit, RETURN, Event::Arrival);
        }
        let job = Job::new(number, new, self.lone(&new), self.now);
        let cluster = self.run.cluster;
        let fits = Job::vms(&new, cluster.slots_per_host) <= cluster.hosts
            && Job::vm(&new, 0, cluster.slots_per_host).memory <= cluster.memory_per_host;
        if !fits {
            self.record(&job, JobEnd::NeverFits);
            return Ok(());
        }
        self.alive += 1;
        let place = if let Some(place) = self.vacant.pop() {
            self.jobs[place as usize] = Some(job);
            place
        } else {
            self.jobs.push(Some(job));
            u32::try_from(self.jobs.len() - 1).expect("fewer than 2^32 jobs at a time")
        };
        self.waiting.insert(number, place);
        self.look = true;
        Ok(())
    }

    /// First come, first served: the first job that does not fit holds up those behind it.
    pub(super) fn place_waiting(&mut self) {
        while let Some((&number, &place)) = self.waiting.first_key_value() {
            if !self.find_hosts(place) {
                return;
            }
            self.waiting.remove(&number);
            let now = self.now;
            self.charge(place);
            let job = self.job(place);
            if job.started.is_some() {
                self.restore(place);
            } else {
                job.started = Some(now);
                job.risk_from = now;
                self.work(place);
            }
        }
    }

    /// Puts every VM of a job on the first host with room for it, or none of them anywhere.
    fn find_hosts(&mut self, place: u32) -> bool {
        let slots_per_host = self.run.cluster.slots_per_host;
        let new = self.job(place).new;
        let mut found = std::mem::take(&mut self.job(place).hosts);
        for vm in 0..Job::vms(&new, slots_per_host) {
            let room = Job::vm(&new, vm, slots_per_host);
            if let Some(host) = self.hosts.first_fit(room) {
                self.hosts.take(host, place, room);
                found.push(host);
            } else {
                self.give_back(place, &new, &found);
                found.clear();
                break;
            }
        }
        let all = !found.is_empty();
        self.job(place).hosts = found;
        all
    }

    fn give_back(&mut self, place: u32, new: &NewJob, hosts: &[u32]) {
        for (vm, &host) in (0..).zip(hosts) {
            let room = Job::vm(new, vm, self.run.cluster.slots_per_host);
            self.hosts.give_back(host, place, room);
        }
    }

    /// Gives up the hosts of a job.
    pub(super) fn release(&mut self, place: u32) {
        let job = self.job(place);
        let (new, mut hosts) = (job.new, std::mem::take(&mut job.hosts));
        self.give_back(place, &new, &hosts);
        hosts.clear();
        self.job(place).hosts = hosts;
        self.look = true;
    }

    pub(super) fn end(&mut self, place: u32, how: JobEnd) {
        self.note(
            place,
            match how {
                JobEnd::Done => What::Finished,
                JobEnd::NeverFits | JobEnd::FailureLimit => What::GivenUp,
            },
        );
        self.release(place);
        if let Some(job) = self.jobs[place as usize].take() {
            self.record(&job, how);
        }
        self.vacant.push(place);
        self.alive -= 1;
    }

    fn record(&mut self, job: &Job, how: JobEnd) {
        let record = JobRecord::of(job, self.now, how);
        self.totals.add(&record);
        (self.each)(&record);
    }
}

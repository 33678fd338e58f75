//! The loop: what happens next, and what follows from it.
//!
//! At one instant the ends of work, checkpoints and streams come before hosts that return and jobs that are submitted, and these
//! before failures, as at level `model`; waiting jobs are placed when the instant is otherwise over.

use std::collections::BTreeMap;
use std::time::Duration;

use revenant_core::policy::{IntervalPolicy, Seen};

use super::hosts::{Hosts, Room, Standing};
use super::jobs::{Job, Phase, Tier};
use super::outcome::{JobEnd, JobRecord, Totals};
use super::queue::Queue;
use super::store::Store;
use super::trace::TraceError;
use super::watch::Watch;
use super::workload::{Jobs, NewJob};
use super::{ClusterRun, StoreKind, ns};
use crate::failures::{FailureKind, FailureStream};
use crate::model::What;
use crate::outcome::Outcome;
use crate::seed::TrialSeed;

/// What can happen. Numbers are places of hosts, jobs and stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// The next job is submitted.
    Arrival,
    /// A host fails.
    Failure(u32),
    /// A host is back.
    Back(u32),
    /// A job's timer runs out.
    Job(u32),
    /// A stream of a store ends.
    Store(u32),
}

/// Classes of events of one instant, first to last.
const PROGRESS: u8 = 0;
const RETURN: u8 = 1;
const FAILURE: u8 = 2;

/// Makes the policy for a job of a length.
type MakePolicy<'a> = &'a dyn Fn(Duration) -> Box<dyn IntervalPolicy>;

/// A trial in progress.
pub(super) struct Engine<'a> {
    run: &'a ClusterRun<'a>,
    make_policy: Option<MakePolicy<'a>>,
    policy: Box<dyn IntervalPolicy>,
    each: &'a mut dyn FnMut(&JobRecord),
    workload: Jobs<'a>,
    next_job: Option<NewJob>,
    queue: Queue<Event>,
    now: u64,
    jobs: Vec<Option<Job>>,
    vacant: Vec<u32>,
    alive: u64,
    /// Jobs that wait for hosts, by number: those that failed come before later ones.
    waiting: BTreeMap<u64, u32>,
    /// Something became free, or came, since waiting jobs were last looked at.
    look: bool,
    hosts: Hosts,
    /// By host: it was replaced by a spare and will be one itself.
    replaced: Vec<bool>,
    /// By host: what its next failure takes away.
    kinds: Vec<FailureKind>,
    /// Those of hosts, then the shared ones.
    stores: Vec<Store>,
    first_shared: usize,
    totals: Totals,
    watch: Option<&'a mut Watch>,
    #[cfg(test)]
    struck: std::collections::BTreeSet<&'static str>,
}

impl<'a> Engine<'a> {
    pub(super) fn new(
        run: &'a ClusterRun<'a>,
        make_policy: MakePolicy<'a>,
        needs_work: bool,
        seed: TrialSeed,
        each: &'a mut dyn FnMut(&JobRecord),
    ) -> Result<Engine<'a>, TraceError> {
        let cluster = run.cluster;
        let all = cluster.hosts + cluster.spares;
        let capacity = Room {
            slots: cluster.slots_per_host,
            memory: cluster.memory_per_host,
        };
        let failures =
            (0..all).map(|host| FailureStream::new(seed.host(host), run.process, run.mtbf, run.kinds));
        let bandwidth = |kind: &Option<StoreKind>| kind.as_ref().and_then(|kind| kind.bandwidth);
        let mut stores = Vec::new();
        if let Some(bandwidth) = bandwidth(&cluster.local) {
            stores.extend((0..all).map(|_| Store::new(bandwidth)));
        }
        let first_shared = stores.len();
        if let (Some(bandwidth), Some(kind)) = (bandwidth(&cluster.shared), &cluster.shared) {
            stores.extend((0..kind.count).map(|_| Store::new(bandwidth)));
        }
        let mut workload = cluster.workload.jobs(seed, run.work)?;
        let next_job = workload.next()?;
        let mut engine = Engine {
            run,
            make_policy: needs_work.then_some(make_policy),
            policy: make_policy(run.work),
            each,
            workload,
            next_job,
            queue: Queue::default(),
            now: 0,
            jobs: Vec::new(),
            vacant: Vec::new(),
            alive: 0,
            waiting: BTreeMap::new(),
            look: false,
            hosts: Hosts::new(capacity, failures),
            replaced: vec![false; all as usize],
            kinds: vec![FailureKind::GuestCrash; all as usize],
            stores,
            first_shared,
            totals: Totals::default(),
            watch: None,
            #[cfg(test)]
            struck: std::collections::BTreeSet::new(),
        };
        for host in 0..cluster.hosts {
            engine.bring_up(host);
        }
        if let Some(job) = engine.next_job {
            engine.queue.schedule(job.submit, RETURN, Event::Arrival);
        }
        Ok(engine)
    }

    pub(super) fn watched_by(mut self, watch: &'a mut Watch) -> Self {
        self.watch = Some(watch);
        self
    }

    pub(super) fn run(mut self) -> Result<Outcome, TraceError> {
        let timed_out = self.run_to_end()?;
        if let Some(watch) = &mut self.watch {
            for job in self.jobs.iter().flatten() {
                watch.charge(job, self.now);
                watch.happened(job, self.now, What::GivenUp);
            }
        }
        self.totals.outcome.jobs_unfinished = self.alive;
        let (local, shared) = (self.busy_share(true), self.busy_share(false));
        self.totals.outcome.local_busy = local;
        self.totals.outcome.shared_busy = shared;
        let cluster = self.run.cluster;
        let slots = u64::from(cluster.hosts) * u64::from(cluster.slots_per_host);
        Ok(self.totals.finish(self.now, timed_out, slots))
    }

    /// Until all jobs have ended; says whether the time was up before.
    fn run_to_end(&mut self) -> Result<bool, TraceError> {
        let horizon = ns(self.run.limits.time);
        while self.alive > 0 || self.next_job.is_some() {
            if self.look && self.queue.next_key() != Some(self.now) {
                self.look = false;
                self.place_waiting();
                continue;
            }
            let Some((time, event)) = self.queue.pop() else {
                break;
            };
            if time > horizon {
                self.now = horizon;
                return Ok(true);
            }
            self.now = time;
            self.totals.outcome.events += 1;
            match event {
                Event::Job(job) => self.on_timer(job),
                Event::Store(store) => self.on_store(store),
                Event::Arrival => self.on_arrival()?,
                Event::Failure(host) => self.on_failure(host),
                Event::Back(host) => self.on_back(host),
            }
        }
        Ok(false)
    }

    fn busy_share(&mut self, local: bool) -> Option<f64> {
        let now = self.now;
        let (inside, shared) = self.stores.split_at_mut(self.first_shared);
        let stores = if local { inside } else { shared };
        if stores.is_empty() || now == 0 {
            return None;
        }
        let count = stores.len() as f64;
        let busy: f64 = stores.iter_mut().map(|store| store.busy(now) as f64).sum();
        Some(busy / count / now as f64)
    }
}

// Hosts.
impl Engine<'_> {
    fn bring_up(&mut self, host: u32) {
        let failure = self.hosts.host(host).failures.draw();
        self.kinds[host as usize] = failure.kind;
        let strike = self.now.saturating_add(ns(failure.gap));
        self.queue.schedule(strike, FAILURE, Event::Failure(host));
        self.hosts.stand(host, Standing::Up);
        self.look = true;
    }

    fn on_failure(&mut self, host: u32) {
        let run = self.run;
        let kind = self.kinds[host as usize];
        self.totals.outcome.failures += 1;
        let detection = match kind {
            FailureKind::Hang => run.hang_detection,
            _ => run.detection,
        };
        let lost = kind == FailureKind::HostLoss;
        let more = match kind {
            FailureKind::HostLoss => run.cluster.repair,
            FailureKind::HostCrash => run.reboot,
            _ => Duration::ZERO,
        };
        let until = self.after(detection + run.downtime + more);
        self.hosts.stand(host, Standing::Down { until });
        self.queue.schedule(until, RETURN, Event::Back(host));
        let survives = run
            .cluster
            .local
            .as_ref()
            .is_some_and(|local| local.survives_host_loss);
        let gone = lost && !survives;
        for job in self.hosts.host(host).jobs.clone() {
            self.interrupt(job, kind, gone, ns(detection));
        }
        if gone && let Some(spare) = self.hosts.first_spare() {
            self.replaced[host as usize] = true;
            self.bring_up(spare);
        }
    }

    fn on_back(&mut self, host: u32) {
        if std::mem::take(&mut self.replaced[host as usize]) {
            self.hosts.stand(host, Standing::Spare);
        } else {
            self.bring_up(host);
        }
    }

    fn after(&self, span: Duration) -> u64 {
        self.now.saturating_add(ns(span))
    }
}

// Jobs come, wait and end.
impl Engine<'_> {
    fn job(&mut self, place: u32) -> &mut Job {
        self.jobs[place as usize]
            .as_mut()
            .expect("events of a job are cancelled when it ends")
    }

    /// Accounts for a job's time until now.
    fn charge(&mut self, place: u32) {
        let job = self.jobs[place as usize].as_mut();
        let job = job.expect("events of a job are cancelled when it ends");
        if let Some(watch) = &mut self.watch {
            watch.charge(job, self.now);
        }
        job.charge(self.now);
    }

    fn note(&mut self, place: u32, what: What) {
        if let (Some(watch), Some(job)) = (&mut self.watch, &self.jobs[place as usize]) {
            watch.happened(job, self.now, what);
        }
    }

    fn on_arrival(&mut self) -> Result<(), TraceError> {
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
    fn place_waiting(&mut self) {
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
    fn release(&mut self, place: u32) {
        let job = self.job(place);
        let (new, mut hosts) = (job.new, std::mem::take(&mut job.hosts));
        self.give_back(place, &new, &hosts);
        hosts.clear();
        self.job(place).hosts = hosts;
        self.look = true;
    }

    fn end(&mut self, place: u32, how: JobEnd) {
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

// Jobs run.
impl Engine<'_> {
    fn set_timer(&mut self, place: u32, at: u64) {
        let timer = self.queue.schedule(at, PROGRESS, Event::Job(place));
        self.job(place).timer = Some(timer);
    }

    fn on_timer(&mut self, place: u32) {
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

    fn work(&mut self, place: u32) {
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
    fn lone(&self, new: &NewJob) -> Duration {
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

    fn restore(&mut self, place: u32) {
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

    fn kind(&self, tier: Tier) -> Option<&StoreKind> {
        match tier {
            Tier::Local => self.run.cluster.local.as_ref(),
            Tier::Shared => self.run.cluster.shared.as_ref(),
        }
    }

    fn latency(&self, tier: Tier) -> Duration {
        self.kind(tier).map_or(Duration::ZERO, |kind| kind.latency)
    }

    /// Begins the streams of a checkpoint that is written or read.
    fn move_data(&mut self, place: u32, tier: Tier) {
        let Some((_, count)) = self
            .kind(tier)
            .and_then(|kind| kind.bandwidth.map(|bandwidth| (bandwidth, kind.count)))
        else {
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
    fn expect_end(&mut self, place: u32) {
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

    fn on_store(&mut self, store: u32) {
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

// Jobs fail.
impl Engine<'_> {
    /// A host of the job has failed; `gone` if what is stored in it is lost.
    fn interrupt(&mut self, place: u32, kind: FailureKind, gone: bool, detection: u64) {
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
            job.at_risk += now - job.risk_from + detection;
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
        if let (Some(watch), Some(job)) = (&mut self.watch, &self.jobs[place as usize]) {
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

/// Which phases failures struck in a trial, for the test that all of them are.
#[cfg(test)]
pub(super) fn struck_phases(
    run: &ClusterRun<'_>,
    policy: MakePolicy<'_>,
    seed: TrialSeed,
) -> std::collections::BTreeSet<&'static str> {
    let mut ignore = |_: &JobRecord| {};
    let mut engine = Engine::new(run, policy, false, seed, &mut ignore).unwrap();
    engine.run_to_end().unwrap();
    engine.struck
}

//! The loop: what happens next, and what follows from it.
//!
//! At one instant the ends of work, checkpoints and streams come before hosts that return and jobs that are submitted, and these
//! before failures, as at level `model`; waiting jobs are placed when the instant is otherwise over.

mod data;
mod failures;
mod hosts;
mod placing;
mod work;

use std::collections::BTreeMap;
use std::time::Duration;

use revenant_core::policy::IntervalPolicy;

use super::hosts::{Hosts, Room};
use super::jobs::Job;
use super::outcome::{JobRecord, Totals};
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

// What all of it needs.
impl Engine<'_> {
    fn after(&self, span: Duration) -> u64 {
        self.now.saturating_add(ns(span))
    }

    fn job(&mut self, place: u32) -> &mut Job {
        self.jobs[place as usize]
            .as_mut()
            .expect("events of a job are cancelled when it ends")
    }

    /// Accounts for a job's time until now.
    fn charge(&mut self, place: u32) {
        let now = self.now;
        if let Some((watch, job)) = self.watched(place) {
            watch.charge(job, now);
        }
        self.job(place).charge(now);
    }

    fn note(&mut self, place: u32, what: What) {
        let now = self.now;
        if let Some((watch, job)) = self.watched(place) {
            watch.happened(job, now, what);
        }
    }

    /// A job and who is to be told of it, if anybody is.
    fn watched(&mut self, place: u32) -> Option<(&mut Watch, &Job)> {
        let watch = self.watch.as_deref_mut()?;
        Some((watch, self.jobs[place as usize].as_ref()?))
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

//! ③ Level `cluster`: jobs as VMs on hosts, stores that contend for bandwidth, hosts that fail; a discrete-event simulation.
//!
//! ```text
//! workload ─▶ waiting jobs ─▶ schedule (FCFS, first fit) ─▶ hosts ◀─ failures
//!                                   │ work, checkpoint, restore
//!                                   ▼
//!                         stores (fair share) ─▶ outcome: cluster.csv [, jobs.csv]
//! ```
//!
//! When to checkpoint the policies of the core decide, as at the other levels. A cluster of one host with one job is level
//! `model`, to the nanosecond; a property test holds both together. What is assumed is in `docs/cluster.md`.

mod engine;
mod hosts;
mod jobs;
mod outcome;
mod queue;
mod store;
mod trace;
mod watch;
mod workload;

#[cfg(test)]
mod tests;

use std::time::Duration;

use revenant_core::policy::IntervalPolicy;

use crate::failures::{Kinds, Process};
use crate::outcome::Outcome;
use crate::seed::TrialSeed;
use crate::spec::Limits;

pub use outcome::{ClusterOutcome, JobEnd, JobRecord};
pub use queue::{EventId, Queue};
pub(crate) use store::simultaneous_writes_s;
pub use trace::{Trace, TraceError, TraceFormat};
pub use watch::{Watch, Watched};
pub use workload::{Arrivals, NewJob, Spread, Synthetic, Workload};

/// A cluster as its spec says.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// Hosts in service.
    pub hosts: u32,
    /// Slots (cores, or places for VMs) of a host.
    pub slots_per_host: u32,
    /// Memory of a host in bytes.
    pub memory_per_host: u64,
    /// Hosts that wait, switched off, for others to be lost.
    pub spares: u32,
    /// After the loss of a host, besides D, until there is another in its place.
    pub repair: Duration,
    /// The stores in the hosts, if checkpoints are written there.
    pub local: Option<StoreKind>,
    /// The stores that all hosts reach, if checkpoints are written there.
    pub shared: Option<StoreKind>,
    /// With both: every checkpoint of this number goes to the shared store, too. `None`: what policy `two-level` finds best.
    pub shared_every: Option<u32>,
    /// What is to be done.
    pub workload: Workload,
    /// Whether every job becomes a row of `jobs.csv`.
    pub jobs_csv: bool,
}

/// Stores of one kind: one in each host, or some that all hosts share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreKind {
    /// `None`: more than anybody uses.
    pub bandwidth: Option<Bandwidth>,
    /// Of each reading or writing of a checkpoint.
    pub latency: Duration,
    /// Shared stores side by side, among which VMs are dealt out; 1 for those in hosts.
    pub count: u32,
    /// Whether the checkpoints in a lost host are there again when it is.
    pub survives_host_loss: bool,
}

/// Bytes a second, for reading and writing together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bandwidth {
    /// Of the store.
    pub total: u64,
    /// What one stream can get at most.
    pub stream: Option<u64>,
}

/// A trial at level `cluster`.
#[derive(Debug)]
pub struct ClusterRun<'a> {
    /// The cluster and its work.
    pub cluster: &'a Cluster,
    /// For how long a VM stands still for a checkpoint besides what its stores take.
    pub checkpoint: Duration,
    /// What a restart takes besides reading the checkpoint.
    pub restart: Duration,
    /// Mean length of a drawn job (W).
    pub work: Duration,
    /// Checkpoint finished jobs once more.
    pub final_checkpoint: bool,
    /// How failures of a host follow each other.
    pub process: &'a Process,
    /// Of what kinds they are.
    pub kinds: Kinds,
    /// Mean time between failures of a host.
    pub mtbf: Duration,
    /// From a failure until it is noticed.
    pub detection: Duration,
    /// The same of a hang.
    pub hang_detection: Duration,
    /// From then until a restart can begin.
    pub downtime: Duration,
    /// For how much longer a crashed host is away.
    pub reboot: Duration,
    /// With both kinds of stores: every checkpoint of this number goes to the shared one, too.
    pub shared_every: u32,
    /// When a job (by failures) and the trial (by time) are given up.
    pub limits: Limits,
}

impl ClusterRun<'_> {
    /// Runs the trial. `policy` makes the policy for a job of a length; `each` is told of every job that has ended, in the order of
    /// the ends.
    pub fn run(
        &self,
        policy: &dyn Fn(Duration) -> Box<dyn IntervalPolicy>,
        needs_work: bool,
        seed: TrialSeed,
        each: &mut dyn FnMut(&JobRecord),
    ) -> Result<Outcome, TraceError> {
        engine::Engine::new(self, policy, needs_work, seed, each)?.run()
    }

    /// The same, watched, which changes nothing.
    pub fn observe(
        &self,
        policy: &dyn Fn(Duration) -> Box<dyn IntervalPolicy>,
        needs_work: bool,
        seed: TrialSeed,
        watch: &mut Watch,
    ) -> Result<Outcome, TraceError> {
        let each = &mut |_: &JobRecord| {};
        engine::Engine::new(self, policy, needs_work, seed, each)?
            .watched_by(watch)
            .run()
    }
}

impl Cluster {
    /// What a checkpoint and a restart of a job of one VM with this memory take of the stores when nobody else uses them.
    pub fn lone_costs(&self, memory: u64) -> (Duration, Duration) {
        let first = self.local.as_ref().or(self.shared.as_ref());
        let cost = first.map_or(0, |store| store.lone_ns(memory, memory));
        (Duration::from_nanos(cost), Duration::from_nanos(cost))
    }
}

impl StoreKind {
    /// Time a lone job takes: `vm` bytes of its largest VM, `all` bytes that go to one store.
    pub(crate) fn lone_ns(&self, vm: u64, all: u64) -> u64 {
        let span = |bytes: u64, rate: u64| {
            let span = (u128::from(bytes) * 1_000_000_000).div_ceil(u128::from(rate));
            u64::try_from(span).unwrap_or(u64::MAX)
        };
        let moving = self.bandwidth.map_or(0, |bandwidth| {
            let slowest = bandwidth.stream.map_or(0, |rate| span(vm, rate));
            span(all, bandwidth.total).max(slowest)
        });
        ns(self.latency).saturating_add(moving)
    }
}

/// A duration of a spec in nanoseconds; none is longer than 64 bits hold.
pub(crate) fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

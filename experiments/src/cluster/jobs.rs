//! A job from its submission to its end, and where its time goes.

use std::time::Duration;

use smallvec::SmallVec;

use super::hosts::Room;
use super::queue::EventId;
use super::store::StreamId;
use super::workload::NewJob;

/// A store of one of the two kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tier {
    Local,
    Shared,
}

/// What a job is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waits for hosts.
    Waiting,
    /// Works until its timer, which is also the end of its work if it `finishes`.
    Working { finishes: bool },
    /// Stands still for a checkpoint; `finished` if that is its last. First by a timer, then for its streams.
    Saving { tier: Tier, finished: bool },
    /// Reads a checkpoint, or starts from nothing.
    Restoring { tier: Tier },
    /// A failure took it, and it cannot be restarted yet.
    Down,
}

/// Where the time of a job has gone, in nanoseconds. With the work they add up to the time from its submission on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Spent {
    pub waiting: u64,
    pub checkpointing: u64,
    pub lost: u64,
    pub restarting: u64,
    pub down: u64,
}

/// What a checkpoint touches is first, and together: a large cluster has more jobs than a core's cache holds.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Job {
    pub phase: Phase,
    /// Streams that have not ended.
    pub moving: u32,
    /// Checkpoints since the last that went to a shared store.
    pub since_shared: u32,
    /// Until when its time is accounted for.
    pub since: u64,
    /// Work that stands as long as nothing fails.
    pub done: u64,
    /// When the checkpoint in hand was begun.
    pub save_from: u64,
    pub timer: Option<EventId>,
    /// Work in the newest checkpoint in the stores of its hosts.
    pub local: Option<u64>,
    /// The same in the shared stores.
    pub shared: Option<u64>,
    /// What the last checkpoint took.
    pub last_cost: Option<u64>,
    pub checkpoints: u64,
    pub number: u64,
    /// By VM.
    pub hosts: SmallVec<[u32; 2]>,
    pub spent: Spent,
    pub new: NewJob,
    /// Since when a failure could strike it; since its last failure.
    pub risk_from: u64,
    /// Time at risk before that.
    pub at_risk: u64,
    /// When it was lost, while it is not back.
    pub lost_at: Option<u64>,
    pub failures: u32,
    /// By VM: the store and the stream there. Empty unless data are moving.
    pub streams: SmallVec<[Option<(u32, StreamId)>; 1]>,
    /// What the nearest store takes for a checkpoint of it, if nobody else uses it.
    pub lone: Duration,
    pub started: Option<u64>,
}

impl Job {
    pub(super) fn new(number: u64, new: NewJob, lone: Duration, now: u64) -> Job {
        Job {
            number,
            new,
            lone,
            done: 0,
            local: None,
            shared: None,
            since_shared: 0,
            phase: Phase::Waiting,
            since: now,
            timer: None,
            streams: SmallVec::new(),
            moving: 0,
            hosts: SmallVec::new(),
            started: None,
            lost_at: None,
            risk_from: now,
            at_risk: 0,
            save_from: now,
            last_cost: None,
            spent: Spent::default(),
            failures: 0,
            checkpoints: 0,
        }
    }

    /// Accounts for the time until now.
    pub(super) fn charge(&mut self, now: u64) {
        let span = now - self.since;
        self.since = now;
        match self.phase {
            Phase::Waiting => self.spent.waiting += span,
            Phase::Working { .. } => self.done += span,
            Phase::Saving { .. } => self.spent.checkpointing += span,
            Phase::Restoring { .. } => self.spent.restarting += span,
            Phase::Down => self.spent.down += span,
        }
    }

    /// Work in the newest checkpoint that can be read, and where it is. Of two that hold the same the local one is nearer.
    pub(super) fn newest(&self) -> (u64, Option<Tier>) {
        match (self.local, self.shared) {
            (Some(local), shared) if Some(local) >= shared => (local, Some(Tier::Local)),
            (_, Some(shared)) => (shared, Some(Tier::Shared)),
            (Some(local), None) => (local, Some(Tier::Local)),
            (None, None) => (0, None),
        }
    }

    /// VMs it is made of, on hosts of so many slots.
    pub(super) fn vms(new: &NewJob, slots_per_host: u32) -> u32 {
        new.slots.div_ceil(slots_per_host)
    }

    /// What a VM takes: all but the last fill their hosts. Memory goes by slots.
    pub(super) fn vm(new: &NewJob, index: u32, slots_per_host: u32) -> Room {
        let slots = (new.slots - index * slots_per_host).min(slots_per_host);
        if slots == new.slots {
            return Room {
                slots,
                memory: new.memory,
            };
        }
        let memory = (u128::from(new.memory) * u128::from(slots)).div_ceil(u128::from(new.slots));
        Room {
            slots,
            memory: u64::try_from(memory).unwrap_or(u64::MAX),
        }
    }
}

//! How long the calls of a simulated disk take.

use std::cell::Cell;
use std::fmt;

use revenant_core::{Clock, Timestamp};

use crate::profile::MediumCosts;
use crate::world::World;

/// What a call asks of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// So many bytes from the disk.
    Read {
        /// How many.
        bytes: u64,
    },
    /// So many bytes to the disk, some time later.
    Append {
        /// How many.
        bytes: u64,
    },
    /// All accepted bytes onto the disk, now.
    Sync,
    /// A name looked up or changed.
    Name,
}

/// Lets the time pass that a call takes.
pub trait Pace: fmt::Debug {
    /// Returns when the call would.
    fn pass(&self, cost: Cost);
    /// What time it is; without a clock always the same.
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }
}

/// No call takes any time.
#[derive(Debug)]
pub(super) struct Instantly;

impl Pace for Instantly {
    fn pass(&self, _: Cost) {}
}

/// The pace of a disk in the world. Appended bytes are accepted at once and written behind, so that capture and disk
/// overlap; the writer waits when more than the write buffer is outstanding, and for all of it when it syncs.
#[derive(Debug)]
pub struct WorldPace {
    world: World,
    costs: MediumCosts,
    /// When the bytes accepted so far will have been written.
    busy_until_ns: Cell<u64>,
}

impl WorldPace {
    /// A disk of its own in this world, with the costs that its profile has for a medium.
    pub fn new(world: &World) -> Self {
        WorldPace::with_costs(world, world.profile().medium.clone())
    }

    /// A disk of its own in this world, with costs of its own.
    pub fn with_costs(world: &World, costs: MediumCosts) -> Self {
        WorldPace {
            world: world.clone(),
            costs,
            busy_until_ns: Cell::new(0),
        }
    }

    fn wait_for_backlog(&self, allowed_ns: u64) {
        let now = self.world.now().0;
        let backlog = self.busy_until_ns.get().saturating_sub(now);
        self.world.advance_ns(backlog.saturating_sub(allowed_ns));
    }
}

impl Pace for WorldPace {
    fn pass(&self, cost: Cost) {
        let profile = self.world.profile();
        let medium = &self.costs;
        let nanos =
            |period: revenant_core::quantity::Period| u64::try_from(period.0.as_nanos()).unwrap_or(u64::MAX);
        match cost {
            Cost::Read { bytes } => {
                let transfer = profile.bytes_ns(bytes, medium.read_per_s);
                self.world
                    .advance_ns(nanos(medium.latency).saturating_add(transfer));
            }
            Cost::Append { bytes } => {
                let start = self.busy_until_ns.get().max(self.world.now().0);
                self.busy_until_ns
                    .set(start.saturating_add(profile.bytes_ns(bytes, medium.write_per_s)));
                let buffer_ns = u128::from(medium.write_buffer.bytes) * 1_000_000_000
                    / u128::from(medium.write_per_s.bytes);
                self.wait_for_backlog(u64::try_from(buffer_ns).unwrap_or(u64::MAX));
            }
            Cost::Sync => {
                self.wait_for_backlog(0);
                self.world.advance_ns(nanos(medium.sync));
            }
            Cost::Name => self.world.advance_ns(nanos(medium.latency)),
        }
    }

    fn now(&self) -> Timestamp {
        self.world.now()
    }
}

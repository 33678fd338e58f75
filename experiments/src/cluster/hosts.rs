//! Hosts: what is free where, which are up, and when each fails next.

use crate::failures::FailureStream;

/// Where a host stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Takes jobs.
    Up,
    /// Has failed and is not back.
    Down {
        /// When it is going to be.
        until: u64,
    },
    /// Waits, switched off, for another to be lost.
    Spare,
}

/// One host.
#[derive(Debug)]
pub(super) struct Host {
    pub standing: Standing,
    pub failures: FailureStream,
    /// Jobs with a VM here.
    pub jobs: Vec<u32>,
    free: Room,
}

/// Slots and bytes of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Room {
    pub slots: u32,
    pub memory: u64,
}

impl Room {
    fn holds(self, wanted: Room) -> bool {
        self.slots >= wanted.slots && self.memory >= wanted.memory
    }
}

/// All hosts, with a tree over what they have free: the first host with room is found without asking the others.
#[derive(Debug)]
pub(super) struct Hosts {
    all: Vec<Host>,
    /// Node i has children 2i and 2i + 1, the leaves are from `leaves` on. A node holds the most slots and the most memory
    /// that a host under it has free, not necessarily the same host.
    tree: Vec<Room>,
    leaves: usize,
    capacity: Room,
}

impl Hosts {
    /// Hosts with these failures, all switched off.
    pub(super) fn new(capacity: Room, failures: impl Iterator<Item = FailureStream>) -> Hosts {
        let hosts: Vec<Host> = failures
            .map(|failures| Host {
                standing: Standing::Spare,
                failures,
                jobs: Vec::new(),
                free: capacity,
            })
            .collect();
        let leaves = hosts.len().next_power_of_two();
        Hosts {
            all: hosts,
            tree: vec![Room::default(); 2 * leaves],
            leaves,
            capacity,
        }
    }

    pub(super) fn host(&mut self, host: u32) -> &mut Host {
        &mut self.all[host as usize]
    }

    pub(super) fn stand(&mut self, host: u32, standing: Standing) {
        self.all[host as usize].standing = standing;
        self.update(host);
    }

    pub(super) fn first_spare(&self) -> Option<u32> {
        let found = self
            .all
            .iter()
            .position(|host| host.standing == Standing::Spare)?;
        u32::try_from(found).ok()
    }

    /// The first host that is up and has the room.
    pub(super) fn first_fit(&self, wanted: Room) -> Option<u32> {
        self.fit_under(1, wanted)
            .and_then(|leaf| u32::try_from(leaf - self.leaves).ok())
    }

    fn fit_under(&self, node: usize, wanted: Room) -> Option<usize> {
        if !self.tree[node].holds(wanted) {
            return None;
        }
        if node >= self.leaves {
            return Some(node);
        }
        self.fit_under(2 * node, wanted)
            .or_else(|| self.fit_under(2 * node + 1, wanted))
    }

    pub(super) fn take(&mut self, host: u32, job: u32, room: Room) {
        let there = &mut self.all[host as usize];
        there.free.slots -= room.slots;
        there.free.memory -= room.memory;
        there.jobs.push(job);
        self.update(host);
    }

    pub(super) fn give_back(&mut self, host: u32, job: u32, room: Room) {
        let there = &mut self.all[host as usize];
        there.free.slots += room.slots;
        there.free.memory += room.memory;
        if let Some(index) = there.jobs.iter().position(|&other| other == job) {
            there.jobs.swap_remove(index);
        }
        debug_assert!(self.capacity.holds(self.all[host as usize].free));
        self.update(host);
    }

    fn update(&mut self, host: u32) {
        let there = &self.all[host as usize];
        let mut node = self.leaves + host as usize;
        self.tree[node] = match there.standing {
            Standing::Up => there.free,
            Standing::Down { .. } | Standing::Spare => Room::default(),
        };
        while node > 1 {
            node /= 2;
            let (left, right) = (self.tree[2 * node], self.tree[2 * node + 1]);
            let most = Room {
                slots: left.slots.max(right.slots),
                memory: left.memory.max(right.memory),
            };
            if self.tree[node] == most {
                break;
            }
            self.tree[node] = most;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::failures::{Kinds, Process};
    use crate::seed::TrialSeed;

    proptest! {
        /// The tree finds what looking at every host finds.
        #[test]
        fn the_first_fit_is_the_first(
            count in 1usize..20,
            steps in prop::collection::vec((0u32..20, 1u32..4, 0u64..4, any::<bool>()), 0..60),
        ) {
            let capacity = Room { slots: 4, memory: 4 };
            let stream = || FailureStream::new(TrialSeed(1), &Process::EXPONENTIAL, Duration::from_secs(1), Kinds::default());
            let mut hosts = Hosts::new(capacity, (0..count).map(|_| stream()));
            for host in 0..count {
                hosts.stand(u32::try_from(host).unwrap(), Standing::Up);
            }
            for (job, (host, slots, memory, down)) in (0u32..).zip(steps) {
                let wanted = Room { slots, memory };
                let host = host % u32::try_from(count).unwrap();
                if down {
                    let standing = match hosts.host(host).standing {
                        Standing::Up => Standing::Down { until: 0 },
                        _ => Standing::Up,
                    };
                    hosts.stand(host, standing);
                }
                let naive = hosts.all.iter()
                    .position(|host| host.standing == Standing::Up && host.free.holds(wanted));
                let found = hosts.first_fit(wanted);
                prop_assert_eq!(found.map(|host| host as usize), naive);
                if let Some(host) = found {
                    hosts.take(host, job, wanted);
                }
            }
        }
    }
}

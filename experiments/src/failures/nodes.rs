//! ② Many nodes, of which only the one that failed is renewed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand_chacha::ChaCha8Rng;

use super::{Law, unit_exponential};

/// When each node fails next, in units of a node's MTBF. Memory and the first draw grow with the number of nodes.
#[derive(Debug)]
pub(super) struct Nodes {
    law: Law,
    now: f64,
    next: BinaryHeap<Reverse<Instant>>,
}

/// A time at risk; ordered as numbers are.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Instant(f64);

impl Eq for Instant {}

impl PartialOrd for Instant {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Instant {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Nodes {
    /// All new.
    pub(super) fn new(law: Law, nodes: u64, times: &mut ChaCha8Rng) -> Nodes {
        let draw = |_| Reverse(Instant(law.at_hazard(unit_exponential(times))));
        Nodes {
            law,
            now: 0.0,
            next: (0..nodes).map(draw).collect(),
        }
    }

    /// Time from the last failure of any node to the next.
    pub(super) fn gap(&mut self, times: &mut ChaCha8Rng) -> f64 {
        let Some(mut first) = self.next.peek_mut() else {
            return f64::INFINITY;
        };
        let strikes = first.0.0;
        first.0.0 = strikes + self.law.at_hazard(unit_exponential(times));
        drop(first);
        let gap = strikes - self.now;
        self.now = strikes;
        gap
    }
}

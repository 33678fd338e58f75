//! Pairs of processes: a failure of one is absorbed until both of a pair are hit.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::Replicas;
use crate::seed::{Purpose, TrialSeed};

/// Which processes are gone.
#[derive(Debug)]
pub(super) struct Pairs {
    rules: Replicas,
    /// Of each pair the one that is gone, if one is.
    gone: Vec<Option<bool>>,
    /// The pairs of which one is gone.
    hit: Vec<usize>,
    stream: ChaCha8Rng,
}

impl Pairs {
    pub(super) fn new(seed: TrialSeed, rules: Replicas) -> Self {
        Pairs {
            rules,
            gone: vec![None; rules.pairs.max(1) as usize],
            hit: Vec::new(),
            stream: seed.stream(Purpose::Replicas),
        }
    }

    /// Hits one process; true if the job goes on. Processes that are gone are hit as often as others, to no effect, so that
    /// the rate of failures is that of all processes.
    pub(super) fn absorb(&mut self) -> bool {
        let pair = self.stream.random_range(0..self.gone.len());
        let which = self.stream.random_range(0..2u8) == 1;
        match &mut self.gone[pair] {
            Some(gone) => *gone == which,
            whole => {
                *whole = Some(which);
                self.hit.push(pair);
                true
            }
        }
    }

    pub(super) fn checkpointed(&mut self) {
        if self.rules.restart_at_checkpoints {
            self.restarted();
        }
    }

    pub(super) fn restarted(&mut self) {
        for pair in self.hit.drain(..) {
            self.gone[pair] = None;
        }
    }
}

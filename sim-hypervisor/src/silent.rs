//! Errors in the work of guests that nobody notices.

use std::fmt;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::machine::Machine;

/// When silent errors strike, and what they change. They strike in work: a guest that stands still meets none, and work that
/// is done again meets others.
pub struct SilentErrors {
    /// Gaps of work from one to the next.
    gaps: Box<dyn FnMut() -> Duration>,
    /// Work until the next, in nanoseconds.
    left_ns: u64,
    /// Where they strike and what they leave there.
    draws: Xoshiro256PlusPlus,
    struck: u64,
}

impl fmt::Debug for SilentErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SilentErrors")
            .field("left_ns", &self.left_ns)
            .field("struck", &self.struck)
            .finish_non_exhaustive()
    }
}

impl SilentErrors {
    /// Errors with these gaps of work between them; the seed says where in memory.
    pub fn new(gaps: Box<dyn FnMut() -> Duration>, seed: u64) -> Self {
        let mut errors = SilentErrors {
            gaps,
            left_ns: 0,
            draws: Xoshiro256PlusPlus::seed_from_u64(seed),
            struck: 0,
        };
        errors.draw();
        errors
    }

    /// How many have struck.
    pub(crate) fn struck(&self) -> u64 {
        self.struck
    }

    /// The work until the next one if it strikes before so much is done; else that much of the way to it is behind.
    pub(crate) fn within(&mut self, work_ns: u64) -> Option<u64> {
        if work_ns > self.left_ns {
            return Some(self.left_ns);
        }
        self.left_ns -= work_ns;
        None
    }

    /// Strikes: every word of a page that the program goes on from comes out with the same bits flipped. As if the processor had
    /// computed and written it so: the dirty log knows of it.
    pub(crate) fn strike(&mut self, machine: &mut Machine) {
        let (place, flips) = (self.draws.next_u64(), self.draws.next_u64() | 1);
        machine.corrupt(place, flips);
        self.struck += 1;
        self.draw();
    }

    fn draw(&mut self) {
        let gap = (self.gaps)();
        // A nanosecond at least, so that a strike takes time.
        self.left_ns = u64::try_from(gap.as_nanos()).unwrap_or(u64::MAX).max(1);
    }
}

//! Errors that strike in work and that nobody notices.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use crate::failures::unit_exponential;
use crate::seed::{Purpose, TrialSeed};

/// The silent errors of one trial, in work.
#[derive(Debug)]
pub(super) struct SilentErrors {
    mtbf: Duration,
    /// Work until the next.
    left: Duration,
    stream: ChaCha8Rng,
}

impl SilentErrors {
    pub(super) fn new(seed: TrialSeed, mtbf: Duration) -> Self {
        let mut errors = SilentErrors {
            mtbf,
            left: Duration::ZERO,
            stream: seed.stream(Purpose::SilentErrors),
        };
        errors.draw();
        errors
    }

    /// How many strike in this much work.
    pub(super) fn strike(&mut self, mut work: Duration) -> u64 {
        let mut count = 0;
        while work > self.left {
            work -= self.left;
            count += 1;
            self.draw();
        }
        self.left -= work;
        count
    }

    fn draw(&mut self) {
        let gap_s = unit_exponential(&mut self.stream) * self.mtbf.as_secs_f64();
        // A nanosecond at least, so that a strike takes time.
        self.left = Duration::try_from_secs_f64(gap_s)
            .unwrap_or(Duration::MAX)
            .max(Duration::from_nanos(1));
    }
}

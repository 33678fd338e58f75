//! Errors that strike in work and that nobody notices.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use crate::failures::unit_exponential;
use crate::seed::{Purpose, TrialSeed};

/// Gaps of work between the silent errors of one trial, the same at every level.
#[derive(Debug)]
pub(crate) struct SilentGaps {
    mtbf: Duration,
    stream: ChaCha8Rng,
}

impl SilentGaps {
    pub(crate) fn new(seed: TrialSeed, mtbf: Duration) -> Self {
        SilentGaps {
            mtbf,
            stream: seed.stream(Purpose::SilentErrors),
        }
    }

    /// Draws the next one.
    pub(crate) fn draw(&mut self) -> Duration {
        let gap_s = unit_exponential(&mut self.stream) * self.mtbf.as_secs_f64();
        // A nanosecond at least, so that a strike takes time.
        Duration::try_from_secs_f64(gap_s)
            .unwrap_or(Duration::MAX)
            .max(Duration::from_nanos(1))
    }
}

/// The silent errors of one trial, in work.
#[derive(Debug)]
pub(super) struct SilentErrors {
    gaps: SilentGaps,
    /// Work until the next.
    left: Duration,
}

impl SilentErrors {
    pub(super) fn new(seed: TrialSeed, mtbf: Duration) -> Self {
        let mut gaps = SilentGaps::new(seed, mtbf);
        let left = gaps.draw();
        SilentErrors { gaps, left }
    }

    /// How many strike in this much work.
    pub(super) fn strike(&mut self, mut work: Duration) -> u64 {
        let mut count = 0;
        while work > self.left {
            work -= self.left;
            count += 1;
            self.left = self.gaps.draw();
        }
        self.left -= work;
        count
    }
}

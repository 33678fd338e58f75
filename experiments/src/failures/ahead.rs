//! ② Draws of a trial taken ahead, a block at a time.

use super::unit::unit_exponentials;
use super::{ChaCha8Rng, whole_ns};

/// Unit exponentials drawn a block at a time, for logarithms that do not wait for each other take a third of the time; and, where nothing
/// else is to be done to them, gaps in nanoseconds. The first block is small, for trials with few failures.
#[derive(Debug)]
pub(super) struct Ahead<T> {
    block: [T; MOST],
    next: usize,
    drawn: usize,
}

const LEAST: usize = 4;
const MOST: usize = 16;

impl<T: Default + Copy> Default for Ahead<T> {
    fn default() -> Self {
        Ahead {
            block: [T::default(); MOST],
            next: 0,
            drawn: 0,
        }
    }
}

impl<T: Copy> Ahead<T> {
    #[inline]
    pub(super) fn pop(&mut self) -> Option<T> {
        if self.next == self.drawn {
            return None;
        }
        let drawn = self.block[self.next % MOST];
        self.next += 1;
        Some(drawn)
    }

    fn grow(&mut self) -> &mut [T] {
        self.drawn = (2 * self.drawn).clamp(LEAST, MOST);
        self.next = 0;
        &mut self.block[..self.drawn]
    }
}

impl Ahead<f64> {
    #[inline]
    pub(super) fn unit(&mut self, times: &mut ChaCha8Rng) -> f64 {
        loop {
            if let Some(unit) = self.pop() {
                return unit;
            }
            unit_exponentials(times, self.grow());
        }
    }
}

impl Ahead<u64> {
    /// Draws gaps of an exponential law.
    pub(super) fn draw(&mut self, times: &mut ChaCha8Rng, scale_ns: f64) {
        let gaps = self.grow();
        let mut units = [0.0; MOST];
        let units = &mut units[..gaps.len()];
        unit_exponentials(times, units);
        for (gap, unit) in gaps.iter_mut().zip(units) {
            *gap = whole_ns(*unit * scale_ns);
        }
    }
}

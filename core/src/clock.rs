//! The door to time.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::units::Timestamp;

/// Where engine code learns what time it is, to stamp the phases of a capture or a restore.
///
/// # Contract
/// - `now` never goes backwards on one clock, not even when the host's wall clock is set back.
/// - Reading the clock costs nothing: it does not advance it.
/// - The engine never sleeps; whoever drives it waits.
/// - On the host's clock the engine's own computing takes the time that it takes. A virtual clock would not see it pass:
///   it is told of the work that is handed to threads, and again when its result is waited for. The default methods,
///   right for every clock that moves by itself, do nothing.
pub trait Clock: fmt::Debug {
    /// The current instant.
    fn now(&self) -> Timestamp;

    /// Work is handed to the engine's threads. Gives the instant at which it will be done.
    fn hand_out(&self, work: Work<'_>) -> Timestamp {
        let _ = work;
        Timestamp::default()
    }

    /// The result of work that is done at this instant is needed now.
    fn wait_for(&self, done: Timestamp) {
        let _ = done;
    }
}

/// What the engine's threads do.
#[derive(Debug, Clone, Copy)]
pub enum Work<'a> {
    /// Find out what pages are: zero, known or new.
    Hash {
        /// One after the other.
        pages: &'a [u8],
    },
    /// Compress so many new pages.
    Compress {
        /// How many.
        pages: u64,
    },
}

/// The host's clock: wall time at construction, carried on by the monotonic clock.
#[derive(Debug)]
pub struct SystemClock {
    origin: Timestamp,
    started: Instant,
}

impl SystemClock {
    /// A clock that reads the host's wall time once, now.
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    pub fn new() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        SystemClock {
            origin: Timestamp::default() + since_epoch,
            started: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.origin + self.started.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_passes_the_judge() {
        let clock = SystemClock::new();
        crate::conformance::clock::all(&clock, || std::thread::sleep(Duration::from_millis(1)));
        let year = Duration::from_secs(365 * 86_400);
        assert!(clock.now() > Timestamp::default() + 50 * year, "not a wall clock");
    }
}

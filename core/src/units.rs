//! Quantities that must not be mixed up.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bytes in a page frame. Every backend of this project uses 4 KiB frames.
pub const PAGE_SIZE: usize = 4096;

/// The content of one page frame.
pub type Page = [u8; PAGE_SIZE];

/// A page frame filled with zeroes.
pub static ZERO_PAGE: Page = [0; PAGE_SIZE];

/// A guest's page frame number: the index of a 4 KiB frame in the guest's own physical address space,
/// whatever machine frame backs it. Save-file formats keep 52 bits for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pfn(pub u64);

impl Pfn {
    /// The largest frame number a page record can carry (52 bits, libxc stream format, PAGE_DATA).
    pub const MAX: Pfn = Pfn((1 << 52) - 1);
}

impl fmt::Debug for Pfn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pfn({:#x})", self.0)
    }
}

impl fmt::Display for Pfn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// An instant: nanoseconds since the Unix epoch on a wall clock, since the start of the world in a
/// simulation. Covers 584 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Time since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Seconds as a float, for reports.
    pub fn as_secs_f64(self) -> f64 {
        Duration::from_nanos(self.0).as_secs_f64()
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;

    /// Saturates at the end of time, so that "never" needs no special case.
    fn add(self, rhs: Duration) -> Timestamp {
        Timestamp(
            self.0
                .saturating_add(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Timestamp;

    fn sub(self, rhs: Duration) -> Timestamp {
        Timestamp(
            self.0
                .saturating_sub(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

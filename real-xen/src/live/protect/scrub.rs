//! The store is read again in the background, so that what rots is found while it can still be healed.

use revenant_core::Timestamp;
use revenant_core::store::{ScrubCursor, Scrubbed, Store, StoreError};

/// A slice has at least so many bytes: each one reads a footer anew, of 16 bytes a page.
const SLICE_BYTES: u64 = 8 << 20;

/// A scrub that goes round the store at a given rate.
#[derive(Debug)]
pub(super) struct Scrub {
    bytes_per_s: u64,
    cursor: ScrubCursor,
    since: Timestamp,
    /// Bytes that may be read by now; below zero after a slice that read more.
    allowed: i64,
}

impl Scrub {
    pub(super) fn new(bytes_per_s: u64, now: Timestamp) -> Self {
        Scrub {
            bytes_per_s,
            cursor: ScrubCursor::default(),
            since: now,
            allowed: 0,
        }
    }

    /// Reads a slice if one is due.
    pub(super) fn go_on(&mut self, store: &Store, now: Timestamp) -> Option<Result<Scrubbed, StoreError>> {
        let budget = self.due(now)?;
        let slice = store.scrub(&mut self.cursor, budget);
        // One that failed costs a slice as well: it is not tried again at once.
        let read = slice.as_ref().map_or(budget, |slice| slice.bytes.max(budget));
        self.allowed -= i64::try_from(read).unwrap_or(i64::MAX);
        Some(slice)
    }

    /// How many bytes are to be read now.
    fn due(&mut self, now: Timestamp) -> Option<u64> {
        let earned = now.since(self.since).as_nanos() * u128::from(self.bytes_per_s) / 1_000_000_000;
        self.since = now;
        // No more than a slice is saved up: a pause is not made up for.
        let earned = i64::try_from(earned).unwrap_or(i64::MAX);
        let slice = SLICE_BYTES.cast_signed();
        self.allowed = self.allowed.saturating_add(earned).min(slice);
        (self.allowed >= slice).then_some(SLICE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_slice_is_due_when_its_bytes_are() {
        let mut scrub = Scrub::new(10 << 20, Timestamp(0));
        let mut read = 0;
        for tenth in 1..=600 {
            let now = Timestamp(0) + Duration::from_millis(100 * tenth);
            if let Some(budget) = scrub.due(now) {
                // A slice ends with a whole bundle of frames.
                let bytes = budget + (2 << 20);
                scrub.allowed -= i64::try_from(bytes).unwrap();
                read += bytes;
            }
        }
        let expected = 600u64 << 20;
        assert!(
            (expected - (20 << 20)..=expected + (10 << 20)).contains(&read),
            "{read} bytes in a minute"
        );
        assert_eq!(
            scrub.due(Timestamp(0) + Duration::from_secs(9000)),
            Some(SLICE_BYTES)
        );
        assert!(
            scrub.allowed <= SLICE_BYTES.cast_signed(),
            "a pause is not made up for"
        );
    }
}

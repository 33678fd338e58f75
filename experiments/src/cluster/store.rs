//! A store whose bandwidth is shared fairly by all who read and write (processor sharing).
//!
//! With n streams each gets min(B/n, cap). Instead of touching every stream when n changes, the store keeps what any stream
//! would have got since the beginning (virtual work V): a stream that starts at V with s bytes ends when V has grown by
//! s. Streams wait in the order of their ends, so an arrival or a departure costs O(log n).

use std::collections::BTreeMap;

use super::Bandwidth;
use super::queue::EventId;

/// Parts of a byte a second that rates are counted in, so that dividing among many loses next to nothing.
const PARTS: u128 = 1 << 20;
const NANOS: u128 = 1_000_000_000;

/// Whose a stream is: the place of its job, and the number of the VM.
pub(super) type Owner = (u32, u32);

/// A stream to or from a store: V at its end, and a number that no other stream of the store has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StreamId {
    end: u128,
    number: u64,
}

/// One store. Times are nanoseconds since the start of the trial, and must not go back.
#[derive(Debug)]
pub(super) struct Store {
    bandwidth: Bandwidth,
    /// V in parts of a byte · ns/s.
    virtual_work: u128,
    /// When `virtual_work` was right.
    at: u64,
    streams: BTreeMap<StreamId, Owner>,
    /// Of the next stream.
    number: u64,
    /// Of each stream, in parts of a byte a second. Kept, for dividing 128 bits is what a store would do most.
    rate: u128,
    /// Time with streams.
    busy: u64,
    /// The event that its owner has scheduled for the next end of a stream, and when.
    pub(super) expected: Option<(u64, EventId)>,
}

impl Store {
    pub(super) fn new(bandwidth: Bandwidth) -> Store {
        Store {
            bandwidth,
            virtual_work: 0,
            at: 0,
            streams: BTreeMap::new(),
            number: 0,
            rate: 1,
            busy: 0,
            expected: None,
        }
    }

    /// Begins a stream of so many bytes.
    pub(super) fn begin(&mut self, now: u64, bytes: u64, owner: Owner) -> StreamId {
        self.advance(now);
        let stream = StreamId {
            end: self.virtual_work + u128::from(bytes) * PARTS * NANOS,
            number: self.number,
        };
        self.number += 1;
        self.streams.insert(stream, owner);
        self.divide();
        stream
    }

    /// Breaks a stream off.
    pub(super) fn cancel(&mut self, now: u64, stream: StreamId) {
        self.advance(now);
        self.streams.remove(&stream);
        self.divide();
    }

    /// A stream that has ended by now, if there is one: whose it was.
    pub(super) fn ended(&mut self, now: u64) -> Option<Owner> {
        self.advance(now);
        let first = self.streams.first_entry()?;
        if first.key().end > self.virtual_work {
            return None;
        }
        let owner = first.remove();
        self.divide();
        Some(owner)
    }

    /// When the next stream ends, if nothing else happens before.
    pub(super) fn next_end(&self) -> Option<u64> {
        let (first, _) = self.streams.first_key_value()?;
        let left = first.end.saturating_sub(self.virtual_work);
        let span = left.div_ceil(self.rate);
        Some(self.at.saturating_add(u64::try_from(span).unwrap_or(u64::MAX)))
    }

    /// Time with streams until now.
    pub(super) fn busy(&mut self, now: u64) -> u64 {
        self.advance(now);
        self.busy
    }

    /// Deals the bandwidth out among the streams there are.
    fn divide(&mut self) {
        let whole = u128::from(self.bandwidth.total) * PARTS;
        let share = match self.streams.len() {
            0 | 1 => whole,
            streams => whole / streams as u128,
        };
        let cap = self.bandwidth.stream.map_or(share, |cap| u128::from(cap) * PARTS);
        self.rate = share.min(cap).max(1);
    }

    fn advance(&mut self, now: u64) {
        let span = now - self.at;
        self.at = now;
        if self.streams.is_empty() {
            self.virtual_work = 0;
        } else if span > 0 {
            self.virtual_work += self.rate * u128::from(span);
            self.busy += span;
        }
    }
}

/// How long writers wait for a store that has nothing else to do, all beginning at once, in seconds.
pub(crate) fn simultaneous_writes_s(bandwidth: Bandwidth, bytes: u64, writers: u32) -> f64 {
    let mut store = Store::new(bandwidth);
    for writer in 0..writers {
        store.begin(0, bytes, (writer, 0));
    }
    let mut last = 0;
    while let Some(end) = store.next_end() {
        while store.ended(end).is_some() {
            last = end;
        }
    }
    last as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn store(total: u64, stream: Option<u64>) -> Store {
        Store::new(Bandwidth { total, stream })
    }

    /// Ends of all streams, in order, of a store nobody else comes to.
    fn drain(store: &mut Store) -> Vec<(u64, u32)> {
        let mut ends = Vec::new();
        while let Some(end) = store.next_end() {
            while let Some((job, _)) = store.ended(end) {
                ends.push((end, job));
            }
        }
        ends
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn equal_writers_take_as_many_times_as_long() {
        for writers in 1..=50u64 {
            let mut store = store(100_000_000, None);
            for job in 0..writers {
                store.begin(0, 160_000_000, (u32::try_from(job).unwrap(), 0));
            }
            for (end, _) in drain(&mut store) {
                let wanted = writers * 1_600_000_000;
                assert!(end.abs_diff(wanted) <= writers, "{writers}: {end} for {wanted}");
            }
        }
    }

    #[test]
    fn a_cap_holds_for_each_stream_and_a_departure_speeds_up_the_rest() {
        let mut capped = store(100, Some(10));
        capped.begin(0, 100, (1, 0));
        assert_eq!(drain(&mut capped), [(10 * SECOND, 1)]);
        // 100 B/s: both at 50 until the short one ends at 2 s, then the long one's other 100 at 100.
        let mut shared = store(100, None);
        shared.begin(0, 100, (1, 0));
        shared.begin(0, 200, (2, 0));
        assert_eq!(drain(&mut shared), [(2 * SECOND, 1), (3 * SECOND, 2)]);
        // The short one is broken off after 1 s: 150 left at 100.
        let mut shared = store(100, None);
        let short = shared.begin(0, 100, (1, 0));
        shared.begin(0, 200, (2, 0));
        shared.cancel(SECOND, short);
        assert_eq!(drain(&mut shared), [(5 * SECOND / 2, 2)]);
        assert_eq!(shared.busy(9 * SECOND), 5 * SECOND / 2);
    }

    proptest! {
        /// No bandwidth is lost or made: without a cap, all bytes take their sum over the bandwidth while there is work.
        #[test]
        fn work_is_conserved(streams in prop::collection::vec((0u64..3 * SECOND, 1u64..1_000_000), 1..40)) {
            let mut streams = streams;
            streams.sort_unstable();
            let mut store = store(100_000, None);
            let mut ends = 0u64;
            for (index, &(start, bytes)) in streams.iter().enumerate() {
                while let Some(end) = store.next_end().filter(|&end| end <= start) {
                    while store.ended(end).is_some() {
                        ends += 1;
                    }
                }
                store.begin(start, bytes, (u32::try_from(index).unwrap(), 0));
            }
            let last = drain(&mut store);
            prop_assert_eq!(ends + last.len() as u64, streams.len() as u64);
            let bytes: u64 = streams.iter().map(|stream| stream.1).sum();
            let busy = store.busy(last.last().unwrap().0);
            // Every event rounds up to a nanosecond.
            prop_assert!(busy.abs_diff(bytes * (SECOND / 100_000)) <= 4 * streams.len() as u64);
        }
    }
}

//! A run of frames with like content.

use crate::guest::PageTag;
use crate::units::Pfn;

/// Frames in one run at most (20 bits, and never 0).
pub(in crate::store) const COUNT_MAX: u32 = (1 << 20) - 1;
/// Slots of a segment (20 bits).
pub(in crate::store) const SLOTS_MAX: u32 = 1 << 20;
/// Segments of a checkpoint. A head must stay small; 24 bits would fit in a run.
pub(in crate::store) const SEGMENTS_MAX: u32 = 1 << 18;

/// The segment number that stands for zero pages in a packed run.
const ZERO: u64 = (1 << 24) - 1;

/// Where the content of a run's pages is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Source {
    /// Nowhere: zeroes.
    Zero,
    /// In consecutive slots of a segment.
    Stored {
        /// Number of the segment in the table that goes with the map.
        segment: u32,
        /// Slot of the first page.
        slot: u32,
    },
}

impl Source {
    /// The source of the page `by` further on in the same run.
    pub(in crate::store) fn advanced(self, by: u32) -> Source {
        match self {
            Source::Zero => Source::Zero,
            Source::Stored { segment, slot } => Source::Stored {
                segment,
                slot: slot + by,
            },
        }
    }
}

/// Consecutive frames with one tag, zero or in consecutive slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Run {
    /// The first frame.
    pub(in crate::store) start: u64,
    /// Frames, 1 to [`COUNT_MAX`].
    pub(in crate::store) count: u32,
    /// Tag of every frame.
    pub(in crate::store) tag: PageTag,
    /// Content.
    pub(in crate::store) source: Source,
}

impl Run {
    /// One past the last frame.
    pub(in crate::store) fn end(&self) -> u64 {
        self.start + u64::from(self.count)
    }

    /// The part of the run within `[start, end)`, which must overlap it.
    pub(in crate::store) fn slice(&self, start: u64, end: u64) -> Run {
        let (start, end) = (start.max(self.start), end.min(self.end()));
        debug_assert!(start < end, "the part is not empty");
        let narrow = |frames: u64| u32::try_from(frames).expect("no longer than the run");
        Run {
            start,
            count: narrow(end - start),
            source: self.source.advanced(narrow(start - self.start)),
            ..*self
        }
    }

    /// Appends `next` if it continues this run.
    pub(in crate::store) fn try_extend(&mut self, next: &Run) -> bool {
        let joins = next.start == self.end()
            && next.tag == self.tag
            && next.source == self.source.advanced(self.count)
            && self.count + next.count <= COUNT_MAX;
        if joins {
            self.count += next.count;
        }
        joins
    }
}

/// A run in 16 bytes: frame 52 bits, tag 8, 4 unused; count 20, segment 24, slot 20.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct PackedRun(u64, u64);

impl From<Run> for PackedRun {
    fn from(run: Run) -> Self {
        let (segment, slot) = match run.source {
            Source::Zero => (ZERO, 0),
            Source::Stored { segment, slot } => (u64::from(segment), u64::from(slot)),
        };
        debug_assert!(run.start <= Pfn::MAX.0 && segment <= ZERO && slot < u64::from(SLOTS_MAX));
        debug_assert!((1..=COUNT_MAX).contains(&run.count));
        PackedRun(
            run.start << 12 | u64::from(run.tag.0) << 4,
            u64::from(run.count) << 44 | segment << 20 | slot,
        )
    }
}

impl From<PackedRun> for Run {
    #[expect(clippy::cast_possible_truncation, reason = "fields of at most 24 bits")]
    fn from(PackedRun(high, low): PackedRun) -> Self {
        let source = match low >> 20 & ZERO {
            ZERO => Source::Zero,
            segment => Source::Stored {
                segment: segment as u32,
                slot: (low & 0xF_FFFF) as u32,
            },
        };
        Run {
            start: high >> 12,
            count: (low >> 44) as u32,
            tag: PageTag((high >> 4) as u8),
            source,
        }
    }
}

impl PackedRun {
    pub(in crate::store) fn start(self) -> u64 {
        self.0 >> 12
    }

    pub(in crate::store) fn end(self) -> u64 {
        self.start() + (self.1 >> 44)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_keeps_the_extremes() {
        let stored = |segment, slot| Source::Stored { segment, slot };
        for source in [
            Source::Zero,
            stored(0, 0),
            stored(SEGMENTS_MAX - 1, SLOTS_MAX - 1),
        ] {
            for (start, count, tag) in [(0, 1, 0), (Pfn::MAX.0, COUNT_MAX, 255)] {
                let run = Run {
                    start,
                    count,
                    tag: PageTag(tag),
                    source,
                };
                let packed = PackedRun::from(run);
                assert_eq!(Run::from(packed), run);
                assert_eq!((packed.start(), packed.end()), (run.start, run.end()));
            }
        }
        assert_eq!(size_of::<PackedRun>(), 16);
    }
}

//! A set of slots of one segment.

use std::ops::Range;

/// Slots, a bit each. It is as long as the segment it is about: what lies beyond is not remembered, so that nobody makes it
/// large who has no large segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SlotSet {
    bits: Vec<u64>,
    limit: u32,
}

impl SlotSet {
    /// An empty set of slots below `limit`.
    pub(super) fn below(limit: u32) -> Self {
        SlotSet {
            bits: Vec::new(),
            limit,
        }
    }

    /// Adds those of the slots that are below the limit.
    pub(super) fn add(&mut self, slots: Range<u32>) {
        let (start, end) = (slots.start as usize, slots.end.min(self.limit) as usize);
        if start >= end {
            return;
        }
        self.bits.resize(self.bits.len().max(end.div_ceil(64)), 0);
        for word in start / 64..end.div_ceil(64) {
            let (low, high) = (start.max(word * 64) % 64, end.min(word * 64 + 64) - word * 64);
            self.bits[word] |= u64::MAX >> (64 - (high - low)) << low;
        }
    }

    pub(super) fn contains(&self, slot: u32) -> bool {
        let word = self.bits.get(slot as usize / 64);
        word.is_some_and(|word| word >> (slot % 64) & 1 == 1)
    }

    /// The slots as ranges, ascending, with gaps between them.
    pub(super) fn ranges(&self) -> Vec<Range<u32>> {
        let mut ranges: Vec<Range<u32>> = Vec::new();
        for (word, first) in self.bits.iter().zip((0u32..).step_by(64)) {
            if *word == 0 {
                continue;
            }
            for slot in (0..64).filter(|bit| word >> bit & 1 == 1).map(|bit| first + bit) {
                match ranges.last_mut() {
                    Some(last) if last.end == slot => last.end += 1,
                    _ => ranges.push(slot..slot + 1),
                }
            }
        }
        ranges
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_the_obvious_set_below_its_limit(limit in 0..400u32, added in prop::collection::vec((0..420u32, 0..150u32), 0..8)) {
            let (mut set, mut oracle) = (SlotSet::below(limit), BTreeSet::new());
            for (start, count) in added {
                set.add(start..start + count);
                oracle.extend((start..start + count).filter(|&slot| slot < limit));
            }
            prop_assert!((0..600).all(|slot| set.contains(slot) == oracle.contains(&slot)));
            let ranges = set.ranges();
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
            prop_assert_eq!(ranges.into_iter().flatten().collect::<BTreeSet<_>>(), oracle);
        }
    }
}

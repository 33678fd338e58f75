//! A set of frames kept as runs.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of frame numbers whose memory goes by the number of runs, wherever they lie: a guest's memory is a
/// handful, and the most hostile frame list costs no more than some 40 bytes a listed page.
#[derive(Debug, Default)]
pub(crate) struct FrameSet {
    /// Start to end of disjoint, non-adjacent runs.
    runs: BTreeMap<u64, u64>,
    /// The run an insertion touched last: lists ascend, so the next one most likely continues it.
    last: Option<(u64, u64)>,
}

impl FrameSet {
    /// Number of runs.
    pub(crate) fn run_count(&self) -> u64 {
        self.runs.len() as u64
    }

    /// The runs, ascending.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.runs.iter().map(|(&start, &end)| start..end)
    }

    /// The lowest frame of `range` that is in the set.
    pub(crate) fn first_in(&self, range: &Range<u64>) -> Option<u64> {
        if let Some((_, end)) = self.runs.range(..=range.start).next_back()
            && *end > range.start
        {
            return Some(range.start);
        }
        self.runs
            .range(range.start..range.end)
            .next()
            .map(|(&start, _)| start)
    }

    /// Adds frames; calls `added` with each part of `range` that was not there.
    pub(crate) fn insert(&mut self, range: Range<u64>, mut added: impl FnMut(Range<u64>)) {
        if let Some((start, end)) = self.last
            && end == range.start
            && self.runs.range(range.start..=range.end).next().is_none()
        {
            // Lists ascend: this is nearly every call.
            self.runs.insert(start, range.end);
            self.last = Some((start, range.end));
            return added(range);
        }
        if self
            .runs
            .range(..=range.start)
            .next_back()
            .is_some_and(|(_, end)| *end >= range.end)
        {
            return;
        }
        let (mut start, mut end, mut gap) = (range.start, range.end, range.start);
        // Every run that overlaps or touches the range, the one before it included, melts into it.
        let before = self
            .runs
            .range(..range.start)
            .next_back()
            .filter(|(_, e)| **e >= range.start);
        let touching: Vec<u64> = before
            .into_iter()
            .chain(self.runs.range(range.start..=range.end))
            .map(|(&s, _)| s)
            .collect();
        for run_start in touching {
            let Some(run_end) = self.runs.remove(&run_start) else {
                continue;
            };
            if run_start > gap {
                added(gap..run_start);
            }
            gap = gap.max(run_end);
            start = start.min(run_start);
            end = end.max(run_end);
        }
        if gap < range.end {
            added(gap..range.end);
        }
        self.runs.insert(start, end);
        self.last = Some((start, end));
    }

    /// Takes frames out; calls `removed` with each part of `range` that was there.
    pub(crate) fn remove(&mut self, range: Range<u64>, mut removed: impl FnMut(Range<u64>)) {
        self.last = None;
        let before = self
            .runs
            .range(..range.start)
            .next_back()
            .filter(|(_, e)| **e > range.start);
        let hit: Vec<u64> = before
            .into_iter()
            .chain(self.runs.range(range.clone()))
            .map(|(&s, _)| s)
            .collect();
        for start in hit {
            let Some(end) = self.runs.remove(&start) else {
                continue;
            };
            if start < range.start {
                self.runs.insert(start, range.start);
            }
            if end > range.end {
                self.runs.insert(range.end, end);
            }
            removed(start.max(range.start)..end.min(range.end));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against the obvious set, down to what each call says it changed.
        #[test]
        fn behaves_as_a_btree_set(ops in prop::collection::vec((any::<bool>(), 0..200u64, 1..20u64), 0..100)) {
            let (mut set, mut model) = (FrameSet::default(), BTreeSet::new());
            for (insert, start, len) in ops {
                let range = start..start + len;
                prop_assert_eq!(set.first_in(&range), model.range(range.clone()).next().copied());
                let mut changed = Vec::new();
                let expected: Vec<u64> = range.clone().filter(|p| model.contains(p) != insert).collect();
                if insert {
                    set.insert(range.clone(), |r| changed.extend(r));
                    model.extend(range);
                } else {
                    set.remove(range.clone(), |r| changed.extend(r));
                    model.retain(|p| !range.contains(p));
                }
                prop_assert_eq!(changed, expected);
                prop_assert!(set.runs().flatten().eq(model.iter().copied()));
                let runs: Vec<_> = set.runs().collect();
                prop_assert!(runs.windows(2).all(|w| w[0].end < w[1].start), "{:?}", runs);
            }
        }
    }
}

//! Which damage of a segment is whose.

use std::ops::Range;

/// Finds out which damaged frames of one segment the runs of one checkpoint need: in a time that goes with the runs and with
/// the frames, not with both multiplied, though every run may need every frame.
#[derive(Debug)]
pub(super) struct Blame<'d> {
    /// Slots of the damaged frames, ascending, not overlapping.
    damaged: &'d [Range<u32>],
    /// How many more runs need a frame than need the one before it.
    steps: Vec<i64>,
}

impl<'d> Blame<'d> {
    pub(super) fn new(damaged: &'d [Range<u32>]) -> Self {
        Blame {
            damaged,
            steps: vec![0; damaged.len() + 1],
        }
    }

    /// A run needs these slots.
    pub(super) fn need(&mut self, slots: &Range<u32>) {
        let first = self
            .damaged
            .partition_point(|frame| count(frame.end <= slots.start));
        let end = self
            .damaged
            .partition_point(|frame| count(frame.start < slots.end));
        if first < end {
            self.steps[first] += 1;
            self.steps[end] -= 1;
        }
    }

    /// Positions of the frames that a run needs, ascending.
    pub(super) fn needed(&self) -> impl Iterator<Item = usize> {
        let mut runs = 0;
        let frames = self.steps.iter().enumerate().take(self.damaged.len());
        frames.filter_map(move |(position, step)| {
            runs += step;
            count(runs > 0).then_some(position)
        })
    }
}

/// Where a test counts the work.
fn count(answer: bool) -> bool {
    #[cfg(test)]
    tests::LOOKED_AT.with(|looked_at| looked_at.set(looked_at.get() + 1));
    answer
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    thread_local!(pub(super) static LOOKED_AT: Cell<u64> = const { Cell::new(0) });

    proptest! {
        #[test]
        fn names_what_overlaps(
            frames in prop::collection::vec((0..3u32, 1..17u32), 0..20),
            runs in prop::collection::vec((0..250u32, 1..60u32), 0..20),
        ) {
            let mut at = 0;
            let damaged: Vec<Range<u32>> = frames
                .iter()
                .map(|(gap, pages)| {
                    let start = at + gap;
                    at = start + pages;
                    start..at
                })
                .collect();
            let mut blame = Blame::new(&damaged);
            for &(start, count) in &runs {
                blame.need(&(start..start + count));
            }
            let overlaps = |frame: &Range<u32>| runs.iter().any(|&(s, n)| s < frame.end && frame.start < s + n);
            let expected: Vec<usize> = (0..damaged.len()).filter(|&i| overlaps(&damaged[i])).collect();
            prop_assert_eq!(blame.needed().collect::<Vec<_>>(), expected);
        }
    }

    /// The worst case: every run needs every frame.
    #[test]
    fn work_goes_with_runs_and_frames_and_not_with_their_product() {
        let work = |size: u32| {
            let damaged: Vec<Range<u32>> = (0..size).map(|i| i * 16..i * 16 + 16).collect();
            LOOKED_AT.set(0);
            let mut blame = Blame::new(&damaged);
            (0..size).for_each(|_| blame.need(&(0..size * 16)));
            assert_eq!(blame.needed().count(), size as usize);
            LOOKED_AT.get()
        };
        let (small, large) = (work(1 << 9), work(1 << 13));
        assert!(
            large < small * 16 * 2,
            "{small} steps became {large} with 16 times the size"
        );
    }
}

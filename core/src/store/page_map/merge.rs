//! A journal as the map it amounts to.

use std::collections::BinaryHeap;
use std::ops::Range;

use super::{Journal, Run};
use crate::guest::MemoryLayout;
use crate::store::StoreError;
use crate::units::Pfn;

/// The final map of a journal: sorted, disjoint, coalesced runs, computed again at each [`Merged::each`] so that it costs
/// 4 bytes a run to hold.
#[derive(Debug)]
pub(in crate::store) struct Merged<'a> {
    journal: &'a Journal,
    /// Journal positions in order of first frame.
    order: Vec<u32>,
    /// If set, frames outside are dropped.
    layout: Option<&'a MemoryLayout>,
}

impl<'a> Merged<'a> {
    /// Fails if a frame of the layout is not in the journal.
    pub(in crate::store) fn new(
        journal: &'a Journal,
        layout: Option<&'a MemoryLayout>,
    ) -> Result<Self, StoreError> {
        let runs = u32::try_from(journal.len()).map_err(|_| StoreError::Limit {
            what: "runs of pages",
            found: journal.len() as u64,
            limit: u64::from(u32::MAX),
        })?;
        let mut order: Vec<u32> = (0..runs).collect();
        order.sort_unstable_by_key(|&i| (journal.get(i).start(), i));
        let merged = Merged {
            journal,
            order,
            layout,
        };
        merged.check_covered()?;
        Ok(merged)
    }

    /// Calls `emit` for every run in ascending order.
    pub(in crate::store) fn each(&self, mut emit: impl FnMut(Run)) {
        let mut pending: Option<Run> = None;
        self.each_part(|part| {
            if !pending.as_mut().is_some_and(|run| run.try_extend(&part)) {
                pending.replace(part).map(&mut emit);
            }
        });
        pending.map(emit);
    }

    /// The runs cut at every border, those outside of the layout left out.
    fn each_part(&self, mut emit: impl FnMut(Run)) {
        let Some(layout) = self.layout else {
            return self.each_winner(emit);
        };
        let mut ranges = layout.ranges();
        self.each_winner(|run| {
            while let [range, rest @ ..] = ranges {
                if range.start < run.end() && range.end > run.start {
                    emit(run.slice(range.start, range.end));
                }
                if range.end > run.end() {
                    break;
                }
                ranges = rest;
            }
        });
    }

    /// Sweeps over the frames; of the runs that cover a frame the one latest in the journal wins.
    fn each_winner(&self, mut emit: impl FnMut(Run)) {
        // (journal position, end), so that the latest is on top.
        let mut covering: BinaryHeap<(u32, u64)> = BinaryHeap::new();
        let mut starts = self.order.iter().map(|&i| (self.journal.get(i), i)).peekable();
        let mut at = 0;
        loop {
            while covering.peek().is_some_and(|&(_, end)| end <= at) {
                covering.pop();
            }
            if covering.is_empty() {
                let Some((next, _)) = starts.peek() else { return };
                at = next.start();
            }
            while let Some((run, i)) = starts.next_if(|(run, _)| run.start() <= at) {
                covering.push((i, run.end()));
            }
            let &(top, top_end) = covering.peek().expect("a run starts here or goes on");
            let until = starts
                .peek()
                .map_or(top_end, |(next, _)| next.start().min(top_end));
            emit(Run::from(self.journal.get(top)).slice(at, until));
            at = until;
        }
    }

    fn check_covered(&self) -> Result<(), StoreError> {
        let Some(layout) = self.layout else { return Ok(()) };
        let mut covered: Vec<Range<u64>> = Vec::new();
        self.each_part(|run| match covered.last_mut() {
            Some(last) if last.end == run.start => last.end = run.end(),
            _ => covered.push(run.start..run.end()),
        });
        let covered: MemoryLayout = covered.into_iter().collect();
        let missing = layout.page_count() - covered.page_count();
        if missing == 0 {
            return Ok(());
        }
        let first = layout
            .ranges()
            .iter()
            .map(|range| first_gap(range, &covered))
            .find_map(|gap| gap);
        Err(StoreError::Uncovered {
            first: Pfn(first.unwrap_or(0)),
            count: missing,
        })
    }
}

/// The first frame of `range` that `covered` lacks.
fn first_gap(range: &Range<u64>, covered: &MemoryLayout) -> Option<u64> {
    let after = covered.ranges().partition_point(|c| c.end <= range.start);
    match covered.ranges().get(after) {
        Some(c) if c.start <= range.start => (c.end < range.end).then_some(c.end),
        _ => Some(range.start),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::guest::PageTag;
    use crate::store::page_map::Source;

    type Oracle = BTreeMap<u64, (PageTag, Source)>;

    fn put(oracle: &mut Oracle, run: Run) {
        oracle.extend((0..run.count).map(|i| (run.start + u64::from(i), (run.tag, run.source.advanced(i)))));
    }

    fn any_run() -> impl Strategy<Value = Run> {
        (0..120u64, 1..20u32, 0..2u8, prop::option::of((0..2u32, 0..50u32))).prop_map(
            |(start, count, tag, stored)| {
                let source = stored.map_or(Source::Zero, |(segment, slot)| Source::Stored { segment, slot });
                Run {
                    start,
                    count,
                    tag: PageTag(tag),
                    source,
                }
            },
        )
    }

    proptest! {
        /// Any mix of overlapping writes, with one rollback, against the obvious map.
        #[test]
        fn the_last_write_of_a_frame_wins(
            before in prop::collection::vec(any_run(), 0..20),
            dropped in prop::collection::vec(any_run(), 0..5),
            after in prop::collection::vec(any_run(), 0..20),
            layout in prop::option::of(prop::collection::vec((0..140u64, 1..30u64), 0..6)),
        ) {
            let (mut journal, mut oracle) = (Journal::new(), Oracle::new());
            for &run in &before { journal.push(run); put(&mut oracle, run); }
            let mark = journal.mark();
            for &run in &dropped { journal.push(run); }
            journal.rollback(mark);
            for &run in &after { journal.push(run); put(&mut oracle, run); }
            let layout = layout.map(|l| l.into_iter().map(|(s, n)| s..s + n).collect::<MemoryLayout>());
            let missing: Vec<_> = layout.iter().flat_map(MemoryLayout::iter).filter(|p| !oracle.contains_key(&p.0)).collect();
            if let Some(layout) = &layout {
                oracle.retain(|&frame, _| layout.contains(Pfn(frame)));
            }
            match Merged::new(&journal, layout.as_ref()) {
                Err(StoreError::Uncovered { first, count }) => {
                    prop_assert_eq!((Some(&first), count), (missing.first(), missing.len() as u64));
                }
                Err(other) => prop_assert!(false, "{}", other),
                Ok(merged) => {
                    prop_assert!(missing.is_empty());
                    let (mut found, mut last) = (Oracle::new(), None::<Run>);
                    merged.each(|run| {
                        assert!(last.is_none_or(|mut l| l.end() <= run.start && !l.try_extend(&run)));
                        put(&mut found, run);
                        last = Some(run);
                    });
                    prop_assert_eq!(found, oracle);
                }
            }
        }
    }
}

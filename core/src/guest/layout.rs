//! Which frames a guest has.

use std::ops::Range;

use crate::units::Pfn;

/// The populated frames of a guest as sorted, disjoint, non-adjacent half-open ranges.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemoryLayout {
    ranges: Vec<Range<u64>>,
}

impl MemoryLayout {
    /// No frames.
    pub fn new() -> Self {
        MemoryLayout::default()
    }

    /// Frames `[0, pages)`.
    pub fn flat(pages: u64) -> Self {
        std::iter::once(0..pages).collect()
    }

    /// The ranges in ascending order.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// Number of populated frames.
    pub fn page_count(&self) -> u64 {
        self.ranges.iter().map(|r| r.end - r.start).sum()
    }

    /// Is this frame populated?
    pub fn contains(&self, pfn: Pfn) -> bool {
        let after = self.ranges.partition_point(|r| r.start <= pfn.0);
        after > 0 && self.ranges[after - 1].contains(&pfn.0)
    }

    /// Every populated frame in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Pfn> + '_ {
        self.ranges.iter().cloned().flatten().map(Pfn)
    }
}

impl FromIterator<Range<u64>> for MemoryLayout {
    /// Sorts, merges overlapping and adjacent ranges and drops empty ones.
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(iter: I) -> Self {
        let mut all: Vec<_> = iter.into_iter().filter(|r| r.start < r.end).collect();
        all.sort_unstable_by_key(|r| r.start);
        let mut ranges: Vec<Range<u64>> = Vec::with_capacity(all.len());
        for range in all {
            match ranges.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => ranges.push(range),
            }
        }
        MemoryLayout { ranges }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_what_touches_and_finds_what_it_holds() {
        let layout: MemoryLayout = [8..9, 0..2, 2..4, 3..5, 7..7].into_iter().collect();
        assert_eq!(layout.ranges(), [0..5, 8..9]);
        assert_eq!(layout.page_count(), 6);
        let held: Vec<_> = (0..12).filter(|&p| layout.contains(Pfn(p))).collect();
        assert_eq!(held, [0, 1, 2, 3, 4, 8]);
        assert_eq!(layout.iter().count(), 6);
    }
}

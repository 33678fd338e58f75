//! Which pages checkpoints need.

use std::collections::BTreeMap;

use super::SegmentName;
use super::id::Digest;
use super::page_map::{Run, SLOTS_MAX, Source};
use super::slots::SlotSet;
use crate::medium::DirEntry;

/// Which slots of which segments are needed. Costs a bit for each page that the segments can hold by their length, whatever
/// manifests claim of them.
#[derive(Debug)]
pub(super) struct Live {
    needed: BTreeMap<SegmentName, SlotSet>,
    /// For each segment that is there, how many slots it has at most.
    slots: BTreeMap<SegmentName, u32>,
}

impl Live {
    /// Nothing is needed, and these segments are there.
    pub(super) fn new(segments: Vec<DirEntry>) -> Self {
        // A footer has a digest for each slot.
        let slots = |entry: DirEntry| {
            let slots = entry.len_bytes / size_of::<Digest>() as u64;
            let slots = u32::try_from(slots).map_or(SLOTS_MAX, |slots| slots.min(SLOTS_MAX));
            Some((SegmentName::parse(&entry.name)?, slots))
        };
        Live {
            needed: BTreeMap::new(),
            slots: segments.into_iter().filter_map(slots).collect(),
        }
    }

    /// Marks what a run needs, in a map of these segments.
    pub(super) fn mark(&mut self, names: &[SegmentName], run: &Run) {
        if let Source::Stored { segment, slot } = run.source {
            let name = names[segment as usize];
            let limit = self.slots.get(&name).copied().unwrap_or(0);
            let needed = self.needed.entry(name);
            needed
                .or_insert_with(|| SlotSet::below(limit))
                .add(slot..slot + run.count);
        }
    }

    /// Is anything of the segment needed?
    pub(super) fn needs(&self, name: SegmentName) -> bool {
        self.needed.contains_key(&name)
    }

    /// The slots of a segment that are needed, as far as it can have them.
    pub(super) fn slots_of(&self, name: SegmentName) -> Option<&SlotSet> {
        self.needed.get(&name)
    }
}

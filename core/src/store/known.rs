//! What is known of pages stored earlier.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

use super::bad::{self, KnownBad};
use super::dedup::{DedupIndex, Location, SegmentTable};
use super::files::SEGMENTS;
use super::manifest::Head;
use super::segment::SegmentReader;
use super::{CheckpointId, SegmentName, Store, StoreError};

/// Digests of stored pages, and numbers for the segments they are in. Kept from one staging to the next.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) index: DedupIndex,
    pub(super) segments: SegmentTable,
    /// Segments whose pages went into the index, and how long their files were. Garbage collection that drops pages
    /// from a segment makes it shorter.
    pub(super) loaded: BTreeMap<SegmentName, u64>,
    /// What was known to be bad when they went in: it did not.
    bad: KnownBad,
}

impl Known {
    fn new(capacity: usize, bad: KnownBad) -> Self {
        Known {
            index: DedupIndex::new(capacity),
            segments: SegmentTable::default(),
            loaded: BTreeMap::new(),
            bad,
        }
    }

    /// Is every segment here one that a checkpoint needs? Others may be removed, at any time by a garbage collection whose lock
    /// was taken away.
    fn is_needed(&self, heads: &[Rc<Head>]) -> bool {
        let mut unneeded: BTreeSet<SegmentName> = self.loaded.keys().copied().collect();
        for name in heads.iter().flat_map(|head| &head.segments) {
            unneeded.remove(name);
            if unneeded.is_empty() {
                return true;
            }
        }
        unneeded.is_empty()
    }

    /// Is one of the pages of a run, of this segment, known to be bad?
    pub(super) fn is_bad(&self, name: SegmentName, slots: &Range<u32>) -> bool {
        self.bad.any_of(name, slots)
    }

    /// Adds the pages of a finished segment, but for what is known to be bad of it.
    fn load(&mut self, name: SegmentName, segment: &SegmentReader) {
        let number = self.segments.number(name);
        let listed = self.bad.of(name);
        let frames = segment.footer.frames.iter();
        for frame in frames.filter(|frame| !bad::any_of(listed, &(frame.first_slot..frame.end_slot()))) {
            for (slot, digest) in (frame.first_slot..).zip(segment.footer.digests_of(frame)) {
                if self.index.find(digest).is_none() {
                    self.index.insert(
                        *digest,
                        Location {
                            segment: number,
                            slot,
                        },
                    );
                }
            }
        }
        self.loaded.insert(name, segment.file.len_bytes());
    }
}

impl Store {
    /// What earlier checkpoints hold, as far as memory allows: the base first, then from the newest on. The caller
    /// holds the lock, so nothing that is found here can be collected before it commits.
    pub(super) fn known_pages(
        &self,
        heads: &[Rc<Head>],
        base: Option<CheckpointId>,
    ) -> Result<Known, StoreError> {
        let bad = KnownBad::read(&self.medium)?;
        let mut known = match self.known.take() {
            Some(known) if known.bad == bad && self.still_there(&known)? && known.is_needed(heads) => known,
            _ => Known::new(self.options.dedup_pages_max, bad),
        };
        let mut order: Vec<&Head> = heads.iter().map(AsRef::as_ref).collect();
        order.sort_by_key(|head| std::cmp::Reverse((Some(head.info.id) == base, head.info.age_key())));
        for head in order {
            for &name in &head.segments {
                if known.index.is_full() {
                    return Ok(known);
                }
                if known.loaded.contains_key(&name) {
                    continue;
                }
                match SegmentReader::open(&self.medium, name) {
                    Ok(segment) => known.load(name, &segment),
                    // A new checkpoint must not refer to what is known to be damaged; its base it refers to anyway.
                    Err(StoreError::Damaged(_)) if Some(head.info.id) != base => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(known)
    }

    fn still_there(&self, known: &Known) -> Result<bool, StoreError> {
        let mut same = 0;
        for entry in self.medium.list(SEGMENTS)? {
            let len = SegmentName::parse(&entry.name).and_then(|name| known.loaded.get(&name));
            same += usize::from(len == Some(&entry.len_bytes));
        }
        Ok(same == known.loaded.len())
    }
}

//! Whether a checkpoint has all that it needs, as far as manifests and footers tell: no page is read.
//!
//! A checkpoint is *whole* if its head and its map read, each of its segments is there with a footer that reads, every page of
//! the map is in a frame that a footer names, and none is known to be bad. A frame with wrong bytes that nobody has read yet is
//! not seen: only verification finds it.

use std::collections::BTreeMap;
use std::ops::Range;

use super::bad::{KnownBad, WHOLE};
use super::files::segment_path;
use super::manifest::{Head, Manifest, StoredBody};
use super::page_map::Source;
use super::segment::SegmentReader;
use super::{CheckpointId, Finding, SegmentName, Store, StoreError};

/// Looks at segments and keeps what it saw, so that each footer is read once however many checkpoints need it.
#[derive(Debug)]
pub(super) struct Footers<'s> {
    store: &'s Store,
    bad: KnownBad,
    seen: BTreeMap<SegmentName, Result<Present, Finding>>,
}

/// Slots that have a frame, ascending, as few ranges as possible.
#[derive(Debug)]
struct Present(Vec<Range<u32>>);

impl Present {
    fn of(segment: &SegmentReader) -> Self {
        let mut present: Vec<Range<u32>> = Vec::new();
        for frame in &segment.footer.frames {
            match present.last_mut() {
                Some(last) if last.end == frame.first_slot => last.end = frame.end_slot(),
                _ => present.push(frame.first_slot..frame.end_slot()),
            }
        }
        Present(present)
    }

    fn holds(&self, slots: &Range<u32>) -> bool {
        let after = self.0.partition_point(|present| present.end <= slots.start);
        let present = self.0.get(after);
        present.is_some_and(|present| present.start <= slots.start && slots.end <= present.end)
    }
}

impl<'s> Footers<'s> {
    pub(super) fn new(store: &'s Store) -> Result<Self, StoreError> {
        Ok(Footers {
            store,
            bad: KnownBad::read(&store.medium)?,
            seen: BTreeMap::new(),
        })
    }

    /// The first thing that a checkpoint needs and does not have. An error of its map is an error here.
    pub(super) fn lacking(&mut self, head: &Head, body: &StoredBody) -> Result<Option<Finding>, StoreError> {
        let mut lacking = None;
        for run in body.runs() {
            let run = run?;
            // The rest of the map is read all the same: it must be in order.
            if lacking.is_some() {
                continue;
            }
            if let Source::Stored { segment, slot } = run.source {
                lacking = self.lacking_of(head.segments[segment as usize], slot..slot + run.count)?;
            }
        }
        Ok(lacking.map(|finding| finding.of(head.info.id)))
    }

    fn lacking_of(&mut self, name: SegmentName, slots: Range<u32>) -> Result<Option<Finding>, StoreError> {
        self.look(name)?;
        let what = match &self.seen[&name] {
            Err(finding) => return Ok(Some(finding.clone())),
            Ok(present) if !present.holds(&slots) => "expected frames with the pages in",
            Ok(_) if is_bad(&self.bad, name, &slots) => "known to be bad are pages in",
            Ok(_) => return Ok(None),
        };
        let what = format!(
            "{what} slots {} to {}, which the checkpoint needs",
            slots.start,
            slots.end - 1
        );
        Ok(Some(Finding::new(segment_path(name), None, what)))
    }

    fn look(&mut self, name: SegmentName) -> Result<(), StoreError> {
        if !self.seen.contains_key(&name) {
            let seen = match SegmentReader::open(&self.store.medium, name) {
                Ok(segment) => Ok(Present::of(&segment)),
                Err(StoreError::Damaged(finding)) => Err(*finding),
                Err(error) => return Err(error),
            };
            self.seen.insert(name, seen);
        }
        Ok(())
    }
}

/// A list that does not read makes its segment suspect, which is no knowledge.
fn is_bad(bad: &KnownBad, name: SegmentName, slots: &Range<u32>) -> bool {
    *bad.of(name) != [WHOLE] && bad.any_of(name, slots)
}

impl Store {
    /// Which of these checkpoints are not whole, and the first reason of each. Reads their maps, and the footer of each segment
    /// once.
    ///
    /// # Errors
    /// Files that do not read are what is looked for; an error means that it could not be looked.
    pub fn not_whole(
        &self,
        ids: impl IntoIterator<Item = CheckpointId>,
    ) -> Result<BTreeMap<CheckpointId, Finding>, StoreError> {
        let (mut footers, mut found) = (Footers::new(self)?, BTreeMap::new());
        for id in ids {
            let looked = Manifest::open(&self.medium, id)
                .and_then(|manifest| footers.lacking(&manifest.head, &manifest.body()?));
            let lacking = match looked {
                Ok(lacking) => lacking,
                Err(StoreError::Damaged(finding)) => Some(*finding),
                Err(StoreError::NoSuchCheckpoint(_)) => None,
                Err(error) => return Err(error),
            };
            // A checkpoint that was pruned a moment ago lacks nothing.
            let is_gone = || {
                matches!(
                    Manifest::open(&self.medium, id),
                    Err(StoreError::NoSuchCheckpoint(_))
                )
            };
            if let Some(lacking) = lacking.filter(|_| !is_gone()) {
                found.insert(id, lacking);
            }
        }
        Ok(found)
    }
    /// Orders checkpoints of one guest, given oldest first, for a restart that tries them from the back: those that are not whole
    /// come before all others, and so serve when nothing else does. Also gives what the moved ones lack.
    ///
    /// # Errors
    /// As of [`not_whole`](Self::not_whole).
    pub fn whole_last(
        &self,
        ids: Vec<CheckpointId>,
    ) -> Result<(Vec<CheckpointId>, BTreeMap<CheckpointId, Finding>), StoreError> {
        let lacking = self.not_whole(ids.iter().copied())?;
        let (mut ordered, whole): (Vec<_>, Vec<_>) = ids.into_iter().partition(|id| lacking.contains_key(id));
        ordered.extend(whole);
        Ok((ordered, lacking))
    }
}

//! Whether a checkpoint has all that it needs, as far as manifests and footers tell: no page is read.
//!
//! A checkpoint is *whole* if its head and its map read, each of its segments is there with a footer that reads, and every
//! page of the map is in a frame that a footer names. What verification alone can find, a frame with wrong bytes, is not seen.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use super::frame::FrameEntry;
use super::manifest::{Body, Head, Manifest};
use super::page_map::{Run, Source};
use super::segment::SegmentReader;
use super::{CheckpointId, Finding, SegmentName, Store, StoreError};

/// Frames of which places and lengths are kept for those who ask a second time, all segments together: 24 MiB.
const FRAMES_KEPT_MAX: usize = 1 << 20;

/// Looks at segments and keeps what it saw, so that each footer is read once however many checkpoints need it.
#[derive(Debug)]
pub(super) struct Footers<'s> {
    store: &'s Store,
    seen: BTreeMap<SegmentName, Result<Seen, Finding>>,
    frames_kept: usize,
}

/// What a footer says.
#[derive(Debug)]
struct Seen {
    /// Slots that have a frame, ascending, as few ranges as possible.
    present: Vec<Range<u32>>,
    /// The frames themselves, while there is room for them.
    frames: Option<Rc<[FrameEntry]>>,
}

impl Seen {
    fn holds(&self, slots: &Range<u32>) -> bool {
        let after = self.present.partition_point(|present| present.end <= slots.start);
        let present = self.present.get(after);
        present.is_some_and(|present| present.start <= slots.start && slots.end <= present.end)
    }
}

impl<'s> Footers<'s> {
    pub(super) fn new(store: &'s Store) -> Self {
        Footers {
            store,
            seen: BTreeMap::new(),
            frames_kept: 0,
        }
    }

    /// The frames of a segment, or what is wrong with it.
    pub(super) fn frames(
        &mut self,
        name: SegmentName,
    ) -> Result<Result<Rc<[FrameEntry]>, Finding>, StoreError> {
        match self.look(name)? {
            Err(finding) => return Ok(Err(finding.clone())),
            Ok(Seen {
                frames: Some(frames), ..
            }) => return Ok(Ok(Rc::clone(frames))),
            Ok(_) => {}
        }
        match SegmentReader::open(&self.store.medium, name) {
            Ok(segment) => Ok(Ok(segment.footer.frames.into())),
            Err(StoreError::Damaged(finding)) => Ok(Err(*finding)),
            Err(error) => Err(error),
        }
    }

    /// The first thing that a checkpoint needs and does not have.
    pub(super) fn lacking(&mut self, head: &Head, body: &Body) -> Result<Option<Finding>, StoreError> {
        for &run in &body.runs {
            let run = Run::from(run);
            let Source::Stored { segment, slot } = run.source else {
                continue;
            };
            let (name, slots) = (head.segments[segment as usize], slot..slot + run.count);
            let lacking = match self.look(name)? {
                Ok(seen) if seen.holds(&slots) => continue,
                Ok(_) => {
                    let what = format!(
                        "expected frames with the pages in slots {} to {}, which the checkpoint needs",
                        slots.start,
                        slots.end - 1
                    );
                    Finding::new(super::files::segment_path(name), None, what)
                }
                Err(finding) => finding.clone(),
            };
            return Ok(Some(lacking.of(head.info.id)));
        }
        Ok(None)
    }

    fn look(&mut self, name: SegmentName) -> Result<&Result<Seen, Finding>, StoreError> {
        if !self.seen.contains_key(&name) {
            let seen = match SegmentReader::open(&self.store.medium, name) {
                Ok(segment) => Ok(self.keep(segment.footer.frames)),
                Err(StoreError::Damaged(finding)) => Err(*finding),
                Err(error) => return Err(error),
            };
            self.seen.insert(name, seen);
        }
        Ok(&self.seen[&name])
    }

    fn keep(&mut self, frames: Vec<FrameEntry>) -> Seen {
        let mut present: Vec<Range<u32>> = Vec::new();
        for frame in &frames {
            match present.last_mut() {
                Some(last) if last.end == frame.first_slot => last.end = frame.end_slot(),
                _ => present.push(frame.first_slot..frame.end_slot()),
            }
        }
        let room = FRAMES_KEPT_MAX - self.frames_kept;
        let frames = (frames.len() <= room).then(|| {
            self.frames_kept += frames.len();
            frames.into()
        });
        Seen { present, frames }
    }
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
        let (mut footers, mut found) = (Footers::new(self), BTreeMap::new());
        for id in ids {
            let lacking = match self.map_of(id) {
                Ok((head, body)) => footers.lacking(&head, &body)?,
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

    /// Reads a manifest.
    pub(super) fn map_of(&self, id: CheckpointId) -> Result<(Head, Body), StoreError> {
        let manifest = Manifest::open(&self.medium, id)?;
        let body = manifest.body()?;
        Ok((manifest.head, body))
    }
}

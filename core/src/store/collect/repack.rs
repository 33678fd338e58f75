//! A segment rewritten without what no checkpoint needs.
//!
//! Frames of which every page is needed are taken over as they are, those of which none is are left out. Of the others the
//! needed pages become frames of their own, one for each stretch of slots, if that takes less than the frame does.

use std::ops::Range;

use super::Alone;
use crate::clock::Work;
use crate::store::files::{SEGMENTS, TmpFile, segment_path};
use crate::store::frame::{Codec, FrameEntry};
use crate::store::segment::{SegmentReader, SegmentRewriter, taken_bytes};
use crate::store::slots::SlotSet;
use crate::store::{SegmentName, Store, StoreError};
use crate::units::PAGE_SIZE;

/// Bytes copied in one go when a segment gets its content back.
const COPY_BYTES: u64 = 1 << 20;

/// What becomes of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// No page is needed.
    Gone,
    /// All are.
    Whole,
    /// Those of these slots are: ascending, with gaps between them.
    Part(Vec<Range<u32>>),
}

impl Fate {
    pub(super) fn of(frame: &FrameEntry, needed: Option<&SlotSet>) -> Self {
        let mut stretches: Vec<Range<u32>> = Vec::new();
        for slot in frame.first_slot..frame.end_slot() {
            if !needed.is_some_and(|needed| needed.contains(slot)) {
                continue;
            }
            match stretches.last_mut() {
                Some(last) if last.end == slot => last.end += 1,
                _ => stretches.push(slot..slot + 1),
            }
        }
        match stretches.as_slice() {
            [] => Fate::Gone,
            [all] if all.len() == usize::from(frame.pages) => Fate::Whole,
            _ => Fate::Part(stretches),
        }
    }
}

/// Makes smaller frames of a part of one, in buffers that are used again.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    codec: Codec,
    stored: Vec<u8>,
    pages: Vec<u8>,
    /// The new frames, and first slot, pages and length of each.
    pub(super) bytes: Vec<u8>,
    pub(super) frames: Vec<(u32, u8, u32)>,
}

impl Splitter {
    /// Makes frames of these slots of a frame. Tells what they take together, if that is less than what the frame takes.
    pub(super) fn split(
        &mut self,
        segment: &SegmentReader,
        frame: &FrameEntry,
        stretches: &[Range<u32>],
        level: i32,
    ) -> Result<Option<u64>, StoreError> {
        self.stored.resize(frame.len_bytes as usize, 0);
        segment.file.read_at(frame.offset, &mut self.stored)?;
        self.pages.resize(frame.page_bytes(), 0);
        let digests = segment.footer.digests_of(frame);
        self.codec
            .decode(&self.stored, frame, digests, &mut self.pages)
            .map_err(|e| segment.file.finding(frame.offset + e.at, e.what))?;
        self.bytes.clear();
        self.frames.clear();
        for slots in stretches {
            let byte = |slot: u32| (slot - frame.first_slot) as usize * PAGE_SIZE;
            let pages = &self.pages[byte(slots.start)..byte(slots.end)];
            let encoded = self.codec.encode(pages, slots.start, level, &mut self.bytes);
            let count = u8::try_from(slots.len()).expect("within a frame");
            self.frames
                .push((slots.start, count, encoded.map_err(StoreError::Codec)?));
        }
        let taken = self
            .frames
            .iter()
            .map(|&(_, _, len_bytes)| taken_bytes(len_bytes))
            .sum();
        Ok((taken < taken_bytes(frame.len_bytes)).then_some(taken))
    }
}

impl Store {
    /// Rewrites a segment with what is needed of it; tells the length of the file, `None` if it would be no shorter and
    /// so is left as it is. The name is durable after the `sync_dir` that the caller owes.
    pub(super) fn repack(
        &self,
        name: SegmentName,
        needed: &SlotSet,
        alone: Alone<'_>,
    ) -> Result<Option<u64>, StoreError> {
        let segment = SegmentReader::open(&self.medium, name)?;
        let (digests, level) = (segment.footer.digests.clone(), self.options.compression_level);
        let mut rewriter = SegmentRewriter::begin(&*self.medium, name, digests, level)?;
        let mut splitter = Splitter::default();
        let mut shorter = false;
        let mut pages = 0;
        for frame in &segment.footer.frames {
            match Fate::of(frame, Some(needed)) {
                Fate::Gone => shorter = true,
                Fate::Whole => rewriter.copy(&segment, frame)?,
                Fate::Part(stretches) => {
                    pages += stretches.iter().map(|slots| slots.len() as u64).sum::<u64>();
                    if splitter.split(&segment, frame, &stretches, level)?.is_some() {
                        rewriter.frames(&splitter.bytes, &splitter.frames)?;
                        shorter = true;
                    } else {
                        rewriter.copy(&segment, frame)?;
                    }
                }
            }
        }
        self.clock.wait_for(self.clock.hand_out(Work::Compress { pages }));
        if !shorter {
            return Ok(None);
        }
        alone()?;
        let len_bytes = rewriter.publish()?;
        let still_alone = alone();
        if still_alone.is_err() {
            // Who was let in before may have found a page in a frame that is gone now, and share it.
            self.put_back(name, &segment)?;
        }
        still_alone.map(|()| Some(len_bytes))
    }

    /// Gives a segment the content again that is still open for reading.
    fn put_back(&self, name: SegmentName, segment: &SegmentReader) -> Result<(), StoreError> {
        let mut file = TmpFile::create(&*self.medium)?;
        let mut at = 0;
        while at < segment.file.len_bytes() {
            let len = COPY_BYTES.min(segment.file.len_bytes() - at);
            file.append(&segment.file.read_vec(at, len, "the segment")?)?;
            at += len;
        }
        file.seal()?;
        file.publish(&segment_path(name))?;
        Ok(self.medium.sync_dir(SEGMENTS)?)
    }
}

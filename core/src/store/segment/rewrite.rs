//! A segment once more, with other frames: compaction and repair.
//!
//! The digests of all slots stay, and with them the name: what refers to the segment needs no change.

use crate::medium::Medium;
use crate::store::frame::{self, Codec, FRAME_PAGES, FrameEntry};
use crate::store::id::Digest;
use crate::store::{SegmentName, StoreError, files};
use crate::units::PAGE_SIZE;

use super::{SegmentReader, SegmentWriter};

/// Bytes gathered before they are appended.
const GATHER_BYTES: usize = 1 << 20;

/// A segment being rewritten: frames come in ascending order of slots, as they are or made of pages. Dropped before
/// [`publish`](Self::publish) it leaves the old segment in its place.
#[derive(Debug)]
pub(in crate::store) struct SegmentRewriter<'m> {
    name: SegmentName,
    writer: SegmentWriter<'m>,
    codec: Codec,
    level: i32,
    /// Frames that are not appended yet: for each its first slot, pages and length.
    gathered: Vec<u8>,
    frames: Vec<(u32, u8, u32)>,
    /// Slots before this one have what they get.
    next_slot: u32,
}

impl<'m> SegmentRewriter<'m> {
    /// Begins with the digests of all slots the segment ever had. Frames made of pages are compressed at `level`.
    pub(in crate::store) fn begin(
        medium: &'m dyn Medium,
        name: SegmentName,
        digests: Vec<Digest>,
        level: i32,
    ) -> Result<Self, StoreError> {
        debug_assert_eq!(SegmentName::of(&digests), name, "these are not its digests");
        let mut writer = SegmentWriter::create(medium)?;
        writer.inherit(digests);
        Ok(SegmentRewriter {
            name,
            writer,
            codec: Codec::default(),
            level,
            gathered: Vec::new(),
            frames: Vec::new(),
            next_slot: 0,
        })
    }

    /// Takes over a frame unchanged. One that is damaged is an error: it is not copied as if it were sound.
    pub(in crate::store) fn copy(
        &mut self,
        segment: &SegmentReader,
        entry: &FrameEntry,
    ) -> Result<(), StoreError> {
        let start = self.read(segment, entry)?;
        frame::check(&self.gathered[start..], entry)
            .map_err(|e| segment.file.finding(entry.offset + e.at, e.what))?;
        self.put(entry.first_slot, entry.pages, entry.len_bytes)
    }

    /// Takes over a damaged frame as it is: it stays damaged, and what is left of it is not lost.
    pub(in crate::store) fn copy_damaged(
        &mut self,
        segment: &SegmentReader,
        entry: &FrameEntry,
    ) -> Result<(), StoreError> {
        self.read(segment, entry)?;
        self.put(entry.first_slot, entry.pages, entry.len_bytes)
    }

    /// Makes frames of whole pages for the slots from `first_slot` on. The caller has held each page against its digest.
    pub(in crate::store) fn pages(&mut self, first_slot: u32, pages: &[u8]) -> Result<(), StoreError> {
        let mut slot = first_slot;
        for some in pages.chunks(FRAME_PAGES * PAGE_SIZE) {
            let count = u8::try_from(some.len() / PAGE_SIZE).expect("at most 16");
            let encoded = self.codec.encode(some, slot, self.level, &mut self.gathered);
            self.put(slot, count, encoded.map_err(StoreError::Codec)?)?;
            slot += u32::from(count);
        }
        Ok(())
    }

    /// Takes frames that are made already and lie one after the other in `bytes`: for each its first slot, pages and length.
    pub(in crate::store) fn frames(
        &mut self,
        bytes: &[u8],
        frames: &[(u32, u8, u32)],
    ) -> Result<(), StoreError> {
        let mut rest = bytes;
        for &(first_slot, pages, len_bytes) in frames {
            let (frame, behind) = rest.split_at(len_bytes as usize);
            self.gathered.extend_from_slice(frame);
            self.put(first_slot, pages, len_bytes)?;
            rest = behind;
        }
        Ok(())
    }

    /// Makes all of it durable and puts it in the place of the old segment; tells its length in bytes. The name is durable
    /// after the `sync_dir` that the caller owes.
    pub(in crate::store) fn publish(mut self) -> Result<u64, StoreError> {
        self.flush()?;
        let sealed = self.writer.seal()?;
        debug_assert_eq!(sealed.name, self.name, "the digests are all still there");
        let len_bytes = sealed.file.len_bytes();
        sealed.file.publish(&files::segment_path(self.name))?;
        Ok(len_bytes)
    }

    /// Reads a frame behind what is gathered; tells where that is.
    fn read(&mut self, segment: &SegmentReader, entry: &FrameEntry) -> Result<usize, StoreError> {
        let start = self.gathered.len();
        self.gathered.resize(start + entry.len_bytes as usize, 0);
        segment.file.read_at(entry.offset, &mut self.gathered[start..])?;
        Ok(start)
    }

    /// Notes what was put behind `gathered`.
    fn put(&mut self, first_slot: u32, pages: u8, len_bytes: u32) -> Result<(), StoreError> {
        debug_assert!(first_slot >= self.next_slot, "frames come in order of slots");
        self.next_slot = first_slot + u32::from(pages);
        self.frames.push((first_slot, pages, len_bytes));
        if self.gathered.len() >= GATHER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        if !self.frames.is_empty() {
            self.writer.append(&self.gathered, &self.frames)?;
            self.gathered.clear();
            self.frames.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use proptest::prelude::*;

    use super::*;
    use crate::medium::Medium;
    use crate::store::id::page_digest;
    use crate::store::tests::memory::MemoryMedium;
    use crate::units::{Page, ZERO_PAGE};

    fn page(slot: usize) -> Page {
        let mut page = ZERO_PAGE;
        page[0] = u8::try_from(slot % 256).unwrap();
        page[1..9].copy_from_slice(&slot.to_le_bytes());
        page
    }

    /// The pages of every slot that has a frame, each held against its digest.
    fn read(medium: &Rc<dyn Medium>, name: SegmentName) -> Vec<Option<Page>> {
        let segment = SegmentReader::open(medium, name).unwrap();
        let mut found = vec![None; segment.footer.digests.len()];
        for entry in &segment.footer.frames {
            let mut stored = vec![0; entry.len_bytes as usize];
            segment.file.read_at(entry.offset, &mut stored).unwrap();
            let mut pages = vec![0; entry.page_bytes()];
            let digests = segment.footer.digests_of(entry);
            Codec::default()
                .decode(&stored, entry, digests, &mut pages)
                .unwrap();
            for (page, slot) in pages.as_chunks().0.iter().zip(entry.first_slot as usize..) {
                found[slot] = Some(*page);
            }
        }
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        /// Any part of the slots, taken over as frames or made anew, is there afterwards, under the same name; no other is.
        #[test]
        fn holds_what_was_put_and_nothing_else(
            kept in prop::collection::vec((any::<bool>(), any::<bool>(), 1..40usize), 1..12),
        ) {
            let slots: usize = kept.iter().map(|(_, _, count)| count).sum();
            let pages: Vec<Page> = (0..slots).map(page).collect();
            let digests: Vec<Digest> = pages.iter().map(page_digest).collect();
            let name = SegmentName::of(&digests);
            let medium: Rc<dyn Medium> = MemoryMedium::new();
            let mut whole = SegmentRewriter::begin(&*medium, name, digests.clone(), 1).unwrap();
            whole.pages(0, pages.as_flattened()).unwrap();
            whole.publish().unwrap();
            prop_assert!(read(&medium, name).iter().all(Option::is_some));

            let segment = SegmentReader::open(&medium, name).unwrap();
            let mut again = SegmentRewriter::begin(&*medium, name, digests, 1).unwrap();
            let (mut at, mut expected) = (0, vec![None; slots]);
            for (keep, as_pages, count) in kept {
                let range = at..at + count;
                at = range.end;
                if keep && as_pages {
                    again.pages(u32::try_from(range.start).unwrap(), pages[range.clone()].as_flattened()).unwrap();
                    range.for_each(|slot| expected[slot] = Some(pages[slot]));
                } else if keep {
                    let within = |f: &&FrameEntry| range.contains(&(f.first_slot as usize)) && f.end_slot() as usize <= range.end;
                    for frame in segment.footer.frames.iter().filter(within) {
                        again.copy(&segment, frame).unwrap();
                        (frame.first_slot as usize..frame.end_slot() as usize).for_each(|slot| expected[slot] = Some(pages[slot]));
                    }
                }
            }
            if expected.iter().any(Option::is_some) {
                again.publish().unwrap();
                prop_assert_eq!(read(&medium, name), expected);
            }
        }
    }
}

//! The index of a segment.

use super::HEADER;
use crate::store::SegmentName;
use crate::store::frame::{FRAME_BYTES_MAX, FRAME_BYTES_MIN, FRAME_PAGES, FrameEntry};
use crate::store::id::{Digest, digest};
use crate::store::page_map::SLOTS_MAX;
use crate::store::wire::{Fields, Malformed, Put};

/// Bytes at the end of a segment that say where the footer is.
pub(in crate::store) const TRAILER: usize = 48;
const END_MAGIC: [u8; 8] = *b"RVSEGEND";
const ENTRY: usize = 9;
/// The longest footer.
const LEN_MAX: u64 = 8 + SLOTS_MAX as u64 * (ENTRY as u64 + 16);

/// Which frames a segment has and which page is in which slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Footer {
    /// Frames in ascending order of slots.
    pub(in crate::store) frames: Vec<FrameEntry>,
    /// Digest of every slot ever assigned, also of those whose frame is gone.
    pub(in crate::store) digests: Vec<Digest>,
}

/// What the trailer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trailer {
    pub(super) name: SegmentName,
    pub(super) footer_len: u64,
    checksum: Digest,
}

impl Footer {
    /// Number of the frame that holds a slot.
    pub(in crate::store) fn frame_of(&self, slot: u32) -> Option<usize> {
        let after = self.frames.partition_point(|f| f.first_slot <= slot);
        let index = after.checked_sub(1)?;
        (slot < self.frames[index].end_slot()).then_some(index)
    }

    /// Digests of a frame's pages.
    pub(in crate::store) fn digests_of(&self, frame: &FrameEntry) -> &[Digest] {
        &self.digests[frame.first_slot as usize..frame.end_slot() as usize]
    }

    pub(in crate::store) fn name(&self) -> SegmentName {
        SegmentName::of(&self.digests)
    }

    /// Footer and trailer.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + self.frames.len() * ENTRY + self.digests.len() * 16 + TRAILER);
        let count = |n: usize| u32::try_from(n).expect("at most 2^20 slots");
        bytes.put_u32(count(self.digests.len()));
        bytes.put_u32(count(self.frames.len()));
        for frame in &self.frames {
            bytes.put_u32(frame.first_slot);
            bytes.put_u32(frame.len_bytes);
            bytes.push(frame.pages);
        }
        bytes.extend_from_slice(self.digests.as_flattened());
        let len = bytes.len() as u64;
        bytes.extend_from_slice(&self.name().0);
        bytes.put_u64(len);
        let checksum = digest(&bytes);
        bytes.extend_from_slice(&checksum);
        bytes.extend_from_slice(&END_MAGIC);
        bytes
    }

    /// Understands footer and name and length of the trailer, `file_len` being the length of the whole file.
    pub(super) fn decode(bytes: &[u8], trailer: &Trailer, file_len: u64) -> Result<Footer, Malformed> {
        let mut checked = blake3::Hasher::new();
        checked
            .update(bytes)
            .update(&trailer.name.0)
            .update(&trailer.footer_len.to_le_bytes());
        if checked.finalize().as_bytes()[..16] != trailer.checksum {
            return Err(Malformed::new(0, "footer: checksum mismatch"));
        }
        let mut fields = Fields::new(bytes);
        let slots = fields.count(u64::from(SLOTS_MAX), "slots")?;
        let count = fields.count(slots as u64, "frames")?;
        if fields.rest() != count * ENTRY + slots * 16 || count == 0 {
            return Err(Malformed::new(
                8,
                format!("footer: {count} frames and {slots} slots are not of its length"),
            ));
        }
        let mut frames = Vec::with_capacity(count);
        let (mut slot, mut offset) = (0, HEADER as u64);
        for _ in 0..count {
            let at = fields.at();
            let frame = frame_entry(&mut fields, offset)?;
            if frame.first_slot < slot || frame.first_slot >= SLOTS_MAX || frame.end_slot() as usize > slots {
                return Err(Malformed::new(
                    at,
                    "footer: frames out of order or beyond the slots",
                ));
            }
            (slot, offset) = (frame.end_slot(), offset + u64::from(frame.len_bytes));
            frames.push(frame);
        }
        if offset + bytes.len() as u64 + TRAILER as u64 != file_len {
            let what = format!("footer: frames end at byte {offset}, which is not where the footer starts");
            return Err(Malformed::new(8, what));
        }
        let digests = fields.take(slots * 16, "digests")?.as_chunks().0.to_vec();
        let footer = Footer { frames, digests };
        if footer.name() == trailer.name {
            Ok(footer)
        } else {
            Err(Malformed::new(
                bytes.len(),
                "segment name: is not that of the page digests",
            ))
        }
    }
}

/// What a frame of this length takes: itself and its line of the footer.
pub(in crate::store) fn taken_bytes(len_bytes: u32) -> u64 {
    u64::from(len_bytes) + ENTRY as u64
}

impl FrameEntry {
    /// What so many of its pages take. A page weighs as much as the others of its frame.
    pub(in crate::store) fn share_bytes(&self, pages: usize) -> u64 {
        taken_bytes(self.len_bytes) * pages as u64 / u64::from(self.pages)
    }
}

fn frame_entry(fields: &mut Fields<'_>, offset: u64) -> Result<FrameEntry, Malformed> {
    let at = fields.at();
    let (first_slot, len_bytes) = (fields.u32("first slot")?, fields.u32("frame length")?);
    let pages = fields.u8("pages")?;
    let lengths = FRAME_BYTES_MIN..=FRAME_BYTES_MAX;
    if !(1..=FRAME_PAGES).contains(&usize::from(pages)) || !lengths.contains(&(len_bytes as usize)) {
        return Err(Malformed::new(
            at,
            format!("footer: no frame has {pages} pages in {len_bytes} bytes"),
        ));
    }
    Ok(FrameEntry {
        first_slot,
        pages,
        len_bytes,
        offset,
    })
}

impl Trailer {
    pub(super) fn decode(bytes: &[u8; TRAILER], file_len: u64) -> Result<Trailer, Malformed> {
        let mut fields = Fields::new(bytes);
        let (name, footer_len) = (SegmentName(fields.array("name")?), fields.u64("footer length")?);
        let checksum = fields.array("checksum")?;
        if fields.array::<8>("magic")? != END_MAGIC {
            return Err(Malformed::new(TRAILER - 8, "expected the end mark of a segment"));
        }
        if footer_len > LEN_MAX.min(file_len.saturating_sub((HEADER + TRAILER) as u64)) {
            return Err(Malformed::new(
                16,
                format!("footer length {footer_len} does not fit in the file"),
            ));
        }
        Ok(Trailer {
            name,
            footer_len,
            checksum,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_footer() -> impl Strategy<Value = Footer> {
        prop::collection::vec((1..=16u8, 0..3u32, any::<u16>()), 1..30).prop_map(|frames| {
            let (mut slot, mut offset) = (0, HEADER as u64);
            let mut entries = Vec::new();
            for (pages, gap, len) in frames {
                let len_bytes = u32::try_from(FRAME_BYTES_MIN).unwrap() + u32::from(len);
                entries.push(FrameEntry {
                    first_slot: slot + gap,
                    pages,
                    len_bytes,
                    offset,
                });
                slot += gap + u32::from(pages);
                offset += u64::from(len_bytes);
            }
            Footer {
                frames: entries,
                digests: (0..slot).map(|i| digest(&i.to_le_bytes())).collect(),
            }
        })
    }

    fn decode(bytes: &[u8], before: u64) -> Result<Footer, Malformed> {
        let Some((rest, trailer)) = bytes.split_last_chunk() else {
            return Err(Malformed::new(0, "short"));
        };
        let file_len = before + bytes.len() as u64;
        let trailer = Trailer::decode(trailer, file_len)?;
        Footer::decode(
            &rest[rest
                .len()
                .saturating_sub(usize::try_from(trailer.footer_len).unwrap())..],
            &trailer,
            file_len,
        )
    }

    proptest! {
        #[test]
        fn comes_back_or_complains(footer in any_footer(), at in any::<prop::sample::Index>(), flip in 1..=255u8) {
            let last = footer.frames.last().unwrap();
            let before = last.offset + u64::from(last.len_bytes);
            let mut bytes = footer.encode();
            prop_assert_eq!(decode(&bytes, before).unwrap(), footer.clone());
            for slot in 0..footer.digests.len() {
                let slot = u32::try_from(slot).unwrap();
                let holds = |f: &FrameEntry| f.first_slot <= slot && slot < f.end_slot();
                prop_assert_eq!(footer.frame_of(slot), footer.frames.iter().position(holds));
            }
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert!(decode(&bytes, before).is_err());
        }

        /// Any body under a right checksum: an error, or a footer that holds together.
        #[test]
        fn decoding_never_panics(
            slots in 0..40u32,
            frames in prop::collection::vec((0..40u32, 0..70_000u32, 0..18u8), 0..5),
            tail in prop::collection::vec(any::<u8>(), 0..700),
        ) {
            let mut bytes = Vec::new();
            bytes.put_u32(slots);
            bytes.put_u32(u32::try_from(frames.len()).unwrap());
            for (first, len, pages) in frames {
                bytes.put_u32(first);
                bytes.put_u32(len);
                bytes.push(pages);
            }
            bytes.extend_from_slice(&tail);
            let mut trailer = Trailer { name: SegmentName([0; 16]), footer_len: bytes.len() as u64, checksum: [0; 16] };
            let mut checked = blake3::Hasher::new();
            checked.update(&bytes).update(&trailer.name.0).update(&trailer.footer_len.to_le_bytes());
            trailer.checksum.copy_from_slice(&checked.finalize().as_bytes()[..16]);
            prop_assert!(Footer::decode(&bytes, &trailer, bytes.len() as u64 + 64).is_err());
        }
    }
}

//! Up to 16 pages, compressed together and checked together.

use super::id::{Digest, digest, page_digest};
use super::wire::{Fields, Malformed};
use crate::units::PAGE_SIZE;

/// Pages of a frame at most: 64 KiB is where zstd gains little from more, and what fetching one page costs.
pub(super) const FRAME_PAGES: usize = 16;
const HEADER: usize = 12;
const CHECKSUM: usize = 16;
/// Length of the longest frame.
pub(super) const FRAME_BYTES_MAX: usize = HEADER + FRAME_PAGES * PAGE_SIZE + CHECKSUM;
/// Length of the shortest frame: a payload of one byte.
pub(super) const FRAME_BYTES_MIN: usize = HEADER + 1 + CHECKSUM;

const RAW: u8 = 0;
const ZSTD: u8 = 1;

/// What a footer says of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameEntry {
    /// Slot of the first page.
    pub(super) first_slot: u32,
    /// Pages, 1 to [`FRAME_PAGES`].
    pub(super) pages: u8,
    /// Length of the whole frame.
    pub(super) len_bytes: u32,
    /// Where it starts in its file.
    pub(super) offset: u64,
}

impl FrameEntry {
    /// One past the last slot.
    pub(super) fn end_slot(&self) -> u32 {
        self.first_slot + u32::from(self.pages)
    }

    pub(super) fn page_bytes(&self) -> usize {
        usize::from(self.pages) * PAGE_SIZE
    }
}

/// A compressor and a decompressor, made at first use and kept.
#[derive(Default)]
pub(super) struct Codec {
    compressor: Option<(i32, zstd::bulk::Compressor<'static>)>,
    decompressor: Option<zstd::bulk::Decompressor<'static>>,
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Codec").finish_non_exhaustive()
    }
}

impl Codec {
    /// Appends a frame of `pages` (whole pages, 1 to [`FRAME_PAGES`] of them) to `out` and tells its length. The error is the
    /// compressor's.
    pub(super) fn encode(
        &mut self,
        pages: &[u8],
        first_slot: u32,
        level: i32,
        out: &mut Vec<u8>,
    ) -> Result<u32, String> {
        debug_assert!(
            pages.len().is_multiple_of(PAGE_SIZE) && (1..=FRAME_PAGES).contains(&(pages.len() / PAGE_SIZE))
        );
        let start = out.len();
        let payload_at = start + HEADER;
        out.resize(payload_at + pages.len(), 0);
        // Room for less than the pages themselves: what does not get smaller is stored as it is.
        let room = &mut out[payload_at..payload_at + pages.len() - 1];
        let (codec, payload) = if let Ok(len) = self.compressor(level)?.compress_to_buffer(pages, room) {
            (ZSTD, len)
        } else {
            out[payload_at..].copy_from_slice(pages);
            (RAW, pages.len())
        };
        out.truncate(payload_at + payload);
        let header = &mut out[start..payload_at];
        header[0..4].copy_from_slice(&len_u32(payload).to_le_bytes());
        header[4..8].copy_from_slice(&first_slot.to_le_bytes());
        header[8..10].copy_from_slice(&[u8::try_from(pages.len() / PAGE_SIZE).expect("at most 16"), codec]);
        let checksum = digest(&out[start..]);
        out.extend_from_slice(&checksum);
        Ok(len_u32(out.len() - start))
    }

    /// Fills `out` with the pages of a stored frame. `digests` are the footer's for them.
    pub(super) fn decode(
        &mut self,
        stored: &[u8],
        entry: &FrameEntry,
        digests: &[Digest],
        out: &mut [u8],
    ) -> Result<(), Malformed> {
        let (codec, payload) = check(stored, entry)?;
        match codec {
            RAW => out.copy_from_slice(payload),
            _ => match self.decompressor().map(|d| d.decompress_to_buffer(payload, out)) {
                Ok(Ok(len)) if len == out.len() => {}
                Ok(Ok(len)) => {
                    let what = format!("frame: expected {} bytes of pages, decompressed {len}", out.len());
                    return Err(Malformed::new(HEADER, what));
                }
                Ok(Err(error)) | Err(error) => {
                    return Err(Malformed::new(
                        HEADER,
                        format!("frame: expected zstd data: {error}"),
                    ));
                }
            },
        }
        for (i, (page, expected)) in out.as_chunks::<PAGE_SIZE>().0.iter().zip(digests).enumerate() {
            if page_digest(page) != *expected {
                let what = format!(
                    "page in slot {}: its digest is not the footer's",
                    entry.first_slot as usize + i
                );
                return Err(Malformed::new(HEADER, what));
            }
        }
        Ok(())
    }

    /// Fills `out` with what a frame's payload expands to, without looking at anything around it: pages of a damaged frame may
    /// be sound all the same, which their digests tell. False if it does not expand.
    pub(super) fn salvage(&mut self, stored: &[u8], out: &mut [u8]) -> bool {
        let payload = stored
            .len()
            .checked_sub(CHECKSUM)
            .and_then(|end| stored.get(HEADER..end));
        match payload {
            Some(payload) if payload.len() == out.len() => out.copy_from_slice(payload),
            Some(payload) => {
                let expanded = self.decompressor().map(|d| d.decompress_to_buffer(payload, out));
                return matches!(expanded, Ok(Ok(len)) if len == out.len());
            }
            None => return false,
        }
        true
    }

    fn compressor(&mut self, level: i32) -> Result<&mut zstd::bulk::Compressor<'static>, String> {
        if self
            .compressor
            .as_ref()
            .is_none_or(|(made_for, _)| *made_for != level)
        {
            self.compressor = Some((
                level,
                zstd::bulk::Compressor::new(level).map_err(|e| e.to_string())?,
            ));
        }
        Ok(&mut self.compressor.as_mut().expect("just made").1)
    }

    fn decompressor(&mut self) -> std::io::Result<&mut zstd::bulk::Decompressor<'static>> {
        if self.decompressor.is_none() {
            self.decompressor = Some(zstd::bulk::Decompressor::new()?);
        }
        Ok(self.decompressor.as_mut().expect("just made"))
    }
}

/// Checks everything about a stored frame but its pages; gives codec and payload.
pub(super) fn check<'a>(stored: &'a [u8], entry: &FrameEntry) -> Result<(u8, &'a [u8]), Malformed> {
    let (body, checksum) = stored
        .split_last_chunk::<CHECKSUM>()
        .filter(|(body, _)| body.len() > HEADER)
        .ok_or_else(|| Malformed::new(0, "frame: shorter than its header and checksum"))?;
    if digest(body) != *checksum {
        return Err(Malformed::new(
            0,
            format!("frame of {} bytes: checksum mismatch", stored.len()),
        ));
    }
    let mut fields = Fields::new(body);
    let payload = fields.u32("payload length")? as usize;
    let (first_slot, pages, codec) = (
        fields.u32("first slot")?,
        fields.u8("pages")?,
        fields.u8("codec")?,
    );
    let reserved = fields.array::<2>("reserved")?;
    if payload != body.len() - HEADER
        || first_slot != entry.first_slot
        || pages != entry.pages
        || reserved != [0; 2]
    {
        return Err(Malformed::new(0, "frame: header is not what the footer says"));
    }
    if codec > ZSTD || (codec == RAW && payload != entry.page_bytes()) {
        return Err(Malformed::new(
            9,
            format!("frame: unknown codec {codec}, or of wrong length"),
        ));
    }
    Ok((codec, &body[HEADER..]))
}

fn len_u32(len: usize) -> u32 {
    u32::try_from(len).expect("a frame has at most 64 KiB and a little")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pages(seeds: &[(u8, bool)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for &(seed, noisy) in seeds {
            let mut noise = blake3::Hasher::new().update(&[seed]).finalize_xof();
            let start = bytes.len();
            bytes.resize(start + PAGE_SIZE, seed);
            if noisy {
                noise.fill(&mut bytes[start..]);
            }
        }
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Any frame comes back, and no single changed byte goes unnoticed.
        #[test]
        fn comes_back_or_complains(
            seeds in prop::collection::vec(any::<(u8, bool)>(), 1..=FRAME_PAGES),
            first_slot in 0..1000u32,
            (at, flip) in (any::<prop::sample::Index>(), 1..=255u8),
        ) {
            let (pages, mut codec, mut stored) = (pages(&seeds), Codec::default(), vec![1, 2, 3]);
            let len_bytes = codec.encode(&pages, first_slot, 1, &mut stored).unwrap();
            let mut stored = stored.split_off(3);
            prop_assert_eq!(stored.len(), len_bytes as usize);
            prop_assert!((FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&stored.len()));
            let entry = FrameEntry { first_slot, pages: u8::try_from(seeds.len()).unwrap(), len_bytes, offset: 0 };
            let digests: Vec<Digest> = pages.as_chunks().0.iter().map(page_digest).collect();
            let mut out = vec![0xEE; pages.len()];
            codec.decode(&stored, &entry, &digests, &mut out).unwrap();
            prop_assert_eq!(&out, &pages);
            let at = at.index(stored.len());
            stored[at] ^= flip;
            prop_assert!(codec.decode(&stored, &entry, &digests, &mut out).is_err());
        }

        /// Arbitrary bytes with a right checksum still cannot do harm.
        #[test]
        fn decoding_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..200), pages in 1..=16u8) {
            let checksum = digest(&bytes);
            bytes.extend_from_slice(&checksum);
            let entry = FrameEntry { first_slot: 0, pages, len_bytes: 0, offset: 0 };
            let mut out = vec![0; entry.page_bytes()];
            let _ = Codec::default().decode(&bytes, &entry, &vec![[0; 16]; usize::from(pages)], &mut out);
        }
    }
}

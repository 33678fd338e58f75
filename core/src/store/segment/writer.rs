//! A segment coming to be.

use super::{Footer, header};
use crate::medium::{Medium, MediumError};
use crate::store::SegmentName;
use crate::store::files::TmpFile;
use crate::store::frame::FrameEntry;
use crate::store::id::Digest;

/// A segment of which frames are still to come. Slots are assigned when a page is found to be new; its frame follows later,
/// in order.
#[derive(Debug)]
pub(in crate::store) struct SegmentWriter<'m> {
    file: TmpFile<'m>,
    footer: Footer,
}

/// A segment that is durable under a name in `tmp`.
#[derive(Debug)]
pub(in crate::store) struct SealedSegment<'m> {
    pub(in crate::store) file: TmpFile<'m>,
    pub(in crate::store) name: SegmentName,
}

impl<'m> SegmentWriter<'m> {
    pub(in crate::store) fn create(medium: &'m dyn Medium) -> Result<Self, MediumError> {
        let mut file = TmpFile::create(medium)?;
        file.append(&header())?;
        Ok(SegmentWriter {
            file,
            footer: Footer {
                frames: Vec::new(),
                digests: Vec::new(),
            },
        })
    }

    /// Assigns the next slot to a page.
    pub(in crate::store) fn assign(&mut self, digest: Digest) -> u32 {
        self.footer.digests.push(digest);
        self.slots() - 1
    }

    /// Slots assigned so far.
    pub(in crate::store) fn slots(&self) -> u32 {
        u32::try_from(self.footer.digests.len()).expect("a segment is closed at 2^20 slots")
    }

    pub(in crate::store) fn len_bytes(&self) -> u64 {
        self.file.len_bytes()
    }

    /// Appends frames that lie one after the other in `bytes`: for each its first slot, pages and length.
    pub(in crate::store) fn append(
        &mut self,
        bytes: &[u8],
        frames: &[(u32, u8, u32)],
    ) -> Result<(), MediumError> {
        let mut offset = self.file.len_bytes();
        self.file.append(bytes)?;
        for &(first_slot, pages, len_bytes) in frames {
            self.footer.frames.push(FrameEntry {
                first_slot,
                pages,
                len_bytes,
                offset,
            });
            offset += u64::from(len_bytes);
        }
        debug_assert_eq!(
            offset,
            self.file.len_bytes(),
            "the lengths are those of the frames"
        );
        Ok(())
    }

    /// Writes the footer and makes the file durable.
    pub(in crate::store) fn seal(mut self) -> Result<SealedSegment<'m>, MediumError> {
        self.file.append(&self.footer.encode())?;
        self.file.seal()?;
        Ok(SealedSegment {
            file: self.file,
            name: self.footer.name(),
        })
    }

    /// Writes what is left of a segment: its digests stay, some frames are gone.
    pub(in crate::store) fn inherit(&mut self, digests: Vec<Digest>) {
        self.footer.digests = digests;
    }
}

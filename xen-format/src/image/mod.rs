//! A checkpoint's memory as debuggers and forensic tools read it: as it lies in the guest's physical addresses, or as an ELF
//! core.
//!
//! ```text
//! raw   byte a of the file is the guest's byte at physical address a; what does not exist is a hole
//! ELF   header, program headers, notes with the registers of each vCPU, then the ranges of frames that exist
//! ```
//! A PV guest has no physical memory of its own: its addresses are those of its frames as it numbers them itself (PFN), and
//! its page tables and cr3 hold such frames too, as in a save file.

mod cpu;
mod elf;

use std::io;
use std::ops::Range;

use revenant_core::guest::{BATCH_PAGES_MAX, PageBatch, Space};
use revenant_core::store::{CheckpointReader, StoreError};
use revenant_core::units::ZERO_PAGE;
use revenant_core::{PAGE_SIZE, Pfn};

pub use elf::write_elf;

/// Frames an image spans at most (16 TiB, the most that Xen gives a guest): written to a pipe holes are zeroes, and a
/// manifest of some bytes could ask for more than anybody can wait for.
pub const IMAGE_FRAMES_MAX: u64 = 1 << 32;

/// Takes an image from its start to its end.
pub trait ImageSink {
    /// Bytes that matter.
    fn put(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// So many zeroes, which need not be written where a file may have holes.
    fn skip(&mut self, bytes: u64) -> io::Result<()>;
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageSummary {
    /// Length of the image in bytes, with its holes.
    pub bytes: u64,
    /// Frames that exist.
    pub pages: u64,
    /// vCPUs whose registers are in it.
    pub vcpus: u64,
}

/// An image was not written.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It would be longer than any guest's.
    #[error("the memory spans {found} frames, an image at most {IMAGE_FRAMES_MAX}{hint}", hint = if *.raw { " (format elf leaves gaps out)" } else { "" })]
    TooLarge {
        /// Frames to be written.
        found: u64,
        /// In a raw image gaps count.
        raw: bool,
    },
    /// The checkpoint could not be read.
    #[error("reading the checkpoint failed")]
    Store(#[from] StoreError),
    /// The image could not be written.
    #[error("writing the image failed")]
    Write(#[from] io::Error),
}

/// Writes physical memory: byte *a* is the guest's at address *a*.
pub fn write_raw(
    reader: &mut CheckpointReader,
    sink: &mut dyn ImageSink,
) -> Result<ImageSummary, ImageError> {
    reader.select(Space::Memory)?;
    let layout = reader.layout();
    let end = layout.ranges().last().map_or(0, |range| range.end);
    if end > IMAGE_FRAMES_MAX {
        return Err(ImageError::TooLarge {
            found: end,
            raw: true,
        });
    }
    let mut frames = Frames::new(reader);
    let mut next = 0;
    for range in layout.ranges() {
        sink.skip(bytes(range.start - next))?;
        next = range.end;
        frames.write(range.clone(), sink)?;
    }
    Ok(ImageSummary {
        bytes: bytes(end),
        pages: layout.page_count(),
        vcpus: 0,
    })
}

/// Passes bytes on: pages of zeroes as holes, what is between in as few pieces as can be.
///
/// # Panics
/// If they are not whole pages.
pub fn put_sparse(bytes: &[u8], sink: &mut dyn ImageSink) -> io::Result<()> {
    let (pages, rest) = bytes.as_chunks::<PAGE_SIZE>();
    assert!(rest.is_empty(), "an image is made of pages");
    for alike in pages.chunk_by(|a, b| (*a == ZERO_PAGE) == (*b == ZERO_PAGE)) {
        if alike[0] == ZERO_PAGE {
            sink.skip(alike.as_flattened().len() as u64)?;
        } else {
            sink.put(alike.as_flattened())?;
        }
    }
    Ok(())
}

fn bytes(frames: u64) -> u64 {
    frames * PAGE_SIZE as u64
}

/// Takes frames out of a checkpoint, a batch at a time.
struct Frames<'a> {
    reader: &'a mut CheckpointReader,
    batch: PageBatch,
    pfns: Vec<Pfn>,
}

impl<'a> Frames<'a> {
    fn new(reader: &'a mut CheckpointReader) -> Self {
        Frames {
            reader,
            batch: PageBatch::new(),
            pfns: Vec::with_capacity(BATCH_PAGES_MAX),
        }
    }

    fn write(&mut self, range: Range<u64>, sink: &mut dyn ImageSink) -> Result<(), ImageError> {
        let mut next = range.start;
        while next < range.end {
            let end = range.end.min(next + BATCH_PAGES_MAX as u64);
            self.pfns.clear();
            self.pfns.extend((next..end).map(Pfn));
            self.batch.clear();
            self.reader.read_pages(&self.pfns, &mut self.batch)?;
            put_sparse(self.batch.bytes(), sink)?;
            next = end;
        }
        Ok(())
    }
}

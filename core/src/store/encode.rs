//! The two computations on the way in: pages to digests, new pages to frames.

use super::frame::{Codec, FRAME_PAGES};
use super::id::{Digest, page_digest};
use super::pool::Job;
use crate::guest::PageBatch;
use crate::units::{PAGE_SIZE, Page, ZERO_PAGE};

/// Work for a thread.
#[derive(Debug)]
pub(super) enum EncodeJob {
    /// Find out what each page of a batch is.
    Hash(Hashed),
    /// Compress new pages.
    Compress(NewPages),
}

/// What comes of it.
#[derive(Debug)]
pub(super) enum Encoded {
    Hashed(Hashed),
    Frames(Result<Frames, String>),
}

/// A batch and the identity of each of its pages, `None` for zeroes.
#[derive(Debug, Default)]
pub(super) struct Hashed {
    pub(super) batch: PageBatch,
    pub(super) identities: Vec<Option<Digest>>,
}

/// Pages to be stored in consecutive slots: those carried over from earlier batches, then some of a batch. A multiple of
/// [`FRAME_PAGES`], but for the last of a segment.
#[derive(Debug, Default)]
pub(super) struct NewPages {
    pub(super) first_slot: u32,
    pub(super) level: i32,
    pub(super) carried: Vec<u8>,
    pub(super) batch: PageBatch,
    /// Positions in the batch.
    pub(super) picked: Vec<u16>,
    /// An empty buffer for the frames.
    pub(super) out: Frames,
}

/// Frames, ready to be appended, and the buffers they came from.
#[derive(Debug, Default)]
pub(super) struct Frames {
    pub(super) bytes: Vec<u8>,
    /// First slot, pages, length.
    pub(super) entries: Vec<(u32, u8, u32)>,
    pub(super) batch: PageBatch,
    pub(super) picked: Vec<u16>,
    pub(super) carried: Vec<u8>,
}

/// A thread's compressor, and a frame's worth of pages next to each other.
#[derive(Debug, Default)]
pub(super) struct EncodeTools {
    codec: Codec,
    gathered: Vec<u8>,
}

impl Job for EncodeJob {
    type Output = Encoded;
    type Tools = EncodeTools;

    fn run(self, tools: &mut EncodeTools) -> Encoded {
        match self {
            EncodeJob::Hash(mut job) => {
                let pages = job.batch.bytes().as_chunks::<PAGE_SIZE>().0.iter();
                job.identities.clear();
                job.identities
                    .extend(pages.map(|page| (page != &ZERO_PAGE).then(|| page_digest(page))));
                Encoded::Hashed(job)
            }
            EncodeJob::Compress(job) => Encoded::Frames(job.compress(tools)),
        }
    }
}

impl NewPages {
    fn compress(self, tools: &mut EncodeTools) -> Result<Frames, String> {
        let NewPages {
            mut first_slot,
            level,
            carried,
            batch,
            picked,
            mut out,
        } = self;
        let pages = carried.as_chunks::<PAGE_SIZE>().0.iter();
        let mut pages = pages.chain(picked.iter().map(|&i| batch.page(usize::from(i))));
        loop {
            gather(&mut pages, &mut tools.gathered);
            let count = tools.gathered.len() / PAGE_SIZE;
            if count == 0 {
                break;
            }
            let len = tools
                .codec
                .encode(&tools.gathered, first_slot, level, &mut out.bytes)?;
            let pages = u8::try_from(count).expect("at most 16");
            out.entries.push((first_slot, pages, len));
            first_slot += u32::from(pages);
        }
        drop(pages);
        Ok(Frames {
            batch,
            picked,
            carried,
            ..out
        })
    }
}

/// Copies up to a frame's worth of pages next to each other: 64 KiB that stay in the cache of the core that compresses
/// them.
fn gather<'a>(pages: &mut impl Iterator<Item = &'a Page>, into: &mut Vec<u8>) {
    into.clear();
    for page in pages.take(FRAME_PAGES) {
        into.extend_from_slice(page);
    }
}

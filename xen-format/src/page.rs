//! The frame list of a PAGE_DATA record.

use crate::error::Fault;
use crate::header::field;

/// Four-bit type of a frame in a PAGE_DATA record (bits 60-63 of its entry). It is carried as the
/// [`PageTag`](revenant_core::guest::PageTag) of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PageType(u8);

impl PageType {
    /// An ordinary page.
    pub const NOTAB: PageType = PageType(0x0);
    /// A frame whose content is lost to a memory error; no data in the stream.
    pub const BROKEN: PageType = PageType(0xd);
    /// A frame that is to be allocated and has no content; no data in the stream.
    pub const XALLOC: PageType = PageType(0xe);
    /// A frame that does not exist; no data in the stream.
    pub const XTAB: PageType = PageType(0xf);

    /// A type by its number, if it is one: 0x5 to 0x8 are reserved.
    pub fn new(code: u8) -> Option<PageType> {
        matches!(code, 0x0..=0x4 | 0x9..=0xf).then_some(PageType(code))
    }

    /// Its number.
    pub fn code(self) -> u8 {
        self.0
    }

    /// Page data follows in the record: ordinary pages and page tables of level 1 to 4, pinned or not.
    pub fn has_data(self) -> bool {
        self.0 <= 0xc
    }

    /// The guest has the frame.
    pub fn is_populated(self) -> bool {
        self != PageType::XTAB
    }
}

/// Consecutive frames of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameRun {
    /// First frame.
    pub start: u64,
    /// How many frames; positive.
    pub len: u64,
    /// Their type.
    pub kind: PageType,
}

impl FrameRun {
    /// The frame after the last.
    pub fn end(self) -> u64 {
        self.start + self.len
    }

    /// The entries of this run as they stand in a record.
    pub fn entries(self) -> impl Iterator<Item = u64> {
        let kind = u64::from(self.kind.0) << 60;
        (self.start..self.end()).map(move |pfn| pfn | kind)
    }

    /// Takes `next` as this run's continuation, if it is.
    pub(crate) fn absorb(&mut self, next: FrameRun) -> bool {
        let continues = self.kind == next.kind && self.end() == next.start;
        if continues {
            self.len += next.len;
        }
        continues
    }

    /// One entry of a frame list.
    pub(crate) fn from_entry(entry: u64) -> Result<FrameRun, Fault> {
        const PFN: u64 = (1 << 52) - 1;
        const RESERVED: u64 = !PFN & (u64::MAX >> 4);
        let (pfn, code) = (entry & PFN, (entry >> 60) as u8);
        if entry & RESERVED != 0 {
            return Err(field(
                "frame entry",
                entry,
                "reserved bits 52-59 clear (frame numbers have 52 bits)",
            ));
        }
        let kind = PageType::new(code).ok_or(Fault::PageType { pfn, code })?;
        Ok(FrameRun {
            start: pfn,
            len: 1,
            kind,
        })
    }
}

/// Cuts runs into pieces of a limited number of frames.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    rest: &'a [FrameRun],
    /// Frames of the first run that are already taken.
    done: u64,
}

impl<'a> Parts<'a> {
    pub(crate) fn new(runs: &'a [FrameRun]) -> Self {
        Parts { rest: runs, done: 0 }
    }

    /// Replaces `into` by the next `frames` frames, or what is left; `false` if nothing is.
    pub(crate) fn take(&mut self, frames: usize, into: &mut Vec<FrameRun>) -> bool {
        into.clear();
        let mut room = frames as u64;
        while room > 0
            && let Some((run, after)) = self.rest.split_first()
        {
            let len = room.min(run.len - self.done);
            into.push(FrameRun {
                start: run.start + self.done,
                len,
                kind: run.kind,
            });
            room -= len;
            self.done += len;
            if self.done == run.len {
                (self.rest, self.done) = (after, 0);
            }
        }
        !into.is_empty()
    }
}

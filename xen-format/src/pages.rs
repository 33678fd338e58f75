//! The inside of a PAGE_DATA record: its frame list in pieces, then its pages.

use std::io::Read;

use revenant_core::PAGE_SIZE;

use crate::error::{Fault, FormatError, LengthRule};
use crate::frame_set::FrameSet;
use crate::header::{field, le32};
use crate::page::FrameRun;
use crate::reader::{PageHead, check_length};
use crate::record::libxc;
use crate::record::{BODY_BYTES_MAX, Layer, record_name};
use crate::source::Source;

const NAME: &str = "PAGE_DATA";
/// Entries of the frame list that are read at a time.
const PIECE_ENTRIES: usize = 4096;
/// Runs that one record may list. A record as long as the limit allows has at most 32,704 pages of data.
const RUNS_MAX: u64 = 1 << 17;

/// A PAGE_DATA record being read.
#[derive(Debug)]
pub(crate) struct PageRecord {
    offset: u64,
    frames_left: u32,
    /// Pages that the body's length leaves room for, all of them and those not yet read.
    pages: u64,
    pages_left: u64,
    /// Frames with data listed so far.
    listed: u64,
    /// Frames listed so far, against duplicates.
    seen: FrameSet,
    bytes: Vec<u8>,
}

impl PageRecord {
    /// Reads the fixed part of the record whose header starts at `offset`.
    pub(crate) fn open<R: Read>(
        source: &mut Source<R>,
        offset: u64,
        length: u32,
    ) -> Result<(PageHead, PageRecord), FormatError> {
        debug_assert_eq!(record_name(Layer::Libxc, libxc::PAGE_DATA), NAME);
        let fail = |offset, fault| Err(FormatError::new(offset, NAME, fault));
        check_length(offset, NAME, length, BODY_BYTES_MAX, LengthRule::AtLeast(16))?;
        let head: [u8; 8] = source.array(NAME)?;
        let (count, reserved) = (le32(&head), le32(&head[4..]));
        if count == 0 {
            return fail(offset + 8, field("count", 0, "at least 1"));
        }
        if reserved != 0 {
            return fail(offset + 12, field("reserved field", reserved.into(), "0"));
        }
        let list_bytes = 8 + 8 * u64::from(count);
        let Some(page_bytes) = u64::from(length).checked_sub(list_bytes) else {
            return fail(
                offset + 8,
                field(
                    "count",
                    count.into(),
                    "a frame list that fits in the record's body",
                ),
            );
        };
        let pages = page_bytes / PAGE_SIZE as u64;
        if page_bytes % PAGE_SIZE as u64 != 0 {
            let expected = LengthRule::Exactly(list_bytes + pages * PAGE_SIZE as u64);
            return fail(
                offset + 4,
                Fault::Length {
                    found: length.into(),
                    expected,
                },
            );
        }
        let head = PageHead {
            offset,
            length,
            frames: count,
            pages: u32::try_from(pages).unwrap_or(u32::MAX),
        };
        let record = PageRecord {
            offset,
            frames_left: count,
            pages,
            pages_left: pages,
            listed: 0,
            seen: FrameSet::default(),
            bytes: Vec::new(),
        };
        Ok((head, record))
    }

    /// See [`StreamReader::next_runs`](crate::StreamReader::next_runs).
    pub(crate) fn next_runs<R: Read>(
        &mut self,
        source: &mut Source<R>,
        into: &mut Vec<FrameRun>,
    ) -> Result<bool, FormatError> {
        if self.frames_left == 0 {
            return Ok(false);
        }
        let entries = PIECE_ENTRIES.min(self.frames_left as usize);
        let at = source.offset();
        self.bytes.resize(8 * entries, 0);
        source.fill(&mut self.bytes, NAME)?;
        let (list, _) = self.bytes.as_chunks::<8>();
        for (i, entry) in (0u64..).zip(list) {
            let fail = |fault| FormatError::new(at + 8 * i, NAME, fault);
            let run = FrameRun::from_entry(u64::from_le_bytes(*entry)).map_err(fail)?;
            self.listed += u64::from(run.kind.has_data());
            if self.listed > self.pages {
                return Err(fail(Fault::PageCount {
                    held: self.pages,
                    expected: self.listed,
                }));
            }
            if !into.last_mut().is_some_and(|last| last.absorb(run)) {
                into.push(run);
            }
        }
        self.frames_left -= u32::try_from(entries).unwrap_or(u32::MAX);
        self.check_duplicates(at, into)?;
        if self.frames_left == 0 && self.listed != self.pages {
            let fault = Fault::PageCount {
                held: self.pages,
                expected: self.listed,
            };
            return Err(FormatError::new(self.offset + 4, NAME, fault));
        }
        Ok(true)
    }

    /// The list in `piece` starts at byte `at`.
    fn check_duplicates(&mut self, at: u64, piece: &[FrameRun]) -> Result<(), FormatError> {
        let mut entry = 0;
        for run in piece {
            if let Some(pfn) = self.seen.first_in(&(run.start..run.end())) {
                let offset = at + 8 * (entry + pfn - run.start);
                return Err(FormatError::new(offset, NAME, Fault::DuplicateFrame { pfn }));
            }
            self.seen.insert(run.start..run.end(), |_| ());
            if self.seen.run_count() > RUNS_MAX {
                return Err(FormatError::new(
                    at + 8 * entry,
                    NAME,
                    Fault::TooScattered { limit: RUNS_MAX },
                ));
            }
            entry += run.len;
        }
        Ok(())
    }

    /// See [`StreamReader::read_pages`](crate::StreamReader::read_pages).
    pub(crate) fn read_pages<R: Read>(
        &mut self,
        source: &mut Source<R>,
        into: &mut [u8],
    ) -> Result<(), FormatError> {
        assert_eq!(self.frames_left, 0, "the frame list comes before the pages");
        let pages = (into.len() / PAGE_SIZE) as u64;
        assert!(
            into.len().is_multiple_of(PAGE_SIZE) && pages <= self.pages_left,
            "the record has not so many pages"
        );
        source.fill(into, NAME)?;
        self.pages_left -= pages;
        Ok(())
    }

    /// Reads and checks whatever the caller has not taken.
    pub(crate) fn skip_rest<R: Read>(&mut self, source: &mut Source<R>) -> Result<(), FormatError> {
        let mut runs = Vec::new();
        while self.next_runs(source, &mut runs)? {
            runs.clear();
        }
        // The list is done: its buffer serves for the pages.
        let mut scratch = std::mem::take(&mut self.bytes);
        while self.pages_left > 0 {
            let pages = self.pages_left.min(16);
            scratch.resize(usize::try_from(pages).unwrap_or(16) * PAGE_SIZE, 0);
            self.read_pages(source, &mut scratch)?;
        }
        Ok(())
    }
}

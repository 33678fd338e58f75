//! Pages on their way into segments: hashed and compressed by threads, judged in order.
//!
//! ```text
//! put ─▶ [hash] ─▶ zero? known? new? ─▶ journal
//!                          new ─▶ slot ─▶ [compress] ─▶ segment     [ ] = job, taken up in order, a fixed lag later
//! ```

use std::collections::VecDeque;
use std::ops::Range;

use super::StoreError;
use super::dedup::Location;
use super::encode::{EncodeJob, Encoded, Frames, Hashed, NewPages};
use super::frame::FRAME_PAGES;
use super::id::Digest;
use super::known::Known;
use super::page_map::{COUNT_MAX, Journal, Run, SLOTS_MAX, Source};
use super::pool::{Pool, Ticket};
use super::segment::{SealedSegment, SegmentWriter};
use crate::clock::{Clock, Work};
use crate::guest::{BATCH_PAGES_MAX, PageBatch, PageTag};
use crate::medium::Medium;
use crate::units::{PAGE_SIZE, Pfn, Timestamp};

/// Batches that may wait to be judged, and to be appended. Fixed, so that what the medium sees does not depend on threads;
/// small, because each may hold 4 MiB; enough for four threads to find work.
const HASH_LAG: usize = 2;
const COMPRESS_LAG: usize = 4;
/// A segment is closed at this length, so that rewriting one stays cheap.
const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// Frames of one `put_zero` at most: each 2^20 of them cost a run of 16 bytes.
const ZERO_FRAMES_MAX: u64 = 1 << 36;

/// The page side of a staging.
#[derive(Debug)]
pub(super) struct PageWriter<'m> {
    medium: &'m dyn Medium,
    clock: &'m dyn Clock,
    level: i32,
    pub(super) known: Known,
    pub(super) journal: Journal,
    pool: Pool<EncodeJob>,
    arriving: VecDeque<Arrival>,
    compressing: VecDeque<Pending>,
    /// New pages that do not fill a frame yet; their slots are assigned.
    carried: Vec<u8>,
    current: Option<Current<'m>>,
    sealed: Vec<(u32, SealedSegment<'m>)>,
    new_pages: u64,
    spare_batches: Vec<PageBatch>,
    spare_hashed: Vec<Hashed>,
    spare_frames: Vec<Frames>,
}

/// Something put, not yet in the journal.
#[derive(Debug)]
enum Arrival {
    Batch(Pending),
    Zero(Run),
}

/// A job that threads have, and when it is done.
#[derive(Debug)]
struct Pending {
    ticket: Ticket,
    done: Timestamp,
}

/// The segment being written.
#[derive(Debug)]
struct Current<'m> {
    number: u32,
    writer: SegmentWriter<'m>,
}

/// What a page writer leaves behind.
#[derive(Debug)]
pub(super) struct FinishedPages<'m> {
    pub(super) known: Known,
    pub(super) journal: Journal,
    /// Durable segments that still need their names, with their numbers in the table.
    pub(super) sealed: Vec<(u32, SealedSegment<'m>)>,
    pub(super) new_pages: u64,
}

impl<'m> PageWriter<'m> {
    pub(super) fn new(
        medium: &'m dyn Medium,
        clock: &'m dyn Clock,
        known: Known,
        journal: Journal,
        workers: usize,
        level: i32,
    ) -> Self {
        PageWriter {
            medium,
            clock,
            level,
            known,
            journal,
            pool: Pool::new(workers),
            arriving: VecDeque::new(),
            compressing: VecDeque::new(),
            carried: Vec::new(),
            current: None,
            sealed: Vec::new(),
            new_pages: 0,
            spare_batches: Vec::new(),
            spare_hashed: Vec::new(),
            spare_frames: Vec::new(),
        }
    }

    pub(super) fn take_batch(&mut self) -> PageBatch {
        self.spare_batches.pop().unwrap_or_default()
    }

    pub(super) fn put(&mut self, batch: PageBatch) -> Result<(), StoreError> {
        if let Some(&pfn) = batch.pfns().iter().find(|&&pfn| pfn > Pfn::MAX) {
            return Err(frame_number(pfn.0));
        }
        if batch.is_empty() {
            self.spare_batches.push(batch);
            return Ok(());
        }
        let identities = self.spare_hashed.pop().unwrap_or_default().identities;
        let pages = batch.bytes();
        let done = self.clock.hand_out(Work::Hash { pages });
        let ticket = self.pool.submit(EncodeJob::Hash(Hashed { batch, identities }));
        self.arriving.push_back(Arrival::Batch(Pending { ticket, done }));
        self.judge_all_but(HASH_LAG)
    }

    pub(super) fn put_zero(&mut self, frames: Range<u64>, tag: PageTag) -> Result<(), StoreError> {
        if frames.is_empty() {
            return Ok(());
        }
        if frames.end - 1 > Pfn::MAX.0 {
            return Err(frame_number(frames.end - 1));
        }
        let found = frames.end - frames.start;
        if found > ZERO_FRAMES_MAX {
            return Err(StoreError::Limit {
                what: "frames in a range of zeroes",
                found,
                limit: ZERO_FRAMES_MAX,
            });
        }
        let mut start = frames.start;
        while start < frames.end {
            let count = u32::try_from(frames.end - start).map_or(COUNT_MAX, |n| n.min(COUNT_MAX));
            let run = Run {
                start,
                count,
                tag,
                source: Source::Zero,
            };
            if self.arriving.is_empty() {
                self.journal.push(run);
            } else {
                self.arriving.push_back(Arrival::Zero(run));
            }
            start += u64::from(count);
        }
        self.judge_all_but(HASH_LAG + 64)
    }

    /// Puts a page that is stored already, if it is known by its digest. The journal is in order of arrival, so no pages
    /// may be on their way into it.
    pub(super) fn put_known(&mut self, frame: u64, tag: PageTag, digest: &Digest) -> bool {
        debug_assert!(self.arriving.is_empty());
        let Some(at) = self.known.index.find(digest) else {
            return false;
        };
        let source = Source::Stored {
            segment: at.segment,
            slot: at.slot,
        };
        self.journal.push(Run {
            start: frame,
            count: 1,
            tag,
            source,
        });
        true
    }

    /// Puts everything that has arrived into the journal.
    pub(super) fn settle(&mut self) -> Result<(), StoreError> {
        self.judge_all_but(0)
    }

    /// Puts everything that has arrived into the journal and on the medium: no worker is busy afterwards.
    pub(super) fn drain(&mut self) -> Result<(), StoreError> {
        self.settle()?;
        self.append_all()
    }

    fn append_all(&mut self) -> Result<(), StoreError> {
        while !self.compressing.is_empty() {
            self.append_next()?;
        }
        Ok(())
    }

    fn judge_all_but(&mut self, lag: usize) -> Result<(), StoreError> {
        while self.arriving.len() > lag {
            match self.arriving.pop_front() {
                Some(Arrival::Zero(run)) => self.journal.push(run),
                Some(Arrival::Batch(pending)) => {
                    let Encoded::Hashed(hashed) = self.result(pending) else {
                        unreachable!("hashing gives digests")
                    };
                    self.judge(hashed)?;
                }
                None => break,
            }
        }
        Ok(())
    }

    /// Decides for each page of a batch whether it is zero, known or new, and sends off the new ones.
    fn judge(&mut self, mut hashed: Hashed) -> Result<(), StoreError> {
        self.make_room(hashed.batch.len())?;
        let mut out = self.spare_frames.pop().unwrap_or_default();
        let mut picked = std::mem::take(&mut out.picked);
        picked.clear();
        let identities = std::mem::take(&mut hashed.identities);
        for (i, identity) in identities.iter().enumerate() {
            let source = match identity {
                None => Source::Zero,
                Some(digest) => {
                    let at = if let Some(at) = self.known.index.find(digest) {
                        at
                    } else {
                        picked.push(u16::try_from(i).expect("a batch holds at most 1024 pages"));
                        self.assign(digest)?
                    };
                    Source::Stored {
                        segment: at.segment,
                        slot: at.slot,
                    }
                }
            };
            let (start, tag) = (hashed.batch.pfns()[i].0, hashed.batch.tag(i));
            self.journal.push(Run {
                start,
                count: 1,
                tag,
                source,
            });
        }
        self.spare_hashed.push(Hashed {
            batch: PageBatch::new(),
            identities,
        });
        out.picked = picked;
        self.send(hashed.batch, out)
    }

    /// Gives a new page its slot.
    fn assign(&mut self, digest: &[u8; 16]) -> Result<Location, StoreError> {
        if self.current.is_none() {
            let writer = SegmentWriter::create(self.medium)?;
            self.current = Some(Current {
                number: self.known.segments.reserve(),
                writer,
            });
        }
        let current = self.current.as_mut().expect("just made");
        let at = Location {
            segment: current.number,
            slot: current.writer.assign(*digest),
        };
        self.known.index.insert(*digest, at);
        self.new_pages += 1;
        Ok(at)
    }

    /// Sends whole frames to be compressed and carries the rest over to the next batch.
    fn send(&mut self, mut batch: PageBatch, mut out: Frames) -> Result<(), StoreError> {
        let mut picked = std::mem::take(&mut out.picked);
        let carried = self.carried.len() / PAGE_SIZE;
        let whole = (carried + picked.len()) / FRAME_PAGES * FRAME_PAGES;
        let mut carried_next = std::mem::take(&mut out.carried);
        carried_next.clear();
        let rest = if whole == 0 { 0 } else { whole - carried };
        if whole == 0 {
            carried_next = std::mem::take(&mut self.carried);
        }
        for &i in &picked[rest..] {
            carried_next.extend_from_slice(batch.page(usize::from(i)));
        }
        picked.truncate(rest);
        let carried = std::mem::replace(&mut self.carried, carried_next);
        if whole == 0 {
            batch.clear();
            self.spare_batches.push(batch);
            self.spare_frames.push(Frames {
                picked,
                carried,
                ..out
            });
            return Ok(());
        }
        let first_slot = self.first_unsent(whole);
        self.submit(NewPages {
            first_slot,
            level: self.level,
            carried,
            batch,
            picked,
            out,
        });
        while self.compressing.len() > COMPRESS_LAG {
            self.append_next()?;
        }
        Ok(())
    }

    /// The slot of the first of `pages` pages that precede those now carried.
    fn first_unsent(&self, pages: usize) -> u32 {
        let assigned = self.current.as_ref().map_or(0, |c| c.writer.slots());
        assigned - u32::try_from(pages + self.carried.len() / PAGE_SIZE).expect("fewer than are assigned")
    }

    fn submit(&mut self, job: NewPages) {
        let pages = (job.carried.len() / PAGE_SIZE + job.picked.len()) as u64;
        let done = self.clock.hand_out(Work::Compress { pages });
        let ticket = self.pool.submit(EncodeJob::Compress(job));
        self.compressing.push_back(Pending { ticket, done });
    }

    fn result(&mut self, Pending { ticket, done }: Pending) -> Encoded {
        self.clock.wait_for(done);
        self.pool.wait(ticket)
    }

    fn append_next(&mut self) -> Result<(), StoreError> {
        let Some(pending) = self.compressing.pop_front() else {
            return Ok(());
        };
        let Encoded::Frames(frames) = self.result(pending) else {
            unreachable!("compressing gives frames")
        };
        let mut frames = frames.map_err(StoreError::Codec)?;
        let current = self
            .current
            .as_mut()
            .expect("frames belong to the segment being written");
        current.writer.append(&frames.bytes, &frames.entries)?;
        let mut batch = std::mem::take(&mut frames.batch);
        batch.clear();
        self.spare_batches.push(batch);
        frames.bytes.clear();
        frames.entries.clear();
        self.spare_frames.push(frames);
        Ok(())
    }

    /// Closes the segment if `pages` more might not fit.
    fn make_room(&mut self, pages: usize) -> Result<(), StoreError> {
        debug_assert!(pages <= BATCH_PAGES_MAX);
        let Some(current) = &self.current else {
            return Ok(());
        };
        let slots = current.writer.slots() as usize + pages;
        if slots <= SLOTS_MAX as usize && current.writer.len_bytes() < SEGMENT_BYTES_MAX {
            return Ok(());
        }
        self.close_segment()
    }

    fn close_segment(&mut self) -> Result<(), StoreError> {
        if !self.carried.is_empty() {
            let carried = std::mem::take(&mut self.carried);
            let first_slot = self.first_unsent(carried.len() / PAGE_SIZE);
            self.submit(NewPages {
                first_slot,
                level: self.level,
                carried,
                ..NewPages::default()
            });
        }
        self.append_all()?;
        if let Some(Current { number, writer }) = self.current.take() {
            let sealed = writer.seal()?;
            self.known.segments.set_name(number, sealed.name);
            self.sealed.push((number, sealed));
        }
        Ok(())
    }

    /// Everything into segments, and these durable.
    pub(super) fn finish(mut self) -> Result<FinishedPages<'m>, StoreError> {
        self.settle()?;
        self.close_segment()?;
        let PageWriter {
            known,
            journal,
            sealed,
            new_pages,
            ..
        } = self;
        Ok(FinishedPages {
            known,
            journal,
            sealed,
            new_pages,
        })
    }
}

fn frame_number(found: u64) -> StoreError {
    StoreError::Limit {
        what: "as a frame number",
        found,
        limit: Pfn::MAX.0,
    }
}

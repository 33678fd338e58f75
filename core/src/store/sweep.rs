//! Every stored page of a map in the order in which it lies on the medium.
//!
//! Runs are sorted by segment and slot. Two cursors go along them: one ahead, that reads the frames the runs need and
//! sends them to be expanded, and one behind, that hands out a frame's pages to every run that wants one of them.

use std::collections::VecDeque;

use super::StoreError;
use super::expand::{Chunk, WrongFrame};
use super::frame::FrameEntry;
use super::page_map::{PackedRun, Run, Source};
use super::pool::{Pool, Ticket};
use super::segment::SegmentReader;
use crate::guest::PageBatch;
use crate::units::{PAGE_SIZE, Pfn};

/// Frames read in one go at most (2 MiB of pages), and chunks that may be in work.
const CHUNK_FRAMES: usize = 32;
const AHEAD: usize = 4;
/// Frames are read in one go if no more than this lies between them.
const GAP_BYTES: u64 = 64 << 10;

/// The part of a run that is stored: segment, first and end slot.
#[derive(Debug, Clone, Copy)]
struct Span {
    segment: u32,
    slot: u32,
    end: u32,
}

impl Span {
    fn of(run: PackedRun) -> Option<Span> {
        let run = Run::from(run);
        match run.source {
            Source::Zero => None,
            Source::Stored { segment, slot } => Some(Span {
                segment,
                slot,
                end: slot + run.count,
            }),
        }
    }
}

/// A sequential pass over the stored pages of a map.
#[derive(Debug)]
pub(super) struct Sweep {
    /// Positions of stored runs in the map, by segment and slot.
    order: Vec<u32>,
    planner: Planner,
    /// Chunks being expanded, with the segment they are from.
    ahead: VecDeque<(u32, Ticket)>,
    current: Option<Emitting>,
    /// The next run in `order` that has not begun to be handed out.
    next_run: usize,
    /// Runs that have begun and not ended, by position in the map.
    active: Vec<u32>,
    spare: Vec<Chunk>,
}

/// A chunk whose pages are being handed out.
#[derive(Debug)]
struct Emitting {
    segment: u32,
    chunk: Chunk,
    frame: usize,
    /// Where the frame's pages start in the chunk's.
    at: usize,
    /// The active run whose turn it is, and how many of its pages in this frame are done.
    turn: usize,
    done: u32,
}

/// Finds which frames come next.
#[derive(Debug, Default)]
struct Planner {
    /// The next run in order that is not planned.
    run: usize,
    segment: u32,
    /// Slots before this one are planned.
    slot: u32,
    /// Slots before this one are wanted.
    wanted: u32,
}

impl Planner {
    /// The next slot that is wanted, in the same segment unless that has none; its segment.
    fn next(&mut self, order: &[u32], runs: &[PackedRun]) -> Option<(u32, u32)> {
        while self.slot >= self.wanted {
            let span = order.get(self.run).and_then(|&i| Span::of(runs[i as usize]))?;
            self.run += 1;
            if span.segment != self.segment {
                (self.segment, self.slot, self.wanted) = (span.segment, span.slot, span.end);
            } else if span.end > self.slot {
                self.slot = self.slot.max(span.slot);
                self.wanted = span.end;
            }
        }
        // Runs that begin within what is wanted may end beyond it.
        while let Some(span) = order.get(self.run).and_then(|&i| Span::of(runs[i as usize])) {
            if span.segment != self.segment || span.slot > self.wanted {
                break;
            }
            self.wanted = self.wanted.max(span.end);
            self.run += 1;
        }
        Some((self.segment, self.slot))
    }
}

impl Sweep {
    pub(super) fn new(runs: &[PackedRun]) -> Self {
        let stored = (0u32..)
            .zip(runs)
            .filter_map(|(i, &run)| Span::of(run).map(|_| i));
        let mut order: Vec<u32> = stored.collect();
        let key = |i: u32| Span::of(runs[i as usize]).map(|span| (span.segment, span.slot, i));
        order.sort_unstable_by_key(|&i| key(i));
        Sweep {
            order,
            planner: Planner {
                segment: u32::MAX,
                ..Planner::default()
            },
            ahead: VecDeque::new(),
            current: None,
            next_run: 0,
            active: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Appends pages to the batch until it is full or there are no more. `open` gives the segment of a number.
    pub(super) fn fill(
        &mut self,
        runs: &[PackedRun],
        pool: &mut Pool<Chunk>,
        batch: &mut PageBatch,
        segments: &mut dyn Segments,
    ) -> Result<(), StoreError> {
        while batch.room() > 0 {
            self.read_ahead(runs, pool, segments)?;
            if self.current.is_none() {
                let Some((segment, ticket)) = self.ahead.pop_front() else {
                    return Ok(());
                };
                let chunk = pool.wait(ticket);
                segments.found_bad(segment, &chunk.wrong);
                chunk.check(segments.get(segment)?.file.path())?;
                self.current = Some(Emitting {
                    segment,
                    chunk,
                    frame: 0,
                    at: 0,
                    turn: 0,
                    done: 0,
                });
                self.activate(runs);
            }
            self.emit(runs, batch);
        }
        Ok(())
    }

    /// Takes back what is still in work, after an error.
    pub(super) fn abandon(mut self, pool: &mut Pool<Chunk>) {
        while let Some((_, ticket)) = self.ahead.pop_front() {
            pool.wait(ticket);
        }
    }

    fn read_ahead(
        &mut self,
        runs: &[PackedRun],
        pool: &mut Pool<Chunk>,
        segments: &mut dyn Segments,
    ) -> Result<(), StoreError> {
        while self.ahead.len() < AHEAD {
            let Some((number, slot)) = self.planner.next(&self.order, runs) else {
                break;
            };
            let segment = segments.get(number)?;
            let frames = self.plan_chunk(runs, segment, number, slot)?;
            let mut chunk = self.spare.pop().unwrap_or_default();
            chunk.read(segment, &frames)?;
            self.ahead.push_back((number, pool.submit(chunk)));
        }
        Ok(())
    }

    /// The frames of the next chunk: those that hold wanted slots from `slot` on, as far as they are near.
    fn plan_chunk(
        &mut self,
        runs: &[PackedRun],
        segment: &SegmentReader,
        number: u32,
        slot: u32,
    ) -> Result<Vec<FrameEntry>, StoreError> {
        let mut frames: Vec<FrameEntry> = Vec::with_capacity(CHUNK_FRAMES);
        let mut next = Some((number, slot));
        while let Some((_, slot)) = next.filter(|&(s, _)| s == number && frames.len() < CHUNK_FRAMES) {
            let frame = frame_of(segment, slot)?;
            if frames
                .last()
                .is_some_and(|last| frame.offset - last.offset - u64::from(last.len_bytes) > GAP_BYTES)
            {
                break;
            }
            frames.push(frame);
            self.planner.slot = frame.end_slot();
            next = self.planner.next(&self.order, runs);
        }
        Ok(frames)
    }

    /// Lets the runs begin that have pages in the current frame.
    fn activate(&mut self, runs: &[PackedRun]) {
        let Some(current) = &self.current else { return };
        let frame = current.chunk.frames[current.frame];
        self.active.retain(|&i| {
            Span::of(runs[i as usize])
                .is_some_and(|s| s.segment == current.segment && s.end > frame.first_slot)
        });
        while let Some(&i) = self.order.get(self.next_run) {
            let begins = Span::of(runs[i as usize])
                .is_some_and(|s| (s.segment, s.slot) < (current.segment, frame.end_slot()));
            if !begins {
                break;
            }
            self.active.push(i);
            self.next_run += 1;
        }
    }

    /// Hands out pages of the current chunk until the batch is full or the chunk is done.
    fn emit(&mut self, runs: &[PackedRun], batch: &mut PageBatch) {
        while let Some(current) = &mut self.current {
            let frame = current.chunk.frames[current.frame];
            while let Some(&i) = self.active.get(current.turn) {
                let run = Run::from(runs[i as usize]);
                let Source::Stored { slot, .. } = run.source else {
                    unreachable!("only stored runs are swept")
                };
                let first = slot.max(frame.first_slot) + current.done;
                let end = (slot + run.count).min(frame.end_slot());
                let count = (end - first).min(u32::try_from(batch.room()).expect("a batch is small"));
                let at = current.at + (first - frame.first_slot) as usize * PAGE_SIZE;
                let pages = current.chunk.pages[at..].as_chunks::<PAGE_SIZE>().0.iter();
                for (pfn, page) in (run.start + u64::from(first - slot)..).zip(pages.take(count as usize)) {
                    batch.push(Pfn(pfn), run.tag, page);
                }
                if first + count < end {
                    current.done += count;
                    return;
                }
                (current.turn, current.done) = (current.turn + 1, 0);
            }
            (current.frame, current.at) = (current.frame + 1, current.at + frame.page_bytes());
            (current.turn, current.done) = (0, 0);
            if current.frame == current.chunk.frames.len() {
                self.spare
                    .extend(self.current.take().map(|current| current.chunk));
            }
            self.activate(runs);
        }
    }
}

/// Where a sweep gets the segments of its map.
pub(super) trait Segments {
    /// The segment of a number in the map.
    fn get(&mut self, number: u32) -> Result<&SegmentReader, StoreError>;
    /// Frames of it were found to be damaged.
    fn found_bad(&mut self, number: u32, frames: &[WrongFrame]);
}

/// The frame that holds a slot; a segment without it does not belong to the map.
pub(super) fn frame_of(segment: &SegmentReader, slot: u32) -> Result<FrameEntry, StoreError> {
    let footer = &segment.footer;
    if let Some(index) = footer.frame_of(slot) {
        Ok(footer.frames[index])
    } else {
        let what = format!("expected a frame with slot {slot}, which the checkpoint needs");
        Err(super::Finding::new(segment.file.path(), None, what).into())
    }
}

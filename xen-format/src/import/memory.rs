//! The pages of a stream on their way into the store.

use std::io::Read;
use std::ops::Range;

use revenant_core::guest::{MemoryLayout, PageBatch, PageTag, SPACE_FRAMES};
use revenant_core::store::{Mark, Staging, StoreError};
use revenant_core::{PAGE_SIZE, Pfn};

use crate::error::{Fault, FormatError};
use crate::frame_set::FrameSet;
use crate::import::ImportError;
use crate::page::{FrameRun, PageType, Parts};
use crate::page_order::PageOrder;
use crate::reader::StreamReader;

/// Runs of frames without data that a stream may bring in or take out, before its pages of data justify more:
/// each costs memory, while eight bytes in the stream make one.
const LOOSE_RUNS_MAX: u64 = 1 << 18;
/// The page order is given up when it grows beyond this and a 2,048th part of the page data. Only a file made
/// for the purpose gets there, and it is still imported.
const ORDER_BYTES_MAX: u64 = 8 << 20;

/// What of the guest's memory has been seen, and the staging that it goes into.
#[derive(Debug)]
pub(crate) struct GuestMemory<'s> {
    staging: Staging<'s>,
    batch: PageBatch,
    /// Frames that exist as of now.
    populated: FrameSet,
    /// Some frame ceased to exist: the store must be told.
    dropped: bool,
    /// The arrangement so far; `None` once a frame has come twice.
    order: Option<PageOrder>,
    /// libxc records since the last PAGE_DATA record.
    records_between: u64,
    pages_read: u64,
    loose_runs: u64,
    /// State at the last complete checkpoint: the store's, and how to undo `populated` since.
    mark: Option<Mark>,
    undo: Vec<(Range<u64>, Change)>,
    /// Buffers of one record.
    runs: Vec<FrameRun>,
    data: Vec<FrameRun>,
    taken: Vec<FrameRun>,
    pfns: Vec<Pfn>,
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Appeared,
    Vanished,
}

impl<'s> GuestMemory<'s> {
    pub(crate) fn new(mut staging: Staging<'s>) -> Self {
        GuestMemory {
            batch: staging.take_batch(),
            staging,
            populated: FrameSet::default(),
            dropped: false,
            order: Some(PageOrder::default()),
            records_between: 0,
            pages_read: 0,
            loose_runs: 0,
            mark: None,
            undo: Vec::new(),
            runs: Vec::new(),
            data: Vec::new(),
            taken: Vec::new(),
            pfns: Vec::new(),
        }
    }

    /// A libxc record went by.
    pub(crate) fn count_record(&mut self) {
        self.records_between += 1;
    }

    /// No PAGE_DATA record has been seen.
    pub(crate) fn is_empty(&self) -> bool {
        self.pages_read == 0 && self.populated.run_count() == 0
    }

    /// Pages of data seen, repetitions included.
    pub(crate) fn pages_read(&self) -> u64 {
        self.pages_read
    }

    /// Takes in the PAGE_DATA record that `reader` has just opened.
    pub(crate) fn take_pages<R: Read>(&mut self, reader: &mut StreamReader<R>) -> Result<(), ImportError> {
        self.data.clear();
        let mut runs = std::mem::take(&mut self.runs);
        loop {
            let at = reader.offset();
            if !reader.next_runs(&mut runs)? {
                break;
            }
            if let Some(order) = &mut self.order {
                order.push(&runs);
            }
            for &run in &runs {
                self.take_run(at, run)?;
            }
        }
        self.runs = runs;
        if let Some(order) = &mut self.order {
            order.end_record(self.records_between);
        }
        self.records_between = 0;
        self.limit_order();
        self.take_data(reader)
    }

    fn take_run(&mut self, at: u64, run: FrameRun) -> Result<(), ImportError> {
        let range = run.start..run.end();
        // Above are the disks'; the last one stays free, see `revenant_core::guest::SPACE_FRAMES`.
        if range.end >= SPACE_FRAMES {
            let (found, limit) = (range.end - 1, SPACE_FRAMES - 1);
            return Err(FormatError::new(at, "PAGE_DATA", Fault::FrameNumber { found, limit }).into());
        }
        let again = self.populated.first_in(&range).is_some();
        if again {
            // An earlier version may still wait in the batch: it must reach the store before this one.
            self.order = None;
            self.flush()?;
        }
        if again && run.kind == PageType::XTAB || run.kind.is_populated() && !run.kind.has_data() {
            self.loose_runs += 1;
            let limit = LOOSE_RUNS_MAX + self.pages_read / 16;
            if self.loose_runs > limit {
                return Err(FormatError::new(at, "PAGE_DATA", Fault::TooScattered { limit }).into());
            }
        }
        let undo = &mut self.undo;
        let journal = self.mark.is_some();
        let mut note = |range, change| {
            if journal {
                undo.push((range, change));
            }
        };
        if !run.kind.is_populated() {
            self.dropped |= again;
            self.populated
                .remove(range, |vanished| note(vanished, Change::Vanished));
            return Ok(());
        }
        self.populated
            .insert(range.clone(), |appeared| note(appeared, Change::Appeared));
        if !run.kind.has_data() {
            self.staging.put_zero(range, PageTag(run.kind.code()))?;
        } else if !self.data.last_mut().is_some_and(|last| last.absorb(run)) {
            self.data.push(run);
        }
        Ok(())
    }

    /// Pages go from the input into the batch and nowhere between.
    fn take_data<R: Read>(&mut self, reader: &mut StreamReader<R>) -> Result<(), ImportError> {
        let data = std::mem::take(&mut self.data);
        let mut parts = Parts::new(&data);
        while parts.take(self.batch.room(), &mut self.taken) {
            let first = self.batch.len();
            self.pfns.clear();
            self.pfns
                .extend(self.taken.iter().flat_map(|part| part.start..part.end()).map(Pfn));
            reader.read_pages(self.batch.extend_zeroed(&self.pfns, PageTag::default()))?;
            let mut index = first;
            for part in &self.taken {
                for _ in 0..part.len {
                    self.batch.set_tag(index, PageTag(part.kind.code()));
                    index += 1;
                }
            }
            self.pages_read += self.pfns.len() as u64;
            if self.batch.room() == 0 {
                self.flush()?;
            }
        }
        self.data = data;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let next = self.staging.take_batch();
        self.staging.put_pages(std::mem::replace(&mut self.batch, next))
    }

    fn limit_order(&mut self) {
        let limit_bytes = ORDER_BYTES_MAX + self.pages_read * PAGE_SIZE as u64 / 2048;
        if self
            .order
            .as_ref()
            .is_some_and(|order| order.len_bytes() as u64 > limit_bytes)
        {
            self.order = None;
        }
    }

    /// The memory as it now stands is that of a complete checkpoint.
    pub(crate) fn complete(&mut self) -> Result<(), StoreError> {
        self.order = None;
        self.flush()?;
        self.mark = Some(self.staging.mark());
        self.undo.clear();
        Ok(())
    }

    /// Goes back to the last complete checkpoint.
    pub(crate) fn roll_back(&mut self) {
        let Some(mark) = self.mark else { return };
        self.batch.clear();
        self.staging.rollback(mark);
        while let Some((range, change)) = self.undo.pop() {
            match change {
                Change::Appeared => self.populated.remove(range, |_| ()),
                Change::Vanished => self.populated.insert(range, |_| ()),
            }
        }
    }

    /// Everything is in the staging.
    pub(crate) fn finish(mut self) -> Result<(Staging<'s>, Option<PageOrder>), StoreError> {
        self.flush()?;
        if self.dropped {
            self.staging
                .retain(&self.populated.runs().collect::<MemoryLayout>())?;
        }
        Ok((self.staging, self.order))
    }
}

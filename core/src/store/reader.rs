//! A checkpoint being read.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use super::bad;
use super::cache::Cache;
use super::expand::{Chunk, WrongFrame};
use super::files::segment_path;
use super::frame::FrameEntry;
use super::id::Digest;
use super::locks::StoreLock;
use super::manifest::{Body, Manifest, about, count};
use super::page_map::{PackedRun, Run, Source};
use super::pool::Pool;
use super::segment::SegmentReader;
use super::sweep::{Segments, Sweep, frame_of};
use super::{CheckpointId, CheckpointInfo, Finding, SegmentName, Store, StoreError};
use crate::guest::{MemoryLayout, PageBatch, PageTag, Space, StateRecord};
use crate::medium::Medium;
use crate::units::{PAGE_SIZE, Page, Pfn};

/// Open segments, and expanded frames (64 KiB each), kept for random access.
const SEGMENTS_KEPT: usize = 32;
const FRAMES_KEPT: usize = 256;
/// Frames expanded in one go by random access.
const FRAMES_AT_ONCE: usize = 128;

/// An open, committed checkpoint. Holds a shared lock: prune refuses while it lives; writers are not blocked.
#[derive(Debug)]
pub struct CheckpointReader {
    info: CheckpointInfo,
    body: Body,
    /// Which runs of the body `layout`, `next_batch` and the like are about.
    selected: Range<usize>,
    segments: OpenSegments,
    frames: Cache<(u32, u32), Chunk>,
    sweep: Option<Sweep>,
    pool: Pool<Chunk>,
    spare: Vec<Chunk>,
    _lock: Rc<StoreLock>,
}

/// The segments of a checkpoint, opened when they are needed.
#[derive(Debug)]
pub(super) struct OpenSegments {
    medium: Rc<dyn Medium>,
    names: Vec<SegmentName>,
    open: Cache<u32, SegmentReader>,
}

impl OpenSegments {
    pub(super) fn new(medium: &Rc<dyn Medium>, names: Vec<SegmentName>) -> Self {
        OpenSegments {
            medium: Rc::clone(medium),
            names,
            open: Cache::new(SEGMENTS_KEPT),
        }
    }

    pub(super) fn name(&self, number: u32) -> SegmentName {
        self.names[number as usize]
    }

    /// The digest of a page; `None` of zeroes.
    pub(super) fn digest(&mut self, source: Source) -> Result<Option<Digest>, StoreError> {
        let Source::Stored { segment, slot } = source else {
            return Ok(None);
        };
        if let Some(digest) = self.get(segment)?.footer.digests.get(slot as usize) {
            Ok(Some(*digest))
        } else {
            let what = format!("expected a slot {slot}, which the checkpoint needs");
            Err(Finding::new(segment_path(self.name(segment)), None, what).into())
        }
    }
}

impl Segments for OpenSegments {
    fn get(&mut self, number: u32) -> Result<&SegmentReader, StoreError> {
        if self.open.get(number).is_none() {
            let segment = SegmentReader::open(&self.medium, self.names[number as usize])?;
            self.open.insert(number, segment);
        }
        Ok(self.open.get(number).expect("just opened"))
    }

    /// Notes them, so that no later checkpoint shares them. That may fail: nothing depends on it here, and verification notes
    /// them as well.
    fn found_bad(&mut self, number: u32, frames: &[WrongFrame]) {
        for frame in frames {
            let slots = frame.entry.first_slot..frame.entry.end_slot();
            let _ = bad::add_to_list(&self.medium, self.name(number), &[slots]);
        }
    }
}

/// Where a page that was asked for comes from.
#[derive(Debug, Clone, Copy)]
enum Place {
    Zero(PageTag),
    Stored {
        tag: PageTag,
        segment: u32,
        slot: u32,
        frame: FrameEntry,
    },
}

impl Store {
    /// Opens a checkpoint for reading. Garbage collection waits until the reader is dropped.
    pub fn read(&self, id: CheckpointId) -> Result<CheckpointReader, StoreError> {
        let lock = self.share("read a checkpoint")?;
        let manifest = Manifest::open(&self.medium, id)?;
        let body = manifest.body()?.hold()?;
        Ok(CheckpointReader {
            info: manifest.head.info,
            selected: 0..body.runs.len(),
            body,
            segments: OpenSegments::new(&self.medium, manifest.head.segments),
            frames: Cache::new(FRAMES_KEPT),
            sweep: None,
            pool: Pool::new(self.options.workers),
            spare: Vec::new(),
            _lock: lock,
        })
    }
}

impl CheckpointReader {
    /// The catalogue entry.
    pub fn info(&self) -> &CheckpointInfo {
        &self.info
    }

    /// From here on [`layout`](Self::layout), [`counts`](Self::counts), [`next_batch`](Self::next_batch) and
    /// [`zero_tagged`](Self::zero_tagged) are about the guest's memory, or one of its disks, only. At first they are
    /// about both.
    pub fn select(&mut self, space: Space) -> Result<(), StoreError> {
        let frames = space.frames();
        let runs = &self.body.runs;
        let first = runs.partition_point(|run| run.start() < frames.start);
        let end = runs.partition_point(|run| run.start() < frames.end);
        // Nobody who knows of spaces writes such a run.
        for (position, border) in [(first, frames.start), (end, frames.end)] {
            if let Some(run) = runs[..position].last().filter(|run| run.end() > border) {
                return Err(StoreError::Limit {
                    what: "as end of a run of frames of memory or of one disk",
                    found: run.end(),
                    limit: border,
                });
            }
        }
        if let Some(sweep) = self.sweep.take() {
            sweep.abandon(&mut self.pool);
        }
        self.selected = first..end;
        Ok(())
    }

    /// The runs that are selected.
    fn runs(&self) -> &[PackedRun] {
        &self.body.runs[self.selected.clone()]
    }

    /// Number of selected frames, and how many of them are zero.
    pub fn counts(&self) -> (u64, u64) {
        count(self.runs())
    }

    /// The selected frames of the checkpoint.
    pub fn layout(&self) -> MemoryLayout {
        self.runs().iter().map(|run| run.start()..run.end()).collect()
    }

    /// Machine state, in the order it was put.
    pub fn records(&self) -> &[StateRecord] {
        &self.body.records
    }

    /// Any frames in any order, every byte checked: `into` gets one entry for each, in order, behind those it has. On
    /// an error it holds nothing that may be used.
    ///
    /// # Panics
    /// If the batch has no room for all.
    pub fn read_pages(&mut self, pfns: &[Pfn], into: &mut PageBatch) -> Result<(), StoreError> {
        assert!(
            pfns.len() <= into.room(),
            "the batch has room for {} pages",
            into.room()
        );
        let id = self.info.id;
        let mut pfns = pfns;
        while !pfns.is_empty() {
            let taken = self.read_some(pfns, into).map_err(|error| about(error, id))?;
            pfns = &pfns[taken..];
        }
        Ok(())
    }

    /// All selected non-zero pages, each exactly once, in the order that reads the store sequentially (not frame order), with
    /// read-ahead and parallel decompression. The batch is cleared first. `false`: there are no more, and the next
    /// call begins anew; so it does after an error. Zero pages are not among them: see
    /// [`zero_tagged`](Self::zero_tagged).
    pub fn next_batch(&mut self, into: &mut PageBatch) -> Result<bool, StoreError> {
        into.clear();
        let runs = &self.body.runs[self.selected.clone()];
        let mut sweep = self.sweep.take().unwrap_or_else(|| Sweep::new(runs));
        if let Err(error) = sweep.fill(runs, &mut self.pool, into, &mut self.segments) {
            sweep.abandon(&mut self.pool);
            return Err(about(error, self.info.id));
        }
        if into.is_empty() {
            return Ok(false);
        }
        self.sweep = Some(sweep);
        Ok(true)
    }

    /// Selected zero frames whose tag is not 0 (they still need their tag written), as ranges.
    pub fn zero_tagged(&self) -> Vec<(Range<u64>, PageTag)> {
        let zero = self
            .runs()
            .iter()
            .map(|&run| Run::from(run))
            .filter(|run| run.source == Source::Zero);
        zero.filter(|run| run.tag != PageTag(0))
            .map(|run| (run.start..run.end(), run.tag))
            .collect()
    }

    /// Reads pages until enough frames for one go are needed; tells how many.
    fn read_some(&mut self, pfns: &[Pfn], into: &mut PageBatch) -> Result<usize, StoreError> {
        let mut places = Vec::with_capacity(pfns.len());
        let mut wanted: BTreeMap<(u32, u32), FrameEntry> = BTreeMap::new();
        for &pfn in pfns {
            let place = self.place(pfn)?;
            if let Place::Stored { segment, frame, .. } = place {
                let key = (segment, frame.first_slot);
                if wanted.len() == FRAMES_AT_ONCE && !wanted.contains_key(&key) {
                    break;
                }
                wanted.insert(key, frame);
            }
            places.push(place);
        }
        // Looking one up also marks it as used, so that those to come do not displace it.
        wanted.retain(|&key, _| self.frames.get(key).is_none());
        self.expand(&wanted)?;
        for (place, &pfn) in places.iter().zip(pfns) {
            match *place {
                Place::Zero(tag) => {
                    into.push_zeroed(pfn, tag);
                }
                Place::Stored {
                    tag,
                    segment,
                    slot,
                    frame,
                } => {
                    let chunk = self
                        .frames
                        .get((segment, frame.first_slot))
                        .expect("the cache holds all of one go");
                    let at = (slot - frame.first_slot) as usize;
                    let page: &Page = &chunk.pages.as_chunks::<PAGE_SIZE>().0[at];
                    into.push(pfn, tag, page);
                }
            }
        }
        Ok(places.len())
    }

    /// From here on the reader is about these of its runs, or parts of them, alone.
    pub(super) fn narrow(&mut self, runs: Vec<PackedRun>) {
        self.selected = 0..runs.len();
        self.body.runs = runs;
    }

    /// The map and the segments it speaks of.
    pub(super) fn parts(&mut self) -> (&[PackedRun], &mut OpenSegments) {
        (&self.body.runs, &mut self.segments)
    }

    /// Where a page is.
    fn place(&mut self, pfn: Pfn) -> Result<Place, StoreError> {
        let run = find(&self.body.runs, pfn).ok_or(StoreError::NoSuchFrame {
            pfn,
            id: self.info.id,
        })?;
        let by = u32::try_from(pfn.0 - run.start).expect("within the run");
        match run.source.advanced(by) {
            Source::Zero => Ok(Place::Zero(run.tag)),
            Source::Stored { segment, slot } => {
                let frame = frame_of(self.segments.get(segment)?, slot)?;
                Ok(Place::Stored {
                    tag: run.tag,
                    segment,
                    slot,
                    frame,
                })
            }
        }
    }

    /// Brings frames into the cache, reading in the order in which they lie on the medium.
    fn expand(&mut self, missing: &BTreeMap<(u32, u32), FrameEntry>) -> Result<(), StoreError> {
        let mut tickets = Vec::with_capacity(missing.len());
        let mut result = Ok(());
        for (&key, &frame) in missing {
            let mut chunk = self.spare.pop().unwrap_or_default();
            result = self
                .segments
                .get(key.0)
                .and_then(|segment| chunk.read(segment, &[frame]));
            if result.is_err() {
                break;
            }
            tickets.push((key, self.pool.submit(chunk)));
        }
        // All results are taken up, also after an error: none may be left behind in the pool.
        for (key, ticket) in tickets {
            let chunk = self.pool.wait(ticket);
            self.segments.found_bad(key.0, &chunk.wrong);
            if result.is_ok() {
                result = self
                    .segments
                    .get(key.0)
                    .and_then(|segment| chunk.check(segment.file.path()));
            }
            if result.is_ok() {
                self.spare.extend(self.frames.insert(key, chunk));
            }
        }
        result
    }
}

/// The run that holds a frame.
fn find(runs: &[PackedRun], pfn: Pfn) -> Option<Run> {
    let after = runs.partition_point(|run| run.start() <= pfn.0);
    let run = runs[after.checked_sub(1)?];
    (pfn.0 < run.end()).then(|| run.into())
}

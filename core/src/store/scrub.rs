//! Verification in slices, for a process that lives as long as the store.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::bad;
use super::expand::Chunk;
use super::frame::{Codec, FrameEntry};
use super::manifest::Manifest;
use super::pool::Job;
use super::segment::SegmentReader;
use super::verify::damage;
use super::{CheckpointId, Finding, SegmentName, Store, StoreError};

/// What a file counts at least, so that a slice ends though there is little in it.
const FILE_BYTES: u64 = 4096;
/// Frames read in one go.
const CHUNK_FRAMES: usize = 32;

/// How far a scrub has come in its round: segments by name, then manifests by id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScrubCursor(Place);

/// What comes next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Start,
    /// Frames of this segment from this slot on.
    Segment(SegmentName, u32),
    /// Segments behind this one.
    Behind(SegmentName),
    /// Manifests, those behind this one if there is one.
    Manifests(Option<CheckpointId>),
}

/// A slice of a scrub.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Bytes read, and 4,096 more for each file.
    pub bytes: u64,
    /// Damage found. Bad frames are noted: no later checkpoint shares them, and `heal` mends what it can.
    pub findings: Vec<Finding>,
    /// The end of the store was reached; the next slice begins anew.
    pub round_done: bool,
}

impl Store {
    /// Verifies a slice of the store, from where the cursor is: goes on until `budget_bytes` have been read, but for the last
    /// bundle of frames (2 MiB), footer or manifest, or until the round is done. Takes no time but that of reading and computing:
    /// pace is the caller's business. The cursor survives whatever happens to the store between two slices.
    pub fn scrub(&self, cursor: &mut ScrubCursor, budget_bytes: u64) -> Result<Scrubbed, StoreError> {
        let _lock = self.share("scrub the store")?;
        let needed: BTreeSet<SegmentName> = self
            .heads()?
            .iter()
            .flat_map(|head| head.segments.iter().copied())
            .collect();
        let ids = self.ids()?;
        let first_segment = |names: &mut dyn Iterator<Item = &SegmentName>| {
            names
                .next()
                .map_or(Place::Manifests(None), |&name| Place::Segment(name, 0))
        };
        let mut done = Scrubbed::default();
        while done.bytes < budget_bytes && !done.round_done {
            cursor.0 = match cursor.0 {
                Place::Start => first_segment(&mut needed.iter()),
                Place::Behind(name) => {
                    first_segment(&mut needed.range((Bound::Excluded(name), Bound::Unbounded)))
                }
                Place::Segment(name, slot) => self.scrub_frames(name, slot, budget_bytes, &mut done)?,
                Place::Manifests(behind) => {
                    let next = ids.partition_point(|&id| behind.is_some_and(|behind| id <= behind));
                    if let Some(&id) = ids.get(next) {
                        self.scrub_manifest(id, &mut done)?
                    } else {
                        done.round_done = true;
                        Place::Start
                    }
                }
            };
        }
        Ok(done)
    }

    fn scrub_frames(
        &self,
        name: SegmentName,
        from_slot: u32,
        budget_bytes: u64,
        done: &mut Scrubbed,
    ) -> Result<Place, StoreError> {
        done.bytes += FILE_BYTES;
        let segment = match damage(SegmentReader::open(&self.medium, name))? {
            Ok(segment) => segment,
            Err(finding) => {
                done.findings.push(finding);
                return Ok(Place::Behind(name));
            }
        };
        let frames = &segment.footer.frames;
        let last = frames
            .last()
            .map_or(0, |frame| frame.offset + u64::from(frame.len_bytes));
        done.bytes += segment.file.len_bytes() - last;
        let first = frames.partition_point(|frame| frame.first_slot < from_slot);
        let mut bundles = frames[first..].chunks(CHUNK_FRAMES).peekable();
        // One at least, whatever the footer took of the budget: a round comes to an end.
        while let Some(bundle) = bundles.next() {
            done.bytes += bundle.iter().map(|frame| u64::from(frame.len_bytes)).sum::<u64>();
            self.scrub_bundle(name, &segment, bundle, done)?;
            if let Some(next) = bundles.peek().filter(|_| done.bytes >= budget_bytes) {
                return Ok(Place::Segment(name, next[0].first_slot));
            }
        }
        Ok(Place::Behind(name))
    }

    fn scrub_bundle(
        &self,
        name: SegmentName,
        segment: &SegmentReader,
        bundle: &[FrameEntry],
        done: &mut Scrubbed,
    ) -> Result<(), StoreError> {
        let mut chunk = Chunk::default();
        if damage(chunk.read(segment, bundle))?.is_ok() {
            for wrong in &chunk.run(&mut Codec::default()).wrong {
                self.note_scrubbed(name, &wrong.entry);
                done.findings.push(wrong.finding(segment.file.path()));
            }
            return Ok(());
        }
        // Which of them is it?
        for frame in bundle {
            if let Err(finding) = damage(chunk.read(segment, std::slice::from_ref(frame)))? {
                self.note_scrubbed(name, frame);
                done.findings.push(finding);
            }
        }
        Ok(())
    }

    fn scrub_manifest(&self, id: CheckpointId, done: &mut Scrubbed) -> Result<Place, StoreError> {
        done.bytes += FILE_BYTES;
        let read = Manifest::open(&self.medium, id).and_then(|manifest| {
            done.bytes += manifest.len_bytes();
            let body = manifest.body()?;
            body.runs().try_for_each(|run| run.map(drop))
        });
        match damage(read) {
            Ok(Ok(())) | Err(StoreError::NoSuchCheckpoint(_)) => {}
            Ok(Err(finding)) => done.findings.push(finding.of(id)),
            Err(error) => return Err(error),
        }
        Ok(Place::Manifests(Some(id)))
    }

    /// What cannot be noted is found again in the next round.
    fn note_scrubbed(&self, name: SegmentName, frame: &FrameEntry) {
        let slots = frame.first_slot..frame.end_slot();
        let _ = bad::add_to_list(&self.medium, name, &[slots]);
    }
}

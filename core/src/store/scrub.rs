//! Verification in slices, for a process that lives as long as the store.

use std::collections::BTreeSet;
use std::ops::{Bound, Range};

use super::bad;
use super::expand::Chunk;
use super::frame::Codec;
use super::manifest::Manifest;
use super::pool::Job;
use super::segment::SegmentReader;
use super::verify::damage;
use super::{CheckpointId, Finding, SegmentName, Store, StoreError};

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
    /// Bytes read.
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
        let mut done = Scrubbed::default();
        // Nothing is collected while the lock is held, so it is found out once in a slice.
        let mut needed = None;
        while done.bytes < budget_bytes && !done.round_done {
            cursor.0 = match cursor.0 {
                Place::Start => next_segment(self.needed(&mut needed)?, None),
                Place::Behind(name) => next_segment(self.needed(&mut needed)?, Some(name)),
                Place::Segment(name, slot) => self.scrub_frames(name, slot, budget_bytes, &mut done)?,
                Place::Manifests(behind) => self.scrub_manifest(behind, &mut done)?,
            };
        }
        Ok(done)
    }

    /// The segments that checkpoints need, read when they are first asked for.
    fn needed<'n>(
        &self,
        known: &'n mut Option<BTreeSet<SegmentName>>,
    ) -> Result<&'n BTreeSet<SegmentName>, StoreError> {
        if known.is_none() {
            let heads = self.heads()?;
            let names = heads.iter().flat_map(|head| head.segments.iter().copied());
            *known = Some(names.collect());
        }
        Ok(known.get_or_insert_default())
    }

    fn scrub_frames(
        &self,
        name: SegmentName,
        from_slot: u32,
        budget_bytes: u64,
        done: &mut Scrubbed,
    ) -> Result<Place, StoreError> {
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
        let (mut chunk, mut codec) = (Chunk::default(), Codec::default());
        for bundle in frames[first..].chunks(CHUNK_FRAMES) {
            if done.bytes >= budget_bytes {
                return Ok(Place::Segment(name, bundle[0].first_slot));
            }
            done.bytes += bundle.iter().map(|frame| u64::from(frame.len_bytes)).sum::<u64>();
            if damage(chunk.read(&segment, bundle))?.is_ok() {
                chunk = chunk.run(&mut codec);
                for wrong in &chunk.wrong {
                    self.note_scrubbed(name, wrong.entry.first_slot..wrong.entry.end_slot());
                    done.findings.push(wrong.finding(segment.file.path()));
                }
                continue;
            }
            for frame in bundle {
                if let Err(finding) = damage(chunk.read(&segment, std::slice::from_ref(frame)))? {
                    self.note_scrubbed(name, frame.first_slot..frame.end_slot());
                    done.findings.push(finding);
                }
            }
        }
        Ok(Place::Behind(name))
    }

    fn scrub_manifest(&self, behind: Option<CheckpointId>, done: &mut Scrubbed) -> Result<Place, StoreError> {
        let ids = self.ids()?;
        let Some(&id) = ids.iter().find(|&&id| behind.is_none_or(|behind| behind < id)) else {
            done.round_done = true;
            return Ok(Place::Start);
        };
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
    fn note_scrubbed(&self, name: SegmentName, slots: Range<u32>) {
        let _ = bad::add_to_list(&self.medium, name, &[slots]);
    }
}

/// Goes to the first of these segments behind one.
fn next_segment(needed: &BTreeSet<SegmentName>, behind: Option<SegmentName>) -> Place {
    let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
    let next = needed.range((from, Bound::Unbounded)).next();
    next.map_or(Place::Manifests(None), |&name| Place::Segment(name, 0))
}

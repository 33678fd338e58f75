//! What rewriting a segment would save.

use std::ops::Range;

use super::repack::{Fate, Splitter};
use crate::store::frame::FrameEntry;
use crate::store::segment::{SegmentReader, taken_bytes};
use crate::store::slots::SlotSet;
use crate::store::{SegmentName, StoreError};

/// Frames of a segment that are split for trial at most, to learn how well their parts compress.
const TRIALS: usize = 8;

/// A segment and what of it is needed, in bytes. A page weighs as much as the others of its frame.
#[derive(Debug)]
pub(super) struct Weight {
    pub(super) name: SegmentName,
    /// Length of the file.
    pub(super) len_bytes: u64,
    /// What its frames take.
    pub(super) frames_bytes: u64,
    /// Of this, what the pages that no checkpoint needs take.
    pub(super) unused_bytes: u64,
    /// What the frames take of which all pages are needed.
    whole_bytes: u64,
    /// What the needed pages of the other frames take.
    part_bytes: u64,
}

impl Weight {
    pub(super) fn of(segment: &SegmentReader, name: SegmentName, needed: Option<&SlotSet>) -> Self {
        let mut weight = Weight {
            name,
            len_bytes: segment.file.len_bytes(),
            frames_bytes: 0,
            unused_bytes: 0,
            whole_bytes: 0,
            part_bytes: 0,
        };
        for frame in &segment.footer.frames {
            let taken = taken_bytes(frame.len_bytes);
            weight.frames_bytes += taken;
            match Fate::of(frame, needed) {
                Fate::Gone => {}
                Fate::Whole => weight.whole_bytes += taken,
                Fate::Part(stretches) => {
                    let pages = stretches.iter().map(Range::len).sum();
                    weight.part_bytes += frame.share_bytes(pages);
                }
            }
        }
        weight.unused_bytes = weight.frames_bytes - weight.whole_bytes - weight.part_bytes;
        weight
    }

    /// Are more than so many percent of what its frames take unneeded?
    pub(super) fn exceeds(&self, percent: u8) -> bool {
        self.unused_bytes * 100 > self.frames_bytes * u64::from(percent)
    }

    /// How long the file will be once it is rewritten, from some of its frames that are split for trial: pages by
    /// themselves may take more than they took together. Exact if no more than [`TRIALS`] frames are to be split.
    pub(super) fn rewritten_bytes(
        &self,
        segment: &SegmentReader,
        needed: Option<&SlotSet>,
        level: i32,
    ) -> Result<u64, StoreError> {
        let parts: Vec<(&FrameEntry, _)> = segment
            .footer
            .frames
            .iter()
            .filter_map(|frame| match Fate::of(frame, needed) {
                Fate::Part(stretches) => Some((frame, stretches)),
                Fate::Gone | Fate::Whole => None,
            })
            .collect();
        let mut splitter = Splitter::default();
        let (mut by_share, mut by_trial) = (0, 0);
        for (frame, stretches) in parts.iter().step_by(parts.len().div_ceil(TRIALS).max(1)) {
            let whole = taken_bytes(frame.len_bytes);
            by_share += frame.share_bytes(stretches.iter().map(Range::len).sum());
            by_trial += splitter.split(segment, frame, stretches, level)?.unwrap_or(whole);
        }
        let scaled = u128::from(self.part_bytes) * u128::from(by_trial) / u128::from(by_share.max(1));
        let parts = if parts.len() <= TRIALS {
            by_trial
        } else {
            u64::try_from(scaled).unwrap_or(u64::MAX)
        };
        Ok(self.len_bytes - self.frames_bytes + self.whole_bytes + parts)
    }
}

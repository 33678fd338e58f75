//! What a checkpoint is made of, told without holding its map.

use std::ops::Range;

use super::manifest::{Manifest, RecordSummary, StoredBody};
use super::{CheckpointId, CheckpointInfo, Store, StoreError};
use crate::guest::Space;

/// A checkpoint as its manifest describes it. Its map was checked and is kept as it is stored, so that a long one costs no
/// memory.
#[derive(Debug)]
pub struct Survey {
    info: CheckpointInfo,
    records: Vec<RecordSummary>,
    body: StoredBody,
}

impl Store {
    /// Reads and checks the manifest of a checkpoint, and none of its pages.
    pub fn survey(&self, id: CheckpointId) -> Result<Survey, StoreError> {
        let manifest = Manifest::open(&self.medium, id)?;
        let body = manifest.body()?;
        body.runs().try_for_each(|run| run.map(drop))?;
        Ok(Survey {
            info: manifest.head.info,
            records: body.records()?,
            body,
        })
    }
}

impl Survey {
    /// The catalogue entry.
    pub fn info(&self) -> &CheckpointInfo {
        &self.info
    }

    /// Machine state by name, in order of names.
    pub fn records(&self) -> &[RecordSummary] {
        &self.records
    }

    /// The frames of memory, or of a disk, that the checkpoint has: ranges, ascending, with gaps between them.
    pub fn ranges(&self, space: Space) -> impl Iterator<Item = Range<u64>> {
        let within = space.frames();
        // The body was read once without an error, and its bytes are in memory.
        let mut runs = self.body.runs().map_while(Result::ok).filter_map(move |run| {
            let (start, end) = (run.start.max(within.start), run.end().min(within.end));
            (start < end).then_some(start..end)
        });
        let mut next = runs.next();
        std::iter::from_fn(move || {
            let mut range = next.take()?;
            loop {
                next = runs.next();
                match &next {
                    Some(more) if more.start == range.end => range.end = more.end,
                    _ => return Some(range),
                }
            }
        })
    }
}

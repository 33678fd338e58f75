//! What a collection did, and what it could not do.

use std::fmt;

use crate::causes::with_causes;
use crate::medium::MediumError;
use crate::quantity::counted;
use crate::store::{CheckpointId, CheckpointInfo, Finding, StoreError};

/// What was, or would be, given back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collected {
    /// Segments removed because no checkpoint needs any of their pages.
    pub segments_removed: u64,
    /// Segments rewritten without what no checkpoint needs.
    pub segments_compacted: u64,
    /// Bytes written for that.
    pub rewritten_bytes: u64,
    /// Unfinished files removed.
    pub remains_removed: u64,
    /// Why checkpoints were dropped that are not whole.
    pub damaged_dropped: Vec<Finding>,
    /// Manifests that do not read and stay. What they may need stays too, whether or not they need it.
    pub held_by: Vec<Finding>,
    /// Segments that stay for no other reason.
    pub segments_held: u64,
    /// Their bytes.
    pub held_bytes: u64,
    /// Bytes given back by all of this. Of a dry run: by what there is room for.
    pub freed_bytes: u64,
    /// Pages that were known to be bad and were made whole again, from equal ones, before anything else.
    pub pages_healed: u64,
    /// Bytes of stored pages that no checkpoint needs and that are there all the same.
    pub unused_bytes: u64,
    /// Segments that were not rewritten because there is no room on the medium for what they would be.
    pub segments_without_room: u64,
    /// Bytes that must become free, beyond those that are, for these segments to be rewritten.
    pub short_bytes: u64,
    /// Damage because of which a segment was left as it is.
    pub damaged_left: Vec<Finding>,
    /// What failed. Whatever does not depend on it was done.
    pub undone: Vec<Undone>,
}

/// What a prune kept and dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Checkpoints that stay, because a rule keeps them or their manifest could not be removed, oldest first.
    pub kept: Vec<CheckpointInfo>,
    /// Those that no rule keeps.
    pub dropped: Vec<CheckpointInfo>,
    /// Why some that stay are not whole. They use up no place in a rule.
    pub not_whole: Vec<Finding>,
    /// Those that stay because their instant is still to come by the store's clock.
    pub doubted: Vec<CheckpointId>,
    /// What the garbage collection behind it gave back.
    pub collected: Collected,
}

/// Something that failed while other things were done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// The file or directory, within the medium; empty if it is about none.
    pub path: String,
    /// What failed, and why, in words.
    pub what: String,
}

impl Collected {
    /// What should have been done and was not, as one line; `None`: all was done.
    pub fn shortcomings(&self) -> Option<String> {
        let mut said = Vec::new();
        match self.undone.as_slice() {
            [] => {}
            [only] => said.push(only.to_string()),
            [first, more @ ..] => said.push(format!("{first}, and {} more like it", more.len())),
        }
        if self.segments_without_room > 0 {
            said.push(format!(
                "not rewritten for want of room: {}; {} more must be free",
                counted(self.segments_without_room, "segment"),
                counted(self.short_bytes, "byte")
            ));
        }
        (!said.is_empty()).then(|| said.join("; "))
    }
}

impl Pruned {
    /// These could not be removed after all.
    pub(super) fn not_dropped(&mut self, ids: &[CheckpointId]) {
        if ids.is_empty() {
            return;
        }
        let (stayed, gone) = std::mem::take(&mut self.dropped)
            .into_iter()
            .partition(|info| ids.contains(&info.id));
        self.dropped = gone;
        self.kept.extend::<Vec<_>>(stayed);
        self.kept.sort_by_key(CheckpointInfo::age_key);
    }
}

impl Undone {
    pub(super) fn of_medium(error: &MediumError) -> Self {
        Undone {
            path: error.path.clone(),
            what: with_causes(error),
        }
    }

    pub(super) fn of(error: &StoreError) -> Self {
        match error {
            StoreError::Medium(error) => Undone::of_medium(error),
            other => Undone {
                path: String::new(),
                what: with_causes(other),
            },
        }
    }
}

impl fmt::Display for Undone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

//! What is remembered of a guest between its captures.

use std::fmt;

use super::CaptureError;
use crate::guest::{Hypervisor, PfnSet};
use crate::store::CheckpointId;

/// How a checkpoint relates to the one before it. All three are complete by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Increment {
    /// All of memory was read; the map started empty.
    Full,
    /// Only frames in the dirty log since the base were read.
    ByDirtyLog,
    /// All of memory was read and compared by content with what is stored.
    ByContent,
}

impl fmt::Display for Increment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Increment::Full => "full",
            Increment::ByDirtyLog => "dirty-log",
            Increment::ByContent => "content",
        })
    }
}

/// The memory of a guest's captures: the checkpoint that the dirty log counts from, and every frame that was taken out
/// of the log since and is not yet in a committed checkpoint.
///
/// Invariant: a frame whose content differs from the base is in `pending` or in the hypervisor's log.
#[derive(Debug, Default)]
pub struct Session {
    base: Option<CheckpointId>,
    pending: PfnSet,
    logging: bool,
    keep_log: bool,
}

impl Session {
    /// For a single checkpoint: the dirty log is off afterwards.
    pub fn once() -> Self {
        Session::default()
    }

    /// For checkpoints in a row: the dirty log stays on between them, so that increments read only what changed.
    pub fn continuous() -> Self {
        Session {
            keep_log: true,
            ..Session::default()
        }
    }

    /// The checkpoint that the next increment by dirty log would build on.
    pub fn base(&self) -> Option<CheckpointId> {
        self.base
    }

    /// Forgets everything: the guest was restored or is another one.
    pub fn reset(&mut self) {
        *self = Session {
            keep_log: self.keep_log,
            ..Session::default()
        };
    }

    /// Makes sure that the log is on; a log that just starts knows nothing of earlier changes.
    pub(super) fn start_log(&mut self, guest: &mut dyn Hypervisor) -> Result<(), CaptureError> {
        if !self.logging {
            guest
                .set_dirty_log(true)
                .map_err(CaptureError::guest("start the dirty log"))?;
            self.logging = true;
            self.base = None;
            self.pending.clear();
        }
        Ok(())
    }

    /// Takes the log; whatever becomes of this capture, the frames are remembered.
    pub(super) fn take(&mut self, guest: &mut dyn Hypervisor, into: &mut PfnSet) -> Result<(), CaptureError> {
        let mut taken = PfnSet::new();
        let outcome = guest
            .take_dirty(&mut taken)
            .map_err(CaptureError::guest("read the dirty log"));
        // Also what a failing backend handed over before it failed.
        self.pending.union_with(&taken);
        into.union_with(&taken);
        outcome
    }

    /// Frames known to differ from the base.
    pub(super) fn pending(&self) -> &PfnSet {
        &self.pending
    }

    /// A checkpoint with every pending frame is committed.
    pub(super) fn committed(&mut self, id: CheckpointId) {
        self.base = Some(id);
        self.pending.clear();
    }

    /// The end of a capture, good or bad: a log that nobody will read is a cost to the guest.
    pub(super) fn end(&mut self, guest: &mut dyn Hypervisor) -> Result<(), CaptureError> {
        if self.logging && !self.keep_log {
            self.reset();
            guest
                .set_dirty_log(false)
                .map_err(CaptureError::guest("end the dirty log"))?;
        }
        Ok(())
    }

    /// The log is on.
    pub(super) fn is_logging(&self) -> bool {
        self.logging
    }

    /// The log is to stay on after a capture.
    pub(super) fn keeps_log(&self) -> bool {
        self.keep_log
    }

    /// The log is on and counts from a known checkpoint.
    pub(super) fn counts_from(&self) -> Option<CheckpointId> {
        self.base.filter(|_| self.logging)
    }
}

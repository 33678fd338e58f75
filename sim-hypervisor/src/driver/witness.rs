//! Who is told what a run is spent on, as it goes.

use std::time::Duration;

use revenant_core::Timestamp;

use super::Strike;

/// What a stretch of time is spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// The guest works.
    Work,
    /// It does not, because of a checkpoint.
    Checkpoint,
    /// It does not, because it is looked at for silent errors.
    Verify,
    /// The guest is gone, and nobody has noticed.
    Detection,
    /// A host is waited for.
    Downtime,
    /// A checkpointer starts, or a guest is brought back.
    Restore,
}

/// What happens at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// A failure strikes.
    Struck(Strike),
    /// An error strikes the guest's memory of which nobody knows.
    SilentError,
    /// A checkpoint is committed.
    Checkpoint,
    /// One is not.
    CheckpointFailed,
    /// The guest runs again.
    Restored,
    /// A checkpoint cannot be restored.
    RestoreFailed,
}

/// Is told what happens in a run.
///
/// Stretches follow each other from the start to the end of the run. Of a capture in which the guest went on working it is known for how
/// long it did, and of one that was committed when it stood still; where a capture failed, the work is put first. Losses of the
/// store and silent errors are told when the step is done in which they struck.
pub trait Witness {
    /// So the time was spent, up to now.
    fn spent(&mut self, start: Timestamp, end: Timestamp, on: Spent);
    /// Of the newest work so much was for nothing.
    fn lost(&mut self, work: Duration);
    /// This happened.
    fn moment(&mut self, at: Timestamp, moment: Moment);
}

/// Nobody looks.
impl Witness for () {
    fn spent(&mut self, _: Timestamp, _: Timestamp, _: Spent) {}
    fn lost(&mut self, _: Duration) {}
    fn moment(&mut self, _: Timestamp, _: Moment) {}
}

//! Which frame's content is where: an append-only journal while a checkpoint is made, sorted runs once it is.

mod journal;
mod merge;
mod run;

pub(super) use journal::Journal;
pub(super) use merge::Merged;
pub(super) use run::{COUNT_MAX, PackedRun, Run, SEGMENTS_MAX, SLOTS_MAX, Source};

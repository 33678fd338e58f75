//! Page writes in the order they came.

use super::{PackedRun, Run};
use crate::store::chunked::Chunked;

/// Everything put into a checkpoint so far; of two writes of a frame the later counts. Costs 16 bytes for each run,
/// however far apart the frames are.
#[derive(Debug)]
pub(in crate::store) struct Journal {
    runs: Chunked<PackedRun>,
    /// Runs before this one are remembered by a mark and no longer grow.
    fence: usize,
}

impl Journal {
    pub(in crate::store) fn new() -> Self {
        Journal {
            runs: Chunked::new(),
            fence: 0,
        }
    }

    pub(in crate::store) fn push(&mut self, run: Run) {
        if self.runs.len() > self.fence {
            let last = self.runs.last_mut().expect("there is a run behind the fence");
            let mut joined = Run::from(*last);
            if joined.try_extend(&run) {
                *last = joined.into();
                return;
            }
        }
        self.runs.push(run.into());
    }

    /// The present length, to come back to.
    pub(in crate::store) fn mark(&mut self) -> usize {
        self.fence = self.runs.len();
        self.fence
    }

    /// Forgets what came after the mark.
    pub(in crate::store) fn rollback(&mut self, mark: usize) {
        self.runs.truncate(mark);
        self.fence = self.runs.len();
    }

    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn get(&self, index: u32) -> PackedRun {
        self.runs.get(index as usize)
    }
}

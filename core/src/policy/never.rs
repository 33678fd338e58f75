//! No checkpoints.

use std::time::Duration;

use super::{IntervalPolicy, Kind, Seen};

/// No checkpoints at all: the baseline.
#[derive(Debug, Clone, Copy)]
pub struct Never;

/// How it is chosen.
pub(super) const KIND: Kind = Kind {
    name: "never",
    formula: "none",
    source: "",
    parameters: &[],
    needs_work: false,
    needs_world: None,
    make: |_| Box::new(Never),
};

impl IntervalPolicy for Never {
    fn interval(&self, _: &Seen) -> Option<Duration> {
        None
    }

    fn is_constant(&self) -> bool {
        true
    }
}

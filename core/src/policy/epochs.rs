//! Epochs that a backup host follows.

use std::time::Duration;

use super::{IntervalPolicy, Kind, Seen};

/// The backup has the guest's state of the end of the last epoch (Remus: Cully et al., NSDI 2008). The driver sees to that; the
/// loop takes no checkpoints besides.
#[derive(Debug, Clone, Copy)]
pub struct Epochs;

/// How it is chosen.
pub(super) const KIND: Kind = Kind {
    name: "epochs",
    formula: "none: a backup follows from epoch to epoch",
    source: "Cully et al., NSDI 2008",
    parameters: &[],
    needs_work: false,
    needs_world: Some("checkpoint.epochs"),
    make: |_| Box::new(Epochs),
};

impl IntervalPolicy for Epochs {
    fn interval(&self, _: &Seen) -> Option<Duration> {
        None
    }

    fn is_constant(&self) -> bool {
        true
    }
}

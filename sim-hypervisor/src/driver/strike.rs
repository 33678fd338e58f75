//! What strikes a protected guest, besides the faults of a plan.

use std::time::Duration;

use crate::fault::Loss;

/// What a failure takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strike {
    /// The guest; host and checkpointer stand.
    GuestCrash,
    /// The guest, which stops executing; nobody knows until a detector's time is out. Host and checkpointer stand.
    Hang,
    /// The host with guest and checkpointer, until it is up again: the disk is as after a loss of power, and waits for it.
    HostCrash,
    /// The host for good; the disk, which is shared, is as after a loss of power.
    HostLoss,
    /// The guest's newest checkpoint, and writes to the store until it is mended; the guest goes on.
    StoreLoss,
}

impl From<Loss> for Strike {
    fn from(loss: Loss) -> Self {
        match loss {
            Loss::Guest => Strike::GuestCrash,
            Loss::Host => Strike::HostLoss,
        }
    }
}

/// When the next failure strikes: time at risk until then, and what it takes. Asked at the start and after every one that took
/// the guest, when a host is ready again; none of this source strikes during detection and downtime. After the loss of a
/// store the next is asked for at once. `None`: no more.
pub trait Losses {
    /// Draws the next one.
    fn next_loss(&mut self) -> Option<(Duration, Strike)>;
    /// Gaps of work between errors that nobody notices, from the start on. Asked once; `None`: there are none.
    fn silent_errors(&mut self) -> Option<Box<dyn FnMut() -> Duration>> {
        None
    }
}

impl<F, S> Losses for F
where
    F: FnMut() -> Option<(Duration, S)>,
    S: Into<Strike>,
{
    fn next_loss(&mut self) -> Option<(Duration, Strike)> {
        self().map(|(gap, strike)| (gap, strike.into()))
    }
}

//! A recorder as the witness of a simulated run.

use std::time::Duration;

use revenant_core::Timestamp;
use revenant_sim::driver::{Moment, Spent, Strike, Witness};

use crate::failures::FailureKind;
use crate::model::{Phase, Recorder, What};

impl Witness for Recorder {
    fn spent(&mut self, start: Timestamp, end: Timestamp, on: Spent) {
        let phase = match on {
            Spent::Work => Phase::Work,
            Spent::Checkpoint => Phase::Checkpoint,
            Spent::Verify => Phase::Verify,
            Spent::Detection => Phase::Detection,
            Spent::Downtime => Phase::Downtime,
            Spent::Restore => Phase::Restore,
        };
        self.span(start, end, phase);
    }

    fn lost(&mut self, work: Duration) {
        self.lose(work);
    }

    fn moment(&mut self, at: Timestamp, moment: Moment) {
        let what = match moment {
            Moment::Struck(strike) => What::Failure(kind(strike)),
            Moment::SilentError => What::SilentError,
            Moment::Checkpoint => What::Checkpoint,
            Moment::CheckpointFailed => What::CheckpointFailed,
            Moment::Restored => What::Restored,
            Moment::RestoreFailed => What::RestoreFailed,
        };
        self.happened(at, what);
    }
}

fn kind(strike: Strike) -> FailureKind {
    match strike {
        Strike::GuestCrash => FailureKind::GuestCrash,
        Strike::Hang => FailureKind::Hang,
        Strike::HostCrash => FailureKind::HostCrash,
        Strike::HostLoss => FailureKind::HostLoss,
        Strike::StoreLoss => FailureKind::StoreLoss,
    }
}

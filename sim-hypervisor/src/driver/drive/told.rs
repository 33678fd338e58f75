//! What the witness of a run is told.

use std::time::Duration;

use revenant_core::Timestamp;

use super::Driver;
use crate::driver::{Capture, Moment, Spent, Strike, Witness};

/// How far the witness has been told.
pub(super) struct Told<'a> {
    witness: &'a mut dyn Witness,
    /// Time is told up to here.
    until: Timestamp,
    lost: Duration,
    store_losses: usize,
    silent_errors: u64,
}

impl<'a> Told<'a> {
    pub(super) fn new(witness: &'a mut dyn Witness) -> Self {
        Told {
            witness,
            until: Timestamp::default(),
            lost: Duration::ZERO,
            store_losses: 0,
            silent_errors: 0,
        }
    }
}

impl Driver<'_> {
    /// What is not told yet was spent on this, up to an instant.
    pub(super) fn spent(&mut self, until: Timestamp, on: Spent) {
        let start = self.told.until;
        if until > start {
            self.told.witness.spent(start, until, on);
            self.told.until = until;
        }
    }

    pub(super) fn moment(&mut self, at: Timestamp, moment: Moment) {
        self.told.witness.moment(at, moment);
    }

    /// A capture is over, in which the guest worked for so long; committed or not.
    pub(super) fn captured(&mut self, committed: Option<Capture>, worked: Duration) {
        let (start, end) = (self.told.until, self.until_lost());
        let elapsed = end.since(start.min(end));
        let stood_still = elapsed.saturating_sub(worked);
        let before = committed.map_or(worked, |capture| worked.min(capture.lead));
        let looked = match (committed, self.scenario.rules.verification) {
            (Some(_), Some(rules)) => rules.cost.min(stood_still),
            _ => Duration::ZERO,
        };
        self.spent(start + before, Spent::Work);
        self.spent(start + before + looked, Spent::Verify);
        self.spent(start + before + stood_still, Spent::Checkpoint);
        self.spent(end, Spent::Work);
    }

    /// What struck since this was asked last, and took no guest.
    pub(super) fn unnoticed(&mut self) {
        let repair = self.scenario.rules.store_repair;
        for mended in self.disks.mended_after(self.told.store_losses) {
            self.moment(mended - repair, Moment::Struck(Strike::StoreLoss));
            self.told.store_losses += 1;
        }
        let errors = self.world.silent_errors();
        for _ in self.told.silent_errors..errors {
            self.moment(self.until_lost(), Moment::SilentError);
        }
        self.told.silent_errors = errors;
    }

    /// The guest was struck then.
    pub(super) fn struck(&mut self, at: Timestamp) {
        let strike = if self.world.hung(self.guest).is_some() {
            Strike::Hang
        } else if self.world.host_is_up(self.host()) {
            Strike::GuestCrash
        } else if self.world.host_has_crashed(self.host()) {
            Strike::HostCrash
        } else {
            Strike::HostLoss
        };
        self.moment(at, Moment::Struck(strike));
    }

    /// Of all that was executed only what is in the guest now is of use, and the step that it has `in_hand`.
    pub(super) fn settled(&mut self, in_hand: Duration) {
        let worked = self.worked_before + self.world.worked(self.guest);
        let useful = self.work_of(self.world.steps(self.guest)) + in_hand;
        let lost = worked.saturating_sub(useful);
        self.told.witness.lost(lost.saturating_sub(self.told.lost));
        self.told.lost = lost.max(self.told.lost);
    }
}

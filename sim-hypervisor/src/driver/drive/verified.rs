//! A guest that is looked at between its checkpoints, and what comes of an error that is found.

use std::time::Duration;

use revenant_core::guest::GoneReason;
use revenant_core::protect::Event;
use revenant_core::{Clock, Timestamp};

use super::{Candidate, Driver};
use crate::driver::Spent;
use crate::world::Incident;

impl Driver<'_> {
    /// Lets the guest work, and looks at it between equal parts of the time and at its end.
    pub(super) fn run(&mut self, until: Option<Timestamp>) -> Event<Candidate> {
        let Some(rules) = self.scenario.rules.verification else {
            return self.work(until);
        };
        let timer = until.map(|until| until.since(self.world.now()));
        let parts = timer.map_or(1, |_| rules.per_checkpoint.max(1));
        let mut worked = Duration::ZERO;
        for part in 1..=parts {
            // Parts are cut from the whole, so that they add up to it.
            let reach = timer.map(|timer| {
                if part == parts {
                    timer
                } else {
                    timer / parts * part
                }
            });
            let span = reach.map(|reach| reach.saturating_sub(worked));
            let event = self.work(span.map(|span| self.world.now() + span));
            worked += span.unwrap_or_default();
            let looked_at = match event {
                Event::TimerExpired => part < parts,
                Event::GuestFinished => !self.scenario.protect.final_checkpoint,
                _ => return event,
            };
            if looked_at && let Some(event) = self.verify() {
                return event;
            }
            if event == Event::GuestFinished {
                return event;
            }
        }
        Event::TimerExpired
    }

    /// Looks at the guest: says what happened unless it is as it should be.
    pub(super) fn verify(&mut self) -> Option<Event<Candidate>> {
        let verifier = self.verifier.clone()?;
        let begun = self.world.now();
        self.world.hold(self.guest, true);
        let right = verifier.passes(&self.world, self.guest);
        self.world.hold(self.guest, false);
        self.report.checkpointing += self.until_lost().since(begun);
        self.spent(self.until_lost(), Spent::Verify);
        if self.gone().is_some() {
            return Some(self.noticed());
        }
        (!right).then(|| self.found())
    }

    /// A verification found the guest wrong: it ends here, and the host is ready at once. The failure to come is not put off:
    /// it strikes at its instant, or in the restart if that is not begun by then.
    pub(super) fn found(&mut self) -> Event<Candidate> {
        self.report.found += 1;
        self.world.strike(Incident::GuestCrash(self.guest));
        self.lost_at.get_or_insert(self.world.now());
        self.at_hand = true;
        self.call_off_losses();
        Event::GuestLost {
            reason: GoneReason::GuestCrashed,
            at: self.world.now(),
        }
    }
}

//! What strikes the guest, when, and who notices.

use revenant_core::guest::GoneReason;
use revenant_core::protect::Event;
use revenant_core::{Clock, Timestamp};

use super::{Candidate, Driver};
use crate::driver::{Spent, Strike};
use crate::world::Incident;

impl Driver<'_> {
    /// Draws up to the next failure that takes the guest, or to the end of time. Losses of the store before it go to the agenda
    /// here and now: the time at risk goes on through them, and they are aimed at no guest.
    pub(super) fn draw_loss(&mut self) {
        self.world
            .retain_agenda(&self.hosts, |incident| !is_of_store(incident));
        let mut at = self.world.now();
        self.next_loss = loop {
            let Some((gap, strike)) = self.losses.next_loss() else {
                break None;
            };
            at = at + gap;
            if strike != Strike::StoreLoss {
                break Some((at, strike));
            }
            if at > Timestamp::default() + self.scenario.time_limit {
                break None;
            }
            let (host, mended) = (self.host(), at + self.scenario.rules.store_repair);
            self.world.schedule(at, Incident::DiskLoss { host, mended });
        };
    }

    /// Takes all losses off the agenda but those of the store, which are aimed at no guest.
    pub(super) fn call_off_losses(&self) {
        self.world.retain_agenda(&self.hosts, is_of_store);
    }

    /// Puts the coming losses on the agenda, aimed at the guest and host of now.
    pub(super) fn aim_losses(&mut self) {
        self.call_off_losses();
        let planned = self
            .scenario
            .faults
            .times
            .iter()
            .map(|fault| (Timestamp::default() + fault.at.0, fault.loss.into()));
        let now = self.world.now();
        for (at, strike) in planned.filter(|&(at, _)| at > now).chain(self.next_loss) {
            let incident = match strike {
                Strike::GuestCrash => Incident::GuestCrash(self.guest),
                Strike::Hang => Incident::Hang(self.guest),
                Strike::HostCrash => Incident::HostCrash(self.host()),
                Strike::HostLoss => Incident::HostLoss(self.host()),
                Strike::StoreLoss => continue,
            };
            self.world.schedule(at, incident);
        }
    }

    /// Nothing strikes the guest and its hosts any more.
    pub(super) fn call_off(&self) {
        self.world.retain_agenda(&self.hosts, |_| false);
    }

    /// Why and since when the guest is of no more use, if it is not: it is lost, or hangs.
    pub(super) fn gone(&self) -> Option<(GoneReason, Timestamp)> {
        let hung = self.world.hung(self.guest);
        let lost = self.world.lost(self.guest);
        match (hung, lost) {
            (Some(at), lost) => Some((lost.map_or(GoneReason::GuestCrashed, |(why, _)| why), at)),
            (None, lost) => lost,
        }
    }

    /// Now, or when the guest was lost: calls may go on after that.
    pub(super) fn until_lost(&self) -> Timestamp {
        let now = self.world.now();
        self.gone().map_or(now, |(_, at)| at)
    }

    /// The guest is gone; after a while somebody notices.
    pub(super) fn noticed(&mut self) -> Event<Candidate> {
        let (reason, at) = self.gone().unwrap_or((GoneReason::Destroyed, self.world.now()));
        self.call_off();
        self.lost_at.get_or_insert(at);
        self.struck(at);
        if !self.world.host_is_up(self.host()) {
            self.process = None;
        }
        match (self.world.hung(self.guest), self.scenario.rules.hang_detection) {
            (Some(at), Some(timeout)) => self.world.advance((at + timeout).since(self.world.now())),
            _ => self.world.advance(self.scenario.detection),
        }
        // What counts as lost must not go on, not even a guest that only seemed to hang.
        self.world.strike(Incident::GuestCrash(self.guest));
        // A call that was under way may have returned only some time after the loss.
        self.report.down += self.world.now().since(at);
        self.spent(self.world.now(), Spent::Detection);
        Event::GuestLost { reason, at }
    }
}

fn is_of_store(incident: &Incident) -> bool {
    matches!(incident, Incident::DiskLoss { .. })
}

//! Hosts fail and come back.

use std::time::Duration;

use super::{Engine, Event, FAILURE, RETURN};
use crate::cluster::hosts::Standing;
use crate::cluster::ns;
use crate::failures::FailureKind;

impl Engine<'_> {
    pub(super) fn bring_up(&mut self, host: u32) {
        let failure = self.hosts.host(host).failures.draw();
        self.kinds[host as usize] = failure.kind;
        let strike = self.now.saturating_add(ns(failure.gap));
        self.queue.schedule(strike, FAILURE, Event::Failure(host));
        self.hosts.stand(host, Standing::Up);
        self.look = true;
    }

    pub(super) fn on_failure(&mut self, host: u32) {
        let run = self.run;
        let kind = self.kinds[host as usize];
        self.totals.outcome.failures += 1;
        let detection = match kind {
            FailureKind::Hang => run.hang_detection,
            _ => run.detection,
        };
        let lost = kind == FailureKind::HostLoss;
        let more = match kind {
            FailureKind::HostLoss => run.cluster.repair,
            FailureKind::HostCrash => run.reboot,
            _ => Duration::ZERO,
        };
        let until = self.after(detection + run.downtime + more);
        self.hosts.stand(host, Standing::Down { until });
        self.queue.schedule(until, RETURN, Event::Back(host));
        let survives = run
            .cluster
            .local
            .as_ref()
            .is_some_and(|local| local.survives_host_loss);
        let gone = lost && !survives;
        for job in self.hosts.host(host).jobs.clone() {
            self.interrupt(job, kind, gone, ns(detection));
        }
        if gone && let Some(spare) = self.hosts.first_spare() {
            self.replaced[host as usize] = true;
            self.bring_up(spare);
        }
    }

    pub(super) fn on_back(&mut self, host: u32) {
        if std::mem::take(&mut self.replaced[host as usize]) {
            self.hosts.stand(host, Standing::Spare);
        } else {
            self.bring_up(host);
        }
    }
}

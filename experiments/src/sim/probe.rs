//! What a checkpoint and a restart cost in the simulated world, found by doing them once.

use std::time::Duration;

use revenant_sim::Program;

use super::site::{Site, Trouble};
use super::{SimError, boot_spec};
use crate::failures::FailureKind;
use crate::model::Costs;
use crate::seed::{Purpose, TrialSeed};
use crate::spec::Spec;

/// Share of the job that the guest does before each of the two captures.
const WARM_UP: u32 = 8;

/// Measures the costs for a guest program. The guest does an eighth of the job, is captured, does another eighth and is
/// captured again: the second capture counts, an increment finding its base. Then it is restarted once after a crash of
/// its own and once after the loss of its host, and the restart cost is their mean by the share of host losses.
pub(crate) fn probe(spec: &Spec, program: Program) -> Result<Costs, SimError> {
    let guest = spec.guest.as_ref().ok_or(SimError::NoGuest)?;
    // No trial has this seed: trials are numbered from 0 and their seeds are derived.
    let seed = TrialSeed(spec.seed);
    let boot = boot_spec(spec, program, seed)?;
    let mut site = Site::new(&guest.world, &spec.checkpoint, boot, seed.stream(Purpose::World))?;
    site.boot();
    let eighth = spec.job.work / WARM_UP;
    site.run(site.now() + eighth);
    site.capture().map_err(unexpected)?;
    site.run(site.now() + eighth);
    let captured = site.capture().map_err(unexpected)?;
    let timeline = captured.timeline;
    let mut restart = |kind| -> Result<Duration, SimError> {
        site.strike(kind);
        let begun = site.now();
        site.prepare(None);
        site.catalogue().map_err(unexpected)?;
        site.restore(captured.checkpoint.id).map_err(unexpected)?;
        Ok(site.now().since(begun))
    };
    let after_crash = restart(FailureKind::GuestCrash)?;
    let after_host_loss = restart(FailureKind::HostLoss)?;
    let share = spec.failures.host_loss_share;
    let restart_s = after_crash.as_secs_f64() * (1.0 - share) + after_host_loss.as_secs_f64() * share;
    let working = timeline.total.saturating_sub(timeline.suspended_for);
    Ok(Costs {
        checkpoint: timeline.suspended_for,
        restart: Duration::from_secs_f64(restart_s),
        lead: working.saturating_sub(timeline.commit_time),
        commit_latency: timeline.commit_time,
    })
}

/// Nothing strikes a probe unasked.
fn unexpected(trouble: Trouble) -> SimError {
    match trouble {
        Trouble::Defect(error) => error,
        Trouble::Lost(..) => SimError::StandsStill,
    }
}

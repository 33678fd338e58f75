//! What a checkpoint and a restart cost in the simulated world, found by doing them.

use std::time::Duration;

use revenant_core::policy::Fixed;
use revenant_core::protect::Options;
use revenant_sim::driver::{Report, Rules, RunEnd, Scenario, Shared, Strike};
use revenant_sim::{Program, driver};

use super::{SimError, scenario};
use crate::model::{Costs, SharedCosts};
use crate::seed::TrialSeed;
use crate::spec::{Cost, Setting};

/// A probe runs three of so many parts of the job, with a checkpoint after each of the first two.
const PARTS: u64 = 8;

/// Measures the costs for a guest program. A guest does three eighths of the job and is captured after the first and the
/// second; the second capture counts, an increment then having its base. The same is done again with a crash of the guest
/// in the last eighth, and once more with the loss of its host, or where the store is lost with it, with a crash of the host.
/// The restart cost is the mean of the two recoveries by the share of failures that take the checkpointer along, detection,
/// downtime and reboot left out.
///
/// If the shared store's costs are to be measured, too, both captures are copied there, and a lost host is a third case.
pub(crate) fn probe(setting: &Setting, program: Program, seed: u64) -> Result<Costs, SimError> {
    // No trial has this seed: those of trials are derived.
    let mut scenario = scenario(setting, program, TrialSeed(seed))?;
    let part = (scenario.guest.steps / PARTS).max(1);
    scenario.guest.steps = 3 * part;
    scenario.detection = Duration::ZERO;
    scenario.time_limit = Duration::MAX;
    scenario.protect = Options {
        final_checkpoint: false,
        failures_max: Some(1),
        ..Options::default()
    };
    scenario.protect.downtime = Duration::ZERO;
    let measured = setting
        .checkpoint
        .shared
        .filter(|shared| shared.cost == Cost::Measured);
    scenario.rules = Rules {
        shared: measured.map(|_| Shared {
            every: 1,
            boot: Duration::ZERO,
        }),
        ..Rules::default()
    };
    let interval = scenario.guest.step * u32::try_from(part).unwrap_or(u32::MAX);
    let undisturbed = run(&scenario, interval, None)?;
    let capture = *undisturbed.captures.last().ok_or(SimError::ProbeUnfinished)?;
    let late = undisturbed.makespan.saturating_sub(interval / 2);
    let recovery = |strike| -> Result<Duration, SimError> {
        let report = run(&scenario, interval, Some((late, strike)))?;
        let first = report.recoveries.first().copied();
        first.ok_or(SimError::ProbeUnfinished)
    };
    let shared = match capture.shared_for {
        Some(checkpoint) => Some(SharedCosts {
            checkpoint,
            restart: recovery(Strike::HostLoss)?,
        }),
        None => None,
    };
    let share = restarted_share(setting);
    let host = if setting.checkpoint.shared.is_some() {
        Strike::HostCrash
    } else {
        Strike::HostLoss
    };
    let restart_s =
        recovery(Strike::GuestCrash)?.as_secs_f64() * (1.0 - share) + recovery(host)?.as_secs_f64() * share;
    Ok(Costs {
        checkpoint: capture.suspended_for,
        restart: Duration::from_secs_f64(restart_s),
        lead: capture.lead,
        commit_latency: capture.commit_time,
        shared,
    })
}

/// Of the failures after which the guest comes back from the local store, the share that takes the checkpointer along.
fn restarted_share(setting: &Setting) -> f64 {
    let kinds = setting.failures.kinds;
    let (restarted, all) = if setting.checkpoint.shared.is_some() {
        (kinds.host_crash, 1.0 - kinds.store_loss - kinds.host_loss)
    } else {
        (kinds.host_crash + kinds.host_loss, 1.0 - kinds.store_loss)
    };
    if all > 0.0 {
        (restarted / all).min(1.0)
    } else {
        0.0
    }
}

fn run(
    scenario: &Scenario,
    interval: Duration,
    strike: Option<(Duration, Strike)>,
) -> Result<Report, SimError> {
    let mut losses = strike.into_iter();
    let report = driver::run(scenario, Box::new(Fixed(interval)), &mut || losses.next());
    match &report.end {
        RunEnd::Finished => Ok(report),
        RunEnd::StoreLost(why) => Err(SimError::StoreLost(why.clone())),
        RunEnd::TimeLimit | RunEnd::GivenUp(_) => Err(SimError::ProbeUnfinished),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::spec::Spec;

    fn share(kinds: &str, shared: &str) -> f64 {
        let text = format!(
            "name = \"p\"\nseed = 1\ntrials = 1\nlevels = [\"model\"]\n[job]\nwork = \"1h\"\n[failures]\n\
             law = \"exponential\"\nmtbf = \"1h\"\nkinds = {{ {kinds} }}\n[checkpoint]\ncost = \"1s\"\n\
             restart = \"1s\"\n{shared}\n[[policy]]\nkind = \"young\"\n"
        );
        restarted_share(&Spec::parse(&text, Path::new("p.toml")).unwrap().settings[0])
    }

    /// Crashes of hosts count as their losses do, where the store outlives both; losses of the store take no guest.
    #[test]
    fn restarts_are_weighed_by_what_takes_the_checkpointer() {
        let shared = "shared = { cost = \"9s\", restart = \"9s\" }";
        for (kinds, one, two) in [
            ("guest-crash = 0.9, host-loss = 0.1", 0.1, 0.0),
            (
                "guest-crash = 0.5, host-loss = 0.1, host-crash = 0.4",
                0.5,
                4.0 / 9.0,
            ),
            ("guest-crash = 0.4, host-crash = 0.1, store-loss = 0.5", 0.2, 0.2),
            ("guest-crash = 0.0, host-loss = 1.0", 1.0, 0.0),
            ("guest-crash = 0.0, store-loss = 1.0", 0.0, 0.0),
        ] {
            let found = (share(kinds, ""), share(kinds, shared));
            assert!(
                (found.0 - one).abs() < 1e-12 && (found.1 - two).abs() < 1e-12,
                "{kinds}: {found:?}"
            );
        }
    }
}

//! ④ Which closed form holds for a cell, and what it says.

use crate::model::Rules;
use crate::plan::{Cell, Plan};
use crate::spec::Level;
use crate::theory::Scenario;
use crate::theory::silent::Silent;
use crate::theory::two_level::TwoLevels;

/// Expectations of a trial, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Expected {
    /// From the start to the end of the work.
    pub makespan_s: f64,
    /// Work thrown away by failures, where the closed form has it.
    pub lost_s: Option<f64>,
}

/// What a closed form is about.
#[derive(Debug, Clone, Copy)]
enum ClosedForm {
    /// One store, failures that stop the guest.
    Plain(Scenario),
    /// A local and a shared store, and how many checkpoints make a pattern.
    TwoLevels(TwoLevels, u32),
    /// Silent errors, one verification a checkpoint.
    Silent(Silent),
}

/// Patterns or segments that a job must have at least: fewer are no long run.
const LONG_RUN: f64 = 10.0;

/// The plain case of a cell as far as the closed forms have one, whatever its policy: memoryless failures, one store that outlives
/// everything, no silent errors. Kinds may differ in their downtime: times without failures add up, so D is their mean.
pub(crate) fn plain(plan: &Plan, cell: &Cell) -> Option<Scenario> {
    match closed_form(plan, cell)? {
        ClosedForm::Plain(scenario) => Some(scenario),
        _ => None,
    }
}

/// What to expect of a trial of the cell. `None` where no closed form holds, or it is too large for a number.
///
/// Two stores and silent errors: of the long run, W times the expected time a work, with a checkpoint at the end.
pub(crate) fn expected(plan: &Plan, cell: &Cell) -> Option<Expected> {
    if !plan.interval_policy(cell).is_constant() {
        return None;
    }
    let work_s = plan.setting(cell).job.work.as_secs_f64();
    let tau_s = cell.interval.map(|tau| tau.as_secs_f64());
    let long_run = |span_s: f64, time_s: f64| {
        let holds = plan.setting(cell).job.final_checkpoint && work_s >= LONG_RUN * span_s;
        holds.then_some(Expected {
            makespan_s: work_s / span_s * time_s,
            lost_s: None,
        })
    };
    let expected = match (closed_form(plan, cell)?, tau_s) {
        (ClosedForm::Plain(scenario), Some(tau_s)) => Expected {
            makespan_s: scenario.expected_makespan_s(tau_s),
            lost_s: Some(scenario.expected_lost_s(tau_s)),
        },
        (ClosedForm::Plain(scenario), None) => Expected {
            makespan_s: scenario.expected_makespan_never_s(),
            lost_s: Some(scenario.expected_lost_never_s()),
        },
        (ClosedForm::TwoLevels(levels, n), Some(tau_s)) => {
            long_run(tau_s * f64::from(n), levels.expected_pattern_s(tau_s, n))?
        }
        (ClosedForm::Silent(silent), Some(tau_s)) => long_run(tau_s, silent.expected_segment_s(tau_s))?,
        (ClosedForm::TwoLevels(..) | ClosedForm::Silent(_), None) => return None,
    };
    (expected.makespan_s.is_finite() && expected.lost_s.is_none_or(f64::is_finite)).then_some(expected)
}

fn closed_form(plan: &Plan, cell: &Cell) -> Option<ClosedForm> {
    let setting = plan.setting(cell);
    let kinds = setting.failures.kinds;
    if cell.level == Level::Cluster || kinds.store_loss > 0.0 || !setting.failures.process.is_memoryless() {
        return None;
    }
    let rules = plan.rules(cell);
    let detection_s = setting.failures.detection.as_secs_f64();
    let hang_s = rules
        .hang_detection
        .map_or(detection_s, |hang| hang.as_secs_f64());
    let scenario = Scenario {
        downtime_s: setting.failures.downtime.as_secs_f64()
            + (1.0 - kinds.hang) * detection_s
            + kinds.hang * hang_s
            + kinds.host_crash * rules.reboot.as_secs_f64(),
        ..plan.scenario(cell)
    };
    // What is told by the mean downtime, or is about stores that are never lost.
    let beyond = Rules {
        reboot: Rules::default().reboot,
        hang_detection: None,
        store_repair: Rules::default().store_repair,
        ..rules
    };
    if beyond == Rules::default() {
        return Some(ClosedForm::Plain(scenario));
    }
    if let Some(shared) = beyond.shared {
        let shared_rate = kinds.host_loss / scenario.mtbf_s;
        let levels = TwoLevels {
            local_rate: 1.0 / scenario.mtbf_s - shared_rate,
            shared_rate,
            local_cost_s: scenario.checkpoint_s,
            shared_cost_s: shared.cost.as_secs_f64(),
            local_restart_s: scenario.restart_s,
            shared_restart_s: shared.restart.as_secs_f64(),
            downtime_s: scenario.downtime_s,
        };
        let alone = Rules {
            shared: None,
            ..beyond
        };
        return (alone == Rules::default()).then_some(ClosedForm::TwoLevels(levels, shared.every));
    }
    let (Some(silent_mtbf), Some(verification)) = (beyond.silent_mtbf, beyond.verification) else {
        return None;
    };
    let alone = Rules {
        silent_mtbf: None,
        verification: None,
        ..beyond
    };
    (alone == Rules::default() && verification.per_checkpoint == 1).then_some(ClosedForm::Silent(Silent {
        silent_rate: 1.0 / silent_mtbf.as_secs_f64(),
        stop_rate: 1.0 / scenario.mtbf_s,
        verification_s: verification.cost.as_secs_f64(),
        checkpoint_s: scenario.checkpoint_s,
        restart_s: scenario.restart_s,
        downtime_s: scenario.downtime_s,
    }))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::run::costs;
    use crate::spec::Spec;

    fn expected_of(world: &str) -> Vec<Option<Expected>> {
        let text = format!(
            "name = \"x\"\nseed = 1\ntrials = 1\nlevels = [\"model\"]\n[job]\nwork = \"2500000s\"\nfinal_checkpoint = true\n\
             {world}\n[[policy]]\nkind = \"fixed\"\ninterval = \"2500s\"\n[[policy]]\nkind = \"never\"\n[[policy]]\nkind = \"adaptive\"\n"
        );
        let spec = Spec::parse(&text, Path::new("x")).unwrap();
        let plan = Plan::new(&spec, &costs(&spec).unwrap());
        plan.cells.iter().map(|cell| expected(&plan, cell)).collect()
    }

    #[test]
    fn each_world_has_the_closed_form_that_is_about_it() {
        let costs = "[checkpoint]\ncost = \"100s\"\nrestart = \"50s\"\n";
        let failures = "[failures]\nlaw = \"exponential\"\nmtbf = \"80000s\"\n";
        let [fixed, never, adaptive] = expected_of(&format!("{failures}{costs}"))[..] else {
            panic!("three policies")
        };
        assert!(fixed.unwrap().lost_s.is_some() && never.is_some() && adaptive.is_none());

        // A crashed host takes 1000 s more, and half of the failures are such: as 500 s for all.
        let mixed = format!(
            "{failures}reboot = \"1000s\"\nkinds = {{ guest-crash = 0.5, host-crash = 0.5 }}\n{costs}"
        );
        let mean = format!("{failures}downtime = \"500s\"\n{costs}");
        assert_eq!(expected_of(&mixed), expected_of(&mean));

        let silent = format!("{failures}silent_mtbf = \"50000s\"\n{costs}verify = \"20s\"\n");
        let segment_s = Silent {
            silent_rate: 1.0 / 50_000.0,
            stop_rate: 1.0 / 80_000.0,
            verification_s: 20.0,
            checkpoint_s: 100.0,
            restart_s: 50.0,
            downtime_s: 0.0,
        }
        .expected_segment_s(2500.0);
        let [fixed, never, _] = expected_of(&silent)[..] else {
            panic!("three policies")
        };
        assert!((fixed.unwrap().makespan_s / (1000.0 * segment_s) - 1.0).abs() < 1e-12 && never.is_none());
        let twice = format!("{silent}verifications = 2\n");
        assert_eq!(expected_of(&twice)[0], None);
    }
}

mod kinds;
mod two_stores;

use std::path::Path;

use super::*;
use crate::model::Costs;
use crate::spec::{Checkpoint, Level, Method, Spec};
use crate::stats::Running;

const SPEC: &str = r#"
name = "sim"
seed = 5
trials = { sim = 12, model = 12 }
levels = ["model", "sim"]
[job]
work = "30min"
final_checkpoint = true
[guest]
programs = ["hot-set", "stencil", "key-value", "sort", "sliding", "idle"]
memory = "64KiB"
[world]
represents = 65536
[failures]
law = "exponential"
mtbf = ["8min"]
detection = "5s"
downtime = "20s"
kinds = { guest-crash = 0.5, host-loss = 0.5 }
[checkpoint]
cost = "measured"
restart = "measured"
[[policy]]
kind = "fixed"
interval = ["2min"]
"#;

fn plan(spec: &Spec) -> Plan {
    let setting = &spec.settings[0];
    let programs = &setting.guest.as_ref().unwrap().programs;
    let costs: Vec<Costs> = programs
        .iter()
        .map(|&program| probe(setting, program, spec.seed).unwrap())
        .collect();
    Plan::new(spec, &[costs])
}

fn spec() -> Spec {
    Spec::parse(SPEC, Path::new("sim.toml")).unwrap()
}

/// Whatever struck whenever, the guest computed what it should, and every nanosecond has a name.
#[test]
fn every_guest_ends_with_its_oracles_digest_by_every_way_of_capturing() {
    let (mut failures, mut lost) = (0, Duration::ZERO);
    for method in [Method::StopAndCopy, Method::PreCopy] {
        for incremental in [false, true] {
            let mut spec = spec();
            spec.settings[0].checkpoint = Checkpoint {
                method,
                incremental,
                ..spec.settings[0].checkpoint
            };
            let plan = plan(&spec);
            for (cell, of) in plan
                .cells
                .iter()
                .enumerate()
                .filter(|(_, cell)| cell.level == Level::Sim)
            {
                for trial in 0..3 {
                    let outcome = run(&plan, WorkItem { cell, trial }).unwrap();
                    let name = format!("{:?} {method:?} {incremental} trial {trial}", of.program);
                    assert_eq!(outcome.end, End::Completed, "{name}");
                    assert_eq!(outcome.digest_ok, Some(true), "{name}");
                    let parts = outcome.useful
                        + outcome.checkpointing
                        + outcome.lost
                        + outcome.restarting
                        + outcome.down;
                    assert_eq!(outcome.makespan, parts, "{name}: {outcome:?}");
                    assert_eq!(outcome.useful, spec.settings[0].job.work, "{name}");
                    failures += outcome.failures;
                    lost += outcome.lost;
                }
            }
        }
    }
    assert!(failures > 100, "only {failures} failures struck");
    assert!(
        lost > Duration::from_secs(1_000),
        "only {lost:?} of work was lost"
    );
}

/// Both levels meet the same failures, so the difference of a pair is that of the levels. What is left of it, besides the
/// sample's spread: costs vary with what the guest's memory holds, and the model takes them as constant.
#[test]
fn the_model_and_the_simulated_world_agree() {
    let plan = plan(&spec());
    for (pair, model) in plan.cells.chunks(2).enumerate() {
        let program = model[0].program;
        let mut differences = Running::default();
        for trial in 0..model[0].trials {
            let run = |cell| crate::trial::run(&plan, WorkItem { cell, trial }).unwrap();
            let (model, sim) = (run(2 * pair), run(2 * pair + 1));
            assert_eq!(model.end, End::Completed);
            let model_s = model.makespan.as_secs_f64();
            differences.add((sim.makespan.as_secs_f64() - model_s) / model_s);
        }
        let moments = differences.moments().unwrap();
        let (low, high) = moments.ci95.unwrap();
        assert!(low < 0.01 && high > -0.01, "{program:?}: {low} .. {high}");
        assert!(moments.mean.abs() < 0.04, "{program:?}: {moments:?}");
    }
}

#[test]
fn measured_costs_are_those_of_the_profile() {
    let spec = spec();
    let costs = probe(&spec.settings[0], Program::HotSet, spec.seed).unwrap();
    // 16 pages for 65,536 each at 1 us to copy and at most 10 ns to find dirty; log and state 1 ms each, resume 2 ms.
    let pages = 16 * 65_536;
    let least = Duration::from_nanos(pages * 1_000) + Duration::from_millis(4);
    assert!(
        costs.checkpoint >= least && costs.checkpoint <= least + Duration::from_nanos(pages * 10),
        "{costs:?}"
    );
    // Suspending takes 50 ms, during which the guest works; a few names are looked up before.
    assert!(
        costs.lead >= Duration::from_millis(50) && costs.lead < Duration::from_millis(60),
        "{costs:?}"
    );
    assert!(costs.commit_latency > Duration::from_secs(1), "{costs:?}");
    assert!(costs.restart > Duration::from_secs(1), "{costs:?}");
}

#[test]
fn a_trial_is_repeatable_and_a_hopeless_one_is_given_up() {
    let mut spec = spec();
    let cell = 1;
    let again = plan(&spec);
    let item = WorkItem { cell, trial: 2 };
    assert_eq!(run(&again, item).unwrap(), run(&plan(&spec), item).unwrap());
    spec.settings[0].limits.failures = 0;
    let outcome = run(&plan(&spec), item).unwrap();
    assert_eq!(
        (outcome.end, outcome.failures),
        (End::GivenUp(Reason::FailureLimit), 1)
    );
    spec.settings[0].limits = crate::spec::Limits {
        failures: 1_000,
        time: spec.settings[0].job.work,
    };
    let outcome = run(&plan(&spec), item).unwrap();
    assert_eq!(outcome.end, End::GivenUp(Reason::TimeLimit));
}

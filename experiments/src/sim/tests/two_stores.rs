//! A store on the host and a shared one, at both levels.

use revenant_core::policy::{Seen, TwoLevel};

use super::kinds::{accounted_for, changed, held_together};
use super::*;
use crate::expected::expected;

const REPAIRS: &str = "reboot = \"90s\"\nhang_detection = \"60s\"\nstore_repair = \"3min\"";
const ALL_KINDS: &str = "guest-crash = 0.2, hang = 0.2, host-crash = 0.2, host-loss = 0.2, store-loss = 0.2";

/// Checkpoints to a shared store of this speed, besides.
fn shared(every: &str, speed: &str) -> String {
    format!(
        "shared = {{ cost = \"measured\", restart = \"measured\"{every} }}\n[world.shared_medium]\n\
         write_per_s = \"{speed}\"\nread_per_s = \"{speed}\"\nlatency = \"1ms\"\nsync = \"10ms\""
    )
}

/// A plan of both levels with so many trials a cell.
fn planned(kinds: &str, failures: &str, checkpoint: &str, trials: u32) -> Plan {
    let plan = changed(kinds, failures, checkpoint);
    plan.resized(&vec![trials; plan.cells.len()])
}

/// What strikes while a checkpoint is copied harms less than the model has it: the local one is there already.
#[test]
fn both_levels_agree_whatever_strikes() {
    for kinds in [
        "host-loss = 1, guest-crash = 0",
        "host-crash = 1, guest-crash = 0",
        "guest-crash = 0.5, hang = 0.5",
        "guest-crash = 0.5, store-loss = 0.5",
        "host-loss = 0.5, store-loss = 0.5, guest-crash = 0",
        ALL_KINDS,
    ] {
        let plan = planned(kinds, REPAIRS, &shared(", every = 3", "100MiB"), 50);
        let pairs = held_together(&plan, kinds, 0.05);
        let sum = |of: fn(&(Outcome, Outcome)) -> u64| pairs.iter().map(of).sum::<u64>();
        let failures = (sum(|pair| pair.0.failures), sum(|pair| pair.1.failures));
        assert!(
            failures.0 > 200 && failures.0.abs_diff(failures.1) < failures.0 / 12,
            "{kinds}: {failures:?}"
        );
    }
}

#[test]
fn the_way_of_capturing_makes_no_difference_to_that() {
    for way in [
        "incremental = true",
        "method = \"pre-copy\"",
        "method = \"pre-copy\"\nincremental = true",
        "verify = \"2s\"\nverifications = 2",
    ] {
        let checkpoint = format!("{way}\n{}", shared(", every = 2", "100MiB"));
        held_together(&planned(ALL_KINDS, REPAIRS, &checkpoint, 25), way, 0.06);
    }
}

#[test]
fn the_timeline_of_a_trial_with_two_stores_accounts_for_all_of_its_time() {
    for method in ["stop-and-copy", "pre-copy"] {
        let checkpoint = format!(
            "verify = \"2s\"\nmethod = \"{method}\"\n{}",
            shared(", every = 2", "50MiB")
        );
        let failures = format!("{REPAIRS}\nsilent_mtbf = \"20min\"");
        assert!(accounted_for(&planned(ALL_KINDS, &failures, &checkpoint, 12)) > 100);
    }
}

#[test]
fn what_the_shared_store_costs_is_measured_and_told_to_the_policy() {
    let kinds = "guest-crash = 0.8, host-loss = 0.2";
    let plan = |speed| planned(kinds, "", &shared("", speed), 1);
    let costs = |plan: &Plan| plan.cells[1].costs;
    let (slow, fast) = (plan("100MiB"), plan("200MiB"));
    let (at_100, at_200) = (costs(&slow).shared.unwrap(), costs(&fast).shared.unwrap());
    // What is written there takes twice as long at half the speed; what is read of the local store does not.
    let ratio = at_100.checkpoint.as_secs_f64() / at_200.checkpoint.as_secs_f64();
    assert!((1.5..2.0).contains(&ratio), "{at_100:?} {at_200:?}");
    assert!(at_100.restart > at_200.restart && at_200.restart > costs(&fast).restart);
    // The local store is as it is without a shared one, but that a restart reads the other's catalogue, too; none of them is
    // after the loss of a host.
    let (alone, local) = (costs(&planned("guest-crash = 1", "", "", 1)), costs(&slow));
    assert_eq!((local.checkpoint, local.lead), (alone.checkpoint, alone.lead));
    let more = local.restart.saturating_sub(alone.restart);
    assert!(!more.is_zero() && more < Duration::from_secs(1), "{more:?}");
    // The pattern follows from the measured costs, at both levels alike. The first two cells are of one program.
    let cell = &slow.cells[1];
    let policy = TwoLevel {
        shared_cost: at_100.checkpoint,
        host_loss_share: 0.2,
        shared_every: None,
    };
    let best = policy.pattern(&Seen {
        checkpoint_cost: cell.costs.checkpoint,
        restart_cost: cell.costs.restart,
        mtbf: cell.mtbf,
        since_failure: Duration::ZERO,
        failures: 0,
        at_risk: Duration::ZERO,
    });
    assert!(best.shared_every > 1, "{best:?}");
    for cell in &slow.cells[..2] {
        let rules = slow.rules(cell).shared.unwrap();
        let (every, cost, restart) = (best.shared_every, at_100.checkpoint, at_100.restart);
        assert_eq!((rules.every, rules.cost, rules.restart), (every, cost, restart));
    }
}

/// The closed form takes the costs as measured, and knows nothing of the guest's work beside its captures.
#[test]
fn the_closed_form_of_measured_costs_is_about_what_both_levels_do() {
    let measured = format!("restart = \"measured\"\n{}", shared("", "100MiB"));
    let text = SPEC
        .replace("{ sim = 12, model = 12 }", "{ sim = 60, model = 2000 }")
        .replace(
            "\"hot-set\", \"stencil\", \"key-value\", \"sort\", \"sliding\", \"idle\"",
            "\"stencil\"",
        )
        .replace(
            "guest-crash = 0.5, host-loss = 0.5",
            "guest-crash = 0.8, host-loss = 0.2",
        )
        .replace("restart = \"measured\"", &measured)
        .replace("\"8min\"", "\"20min\"")
        .replace("kind = \"fixed\"\ninterval = [\"2min\"]", "kind = \"two-level\"")
        .replace("\"30min\"", "\"3h\"");
    let plan = plan(&Spec::parse(&text, Path::new("sim.toml")).unwrap());
    for (cell, of) in plan.cells.iter().enumerate() {
        let expected_s = expected(&plan, of).unwrap().makespan_s;
        let mut seen = Running::default();
        for trial in 0..of.trials {
            let outcome = crate::trial::run(&plan, WorkItem { cell, trial }).unwrap();
            seen.add(outcome.makespan.as_secs_f64());
        }
        let (low, high) = seen.moments().unwrap().ci95.unwrap();
        let within = 0.02 * expected_s;
        assert!(
            low - within < expected_s && expected_s < high + within,
            "{:?}: {expected_s} s, found {low} .. {high}",
            of.level
        );
    }
}

#[test]
fn a_trial_with_two_stores_is_repeatable() {
    let plan = || planned(ALL_KINDS, REPAIRS, &shared(", every = 2", "100MiB"), 3);
    let (one, other) = (plan(), plan());
    for trial in 0..3 {
        let item = WorkItem { cell: 1, trial };
        assert_eq!(run(&one, item).unwrap(), run(&other, item).unwrap());
    }
}

//! Claim: whatever calls fail and whatever is lost when, a guest that finishes has computed what it would have computed
//! alone. Every case follows from one number; a failing one prints the command that replays it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use revenant_core::capture::Method;
use revenant_core::policy::Fixed;
use revenant_core::protect::Options;
use revenant_sim::driver::{Report, Rules, RunEnd, Scenario, Shared, run};
use revenant_sim::fault::{FaultPlan, Loss};
use revenant_sim::{CostProfile, GuestSpec, Program};
use revenant_tests::reliability::row;

/// How many plans, unless `REVENANT_CASES` says another number.
const CASES: u64 = 10_000;
const FIRST_SEED: u64 = 0x5eed_0000;
const STEP: Duration = Duration::from_millis(20);

/// Everything about a case but its losses at random, from its number.
fn scenario(rng: &mut Xoshiro256PlusPlus) -> Scenario {
    let steps = rng.random_range(100..500);
    let span = STEP * u32::try_from(steps).unwrap();
    let interval = span / rng.random_range(2..12);
    // Sometimes copying is slow beside the guest, so that live captures race it.
    let represents = if rng.random_bool(0.3) { 2_000 } else { 1 };
    let profile = CostProfile {
        represents,
        ..CostProfile::default()
    };
    Scenario {
        guest: GuestSpec {
            program: Program::ALL[rng.random_range(0..Program::ALL.len())],
            pages: rng.random_range(16..64),
            seed: rng.next_u64(),
            steps,
            step: STEP,
        },
        profile,
        protect: Options {
            mtbf: span,
            checkpoint_cost: Duration::from_millis(50),
            restart_cost: Duration::from_millis(50),
            downtime: Duration::from_millis(rng.random_range(0..500)),
            final_checkpoint: rng.random_bool(0.5),
            candidates_max: rng.random_range(1..6),
            retry_after: interval / 4,
            failures_max: Some(200),
            ..Options::default()
        },
        method: if rng.random_bool(0.5) {
            Method::PreCopy
        } else {
            Method::StopAndCopy
        },
        incremental: rng.random_bool(0.7),
        dirty_log: rng.random_bool(0.7),
        detection: Duration::from_millis(rng.random_range(0..300)),
        boot: Duration::from_millis(100),
        keep_last: rng.random_range(1..4),
        compression_level: 1,
        faults: FaultPlan::random(rng, 8, span * 2),
        seed: rng.next_u64(),
        time_limit: span * 100,
        rules: Rules::default(),
    }
}

/// Runs case `number`, with another plan than its own if one is given.
fn run_case(number: u64, plan: Option<FaultPlan>) -> (Scenario, Report) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(FIRST_SEED + number);
    let mut scenario = scenario(&mut rng);
    if let Some(plan) = plan {
        scenario.faults = plan;
    }
    // Every third guest has a second store.
    scenario.rules.shared = number.is_multiple_of(3).then_some(Shared {
        every: 1 + u32::try_from(number / 3 % 3).unwrap(),
        boot: Duration::from_millis(300),
    });
    let span = STEP * u32::try_from(scenario.guest.steps).unwrap();
    let interval = span / rng.random_range(2..12);
    let mut losses_left = rng.random_range(0..4);
    let mut losses = move || {
        losses_left -= 1;
        let gap = span.mul_f64(rng.random_range(0.0..1.0));
        let loss = if rng.random_bool(0.5) {
            Loss::Guest
        } else {
            Loss::Host
        };
        (losses_left >= 0).then_some((gap, loss))
    };
    let report = run(&scenario, Box::new(Fixed(interval)), &mut losses);
    (scenario, report)
}

/// What is wrong with the outcome, if anything is.
fn complaint(report: &Report) -> Option<String> {
    match (&report.end, report.digest_ok) {
        (RunEnd::Finished, Some(true)) => None,
        (RunEnd::Finished, _) => Some("the guest finished with a wrong digest".to_owned()),
        (end, _) => Some(format!("the guest did not finish: {end:?}")),
    }
}

fn check(number: u64) -> Report {
    let (scenario, report) = run_case(number, None);
    if let Some(complaint) = complaint(&report) {
        panic!(
            "case {number}: {complaint}\n  faults: {}\n  replay: REVENANT_CASE={number} REVENANT_FAULTS='{}' \
             cargo test -p revenant-tests --test guest_reaches_the_oracle_under_any_fault_plan replay -- --nocapture",
            scenario.faults, scenario.faults
        );
    }
    report
}

#[test]
fn ten_thousand_fault_plans() {
    let cases = std::env::var("REVENANT_CASES").map_or(CASES, |text| text.parse().expect("a number"));
    let next = AtomicU64::new(0);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let totals: Vec<[u64; 4]> = thread::scope(|scope| {
        let worker = || {
            let mut totals = [0; 4];
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= cases {
                    return totals;
                }
                let report = check(number);
                let tally = report.tally;
                let seen = [
                    report.applied.len() as u64,
                    u64::from(tally.failures),
                    tally.captures,
                    tally.restores,
                ];
                totals
                    .iter_mut()
                    .zip(seen)
                    .for_each(|(total, seen)| *total += seen);
            }
        };
        let handles: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap_or_else(|e| std::panic::resume_unwind(e)))
            .collect()
    });
    let [faults, losses, captures, restores] =
        [0, 1, 2, 3].map(|i| totals.iter().map(|total| total[i]).sum::<u64>());
    row(
        "simulated guest under a drawn plan of faults",
        format!(
            "{cases} plans, {faults} faults, {losses} losses, {captures} checkpoints, {restores} restores"
        ),
        "the guest reaches what it computes without faults",
        "cargo test -p revenant-tests --test guest_reaches_the_oracle_under_any_fault_plan",
    );
    // The plans do bite: a test of nothing would pass as well.
    assert!(faults > cases && losses > cases && captures > cases && restores > cases / 2);
}

/// Runs the case that `REVENANT_CASE` names, with the plan in `REVENANT_FAULTS` if there is one.
#[test]
fn replay() {
    let Ok(number) = std::env::var("REVENANT_CASE") else {
        return;
    };
    let number = number.parse().expect("REVENANT_CASE is a case's number");
    let plan = std::env::var("REVENANT_FAULTS").ok();
    let plan = plan.map(|text| text.parse().expect("REVENANT_FAULTS is a fault plan"));
    let (scenario, report) = run_case(number, plan);
    println!("{scenario:#?}\n{report:#?}");
    assert_eq!(complaint(&report), None);
}

/// A case is its number's and nothing else's.
#[test]
fn the_same_case_twice_is_the_same() {
    for number in 0..20 {
        assert_eq!(run_case(number, None).1, run_case(number, None).1);
    }
}

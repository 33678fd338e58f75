//! Each kind of failure at both levels: the same trials meet the same failures, so what differs is what the model leaves out.

use super::*;

/// The usual spec with these kinds and keys, of two programs.
pub(super) fn changed(kinds: &str, failures: &str, checkpoint: &str) -> Plan {
    let text = SPEC
        .replace(
            "kinds = { guest-crash = 0.5, host-loss = 0.5 }",
            &format!("kinds = {{ {kinds} }}\n{failures}"),
        )
        .replace(
            "restart = \"measured\"",
            &format!("restart = \"measured\"\n{checkpoint}"),
        )
        .replace(
            "\"stencil\", \"key-value\", \"sort\", \"sliding\", \"idle\"",
            "\"stencil\"",
        );
    plan(&Spec::parse(&text, Path::new("sim.toml")).unwrap())
}

/// A trial at level `model` and the same at level `sim`.
fn both(plan: &Plan, pair: usize, trial: u32) -> (Outcome, Outcome) {
    let run = |cell| crate::trial::run(plan, WorkItem { cell, trial }).unwrap();
    (run(2 * pair), run(2 * pair + 1))
}

/// Pairs of trials with these kinds and keys, held together: the mean of the relative difference of their makespans.
fn agreement(kinds: &str, failures: &str, checkpoint: &str, within: f64) -> Vec<(Outcome, Outcome)> {
    held_together(&changed(kinds, failures, checkpoint), kinds, within)
}

/// The same of the pairs of a plan.
pub(super) fn held_together(plan: &Plan, name: &str, within: f64) -> Vec<(Outcome, Outcome)> {
    let mut pairs = Vec::new();
    for (pair, model) in plan.cells.chunks(2).enumerate() {
        let mut differences = Running::default();
        for trial in 0..model[0].trials {
            let (model, sim) = both(plan, pair, trial);
            assert_eq!((&model.end, &sim.end), (&End::Completed, &End::Completed));
            assert_eq!(sim.digest_ok, Some(true));
            let parts = sim.useful + sim.checkpointing + sim.lost + sim.restarting + sim.down;
            assert_eq!(sim.makespan, parts);
            let model_s = model.makespan.as_secs_f64();
            differences.add((sim.makespan.as_secs_f64() - model_s) / model_s);
            pairs.push((model, sim));
        }
        let moments = differences.moments().unwrap();
        assert!(moments.mean.abs() < within, "{name}: {moments:?}");
    }
    pairs
}

/// Both levels must meet the same number of failures, but for one at the end of a trial now and then, and not few. (The
/// time that a trial takes differs a little, and with it how many failures it meets.)
fn struck(pairs: &[(Outcome, Outcome)]) {
    let sum = |of: fn(&(Outcome, Outcome)) -> u64| pairs.iter().map(of).sum::<u64>();
    let (model, sim) = (sum(|pair| pair.0.failures), sum(|pair| pair.1.failures));
    assert!(
        model > 20 && model.abs_diff(sim) < 3 + model / 50,
        "{model} and {sim} failures"
    );
}

#[test]
fn hosts_that_crash_and_come_back() {
    let pairs = agreement("host-crash = 1", "reboot = \"90s\"", "", 0.02);
    struck(&pairs);
    for (model, sim) in &pairs {
        // 5 s to notice, 20 s to be ready, 90 s to boot. A call that is under way may return a second after the crash.
        let least = |outcome: &Outcome| 115.0 * outcome.failures as f64;
        assert!((model.down.as_secs_f64() - least(model)).abs() < 1e-6);
        let late = sim.down.as_secs_f64() - least(sim);
        assert!(late >= 0.0 && late < 2.0 * sim.failures as f64 + 0.001, "{sim:?}");
    }
}

#[test]
fn guests_that_hang() {
    let pairs = agreement("hang = 1", "hang_detection = \"60s\"", "", 0.02);
    struck(&pairs);
    for (model, sim) in &pairs {
        // 60 s for the detector, whatever call was under way, and 20 s to be ready.
        for outcome in [model, sim] {
            let down = 80.0 * outcome.failures as f64;
            assert!((outcome.down.as_secs_f64() - down).abs() < 1e-3, "{outcome:?}");
        }
    }
}

#[test]
fn stores_that_lose_something() {
    for incremental in ["", "incremental = true"] {
        let kinds = "guest-crash = 0.5, store-loss = 0.5";
        let pairs = agreement(kinds, "store_repair = \"3min\"", incremental, 0.02);
        struck(&pairs);
        let sum = |of: fn(&(Outcome, Outcome)) -> u64| pairs.iter().map(of).sum::<u64>();
        let (model, sim) = (sum(|pair| pair.0.checkpoints), sum(|pair| pair.1.checkpoints));
        assert!(model.abs_diff(sim) < 6, "{model} and {sim} checkpoints");
    }
    // Nothing but losses of the store: no guest is ever lost.
    let pairs = agreement(
        "guest-crash = 0.0, store-loss = 1.0",
        "store_repair = \"30s\"",
        "",
        0.005,
    );
    assert!(
        pairs
            .iter()
            .all(|(_, sim)| sim.lost.is_zero() && sim.down.is_zero())
    );
}

#[test]
fn silent_errors_that_are_looked_for() {
    let failures = "silent_mtbf = \"10min\"";
    for verifications in ["", "\nverifications = 3"] {
        let pairs = agreement(
            "guest-crash = 1",
            failures,
            &format!("verify = \"4s\"{verifications}"),
            0.02,
        );
        struck(&pairs);
        assert!(pairs.iter().any(|(_, sim)| sim.lost > Duration::from_mins(5)));
    }
}

/// Which trials end wrong is the same at both levels: an error that a failure throws away with the work it struck harms
/// nobody, all others do.
#[test]
fn silent_errors_that_nobody_looks_for() {
    let plan = changed("guest-crash = 1", "silent_mtbf = \"20min\"", "");
    let mut wrong = 0;
    for (pair, cells) in plan.cells.chunks(2).enumerate() {
        for trial in 0..cells[0].trials {
            let (model, sim) = both(&plan, pair, trial);
            assert_eq!(
                (&model.end, model.digest_ok),
                (&sim.end, sim.digest_ok),
                "trial {trial}"
            );
            let is_wrong = sim.end == End::GivenUp(Reason::SilentlyWrong);
            assert_eq!(sim.digest_ok, Some(!is_wrong));
            wrong += u32::from(is_wrong);
        }
    }
    let trials: u32 = plan.cells.iter().map(|cell| cell.trials).sum::<u32>() / 2;
    assert!(wrong > 0 && wrong < trials, "{wrong} of {trials} are wrong");
}

/// The recorder changes nothing, and what it was told is all that happened, to the nanosecond.
#[test]
fn the_timeline_of_a_trial_accounts_for_all_of_its_time() {
    let mut struck = 0;
    for method in ["stop-and-copy", "pre-copy"] {
        let plan = changed(
            "guest-crash = 0.2, hang = 0.2, host-crash = 0.2, host-loss = 0.2, store-loss = 0.2",
            "reboot = \"90s\"\nhang_detection = \"60s\"\nstore_repair = \"3min\"\nsilent_mtbf = \"20min\"",
            &format!("verify = \"2s\"\nverifications = 2\nmethod = \"{method}\""),
        );
        struck += accounted_for(&plan);
    }
    assert!(struck > 100, "only {struck} failures struck");
}

/// Holds the timeline of each trial of level `sim` against its outcome; tells how many failures struck.
pub(super) fn accounted_for(plan: &Plan) -> u64 {
    let mut struck = 0;
    let sims = plan.cells.iter().enumerate();
    for (cell, of) in sims.filter(|(_, cell)| cell.level == Level::Sim) {
        for trial in 0..of.trials {
            let item = WorkItem { cell, trial };
            let mut recorder = Recorder::default();
            let outcome = observe(plan, item, &mut recorder).unwrap();
            assert_eq!(outcome, run(plan, item).unwrap());
            recorder.accounts_for(&outcome);
            let count = |is: fn(&What) -> bool| {
                let moments = recorder.moments.iter();
                moments.filter(|moment| is(&moment.what)).count() as u64
            };
            let failures = count(|what| matches!(what, What::Failure(_) | What::SilentError));
            assert_eq!(failures, outcome.failures);
            assert_eq!(count(|what| *what == What::Checkpoint), outcome.checkpoints);
            struck += failures;
        }
    }
    struck
}

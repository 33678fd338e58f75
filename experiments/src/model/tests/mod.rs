//! The plain case against the closed forms; what the rules add is in the files beside this one.

mod kinds;
mod worlds;

use std::num::NonZeroU32;

use revenant_core::policy::{Adaptive, Fixed, Lazy, Never, Young};

use super::*;
use crate::failures::{Kinds, Law, Process};
use crate::seed::TrialSeed;
use crate::theory::Scenario;

fn job(mtbf_s: u64) -> ModelJob {
    ModelJob {
        work: Duration::from_secs(1_000_000),
        final_checkpoint: true,
        costs: Costs {
            checkpoint: Duration::from_secs(60),
            restart: Duration::from_secs(120),
            ..Costs::default()
        },
        mtbf: Duration::from_secs(mtbf_s),
        detection: Duration::ZERO,
        downtime: Duration::ZERO,
        limits: Limits {
            failures: 100_000,
            time: Duration::from_secs(100_000_000),
        },
        rules: Rules::default(),
    }
}

fn theory(job: &ModelJob) -> Scenario {
    Scenario {
        work_s: job.work.as_secs_f64(),
        checkpoint_s: job.costs.checkpoint.as_secs_f64(),
        restart_s: job.costs.restart.as_secs_f64(),
        downtime_s: (job.detection + job.downtime).as_secs_f64(),
        mtbf_s: job.mtbf.as_secs_f64(),
        final_checkpoint: job.final_checkpoint,
    }
}

fn run(job: &ModelJob, tau_s: Option<u64>, trial: u32) -> Outcome {
    let policy: Box<dyn IntervalPolicy> = match tau_s {
        Some(tau_s) => Box::new(Fixed(Duration::from_secs(tau_s))),
        None => Box::new(Never),
    };
    let seed = TrialSeed::derive(1, trial);
    job.run(
        policy,
        seed,
        FailureStream::new(seed, &Process::EXPONENTIAL, job.mtbf, Kinds::default()),
    )
}

/// Mean and standard error of the makespan, and mean failures, over `trials` trials, all of which must finish.
fn makespan(job: &ModelJob, tau_s: Option<u64>, trials: NonZeroU32) -> (f64, f64, f64) {
    let n = f64::from(trials.get());
    let outcomes: Vec<_> = (0..trials.get()).map(|trial| run(job, tau_s, trial)).collect();
    assert!(outcomes.iter().all(|outcome| outcome.end == End::Completed));
    let spans: Vec<f64> = outcomes
        .iter()
        .map(|outcome| outcome.makespan.as_secs_f64())
        .collect();
    let mean = spans.iter().sum::<f64>() / n;
    let variance = spans
        .iter()
        .map(|span| (span - mean) * (span - mean))
        .sum::<f64>()
        / (n - 1.0);
    let failures = outcomes
        .iter()
        .map(|outcome| outcome.failures as f64)
        .sum::<f64>()
        / n;
    (mean, (variance / n).sqrt(), failures)
}

/// Asserts that the mean is within 1.96 standard errors of the closed form. Seeds are fixed, so this either holds
/// or does not, for ever.
fn agrees(job: &ModelJob, tau_s: Option<u64>, trials: u32) -> f64 {
    let (mean, error, failures) = makespan(job, tau_s, NonZeroU32::new(trials).unwrap());
    let wanted = match tau_s {
        Some(tau_s) => theory(job).expected_makespan_s(tau_s as f64),
        None => theory(job).expected_makespan_never_s(),
    };
    assert!(
        (mean - wanted).abs() < 1.96 * error,
        "{mean} ± {error}, wanted {wanted}"
    );
    failures
}

#[test]
fn the_reference_makespans_come_out() {
    let failures = agrees(&job(20_000), Some(1600), 3_000);
    assert!(
        failures > 50.0 && failures < 58.0,
        "54.4 failures a run expected, {failures} seen"
    );
    let failures = agrees(&job(86_400), Some(3125), 3_000);
    assert!(
        failures > 11.5 && failures < 12.5,
        "12.03 failures a run expected, {failures} seen"
    );
}

#[test]
fn downtime_detection_remainder_and_missing_checkpoints_agree_with_theory() {
    let mut job = job(20_000);
    job.detection = Duration::from_secs(40);
    job.downtime = Duration::from_secs(500);
    agrees(&job, Some(7_777), 2_000);
    job.final_checkpoint = false;
    agrees(&job, Some(7_777), 2_000);
    job.work = Duration::from_secs(30_000);
    let failures = agrees(&job, None, 2_000);
    assert!(failures > 1.0, "never struck");
}

#[test]
fn every_nanosecond_is_accounted_for() {
    let mut job = job(20_000);
    job.costs.lead = Duration::from_millis(1_234);
    job.costs.commit_latency = Duration::from_millis(345_678);
    job.detection = Duration::from_secs(40);
    job.downtime = Duration::from_secs(500);
    for trial in 0..20 {
        let outcome = run(&job, Some(2_000), trial);
        assert_eq!(outcome.useful, job.work);
        let parts = outcome.useful + outcome.checkpointing + outcome.lost + outcome.restarting + outcome.down;
        assert_eq!(outcome.makespan, parts);
        assert!(outcome.failures > 0 && outcome.recoveries.count() <= outcome.failures);
        assert!(
            outcome
                .recoveries
                .iter()
                .all(|(recovery, _)| recovery >= 660_000_000_000)
        );
        assert_eq!(
            outcome.down,
            Duration::from_secs(540) * u32::try_from(outcome.failures).unwrap()
        );
    }
}

#[test]
fn a_trial_that_would_not_end_is_given_up() {
    let mut job = job(1_000);
    job.limits.failures = 10;
    let outcome = run(&job, None, 0);
    assert_eq!(outcome.end, End::GivenUp(Reason::FailureLimit));
    assert_eq!(outcome.failures, 11);
    job.limits = Limits {
        failures: u32::MAX,
        time: Duration::from_secs(2_000_000),
    };
    let outcome = run(&job, None, 0);
    assert_eq!(outcome.end, End::GivenUp(Reason::TimeLimit));
    assert_eq!(outcome.makespan, job.limits.time);
}

/// M = 11 h, W = 500 h, C = R = 0.5 h, Weibull of shape 0.6: an independent simulation saves 37.0 % of the checkpoints for
/// 0.04 % more time (3,000 trials).
#[test]
fn lazy_saves_checkpoints_and_hardly_costs_time() {
    let cost = Duration::from_mins(30);
    let job = ModelJob {
        work: Duration::from_hours(500),
        final_checkpoint: false,
        costs: Costs {
            checkpoint: cost,
            restart: cost,
            ..Costs::default()
        },
        ..job(11 * 3600)
    };
    let process = Process::law(Law::Weibull { shape: 0.6 });
    let sums = |shape: f64| {
        (0..300).fold((0.0, 0.0), |sums, trial| {
            let seed = TrialSeed::derive(1, trial);
            let failures = FailureStream::new(seed, &process, job.mtbf, Kinds::default());
            let outcome = job.run(Box::new(Lazy { shape }), seed, failures);
            (
                sums.0 + outcome.checkpoints as f64,
                sums.1 + outcome.makespan.as_secs_f64(),
            )
        })
    };
    let ((lazy, lazy_s), (steady, steady_s)) = (sums(0.6), sums(1.0));
    assert!((lazy / steady - 0.63).abs() < 0.01, "{}", lazy / steady);
    assert!((lazy_s / steady_s - 1.0).abs() < 0.015, "{}", lazy_s / steady_s);
}

#[test]
fn adaptive_comes_to_young_though_its_guess_is_wrong_and_nothing_fails_for_long() {
    let seed = |trial| TrialSeed::derive(1, trial);
    let wrong = Adaptive {
        prior: 10.0,
        weight: 1.0,
    };
    let long = Duration::from_secs(40_000);
    // Whether a loss is not noticed for so long, or nobody has a host: neither is time at risk.
    for (detection, downtime) in [(long, Duration::ZERO), (Duration::ZERO, long)] {
        let job = ModelJob {
            detection,
            downtime,
            work: Duration::from_secs(10_000_000),
            ..job(20_000)
        };
        let failures =
            |trial| FailureStream::new(seed(trial), &Process::EXPONENTIAL, job.mtbf, Kinds::default());
        let (mut learnt, mut told) = (0.0, 0.0);
        for trial in 0..4 {
            learnt += job.run(Box::new(wrong), seed(trial), failures(trial)).checkpoints as f64;
            told += job.run(Box::new(Young), seed(trial), failures(trial)).checkpoints as f64;
        }
        assert!((learnt / told - 1.0).abs() < 0.03, "{}", learnt / told);
    }
}

#[test]
fn a_commit_that_comes_late_loses_more() {
    let late = ModelJob {
        costs: Costs {
            commit_latency: Duration::from_secs(300),
            ..job(20_000).costs
        },
        ..job(20_000)
    };
    let lost = |job: &ModelJob| {
        (0..50)
            .map(|trial| run(job, Some(1600), trial).lost)
            .sum::<Duration>()
    };
    assert!(lost(&late) > lost(&job(20_000)));
}

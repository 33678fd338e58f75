//! Two stores, silent errors, epochs and replication against their closed forms. Seeds are fixed.

use revenant_core::policy::{Seen, TwoLevel, Verified};

use super::*;
use crate::theory;

/// An MTBF in which nothing fails.
const NEVER_S: u64 = 4_000_000_000;

fn failures(seed: TrialSeed, mtbf: Duration, kinds: Kinds) -> FailureStream {
    FailureStream::new(seed, &Process::EXPONENTIAL, mtbf, kinds)
}

/// Mean makespan and its standard error.
fn mean_s(job: &ModelJob, interval_s: Option<f64>, kinds: Kinds, trials: u32) -> (f64, f64) {
    let spans: Vec<f64> = (0..trials)
        .map(|trial| {
            let seed = TrialSeed::derive(1, trial);
            let policy: Box<dyn IntervalPolicy> = match interval_s {
                Some(interval_s) => Box::new(Fixed(Duration::from_secs_f64(interval_s))),
                None => Box::new(Never),
            };
            let outcome = job.run(policy, seed, failures(seed, job.mtbf, kinds));
            assert_eq!(outcome.end, End::Completed);
            outcome.makespan.as_secs_f64()
        })
        .collect();
    mean_and_error(&spans)
}

fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values
        .iter()
        .map(|value| (value - mean) * (value - mean))
        .sum::<f64>()
        / (n - 1.0);
    (mean, (variance / n).sqrt())
}

#[track_caller]
fn agree((mean, error): (f64, f64), wanted: f64) {
    assert!(
        (mean - wanted).abs() < 1.96 * error,
        "{mean} ± {error}, wanted {wanted}"
    );
}

fn seen(job: &ModelJob) -> Seen {
    Seen {
        checkpoint_cost: job.costs.checkpoint,
        restart_cost: job.costs.restart,
        mtbf: job.mtbf,
        since_failure: Duration::ZERO,
        failures: 0,
        at_risk: Duration::ZERO,
    }
}

fn costs(checkpoint_s: u64, restart_s: u64) -> Costs {
    Costs {
        checkpoint: Duration::from_secs(checkpoint_s),
        restart: Duration::from_secs(restart_s),
        ..Costs::default()
    }
}

/// C₁ = 5 s, C₂ = 100 s, λ₁ = 1/5000 s, λ₂ = 1/10⁵ s: twenty local checkpoints for a shared one. First order 0.0894;
/// another program's Monte-Carlo 0.0945 ± 0.0014.
#[test]
fn two_levels_agree_with_the_markov_chain() {
    for (restart_s, shared_restart_s, downtime_s, patterns) in [(0, 0, 0, 100), (15, 300, 60, 50)] {
        let levels = theory::two_level::TwoLevels {
            local_rate: 1.0 / 5_000.0,
            shared_rate: 1.0 / 1e5,
            local_cost_s: 5.0,
            shared_cost_s: 100.0,
            local_restart_s: restart_s as f64,
            shared_restart_s: shared_restart_s as f64,
            downtime_s: downtime_s as f64,
        };
        let rate = levels.local_rate + levels.shared_rate;
        let kinds = Kinds {
            guest_crash: levels.local_rate / rate,
            host_loss: levels.shared_rate / rate,
            ..Kinds {
                guest_crash: 0.0,
                ..Kinds::default()
            }
        };
        let mut job = ModelJob {
            costs: costs(5, restart_s),
            mtbf: Duration::from_secs_f64(1.0 / rate),
            downtime: Duration::from_secs(downtime_s),
            ..job(1)
        };
        let policy = TwoLevel {
            shared_cost: Duration::from_secs(100),
            host_loss_share: kinds.host_loss,
            shared_every: None,
        };
        let pattern = policy.pattern(&seen(&job));
        assert_eq!(pattern.shared_every, 20);
        job.work = pattern.interval * pattern.shared_every * patterns;
        job.rules.shared = Some(Shared {
            cost: Duration::from_secs(100),
            restart: Duration::from_secs(shared_restart_s),
            every: pattern.shared_every,
        });
        let interval_s = pattern.interval.as_secs_f64();
        let wanted = f64::from(patterns) * levels.expected_pattern_s(interval_s, 20);
        agree(mean_s(&job, Some(interval_s), kinds, 400), wanted);
    }
}

/// V = 20 s, C = R = 100 s, λs = 1/50,000 s: a segment of 2449.5 s takes 2698.50 s. With λf = 1/80,000 s and R = 0 the least
/// first-order overhead is 0.1122; another program's Monte-Carlo gave 0.1167 ± 0.0011.
#[test]
fn silent_errors_agree_with_the_exact_expectation() {
    for (stop_mtbf_s, restart_s, wanted_overhead) in [(NEVER_S, 100, 0.10166), (80_000, 0, 0.1167)] {
        let silent = theory::silent::Silent {
            silent_rate: 1.0 / 50_000.0,
            stop_rate: 1.0 / stop_mtbf_s as f64,
            verification_s: 20.0,
            checkpoint_s: 100.0,
            restart_s: restart_s as f64,
            downtime_s: 0.0,
        };
        let mut job = ModelJob {
            costs: costs(100, restart_s),
            ..job(stop_mtbf_s)
        };
        let verification = Verification {
            cost: Duration::from_secs(20),
            per_checkpoint: 1,
        };
        job.rules.silent_mtbf = Some(Duration::from_secs(50_000));
        job.rules.verification = Some(verification);
        let policy = Verified {
            verification: verification.cost,
            silent_mtbf: Duration::from_secs(50_000),
            verifications: 1,
        };
        let interval = policy.interval(&seen(&job)).unwrap();
        job.work = interval * 200;
        let interval_s = interval.as_secs_f64();
        let overhead = silent.expected_overhead(interval_s);
        assert!((overhead - wanted_overhead).abs() < 0.0011, "{overhead}");
        agree(
            mean_s(&job, Some(interval_s), Kinds::default(), 300),
            200.0 * silent.expected_segment_s(interval_s),
        );
    }
    // First order, for more verifications a checkpoint: what is left out is of second order.
    let rare = theory::silent::Silent {
        silent_rate: 1e-6,
        stop_rate: 0.0,
        verification_s: 2.0,
        checkpoint_s: 32.0,
        restart_s: 0.0,
        downtime_s: 0.0,
    };
    let mut job = ModelJob {
        costs: costs(32, 0),
        work: Duration::from_secs(8_000 * 400),
        ..job(NEVER_S)
    };
    job.rules.silent_mtbf = Some(Duration::from_secs(1_000_000));
    job.rules.verification = Some(Verification {
        cost: Duration::from_secs(2),
        per_checkpoint: 4,
    });
    let (mean, error) = mean_s(&job, Some(8_000.0), Kinds::default(), 400);
    let (overhead, error) = (mean / 3.2e6 - 1.0, error / 3.2e6);
    let wanted = rare.first_order_overhead(8_000.0, 4);
    assert!(
        (overhead - wanted).abs() < 1.96 * error + 0.01 * wanted,
        "{overhead} ± {error}, wanted {wanted}"
    );
}

/// The share of wrong results among jobs that nobody verifies is that of jobs that meet a silent error.
#[test]
fn results_are_silently_wrong_as_often_as_expected() {
    let mut job = ModelJob {
        work: Duration::from_secs(10_000),
        ..job(NEVER_S)
    };
    job.rules.silent_mtbf = Some(Duration::from_secs(20_000));
    let wrong: Vec<f64> = (0..2_000)
        .map(|trial| {
            let seed = TrialSeed::derive(1, trial);
            let outcome = job.run(Box::new(Never), seed, failures(seed, job.mtbf, Kinds::default()));
            f64::from(u8::from(outcome.end == End::GivenUp(Reason::SilentlyWrong)))
        })
        .collect();
    agree(mean_and_error(&wrong), 1.0 - libm::exp(-0.5));
}

#[test]
fn epochs_agree_with_a_checkpoint_an_epoch() {
    let mut job = ModelJob {
        work: Duration::from_secs(20_000),
        final_checkpoint: false,
        costs: Costs {
            restart: Duration::from_millis(500),
            ..Costs::default()
        },
        detection: Duration::from_secs(3),
        ..job(50)
    };
    job.rules.epochs = Some(Epochs {
        length: Duration::from_secs(1),
        stop: Duration::from_millis(200),
    });
    let epochs = theory::epochs::Epochs {
        length_s: 1.0,
        stop_s: 0.2,
    };
    let wanted = epochs.scenario(20_000.0, 50.0, 3.0, 0.5).expected_makespan_s(1.0);
    agree(mean_s(&job, None, Kinds::default(), 200), wanted);
    let seed = TrialSeed::derive(1, 0);
    let outcome = job.run(Box::new(Never), seed, failures(seed, job.mtbf, Kinds::default()));
    // A failure never throws more away than its epoch.
    assert!(outcome.failures > 400 && outcome.lost < Duration::from_secs(outcome.failures));
}

/// μ = 5 years. With one pair and with ten, both strategies; a thousand pairs at the best period: overhead 0.00402.
#[test]
fn replication_agrees_with_its_closed_forms() {
    let year_s = 365 * 86_400;
    let pairs = |pairs: u32| theory::replication::Pairs {
        pairs,
        process_mtbf_s: 5.0 * year_s as f64,
        checkpoint_s: 600.0,
    };
    let with = |count: u32, restart_at_checkpoints| {
        let mut job = ModelJob {
            costs: costs(600, 600),
            ..job(5 * year_s / (2 * u64::from(count)))
        };
        job.rules.replicas = Some(Replicas {
            pairs: count,
            restart_at_checkpoints,
        });
        job
    };
    for count in [1, 10, 1_000] {
        let mut job = with(count, false);
        job.work = Duration::from_secs(100 * year_s);
        job.limits = Limits {
            failures: 0,
            time: job.work,
        };
        let first: Vec<f64> = (0..4_000)
            .map(|trial| {
                let seed = TrialSeed::derive(1, trial);
                let outcome = job.run(Box::new(Never), seed, failures(seed, job.mtbf, Kinds::default()));
                assert_eq!(outcome.end, End::GivenUp(Reason::FailureLimit));
                outcome.makespan.as_secs_f64()
            })
            .collect();
        agree(mean_and_error(&first), pairs(count).mtti_s());
    }
    let mut job = with(1_000, true);
    // What a restart costs is of higher order and not in the formula.
    job.costs.restart = Duration::ZERO;
    let period_s = pairs(1_000).restart_period_s();
    job.work = Duration::from_secs_f64(period_s) * 1_000;
    job.limits.time = job.work * 100;
    let (mean, error) = mean_s(&job, Some(period_s), Kinds::default(), 150);
    let work_s = job.work.as_secs_f64();
    let (overhead, error) = (mean / work_s - 1.0, error / work_s);
    let wanted = pairs(1_000).restart_overhead(period_s);
    assert!(
        (overhead - wanted).abs() < 1.96 * error,
        "{overhead} ± {error}, wanted {wanted}"
    );
}

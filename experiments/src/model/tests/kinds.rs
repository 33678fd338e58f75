//! Every kind of failure in every phase, second by second.

use proptest::prelude::*;

use super::*;
use crate::failures::FailureKind::{self, GuestCrash, Hang, HostCrash, HostLoss, StoreLoss};

/// Ten chunks of 100 s; C = 10 s, R = 20 s, detection 1 s, downtime 5 s. Without failures 1090 s: nine checkpoints.
fn job() -> ModelJob {
    ModelJob {
        work: Duration::from_secs(1000),
        final_checkpoint: false,
        costs: Costs {
            checkpoint: Duration::from_secs(10),
            restart: Duration::from_secs(20),
            ..Costs::default()
        },
        detection: Duration::from_secs(1),
        downtime: Duration::from_secs(5),
        rules: Rules {
            reboot: Duration::from_secs(30),
            hang_detection: Some(Duration::from_secs(60)),
            store_repair: Duration::from_secs(100),
            ..Rules::default()
        },
        ..super::job(5_000)
    }
}

/// Failures after these times at risk, and none after them.
fn trial(job: &ModelJob, failures: &[(u64, FailureKind)]) -> Outcome {
    let mut failures = failures.iter().copied();
    let mut next = || {
        let (gap_s, kind) = failures.next().unwrap_or((1_000_000_000, GuestCrash));
        Failure {
            gap: Duration::from_secs(gap_s),
            kind,
        }
    };
    let mut recorder = Recorder::default();
    let policy = Box::new(Fixed(Duration::from_secs(100)));
    let outcome = job.observe(policy, TrialSeed(1), &mut next, Some(&mut recorder));
    assert_eq!(outcome.end, End::Completed);
    recorder.accounts_for(&outcome);
    outcome
}

/// Makespan, work lost, time in restores, time down: in seconds.
fn seconds(outcome: &Outcome) -> [u64; 4] {
    [outcome.makespan, outcome.lost, outcome.restarting, outcome.down].map(|span| span.as_secs())
}

#[test]
fn what_takes_the_guest_costs_its_own_time_to_notice_and_to_be_ready() {
    for (kind, down_s) in [(GuestCrash, 6), (HostLoss, 6), (HostCrash, 36), (Hang, 65)] {
        let (work, capture) = (trial(&job(), &[(150, kind)]), trial(&job(), &[(105, kind)]));
        assert_eq!(
            seconds(&work),
            [1090 + 40 + 20 + down_s, 40, 20, down_s],
            "{kind:?}"
        );
        // Five seconds of a checkpoint that never was, and all before it.
        assert_eq!(
            seconds(&capture),
            [1090 + 105 + 20 + down_s, 100, 20, down_s],
            "{kind:?}"
        );
        // In the restore after a crash at 150 s, which takes 6 s.
        let restore = trial(&job(), &[(150, GuestCrash), (10, kind)]);
        assert_eq!(
            seconds(&restore),
            [1090 + 40 + 30 + 6 + down_s, 40, 30, 6 + down_s],
            "{kind:?}"
        );
        assert_eq!(restore.recoveries.count(), 1);
        // The capture is over at 110 s and committed at 130 s; the guest works meanwhile.
        let mut late = job();
        late.costs.commit_latency = Duration::from_secs(20);
        let commit = trial(&late, &[(115, kind)]);
        assert_eq!(seconds(&commit)[1..], [105, 20, down_s], "{kind:?}");
    }
}

#[test]
fn a_store_that_loses_something_fails_captures_until_it_is_mended() {
    // Struck in work at 150 s: the capture at 210 s fails, the one at 280 s, a minute of work later, does not.
    let work = trial(&job(), &[(150, StoreLoss)]);
    assert_eq!(seconds(&work), [1100, 0, 0, 0]);
    assert_eq!((work.checkpoints, work.failures), (9, 1));
    // Struck in a capture: that one fails, and the one at 170 s, too.
    let capture = trial(&job(), &[(105, StoreLoss)]);
    assert_eq!(seconds(&capture), [1100, 0, 0, 0]);
    assert_eq!(capture.checkpoints, 8);
    let mut late = job();
    late.costs.commit_latency = Duration::from_secs(20);
    let undisturbed = trial(&late, &[]);
    let commit = trial(&late, &[(115, StoreLoss)]);
    assert!(commit.makespan > undisturbed.makespan);
    // The finished guest waits for a store that takes its result.
    let safe = ModelJob {
        final_checkpoint: true,
        ..job()
    };
    let last = trial(&safe, &[(1_085, StoreLoss)]);
    assert_eq!(seconds(&last), [1090 + 10 + 60 + 10 + 60 + 10, 0, 0, 0]);
}

#[test]
fn a_restart_falls_back_to_what_can_be_read() {
    // Two checkpoints; the newer one is damaged at 230 s, the guest crashes at 240 s with 220 s done.
    let older = trial(&job(), &[(230, StoreLoss), (10, GuestCrash)]);
    assert_eq!(older.lost, Duration::from_secs(120));
    assert_eq!(older.restarting, Duration::from_secs(40));
    // The only one is damaged while it is read.
    let restore = trial(&job(), &[(150, GuestCrash), (10, StoreLoss)]);
    assert_eq!(seconds(&restore)[1..], [140, 40, 6]);
}

#[test]
fn a_lost_host_takes_the_local_store_along() {
    let mut two = job();
    two.rules.shared = Some(Shared {
        cost: Duration::from_secs(15),
        restart: Duration::from_secs(50),
        every: 3,
    });
    assert_eq!(seconds(&trial(&two, &[]))[0], 1000 + 90 + 45);
    // Before there is a shared one: all again, and the pattern from its begin.
    let early = trial(&two, &[(150, HostLoss)]);
    assert_eq!(seconds(&early), [150 + 6 + 50 + 1135, 140, 50, 6]);
    // The third checkpoint, at 320 s to 345 s, is shared. At 470 s a fourth is local, with 400 s of work.
    let late = trial(&two, &[(470, HostLoss)]);
    assert_eq!(late.lost, Duration::from_secs(115));
    assert_eq!(late.restarting, Duration::from_secs(50));
    // A crash after that restart finds a copy on the new host, a crash during it does not.
    let again = trial(&two, &[(470, HostLoss), (60, GuestCrash)]);
    assert_eq!(again.restarting, Duration::from_secs(50 + 20));
    let meanwhile = trial(&two, &[(470, HostLoss), (10, GuestCrash)]);
    assert_eq!(meanwhile.restarting, Duration::from_secs(10 + 50));
    // Crashes and reboots leave the local store.
    for kind in [GuestCrash, HostCrash, Hang] {
        assert_eq!(
            trial(&two, &[(470, kind)]).lost,
            Duration::from_secs(15),
            "{kind:?}"
        );
    }
}

#[test]
fn an_unverified_silent_error_ends_in_a_wrong_result() {
    let mut silent = job();
    silent.rules.silent_mtbf = Some(Duration::from_secs(100));
    let mut never = || Failure {
        gap: Duration::from_secs(1_000_000_000),
        kind: GuestCrash,
    };
    let policy = || Box::new(Fixed(Duration::from_secs(100)));
    let outcome = silent.observe(policy(), TrialSeed(1), &mut never, None);
    assert_eq!(outcome.end, End::GivenUp(Reason::SilentlyWrong));
    assert_eq!(outcome.digest_ok, Some(false));
    silent.rules.verification = Some(Verification {
        cost: Duration::from_secs(1),
        per_checkpoint: 2,
    });
    let mut recorder = Recorder::default();
    let outcome = silent.observe(policy(), TrialSeed(1), &mut never, Some(&mut recorder));
    recorder.accounts_for(&outcome);
    assert_eq!(outcome.end, End::Completed);
    assert_eq!(outcome.digest_ok, Some(true));
    assert!(outcome.lost > Duration::ZERO);
    // Nothing waits for a host.
    assert_eq!(outcome.down, Duration::ZERO);
}

fn rules() -> impl Strategy<Value = Rules> {
    let seconds = |most: u64| (0..most).prop_map(Duration::from_secs);
    let shared = (seconds(30), seconds(60), 1u32..5).prop_map(|(cost, restart, every)| Shared {
        cost,
        restart,
        every,
    });
    let verification =
        (seconds(10), 1u32..4).prop_map(|(cost, per_checkpoint)| Verification { cost, per_checkpoint });
    let epochs = (1u64..5_000, 0u64..500).prop_map(|(length, stop)| Epochs {
        length: Duration::from_millis(length),
        stop: Duration::from_millis(stop),
    });
    let replicas = (1u32..4, any::<bool>()).prop_map(|(pairs, restart_at_checkpoints)| Replicas {
        pairs,
        restart_at_checkpoints,
    });
    (
        (seconds(50), proptest::option::of(seconds(90)), seconds(300)),
        proptest::option::of(shared),
        proptest::option::of((20u64..3000).prop_map(Duration::from_secs)),
        proptest::option::of(verification),
        proptest::option::of(epochs),
        proptest::option::of(replicas),
    )
        .prop_map(
            |(
                (reboot, hang_detection, store_repair),
                shared,
                silent_mtbf,
                verification,
                epochs,
                replicas,
            )| Rules {
                reboot,
                hang_detection,
                store_repair,
                shared,
                silent_mtbf,
                verification,
                epochs,
                replicas,
            },
        )
}

proptest! {
    /// Whatever the rules and whatever strikes: every nanosecond of a trial that ends has been for one thing.
    #[test]
    fn every_nanosecond_is_accounted_for(
        rules in rules(),
        latencies in (0u64..20, 0u64..20),
        final_checkpoint: bool,
        seed: u64,
        mtbf_s in 60u64..2_000,
    ) {
        let mut job = job();
        job.rules = rules;
        job.final_checkpoint = final_checkpoint;
        job.costs.lead = Duration::from_secs(latencies.0);
        job.costs.commit_latency = Duration::from_secs(latencies.1);
        job.limits = Limits { failures: 500, time: Duration::from_secs(200_000) };
        let kinds = Kinds { guest_crash: 0.2, host_crash: 0.2, host_loss: 0.2, hang: 0.2, store_loss: 0.2 };
        let mtbf = Duration::from_secs(mtbf_s);
        let mut failures = FailureStream::new(TrialSeed(seed), &Process::EXPONENTIAL, mtbf, kinds);
        let mut recorder = Recorder::default();
        let policy = Box::new(Fixed(Duration::from_secs(100)));
        let outcome = job.observe(policy, TrialSeed(seed), &mut || failures.draw(), Some(&mut recorder));
        if outcome.end == End::Completed {
            prop_assert_eq!(outcome.useful, job.work);
        }
        if matches!(outcome.end, End::Completed | End::GivenUp(Reason::SilentlyWrong)) {
            recorder.accounts_for(&outcome);
        }
    }
}

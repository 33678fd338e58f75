//! What each kind of failure does to a protected guest, struck at a known instant.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod protected;

use std::time::Duration;

use proptest::prelude::*;
use protected::{plain, trial};
use revenant_core::capture::Method;
use revenant_core::policy::Fixed;
use revenant_core::quantity::Period;
use revenant_sim::driver::{Losses, Report, Rules, RunEnd, Scenario, Shared, Strike, Verification, run};
use revenant_sim::{MediumCosts, Program};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_crashed_host_comes_back_later_than_another_takes_over_and_with_the_same_disk() {
    let lost = trial(&plain(), &[(150_000, Strike::HostLoss)]);
    let crashed = trial(&plain(), &[(150_000, Strike::HostCrash)]);
    assert_eq!((lost.down, crashed.down), (6 * SECOND, 96 * SECOND));
    assert_eq!(crashed.makespan, lost.makespan + 90 * SECOND);
    assert_eq!(crashed.tally.cold_starts, 0);
    // The checkpoint of the second minute was durable.
    assert!(
        crashed.lost > 20 * SECOND && crashed.lost < 31 * SECOND,
        "{crashed:?}"
    );
    // Struck while the first checkpoint is being taken: nothing of it is there.
    let early = trial(&plain(), &[(60_050, Strike::HostCrash)]);
    assert_eq!(early.tally.cold_starts, 1);
}

#[test]
fn a_guest_that_hangs_does_nothing_until_the_detector_tells() {
    let crashed = trial(&plain(), &[(150_000, Strike::GuestCrash)]);
    let hung = trial(&plain(), &[(150_000, Strike::Hang)]);
    assert_eq!((crashed.down, hung.down), (6 * SECOND, 35 * SECOND));
    // Nothing was done in the time, and nothing else differs.
    assert_eq!(hung.makespan, crashed.makespan + 29 * SECOND);
    assert_eq!(
        (hung.lost, hung.recoveries[0]),
        (crashed.lost, crashed.recoveries[0] + 29 * SECOND)
    );
    // Between the request to suspend it and its standstill, it answers no more: that capture fails, and it alone.
    let asked = trial(&plain(), &[(60_020, Strike::Hang)]);
    assert_eq!((asked.down, asked.tally.cold_starts), (35 * SECOND, 1));
    // In a restore, too: the timeout runs from the hang, not from the end of the call that goes on.
    let mut slow = plain();
    slow.boot = Duration::from_secs(10);
    let again = trial(&slow, &[(30_000, Strike::GuestCrash), (4_000, Strike::Hang)]);
    assert_eq!(again.down, 6 * SECOND + 35 * SECOND);
    assert_eq!(again.recoveries.len(), 1);
    // Without a timeout of its own it is noticed like any other failure.
    let mut plain = plain();
    plain.rules.hang_detection = None;
    assert_eq!(
        trial(&plain, &[(150_000, Strike::Hang)]).makespan,
        crashed.makespan
    );
}

#[test]
fn a_restart_after_the_loss_of_a_store_comes_from_an_older_checkpoint() {
    // Checkpoints after one and two minutes; the newer one is torn at 130 s and the guest crashes at 140 s.
    let crash = (10_000, Strike::GuestCrash);
    let whole = trial(&plain(), &[(140_000, Strike::GuestCrash)]);
    let torn = trial(&plain(), &[(130_000, Strike::StoreLoss), crash]);
    assert_eq!((whole.damaged, whole.tally.restores_failed), (0, 0));
    assert_eq!(
        (torn.damaged, torn.tally.restores_failed, torn.store_losses),
        (1, 1, 1)
    );
    assert_eq!((torn.tally.restores, torn.tally.cold_starts), (1, 0));
    let further = torn.lost.as_secs_f64() - whole.lost.as_secs_f64();
    assert!((further - 60.0).abs() < 1.0, "{further} s of work further back");
    // The only one is torn: from nothing.
    let only = trial(&plain(), &[(100_000, Strike::StoreLoss), crash]);
    assert_eq!((only.damaged, only.tally.cold_starts), (1, 1));
    // There is none yet.
    let none = trial(&plain(), &[(30_000, Strike::StoreLoss), crash]);
    assert_eq!((none.damaged, none.tally.cold_starts), (0, 1));
    // It is broken in one boot of its host and still in the next.
    let next = trial(
        &plain(),
        &[(110_000, Strike::StoreLoss), (5_000, Strike::HostLoss), crash],
    );
    assert_eq!((next.damaged, next.tally.cold_starts), (2, 2));
}

#[test]
fn captures_fail_until_the_store_is_mended() {
    let undisturbed = trial(&plain(), &[]);
    // From 150 s to 200 s: the capture of the third minute fails, and is tried again a minute later.
    let broken = trial(&plain(), &[(150_000, Strike::StoreLoss)]);
    assert_eq!((broken.refused, broken.tally.captures_failed), (1, 1));
    assert_eq!(broken.tally.captures, undisturbed.tally.captures - 1);
    assert_eq!((broken.lost, broken.tally.failures), (Duration::ZERO, 0));
    // Mended at once: only a capture that it strikes fails.
    let mut quick = plain();
    quick.rules.store_repair = Duration::ZERO;
    assert_eq!(trial(&quick, &[(150_000, Strike::StoreLoss)]).refused, 0);
    let refused = |at_ms| trial(&quick, &[(at_ms, Strike::StoreLoss)]).refused;
    assert!((60_040..60_070).any(|at_ms| refused(at_ms) == 1));
    // A finished guest waits for a store that takes its result.
    let mut safe = plain();
    safe.protect.final_checkpoint = true;
    let last = trial(&safe, &[(290_000, Strike::StoreLoss)]);
    assert_eq!((last.refused, last.lingering), (1, Duration::from_mins(1)));
}

#[test]
fn no_later_checkpoint_shares_what_was_torn() {
    for incremental in [false, true] {
        for method in [Method::StopAndCopy, Method::PreCopy] {
            let mut scenario = plain();
            (scenario.incremental, scenario.method) = (incremental, method);
            scenario.rules.store_repair = Duration::ZERO;
            // Torn at 130 s; the checkpoint of the third minute builds on it, or shares its equal pages.
            let strikes = [(130_000, Strike::StoreLoss), (80_000, Strike::GuestCrash)];
            let report = trial(&scenario, &strikes);
            assert_eq!((report.damaged, report.tally.captures_failed), (0, 0));
            assert!(report.lost < 30 * SECOND, "{incremental} {method}: {report:?}");
        }
    }
}

/// After a crash of the host the lock file may be gone, and the store may break while it is made anew.
#[test]
fn a_store_that_breaks_while_it_is_being_locked_can_be_read() {
    let mut scenario = plain();
    scenario.rules.reboot = Duration::ZERO;
    scenario.rules.hang_detection = None;
    scenario.rules.store_repair = SECOND;
    let strikes = [
        (0, Strike::HostCrash),
        (2_562, Strike::StoreLoss),
        (60_489, Strike::Hang),
        (0, Strike::HostCrash),
        (0, Strike::StoreLoss),
    ];
    let report = trial(&scenario, &strikes);
    assert_eq!((report.damaged, report.tally.restores_failed), (1, 1));
}

/// Silent errors after so many seconds of work each, and none after them; and failures.
struct Silent {
    gaps_s: Vec<u64>,
    strikes: Vec<(u64, Strike)>,
}

impl Losses for Silent {
    fn next_loss(&mut self) -> Option<(Duration, Strike)> {
        let (gap_ms, strike) = (!self.strikes.is_empty()).then(|| self.strikes.remove(0))?;
        Some((Duration::from_millis(gap_ms), strike))
    }

    fn silent_errors(&mut self) -> Option<Box<dyn FnMut() -> Duration>> {
        let mut gaps = self.gaps_s.clone().into_iter();
        Some(Box::new(move || {
            Duration::from_secs(gaps.next().unwrap_or(1_000_000))
        }))
    }
}

fn silent(scenario: &Scenario, gaps_s: &[u64], strikes: &[(u64, Strike)]) -> Report {
    let mut losses = Silent {
        gaps_s: gaps_s.to_vec(),
        strikes: strikes.to_vec(),
    };
    let report = run(scenario, Box::new(Fixed(Duration::from_mins(1))), &mut losses);
    assert_eq!(report.end, RunEnd::Finished);
    assert_eq!(report.silent_errors, gaps_s.len() as u64);
    let parts = report.useful + report.lost + report.checkpointing + report.restarting + report.down;
    assert_eq!(parts, report.makespan);
    report
}

/// Every program, wherever in its work it is struck: what was changed is never healed by what it computes.
#[test]
fn a_silent_error_makes_the_result_wrong_and_checkpoints_keep_it() {
    for program in Program::ALL {
        let mut scenario = plain();
        scenario.guest.program = program;
        for struck_s in [3, 59, 130, 299] {
            let report = silent(&scenario, &[struck_s], &[]);
            assert_eq!(report.digest_ok, Some(false), "{program} struck at {struck_s} s");
        }
        // The checkpoint of the first minute is of a wrong guest, and so is what is restored from it.
        let kept = silent(&scenario, &[30], &[(100_000, Strike::GuestCrash)]);
        assert_eq!(
            (kept.digest_ok, kept.tally.restores),
            (Some(false), 1),
            "{program}"
        );
        // One that was thrown away with the work it struck is gone.
        let gone = silent(&scenario, &[90], &[(100_000, Strike::GuestCrash)]);
        assert_eq!(gone.digest_ok, Some(true), "{program}");
    }
}

#[test]
fn a_verification_finds_the_error_before_it_is_saved() {
    for (program, method) in Program::ALL
        .into_iter()
        .flat_map(|program| [(program, Method::StopAndCopy), (program, Method::PreCopy)])
    {
        let mut scenario = plain();
        scenario.guest.program = program;
        scenario.method = method;
        let verification = |per_checkpoint| Verification {
            cost: 2 * SECOND,
            per_checkpoint,
        };
        let name = format!("{program} {method}");
        scenario.rules.verification = Some(verification(1));
        let clean = silent(&scenario, &[], &[]);
        assert_eq!((clean.found, clean.digest_ok), (0, Some(true)), "{name}");
        assert!(
            clean.checkpointing > 2 * 5 * SECOND,
            "four captures, and the end: {name}"
        );
        // Struck in the second minute, found at its end: that minute is done again, and nothing waits for a host.
        let late = silent(&scenario, &[70], &[]);
        assert_eq!((late.found, late.digest_ok), (1, Some(true)), "{name}");
        assert_eq!((late.down, late.tally.restores), (Duration::ZERO, 1), "{name}");
        assert!(
            (late.lost.as_secs_f64() - 60.0).abs() < 0.5,
            "{name}: {:?}",
            late.lost
        );
        // With three a checkpoint it is found after a third of the minute.
        scenario.rules.verification = Some(verification(3));
        let soon = silent(&scenario, &[70], &[]);
        assert!(
            (soon.lost.as_secs_f64() - 20.0).abs() < 0.5,
            "{name}: {:?}",
            soon.lost
        );
        // Errors in the last stretch are found by the look at its end.
        let last = silent(&scenario, &[299], &[]);
        assert_eq!((last.found, last.digest_ok), (1, Some(true)), "{name}");
    }
}

fn strikes() -> impl Strategy<Value = Vec<(u64, Strike)>> {
    let kind = prop_oneof![
        Just(Strike::GuestCrash),
        Just(Strike::Hang),
        Just(Strike::HostCrash),
        Just(Strike::HostLoss),
        Just(Strike::StoreLoss),
    ];
    // Often soon after the one before: in its restore, in its next capture.
    let gap_ms = prop_oneof![0..200u64, 0..70_000u64, 59_900..60_500u64];
    prop::collection::vec((gap_ms, kind), 0..12)
}

fn rules() -> impl Strategy<Value = Rules> {
    let seconds = |most: u64| (0..most).prop_map(Duration::from_secs);
    let verification =
        (seconds(5), 1u32..4).prop_map(|(cost, per_checkpoint)| Verification { cost, per_checkpoint });
    let shared = (1u32..4, seconds(20)).prop_map(|(every, boot)| Shared { every, boot });
    (
        seconds(60),
        prop::option::of(seconds(40)),
        seconds(100),
        prop::option::of(verification),
        prop::option::of(shared),
    )
        .prop_map(
            |(reboot, hang_detection, store_repair, verification, shared)| Rules {
                reboot,
                hang_detection,
                store_repair,
                verification,
                shared,
            },
        )
}

proptest! {
    /// Whatever strikes when: the guest computes what it should, every nanosecond has a name, and nothing fails by itself.
    #[test]
    fn any_row_of_failures_is_survived(
        rules in rules(),
        strikes in strikes(),
        program in 0..Program::ALL.len(),
        ways: [bool; 4],
        represents in prop_oneof![Just(1u32), Just(20_000)],
    ) {
        let mut scenario = plain();
        let [incremental, live, dirty_log, final_checkpoint] = ways;
        scenario.guest.program = Program::ALL[program];
        scenario.method = if live { Method::PreCopy } else { Method::StopAndCopy };
        (scenario.incremental, scenario.dirty_log) = (incremental, dirty_log);
        scenario.protect.final_checkpoint = final_checkpoint;
        scenario.keep_last = 2;
        scenario.profile.represents = represents;
        scenario.profile.shared_medium = Some(MediumCosts {
            sync: Period(SECOND),
            ..MediumCosts::default()
        });
        scenario.rules = rules;
        let report = trial(&scenario, &strikes);
        prop_assert_eq!(report.tally.captures_failed, report.refused);
        prop_assert_eq!(report.tally.restores_failed, u64::from(report.damaged));
        prop_assert!(report.damaged == 0 || report.store_losses > 0);
    }

    /// With silent errors, too, as long as they are looked for.
    #[test]
    fn any_row_of_silent_errors_is_found(
        strikes in strikes(),
        gaps_s in prop::collection::vec(1..200u64, 0..8),
        program in 0..Program::ALL.len(),
        ways: [bool; 3],
        per_checkpoint in 1u32..4,
        every in prop::option::of(1u32..4),
    ) {
        let mut scenario = plain();
        let [incremental, live, final_checkpoint] = ways;
        scenario.guest.program = Program::ALL[program];
        scenario.method = if live { Method::PreCopy } else { Method::StopAndCopy };
        scenario.incremental = incremental;
        scenario.protect.final_checkpoint = final_checkpoint;
        scenario.rules.verification = Some(Verification { cost: SECOND, per_checkpoint });
        scenario.rules.shared = every.map(|every| Shared { every, boot: SECOND });
        let mut losses = Silent { gaps_s: gaps_s.clone(), strikes };
        let report = run(&scenario, Box::new(Fixed(Duration::from_mins(1))), &mut losses);
        prop_assert_eq!(&report.end, &RunEnd::Finished);
        prop_assert_eq!(report.digest_ok, Some(true), "{:?}", report);
        prop_assert_eq!(report.tally.captures_failed, report.refused);
        prop_assert_eq!(report.tally.restores_failed, u64::from(report.damaged));
    }
}

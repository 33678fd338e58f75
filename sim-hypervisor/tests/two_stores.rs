//! A store on the host and one that all hosts share: what goes where, and what is left of it after each kind of failure.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod protected;

use std::time::Duration;

use protected::{plain, trial};
use revenant_core::protect::Options;
use revenant_core::quantity::Period;
use revenant_sim::driver::{Report, Rules, Scenario, Shared, Strike};
use revenant_sim::{CostProfile, MediumCosts, Program};

const SECOND: Duration = Duration::from_secs(1);

/// Five minutes of work, a checkpoint a minute, every second of them to a shared store that takes three seconds to sync: six
/// times a copy. Detection 1 s, downtime 5 s.
fn scenario() -> Scenario {
    let plain = plain();
    Scenario {
        profile: CostProfile {
            shared_medium: Some(MediumCosts {
                sync: Period(3 * SECOND),
                latency: Period(Duration::from_millis(20)),
                ..MediumCosts::default()
            }),
            ..CostProfile::default()
        },
        protect: Options {
            candidates_max: 32,
            ..plain.protect
        },
        rules: Rules {
            shared: Some(Shared {
                every: 2,
                boot: 40 * SECOND,
            }),
            ..plain.rules
        },
        ..plain
    }
}

fn shared(report: &Report) -> Vec<bool> {
    let captures = report.captures.iter();
    captures.map(|capture| capture.shared_for.is_some()).collect()
}

#[track_caller]
fn near(found: Duration, seconds: f64, within: f64) {
    let found = found.as_secs_f64();
    assert!((found - seconds).abs() < within, "{found} s, not {seconds} s");
}

#[test]
fn every_second_checkpoint_goes_to_the_shared_store_and_the_guest_stands_still_for_it() {
    let two = trial(&scenario(), &[]);
    assert_eq!(shared(&two), [false, true, false, true]);
    let copies: Duration = two.captures.iter().filter_map(|capture| capture.shared_for).sum();
    near(copies, 2.0 * 19.8, 0.6);
    let mut one = scenario();
    one.rules.shared = None;
    let one = trial(&one, &[]);
    assert_eq!(two.checkpointing, one.checkpointing + copies);
    assert_eq!(
        (two.lost, two.restarting, two.fetched),
        (one.lost, one.restarting, 0)
    );
    // All of them, and none before the end.
    for (every, wanted) in [(1, [true; 4]), (9, [false; 4])] {
        let mut scenario = scenario();
        scenario.rules.shared = Some(Shared { every, boot: SECOND });
        assert_eq!(shared(&trial(&scenario, &[])), wanted);
    }
}

#[test]
fn a_lost_host_takes_the_local_store_along_and_nothing_else_does() {
    // Work of one, two and three minutes is saved, that of two in both stores.
    let at = 210_000;
    let lost = trial(&scenario(), &[(at, Strike::HostLoss)]);
    assert_eq!((lost.fetched, lost.tally.cold_starts), (1, 0));
    near(lost.lost, 68.5, 1.0);
    for strike in [Strike::GuestCrash, Strike::Hang, Strike::HostCrash] {
        let kept = trial(&scenario(), &[(at, strike)]);
        assert_eq!((kept.fetched, kept.tally.restores), (0, 1), "{strike:?}");
        near(kept.lost, 8.5, 1.0);
        assert!(lost.restarting > kept.restarting, "{strike:?}");
    }
    // Nothing is in the shared store yet, and the guest's own image is not on the other host.
    let early = trial(&scenario(), &[(100_000, Strike::HostLoss)]);
    assert_eq!((early.fetched, early.tally.cold_starts), (0, 1));
    near(early.restarting, 40.0, 1.0);
    let here = trial(&scenario(), &[(30_000, Strike::GuestCrash)]);
    near(here.restarting, 3.0, 0.5);
    // Once it is there, it is.
    let again = [(100_000, Strike::HostLoss), (60_000, Strike::GuestCrash)];
    let again = trial(&scenario(), &again);
    assert_eq!(again.tally.cold_starts, 2);
    near(again.restarting, 43.0, 1.5);
}

#[test]
fn a_restart_from_the_shared_store_leaves_a_copy_and_begins_the_pattern_anew() {
    let lost = (210_000, Strike::HostLoss);
    let once = trial(&scenario(), &[lost]);
    // Two minutes are restored; then one and two more make the third and the fourth checkpoint.
    assert_eq!(shared(&once), [false, true, false, false, true]);
    let again = trial(&scenario(), &[lost, (30_000, Strike::GuestCrash)]);
    assert_eq!((again.fetched, again.tally.restores), (1, 2));
    near(again.restarting.saturating_sub(once.restarting), 0.1, 0.1);
    // The copy goes on when only the guest it is for is gone; when the host is, it is made on the next.
    let meanwhile = trial(&scenario(), &[lost, (100, Strike::GuestCrash)]);
    assert_eq!((meanwhile.fetched, meanwhile.tally.restores), (0, 1));
    let next = trial(&scenario(), &[lost, (100, Strike::HostLoss)]);
    assert_eq!(
        (next.fetched, next.tally.restores, next.tally.cold_starts),
        (1, 1, 0)
    );
    // From a host that came back all is as before.
    let crashed = trial(&scenario(), &[(210_000, Strike::HostCrash)]);
    assert_eq!(shared(&crashed), [false, true, false, true]);
}

#[test]
fn what_strikes_during_a_copy() {
    let at = 125_000;
    // The checkpointer goes on when only the guest is gone, and when it hangs.
    for strike in [Strike::GuestCrash, Strike::Hang] {
        let gone = trial(&scenario(), &[(at, strike)]);
        near(gone.lost, 0.1, 0.1);
        assert_eq!(shared(&gone), [false, true, false, true], "{strike:?}");
    }
    // The local checkpoint was durable, the copy was not, and is no debt of the next one.
    let crashed = trial(&scenario(), &[(at, Strike::HostCrash)]);
    near(crashed.lost, 0.1, 0.1);
    assert_eq!(shared(&crashed), [false, true, false]);
    let lost = trial(&scenario(), &[(at, Strike::HostLoss)]);
    assert_eq!((lost.fetched, lost.tally.cold_starts), (0, 1));
    // The local store is struck, and with it what is being copied; once all of it has been read, the copy is whole.
    let torn = |at| {
        trial(
            &scenario(),
            &[(at, Strike::StoreLoss), (18_500, Strike::GuestCrash)],
        )
    };
    assert!((120_000..121_000).step_by(20).any(|at| torn(at).refused == 1));
    let late = torn(at);
    assert_eq!((late.refused, late.damaged, late.fetched), (0, 1, 1));
    near(late.lost, 2.0, 1.0);
}

#[test]
fn what_a_store_has_lost_is_taken_from_the_other() {
    let crash = (10_000, Strike::GuestCrash);
    // The third is only local: the second serves, which is local, too.
    let newest = trial(&scenario(), &[(210_000, Strike::StoreLoss), crash]);
    assert_eq!((newest.damaged, newest.fetched), (1, 0));
    near(newest.lost, 78.5, 1.0);
    // On the second host all that is local is the copy. Its store takes no writes for a while, or is mended at once.
    let lost = (210_000, Strike::HostLoss);
    for repair in [50 * SECOND, Duration::ZERO] {
        let mut scenario = scenario();
        scenario.rules.store_repair = repair;
        let copy = trial(&scenario, &[lost, (10_000, Strike::StoreLoss), crash]);
        assert_eq!((copy.damaged, copy.fetched, copy.tally.cold_starts), (1, 2, 0));
        // Mended, it has a copy again.
        let third = trial(&scenario, &[lost, (10_000, Strike::StoreLoss), crash, crash]);
        assert_eq!(third.fetched, if repair.is_zero() { 2 } else { 3 });
    }
    // While nothing is local the shared store has the newest, and is struck: it takes no copies until it is mended.
    let mut slow = scenario();
    slow.rules.store_repair = 180 * SECOND;
    let far = trial(&slow, &[lost, (5, Strike::StoreLoss)]);
    assert_eq!((far.damaged, far.fetched, far.tally.cold_starts), (1, 0, 1));
    assert_eq!((far.refused, far.tally.captures_failed), (1, 1));
    // The checkpoint whose copy was refused serves.
    let served = trial(
        &slow,
        &[lost, (5, Strike::StoreLoss), (170_000, Strike::GuestCrash)],
    );
    assert_eq!((served.refused, served.tally.cold_starts), (1, 1));
    near(served.lost.saturating_sub(far.lost), 8.0, 3.0);
}

#[test]
fn old_checkpoints_go_from_both_stores() {
    for incremental in [false, true] {
        let mut scenario = scenario();
        scenario.keep_last = 1;
        scenario.incremental = incremental;
        scenario.rules.shared = Some(Shared {
            every: 1,
            boot: SECOND,
        });
        // The newest of the shared store is whole whatever was pruned around it.
        for at in [100_000, 170_000, 240_000, 310_000] {
            let report = trial(&scenario, &[(at, Strike::HostLoss), (20_000, Strike::HostLoss)]);
            assert_eq!((report.fetched, report.damaged), (2, 0));
        }
    }
}

#[test]
fn the_same_trial_twice_is_the_same() {
    let strikes = [
        (130_000, Strike::HostCrash),
        (90_000, Strike::HostLoss),
        (70_000, Strike::StoreLoss),
        (3_000, Strike::GuestCrash),
    ];
    assert_eq!(trial(&scenario(), &strikes), trial(&scenario(), &strikes));
}

/// A bit that rots in the local store is noticed by the copy; the next capture, which would share it, stores it anew.
#[test]
fn what_a_copy_finds_damaged_does_not_stop_all_later_ones() {
    let mut found = 0;
    for nth in 1..6 {
        for bit in [300, 3_000] {
            let mut scenario = scenario();
            scenario.guest.program = Program::Idle;
            scenario.faults = format!("append#{nth}=flip:{bit}").parse().unwrap();
            let report = trial(&scenario, &[(310_000, Strike::HostLoss)]);
            if report.tally.captures_failed > 0 {
                assert_eq!(
                    (report.tally.captures_failed, report.fetched),
                    (1, 1),
                    "{report:?}"
                );
                assert!(report.captures[1].shared_for.is_some(), "{report:?}");
                found += 1;
            }
        }
    }
    assert!(found > 0);
}

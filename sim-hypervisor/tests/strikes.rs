//! What each kind of failure does to a protected guest, struck at a known instant.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use revenant_core::capture::Method;
use revenant_core::policy::Fixed;
use revenant_core::protect::Options;
use revenant_sim::driver::{Report, Rules, RunEnd, Scenario, Strike, run};
use revenant_sim::fault::FaultPlan;
use revenant_sim::{CostProfile, GuestSpec, Program};

/// Five minutes of work, a checkpoint a minute; detection 1 s, downtime 5 s.
fn scenario() -> Scenario {
    Scenario {
        guest: GuestSpec {
            program: Program::HotSet,
            pages: 16,
            seed: 7,
            steps: 300,
            step: Duration::from_secs(1),
        },
        profile: CostProfile::default(),
        protect: Options {
            downtime: Duration::from_secs(5),
            ..Options::default()
        },
        method: Method::StopAndCopy,
        incremental: false,
        dirty_log: true,
        detection: Duration::from_secs(1),
        boot: Duration::from_secs(3),
        keep_last: 8,
        compression_level: 1,
        faults: FaultPlan::default(),
        seed: 7,
        time_limit: Duration::from_hours(1),
        rules: Rules {
            reboot: Duration::from_secs(90),
            hang_detection: Some(Duration::from_secs(30)),
        },
    }
}

/// Failures after these milliseconds at risk, and none after them. The guest must end well, and every nanosecond have a
/// name.
fn trial(scenario: &Scenario, strikes: &[(u64, Strike)]) -> Report {
    let mut strikes = strikes.iter();
    let mut losses = || {
        let &(gap_ms, strike) = strikes.next()?;
        Some((Duration::from_millis(gap_ms), strike))
    };
    let report = run(scenario, Box::new(Fixed(Duration::from_mins(1))), &mut losses);
    assert_eq!(report.end, RunEnd::Finished);
    assert_eq!(report.digest_ok, Some(true));
    let parts = report.useful
        + report.lost
        + report.checkpointing
        + report.restarting
        + report.down
        + report.lingering;
    assert_eq!(parts, report.makespan);
    report
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_crashed_host_comes_back_later_than_another_takes_over_and_with_the_same_disk() {
    let lost = trial(&scenario(), &[(150_000, Strike::HostLoss)]);
    let crashed = trial(&scenario(), &[(150_000, Strike::HostCrash)]);
    assert_eq!((lost.down, crashed.down), (6 * SECOND, 96 * SECOND));
    assert_eq!(crashed.makespan, lost.makespan + 90 * SECOND);
    assert_eq!(crashed.tally.cold_starts, 0);
    // The checkpoint of the second minute was durable.
    assert!(
        crashed.lost > 20 * SECOND && crashed.lost < 31 * SECOND,
        "{crashed:?}"
    );
    // Struck while the first checkpoint is being taken: nothing of it is there.
    let early = trial(&scenario(), &[(60_050, Strike::HostCrash)]);
    assert_eq!(early.tally.cold_starts, 1);
}

#[test]
fn a_guest_that_hangs_does_nothing_until_the_detector_tells() {
    let crashed = trial(&scenario(), &[(150_000, Strike::GuestCrash)]);
    let hung = trial(&scenario(), &[(150_000, Strike::Hang)]);
    assert_eq!((crashed.down, hung.down), (6 * SECOND, 35 * SECOND));
    // Nothing was done in the time, and nothing else differs.
    assert_eq!(hung.makespan, crashed.makespan + 29 * SECOND);
    assert_eq!(
        (hung.lost, hung.recoveries[0]),
        (crashed.lost, crashed.recoveries[0] + 29 * SECOND)
    );
    // Between the request to suspend it and its standstill, it answers no more: that capture fails, and it alone.
    let asked = trial(&scenario(), &[(60_020, Strike::Hang)]);
    assert_eq!((asked.down, asked.tally.cold_starts), (35 * SECOND, 1));
    // In a restore, too: the timeout runs from the hang, not from the end of the call that goes on.
    let mut slow = scenario();
    slow.boot = Duration::from_secs(10);
    let again = trial(&slow, &[(30_000, Strike::GuestCrash), (4_000, Strike::Hang)]);
    assert_eq!(again.down, 6 * SECOND + 35 * SECOND);
    assert_eq!(again.recoveries.len(), 1);
    // Without a timeout of its own it is noticed like any other failure.
    let mut plain = scenario();
    plain.rules.hang_detection = None;
    assert_eq!(
        trial(&plain, &[(150_000, Strike::Hang)]).makespan,
        crashed.makespan
    );
}

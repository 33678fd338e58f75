//! A guest that is protected, and struck at known instants.

use std::time::Duration;

use revenant_core::capture::Method;
use revenant_core::policy::Fixed;
use revenant_core::protect::Options;
use revenant_sim::driver::{Report, Rules, RunEnd, Scenario, Strike, run};
use revenant_sim::fault::FaultPlan;
use revenant_sim::{CostProfile, GuestSpec, Program};

/// Five minutes of work, a checkpoint a minute; detection 1 s, downtime 5 s.
pub(crate) fn plain() -> Scenario {
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
            store_repair: Duration::from_secs(50),
            verification: None,
            shared: None,
        },
    }
}

/// Failures after these milliseconds at risk, and none after them. The guest must end well, and every nanosecond have a
/// name.
pub(crate) fn trial(scenario: &Scenario, strikes: &[(u64, Strike)]) -> Report {
    let mut strikes = strikes.iter();
    let mut losses = || {
        let &(gap_ms, strike) = strikes.next()?;
        Some((Duration::from_millis(gap_ms), strike))
    };
    let report = run(scenario, Box::new(Fixed(Duration::from_mins(1))), &mut losses);
    assert_eq!(report.end, RunEnd::Finished);
    assert_eq!(report.digest_ok, Some(true));
    assert_eq!(report.accounted(), report.makespan);
    assert_eq!(report.tally.captures, report.captures.len() as u64);
    report
}

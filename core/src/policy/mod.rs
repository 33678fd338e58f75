//! When to checkpoint: pure functions of what has been seen so far.
//!
//! Convention: an *interval* here is τ, the work between two checkpoints with the checkpoint's own cost left
//! out, as Young and Daly print it (Hérault and Robert print T = τ + C).

mod adaptive;
mod choice;
mod daly_first;
mod daly_higher;
mod di;
mod epochs;
mod exact;
mod fixed;
mod lazy;
mod never;
mod two_level;
mod verified;
mod young;

use std::fmt;
use std::time::Duration;

pub use adaptive::Adaptive;
pub use choice::{Choice, ChoiceError, Kind, Parameter, Preset, Unit, kind};
pub use daly_first::DalyFirstOrder;
pub use daly_higher::DalyHigherOrder;
pub use di::Di;
pub use epochs::Epochs;
pub use exact::{Exact, one_plus_w0};
pub use fixed::Fixed;
pub use lazy::Lazy;
pub use never::Never;
pub use two_level::{Pattern, TwoLevel};
pub use verified::Verified;
pub use young::Young;

/// Every policy that can be chosen by name, in the order in which they are listed. A new one is a file and a line here.
pub const POLICIES: &[&Kind] = &[
    &fixed::KIND,
    &young::KIND,
    &daly_first::KIND,
    &daly_higher::KIND,
    &exact::KIND,
    &di::KIND,
    &lazy::KIND,
    &adaptive::KIND,
    &two_level::KIND,
    &verified::KIND,
    &epochs::KIND,
    &never::KIND,
];

/// The shortest interval a formula may ask for. The formulas go to zero with the checkpoint cost (and some
/// where the cost nears twice the MTBF); a guest that never works between checkpoints would never finish.
pub const INTERVAL_MIN: Duration = Duration::from_millis(1);

/// What a policy may know when it is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// For how long one checkpoint keeps the guest from working (C).
    pub checkpoint_cost: Duration,
    /// Reading a checkpoint back and rebuilding the guest (R).
    pub restart_cost: Duration,
    /// Mean time between failures of guest and host together (M).
    pub mtbf: Duration,
    /// Time at risk since the last failure, or since the start if there was none.
    pub since_failure: Duration,
    /// Failures so far.
    pub failures: u32,
    /// Time at risk since the loop began: work, checkpoints and restarts, but not the downtime in which nothing can
    /// fail. What passes until a failure is noticed counts, for the loop cannot know when it struck.
    pub at_risk: Duration,
}

/// Decides how much work the guest does before its next checkpoint.
///
/// # Contract
/// A pure function: the same answer for the same input, no clock, no randomness, no memory.
pub trait IntervalPolicy: fmt::Debug + Send + Sync {
    /// Work until the next checkpoint, never zero; `None`: no checkpoint.
    fn interval(&self, seen: &Seen) -> Option<Duration>;

    /// Whether the answer depends on costs and MTBF alone, and so stays the same while these do.
    fn is_constant(&self) -> bool {
        false
    }
}

/// A formula's answer in seconds as an interval: at least [`INTERVAL_MIN`], and at most what a `Duration` holds.
fn interval_of(tau_s: f64) -> Duration {
    if tau_s.is_nan() || tau_s <= INTERVAL_MIN.as_secs_f64() {
        return INTERVAL_MIN;
    }
    Duration::try_from_secs_f64(tau_s).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(cost_s: f64, restart_s: f64, mtbf_s: f64) -> Seen {
        Seen {
            checkpoint_cost: Duration::from_secs_f64(cost_s),
            restart_cost: Duration::from_secs_f64(restart_s),
            mtbf: Duration::from_secs_f64(mtbf_s),
            since_failure: Duration::ZERO,
            failures: 0,
            at_risk: Duration::ZERO,
        }
    }

    fn minutes(policy: &dyn IntervalPolicy, seen: &Seen) -> f64 {
        policy.interval(seen).unwrap().as_secs_f64() / 60.0
    }

    /// Daly, FGCS 22 (2006), captions of figures 3 to 5: delta = 5 min, R = 10 min; 117, 57 and 9.1 min.
    #[test]
    fn higher_order_gives_the_three_published_optima() {
        for (mtbf_s, published_min, formula_min, exact_min) in [
            (86_400.0, 117.0, 116.69, 116.69),
            (21_600.0, 57.0, 56.71, 56.71),
            (900.0, 9.1, 9.14, 9.17),
        ] {
            let seen = seen(300.0, 600.0, mtbf_s);
            let higher = minutes(&DalyHigherOrder, &seen);
            assert!((higher - published_min).abs() < 0.5, "{higher}");
            assert!((higher - formula_min).abs() < 0.005, "{higher}");
            let exact = minutes(&Exact, &seen);
            assert!((exact - exact_min).abs() < 0.005, "{exact}");
        }
    }

    /// Di et al., SC'13, section 4.1: failure rate 0.00423445 per second, C = 2 s: 30.73 s.
    #[test]
    fn young_gives_the_published_short_interval() {
        let tau = Young
            .interval(&seen(2.0, 0.0, 1.0 / 0.004_234_45))
            .unwrap()
            .as_secs_f64();
        assert!((tau - 30.73).abs() < 0.005, "{tau}");
    }

    /// Tiwari et al., DSN 2014: the interval grows as t^{1−k}, and a steady hazard leaves it alone.
    #[test]
    fn lazy_stretches_the_interval_while_nothing_fails() {
        let at = |shape, hours: u64| {
            let seen = Seen {
                since_failure: Duration::from_secs(hours * 3600),
                ..seen(60.0, 60.0, 86_400.0)
            };
            Lazy { shape }.interval(&seen).unwrap().as_secs_f64()
        };
        let base = libm::sqrt(2.0 * 60.0 * 86_400.0) - 60.0;
        assert!((at(0.6, 0) / base - 1.0).abs() < 1e-9);
        assert!((at(0.6, 64) / at(0.6, 2) - libm::pow(32.0, 0.4)).abs() < 1e-6);
        assert!((at(1.0, 64) / base - 1.0).abs() < 1e-9);
    }

    #[test]
    fn adaptive_comes_to_believe_what_it_sees() {
        let wrong = Adaptive {
            prior: 100.0,
            weight: 1.0,
        };
        let after = |failures: u32| {
            let at_risk = Duration::from_secs(u64::from(failures) * 86_400);
            wrong
                .interval(&Seen {
                    failures,
                    at_risk,
                    ..seen(60.0, 60.0, 86_400.0)
                })
                .unwrap()
        };
        let young = Young.interval(&seen(60.0, 60.0, 86_400.0)).unwrap();
        assert!((after(0).as_secs_f64() / young.as_secs_f64() - 10.0).abs() < 1e-6);
        assert!(after(10_000).as_secs_f64() / young.as_secs_f64() < 1.01);
    }

    /// Di et al., SC'13, section 4: the worked examples (Te, E(Y), C) and x*; a checkpoint less than intervals.
    #[test]
    fn di_cuts_the_published_tasks_into_the_published_parts() {
        for (work_s, failures, cost_s, best) in [
            (18.0, 2.0, 2.0, 3.0),
            (441.0, 2.0, 1.0, 21.0),
            (200.0, 2.0, 0.632, 17.79),
            (200.0, 2.0, 1.67, 10.94),
        ] {
            assert!(
                (Di::best(work_s, failures, cost_s) - best).abs() < 0.01,
                "{work_s} {cost_s}"
            );
            let policy = Di {
                work: Duration::from_secs_f64(work_s),
                failures: Some(failures),
            };
            let parts = work_s / policy.interval(&seen(cost_s, 1.0, 1.0)).unwrap().as_secs_f64();
            assert!(
                (parts - parts.round()).abs() < 1e-6 && (parts - best).abs() < 1.0,
                "{parts}"
            );
        }
    }

    /// Whatever the work: x parts have x − 1 checkpoints between them, and nothing is left behind the last.
    #[test]
    fn di_leaves_no_remainder() {
        for work_ns in [1_000_000_000_000, 999_999_999_999, 7_777_777_777_777, 1_000_000] {
            for parts in 1..200_u32 {
                let work = Duration::from_nanos(work_ns);
                // x* = sqrt(W E(Y) / 2C) with C = W / 2.
                let policy = Di {
                    work,
                    failures: Some(f64::from(parts * parts)),
                };
                let seen = seen(work.as_secs_f64() / 2.0, 1.0, 1.0);
                let tau = policy.interval(&seen).unwrap();
                let whole = u64::try_from(work.as_nanos().div_ceil(tau.as_nanos())).unwrap();
                let fit = (work.as_nanos() / INTERVAL_MIN.as_nanos())
                    .min(u128::from(parts))
                    .max(1);
                assert_eq!(u128::from(whole), fit, "{work_ns} ns in {parts}");
            }
        }
    }

    #[test]
    fn first_order_counts_the_restart_and_leaves_the_cost_out() {
        // sqrt(2 * 300 * (86400 + 600)) - 300
        let tau = DalyFirstOrder
            .interval(&seen(300.0, 600.0, 86_400.0))
            .unwrap()
            .as_secs_f64();
        assert!((tau - 6_924.956_74).abs() < 1e-4, "{tau}");
    }

    #[test]
    fn no_formula_answers_zero_or_more_than_the_mtbf_allows() {
        for policy in [
            &Young as &dyn IntervalPolicy,
            &DalyFirstOrder,
            &DalyHigherOrder,
            &Exact,
        ] {
            assert_eq!(
                policy.interval(&seen(0.0, 0.0, 900.0)),
                Some(INTERVAL_MIN),
                "{policy:?}"
            );
            assert!(
                policy.interval(&seen(1e9, 1.0, 1.0)).unwrap() >= INTERVAL_MIN,
                "{policy:?}"
            );
        }
        for policy in [&DalyFirstOrder as &dyn IntervalPolicy, &DalyHigherOrder] {
            assert_eq!(
                policy.interval(&seen(1800.0, 600.0, 900.0)),
                Some(Duration::from_secs(900))
            );
        }
        assert!(Exact.interval(&seen(1e6, 0.0, 900.0)).unwrap() <= Duration::from_secs(900));
    }
}

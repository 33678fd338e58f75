//! What closed forms and policies say, beside what papers print.

use std::time::Duration;

use revenant_core::policy::{DalyHigherOrder, Di, Exact, IntervalPolicy, Seen, Young};

use super::Check;
use crate::theory::Scenario;
use crate::theory::replication::Pairs;
use crate::theory::storage::{StoreCosts, Task};

const DALY: &str = "Daly, FGCS 22(3), 2006, figs 3-5";
const ROBERT: &str = "Hérault and Robert, first-order and exact waste";
const DI: &str = "Di et al., SC'13, section 4";
const PAIRS: &str = "Benoit et al., SC'19";

pub(super) fn checks() -> Vec<Check> {
    [daly(), waste(), platform(), di(), pairs()].concat()
}

/// What a policy knows before anything has happened.
fn at_start(checkpoint_cost: Duration, restart_cost: Duration, mtbf: Duration) -> Seen {
    Seen {
        checkpoint_cost,
        restart_cost,
        mtbf,
        since_failure: Duration::ZERO,
        failures: 0,
        at_risk: Duration::ZERO,
    }
}

fn daly() -> Vec<Check> {
    let mut checks = Vec::new();
    for (mtbf, mtbf_s, higher_min, exact_min, tolerance_min, daly_h, young_h) in [
        ("24 h", 86_400, 117.0, 116.69, 0.5, 547.9, 547.9),
        ("6 h", 21_600, 57.0, 56.71, 0.5, 610.2, 610.4),
        ("15 min", 900, 9.1, 9.17, 0.05, 2504.2, 2573.5),
    ] {
        let seen = at_start(
            Duration::from_secs(300),
            Duration::from_secs(600),
            Duration::from_secs(mtbf_s),
        );
        let best_s = |policy: &dyn IntervalPolicy| policy.interval(&seen).unwrap_or_default().as_secs_f64();
        let (higher_s, exact_s, young_s) = (best_s(&DalyHigherOrder), best_s(&Exact), best_s(&Young));
        let scenario = Scenario {
            work_s: 500.0 * 3600.0,
            checkpoint_s: 300.0,
            restart_s: 600.0,
            downtime_s: 0.0,
            mtbf_s: mtbf_s as f64,
            final_checkpoint: true,
        };
        let of = |what: &str| format!("{what}, C = 5 min, R = 10 min, M = {mtbf}");
        checks.extend([
            Check::new(
                "A1",
                of("best interval by the higher-order formula (min)"),
                (higher_min, tolerance_min),
                higher_s / 60.0,
                DALY,
            ),
            Check::new(
                "A1",
                of("best interval, exact (min)"),
                (exact_min, 0.005),
                exact_s / 60.0,
                "Lambert W, computed independently",
            ),
            Check::new(
                "A2",
                of("wall-clock time of 500 h at the higher-order interval (h)"),
                (daly_h, daly_h * 1e-3),
                scenario.daly_makespan_s(higher_s) / 3600.0,
                DALY,
            ),
            Check::new(
                "A2",
                of("wall-clock time of 500 h at Young's interval (h)"),
                (young_h, young_h * 1e-3),
                scenario.daly_makespan_s(young_s) / 3600.0,
                DALY,
            ),
        ]);
    }
    checks
}

fn waste() -> Vec<Check> {
    let mut checks = Vec::new();
    for (mtbf, mtbf_s, first_s, exact_s, waste) in [
        ("1 h", 3_600u32, 1878.3, 2299.2, 0.5604),
        ("4 h", 14_400, 4060.5, 4366.9, 0.2947),
        ("1 d", 86_400, 10_143.4, 10_386.3, 0.1200),
        ("1 w", 604_800, 26_925.2, 27_141.4, 0.0449),
    ] {
        let scenario = Scenario {
            work_s: 1e6,
            checkpoint_s: 600.0,
            restart_s: 600.0,
            downtime_s: 60.0,
            mtbf_s: f64::from(mtbf_s),
            final_checkpoint: true,
        };
        let seen = at_start(
            Duration::from_secs(600),
            Duration::from_secs(600),
            Duration::from_secs(mtbf_s.into()),
        );
        let best_s = Exact.interval(&seen).unwrap_or_default().as_secs_f64();
        let of = |what: &str| format!("{what}, C = R = 600 s, D = 60 s, M = {mtbf}");
        checks.extend([
            Check::new(
                "A6",
                of("best period by first-order waste (s)"),
                (first_s, 0.1),
                scenario.first_order_period_s().unwrap_or(f64::NAN),
                ROBERT,
            ),
            Check::new(
                "A6",
                of("best period, exact (s)"),
                (exact_s, 0.1),
                best_s + 600.0,
                ROBERT,
            ),
            Check::new(
                "A6",
                of("least waste, exact"),
                (waste, 1e-4),
                scenario.long_run_waste(best_s),
                ROBERT,
            ),
        ]);
    }
    checks
}

fn platform() -> Vec<Check> {
    let year_min = 365.0 * 24.0 * 60.0;
    [
        (10.0, 1e5, 52.56),
        (10.0, 1e6, 5.256),
        (125.0, 1e5, 657.0),
        (125.0, 1e6, 65.7),
    ]
    .into_iter()
    .map(|(years, nodes, wanted)| {
        Check::new(
            "A7",
            format!("MTBF of {nodes:.0} nodes of {years} years each (min)"),
            (wanted, 1e-9),
            years * year_min / nodes,
            "M = μ/p, any law, in the long run",
        )
    })
    .collect()
}

fn di() -> Vec<Check> {
    let mut checks: Vec<Check> = [
        (18.0, 2.0, 3.0),
        (441.0, 1.0, 21.0),
        (200.0, 0.632, 17.79),
        (200.0, 1.67, 10.94),
    ]
    .into_iter()
    .map(|(work_s, cost_s, wanted)| {
        Check::new(
            "A8",
            format!("best number of intervals, Te = {work_s} s, E(Y) = 2, C = {cost_s} s"),
            (wanted, 0.005),
            Di::best(work_s, 2.0, cost_s),
            DI,
        )
    })
    .collect();
    let task = Task {
        work_s: 200.0,
        failures: 2.0,
    };
    for (name, checkpoint_s, restart_s, wanted) in [
        ("local memory disk", 0.632, 3.22, 28.29),
        ("NFS", 1.67, 1.45, 37.78),
    ] {
        let store = StoreCosts {
            checkpoint_s,
            restart_s,
        };
        checks.push(Check::new(
            "A8",
            format!("expected overhead of Te = 200 s, E(Y) = 2, {name} (s)"),
            (wanted, 0.01),
            task.expected_overhead_s(store, task.best_intervals(store)),
            DI,
        ));
    }
    let seen = at_start(
        Duration::from_secs(2),
        Duration::ZERO,
        Duration::from_secs_f64(1.0 / 0.004_234_45),
    );
    checks.push(Check::new(
        "A9",
        "Young's interval of Google's short tasks, λ = 0.00423445/s, C = 2 s (s)",
        (30.73, 0.05),
        Young.interval(&seen).unwrap_or_default().as_secs_f64(),
        "Di et al., SC'13, section 4.1",
    ));
    checks
}

fn pairs() -> Vec<Check> {
    let unit = |pairs| Pairs {
        pairs,
        process_mtbf_s: 1.0,
        checkpoint_s: 0.0,
    };
    let thousand = Pairs {
        pairs: 1_000,
        process_mtbf_s: 5.0 * 365.0 * 86_400.0,
        checkpoint_s: 600.0,
    };
    let period_s = thousand.restart_period_s();
    vec![
        Check::new(
            "A20",
            "mean time to interruption of one pair (μ)",
            (1.5, 1e-9),
            unit(1).mtti_s(),
            PAIRS,
        ),
        Check::new(
            "A20",
            "mean time to interruption of 1,000 pairs (μ)",
            (0.028_53, 5e-6),
            unit(1_000).mtti_s(),
            PAIRS,
        ),
        Check::new(
            "A20",
            "best restart period, 1,000 pairs, μ = 5 years, C = 600 s (s)",
            (223_660.0, 30.0),
            period_s,
            PAIRS,
        ),
        Check::new(
            "A20",
            "its overhead, first order",
            (0.004_02, 1e-5),
            thousand.restart_overhead(period_s),
            PAIRS,
        ),
    ]
}

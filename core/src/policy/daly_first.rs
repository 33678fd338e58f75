//! Daly's first-order interval.

use std::time::Duration;

use super::{IntervalPolicy, Kind, Seen, interval_of};

/// τ = sqrt(2 C (M + R)) − C: J. T. Daly, "A model for predicting the optimum checkpoint interval for restart
/// dumps", ICCS 2003, LNCS 2660:3. (Some later authors print T = τ + C and call that the optimum.)
///
/// The expansion behind it needs C < 2M; beyond that the answer is M, as for the higher-order formula.
#[derive(Debug, Clone, Copy)]
pub struct DalyFirstOrder;

/// How it is chosen.
pub(super) const KIND: Kind = Kind {
    name: "daly",
    formula: "sqrt(2 C (M + R)) − C; M if C ≥ 2M",
    source: "Daly, ICCS 2003",
    parameters: &[],
    needs_work: false,
    needs_world: None,
    make: |_| Box::new(DalyFirstOrder),
};

impl IntervalPolicy for DalyFirstOrder {
    fn interval(&self, seen: &Seen) -> Option<Duration> {
        let (cost_s, mtbf_s) = (seen.checkpoint_cost.as_secs_f64(), seen.mtbf.as_secs_f64());
        if cost_s >= 2.0 * mtbf_s {
            return Some(seen.mtbf);
        }
        let restart_s = seen.restart_cost.as_secs_f64();
        Some(interval_of(
            libm::sqrt(2.0 * cost_s * (mtbf_s + restart_s)) - cost_s,
        ))
    }

    fn is_constant(&self) -> bool {
        true
    }
}

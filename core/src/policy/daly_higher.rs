//! Daly's higher-order interval.

use std::time::Duration;

use super::{IntervalPolicy, Kind, Seen, interval_of};

/// τ = sqrt(2CM) · [1 + ⅓ (C/2M)^½ + ⅑ (C/2M)] − C for C < 2M, and τ = M from there on: J. T. Daly, "A higher
/// order estimate of the optimum checkpoint interval for restart dumps", FGCS 22(3):303-312, 2006, doi
/// 10.1016/j.future.2004.11.016, the perturbation solution. The restart cost drops out.
#[derive(Debug, Clone, Copy)]
pub struct DalyHigherOrder;

/// How it is chosen.
pub(super) const KIND: Kind = Kind {
    name: "daly-higher",
    formula: "sqrt(2CM) [1 + ⅓ (C/2M)^½ + ⅑ (C/2M)] − C; M if C ≥ 2M",
    source: "Daly, FGCS 22(3), 2006",
    parameters: &[],
    needs_work: false,
    needs_world: None,
    make: |_| Box::new(DalyHigherOrder),
};

impl IntervalPolicy for DalyHigherOrder {
    fn interval(&self, seen: &Seen) -> Option<Duration> {
        let (cost_s, mtbf_s) = (seen.checkpoint_cost.as_secs_f64(), seen.mtbf.as_secs_f64());
        if cost_s >= 2.0 * mtbf_s {
            return Some(seen.mtbf);
        }
        let ratio = cost_s / (2.0 * mtbf_s);
        let series = 1.0 + libm::sqrt(ratio) / 3.0 + ratio / 9.0;
        Some(interval_of(libm::sqrt(2.0 * cost_s * mtbf_s) * series - cost_s))
    }

    fn is_constant(&self) -> bool {
        true
    }
}

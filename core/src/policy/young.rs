//! Young's interval.

use std::time::Duration;

use super::{IntervalPolicy, Kind, Seen, interval_of};

/// τ = sqrt(2 C M): J. W. Young, "A first order approximation to the optimum checkpoint interval", CACM 17(9):530,
/// 1974, doi 10.1145/361147.361115. Knows nothing of the restart cost, and is good while C ≪ M.
#[derive(Debug, Clone, Copy)]
pub struct Young;

/// How it is chosen.
pub(super) const KIND: Kind = Kind {
    name: "young",
    formula: "sqrt(2 C M)",
    source: "Young, CACM 17(9), 1974",
    parameters: &[],
    needs_work: false,
    needs_world: None,
    make: |_| Box::new(Young),
};

impl IntervalPolicy for Young {
    fn interval(&self, seen: &Seen) -> Option<Duration> {
        Some(interval_of(libm::sqrt(
            2.0 * seen.checkpoint_cost.as_secs_f64() * seen.mtbf.as_secs_f64(),
        )))
    }

    fn is_constant(&self) -> bool {
        true
    }
}

//! Young's interval.

use std::time::Duration;

use super::{IntervalPolicy, Seen, interval_of};

/// τ = sqrt(2 C M): J. W. Young, "A first order approximation to the optimum checkpoint interval", CACM 17(9):530,
/// 1974, doi 10.1145/361147.361115. Knows nothing of the restart cost, and is good while C ≪ M.
#[derive(Debug, Clone, Copy)]
pub struct Young;

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

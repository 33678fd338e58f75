//! The interval that truly minimises the expected time under exponential failures.

use std::time::Duration;

use super::{IntervalPolicy, Kind, Seen, interval_of};

/// τ = M (1 + W₀(−e^{−C/M−1})): the minimiser of Daly's complete wall-clock model (FGCS 22(3), 2006) in closed
/// form, W₀ being the principal branch of Lambert's function. Restart cost and downtime drop out. The same
/// number is the chunk size of Bougeret et al., SC'11, before rounding to whole chunks.
#[derive(Debug, Clone, Copy)]
pub struct Exact;

/// How it is chosen.
pub(super) const KIND: Kind = Kind {
    name: "exact",
    formula: "M (1 + W₀(−e^{−C/M−1})), the minimiser of the expected makespan",
    source: "Lambert's W₀ on Daly's complete model, 2006",
    parameters: &[],
    needs_work: false,
    needs_world: None,
    make: |_| Box::new(Exact),
};

impl IntervalPolicy for Exact {
    fn interval(&self, seen: &Seen) -> Option<Duration> {
        let mtbf_s = seen.mtbf.as_secs_f64();
        if mtbf_s <= 0.0 {
            return Some(interval_of(0.0));
        }
        Some(interval_of(
            mtbf_s * one_plus_w0(seen.checkpoint_cost.as_secs_f64() / mtbf_s),
        ))
    }

    fn is_constant(&self) -> bool {
        true
    }
}

/// Steps of Newton's method at most; it has converged to the last bit after a handful.
const STEPS_MAX: u32 = 60;

/// 1 + W₀(−e^{−d−1}) for `d` ≥ 0; in [0, 1].
///
/// For small `d` the argument is next to the branch point −1/e, where evaluating W₀ itself would cancel away half
/// the digits. With x = 1 + W₀ the definition reads −(x + ln(1 − x)) = d, which has no such trouble: the left side is
/// convex and rising, so Newton's method from above comes down to the root without overshooting it.
pub fn one_plus_w0(d: f64) -> f64 {
    if d.is_nan() || d <= 0.0 {
        return 0.0;
    }
    // Both bound the root from above: −(x + ln(1 − x)) ≥ x²/2, and 1 − x = e^{−d−x} ≥ e^{−d−1}.
    let mut x = libm::sqrt(2.0 * d).min(-libm::expm1(-d - 1.0));
    for _ in 0..STEPS_MAX {
        let step = (deficit(x) - d) * (1.0 - x) / x;
        if step.is_nan() || step <= x * f64::EPSILON {
            break;
        }
        x -= step;
    }
    x
}

/// −(x + ln(1 − x)) = x²/2 + x³/3 + … for x in [0, 1).
fn deficit(x: f64) -> f64 {
    if x > 0.1 {
        return -(x + libm::log1p(-x));
    }
    // Smallest terms first; the first term left out is below x² · 10⁻¹⁸.
    RECIPROCALS
        .iter()
        .fold(0.0, |sum, reciprocal| (sum + reciprocal) * x)
        * x
}

/// 1/19 … 1/2.
const RECIPROCALS: [f64; 18] = {
    let mut reciprocals = [0.0; 18];
    let mut index = 0;
    while index < reciprocals.len() {
        reciprocals[index] = 1.0 / (19 - index) as f64;
        index += 1;
    }
    reciprocals
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_the_defining_equation() {
        for d in [1e-12, 1e-6, 1e-3, 0.003, 0.01, 0.1, 1.0, 5.0, 30.0] {
            let x = one_plus_w0(d);
            // w e^w = −e^{−d−1} with w = x − 1, divided by −e^{−1−d}.
            let residual = (1.0 - x) * libm::exp(x + d) - 1.0;
            // x is known to a few units in its last place, and 1 − x therefore no better.
            let tolerance = 4.0 * f64::EPSILON * (1.0 + d + 1.0 / (1.0 - x));
            assert!(
                residual.abs() < tolerance,
                "d = {d}: x = {x}, residual {residual:e}"
            );
            assert!(x > 0.0 && x <= 1.0);
        }
        assert!(one_plus_w0(0.0).abs() < f64::MIN_POSITIVE);
        // Near the branch point x = p − p²/3 + p³/36 − …, p = sqrt(2d).
        let p = libm::sqrt(2e-12);
        let x = one_plus_w0(1e-12);
        assert!((x / (p - p * p / 3.0) - 1.0).abs() < 1e-12, "{x:e}");
    }

    #[test]
    fn no_other_interval_costs_less() {
        let (cost_s, mtbf_s) = (5.0, 15.0);
        let per_work = |tau: f64| libm::expm1((tau + cost_s) / mtbf_s) / tau;
        let best = mtbf_s * one_plus_w0(cost_s / mtbf_s);
        for factor in [0.9, 0.99, 1.01, 1.1] {
            assert!(per_work(best) < per_work(best * factor), "{factor}");
        }
    }
}

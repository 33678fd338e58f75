//! ④ Theory to draw under the trials: the expected makespan over the interval, for each MTBF and set of costs.

use crate::expected;
use crate::plan::{Cell, Plan};
use crate::record::{Identity, TheoryRow};
use crate::theory;

/// Points of a dense curve.
const POINTS: u32 = 240;
/// How far the curve reaches beyond the outermost interval of its cells, as a factor.
const MARGIN: f64 = 3.0;
/// Times beyond the age of the universe are no use to a figure, and soon no numbers either.
const SECONDS_MAX: f64 = 1e17;
/// Name of the dense curve; the other rows of a file are markers named after their policy.
const DENSE: &str = "expected";

/// The rows of `theory.csv`, of the plain case, where failures are memoryless. For each MTBF and set of costs, in the order of the plan: a dense curve with logarithmic
/// spacing, then the interval of each policy that computes one, and `never`. What takes longer than 10¹⁷ s is left out.
pub fn rows(plan: &Plan) -> Vec<TheoryRow> {
    let mut rows = Vec::new();
    let mut done = Vec::new();
    for cell in &plan.cells {
        let Some(scenario) = expected::plain(plan, cell) else {
            continue;
        };
        if done.contains(&(cell.setting, cell.mtbf, cell.costs)) {
            continue;
        }
        done.push((cell.setting, cell.mtbf, cell.costs));
        let mut push = |curve: &str, tau_s: Option<f64>| {
            let (makespan_s, lost_s) = match tau_s {
                Some(tau_s) => (
                    scenario.expected_makespan_s(tau_s),
                    scenario.expected_lost_s(tau_s),
                ),
                None => (
                    scenario.expected_makespan_never_s(),
                    scenario.expected_lost_never_s(),
                ),
            };
            // Not a number is not above the limit either.
            if !(makespan_s <= SECONDS_MAX && lost_s <= SECONDS_MAX) {
                return;
            }
            let identity = Identity::of(plan, cell);
            rows.push(TheoryRow {
                experiment: identity.experiment,
                curve: curve.to_owned(),
                setting: identity.setting,
                work_s: identity.work_s,
                mtbf_s: identity.mtbf_s,
                interval_s: tau_s,
                checkpoint_s: identity.checkpoint_s,
                restart_s: identity.restart_s,
                downtime_s: identity.downtime_s,
                makespan_s,
                waste: theory::waste(scenario.work_s, makespan_s),
                lost_s,
            });
        };
        // Levels share their points: the first one's cells name each policy once.
        let group: Vec<_> = plan
            .cells
            .iter()
            .filter(|other| {
                other.level == cell.level
                    && (other.setting, other.mtbf, other.costs) == (cell.setting, cell.mtbf, cell.costs)
            })
            .collect();
        let taus = group
            .iter()
            .filter_map(|cell| cell.interval)
            .map(|tau| tau.as_secs_f64());
        let (low, high) = taus.fold((f64::INFINITY, 0.0f64), |(low, high), tau| {
            (low.min(tau), high.max(tau))
        });
        if low.is_finite() {
            for tau_s in spaced(low / MARGIN, (high * MARGIN).min(scenario.work_s.max(high))) {
                push(DENSE, Some(tau_s));
            }
        }
        let constant =
            |cell: &&&Cell| cell.policy.kind().name != "fixed" && plan.interval_policy(cell).is_constant();
        for marker in group.iter().filter(constant) {
            let tau_s = marker.interval.map(|tau| tau.as_secs_f64());
            push(&marker.policy.to_string(), tau_s);
        }
    }
    rows
}

/// [`POINTS`] values from `low` to `high`, evenly spaced in the logarithm.
fn spaced(low: f64, high: f64) -> impl Iterator<Item = f64> {
    let (from, to) = (libm::log(low), libm::log(high));
    (0..POINTS).map(move |index| libm::exp(from + (to - from) * f64::from(index) / f64::from(POINTS - 1)))
}

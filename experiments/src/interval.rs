//! Advice without an experiment: which interval each policy takes, and what it is expected to cost.

use std::time::Duration;

use revenant_core::policy::{Choice, ChoiceError, IntervalPolicy, POLICIES, Preset, Seen, Young};
use serde::Serialize;

use crate::theory::{FirstOrder, Scenario};

/// What is known about job and machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InputParams {
    /// Mean time between failures (M).
    pub mtbf: Duration,
    /// Checkpoint cost (C).
    pub cost: Duration,
    /// Restart cost (R).
    pub restart: Duration,
    /// Downtime, detection included (D).
    pub downtime: Duration,
    /// Failure-free work of the job (W); without it only shares are told.
    pub work: Option<Duration>,
    /// Shape of the Weibull law of the failures (k), for the policies that ask for it.
    pub shape: Option<f64>,
}

/// What each policy would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Advice {
    /// One a policy, `never` last.
    pub policies: Vec<PolicyAdvice>,
    /// What to mind.
    pub warnings: Vec<AdviceWarning>,
}

/// What one policy would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyAdvice {
    /// The policy.
    pub policy: String,
    /// Work before the first checkpoint, τ, the checkpoint's cost left out, in seconds; `None`: no checkpoints.
    pub interval_s: Option<f64>,
    /// Expected makespan in seconds, chunk by chunk with the last one as it is ([`Scenario::expected_makespan_s`]), which a run has in
    /// its column `theory_makespan_s`; `None` without a job, where the interval changes on the way, or where it is too large for a
    /// number.
    pub makespan_s: Option<f64>,
    /// Expected share of the time that is not work: of the job, or without a job in the long run.
    pub waste: Option<f64>,
    /// None wastes less.
    pub best: bool,
}

/// Something to mind about advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum AdviceWarning {
    /// The first-order formulas are rough here.
    #[error("the interval is not short beside the MTBF: first-order formulas are rough here, prefer exact")]
    FirstOrderRough,
    /// The first-order formulas say nothing here.
    #[error(
        "failures come faster than checkpoints and restarts: first-order formulas do not hold, prefer exact"
    )]
    FirstOrderInvalid,
}

/// A parameter that allows no advice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdviceError {
    /// It divides.
    #[error("{0} must be more than zero")]
    Zero(&'static str),
    /// It is no parameter of a policy.
    #[error(transparent)]
    Policy(#[from] ChoiceError),
}

/// Every policy that these inputs are enough for.
fn choices(input: &InputParams) -> Result<Vec<Choice>, ChoiceError> {
    let shape = input.shape.map(|shape| ("shape", shape));
    POLICIES
        .iter()
        .filter(|kind| input.work.is_some() || !kind.needs_work)
        .filter(|kind| kind.needs_world.is_none())
        .filter_map(|kind| {
            let given: Vec<_> = shape
                .filter(|(key, _)| kind.parameter(key).is_ok())
                .into_iter()
                .collect();
            let known = |key| given.iter().any(|(given, _)| *given == key);
            let mut required = kind.parameters.iter().filter(|p| p.preset == Preset::Required);
            required
                .all(|parameter| known(parameter.name))
                .then(|| Choice::new(kind.name, &given))
        })
        .collect()
}

/// Works out what each policy would do.
pub fn advise(input: &InputParams) -> Result<Advice, AdviceError> {
    for (value, name) in [
        (Some(input.mtbf), "the MTBF"),
        (Some(input.cost), "the checkpoint cost"),
        (input.work, "the work"),
    ] {
        if value == Some(Duration::ZERO) {
            return Err(AdviceError::Zero(name));
        }
    }
    let seen = Seen {
        checkpoint_cost: input.cost,
        restart_cost: input.restart,
        mtbf: input.mtbf,
        since_failure: Duration::ZERO,
        failures: 0,
        at_risk: Duration::ZERO,
    };
    let scenario = Scenario {
        work_s: input.work.unwrap_or(input.mtbf).as_secs_f64(),
        checkpoint_s: input.cost.as_secs_f64(),
        restart_s: input.restart.as_secs_f64(),
        downtime_s: input.downtime.as_secs_f64(),
        mtbf_s: input.mtbf.as_secs_f64(),
        final_checkpoint: false,
    };
    let mut policies: Vec<_> = choices(input)?
        .iter()
        .map(|choice| advice_of(choice, input, &seen, &scenario))
        .collect();
    let least = policies
        .iter()
        .filter_map(|advice| advice.waste)
        .fold(f64::INFINITY, f64::min);
    for advice in &mut policies {
        advice.best = advice.waste.is_some_and(|waste| waste <= least);
    }
    let young_s = Young.interval(&seen).unwrap_or_default().as_secs_f64();
    let warnings = match scenario.first_order_validity(young_s) {
        FirstOrder::Good => vec![],
        FirstOrder::Rough => vec![AdviceWarning::FirstOrderRough],
        FirstOrder::Invalid => vec![AdviceWarning::FirstOrderInvalid],
    };
    Ok(Advice { policies, warnings })
}

/// What one policy would do.
fn advice_of(choice: &Choice, input: &InputParams, seen: &Seen, scenario: &Scenario) -> PolicyAdvice {
    let policy = choice.policy(input.work.unwrap_or_default());
    let tau_s = policy.interval(seen).map(|tau| tau.as_secs_f64());
    let advice = PolicyAdvice {
        policy: choice.to_string(),
        interval_s: tau_s,
        makespan_s: None,
        waste: None,
        best: false,
    };
    if !policy.is_constant() {
        return advice;
    }
    if input.work.is_none() {
        let waste = tau_s.map(|tau_s| scenario.long_run_waste(tau_s));
        return PolicyAdvice { waste, ..advice };
    }
    let makespan_s = match tau_s {
        Some(tau_s) => scenario.expected_makespan_s(tau_s),
        None => scenario.expected_makespan_never_s(),
    };
    let makespan_s = Some(makespan_s).filter(|makespan_s| makespan_s.is_finite());
    PolicyAdvice {
        makespan_s,
        waste: makespan_s.map(|makespan_s| crate::theory::waste(scenario.work_s, makespan_s)),
        ..advice
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(mtbf_min: u64) -> Advice {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        advise(&InputParams {
            mtbf: minutes(mtbf_min),
            cost: minutes(5),
            restart: minutes(10),
            downtime: Duration::ZERO,
            work: Some(minutes(500 * 60)),
            shape: None,
        })
        .unwrap()
    }

    /// Daly 2006, figures 3 to 5: M = 24 h, 6 h and 15 min. His model charges a checkpoint behind the last chunk, too: that chunk's share of
    /// what failures make of it is what may be missing.
    #[test]
    fn the_published_optima_and_wall_clocks_come_out() {
        for (mtbf_min, optimum_min, wall_clock_h, young_h) in [
            (1440, 117.0, 547.9, 547.9),
            (360, 57.0, 610.2, 610.4),
            (15, 9.1, 2504.2, 2573.5),
        ] {
            let advice = advice(mtbf_min);
            let of = |kind| {
                advice
                    .policies
                    .iter()
                    .find(|advice| advice.policy == kind)
                    .unwrap()
            };
            let higher = of("daly-higher");
            let tolerance = if mtbf_min == 15 { 0.05 } else { 0.5 };
            assert!((higher.interval_s.unwrap() / 60.0 - optimum_min).abs() < tolerance);
            let last_h = if mtbf_min == 15 { 0.6 } else { 0.2 };
            for (advice, published_h) in [(higher, wall_clock_h), (of("young"), young_h)] {
                let missing_h = published_h - advice.makespan_s.unwrap() / 3600.0;
                assert!(missing_h > -0.05 && missing_h < last_h, "{missing_h}");
            }
            // It is the best of long jobs; how the last chunk comes out is chance.
            assert!(of("exact").makespan_s.unwrap() < higher.makespan_s.unwrap() * 1.0002);
        }
        assert_eq!(advice(1440).warnings, []);
        assert_eq!(advice(15).warnings, [AdviceWarning::FirstOrderInvalid]);
        let never = advice(15).policies.pop().unwrap();
        assert_eq!(
            (never.interval_s, never.makespan_s),
            (None, None),
            "e^2000 is no number"
        );
    }

    #[test]
    fn policies_are_listed_where_the_inputs_are_enough() {
        let mut input = InputParams {
            mtbf: Duration::from_hours(11),
            cost: Duration::from_mins(30),
            restart: Duration::from_mins(30),
            downtime: Duration::ZERO,
            work: None,
            shape: None,
        };
        let names = |input: &InputParams| -> Vec<String> {
            let advice = advise(input).unwrap();
            advice.policies.into_iter().map(|policy| policy.policy).collect()
        };
        let few = ["young", "daly", "daly-higher", "exact", "adaptive", "never"];
        assert_eq!(names(&input), few);
        (input.work, input.shape) = (Some(Duration::from_hours(500)), Some(0.6));
        let all = [
            "young",
            "daly",
            "daly-higher",
            "exact",
            "di",
            "lazy(shape=0.6)",
            "adaptive",
            "never",
        ];
        assert_eq!(names(&input), all);
        input.shape = Some(2.0);
        assert_eq!(
            advise(&input).unwrap_err().to_string(),
            "policy lazy: shape must be between 0.1 and 1"
        );
    }

    /// A job that is shorter than the interval pays for no checkpoint, under any policy; the best of all is the exact one or better.
    #[test]
    fn short_jobs_pay_for_what_they_take() {
        let mut input = InputParams {
            mtbf: Duration::from_hours(24),
            cost: Duration::from_mins(5),
            restart: Duration::ZERO,
            downtime: Duration::ZERO,
            work: Some(Duration::from_hours(1)),
            shape: None,
        };
        let rows = advise(&input).unwrap().policies;
        let waste = |rows: &[PolicyAdvice], name| {
            let advice = rows.iter().find(|advice| advice.policy == name).unwrap();
            advice.waste.unwrap()
        };
        for name in ["young", "daly", "exact", "never"] {
            assert!((waste(&rows, name) - 0.0207).abs() < 1e-3, "{name}");
        }
        assert!(rows.iter().any(|advice| advice.best && advice.policy == "never"));
        input.work = Some(Duration::from_hours(500));
        let rows = advise(&input).unwrap().policies;
        assert!((waste(&rows, "exact") - 0.0811).abs() < 1e-3);
        assert!(rows.iter().all(|advice| !advice.best || advice.policy != "never"));
    }

    #[test]
    fn zero_is_refused() {
        let input = InputParams {
            mtbf: Duration::ZERO,
            cost: Duration::from_secs(1),
            restart: Duration::ZERO,
            downtime: Duration::ZERO,
            work: None,
            shape: None,
        };
        assert_eq!(
            advise(&input).unwrap_err().to_string(),
            "the MTBF must be more than zero"
        );
    }
}

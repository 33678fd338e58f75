//! Learning the rate of failures on the way.

use std::time::Duration;

use super::{IntervalPolicy, Kind, Parameter, Preset, Seen, Unit, Young};

/// Young's interval for the MTBF as it is seen: (w M₀ + t) / (w + n) after n failures in a time t at risk, beginning with a guess M₀ that weighs
/// as much as w failures (the posterior mean of an exponential rate's inverse under a conjugate prior; Gelman et al., Bayesian Data
/// Analysis, section 2.6). The cost is the one seen last, where the loop measures it.
#[derive(Debug, Clone, Copy)]
pub struct Adaptive {
    /// M₀ over the MTBF that the loop was told; 1 trusts it.
    pub prior: f64,
    /// w, more than 0.
    pub weight: f64,
}

/// How it is chosen.
pub(super) const KIND: Kind = Kind {
    name: "adaptive",
    formula: "Young's for the MTBF (w M₀ + t) / (w + n) after n failures in a time t at risk",
    source: "conjugate prior of an exponential rate",
    parameters: &[
        Parameter {
            name: "prior",
            about: "first guess M₀ over the true MTBF",
            unit: Unit::Number,
            preset: Preset::Value(1.0),
            least: 1e-6,
            most: 1e6,
        },
        Parameter {
            name: "weight",
            about: "w, failures that the guess weighs as much as",
            unit: Unit::Number,
            preset: Preset::Value(1.0),
            least: 1e-6,
            most: 1e6,
        },
    ],
    needs_work: false,
    needs_world: None,
    make: |told| {
        Box::new(Adaptive {
            prior: told.number("prior"),
            weight: told.number("weight"),
        })
    },
};

impl IntervalPolicy for Adaptive {
    fn interval(&self, seen: &Seen) -> Option<Duration> {
        let guess_s = seen.mtbf.as_secs_f64() * self.prior;
        let failures = f64::from(seen.failures);
        let mtbf_s = (self.weight * guess_s + seen.at_risk.as_secs_f64()) / (self.weight + failures);
        let mtbf = Duration::try_from_secs_f64(mtbf_s).unwrap_or(Duration::MAX);
        Young.interval(&Seen { mtbf, ..*seen })
    }
}

//! ② Laws of the time between failures, with a mean of one.
//!
//! Every law is drawn by inverting its cumulative hazard: H(gap) = h, where h = −ln u is a unit exponential. One draw a gap, so
//! the same draws serve every law and every MTBF (common random numbers), and the least of N gaps is found at h/N.

use libm::{exp, expm1, log, pow, sqrt, tgamma};

use crate::special::{erfc, gamma_quantile, gamma_shares, normal_quantile};

/// A law of the time between failures. All have a mean of one; the MTBF scales them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Law {
    /// Memoryless, rate 1.
    Exponential,
    /// H(t) = (t/η)^k with η = 1/Γ(1 + 1/k). k < 1: the hazard falls, as failure logs have it; k = 1: exponential.
    Weibull {
        /// k.
        shape: f64,
    },
    /// ln t is normal with standard deviation σ and mean −σ²/2.
    LogNormal {
        /// σ.
        sigma: f64,
    },
    /// Gamma with shape k and scale 1/k.
    Gamma {
        /// k.
        shape: f64,
    },
    /// The first of three causes: infant mortality, chance and wear-out.
    Bathtub(Bathtub),
}

/// Three independent causes of failure, the first of which strikes (competing risks; Lawless, Statistical Models and Methods for
/// Lifetime Data, 2003, chapter 9): H(t) = a (t/η)^i + (1 − a − b) (t/η) + b (t/η)^w. η makes the mean one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bathtub {
    infant_shape: f64,
    infant_share: f64,
    wear_out_shape: f64,
    wear_out_share: f64,
    scale: f64,
}

/// Weights that are no shares, or shapes on the wrong side of 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BathtubError {
    /// The hazard of infant mortality falls.
    #[error("infant_shape must be more than 0.1 and less than 1")]
    InfantShape,
    /// The hazard of wear-out rises.
    #[error("wear_out_shape must be more than 1 and at most 20")]
    WearOutShape,
    /// What is left is the share of chance.
    #[error("infant_share and wear_out_share must each be at least 0, and at most 1 together")]
    Shares,
}

impl Bathtub {
    /// From the shapes of the two Weibull causes and the weights of their hazards; chance has the rest.
    pub fn new(
        (infant_shape, infant_share): (f64, f64),
        (wear_out_shape, wear_out_share): (f64, f64),
    ) -> Result<Bathtub, BathtubError> {
        if !(infant_shape > 0.1 && infant_shape < 1.0) {
            return Err(BathtubError::InfantShape);
        }
        if !(wear_out_shape > 1.0 && wear_out_shape <= 20.0) {
            return Err(BathtubError::WearOutShape);
        }
        if !(infant_share >= 0.0 && wear_out_share >= 0.0 && infant_share + wear_out_share <= 1.0) {
            return Err(BathtubError::Shares);
        }
        let unscaled = Bathtub {
            infant_shape,
            infant_share,
            wear_out_shape,
            wear_out_share,
            scale: 1.0,
        };
        Ok(Bathtub {
            scale: 1.0 / unscaled.mean(),
            ..unscaled
        })
    }

    fn cumulative_hazard(&self, t: f64) -> f64 {
        let t = t / self.scale;
        let chance = 1.0 - self.infant_share - self.wear_out_share;
        self.infant_share * pow(t, self.infant_shape)
            + chance * t
            + self.wear_out_share * pow(t, self.wear_out_shape)
    }

    fn hazard(&self, t: f64) -> f64 {
        let x = t / self.scale;
        let chance = 1.0 - self.infant_share - self.wear_out_share;
        let part = |share: f64, shape: f64| {
            if share > 0.0 {
                share * shape * pow(x, shape - 1.0)
            } else {
                0.0
            }
        };
        (part(self.infant_share, self.infant_shape) + chance + part(self.wear_out_share, self.wear_out_shape))
            / self.scale
    }

    /// The time at which the cumulative hazard is `h`: bisection, for it rises, to the last bit.
    fn at_hazard(&self, h: f64) -> f64 {
        let mut high = self.scale;
        while self.cumulative_hazard(high) < h && high < f64::MAX / 4.0 {
            high *= 2.0;
        }
        let mut low = 0.0;
        loop {
            let middle = low + (high - low) / 2.0;
            if middle <= low || middle >= high {
                return high;
            }
            if self.cumulative_hazard(middle) < h {
                low = middle;
            } else {
                high = middle;
            }
        }
    }

    /// ∫ e^{−H(t)} dt by the midpoint rule in s with t = s⁴/(1 − s), which takes the sting out of t^{i} at zero.
    fn mean(&self) -> f64 {
        const STEPS: u32 = 20_000;
        let step = 1.0 / f64::from(STEPS);
        let terms = (0..STEPS).map(|index| {
            let s = (f64::from(index) + 0.5) * step;
            let rest = 1.0 - s;
            let (cube, t) = (s * s * s, s * s * s * s / rest);
            exp(-self.cumulative_hazard(t)) * cube * (4.0 * rest + s) / (rest * rest)
        });
        terms.sum::<f64>() * step
    }
}

impl Law {
    /// As specs and rows spell it.
    pub fn name(&self) -> &'static str {
        match self {
            Law::Exponential => "exponential",
            Law::Weibull { .. } => "weibull",
            Law::LogNormal { .. } => "lognormal",
            Law::Gamma { .. } => "gamma",
            Law::Bathtub(_) => "bathtub",
        }
    }

    /// The one number that tells laws of this name apart: k, or σ.
    pub fn shape(&self) -> Option<f64> {
        match *self {
            Law::Weibull { shape } | Law::Gamma { shape } => Some(shape),
            Law::LogNormal { sigma } => Some(sigma),
            Law::Exponential | Law::Bathtub(_) => None,
        }
    }

    /// The time at which the cumulative hazard is `h`, in units of the mean. Of a unit exponential `h` it is a draw.
    pub fn at_hazard(&self, h: f64) -> f64 {
        match *self {
            Law::Exponential => h,
            Law::Weibull { shape } => pow(h, 1.0 / shape) * weibull_scale(shape),
            // The survival is e^{−h}. Where that is nearly one, its complement holds the digits.
            Law::LogNormal { sigma } => {
                let z = if h < 0.5 {
                    normal_quantile((-expm1(-h)).max(f64::MIN_POSITIVE))
                } else {
                    -normal_quantile(exp(-h))
                };
                exp(sigma * (z - sigma / 2.0))
            }
            Law::Gamma { shape } => gamma_quantile(shape, -expm1(-h), exp(-h)) / shape,
            Law::Bathtub(bathtub) => bathtub.at_hazard(h),
        }
    }

    /// The share of gaps that are longer than `t` (in units of the mean).
    pub fn survival(&self, t: f64) -> f64 {
        if t <= 0.0 {
            return 1.0;
        }
        match *self {
            Law::Exponential => exp(-t),
            Law::Weibull { shape } => exp(-pow(t / weibull_scale(shape), shape)),
            Law::LogNormal { sigma } => erfc((log(t) / sigma + sigma / 2.0) / SQRT_2) / 2.0,
            Law::Gamma { shape } => gamma_shares(shape, shape * t).1,
            Law::Bathtub(bathtub) => exp(-bathtub.cumulative_hazard(t)),
        }
    }

    /// The rate of failures after `t` without one, in units of one over the mean.
    pub fn hazard(&self, t: f64) -> f64 {
        match *self {
            Law::Exponential => 1.0,
            Law::Weibull { shape } => {
                let scale = weibull_scale(shape);
                shape / scale * pow(t / scale, shape - 1.0)
            }
            Law::LogNormal { sigma } => {
                let z = log(t) / sigma + sigma / 2.0;
                let density = exp(-z * z / 2.0) / (t * sigma * sqrt(2.0 * std::f64::consts::PI));
                density / self.survival(t)
            }
            Law::Gamma { shape } => {
                let density = exp(shape * log(shape) + (shape - 1.0) * log(t) - shape * t) / tgamma(shape);
                density / self.survival(t)
            }
            Law::Bathtub(bathtub) => bathtub.hazard(t),
        }
    }
}

const SQRT_2: f64 = std::f64::consts::SQRT_2;

/// η of a Weibull law of this shape with a mean of one.
fn weibull_scale(shape: f64) -> f64 {
    1.0 / tgamma(1.0 + 1.0 / shape)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::failures::unit_exponential;

    fn laws() -> Vec<Law> {
        vec![
            Law::Exponential,
            Law::Weibull { shape: 0.5 },
            Law::Weibull { shape: 2.0 },
            Law::LogNormal { sigma: 1.2 },
            Law::Gamma { shape: 0.4 },
            Law::Gamma { shape: 3.0 },
            Law::Bathtub(Bathtub::new((0.5, 0.2), (4.0, 0.3)).unwrap()),
        ]
    }

    /// Mean one, and the distance of Kolmogorov and Smirnov from the law's own survival function: below 1.63/√n in 99 of 100.
    #[test]
    fn draws_follow_their_law() {
        let count = 20_000;
        for law in laws() {
            let mut stream = ChaCha8Rng::seed_from_u64(7);
            let mut gaps: Vec<f64> = (0..count)
                .map(|_| law.at_hazard(unit_exponential(&mut stream)))
                .collect();
            gaps.sort_by(f64::total_cmp);
            let n = gaps.len() as f64;
            let mean = gaps.iter().sum::<f64>() / n;
            let variance = gaps.iter().map(|gap| (gap - mean) * (gap - mean)).sum::<f64>() / n;
            assert!(
                (mean - 1.0).abs() < 3.0 * (variance / n).sqrt(),
                "{law:?}: mean {mean}"
            );
            let distance = gaps.iter().enumerate().fold(0f64, |most, (index, &gap)| {
                let below = 1.0 - law.survival(gap);
                most.max((below - index as f64 / n).abs())
            });
            assert!(distance < 1.63 / n.sqrt(), "{law:?}: {distance}");
        }
    }

    #[test]
    fn the_hazard_is_the_slope_of_the_survival() {
        for law in laws() {
            for t in [0.05, 0.5, 1.0, 2.5] {
                let step = 1e-5;
                let slope = (log(law.survival(t - step)) - log(law.survival(t + step))) / (2.0 * step);
                let hazard = law.hazard(t);
                assert!(
                    (slope / hazard - 1.0).abs() < 1e-4,
                    "{law:?} at {t}: {slope} {hazard}"
                );
                let back = law.at_hazard(-log(law.survival(t)));
                assert!((back / t - 1.0).abs() < 1e-6, "{law:?} at {t}: {back}");
            }
        }
    }

    #[test]
    fn extreme_draws_are_numbers() {
        for law in laws() {
            for h in [0.0, 1.1e-16, 1e-9, 36.8] {
                let gap = law.at_hazard(h);
                assert!(gap.is_finite() && gap >= 0.0, "{law:?} at {h}: {gap}");
            }
        }
    }

    #[test]
    fn a_bathtub_of_chance_alone_is_exponential() {
        let flat = Law::Bathtub(Bathtub::new((0.5, 0.0), (2.0, 0.0)).unwrap());
        assert!(
            (flat.at_hazard(0.7) - 0.7).abs() < 1e-6,
            "{}",
            flat.at_hazard(0.7)
        );
        assert_eq!(
            Bathtub::new((1.5, 0.1), (2.0, 0.1)),
            Err(BathtubError::InfantShape)
        );
        assert_eq!(
            Bathtub::new((0.5, 0.1), (0.9, 0.1)),
            Err(BathtubError::WearOutShape)
        );
        assert_eq!(Bathtub::new((0.5, 0.7), (2.0, 0.7)), Err(BathtubError::Shares));
    }
}

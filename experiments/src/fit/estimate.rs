//! Parameters of a law by maximum likelihood.

use libm::{exp, lgamma, log, pow, sqrt};

use crate::failures::Law;
use crate::special::digamma;

/// A law with the parameters that fit a sample best.
#[derive(Debug, Clone, Copy)]
pub(super) struct Estimate {
    /// With a mean of one.
    pub law: Law,
    /// As [`super::Fit::scale`].
    pub scale: f64,
    pub mean_s: f64,
}

/// Which law to fit.
#[derive(Debug, Clone, Copy)]
pub(super) enum Family {
    Exponential,
    Weibull,
    LogNormal,
    Gamma,
}

impl Family {
    pub(super) const ALL: [Family; 4] = [
        Family::Exponential,
        Family::Weibull,
        Family::LogNormal,
        Family::Gamma,
    ];

    /// The sample is sorted, positive, and not all the same.
    pub(super) fn estimate(self, sample: &[f64]) -> Estimate {
        let mean = sample.iter().sum::<f64>() / sample.len() as f64;
        match self {
            Family::Exponential => Estimate {
                law: Law::Exponential,
                scale: mean,
                mean_s: mean,
            },
            Family::Weibull => weibull(sample),
            Family::LogNormal => lognormal(sample),
            Family::Gamma => gamma(sample, mean),
        }
    }
}

impl Estimate {
    /// Logarithm of the density at `t` seconds.
    pub(super) fn log_density(&self, t: f64) -> f64 {
        let scale = self.scale;
        match self.law {
            Law::Weibull { shape } => {
                let x = t / scale;
                log(shape / scale) + (shape - 1.0) * log(x) - pow(x, shape)
            }
            Law::LogNormal { sigma } => {
                let z = (log(t) - scale) / sigma;
                -log(t * sigma) - log(2.0 * std::f64::consts::PI) / 2.0 - z * z / 2.0
            }
            Law::Gamma { shape } => (shape - 1.0) * log(t) - t / scale - lgamma(shape) - shape * log(scale),
            Law::Exponential | Law::Bathtub(_) => -log(scale) - t / scale,
        }
    }

    /// The share of times of at most `t` seconds.
    pub(super) fn below(&self, t: f64) -> f64 {
        1.0 - self.law.survival(t / self.mean_s)
    }
}

/// The likelihood is greatest where Σ t^k ln t / Σ t^k − 1/k = mean of ln t; the left side rises with k.
fn weibull(sample: &[f64]) -> Estimate {
    let n = sample.len() as f64;
    let most = sample[sample.len() - 1];
    // Relative to the largest, so that no power overflows.
    let logs: Vec<f64> = sample.iter().map(|&t| log(t / most)).collect();
    let mean_log = logs.iter().sum::<f64>() / n;
    let excess = |k: f64| {
        let (powers, weighted) = logs.iter().fold((0.0, 0.0), |(powers, weighted), &l| {
            let power = exp(k * l);
            (powers + power, weighted + power * l)
        });
        weighted / powers - 1.0 / k - mean_log
    };
    let shape = root(excess, 1e-3, 1e3);
    let scale = most * pow(logs.iter().map(|&l| exp(shape * l)).sum::<f64>() / n, 1.0 / shape);
    Estimate {
        law: Law::Weibull { shape },
        scale,
        mean_s: scale * exp(lgamma(1.0 + 1.0 / shape)),
    }
}

fn lognormal(sample: &[f64]) -> Estimate {
    let n = sample.len() as f64;
    let mu = sample.iter().map(|&t| log(t)).sum::<f64>() / n;
    let variance = sample.iter().map(|&t| (log(t) - mu) * (log(t) - mu)).sum::<f64>() / n;
    Estimate {
        law: Law::LogNormal {
            sigma: sqrt(variance),
        },
        scale: mu,
        mean_s: exp(mu + variance / 2.0),
    }
}

/// The likelihood is greatest where ln k − ψ(k) = ln(mean) − mean of ln t; the left side falls with k.
fn gamma(sample: &[f64], mean: f64) -> Estimate {
    let n = sample.len() as f64;
    let gap = log(mean) - sample.iter().map(|&t| log(t)).sum::<f64>() / n;
    let shape = root(|k| gap - (log(k) - digamma(k)), 1e-4, 1e6);
    Estimate {
        law: Law::Gamma { shape },
        scale: mean / shape,
        mean_s: mean,
    }
}

/// Where a rising function is zero, in the logarithm: regula falsi that halves the end which stays (Illinois; Dowell and Jarratt,
/// BIT 11, 1971). An end where it is not within.
fn root(rising: impl Fn(f64) -> f64, low: f64, high: f64) -> f64 {
    const STEPS: u32 = 200;
    let (mut low, mut high) = (log(low), log(high));
    let (mut at_low, mut at_high) = (rising(exp(low)), rising(exp(high)));
    if at_low >= 0.0 {
        return exp(low);
    }
    if at_high <= 0.0 {
        return exp(high);
    }
    for _ in 0..STEPS {
        let middle = (low * at_high - high * at_low) / (at_high - at_low);
        if high - low <= 1e-13 || middle <= low || middle >= high {
            break;
        }
        let there = rising(exp(middle));
        if there < 0.0 {
            (low, at_low) = (middle, there);
            at_high /= 2.0;
        } else if there > 0.0 {
            (high, at_high) = (middle, there);
            at_low /= 2.0;
        } else {
            return exp(middle);
        }
    }
    exp(f64::midpoint(low, high))
}

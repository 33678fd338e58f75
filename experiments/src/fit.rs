//! ② Laws fitted to a sample of times by maximum likelihood.
//!
//! Times of zero (failures of one instant) have no logarithm: they are counted and left out, as published fits do (Javadi et al.,
//! JPDC 73(8), 2013).

use libm::{exp, lgamma, log, pow, sqrt};
use serde::Serialize;

use crate::special::{digamma, erfc, gamma_shares};

/// A law and how well it fits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fit {
    /// `exponential`, `weibull`, `lognormal` or `gamma`.
    pub law: &'static str,
    /// Weibull and gamma: shape k; lognormal: σ; exponential: none.
    pub shape: Option<f64>,
    /// Weibull and gamma: scale in seconds; exponential: mean in seconds; lognormal: μ, the mean of ln(t / 1 s).
    pub scale: f64,
    /// Mean of the fitted law in seconds.
    pub mean_s: f64,
    /// Logarithm of the likelihood.
    pub log_likelihood: f64,
    /// Akaike's information criterion, 2 × parameters − 2 × log-likelihood; the least is the best.
    pub aic: f64,
    /// Distance of Kolmogorov and Smirnov between sample and law. (Its usual p-values do not hold for fitted parameters.)
    pub ks: f64,
}

/// What was fitted, best law first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fits {
    /// Positive times.
    pub n: usize,
    /// Times of zero, left out.
    pub zeros: usize,
    /// Mean of the positive times in seconds.
    pub mean_s: f64,
    /// Median of the positive times in seconds.
    pub median_s: f64,
    /// By AIC, the best first.
    pub fits: Vec<Fit>,
}

/// A sample that no law can be fitted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{positive} positive times, not all the same, are needed to fit a law; at least 2")]
pub struct TooFew {
    /// Positive times there are.
    pub positive: usize,
}

/// Fits every law to times in seconds.
pub fn fit(times_s: &[f64]) -> Result<Fits, TooFew> {
    let mut sample: Vec<f64> = times_s.iter().copied().filter(|&time| time > 0.0).collect();
    sample.sort_by(f64::total_cmp);
    let n = sample.len();
    if n < 2 || sample[n - 1] <= sample[0] {
        return Err(TooFew { positive: n });
    }
    let mean = sample.iter().sum::<f64>() / n as f64;
    let mut fits = vec![
        exponential(&sample, mean),
        weibull(&sample),
        lognormal(&sample),
        gamma(&sample, mean),
    ];
    fits.sort_by(|a, b| a.aic.total_cmp(&b.aic));
    Ok(Fits {
        n,
        zeros: times_s.len() - n,
        mean_s: mean,
        median_s: f64::midpoint(sample[(n - 1) / 2], sample[n / 2]),
        fits,
    })
}

fn fitted(
    law: &'static str,
    (shape, scale): (Option<f64>, f64),
    mean_s: f64,
    sample: &[f64],
    log_density: impl Fn(f64) -> f64,
    cdf: impl Fn(f64) -> f64,
) -> Fit {
    let log_likelihood: f64 = sample.iter().map(|&time| log_density(time)).sum();
    let parameters = if shape.is_some() { 2.0 } else { 1.0 };
    let n = sample.len() as f64;
    let ks = sample.iter().enumerate().fold(0f64, |most, (index, &time)| {
        let below = cdf(time);
        most.max((below - index as f64 / n).abs())
            .max(((index + 1) as f64 / n - below).abs())
    });
    Fit {
        law,
        shape,
        scale,
        mean_s,
        log_likelihood,
        aic: 2.0 * parameters - 2.0 * log_likelihood,
        ks,
    }
}

fn exponential(sample: &[f64], mean: f64) -> Fit {
    let log_density = |t: f64| -log(mean) - t / mean;
    fitted("exponential", (None, mean), mean, sample, log_density, |t| {
        1.0 - exp(-t / mean)
    })
}

/// The likelihood is greatest where Σ t^k ln t / Σ t^k − 1/k = mean of ln t; the left side rises with k.
fn weibull(sample: &[f64]) -> Fit {
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
    let log_density = |t: f64| {
        let x = t / scale;
        log(shape / scale) + (shape - 1.0) * log(x) - pow(x, shape)
    };
    let mean = scale * exp(lgamma(1.0 + 1.0 / shape));
    fitted("weibull", (Some(shape), scale), mean, sample, log_density, |t| {
        1.0 - exp(-pow(t / scale, shape))
    })
}

fn lognormal(sample: &[f64]) -> Fit {
    let n = sample.len() as f64;
    let mu = sample.iter().map(|&t| log(t)).sum::<f64>() / n;
    let variance = sample.iter().map(|&t| (log(t) - mu) * (log(t) - mu)).sum::<f64>() / n;
    let sigma = sqrt(variance);
    let z = |t: f64| (log(t) - mu) / sigma;
    let log_density = |t: f64| -log(t * sigma) - log(2.0 * std::f64::consts::PI) / 2.0 - z(t) * z(t) / 2.0;
    let cdf = |t: f64| erfc(-z(t) / std::f64::consts::SQRT_2) / 2.0;
    fitted(
        "lognormal",
        (Some(sigma), mu),
        exp(mu + variance / 2.0),
        sample,
        log_density,
        cdf,
    )
}

/// The likelihood is greatest where ln k − ψ(k) = ln(mean) − mean of ln t; the left side falls with k.
fn gamma(sample: &[f64], mean: f64) -> Fit {
    let n = sample.len() as f64;
    let gap = log(mean) - sample.iter().map(|&t| log(t)).sum::<f64>() / n;
    let shape = root(|k| gap - (log(k) - digamma(k)), 1e-4, 1e6);
    let scale = mean / shape;
    let log_density = |t: f64| (shape - 1.0) * log(t) - t / scale - lgamma(shape) - shape * log(scale);
    let cdf = |t: f64| gamma_shares(shape, t / scale).0;
    fitted("gamma", (Some(shape), scale), mean, sample, log_density, cdf)
}

/// Where a rising function is zero, by bisection in the logarithm; an end where it is not within.
fn root(rising: impl Fn(f64) -> f64, low: f64, high: f64) -> f64 {
    const STEPS: u32 = 100;
    let (mut low, mut high) = (log(low), log(high));
    for _ in 0..STEPS {
        let middle = f64::midpoint(low, high);
        if rising(exp(middle)) < 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    exp(f64::midpoint(low, high))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::failures::{FailureStream, Kinds, Law, Process};
    use crate::logs::{Filter, Format, What, read};
    use crate::seed::TrialSeed;

    fn of(fits: &Fits, law: &str) -> Fit {
        fits.fits.iter().find(|fit| fit.law == law).unwrap().clone()
    }

    /// Each law wins on a sample of its own, with its own parameters.
    #[test]
    fn laws_are_found_again() {
        for (law, shape) in [
            (Law::Weibull { shape: 0.6 }, 0.6),
            (Law::LogNormal { sigma: 1.3 }, 1.3),
            (Law::Gamma { shape: 2.5 }, 2.5),
        ] {
            let mut stream = FailureStream::new(
                TrialSeed(3),
                &Process::law(law),
                Duration::from_secs(3600),
                Kinds::default(),
            );
            let sample: Vec<f64> = (0..20_000).map(|_| stream.draw().gap.as_secs_f64()).collect();
            let fits = fit(&sample).unwrap();
            assert_eq!(fits.fits[0].law, law.name());
            assert!(
                (fits.fits[0].shape.unwrap() / shape - 1.0).abs() < 0.03,
                "{:?}",
                fits.fits[0]
            );
            assert!(
                (fits.fits[0].mean_s / 3600.0 - 1.0).abs() < 0.06,
                "{:?}",
                fits.fits[0]
            );
            assert!(fits.fits[0].ks < 0.012 && fits.fits[0].ks < of(&fits, "exponential").ks);
        }
    }

    #[test]
    fn what_says_nothing_is_refused() {
        assert_eq!(fit(&[]), Err(TooFew { positive: 0 }));
        assert_eq!(fit(&[0.0, 1.0]), Err(TooFew { positive: 1 }));
        assert_eq!(fit(&[2.0, 2.0, 2.0]), Err(TooFew { positive: 3 }));
        assert_eq!(fit(&[0.0, 1.0, 2.0]).unwrap().zeros, 1);
    }

    /// Failure Trace Archive, lanl05: the parameters that Javadi et al. (JPDC 2013) print, in hours. Needs the data set.
    #[test]
    fn the_published_fits_of_los_alamos_come_out() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/fta-lanl05/event_trace.tab");
        if !path.exists() {
            eprintln!("skipped: the data set is not here");
            return;
        }
        for (what, n, mean, weibull, lognormal) in [
            (What::Up, 19_874, 1779.99, (0.48, 816.60), (5.56, 2.39)),
            (What::Down, 23_329, 5.92, (0.58, 2.18), (0.05, 1.42)),
        ] {
            let hours: Vec<f64> = read(&path, Format::Fta, &Filter::default(), what)
                .unwrap()
                .values_s
                .iter()
                .map(|seconds| seconds / 3600.0)
                .collect();
            let fits = fit(&hours).unwrap();
            assert_eq!(fits.n, n);
            let near = |found: f64, wanted: f64| {
                assert!((found - wanted).abs() <= 0.0101, "{found}, wanted {wanted}");
            };
            near(fits.mean_s, mean);
            let (w, l) = (of(&fits, "weibull"), of(&fits, "lognormal"));
            near(w.shape.unwrap(), weibull.0);
            near(w.scale, weibull.1);
            near(l.scale, lognormal.0);
            near(l.shape.unwrap(), lognormal.1);
        }
    }
}

//! ② Laws fitted to a sample of times by maximum likelihood, and how well they fit.
//!
//! Times of zero (failures of one instant) have no logarithm: they are counted and left out, as published fits do (Javadi et al.,
//! JPDC 73(8), 2013).

mod estimate;

use std::path::Path;

use libm::{log, log1p};
use serde::Serialize;

use crate::failures::{Law, unit_exponential};
use crate::seed::{Purpose, TrialSeed};
use estimate::{Estimate, Family};

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
    /// Schwarz's criterion, parameters × ln n − 2 × log-likelihood; the least is the best.
    pub bic: f64,
    /// Distance of Kolmogorov and Smirnov between sample and law. Its tables do not hold for fitted parameters.
    pub ks: f64,
    /// The share of samples drawn from the fitted law, and fitted themselves, that lie at least so far from their own fit: small where
    /// the law is not that of the sample (parametric bootstrap; Stute, González Manteiga and Presedo Quindimil, Metrika 40, 1993).
    /// `None`: not asked for.
    pub p_value: Option<f64>,
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

/// A quantile of the sample beside that of a fitted law: a point of a QQ plot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QqRow {
    /// As [`Fit::law`].
    pub law: &'static str,
    /// The share below, (i − 1/2) / n of the i-th smallest (Hazen's plotting position).
    pub probability: f64,
    /// Quantile of the law in seconds.
    pub theoretical_s: f64,
    /// Quantile of the sample in seconds.
    pub observed_s: f64,
}

/// A sample that no law can be fitted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{positive} positive times, not all the same, are needed to fit a law; at least 2")]
pub struct TooFew {
    /// Positive times there are.
    pub positive: usize,
}

/// Points of a QQ plot, at most; of larger samples evenly spread ranks are taken, and the ends.
const QQ_POINTS_MAX: usize = 500;

/// Seeds the bootstrap of p-values: a fit is the same on every run.
const SEED: u64 = 1_993;

/// Fits every law to times in seconds. `resamples`: how many samples each law's p-value is bootstrapped from; 0: none is.
pub fn fit(times_s: &[f64], resamples: u32) -> Result<Fits, TooFew> {
    let sample = sorted_positive(times_s)?;
    let n = sample.len();
    let mut fits: Vec<Fit> = Family::ALL
        .into_iter()
        .map(|family| {
            let estimate = family.estimate(&sample);
            let ks = distance(&estimate, &sample);
            let p_value = (resamples > 0).then(|| p_value(family, &estimate, n, ks, resamples));
            fitted(&estimate, &sample, ks, p_value)
        })
        .collect();
    fits.sort_by(|a, b| a.aic.total_cmp(&b.aic));
    Ok(Fits {
        n,
        zeros: times_s.len() - n,
        mean_s: sample.iter().sum::<f64>() / n as f64,
        median_s: f64::midpoint(sample[(n - 1) / 2], sample[n / 2]),
        fits,
    })
}

/// The points of a QQ plot of each law against the same times.
pub fn qq(times_s: &[f64]) -> Result<Vec<QqRow>, TooFew> {
    let sample = sorted_positive(times_s)?;
    let n = sample.len();
    let points = n.min(QQ_POINTS_MAX);
    let rows = Family::ALL.into_iter().flat_map(|family| {
        let estimate = family.estimate(&sample);
        let sample = &sample;
        (0..points).map(move |point| {
            let index = if points > 1 {
                point * (n - 1) / (points - 1)
            } else {
                0
            };
            let probability = (index as f64 + 0.5) / n as f64;
            QqRow {
                law: estimate.law.name(),
                probability,
                theoretical_s: estimate.law.at_hazard(-log1p(-probability)) * estimate.mean_s,
                observed_s: sample[index],
            }
        })
    });
    Ok(rows.collect())
}

/// Writes rows of [`Fits::fits`] or of [`qq`] with a header.
pub fn write_csv(path: &Path, rows: &[impl Serialize]) -> Result<(), csv::Error> {
    let mut writer = csv::Writer::from_path(path)?;
    for row in rows {
        writer.serialize(row)?;
    }
    Ok(writer.flush()?)
}

fn sorted_positive(times_s: &[f64]) -> Result<Vec<f64>, TooFew> {
    let mut sample: Vec<f64> = times_s.iter().copied().filter(|&time| time > 0.0).collect();
    sample.sort_by(f64::total_cmp);
    let n = sample.len();
    if n < 2 || sample[n - 1] <= sample[0] {
        return Err(TooFew { positive: n });
    }
    Ok(sample)
}

fn fitted(estimate: &Estimate, sample: &[f64], ks: f64, p_value: Option<f64>) -> Fit {
    let log_likelihood: f64 = sample.iter().map(|&time| estimate.log_density(time)).sum();
    let parameters = if matches!(estimate.law, Law::Exponential) {
        1.0
    } else {
        2.0
    };
    Fit {
        law: estimate.law.name(),
        shape: estimate.law.shape(),
        scale: estimate.scale,
        mean_s: estimate.mean_s,
        log_likelihood,
        aic: 2.0 * parameters - 2.0 * log_likelihood,
        bic: parameters * log(sample.len() as f64) - 2.0 * log_likelihood,
        ks,
        p_value,
    }
}

/// The greatest distance between the law's and the sample's share of times below.
fn distance(estimate: &Estimate, sample: &[f64]) -> f64 {
    let n = sample.len() as f64;
    sample.iter().enumerate().fold(0.0, |most: f64, (index, &time)| {
        let below = estimate.below(time);
        most.max((below - index as f64 / n).abs())
            .max(((index + 1) as f64 / n - below).abs())
    })
}

fn p_value(family: Family, estimate: &Estimate, n: usize, ks: f64, resamples: u32) -> f64 {
    let as_far = (0..resamples).filter(|&resample| {
        let mut stream = TrialSeed::derive(SEED, resample).stream(Purpose::Bootstrap);
        let mut sample: Vec<f64> = (0..n)
            .map(|_| estimate.law.at_hazard(unit_exponential(&mut stream)) * estimate.mean_s)
            .map(|time| time.max(f64::MIN_POSITIVE))
            .collect();
        sample.sort_by(f64::total_cmp);
        let again = family.estimate(&sample);
        distance(&again, &sample) >= ks
    });
    // The sample itself counts as one of those drawn, so that none is impossible.
    (as_far.count() + 1) as f64 / f64::from(resamples + 1)
}

#[cfg(test)]
mod tests {
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
            let fits = fit(&sample, 0).unwrap();
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

    /// A p-value tells a sample of the law from one that is not; a fit to the law's own quantiles is a straight line.
    #[test]
    fn p_values_and_quantiles_tell_a_law_from_another() {
        let law = Law::Weibull { shape: 0.6 };
        let mut stream = TrialSeed(11).stream(Purpose::FailureTimes);
        let sample: Vec<f64> = (0..400)
            .map(|_| law.at_hazard(unit_exponential(&mut stream)))
            .collect();
        let fits = fit(&sample, 99).unwrap();
        let p = |law| of(&fits, law).p_value.unwrap();
        assert!(p("weibull") > 0.05, "{}", p("weibull"));
        assert!(
            p("exponential") <= 0.01 && p("lognormal") < 0.05,
            "{} {}",
            p("exponential"),
            p("lognormal")
        );
        let rows = qq(&sample).unwrap();
        assert_eq!(rows.len(), 4 * 400);
        let last = rows.iter().rfind(|row| row.law == "weibull").unwrap();
        assert!((last.probability - 399.5 / 400.0).abs() < 1e-12);
        let middle = &rows.iter().filter(|row| row.law == "weibull").nth(200).unwrap();
        assert!(
            (middle.theoretical_s / middle.observed_s - 1.0).abs() < 0.2,
            "{middle:?}"
        );
    }

    /// LA-UR-05-7318: counts, causes and repair times as an independent script has them. Needs the data set.
    #[test]
    fn the_records_of_los_alamos_add_up() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/lanl");
        let Some(path) = decompressed(&folder) else {
            eprintln!("skipped: the data set is not here");
            return;
        };
        for (cause, share, mean_min, median_min) in [
            (None, 100.0, 352.38, 59.0),
            (Some("hardware"), 60.41, 343.76, 68.0),
            (Some("software"), 22.58, 348.18, 43.0),
            (Some("network"), 1.77, 250.0, 70.0),
            (Some("facilities"), 1.52, 572.35, 276.0),
            (Some("human error"), 0.63, 163.13, 44.0),
        ] {
            let filter = Filter {
                cause: cause.map(str::to_owned),
                ..Filter::default()
            };
            let sample = read(path.path(), Format::Lanl, &filter, What::Down).unwrap();
            assert_eq!(sample.records, 23_739);
            let fits = fit(&sample.values_s, 0).unwrap();
            if cause.is_none() {
                assert_eq!(fits.zeros, 187);
            }
            let near = |found: f64, wanted: f64, within: f64| {
                assert!(
                    (found - wanted).abs() <= within,
                    "{cause:?}: {found}, wanted {wanted}"
                );
            };
            let of_all = sample.values_s.len() as f64 / sample.records as f64;
            near(of_all * 100.0, share, 0.0051);
            near(
                sample.values_s.iter().sum::<f64>() / sample.values_s.len() as f64 / 60.0,
                mean_min,
                0.51,
            );
            near(fits.median_s / 60.0, median_min, 1.0);
        }
    }

    /// The data set as plain CSV.
    fn decompressed(folder: &Path) -> Option<tempfile::NamedTempFile> {
        let packed = std::fs::read_dir(folder)
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|extension| extension == "xz"))?;
        let out = tempfile::NamedTempFile::new().unwrap();
        let done = std::process::Command::new("xz")
            .arg("-dc")
            .arg(packed)
            .stdout(out.reopen().unwrap())
            .status()
            .ok()?;
        done.success().then_some(out)
    }

    #[test]
    fn what_says_nothing_is_refused() {
        assert_eq!(fit(&[], 0), Err(TooFew { positive: 0 }));
        assert_eq!(fit(&[0.0, 1.0], 0), Err(TooFew { positive: 1 }));
        assert_eq!(fit(&[2.0, 2.0, 2.0], 0), Err(TooFew { positive: 3 }));
        assert_eq!(fit(&[0.0, 1.0, 2.0], 0).unwrap().zeros, 1);
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
            let fits = fit(&hours, 0).unwrap();
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

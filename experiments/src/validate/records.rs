//! Failure logs of Los Alamos: laws fitted, records counted.

use std::path::Path;

use super::{Check, ValidateError};
use crate::fit::{Fits, fit};
use crate::logs::{Filter, Format, What, read};

const FTA: &str = "Javadi et al., JPDC 73(8), 2013, lanl05";
const LANL: &str = "LA-UR-05-7318, independent count; Schroeder and Gibson, DSN 2006, has similar rows";

const LANL_FILE: &str = "lanl/LA-UR-05-7318-failure-data-1996-2005.csv";

/// Of the two logs, those that are there.
pub(super) fn checks(data: &Path) -> Result<Vec<Check>, ValidateError> {
    let (fta, lanl) = (data.join("fta-lanl05/event_trace.tab"), data.join(LANL_FILE));
    let mut checks = Vec::new();
    if fta.exists() {
        checks.extend(archive(&fta)?);
    }
    if lanl.exists() {
        checks.extend(los_alamos(&lanl)?);
    }
    Ok(checks)
}

fn fitted(path: &Path, times_s: &[f64]) -> Result<Fits, ValidateError> {
    fit(times_s, 0).map_err(|source| ValidateError::Fit {
        path: path.to_owned(),
        source,
    })
}

fn archive(path: &Path) -> Result<Vec<Check>, ValidateError> {
    let mut checks = Vec::new();
    for (name, what, n, mean_h, weibull, lognormal) in [
        ("up", What::Up, 19_874u32, 1779.99, (0.48, 816.60), (5.56, 2.39)),
        ("down", What::Down, 23_329, 5.92, (0.58, 2.18), (0.05, 1.42)),
    ] {
        let sample = read(path, Format::Fta, &Filter::default(), what)?;
        let hours: Vec<f64> = sample.values_s.iter().map(|seconds| seconds / 3600.0).collect();
        let fits = fitted(path, &hours)?;
        let of = |law: &str| fits.fits.iter().find(|fit| fit.law == law);
        let shape = |law| of(law).and_then(|fit| fit.shape).unwrap_or(f64::NAN);
        let scale = |law| of(law).map_or(f64::NAN, |fit| fit.scale);
        let check = |quantity: &str, expected: f64, ours: f64| {
            Check::new(
                "A15",
                format!("{name} times, {quantity}"),
                (expected, 0.010_1),
                ours,
                FTA,
            )
        };
        checks.extend([
            Check::new(
                "A15",
                format!("{name} times, number"),
                (n.into(), 0.0),
                fits.n as f64,
                FTA,
            ),
            check("mean (h)", mean_h, fits.mean_s),
            check("Weibull shape", weibull.0, shape("weibull")),
            check("Weibull scale (h)", weibull.1, scale("weibull")),
            check("lognormal μ (ln h)", lognormal.0, scale("lognormal")),
            check("lognormal σ", lognormal.1, shape("lognormal")),
        ]);
    }
    Ok(checks)
}

fn los_alamos(path: &Path) -> Result<Vec<Check>, ValidateError> {
    let gaps = read(path, Format::Lanl, &Filter::default(), What::Gaps)?;
    let mut checks = vec![Check::new(
        "A16",
        "days from the first record to the last (1995-05-19 to 2005-09-09)",
        (3766.0, 1.0),
        gaps.values_s.iter().sum::<f64>() / 86_400.0,
        LANL,
    )];
    for (cause, share, mean_min, median_min) in [
        ("", 100.0, 352.4, 59.0),
        ("hardware", 60.4, 344.0, 68.0),
        ("software", 22.6, 348.0, 43.0),
        ("undetermined", 11.2, 441.0, 30.0),
        ("network", 1.8, 250.0, 70.0),
        ("facilities", 1.5, 572.0, 276.0),
        ("human error", 0.6, 163.0, 44.0),
    ] {
        let filter = Filter {
            cause: (!cause.is_empty()).then(|| cause.to_owned()),
            ..Filter::default()
        };
        let sample = read(path, Format::Lanl, &filter, What::Down)?;
        let mut minutes: Vec<f64> = sample.values_s.iter().map(|seconds| seconds / 60.0).collect();
        minutes.sort_by(f64::total_cmp);
        let n = minutes.len();
        let name = if cause.is_empty() { "all causes" } else { cause };
        let check = |quantity: &str, within: (f64, f64), ours: f64| {
            Check::new("A16", format!("{name}: {quantity}"), within, ours, LANL)
        };
        if cause.is_empty() {
            let zeros = minutes.iter().filter(|&&minutes| minutes <= 0.0).count();
            checks.push(check("records", (23_739.0, 0.0), sample.records as f64));
            checks.push(check("repairs of no time", (187.0, 0.0), zeros as f64));
        } else {
            checks.push(check(
                "share of records (%)",
                (share, 0.05),
                100.0 * n as f64 / sample.records as f64,
            ));
        }
        let rounding = if cause.is_empty() { 0.05 } else { 0.5 };
        checks.push(check(
            "mean repair (min)",
            (mean_min, rounding),
            minutes.iter().sum::<f64>() / n as f64,
        ));
        checks.push(check(
            "median repair (min)",
            (median_min, 0.5),
            f64::midpoint(minutes[(n - 1) / 2], minutes[n / 2]),
        ));
    }
    Ok(checks)
}

//! Laws fitted to a failure log.

use std::fs;

use anyhow::{Context, Result};
use revenant_experiments::fit::{Fits, fit, qq, write_csv};
use revenant_experiments::logs::{Filter, Format, What, read};

use crate::Outcome;
use crate::args::{FitArgs, LogFormat, LogTimes};
use crate::output::{print, table};

pub(crate) fn run(args: &FitArgs) -> Result<Outcome> {
    let format = match args.format {
        LogFormat::Lanl => Format::Lanl,
        LogFormat::Fta => Format::Fta,
        LogFormat::Csv => Format::Csv,
    };
    let what = match args.what {
        LogTimes::Gaps => What::Gaps,
        LogTimes::Up => What::Up,
        LogTimes::Down => What::Down,
    };
    let filter = Filter {
        system: args.system.clone(),
        node: args.node.clone(),
        cause: args.cause.clone(),
    };
    let sample = read(&args.log, format, &filter, what)?;
    let of_log = || args.log.display().to_string();
    let fits = fit(&sample.values_s, args.resamples).with_context(of_log)?;
    if let Some(dir) = &args.out {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let rows = qq(&sample.values_s).with_context(of_log)?;
        let write = || write_csv(&dir.join("fit.csv"), &fits.fits).and(write_csv(&dir.join("qq.csv"), &rows));
        write().with_context(|| format!("cannot write into {}", dir.display()))?;
    }
    if args.json {
        print(&(serde_json::to_string_pretty(&fits)? + "\n"))?;
        return Ok(Outcome::Done);
    }
    print(&readable(&fits))?;
    Ok(Outcome::Done)
}

fn readable(fits: &Fits) -> String {
    let header = [
        "law",
        "shape",
        "scale",
        "mean (s)",
        "log-likelihood",
        "AIC",
        "BIC",
        "KS",
        "p",
    ];
    let rows: Vec<Vec<String>> = fits
        .fits
        .iter()
        .map(|fit| {
            vec![
                fit.law.to_owned(),
                fit.shape.map_or("-".to_owned(), |shape| format!("{shape:.4}")),
                format!("{:.4}", fit.scale),
                format!("{:.2}", fit.mean_s),
                format!("{:.1}", fit.log_likelihood),
                format!("{:.1}", fit.aic),
                format!("{:.1}", fit.bic),
                format!("{:.4}", fit.ks),
                fit.p_value.map_or("-".to_owned(), |p| format!("{p:.3}")),
            ]
        })
        .collect();
    format!(
        "{} times, {} of zero left out; mean {:.6} s, median {:.6} s\n{}",
        fits.n,
        fits.zeros,
        fits.mean_s,
        fits.median_s,
        table(&header, &[1, 2, 3, 4, 5, 6, 7, 8], &rows)
    )
}

//! Laws fitted to a failure log.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use revenant_experiments::fit::fit;
use revenant_experiments::logs::{Filter, Format, What, read};

use crate::Outcome;
use crate::args::{FitArgs, LogFormat, LogTimes};
use crate::output::print;

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
    let fits = fit(&sample.values_s).with_context(|| args.log.display().to_string())?;
    if args.json {
        print(&(serde_json::to_string_pretty(&fits)? + "\n"))?;
        return Ok(Outcome::Done);
    }
    let mut text = format!(
        "{} times, {} of zero left out; mean {:.6} s, median {:.6} s\n{:12} {:>12} {:>16} {:>16} {:>14} {:>14} {:>8}\n",
        fits.n,
        fits.zeros,
        fits.mean_s,
        fits.median_s,
        "law",
        "shape",
        "scale",
        "mean (s)",
        "log-likelih.",
        "AIC",
        "KS"
    );
    for fit in &fits.fits {
        let shape = fit.shape.map_or("-".to_owned(), |shape| format!("{shape:.4}"));
        writeln!(
            text,
            "{:12} {shape:>12} {:>16.4} {:>16.2} {:>14.1} {:>14.1} {:>8.4}",
            fit.law, fit.scale, fit.mean_s, fit.log_likelihood, fit.aic, fit.ks
        )?;
    }
    print(&text)?;
    Ok(Outcome::Done)
}

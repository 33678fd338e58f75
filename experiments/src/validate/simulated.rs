//! Means over simulated trials, beside expectations that papers and independent programs give.

use std::path::Path;

use super::{Check, ValidateError};
use crate::plan::Plan;
use crate::run::costs;
use crate::spec::Spec;
use crate::stats::{Moments, Running};
use crate::trial;

const FIVE: &str = "Daly's complete model; C, SimPy, SimGrid, simcore and NumPy programs agree";

pub(super) fn checks() -> Result<Vec<Check>, ValidateError> {
    let mut checks = Vec::new();
    for (id, interval, mtbf, makespan_s, failures) in [
        ("A3", "1600s", "20000s", 1_088_282.8, 54.4),
        ("A4", "3125s", "86400s", 1_039_661.6, 12.03),
    ] {
        let sample = run(&format!(
            "trials = 10000\n[job]\nwork = \"1000000s\"\nfinal_checkpoint = true\n\
             [failures]\nlaw = \"exponential\"\nmtbf = \"{mtbf}\"\n\
             [checkpoint]\ncost = \"60s\"\nrestart = \"120s\"\n\
             [[policy]]\nkind = \"fixed\"\ninterval = \"{interval}\"\n"
        ))?;
        let of = |what: &str| {
            format!(
                "mean {what} of 10,000 trials, W = 1e6 s, τ = {interval}, C = 60 s, R = 120 s, M = {mtbf}"
            )
        };
        checks.push(covering(
            id,
            of("makespan (s)"),
            (makespan_s, 0.05),
            sample.makespan_s,
            FIVE,
        ));
        checks.push(covering(
            id,
            of("failures"),
            (failures, 0.05),
            sample.failures,
            FIVE,
        ));
    }
    for (mtbf, interval_min, hours) in [
        ("24h", 116.69, 547.9),
        ("6h", 56.71, 610.2),
        ("15min", 9.14, 2504.2),
    ] {
        let interval_ms = interval_min * 60_000.0;
        let sample = run(&format!(
            "trials = 2000\n[job]\nwork = \"500h\"\nfinal_checkpoint = true\n\
             [failures]\nlaw = \"exponential\"\nmtbf = \"{mtbf}\"\n\
             [checkpoint]\ncost = \"5min\"\nrestart = \"10min\"\n\
             [[policy]]\nkind = \"fixed\"\ninterval = \"{interval_ms:.0}ms\"\n"
        ))?;
        checks.push(covering(
            "A2",
            format!("mean makespan of 2,000 trials, W = 500 h, τ = {interval_min} min, C = 5 min, R = 10 min, M = {mtbf} (h)"),
            (hours, 0.05),
            scaled(sample.makespan_s, 1.0 / 3600.0),
            "Daly, FGCS 22(3), 2006, figs 3-5",
        ));
    }
    checks.push(pairs()?);
    Ok(checks)
}

/// 1,000 pairs of processes, each with a failure in 5 years, brought back at every checkpoint.
fn pairs() -> Result<Check, ValidateError> {
    const PROCESS_MTBF_S: f64 = 5.0 * 365.0 * 86_400.0;
    const WORK_S: f64 = 1e8;
    // M is that of all 2,000 processes together.
    let sample = run(&format!(
        "trials = 400\n[job]\nwork = \"{WORK_S}s\"\nfinal_checkpoint = true\n\
         replicas = {{ pairs = 1000, restart = \"at-checkpoints\" }}\n\
         [failures]\nlaw = \"exponential\"\nmtbf = \"{:.0}ms\"\n\
         [checkpoint]\ncost = \"600s\"\nrestart = \"600s\"\n\
         [limits]\nfailures = 1000000\n\
         [[policy]]\nkind = \"fixed\"\ninterval = \"223660s\"\n",
        PROCESS_MTBF_S / 2.0
    ))?;
    let overhead = Moments {
        mean: sample.makespan_s.mean / WORK_S - 1.0,
        ..scaled(sample.makespan_s, 1.0 / WORK_S)
    };
    Ok(covering(
        "A20",
        "mean overhead of 400 trials, 1,000 pairs, T = 223,660 s, C = 600 s".into(),
        (0.004_04, 0.000_05),
        overhead,
        "Benoit et al., SC'19; an independent Monte-Carlo program",
    ))
}

struct Sample {
    makespan_s: Moments,
    failures: Moments,
}

/// Runs all trials of a spec of one cell at level `model`.
fn run(spec: &str) -> Result<Sample, ValidateError> {
    let text = format!("name = \"validate\"\nseed = 1\nlevels = [\"model\"]\n{spec}");
    let spec = Spec::parse(&text, Path::new("validate"))?;
    let plan = Plan::new(&spec, &costs(&spec)?);
    let (mut makespan, mut failures) = (Running::default(), Running::default());
    for number in 0..plan.trials() {
        let outcome = trial::run(&plan, plan.item(number))?;
        makespan.add(outcome.makespan.as_secs_f64());
        failures.add(outcome.failures as f64);
    }
    Ok(Sample {
        makespan_s: moments(&makespan),
        failures: moments(&failures),
    })
}

fn moments(running: &Running) -> Moments {
    running.moments().unwrap_or(Moments {
        n: 0,
        mean: f64::NAN,
        sd: None,
        ci95: None,
    })
}

fn scaled(moments: Moments, by: f64) -> Moments {
    Moments {
        mean: moments.mean * by,
        sd: moments.sd.map(|sd| sd * by),
        ci95: moments.ci95.map(|(low, high)| (low * by, high * by)),
        ..moments
    }
}

/// A check that our confidence interval covers the expected number, which is known to within `rounding`.
fn covering(
    id: &'static str,
    quantity: String,
    (expected, rounding): (f64, f64),
    ours: Moments,
    source: &'static str,
) -> Check {
    let half = ours.ci95.map_or(0.0, |(low, high)| (high - low) / 2.0);
    Check::new(id, quantity, (expected, half + rounding), ours.mean, source)
}

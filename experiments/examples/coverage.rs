//! How often 95 % intervals hold the truth: means against the closed form, differences and ratios under common random numbers against
//! two of them, quantiles against a long run, and runs with a `precision`. Prints the table of `docs/experiments.md`.
//!
//! `cargo run --release -p revenant-experiments --example coverage`

#![allow(clippy::unwrap_used, reason = "an example that cannot go on has failed")]

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use revenant_core::clock::SystemClock;
use revenant_core::policy::Fixed;
use revenant_experiments::failures::{FailureStream, Kinds, Process};
use revenant_experiments::model::{Costs, ModelJob, Rules};
use revenant_experiments::seed::TrialSeed;
use revenant_experiments::spec::Limits;
use revenant_experiments::stats::{
    Running, RunningRatio, met_too_few, quantile_interval_ranks, quantile_rank,
};
use revenant_experiments::theory::Scenario;
use revenant_experiments::{RunOptions, Spec, run};

/// Samples of each size.
const SAMPLES: u32 = 2_000;
/// Trials of the long run that quantiles are held against.
const LONG: u32 = 400_000;
/// Runs with a precision.
const RUNS: u32 = 400;
const QUANTILES: [f64; 2] = [0.5, 0.95];

struct Case {
    what: &'static str,
    job: ModelJob,
    /// The interval between checkpoints, and the one it is compared with.
    intervals: [Duration; 2],
}

fn case(what: &'static str, work_h: u64, mtbf_h: u64, intervals_min: [u64; 2]) -> Case {
    let minute = Duration::from_mins(1);
    Case {
        what,
        job: ModelJob {
            work: Duration::from_hours(work_h),
            final_checkpoint: false,
            costs: Costs {
                checkpoint: minute,
                restart: minute,
                ..Costs::default()
            },
            mtbf: Duration::from_hours(mtbf_h),
            detection: Duration::ZERO,
            downtime: 10 * minute,
            limits: Limits {
                failures: 100_000,
                time: Duration::from_hours(1_000_000),
            },
            rules: Rules::default(),
        },
        intervals: intervals_min.map(Duration::from_mins),
    }
}

impl Case {
    /// Makespans in seconds of a trial under both intervals, and whether either met a failure.
    fn trial(&self, sample: u32, number: u32) -> ([f64; 2], bool) {
        let seed = TrialSeed::derive(u64::from(sample), number);
        let outcomes = self.intervals.map(|interval| {
            let failures = FailureStream::new(seed, &Process::EXPONENTIAL, self.job.mtbf, Kinds::default());
            self.job.run(Box::new(Fixed(interval)), seed, failures)
        });
        let met = outcomes.iter().any(|outcome| outcome.failures > 0);
        (outcomes.map(|outcome| outcome.makespan.as_secs_f64()), met)
    }

    fn expected_s(&self) -> [f64; 2] {
        let scenario = Scenario {
            work_s: self.job.work.as_secs_f64(),
            checkpoint_s: self.job.costs.checkpoint.as_secs_f64(),
            restart_s: self.job.costs.restart.as_secs_f64(),
            downtime_s: self.job.downtime.as_secs_f64(),
            mtbf_s: self.job.mtbf.as_secs_f64(),
            final_checkpoint: self.job.final_checkpoint,
        };
        self.intervals
            .map(|tau| scenario.expected_makespan_s(tau.as_secs_f64()))
    }
}

/// Of how many samples there was an interval, and how many of these held the truth.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    told: u32,
    held: u32,
}

impl Tally {
    fn add(&mut self, interval: Option<(f64, f64)>, truth: f64) {
        if let Some((low, high)) = interval {
            self.told += 1;
            self.held += u32::from(low <= truth && truth <= high);
        }
    }

    fn text(self, of: u32) -> String {
        match self.told {
            0 => "none".to_owned(),
            told if told == of => format!("{:.3}", f64::from(self.held) / f64::from(told)),
            told => format!(
                "{:.3} of the {:.0} % that have one",
                f64::from(self.held) / f64::from(told),
                100.0 * f64::from(told) / f64::from(of)
            ),
        }
    }
}

fn main() {
    let cases = [
        case("W = 100 h, M = 10 h", 100, 10, [35, 70]),
        case("W = 10 h, M = 24 h", 10, 24, [55, 110]),
        case("W = 10 h, M = 1000 h", 10, 1_000, [340, 170]),
    ];
    println!(
        "| job | n | mean | difference | ratio | median | 0.95 quantile |\n|---|---|---|---|---|---|---|"
    );
    for case in &cases {
        let mut long: Vec<f64> = (0..LONG)
            .map(|number| case.trial(u32::MAX, number).0[0])
            .collect();
        long.sort_by(f64::total_cmp);
        let truths = QUANTILES.map(|q| {
            let (rank, _) = quantile_rank(u64::from(LONG), q).unwrap();
            long[usize::try_from(rank).unwrap()]
        });
        for n in [10, 20, 100, 1_000] {
            row(case, n, truths);
        }
    }
    println!("\n| precision of 1 %, pilot of | trials | held |\n|---|---|---|");
    for pilot in [20, 100] {
        precision(pilot);
    }
}

fn row(case: &Case, n: u32, truths: [f64; 2]) {
    let [one, other] = case.expected_s();
    let mut tallies = [Tally::default(); 5];
    for sample in 0..SAMPLES {
        let (mut mean, mut ratio, mut met) = (Running::default(), RunningRatio::default(), 0);
        let mut makespans = Vec::new();
        for number in 0..n {
            let ([makespan, baseline], struck) = case.trial(sample, number);
            mean.add(makespan);
            ratio.add(makespan, baseline);
            makespans.push(makespan);
            met += u64::from(struck);
        }
        let tells = !met_too_few(met, u64::from(n));
        let ci95 = |running: &Running| {
            let moments = running.moments().filter(|_| tells)?;
            moments.ci95
        };
        tallies[0].add(ci95(&mean), one);
        tallies[1].add(ci95(ratio.difference()), one - other);
        tallies[2].add(ratio.ci95().filter(|_| tells), one / other);
        makespans.sort_by(f64::total_cmp);
        for (at, q) in QUANTILES.into_iter().enumerate() {
            let (low, high) = quantile_interval_ranks(u64::from(n), q);
            let value = |rank: u64| makespans[usize::try_from(rank - 1).unwrap()];
            let interval = low.zip(high).map(|(low, high)| (value(low), value(high)));
            tallies[3 + at].add(interval, truths[at]);
        }
    }
    let texts: Vec<String> = tallies.iter().map(|tally| tally.text(SAMPLES)).collect();
    println!("| {} | {n} | {} |", case.what, texts.join(" | "));
}

fn precision(pilot: u32) {
    let dir = tempfile::tempdir().unwrap();
    let mut tally = Tally::default();
    let mut trials = 0;
    for seed in 0..RUNS {
        let text = format!(
            "name = \"coverage\"\nseed = {seed}\ntrials = {pilot}\nlevels = [\"model\"]\n[precision]\nmakespan = 0.01\n[job]\n\
             work = \"10h\"\n[failures]\nlaw = \"exponential\"\nmtbf = \"1000h\"\ndowntime = \"20h\"\n[checkpoint]\ncost = \"1s\"\n\
             restart = \"1s\"\n[[policy]]\nkind = \"young\"\n"
        );
        let spec = Spec::parse(&text, Path::new("coverage.toml")).unwrap();
        let out = dir.path().join(seed.to_string());
        let options = RunOptions {
            out: out.clone(),
            jobs: 0,
            seed: None,
            trials: None,
            shard: None,
            resume: false,
            overwrite: false,
            command: Vec::new(),
        };
        run(
            &spec,
            &options,
            &SystemClock::new(),
            &mut |_| {},
            &AtomicBool::new(false),
        )
        .unwrap();
        let summary = std::fs::read_to_string(out.join("summary.csv")).unwrap();
        let mut reader = csv::Reader::from_reader(summary.as_bytes());
        let header = reader.headers().unwrap().clone();
        let row = reader.records().next().unwrap().unwrap();
        let field = |name: &str| {
            row[header.iter().position(|found| found == name).unwrap()]
                .parse::<f64>()
                .ok()
        };
        trials += row[header.iter().position(|found| found == "n").unwrap()]
            .parse::<u32>()
            .unwrap();
        let interval = field("makespan_ci95_lo_s").zip(field("makespan_ci95_hi_s"));
        tally.add(interval, field("theory_makespan_s").unwrap());
    }
    println!(
        "| {pilot} | {} on average | {} |",
        trials / RUNS,
        tally.text(RUNS)
    );
}

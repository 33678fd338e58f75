//! A run's folder as an experiment would leave it: closed forms, with seeded noise for the trials.

use std::fs;
use std::time::Duration;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::record::{SummaryRow, TheoryRow, header, line};
use crate::theory::{Scenario, waste};

#[derive(Debug, Clone)]
pub(in crate::plot) struct World {
    pub(in crate::plot) programs: Vec<&'static str>,
    pub(in crate::plot) mtbfs_s: Vec<f64>,
    pub(in crate::plot) intervals_s: Vec<f64>,
    pub(in crate::plot) policies: Vec<&'static str>,
    pub(in crate::plot) trials: u64,
    pub(in crate::plot) theory: bool,
    pub(in crate::plot) logs: bool,
}

impl Default for World {
    fn default() -> World {
        World {
            programs: vec!["hot-set"],
            mtbfs_s: vec![3600.0, 7200.0, 18_000.0],
            intervals_s: vec![60.0, 120.0, 240.0, 480.0, 960.0, 1920.0],
            policies: vec!["young", "daly-higher", "never"],
            trials: 2000,
            theory: true,
            logs: true,
        }
    }
}

/// Tables and logs, as text.
#[derive(Debug)]
pub(in crate::plot) struct Files {
    pub(in crate::plot) summary: String,
    pub(in crate::plot) theory: String,
    pub(in crate::plot) log: String,
}

impl World {
    /// Writes the folder.
    pub(in crate::plot) fn write(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let files = self.files();
        let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        put("summary.csv", &files.summary);
        if self.theory {
            put("theory.csv", &files.theory);
        }
        if self.logs {
            put("downtime.hlog", &files.log);
            put("recovery.hlog", &files.log);
        }
        folder
    }

    pub(in crate::plot) fn files(&self) -> Files {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut files = Files {
            summary: header::<SummaryRow>(),
            theory: header::<TheoryRow>(),
            log: "#[Histogram log format version 1.3]\n#[no values: 0.model]\n".to_owned(),
        };
        let mut point = 0;
        for (index, program) in self.programs.iter().enumerate() {
            for &mtbf_s in &self.mtbfs_s {
                let scenario = scenario(mtbf_s, index);
                for step in 0..120 {
                    let tau_s = 20.0 * libm::pow(300.0, f64::from(step) / 119.0);
                    files.theory += &theory_line(&scenario, "expected", Some(tau_s));
                }
                for (policy, interval_s) in self.cells(&scenario) {
                    if policy != "fixed" {
                        files.theory += &theory_line(&scenario, policy, interval_s);
                    }
                    for (level, n) in [("model", self.trials), ("sim", self.trials.min(30))] {
                        let row = SummaryRow {
                            point,
                            level: level.to_owned(),
                            policy: policy.to_owned(),
                            program: Some((*program).to_owned()),
                            interval_s,
                            n,
                            n_completed: n,
                            ..summary_row(&scenario, interval_s, n, rng.random_range(-1.0..1.0))
                        };
                        files.summary += &line(&row);
                        files.log += &log_line(point, level, &mut rng);
                    }
                    point += 1;
                }
            }
        }
        files
    }

    fn cells(&self, scenario: &Scenario) -> Vec<(&'static str, Option<f64>)> {
        let fixed = self.intervals_s.iter().map(|interval| ("fixed", Some(*interval)));
        let young_s = libm::sqrt(2.0 * scenario.checkpoint_s * scenario.mtbf_s);
        let chosen = self.policies.iter().map(|policy| match *policy {
            "never" => ("never", None),
            "young" => ("young", Some(young_s)),
            other => (other, Some(young_s - scenario.checkpoint_s / 2.0)),
        });
        fixed.chain(chosen).collect()
    }
}

fn scenario(mtbf_s: f64, program: usize) -> Scenario {
    Scenario {
        work_s: 18_000.0,
        checkpoint_s: 10.488_76 * (1.0 + program as f64),
        restart_s: 2.197,
        downtime_s: 30.0,
        mtbf_s,
        final_checkpoint: true,
    }
}

fn expected(scenario: &Scenario, interval_s: Option<f64>) -> (f64, f64) {
    match interval_s {
        Some(tau_s) => (
            scenario.expected_makespan_s(tau_s),
            scenario.expected_lost_s(tau_s),
        ),
        None => (
            scenario.expected_makespan_never_s(),
            scenario.expected_lost_never_s(),
        ),
    }
}

fn theory_line(scenario: &Scenario, curve: &str, interval_s: Option<f64>) -> String {
    let (makespan_s, lost_s) = expected(scenario, interval_s);
    line(&TheoryRow {
        experiment: "made-up".to_owned(),
        curve: curve.to_owned(),
        setting: String::new(),
        work_s: scenario.work_s,
        mtbf_s: scenario.mtbf_s,
        interval_s,
        checkpoint_s: scenario.checkpoint_s,
        restart_s: scenario.restart_s,
        downtime_s: scenario.downtime_s,
        makespan_s,
        waste: waste(scenario.work_s, makespan_s),
        lost_s,
    })
}

/// Statistics that miss the expectation by `noise` standard errors; a tenth of the excess is one standard deviation.
fn summary_row(scenario: &Scenario, interval_s: Option<f64>, n: u64, noise: f64) -> SummaryRow {
    let (makespan_s, lost_s) = expected(scenario, interval_s);
    let error_s = (makespan_s - scenario.work_s) / libm::sqrt(n as f64);
    let mean_s = makespan_s + noise * error_s;
    let lost_mean_s = (lost_s + noise * error_s / 2.0).max(0.0);
    let known = |value: f64| (n > 1).then_some(value);
    SummaryRow {
        experiment: "made-up".to_owned(),
        mtbf_s: scenario.mtbf_s,
        work_s: scenario.work_s,
        checkpoint_s: scenario.checkpoint_s,
        restart_s: scenario.restart_s,
        downtime_s: scenario.downtime_s,
        waste_mean: Some(waste(scenario.work_s, mean_s)),
        waste_ci95_lo: known(waste(scenario.work_s, mean_s - 2.0 * error_s)),
        waste_ci95_hi: known(waste(scenario.work_s, mean_s + 2.0 * error_s)),
        lost_mean_s: Some(lost_mean_s),
        lost_ci95_lo_s: known(lost_mean_s - error_s),
        lost_ci95_hi_s: known(lost_mean_s + error_s),
        theory_waste: Some(waste(scenario.work_s, makespan_s)),
        theory_lost_s: Some(lost_s),
        ..SummaryRow::default()
    }
}

fn log_line(point: u32, level: &str, rng: &mut ChaCha8Rng) -> String {
    let mut histogram = Histogram::<u64>::new(3).unwrap();
    for _ in 0..100 {
        let nanos = 32_000_000_000 + rng.random_range(0..4_000_000_000u64);
        histogram.record(nanos).unwrap();
    }
    let tag = format!("{point}.{level}");
    let (mut bytes, mut serializer) = (Vec::new(), V2DeflateSerializer::new());
    let builder = IntervalLogWriterBuilder::new();
    let mut writer = builder.begin_log_with(&mut bytes, &mut serializer).unwrap();
    writer
        .write_histogram(&histogram, Duration::ZERO, Duration::from_secs(1), Tag::new(&tag))
        .unwrap();
    String::from_utf8(bytes).unwrap()
}

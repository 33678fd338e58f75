//! Sample jobs of Google's cluster trace of 2011 with every failure that their tasks met, run again under checkpoints.
//!
//! Files and measured costs: GloudSim (Di and Cappello, Software: Practice and Experience 45(11), 2015). A task meets its recorded
//! failures, in processor time, and none after the last; costs follow from its memory; the workload-processing ratio (WPR) of a job is the
//! sum of its tasks' work over the sum of their wall-clock times (Di et al., SC'13).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use revenant_core::policy::{Di, Fixed, IntervalPolicy, Never, Seen, Young};

use super::{Check, ValidateError};
use crate::failures::{Failure, FailureKind};
use crate::model::{Costs, ModelJob, Rules};
use crate::seed::TrialSeed;
use crate::spec::Limits;

/// A file of the trace is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        #[source]
        source: std::io::Error,
    },
    /// A line that is none of this file.
    #[error("{}:{line}: found {found:?}, expected {expected}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// As found, the beginning of it.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
}

const LOGS: &str = "GloudSim's result logs; Di et al., SC'13, table 6";
const REPLAY: &str = "independent replay of the same files";
const ESTIMATED: &str = "GloudSim's result logs; Di et al., SC'13, figure 9";

/// Nothing, if the folder is not there.
pub(super) fn checks(folder: &Path) -> Result<Vec<Check>, ValidateError> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let costs = MeasuredCosts::read(folder)?;
    let mut checks = Vec::new();
    let mut samples = BTreeMap::new();
    for (sample, di, young, none, di_log, young_log) in [
        ("single", 0.9497, 0.9371, 0.726, 0.9482, 0.9379),
        ("batch", 0.9577, 0.9519, 0.729, 0.9603, 0.9544),
        ("mix", 0.9499, 0.9381, 0.727, 0.9494, 0.9393),
    ] {
        let jobs = read_jobs(folder, sample)?;
        let wpr = |inputs| mean_wpr(&jobs, &costs, inputs);
        let (our_di, our_young) = (wpr(Plan::DiExact), wpr(Plan::YoungExact));
        let of = |policy: &str| format!("WPR of the {sample} sample, {policy}");
        checks.extend([
            Check::new("A10", of("formula (3), exact inputs"), (di, 1e-4), our_di, REPLAY),
            Check::new("A10", of("Young, exact inputs"), (young, 1e-4), our_young, REPLAY),
            Check::new(
                "A10",
                of("no checkpoints"),
                (none, 5e-4),
                wpr(Plan::Never),
                REPLAY,
            ),
            Check::new(
                "A10",
                of("formula (3), exact inputs"),
                (di_log, 0.006),
                our_di,
                LOGS,
            ),
            Check::new(
                "A10",
                of("Young, exact inputs"),
                (young_log, 0.006),
                our_young,
                LOGS,
            ),
        ]);
        samples.insert(sample, jobs);
    }
    checks.extend(by_priority(&samples, &costs));
    checks.extend(table_7(&samples));
    checks.extend(short_intervals(&samples));
    Ok(checks)
}

fn by_priority(samples: &BTreeMap<&str, Vec<Job>>, costs: &MeasuredCosts) -> Vec<Check> {
    const WHY: &str =
        "unexplained: neither estimates by priority from the sample nor those of SC'13, table 7, give it";
    [
        ("single", Plan::DiByPriority, "formula (3)", 0.9453),
        ("batch", Plan::DiByPriority, "formula (3)", 0.9551),
        ("single", Plan::YoungByPriority, "Young", 0.9192),
        ("batch", Plan::YoungByPriority, "Young", 0.9151),
    ]
    .into_iter()
    .map(|(sample, plan, policy, wanted)| {
        Check::new(
            "A11",
            format!("WPR of the {sample} sample, {policy}, inputs estimated by priority"),
            (wanted, 0.003),
            mean_wpr(&samples[sample], costs, plan),
            ESTIMATED,
        )
        .but(WHY)
    })
    .collect()
}

/// Mean number of failures of a task and mean time between them, by priority and length.
fn table_7(samples: &BTreeMap<&str, Vec<Job>>) -> Vec<Check> {
    const FILE: &str = "independent count of the same files";
    const PAPER: &str = "Di et al., SC'13, table 7 (its columns look swapped against the files)";
    let mut checks = Vec::new();
    for (sample, priority, longest, longest_s, failures, mtbf_s, source) in [
        ("mix", 2, "to 1,000 s", 1e3, 1.06, 179.1, FILE),
        ("mix", 2, "to 3,600 s", 3.6e3, 1.08, 398.0, FILE),
        ("mix", 2, "of any length", f64::MAX, 1.27, 4740.0, FILE),
        ("mix", 10, "of any length", f64::MAX, 9.59, 47.5, FILE),
        ("single", 2, "to 1,000 s", 1e3, 1.06, 179.0, PAPER),
        ("single", 7, "of any length", f64::MAX, 1.0, 198.0, PAPER),
        ("single", 10, "to 1,000 s", 1e3, 4.5, 41.0, PAPER),
    ] {
        let tasks = samples[sample].iter().filter(|job| job.priority + 1 == priority);
        let seen = Estimate::of(
            tasks
                .flat_map(|job| &job.tasks)
                .filter(|task| task.work_s() <= longest_s),
        );
        let of = |what: &str| format!("{what}, {sample} sample, priority {priority}, tasks {longest}");
        checks.push(Check::new(
            "A12",
            of("failures a task"),
            (failures, 0.005),
            seen.failures,
            source,
        ));
        let tolerance = if source == PAPER { 0.5 } else { 0.05 };
        checks.push(Check::new(
            "A12",
            of("time between failures (s)"),
            (mtbf_s, tolerance),
            seen.mtbf_s,
            source,
        ));
    }
    checks
}

fn short_intervals(samples: &BTreeMap<&str, Vec<Job>>) -> Vec<Check> {
    [("batch", 63.7), ("mix", 65.3), ("single", 71.3)]
        .into_iter()
        .map(|(sample, wanted)| {
            let tasks = samples[sample].iter().flat_map(|job| &job.tasks);
            let (mut short, mut all) = (0u32, 0u32);
            for &interval in tasks.flat_map(|task| &task.intervals_s) {
                all += 1;
                short += u32::from(interval < 1000.0);
            }
            Check::new(
                "A13",
                format!("intervals without a failure below 1,000 s, {sample} sample (%)"),
                (wanted, 0.1),
                100.0 * f64::from(short) / f64::from(all),
                "Di et al., SC'13, figure 5: more than 63 %",
            )
        })
        .collect()
}

#[derive(Debug)]
struct Task {
    memory_mb: f64,
    /// Processor time between failures; the last ends with the task.
    intervals_s: Vec<f64>,
}

#[derive(Debug)]
struct Job {
    /// 0 to 11; papers print one more.
    priority: u32,
    tasks: Vec<Task>,
}

impl Task {
    fn work_s(&self) -> f64 {
        self.intervals_s.iter().sum()
    }

    /// All that end in a failure.
    fn gaps_s(&self) -> &[f64] {
        &self.intervals_s[..self.intervals_s.len() - 1]
    }
}

/// What a policy is told of a task.
#[derive(Debug, Clone, Copy)]
struct Estimate {
    failures: f64,
    mtbf_s: f64,
}

impl Estimate {
    fn of<'a>(tasks: impl Iterator<Item = &'a Task>) -> Estimate {
        let (mut count, mut failures, mut gaps_s) = (0.0, 0.0, 0.0);
        for task in tasks {
            count += 1.0;
            failures += task.gaps_s().len() as f64;
            gaps_s += task.gaps_s().iter().sum::<f64>();
        }
        Estimate {
            failures: failures / count,
            mtbf_s: gaps_s / failures,
        }
    }
}

/// How checkpoints are planned, and from what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    Never,
    DiExact,
    YoungExact,
    DiByPriority,
    YoungByPriority,
}

fn mean_wpr(jobs: &[Job], costs: &MeasuredCosts, plan: Plan) -> f64 {
    let mut priorities: BTreeMap<u32, Vec<&Task>> = BTreeMap::new();
    for job in jobs {
        priorities.entry(job.priority).or_default().extend(&job.tasks);
    }
    let by_priority: BTreeMap<u32, Estimate> = priorities
        .into_iter()
        .map(|(priority, tasks)| (priority, Estimate::of(tasks.into_iter())))
        .collect();
    let ratios = jobs.iter().map(|job| {
        let (mut work_s, mut wall_s) = (0.0, 0.0);
        for task in &job.tasks {
            let estimate = match plan {
                Plan::DiByPriority | Plan::YoungByPriority => by_priority[&job.priority],
                _ => Estimate::of(std::iter::once(task)),
            };
            work_s += task.work_s();
            wall_s += wall_clock(task, costs.of(task.memory_mb), plan, estimate).as_secs_f64();
        }
        work_s / wall_s
    });
    ratios.sum::<f64>() / jobs.len() as f64
}

/// Runs a task through the model's protect loop.
fn wall_clock(task: &Task, costs: Costs, plan: Plan, estimate: Estimate) -> Duration {
    let work = Duration::from_secs_f64(task.work_s());
    let mtbf = Duration::try_from_secs_f64(estimate.mtbf_s).unwrap_or(Duration::MAX);
    let policy: Box<dyn IntervalPolicy> = if estimate.failures <= 0.0 {
        Box::new(Never)
    } else {
        match plan {
            Plan::Never => Box::new(Never),
            Plan::DiExact | Plan::DiByPriority => Box::new(Di {
                work,
                failures: Some(estimate.failures),
            }),
            // Young's interval from the estimate, for all of the task.
            Plan::YoungExact | Plan::YoungByPriority => {
                let seen = Seen {
                    checkpoint_cost: costs.checkpoint,
                    restart_cost: costs.restart,
                    mtbf,
                    since_failure: Duration::ZERO,
                    failures: 0,
                    at_risk: Duration::ZERO,
                };
                Young.interval(&seen).map_or_else(
                    || Box::new(Never) as Box<dyn IntervalPolicy>,
                    |tau| Box::new(Fixed(tau)),
                )
            }
        }
    };
    let job = ModelJob {
        work,
        final_checkpoint: false,
        costs,
        mtbf,
        detection: Duration::ZERO,
        downtime: Duration::ZERO,
        limits: Limits {
            failures: u32::MAX,
            time: Duration::from_hours(24 * 365 * 100),
        },
        rules: Rules::default(),
    };
    let mut gaps = task.gaps_s().iter();
    let mut next = || Failure {
        gap: gaps.next().map_or(NEVER, |&gap| Duration::from_secs_f64(gap)),
        kind: FailureKind::GuestCrash,
    };
    job.observe(policy, TrialSeed(0), &mut next, None).makespan
}

/// Longer than any task.
const NEVER: Duration = Duration::from_hours(24 * 365 * 200);

/// Checkpoint and restart through NFS by memory, as measured.
#[derive(Debug)]
struct MeasuredCosts {
    checkpoint: Vec<(f64, f64)>,
    restart: Vec<(f64, f64)>,
}

impl MeasuredCosts {
    fn read(folder: &Path) -> Result<MeasuredCosts, TraceError> {
        let table = |name: &str| -> Result<Vec<(f64, f64)>, TraceError> {
            let path = folder.join("cost").join(name);
            let mut points = Vec::new();
            for (line, text) in lines(&path)? {
                let numbers: Option<Vec<f64>> =
                    text.split_whitespace().map(|word| word.parse().ok()).collect();
                match numbers.as_deref() {
                    Some([_, memory_mb, seconds]) if *seconds >= 0.0 => points.push((*memory_mb, *seconds)),
                    _ => return Err(bad(&path, line, &text, "a number, megabytes, seconds")),
                }
            }
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            if points.is_empty() {
                return Err(bad(&path, 1, "", "a number, megabytes, seconds"));
            }
            Ok(points)
        };
        Ok(MeasuredCosts {
            checkpoint: table("nfs-cp.cost")?,
            restart: table("nfs-restart.cost")?,
        })
    }

    /// The authors take sizes below 10 MB for 10 MB, and above 200 MB for 200 MB.
    fn of(&self, memory_mb: f64) -> Costs {
        let memory_mb = memory_mb.clamp(10.0, 200.0);
        Costs {
            checkpoint: Duration::from_secs_f64(at(&self.checkpoint, memory_mb)),
            restart: Duration::from_secs_f64(at(&self.restart, memory_mb)),
            ..Costs::default()
        }
    }
}

/// Linear between points, flat beyond the ends.
fn at(points: &[(f64, f64)], x: f64) -> f64 {
    let above = points.partition_point(|point| point.0 < x);
    match (above.checked_sub(1).map(|below| points[below]), points.get(above)) {
        (Some(below), Some(above)) => below.1 + (above.1 - below.1) * (x - below.0) / (above.0 - below.0),
        (Some(end), None) | (None, Some(&end)) => end.1,
        (None, None) => 0.0,
    }
}

/// Jobs in the order of the file; memory sizes are in the order of the tasks, and a task more than sizes has the smallest.
fn read_jobs(folder: &Path, sample: &str) -> Result<Vec<Job>, TraceError> {
    let memory = folder.join(format!("{sample}-mem.txt"));
    let mut sizes = Vec::new();
    for (line, text) in lines(&memory)? {
        match text.trim().parse::<f64>() {
            Ok(size) if size.is_finite() => sizes.push(size),
            _ => return Err(bad(&memory, line, &text, "megabytes")),
        }
    }
    let mut sizes = sizes.into_iter();
    let path = folder.join(format!("jobTrace-{sample}-dec.dat"));
    let (mut jobs, mut priority) = (Vec::<Job>::new(), None);
    for (line, text) in lines(&path)? {
        let words: Vec<&str> = text.split_whitespace().collect();
        let number = |word: &str| {
            word.parse::<f64>()
                .ok()
                .filter(|number| number.is_finite() && *number >= 0.0)
        };
        let first = words.first().copied().unwrap_or_default();
        let done = if first.starts_with("jtMeanLength=") || first.is_empty() {
            Some(())
        } else if first.starts_with("pjcMeanLength=") {
            priority = words
                .iter()
                .find_map(|word| word.strip_prefix("priority="))
                .and_then(|text| text.parse().ok());
            priority.map(|_| ())
        } else if first.starts_with("jobID:") {
            priority.map(|priority| {
                jobs.push(Job {
                    priority,
                    tasks: Vec::new(),
                });
            })
        } else if first.starts_with("btMeanLength=") {
            jobs.last_mut().map(|job| {
                job.tasks.push(Task {
                    memory_mb: sizes.next().unwrap_or(0.0),
                    intervals_s: Vec::new(),
                });
            })
        } else {
            let task = jobs.last_mut().and_then(|job| job.tasks.last_mut());
            match (task, words.as_slice()) {
                (Some(task), [_, _, _, length]) => number(length).map(|length| task.intervals_s.push(length)),
                _ => None,
            }
        };
        done.ok_or_else(|| {
            bad(
                &path,
                line,
                &text,
                "a priority, job, task or interval of GloudSim's job trace",
            )
        })?;
    }
    // What has no interval never ran.
    for job in &mut jobs {
        job.tasks.retain(|task| task.work_s() > 0.0);
    }
    jobs.retain(|job| !job.tasks.is_empty());
    if jobs.is_empty() {
        return Err(bad(&path, 1, "", "jobs"));
    }
    Ok(jobs)
}

fn lines(path: &Path) -> Result<Vec<(usize, String)>, TraceError> {
    let text = fs::read_to_string(path).map_err(|source| TraceError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.to_owned()))
        .collect())
}

fn bad(path: &Path, line: usize, found: &str, expected: &'static str) -> TraceError {
    const SHOWN: usize = 60;
    TraceError::Line {
        path: path.to_owned(),
        line,
        found: found.chars().take(SHOWN).collect(),
        expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOBS: &str = "jtMeanLength=1\n  pjcMeanLength=2 priority=1\n    jobID:7 mkspan=1\n      btMeanLength=100.0 sTime=0\n\
        \x20       0 0.0 100.0 100.0\n        0 101.0 150.0 50.0\n";

    fn folder(jobs: &str, costs: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("cost")).unwrap();
        for (name, text) in [
            ("cost/nfs-cp.cost", costs),
            ("cost/nfs-restart.cost", "1 0 2\n"),
            ("x-mem.txt", "20\n"),
            ("jobTrace-x-dec.dat", jobs),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    /// 150 s of work, one failure after 100 s; C = 1 s, R = 2 s, worked by hand.
    #[test]
    fn a_task_is_replayed_as_by_hand() {
        let folder = folder(JOBS, "1 10 0.5\n2 30 1.5\n");
        let costs = MeasuredCosts::read(folder.path()).unwrap();
        let jobs = read_jobs(folder.path(), "x").unwrap();
        let wpr = |plan| mean_wpr(&jobs, &costs, plan);
        // All is lost: 100 + 2 + 150.
        assert!((wpr(Plan::Never) - 150.0 / 252.0).abs() < 1e-9);
        // x = sqrt(150 / 2) = 8.66: of 8 and 9 intervals 9 cost less, 16.67 s each; five are committed within 100 s, at 88.33 s;
        // 11.67 s are lost, then 4 more intervals with 3 checkpoints.
        let wall_s = 100.0 + 2.0 + 4.0 * 150.0 / 9.0 + 3.0;
        assert!(
            (wpr(Plan::DiExact) - 150.0 / wall_s).abs() < 1e-6,
            "{}",
            wpr(Plan::DiExact)
        );
    }

    #[test]
    fn rubbish_is_refused_with_its_line() {
        let complain = |jobs: &str, costs: &str| {
            let folder = folder(jobs, costs);
            let complaint = MeasuredCosts::read(folder.path())
                .and_then(|_| read_jobs(folder.path(), "x"))
                .unwrap_err()
                .to_string();
            complaint.replace(&format!("{}/", folder.path().display()), "")
        };
        assert_eq!(
            complain(JOBS, "1 10 x\n"),
            "cost/nfs-cp.cost:1: found \"1 10 x\", expected a number, megabytes, seconds"
        );
        assert_eq!(
            complain("0 1 2 3\n", "1 10 1\n"),
            "jobTrace-x-dec.dat:1: found \"0 1 2 3\", expected a priority, job, task or interval of GloudSim's job trace"
        );
        assert!(complain("", "1 10 1\n").contains("expected jobs"));
        assert!(complain(&JOBS.replace("50.0", "-5"), "1 10 1\n").contains("dat:6: found"));
    }
}

//! ③ Rows: one struct, one line. Header, column order and units derive from the structs.
//!
//! Units are in the names (`_s`: seconds). Floats are written in the shortest form that reads back as the same
//! number. A cell that does not apply, or is not known because the trial was given up, is empty, never zero.
//! Columns are described in `docs/experiments.md`.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::cluster::{ClusterOutcome, JobRecord};
use crate::outcome::{End, Outcome};
use crate::plan::{Cell, Plan, WorkItem};
use crate::seed::TrialSeed;
use crate::theory;

/// A line of `trials.csv`: one trial.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TrialRow {
    /// Name of the experiment.
    pub experiment: String,
    /// Number of the point; the same at each level.
    pub point: u32,
    /// `model` or `sim`.
    pub level: String,
    /// Kind of policy.
    pub policy: String,
    /// Guest program; empty without a guest.
    pub program: Option<String>,
    /// Law of the times between failures.
    pub law: String,
    /// Its shape, where it has one.
    pub shape: Option<f64>,
    /// Nodes whose failures strike the job.
    pub nodes: u64,
    /// `key=value` of swept keys without a column of their own, joined by `;`.
    pub setting: String,
    /// Mean time between failures (M).
    pub mtbf_s: f64,
    /// Nominal interval τ, the checkpoint's cost left out; empty for `never`.
    pub interval_s: Option<f64>,
    /// Work of the job (W).
    pub work_s: f64,
    /// Nominal checkpoint cost (C).
    pub checkpoint_s: f64,
    /// Nominal restart cost (R).
    pub restart_s: f64,
    /// Detection and downtime together (D).
    pub downtime_s: f64,
    /// Number of the trial within its cell.
    pub trial: u32,
    /// Seed of the trial; the same for this number in every cell.
    pub seed: u64,
    /// The work was done.
    pub completed: bool,
    /// Why not.
    pub reason: Option<String>,
    /// From the start to the end of the work.
    pub makespan_s: Option<f64>,
    /// Work that the result rests on.
    pub useful_s: Option<f64>,
    /// Time the guest did not work because of checkpoints.
    pub checkpoint_time_s: Option<f64>,
    /// Work thrown away by failures.
    pub lost_s: Option<f64>,
    /// Time in restores.
    pub restart_time_s: Option<f64>,
    /// Time in detection and downtime.
    pub down_s: Option<f64>,
    /// Failures that struck.
    pub failures: u64,
    /// Committed checkpoints.
    pub checkpoints: u64,
    /// 1 − work / makespan.
    pub waste: Option<f64>,
    /// The guest's memory at the end is what its program computes; empty at level `model`.
    pub digest_ok: Option<bool>,
}

/// A line of `summary.csv`: one cell.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SummaryRow {
    /// Name of the experiment.
    pub experiment: String,
    /// Number of the point.
    pub point: u32,
    /// `model` or `sim`.
    pub level: String,
    /// Kind of policy.
    pub policy: String,
    /// Guest program.
    pub program: Option<String>,
    /// Law of the times between failures.
    pub law: String,
    /// Its shape, where it has one.
    pub shape: Option<f64>,
    /// Nodes whose failures strike the job.
    pub nodes: u64,
    /// `key=value` of swept keys without a column of their own, joined by `;`.
    pub setting: String,
    /// Mean time between failures (M).
    pub mtbf_s: f64,
    /// Nominal interval τ.
    pub interval_s: Option<f64>,
    /// Work of the job (W).
    pub work_s: f64,
    /// Nominal checkpoint cost (C).
    pub checkpoint_s: f64,
    /// Nominal restart cost (R).
    pub restart_s: f64,
    /// Detection and downtime together (D).
    pub downtime_s: f64,
    /// Trials.
    pub n: u64,
    /// Trials whose work was done. Where that is fewer, means of times are empty: they would flatter.
    pub n_completed: u64,
    /// Mean number of failures, over all trials.
    pub failures_mean: Option<f64>,
    /// Mean number of committed checkpoints, over all trials.
    pub checkpoints_mean: Option<f64>,
    /// Mean makespan.
    pub makespan_mean_s: Option<f64>,
    /// Standard deviation of the makespan.
    pub makespan_sd_s: Option<f64>,
    /// Low end of the 95 % confidence interval of the mean makespan (Student's t).
    pub makespan_ci95_lo_s: Option<f64>,
    /// High end.
    pub makespan_ci95_hi_s: Option<f64>,
    /// Waste at the mean makespan, 1 − work / mean makespan: what the closed form is an expectation of. (The mean of the
    /// trials' wastes is lower, the more they spread.)
    pub waste_mean: Option<f64>,
    /// Standard deviation of the trials' wastes.
    pub waste_sd: Option<f64>,
    /// Waste at the low end of the mean makespan's confidence interval.
    pub waste_ci95_lo: Option<f64>,
    /// Waste at its high end.
    pub waste_ci95_hi: Option<f64>,
    /// Median waste; trials given up count as the most wasteful.
    pub waste_median: Option<f64>,
    /// Low end of the 95 % confidence interval of the median, between order statistics.
    pub waste_median_ci95_lo: Option<f64>,
    /// High end.
    pub waste_median_ci95_hi: Option<f64>,
    /// 5 % quantile of the waste.
    pub waste_p05: Option<f64>,
    /// 95 % quantile of the waste.
    pub waste_p95: Option<f64>,
    /// Low end of the 95 % confidence interval of the 95 % quantile, between order statistics.
    pub waste_p95_ci95_lo: Option<f64>,
    /// High end; empty where the sample is too small to have one.
    pub waste_p95_ci95_hi: Option<f64>,
    /// Mean work lost.
    pub lost_mean_s: Option<f64>,
    /// Low end of the 95 % confidence interval of the mean work lost.
    pub lost_ci95_lo_s: Option<f64>,
    /// High end.
    pub lost_ci95_hi_s: Option<f64>,
    /// Expected makespan by the closed form.
    pub theory_makespan_s: Option<f64>,
    /// 1 − work / expected makespan.
    pub theory_waste: Option<f64>,
    /// Expected work lost by the closed form.
    pub theory_lost_s: Option<f64>,
    /// Mean makespan / expected makespan − 1.
    pub rel_err: Option<f64>,
}

/// A line of `paired.csv`: a cell beside the baseline of its group, trial by trial.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PairedRow {
    /// Name of the experiment.
    pub experiment: String,
    /// `model` or `sim`.
    pub level: String,
    /// Guest program.
    pub program: Option<String>,
    /// Law of the times between failures.
    pub law: String,
    /// Its shape.
    pub shape: Option<f64>,
    /// Nodes whose failures strike the job.
    pub nodes: u64,
    /// Swept keys without a column of their own.
    pub setting: String,
    /// Mean time between failures (M).
    pub mtbf_s: f64,
    /// Work of the job (W).
    pub work_s: f64,
    /// Nominal checkpoint cost (C).
    pub checkpoint_s: f64,
    /// Nominal restart cost (R).
    pub restart_s: f64,
    /// Detection and downtime together (D).
    pub downtime_s: f64,
    /// Policy of the cell.
    pub policy: String,
    /// Its nominal interval τ.
    pub interval_s: Option<f64>,
    /// Policy it is held against.
    pub baseline_policy: String,
    /// That one's nominal interval.
    pub baseline_interval_s: Option<f64>,
    /// Pairs.
    pub n: u64,
    /// Pairs of which both were completed. Where that is fewer, the comparison is empty.
    pub n_completed: u64,
    /// Mean of makespan − makespan under the baseline.
    pub makespan_diff_mean_s: Option<f64>,
    /// Low end of its 95 % confidence interval (Student's t).
    pub makespan_diff_ci95_lo_s: Option<f64>,
    /// High end.
    pub makespan_diff_ci95_hi_s: Option<f64>,
    /// Mean makespan / mean makespan under the baseline.
    pub ratio_mean: Option<f64>,
    /// Low end of its 95 % confidence interval (delta method).
    pub ratio_ci95_lo: Option<f64>,
    /// High end.
    pub ratio_ci95_hi: Option<f64>,
}

/// A line of `theory.csv`: a point of a curve.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TheoryRow {
    /// Name of the experiment.
    pub experiment: String,
    /// `expected` for the dense curve, or the policy whose own interval this is.
    pub curve: String,
    /// `key=value` of swept keys without a column of their own, joined by `;`.
    pub setting: String,
    /// Work of the job (W).
    pub work_s: f64,
    /// Mean time between failures (M).
    pub mtbf_s: f64,
    /// Interval τ; empty for `never`.
    pub interval_s: Option<f64>,
    /// Checkpoint cost (C).
    pub checkpoint_s: f64,
    /// Restart cost (R).
    pub restart_s: f64,
    /// Detection and downtime together (D).
    pub downtime_s: f64,
    /// Expected makespan.
    pub makespan_s: f64,
    /// 1 − work / expected makespan.
    pub waste: f64,
    /// Expected work lost.
    pub lost_s: f64,
}

impl TrialRow {
    /// The row of a trial.
    pub fn new(plan: &Plan, item: WorkItem, outcome: &Outcome) -> TrialRow {
        let mut row = TrialRow::of(plan, &plan.cells[item.cell]);
        row.fill(item.trial, plan.seed(item.trial), outcome);
        row
    }

    /// What all rows of a cell have in common.
    pub(crate) fn of(plan: &Plan, cell: &Cell) -> TrialRow {
        let identity = Identity::of(plan, cell);
        TrialRow {
            experiment: identity.experiment,
            point: cell.point,
            level: cell.level.name().to_owned(),
            policy: cell.policy.to_string(),
            program: cell.program.map(|program| program.name().to_owned()),
            law: identity.law,
            shape: identity.shape,
            nodes: identity.nodes,
            setting: identity.setting,
            mtbf_s: identity.mtbf_s,
            interval_s: identity.interval_s,
            work_s: identity.work_s,
            checkpoint_s: identity.checkpoint_s,
            restart_s: identity.restart_s,
            downtime_s: identity.downtime_s,
            ..TrialRow::default()
        }
    }

    /// Makes a row of the cell that of one trial.
    pub(crate) fn fill(&mut self, trial: u32, seed: TrialSeed, outcome: &Outcome) {
        let (completed, reason) = match &outcome.end {
            End::Completed => (true, None),
            End::GivenUp(reason) => (false, Some(reason.to_string())),
        };
        let known = |duration: std::time::Duration| completed.then_some(duration.as_secs_f64());
        self.trial = trial;
        self.seed = seed.0;
        self.completed = completed;
        self.reason = reason;
        self.makespan_s = known(outcome.makespan);
        self.useful_s = known(outcome.useful);
        self.checkpoint_time_s = known(outcome.checkpointing);
        self.lost_s = known(outcome.lost);
        self.restart_time_s = known(outcome.restarting);
        self.down_s = known(outcome.down);
        self.failures = outcome.failures;
        self.checkpoints = outcome.checkpoints;
        self.waste = match &outcome.cluster {
            Some(cluster) => cluster.waste.filter(|_| completed),
            None => self
                .makespan_s
                .map(|makespan_s| theory::waste(self.work_s, makespan_s)),
        };
        self.digest_ok = outcome.digest_ok;
    }
}

impl SummaryRow {
    /// The row of a cell, with nothing in it yet.
    pub(crate) fn of(plan: &Plan, cell: &Cell) -> SummaryRow {
        let identity = Identity::of(plan, cell);
        SummaryRow {
            experiment: identity.experiment,
            point: cell.point,
            level: cell.level.name().to_owned(),
            policy: cell.policy.to_string(),
            program: cell.program.map(|program| program.name().to_owned()),
            law: identity.law,
            shape: identity.shape,
            nodes: identity.nodes,
            setting: identity.setting,
            mtbf_s: identity.mtbf_s,
            interval_s: identity.interval_s,
            work_s: identity.work_s,
            checkpoint_s: identity.checkpoint_s,
            restart_s: identity.restart_s,
            downtime_s: identity.downtime_s,
            ..SummaryRow::default()
        }
    }
}

/// What a line of `cluster.csv` begins with; what the cluster came to ([`ClusterOutcome`]) follows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ClusterRow {
    /// Name of the experiment.
    pub experiment: String,
    /// Number of the point.
    pub point: u32,
    /// Kind of policy.
    pub policy: String,
    /// `key=value` of swept keys without a column of their own, joined by `;`.
    pub setting: String,
    /// Mean time between failures of a host (M).
    pub mtbf_s: f64,
    /// Nominal interval τ of a lone job.
    pub interval_s: Option<f64>,
    /// Number of the trial within its cell.
    pub trial: u32,
    /// Seed of the trial.
    pub seed: u64,
    /// Every job is done.
    pub completed: bool,
    /// Why not.
    pub reason: Option<String>,
}

impl ClusterRow {
    /// The header of `cluster.csv`.
    pub fn header() -> String {
        joined(&header::<ClusterRow>(), &header::<ClusterOutcome>())
    }

    /// The line of a trial whose row of `trials.csv` is `row`.
    pub fn line(row: &TrialRow, outcome: &ClusterOutcome) -> String {
        let own = ClusterRow {
            experiment: row.experiment.clone(),
            point: row.point,
            policy: row.policy.clone(),
            setting: row.setting.clone(),
            mtbf_s: row.mtbf_s,
            interval_s: row.interval_s,
            trial: row.trial,
            seed: row.seed,
            completed: row.completed,
            reason: row.reason.clone(),
        };
        joined(&line(&own), &line(outcome))
    }
}

/// Two lines as one.
fn joined(first: &str, second: &str) -> String {
    format!("{},{second}", first.trim_end_matches('\n'))
}

/// A line of `jobs.csv`: a job of a trial at level `cluster`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct JobRow {
    /// Number of the point.
    pub point: u32,
    /// Number of the trial within its cell.
    pub trial: u32,
    /// In the order of submission, from 0.
    pub job: u64,
    /// When it was submitted.
    pub submit_s: f64,
    /// When it first got its hosts; empty if it never did.
    pub start_s: Option<f64>,
    /// When it ended.
    pub end_s: f64,
    /// Its work was done.
    pub completed: bool,
    /// Why not.
    pub reason: Option<String>,
    /// Its work.
    pub work_s: f64,
    /// Slots it took.
    pub slots: u32,
    /// Memory of all its VMs.
    pub memory_bytes: u64,
    /// Time it waited for hosts, at first and after failures.
    pub wait_s: f64,
    /// Time it stood still for checkpoints.
    pub checkpoint_time_s: f64,
    /// Work that failures threw away.
    pub lost_s: f64,
    /// Time in restarts.
    pub restart_time_s: f64,
    /// Time from failures until a restart was possible.
    pub down_s: f64,
    /// Failures that struck it.
    pub failures: u32,
    /// Committed checkpoints.
    pub checkpoints: u64,
    /// Time in the system over work, bounded.
    pub slowdown: f64,
}

impl JobRow {
    /// The row of a job.
    pub fn new(point: u32, trial: u32, job: &JobRecord) -> JobRow {
        let seconds = |nanos: u64| std::time::Duration::from_nanos(nanos).as_secs_f64();
        let reason = job.how.reason();
        JobRow {
            point,
            trial,
            job: job.number,
            submit_s: seconds(job.submit),
            start_s: job.started.map(seconds),
            end_s: seconds(job.end),
            completed: reason.is_none(),
            reason: reason.map(|reason| reason.to_string()),
            work_s: seconds(job.work),
            slots: job.slots,
            memory_bytes: job.memory,
            wait_s: seconds(job.waiting),
            checkpoint_time_s: seconds(job.checkpointing),
            lost_s: seconds(job.lost),
            restart_time_s: seconds(job.restarting),
            down_s: seconds(job.down),
            failures: job.failures,
            checkpoints: job.checkpoints,
            slowdown: job.slowdown(),
        }
    }
}

/// What every row of a cell says of the cell.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub experiment: String,
    pub law: String,
    pub shape: Option<f64>,
    pub nodes: u64,
    pub setting: String,
    pub mtbf_s: f64,
    pub interval_s: Option<f64>,
    pub work_s: f64,
    pub checkpoint_s: f64,
    pub restart_s: f64,
    pub downtime_s: f64,
}

impl Identity {
    pub(crate) fn of(plan: &Plan, cell: &Cell) -> Identity {
        let (scenario, setting) = (plan.scenario(cell), plan.setting(cell));
        Identity {
            experiment: plan.spec.name.clone(),
            law: setting.failures.process.name(),
            shape: setting.failures.process.shape(),
            nodes: setting.failures.process.nodes(),
            setting: setting.name.clone(),
            mtbf_s: scenario.mtbf_s,
            interval_s: cell.interval.map(|interval| interval.as_secs_f64()),
            work_s: scenario.work_s,
            checkpoint_s: scenario.checkpoint_s,
            restart_s: scenario.restart_s,
            downtime_s: scenario.downtime_s,
        }
    }
}

/// The header line of a file of such rows, with its line feed.
pub fn header<R: Serialize + Default>() -> String {
    let both = encode(&[R::default()], true);
    both.split_inclusive('\n').next().unwrap_or_default().to_owned()
}

/// Rows as lines, each with its line feed; one writer for all of them, for making one takes longer than using it.
#[derive(Debug)]
pub(crate) struct LineWriter(csv::Writer<Vec<u8>>);

impl LineWriter {
    pub(crate) fn new() -> LineWriter {
        let mut builder = csv::WriterBuilder::new();
        LineWriter(builder.has_headers(false).from_writer(Vec::new()))
    }

    pub(crate) fn add<R: Serialize>(&mut self, row: &R) {
        self.0
            .serialize(row)
            .expect("a flat struct of numbers and texts, written to memory");
    }

    pub(crate) fn lines(self) -> String {
        let bytes = self.0.into_inner().expect("memory accepts every byte");
        String::from_utf8(bytes).expect("the fields are UTF-8")
    }
}

/// A row as a line, with its line feed.
pub fn line<R: Serialize>(row: &R) -> String {
    encode(std::slice::from_ref(row), false)
}

fn encode<R: Serialize>(rows: &[R], with_header: bool) -> String {
    let mut writer = csv::WriterBuilder::new()
        .has_headers(with_header)
        .from_writer(Vec::new());
    for row in rows {
        writer
            .serialize(row)
            .expect("a flat struct of numbers and texts, written to memory");
    }
    let bytes = writer.into_inner().expect("memory accepts every byte");
    String::from_utf8(bytes).expect("the fields are UTF-8")
}

/// Reads a line back; `None` if it is not a row of this kind.
pub fn parse<R: Serialize + DeserializeOwned + Default>(line: &str) -> Option<R> {
    parse_under(&header::<R>(), line)
}

/// The same for many lines under one header, which takes longer to make than a line to read.
pub(crate) fn parse_under<R: DeserializeOwned>(header: &str, line: &str) -> Option<R> {
    let text = header.to_owned() + line;
    let mut rows = csv::Reader::from_reader(text.as_bytes()).into_deserialize();
    match (rows.next(), rows.next()) {
        (Some(Ok(row)), None) => Some(row),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures and other people's scripts rely on these columns.
    #[test]
    fn headers_are_pinned() {
        assert_eq!(
            header::<TrialRow>(),
            "experiment,point,level,policy,program,law,shape,nodes,setting,mtbf_s,interval_s,work_s,checkpoint_s,restart_s,downtime_s,trial,seed,\
             completed,reason,makespan_s,useful_s,checkpoint_time_s,lost_s,restart_time_s,down_s,failures,checkpoints,\
             waste,digest_ok\n"
        );
        assert_eq!(
            header::<SummaryRow>(),
            "experiment,point,level,policy,program,law,shape,nodes,setting,mtbf_s,interval_s,work_s,checkpoint_s,restart_s,downtime_s,n,\
             n_completed,failures_mean,checkpoints_mean,makespan_mean_s,makespan_sd_s,makespan_ci95_lo_s,\
             makespan_ci95_hi_s,waste_mean,waste_sd,waste_ci95_lo,waste_ci95_hi,waste_median,waste_median_ci95_lo,\
             waste_median_ci95_hi,waste_p05,waste_p95,waste_p95_ci95_lo,waste_p95_ci95_hi,lost_mean_s,lost_ci95_lo_s,lost_ci95_hi_s,theory_makespan_s,theory_waste,theory_lost_s,rel_err\n"
        );
        assert_eq!(
            header::<TheoryRow>(),
            "experiment,curve,setting,work_s,mtbf_s,interval_s,checkpoint_s,restart_s,downtime_s,makespan_s,waste,lost_s\n"
        );
    }

    #[test]
    fn a_row_is_one_line_that_reads_back() {
        let row = TrialRow {
            experiment: "e".into(),
            level: "sim".into(),
            policy: "never".into(),
            program: Some("idle".into()),
            mtbf_s: 0.1 + 0.2,
            seed: u64::MAX,
            reason: Some("time-limit".into()),
            ..TrialRow::default()
        };
        let text = line(&row);
        assert_eq!(
            text,
            "e,0,sim,never,idle,,,0,,0.30000000000000004,,0.0,0.0,0.0,0.0,0,18446744073709551615,false,time-limit,,,,,,,0,0,,\n"
        );
        assert_eq!(parse::<TrialRow>(&text), Some(row));
        assert_eq!(parse::<TrialRow>(&text[..text.len() - 9]), None);
        assert_eq!(parse::<TrialRow>("\0\0\0\n"), None);
    }
}

//! ② From a spec to an ordered list of trials.
//!
//! ```text
//! spec, costs ─▶ points (setting × program × MTBF × policy and interval) ─▶ cells (point × level) ─▶ trials
//! ```
//!
//! The order is the order of the rows: settings of the sweep, then programs, then MTBFs, then policies, as the spec lists them;
//! of each point its levels; of each cell its trials. A trial's position in that list is its [`WorkItem`] number.

use std::ops::Range;
use std::time::Duration;

use revenant_core::policy::{Choice, IntervalPolicy, Seen, TwoLevel};
use revenant_sim::Program;

use crate::cluster::ClusterRun;
use crate::failures::{FailureStream, Process};
use crate::model::{Costs, ModelJob, Rules};
use crate::run::Shard;
use crate::seed::TrialSeed;
use crate::spec::{Level, Setting, Spec};
use crate::theory::Scenario;

/// All that is to be run, in order.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The spec it was made from.
    pub spec: Spec,
    /// Cells in the order of their rows.
    pub cells: Vec<Cell>,
    /// Which trials of each cell are to be run: all, unless a part of the run begins or ends within the cell.
    ranges: Vec<Range<u32>>,
    /// Number of the first of these of each cell, and one past the last of all.
    starts: Vec<u64>,
    /// Which part of the run this is, if it is not all of it.
    pub shard: Option<Shard>,
    /// Where in the run its cells are: the index of the first there, and how many there are.
    place: (usize, usize),
}

/// One combination of factors at one level.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Number of the point, counted from 0; a point has the same number at each level.
    pub point: u32,
    /// Index of its setting in the spec.
    pub setting: usize,
    /// Who runs it.
    pub level: Level,
    /// The guest program; `None` if the experiment has no guest.
    pub program: Option<Program>,
    /// Mean time between failures (M).
    pub mtbf: Duration,
    /// The policy.
    pub policy: Choice,
    /// Its nominal interval τ at the nominal costs; `None`: no checkpoints.
    pub interval: Option<Duration>,
    /// Nominal costs: those given, or those measured.
    pub costs: Costs,
    /// Trials of it, in the whole of the run.
    pub trials: u32,
}

/// One trial of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkItem {
    /// Index of the cell.
    pub cell: usize,
    /// Number of the trial within the cell, counted from 0.
    pub trial: u32,
}

impl Plan {
    /// Expands a spec. `costs` holds a list a setting, with one entry a guest program, or one alone where there is no guest.
    ///
    /// # Panics
    /// If the costs are not of that shape.
    pub fn new(spec: &Spec, costs: &[Vec<Costs>]) -> Plan {
        assert_eq!(spec.settings.len(), costs.len(), "one list of costs a setting");
        let mut cells = Vec::with_capacity(spec.points() * spec.levels.len());
        let mut point = 0;
        for (index, (setting, costs)) in spec.settings.iter().zip(costs).enumerate() {
            let programs = programs(setting);
            assert_eq!(programs.len(), costs.len(), "one entry of costs a program");
            for (program, costs) in programs.into_iter().zip(costs) {
                for &mtbf in &setting.failures.mtbf {
                    for (policy, interval) in intervals(setting, *costs, mtbf) {
                        cells.extend(spec.levels.iter().map(|&level| Cell {
                            point,
                            setting: index,
                            level,
                            program,
                            mtbf,
                            policy: policy.clone(),
                            interval,
                            costs: *costs,
                            trials: spec.trials.at(level),
                        }));
                        point += 1;
                    }
                }
            }
        }
        let place = (0, cells.len());
        Plan::of(spec.clone(), cells, None, place)
    }

    fn of(spec: Spec, cells: Vec<Cell>, shard: Option<Shard>, place: (usize, usize)) -> Plan {
        let own = |(index, cell): (usize, &Cell)| match shard {
            Some(shard) => shard.trials(place.0 + index, place.1, cell.trials),
            None => 0..cell.trials,
        };
        let ranges: Vec<_> = cells.iter().enumerate().map(own).collect();
        Plan {
            spec,
            cells,
            starts: starts(&ranges),
            ranges,
            shard,
            place,
        }
    }

    /// The part of the plan that a shard runs.
    #[must_use]
    pub fn part(&self, shard: Shard) -> Plan {
        let own = shard.cells(self.cells.len());
        let place = (own.start, self.cells.len());
        Plan::of(self.spec.clone(), self.cells[own].to_vec(), Some(shard), place)
    }

    /// The same with other numbers of trials, one a cell; as it is where there is none.
    #[must_use]
    pub(crate) fn resized(&self, trials: &[u32]) -> Plan {
        let mut cells = self.cells.clone();
        for (cell, &trials) in cells.iter_mut().zip(trials) {
            cell.trials = trials;
        }
        Plan::of(self.spec.clone(), cells, self.shard, self.place)
    }

    /// The same cells with these of their trials, of which there may be none.
    #[must_use]
    pub(crate) fn of_ranges(&self, ranges: Vec<Range<u32>>) -> Plan {
        Plan {
            starts: starts(&ranges),
            ranges,
            ..self.clone()
        }
    }

    /// Which trials of a cell are to be run.
    pub fn range(&self, cell: usize) -> Range<u32> {
        self.ranges[cell].clone()
    }

    /// Whether all of them are.
    pub fn is_whole(&self, cell: usize) -> bool {
        self.range(cell) == (0..self.cells[cell].trials)
    }

    /// Trials in all.
    pub fn trials(&self) -> u64 {
        self.starts[self.cells.len()]
    }

    /// The number of a cell's first trial, of those to be run; for the number of cells, one past the last trial.
    pub fn first_trial(&self, cell: usize) -> u64 {
        self.starts[cell]
    }

    /// The trial of this number.
    ///
    /// # Panics
    /// If there are not that many.
    pub fn item(&self, number: u64) -> WorkItem {
        assert!(number < self.trials(), "trial {number} of {}", self.trials());
        let cell = self.starts.partition_point(|&start| start <= number) - 1;
        let within = u32::try_from(number - self.starts[cell]).unwrap_or(u32::MAX);
        WorkItem {
            cell,
            trial: self.ranges[cell].start + within,
        }
    }

    /// The seed of a trial; the same in every cell.
    pub fn seed(&self, trial: u32) -> TrialSeed {
        TrialSeed::derive(self.spec.seed, trial)
    }

    /// What holds for a cell beside its factors.
    pub fn setting(&self, cell: &Cell) -> &Setting {
        &self.spec.settings[cell.setting]
    }

    /// The failures that a trial of a cell meets.
    pub fn failures(&self, item: WorkItem) -> FailureStream {
        self.failures_from(&self.cells[item.cell], self.seed(item.trial))
    }

    /// The same, of a trial with this seed.
    pub fn failures_from(&self, cell: &Cell, seed: TrialSeed) -> FailureStream {
        let failures = &self.setting(cell).failures;
        FailureStream::new(seed, &failures.process, cell.mtbf, failures.kinds)
    }

    /// The cell as a job at level `model`.
    pub fn model_job(&self, cell: usize) -> ModelJob {
        let cell = &self.cells[cell];
        let setting = self.setting(cell);
        ModelJob {
            work: setting.job.work,
            final_checkpoint: setting.job.final_checkpoint,
            costs: cell.costs,
            mtbf: cell.mtbf,
            detection: setting.failures.detection,
            downtime: setting.failures.downtime,
            limits: setting.limits,
            rules: self.rules(cell),
        }
    }

    /// What is not as in the plain case, under the cell's policy.
    pub(crate) fn rules(&self, cell: &Cell) -> Rules {
        let setting = self.setting(cell);
        let mut rules = setting.rules;
        if cell.policy.kind().name != "epochs" {
            rules.epochs = None;
        }
        if let (Some(shared), Some(costs)) = (&mut rules.shared, cell.costs.shared) {
            (shared.cost, shared.restart) = (costs.checkpoint, costs.restart);
        }
        if let (Some(shared), Some(two_level)) = (&mut rules.shared, two_level(setting, cell.costs)) {
            shared.every = two_level.pattern(&seen(cell.costs, cell.mtbf)).shared_every;
        }
        rules
    }

    /// The cell as a trial at level `cluster`; `None` if it is of another level.
    pub fn cluster_run(&self, cell: usize) -> Option<ClusterRun<'_>> {
        let cell = &self.cells[cell];
        let setting = self.setting(cell);
        let cluster = setting
            .cluster
            .as_ref()
            .filter(|_| cell.level == Level::Cluster)?;
        let own = cluster.lone_costs(cluster.workload.slot_memory());
        let best = two_level(setting, cell.costs)
            .map(|two_level| two_level.pattern(&seen(cell.costs, cell.mtbf)).shared_every);
        Some(ClusterRun {
            cluster,
            // The nominal costs hold what a lone job's store takes; here stores tell for themselves.
            checkpoint: cell.costs.checkpoint.saturating_sub(own.0),
            restart: cell.costs.restart.saturating_sub(own.1),
            work: setting.job.work,
            final_checkpoint: setting.job.final_checkpoint,
            process: &setting.failures.process,
            kinds: setting.failures.kinds,
            mtbf: cell.mtbf,
            detection: setting.failures.detection,
            hang_detection: setting.rules.hang_detection.unwrap_or(setting.failures.detection),
            downtime: setting.failures.downtime,
            reboot: setting.rules.reboot,
            shared_every: best.unwrap_or(1),
            limits: setting.limits,
        })
    }

    /// Whether some cell is of level `cluster`.
    pub fn has_cluster(&self) -> bool {
        self.cells.iter().any(|cell| cell.level == Level::Cluster)
    }

    /// Whether every job of the cell is to be a row.
    pub fn wants_jobs(&self, cell: &Cell) -> bool {
        let cluster = self.setting(cell).cluster.as_ref();
        cell.level == Level::Cluster && cluster.is_some_and(|cluster| cluster.jobs_csv)
    }

    /// Whether there is such a cell.
    pub fn has_jobs(&self) -> bool {
        self.cells.iter().any(|cell| self.wants_jobs(cell))
    }

    /// The files that grow trial by trial, each a header and lines in the order of the trials.
    pub fn stretches(&self) -> impl Iterator<Item = &'static str> + use<> {
        let optional = [
            (self.has_cluster(), crate::run::CLUSTER),
            (self.has_jobs(), crate::run::JOBS),
        ];
        let always = [crate::run::TRIALS, crate::run::DOWNTIME, crate::run::RECOVERY];
        always.into_iter().chain(
            optional
                .into_iter()
                .filter_map(|(there, name)| there.then_some(name)),
        )
    }

    /// What a cell's policy is for a job of a length.
    pub fn policy_for(&self, cell: &Cell, work: Duration) -> Box<dyn IntervalPolicy> {
        if cell.policy.kind().needs_work {
            cell.policy.policy(work)
        } else {
            self.interval_policy(cell)
        }
    }

    /// The cell as the closed forms see it.
    pub fn scenario(&self, cell: &Cell) -> Scenario {
        let setting = self.setting(cell);
        Scenario {
            work_s: setting.job.work.as_secs_f64(),
            checkpoint_s: cell.costs.checkpoint.as_secs_f64(),
            restart_s: cell.costs.restart.as_secs_f64(),
            downtime_s: (setting.failures.detection + setting.failures.downtime).as_secs_f64(),
            mtbf_s: cell.mtbf.as_secs_f64(),
            final_checkpoint: setting.job.final_checkpoint,
        }
    }

    /// Could failures be of weight in a cell even if none was met? They could not where they come at a constant rate and cost at
    /// most a ten-thousandth of the time: an experiment without failures says so by such an MTBF.
    pub(crate) fn failures_weigh(&self, cell: &Cell) -> bool {
        let scenario = self.scenario(cell);
        let is_constant = self.setting(cell).failures.process == Process::EXPONENTIAL;
        !is_constant || scenario.worst_loss_s() / scenario.mtbf_s > 1e-4
    }
}

/// The number of the first trial of each range when all are counted through, and one past the last.
fn starts(ranges: &[Range<u32>]) -> Vec<u64> {
    let ends = ranges.iter().scan(0, |sum, range| {
        *sum += range.len() as u64;
        Some(*sum)
    });
    std::iter::once(0).chain(ends).collect()
}

/// The programs of a setting; `None` stands for the job without a guest.
fn programs(setting: &Setting) -> Vec<Option<Program>> {
    match &setting.guest {
        Some(guest) => guest.programs.iter().copied().map(Some).collect(),
        None => vec![None],
    }
}

impl Plan {
    /// The cell's policy as the protect loop takes it.
    pub fn interval_policy(&self, cell: &Cell) -> Box<dyn IntervalPolicy> {
        policy(self.setting(cell), cell.costs, &cell.policy)
    }
}

/// The policy for two stores, told what the shared one costs.
fn two_level(setting: &Setting, costs: Costs) -> Option<TwoLevel> {
    setting.two_level.map(|policy| TwoLevel {
        shared_cost: costs
            .shared
            .map_or(policy.shared_cost, |shared| shared.checkpoint),
        ..policy
    })
}

/// A policy in the world of a setting.
fn policy(setting: &Setting, costs: Costs, choice: &Choice) -> Box<dyn IntervalPolicy> {
    match (choice.kind().name, two_level(setting, costs), setting.verified) {
        ("two-level", Some(policy), _) => Box::new(policy),
        ("verified", _, Some(policy)) => Box::new(policy),
        _ => choice.policy(setting.job.work),
    }
}

/// What a policy sees as the job begins.
fn seen(costs: Costs, mtbf: Duration) -> Seen {
    Seen {
        checkpoint_cost: costs.checkpoint,
        restart_cost: costs.restart,
        mtbf,
        since_failure: Duration::ZERO,
        failures: 0,
        at_risk: Duration::ZERO,
    }
}

/// Each policy of the setting with its interval as the job begins.
fn intervals(setting: &Setting, costs: Costs, mtbf: Duration) -> Vec<(Choice, Option<Duration>)> {
    let seen = seen(costs, mtbf);
    let of = |choice: &Choice| (choice.clone(), policy(setting, costs, choice).interval(&seen));
    setting.policies.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn spec(mtbfs: usize, grid: usize, trials: u32) -> Spec {
        let list = |count: usize| {
            (1..=count)
                .map(|n| format!("\"{n}h\""))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let text = format!(
            "name = \"p\"\nseed = 3\ntrials = {trials}\nlevels = [\"model\"]\n[job]\nwork = \"10h\"\n[failures]\n\
             law = \"exponential\"\nmtbf = [{}]\n[checkpoint]\ncost = \"60s\"\nrestart = \"60s\"\n\
             [[policy]]\nkind = \"never\"\n[[policy]]\nkind = \"fixed\"\ninterval = [{}]\n[[policy]]\nkind = \"young\"\n",
            list(mtbfs),
            list(grid)
        );
        Spec::parse(&text, Path::new("p.toml")).unwrap()
    }

    fn costs() -> Costs {
        Costs {
            checkpoint: Duration::from_secs(60),
            restart: Duration::from_secs(60),
            ..Costs::default()
        }
    }

    #[test]
    fn cells_come_in_the_order_of_the_spec() {
        let plan = Plan::new(&spec(2, 2, 5), &[vec![costs()]]);
        let seen: Vec<_> = plan
            .cells
            .iter()
            .map(|cell| (cell.point, cell.mtbf.as_secs() / 3600, cell.policy.kind().name))
            .collect();
        assert_eq!(
            seen,
            [
                (0, 1, "never"),
                (1, 1, "fixed"),
                (2, 1, "fixed"),
                (3, 1, "young"),
                (4, 2, "never"),
                (5, 2, "fixed"),
                (6, 2, "fixed"),
                (7, 2, "young")
            ]
        );
        assert_eq!(plan.cells[0].interval, None);
        assert_eq!(plan.cells[2].interval, Some(Duration::from_secs(7200)));
        // sqrt(2 * 60 * 3600) s
        assert!((plan.cells[3].interval.unwrap().as_secs_f64() - 657.267_069).abs() < 1e-6);
    }

    #[test]
    fn lists_of_parameters_multiply() {
        let text = spec(1, 1, 1).source.replace(
            "kind = \"young\"",
            "kind = \"adaptive\"\nprior = [0.5, 1]\nweight = [2, 1.0]",
        );
        let plan = Plan::new(
            &Spec::parse(&text, Path::new("p.toml")).unwrap(),
            &[vec![costs()]],
        );
        let policies: Vec<_> = plan.cells.iter().map(|cell| cell.policy.to_string()).collect();
        assert_eq!(
            policies,
            [
                "never",
                "fixed",
                "adaptive(prior=0.5;weight=2)",
                "adaptive(prior=0.5)",
                "adaptive(weight=2)",
                "adaptive"
            ]
        );
    }

    /// What makes a comparison between cells one of cells: the same trial meets the same failures in all of them.
    #[test]
    fn every_cell_meets_the_same_failures() {
        let plan = Plan::new(&spec(2, 2, 5), &[vec![costs()]]);
        let gap = |cell| plan.failures(WorkItem { cell, trial: 4 }).draw().gap;
        assert_eq!(gap(0), gap(3));
        assert!(
            (gap(4).as_secs_f64() / gap(0).as_secs_f64() - 2.0).abs() < 1e-9,
            "twice the MTBF"
        );
    }

    proptest! {
        #[test]
        fn numbers_and_items_correspond(mtbfs in 1usize..4, grid in 1usize..4, trials in 1u32..5) {
            let plan = Plan::new(&spec(mtbfs, grid, trials), &[vec![costs()]]);
            prop_assert_eq!(plan.trials(), (mtbfs * (grid + 2)) as u64 * u64::from(trials));
            for number in 0..plan.trials() {
                let item = plan.item(number);
                prop_assert!(item.trial < plan.cells[item.cell].trials);
                prop_assert_eq!(plan.first_trial(item.cell) + u64::from(item.trial), number);
            }
        }

        /// Whatever sizes the cells come to: the parts one after another are the trials of the whole.
        #[test]
        fn parts_make_the_plan(sizes in proptest::collection::vec(1u32..9, 8..9), of in 1u32..70) {
            let plan = Plan::new(&spec(2, 2, 5), &[vec![costs()]]);
            let items = |plan: &Plan| -> Vec<(u32, u32)> {
                (0..plan.trials()).map(|number| plan.item(number)).map(|item| (plan.cells[item.cell].point, item.trial)).collect()
            };
            let mut parts = Vec::new();
            for shard in Shard::all(of) {
                let part = plan.part(shard);
                let own = &sizes[shard.cells(sizes.len())];
                let part = part.resized(own);
                let all = part.of_ranges(own.iter().map(|&trials| 0..trials).collect());
                prop_assert_eq!(all.trials(), own.iter().copied().map(u64::from).sum::<u64>());
                parts.extend(items(&part));
            }
            prop_assert_eq!(parts, items(&plan.resized(&sizes)));
        }
    }
}

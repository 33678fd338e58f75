//! ④ Cells compared trial by trial: under common random numbers trial k meets the same failures in every cell, so differences
//! of its makespans say more than a difference of means.
//!
//! Every cell is held against the baseline of its group: the cells of one level, setting, program and MTBF. The baseline is
//! the first cell under Young's policy, or else the first.

use crate::plan::{Cell, Plan};
use crate::record::{PairedRow, SummaryRow};
use crate::stats::{RunningRatio, met_too_few};

/// Two cells to compare, by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    /// The one.
    pub cell: usize,
    /// The one it is held against.
    pub baseline: usize,
}

/// What is compared with what, in the order of the cells.
pub fn comparisons(plan: &Plan) -> Vec<Comparison> {
    let same = |a: &Cell, b: &Cell| {
        (a.level, a.setting, a.program, a.mtbf) == (b.level, b.setting, b.program, b.mtbf)
    };
    let baseline_of = |cell: &Cell| {
        let mut group = (0..plan.cells.len()).filter(|&index| same(&plan.cells[index], cell));
        let first = group.clone().next();
        let young = group.find(|&index| plan.cells[index].policy.kind().name == "young");
        young.or(first)
    };
    let mut comparisons = Vec::new();
    let mut last: Option<(usize, usize)> = None;
    for (index, cell) in plan.cells.iter().enumerate() {
        // Cells of a group are near each other: the last answer mostly holds.
        let known = last
            .filter(|&(of, _)| same(&plan.cells[of], cell))
            .map(|(_, baseline)| baseline);
        let Some(baseline) = known.or_else(|| baseline_of(cell)) else {
            continue;
        };
        last = Some((index, baseline));
        if baseline != index {
            comparisons.push(Comparison {
                cell: index,
                baseline,
            });
        }
    }
    comparisons
}

/// A trial of a cell, as far as it is compared.
#[derive(Debug, Clone, Copy)]
pub struct Compared {
    /// `None`: the trial was given up.
    pub makespan_s: Option<f64>,
    /// What struck it.
    pub failures: u64,
}

/// Makespans of two cells, pair by pair, in seconds.
#[derive(Debug, Default)]
pub struct Pairs {
    n: u64,
    /// In which either met a failure.
    met: u64,
    makespans: RunningRatio,
}

impl Pairs {
    /// Takes in the next trial of both.
    pub fn add(&mut self, trial: Compared, baseline: Compared) {
        self.n += 1;
        self.met += u64::from(trial.failures + baseline.failures > 0);
        if let (Some(makespan_s), Some(baseline_s)) = (trial.makespan_s, baseline.makespan_s) {
            self.makespans.add(makespan_s, baseline_s);
        }
    }

    /// The row. Where a trial was given up in either cell the comparison is left empty: the pairs that remain are the lucky
    /// ones. Where [too few](met_too_few) met a failure it has no intervals.
    pub fn finish(self, plan: &Plan, comparison: Comparison) -> PairedRow {
        let [cell, baseline] = [comparison.cell, comparison.baseline].map(|index| &plan.cells[index]);
        let completed = self.makespans.difference().n();
        let whole = completed == self.n;
        let moments = self.makespans.difference().moments().filter(|_| whole);
        let ratio = whole.then(|| self.makespans.ratio()).flatten();
        let few = met_too_few(self.met, self.n) && plan.failures_weigh(cell);
        let tells = whole && !few;
        let interval = tells.then(|| self.makespans.ci95()).flatten();
        let of_difference = moments.and_then(|m| m.ci95).filter(|_| tells);
        let of = SummaryRow::of(plan, cell);
        PairedRow {
            experiment: of.experiment,
            level: of.level,
            program: of.program,
            law: of.law,
            shape: of.shape,
            nodes: of.nodes,
            setting: of.setting,
            mtbf_s: of.mtbf_s,
            work_s: of.work_s,
            checkpoint_s: of.checkpoint_s,
            restart_s: of.restart_s,
            downtime_s: of.downtime_s,
            policy: of.policy,
            interval_s: of.interval_s,
            baseline_policy: baseline.policy.to_string(),
            baseline_interval_s: baseline.interval.map(|tau| tau.as_secs_f64()),
            n: self.n,
            n_completed: completed,
            makespan_diff_mean_s: moments.map(|m| m.mean),
            makespan_diff_ci95_lo_s: of_difference.map(|ci| ci.0),
            makespan_diff_ci95_hi_s: of_difference.map(|ci| ci.1),
            ratio_mean: ratio,
            ratio_ci95_lo: interval.map(|ci| ci.0),
            ratio_ci95_hi: interval.map(|ci| ci.1),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::model::Costs;
    use crate::spec::Spec;

    fn plan() -> Plan {
        let text = "name = \"p\"\nseed = 3\ntrials = 40\nlevels = [\"model\"]\n[job]\nwork = \"10h\"\n[failures]\n\
            law = \"exponential\"\nmtbf = [\"1h\", \"2h\"]\n[checkpoint]\ncost = \"60s\"\nrestart = \"60s\"\n[[policy]]\n\
            kind = \"never\"\n[[policy]]\nkind = \"young\"\n[[policy]]\nkind = \"daly\"\n";
        let minute = Duration::from_secs(60);
        let costs = Costs {
            checkpoint: minute,
            restart: minute,
            ..Costs::default()
        };
        Plan::new(&Spec::parse(text, Path::new("p.toml")).unwrap(), &[vec![costs]])
    }

    fn of(makespan_s: Option<f64>) -> Compared {
        Compared {
            makespan_s,
            failures: 1,
        }
    }

    #[test]
    fn every_cell_is_held_against_young_of_its_group() {
        let found: Vec<_> = comparisons(&plan())
            .iter()
            .map(|pair| (pair.cell, pair.baseline))
            .collect();
        assert_eq!(found, [(0, 1), (2, 1), (3, 4), (5, 4)]);
    }

    #[test]
    fn differences_are_taken_pair_by_pair() {
        let plan = plan();
        let mut pairs = Pairs::default();
        for trial in 0..40 {
            let spread = f64::from(trial * trial % 17);
            let baseline = 100.0 + spread + 0.1 * f64::from(trial % 2);
            pairs.add(of(Some(110.0 + spread)), of(Some(baseline)));
        }
        let row = pairs.finish(&plan, Comparison { cell: 2, baseline: 1 });
        assert!((row.makespan_diff_mean_s.unwrap() - 9.95).abs() < 1e-12);
        let width = row.makespan_diff_ci95_hi_s.unwrap() - row.makespan_diff_ci95_lo_s.unwrap();
        assert!(width < 0.04, "the common spread is gone: {width}");
        let (low, ratio, high) = (
            row.ratio_ci95_lo.unwrap(),
            row.ratio_mean.unwrap(),
            row.ratio_ci95_hi.unwrap(),
        );
        assert!(
            low < ratio && ratio < high && high - low < 0.01,
            "{low} {ratio} {high}"
        );
    }

    #[test]
    fn where_few_met_a_failure_nobody_knows_how_sure_it_is() {
        let row = |met: u64| {
            let mut pairs = Pairs::default();
            for trial in 0..40 {
                let failures = u64::from(trial < met);
                let makespan_s = Some(100.0 + failures as f64);
                pairs.add(
                    Compared { makespan_s, failures },
                    Compared {
                        makespan_s: Some(99.0),
                        failures: 0,
                    },
                );
            }
            pairs.finish(&plan(), Comparison { cell: 0, baseline: 1 })
        };
        for (met, known) in [(0, false), (9, false), (10, true)] {
            let row = row(met);
            assert!(row.makespan_diff_mean_s.is_some() && row.ratio_mean.is_some());
            assert_eq!(
                (row.makespan_diff_ci95_lo_s.is_some(), row.ratio_ci95_hi.is_some()),
                (known, known),
                "{met}"
            );
        }
    }

    #[test]
    fn a_trial_that_was_given_up_leaves_the_comparison_empty() {
        let mut pairs = Pairs::default();
        pairs.add(of(Some(2.0)), of(Some(1.0)));
        pairs.add(of(None), of(Some(1.0)));
        let row = pairs.finish(&plan(), Comparison { cell: 0, baseline: 1 });
        assert_eq!(
            (row.n, row.n_completed, row.makespan_diff_mean_s, row.ratio_mean),
            (2, 1, None, None)
        );
    }
}

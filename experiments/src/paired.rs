//! ④ Cells compared trial by trial: under common random numbers trial k meets the same failures in every cell, so differences
//! of its makespans say more than a difference of means.
//!
//! Every cell is held against the baseline of its group: the cells of one level, setting, program and MTBF. The baseline is
//! the first cell under Young's policy, or else the first.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use rand::RngExt;

use crate::plan::{Cell, Plan};
use crate::record::{PairedRow, SummaryRow};
use crate::seed::{Purpose, TrialSeed};
use crate::stats::Running;

/// Batches of consecutive trials at most, of which the bootstrap draws. Trials are independent, so batches are too.
const BATCHES_MAX: u32 = 1_000;
/// Resamples of the bootstrap.
const RESAMPLES: usize = 1_000;

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

/// Makespans of two cells, pair by pair, in seconds.
#[derive(Debug)]
pub struct Pairs {
    n: u64,
    difference: Running,
    batch_of: u32,
    /// Sums of the one and the other over each batch.
    batches: Vec<(f64, f64)>,
}

impl Pairs {
    /// Of cells with so many trials.
    pub fn new(trials: u32) -> Pairs {
        Pairs {
            n: 0,
            difference: Running::default(),
            batch_of: trials.div_ceil(BATCHES_MAX).max(1),
            batches: Vec::new(),
        }
    }

    /// Takes in the next trial; a makespan that is not known was given up.
    pub fn add(&mut self, makespan_s: Option<f64>, baseline_s: Option<f64>) {
        if self.n.is_multiple_of(u64::from(self.batch_of)) {
            self.batches.push((0.0, 0.0));
        }
        self.n += 1;
        if let (Some(makespan_s), Some(baseline_s), Some(batch)) =
            (makespan_s, baseline_s, self.batches.last_mut())
        {
            self.difference.add(makespan_s - baseline_s);
            batch.0 += makespan_s;
            batch.1 += baseline_s;
        }
    }

    /// The row. Where a trial was given up in either cell the comparison is left empty: the pairs that remain are the lucky
    /// ones.
    pub fn finish(self, plan: &Plan, comparison: Comparison, draws: &Draws) -> PairedRow {
        let [cell, baseline] = [comparison.cell, comparison.baseline].map(|index| &plan.cells[index]);
        let completed = self.difference.n();
        let whole = completed == self.n;
        let moments = self.difference.moments().filter(|_| whole);
        let ratio = whole.then(|| ratio(&self.batches)).flatten();
        let interval = (whole && self.batches.len() > 1)
            .then(|| self.bootstrap(draws))
            .flatten();
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
            makespan_diff_ci95_lo_s: moments.and_then(|m| m.ci95).map(|ci| ci.0),
            makespan_diff_ci95_hi_s: moments.and_then(|m| m.ci95).map(|ci| ci.1),
            ratio_mean: ratio,
            ratio_ci95_lo: interval.map(|ci| ci.0),
            ratio_ci95_hi: interval.map(|ci| ci.1),
        }
    }

    /// 95 % percentile interval of the ratio of means (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).
    fn bootstrap(&self, draws: &Draws) -> Option<(f64, f64)> {
        let mut ratios = Vec::with_capacity(RESAMPLES);
        let drawn = draws.of(self.batches.len());
        for resample in drawn.chunks_exact(self.batches.len()) {
            let mut sums = (0.0, 0.0);
            for &batch in resample {
                let drawn = self.batches[usize::from(batch)];
                sums = (sums.0 + drawn.0, sums.1 + drawn.1);
            }
            ratios.push(sums.0 / sums.1);
        }
        ratios.sort_by(f64::total_cmp);
        // The 25th smallest and the 25th largest of a thousand.
        let tail = RESAMPLES / 40;
        Some((*ratios.get(tail - 1)?, *ratios.get(RESAMPLES - tail)?))
    }
}

/// Which batches the bootstrap draws: the same in every comparison of as many, so they are mostly drawn once.
#[derive(Debug)]
pub struct Draws {
    seed: u64,
    /// The last ones, by the number of batches: resample after resample.
    drawn: Mutex<VecDeque<(usize, Arc<[u16]>)>>,
}

/// Levels have numbers of trials of their own; where every cell has, drawing again is no more than it would be without this.
const DRAWS_KEPT: usize = 3;

impl Draws {
    /// Of a run with this master seed.
    pub fn new(seed: u64) -> Draws {
        Draws {
            seed,
            drawn: Mutex::new(VecDeque::new()),
        }
    }

    fn of(&self, batches: usize) -> Arc<[u16]> {
        let known = || self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, drawn)) = known().iter().find(|(of, _)| *of == batches) {
            return Arc::clone(drawn);
        }
        let mut stream = TrialSeed(self.seed).stream(Purpose::Bootstrap);
        let draw = |_| u16::try_from(stream.random_range(0..batches)).unwrap_or(u16::MAX);
        let drawn: Arc<[u16]> = (0..RESAMPLES * batches).map(draw).collect();
        let mut known = known();
        known.push_back((batches, Arc::clone(&drawn)));
        if known.len() > DRAWS_KEPT {
            known.pop_front();
        }
        drawn
    }
}

/// Mean of the one over mean of the other.
fn ratio(batches: &[(f64, f64)]) -> Option<f64> {
    let sums = batches
        .iter()
        .fold((0.0, 0.0), |sums, batch| (sums.0 + batch.0, sums.1 + batch.1));
    (sums.1 > 0.0).then(|| sums.0 / sums.1)
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
        let mut pairs = Pairs::new(40);
        for trial in 0..40 {
            let spread = f64::from(trial * trial % 17);
            pairs.add(
                Some(110.0 + spread),
                Some(100.0 + spread + 0.1 * f64::from(trial % 2)),
            );
        }
        let row = pairs.finish(&plan, Comparison { cell: 2, baseline: 1 }, &Draws::new(3));
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
    fn a_trial_that_was_given_up_leaves_the_comparison_empty() {
        let mut pairs = Pairs::new(2);
        pairs.add(Some(2.0), Some(1.0));
        pairs.add(None, Some(1.0));
        let row = pairs.finish(&plan(), Comparison { cell: 0, baseline: 1 }, &Draws::new(3));
        assert_eq!(
            (row.n, row.n_completed, row.makespan_diff_mean_s, row.ratio_mean),
            (2, 1, None, None)
        );
    }
}

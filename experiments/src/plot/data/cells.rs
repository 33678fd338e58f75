//! The rows of `summary.csv` and `theory.csv`, as far as figures need them.

use std::io::Read;
use std::path::Path;

use super::table::{Column, Row, Table};
use crate::plot::PlotError;

/// Who ran a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Control flow only.
    Model,
    /// The core in the simulated world.
    Sim,
    /// Many jobs on many hosts.
    Cluster,
}

/// A mean and its 95 % confidence interval, which a single trial does not have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) mean: f64,
    pub(crate) ci95: Option<(f64, f64)>,
}

/// What cells have in common that share a panel. All in seconds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Setting {
    pub(crate) experiment: String,
    /// Empty without a guest.
    pub(crate) program: String,
    /// Law of the failures with its shape; empty in tables from before there was a choice.
    pub(crate) law: String,
    pub(crate) shape: Option<f64>,
    pub(crate) nodes: u64,
    /// Swept keys without a column of their own, and their values.
    pub(crate) swept: Vec<(String, String)>,
    pub(crate) work_s: f64,
    pub(crate) costs: Costs,
}

/// Costs of a checkpoint, of a restart, and detection with downtime.
#[expect(clippy::struct_field_names, reason = "the unit belongs to the name")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Costs {
    pub(crate) checkpoint_s: f64,
    pub(crate) restart_s: f64,
    pub(crate) downtime_s: f64,
}

/// A row of `summary.csv`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cell {
    pub(crate) setting: Setting,
    pub(crate) point: u64,
    pub(crate) level: Level,
    pub(crate) policy: String,
    pub(crate) mtbf_s: f64,
    /// `None` for a policy that never checkpoints.
    pub(crate) interval_s: Option<f64>,
    pub(crate) n: u64,
    pub(crate) waste: Option<Estimate>,
    pub(crate) lost_s: Option<Estimate>,
    pub(crate) theory_waste: Option<f64>,
    /// Present from the version of the file that has the column.
    pub(crate) theory_lost_s: Option<f64>,
    /// Beside the baseline of its group, from `paired.csv`.
    pub(crate) against: Option<Against>,
}

/// A mean makespan beside that of a baseline.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Against {
    pub(crate) baseline: String,
    pub(crate) ratio: Estimate,
}

/// A row of `theory.csv`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TheoryPoint {
    pub(crate) experiment: String,
    pub(crate) curve: String,
    pub(crate) work_s: Option<f64>,
    pub(crate) swept: Vec<(String, String)>,
    pub(crate) mtbf_s: f64,
    pub(crate) interval_s: Option<f64>,
    pub(crate) costs: Costs,
    pub(crate) waste: f64,
    pub(crate) lost_s: Option<f64>,
}

/// Columns of an estimate: mean, low end, high end.
type EstimateColumns = [Column; 3];

pub(crate) fn read_cells(path: &Path, source: impl Read) -> Result<Vec<Cell>, PlotError> {
    let table = Table::open(path, source)?;
    let c = |name| table.column(name);
    let (experiment, program) = (c("experiment")?, c("program")?);
    let (point, level, policy) = (c("point")?, c("level")?, c("policy")?);
    let (mtbf, interval, work) = (c("mtbf_s")?, c("interval_s")?, c("work_s")?);
    let costs = [c("checkpoint_s")?, c("restart_s")?, c("downtime_s")?];
    let n = c("n")?;
    let waste = [c("waste_mean")?, c("waste_ci95_lo")?, c("waste_ci95_hi")?];
    let lost = [c("lost_mean_s")?, c("lost_ci95_lo_s")?, c("lost_ci95_hi_s")?];
    let theory_waste = c("theory_waste")?;
    let theory_lost = table.optional_column("theory_lost_s")?;
    let (law, shape) = (table.optional_column("law")?, table.optional_column("shape")?);
    let (nodes, swept) = (table.optional_column("nodes")?, table.optional_column("setting")?);
    table.rows(|row| {
        Ok(Cell {
            setting: Setting {
                experiment: row.name(experiment)?,
                program: row.text(program).to_owned(),
                law: law.map_or("", |column| row.text(column)).to_owned(),
                shape: shape.map_or(Ok(None), |column| row.optional(column))?,
                nodes: nodes.map_or(Ok(1), |column| row.count(column))?,
                swept: swept.map_or(Vec::new(), |column| read_swept(row.text(column))),
                work_s: row.positive_s(work)?,
                costs: read_costs(row, costs)?,
            },
            point: row.count(point)?,
            level: read_level(row, level)?,
            policy: row.name(policy)?,
            mtbf_s: row.positive_s(mtbf)?,
            interval_s: row.optional_positive_s(interval)?,
            n: row.count(n)?,
            waste: read_estimate(row, waste)?,
            lost_s: read_estimate(row, lost)?,
            theory_waste: row.optional(theory_waste)?,
            theory_lost_s: theory_lost.map_or(Ok(None), |column| row.expected(column))?,
            against: None,
        })
    })
}

/// Adds the rows of `paired.csv` to their cells. A row belongs to the one cell with which it has all columns in common.
pub(crate) fn read_paired(path: &Path, source: impl Read, cells: &mut [Cell]) -> Result<(), PlotError> {
    let table = Table::open(path, source)?;
    let c = |name| table.column(name);
    let (experiment, program, law, shape) = (c("experiment")?, c("program")?, c("law")?, c("shape")?);
    let (nodes, swept, work) = (c("nodes")?, c("setting")?, c("work_s")?);
    let costs = [c("checkpoint_s")?, c("restart_s")?, c("downtime_s")?];
    let (level, policy, mtbf, interval) = (c("level")?, c("policy")?, c("mtbf_s")?, c("interval_s")?);
    let baseline = c("baseline_policy")?;
    let ratio = [c("ratio_mean")?, c("ratio_ci95_lo")?, c("ratio_ci95_hi")?];
    table.rows(|row| {
        let Some(ratio) = read_estimate(row, ratio)? else {
            return Ok(());
        };
        let setting = Setting {
            experiment: row.name(experiment)?,
            program: row.text(program).to_owned(),
            law: row.text(law).to_owned(),
            shape: row.optional(shape)?,
            nodes: row.count(nodes)?,
            swept: read_swept(row.text(swept)),
            work_s: row.positive_s(work)?,
            costs: read_costs(row, costs)?,
        };
        let (level, policy) = (read_level(row, level)?, row.name(policy)?);
        let (mtbf_s, interval_s) = (row.positive_s(mtbf)?, row.optional_positive_s(interval)?);
        let cell = cells.iter_mut().find(|cell| {
            (cell.level, &cell.policy, &cell.setting) == (level, &policy, &setting)
                && cell.mtbf_s.total_cmp(&mtbf_s).is_eq()
                && cell.interval_s == interval_s
        });
        if let Some(cell) = cell {
            let baseline = row.name(baseline)?;
            cell.against = Some(Against { baseline, ratio });
        }
        Ok(())
    })?;
    Ok(())
}

pub(crate) fn read_theory(path: &Path, source: impl Read) -> Result<Vec<TheoryPoint>, PlotError> {
    let table = Table::open(path, source)?;
    let c = |name| table.column(name);
    let (experiment, curve) = (c("experiment")?, c("curve")?);
    let (mtbf, interval, waste) = (c("mtbf_s")?, c("interval_s")?, c("waste")?);
    let costs = [c("checkpoint_s")?, c("restart_s")?, c("downtime_s")?];
    let lost = table.optional_column("lost_s")?;
    let (work, swept) = (
        table.optional_column("work_s")?,
        table.optional_column("setting")?,
    );
    table.rows(|row| {
        Ok(TheoryPoint {
            experiment: row.name(experiment)?,
            curve: row.name(curve)?,
            work_s: work.map_or(Ok(None), |column| row.optional(column))?,
            swept: swept.map_or(Vec::new(), |column| read_swept(row.text(column))),
            mtbf_s: row.positive_s(mtbf)?,
            interval_s: row.optional_positive_s(interval)?,
            costs: read_costs(row, costs)?,
            waste: row
                .optional(waste)?
                .ok_or_else(|| row.unexpected(waste, "a number"))?,
            lost_s: lost.map_or(Ok(None), |column| row.expected(column))?,
        })
    })
}

/// `key=value;key=value`.
fn read_swept(text: &str) -> Vec<(String, String)> {
    let pairs = text.split(';').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn read_costs(row: &Row, [checkpoint, restart, downtime]: [Column; 3]) -> Result<Costs, PlotError> {
    Ok(Costs {
        checkpoint_s: row.duration_s(checkpoint)?,
        restart_s: row.duration_s(restart)?,
        downtime_s: row.duration_s(downtime)?,
    })
}

pub(crate) fn read_level(row: &Row, column: Column) -> Result<Level, PlotError> {
    match row.text(column) {
        "model" => Ok(Level::Model),
        "sim" => Ok(Level::Sim),
        "cluster" => Ok(Level::Cluster),
        _ => Err(row.unexpected(column, "`model`, `sim` or `cluster`")),
    }
}

fn read_estimate(row: &Row, [mean, low, high]: EstimateColumns) -> Result<Option<Estimate>, PlotError> {
    let Some(value) = row.optional(mean)? else {
        return Ok(None);
    };
    let ci95 = row.optional(low)?.zip(row.optional(high)?);
    if let Some((from, to)) = ci95 {
        // The mean may stick out of its interval by the rounding of its last digit, no more.
        let slack = 1e-9 * (value.abs() + 1e-9);
        if from > value + slack {
            return Err(row.unexpected(low, "a low end that is not above the mean"));
        }
        if to < value - slack {
            return Err(row.unexpected(high, "a high end that is not below the mean"));
        }
    }
    Ok(Some(Estimate { mean: value, ci95 }))
}

//! Texts to print under the figures: what is shown, of how many trials, and how to make it again.

use std::fmt::Write;

use super::series::{EXPECTED, Series, count_range, level_name, range};
use crate::plot::Column;
use crate::plot::data::{Cell, Level, RunData, Setting};
use crate::plot::draw::ticks::duration;

/// Symbols and conditions of the panels of a page; letters as in the panels' names.
pub(crate) fn conditions(series: &Series, settings: &[Setting]) -> String {
    let mut text = String::new();
    for setting in settings {
        if let Some(name) = series.panel_name(setting) {
            text.push_str(&name);
            text.push_str(". ");
        }
        let program = match setting.program.as_str() {
            "" => String::new(),
            program => format!(", guest program {program}"),
        };
        let costs = setting.costs;
        let _ = writeln!(
            text,
            "Experiment {}{program}: work W = {}, checkpoint C = {}, restart R = {}, detection and downtime D = {}.",
            setting.experiment,
            duration(setting.work_s),
            duration(costs.checkpoint_s),
            duration(costs.restart_s),
            duration(costs.downtime_s),
        );
    }
    text
}

/// Whose intervals the error bars of most figures are.
pub(crate) const OF_THE_MEAN: &str = "Error bars: 95 % confidence intervals of the mean (Student's t).\n";

/// Markers and n of the cells shown.
pub(crate) fn markers(cells: &[&Cell]) -> String {
    let mut text = String::new();
    for (level, marker) in [
        (Level::Model, "Open markers: level model (control flow only)"),
        (
            Level::Sim,
            "Filled markers: level sim (the checkpoint core in the simulated world)",
        ),
        (
            Level::Cluster,
            "Filled markers: level cluster (jobs on hosts; waste: mean over the trials of 1 − work / time in service, both times slots)",
        ),
    ] {
        if let Some(n) = trials(cells, level) {
            let _ = writeln!(text, "{marker}, n = {n} trials each.");
        }
    }
    text
}

/// Number of trials of the cells of a level, as a range.
pub(crate) fn trials(cells: &[&Cell], level: Level) -> Option<String> {
    let counts = || cells.iter().filter(|cell| cell.level == level).map(|cell| cell.n);
    Some(count_range(counts().min()?, counts().max()?))
}

/// Cells without statistics, which the figure cannot show.
pub(crate) fn missing(cells: &[&Cell]) -> String {
    let gone: Vec<String> = cells
        .iter()
        .map(|cell| {
            let interval = cell
                .interval_s
                .map_or(String::new(), |interval| format!(" {}", duration(interval)));
            let level = level_name(cell.level).to_lowercase();
            format!(
                "{}{interval} at MTBF {} ({level})",
                cell.policy,
                duration(cell.mtbf_s)
            )
        })
        .collect();
    if gone.is_empty() {
        return String::new();
    }
    format!(
        "Not shown, because some of their trials did not finish: {}.\n",
        gone.join("; ")
    )
}

/// The theory that is drawn, if any is.
pub(crate) fn theory(data: &RunData) -> &'static str {
    if data.theory.iter().any(|point| point.curve == EXPECTED) {
        "Lines: expected value in closed form (exponential failures).\n"
    } else {
        ""
    }
}

/// Range of the intervals of a grid.
pub(crate) fn grid(cells: &[&Cell]) -> Option<String> {
    let intervals = || cells.iter().filter_map(|cell| cell.interval_s);
    let low = intervals().min_by(f64::total_cmp)?;
    let high = intervals().max_by(f64::total_cmp)?;
    Some(range(low, high))
}

/// How to make the figure again.
pub(crate) fn regenerate(column: Column) -> String {
    let columns = match column {
        Column::One => "one",
        Column::Two => "two",
    };
    format!("Regenerate: revenant plot RUN --columns {columns}   (RUN: the folder that holds summary.csv)\n")
}

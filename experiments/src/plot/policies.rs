//! Policies side by side.

use super::axis::Axis;
use super::chart::{Chart, Key, Point};
use super::data::{Cell, Estimate, RunData};
use super::interval::{LEVELS, markers};
use super::style::{INK, series};
use super::{Column, Figure};

const LABEL: &str = "waste, share of the makespan";

/// Waste by policy, for each MTBF. Of the fixed intervals the best at the level in question stands for all.
pub(super) fn comparison(data: &RunData, column: Column) -> Option<Figure> {
    let mut names: Vec<String> = Vec::new();
    for cell in &data.cells {
        if !names.contains(&cell.policy) {
            names.push(cell.policy.clone());
        }
    }
    if names.len() < 2 {
        return None;
    }
    let shown = shown(data, &names);
    let y = scale(&shown)?;
    let labels: Vec<String> = names.iter().map(|name| label(name)).collect();
    let mtbfs = data.mtbfs();
    let levels: Vec<_> = LEVELS
        .iter()
        .filter(|(name, ..)| shown.iter().any(|(cell, ..)| cell.level == *name))
        .collect();
    let mut legend: Vec<(Key, String)> = mtbfs
        .iter()
        .enumerate()
        .map(|(index, mtbf)| {
            let (colour, marker, _) = series(index);
            (
                Key::Mark(colour, marker, true),
                format!("MTBF {}", super::captions::time(*mtbf)),
            )
        })
        .collect();
    for (_, filled, name) in &levels {
        legend.push((Key::Mark(INK, series(0).1, *filled), (*name).to_owned()));
    }
    let mut chart = Chart::new(column, Axis::categories(&labels), y, &legend);
    let slots = (mtbfs.len() * levels.len()).max(1) as f64;
    for (cell, category, waste) in &shown {
        let series_index = mtbfs
            .iter()
            .position(|mtbf| mtbf.total_cmp(&cell.mtbf_s).is_eq())
            .unwrap_or(0);
        let level_index = levels
            .iter()
            .position(|(name, ..)| *name == cell.level)
            .unwrap_or(0);
        let (colour, marker, _) = series(series_index);
        let slot = (series_index * levels.len() + level_index) as f64;
        let x = *category as f64 + 0.14 + 0.72 * (slot + 0.5) / slots;
        let point = Point {
            x,
            y: waste.mean,
            interval: waste.interval,
            shift: 0.0,
        };
        chart.point(&point, marker, colour, levels[level_index].1);
    }
    let caption = format!(
        "Waste by checkpoint policy and MTBF on the same failures. Of the fixed intervals the one with the least mean waste is \
         shown. {}",
        markers(data)
    );
    Some(Figure {
        name: "policies",
        caption,
        canvas: chart.finish(),
    })
}

/// The cells to draw, each with the number of its category.
fn shown<'a>(data: &'a RunData, names: &[String]) -> Vec<(&'a Cell, usize, Estimate)> {
    let mut shown: Vec<(&Cell, usize, Estimate)> = Vec::new();
    for cell in &data.cells {
        let (Some(waste), Some(category)) = (cell.waste, names.iter().position(|name| *name == cell.policy))
        else {
            continue;
        };
        let rival = shown.iter_mut().find(|(other, ..)| {
            other.policy == cell.policy
                && other.level == cell.level
                && other.program == cell.program
                && other.mtbf_s.total_cmp(&cell.mtbf_s).is_eq()
        });
        match rival {
            Some(rival) if rival.2.mean <= waste.mean => {}
            Some(rival) => *rival = (cell, category, waste),
            None => shown.push((cell, category, waste)),
        }
    }
    shown
}

fn label(policy: &str) -> String {
    match policy {
        "fixed" => "best fixed".to_owned(),
        "young" => "Young".to_owned(),
        "daly" => "Daly".to_owned(),
        "daly-higher" => "Daly h.o.".to_owned(),
        other => other.to_owned(),
    }
}

/// A logarithmic axis where a baseline without checkpoints would press all others flat on a linear one.
fn scale(shown: &[(&Cell, usize, Estimate)]) -> Option<Axis> {
    let means = shown.iter().map(|(_, _, waste)| waste.mean);
    let (low, high) = means
        .clone()
        .fold((f64::INFINITY, 0.0f64), |(l, h), mean| (l.min(mean), h.max(mean)));
    let ends = shown
        .iter()
        .flat_map(|(_, _, waste)| waste.interval.map_or([waste.mean; 2], |(l, h)| [l, h]));
    if low > 0.0 && high / low > 5.0 {
        Axis::log_share(ends.chain(means), LABEL)
    } else {
        Axis::from_zero(ends.chain(means), LABEL)
    }
}

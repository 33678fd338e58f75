//! How long whole jobs take, where the rows of the trials are there: a curve a policy.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::caption;
use super::distribution::{Curve, Form, Panel, draw};
use super::series::{FIXED, Series, letter, level_name, policy_name, same, short};
use super::{Column, Figure, by_interval};
use crate::plot::data::{Cell, Makespans, RunData, Setting};
use crate::plot::draw::font::Face;
use crate::plot::draw::style::Look;
use crate::plot::draw::ticks::duration;

/// Trials from which a distribution is worth a curve.
const TRIALS_MIN: u64 = 10;
/// Policies a panel has looks for.
const SERIES_MAX: usize = 7;
/// Panels a page has room for, and pages that are still read.
const PANELS_MAX: usize = 4;
const PAGES_MAX: usize = 4;

/// Percentiles and cumulative shares of the makespan; of a grid of fixed intervals the one with the least waste.
pub(crate) fn figures(data: &RunData, column: Column, face: &Face) -> Vec<Figure> {
    let series = Series::of(data);
    let mut policies: Vec<&str> = Vec::new();
    for cell in data.cells.iter().filter(|cell| cell.policy != "never") {
        if !policies.contains(&cell.policy.as_str()) {
            policies.push(&cell.policy);
        }
    }
    policies.truncate(SERIES_MAX);
    let mut panels = Vec::new();
    for setting in &series.settings {
        for &mtbf_s in &series.mtbfs_s {
            let panel = panel(data, &series, &policies, setting, mtbf_s);
            if !panel.curves.is_empty() {
                panels.push((setting, panel));
            }
        }
    }
    if panels.len() > PANELS_MAX * PAGES_MAX {
        return Vec::new();
    }
    let alone = panels.len() == 1;
    for (place, (_, panel)) in panels.iter_mut().enumerate() {
        panel.name = panel
            .name
            .take()
            .filter(|_| !alone)
            .map(|name| format!("{} {name}", letter(place)));
    }
    [Form::Percentiles, Form::Cumulative]
        .into_iter()
        .flat_map(|form| {
            panels
                .chunks(PANELS_MAX)
                .enumerate()
                .map(move |(page, here)| (form, page, here))
        })
        .map(|(form, page, here)| {
            let (stem, title) = match form {
                Form::Percentiles => ("makespan", "Percentiles of the makespan"),
                Form::Cumulative => ("makespan-cdf", "Distribution of the makespan"),
            };
            let shown: Vec<&Panel> = here.iter().map(|(_, panel)| panel).collect();
            let mut settings: Vec<Setting> = here.iter().map(|(setting, _)| (*setting).clone()).collect();
            settings.dedup();
            Figure {
                stem: by_interval::page_name(stem, page),
                scene: draw(&shown, form, ("", title.to_owned()), column, face),
                caption: text(&series, &settings, &shown, (form, page * PANELS_MAX), column),
            }
        })
        .collect()
}

fn panel(data: &RunData, series: &Series, policies: &[&str], setting: &Setting, mtbf_s: f64) -> Panel {
    let mut curves = Vec::new();
    for (place, policy) in policies.iter().enumerate() {
        for &level in &series.levels {
            let cells = data.cells.iter().filter(|cell| {
                cell.setting == *setting
                    && same(cell.mtbf_s, mtbf_s)
                    && cell.policy == *policy
                    && cell.level == level
            });
            let Some(cell) = least(cells) else { continue };
            let Some(makespans) = data.makespans_of(cell).filter(|spans| spans.trials >= TRIALS_MIN) else {
                continue;
            };
            let name = if *policy == FIXED {
                "Fixed, best τ".to_owned()
            } else {
                policy_name(policy)
            };
            curves.push(curve(name, Look::of(place), cell, makespans));
        }
    }
    let name = format!("MTBF {}", duration(mtbf_s));
    Panel {
        quantity: "Makespan",
        from_least: true,
        name: Some(match series.letter(setting) {
            Some(_) => format!("{name}, {}", described(series, setting)),
            None => name,
        }),
        curves,
    }
}

/// What tells a setting, without its letter: the panels have letters of their own.
fn described(series: &Series, setting: &Setting) -> String {
    let name = series.panel_name(setting).unwrap_or_default();
    short(name.split_once(' ').map_or("", |(_, rest)| rest))
}

fn least<'a>(cells: impl Iterator<Item = &'a Cell>) -> Option<&'a Cell> {
    let waste = |cell: &Cell| cell.waste.map_or(f64::INFINITY, |waste| waste.mean);
    cells.min_by(|a, b| waste(a).total_cmp(&waste(b)))
}

fn curve(name: String, look: Look, cell: &Cell, makespans: &Makespans) -> Curve {
    let mut counts = BTreeMap::new();
    for &nanos in &makespans.completed_ns {
        *counts.entry(nanos).or_default() += 1;
    }
    Curve {
        name,
        look,
        level: cell.level,
        counts,
        beyond: makespans.trials - makespans.completed_ns.len() as u64,
    }
}

fn text(
    series: &Series,
    settings: &[Setting],
    panels: &[&Panel],
    (form, first): (Form, usize),
    column: Column,
) -> String {
    let mut text = match form {
        Form::Percentiles => "Percentiles of the makespan, by policy.",
        Form::Cumulative => "Cumulative distribution of the makespan, by policy.",
    }
    .to_owned();
    text.push_str(
        " Of the fixed intervals the one with the least waste. Trials that were given up count as longer than all others.\n",
    );
    text.push_str(&caption::conditions(series, settings));
    for (place, panel) in panels.iter().enumerate() {
        let counts: Vec<String> = panel
            .curves
            .iter()
            .map(|curve| {
                let level = level_name(curve.level).to_lowercase();
                format!("{} {} ({level})", curve.name, curve.total())
            })
            .collect();
        let _ = writeln!(
            text,
            "Panel {}: n = {} trials.",
            letter(first + place),
            counts.join("; ")
        );
    }
    text.push_str(&caption::regenerate(column).replace("summary.csv", "summary.csv and trials.csv"));
    text
}

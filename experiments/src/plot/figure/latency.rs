//! How long captures suspend the guest and how long recoveries take.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::caption;
use super::distribution::{Curve, Form, Panel, draw};
use super::series::{Series, level_name};
use super::{Column, Figure, by_interval};
use crate::plot::data::{CellLatency, RunData, Setting};
use crate::plot::draw::font::Face;
use crate::plot::draw::ticks::duration;

/// Settings a page has room for, at two panels each.
const SETTINGS_MAX: usize = 2;
/// Pages up to which cumulative shares are drawn besides percentiles.
const CUMULATIVE_PAGES_MAX: usize = 2;

/// Percentiles and cumulative shares of downtime and recovery time, where the run has logged any.
pub(crate) fn figures(data: &RunData, column: Column, face: &Face) -> Vec<Figure> {
    let series = Series::of(data);
    let panels: Vec<(usize, Panel)> = series
        .settings
        .iter()
        .enumerate()
        .flat_map(|(index, setting)| {
            let quantities = [
                ("Guest suspended", &data.downtime),
                ("Recovery time", &data.recovery),
            ];
            let series = &series;
            quantities
                .into_iter()
                .map(move |(quantity, logged)| (index, pool(data, series, setting, quantity, logged)))
        })
        .filter(|(_, panel)| !panel.curves.is_empty())
        .collect();
    let pages = series.settings.len().div_ceil(SETTINGS_MAX);
    // Of many settings the tails are what is compared.
    let forms = if pages > CUMULATIVE_PAGES_MAX {
        vec![Form::Percentiles]
    } else {
        vec![Form::Percentiles, Form::Cumulative]
    };
    forms
        .into_iter()
        .flat_map(|form| (0..pages).map(move |page| (form, page)))
        .filter_map(|(form, page)| {
            let here: Vec<&(usize, Panel)> = panels
                .iter()
                .filter(|(index, _)| index / SETTINGS_MAX == page)
                .collect();
            let first = here.first()?.0;
            let settings = &series.settings[first..=here.last()?.0];
            let panels: Vec<&Panel> = here.iter().map(|(_, panel)| panel).collect();
            let (stem, title) = match form {
                Form::Percentiles => ("latency", "Percentiles of suspension and recovery"),
                Form::Cumulative => ("latency-cdf", "Distributions of suspension and recovery"),
            };
            Some(Figure {
                stem: by_interval::page_name(stem, page),
                scene: draw(&panels, form, ("MTBF", title.to_owned()), column, face),
                caption: text(&series, settings, &panels, form, column),
            })
        })
        .collect()
}

/// Puts together the histograms of all checkpointing policies of a setting.
fn pool(
    data: &RunData,
    series: &Series,
    setting: &Setting,
    quantity: &'static str,
    logged: &[CellLatency],
) -> Panel {
    let mut curves: Vec<Curve> = Vec::new();
    for &mtbf_s in &series.mtbfs_s {
        for &level in &series.levels {
            let mut counts = BTreeMap::new();
            let of_curve = logged.iter().filter(|latency| {
                data.cell_of(latency).is_some_and(|cell| {
                    cell.setting == *setting
                        && cell.interval_s.is_some()
                        && super::series::same(cell.mtbf_s, mtbf_s)
                        && cell.level == level
                })
            });
            for latency in of_curve {
                for value in latency.histogram.iter_recorded() {
                    let count: &mut u64 = counts.entry(value.value_iterated_to()).or_default();
                    *count = count.saturating_add(value.count_at_value());
                }
            }
            if !counts.is_empty() {
                curves.push(Curve {
                    name: duration(mtbf_s),
                    look: series.look(mtbf_s),
                    level,
                    counts,
                    beyond: 0,
                });
            }
        }
    }
    Panel {
        quantity,
        name: series.panel_name(setting),
        from_least: false,
        curves,
    }
}

fn text(series: &Series, settings: &[Setting], panels: &[&Panel], form: Form, column: Column) -> String {
    let what = match form {
        Form::Percentiles => "Percentiles",
        Form::Cumulative => "Cumulative distributions",
    };
    let mut text = format!(
        "{what} of the time for which a checkpoint suspends the guest, and of the time from a failure until the guest runs \
         again, by mean time between failures (MTBF), over all policies that checkpoint.\n"
    );
    text.push_str(&caption::conditions(series, settings));
    for panel in panels {
        let counts: Vec<String> = panel
            .curves
            .iter()
            .map(|curve| {
                let level = level_name(curve.level).to_lowercase();
                format!("{} at MTBF = {} ({level})", curve.total(), curve.name)
            })
            .collect();
        let _ = writeln!(
            text,
            "{}{}: n = {} values.",
            panel
                .name
                .as_ref()
                .map_or(String::new(), |name| format!("{name}, ")),
            panel.quantity.to_lowercase(),
            counts.join(", ")
        );
    }
    text.push_str(match form {
        Form::Percentiles => {
            "HDR histograms with three significant digits; the axis ends where single values decide.\n"
        }
        Form::Cumulative => {
            "HDR histograms with three significant digits. Markers: 50, 90, 99, 99.9 and 99.99 %.\n"
        }
    });
    text.push_str(&caption::regenerate(column));
    text
}

//! For how long captures suspend the guest, setting beside setting: a row each, where a panel each would be too many to compare.

use std::fmt::Write;

use super::caption;
use super::page;
use super::series::{Series, level_name};
use super::{Column, Figure};
use crate::plot::data::{CellLatency, Level, RunData, Setting};
use crate::plot::draw::axis::{AxisSpec, Frame};
use crate::plot::draw::font::Face;
use crate::plot::draw::legend::{self, Group, Swatch};
use crate::plot::draw::mark::{Along, Mark};
use crate::plot::draw::scale::Scale;
use crate::plot::draw::scene::{Anchor, Rect, Scene, at};
use crate::plot::draw::style::{Look, SMALL};
use crate::plot::draw::ticks::{Kind, duration};

const ROW: f64 = 11.5;
const EDGE: f64 = 2.0;
const AFTER_LABEL: f64 = 5.0;
/// Share of the width that names may take.
const LABELS_MAX: f64 = 0.6;
/// Space left and right of the shortest and the longest suspension, as a factor.
const MARGIN: f64 = 1.3;
/// Settings whose medians all lie closer than this factor have nothing to compare.
const APART: f64 = 1.1;
const ROWS_MIN: usize = 3;
const ROWS_MAX: usize = 44;

/// The suspensions of a setting at a level, over all policies that checkpoint.
struct Row {
    name: String,
    /// Rows of one program look alike.
    program: String,
    level: Level,
    count: u64,
    /// 5 %, 50 % and 95 % of the suspensions are not longer.
    quantiles_s: [f64; 3],
}

/// One figure, of three settings at least that differ.
pub(crate) fn figures(data: &RunData, column: Column, face: &Face) -> Vec<Figure> {
    let series = Series::of(data);
    let mut rows = Vec::new();
    for setting in &series.settings {
        for &level in &series.levels {
            rows.extend(row(data, &series, setting, level));
        }
    }
    let medians = || rows.iter().map(|row: &Row| row.quantiles_s[1]);
    let (least, most) = (
        medians().fold(f64::INFINITY, f64::min),
        medians().fold(0.0, f64::max),
    );
    if rows.len() < ROWS_MIN || rows.len() > ROWS_MAX || most < APART * least {
        return Vec::new();
    }
    draw(&rows, column, face).into_iter().collect()
}

fn row(data: &RunData, series: &Series, setting: &Setting, level: Level) -> Option<Row> {
    let is_here = |latency: &&CellLatency| {
        let cell = data.cell_of(latency);
        cell.is_some_and(|cell| cell.setting == *setting && cell.level == level)
    };
    let mut logged = data.downtime.iter().filter(is_here);
    let mut all = logged.next()?.histogram.clone();
    // The others may hold longer times than the first has room for.
    all.auto(true);
    for latency in logged {
        all.add(&latency.histogram).ok()?;
    }
    let name = series.panel_name(setting)?;
    let seconds = |share: f64| all.value_at_quantile(share) as f64 / 1e9;
    Some(Row {
        name: name.split_once(' ').map_or("", |(_, rest)| rest).to_owned(),
        program: setting.program.clone(),
        level,
        count: all.len(),
        quantiles_s: [0.05, 0.5, 0.95].map(seconds),
    })
}

fn draw(rows: &[Row], column: Column, face: &Face) -> Option<Figure> {
    let times = rows.iter().flat_map(|row| row.quantiles_s);
    let x = AxisSpec {
        scale: Scale::log_around(times, MARGIN)?,
        kind: Kind::Time,
        label: "Guest suspended".to_owned(),
    };
    let width = page::width(column);
    let names: Vec<String> = rows
        .iter()
        .map(|row| page::fitted(face, &row.name, width * LABELS_MAX))
        .collect();
    let labels = names
        .iter()
        .map(|name| face.width(name, SMALL))
        .fold(0.0, f64::max);
    let margins = Frame::margins(face, ROW, &x, &x);
    let legend = legend(rows);
    let left = EDGE + labels + AFTER_LABEL;
    let top = EDGE + legend::height(face, &legend, width - 2.0 * EDGE) + 4.0;
    let area = Rect {
        left,
        top,
        right: width - EDGE - margins.right,
        bottom: top + rows.len() as f64 * ROW,
    };
    let title = "Suspension of the guest by setting".to_owned();
    let mut scene = Scene::new(width, area.bottom + margins.bottom + EDGE + 1.0, title);
    legend::paint(&mut scene, face, &legend, EDGE, EDGE, width - 2.0 * EDGE);
    let frame = Frame::with_rows(face, area, x, rows.len() as f64);
    frame.paint(&mut scene);
    let programs = programs(rows);
    for (place, (row, name)) in rows.iter().zip(names).enumerate() {
        let middle = top + (place as f64 + 0.5) * ROW;
        scene.text(at(EDGE, middle + SMALL * 0.36), SMALL, Anchor::Start, name);
        let program = programs.iter().position(|program| *program == row.program);
        let [low, median, high] = row.quantiles_s;
        let Some(centre) = frame.x_of(median).map(|x| at(x, middle)) else {
            continue;
        };
        let mark = Mark {
            centre,
            ends: Some((at(frame.x_or_low(low), middle), at(frame.x_or_low(high), middle))),
            along: Along::X,
            level: row.level,
            look: Look::of(program.unwrap_or_default()),
        };
        scene.group(level_name(row.level), |scene| frame.mark(scene, &mark));
    }
    Some(Figure {
        stem: "suspension".to_owned(),
        scene,
        caption: text(rows, column),
    })
}

fn programs(rows: &[Row]) -> Vec<&str> {
    let mut programs: Vec<&str> = Vec::new();
    for row in rows {
        if !programs.contains(&row.program.as_str()) {
            programs.push(&row.program);
        }
    }
    programs
}

fn legend(rows: &[Row]) -> Vec<Group> {
    let levels = [Level::Model, Level::Sim, Level::Cluster].into_iter();
    let levels = levels.filter(|level| rows.iter().any(|row| row.level == *level));
    let name = |level| format!("{}, median and 5–95 %", level_name(level));
    vec![Group {
        heading: String::new(),
        entries: levels.map(|level| (Swatch::Marker(level), name(level))).collect(),
    }]
}

fn text(rows: &[Row], column: Column) -> String {
    let mut text = "For how long a checkpoint suspends the guest, by setting, over all policies that checkpoint. Markers: medians; \
                    bars: from the 5 % to the 95 % quantile. Logarithmic axis.\n"
        .to_owned();
    for row in rows {
        let [low, median, high] = row.quantiles_s.map(duration);
        let level = level_name(row.level).to_lowercase();
        let _ = writeln!(
            text,
            "{} ({level}): {median}, {low} to {high}, n = {} checkpoints.",
            row.name, row.count
        );
    }
    text.push_str("HDR histograms with three significant digits.\n");
    text.push_str(&caption::regenerate(column));
    text
}

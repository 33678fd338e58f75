//! Policies beside each other: a row each, a block an MTBF, waste on a logarithmic axis so that *never* fits.

use super::caption;
use super::page;
use super::series::{FIXED, Series, level_name, policy_name, same};
use super::{Column, Figure};
use crate::plot::data::{Cell, Level, RunData, Setting};
use crate::plot::draw::axis::{AxisSpec, Frame};
use crate::plot::draw::font::Face;
use crate::plot::draw::legend::{self, Group, Swatch};
use crate::plot::draw::mark::{Along, Mark};
use crate::plot::draw::scale::Scale;
use crate::plot::draw::scene::{Anchor, Rect, Scene, at};
use crate::plot::draw::style::{CURVE_WIDTH, GREY, SMALL, solid};
use crate::plot::draw::ticks::{Kind, duration};

const ROW: f64 = 12.5;
/// How far the levels of a row are from its middle: the axis is one of names, so nothing is moved from its value.
const APART: f64 = 2.5;
/// A confidence interval that reaches further down than this share of its mean runs out of the frame.
const REACH_SHARE: f64 = 0.4;
const INDENT: f64 = 6.0;
const AFTER_LABEL: f64 = 5.0;
const EDGE: f64 = 2.0;
/// Space left and right of the least and the greatest waste, as a factor.
const MARGIN: f64 = 1.15;
/// Rows a page has room for.
const ROWS_MAX: usize = 44;
/// Half the height of the stroke that marks theory.
const THEORY_REACH: f64 = 5.4;

/// A block: a setting and an MTBF, and the policies that have values there.
struct Block<'a> {
    name: String,
    rows: Vec<Row<'a>>,
}

struct Row<'a> {
    name: String,
    cells: Vec<&'a Cell>,
}

/// The comparison, on as many pages as the rows need.
pub(crate) fn figures(data: &RunData, column: Column, face: &Face) -> Vec<Figure> {
    let series = Series::of(data);
    let mut pages: Vec<Vec<Block>> = Vec::new();
    let mut rows = usize::MAX;
    for block in blocks(data, &series) {
        let more = block.rows.len() + 1;
        if rows.saturating_add(more) > ROWS_MAX {
            pages.push(Vec::new());
            rows = 0;
        }
        rows += more;
        if let Some(page) = pages.last_mut() {
            page.push(block);
        }
    }
    pages
        .iter()
        .enumerate()
        .filter_map(|(page, blocks)| draw(data, &series, blocks, column, face, page))
        .collect()
}

fn blocks<'a>(data: &'a RunData, series: &Series) -> Vec<Block<'a>> {
    let mut blocks = Vec::new();
    for setting in &series.settings {
        for &mtbf_s in &series.mtbfs_s {
            let here = |cell: &&Cell| {
                cell.setting == *setting
                    && same(cell.mtbf_s, mtbf_s)
                    && cell.waste.is_some_and(|waste| waste.mean > 0.0)
            };
            let cells: Vec<&Cell> = data.cells.iter().filter(here).collect();
            let rows = rows(&cells);
            if !rows.is_empty() {
                let mtbf = format!("MTBF = {}", duration(mtbf_s));
                let name = match series.panel_name(setting) {
                    Some(name) if series.mtbfs_s.len() == 1 => name,
                    Some(name) => format!("{name}, {mtbf}"),
                    None => mtbf,
                };
                blocks.push(Block { name, rows });
            }
        }
    }
    blocks
}

/// A row a policy, in order of appearance.
fn rows<'a>(cells: &[&'a Cell]) -> Vec<Row<'a>> {
    let mut rows: Vec<(&str, Vec<&Cell>)> = Vec::new();
    for &cell in cells {
        match rows.iter_mut().find(|(policy, _)| *policy == cell.policy) {
            Some((_, row)) => row.push(cell),
            None => rows.push((&cell.policy, vec![cell])),
        }
    }
    rows.into_iter()
        .map(|(policy, cells)| {
            let grid = caption::grid(&cells).filter(|_| policy == FIXED);
            let name = match grid {
                Some(grid) => format!("{}, {grid}", policy_name(policy)),
                None => policy_name(policy),
            };
            Row { name, cells }
        })
        .collect()
}

fn draw(
    data: &RunData,
    series: &Series,
    blocks: &[Block],
    column: Column,
    face: &Face,
    page: usize,
) -> Option<Figure> {
    let cells: Vec<&Cell> = blocks
        .iter()
        .flat_map(|block| &block.rows)
        .flat_map(|row| row.cells.iter().copied())
        .collect();
    let extremes = cells.iter().filter_map(|cell| cell.waste).flat_map(|waste| {
        let (low, high) = waste.ci95.unwrap_or((waste.mean, waste.mean));
        [low.max(REACH_SHARE * waste.mean), high]
    });
    let scale = Scale::log_around(extremes, MARGIN)?;
    let x = AxisSpec {
        scale,
        kind: Kind::Percent,
        label: "Waste (%)".to_owned(),
    };
    let lines: usize = blocks.iter().map(|block| block.rows.len() + 1).sum();
    let labels = blocks
        .iter()
        .flat_map(|block| &block.rows)
        .map(|row| INDENT + face.width(&row.name, SMALL))
        .fold(0.0, f64::max);
    let margins = Frame::margins(face, ROW, &x, &x);
    let width = page::width(column);
    let legend = legend(series, &cells);
    let legend_height = legend::height(face, &legend, width - 2.0 * EDGE);
    let top = EDGE + legend_height + 4.0;
    let area = Rect {
        left: EDGE + labels + AFTER_LABEL,
        top,
        right: width - EDGE - margins.right,
        bottom: top + lines as f64 * ROW,
    };
    let title = "Waste by checkpoint policy".to_owned();
    let mut scene = Scene::new(width, area.bottom + margins.bottom + EDGE + 1.0, title);
    legend::paint(
        &mut scene,
        face,
        &legend,
        area.left,
        EDGE,
        width - EDGE - area.left,
    );
    paint_blocks(&mut scene, face, series, blocks, (area, &x));
    Some(Figure {
        stem: super::by_interval::page_name("policies", page),
        scene,
        caption: text(data, series, &cells, column),
    })
}

/// The name of a block has the width of the page, so each has a frame of its own; the last has the labels.
fn paint_blocks(
    scene: &mut Scene,
    face: &Face,
    series: &Series,
    blocks: &[Block],
    (area, x): (Rect, &AxisSpec),
) {
    let mut top = area.top;
    for (place, block) in blocks.iter().enumerate() {
        let rows = block.rows.len() as f64;
        let own = Rect {
            top: top + ROW,
            bottom: top + (rows + 1.0) * ROW,
            ..area
        };
        let mut frame = Frame::with_rows(face, own, x.clone(), rows);
        if place + 1 < blocks.len() {
            frame = frame.without_labels();
        }
        frame.paint(scene);
        let name = page::fitted(face, &block.name, scene.width - 2.0 * EDGE);
        let base = top + ROW / 2.0 + SMALL * 0.36;
        scene.text(at(EDGE, base), SMALL, Anchor::Start, name);
        for (line, row) in block.rows.iter().enumerate() {
            let middle = own.top + (line as f64 + 0.5) * ROW;
            let label = at(EDGE + INDENT, middle + SMALL * 0.36);
            scene.text(label, SMALL, Anchor::Start, row.name.as_str());
            paint_row(series, row, &frame, middle, scene);
        }
        top = own.bottom;
    }
}

fn paint_row(series: &Series, row: &Row, frame: &Frame, y: f64, scene: &mut Scene) {
    scene.group("theory", |scene| {
        let mut theory: Vec<f64> = row.cells.iter().filter_map(|cell| cell.theory_waste).collect();
        theory.dedup();
        for x in theory.into_iter().filter_map(|waste| frame.x_of(waste)) {
            if x >= frame.area.left && x <= frame.area.right {
                let upright = [at(x, y - THEORY_REACH), at(x, y + THEORY_REACH)];
                frame.line(scene, &upright, solid(GREY, CURVE_WIDTH));
            }
        }
    });
    let apart = if series.levels.len() > 1 { APART } else { 0.0 };
    for (level, y) in [
        (Level::Model, y - apart),
        (Level::Sim, y + apart),
        (Level::Cluster, y + apart),
    ] {
        scene.group(level_name(level), |scene| {
            for cell in row.cells.iter().filter(|cell| cell.level == level) {
                paint_mark(series, cell, frame, y, scene);
            }
        });
    }
}

fn paint_mark(series: &Series, cell: &Cell, frame: &Frame, y: f64, scene: &mut Scene) {
    let Some(waste) = cell.waste else { return };
    let Some(x) = frame.x_of(waste.mean) else { return };
    let ends = waste
        .ci95
        .map(|(low, high)| (at(frame.x_or_low(low), y), at(frame.x_or_low(high), y)));
    let mark = Mark {
        centre: at(x, y),
        ends,
        along: Along::X,
        level: cell.level,
        look: series.look(cell.mtbf_s),
    };
    frame.mark(scene, &mark);
}

fn legend(series: &Series, cells: &[&Cell]) -> Vec<Group> {
    let levels = series
        .levels
        .iter()
        .filter(|level| cells.iter().any(|cell| cell.level == **level))
        .map(|&level| (Swatch::Marker(level), level_name(level).to_owned()));
    let theory = cells
        .iter()
        .any(|cell| cell.theory_waste.is_some())
        .then(|| (Swatch::Upright, "Theory".to_owned()));
    vec![Group {
        heading: String::new(),
        entries: levels.chain(theory).collect(),
    }]
}

fn text(data: &RunData, series: &Series, cells: &[&Cell], column: Column) -> String {
    let mut text = "Waste (1 − work / mean makespan) of the checkpoint policies, by mean time between failures (MTBF); all \
                    policies meet the same failures. Logarithmic axis. A fixed policy has a point for each of its intervals.\n"
        .to_owned();
    let here = |setting: &&Setting| cells.iter().any(|cell| cell.setting == **setting);
    let settings: Vec<Setting> = series.settings.iter().filter(here).cloned().collect();
    text.push_str(&caption::conditions(series, &settings));
    text.push_str(&caption::markers(cells));
    text.push_str(caption::OF_THE_MEAN);
    if cells.iter().any(|cell| cell.theory_waste.is_some()) {
        text.push_str("Upright strokes: expected value in closed form (exponential failures).\n");
    }
    let absent: Vec<&Cell> = data
        .cells
        .iter()
        .filter(|cell| cell.waste.is_none() && settings.contains(&cell.setting))
        .collect();
    text.push_str(&caption::missing(&absent));
    text.push_str(&caption::regenerate(column));
    text
}

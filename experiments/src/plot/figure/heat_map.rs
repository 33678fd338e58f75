//! Mean waste over a grid, where exactly two factors take three values or more.

use super::attribute::{self, Attribute, Value, interval, numbers, primary, said, secondary};
use super::by_factor::VALUES_MIN;
use super::series::{FIXED, level_name, policy_name, same};
use super::{Column, Figure, caption, page};
use crate::plot::data::{Cell, Level, RunData};
use crate::plot::draw::axis::{AxisSpec, Frame};
use crate::plot::draw::font::Face;
use crate::plot::draw::mark::Mark;
use crate::plot::draw::ramp;
use crate::plot::draw::scale::Scale;
use crate::plot::draw::scene::{Anchor, Point, Rect, Scene, at};
use crate::plot::draw::style::{GREY, INK, Look, SMALL, solid};
use crate::plot::draw::ticks::Kind;

/// With more maps a folder is no longer read.
const MAPS_MAX: usize = 4;
/// A map whose values differ by less than this share of the greatest shows nothing.
const FLAT: f64 = 0.05;
const EDGE: f64 = 2.0;
const BAR_WIDTH: f64 = 8.0;
/// Between the map and the label of its bar.
const BEFORE_BAR: f64 = 7.0;
const BAR_STEPS: u32 = 64;
/// Neighbours overlap by this, or viewers show seams.
const OVERLAP: f64 = 0.2;

/// What a policy does at one level and in one setting of all that is no axis.
struct Map<'a> {
    policy: String,
    level: Level,
    /// What tells this map from others of the policy.
    name: String,
    x: &'a Attribute,
    y: &'a Attribute,
    cells: Vec<&'a Cell>,
}

/// A map a policy, level and setting; none where the cells are no grid of two factors.
pub(crate) fn figures(data: &RunData, column: Column, face: &Face) -> Vec<Figure> {
    let mut policies: Vec<String> = Vec::new();
    for cell in data.cells.iter().filter(|cell| cell.policy != "never") {
        let policy = attribute::family(cell);
        if !policies.contains(&policy) {
            policies.push(policy);
        }
    }
    let mut figures: Vec<Figure> = Vec::new();
    for policy in policies {
        let cells: Vec<&Cell> = data
            .cells
            .iter()
            .filter(|cell| attribute::family(cell) == policy)
            .collect();
        let mut attributes: Vec<Attribute> = primary(&cells)
            .into_iter()
            .filter(|attribute| attribute.key != "policy")
            .collect();
        if policy == FIXED {
            attributes.insert(0, interval());
        }
        let named = attributes.len();
        attributes.extend(secondary());
        let Some([x, y]) = two_factors(&cells, &attributes, named) else {
            continue;
        };
        for map in maps(&policy, &cells, &attributes[..named], x, y) {
            figures.extend(map.draw(column, face));
        }
    }
    for number in (0..figures.len()).rev() {
        let before = figures[..number]
            .iter()
            .filter(|other| other.stem == figures[number].stem)
            .count();
        figures[number].stem = super::by_interval::page_name(&figures[number].stem, before);
    }
    figures.truncate(MAPS_MAX);
    figures
}

/// The factors, if there are two; attributes from `named` on may follow from those before.
fn two_factors<'a>(cells: &[&Cell], attributes: &'a [Attribute], named: usize) -> Option<[&'a Attribute; 2]> {
    let mut factors: Vec<&Attribute> = Vec::new();
    let primary: Vec<&Attribute> = attributes[..named].iter().collect();
    for (index, attribute) in attributes.iter().enumerate() {
        let follows = attribute::determined(cells, attribute, &factors)
            || index >= named && attribute::determined(cells, attribute, &primary);
        if numbers(cells, attribute).len() >= VALUES_MIN && !follows {
            factors.push(attribute);
        }
    }
    <[&Attribute; 2]>::try_from(factors).ok()
}

fn maps<'a>(
    policy: &str,
    cells: &[&'a Cell],
    attributes: &[Attribute],
    x: &'a Attribute,
    y: &'a Attribute,
) -> Vec<Map<'a>> {
    let others: Vec<&Attribute> = attributes
        .iter()
        .filter(|other| other.key != x.key && other.key != y.key && other.key != "shape")
        .filter(|other| !attribute::determined(cells, other, &[]))
        .filter(|other| !attribute::determined(cells, other, &[x, y]))
        .collect();
    let mut maps: Vec<Map> = Vec::new();
    for &cell in cells {
        let parts: Vec<String> = others.iter().filter_map(|other| said(other, cell)).collect();
        let name = parts.join(", ");
        match maps
            .iter_mut()
            .find(|map| map.name == name && map.level == cell.level)
        {
            Some(map) => map.cells.push(cell),
            None => maps.push(Map {
                policy: policy.to_owned(),
                level: cell.level,
                name,
                x,
                y,
                cells: vec![cell],
            }),
        }
    }
    maps
}

impl Map<'_> {
    fn draw(&self, column: Column, face: &Face) -> Option<Figure> {
        let (xs, ys) = (numbers(&self.cells, self.x), numbers(&self.cells, self.y));
        if xs.len() < VALUES_MIN || ys.len() < VALUES_MIN {
            return None;
        }
        let (across, up) = (Sides::of(&xs)?, Sides::of(&ys)?);
        let rows: Vec<Vec<Option<&Cell>>> = ys
            .iter()
            .map(|y| xs.iter().map(|x| self.at(*x, *y)).collect())
            .collect();
        // A grid may have holes, but no place for two.
        if rows.iter().flatten().flatten().count() < self.cells.len() {
            return None;
        }
        let waste = |cell: &Cell| cell.waste.map(|waste| waste.mean);
        let wastes = || self.cells.iter().filter_map(|cell| waste(cell));
        let least = wastes().fold(f64::INFINITY, f64::min);
        let most = wastes().fold(0.0, f64::max);
        if most - least < FLAT * most {
            return None;
        }
        let scale = Scale::linear_from_zero([most].into_iter(), 1.0);

        let (mut scene, frame, bar) = self.page(&across, &up, scale, column, face);
        scene.group("cells", |scene| {
            for (row, cells) in rows.iter().enumerate() {
                for (place, cell) in cells.iter().enumerate() {
                    let area = tile(&frame.area, across.between(place), up.between(row));
                    match cell.and_then(waste).and_then(|mean| scale.share(mean)) {
                        Some(share) => frame.fill(scene, corners(&area), ramp::colour(share)),
                        None => frame.line(
                            scene,
                            &[at(area.left, area.bottom), at(area.right, area.top)],
                            solid(GREY, 0.5),
                        ),
                    }
                }
            }
        });
        scene.group("least", |scene| {
            let look = Look {
                colour: INK,
                ..Look::of(0)
            };
            for cells in rows.iter().filter(|_| self.policy == FIXED) {
                let least = cells
                    .iter()
                    .flatten()
                    .filter_map(|cell| Some((waste(cell)?, self.place(cell, &frame)?)))
                    .min_by(|a, b| a.0.total_cmp(&b.0));
                if let Some((_, centre)) = least {
                    frame.mark(scene, &Mark::bare(centre, Level::Model, look));
                }
            }
        });
        scene.group("bar", |scene| paint_bar(scene, &bar));
        let axes = |attribute: &Attribute| attribute.key.clone();
        Some(Figure {
            stem: format!(
                "waste-{}-by-{}-and-{}",
                file_part(&self.policy),
                axes(self.x),
                axes(self.y)
            ),
            scene,
            caption: self.caption(column),
        })
    }

    /// Map and bar, side by side, with a line of text above.
    fn page(
        &self,
        across: &Sides,
        up: &Sides,
        waste: Scale,
        column: Column,
        face: &Face,
    ) -> (Scene, Frame, Frame) {
        let (x, y) = (
            self.x.axis(across.scale, &self.cells),
            self.y.axis(up.scale, &self.cells),
        );
        let share = AxisSpec {
            scale: waste,
            kind: Kind::Percent,
            label: "Mean waste (%)".to_owned(),
        };
        let width = page::width(column);
        let height = page::area_height(column, 1, 1);
        let margins = Frame::margins_at(face, height, &x, (&y, &up.values));
        let top = EDGE + SMALL + 5.0;
        let right = width - EDGE - 1.0;
        let bar_area = Rect {
            left: right - BAR_WIDTH,
            top,
            right,
            bottom: top + height,
        };
        let bar_margin = Frame::margins(face, height, &x, &share).left;
        let area = Rect {
            left: EDGE + margins.left,
            top,
            right: bar_area.left - bar_margin - BEFORE_BAR,
            bottom: top + height,
        };
        let title = format!("Mean waste by {} and {}", self.x.name, self.y.name);
        let mut scene = Scene::new(width, area.bottom + margins.bottom + EDGE + 1.0, title);
        scene.text(
            at(area.left, EDGE + SMALL * 0.8),
            SMALL,
            Anchor::Start,
            self.headline(),
        );
        let frame = Frame::at_values(face, area, (x, &across.values), (y, &up.values));
        frame.paint(&mut scene);
        (scene, frame, Frame::upright(face, bar_area, share))
    }

    fn headline(&self) -> String {
        let n = caption::trials(&self.cells, self.level).unwrap_or_default();
        let mut text = format!(
            "{}, {}, n = {n}",
            policy_name(&self.policy),
            level_name(self.level).to_lowercase()
        );
        if self.policy == FIXED {
            text.push_str("; circles: least of a row");
        }
        text
    }

    fn at(&self, x: f64, y: f64) -> Option<&Cell> {
        let is = |attribute: &Attribute, cell: &Cell, wanted: f64| match (attribute.value)(cell) {
            Value::Number(number) => same(number, wanted),
            Value::Text(_) | Value::Nothing => false,
        };
        let mut cells = self.cells.iter().copied();
        cells.find(|cell| is(self.x, cell, x) && is(self.y, cell, y))
    }

    fn place(&self, cell: &Cell, frame: &Frame) -> Option<Point> {
        match ((self.x.value)(cell), (self.y.value)(cell)) {
            (Value::Number(x), Value::Number(y)) => frame.place(x, y),
            _ => None,
        }
    }

    fn caption(&self, column: Column) -> String {
        let mut text = format!(
            "Mean waste (1 − work / mean makespan) by two factors, {} and {}; the darker the more. Policy {}, level {}, n = {} trials a \
             cell.\n",
            self.x.name,
            self.y.name,
            policy_name(&self.policy),
            level_name(self.level).to_lowercase(),
            caption::trials(&self.cells, self.level).unwrap_or_default()
        );
        let experiment = self
            .cells
            .first()
            .map_or("", |cell| cell.setting.experiment.as_str());
        text.push_str(&format!("Experiment {experiment}."));
        if !self.name.is_empty() {
            text.push_str(&format!(" Here: {}.", self.name));
        }
        text.push('\n');
        if self.policy == FIXED {
            text.push_str("Circles: the least of each row.\n");
        }
        if self.cells.iter().any(|cell| cell.waste.is_none()) {
            text.push_str("Struck through: no mean, because some of the trials did not finish.\n");
        }
        text.push_str(&caption::regenerate(column));
        text
    }
}

/// The scale of colours.
fn paint_bar(scene: &mut Scene, bar: &Frame) {
    bar.paint(scene);
    let share = |step: u32| f64::from(step) / f64::from(BAR_STEPS);
    for step in 0..BAR_STEPS {
        let area = tile(&bar.area, (0.0, 1.0), (share(step), share(step + 1)));
        let middle = share(step) + 0.5 / f64::from(BAR_STEPS);
        bar.fill(scene, corners(&area), ramp::colour(middle));
    }
}

/// Where the tiles of an axis meet, as shares of it: half way between neighbouring values.
struct Sides {
    values: Vec<f64>,
    scale: Scale,
    borders: Vec<f64>,
}

impl Sides {
    fn of(values: &[f64]) -> Option<Sides> {
        let (least, most) = (*values.first()?, *values.last()?);
        let scale = attribute::scale(least, most)?;
        let shares: Vec<f64> = values.iter().filter_map(|value| scale.share(*value)).collect();
        let (first, last) = (*shares.first()?, *shares.last()?);
        let before = first - (shares.get(1)? - first) / 2.0;
        let after = last + (last - shares.get(shares.len() - 2)?) / 2.0;
        let between = shares.windows(2).map(|pair| f64::midpoint(pair[0], pair[1]));
        let borders: Vec<f64> = [before].into_iter().chain(between).chain([after]).collect();
        let (low, high) = (scale.coordinate(before), scale.coordinate(after));
        let scale = match scale {
            Scale::Log { .. } => Scale::Log { low, high },
            Scale::Linear { .. } | Scale::Tail { .. } => Scale::Linear { low, high },
        };
        let borders = borders
            .into_iter()
            .map(|border| (border - before) / (after - before))
            .collect();
        Some(Sides {
            values: values.to_vec(),
            scale,
            borders,
        })
    }

    fn between(&self, place: usize) -> (f64, f64) {
        (self.borders[place], self.borders[place + 1])
    }
}

fn tile(area: &Rect, (left, right): (f64, f64), (low, high): (f64, f64)) -> Rect {
    Rect {
        left: area.left + left * area.width(),
        right: (area.left + right * area.width() + OVERLAP).min(area.right),
        top: (area.bottom - high * area.height() - OVERLAP).max(area.top),
        bottom: area.bottom - low * area.height(),
    }
}

fn corners(area: &Rect) -> Vec<Point> {
    vec![
        at(area.left, area.top),
        at(area.right, area.top),
        at(area.right, area.bottom),
        at(area.left, area.bottom),
    ]
}

fn file_part(policy: &str) -> String {
    let words: Vec<&str> = policy
        .split(|sign: char| !sign.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    words.join("-").to_lowercase()
}

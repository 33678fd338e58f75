//! Waste against whatever a spec varies: one figure a factor with at least three values, a series for each combination of the
//! others.
//!
//! What is a factor is read off the table. Columns that follow from others (a measured cost from the program and the method,
//! say) are none.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::caption;
use super::page::{PanelSpec, compose};
use super::series::{FIXED, distinct, level_name, policy_name, same, short};
use super::{Column, Figure, by_interval};
use crate::plot::data::{Cell, RunData};
use crate::plot::draw::axis::{AxisSpec, Frame};
use crate::plot::draw::font::Face;
use crate::plot::draw::legend::{Group, Swatch};
use crate::plot::draw::mark::{Along, Mark};
use crate::plot::draw::scale::Scale;
use crate::plot::draw::scene::Scene;
use crate::plot::draw::style::{CURVE_WIDTH, GREY, Look, solid};
use crate::plot::draw::ticks::{Kind, Unit, duration};

/// Values a factor needs to be worth an axis.
pub(super) const VALUES_MIN: usize = 3;
/// Series on a page: looks that can be told apart.
const SERIES_MAX: usize = 7;
/// With more pages a figure is no longer read.
const PAGES_MAX: usize = 4;
/// Beyond this ratio of the outermost values the axis is logarithmic.
const LOG_RATIO: f64 = 10.0;
/// Space left and right of the outermost values, as a factor.
const MARGIN: f64 = 1.25;

/// Something that differs between cells.
pub(super) struct Attribute {
    /// For file names.
    pub(super) key: String,
    /// For axes and legends.
    pub(super) name: String,
    /// Values are seconds.
    pub(super) time: bool,
    pub(super) value: Box<dyn Fn(&Cell) -> Value>,
}

impl Attribute {
    /// Along a linear axis times have one unit, along a logarithmic one each its own.
    pub(super) fn axis(&self, scale: Scale, cells: &[&Cell]) -> AxisSpec {
        let (kind, label) = match scale {
            Scale::Linear { high, .. } if self.time => {
                let unit = Unit::for_seconds(high, 2.0);
                (Kind::TimeIn(unit), format!("{} ({})", self.name, unit.name))
            }
            _ if self.time => (Kind::Time, self.name.clone()),
            _ => {
                let whole = numbers(cells, self)
                    .iter()
                    .all(|number| same(libm::trunc(*number), *number));
                let kind = if whole { Kind::Whole } else { Kind::Number };
                (kind, self.name.clone())
            }
        };
        AxisSpec { scale, kind, label }
    }
}

/// What a cell has of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Text(String),
    Nothing,
}

/// One figure a factor.
pub(crate) fn figures(data: &RunData, column: Column, face: &Face) -> Vec<Figure> {
    let cells: Vec<&Cell> = data.cells.iter().filter(|cell| is_shown(cell, data)).collect();
    let (primary, secondary) = (primary(&cells), secondary());
    let mut figures = Vec::new();
    let mut drawn: Vec<&Attribute> = Vec::new();
    let candidates = primary.iter().chain(&secondary).filter(|factor| {
        let follows =
            secondary.iter().any(|other| other.key == factor.key) && follows(&cells, factor, None, &primary);
        numbers(&cells, factor).len() >= VALUES_MIN && !follows
    });
    for factor in candidates {
        // Keys that vary together make one figure.
        if drawn
            .iter()
            .any(|other| follows(&cells, factor, Some(other), &[]))
        {
            continue;
        }
        drawn.push(factor);
        figures.extend(draw(&cells, factor, &primary, &secondary, column, face));
    }
    figures
}

/// The grid of fixed intervals has a figure of its own, and *never* would leave no room for the others.
fn is_shown(cell: &Cell, data: &RunData) -> bool {
    if cell.waste.is_none() || cell.policy == "never" {
        return false;
    }
    cell.policy != FIXED || fixed_intervals(data) < VALUES_MIN
}

/// How many intervals the grid of the fixed policy has.
pub(crate) fn fixed_intervals(data: &RunData) -> usize {
    let fixed: Vec<Cell> = data
        .cells
        .iter()
        .filter(|cell| cell.policy == FIXED)
        .cloned()
        .collect();
    distinct(&fixed, |cell| cell.interval_s).len()
}

/// What a spec names: everything else may follow from it.
pub(super) fn primary(cells: &[&Cell]) -> Vec<Attribute> {
    let mut all = Vec::new();
    let mut keys: Vec<&str> = Vec::new();
    for (key, _) in cells.iter().flat_map(|cell| &cell.setting.swept) {
        if !keys.contains(&key.as_str()) {
            keys.push(key);
        }
    }
    for key in keys {
        let (name, time) = match key.strip_suffix("_s") {
            Some(name) => (name, true),
            None => (key, false),
        };
        let wanted = key.to_owned();
        all.push(Attribute {
            key: name.replace('.', "-"),
            name: spoken(name),
            time,
            value: Box::new(move |cell| {
                let found = cell.setting.swept.iter().find(|(key, _)| *key == wanted);
                found.map_or(Value::Nothing, |(_, text)| match text.parse() {
                    Ok(number) => Value::Number(number),
                    Err(_) => Value::Text(text.clone()),
                })
            }),
        });
    }
    let mut push = |key: &str, name: &str, time, value: Box<dyn Fn(&Cell) -> Value>| {
        all.push(Attribute {
            key: key.to_owned(),
            name: name.to_owned(),
            time,
            value,
        });
    };
    push(
        "nodes",
        "Nodes",
        false,
        Box::new(|cell| Value::Number(cell.setting.nodes as f64)),
    );
    push(
        "shape",
        "Shape of the law",
        false,
        Box::new(|cell| cell.setting.shape.map_or(Value::Nothing, Value::Number)),
    );
    push("law", "Law", false, Box::new(|cell| Value::Text(law(cell))));
    push("mtbf", "MTBF", true, Box::new(|cell| Value::Number(cell.mtbf_s)));
    push(
        "program",
        "Program",
        false,
        Box::new(|cell| Value::Text(cell.setting.program.clone())),
    );
    push(
        "policy",
        "Policy",
        false,
        Box::new(|cell| Value::Text(policy(cell))),
    );
    all
}

/// The interval of a fixed policy, where it is a factor.
pub(super) fn interval() -> Attribute {
    Attribute {
        key: "interval".to_owned(),
        name: "Checkpoint interval τ".to_owned(),
        time: true,
        value: Box::new(|cell| cell.interval_s.map_or(Value::Nothing, Value::Number)),
    }
}

/// The axis of a factor: logarithmic where its values span a decade.
pub(super) fn scale(least: f64, most: f64) -> Option<Scale> {
    if least > 0.0 && most / least >= LOG_RATIO {
        return Scale::log_around([least, most].into_iter(), MARGIN);
    }
    let room = (most - least) / 16.0;
    Some(Scale::Linear {
        low: least - room,
        high: most + room,
    })
}

fn law(cell: &Cell) -> String {
    let law = &cell.setting.law;
    cell.setting
        .shape
        .map_or(law.clone(), |shape| format!("{law} {shape}"))
}

/// What a spec may name or what may follow.
pub(super) fn secondary() -> Vec<Attribute> {
    type Of = fn(&Cell) -> f64;
    let all: [(&str, &str, Of); 4] = [
        ("cost", "Checkpoint cost C", |cell| {
            cell.setting.costs.checkpoint_s
        }),
        ("restart", "Restart R", |cell| cell.setting.costs.restart_s),
        ("work", "Work W", |cell| cell.setting.work_s),
        ("downtime", "Downtime D", |cell| cell.setting.costs.downtime_s),
    ];
    let attribute = |(key, name, of): (&str, &str, Of)| Attribute {
        key: key.to_owned(),
        name: name.to_owned(),
        time: true,
        value: Box::new(move |cell| Value::Number(of(cell))),
    };
    all.into_iter().map(attribute).collect()
}

/// The last part of a dotted key, as words.
fn spoken(key: &str) -> String {
    let last = key.rsplit('.').next().unwrap_or(key).replace('_', " ");
    let mut letters = last.chars();
    letters.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

fn policy(cell: &Cell) -> String {
    match cell.interval_s.filter(|_| cell.policy == FIXED) {
        Some(interval_s) => format!("τ = {}", duration(interval_s)),
        None => policy_name(&family(cell)),
    }
}

/// The policy without what is swept of it, as in `adaptive(prior=10)` where the prior is a factor of its own.
pub(super) fn family(cell: &Cell) -> String {
    let whole = || cell.policy.clone();
    let Some((name, told)) = cell
        .policy
        .strip_suffix(')')
        .and_then(|rest| rest.split_once('('))
    else {
        return whole();
    };
    let is_swept = |told: &&str| {
        let key = told.split('=').next().unwrap_or_default().trim();
        let mut keys = cell.setting.swept.iter().map(|(key, _)| key);
        keys.any(|swept| swept.rsplit('.').next() == Some(key))
    };
    let kept: Vec<&str> = told.split(',').filter(|told| !is_swept(told)).collect();
    if kept.is_empty() {
        name.to_owned()
    } else {
        format!("{name}({})", kept.join(","))
    }
}

pub(super) fn numbers(cells: &[&Cell], factor: &Attribute) -> Vec<f64> {
    let mut numbers: Vec<f64> = cells
        .iter()
        .filter_map(|cell| match (factor.value)(cell) {
            Value::Number(number) => Some(number),
            Value::Text(_) | Value::Nothing => None,
        })
        .collect();
    numbers.sort_by(f64::total_cmp);
    numbers.dedup_by(|a, b| same(*a, *b));
    numbers
}

/// Whether the attribute is the same in all cells that agree in `x` and the others.
fn follows(cells: &[&Cell], attribute: &Attribute, x: Option<&Attribute>, others: &[Attribute]) -> bool {
    let by: Vec<&Attribute> = others
        .iter()
        .filter(|other| other.key != attribute.key)
        .chain(x)
        .collect();
    determined(cells, attribute, &by)
}

/// Whether the attribute is the same in all cells that agree in these.
pub(super) fn determined(cells: &[&Cell], attribute: &Attribute, by: &[&Attribute]) -> bool {
    let mut seen = BTreeMap::new();
    cells.iter().all(|cell| {
        let key: Vec<String> = by
            .iter()
            .map(|other| format!("{:?}", (other.value)(cell)))
            .collect();
        let value = (attribute.value)(cell);
        *seen.entry(key).or_insert(value.clone()) == value
    })
}

fn draw(
    cells: &[&Cell],
    factor: &Attribute,
    primary: &[Attribute],
    secondary: &[Attribute],
    column: Column,
    face: &Face,
) -> Vec<Figure> {
    // What tells series apart: what differs, and neither is the axis nor follows from it.
    let tells = |attribute: &&Attribute| {
        // The law's name tells its shape.
        attribute.key != factor.key
            && attribute.key != "shape"
            && !follows(cells, attribute, None, &[])
            && !follows(cells, attribute, Some(factor), &[])
    };
    let mut named: Vec<&Attribute> = primary.iter().filter(tells).collect();
    let specified = named.len();
    named.extend(
        secondary
            .iter()
            .filter(tells)
            .filter(|attribute| !follows(cells, attribute, Some(factor), primary)),
    );
    let measured = named.len() - specified;
    let named = without_repeats(cells, factor, named, measured);
    let mut series: Vec<(String, Vec<&Cell>)> = Vec::new();
    for &cell in cells {
        let parts: Vec<String> = named
            .iter()
            .filter_map(|attribute| said(attribute, cell))
            .collect();
        let name = if parts.is_empty() {
            policy(cell)
        } else {
            parts.join(", ")
        };
        match series.iter_mut().find(|(other, _)| *other == name) {
            Some((_, cells)) => cells.push(cell),
            None => series.push((name, vec![cell])),
        }
    }
    if series.len() > SERIES_MAX * PAGES_MAX {
        return Vec::new();
    }
    let pages = series.chunks(SERIES_MAX).enumerate();
    pages
        .filter_map(|(number, series)| Page { factor, series }.draw(column, face, number))
        .collect()
}

/// Leaves out what the axis and the others tell already. Of the last `secondary` ones the first is kept.
fn without_repeats<'a>(
    cells: &[&Cell],
    factor: &'a Attribute,
    mut named: Vec<&'a Attribute>,
    secondary: usize,
) -> Vec<&'a Attribute> {
    let first = named.len() - secondary;
    let order: Vec<&Attribute> = (0..first)
        .chain((first..named.len()).rev())
        .map(|place| named[place])
        .collect();
    for attribute in order {
        let others: Vec<&Attribute> = named
            .iter()
            .copied()
            .filter(|other| other.key != attribute.key)
            .chain([factor])
            .collect();
        if determined(cells, attribute, &others) {
            named.retain(|other| other.key != attribute.key);
        }
    }
    named
}

/// The symbol at the end of a name, or the name.
fn symbol(name: &str) -> &str {
    match name.rsplit_once(' ') {
        Some((_, last)) if last.chars().count() == 1 => last,
        _ => name,
    }
}

/// A number as people write it; swept ones come out of steps by multiplication.
fn plain(number: f64) -> f64 {
    format!("{number:.5e}").parse().unwrap_or(number)
}

/// How a legend names what a cell has of an attribute.
pub(super) fn said(attribute: &Attribute, cell: &Cell) -> Option<String> {
    let bare = ["law", "policy", "program"].contains(&attribute.key.as_str());
    match (attribute.value)(cell) {
        Value::Number(number) if attribute.time => {
            Some(format!("{} {}", symbol(&attribute.name), duration(number)))
        }
        Value::Number(number) => Some(format!("{} {}", attribute.name.to_lowercase(), plain(number))),
        Value::Text(text) if bare => Some(text),
        Value::Text(text) => Some(match text.as_str() {
            "true" => attribute.name.to_lowercase(),
            "false" => format!("not {}", attribute.name.to_lowercase()),
            other => other.to_owned(),
        }),
        Value::Nothing => None,
    }
    .filter(|text| !text.is_empty())
}

struct Page<'a> {
    factor: &'a Attribute,
    series: &'a [(String, Vec<&'a Cell>)],
}

impl Page<'_> {
    fn draw(&self, column: Column, face: &Face, number: usize) -> Option<Figure> {
        let cells: Vec<&Cell> = self
            .series
            .iter()
            .flat_map(|(_, cells)| cells.iter().copied())
            .collect();
        let numbers = numbers(&cells, self.factor);
        let (least, most) = (*numbers.first()?, *numbers.last()?);
        let x = scale(least, most)?;
        let highest = cells.iter().filter_map(|cell| {
            let waste = cell.waste?;
            Some(
                waste
                    .ci95
                    .map_or(waste.mean, |ci| ci.1)
                    .max(cell.theory_waste.unwrap_or(0.0)),
            )
        });
        let panel = PanelSpec {
            name: None,
            x: self.factor.axis(x, &cells),
            y: AxisSpec {
                scale: Scale::linear_from_zero(highest, 1.0),
                kind: Kind::Percent,
                label: "Waste (%)".to_owned(),
            },
        };
        let title = format!("Waste by {}", self.factor.name);
        let legend = self.legend(&cells);
        let scene = compose(face, column, title, &legend, vec![panel], |_, frame, scene| {
            self.fill(frame, scene);
        });
        Some(Figure {
            stem: by_interval::page_name(&format!("waste-by-{}", self.factor.key), number),
            scene,
            caption: self.caption(&cells, column),
        })
    }

    fn x(&self, cell: &Cell) -> Option<f64> {
        match (self.factor.value)(cell) {
            Value::Number(number) => Some(number),
            Value::Text(_) | Value::Nothing => None,
        }
    }

    fn fill(&self, frame: &Frame, scene: &mut Scene) {
        for (index, (_, cells)) in self.series.iter().enumerate() {
            let look = Look::of(index);
            let mut levels: Vec<_> = cells.iter().map(|cell| cell.level).collect();
            levels.sort();
            levels.dedup();
            for level in levels {
                let mut points: Vec<(f64, &Cell)> = cells
                    .iter()
                    .filter(|cell| cell.level == level)
                    .filter_map(|&cell| Some((self.x(cell)?, cell)))
                    .collect();
                points.sort_by(|a, b| a.0.total_cmp(&b.0));
                let line = |(x, cell): &(f64, &Cell)| {
                    Some((*x, cell.theory_waste.or(cell.waste.map(|waste| waste.mean))?))
                };
                frame.curve(scene, points.iter().filter_map(line), look.curve());
                scene.group(level_name(level), |scene| {
                    for &(x, cell) in &points {
                        paint(x, cell, look, frame, scene);
                    }
                });
            }
        }
    }

    fn legend(&self, cells: &[&Cell]) -> Vec<Group> {
        let series = self.series.iter().enumerate();
        let series = series.map(|(index, (name, _))| (Swatch::Series(Look::of(index)), short(name)));
        let mut levels: Vec<_> = cells.iter().map(|cell| cell.level).collect();
        levels.sort();
        levels.dedup();
        let theory = cells.iter().any(|cell| cell.theory_waste.is_some());
        let theory = theory.then(|| (Swatch::Line(solid(GREY, CURVE_WIDTH)), "Theory".to_owned()));
        let levels = levels
            .into_iter()
            .map(|level| (Swatch::Level(level), level_name(level).to_owned()));
        vec![
            Group {
                heading: String::new(),
                entries: series.collect(),
            },
            Group {
                heading: String::new(),
                entries: levels.chain(theory).collect(),
            },
        ]
    }

    fn caption(&self, cells: &[&Cell], column: Column) -> String {
        let mut text = format!(
            "Waste (1 − work / mean makespan) against: {}.\n",
            self.factor.name
        );
        let experiment = cells.first().map_or("", |cell| cell.setting.experiment.as_str());
        let _ = writeln!(text, "Experiment {experiment}. Series: {}.", {
            let names: Vec<&str> = self.series.iter().map(|(name, _)| name.as_str()).collect();
            names.join("; ")
        });
        text.push_str(&caption::markers(cells));
        text.push_str(if cells.iter().any(|cell| cell.theory_waste.is_some()) {
            "Lines: the closed form for exponential failures at the values shown; without one, they join the means.\n"
        } else {
            "Lines join the means.\n"
        });
        text.push_str(&caption::regenerate(column));
        text
    }
}

fn paint(x: f64, cell: &Cell, look: Look, frame: &Frame, scene: &mut Scene) {
    let Some(waste) = cell.waste else { return };
    let Some(centre) = frame.place(x, waste.mean) else {
        return;
    };
    let ends = waste
        .ci95
        .and_then(|(low, high)| Some((frame.place(x, low)?, frame.place(x, high)?)));
    let mark = Mark {
        centre,
        ends,
        along: Along::Y,
        level: cell.level,
        look,
    };
    frame.mark(scene, &mark);
}

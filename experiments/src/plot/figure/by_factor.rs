//! Waste against whatever a spec varies, and beside it the makespan against that of a baseline: one figure a factor with at
//! least three values, a series for each combination of the others. Where these are many, one of them has a panel a value.
//!
//! What is a factor is read off the table. Columns that follow from others (a measured cost from the program and the method,
//! say) are none.

use std::fmt::Write;

use super::attribute::{
    Attribute, Value, determined, follows, numbers, policy, primary, said, scale, secondary,
};
use super::caption;
use super::page::{PanelSpec, compose};
use super::series::{FIXED, distinct, letter, level_name, policy_name, same};
use super::{Column, Figure, by_interval};
use crate::plot::data::{Cell, Estimate, Level, RunData};
use crate::plot::draw::axis::{AxisSpec, Frame};
use crate::plot::draw::font::Face;
use crate::plot::draw::legend::{Group, Swatch};
use crate::plot::draw::mark::{Along, Mark};
use crate::plot::draw::scale::Scale;
use crate::plot::draw::scene::{Scene, at};
use crate::plot::draw::style::{CURVE_WIDTH, GREY, JOIN_WIDTH, Look, solid};
use crate::plot::draw::ticks::Kind;

/// Values a factor needs to be worth an axis.
pub(super) const VALUES_MIN: usize = 3;
/// Series on a page: looks that can be told apart.
const SERIES_MAX: usize = 8;
/// Panels that the values of one attribute may take.
const PANELS_MAX: usize = 4;
/// With more pages a figure is no longer read.
const PAGES_MAX: usize = 4;

/// What is drawn upwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantity {
    Waste,
    /// Mean makespan over that of the baseline under the same failures, less one.
    Excess,
}

impl Quantity {
    fn of(self, cell: &Cell) -> Option<Estimate> {
        match self {
            Quantity::Waste => cell.waste,
            Quantity::Excess => cell.against.as_ref().map(|against| Estimate {
                mean: against.ratio.mean - 1.0,
                ci95: against.ratio.ci95.map(|(low, high)| (low - 1.0, high - 1.0)),
            }),
        }
    }

    fn theory(self, cell: &Cell) -> Option<f64> {
        match self {
            Quantity::Waste => cell.theory_waste,
            Quantity::Excess => None,
        }
    }

    fn stem(self) -> &'static str {
        match self {
            Quantity::Waste => "waste",
            Quantity::Excess => "excess",
        }
    }
}

/// What a spec names, and what may follow from it.
struct Attributes {
    primary: Vec<Attribute>,
    secondary: Vec<Attribute>,
}

/// Two figures a factor, if there are policies to compare.
pub(crate) fn figures(data: &RunData, column: Column, face: &Face) -> Vec<Figure> {
    let cells: Vec<&Cell> = data.cells.iter().filter(|cell| is_shown(cell, data)).collect();
    let attributes = Attributes {
        primary: primary(&cells),
        secondary: secondary(),
    };
    let Attributes { primary, secondary } = &attributes;
    let mut figures = Vec::new();
    let mut drawn: Vec<&Attribute> = Vec::new();
    let candidates = primary.iter().chain(secondary).filter(|factor| {
        let follows =
            secondary.iter().any(|other| other.key == factor.key) && follows(&cells, factor, None, primary);
        // Shapes of different laws are no one scale.
        let is_mixed = factor.key == "shape" && shaped_laws(&cells) > 1;
        numbers(&cells, factor).len() >= VALUES_MIN && !follows && !is_mixed
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
        figures.extend(draw(&cells, Quantity::Waste, factor, &attributes, column, face));
        let compared: Vec<&Cell> = cells
            .iter()
            .copied()
            .filter(|cell| cell.against.is_some())
            .collect();
        if numbers(&compared, factor).len() >= VALUES_MIN {
            figures.extend(draw(
                &compared,
                Quantity::Excess,
                factor,
                &attributes,
                column,
                face,
            ));
        }
    }
    figures
}

fn shaped_laws(cells: &[&Cell]) -> usize {
    let mut laws: Vec<&str> = cells
        .iter()
        .filter(|cell| cell.setting.shape.is_some())
        .map(|cell| cell.setting.law.as_str())
        .collect();
    laws.sort_unstable();
    laws.dedup();
    laws.len()
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

fn draw(
    cells: &[&Cell],
    quantity: Quantity,
    factor: &Attribute,
    attributes: &Attributes,
    column: Column,
    face: &Face,
) -> Vec<Figure> {
    let named = naming(cells, factor, attributes);
    let series = series(cells, &named);
    // With a value of the factor for each there is nothing to compare along the axis.
    if series
        .iter()
        .all(|series| numbers(&series.cells, factor).len() < 2)
    {
        return Vec::new();
    }
    let pages: Vec<Vec<Panel>> = if series.len() <= SERIES_MAX {
        vec![vec![Panel { name: None, series }]]
    } else if let Some(panels) = panels(cells, &named) {
        vec![panels]
    } else if series.len() <= SERIES_MAX * PAGES_MAX {
        let chunks = series.chunks(SERIES_MAX).map(<[Series]>::to_vec);
        chunks.map(|series| vec![Panel { name: None, series }]).collect()
    } else {
        return Vec::new();
    };
    let pages = pages.into_iter().enumerate();
    pages
        .filter_map(|(number, panels)| {
            Page {
                factor,
                quantity,
                panels,
            }
            .draw(column, face, number)
        })
        .collect()
}

/// What tells series apart: what differs, and neither is the axis nor follows from it. The policy comes first.
fn naming<'a>(cells: &[&Cell], factor: &'a Attribute, attributes: &'a Attributes) -> Vec<&'a Attribute> {
    let Attributes { primary, secondary } = attributes;
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
    let mut named = without_repeats(cells, factor, named, measured);
    named.sort_by_key(|attribute| attribute.key != "policy");
    named
}

/// Cells that agree in all attributes that are named.
#[derive(Clone)]
struct Series<'a> {
    name: String,
    cells: Vec<&'a Cell>,
}

fn series<'a>(cells: &[&'a Cell], named: &[&Attribute]) -> Vec<Series<'a>> {
    let mut series: Vec<Series> = Vec::new();
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
        match series.iter_mut().find(|other| other.name == name) {
            Some(other) => other.cells.push(cell),
            None => series.push(Series {
                name,
                cells: vec![cell],
            }),
        }
    }
    series
}

struct Panel<'a> {
    name: Option<String>,
    series: Vec<Series<'a>>,
}

/// A panel for each value of the attribute that gives the fewest; policies stay beside each other if that is possible.
fn panels<'a>(cells: &[&'a Cell], named: &[&Attribute]) -> Option<Vec<Panel<'a>>> {
    let split = |by: &&Attribute| {
        let rest: Vec<&Attribute> = named
            .iter()
            .copied()
            .filter(|other| other.key != by.key)
            .collect();
        let parts = series(cells, &[*by]);
        let fits = parts.len() <= PANELS_MAX && series(cells, &rest).len() <= SERIES_MAX;
        let panel = |(place, part): (usize, Series<'a>)| Panel {
            name: Some(format!("{} {}", letter(place), part.name)),
            series: series(&part.cells, &rest),
        };
        fits.then(|| {
            (
                by.key == "policy",
                parts.into_iter().enumerate().map(panel).collect::<Vec<_>>(),
            )
        })
    };
    let splits = named.iter().filter_map(split);
    let least = splits.min_by_key(|(is_policy, panels)| (*is_policy, panels.len()));
    least.map(|(_, panels)| panels)
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

struct Page<'a> {
    factor: &'a Attribute,
    quantity: Quantity,
    panels: Vec<Panel<'a>>,
}

impl<'a> Page<'a> {
    fn draw(&self, column: Column, face: &Face, number: usize) -> Option<Figure> {
        let cells = self.cells();
        let numbers = numbers(&cells, self.factor);
        let x = scale(*numbers.first()?, *numbers.last()?)?;
        let shown = cells.iter().flat_map(|cell| {
            let ends = self.quantity.of(cell).map(|estimate| {
                let (low, high) = estimate.ci95.unwrap_or((estimate.mean, estimate.mean));
                [low, high]
            });
            ends.into_iter().flatten().chain(self.quantity.theory(cell))
        });
        let y = Scale::linear_from_zero(shown, 1.0);
        let panel = |panel: &Panel| PanelSpec {
            name: panel.name.clone(),
            x: self.factor.axis(x, &cells),
            y: AxisSpec {
                scale: y,
                kind: Kind::Percent,
                label: self.label(&cells),
            },
        };
        let panels = self.panels.iter().map(panel).collect();
        let title = match self.quantity {
            Quantity::Waste => format!("Waste by {}", self.factor.name),
            Quantity::Excess => format!(
                "Makespan over that of {} by {}",
                baseline(&cells),
                self.factor.name
            ),
        };
        let legend = self.legend(&cells);
        let scene = compose(face, column, title, &legend, panels, |place, frame, scene| {
            self.fill(&self.panels[place], frame, scene);
        });
        let stem = format!("{}-by-{}", self.quantity.stem(), self.factor.key);
        Some(Figure {
            stem: by_interval::page_name(&stem, number),
            scene,
            caption: self.caption(&cells, column),
        })
    }

    fn cells(&self) -> Vec<&'a Cell> {
        let series = self.panels.iter().flat_map(|panel| &panel.series);
        series.flat_map(|series| series.cells.iter().copied()).collect()
    }

    fn label(&self, cells: &[&Cell]) -> String {
        match self.quantity {
            Quantity::Waste => "Waste (%)".to_owned(),
            Quantity::Excess => {
                let who = one(cells.iter().map(|cell| policy(cell)));
                format!(
                    "{} over {} (%)",
                    who.unwrap_or("Excess".to_owned()),
                    baseline(cells)
                )
            }
        }
    }

    /// Names of the series of all panels, in the order of their looks.
    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for series in self.panels.iter().flat_map(|panel| &panel.series) {
            if !names.contains(&series.name.as_str()) {
                names.push(&series.name);
            }
        }
        names
    }

    fn look(&self, series: &Series) -> Look {
        let place = self.names().iter().position(|name| *name == series.name);
        Look::of(place.unwrap_or_default())
    }

    /// The cells of a series at a level, by the factor. Those of a policy that is not told the factor of a sweep are there
    /// once for each of its values.
    fn points<'b>(&self, series: &Series<'b>, level: Level) -> Vec<(f64, &'b Cell)> {
        let x = |cell: &Cell| match (self.factor.value)(cell) {
            Value::Number(number) => Some(number),
            Value::Text(_) | Value::Nothing => None,
        };
        let here = series.cells.iter().filter(|cell| cell.level == level);
        let mut points: Vec<(f64, &Cell)> = here.filter_map(|&cell| Some((x(cell)?, cell))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points.dedup_by(|a, b| same(a.0, b.0) && self.quantity.of(a.1) == self.quantity.of(b.1));
        points
    }

    fn fill(&self, panel: &Panel, frame: &Frame, scene: &mut Scene) {
        if self.quantity == Quantity::Excess {
            let zero = frame
                .y_of(0.0)
                .map(|y| [at(frame.area.left, y), at(frame.area.right, y)]);
            if let Some(zero) = zero {
                frame.line(scene, &zero, solid(GREY, JOIN_WIDTH));
            }
        }
        for series in &panel.series {
            let look = self.look(series);
            for level in levels(&series.cells) {
                let points = self.points(series, level);
                self.paint_line(&points, look, frame, scene);
                scene.group(level_name(level), |scene| {
                    for &(x, cell) in &points {
                        self.paint_mark(x, cell, look, frame, scene);
                    }
                });
            }
        }
    }

    /// The closed form where there is one all along, else a thin line from mean to mean.
    fn paint_line(&self, points: &[(f64, &Cell)], look: Look, frame: &Frame, scene: &mut Scene) {
        if self.has_theory(points.iter().map(|(_, cell)| *cell)) {
            let theory = points
                .iter()
                .filter_map(|(x, cell)| Some((*x, self.quantity.theory(cell)?)));
            frame.curve(scene, theory, look.curve());
        } else {
            let means = points
                .iter()
                .filter_map(|(x, cell)| Some((*x, self.quantity.of(cell)?.mean)));
            frame.curve(scene, means, look.join());
        }
    }

    fn has_theory<'b>(&self, mut cells: impl Iterator<Item = &'b Cell>) -> bool {
        cells.all(|cell| self.quantity.theory(cell).is_some())
    }

    fn paint_mark(&self, x: f64, cell: &Cell, look: Look, frame: &Frame, scene: &mut Scene) {
        let Some(estimate) = self.quantity.of(cell) else {
            return;
        };
        let Some(centre) = frame.place(x, estimate.mean) else {
            return;
        };
        let ends = estimate
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

    /// Whether lines are of theory, and whether any join means.
    fn lines(&self) -> (bool, bool) {
        let series = || self.panels.iter().flat_map(|panel| &panel.series);
        let is_theory = |series: &Series| self.has_theory(series.cells.iter().copied());
        (series().any(is_theory), !series().all(is_theory))
    }

    fn legend(&self, cells: &[&Cell]) -> Vec<Group> {
        let names = self.names().into_iter().enumerate();
        let series = names.map(|(place, name)| (Swatch::Series(Look::of(place)), name.to_owned()));
        let levels = levels(cells)
            .into_iter()
            .map(|level| (Swatch::Level(level), level_name(level).to_owned()));
        let (theory, joined) = self.lines();
        let theory = theory.then(|| (Swatch::Line(solid(GREY, CURVE_WIDTH)), "Theory".to_owned()));
        let joined = joined.then(|| (Swatch::Line(solid(GREY, JOIN_WIDTH)), "Means joined".to_owned()));
        vec![
            Group {
                heading: String::new(),
                entries: series.collect(),
            },
            Group {
                heading: String::new(),
                entries: levels.chain(theory).chain(joined).collect(),
            },
        ]
    }

    fn caption(&self, cells: &[&Cell], column: Column) -> String {
        let factor = &self.factor.name;
        let mut text = match self.quantity {
            Quantity::Waste => format!("Waste (1 − work / mean makespan) against: {factor}.\n"),
            Quantity::Excess => format!(
                "Mean makespan over that of {} under the same failures, less one, against: {factor}.\n",
                baseline(cells)
            ),
        };
        let experiment = cells.first().map_or("", |cell| cell.setting.experiment.as_str());
        let _ = writeln!(
            text,
            "Experiment {experiment}. Series: {}.",
            self.names().join("; ")
        );
        let panels: Vec<&str> = self
            .panels
            .iter()
            .filter_map(|panel| panel.name.as_deref())
            .collect();
        if !panels.is_empty() {
            let _ = writeln!(text, "Panels: {}.", panels.join("; "));
        }
        text.push_str(&caption::markers(cells));
        text.push_str(match self.quantity {
            Quantity::Waste => caption::OF_THE_MEAN,
            Quantity::Excess => {
                "Error bars: 95 % confidence intervals of the ratio of means over pairs of trials.\n"
            }
        });
        text.push_str(match self.lines() {
            (true, true) => "Thick lines: closed form for exponential failures at the values shown. Thin lines join the means.\n",
            (true, false) => "Lines: closed form for exponential failures at the values shown.\n",
            (false, _) => "Lines join the means.\n",
        });
        text.push_str(&caption::regenerate(column));
        text
    }
}

fn levels(cells: &[&Cell]) -> Vec<Level> {
    let mut levels: Vec<Level> = cells.iter().map(|cell| cell.level).collect();
    levels.sort();
    levels.dedup();
    levels
}

/// What makespans are compared with.
fn baseline(cells: &[&Cell]) -> String {
    let names = cells
        .iter()
        .filter_map(|cell| Some(policy_name(&cell.against.as_ref()?.baseline)));
    one(names).unwrap_or("the baseline".to_owned())
}

/// The text, if all are the same.
fn one(mut texts: impl Iterator<Item = String>) -> Option<String> {
    let first = texts.next()?;
    texts.all(|text| text == first).then_some(first)
}

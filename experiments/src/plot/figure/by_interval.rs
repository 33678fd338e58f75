//! Waste, and work lost, against the checkpoint interval: one colour an MTBF, theory as a line, optima marked.

use std::fmt::Write;

use super::caption;
use super::page::{PanelSpec, compose};
use super::series::{EXPECTED, FIXED, Series, level_name, policy_name, same};
use super::{Column, Figure};
use crate::plot::data::{Cell, Estimate, RunData, Setting, TheoryPoint};
use crate::plot::draw::axis::{AxisSpec, Frame};
use crate::plot::draw::font::Face;
use crate::plot::draw::legend::{Group, Swatch};
use crate::plot::draw::mark::{Along, Mark};
use crate::plot::draw::scale::Scale;
use crate::plot::draw::scene::{Colour, Scene, Stroke, at};
use crate::plot::draw::style::{CURVE_WIDTH, GREY, solid};
use crate::plot::draw::ticks::{Kind, Unit, duration};

/// Space left and right of the outermost intervals, as a factor.
const MARGIN: f64 = 1.25;
/// How far beyond the outermost points the axis goes for a policy's choice, as a factor.
const FAR: f64 = 2.5;
/// How far above the highest point the closed form may stretch the axis, as a factor.
const BEYOND: f64 = 1.5;
/// Ratio of the greatest to the least mean from which a logarithmic axis serves better.
const DECADES_FROM: f64 = 200.0;
/// Panels a page has room for.
const PANELS_MAX: usize = 4;
const STEM_WIDTH: f64 = 0.7;
/// Dashes of the policies' stems, in the order of the policies.
const STEMS: [&[f64]; 4] = [&[0.8, 1.2], &[3.0, 1.2], &[], &[3.0, 1.0, 0.8, 1.0]];

/// What is drawn upwards.
struct Quantity {
    stem: &'static str,
    /// For the caption.
    what: &'static str,
    estimate: fn(&Cell) -> Option<Estimate>,
    theory: fn(&TheoryPoint) -> Option<f64>,
    /// The axis does not go beyond unless the data do.
    ceiling: f64,
    /// May have a logarithmic axis.
    decades: bool,
    kind: fn(f64) -> Kind,
    label: fn(Kind) -> String,
}

/// The share of the makespan that is not useful work, against the interval.
pub(crate) fn waste(data: &RunData, column: Column, face: &Face) -> Vec<Figure> {
    let quantity = Quantity {
        stem: "waste-by-interval",
        what: "Waste (1 − work / mean makespan)",
        estimate: |cell| cell.waste,
        theory: |point| Some(point.waste),
        ceiling: 1.0,
        decades: false,
        kind: |_| Kind::Percent,
        label: |_| "Waste (%)".to_owned(),
    };
    draw(data, column, face, &quantity)
}

/// Work thrown away by failures, against the interval.
pub(crate) fn lost(data: &RunData, column: Column, face: &Face) -> Vec<Figure> {
    let quantity = Quantity {
        stem: "lost-work-by-interval",
        what: "Work lost to failures (mean of a job)",
        estimate: |cell| cell.lost_s,
        theory: |point| point.lost_s,
        ceiling: f64::INFINITY,
        decades: true,
        kind: |high_s| Kind::TimeIn(Unit::for_seconds(high_s, 2.0)),
        label: |kind| match kind {
            Kind::TimeIn(unit) => format!("Work lost ({})", unit.name),
            Kind::Percent | Kind::Number | Kind::Whole | Kind::Time => "Work lost".to_owned(),
        },
    };
    draw(data, column, face, &quantity)
}

fn draw(data: &RunData, column: Column, face: &Face, quantity: &Quantity) -> Vec<Figure> {
    let series = Series::of(data);
    let shown = |setting: &Setting| {
        data.cells
            .iter()
            .any(|cell| of(cell, setting) && has(cell, quantity))
    };
    let settings: Vec<Setting> = series.settings.iter().filter(|s| shown(s)).cloned().collect();
    let pages = settings.len().div_ceil(PANELS_MAX);
    (0..pages)
        .filter_map(|page| {
            let first = page * PANELS_MAX;
            let here = first..settings.len().min(first + PANELS_MAX);
            let plan = Page {
                data,
                series: &series,
                quantity,
                settings: settings[here.clone()].to_vec(),
                names: settings[here]
                    .iter()
                    .map(|setting| series.panel_name(setting))
                    .collect(),
            };
            plan.draw(column, face, page)
        })
        .collect()
}

struct Page<'a> {
    data: &'a RunData,
    series: &'a Series,
    quantity: &'a Quantity,
    settings: Vec<Setting>,
    names: Vec<Option<String>>,
}

impl Page<'_> {
    /// None without a grid, unless there is one curve to see the policies on: each at its own interval they have a figure that
    /// names them.
    fn draw(&self, column: Column, face: &Face, page: usize) -> Option<Figure> {
        let is_one_curve = self.has_theory() && self.series.settings.len() == 1;
        if !self.has_grid() && !is_one_curve {
            return None;
        }
        let cells: Vec<&Cell> = self.cells().filter(|cell| self.is_point(cell)).collect();
        let x = self.reach(&cells)?;
        let y = self.height(&cells)?;
        let kind = match y {
            Scale::Linear { high, .. } => (self.quantity.kind)(high),
            Scale::Log { .. } | Scale::Tail { .. } => Kind::Time,
        };
        let panels: Vec<PanelSpec> = self
            .names
            .iter()
            .map(|name| PanelSpec {
                name: name.clone(),
                x: AxisSpec {
                    scale: x,
                    kind: Kind::Time,
                    label: "Checkpoint interval τ".to_owned(),
                },
                y: AxisSpec {
                    scale: y,
                    kind,
                    label: (self.quantity.label)(kind),
                },
            })
            .collect();
        let title = format!("{} by checkpoint interval", self.quantity.what);
        let scene = compose(
            face,
            column,
            title,
            &self.legend(),
            panels,
            |index, frame, scene| {
                self.fill(&self.settings[index], frame, scene);
            },
        );
        Some(Figure {
            stem: page_name(self.quantity.stem, page),
            scene,
            caption: self.caption(&cells, column),
        })
    }

    /// The axis of the quantity, with room for the closed form between the points. From zero, but logarithmic where that would
    /// press most points onto the axis.
    fn height(&self, cells: &[&Cell]) -> Option<Scale> {
        let estimates = || cells.iter().filter_map(|cell| (self.quantity.estimate)(cell));
        let means = || estimates().map(|estimate| estimate.mean);
        let (least, most) = (means().fold(f64::INFINITY, f64::min), means().fold(0.0, f64::max));
        if self.quantity.decades && least > 0.0 && most > DECADES_FROM * least {
            return Scale::log_around(means(), MARGIN);
        }
        let swept = Scale::log_around(intervals(cells), 1.0)?;
        let theory = self.theory_points().filter(|point| {
            let share = point.interval_s.and_then(|interval| swept.share(interval));
            share.is_some_and(|share| (0.0..=1.0).contains(&share))
        });
        let highest = estimates()
            .map(|estimate| estimate.ci95.map_or(estimate.mean, |ci| ci.1))
            .fold(0.0, f64::max);
        // Where no trial ends the closed form goes on to any height.
        let theory = theory
            .filter_map(self.quantity.theory)
            .map(|value| value.min(highest * BEYOND));
        Some(Scale::linear_from_zero(
            theory.chain([highest]),
            self.quantity.ceiling,
        ))
    }

    /// The axis of intervals: the points, and the chosen intervals unless they are far from them.
    fn reach(&self, cells: &[&Cell]) -> Option<Scale> {
        let Scale::Log { low, high } = Scale::log_around(intervals(cells), FAR)? else {
            return None;
        };
        let chosen = self
            .theory_points()
            .filter(|point| self.series.adaptive.contains(&point.curve))
            .filter_map(|point| point.interval_s)
            .filter(|interval| (low..=high).contains(interval));
        Scale::log_around(intervals(cells).chain(chosen), MARGIN)
    }

    /// Cells with an interval and a value, of this page.
    fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.data
            .cells
            .iter()
            .filter(|cell| self.settings.contains(&cell.setting) && has(cell, self.quantity))
    }

    fn theory_points(&self) -> impl Iterator<Item = &TheoryPoint> {
        self.data
            .theory
            .iter()
            .filter(|point| self.settings.iter().any(|setting| belongs(point, setting)))
    }

    fn has_theory(&self) -> bool {
        self.theory_points()
            .any(|point| point.curve == EXPECTED && (self.quantity.theory)(point).is_some())
    }

    fn fill(&self, setting: &Setting, frame: &Frame, scene: &mut Scene) {
        let points = || self.theory_points().filter(|point| belongs(point, setting));
        scene.group("optima", |scene| {
            for point in points() {
                self.paint_stem(point, frame, scene);
            }
        });
        scene.group("theory", |scene| {
            for &mtbf_s in &self.series.mtbfs_s {
                let curve = points()
                    .filter(|point| same(point.mtbf_s, mtbf_s) && point.curve == EXPECTED)
                    .filter_map(|point| Some((point.interval_s?, (self.quantity.theory)(point)?)));
                let mut curve: Vec<(f64, f64)> = curve.collect();
                if curve.is_empty() && self.has_grid() {
                    curve = self.means(setting, mtbf_s);
                }
                frame.curve(scene, curve.into_iter(), self.series.look(mtbf_s).curve());
            }
        });
        for &level in &self.series.levels {
            scene.group(level_name(level), |scene| {
                let cells = self
                    .cells()
                    .filter(|cell| of(cell, setting) && cell.level == level && self.is_point(cell));
                for cell in cells {
                    self.paint_mark(cell, frame, scene);
                }
            });
        }
    }

    /// The grid of fixed intervals is what the figure sweeps; the policies' own points would cover it, and have a
    /// figure of their own. Without a grid they are all there is.
    fn is_point(&self, cell: &Cell) -> bool {
        cell.policy == FIXED || !self.has_grid()
    }

    fn has_grid(&self) -> bool {
        let fixed = || self.cells().filter(|cell| cell.policy == FIXED);
        fixed().any(|cell| fixed().any(|other| other.interval_s != cell.interval_s))
    }

    /// What a line joins where there is no closed form: the means of the grid at the first level.
    fn means(&self, setting: &Setting, mtbf_s: f64) -> Vec<(f64, f64)> {
        let of_line = |cell: &&Cell| {
            of(cell, setting)
                && cell.policy == FIXED
                && same(cell.mtbf_s, mtbf_s)
                && self.series.levels.first() == Some(&cell.level)
        };
        let mut means: Vec<(f64, f64)> = self
            .cells()
            .filter(of_line)
            .filter_map(|cell| Some((cell.interval_s?, (self.quantity.estimate)(cell)?.mean)))
            .collect();
        means.sort_by(|a, b| a.0.total_cmp(&b.0));
        means
    }

    fn paint_mark(&self, cell: &Cell, frame: &Frame, scene: &mut Scene) {
        let (Some(interval), Some(estimate)) = (cell.interval_s, (self.quantity.estimate)(cell)) else {
            return;
        };
        let Some(centre) = frame.place(interval, estimate.mean) else {
            return;
        };
        let ends = estimate.ci95.map(|(low, high)| {
            (
                at(centre.x, frame.y_or_low(low)),
                at(centre.x, frame.y_or_low(high)),
            )
        });
        let mark = Mark {
            centre,
            ends,
            along: Along::Y,
            level: cell.level,
            look: self.series.look(cell.mtbf_s),
        };
        frame.mark(scene, &mark);
    }

    /// From the axis up to the theory at the interval that a policy chooses.
    fn paint_stem(&self, point: &TheoryPoint, frame: &Frame, scene: &mut Scene) {
        let Some(policy) = self.series.adaptive.iter().position(|name| *name == point.curve) else {
            return;
        };
        let Some(place) = point
            .interval_s
            .zip((self.quantity.theory)(point))
            .and_then(|(interval, value)| frame.place(interval, value))
        else {
            return;
        };
        if place.x < frame.area.left || place.x > frame.area.right {
            return;
        }
        let top = place.y.clamp(frame.area.top, frame.area.bottom);
        let stroke = stem(policy, self.series.look(point.mtbf_s).colour);
        frame.line(scene, &[at(place.x, frame.area.bottom), at(place.x, top)], stroke);
    }

    fn legend(&self) -> Vec<Group> {
        let mtbfs = self.series.mtbfs_s.iter().map(|&mtbf_s| {
            let look = self.series.look(mtbf_s);
            (Swatch::Series(look), duration(mtbf_s))
        });
        let levels = self
            .series
            .levels
            .iter()
            .map(|&level| (Swatch::Level(level), level_name(level).to_owned()));
        let theory = self
            .has_theory()
            .then(|| (Swatch::Line(solid(GREY, CURVE_WIDTH)), "Theory".to_owned()));
        let stems = self
            .stems()
            .into_iter()
            .map(|(index, policy)| (Swatch::Line(stem(index, GREY)), policy_name(policy)));
        vec![
            Group {
                heading: "MTBF".to_owned(),
                entries: mtbfs.collect(),
            },
            Group {
                heading: String::new(),
                entries: levels.chain(theory).collect(),
            },
            Group {
                heading: "Chosen τ".to_owned(),
                entries: stems.collect(),
            },
        ]
    }

    /// Policies whose interval is marked, with their number.
    fn stems(&self) -> Vec<(usize, &str)> {
        let marked = |policy: &str| {
            self.theory_points()
                .any(|point| point.curve == policy && (self.quantity.theory)(point).is_some())
        };
        let policies = self.series.adaptive.iter().map(String::as_str).enumerate();
        policies.filter(|(_, policy)| marked(policy)).collect()
    }

    fn caption(&self, cells: &[&Cell], column: Column) -> String {
        let mut text = format!(
            "{} against the checkpoint interval τ (work between two checkpoints), by mean time between failures (MTBF).\n",
            self.quantity.what
        );
        text.push_str(&caption::conditions(self.series, &self.settings));
        text.push_str(&caption::markers(cells));
        text.push_str(caption::OF_THE_MEAN);
        if self.has_theory() {
            text.push_str(caption::theory(self.data));
        } else if self.has_grid() {
            text.push_str("Lines join the means.\n");
        }
        if !self.has_grid() {
            text.push_str(&policies_by_interval(cells));
        }
        let names: Vec<String> = self
            .stems()
            .into_iter()
            .map(|(_, name)| policy_name(name))
            .collect();
        if !names.is_empty() {
            let _ = writeln!(
                text,
                "Vertical lines up to the curves: intervals chosen by {}.",
                names.join("; ")
            );
        }
        let absent: Vec<&Cell> = self
            .data
            .cells
            .iter()
            .filter(|cell| self.settings.contains(&cell.setting) && cell.interval_s.is_some())
            .filter(|cell| (self.quantity.estimate)(cell).is_none())
            .collect();
        text.push_str(&caption::missing(&absent));
        text.push_str(&caption::regenerate(column));
        text
    }
}

/// Which point is whose, where the policies' own intervals are all there is.
fn policies_by_interval(cells: &[&Cell]) -> String {
    let mut points: Vec<(f64, String)> = cells
        .iter()
        .filter_map(|cell| {
            let interval_s = cell.interval_s?;
            let point = format!("{} {}", policy_name(&cell.policy), duration(interval_s));
            Some((interval_s, point))
        })
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut names: Vec<String> = points.into_iter().map(|(_, point)| point).collect();
    names.dedup();
    format!("Points from left to right: {}.\n", names.join("; "))
}

fn stem(policy: usize, colour: Colour) -> Stroke {
    Stroke {
        colour,
        width: STEM_WIDTH,
        dash: STEMS[policy % STEMS.len()],
    }
}

fn intervals(cells: &[&Cell]) -> impl Iterator<Item = f64> {
    cells.iter().filter_map(|cell| cell.interval_s)
}

fn of(cell: &Cell, setting: &Setting) -> bool {
    cell.setting == *setting
}

fn has(cell: &Cell, quantity: &Quantity) -> bool {
    cell.interval_s.is_some() && (quantity.estimate)(cell).is_some()
}

fn belongs(point: &TheoryPoint, setting: &Setting) -> bool {
    point.experiment == setting.experiment
        && point.costs == setting.costs
        && point.swept == setting.swept
        && point.work_s.is_none_or(|work_s| same(work_s, setting.work_s))
        // The closed form is that of exponential failures.
        && ["", "exponential"].contains(&setting.law.as_str())
}

/// The first page has the plain name.
pub(super) fn page_name(stem: &str, page: usize) -> String {
    match page {
        0 => stem.to_owned(),
        later => format!("{stem}-{}", later + 1),
    }
}

//! Distributions of times, in two forms: percentiles, with room for the tail, and cumulative shares.

use std::collections::BTreeMap;

use super::Column;
use super::page::{PanelSpec, compose};
use super::series::level_name;
use crate::plot::data::Level;
use crate::plot::draw::axis::{AxisSpec, Frame};
use crate::plot::draw::font::Face;
use crate::plot::draw::legend::{Group, Swatch};
use crate::plot::draw::mark::Mark;
use crate::plot::draw::scale::Scale;
use crate::plot::draw::scene::Scene;
use crate::plot::draw::style::Look;
use crate::plot::draw::ticks::{Kind, Unit};

/// Where curves carry markers, to be told apart in print and by level.
const MARKED: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 0.9999];
/// More nines than any plausible number of values supports.
const NINES_MAX: f64 = 9.0;
/// Ratio of the longest to the shortest time from which a logarithmic axis serves better.
const DECADES_FROM: f64 = 50.0;
/// Values this close, as a share of them and of the axis, are one step: print shows no less.
const RESOLVED: f64 = 0.002;

/// How a distribution is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The time below which a share of the values lies, against the share.
    Percentiles,
    /// The share of the values that are not above a time, against the time.
    Cumulative,
}

/// One quantity under one condition.
pub(super) struct Panel {
    pub(super) quantity: &'static str,
    pub(super) name: Option<String>,
    /// A linear axis begins at the least value instead of zero.
    pub(super) from_least: bool,
    pub(super) curves: Vec<Curve>,
}

/// The values of one series at one level.
pub(super) struct Curve {
    /// For the legend.
    pub(super) name: String,
    pub(super) look: Look,
    pub(super) level: Level,
    /// How often each value was seen, by value in nanoseconds.
    pub(super) counts: BTreeMap<u64, u64>,
    /// How many more there are of which no more is known than that they are greater.
    pub(super) beyond: u64,
}

impl Curve {
    pub(super) fn total(&self) -> u64 {
        self.counts
            .values()
            .fold(self.beyond, |sum, count| sum.saturating_add(*count))
    }

    /// Each value in seconds, and the share up to which it reaches.
    fn steps(&self) -> impl Iterator<Item = (f64, f64)> {
        let total = self.total() as f64;
        let mut seen = 0.0;
        self.counts.iter().map(move |(nanos, count)| {
            seen += *count as f64;
            (seconds(*nanos), seen / total)
        })
    }

    fn value_at(&self, share: f64) -> Option<f64> {
        self.steps()
            .find(|(_, reached)| *reached >= share)
            .map(|(value, _)| value)
    }

    /// The staircase of values over shares, up to the last value that stands for one observation.
    fn staircase(&self, from_least: bool) -> Vec<(f64, f64)> {
        let last = 1.0 - 0.5 / self.total() as f64;
        let greatest = self.steps().last().map_or(0.0, |(greatest, _)| greatest);
        let origin = self.steps().next().map_or(0.0, |(least, _)| least);
        let origin = if from_least { origin } else { 0.0 };
        let room = RESOLVED * (greatest - origin);
        let mut from = 0.0;
        let mut points = Vec::new();
        let mut group: Option<(f64, f64, f64)> = None;
        let mut take = |(_, value, reached): (f64, f64, f64)| {
            let to = reached.min(last);
            points.extend([(from, value), (to, value)]);
            from = to;
        };
        for (value, reached) in self.steps() {
            match &mut group {
                Some((first, greatest, share))
                    if value < *first * (1.0 + RESOLVED) && value < *first + room =>
                {
                    (*greatest, *share) = (value, reached);
                }
                group => {
                    if let Some(before) = group.replace((value, value, reached)) {
                        take(before);
                    }
                }
            }
        }
        if let Some(before) = group {
            take(before);
        }
        points
    }
}

/// A page of panels with a legend of the series.
pub(super) fn draw(
    panels: &[&Panel],
    form: Form,
    (heading, title): (&str, String),
    column: Column,
    face: &Face,
) -> Scene {
    let specs = panels.iter().map(|panel| spec(panel, form)).collect();
    let legend = legend(heading, panels);
    compose(face, column, title, &legend, specs, |place, frame, scene| {
        fill(panels[place], form, frame, scene);
    })
}

fn spec(panel: &Panel, form: Form) -> PanelSpec {
    let most = panel.curves.iter().map(Curve::total).max().unwrap_or(1) as f64;
    let values = || {
        panel
            .curves
            .iter()
            .flat_map(|curve| curve.counts.keys())
            .map(|nanos| seconds(*nanos))
    };
    let low = values().fold(f64::INFINITY, f64::min);
    let high = values().fold(0.0, f64::max);
    let quantity = panel.quantity;
    let decades = low > 0.0 && high > DECADES_FROM * low;
    let unit = Unit::for_seconds(high, 2.0);
    let room = (high - low) / 20.0;
    // Makespans have the work in common.
    let scale = if panel.from_least && room > high * 1e-6 {
        Scale::Linear {
            low: (low - room).max(0.0),
            high: high + room,
        }
    } else {
        Scale::linear_from_zero(values(), f64::INFINITY)
    };
    let linear = AxisSpec {
        scale,
        kind: Kind::TimeIn(unit),
        label: format!("{quantity} ({})", unit.name),
    };
    let time = Scale::log_around(values(), 1.3)
        .filter(|_| decades)
        .map_or(linear, |scale| AxisSpec {
            scale,
            kind: Kind::Time,
            label: quantity.to_owned(),
        });
    let (x, y) = match form {
        Form::Percentiles => {
            let nines = libm::log10(2.0 * most).clamp(1.0, NINES_MAX);
            let share = AxisSpec {
                scale: Scale::Tail { nines },
                kind: Kind::Percent,
                label: "Percentile (%)".to_owned(),
            };
            (share, time)
        }
        Form::Cumulative => {
            let share = AxisSpec {
                scale: Scale::Linear { low: 0.0, high: 1.0 },
                kind: Kind::Percent,
                label: "Cumulative share (%)".to_owned(),
            };
            (time, share)
        }
    };
    PanelSpec {
        name: panel.name.clone(),
        x,
        y,
    }
}

fn fill(panel: &Panel, form: Form, frame: &Frame, scene: &mut Scene) {
    let turned = |(share, value): (f64, f64)| match form {
        Form::Percentiles => (share, value),
        Form::Cumulative => (value, share),
    };
    for curve in &panel.curves {
        scene.group(level_name(curve.level), |scene| {
            frame.curve(
                scene,
                curve.staircase(panel.from_least).into_iter().map(turned),
                curve.look.curve(),
            );
            let supported = |share: &&f64| curve.total() as f64 * (1.0 - **share) >= 1.0 - 1e-9;
            for &share in MARKED.iter().filter(supported) {
                let place = curve
                    .value_at(share)
                    .map(|value| turned((share, value)))
                    .and_then(|(x, y)| frame.place(x, y));
                if let Some(place) = place {
                    frame.mark(scene, &Mark::bare(place, curve.level, curve.look));
                }
            }
        });
    }
}

fn legend(heading: &str, panels: &[&Panel]) -> Vec<Group> {
    let curves = || panels.iter().flat_map(|panel| &panel.curves);
    let mut series: Vec<(Swatch, String)> = Vec::new();
    for curve in curves() {
        if !series.iter().any(|(_, name)| *name == curve.name) {
            series.push((Swatch::Curve(curve.look), curve.name.clone()));
        }
    }
    let levels = [Level::Model, Level::Sim, Level::Cluster]
        .into_iter()
        .filter(|level| curves().any(|curve| curve.level == *level))
        .map(|level| (Swatch::Marker(level), level_name(level).to_owned()));
    vec![
        Group {
            heading: heading.to_owned(),
            entries: series,
        },
        Group {
            heading: String::new(),
            entries: levels.collect(),
        },
    ]
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

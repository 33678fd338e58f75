//! Frames: two axes with ticks, labels and grid, and the way from values to places.

use super::chart::{Chart, ChartAxis, Marked, Plot};
use super::clip::clip;
use super::font::Face;
use super::mark::{Along, Mark};
use super::scale::Scale;
use super::scene::{Anchor, Colour, Item, Point, Rect, Scene, Stroke, Text, at};
use super::style::{FRAME, GRID, LABEL, MINOR_LENGTH, SMALL, TICK, TICK_LENGTH};
use super::ticks::{Kind, Tick, ticks, ticks_at};

/// From the end of a tick to its label.
const GAP: f64 = 2.0;
/// Height of digits and capitals of the font, of its size.
const CAPITAL: f64 = 0.716;
/// Room that a label along a vertical axis takes.
const LINE_ROOM: f64 = SMALL * 1.7;
/// Between labels along a horizontal axis.
const WORD_ROOM: f64 = 7.0;

/// What an axis shows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AxisSpec {
    pub(crate) scale: Scale,
    pub(crate) kind: Kind,
    /// Quantity and unit; empty where another frame's label serves.
    pub(crate) label: String,
}

/// Room around a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Margins {
    pub(crate) left: f64,
    pub(crate) bottom: f64,
    /// Half a tick label may stick out.
    pub(crate) right: f64,
}

/// A frame in its place.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) area: Rect,
    margins: Margins,
    x: Axis,
    y: Axis,
}

#[derive(Debug, Clone)]
struct Axis {
    spec: AxisSpec,
    ticks: Vec<Tick>,
}

impl Frame {
    pub(crate) fn new(face: &Face, area: Rect, x: AxisSpec, y: AxisSpec) -> Frame {
        let x_ticks = ticks(x.scale, x.kind, area.width(), |label| {
            face.width(label, SMALL) + WORD_ROOM
        });
        let y_ticks = ticks(y.scale, y.kind, area.height(), |_| LINE_ROOM);
        let margins = Frame::margins(face, area.height(), &x, &y);
        Frame::with_ticks(area, margins, (x, x_ticks), (y, y_ticks))
    }

    fn with_ticks(
        area: Rect,
        margins: Margins,
        (x, x_ticks): (AxisSpec, Vec<Tick>),
        (y, y_ticks): (AxisSpec, Vec<Tick>),
    ) -> Frame {
        let axis = |spec, ticks| Axis { spec, ticks };
        Frame {
            area,
            margins,
            x: axis(x, x_ticks),
            y: axis(y, y_ticks),
        }
    }

    /// A frame without ticks up its side, whose rows the figure labels itself. Rows run from 0 at the top.
    pub(crate) fn with_rows(face: &Face, area: Rect, x: AxisSpec, rows: f64) -> Frame {
        let y = AxisSpec {
            scale: Scale::Linear { low: rows, high: 0.0 },
            kind: Kind::Percent,
            label: String::new(),
        };
        let mut frame = Frame::new(face, area, x, y);
        frame.y.ticks.clear();
        frame
    }

    /// A frame with ticks at these values alone, as far as their labels keep clear of each other.
    pub(crate) fn at_values(
        face: &Face,
        area: Rect,
        (x, xs): (AxisSpec, &[f64]),
        (y, ys): (AxisSpec, &[f64]),
    ) -> Frame {
        let x_ticks = ticks_at(x.scale, x.kind, xs, area.width(), |label| {
            face.width(label, SMALL) + WORD_ROOM
        });
        let y_ticks = ticks_at(y.scale, y.kind, ys, area.height(), |_| LINE_ROOM);
        let margins = margins(face, &y_ticks, &x, &y);
        Frame::with_ticks(area, margins, (x, x_ticks), (y, y_ticks))
    }

    /// Room that it takes around an area of this height.
    pub(crate) fn margins_at(
        face: &Face,
        height: f64,
        x: &AxisSpec,
        (y, ys): (&AxisSpec, &[f64]),
    ) -> Margins {
        margins(face, &ticks_at(y.scale, y.kind, ys, height, |_| LINE_ROOM), x, y)
    }

    /// Without labels along its foot, where a frame below has them; the grid stays.
    pub(crate) fn without_labels(mut self) -> Frame {
        self.x.spec.label.clear();
        self.x.ticks.retain(|tick| tick.label.is_some());
        for tick in &mut self.x.ticks {
            tick.label = Some(String::new());
        }
        self
    }

    /// A frame with ticks up its side alone, for the bar of a scale.
    pub(crate) fn upright(face: &Face, area: Rect, y: AxisSpec) -> Frame {
        let x = AxisSpec {
            scale: Scale::Linear { low: 0.0, high: 1.0 },
            kind: Kind::Number,
            label: String::new(),
        };
        let mut frame = Frame::new(face, area, x, y);
        frame.x.ticks.clear();
        frame
    }

    /// Room that labels and ticks of such axes take around an area of this height.
    pub(crate) fn margins(face: &Face, height: f64, x: &AxisSpec, y: &AxisSpec) -> Margins {
        margins(face, &ticks(y.scale, y.kind, height, |_| LINE_ROOM), x, y)
    }

    /// Where a value is; `None` where a scale has no place for it.
    pub(crate) fn place(&self, x: f64, y: f64) -> Option<Point> {
        Some(at(self.x_of(x)?, self.y_of(y)?))
    }

    pub(crate) fn x_of(&self, value: f64) -> Option<f64> {
        Some(self.area.left + self.x.spec.scale.share(value)? * self.area.width())
    }

    pub(crate) fn y_of(&self, value: f64) -> Option<f64> {
        Some(self.area.bottom - self.y.spec.scale.share(value)? * self.area.height())
    }

    /// Like `x_of`, with the low end of the axis for what a logarithm has no place for.
    pub(crate) fn x_or_low(&self, value: f64) -> f64 {
        self.x_of(value).unwrap_or(self.area.left - 1.0)
    }

    /// The same up the side.
    pub(crate) fn y_or_low(&self, value: f64) -> f64 {
        self.y_of(value).unwrap_or(self.area.bottom + 1.0)
    }

    /// Grid, axes, ticks and labels; what is plotted comes on top.
    pub(crate) fn paint(&self, scene: &mut Scene) {
        let axis = |axis: &Axis| ChartAxis {
            scale: axis.spec.scale,
            label: axis.spec.label.clone(),
            ticks: axis.ticks.clone(),
        };
        scene.charts.push(Chart {
            area: self.area,
            x: axis(&self.x),
            y: axis(&self.y),
            label_distance: self.margins.left - LABEL * CAPITAL,
            plots: Vec::new(),
        });
        scene.charted(|scene| self.paint_axes(scene));
    }

    fn paint_axes(&self, scene: &mut Scene) {
        let Rect {
            left,
            top,
            right,
            bottom,
        } = self.area;
        scene.group("grid", |scene| {
            for x in majors(&self.x).filter_map(|value| self.x_of(value)) {
                scene.line(vec![at(x, top), at(x, bottom)], GRID);
            }
            for y in majors(&self.y).filter_map(|value| self.y_of(value)) {
                scene.line(vec![at(left, y), at(right, y)], GRID);
            }
        });
        scene.group("axes", |scene| {
            scene.line(vec![at(left, top), at(left, bottom), at(right, bottom)], FRAME);
            self.paint_x(scene);
            self.paint_y(scene);
        });
    }

    fn paint_x(&self, scene: &mut Scene) {
        let bottom = self.area.bottom;
        for tick in &self.x.ticks {
            let Some(x) = self
                .x_of(tick.value)
                .filter(|_| tick.label.as_deref() != Some(""))
            else {
                continue;
            };
            scene.line(vec![at(x, bottom), at(x, bottom + length(tick))], TICK);
            if let Some(label) = &tick.label {
                let base = bottom + TICK_LENGTH + GAP + SMALL * CAPITAL;
                scene.text(at(x, base), SMALL, Anchor::Middle, label.as_str());
            }
        }
        if !self.x.spec.label.is_empty() {
            let base = bottom + TICK_LENGTH + GAP + SMALL + 2.0 + LABEL * CAPITAL;
            let middle = at(self.area.middle().x, base);
            scene.text(middle, LABEL, Anchor::Middle, self.x.spec.label.as_str());
        }
    }

    fn paint_y(&self, scene: &mut Scene) {
        let left = self.area.left;
        for tick in &self.y.ticks {
            let Some(y) = self.y_of(tick.value) else { continue };
            scene.line(vec![at(left - length(tick), y), at(left, y)], TICK);
            if let Some(label) = &tick.label {
                let place = at(left - TICK_LENGTH - GAP, y + SMALL * CAPITAL / 2.0);
                scene.text(place, SMALL, Anchor::End, label.as_str());
            }
        }
        if self.y.spec.label.is_empty() {
            return;
        }
        scene.items.push(Item::Text(Text {
            at: at(left - self.margins.left + LABEL * CAPITAL, self.area.middle().y),
            size: LABEL,
            anchor: Anchor::Middle,
            upwards: true,
            content: self.y.spec.label.clone(),
        }));
    }

    /// A curve through values, kept inside the frame; values without a place break it.
    pub(crate) fn curve(&self, scene: &mut Scene, values: impl Iterator<Item = (f64, f64)>, stroke: Stroke) {
        let mut run = Vec::new();
        for value in values.map(Some).chain([None]) {
            if let Some(place) = value.and_then(|(x, y)| self.place(x, y)) {
                run.push(place);
                continue;
            }
            self.line(scene, &run, stroke);
            run.clear();
        }
    }

    /// A line through places, kept inside the frame.
    pub(crate) fn line(&self, scene: &mut Scene, places: &[Point], stroke: Stroke) {
        if places.len() < 2 {
            return;
        }
        let points = places.iter().map(|place| self.coordinates(*place)).collect();
        self.plot(scene, Plot::Curve { stroke, points });
        scene.charted(|scene| {
            for part in clip(places, &self.area) {
                scene.line(part, stroke);
            }
        });
    }

    /// A filled outline within the frame.
    pub(crate) fn fill(&self, scene: &mut Scene, outline: Vec<Point>, fill: Colour) {
        let points = outline.iter().map(|place| self.coordinates(*place)).collect();
        self.plot(scene, Plot::Area { fill, points });
        scene.charted(|scene| {
            scene.items.push(Item::Path {
                points: outline,
                closed: true,
                fill: Some(fill),
                stroke: None,
            });
        });
    }

    /// A measured point.
    pub(crate) fn mark(&self, scene: &mut Scene, mark: &Mark) {
        let (x, y) = self.coordinates(mark.centre);
        let reach = mark.ends.map(|(from, to)| {
            let (from, to) = (self.coordinates(from), self.coordinates(to));
            match mark.along {
                Along::X => (x - from.0, to.0 - x),
                Along::Y => (y - from.1, to.1 - y),
            }
        });
        let reach = reach.map(|(below, above)| (below.max(0.0), above.max(0.0)));
        if let Some(chart) = self.chart(scene) {
            chart.mark(mark, Marked { x, y, reach });
        }
        scene.charted(|scene| mark.paint(scene, &self.area));
    }

    fn coordinates(&self, place: Point) -> (f64, f64) {
        let (x, y) = (
            (place.x - self.area.left) / self.area.width(),
            (self.area.bottom - place.y) / self.area.height(),
        );
        (self.x.spec.scale.coordinate(x), self.y.spec.scale.coordinate(y))
    }

    fn plot(&self, scene: &mut Scene, plot: Plot) {
        if let Some(chart) = self.chart(scene) {
            chart.plots.push(plot);
        }
    }

    /// The record of this frame, once it has been painted.
    fn chart<'a>(&self, scene: &'a mut Scene) -> Option<&'a mut Chart> {
        scene.charts.iter_mut().rfind(|chart| chart.area == self.area)
    }
}

fn margins(face: &Face, y_ticks: &[Tick], x: &AxisSpec, y: &AxisSpec) -> Margins {
    let widest = y_ticks
        .iter()
        .filter_map(|tick| tick.label.as_deref())
        .map(|label| face.width(label, SMALL))
        .fold(0.0, f64::max);
    let side = if y.label.is_empty() { 0.0 } else { LABEL + 3.0 };
    let below = if x.label.is_empty() { 0.0 } else { LABEL + 3.0 };
    Margins {
        left: side + widest + GAP + TICK_LENGTH,
        bottom: TICK_LENGTH + GAP + SMALL + below,
        right: 10.0,
    }
}

fn majors(axis: &Axis) -> impl Iterator<Item = f64> {
    axis.ticks
        .iter()
        .filter(|tick| tick.label.is_some())
        .map(|tick| tick.value)
}

fn length(tick: &Tick) -> f64 {
    if tick.label.is_some() {
        TICK_LENGTH
    } else {
        MINOR_LENGTH
    }
}

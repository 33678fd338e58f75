//! A plot area with two axes, and a legend above it that never covers data.

use plotters::style::RGBColor;

use super::Column;
use super::axis::Axis;
use super::canvas::{Align, Canvas};
use super::style::{GRID, INK, LABEL_PT, MARKER_PT, Marker, TEXT_PT};

/// What stands for a series in the legend.
#[derive(Debug, Clone)]
pub(super) enum Key {
    Line(RGBColor, &'static [f64]),
    Mark(RGBColor, Marker, bool),
}

/// Margins around the plot area in points; the top grows with the legend.
const LEFT: f64 = 34.0;
const RIGHT: f64 = 12.0;
const BOTTOM: f64 = 29.0;
const LEGEND_ROW: f64 = 10.5;
const LEGEND_KEY: f64 = 15.0;
/// Half the width of the caps of an error bar.
const CAP: f64 = 1.8;

/// A chart being drawn.
#[derive(Debug)]
pub(super) struct Chart {
    canvas: Canvas,
    x: Axis,
    y: Axis,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Chart {
    /// An empty chart with its axes, grid and legend.
    pub(super) fn new(column: Column, x: Axis, y: Axis, legend: &[(Key, String)]) -> Self {
        let (width, plot_height) = match column {
            Column::One => (3.4 * 72.0, 132.0),
            Column::Two => (7.0 * 72.0, 190.0),
        };
        let rows = legend_rows(legend, width - LEFT - RIGHT);
        let top = 6.0 + rows.len() as f64 * LEGEND_ROW + 3.0;
        let bottom = top + plot_height;
        let canvas = Canvas::new(width, bottom + BOTTOM);
        let mut chart = Chart {
            canvas,
            x,
            y,
            left: LEFT,
            right: width - RIGHT,
            top,
            bottom,
        };
        chart.axes();
        chart.legend(&rows);
        chart
    }

    /// Where a pair of values stands on the sheet.
    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let across = self.left + (self.right - self.left) * self.x.place(x);
        (across, self.bottom - (self.bottom - self.top) * self.y.place(y))
    }

    /// A line through values; parts outside the axes are left out.
    pub(super) fn curve(&mut self, values: &[(f64, f64)], colour: RGBColor, dash: &[f64]) {
        let mut stretch: Vec<(f64, f64)> = Vec::new();
        let inside = |&(x, y): &(f64, f64)| self.x.holds(x) && self.y.holds(y);
        let mut stretches = Vec::new();
        for value in values {
            if inside(value) {
                stretch.push(self.at(value.0, value.1));
            } else if !stretch.is_empty() {
                stretches.push(std::mem::take(&mut stretch));
            }
        }
        stretches.push(stretch);
        for stretch in stretches.iter().filter(|stretch| stretch.len() > 1) {
            self.canvas.line(stretch, colour, 0.9, dash);
        }
    }

    /// A value with its confidence interval, shifted sideways by `shift` points.
    pub(super) fn point(&mut self, point: &Point, marker: Marker, colour: RGBColor, filled: bool) {
        if !self.x.holds(point.x) || !self.y.holds(point.y) {
            return;
        }
        let (across, up) = self.at(point.x, point.y);
        let across = across + point.shift;
        if let Some((low, high)) = point.interval {
            let within = |at: f64| at.clamp(self.top, self.bottom);
            let (low, high) = (within(self.at(point.x, low).1), within(self.at(point.x, high).1));
            self.canvas
                .line(&[(across, low), (across, high)], colour, 0.7, &[]);
            for end in [low, high] {
                self.canvas
                    .line(&[(across - CAP, end), (across + CAP, end)], colour, 0.7, &[]);
            }
        }
        self.canvas
            .marker((across, up), marker, MARKER_PT, colour, filled);
    }

    /// A short stroke inside the plot area, standing on the x axis at a value, to mark it.
    pub(super) fn pointer(&mut self, x: f64, colour: RGBColor, dash: &[f64]) {
        if self.x.holds(x) {
            let (across, _) = self.at(x, 0.0);
            self.canvas.line(
                &[(across, self.bottom), (across, self.bottom - 13.0)],
                colour,
                1.1,
                dash,
            );
        }
    }

    /// The finished drawing.
    pub(super) fn finish(self) -> Canvas {
        self.canvas
    }

    fn axes(&mut self) {
        let (left, right, top, bottom) = (self.left, self.right, self.top, self.bottom);
        for (at, label) in self.x.ticks.clone() {
            let across = left + (right - left) * self.x.place(at);
            if !self.x.label.is_empty() {
                self.canvas
                    .line(&[(across, top), (across, bottom)], GRID, 0.5, &[]);
                self.canvas
                    .line(&[(across, bottom), (across, bottom + 2.5)], INK, 0.6, &[]);
            }
            self.canvas
                .text((across, bottom + 8.5), &label, TEXT_PT, Align::Centre, INK);
        }
        for (at, label) in self.y.ticks.clone() {
            let up = bottom - (bottom - top) * self.y.place(at);
            self.canvas.line(&[(left, up), (right, up)], GRID, 0.5, &[]);
            self.canvas.line(&[(left - 2.5, up), (left, up)], INK, 0.6, &[]);
            self.canvas
                .text((left - 4.5, up), &label, TEXT_PT, Align::Right, INK);
        }
        self.canvas
            .line(&[(left, top), (left, bottom), (right, bottom)], INK, 0.7, &[]);
        let (x_label, y_label) = (self.x.label.clone(), self.y.label.clone());
        self.canvas.text(
            (f64::midpoint(left, right), bottom + 20.5),
            &x_label,
            LABEL_PT,
            Align::Centre,
            INK,
        );
        self.canvas
            .text_up((8.0, f64::midpoint(top, bottom)), &y_label, LABEL_PT, INK);
    }

    fn legend(&mut self, rows: &[Vec<(Key, String)>]) {
        for (row, entries) in (0u32..).zip(rows) {
            let middle = 6.0 + (f64::from(row) + 0.5) * LEGEND_ROW;
            let mut across = self.left;
            for (key, text) in entries {
                match key {
                    Key::Line(colour, dash) => {
                        self.canvas
                            .line(&[(across, middle), (across + 11.0, middle)], *colour, 1.0, dash);
                    }
                    Key::Mark(colour, marker, filled) => {
                        self.canvas
                            .marker((across + 6.0, middle), *marker, MARKER_PT, *colour, *filled);
                    }
                }
                self.canvas
                    .text((across + LEGEND_KEY, middle), text, TEXT_PT, Align::Left, INK);
                across += entry_width(text);
            }
        }
    }
}

/// A measured value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) interval: Option<(f64, f64)>,
    /// Sideways, in points of the sheet, so that neighbours do not cover each other.
    pub(super) shift: f64,
}

fn entry_width(text: &str) -> f64 {
    LEGEND_KEY + Canvas::text_width(text, TEXT_PT) + 8.0
}

fn legend_rows(legend: &[(Key, String)], width: f64) -> Vec<Vec<(Key, String)>> {
    let mut rows: Vec<Vec<(Key, String)>> = Vec::new();
    let mut used = f64::INFINITY;
    for entry in legend {
        let wanted = entry_width(&entry.1);
        if used + wanted > width + 8.0 + RIGHT {
            rows.push(Vec::new());
            used = 0.0;
        }
        used += wanted;
        rows.last_mut().expect("a row was just begun").push(entry.clone());
    }
    rows
}

//! A drawing in points, from the top left corner, that any backend can be given at any resolution.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontFamily, FontStyle, FontTransform, RGBColor};

use super::style::Marker;

/// The family name under which the font of this crate is known to the drawing library, and which other programs that
/// open the SVG will know.
pub(super) const FONT: &str = "DejaVu Sans";

/// The drawing library takes a size for the line, which is so many times the size of the letters.
const LINE_TO_EM: f64 = 1.24;

/// Where text stands relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Centre,
    Right,
}

#[derive(Debug, Clone)]
enum Shape {
    Line {
        points: Vec<(f64, f64)>,
        colour: RGBColor,
        width: f64,
    },
    Polygon {
        points: Vec<(f64, f64)>,
        colour: RGBColor,
    },
    Text {
        at: (f64, f64),
        text: String,
        size: f64,
        align: Align,
        upward: bool,
        colour: RGBColor,
    },
}

/// A list of shapes on a sheet of a given size.
#[derive(Debug, Clone)]
pub(super) struct Canvas {
    /// Width and height in points.
    pub(super) size: (f64, f64),
    shapes: Vec<Shape>,
}

impl Canvas {
    /// A white sheet.
    pub(super) fn new(width: f64, height: f64) -> Self {
        Canvas {
            size: (width, height),
            shapes: Vec::new(),
        }
    }

    /// A line through points, dashed by lengths of strokes and gaps.
    pub(super) fn line(&mut self, points: &[(f64, f64)], colour: RGBColor, width: f64, dash: &[f64]) {
        if dash.is_empty() {
            self.shapes.push(Shape::Line {
                points: points.to_vec(),
                colour,
                width,
            });
            return;
        }
        for points in dashed(points, dash) {
            self.shapes.push(Shape::Line {
                points,
                colour,
                width,
            });
        }
    }

    /// Text with its middle line at `at`.
    pub(super) fn text(&mut self, at: (f64, f64), text: &str, size: f64, align: Align, colour: RGBColor) {
        let text = text.to_owned();
        self.shapes.push(Shape::Text {
            at,
            text,
            size,
            align,
            upward: false,
            colour,
        });
    }

    /// Text that runs upward, centred at `at`.
    pub(super) fn text_up(&mut self, at: (f64, f64), text: &str, size: f64, colour: RGBColor) {
        let (text, align) = (text.to_owned(), Align::Centre);
        self.shapes.push(Shape::Text {
            at,
            text,
            size,
            align,
            upward: true,
            colour,
        });
    }

    /// A marker; a hollow one is white inside.
    pub(super) fn marker(
        &mut self,
        at: (f64, f64),
        shape: Marker,
        radius: f64,
        colour: RGBColor,
        filled: bool,
    ) {
        let outline = outline(at, shape, radius);
        let inside = if filled { colour } else { WHITE };
        self.shapes.push(Shape::Polygon {
            points: outline.clone(),
            colour: inside,
        });
        let mut closed = outline;
        closed.extend(closed.first().copied());
        self.shapes.push(Shape::Line {
            points: closed,
            colour,
            width: 0.9,
        });
    }

    /// Width of a text in points.
    pub(super) fn text_width(text: &str, size: f64) -> f64 {
        let style = (FONT, size * 16.0).into_font();
        style
            .box_size(text)
            .map_or(0.6 * size * text.chars().count() as f64, |(width, _)| {
                f64::from(width) / 16.0
            })
    }

    /// Draws everything at `scale` pixels a point.
    pub(super) fn draw<B: DrawingBackend>(&self, backend: B, scale: f64) -> Result<(), String> {
        let area = backend.into_drawing_area();
        let failed = |error: DrawingAreaErrorKind<B::ErrorType>| error.to_string();
        area.fill(&WHITE).map_err(failed)?;
        for shape in &self.shapes {
            match shape {
                Shape::Line {
                    points,
                    colour,
                    width,
                } => {
                    let stroke = pixels(*width, scale).max(1).unsigned_abs();
                    let path = PathElement::new(scaled(points, scale), colour.stroke_width(stroke));
                    area.draw(&path).map_err(failed)?;
                }
                Shape::Polygon { points, colour } => {
                    area.draw(&plotters::element::Polygon::new(
                        scaled(points, scale),
                        colour.filled(),
                    ))
                    .map_err(failed)?;
                }
                Shape::Text {
                    at,
                    text,
                    size,
                    align,
                    upward,
                    colour,
                } => {
                    let font = FontDesc::new(
                        FontFamily::Name(FONT),
                        size * LINE_TO_EM * scale,
                        FontStyle::Normal,
                    );
                    let font = if *upward {
                        font.transform(FontTransform::Rotate270)
                    } else {
                        font
                    };
                    let horizontal = match align {
                        Align::Left => HPos::Left,
                        Align::Centre => HPos::Center,
                        Align::Right => HPos::Right,
                    };
                    let style = TextStyle::from(font)
                        .color(colour)
                        .pos(Pos::new(horizontal, VPos::Center));
                    let place = (pixels(at.0, scale), pixels(at.1, scale));
                    area.draw(&Text::new(text.clone(), place, style))
                        .map_err(failed)?;
                }
            }
        }
        area.present().map_err(failed)
    }
}

fn scaled(points: &[(f64, f64)], scale: f64) -> Vec<(i32, i32)> {
    points
        .iter()
        .map(|&(x, y)| (pixels(x, scale), pixels(y, scale)))
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a float to integer cast saturates, and a sheet is small"
)]
fn pixels(points: f64, scale: f64) -> i32 {
    (points * scale).round() as i32
}

/// Corners of a marker's outline.
fn outline((x, y): (f64, f64), shape: Marker, r: f64) -> Vec<(f64, f64)> {
    let corners: Vec<(f64, f64)> = match shape {
        Marker::Circle => (0..24)
            .map(|i| {
                let angle = std::f64::consts::TAU * f64::from(i) / 24.0;
                (libm::cos(angle), libm::sin(angle))
            })
            .collect(),
        Marker::Square => vec![(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
        Marker::Triangle => vec![(0.0, -1.15), (1.05, 0.8), (-1.05, 0.8)],
        Marker::Down => vec![(0.0, 1.15), (1.05, -0.8), (-1.05, -0.8)],
        Marker::Diamond => vec![(0.0, -1.25), (1.0, 0.0), (0.0, 1.25), (-1.0, 0.0)],
        Marker::Star => (0..10)
            .map(|i| {
                let angle = std::f64::consts::TAU * f64::from(i) / 10.0;
                let length = if i % 2 == 0 { 1.35 } else { 0.55 };
                (length * libm::sin(angle), -length * libm::cos(angle))
            })
            .collect(),
    };
    corners
        .into_iter()
        .map(|(dx, dy)| (x + dx * r, y + dy * r))
        .collect()
}

/// The strokes of a dashed line.
fn dashed(points: &[(f64, f64)], dash: &[f64]) -> Vec<Vec<(f64, f64)>> {
    let (mut strokes, mut current) = (Vec::new(), Vec::new());
    let (mut index, mut left) = (0, dash[0]);
    current.extend(points.first().copied());
    for pair in points.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        loop {
            let length = libm::hypot(to.0 - from.0, to.1 - from.1);
            if length <= left {
                left -= length;
                if index % 2 == 0 {
                    current.push(to);
                }
                break;
            }
            let share = left / length;
            from = (from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share);
            if index % 2 == 0 {
                current.push(from);
                strokes.push(std::mem::take(&mut current));
            } else {
                current = vec![from];
            }
            index = (index + 1) % dash.len();
            left = dash[index].max(0.1);
        }
    }
    if current.len() > 1 {
        strokes.push(current);
    }
    strokes
}

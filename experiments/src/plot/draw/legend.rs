//! Legends: above the frames, where they cover no data.

use super::font::Face;
use super::mark::{Along, Mark, marker};
use super::scene::{Anchor, Rect, Scene, Stroke, at};
use super::style::{CURVE_WIDTH, GREY, Look, SMALL, solid};
use crate::plot::data::Level;

const LINE: f64 = 10.5;
const AFTER_SWATCH: f64 = 3.0;
const AFTER_ENTRY: f64 = 9.0;
const RADIUS: f64 = 1.9;
/// Half the height of upright samples.
const REACH: f64 = 4.2;

/// A sample of what is in the figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Swatch {
    /// Curve and markers of a series.
    Series(Look),
    /// Marker of a level, with its error bar.
    Level(Level),
    /// Marker of a level, without.
    Marker(Level),
    /// Curve of a series.
    Curve(Look),
    /// A line of no series.
    Line(Stroke),
    /// A line across a row.
    Upright,
}

impl Swatch {
    fn width(self) -> f64 {
        match self {
            Swatch::Series(_) | Swatch::Curve(_) => 18.0,
            Swatch::Line(_) => 13.0,
            Swatch::Level(_) | Swatch::Marker(_) => 7.0,
            Swatch::Upright => 4.0,
        }
    }
}

/// A group of entries with a heading; each group begins a line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    pub(crate) heading: String,
    pub(crate) entries: Vec<(Swatch, String)>,
}

/// An entry in its place.
struct Placed<'a> {
    x: f64,
    line: u32,
    swatch: Option<Swatch>,
    label: &'a str,
}

/// Height of a legend of this width.
pub(crate) fn height(face: &Face, groups: &[Group], width: f64) -> f64 {
    let lines = layout(face, groups, width).last().map_or(0, |last| last.line + 1);
    f64::from(lines) * LINE
}

/// Paints a legend whose top left corner is given.
pub(crate) fn paint(scene: &mut Scene, face: &Face, groups: &[Group], left: f64, top: f64, width: f64) {
    scene.group("legend", |scene| {
        for placed in layout(face, groups, width) {
            let middle = top + LINE * (f64::from(placed.line) + 0.5);
            let mut x = left + placed.x;
            if let Some(swatch) = placed.swatch {
                paint_swatch(scene, swatch, x, middle);
                x += swatch.width() + AFTER_SWATCH;
            }
            scene.text(at(x, middle + SMALL * 0.36), SMALL, Anchor::Start, placed.label);
        }
    });
}

fn layout<'a>(face: &Face, groups: &'a [Group], width: f64) -> Vec<Placed<'a>> {
    let mut all = Vec::new();
    let mut line = 0;
    for group in groups.iter().filter(|group| !group.entries.is_empty()) {
        let indent = if group.heading.is_empty() {
            0.0
        } else {
            all.push(Placed {
                x: 0.0,
                line,
                swatch: None,
                label: &group.heading,
            });
            face.width(&group.heading, SMALL) + AFTER_ENTRY * 0.7
        };
        let mut x = indent;
        for (swatch, label) in &group.entries {
            let extent = swatch.width() + AFTER_SWATCH + face.width(label, SMALL);
            if x > indent && x + extent > width {
                x = indent;
                line += 1;
            }
            all.push(Placed {
                x,
                line,
                swatch: Some(*swatch),
                label,
            });
            x += extent + AFTER_ENTRY;
        }
        line += 1;
    }
    all
}

fn paint_swatch(scene: &mut Scene, swatch: Swatch, x: f64, y: f64) {
    let across = vec![at(x, y), at(x + swatch.width(), y)];
    let middle = at(x + swatch.width() / 2.0, y);
    match swatch {
        Swatch::Series(look) => {
            scene.line(across, look.curve());
            look.shape.paint(scene, middle, RADIUS, look.colour, None);
        }
        Swatch::Level(level) => {
            let (above, below) = (at(middle.x, y - REACH), at(middle.x, y + REACH));
            let everywhere = Rect {
                left: 0.0,
                top: 0.0,
                right: f64::MAX,
                bottom: f64::MAX,
            };
            let mark = Mark {
                centre: middle,
                ends: Some((above, below)),
                along: Along::Y,
                level,
                look: grey(),
            };
            mark.paint(scene, &everywhere);
        }
        Swatch::Marker(level) => marker(scene, middle, level, grey()),
        Swatch::Curve(look) => scene.line(across, look.curve()),
        Swatch::Line(stroke) => scene.line(across, stroke),
        Swatch::Upright => {
            let upright = vec![at(middle.x, y - REACH), at(middle.x, y + REACH)];
            scene.line(upright, solid(GREY, CURVE_WIDTH));
        }
    }
}

/// The look of what belongs to no series.
fn grey() -> Look {
    Look {
        colour: GREY,
        ..Look::of(0)
    }
}

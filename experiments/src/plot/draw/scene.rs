//! A figure as a list of things to paint, in order.

use std::ops::Range;

use super::chart::Chart;

/// A place on the figure, in points from its top left corner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
}

pub(crate) const fn at(x: f64, y: f64) -> Point {
    Point { x, y }
}

/// A rectangle; `left` < `right`, `top` < `bottom`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rect {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
}

impl Rect {
    pub(crate) fn width(&self) -> f64 {
        self.right - self.left
    }

    pub(crate) fn height(&self) -> f64 {
        self.bottom - self.top
    }

    pub(crate) fn middle(&self) -> Point {
        at(
            f64::midpoint(self.left, self.right),
            f64::midpoint(self.top, self.bottom),
        )
    }
}

/// An opaque colour, 0xRRGGBB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Colour(pub(crate) u32);

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stroke {
    pub(crate) colour: Colour,
    pub(crate) width: f64,
    /// Lengths of dash and gap in turn; empty for a line without gaps.
    pub(crate) dash: &'static [f64],
}

/// Which end of a text is at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// A line of text. Its place is on the base line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Text {
    pub(crate) at: Point,
    pub(crate) size: f64,
    pub(crate) anchor: Anchor,
    /// Runs upwards instead of to the right.
    pub(crate) upwards: bool,
    pub(crate) content: String,
}

/// Something to paint.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    Path {
        points: Vec<Point>,
        closed: bool,
        fill: Option<Colour>,
        stroke: Option<Stroke>,
    },
    Circle {
        centre: Point,
        radius: f64,
        fill: Colour,
        stroke: Option<Stroke>,
    },
    Text(Text),
    /// Begins a named group, for those who edit the SVG.
    Open(String),
    /// Ends it.
    Close,
}

/// A figure to paint.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scene {
    pub(crate) width: f64,
    pub(crate) height: f64,
    /// What the figure shows, for readers who cannot see it.
    pub(crate) title: String,
    pub(crate) items: Vec<Item>,
    /// What its frames show.
    pub(crate) charts: Vec<Chart>,
    /// Which items are the ink of the charts.
    pub(crate) charted: Vec<Range<usize>>,
}

impl Scene {
    pub(crate) fn new(width: f64, height: f64, title: String) -> Scene {
        Scene {
            width,
            height,
            title,
            items: Vec::new(),
            charts: Vec::new(),
            charted: Vec::new(),
        }
    }

    pub(crate) fn line(&mut self, points: Vec<Point>, stroke: Stroke) {
        if points.len() < 2 {
            return;
        }
        self.items.push(Item::Path {
            points,
            closed: false,
            fill: None,
            stroke: Some(stroke),
        });
    }

    pub(crate) fn text(&mut self, at: Point, size: f64, anchor: Anchor, content: impl Into<String>) {
        self.items.push(Item::Text(Text {
            at,
            size,
            anchor,
            upwards: false,
            content: content.into(),
        }));
    }

    /// Paints what the charts say too.
    pub(crate) fn charted(&mut self, paint: impl FnOnce(&mut Scene)) {
        let first = self.items.len();
        paint(self);
        self.charted.push(first..self.items.len());
    }

    /// Paints a group.
    pub(crate) fn group(&mut self, name: &str, paint: impl FnOnce(&mut Scene)) {
        self.items.push(Item::Open(name.to_owned()));
        paint(self);
        self.items.push(Item::Close);
    }
}

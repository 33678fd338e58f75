//! What a frame shows, as data beside the ink: for formats that draw their own axes.

use super::mark::{Along, Mark};
use super::scale::Scale;
use super::scene::{Colour, Rect, Stroke};
use super::style::Look;
use super::ticks::Tick;
use crate::plot::data::Level;

/// A frame with what was plotted in it. Coordinates are those of [`Scale::coordinate`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chart {
    pub(crate) area: Rect,
    pub(crate) x: ChartAxis,
    pub(crate) y: ChartAxis,
    /// From the frame to the base line of the label beside it, in points.
    pub(crate) label_distance: f64,
    pub(crate) plots: Vec<Plot>,
}

/// An axis of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ChartAxis {
    pub(crate) scale: Scale,
    pub(crate) label: String,
    pub(crate) ticks: Vec<Tick>,
}

/// Something plotted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Plot {
    Curve { stroke: Stroke, points: Vec<(f64, f64)> },
    Area { fill: Colour, points: Vec<(f64, f64)> },
    Marks(Marks),
}

/// Markers that look the same.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Marks {
    pub(crate) look: Look,
    pub(crate) level: Level,
    pub(crate) along: Along,
    pub(crate) points: Vec<Marked>,
}

/// A marker, and how far its interval reaches below and above it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Marked {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) reach: Option<(f64, f64)>,
}

impl Chart {
    /// Adds a marker to those that look like it.
    pub(crate) fn mark(&mut self, mark: &Mark, point: Marked) {
        let alike = self.plots.iter_mut().find_map(|plot| match plot {
            Plot::Marks(marks) => {
                let same = (marks.look, marks.level, marks.along) == (mark.look, mark.level, mark.along);
                same.then_some(marks)
            }
            Plot::Curve { .. } | Plot::Area { .. } => None,
        });
        match alike {
            Some(marks) => marks.points.push(point),
            None => self.plots.push(Plot::Marks(Marks {
                look: mark.look,
                level: mark.level,
                along: mark.along,
                points: vec![point],
            })),
        }
    }
}

//! The look that all figures share. Lengths in points at the printed size.

use super::mark::Shape;
use super::scene::{Colour, Stroke};

/// Width of a figure in one column of a two-column page: 3.5 inches.
pub(crate) const ONE_COLUMN: f64 = 252.0;
/// Width of a figure across both: 7 inches.
pub(crate) const TWO_COLUMNS: f64 = 504.0;

/// Tick labels, legends, notes: the smallest text of a figure.
pub(crate) const SMALL: f64 = 7.0;
/// Labels of axes.
pub(crate) const LABEL: f64 = 8.0;

pub(crate) const INK: Colour = Colour(0x00_0000);
pub(crate) const PAPER: Colour = Colour(0xff_ffff);
pub(crate) const GREY: Colour = Colour(0x70_7070);

pub(crate) const FRAME: Stroke = solid(Colour(0x40_4040), 0.6);
pub(crate) const TICK: Stroke = solid(Colour(0x40_4040), 0.5);
pub(crate) const GRID: Stroke = solid(Colour(0xe4_e4e4), 0.5);
pub(crate) const TICK_LENGTH: f64 = 3.0;
pub(crate) const MINOR_LENGTH: f64 = 1.6;

/// Line of a theory.
pub(crate) const CURVE_WIDTH: f64 = 0.9;
/// Line that joins means, thinner than a theory's.
pub(crate) const JOIN_WIDTH: f64 = 0.45;
/// Error bars and outlines of markers.
pub(crate) const MARK_WIDTH: f64 = 0.75;
/// Half the width of an error bar's cap.
pub(crate) const CAP: f64 = 1.8;
/// Marker of level `model`: open, and large enough to hold the other.
pub(crate) const OPEN_RADIUS: f64 = 2.6;
/// Marker of level `sim`: filled, and small enough to lie in the other.
pub(crate) const FILLED_RADIUS: f64 = 1.35;
/// Marker of level `cluster`: filled, with no other to lie in.
pub(crate) const ALONE_RADIUS: f64 = 2.1;

pub(crate) const fn solid(colour: Colour, width: f64) -> Stroke {
    Stroke {
        colour,
        width,
        dash: &[],
    }
}

/// What tells one series from another: colour, and for print without colours shape and dash.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Look {
    pub(crate) colour: Colour,
    pub(crate) shape: Shape,
    pub(crate) dash: &'static [f64],
}

/// The palette of Okabe and Ito without its yellow, which is too light for lines.
const LOOKS: [Look; 7] = [
    Look {
        colour: Colour(0x00_72b2),
        shape: Shape::Circle,
        dash: &[],
    },
    Look {
        colour: Colour(0xd5_5e00),
        shape: Shape::Square,
        dash: &[4.0, 1.6],
    },
    Look {
        colour: Colour(0x00_9e73),
        shape: Shape::Triangle,
        dash: &[1.4, 1.3],
    },
    Look {
        colour: Colour(0xcc_79a7),
        shape: Shape::Diamond,
        dash: &[5.0, 1.4, 1.2, 1.4],
    },
    Look {
        colour: Colour(0x00_0000),
        shape: Shape::Wedge,
        dash: &[2.4, 1.2],
    },
    Look {
        colour: Colour(0x56_b4e9),
        shape: Shape::Pentagon,
        dash: &[6.0, 1.2, 1.2, 1.2, 1.2, 1.2],
    },
    Look {
        colour: Colour(0xe6_9f00),
        shape: Shape::Hexagon,
        dash: &[8.0, 2.0],
    },
];

impl Look {
    /// The look of the n-th series. From the eighth on colours come again, with other markers and dashes.
    pub(crate) fn of(series: usize) -> Look {
        let round = series / LOOKS.len();
        let other = LOOKS[(series + round) % LOOKS.len()];
        Look {
            colour: LOOKS[series % LOOKS.len()].colour,
            ..other
        }
    }

    pub(crate) fn curve(&self) -> Stroke {
        Stroke {
            colour: self.colour,
            width: CURVE_WIDTH,
            dash: self.dash,
        }
    }

    pub(crate) fn join(&self) -> Stroke {
        Stroke {
            width: JOIN_WIDTH,
            ..self.curve()
        }
    }

    pub(crate) fn bar(&self) -> Stroke {
        solid(self.colour, MARK_WIDTH)
    }
}

//! Markers and error bars.

use super::scene::{Colour, Item, Point, Rect, Scene, Stroke, at};
use super::style::{ALONE_RADIUS, CAP, FILLED_RADIUS, Look, MARK_WIDTH, OPEN_RADIUS, PAPER};
use crate::plot::data::Level;

/// Outline of a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Circle,
    Square,
    /// Point upwards.
    Triangle,
    Diamond,
    /// Point downwards.
    Wedge,
    Pentagon,
    Hexagon,
}

impl Shape {
    /// Corners, the turn of the first one (0: right, 90: down) in degrees, and by how much the radius grows so that
    /// all shapes look equally large.
    fn corners(self) -> Option<(u32, f64, f64)> {
        match self {
            Shape::Circle => None,
            Shape::Square => Some((4, 45.0, 1.25)),
            Shape::Triangle => Some((3, 270.0, 1.4)),
            Shape::Diamond => Some((4, 0.0, 1.3)),
            Shape::Wedge => Some((3, 90.0, 1.4)),
            Shape::Pentagon => Some((5, 270.0, 1.15)),
            Shape::Hexagon => Some((6, 0.0, 1.1)),
        }
    }

    pub(crate) fn paint(
        self,
        scene: &mut Scene,
        centre: Point,
        radius: f64,
        fill: Colour,
        stroke: Option<Stroke>,
    ) {
        let Some((corners, turn, growth)) = self.corners() else {
            scene.items.push(Item::Circle {
                centre,
                radius,
                fill,
                stroke,
            });
            return;
        };
        let corner = |index: u32| {
            let angle = (turn + 360.0 / f64::from(corners) * f64::from(index)).to_radians();
            let reach = radius * growth;
            at(
                centre.x + reach * libm::cos(angle),
                centre.y + reach * libm::sin(angle),
            )
        };
        scene.items.push(Item::Path {
            points: (0..corners).map(corner).collect(),
            closed: true,
            fill: Some(fill),
            stroke,
        });
    }
}

/// Along which axis an error bar lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Along {
    X,
    Y,
}

/// A measured point: marker, and bar from one end of the interval to the other. An end outside the frame has no cap.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) centre: Point,
    pub(crate) ends: Option<(Point, Point)>,
    pub(crate) along: Along,
    pub(crate) level: Level,
    pub(crate) look: Look,
}

impl Mark {
    /// A marker without an interval.
    pub(crate) fn bare(centre: Point, level: Level, look: Look) -> Mark {
        Mark {
            centre,
            ends: None,
            along: Along::Y,
            level,
            look,
        }
    }

    pub(crate) fn paint(&self, scene: &mut Scene, frame: &Rect) {
        if let Some((from, to)) = self.ends {
            let (from, from_inside) = held(from, frame);
            let (to, to_inside) = held(to, frame);
            let stroke = self.look.bar();
            scene.line(vec![from, to], stroke);
            for (end, inside) in [(from, from_inside), (to, to_inside)] {
                if inside {
                    scene.line(self.cap(end), stroke);
                }
            }
        }
        if !held(self.centre, frame).1 {
            return;
        }
        marker(scene, self.centre, self.level, self.look);
    }

    fn cap(&self, end: Point) -> Vec<Point> {
        match self.along {
            Along::Y => vec![at(end.x - CAP, end.y), at(end.x + CAP, end.y)],
            Along::X => vec![at(end.x, end.y - CAP), at(end.x, end.y + CAP)],
        }
    }
}

/// The marker of a level: open for the model, filled for the simulated world and the cluster, so that both can be seen in one place.
pub(crate) fn marker(scene: &mut Scene, centre: Point, level: Level, look: Look) {
    let outline = Stroke {
        width: MARK_WIDTH,
        ..look.bar()
    };
    match level {
        Level::Model => look.shape.paint(scene, centre, OPEN_RADIUS, PAPER, Some(outline)),
        Level::Sim => look.shape.paint(scene, centre, FILLED_RADIUS, look.colour, None),
        Level::Cluster => look.shape.paint(scene, centre, ALONE_RADIUS, look.colour, None),
    }
}

/// The nearest place within the frame, and whether that is the place itself.
fn held(place: Point, frame: &Rect) -> (Point, bool) {
    const SLACK: f64 = 1e-6;
    let inside = at(
        place.x.clamp(frame.left, frame.right),
        place.y.clamp(frame.top, frame.bottom),
    );
    let same = (inside.x - place.x).abs() <= SLACK && (inside.y - place.y).abs() <= SLACK;
    (inside, same)
}

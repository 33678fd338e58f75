//! Keeps curves inside their frame.

use super::scene::{Point, Rect, at};

/// The parts of a polyline that lie in the frame (Liang and Barsky's parametric clipping, segment by segment).
pub(crate) fn clip(points: &[Point], frame: &Rect) -> Vec<Vec<Point>> {
    let mut parts: Vec<Vec<Point>> = Vec::new();
    for pair in points.windows(2) {
        let Some((from, to)) = clip_segment(pair[0], pair[1], frame) else {
            continue;
        };
        match parts.last_mut() {
            Some(part) if part.last() == Some(&from) => part.push(to),
            _ => parts.push(vec![from, to]),
        }
    }
    parts
}

fn clip_segment(from: Point, to: Point, frame: &Rect) -> Option<(Point, Point)> {
    let (dx, dy) = (to.x - from.x, to.y - from.y);
    let (mut enter, mut leave) = (0.0f64, 1.0f64);
    let borders = [
        (-dx, from.x - frame.left),
        (dx, frame.right - from.x),
        (-dy, from.y - frame.top),
        (dy, frame.bottom - from.y),
    ];
    for (towards, room) in borders {
        if towards == 0.0 {
            if room < 0.0 {
                return None;
            }
        } else if towards < 0.0 {
            enter = enter.max(room / towards);
        } else {
            leave = leave.min(room / towards);
        }
    }
    // Exact at the ends, so that neighbouring segments stay joined.
    let place = |share: f64| match share {
        0.0 => from,
        1.0 => to,
        _ => at(from.x + share * dx, from.y + share * dy),
    };
    (enter <= leave).then(|| (place(enter), place(leave)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Rect = Rect {
        left: 0.0,
        top: 0.0,
        right: 10.0,
        bottom: 10.0,
    };

    #[test]
    fn a_curve_that_leaves_and_returns_is_two_parts_that_end_on_the_frame() {
        let curve = [
            at(1.0, 5.0),
            at(2.0, 5.0),
            at(4.0, -15.0),
            at(6.0, 5.0),
            at(20.0, 5.0),
        ];
        let parts = clip(&curve, &FRAME);
        let expected = vec![
            vec![at(1.0, 5.0), at(2.0, 5.0), at(2.5, 0.0)],
            vec![at(5.5, 0.0), at(6.0, 5.0), at(10.0, 5.0)],
        ];
        assert_eq!(parts, expected);
        assert_eq!(
            clip(&[at(-1.0, -1.0), at(-1.0, 20.0)], &FRAME),
            Vec::<Vec<Point>>::new()
        );
    }
}

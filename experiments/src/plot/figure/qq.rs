//! Quantiles of a failure log against those of the laws fitted to it.

use super::page::{PanelSpec, compose};
use super::series::{law_name, letter};
use super::{Column, Figure, by_interval, caption};
use crate::plot::data::{Level, QqPoint};
use crate::plot::draw::axis::AxisSpec;
use crate::plot::draw::font::Face;
use crate::plot::draw::legend::{Group, Swatch};
use crate::plot::draw::mark::Mark;
use crate::plot::draw::scale::Scale;
use crate::plot::draw::style::{CURVE_WIDTH, GREY, Look, solid};
use crate::plot::draw::ticks::Kind;

/// Laws a page has room for.
const PANELS_MAX: usize = 4;
/// Space around the outermost quantiles, as a factor.
const MARGIN: f64 = 1.4;
/// How far quantiles of a law are shown beyond those of the log, as a factor.
const BEYOND: f64 = 100.0;
/// Points of a law that print can tell apart, and how many at each end are all drawn.
const POINTS: usize = 150;
const OUTERMOST: usize = 15;

/// A panel a law; where law and log agree the points lie on the line.
pub(crate) fn figures(points: &[QqPoint], column: Column, face: &Face) -> Vec<Figure> {
    let mut laws: Vec<(&str, Vec<&QqPoint>)> = Vec::new();
    for point in points {
        match laws.iter_mut().find(|(law, _)| *law == point.law) {
            Some((_, points)) => points.push(point),
            None => laws.push((&point.law, vec![point])),
        }
    }
    for (_, points) in &mut laws {
        points.sort_by(|a, b| a.probability.total_cmp(&b.probability));
    }
    let Some(y) = Scale::log_around(points.iter().map(|point| point.observed_s), MARGIN) else {
        return Vec::new();
    };
    let Scale::Log { low, high } = y else {
        return Vec::new();
    };
    // A law with a heavy tail would leave no room for the others.
    let theoretical = points
        .iter()
        .map(|point| point.theoretical_s.clamp(low / BEYOND, high * BEYOND));
    let x = Scale::log_around(theoretical, MARGIN).unwrap_or(y);
    let count = laws.len();
    laws.chunks(PANELS_MAX)
        .enumerate()
        .map(|(page, laws)| draw(laws, (page, count), (x, y), column, face))
        .collect()
}

fn draw(
    laws: &[(&str, Vec<&QqPoint>)],
    (page, of): (usize, usize),
    (x, y): (Scale, Scale),
    column: Column,
    face: &Face,
) -> Figure {
    let first = page * PANELS_MAX;
    let panels = laws.iter().enumerate().map(|(place, (law, _))| {
        let axis = |scale: Scale, label: &str| AxisSpec {
            scale,
            kind: Kind::Time,
            label: label.to_owned(),
        };
        PanelSpec {
            name: Some(match of {
                1 => law_name(law, None),
                _ => format!("{} {}", letter(first + place), law_name(law, None)),
            }),
            x: axis(x, "Quantile of the law"),
            y: axis(y, "Quantile of the log"),
        }
    });
    let legend = vec![Group {
        heading: String::new(),
        entries: vec![(
            Swatch::Line(solid(GREY, CURVE_WIDTH)),
            "Law and log agree".to_owned(),
        )],
    }];
    let title = "Quantiles of a failure log against fitted laws".to_owned();
    let scene = compose(
        face,
        column,
        title,
        &legend,
        panels.collect(),
        |place, frame, scene| {
            let (_, points) = &laws[place];
            scene.group("points", |scene| {
                for (index, point) in points.iter().enumerate() {
                    if !is_drawn(index, points.len()) {
                        continue;
                    }
                    if let Some(at) = frame.place(point.theoretical_s, point.observed_s) {
                        frame.mark(scene, &Mark::bare(at, Level::Sim, Look::of(first + place)));
                    }
                }
            });
            if let Scale::Log { low, high } = y {
                let same = [(low, low), (high, high)];
                frame.curve(scene, same.into_iter(), solid(GREY, CURVE_WIDTH));
            }
        },
    );
    Figure {
        stem: by_interval::page_name("qq", page),
        scene,
        caption: text(laws, first, column),
    }
}

fn is_drawn(index: usize, count: usize) -> bool {
    index < OUTERMOST || index + OUTERMOST >= count || index.is_multiple_of(count.div_ceil(POINTS))
}

fn text(laws: &[(&str, Vec<&QqPoint>)], first: usize, column: Column) -> String {
    let mut text = "Quantiles of the times in a failure log against those of laws fitted to it by maximum likelihood; \
                    logarithmic axes. Of long logs every so many points are drawn, and all of the outermost. What a \
                    law puts a hundred times beyond the log is left out.\n"
        .to_owned();
    for (place, (law, points)) in laws.iter().enumerate() {
        text.push_str(&format!(
            "Panel {} {law}: n = {} quantiles.\n",
            letter(first + place),
            points.len()
        ));
    }
    text.push_str(&caption::regenerate(column).replace("summary.csv", crate::plot::QQ));
    text
}

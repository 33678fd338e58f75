//! What a checkpoint interval costs: waste, and work lost.

use super::axis::Axis;
use super::canvas::Canvas;
use super::chart::{Chart, Key, Point};
use super::data::{Cell, Estimate, RunData};
use super::style::{INK, series};
use super::{Column, Figure};

/// Levels in the order of the legend, and whether their markers are filled.
pub(super) const LEVELS: [(&str, bool, &str); 2] =
    [("model", false, "model"), ("sim", true, "simulated world")];

/// Intervals that policies compute, and the dash of their pointer.
const POINTERS: [(&str, &[f64], &str); 2] = [("young", &[], "Young"), ("daly-higher", &[1.6, 1.2], "Daly")];

/// Waste against interval: trials as markers, theory as lines, the intervals of Young and Daly as strokes on the axis.
pub(super) fn waste(data: &RunData, column: Column) -> Option<Figure> {
    let waste_of = |cell: &Cell| cell.waste;
    let theory: Vec<(f64, f64, f64)> = data
        .theory
        .iter()
        .filter(|point| point.curve == "expected")
        .filter_map(|point| Some((point.mtbf_s, point.interval_s?, point.waste?)))
        .collect();
    let canvas = draw(
        data,
        column,
        waste_of,
        &theory,
        &Labels {
            y: "waste, share of the makespan",
            scale: 1.0,
        },
    )?;
    let theory_says = if theory.is_empty() {
        ""
    } else {
        " Lines: expected value in closed form (Daly 2006; Hérault and Robert), with the costs of the level `model`."
    };
    let caption = format!(
        "Waste, the share of the makespan that is not useful work, against the checkpoint interval τ (work between two \
         checkpoints, their cost left out), by MTBF. {}{theory_says} Strokes on the axis: the intervals of Young (solid) and \
         of Daly's higher order (dashed).",
        markers(data)
    );
    Some(Figure {
        name: "waste-by-interval",
        caption,
        canvas,
    })
}

/// Work lost to failures against interval.
pub(super) fn lost_work(data: &RunData, column: Column) -> Option<Figure> {
    let lost_of = |cell: &Cell| cell.lost_s.filter(|_| cell.waste.is_some());
    let longest = data
        .cells
        .iter()
        .filter_map(lost_of)
        .map(|lost| lost.mean)
        .fold(0.0, f64::max);
    let (scale, unit) = match longest {
        s if s < 300.0 => (1.0, "s"),
        s if s < 18_000.0 => (60.0, "min"),
        _ => (3_600.0, "h"),
    };
    let y = format!("work lost in a run, {unit}");
    let canvas = draw(data, column, lost_of, &[], &Labels { y: &y, scale })?;
    let work_h = data.cells.first().map_or(0.0, |cell| cell.work_s / 3_600.0);
    let caption = format!(
        "Work that the guest did and lost to failures in one run of a job of {work_h:.1} h, against the checkpoint interval, by \
         MTBF. {}",
        markers(data)
    );
    Some(Figure {
        name: "lost-work-by-interval",
        caption,
        canvas,
    })
}

/// What the markers of these figures mean.
pub(super) fn markers(data: &RunData) -> String {
    let counts: Vec<String> = LEVELS
        .iter()
        .filter_map(|(level, filled, name)| {
            let n = data
                .cells
                .iter()
                .filter(|cell| cell.level == *level)
                .map(|cell| cell.n);
            let n = n.fold(None, |most: Option<f64>, n| {
                Some(most.map_or(n, |most| most.max(n)))
            })?;
            let look = if *filled { "filled" } else { "hollow" };
            Some(format!("{look}, {name}, n = {n}"))
        })
        .collect();
    format!(
        "Markers: means ({}) with 95 % confidence intervals (Student's t); cells in which a trial did not finish are left out.",
        counts.join("; ")
    )
}

struct Labels<'a> {
    y: &'a str,
    /// Seconds, or whatever the values are in, for one unit of the axis.
    scale: f64,
}

fn draw(
    data: &RunData,
    column: Column,
    value: impl Fn(&Cell) -> Option<Estimate>,
    theory: &[(f64, f64, f64)],
    labels: &Labels<'_>,
) -> Option<Canvas> {
    let fixed: Vec<(&Cell, f64, Estimate)> = data
        .cells
        .iter()
        .filter(|cell| cell.policy == "fixed")
        .filter_map(|cell| Some((cell, cell.interval_s?, value(cell)?)))
        .collect();
    let x = Axis::log_time(
        fixed.iter().map(|(_, interval, _)| *interval),
        "checkpoint interval τ",
    )?;
    let highest = fixed
        .iter()
        .map(|(_, _, y)| y.interval.map_or(y.mean, |(_, high)| high) / labels.scale);
    let y = Axis::from_zero(highest, labels.y)?;
    let mtbfs = data.mtbfs();
    let levels: Vec<_> = LEVELS
        .iter()
        .filter(|(name, ..)| fixed.iter().any(|(cell, ..)| cell.level == *name))
        .collect();
    let pointers: Vec<_> = POINTERS
        .iter()
        .filter(|(policy, ..)| data.cells.iter().any(|cell| cell.policy == *policy))
        .collect();
    let legend = legend(&mtbfs, &levels, &pointers, !theory.is_empty());
    let mut chart = Chart::new(column, x, y, &legend);
    for (index, mtbf) in mtbfs.iter().enumerate() {
        let (colour, marker, dash) = series(index);
        let curve: Vec<(f64, f64)> = theory
            .iter()
            .filter(|p| p.0.total_cmp(mtbf).is_eq())
            .map(|p| (p.1, p.2))
            .collect();
        chart.curve(&curve, colour, dash);
        for (policy, dash, _) in &pointers {
            let cell = data
                .cells
                .iter()
                .find(|c| c.policy == *policy && c.mtbf_s.total_cmp(mtbf).is_eq());
            if let Some(interval) = cell.and_then(|cell| cell.interval_s) {
                chart.pointer(interval, colour, dash);
            }
        }
        for (level, filled, _) in &levels {
            let shift = if levels.len() < 2 {
                0.0
            } else if *filled {
                1.6
            } else {
                -1.6
            };
            for (_, interval, y) in fixed
                .iter()
                .filter(|(c, ..)| c.level == *level && c.mtbf_s.total_cmp(mtbf).is_eq())
            {
                let scaled = |y: f64| y / labels.scale;
                let bounds = y.interval.map(|(low, high)| (scaled(low), scaled(high)));
                let point = Point {
                    x: *interval,
                    y: scaled(y.mean),
                    interval: bounds,
                    shift,
                };
                chart.point(&point, marker, colour, *filled);
            }
        }
    }
    Some(chart.finish())
}

fn legend(
    mtbfs: &[f64],
    levels: &[&(&str, bool, &str)],
    pointers: &[&(&str, &'static [f64], &str)],
    lines: bool,
) -> Vec<(Key, String)> {
    let mut legend: Vec<(Key, String)> = Vec::new();
    for (index, mtbf) in mtbfs.iter().enumerate() {
        let (colour, marker, dash) = series(index);
        let key = if lines {
            Key::Line(colour, dash)
        } else {
            Key::Mark(colour, marker, true)
        };
        legend.push((key, format!("MTBF {}", super::captions::time(*mtbf))));
    }
    for (_, filled, name) in levels {
        legend.push((Key::Mark(INK, series(0).1, *filled), (*name).to_owned()));
    }
    for (_, dash, name) in pointers {
        legend.push((Key::Line(INK, dash), (*name).to_owned()));
    }
    legend
}

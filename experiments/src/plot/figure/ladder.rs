//! Predicted against measured checkpoints.

use std::fmt::Write;

use super::page::{PanelSpec, compose};
use super::series::{letter, short};
use super::{Column, Figure, caption};
use crate::ladder::{CaptureKind, LADDER, Row, Source};
use crate::plot::data::Level;
use crate::plot::draw::axis::AxisSpec;
use crate::plot::draw::font::Face;
use crate::plot::draw::legend::{Group, Swatch};
use crate::plot::draw::mark::Mark;
use crate::plot::draw::scale::Scale;
use crate::plot::draw::style::{CURVE_WIDTH, GREY, Look, solid};
use crate::plot::draw::ticks::{Kind, three_digits};

const MIB: f64 = 1024.0 * 1024.0;

/// A quantity of checkpoints.
struct Quantity {
    name: &'static str,
    kind: Kind,
    of: fn(&Row) -> f64,
}

const QUANTITIES: [Quantity; 3] = [
    Quantity {
        name: "guest suspended",
        kind: Kind::Time,
        of: |row| row.suspended_s,
    },
    Quantity {
        name: "request to commit",
        kind: Kind::Time,
        of: |row| row.total_s,
    },
    Quantity {
        name: "stored (MiB)",
        kind: Kind::Number,
        of: |row| row.stored_bytes as f64 / MIB,
    },
];

/// A measured row and the prediction that follows it.
type Pair<'a> = (&'a Row, &'a Row);

/// One panel a quantity; a point a checkpoint, on the line if the prediction was right.
pub(crate) fn figures(rows: &[Row], column: Column, face: &Face) -> Vec<Figure> {
    let pairs: Vec<Pair> = rows
        .windows(2)
        .filter(|pair| pair[0].source == Source::Measured && pair[1].source == Source::Predicted)
        .map(|pair| (&pair[0], &pair[1]))
        .collect();
    if pairs.is_empty() {
        return Vec::new();
    }
    let mut guests: Vec<&str> = Vec::new();
    for (measured, _) in &pairs {
        if !guests.contains(&measured.guest.as_str()) {
            guests.push(&measured.guest);
        }
    }
    let look = |row: &Row| {
        Look::of(
            guests
                .iter()
                .position(|guest| *guest == row.guest)
                .unwrap_or_default(),
        )
    };
    let scales: Vec<Scale> = QUANTITIES
        .iter()
        .map(|quantity| {
            let values = pairs
                .iter()
                .flat_map(|(a, b)| [(quantity.of)(a), (quantity.of)(b)]);
            Scale::log_around(values, 1.3).unwrap_or(Scale::Log { low: 0.1, high: 10.0 })
        })
        .collect();
    let panels = QUANTITIES
        .iter()
        .zip(&scales)
        .enumerate()
        .map(|(place, (quantity, &scale))| {
            let axis = |label: String| AxisSpec {
                scale,
                kind: quantity.kind,
                label,
            };
            PanelSpec {
                name: Some(format!("{} {}", letter(place), quantity.name)),
                x: axis("Measured".to_owned()),
                y: axis("Predicted".to_owned()),
            }
        })
        .collect();
    let legend = legend(&guests);
    let title = "Predicted against measured checkpoints".to_owned();
    let scene = compose(face, column, title, &legend, panels, |place, frame, scene| {
        if let Scale::Log { low, high } = scales[place] {
            frame.curve(
                scene,
                [(low, low), (high, high)].into_iter(),
                solid(GREY, CURVE_WIDTH),
            );
        }
        for (measured, predicted) in &pairs {
            let of = QUANTITIES[place].of;
            if let Some(point) = frame.place(of(measured), of(predicted)) {
                frame.mark(scene, &Mark::bare(point, level(measured.capture), look(measured)));
            }
        }
    });
    vec![Figure {
        stem: "ladder".to_owned(),
        scene,
        caption: text(&pairs, column),
    }]
}

/// Full checkpoints have the open marker, increments the filled one.
fn level(capture: CaptureKind) -> Level {
    match capture {
        CaptureKind::Full => Level::Model,
        CaptureKind::Increment => Level::Sim,
    }
}

fn legend(guests: &[&str]) -> Vec<Group> {
    let series = guests
        .iter()
        .enumerate()
        .map(|(place, guest)| (Swatch::Series(Look::of(place)), short(guest)));
    vec![
        Group {
            heading: "Guest".to_owned(),
            entries: series.collect(),
        },
        Group {
            heading: String::new(),
            entries: vec![
                (Swatch::Marker(level(CaptureKind::Full)), "Full".to_owned()),
                (
                    Swatch::Marker(level(CaptureKind::Increment)),
                    "Increment".to_owned(),
                ),
                (
                    Swatch::Line(solid(GREY, CURVE_WIDTH)),
                    "Predicted as measured".to_owned(),
                ),
            ],
        },
    ]
}

fn text(pairs: &[Pair], column: Column) -> String {
    let mut text = format!(
        "Live checkpoints of real guests against their prediction by the simulated world, with a cost profile that was \
         calibrated on another guest; n = {} checkpoints.\n",
        pairs.len()
    );
    for (place, quantity) in QUANTITIES.iter().enumerate() {
        for kind in [CaptureKind::Full, CaptureKind::Increment] {
            let mut ratios: Vec<f64> = pairs
                .iter()
                .filter(|(measured, _)| measured.capture == kind)
                .map(|(measured, predicted)| (quantity.of)(predicted) / (quantity.of)(measured))
                .collect();
            ratios.sort_by(f64::total_cmp);
            let [Some(low), Some(middle), Some(high)] =
                [0, ratios.len() / 2, ratios.len().saturating_sub(1)].map(|at| ratios.get(at).copied())
            else {
                continue;
            };
            let _ = writeln!(
                text,
                "{} {}, {}: predicted over measured {} (median), {} to {}.",
                letter(place),
                quantity.name,
                match kind {
                    CaptureKind::Full => "full checkpoints",
                    CaptureKind::Increment => "increments",
                },
                three_digits(middle),
                three_digits(low),
                three_digits(high)
            );
        }
    }
    text.push_str(&caption::regenerate(column).replace("summary.csv", LADDER));
    text
}

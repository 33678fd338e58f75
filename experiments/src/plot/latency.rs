//! Distributions of short times, from the HDR histograms.

use hdrhistogram::Histogram;

use super::axis::Axis;
use super::chart::{Chart, Key};
use super::data::{Durations, RunData};
use super::style::series;
use super::{Column, Figure};

/// Points of a curve.
const POINTS: u32 = 200;

/// How long captures suspend the guest.
pub(super) fn downtime(data: &RunData, column: Column) -> Option<Figure> {
    let what = "Time for which a capture keeps the guest suspended";
    distribution(data, &data.downtime, column, "downtime", "suspended for", what)
}

/// How long recoveries take.
pub(super) fn recovery(data: &RunData, column: Column) -> Option<Figure> {
    let what = "Time from a failure until the guest runs again, detection and downtime included";
    distribution(data, &data.recovery, column, "recovery", "recovery time", what)
}

/// Cumulative shares at level `sim`, one curve for each MTBF over all its policies.
fn distribution(
    data: &RunData,
    durations: &[Durations],
    column: Column,
    name: &'static str,
    x_label: &str,
    what: &str,
) -> Option<Figure> {
    let mut curves: Vec<(f64, Histogram<u64>)> = Vec::new();
    for entry in durations {
        let cell = data
            .cells
            .iter()
            .find(|cell| format!("{}.{}", cell.point, cell.level) == entry.tag);
        let Some(cell) = cell.filter(|cell| cell.level == "sim") else {
            continue;
        };
        match curves
            .iter_mut()
            .find(|(mtbf, _)| mtbf.total_cmp(&cell.mtbf_s).is_eq())
        {
            // Both grow as they must; adding fails only if they may not.
            Some((_, all)) => all.add(&entry.histogram).ok()?,
            None => curves.push((cell.mtbf_s, entry.histogram.clone())),
        }
    }
    curves.retain(|(_, histogram)| !histogram.is_empty());
    curves.sort_by(|a, b| a.0.total_cmp(&b.0));
    let seconds = |nanos: u64| nanos as f64 * 1e-9;
    let ends: Vec<f64> = curves
        .iter()
        .flat_map(|(_, histogram)| [histogram.min(), histogram.max()])
        .map(seconds)
        .collect();
    let x = Axis::time_span(ends.into_iter(), x_label)?;
    let y = Axis::linear(0.0, 1.0, "cumulative share");
    let legend: Vec<(Key, String)> = curves
        .iter()
        .enumerate()
        .map(|(index, (mtbf, histogram))| {
            let (colour, _, dash) = series(index);
            let text = format!("MTBF {}, n = {}", super::captions::time(*mtbf), histogram.len());
            (Key::Line(colour, dash), text)
        })
        .collect();
    let mut chart = Chart::new(column, x, y, &legend);
    for (index, (_, histogram)) in curves.iter().enumerate() {
        let (colour, _, dash) = series(index);
        let quantiles = (0..=POINTS).map(|i| f64::from(i) / f64::from(POINTS));
        // From the axis up: also a distribution of one value is a curve.
        let curve: Vec<(f64, f64)> = quantiles
            .map(|share| (seconds(histogram.value_at_quantile(share)), share))
            .collect();
        chart.curve(&curve, colour, dash);
    }
    let caption = format!(
        "{what}: cumulative share at level `sim`, over all policies, by MTBF (HDR histogram, three digits)."
    );
    Some(Figure {
        name,
        caption,
        canvas: chart.finish(),
    })
}

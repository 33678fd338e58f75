//! How long captures suspend the guest and how long recoveries take: percentiles, with room for the tail.

use std::fmt::Write;

use std::collections::BTreeMap;

use super::caption;
use super::page::{PanelSpec, compose};
use super::series::{Series, letter, level_name, same};
use super::{Column, Figure};
use crate::plot::data::{CellLatency, Level, RunData, Setting};
use crate::plot::draw::axis::{AxisSpec, Frame};
use crate::plot::draw::font::Face;
use crate::plot::draw::legend::{Group, Swatch};
use crate::plot::draw::mark::Mark;
use crate::plot::draw::scale::Scale;
use crate::plot::draw::scene::Scene;
use crate::plot::draw::ticks::{Kind, Unit, duration};

/// Where curves carry markers, to be told apart in print and by level.
const MARKED: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 0.9999];
/// More nines than any plausible number of values supports.
const NINES_MAX: f64 = 9.0;
/// Ratio of the longest to the shortest time from which a logarithmic axis serves better.
const DECADES_FROM: f64 = 50.0;
/// Settings a page has room for, at two panels each.
const SETTINGS_MAX: usize = 2;

/// One quantity of one setting.
struct Panel<'a> {
    quantity: &'static str,
    setting: &'a Setting,
    curves: Vec<Curve>,
}

/// The values of one MTBF at one level.
struct Curve {
    mtbf_s: f64,
    level: Level,
    /// How often each value was seen, by value in nanoseconds.
    counts: BTreeMap<u64, u64>,
}

impl Curve {
    fn total(&self) -> u64 {
        self.counts
            .values()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Value at a share of all values, in seconds, and the shares up to which each value reaches.
    fn steps(&self) -> impl Iterator<Item = (f64, f64)> {
        let total = self.total() as f64;
        let mut seen = 0.0;
        self.counts.iter().map(move |(nanos, count)| {
            seen += *count as f64;
            (seconds(*nanos), seen / total)
        })
    }

    fn value_at(&self, share: f64) -> Option<f64> {
        self.steps()
            .find(|(_, reached)| *reached >= share)
            .map(|(value, _)| value)
    }

    /// The staircase of values over shares, up to the last value that stands for one observation.
    fn staircase(&self) -> Vec<(f64, f64)> {
        let last = 1.0 - 0.5 / self.total() as f64;
        let mut from = 0.0;
        let mut points = Vec::new();
        for (value, reached) in self.steps() {
            let to = reached.min(last);
            points.extend([(from, value), (to, value)]);
            from = to;
        }
        points
    }
}

/// Percentiles of downtime and recovery time, where the run has logged any.
pub(crate) fn figures(data: &RunData, column: Column, face: &Face) -> Vec<Figure> {
    let series = Series::of(data);
    let panels: Vec<(usize, Panel)> = series
        .settings
        .iter()
        .enumerate()
        .flat_map(|(index, setting)| {
            let quantities = [
                ("Guest suspended", &data.downtime),
                ("Recovery time", &data.recovery),
            ];
            quantities
                .into_iter()
                .map(move |(quantity, logged)| (index, pool(data, setting, quantity, logged)))
        })
        .filter(|(_, panel)| !panel.curves.is_empty())
        .collect();
    let pages = series.settings.len().div_ceil(SETTINGS_MAX);
    (0..pages)
        .filter_map(|page| {
            let here: Vec<&(usize, Panel)> = panels
                .iter()
                .filter(|(index, _)| index / SETTINGS_MAX == page)
                .collect();
            (!here.is_empty()).then(|| draw(&series, &here, column, face, page))
        })
        .collect()
}

/// Puts together the histograms of all checkpointing policies of a setting.
fn pool<'a>(
    data: &RunData,
    setting: &'a Setting,
    quantity: &'static str,
    logged: &[CellLatency],
) -> Panel<'a> {
    let mut curves: Vec<Curve> = Vec::new();
    for latency in logged {
        let cell = data
            .cell_of(latency)
            .filter(|cell| cell.setting == *setting && cell.interval_s.is_some());
        let Some(cell) = cell else { continue };
        let (mtbf_s, level) = (cell.mtbf_s, cell.level);
        let known = curves
            .iter()
            .position(|curve| same(curve.mtbf_s, mtbf_s) && curve.level == level);
        let place = known.unwrap_or_else(|| {
            curves.push(Curve {
                mtbf_s,
                level,
                counts: BTreeMap::new(),
            });
            curves.len() - 1
        });
        for value in latency.histogram.iter_recorded() {
            let count = curves[place].counts.entry(value.value_iterated_to()).or_default();
            *count = count.saturating_add(value.count_at_value());
        }
    }
    curves.retain(|curve| curve.total() > 0);
    curves.sort_by(|a, b| a.mtbf_s.total_cmp(&b.mtbf_s).then(a.level.cmp(&b.level)));
    Panel {
        quantity,
        setting,
        curves,
    }
}

fn draw(series: &Series, panels: &[&(usize, Panel)], column: Column, face: &Face, page: usize) -> Figure {
    let specs = panels
        .iter()
        .map(|(_, panel)| spec(panel, series.panel_name(panel.setting)))
        .collect();
    let title = "Percentiles of suspension and recovery".to_owned();
    let legend = legend(series, panels);
    let scene = compose(face, column, title, &legend, specs, |place, frame, scene| {
        fill(series, &panels[place].1, frame, scene);
    });
    Figure {
        stem: super::by_interval::page_name("latency", page),
        scene,
        caption: text(series, panels, column),
    }
}

fn spec(panel: &Panel, name: Option<String>) -> PanelSpec {
    let most = panel.curves.iter().map(Curve::total).max().unwrap_or(1) as f64;
    let values = || {
        panel
            .curves
            .iter()
            .flat_map(|curve| curve.counts.keys())
            .map(|nanos| seconds(*nanos))
    };
    let low = values().fold(f64::INFINITY, f64::min);
    let high = values().fold(0.0, f64::max);
    let quantity = panel.quantity;
    let decades = low > 0.0 && high > DECADES_FROM * low;
    let unit = Unit::for_seconds(high, 2.0);
    let linear = AxisSpec {
        scale: Scale::linear_from_zero(values(), f64::INFINITY),
        kind: Kind::TimeIn(unit),
        label: format!("{quantity} ({})", unit.name),
    };
    let y = Scale::log_around(values(), 1.3)
        .filter(|_| decades)
        .map_or(linear, |scale| AxisSpec {
            scale,
            kind: Kind::Time,
            label: quantity.to_owned(),
        });
    PanelSpec {
        name,
        x: AxisSpec {
            scale: Scale::Tail {
                nines: libm::log10(2.0 * most).clamp(1.0, NINES_MAX),
            },
            kind: Kind::Percent,
            label: "Percentile (%)".to_owned(),
        },
        y,
    }
}

fn fill(series: &Series, panel: &Panel, frame: &Frame, scene: &mut Scene) {
    for curve in &panel.curves {
        let look = series.look(curve.mtbf_s);
        scene.group(level_name(curve.level), |scene| {
            frame.curve(scene, curve.staircase().into_iter(), look.curve());
            let supported = |share: &&f64| curve.total() as f64 * (1.0 - **share) >= 1.0 - 1e-9;
            for &share in MARKED.iter().filter(supported) {
                let place = curve.value_at(share).and_then(|value| frame.place(share, value));
                if let Some(place) = place {
                    frame.mark(scene, &Mark::bare(place, curve.level, look));
                }
            }
        });
    }
}

fn legend(series: &Series, panels: &[&(usize, Panel)]) -> Vec<Group> {
    let curves = || panels.iter().flat_map(|(_, panel)| &panel.curves);
    let mtbfs = series
        .mtbfs_s
        .iter()
        .filter(|mtbf_s| curves().any(|curve| same(curve.mtbf_s, **mtbf_s)))
        .map(|&mtbf_s| (Swatch::Curve(series.look(mtbf_s)), duration(mtbf_s)));
    let levels = series
        .levels
        .iter()
        .filter(|level| curves().any(|curve| curve.level == **level))
        .map(|&level| (Swatch::Marker(level), level_name(level).to_owned()));
    vec![
        Group {
            heading: "MTBF".to_owned(),
            entries: mtbfs.collect(),
        },
        Group {
            heading: String::new(),
            entries: levels.collect(),
        },
    ]
}

fn text(series: &Series, panels: &[&(usize, Panel)], column: Column) -> String {
    let mut text = "Percentiles of the time for which a checkpoint suspends the guest, and of the time from a failure until \
                    the guest runs again, by mean time between failures (MTBF), over all policies that checkpoint.\n"
        .to_owned();
    let mut settings: Vec<Setting> = Vec::new();
    for (_, panel) in panels {
        if !settings.contains(panel.setting) {
            settings.push(panel.setting.clone());
        }
    }
    text.push_str(&caption::conditions(series, &settings));
    for (place, (_, panel)) in panels.iter().enumerate() {
        let counts: Vec<String> = panel
            .curves
            .iter()
            .map(|curve| {
                let level = level_name(curve.level).to_lowercase();
                format!("{} at MTBF {} ({level})", curve.total(), duration(curve.mtbf_s))
            })
            .collect();
        let _ = writeln!(
            text,
            "Panel {} {}: n = {} values.",
            letter(place),
            panel.quantity.to_lowercase(),
            counts.join(", ")
        );
    }
    text.push_str(
        "HDR histograms with three significant digits; the axis ends where single values decide.\n",
    );
    text.push_str(&caption::regenerate(column));
    text
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

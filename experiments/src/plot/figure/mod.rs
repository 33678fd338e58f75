//! One file a kind of figure. Each takes the data of a run and the width of a column, and gives pages.

mod attribute;
mod by_factor;
mod by_interval;
mod caption;
mod distribution;
mod heat_map;
mod jobs;
pub(crate) mod ladder;
mod latency;
mod makespan;
mod page;
mod policies;
pub(crate) mod qq;
mod series;
mod suspension;
pub(crate) mod timeline;

pub(crate) use series::swept_text;

use super::Column;
use super::data::RunData;
use super::draw::font::Face;
use super::draw::scene::Scene;

/// A page of a figure, ready to be rendered.
#[derive(Debug)]
pub(crate) struct Figure {
    /// File name without its ending.
    pub(crate) stem: String,
    pub(crate) scene: Scene,
    /// Text to print under the figure: what is shown, n, confidence level.
    pub(crate) caption: String,
}

/// Settings beyond which a panel for each of them is no longer looked at.
const SETTINGS_MAX: usize = 6;

/// The figures for which there is data. Where many settings were swept, those with a panel a setting are left out in favour of
/// the factors', but for the figure of a grid of intervals.
pub(crate) fn figures(data: &RunData, column: Column, face: &Face) -> Vec<Figure> {
    let mut all = by_factor::figures(data, column, face);
    all.extend(heat_map::figures(data, column, face));
    let few = series::distinct(&data.cells, |cell| cell.setting.clone()).len() <= SETTINGS_MAX;
    if all.is_empty() || few {
        all.extend(by_interval::waste(data, column, face));
        all.extend(by_interval::lost(data, column, face));
        all.extend(policies::figures(data, column, face));
        all.extend(latency::figures(data, column, face));
        all.extend(makespan::figures(data, column, face));
    } else if by_factor::fixed_intervals(data) >= SETTINGS_MAX {
        all.extend(by_interval::waste(data, column, face));
    }
    all.extend(suspension::figures(data, column, face));
    all
}

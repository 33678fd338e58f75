//! One file a kind of figure. Each takes the data of a run and the width of a column, and gives pages.

mod by_interval;
mod caption;
pub(crate) mod ladder;
mod latency;
mod page;
mod policies;
mod series;

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

/// All figures for which there is data.
pub(crate) fn figures(data: &RunData, column: Column, face: &Face) -> Vec<Figure> {
    let mut all = by_interval::waste(data, column, face);
    all.extend(by_interval::lost(data, column, face));
    all.extend(policies::figures(data, column, face));
    all.extend(latency::figures(data, column, face));
    all
}

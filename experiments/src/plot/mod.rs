//! ⑤ Figures for papers, drawn from a run's CSV files and histogram logs alone.
//!
//! ```text
//! summary.csv, theory.csv, *.hlog ─▶ data ─▶ one file a figure ─▶ Canvas (points) ─▶ SVG, PNG
//! ```
//!
//! A figure is laid out once, in points at the width at which a paper prints it (one column 3.4 in, two columns 7 in), so
//! that its text has the size it will have on paper. Colours are Okabe and Ito's; series differ in marker and dash as
//! well, so that a figure survives a grey printer. Drawing is deterministic: the same files give the same bytes.

mod axis;
mod canvas;
mod captions;
mod chart;
mod data;
mod error;
mod interval;
mod latency;
mod output;
mod policies;
mod style;

use std::path::{Path, PathBuf};

pub use error::PlotError;

use crate::run::FIGURES;
use canvas::Canvas;
use data::RunData;

/// A file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Vector, text as text.
    Svg,
    /// 600 dots an inch.
    Png,
}

/// How wide a figure is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// One column of a two-column page: 3.4 inches.
    One,
    /// The whole width: 7 inches.
    Two,
}

/// What to draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlotOptions {
    /// Each figure in each of these formats.
    pub formats: Vec<Format>,
    /// The width.
    pub column: Column,
}

/// A figure: its name, what its caption says, and how it is drawn.
struct Figure {
    name: &'static str,
    caption: String,
    canvas: Canvas,
}

/// Draws every figure that the files in `dir` allow into `dir/figures`, with their captions. Returns the files written.
pub fn plot_dir(dir: &Path, options: &PlotOptions) -> Result<Vec<PathBuf>, PlotError> {
    let data = RunData::read(dir)?;
    let figures: Vec<Figure> = [
        interval::waste(&data, options.column),
        interval::lost_work(&data, options.column),
        policies::comparison(&data, options.column),
        latency::downtime(&data, options.column),
        latency::recovery(&data, options.column),
    ]
    .into_iter()
    .flatten()
    .collect();
    if figures.is_empty() {
        return Err(PlotError::NothingToDraw { dir: dir.to_owned() });
    }
    let folder = output::Folder::make(&dir.join(FIGURES))?;
    let mut written = Vec::new();
    for figure in &figures {
        for &format in &options.formats {
            written.push(match format {
                Format::Svg => folder.svg(figure.name, &figure.canvas)?,
                Format::Png => folder.png(figure.name, &figure.canvas)?,
            });
        }
    }
    written.push(folder.text("captions.md", &captions::page(&figures, &data))?);
    Ok(written)
}

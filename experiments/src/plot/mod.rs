//! ⑤ Figures, drawn from the tables and histograms of a run's folder and from nothing else.
//!
//! ```text
//! summary.csv · theory.csv · *.hlog ─▶ data ─▶ figure (a file a kind) ─▶ draw (scene) ─▶ figures/*.{svg,png,pdf,tex,txt}
//! ```
//!
//! A figure is laid out once, in points at the size at which a paper prints it, and rendered as SVG whose text is
//! text, as PNG at 600 dpi, as PDF with its font in it, or as LaTeX for pgfplots. Text is at least 7 pt; series differ by colour, marker and dash; waste starts at zero.
//! Beside each figure lies a text with its caption: what is shown, how many trials, which confidence level, and the
//! command that draws it again. The same tables give the same bytes.

mod data;
mod draw;
mod error;
mod figure;
#[cfg(test)]
mod tests;
mod write;

use std::path::{Path, PathBuf};

pub use crate::spec::FigureFormat as Format;
pub use error::PlotError;

use crate::ladder::{self, LADDER};
use crate::run::FIGURES;
use data::RunData;
use draw::font::Face;
use draw::png::{Failed, TooLarge};
use figure::Figure;

/// The width a figure is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// 3.5 inches, one column of two.
    One,
    /// 7 inches, across both columns. File names end in `-wide`.
    Two,
}

/// What to draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlotOptions {
    /// Formats of each figure; with none, nothing is drawn.
    pub formats: Vec<Format>,
    /// Width.
    pub column: Column,
}

/// Draws every figure for which the folder of a run has data, into its folder `figures`, each file replaced in one step.
/// Gives the files written, in a fixed order.
pub fn plot_dir(dir: &Path, options: &PlotOptions) -> Result<Vec<PathBuf>, PlotError> {
    let rungs = if dir.join(LADDER).exists() {
        ladder::read(&dir.join(LADDER))?
    } else {
        Vec::new()
    };
    let data = match RunData::read(dir) {
        Err(PlotError::Read { .. }) if !rungs.is_empty() => RunData::default(),
        read => read?,
    };
    if options.formats.is_empty() {
        return Ok(Vec::new());
    }
    let face = Face::new();
    let folder = write::Folder::create(dir.join(FIGURES))?;
    let mut written = Vec::new();
    let mut figures = figure::figures(&data, options.column, &face);
    figures.extend(figure::ladder::figures(&rungs, options.column, &face));
    for figure in figures {
        for &format in &options.formats {
            let name = file_name(&figure, options.column, extension(format));
            let bytes = match format {
                Format::Svg => draw::svg::render(&figure.scene).into_bytes(),
                Format::Png => draw::png::render(&figure.scene, &face)
                    .map_err(|failed| not_painted(folder.path(&name), failed))?,
                Format::Tikz => draw::tikz::render(&figure.scene, &figure.caption).into_bytes(),
                Format::Pdf => {
                    draw::pdf::render(&figure.scene, &face).map_err(|reason| PlotError::Paint {
                        path: folder.path(&name),
                        reason,
                    })?
                }
            };
            written.push(folder.write(&name, &bytes)?);
        }
        let name = file_name(&figure, options.column, "txt");
        written.push(folder.write(&name, figure.caption.as_bytes())?);
    }
    Ok(written)
}

fn extension(format: Format) -> &'static str {
    match format {
        Format::Svg => "svg",
        Format::Png => "png",
        Format::Pdf => "pdf",
        Format::Tikz => "tex",
    }
}

fn file_name(figure: &Figure, column: Column, extension: &str) -> String {
    let variant = match column {
        Column::One => "",
        Column::Two => "-wide",
    };
    format!("{}{variant}.{extension}", figure.stem)
}

fn not_painted(path: PathBuf, failed: Failed) -> PlotError {
    match failed {
        Failed::Size(TooLarge(width_px, height_px)) => PlotError::TooLarge {
            path,
            width_px,
            height_px,
        },
        Failed::Drawing(reason) => PlotError::Paint { path, reason },
        Failed::Encoding(source) => PlotError::Encode { path, source },
    }
}

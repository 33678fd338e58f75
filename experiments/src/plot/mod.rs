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
mod report;
#[cfg(test)]
mod tests;
mod write;

use std::io;
use std::path::{Path, PathBuf};

pub use crate::spec::FigureFormat as Format;
pub use error::PlotError;
pub use report::{REPORT, report_dir};

use crate::ladder::{self, LADDER};
use crate::run::FIGURES;
use data::RunData;
use draw::font::Face;
use draw::png::{Failed, TooLarge};
use figure::Figure;

/// Quantiles of a failure log beside those of fitted laws: columns `law`, `probability`, `theoretical_s`, `observed_s`.
pub const QQ: &str = "qq.csv";

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

/// Draws every figure for which the folder of a run has data, into its folder `figures`, and the timeline of every trial
/// that was replayed beside it; each file is replaced in one step. Gives the files written, in a fixed order.
pub fn plot_dir(dir: &Path, options: &PlotOptions) -> Result<Vec<PathBuf>, PlotError> {
    let replays = data::replays(dir)?;
    let mut written = plot_tables(dir, options, !replays.is_empty())?;
    for replay in replays {
        written.extend(plot_timeline(&replay, options)?);
    }
    Ok(written)
}

/// Draws the timeline in a folder that `revenant replay` wrote, beside it.
pub fn plot_timeline(dir: &Path, options: &PlotOptions) -> Result<Vec<PathBuf>, PlotError> {
    let face = Face::new();
    let figure = figure::timeline::figure(&data::read_timeline(dir)?, options.column, &face);
    write_figure(&figure, &write::Folder::create(dir.to_owned())?, options, &face)
}

fn plot_tables(dir: &Path, options: &PlotOptions, others: bool) -> Result<Vec<PathBuf>, PlotError> {
    let figures = figures_of(dir, options.column, others)?;
    if options.formats.is_empty() || figures.is_empty() {
        return Ok(Vec::new());
    }
    let face = Face::new();
    let folder = write::Folder::create(dir.join(FIGURES))?;
    let mut written = Vec::new();
    for figure in figures {
        written.extend(write_figure(&figure, &folder, options, &face)?);
    }
    Ok(written)
}

/// The figures of the tables of a folder, which must have a summary unless it has something else to draw.
fn figures_of(dir: &Path, column: Column, others: bool) -> Result<Vec<Figure>, PlotError> {
    let face = Face::new();
    let rungs = if dir.join(LADDER).exists() {
        ladder::read(&dir.join(LADDER))?
    } else {
        Vec::new()
    };
    let quantiles = data::read_quantiles(dir)?;
    let others = others || !rungs.is_empty() || !quantiles.is_empty();
    let data = match RunData::read(dir) {
        Err(PlotError::Read { source, .. }) if others && source.kind() == io::ErrorKind::NotFound => {
            RunData::default()
        }
        read => read?,
    };
    let mut figures = figure::figures(&data, column, &face);
    figures.extend(figure::ladder::figures(&rungs, column, &face));
    figures.extend(figure::qq::figures(&quantiles, column, &face));
    Ok(figures)
}

fn write_figure(
    figure: &Figure,
    folder: &write::Folder,
    options: &PlotOptions,
    face: &Face,
) -> Result<Vec<PathBuf>, PlotError> {
    let mut written = Vec::new();
    for &format in &options.formats {
        let name = file_name(figure, options.column, extension(format));
        let bytes = match format {
            Format::Svg => draw::svg::render(&figure.scene).into_bytes(),
            Format::Png => draw::png::render(&figure.scene, face)
                .map_err(|failed| not_painted(folder.path(&name), failed))?,
            Format::Pdf => draw::pdf::render(&figure.scene, face).map_err(|reason| PlotError::Paint {
                path: folder.path(&name),
                reason,
            })?,
            Format::Tikz => draw::tikz::render(&figure.scene, &figure.caption).into_bytes(),
        };
        written.push(folder.write(&name, &bytes)?);
    }
    if !options.formats.is_empty() {
        let name = file_name(figure, options.column, "txt");
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

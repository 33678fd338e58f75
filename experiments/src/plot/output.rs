//! Figures as files, each whole or not there.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use plotters::prelude::{BitMapBackend, SVGBackend};
use plotters::style::{FontStyle, register_font};

use super::canvas::{Canvas, FONT};
use super::error::PlotError;

/// Pixels a point: SVG has whole numbers only, so a point is ten of them; a PNG has 600 dots an inch.
const SVG_SCALE: f64 = 10.0;
const PNG_SCALE: f64 = 600.0 / 72.0;

static DEJAVU_SANS: &[u8] = include_bytes!("../../assets/DejaVuSans.ttf");

/// The folder that figures are written to.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn make(path: &Path) -> Result<Self, PlotError> {
        fs::create_dir_all(path).map_err(io("create", path))?;
        font()?;
        Ok(Folder(path.to_owned()))
    }

    pub(super) fn svg(&self, name: &str, canvas: &Canvas) -> Result<PathBuf, PlotError> {
        let path = self.0.join(format!("{name}.svg"));
        let size = pixel_size(canvas, SVG_SCALE);
        let mut drawing = String::new();
        canvas
            .draw(SVGBackend::with_string(&mut drawing, size), SVG_SCALE)
            .map_err(draw(&path))?;
        // The size on paper, instead of so many pixels.
        let (width, height) = (canvas.size.0 / 72.0, canvas.size.1 / 72.0);
        let pixels = format!("width=\"{}\" height=\"{}\"", size.0, size.1);
        let drawing = drawing.replacen(
            &pixels,
            &format!("width=\"{width:.4}in\" height=\"{height:.4}in\""),
            1,
        );
        let fallback = format!("font-family=\"{FONT}\"");
        let drawing = drawing.replace(
            &fallback,
            &format!("font-family=\"{FONT}, Verdana, Helvetica, sans-serif\""),
        );
        self.text(&format!("{name}.svg"), &drawing)
    }

    pub(super) fn png(&self, name: &str, canvas: &Canvas) -> Result<PathBuf, PlotError> {
        let path = self.0.join(format!("{name}.png"));
        // The library picks the format by the ending.
        let temporary = self.0.join(format!(".{name}.partial.png"));
        let backend = BitMapBackend::new(&temporary, pixel_size(canvas, PNG_SCALE));
        canvas.draw(backend, PNG_SCALE).map_err(draw(&path))?;
        fs::rename(&temporary, &path).map_err(io("rename", &temporary))?;
        Ok(path)
    }

    pub(super) fn text(&self, name: &str, text: &str) -> Result<PathBuf, PlotError> {
        let (path, temporary) = (self.0.join(name), self.0.join(format!(".{name}.partial")));
        fs::write(&temporary, text).map_err(io("write", &temporary))?;
        fs::rename(&temporary, &path).map_err(io("rename", &temporary))?;
        Ok(path)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a sheet is a few thousand pixels wide"
)]
fn pixel_size(canvas: &Canvas, scale: f64) -> (u32, u32) {
    (
        (canvas.size.0 * scale).round() as u32,
        (canvas.size.1 * scale).round() as u32,
    )
}

/// Makes the font known, once: no font of the host is used.
fn font() -> Result<(), PlotError> {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    if *KNOWN.get_or_init(|| register_font(FONT, FontStyle::Normal, DEJAVU_SANS).is_ok()) {
        return Ok(());
    }
    Err(PlotError::Draw {
        path: PathBuf::from("DejaVuSans.ttf"),
        reason: "the font is not readable".to_owned(),
    })
}

fn io(operation: &'static str, path: &Path) -> impl Fn(std::io::Error) -> PlotError {
    move |source| PlotError::Io {
        operation,
        path: path.to_owned(),
        source,
    }
}

fn draw(path: &Path) -> impl Fn(String) -> PlotError {
    move |reason| PlotError::Draw {
        path: path.to_owned(),
        reason,
    }
}

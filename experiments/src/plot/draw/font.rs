//! The one font of all figures, in the program so that figures do not depend on what a machine has installed.
//!
//! Liberation Sans has the metrics of Arial and Helvetica: an SVG that names those as alternatives keeps its layout where
//! Liberation is missing.

use ab_glyph::{Font, FontRef, Glyph, OutlineCurve, Point as Place, PxScale, ScaleFont};

static BYTES: &[u8] = include_bytes!("../../../assets/LiberationSans-Regular.ttf");

/// Families for an SVG, in order of preference.
pub(crate) const FAMILIES: &str = "'Liberation Sans', Arial, Helvetica, sans-serif";

/// The font at a size at which one unit of its outlines is one point.
pub(crate) struct Face {
    font: FontRef<'static>,
}

/// A piece of an outline, in points from the start of the base line, y downwards.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Piece {
    Move(f64, f64),
    Line(f64, f64),
    Quad(f64, f64, f64, f64),
    Cubic(f64, f64, f64, f64, f64, f64),
}

impl Face {
    pub(crate) fn new() -> Face {
        let font = FontRef::try_from_slice(BYTES).expect("the embedded font is a TrueType font");
        Face { font }
    }

    /// Advance of a text at a font size (the em) in points.
    pub(crate) fn width(&self, text: &str, size: f64) -> f64 {
        self.set(text, size).1
    }

    /// Outlines of a text.
    pub(crate) fn outline(&self, text: &str, size: f64) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let units = f64::from(self.font.units_per_em().unwrap_or(1000.0));
        let per_unit = size / units;
        for (glyph, shift) in self.set(text, size).0 {
            let Some(outline) = self.font.outline(glyph.id) else {
                continue;
            };
            let place = |p: Place| (shift + f64::from(p.x) * per_unit, -f64::from(p.y) * per_unit);
            let mut pen = None;
            for curve in outline.curves {
                let (from, to) = match curve {
                    OutlineCurve::Line(a, b)
                    | OutlineCurve::Quad(a, _, b)
                    | OutlineCurve::Cubic(a, _, _, b) => (place(a), place(b)),
                };
                if pen != Some(from) {
                    pieces.push(Piece::Move(from.0, from.1));
                }
                pieces.push(match curve {
                    OutlineCurve::Line(..) => Piece::Line(to.0, to.1),
                    OutlineCurve::Quad(_, c, _) => {
                        let c = place(c);
                        Piece::Quad(c.0, c.1, to.0, to.1)
                    }
                    OutlineCurve::Cubic(_, c, d, _) => {
                        let (c, d) = (place(c), place(d));
                        Piece::Cubic(c.0, c.1, d.0, d.1, to.0, to.1)
                    }
                });
                pen = Some(to);
            }
        }
        pieces
    }

    /// Glyphs with their place on the base line, and the advance of all.
    fn set(&self, text: &str, size: f64) -> (Vec<(Glyph, f64)>, f64) {
        // ab_glyph scales by line height, not by em. Advances are taken at 1000 points, then scaled, in doubles.
        const REFERENCE: f32 = 1000.0;
        let per_em = self.font.height_unscaled() / self.font.units_per_em().unwrap_or(1000.0);
        let font = self.font.as_scaled(PxScale::from(REFERENCE * per_em));
        let factor = size / f64::from(REFERENCE);
        let mut glyphs: Vec<(Glyph, f64)> = Vec::new();
        let mut pen = 0.0;
        for character in text.chars() {
            let glyph = font.scaled_glyph(character);
            if let Some((before, _)) = glyphs.last() {
                pen += f64::from(font.kern(before.id, glyph.id)) * factor;
            }
            let advance = f64::from(font.h_advance(glyph.id)) * factor;
            glyphs.push((glyph, pen));
            pen += advance;
        }
        (glyphs, pen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Advances of Arial: a digit is 1139/2048 em, a space 569/2048 em.
    #[test]
    fn the_font_has_arials_metrics_and_every_sign_in_use() {
        let face = Face::new();
        let em = 8.0;
        assert!((face.width("0", em) - em * 1139.0 / 2048.0).abs() < 1e-3);
        assert!((face.width("10 min", em) - face.width("01 min", em)).abs() < 0.2);
        for sign in "τ≥≤–−µ%×·…".chars() {
            assert_ne!(face.font.glyph_id(sign).0, 0, "{sign}");
        }
    }
}

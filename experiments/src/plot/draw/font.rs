//! The one font of all figures, in the program so that figures do not depend on what a machine has installed.
//!
//! Liberation Sans has the metrics of Arial and Helvetica: an SVG that names those as alternatives keeps its layout where
//! Liberation is missing.

use ab_glyph::{Font, FontRef, PxScale, ScaleFont};

/// The font file.
pub(crate) static BYTES: &[u8] = include_bytes!("../../../assets/LiberationSans-Regular.ttf");

/// The font's own family name.
pub(crate) const FAMILY: &str = "Liberation Sans";

/// Families for an SVG, in order of preference.
pub(crate) const FAMILIES: &str = "'Liberation Sans', Arial, Helvetica, sans-serif";

/// The font at a size at which one unit of its outlines is one point.
pub(crate) struct Face {
    font: FontRef<'static>,
}

impl Face {
    pub(crate) fn new() -> Face {
        let font = FontRef::try_from_slice(BYTES).expect("the embedded font is a TrueType font");
        Face { font }
    }

    /// Advance of a text at a font size (the em) in points.
    pub(crate) fn width(&self, text: &str, size: f64) -> f64 {
        // ab_glyph scales by line height, not by em. Advances are taken at 1000 points, then scaled, in doubles.
        const REFERENCE: f32 = 1000.0;
        let per_em = self.font.height_unscaled() / self.font.units_per_em().unwrap_or(1000.0);
        let font = self.font.as_scaled(PxScale::from(REFERENCE * per_em));
        let factor = size / f64::from(REFERENCE);
        let (mut width, mut before) = (0.0, None);
        for character in text.chars() {
            let glyph = font.glyph_id(character);
            if let Some(before) = before.replace(glyph) {
                width += f64::from(font.kern(before, glyph)) * factor;
            }
            width += f64::from(font.h_advance(glyph)) * factor;
        }
        width
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

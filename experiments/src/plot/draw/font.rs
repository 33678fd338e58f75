//! The one font of all figures, in the program so that figures do not depend on what a machine has installed.
//!
//! Liberation Sans has the metrics of Arial and Helvetica: an SVG that names those as alternatives keeps its layout where
//! Liberation is missing.

use ab_glyph::{Font, FontRef, Glyph, OutlinedGlyph, PxScale, ScaleFont, point};

pub(crate) static BYTES: &[u8] = include_bytes!("../../../assets/LiberationSans-Regular.ttf");

/// Families for an SVG, in order of preference.
pub(crate) const FAMILIES: &str = "'Liberation Sans', Arial, Helvetica, sans-serif";

/// The font at a size at which one unit of its outlines is one point.
pub(crate) struct Face {
    font: FontRef<'static>,
}

/// A glyph of a line of text, lengths in an em of 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SetGlyph {
    pub(crate) id: u16,
    pub(crate) character: char,
    pub(crate) x: f64,
    pub(crate) advance: f64,
}

impl Face {
    pub(crate) fn new() -> Face {
        let font = FontRef::try_from_slice(BYTES).expect("the embedded font is a TrueType font");
        Face { font }
    }

    /// Advance of a text at a font size (the em), in the unit of the size.
    pub(crate) fn width(&self, text: &str, size: f64) -> f64 {
        // Advances are proportional; at this size rounding to f32 does not show.
        const REFERENCE: f64 = 1000.0;
        f64::from(self.set(text, REFERENCE, |_| ())) * size / REFERENCE
    }

    /// The outlines of a text at a font size in pixels; its base line begins at (0, 0). Signs without ink have none.
    pub(crate) fn outlines(&self, text: &str, size_px: f64) -> Vec<OutlinedGlyph> {
        let mut outlines = Vec::new();
        self.set(text, size_px, |glyph| {
            outlines.extend(self.font.outline_glyph(glyph));
        });
        outlines
    }

    /// The glyphs of a text in an em of 1, one after the other.
    pub(crate) fn glyphs(&self, text: &str) -> Vec<SetGlyph> {
        // As in `width`.
        const REFERENCE: f64 = 1000.0;
        let mut set = Vec::new();
        let mut characters = text.chars();
        let per_em = f64::from(self.font.units_per_em().unwrap_or(1000.0));
        self.set(text, REFERENCE, |glyph| {
            set.push(SetGlyph {
                id: glyph.id.0,
                character: characters.next().unwrap_or_default(),
                x: f64::from(glyph.position.x) / REFERENCE,
                advance: f64::from(self.font.h_advance_unscaled(glyph.id)) / per_em,
            });
        });
        set
    }

    /// How far glyphs reach above and (negative) below the base line, in an em of 1.
    pub(crate) fn vertical(&self) -> (f64, f64) {
        let per_em = f64::from(self.font.units_per_em().unwrap_or(1000.0));
        (
            f64::from(self.font.ascent_unscaled()) / per_em,
            f64::from(self.font.descent_unscaled()) / per_em,
        )
    }

    /// Sets a line: gives each glyph in its place, and the advance of all.
    fn set(&self, text: &str, size: f64, mut take: impl FnMut(Glyph)) -> f32 {
        // ab_glyph scales by the height of a line, not by the em.
        let per_em = self.font.height_unscaled() / self.font.units_per_em().unwrap_or(1000.0);
        let font = self.font.as_scaled(PxScale::from(single(size) * per_em));
        let (mut pen, mut before) = (0.0, None);
        for character in text.chars() {
            let mut glyph = font.scaled_glyph(character);
            if let Some(before) = before.replace(glyph.id) {
                pen += font.kern(before, glyph.id);
            }
            glyph.position = point(pen, 0.0);
            pen += font.h_advance(glyph.id);
            take(glyph);
        }
        pen
    }
}

#[expect(clippy::cast_possible_truncation, reason = "sizes of type need no more")]
fn single(size: f64) -> f32 {
    size as f32
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

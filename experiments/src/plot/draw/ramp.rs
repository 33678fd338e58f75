//! A scale of colours for quantities: from pale yellow over green to dark blue.

use super::scene::Colour;

/// Ends of the scale in Oklab's cylinder: lightness, chroma, hue in degrees. Lightness falls evenly, so that equal steps of
/// the quantity look equal, and stay in order in print without colours.
const LOW: [f64; 3] = [0.97, 0.045, 105.0];
const HIGH: [f64; 3] = [0.27, 0.085, 275.0];
/// Chroma added half way.
const BULGE: f64 = 0.01;

/// The colour at a share of the scale; shares outside get the colour of the end.
pub(crate) fn colour(share: f64) -> Colour {
    let share = share.clamp(0.0, 1.0);
    let between = |index: usize| LOW[index] + share * (HIGH[index] - LOW[index]);
    let chroma = between(1) + BULGE * 4.0 * share * (1.0 - share);
    let hue = between(2).to_radians();
    srgb(between(0), chroma * libm::cos(hue), chroma * libm::sin(hue))
}

/// From Oklab (B. Ottosson, "A perceptual color space for image processing", 2020) to sRGB (IEC 61966-2-1).
fn srgb(lightness: f64, a: f64, b: f64) -> Colour {
    let cube = |root: f64| root * root * root;
    let long = cube(lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b);
    let medium = cube(lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b);
    let short = cube(lightness - 0.089_484_177_5 * a - 1.291_485_548 * b);
    let linear = [
        4.076_741_662_1 * long - 3.307_711_591_3 * medium + 0.230_969_929_2 * short,
        -1.268_438_004_6 * long + 2.609_757_401_1 * medium - 0.341_319_396_5 * short,
        -0.004_196_086_3 * long - 0.703_418_614_7 * medium + 1.707_614_701 * short,
    ];
    let encoded = linear.map(|part| {
        if part <= 0.003_130_8 {
            12.92 * part
        } else {
            1.055 * libm::pow(part, 1.0 / 2.4) - 0.055
        }
    });
    Colour(encoded.iter().fold(0, |rgb, part| (rgb << 8) | byte(*part)))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "from 0 to 255 after the clamp"
)]
fn byte(part: f64) -> u32 {
    libm::round(part.clamp(0.0, 1.0) * 255.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Luma of BT.601, which is what printers and viewers without colours show.
    fn grey(Colour(rgb): Colour) -> f64 {
        let [_, red, green, blue] = rgb.to_be_bytes().map(f64::from);
        0.299 * red + 0.587 * green + 0.114 * blue
    }

    #[test]
    fn the_scale_darkens_evenly_without_colours_too() {
        let greys: Vec<f64> = (0..=10)
            .map(|step| grey(colour(f64::from(step) / 10.0)))
            .collect();
        let steps: Vec<f64> = greys.windows(2).map(|pair| pair[0] - pair[1]).collect();
        assert!(steps.iter().all(|step| (13.0..27.0).contains(step)), "{steps:?}");
        assert!(greys[0] > 235.0 && greys[10] < 60.0, "{greys:?}");
    }
}

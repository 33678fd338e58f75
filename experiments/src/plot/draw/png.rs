//! A scene as PNG: the same layout as the SVG, fine enough for print.

use std::sync::OnceLock;

use plotters::prelude::{BitMapBackend, DrawingBackend, IntoDrawingArea, PathElement, Polygon, WHITE};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color, FontDesc, FontFamily, FontStyle, FontTransform, RGBColor, TextStyle, register_font,
};
use plotters::{coord::Shift, drawing::DrawingArea, element::Text as Label};

use super::font;
use super::scene::{Anchor, Colour, Item, Point, Scene, Stroke, Text, at};

/// Resolution; journals ask for 600 dpi of line art.
pub(crate) const DOTS_PER_INCH: u32 = 600;
const POINTS_PER_INCH: f64 = 72.0;
/// Side and area beyond which nothing is painted.
const SIDE_MAX_PX: u32 = 20_000;
const AREA_MAX_PX: u64 = 100_000_000;

/// Width and height in pixels, of a scene too large to paint.
pub(crate) struct TooLarge(pub(crate) u32, pub(crate) u32);

/// Why there is no image.
pub(crate) enum Failed {
    Size(TooLarge),
    /// The drawing library's words.
    Drawing(String),
    Encoding(png::EncodingError),
}

/// Size of the image of a scene.
pub(crate) fn size_px(scene: &Scene) -> (u32, u32) {
    (
        pixels(scene.width).unsigned_abs(),
        pixels(scene.height).unsigned_abs(),
    )
}

/// Paints a scene; the same scene gives the same bytes.
pub(crate) fn render(scene: &Scene) -> Result<Vec<u8>, Failed> {
    let (width, height) = size_px(scene);
    let fits =
        width <= SIDE_MAX_PX && height <= SIDE_MAX_PX && u64::from(width) * u64::from(height) <= AREA_MAX_PX;
    if !fits || width == 0 || height == 0 {
        return Err(Failed::Size(TooLarge(width, height)));
    }
    let mut rgb = vec![0xff; 3 * width as usize * height as usize];
    paint_all(scene, BitMapBackend::with_buffer(&mut rgb, (width, height))).map_err(Failed::Drawing)?;
    encode(&rgb, width, height).map_err(Failed::Encoding)
}

type Area<B> = DrawingArea<B, Shift>;

fn paint_all<B: DrawingBackend>(scene: &Scene, backend: B) -> Result<(), String> {
    static FONT: OnceLock<bool> = OnceLock::new();
    if !*FONT.get_or_init(|| register_font(font::FAMILY, FontStyle::Normal, font::BYTES).is_ok()) {
        return Err("the embedded font is not readable".to_owned());
    }
    let area = backend.into_drawing_area();
    area.fill(&WHITE).map_err(|error| error.to_string())?;
    for item in &scene.items {
        paint(&area, item)?;
    }
    area.present().map_err(|error| error.to_string())
}

fn paint<B: DrawingBackend>(area: &Area<B>, item: &Item) -> Result<(), String> {
    match item {
        Item::Path {
            points,
            closed,
            fill,
            stroke,
        } => paint_path(area, points, *closed, *fill, *stroke),
        Item::Circle {
            centre,
            radius,
            fill,
            stroke,
        } => {
            const CORNERS: u32 = 48;
            let corner = |i: u32| {
                let angle = std::f64::consts::TAU * f64::from(i) / f64::from(CORNERS);
                at(
                    centre.x + radius * libm::cos(angle),
                    centre.y + radius * libm::sin(angle),
                )
            };
            let points: Vec<Point> = (0..CORNERS).map(corner).collect();
            paint_path(area, &points, true, *fill, *stroke)
        }
        Item::Text(text) => paint_text(area, text),
        Item::Open(_) | Item::Close => Ok(()),
    }
}

fn paint_path<B: DrawingBackend>(
    area: &Area<B>,
    points: &[Point],
    closed: bool,
    fill: Option<Colour>,
    stroke: Option<Stroke>,
) -> Result<(), String> {
    if let Some(fill) = fill.filter(|_| points.len() > 2) {
        let polygon = Polygon::new(places(points), ink(fill).filled());
        area.draw(&polygon).map_err(|error| error.to_string())?;
    }
    let Some(stroke) = stroke.filter(|_| points.len() > 1) else {
        return Ok(());
    };
    let style = ink(stroke.colour).stroke_width(pixels(stroke.width).unsigned_abs().max(1));
    let mut outline = points.to_vec();
    if closed {
        outline.push(points[0]);
    }
    for dash in dashes(&outline, stroke.dash) {
        area.draw(&PathElement::new(places(&dash), style))
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The strokes of a line with this pattern of dashes and gaps.
fn dashes(points: &[Point], pattern: &[f64]) -> Vec<Vec<Point>> {
    if pattern.is_empty() {
        return vec![points.to_vec()];
    }
    let (mut strokes, mut current) = (Vec::new(), vec![points[0]]);
    let (mut index, mut left) = (0, pattern[0]);
    for pair in points.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        loop {
            let length = libm::hypot(to.x - from.x, to.y - from.y);
            if length <= left {
                left -= length;
                current.push(to);
                break;
            }
            let share = left / length;
            from = at(from.x + (to.x - from.x) * share, from.y + (to.y - from.y) * share);
            current.push(from);
            let finished = std::mem::replace(&mut current, vec![from]);
            if index % 2 == 0 {
                strokes.push(finished);
            }
            index = (index + 1) % pattern.len();
            // A pattern of nothing would never end.
            left = pattern[index].max(0.1);
        }
    }
    if index % 2 == 0 {
        strokes.push(current);
    }
    strokes
}

fn paint_text<B: DrawingBackend>(area: &Area<B>, text: &Text) -> Result<(), String> {
    /// The library's size of this font for an em of one: it counts from the top of the tallest letter to the foot of the deepest.
    const LINE: f64 = 1.073;
    /// From the base line up to what the library takes for the middle of a line, in ems.
    const MIDDLE: f64 = 0.1;
    let horizontal = match text.anchor {
        Anchor::Start => HPos::Left,
        Anchor::Middle => HPos::Center,
        Anchor::End => HPos::Right,
    };
    let size = text.size * LINE * f64::from(DOTS_PER_INCH) / POINTS_PER_INCH;
    let font = FontDesc::new(FontFamily::Name(font::FAMILY), size, FontStyle::Normal);
    let rise = MIDDLE * text.size;
    let (font, place) = if text.upwards {
        (
            font.transform(FontTransform::Rotate270),
            at(text.at.x - rise, text.at.y),
        )
    } else {
        (font, at(text.at.x, text.at.y - rise))
    };
    let colour = ink(super::style::INK);
    let style = TextStyle::from(font)
        .color(&colour)
        .pos(Pos::new(horizontal, VPos::Center));
    let label = Label::new(text.content.clone(), (pixels(place.x), pixels(place.y)), style);
    area.draw(&label).map_err(|error| error.to_string())
}

fn ink(Colour(rgb): Colour) -> RGBColor {
    let [_, red, green, blue] = rgb.to_be_bytes();
    RGBColor(red, green, blue)
}

fn places(points: &[Point]) -> Vec<(i32, i32)> {
    points
        .iter()
        .map(|point| (pixels(point.x), pixels(point.y)))
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a cast from f64 saturates, and what is too large is refused"
)]
fn pixels(points: f64) -> i32 {
    libm::round(points * f64::from(DOTS_PER_INCH) / POINTS_PER_INCH) as i32
}

fn encode(rgb: &[u8], width: u32, height: u32) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let per_metre = pixels_per_metre();
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: per_metre,
        yppu: per_metre,
        unit: png::Unit::Meter,
    }));
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb)?;
    writer.finish()?;
    Ok(bytes)
}

/// 1 inch is 0.0254 m.
fn pixels_per_metre() -> u32 {
    (DOTS_PER_INCH * 10_000 + 127) / 254
}

//! A scene as PNG: the same layout as the SVG, fine enough for print.

use plotters::prelude::{
    BitMapBackend, Circle, Color, DrawingBackend, IntoDrawingArea, PathElement, Polygon, RGBColor, WHITE,
};
use plotters::{coord::Shift, drawing::DrawingArea};

use super::font::Face;
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
pub(crate) fn render(scene: &Scene, face: &Face) -> Result<Vec<u8>, Failed> {
    let (width, height) = size_px(scene);
    let fits =
        width <= SIDE_MAX_PX && height <= SIDE_MAX_PX && u64::from(width) * u64::from(height) <= AREA_MAX_PX;
    if !fits || width == 0 || height == 0 {
        return Err(Failed::Size(TooLarge(width, height)));
    }
    let mut rgb = vec![0xff; 3 * width as usize * height as usize];
    let backend = BitMapBackend::with_buffer(&mut rgb, (width, height));
    paint_all(scene, face, backend).map_err(Failed::Drawing)?;
    encode(&rgb, width, height).map_err(Failed::Encoding)
}

type Area<B> = DrawingArea<B, Shift>;

fn paint_all<B: DrawingBackend>(scene: &Scene, face: &Face, backend: B) -> Result<(), String> {
    let area = backend.into_drawing_area();
    area.fill(&WHITE).map_err(|error| error.to_string())?;
    for item in &scene.items {
        paint(&area, item, face)?;
    }
    area.present().map_err(|error| error.to_string())
}

fn paint<B: DrawingBackend>(area: &Area<B>, item: &Item, face: &Face) -> Result<(), String> {
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
        } => paint_circle(area, *centre, *radius, *fill, *stroke),
        Item::Text(text) => paint_text(area, text, face),
        Item::Open(_) | Item::Close => Ok(()),
    }
}

/// A filled circle, with its outline as a larger one behind it: the library's own outlines are a pixel wide.
fn paint_circle<B: DrawingBackend>(
    area: &Area<B>,
    centre: Point,
    radius: f64,
    fill: Colour,
    stroke: Option<Stroke>,
) -> Result<(), String> {
    let disc = |radius: f64, colour: Colour| {
        let circle = Circle::new(place(centre), pixels(radius), ink(colour).filled());
        area.draw(&circle).map_err(|error| error.to_string())
    };
    let half = stroke.map_or(0.0, |stroke| stroke.width / 2.0);
    if let Some(stroke) = stroke {
        disc(radius + half, stroke.colour)?;
    }
    disc(radius - half, fill)
}

fn paint_path<B: DrawingBackend>(
    area: &Area<B>,
    points: &[Point],
    closed: bool,
    fill: Option<Colour>,
    stroke: Option<Stroke>,
) -> Result<(), String> {
    if let (true, Some(fill), Some(stroke)) = (closed, fill, stroke) {
        return paint_marker(area, points, fill, stroke);
    }
    if let Some(fill) = fill.filter(|_| points.len() > 2) {
        let polygon = Polygon::new(places(points), ink(fill).filled());
        area.draw(&polygon).map_err(|error| error.to_string())?;
    }
    let Some(stroke) = stroke.filter(|_| points.len() > 1) else {
        return Ok(());
    };
    // The library paints both edges of a stroke, so it comes out a pixel wider than asked for.
    let width_px = (pixels(stroke.width) - 1).max(1);
    let style = ink(stroke.colour).stroke_width(width_px.unsigned_abs());
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

/// A convex polygon with an outline, as a larger one behind a smaller: joints of the library's strokes have nicks.
fn paint_marker<B: DrawingBackend>(
    area: &Area<B>,
    points: &[Point],
    fill: Colour,
    stroke: Stroke,
) -> Result<(), String> {
    let count = points.len() as f64;
    let middle = at(
        points.iter().map(|point| point.x).sum::<f64>() / count,
        points.iter().map(|point| point.y).sum::<f64>() / count,
    );
    let to_edge = points
        .iter()
        .zip(points.iter().cycle().skip(1))
        .map(|(a, b)| at(f64::midpoint(a.x, b.x), f64::midpoint(a.y, b.y)))
        .map(|edge| libm::hypot(edge.x - middle.x, edge.y - middle.y))
        .fold(f64::INFINITY, f64::min);
    for (colour, growth) in [(stroke.colour, stroke.width / 2.0), (fill, -stroke.width / 2.0)] {
        let factor = 1.0 + growth / to_edge;
        let moved = |point: &Point| {
            place(at(
                middle.x + (point.x - middle.x) * factor,
                middle.y + (point.y - middle.y) * factor,
            ))
        };
        let polygon = Polygon::new(points.iter().map(moved).collect::<Vec<_>>(), ink(colour).filled());
        area.draw(&polygon).map_err(|error| error.to_string())?;
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

/// Sets a text glyph by glyph: the library's own text drops the space before each glyph and rounds every advance.
fn paint_text<B: DrawingBackend>(area: &Area<B>, text: &Text, face: &Face) -> Result<(), String> {
    let size_px = text.size * f64::from(DOTS_PER_INCH) / POINTS_PER_INCH;
    let back = match text.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => face.width(&text.content, text.size) / 2.0,
        Anchor::End => face.width(&text.content, text.size),
    };
    let (left, base) = if text.upwards {
        place(at(text.at.x, text.at.y + back))
    } else {
        place(at(text.at.x - back, text.at.y))
    };
    let colour = ink(super::style::INK);
    let mut result = Ok(());
    for glyph in face.outlines(&text.content, size_px) {
        let corner = glyph.px_bounds().min;
        let (first, top) = (whole(f64::from(corner.x)), whole(f64::from(corner.y)));
        glyph.draw(|x, y, share| {
            let (along, down) = (first.saturating_add_unsigned(x), top.saturating_add_unsigned(y));
            let pixel = if text.upwards {
                (left + down, base - along)
            } else {
                (left + along, base + down)
            };
            if let Err(error) = area.draw_pixel(pixel, &colour.mix(f64::from(share.min(1.0)))) {
                result = Err(error.to_string());
            }
        });
    }
    result
}

fn ink(Colour(rgb): Colour) -> RGBColor {
    let [_, red, green, blue] = rgb.to_be_bytes();
    RGBColor(red, green, blue)
}

fn places(points: &[Point]) -> Vec<(i32, i32)> {
    points.iter().copied().map(place).collect()
}

fn place(point: Point) -> (i32, i32) {
    (pixels(point.x), pixels(point.y))
}

fn pixels(points: f64) -> i32 {
    whole(points * f64::from(DOTS_PER_INCH) / POINTS_PER_INCH)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a cast from f64 saturates, and what is too large is refused"
)]
fn whole(value: f64) -> i32 {
    libm::round(value) as i32
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

//! A scene as PNG: the same layout as the SVG, fine enough for print.

use tiny_skia::{FillRule, LineJoin, Paint, Path, PathBuilder, Pixmap, StrokeDash, Transform};

use super::font::{Face, Piece};
use super::scene::{Anchor, Colour, Item, Point, Scene, Stroke, Text};

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
    Encoding(png::EncodingError),
}

/// Size of the image of a scene.
pub(crate) fn size_px(scene: &Scene) -> (u32, u32) {
    (pixels(scene.width), pixels(scene.height))
}

/// Paints a scene; the same scene gives the same bytes.
pub(crate) fn render(scene: &Scene, face: &Face) -> Result<Vec<u8>, Failed> {
    let (width, height) = size_px(scene);
    let fits =
        width <= SIDE_MAX_PX && height <= SIDE_MAX_PX && u64::from(width) * u64::from(height) <= AREA_MAX_PX;
    let pixmap = if fits { Pixmap::new(width, height) } else { None };
    let Some(mut pixmap) = pixmap else {
        return Err(Failed::Size(TooLarge(width, height)));
    };
    pixmap.fill(tiny_skia::Color::WHITE);
    for item in &scene.items {
        paint(&mut pixmap, item, face);
    }
    encode(&pixmap).map_err(Failed::Encoding)
}

fn paint(pixmap: &mut Pixmap, item: &Item, face: &Face) {
    match item {
        Item::Path {
            points,
            closed,
            fill,
            stroke,
        } => {
            let mut builder = PathBuilder::new();
            for (index, point) in points.iter().enumerate() {
                let (x, y) = (single(point.x), single(point.y));
                if index == 0 {
                    builder.move_to(x, y);
                } else {
                    builder.line_to(x, y);
                }
            }
            if *closed {
                builder.close();
            }
            paint_path(pixmap, builder.finish(), *fill, *stroke);
        }
        Item::Circle {
            centre,
            radius,
            fill,
            stroke,
        } => {
            let path = PathBuilder::from_circle(single(centre.x), single(centre.y), single(*radius));
            paint_path(pixmap, path, *fill, *stroke);
        }
        Item::Text(text) => paint_text(pixmap, text, face),
        Item::Open(_) | Item::Close => {}
    }
}

fn paint_path(pixmap: &mut Pixmap, path: Option<Path>, fill: Option<Colour>, stroke: Option<Stroke>) {
    // No path: all its points are one, and there is nothing to see.
    let Some(path) = path else { return };
    if let Some(fill) = fill {
        pixmap.fill_path(&path, &ink(fill), FillRule::Winding, to_pixels(), None);
    }
    if let Some(stroke) = stroke {
        let dash = stroke.dash.iter().map(|length| single(*length)).collect();
        let pen = tiny_skia::Stroke {
            width: single(stroke.width),
            line_join: LineJoin::Round,
            dash: StrokeDash::new(dash, 0.0),
            ..tiny_skia::Stroke::default()
        };
        pixmap.stroke_path(&path, &ink(stroke.colour), &pen, to_pixels(), None);
    }
}

fn paint_text(pixmap: &mut Pixmap, text: &Text, face: &Face) {
    let back = match text.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => face.width(&text.content, text.size) / 2.0,
        Anchor::End => face.width(&text.content, text.size),
    };
    let place = |x: f64, y: f64| {
        let along = x - back;
        let Point { x: left, y: base } = text.at;
        if text.upwards {
            (single(left + y), single(base - along))
        } else {
            (single(left + along), single(base + y))
        }
    };
    let mut builder = PathBuilder::new();
    for piece in face.outline(&text.content, text.size) {
        match piece {
            Piece::Move(x, y) => {
                let (x, y) = place(x, y);
                builder.move_to(x, y);
            }
            Piece::Line(x, y) => {
                let (x, y) = place(x, y);
                builder.line_to(x, y);
            }
            Piece::Quad(cx, cy, x, y) => {
                let ((cx, cy), (x, y)) = (place(cx, cy), place(x, y));
                builder.quad_to(cx, cy, x, y);
            }
            Piece::Cubic(cx, cy, dx, dy, x, y) => {
                let ((cx, cy), (dx, dy), (x, y)) = (place(cx, cy), place(dx, dy), place(x, y));
                builder.cubic_to(cx, cy, dx, dy, x, y);
            }
        }
    }
    paint_path(pixmap, builder.finish(), Some(super::style::INK), None);
}

fn ink(Colour(rgb): Colour) -> Paint<'static> {
    let [_, red, green, blue] = rgb.to_be_bytes();
    let mut paint = Paint::default();
    paint.set_color_rgba8(red, green, blue, 255);
    paint.anti_alias = true;
    paint
}

fn to_pixels() -> Transform {
    let scale = single(f64::from(DOTS_PER_INCH) / POINTS_PER_INCH);
    Transform::from_scale(scale, scale)
}

#[expect(clippy::cast_possible_truncation, reason = "the painter works in f32")]
fn single(value: f64) -> f32 {
    value as f32
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from f64 saturates, and what is too large is refused"
)]
fn pixels(points: f64) -> u32 {
    libm::round(points * f64::from(DOTS_PER_INCH) / POINTS_PER_INCH) as u32
}

fn encode(pixmap: &Pixmap) -> Result<Vec<u8>, png::EncodingError> {
    let rgb: Vec<u8> = pixmap
        .pixels()
        .iter()
        .flat_map(|pixel| [pixel.red(), pixel.green(), pixel.blue()])
        .collect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, pixmap.width(), pixmap.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let per_metre = pixels_per_metre();
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: per_metre,
        yppu: per_metre,
        unit: png::Unit::Meter,
    }));
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&rgb)?;
    writer.finish()?;
    Ok(bytes)
}

/// 1 inch is 0.0254 m.
fn pixels_per_metre() -> u32 {
    (DOTS_PER_INCH * 10_000 + 127) / 254
}

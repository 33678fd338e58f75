//! A scene as PDF 1.7: vector, text as text, the glyphs in use embedded as TrueType.
//!
//! There is neither a date nor an identifier in the file: the same scene gives the same bytes.

use std::collections::BTreeMap;
use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use pdf_writer::types::{CidFontType, FontFlags, LineJoinStyle, SystemInfo, UnicodeCmap};
use pdf_writer::{Content, Filter, Name, Pdf, Ref, Str, TextStr};
use subsetter::GlyphRemapper;

use super::font::{BYTES, Face, SetGlyph};
use super::scene::{Anchor, Colour, Item, Point, Scene, Stroke, Text, at};

const FONT: Name = Name(b"F");
const IDENTITY: SystemInfo = SystemInfo {
    registry: Str(b"Adobe"),
    ordering: Str(b"Identity"),
    supplement: 0,
};
/// Units of an em in which PDF counts glyphs.
const EM: f64 = 1000.0;

/// Draws a scene; the reason if the font could not be cut down to the glyphs in use.
pub(crate) fn render(scene: &Scene, face: &Face) -> Result<Vec<u8>, String> {
    let mut page = Page {
        height: scene.height,
        content: Content::new(),
        glyphs: GlyphRemapper::new(),
        used: BTreeMap::new(),
        face,
    };
    page.content.set_line_join(LineJoinStyle::RoundJoin);
    for item in &scene.items {
        page.item(item);
    }
    let (content, glyphs, used) = (page.content.finish(), page.glyphs, page.used);
    let font = subsetter::subset(BYTES, 0, &glyphs).map_err(|error| error.to_string())?;

    let mut refs = (1..).map(Ref::new);
    let mut next = || refs.next().expect("numbers do not end");
    let (catalog, pages, only, body, info) = (next(), next(), next(), next(), next());
    let font_refs = FontRefs {
        font: next(),
        cid: next(),
        descriptor: next(),
        unicode: next(),
        file: next(),
    };
    let mut pdf = Pdf::new();
    pdf.catalog(catalog).pages(pages).lang(TextStr("en"));
    pdf.document_info(info)
        .title(TextStr(&scene.title))
        .creator(TextStr("revenant"));
    pdf.pages(pages).kids([only]).count(1);
    let mut page = pdf.page(only);
    page.parent(pages)
        .media_box(pdf_writer::Rect::new(
            0.0,
            0.0,
            single(scene.width),
            single(scene.height),
        ))
        .contents(body);
    page.resources().fonts().pair(FONT, font_refs.font);
    drop(page);
    pdf.stream(body, &deflated(&content)).filter(Filter::FlateDecode);
    write_font(&mut pdf, &font_refs, face, &used, &font);
    Ok(pdf.finish())
}

struct FontRefs {
    font: Ref,
    cid: Ref,
    descriptor: Ref,
    unicode: Ref,
    file: Ref,
}

/// A composite font whose character codes are the glyphs' new numbers.
fn write_font(pdf: &mut Pdf, refs: &FontRefs, face: &Face, used: &BTreeMap<u16, SetGlyph>, font: &[u8]) {
    let name = format!("{}+LiberationSans", tag(used));
    let name = Name(name.as_bytes());
    pdf.type0_font(refs.font)
        .base_font(name)
        .encoding_predefined(Name(b"Identity-H"))
        .descendant_font(refs.cid)
        .to_unicode(refs.unicode);
    let mut cid = pdf.cid_font(refs.cid);
    cid.subtype(CidFontType::Type2)
        .base_font(name)
        .system_info(IDENTITY)
        .font_descriptor(refs.descriptor)
        .cid_to_gid_map_predefined(Name(b"Identity"));
    let mut widths = cid.widths();
    for (code, glyph) in used {
        widths.consecutive(*code, [single(glyph.advance * EM)]);
    }
    drop(widths);
    drop(cid);
    let (ascent, descent) = face.vertical();
    pdf.font_descriptor(refs.descriptor)
        .name(name)
        .flags(FontFlags::NON_SYMBOLIC)
        .bbox(pdf_writer::Rect::new(
            -544.0,
            single(descent * EM),
            1302.0,
            single(ascent * EM),
        ))
        .italic_angle(0.0)
        .ascent(single(ascent * EM))
        .descent(single(descent * EM))
        .cap_height(729.0)
        .stem_v(80.0)
        .font_file2(refs.file);
    let mut unicode = UnicodeCmap::new(Name(b"Custom"), IDENTITY);
    for (code, glyph) in used {
        unicode.pair(*code, glyph.character);
    }
    pdf.cmap(refs.unicode, &unicode.finish());
    pdf.stream(refs.file, &deflated(font))
        .filter(Filter::FlateDecode)
        .pair(Name(b"Length1"), i32::try_from(font.len()).unwrap_or(i32::MAX));
}

/// Six letters that tell this subset of the font from others.
fn tag(used: &BTreeMap<u16, SetGlyph>) -> String {
    let mut hasher = blake3::Hasher::new();
    for glyph in used.values() {
        hasher.update(&glyph.id.to_le_bytes());
    }
    let digest = hasher.finalize();
    digest.as_bytes()[..6]
        .iter()
        .map(|byte| char::from(b'A' + byte % 26))
        .collect()
}

struct Page<'a> {
    height: f64,
    content: Content,
    glyphs: GlyphRemapper,
    /// Glyphs by their new number.
    used: BTreeMap<u16, SetGlyph>,
    face: &'a Face,
}

impl Page<'_> {
    fn item(&mut self, item: &Item) {
        match item {
            Item::Path {
                points,
                closed,
                fill,
                stroke,
            } => {
                self.set(*fill, *stroke);
                for (index, point) in points.iter().enumerate() {
                    let (x, y) = self.up(*point);
                    if index == 0 {
                        self.content.move_to(x, y);
                    } else {
                        self.content.line_to(x, y);
                    }
                }
                if *closed {
                    self.content.close_path();
                }
                self.paint(fill.is_some(), stroke.is_some());
            }
            Item::Circle {
                centre,
                radius,
                fill,
                stroke,
            } => {
                self.set(Some(*fill), *stroke);
                self.circle(*centre, *radius);
                self.paint(true, stroke.is_some());
            }
            Item::Text(text) => self.text(text),
            Item::Open(_) | Item::Close => {}
        }
    }

    /// PDF counts from the bottom left.
    fn up(&self, point: Point) -> (f32, f32) {
        (single(point.x), single(self.height - point.y))
    }

    /// Four Bézier curves; off a circle by less than a thousandth of the radius.
    fn circle(&mut self, centre: Point, radius: f64) {
        const HANDLE: f64 = 0.552_284_749_8;
        let place = |x: f64, y: f64| at(centre.x + radius * x, centre.y + radius * y);
        let (x, y) = self.up(place(1.0, 0.0));
        self.content.move_to(x, y);
        let mut arm = (1.0, 0.0);
        for _ in 0..4 {
            let next = (-arm.1, arm.0);
            let first = self.up(place(arm.0 + HANDLE * next.0, arm.1 + HANDLE * next.1));
            let second = self.up(place(next.0 + HANDLE * arm.0, next.1 + HANDLE * arm.1));
            let end = self.up(place(next.0, next.1));
            self.content
                .cubic_to(first.0, first.1, second.0, second.1, end.0, end.1);
            arm = next;
        }
        self.content.close_path();
    }

    /// Sets colours and widths, which PDF forbids between the building of a path and its painting.
    fn set(&mut self, fill: Option<Colour>, stroke: Option<Stroke>) {
        if let Some(fill) = fill {
            let [red, green, blue] = shares(fill);
            self.content.set_fill_rgb(red, green, blue);
        }
        if let Some(stroke) = stroke {
            let [red, green, blue] = shares(stroke.colour);
            self.content
                .set_stroke_rgb(red, green, blue)
                .set_line_width(single(stroke.width))
                .set_dash_pattern(stroke.dash.iter().copied().map(single), 0.0);
        }
    }

    fn paint(&mut self, fill: bool, stroke: bool) {
        match (fill, stroke) {
            (true, true) => self.content.fill_nonzero_and_stroke(),
            (true, false) => self.content.fill_nonzero(),
            (false, true) => self.content.stroke(),
            (false, false) => self.content.end_path(),
        };
    }

    fn text(&mut self, text: &Text) {
        let set = self.face.glyphs(&text.content);
        let width = set.last().map_or(0.0, |last| last.x + last.advance) * text.size;
        let back = match text.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => width / 2.0,
            Anchor::End => width,
        };
        let (start, turn) = if text.upwards {
            (at(text.at.x, text.at.y + back), [0.0, 1.0, -1.0, 0.0])
        } else {
            (at(text.at.x - back, text.at.y), [1.0, 0.0, 0.0, 1.0])
        };
        let (x, y) = self.up(start);
        self.content.set_fill_rgb(0.0, 0.0, 0.0);
        self.content
            .begin_text()
            .set_font(FONT, single(text.size))
            .set_text_matrix([turn[0], turn[1], turn[2], turn[3], x, y]);
        let mut shown = self.content.show_positioned();
        let mut items = shown.items();
        let mut pen = 0.0;
        for glyph in set {
            let code = self.glyphs.remap(glyph.id);
            let kern = (pen - glyph.x) * EM;
            if kern.abs() > 0.5 {
                items.adjust(single(kern));
            }
            items.show(Str(&code.to_be_bytes()));
            pen = glyph.x + glyph.advance;
            self.used.entry(code).or_insert(glyph);
        }
        drop(items);
        drop(shown);
        self.content.end_text();
    }
}

fn shares(Colour(rgb): Colour) -> [f32; 3] {
    let [_, red, green, blue] = rgb.to_be_bytes();
    [red, green, blue].map(|part| f32::from(part) / 255.0)
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

/// To a hundredth, as in the SVG.
#[expect(clippy::cast_possible_truncation, reason = "places of ink need no more")]
fn single(value: f64) -> f32 {
    (libm::round(value * 100.0) / 100.0) as f32
}

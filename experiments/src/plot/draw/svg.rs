//! A scene as SVG 1.1: text stays text, sizes are physical, one unit is one point.

use std::fmt::Write;

use super::font::FAMILIES;
use super::scene::{Anchor, Colour, Item, Point, Scene, Stroke, Text};

/// The same scene gives the same bytes.
pub(crate) fn render(scene: &Scene) -> String {
    let (width, height) = (number(scene.width), number(scene.height));
    let mut svg = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}pt\" height=\"{height}pt\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"{FAMILIES}\" fill=\"none\" stroke-linejoin=\"round\" role=\"img\">\n\
         <title>{}</title>\n<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n",
        escaped(&scene.title)
    );
    for item in &scene.items {
        svg.push_str(&element(item));
        svg.push('\n');
    }
    svg.push_str("</svg>\n");
    svg
}

fn element(item: &Item) -> String {
    match item {
        Item::Path {
            points,
            closed,
            fill,
            stroke,
        } => {
            let mut data = String::new();
            for (index, point) in points.iter().enumerate() {
                data.push(if index == 0 { 'M' } else { 'L' });
                data.push_str(&pair(*point));
            }
            if *closed {
                data.push('Z');
            }
            format!("<path d=\"{data}\"{}/>", paint(*fill, *stroke))
        }
        Item::Circle {
            centre,
            radius,
            fill,
            stroke,
        } => format!(
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\"{}/>",
            number(centre.x),
            number(centre.y),
            number(*radius),
            paint(Some(*fill), *stroke)
        ),
        Item::Text(text) => text_element(text),
        Item::Open(name) => format!("<g class=\"{}\">", escaped(name)),
        Item::Close => "</g>".to_owned(),
    }
}

fn text_element(text: &Text) -> String {
    let anchor = match text.anchor {
        Anchor::Start => "start",
        Anchor::Middle => "middle",
        Anchor::End => "end",
    };
    let place = pair(text.at);
    let turn = if text.upwards { " rotate(-90)" } else { "" };
    format!(
        "<text transform=\"translate({place}){turn}\" font-size=\"{}\" text-anchor=\"{anchor}\" fill=\"#000000\">{}</text>",
        number(text.size),
        escaped(&text.content)
    )
}

fn paint(fill: Option<Colour>, stroke: Option<Stroke>) -> String {
    let mut attributes = String::new();
    if let Some(Colour(rgb)) = fill {
        let _ = write!(attributes, " fill=\"#{rgb:06x}\"");
    }
    if let Some(stroke) = stroke {
        let Colour(rgb) = stroke.colour;
        let width = number(stroke.width);
        let _ = write!(attributes, " stroke=\"#{rgb:06x}\" stroke-width=\"{width}\"");
        if !stroke.dash.is_empty() {
            let lengths: Vec<String> = stroke.dash.iter().map(|length| number(*length)).collect();
            let _ = write!(attributes, " stroke-dasharray=\"{}\"", lengths.join(" "));
        }
    }
    attributes
}

fn pair(point: Point) -> String {
    format!("{} {}", number(point.x), number(point.y))
}

/// To a hundredth of a point, which is finer than print.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if short == "-0" {
        "0".to_owned()
    } else {
        short.to_owned()
    }
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut all, character| {
        match character {
            '&' => all.push_str("&amp;"),
            '<' => all.push_str("&lt;"),
            '>' => all.push_str("&gt;"),
            '"' => all.push_str("&quot;"),
            // XML has no way to write these.
            control if control.is_control() => all.push('\u{fffd}'),
            '\u{fffe}' | '\u{ffff}' => all.push('\u{fffd}'),
            other => all.push(other),
        }
        all
    })
}

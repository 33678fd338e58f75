//! A scene as a LaTeX document of pgfplots: axes and data are pgfplots' own, so that they can be edited; legends and names
//! stand where the layout puts them. Texts are set in the font of the document.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::chart::{Chart, ChartAxis, Marks, Plot};
use super::mark::{Along, Shape};
use super::scale::Scale;
use super::scene::{Anchor, Colour, Item, Point, Scene, Stroke, Text};
use super::style::{ALONE_RADIUS, FILLED_RADIUS, GRID, LABEL, MARK_WIDTH, OPEN_RADIUS};
use crate::plot::data::Level;

/// The same scene gives the same bytes. `caption` becomes comments on top.
pub(crate) fn render(scene: &Scene, caption: &str) -> String {
    let mut body = String::new();
    let mut colours = BTreeSet::from([GRID.colour.0]);
    for chart in &scene.charts {
        axis(&mut body, scene, chart, &mut colours);
    }
    for (index, item) in scene.items.iter().enumerate() {
        if !scene.charted.iter().any(|range| range.contains(&index)) {
            loose(&mut body, scene, item, &mut colours);
        }
    }
    let mut tex = String::new();
    for line in caption.lines() {
        let _ = writeln!(tex, "% {}", line.replace(|sign: char| sign.is_control(), " "));
    }
    tex.push_str(
        "\\documentclass[border=0pt]{standalone}\n\\usepackage{pgfplots}\n\\pgfplotsset{compat=1.16}\n\\usetikzlibrary{plotmarks}\n\\begin{document}\n\
         \\begin{tikzpicture}\n",
    );
    for rgb in &colours {
        let _ = writeln!(tex, "\\definecolor{{c{rgb:06x}}}{{HTML}}{{{rgb:06X}}}");
    }
    let (width, height) = (number(scene.width), number(scene.height));
    let _ = writeln!(tex, "\\useasboundingbox (0,0) rectangle ({width}bp,{height}bp);");
    tex.push_str(&body);
    tex.push_str("\\end{tikzpicture}\n\\end{document}\n");
    tex
}

fn axis(tex: &mut String, scene: &Scene, chart: &Chart, colours: &mut BTreeSet<u32>) {
    let area = &chart.area;
    let _ = write!(
        tex,
        "\\begin{{axis}}[at={{({}bp,{}bp)}}, anchor=south west, scale only axis, width={}bp, height={}bp,\n  \
         axis lines=left, axis line style={{-}}, tick align=outside, tick pos=left, grid=major, grid style={{c{:06x}}},\n  \
         tick label style={{font=\\sffamily\\scriptsize}}, label style={{font=\\sffamily\\footnotesize}},\n  \
         ylabel style={{at={{(axis description cs:{},0.5)}}, anchor=base}}, clip mode=individual",
        number(area.left),
        number(scene.height - area.bottom),
        number(area.width()),
        number(area.height()),
        GRID.colour.0,
        number(-chart.label_distance / area.width())
    );
    axis_options(tex, 'x', &chart.x);
    axis_options(tex, 'y', &chart.y);
    tex.push_str("]\n");
    for plot in &chart.plots {
        match plot {
            Plot::Curve { stroke, points } => {
                let _ = write!(tex, "\\addplot[{}] ", line(*stroke, colours));
                table(tex, "x y", points.iter().map(|(x, y)| vec![*x, *y]));
                tex.push_str(";\n");
            }
            Plot::Area { fill, points } => {
                colours.insert(fill.0);
                let _ = write!(tex, "\\addplot[draw=none, fill=c{:06x}] ", fill.0);
                table(tex, "x y", points.iter().map(|(x, y)| vec![*x, *y]));
                tex.push_str(" -- cycle;\n");
            }
            Plot::Marks(marks) => marked(tex, marks, colours),
        }
    }
    tex.push_str("\\end{axis}\n");
}

fn axis_options(tex: &mut String, name: char, axis: &ChartAxis) {
    let coordinate = |value: f64| {
        let share = axis.scale.share(value)?;
        Some(number(axis.scale.coordinate(share)))
    };
    let (low, high) = (axis.scale.coordinate(0.0), axis.scale.coordinate(1.0));
    if matches!(axis.scale, Scale::Log { .. }) {
        let _ = write!(tex, ",\n  {name}mode=log");
    }
    if low > high {
        let _ = write!(tex, ",\n  {name} dir=reverse");
    }
    let _ = write!(
        tex,
        ",\n  {name}min={}, {name}max={}, {name}label={{{}}}",
        number(low.min(high)),
        number(low.max(high)),
        escaped(&axis.label)
    );
    let (mut major, mut labels, mut minor) = (Vec::new(), Vec::new(), Vec::new());
    for tick in &axis.ticks {
        match (&tick.label, coordinate(tick.value)) {
            (Some(label), Some(value)) => {
                major.push(value);
                labels.push(format!("{{{}}}", escaped(label)));
            }
            (None, Some(value)) => minor.push(value),
            (_, None) => {}
        }
    }
    if major.is_empty() {
        let _ = write!(tex, ",\n  {name}tick=\\empty");
    } else {
        let (major, labels) = (major.join(","), labels.join(","));
        let _ = write!(tex, ",\n  {name}tick={{{major}}}, {name}ticklabels={{{labels}}}");
    }
    if minor.is_empty() {
        let _ = write!(tex, ", minor {name} tick num=0");
    } else {
        let _ = write!(tex, ",\n  minor {name}tick={{{}}}", minor.join(","));
    }
}

fn marked(tex: &mut String, marks: &Marks, colours: &mut BTreeSet<u32>) {
    let Colour(rgb) = marks.look.colour;
    colours.insert(rgb);
    let (mark, turn) = match marks.look.shape {
        Shape::Circle => ("*", ""),
        Shape::Square => ("square*", ""),
        Shape::Triangle => ("triangle*", ""),
        Shape::Diamond => ("diamond*", ""),
        Shape::Wedge => ("triangle*", ", rotate=180"),
        Shape::Pentagon => ("pentagon*", ""),
        // pgf has no hexagon.
        Shape::Hexagon => ("halfcircle*", ""),
    };
    let (radius, fill) = match marks.level {
        Level::Model => (OPEN_RADIUS, "white".to_owned()),
        Level::Sim => (FILLED_RADIUS, format!("c{rgb:06x}")),
        Level::Cluster => (ALONE_RADIUS, format!("c{rgb:06x}")),
    };
    let axis = match marks.along {
        Along::X => 'x',
        Along::Y => 'y',
    };
    let bars = marks.points.iter().any(|point| point.reach.is_some());
    let _ = write!(
        tex,
        "\\addplot[only marks, c{rgb:06x}, mark={mark}, mark size={}bp, line width={}bp, mark options={{fill={fill}{turn}}}",
        number(radius),
        number(MARK_WIDTH)
    );
    if bars {
        let _ = write!(tex, ", error bars/.cd, {axis} dir=both, {axis} explicit");
    }
    tex.push_str("]\n  ");
    if bars {
        let _ = write!(
            tex,
            "table[x=x, y=y, {axis} error minus=minus, {axis} error plus=plus, "
        );
        rows(
            tex,
            "x y minus plus",
            marks.points.iter().map(|point| {
                let (minus, plus) = point.reach.unwrap_or((0.0, 0.0));
                vec![point.x, point.y, minus, plus]
            }),
        );
    } else {
        table(
            tex,
            "x y",
            marks.points.iter().map(|point| vec![point.x, point.y]),
        );
    }
    tex.push_str(";\n");
}

fn table(tex: &mut String, header: &str, values: impl Iterator<Item = Vec<f64>>) {
    tex.push_str("table[x=x, y=y, ");
    rows(tex, header, values);
}

/// Rows end in `\\`, so that the figure survives being the argument of a macro.
fn rows(tex: &mut String, header: &str, values: impl Iterator<Item = Vec<f64>>) {
    let _ = write!(tex, "row sep=\\\\] {{\n{header}\\\\\n");
    for row in values {
        let fields: Vec<String> = row.into_iter().map(number).collect();
        let _ = writeln!(tex, "{}\\\\", fields.join(" "));
    }
    tex.push('}');
}

/// What belongs to no frame: legends, names of panels and rows.
fn loose(tex: &mut String, scene: &Scene, item: &Item, colours: &mut BTreeSet<u32>) {
    let place = |point: &Point| format!("({}bp,{}bp)", number(point.x), number(scene.height - point.y));
    match item {
        Item::Path {
            points,
            closed,
            fill,
            stroke,
        } => {
            let mut path: Vec<String> = points.iter().map(place).collect();
            if *closed {
                path.push("cycle".to_owned());
            }
            let options = paint(*fill, *stroke, colours);
            let _ = writeln!(tex, "\\path[{options}] {};", path.join(" -- "));
        }
        Item::Circle {
            centre,
            radius,
            fill,
            stroke,
        } => {
            let options = paint(Some(*fill), *stroke, colours);
            let _ = writeln!(
                tex,
                "\\path[{options}] {} circle[radius={}bp];",
                place(centre),
                number(*radius)
            );
        }
        Item::Text(text) => node(tex, text, &place(&text.at)),
        Item::Open(name) => {
            let name = name.replace(|sign: char| sign.is_control(), " ");
            let _ = writeln!(tex, "% {name}");
        }
        Item::Close => {}
    }
}

fn node(tex: &mut String, text: &Text, place: &str) {
    let anchor = match text.anchor {
        Anchor::Start => "base west",
        Anchor::Middle => "base",
        Anchor::End => "base east",
    };
    let turn = if text.upwards { ", rotate=90" } else { "" };
    let size = if text.size < LABEL {
        "\\sffamily\\scriptsize"
    } else {
        "\\sffamily\\footnotesize"
    };
    let content = escaped(&text.content);
    let _ = writeln!(
        tex,
        "\\node[anchor={anchor}, inner sep=0pt, font={size}{turn}] at {place} {{{content}}};"
    );
}

fn paint(fill: Option<Colour>, stroke: Option<Stroke>, colours: &mut BTreeSet<u32>) -> String {
    let mut options = Vec::new();
    if let Some(Colour(rgb)) = fill {
        colours.insert(rgb);
        options.push(format!("fill=c{rgb:06x}"));
    }
    if let Some(stroke) = stroke {
        options.push(format!("draw={}", line(stroke, colours)));
    }
    options.join(", ")
}

fn line(stroke: Stroke, colours: &mut BTreeSet<u32>) -> String {
    let Colour(rgb) = stroke.colour;
    colours.insert(rgb);
    let mut options = format!(
        "c{rgb:06x}, line width={}bp, line join=round",
        number(stroke.width)
    );
    if !stroke.dash.is_empty() {
        let parts = stroke.dash.iter().enumerate().map(|(index, length)| {
            let word = if index % 2 == 0 { "on" } else { "off" };
            format!("{word} {}bp", number(*length))
        });
        let parts: Vec<String> = parts.collect();
        let _ = write!(options, ", dash pattern={}", parts.join(" "));
    }
    options
}

/// Nine significant digits: more than any estimate has.
fn number(value: f64) -> String {
    let short = format!("{value:.8e}").parse().unwrap_or(value);
    // No minus sign before a zero.
    format!("{}", short + 0.0)
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut all, sign| {
        match sign {
            '\\' => all.push_str("\\textbackslash{}"),
            '^' => all.push_str("\\textasciicircum{}"),
            '~' => all.push_str("\\textasciitilde{}"),
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => all.extend(['\\', sign]),
            '<' => all.push_str("$<$"),
            '>' => all.push_str("$>$"),
            '"' => all.push_str("''"),
            'τ' => all.push_str("$\\tau$"),
            'σ' => all.push_str("$\\sigma$"),
            'µ' | 'μ' => all.push_str("$\\mu$"),
            '−' => all.push_str("$-$"),
            '×' => all.push_str("$\\times$"),
            '·' => all.push_str("$\\cdot$"),
            '≤' => all.push_str("$\\le$"),
            '≥' => all.push_str("$\\ge$"),
            '–' => all.push_str("--"),
            '…' => all.push_str("\\dots{}"),
            control if control.is_control() => all.push(' '),
            // LaTeX stops at a sign that it does not know; of names that users give, accented letters it knows.
            'À'..='ž' | '\0'..='\x7f' => all.push(sign),
            _ => all.push('?'),
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn latex_gets_signs_that_it_knows() {
        assert_eq!(
            escaped("σ = 1.5 µs, τ_1 ≤ 50 %"),
            "$\\sigma$ = 1.5 $\\mu$s, $\\tau$\\_1 $\\le$ 50 \\%"
        );
        assert_eq!(escaped("café 計\n"), "café ? ");
    }
}

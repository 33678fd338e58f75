//! The arrangement of frames on a page: legend on top, then rows of equal frames.

use crate::plot::Column;
use crate::plot::draw::axis::{AxisSpec, Frame, Margins};
use crate::plot::draw::font::Face;
use crate::plot::draw::legend::{self, Group};
use crate::plot::draw::scene::{Anchor, Rect, Scene, at};
use crate::plot::draw::style::{ONE_COLUMN, SMALL, TWO_COLUMNS};

const EDGE: f64 = 2.0;
const AFTER_LEGEND: f64 = 5.0;
const BETWEEN: f64 = 9.0;
const NAME_HEIGHT: f64 = 11.0;

/// A frame to be: its axes, and a name if there are several.
#[derive(Debug)]
pub(crate) struct PanelSpec {
    pub(crate) name: Option<String>,
    pub(crate) x: AxisSpec,
    pub(crate) y: AxisSpec,
}

/// Width of the page.
pub(crate) fn width(column: Column) -> f64 {
    match column {
        Column::One => ONE_COLUMN,
        Column::Two => TWO_COLUMNS,
    }
}

/// Frames beside each other: as many as are wide enough.
pub(crate) fn abreast(column: Column, panels: usize) -> usize {
    match column {
        Column::One => 1,
        // In rows of two they would leave a hole.
        Column::Two if panels == 3 => 3,
        Column::Two => panels.clamp(1, 2),
    }
}

/// Height of a frame's area.
pub(crate) fn area_height(column: Column, abreast: usize, panels: usize) -> f64 {
    match (column, panels) {
        (Column::One, 1) => 132.0,
        (Column::One, _) => 104.0,
        (Column::Two, _) if abreast == 1 => 190.0,
        (Column::Two, _) => 128.0,
    }
}

/// Lays out a page, paints legend, axes and names, and lets each panel be filled.
pub(crate) fn compose(
    face: &Face,
    column: Column,
    title: String,
    legend: &[Group],
    panels: Vec<PanelSpec>,
    mut fill: impl FnMut(usize, &Frame, &mut Scene),
) -> Scene {
    let width = width(column);
    let abreast = abreast(column, panels.len());
    let area_height = area_height(column, abreast, panels.len());
    let margins = common_margins(face, area_height, &panels);
    let area_width = (width - 2.0 * EDGE) / count(abreast) - margins.left - margins.right;
    let legend_left = EDGE + margins.left;
    let legend_width = width - EDGE - legend_left;
    let legend_height = legend::height(face, legend, legend_width);
    let named = panels.iter().any(|panel| panel.name.is_some());
    let name_height = if named { NAME_HEIGHT } else { 0.0 };
    let top = EDGE
        + legend_height
        + if legend_height > 0.0 {
            AFTER_LEGEND
        } else {
            SMALL / 2.0
        };
    let row_height = name_height + area_height + margins.bottom;
    let rows = panels.len().div_ceil(abreast);
    let height = top + count(rows) * (row_height + BETWEEN) - BETWEEN + EDGE + 1.0;

    let mut scene = Scene::new(width, height, title);
    legend::paint(&mut scene, face, legend, legend_left, EDGE, legend_width);
    for (index, panel) in panels.into_iter().enumerate() {
        let (row, place) = (index / abreast, index % abreast);
        let left = EDGE + count(place) * (width - 2.0 * EDGE) / count(abreast) + margins.left;
        let name_top = top + count(row) * (row_height + BETWEEN);
        let area = Rect {
            left,
            top: name_top + name_height,
            right: left + area_width,
            bottom: name_top + name_height + area_height,
        };
        if let Some(name) = panel.name {
            let name = fitted(face, &name, area_width + margins.right);
            scene.text(at(left, name_top + SMALL), SMALL, Anchor::Start, name);
        }
        let frame = Frame::new(face, area, panel.x, panel.y);
        frame.paint(&mut scene);
        fill(index, &frame, &mut scene);
    }
    scene
}

/// As many parts of a name as fit the width; captions have the whole.
pub(super) fn fitted(face: &Face, name: &str, width: f64) -> String {
    let fits = |text: &str| face.width(text, SMALL) <= width;
    if fits(name) {
        return name.to_owned();
    }
    let with_less = name
        .rmatch_indices(", ")
        .map(|(end, _)| format!("{}, …", &name[..end]));
    let shortened = (0..name.chars().count())
        .rev()
        .map(|count| name.chars().take(count).chain(['…']).collect());
    with_less
        .chain(shortened)
        .find(|text: &String| fits(text))
        .unwrap_or_default()
}

/// Frames line up, so all have the margins of the most demanding.
fn common_margins(face: &Face, height: f64, panels: &[PanelSpec]) -> Margins {
    let none = Margins {
        left: 0.0,
        bottom: 0.0,
        right: 0.0,
    };
    panels.iter().fold(none, |all, panel| {
        let own = Frame::margins(face, height, &panel.x, &panel.y);
        Margins {
            left: all.left.max(own.left),
            bottom: all.bottom.max(own.bottom),
            right: all.right.max(own.right),
        }
    })
}

fn count(number: usize) -> f64 {
    number as f64
}

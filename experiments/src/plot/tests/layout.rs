//! What no figure may have: text beyond the page, text on text, text too small for print.

use std::fs;
use std::path::Path;

use super::world::World;
use crate::plot::Column;
use crate::plot::data::RunData;
use crate::plot::draw::font::Face;
use crate::plot::draw::scene::{Anchor, Item, Rect, Scene, Text};
use crate::plot::draw::style::{FRAME, GRID};
use crate::plot::figure::{Figure, figures};

/// A text's box, from its base line to the height of its capitals.
fn area(face: &Face, text: &Text) -> Rect {
    let width = face.width(&text.content, text.size);
    let before = match text.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => width / 2.0,
        Anchor::End => width,
    };
    let height = 0.72 * text.size;
    let (x, y) = (text.at.x, text.at.y);
    if text.upwards {
        Rect {
            left: x - height,
            top: y + before - width,
            right: x,
            bottom: y + before,
        }
    } else {
        Rect {
            left: x - before,
            top: y - height,
            right: x - before + width,
            bottom: y,
        }
    }
}

fn texts(scene: &Scene) -> Vec<&Text> {
    scene
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Text(text) => Some(text),
            _ => None,
        })
        .collect()
}

/// Lines of axes and grid; they run along the axes, so their boxes are all there is to them.
fn rules(scene: &Scene) -> Vec<Rect> {
    let rule = |item: &Item| match item {
        Item::Path {
            points,
            stroke: Some(stroke),
            ..
        } if [FRAME, GRID].contains(stroke) => Some(points.clone()),
        _ => None,
    };
    let pairs = scene.items.iter().filter_map(rule);
    pairs
        .flat_map(|points| {
            points
                .windows(2)
                .map(|pair| Rect {
                    left: pair[0].x.min(pair[1].x),
                    top: pair[0].y.min(pair[1].y),
                    right: pair[0].x.max(pair[1].x),
                    bottom: pair[0].y.max(pair[1].y),
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

fn apart(a: &Rect, b: &Rect) -> bool {
    a.right < b.left || b.right < a.left || a.bottom < b.top || b.bottom < a.top
}

fn check(what: &str, face: &Face, figure: &Figure) {
    let scene = &figure.scene;
    let texts = texts(scene);
    assert!(texts.len() > 5, "{what}");
    for (index, text) in texts.iter().enumerate() {
        assert!(text.size >= 7.0, "{what}, {}: {}", figure.stem, text.content);
        let own = area(face, text);
        let inside =
            own.left >= 0.0 && own.top >= 0.0 && own.right <= scene.width && own.bottom <= scene.height;
        assert!(
            inside,
            "{what}, {}: {:?} sticks out: {own:?}",
            figure.stem, text.content
        );
        for rule in rules(scene) {
            let clear = apart(&own, &rule);
            assert!(clear, "{what}, {}: {:?} on {rule:?}", figure.stem, text.content);
        }
        for other in &texts[index + 1..] {
            assert!(
                apart(&own, &area(face, other)),
                "{what}, {}: {:?} on {:?}",
                figure.stem,
                text.content,
                other.content
            );
        }
    }
}

#[test]
fn no_text_is_small_or_out_or_on_another() {
    let base = World::default();
    let many: Vec<f64> = (0..9)
        .map(|index| 900.0 * libm::pow(3.3, f64::from(index)))
        .collect();
    let worlds = [
        ("quickstart", base.clone()),
        (
            "five programs",
            World {
                programs: vec![
                    "hot-set",
                    "idle",
                    "sort",
                    "stencil",
                    "key-value-with-a-name-that-does-not-end-soon",
                ],
                ..base.clone()
            },
        ),
        (
            "nine MTBFs",
            World {
                mtbfs_s: many,
                ..base.clone()
            },
        ),
        (
            "one interval",
            World {
                intervals_s: vec![77.0],
                policies: vec![],
                ..base.clone()
            },
        ),
        (
            "seconds to days",
            World {
                intervals_s: vec![1.0, 1e3, 4e6],
                mtbfs_s: vec![1e5, 1e7],
                ..base
            },
        ),
    ];
    let face = Face::new();
    for (what, world) in worlds {
        let folder = world.write();
        let data = RunData::read(folder.path()).unwrap();
        for column in [Column::One, Column::Two] {
            let figures = figures(&data, column, &face);
            assert!(figures.len() >= 4, "{what}");
            for figure in figures {
                check(what, &face, &figure);
            }
        }
    }
}

#[test]
fn the_figures_of_the_reference_results_have_none_of_it_either() {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results");
    let face = Face::new();
    let mut runs = 0;
    for entry in fs::read_dir(results).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.join("summary.csv").exists() {
            continue;
        }
        runs += 1;
        let data = RunData::read(&folder).unwrap();
        for column in [Column::One, Column::Two] {
            for figure in figures(&data, column, &face) {
                check(&folder.to_string_lossy(), &face, &figure);
            }
        }
    }
    assert!(runs > 10, "{runs}");
}

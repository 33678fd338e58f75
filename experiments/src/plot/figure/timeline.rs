//! One trial as a strip of time, folded into rows: what the guest's time was spent on, and what happened when.

use std::collections::BTreeSet;

use super::caption;
use super::{Column, Figure, jobs, page};
use crate::plot::draw::axis::{AxisSpec, Frame};
use crate::plot::draw::clip::clip;
use crate::plot::draw::font::Face;
use crate::plot::draw::mark::Shape;
use crate::plot::draw::scale::Scale;
use crate::plot::draw::scene::{Anchor, Colour, Item, Point, Rect, Scene, Stroke, at};
use crate::plot::draw::style::{GREY, INK, MARK_WIDTH, PAPER, SMALL, solid};
use crate::plot::draw::ticks::{Kind, Unit, duration};
use crate::run::{Timeline, TimelineEvent, TimelineSpan};

pub(super) const EDGE: f64 = 2.0;
const ROW: f64 = 17.0;
/// Bar of a row, from its top; failures are marked above.
const BAR_TOP: f64 = 7.0;
const BAR: f64 = 8.0;
const ROWS_MAX: usize = 16;
/// Width that a typical checkpoint should have.
const CHECKPOINT_WIDTH: f64 = 1.5;
/// Checkpoints and other phases that are shorter than this on paper are drawn as wide, unless they would hide the work.
const LEAST: f64 = 0.5;
/// Share of the strip up to which a phase may be widened.
const WIDENED_MAX: f64 = 0.2;
/// Bars are painted in steps of this width, a pixel at 600 dpi.
const STEP: f64 = 0.12;
const HATCH: f64 = 2.2;
const RADIUS: f64 = 2.2;
pub(super) const LEGEND_LINE: f64 = 10.5;

/// What time is spent on: name in the file, name in the figure, colour, hatched. Lightness differs, for print without colours.
pub(super) const PHASES: [(&str, &str, Colour, bool); 8] = [
    ("work", "Work", Colour(0xb8_dcf2), false),
    ("lost", "Work lost", Colour(0xfb_e3d2), true),
    ("checkpoint", "Checkpoint", Colour(0x00_72b2), false),
    ("verify", "Verification", Colour(0xcc_79a7), false),
    ("restore", "Restore", Colour(0x00_9e73), false),
    ("detection", "Detection", Colour(0xe6_9f00), false),
    ("downtime", "Downtime", Colour(0x3c_3c3c), false),
    ("waiting", "Waiting for hosts", Colour(0xe4_e4e4), false),
];

/// What is marked: name in the file, name in the figure, marker, fill.
const EVENTS: [(&str, &str, Shape, Colour); 5] = [
    ("failure", "Failure", Shape::Wedge, Colour(0xd5_5e00)),
    ("silent-error", "Silent error", Shape::Diamond, PAPER),
    ("checkpoint-failed", "Checkpoint failed", Shape::Square, PAPER),
    ("restore-failed", "Restore failed", Shape::Pentagon, PAPER),
    ("given-up", "Given up", Shape::Circle, INK),
];

/// A stretch of a row that looks the same; from where to where, in points from the row's beginning.
pub(super) struct Stretch {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) phase: usize,
}

/// Draws a trial.
pub(crate) fn figure(timeline: &Timeline, column: Column, face: &Face) -> Figure {
    if timeline.jobs.is_empty() {
        strip(timeline, column, face)
    } else {
        jobs::figure(timeline, column, face)
    }
}

fn strip(timeline: &Timeline, column: Column, face: &Face) -> Figure {
    let width = page::width(column);
    let label_width = face.width("00.0 min", SMALL);
    let area_width = width - 2.0 * EDGE - label_width - 5.0 - 8.0;
    let row_s = row_s(timeline, area_width);
    let rows = index(libm::ceil(timeline.makespan_s / row_s)).max(1);
    let bars = stretches(&timeline.spans, area_width, row_s, rows);
    let legend = legend(bars.iter().flatten(), &timeline.events, face, width);
    let top = EDGE + LEGEND_LINE * legend.last().map_or(0.0, |entry| entry.line + 1.0) + 2.0;
    let area = Rect {
        left: EDGE + label_width + 5.0,
        top,
        right: EDGE + label_width + 5.0 + area_width,
        bottom: top + rows as f64 * ROW,
    };
    let unit = Unit::for_seconds(row_s, 2.0);
    let x = AxisSpec {
        scale: Scale::Linear {
            low: 0.0,
            high: row_s,
        },
        kind: Kind::TimeIn(unit),
        label: if rows == 1 {
            format!("Time ({})", unit.name)
        } else {
            format!("Time since the start of the row ({})", unit.name)
        },
    };
    let bottom = Frame::margins(face, ROW, &x, &x).bottom;
    let title = format!("Timeline of trial {} of {}", timeline.trial, timeline.experiment);
    let mut scene = Scene::new(width, area.bottom + bottom + EDGE + 1.0, title);
    scene.group("legend", |scene| paint_legend(scene, &legend));
    Frame::with_rows(face, area, x, rows as f64).paint(&mut scene);
    let strip = Strip { area, row_s, rows };
    scene.group("starts", |scene| {
        for row in 0..rows {
            let base = area.top + row as f64 * ROW + BAR_TOP + BAR / 2.0 + SMALL * 0.36;
            let start = duration(row as f64 * row_s);
            scene.text(at(area.left - 4.0, base), SMALL, Anchor::End, start);
        }
    });
    for (row, stretches) in bars.into_iter().enumerate() {
        scene.group("row", |scene| {
            for stretch in stretches {
                paint_bar(scene, &strip.bar(row, &stretch), stretch.phase);
            }
        });
    }
    scene.group("events", |scene| {
        for event in &timeline.events {
            paint_event(scene, event, strip.place(event.t_s));
        }
    });
    Figure {
        stem: "timeline".to_owned(),
        scene,
        caption: text(timeline, rows, row_s, column),
    }
}

/// The time that a row shows: a round one, with which a typical checkpoint has its width if the rows suffice.
fn row_s(timeline: &Timeline, width: f64) -> f64 {
    let wanted = timeline.makespan_s / rows(timeline, width) as f64;
    if wanted >= timeline.makespan_s || wanted < 1.0 {
        return wanted;
    }
    let sixties = [1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0];
    let seconds = sixties.into_iter();
    let minutes = sixties.into_iter().map(|minutes| minutes * 60.0);
    let hours = [1.0, 2.0, 3.0, 4.0, 6.0, 12.0]
        .into_iter()
        .map(|hours| hours * 3600.0);
    let days = (0..14)
        .flat_map(|power| [1.0, 2.0, 5.0].map(|days| days * 86_400.0 * libm::pow(10.0, f64::from(power))));
    seconds
        .chain(minutes)
        .chain(hours)
        .chain(days)
        .find(|round| *round >= wanted)
        .unwrap_or(wanted)
}

/// As many rows as give a typical checkpoint its width.
fn rows(timeline: &Timeline, width: f64) -> usize {
    let mut checkpoints: Vec<f64> = timeline
        .spans
        .iter()
        .filter(|span| span.phase == "checkpoint")
        .map(|span| span.end_s - span.start_s)
        .collect();
    checkpoints.sort_by(f64::total_cmp);
    let Some(typical) = checkpoints
        .get(checkpoints.len() / 2)
        .filter(|typical| **typical > 0.0)
    else {
        return 1;
    };
    let wanted = CHECKPOINT_WIDTH * timeline.makespan_s / (typical * width);
    (1..ROWS_MAX)
        .find(|rows| *rows as f64 >= wanted)
        .unwrap_or(ROWS_MAX)
}

/// What each row shows: of each step the phase that takes most of it.
pub(super) fn stretches(spans: &[TimelineSpan], width: f64, row_s: f64, rows: usize) -> Vec<Vec<Stretch>> {
    let steps = steps(width);
    let step_s = row_s / steps as f64;
    let mut shares = vec![[0.0f64; PHASES.len()]; steps * rows];
    let widened = widened(spans, LEAST / width * row_s, row_s * rows as f64);
    for span in spans {
        let Some(phase) = PHASES.iter().position(|(name, ..)| *name == span.phase) else {
            continue;
        };
        let (first, last) = (index(span.start_s / step_s), index(span.end_s / step_s));
        let last = if widened[phase] {
            last.max(index((span.start_s + LEAST / width * row_s) / step_s))
        } else {
            last
        };
        for (step, share) in shares.iter_mut().enumerate().take(last + 1).skip(first) {
            let from = (step as f64 * step_s).max(span.start_s);
            let to = ((step + 1) as f64 * step_s).min(span.end_s);
            // More than work can have: a step of a phase that is widened is all of that phase.
            let least = if widened[phase] { 2.0 * step_s } else { 0.0 };
            share[phase] += (to - from).max(least);
        }
    }
    let row = |row: &[[f64; PHASES.len()]]| {
        let mut stretches: Vec<Stretch> = Vec::new();
        for (step, share) in row.iter().enumerate() {
            let most = share.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
            let Some((phase, _)) = most.filter(|(_, share)| **share > 0.0) else {
                continue;
            };
            let place = |step: usize| step as f64 / steps as f64 * width;
            let (left, right) = (place(step), place(step + 1));
            match stretches.last_mut() {
                Some(last) if last.phase == phase => last.right = right,
                _ => stretches.push(Stretch { left, right, phase }),
            }
        }
        stretches
    };
    shares.chunks(steps).map(row).collect()
}

/// Phases besides work whose spans are short on paper and few enough to be drawn wider than they are.
fn widened(spans: &[TimelineSpan], least_s: f64, strip_s: f64) -> [bool; PHASES.len()] {
    PHASES.map(|(name, ..)| {
        let spans = || spans.iter().filter(|span| span.phase == name);
        let short = spans().filter(|span| span.end_s - span.start_s < least_s).count();
        let is_work = ["work", "lost"].contains(&name);
        !is_work && 2 * short > spans().count() && short as f64 * least_s < WIDENED_MAX * strip_s
    })
}

/// The strip of time, folded.
struct Strip {
    area: Rect,
    row_s: f64,
    rows: usize,
}

impl Strip {
    fn bar(&self, row: usize, stretch: &Stretch) -> Rect {
        let top = self.area.top + row as f64 * ROW + BAR_TOP;
        Rect {
            left: self.area.left + stretch.left,
            top,
            right: self.area.left + stretch.right,
            bottom: top + BAR,
        }
    }

    /// Just above the bar.
    fn place(&self, t_s: f64) -> Point {
        let row = index(t_s / self.row_s).min(self.rows - 1) as f64;
        let share = t_s / self.row_s - row;
        at(
            self.area.left + share.clamp(0.0, 1.0) * self.area.width(),
            self.area.top + row * ROW + BAR_TOP - RADIUS - 1.2,
        )
    }
}

pub(super) fn paint_bar(scene: &mut Scene, bar: &Rect, phase: usize) {
    let (_, _, colour, hatched) = PHASES[phase];
    scene.items.push(Item::Path {
        points: vec![
            at(bar.left, bar.top),
            at(bar.right, bar.top),
            at(bar.right, bar.bottom),
            at(bar.left, bar.bottom),
        ],
        closed: true,
        fill: Some(colour),
        stroke: None,
    });
    if !hatched {
        return;
    }
    let stroke = Stroke {
        width: 0.45,
        ..solid(Colour(0xd5_5e00), MARK_WIDTH)
    };
    // Strokes of all bars lie on one pattern, so that neighbours match.
    let mut foot = libm::floor((bar.left - bar.height()) / HATCH) * HATCH;
    while foot < bar.right {
        let line = [at(foot, bar.bottom), at(foot + bar.height(), bar.top)];
        for part in clip(&line, bar) {
            scene.line(part, stroke);
        }
        foot += HATCH;
    }
}

/// Marks an event there, if it is one that is marked.
pub(super) fn paint_event(scene: &mut Scene, event: &TimelineEvent, place: Point) {
    if let Some((_, _, shape, fill)) = EVENTS.iter().find(|(what, ..)| *what == event.what) {
        paint_mark(scene, place, *shape, *fill);
    }
}

fn paint_mark(scene: &mut Scene, place: Point, shape: Shape, fill: Colour) {
    shape.paint(scene, place, RADIUS, fill, Some(solid(INK, 0.5)));
}

/// An entry of the legend in its place.
pub(super) struct Entry {
    x: f64,
    pub(super) line: f64,
    sign: Sign,
    label: &'static str,
}

#[derive(Clone, Copy)]
enum Sign {
    Phase(usize),
    Event(Shape, Colour),
}

/// What can be seen.
pub(super) fn legend<'a>(
    bars: impl Iterator<Item = &'a Stretch>,
    events: impl IntoIterator<Item = &'a TimelineEvent>,
    face: &Face,
    width: f64,
) -> Vec<Entry> {
    const SIGN: f64 = 14.0;
    const AFTER: f64 = 8.0;
    let shown: BTreeSet<usize> = bars.map(|stretch| stretch.phase).collect();
    let happened: BTreeSet<&str> = events.into_iter().map(|event| event.what.as_str()).collect();
    let phases = PHASES
        .iter()
        .enumerate()
        .filter(|(phase, _)| shown.contains(phase));
    let phases = phases.map(|(index, (_, label, ..))| (Sign::Phase(index), *label));
    let events = EVENTS
        .iter()
        .filter(|(what, ..)| happened.contains(what))
        .map(|(_, label, shape, fill)| (Sign::Event(*shape, *fill), *label));
    let (mut x, mut line) = (EDGE, 0.0);
    let mut entries = Vec::new();
    for (sign, label) in phases.chain(events) {
        let extent = SIGN + face.width(label, SMALL);
        if x > EDGE && x + extent > width - EDGE {
            x = EDGE;
            line += 1.0;
        }
        entries.push(Entry { x, line, sign, label });
        x += extent + AFTER;
    }
    entries
}

pub(super) fn paint_legend(scene: &mut Scene, entries: &[Entry]) {
    for entry in entries {
        let middle = EDGE + LEGEND_LINE * (entry.line + 0.5);
        match entry.sign {
            Sign::Phase(phase) => {
                let bar = Rect {
                    left: entry.x,
                    top: middle - 3.0,
                    right: entry.x + 11.0,
                    bottom: middle + 3.0,
                };
                paint_bar(scene, &bar, phase);
            }
            Sign::Event(shape, fill) => paint_mark(scene, at(entry.x + 6.0, middle), shape, fill),
        }
        let base = at(entry.x + 14.0, middle + SMALL * 0.36);
        scene.text(base, SMALL, Anchor::Start, entry.label);
    }
    // An outline tells the palest bars from the page.
    for entry in entries {
        if let Sign::Phase(_) = entry.sign {
            let middle = EDGE + LEGEND_LINE * (entry.line + 0.5);
            let (left, right) = (entry.x, entry.x + 11.0);
            let outline = vec![
                at(left, middle - 3.0),
                at(right, middle - 3.0),
                at(right, middle + 3.0),
                at(left, middle + 3.0),
                at(left, middle - 3.0),
            ];
            scene.line(outline, solid(GREY, 0.4));
        }
    }
}

fn text(timeline: &Timeline, rows: usize, row_s: f64, column: Column) -> String {
    let of = |what: &str| timeline.events.iter().filter(|event| event.what == what).count();
    let mut text = format!(
        "What the time of one trial was spent on: {}.\nMakespan {}, failures {}, checkpoints {}.\n",
        which(timeline),
        duration(timeline.makespan_s),
        of("failure"),
        of("checkpoint"),
    );
    if rows > 1 {
        text.push_str(&format!("Time runs along the rows, {} each.\n", duration(row_s)));
    }
    let step_s = row_s / steps(page::width(column)) as f64;
    text + &closing(step_s, "", column)
}

/// How to read bars that are painted in steps of so many seconds, with what more there is to say, and how to draw them again.
pub(super) fn closing(step_s: f64, more: &str, column: Column) -> String {
    let step = duration(step_s);
    let again = caption::regenerate(column).replace("summary.csv", "summary.csv and replay/");
    format!(
        "Phases shorter than {step} are drawn longer than they are, or not at all where they are many. {more}Hatched: work that a later \
         failure threw away.\n{again}"
    )
}

/// Which trial it is of.
pub(super) fn which(timeline: &Timeline) -> String {
    format!(
        "trial {}, point {}, level {}, policy {}, experiment {}, seed {} (n = 1)",
        timeline.trial, timeline.point, timeline.level, timeline.policy, timeline.experiment, timeline.seed
    )
}

/// Steps of a row of this width.
pub(super) fn steps(width: f64) -> usize {
    index(width / STEP).max(1)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from f64 saturates, and places are not negative"
)]
fn index(value: f64) -> usize {
    value as usize
}

//! The jobs of a cluster, a row each: what the time of each was spent on since its submission, and what happened when.

use super::timeline::{
    EDGE, LEGEND_LINE, closing, legend, paint_bar, paint_event, paint_legend, steps, stretches, which,
};
use super::{Column, Figure, page};
use crate::plot::draw::axis::{AxisSpec, Frame};
use crate::plot::draw::font::Face;
use crate::plot::draw::scale::Scale;
use crate::plot::draw::scene::{Anchor, Rect, Scene, at};
use crate::plot::draw::style::SMALL;
use crate::plot::draw::ticks::{Kind, Unit};
use crate::run::{JobTimeline, Timeline, TimelineSpan};

/// As many jobs as fit a page.
const JOBS_MAX: usize = 40;
const ROW: f64 = 11.5;
/// Bar of a row, from its top; failures are marked on its upper edge.
const BAR_TOP: f64 = 4.0;
const BAR: f64 = 6.0;

/// Draws the first jobs of a trial.
pub(super) fn figure(timeline: &Timeline, column: Column, face: &Face) -> Figure {
    let jobs = &timeline.jobs[..timeline.jobs.len().min(JOBS_MAX)];
    let width = page::width(column);
    let labels: Vec<String> = jobs.iter().map(|job| job.job.to_string()).collect();
    let label_width = labels
        .iter()
        .map(|label| face.width(label, SMALL))
        .fold(0.0, f64::max);
    let left = EDGE + face.width("Job ", SMALL) + label_width + 5.0;
    let span = Span::of(jobs, timeline.makespan_s);
    let area_width = width - left - EDGE - 8.0;
    let bars: Vec<_> = jobs
        .iter()
        .map(|job| stretches(&span.shifted(&job.spans), area_width, span.length_s(), 1).remove(0))
        .collect();
    let events = jobs.iter().flat_map(|job| &job.events);
    let legend = legend(bars.iter().flatten(), events, face, width);
    let top = EDGE + LEGEND_LINE * legend.last().map_or(0.0, |entry| entry.line + 1.0) + 2.0;
    let area = Rect {
        left,
        top,
        right: left + area_width,
        bottom: top + jobs.len() as f64 * ROW,
    };
    let unit = Unit::for_seconds(span.length_s(), 2.0);
    let x = AxisSpec {
        scale: Scale::Linear {
            low: span.start_s,
            high: span.end_s,
        },
        kind: Kind::TimeIn(unit),
        label: format!("Time ({})", unit.name),
    };
    let below = Frame::margins(face, ROW, &x, &x).bottom;
    let title = format!("Jobs of trial {} of {}", timeline.trial, timeline.experiment);
    let mut scene = Scene::new(width, area.bottom + below + EDGE + 1.0, title);
    scene.group("legend", |scene| paint_legend(scene, &legend));
    Frame::with_rows(face, area, x, jobs.len() as f64).paint(&mut scene);
    for (row, ((job, bars), label)) in jobs.iter().zip(bars).zip(labels).enumerate() {
        let top = area.top + row as f64 * ROW + BAR_TOP;
        scene.group("job", |scene| {
            let base = at(left - 4.0, top + BAR / 2.0 + SMALL * 0.36);
            scene.text(base, SMALL, Anchor::End, format!("Job {label}"));
            for bar in bars {
                let place = Rect {
                    left: left + bar.left,
                    top,
                    right: left + bar.right,
                    bottom: top + BAR,
                };
                paint_bar(scene, &place, bar.phase);
            }
            for event in &job.events {
                let share = (event.t_s - span.start_s) / span.length_s();
                paint_event(scene, event, at(left + share * area_width, top));
            }
        });
    }
    Figure {
        stem: "timeline".to_owned(),
        scene,
        caption: text(timeline, jobs, &span, column),
    }
}

/// The time that is shown.
struct Span {
    start_s: f64,
    end_s: f64,
}

impl Span {
    /// From the first submission to the end of the last job; the trial's if these are one.
    fn of(jobs: &[JobTimeline], makespan_s: f64) -> Span {
        let start_s = jobs.iter().map(|job| job.submit_s).fold(f64::INFINITY, f64::min);
        let spans = jobs.iter().flat_map(|job| &job.spans);
        let end_s = spans.map(|span| span.end_s).fold(0.0, f64::max);
        if end_s > start_s {
            Span { start_s, end_s }
        } else {
            Span {
                start_s: 0.0,
                end_s: makespan_s,
            }
        }
    }

    fn length_s(&self) -> f64 {
        self.end_s - self.start_s
    }

    /// The same spans, from the beginning of this one.
    fn shifted(&self, spans: &[TimelineSpan]) -> Vec<TimelineSpan> {
        let shift = |span: &TimelineSpan| TimelineSpan {
            start_s: (span.start_s - self.start_s).max(0.0),
            end_s: (span.end_s - self.start_s).max(0.0),
            phase: span.phase.clone(),
        };
        spans.iter().map(shift).collect()
    }
}

fn text(timeline: &Timeline, jobs: &[JobTimeline], span: &Span, column: Column) -> String {
    let of = |what: &str| {
        let events = jobs.iter().flat_map(|job| &job.events);
        events.filter(|event| event.what == what).count()
    };
    let numbers = match jobs {
        [first, .., last] => format!("jobs {} to {}", first.job, last.job),
        [only] => format!("job {}", only.job),
        [] => "no jobs".to_owned(),
    };
    let mut text = format!(
        "What the time of jobs was spent on from their submission to their end: {numbers} of {}.\nFailures {}, checkpoints {}.\n",
        which(timeline),
        of("failure"),
        of("checkpoint"),
    );
    if jobs.len() < timeline.jobs.len() {
        let all = timeline.jobs.len();
        text.push_str(&format!("timeline.json tells of {all} jobs.\n"));
    }
    let step_s = span.length_s() / steps(page::width(column)) as f64;
    text + &closing(step_s, "Downtime includes the detection of a failure. ", column)
}

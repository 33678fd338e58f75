//! The timelines of replayed trials.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::plot::PlotError;
use crate::run::{REPLAY, TIMELINE, Timeline, TimelineEvent, TimelineSpan};

/// Larger times (in seconds) are not plausible, and would not be drawn faithfully.
const LIMIT_S: f64 = 1e18;

/// The folders below `replay` that hold a timeline, by name.
pub(crate) fn replays(dir: &Path) -> Result<Vec<PathBuf>, PlotError> {
    let replay = dir.join(REPLAY);
    let read = |source| PlotError::Read {
        path: replay.clone(),
        source,
    };
    let entries = match fs::read_dir(&replay) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(read(source)),
    };
    let mut folders = Vec::new();
    for entry in entries {
        let folder = entry.map_err(read)?.path();
        if folder.join(TIMELINE).is_file() {
            folders.push(folder);
        }
    }
    folders.sort();
    Ok(folders)
}

/// Reads and checks the timeline in a folder.
pub(crate) fn read_timeline(folder: &Path) -> Result<Timeline, PlotError> {
    let path = folder.join(TIMELINE);
    let bytes = fs::read(&path).map_err(|source| PlotError::Read {
        path: path.clone(),
        source,
    })?;
    let timeline: Timeline = serde_json::from_slice(&bytes).map_err(|source| PlotError::Json {
        path: path.clone(),
        source,
    })?;
    let wrong = |what: String| PlotError::Timeline {
        path: path.clone(),
        what,
    };
    if !(timeline.makespan_s > 0.0 && timeline.makespan_s <= LIMIT_S) {
        return Err(wrong(
            "makespan_s: expected a number above 0 and up to 1e18".to_owned(),
        ));
    }
    check(&timeline.spans, &timeline.events, timeline.makespan_s).map_err(&wrong)?;
    for job in &timeline.jobs {
        check(&job.spans, &job.events, timeline.makespan_s)
            .map_err(|what| wrong(format!("job {}: {what}", job.job)))?;
    }
    Ok(timeline)
}

/// Whether all of it lies in the trial.
fn check(spans: &[TimelineSpan], events: &[TimelineEvent], makespan_s: f64) -> Result<(), String> {
    let within = |t_s: f64| (0.0..=makespan_s * (1.0 + 1e-9)).contains(&t_s);
    for (number, span) in spans.iter().enumerate() {
        if !(within(span.start_s) && within(span.end_s) && span.start_s <= span.end_s) {
            return Err(format!(
                "spans[{number}]: expected 0 <= start_s <= end_s <= makespan_s"
            ));
        }
    }
    for (number, event) in events.iter().enumerate() {
        if !within(event.t_s) {
            return Err(format!("events[{number}]: expected 0 <= t_s <= makespan_s"));
        }
    }
    Ok(())
}

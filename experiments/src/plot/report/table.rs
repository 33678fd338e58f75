//! Tables of the page: chosen columns of a CSV file, with units; what is the same in all rows is said once.

use std::fmt::Write;
use std::io;
use std::path::Path;

use super::escaped;
use crate::plot::PlotError;
use crate::plot::draw::ticks::{Unit, duration, three_digits};
use crate::plot::figure::swept_text;

/// Rows a page shows of a table; the file has all.
const ROWS_MAX: usize = 400;

/// How the fields of a column are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Show {
    Text,
    /// A whole number.
    Count,
    /// A number, to three digits.
    Number,
    /// Seconds, each with a unit that suits it.
    Time,
    /// A share, in per cent.
    Percent,
    /// Swept keys and their values.
    Setting,
}

impl Show {
    fn is_number(self) -> bool {
        ![Show::Text, Show::Setting].contains(&self)
    }
}

/// A column of the page: its title, and the column of the file with those of its confidence interval.
pub(super) struct ColumnSpec {
    title: &'static str,
    show: Show,
    value: &'static str,
    interval: Option<[&'static str; 2]>,
}

const fn plain(title: &'static str, show: Show, value: &'static str) -> ColumnSpec {
    ColumnSpec {
        title,
        show,
        value,
        interval: None,
    }
}

const fn estimate(
    title: &'static str,
    show: Show,
    value: &'static str,
    interval: [&'static str; 2],
) -> ColumnSpec {
    ColumnSpec {
        title,
        show,
        value,
        interval: Some(interval),
    }
}

pub(super) const SUMMARY_COLUMNS: &[ColumnSpec] = &[
    plain("Point", Show::Count, "point"),
    plain("Policy", Show::Text, "policy"),
    plain("Level", Show::Text, "level"),
    plain("Program", Show::Text, "program"),
    plain("Law", Show::Text, "law"),
    plain("Shape", Show::Number, "shape"),
    plain("Nodes", Show::Count, "nodes"),
    plain("Setting", Show::Setting, "setting"),
    plain("MTBF M", Show::Time, "mtbf_s"),
    plain("Interval τ", Show::Time, "interval_s"),
    plain("Work W", Show::Time, "work_s"),
    plain("Checkpoint C", Show::Time, "checkpoint_s"),
    plain("Restart R", Show::Time, "restart_s"),
    plain("Down D", Show::Time, "downtime_s"),
    plain("n", Show::Count, "n"),
    plain("Finished", Show::Count, "n_completed"),
    estimate(
        "Waste (%)",
        Show::Percent,
        "waste_mean",
        ["waste_ci95_lo", "waste_ci95_hi"],
    ),
    plain("Theory (%)", Show::Percent, "theory_waste"),
    estimate(
        "Makespan",
        Show::Time,
        "makespan_mean_s",
        ["makespan_ci95_lo_s", "makespan_ci95_hi_s"],
    ),
    estimate(
        "Work lost",
        Show::Time,
        "lost_mean_s",
        ["lost_ci95_lo_s", "lost_ci95_hi_s"],
    ),
    plain("Failures", Show::Number, "failures_mean"),
    plain("Checkpoints", Show::Number, "checkpoints_mean"),
];

pub(super) const PAIRED_COLUMNS: &[ColumnSpec] = &[
    plain("Policy", Show::Text, "policy"),
    plain("Interval τ", Show::Time, "interval_s"),
    plain("Baseline", Show::Text, "baseline_policy"),
    plain("Its interval", Show::Time, "baseline_interval_s"),
    plain("Level", Show::Text, "level"),
    plain("Program", Show::Text, "program"),
    plain("Law", Show::Text, "law"),
    plain("Shape", Show::Number, "shape"),
    plain("Nodes", Show::Count, "nodes"),
    plain("Setting", Show::Setting, "setting"),
    plain("MTBF M", Show::Time, "mtbf_s"),
    plain("Work W", Show::Time, "work_s"),
    plain("Checkpoint C", Show::Time, "checkpoint_s"),
    plain("n", Show::Count, "n"),
    plain("Finished", Show::Count, "n_completed"),
    estimate(
        "Difference",
        Show::Time,
        "makespan_diff_mean_s",
        ["makespan_diff_ci95_lo_s", "makespan_diff_ci95_hi_s"],
    ),
    estimate(
        "Ratio (%)",
        Show::Percent,
        "ratio_mean",
        ["ratio_ci95_lo", "ratio_ci95_hi"],
    ),
];

pub(super) const THEORY_COLUMNS: &[ColumnSpec] = &[
    plain("Policy", Show::Text, "curve"),
    plain("Setting", Show::Setting, "setting"),
    plain("MTBF M", Show::Time, "mtbf_s"),
    plain("Interval τ", Show::Time, "interval_s"),
    plain("Work W", Show::Time, "work_s"),
    plain("Checkpoint C", Show::Time, "checkpoint_s"),
    plain("Restart R", Show::Time, "restart_s"),
    plain("Down D", Show::Time, "downtime_s"),
    plain("Makespan", Show::Time, "makespan_s"),
    plain("Waste (%)", Show::Percent, "waste"),
    plain("Work lost", Show::Time, "lost_s"),
];

/// A column that the file has: what is wanted of it, and where it and the ends of its interval are.
type Present = (&'static ColumnSpec, usize, Option<(usize, usize)>);

/// A table ready for the page.
pub(super) struct Sheet {
    /// Title, numeric, and a text a row.
    columns: Vec<(&'static str, bool, Vec<String>)>,
    /// What all rows have in common.
    common: Vec<(&'static str, String)>,
    rows: usize,
    left_out: usize,
}

/// Reads a file, if it is there and has a row; `wanted` judges the field of the first column.
pub(super) fn sheet(
    path: &Path,
    specs: &'static [ColumnSpec],
    wanted: impl Fn(&str) -> bool,
) -> Result<Option<Sheet>, PlotError> {
    let mut reader = match csv::Reader::from_path(path) {
        Ok(reader) => reader,
        Err(error) => {
            return match error.into_kind() {
                csv::ErrorKind::Io(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
                csv::ErrorKind::Io(source) => Err(PlotError::Read {
                    path: path.to_owned(),
                    source,
                }),
                _ => Err(PlotError::line(path, 1, "not CSV")),
            };
        }
    };
    let bad = |error: &csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        PlotError::line(path, line, "not a row of a CSV file in UTF-8")
    };
    let header = reader.headers().map_err(|error| bad(&error))?.clone();
    let place = |name: &str| header.iter().position(|field| field == name);
    let present: Vec<Present> = specs
        .iter()
        .filter_map(|spec| {
            let interval = spec
                .interval
                .and_then(|[low, high]| Some((place(low)?, place(high)?)));
            Some((spec, place(spec.value)?, interval))
        })
        .collect();
    let mut columns: Vec<Vec<String>> = vec![Vec::new(); present.len()];
    let (mut rows, mut left_out) = (0, 0);
    for record in reader.records() {
        let record = record.map_err(|error| bad(&error))?;
        let field = |index: usize| record.get(index).unwrap_or_default();
        if !present.first().is_some_and(|(_, first, _)| wanted(field(*first))) {
            continue;
        }
        if rows == ROWS_MAX {
            left_out += 1;
            continue;
        }
        rows += 1;
        for (column, (spec, value, interval)) in columns.iter_mut().zip(&present) {
            let interval = interval.map(|(low, high)| (field(low), field(high)));
            column.push(shown(spec.show, field(*value), interval));
        }
    }
    if rows == 0 {
        return Ok(None);
    }
    let mut sheet = Sheet {
        columns: Vec::new(),
        common: Vec::new(),
        rows,
        left_out,
    };
    for (texts, (spec, ..)) in columns.into_iter().zip(present) {
        let first = texts[0].clone();
        let same = texts.iter().all(|text| *text == first);
        if same && spec.interval.is_none() && rows > 1 {
            if !first.is_empty() {
                sheet.common.push((spec.title, first));
            }
        } else {
            sheet.columns.push((spec.title, spec.show.is_number(), texts));
        }
    }
    Ok(Some(sheet))
}

/// A field as the page has it; one that is no number stays as it is.
fn shown(show: Show, value: &str, interval: Option<(&str, &str)>) -> String {
    let one = |text: &str| match (show, text.parse::<f64>()) {
        (Show::Setting, _) => setting(text),
        (Show::Text | Show::Count, _) | (_, Err(_)) => text.to_owned(),
        (_, Ok(number)) if !number.is_finite() => text.to_owned(),
        (Show::Number, Ok(number)) => three_digits(number),
        (Show::Percent, Ok(number)) => fine(100.0 * number),
        (Show::Time, Ok(number)) if number < 0.0 => format!("−{}", duration(-number)),
        (Show::Time, Ok(number)) => duration(number),
    };
    match interval {
        Some((low, high)) if !low.is_empty() && !high.is_empty() => {
            if let (Show::Time, Ok(value), Ok(low), Ok(high)) =
                (show, value.parse(), low.parse(), high.parse())
            {
                return estimated_time(value, low, high);
            }
            format!("{} [{}, {}]", one(value), one(low), one(high))
        }
        _ => one(value),
    }
}

/// `cluster.hosts=8;guest.step_s=0.1` as people say it.
fn setting(text: &str) -> String {
    let pairs = text.split(';').filter_map(|pair| pair.split_once('='));
    let said: Vec<String> = pairs.map(|(key, value)| swept_text(key, value)).collect();
    said.join(", ")
}

/// A mean time in one unit with its interval, to two digits of the interval's half: `47.93 [47.87, 47.99] d`.
fn estimated_time(value: f64, low: f64, high: f64) -> String {
    const DECIMALS_MAX: usize = 6;
    let unit = Unit::for_seconds(value.abs(), 1.0);
    let half = (high - low) / 2.0 / unit.seconds;
    let digits = if half > 0.0 {
        1.0 - libm::floor(libm::log10(half))
    } else {
        2.0
    };
    let decimals = (0..DECIMALS_MAX)
        .find(|decimals| *decimals as f64 >= digits)
        .unwrap_or(DECIMALS_MAX);
    let [value, low, high] =
        [value, low, high].map(|time| format!("{:.decimals$}", time / unit.seconds).replace('-', "−"));
    format!("{value} [{low}, {high}] {}", unit.name)
}

/// Per cents, to a hundredth.
fn fine(number: f64) -> String {
    format!("{number:.2}").replace('-', "−")
}

impl Sheet {
    pub(super) fn html(&self, caption: &str) -> String {
        let mut html = String::new();
        if !self.common.is_empty() {
            let common = self.common.iter();
            let common: Vec<String> = common
                .map(|(title, text)| format!("{} {}", escaped(title), escaped(text)))
                .collect();
            let _ = writeln!(html, "<p>The same in all rows: {}.</p>", common.join("; "));
        }
        let _ = writeln!(
            html,
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\">\n<table>\n<caption><span>{0}</span></caption>\n\
             <thead><tr>",
            escaped(caption)
        );
        for (title, numeric, _) in &self.columns {
            let class = if *numeric { " class=\"number\"" } else { "" };
            let _ = write!(html, "<th scope=\"col\"{class}>{}</th>", escaped(title));
        }
        html.push_str("</tr></thead>\n<tbody>\n");
        for row in 0..self.rows {
            html.push_str("<tr>");
            for (_, numeric, texts) in &self.columns {
                let class = if *numeric { " class=\"number\"" } else { "" };
                let _ = write!(html, "<td{class}>{}</td>", escaped(&texts[row]));
            }
            html.push_str("</tr>\n");
        }
        html.push_str("</tbody>\n</table>\n</div>\n");
        if self.left_out > 0 {
            let _ = writeln!(html, "<p>{} more rows are in the file.</p>", self.left_out);
        }
        html
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_as_many_digits_as_its_interval_deserves() {
        let shown = estimated_time(4_140_000.0, 4_135_000.0, 4_145_000.0);
        assert_eq!(shown, "47.917 [47.859, 47.975] d");
        assert_eq!(estimated_time(-60.0, -90.0, -30.0), "−1.00 [−1.50, −0.50] min");
        assert_eq!(estimated_time(7.0, 7.0, 7.0), "7.00 [7.00, 7.00] s");
    }

    #[test]
    fn settings_read_as_people_say_them() {
        assert_eq!(
            setting("cluster.checkpoint_to=nfs;cluster.hosts=8;failures.detection_s=300.0"),
            "to nfs, hosts = 8, detection time = 5 min"
        );
    }
}

//! What the series of a run are, in which order, and how they are named.

use crate::plot::data::{Cell, Level, RunData, Setting};
use crate::plot::draw::style::Look;
use crate::plot::draw::ticks::duration;

/// The curve of `theory.csv` that is drawn as a line; others are points of a policy.
pub(crate) const EXPECTED: &str = "expected";
/// Policy whose intervals form the grid of the sweep.
pub(crate) const FIXED: &str = "fixed";
/// Longest name in a figure.
const NAME_MAX: usize = 28;

/// The values that series and panels are made of. All in order of first appearance, but the times between failures,
/// which ascend.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) settings: Vec<Setting>,
    pub(crate) mtbfs_s: Vec<f64>,
    pub(crate) levels: Vec<Level>,
    /// Policies that compute their interval.
    pub(crate) adaptive: Vec<String>,
}

impl Series {
    pub(crate) fn of(data: &RunData) -> Series {
        let cells = &data.cells;
        let mut mtbfs_s = distinct(cells, |cell| cell.mtbf_s);
        mtbfs_s.sort_by(f64::total_cmp);
        let mut levels = distinct(cells, |cell| cell.level);
        levels.sort();
        let mut adaptive = distinct(cells, |cell| cell.policy.clone());
        adaptive.retain(|policy| {
            let computes = |cell: &&Cell| cell.policy == *policy && cell.interval_s.is_some();
            policy != FIXED && cells.iter().any(|cell| computes(&cell))
        });
        Series {
            settings: distinct(cells, |cell| cell.setting.clone()),
            mtbfs_s,
            levels,
            adaptive,
        }
    }

    pub(crate) fn look(&self, mtbf_s: f64) -> Look {
        let place = self.mtbfs_s.iter().position(|other| same(*other, mtbf_s));
        Look::of(place.unwrap_or_default())
    }

    /// The letter of a setting, if there are several.
    pub(crate) fn letter(&self, setting: &Setting) -> Option<String> {
        let index = self.settings.iter().position(|other| other == setting)?;
        (self.settings.len() > 1).then(|| letter(index))
    }

    /// What tells a panel from the others: only what differs between them.
    pub(crate) fn panel_name(&self, setting: &Setting) -> Option<String> {
        let letter = self.letter(setting)?;
        let differs = |same: &dyn Fn(&Setting) -> bool| !self.settings.iter().all(same);
        let mut parts = Vec::new();
        if differs(&|other| other.experiment == setting.experiment) {
            parts.push(short(&setting.experiment));
        }
        if differs(&|other| other.program == setting.program) {
            parts.push(short(&setting.program));
        }
        if differs(&|other| (&other.law, other.shape) == (&setting.law, setting.shape)) {
            parts.push(law_name(&setting.law, setting.shape));
        }
        if differs(&|other| other.nodes == setting.nodes) {
            parts.push(format!("{} nodes", setting.nodes));
        }
        for (key, value) in &setting.swept {
            let text = swept_text(key, value);
            // What is read and written as fast is one thing.
            if !parts.contains(&text) {
                parts.push(text);
            }
        }
        let named = |other: &&Setting| {
            (&other.experiment, &other.program, &other.law, &other.swept)
                == (
                    &setting.experiment,
                    &setting.program,
                    &setting.law,
                    &setting.swept,
                )
                && (other.shape, other.nodes) == (setting.shape, setting.nodes)
        };
        // Times that follow from the rest, as measured costs do, tell nothing.
        if self.settings.iter().filter(named).count() > 1 {
            let mut time = |name: &str, value: &dyn Fn(&Setting) -> f64| {
                if differs(&|other| same(value(other), value(setting))) {
                    parts.push(format!("{name} = {}", duration(value(setting))));
                }
            };
            time("W", &|setting| setting.work_s);
            time("C", &|setting| setting.costs.checkpoint_s);
            time("R", &|setting| setting.costs.restart_s);
            time("D", &|setting| setting.costs.downtime_s);
        }
        Some(format!("{letter} {}", parts.join(", ")))
    }
}

/// Numbers of a run are the same if they were written the same: every table repeats them from one plan.
pub(crate) fn same(a: f64, b: f64) -> bool {
    a.total_cmp(&b).is_eq()
}

pub(crate) fn distinct<T: PartialEq>(cells: &[Cell], value: impl Fn(&Cell) -> T) -> Vec<T> {
    let mut all = Vec::new();
    for value in cells.iter().map(value) {
        if !all.contains(&value) {
            all.push(value);
        }
    }
    all
}

/// The name of a policy in figures, with what it is told.
pub(crate) fn policy_name(policy: &str) -> String {
    let (kind, told) = match policy.strip_suffix(')').and_then(|rest| rest.split_once('(')) {
        Some((kind, told)) => (
            kind,
            format!(" ({})", told.replace('=', " = ").replace(',', ", ")),
        ),
        None => (policy, String::new()),
    };
    let name = match kind {
        FIXED => "Fixed",
        "young" => "Young",
        "daly" => "Daly (first order)",
        "daly-higher" => "Daly (higher order)",
        "exact" => "Exact optimum",
        "di" => "Di",
        "lazy" => "Lazy",
        "adaptive" => "Adaptive",
        "two-level" => "Two-level",
        "verified" => "Verified",
        "epochs" => "Epochs",
        "never" => "Never",
        other => other,
    };
    short(&format!("{name}{told}"))
}

/// A law of failures in figures, with its parameter.
pub(crate) fn law_name(law: &str, shape: Option<f64>) -> String {
    let (name, symbol) = match law {
        "exponential" => ("Exponential", ""),
        "weibull" => ("Weibull", "k = "),
        "lognormal" => ("Lognormal", "σ = "),
        "gamma" => ("Gamma", "k = "),
        "bathtub" => ("Bathtub", ""),
        "log" => ("Log", ""),
        other => (other, ""),
    };
    shape.map_or(short(name), |shape| format!("{} {symbol}{shape}", short(name)))
}

/// What a swept key is called in the field; others by their last part.
pub(crate) fn key_name(key: &str) -> String {
    let last = key.rsplit('.').next().unwrap_or(key);
    let known = match (key.split('.').next().unwrap_or_default(), last) {
        ("failures", "detection") => "Detection time",
        ("failures", "silent_mtbf") => "MTBF of silent errors",
        ("failures", "rejuvenate") => "Renewed",
        ("guest", "step") => "Guest step",
        ("guest", "memory") => "Guest memory",
        ("checkpoint", "verifications") => "Verifications per checkpoint",
        ("checkpoint", "verify") => "Verification V",
        ("checkpoint", "method") => "Method",
        ("checkpoint", "every") => "Checkpoints per shared one N",
        ("world", "write" | "read") if key.contains("shared_medium") => "Shared store",
        ("world", "write") => "Writing speed",
        ("world", "read") => "Reading speed",
        ("cluster", "checkpoint_to") => "Checkpoints to",
        ("policy", "prior") => "Prior (× MTBF)",
        ("policy", "shape") => "Weibull shape k",
        _ => "",
    };
    if !known.is_empty() {
        return known.to_owned();
    }
    let words = last.replace('_', " ");
    let mut letters = words.chars();
    letters.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// A name within a text: without its unit, and small unless it is an abbreviation.
pub(crate) fn within(name: &str) -> String {
    let name = name.split(" (").next().unwrap_or(name);
    let is_abbreviation = name.chars().nth(1).is_none_or(char::is_uppercase);
    let mut letters = name.chars();
    match letters.next() {
        Some(first) if !is_abbreviation => first.to_lowercase().chain(letters).collect(),
        _ => name.to_owned(),
    }
}

/// What is said of a swept value: the value where it speaks for itself, else with its name.
pub(crate) fn swept_text(key: &str, text: &str) -> String {
    let (bare, unit) = split_unit(key);
    let name = match bare {
        EVERY => "N".to_owned(),
        _ => within(&key_name(bare)),
    };
    match (text.parse::<f64>(), unit.of_size()) {
        (Ok(number), _) if unit == Stands::Seconds => format!("{name} = {}", duration(number)),
        (Ok(bytes), Some(unit)) => format!("{name} = {} {unit}", plain(bytes / MEBIBYTE)),
        (Ok(number), None) => format!("{name} = {}", plain(number)),
        (Err(_), _) => match (name.as_str(), text) {
            ("method", _) => text.to_owned(),
            ("checkpoints to", _) => format!("to {text}"),
            ("renewed", "failed") => "failed node renewed".to_owned(),
            ("renewed", "all") => "all nodes renewed".to_owned(),
            (_, "true") => name,
            (_, "false") => format!("not {name}"),
            _ => format!("{name}: {text}"),
        },
    }
}

/// A key with a symbol that says enough in a legend.
const EVERY: &str = "checkpoint.shared.every";

/// What the numbers of a swept key stand for, as tables have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stands {
    /// For themselves.
    None,
    Seconds,
    Bytes,
    BytesPerSecond,
}

/// Sizes are shown in these.
pub(crate) const MEBIBYTE: f64 = 1_048_576.0;

impl Stands {
    /// What sizes are shown in, if they are such.
    pub(crate) fn of_size(self) -> Option<&'static str> {
        match self {
            Stands::Bytes => Some("MiB"),
            Stands::BytesPerSecond => Some("MiB/s"),
            Stands::None | Stands::Seconds => None,
        }
    }
}

/// A swept key as tables have it, without its unit, and that.
pub(crate) fn split_unit(key: &str) -> (&str, Stands) {
    for (suffix, unit) in [
        ("_per_s_bytes", Stands::BytesPerSecond),
        ("_bytes", Stands::Bytes),
        ("_s", Stands::Seconds),
    ] {
        if let Some(bare) = key.strip_suffix(suffix) {
            return (bare, unit);
        }
    }
    (key, Stands::None)
}

/// A number as people write it; swept ones come out of steps by multiplication.
pub(crate) fn plain(number: f64) -> f64 {
    format!("{number:.5e}").parse().unwrap_or(number)
}

pub(crate) fn level_name(level: Level) -> &'static str {
    match level {
        Level::Model => "Model",
        Level::Sim => "Simulation",
        Level::Cluster => "Cluster",
    }
}

/// A name that fits a figure.
pub(crate) fn short(name: &str) -> String {
    if name.chars().count() <= NAME_MAX {
        return name.to_owned();
    }
    let kept: String = name.chars().take(NAME_MAX - 1).collect();
    format!("{kept}…")
}

/// (a), (b), … and numbers after (z).
pub(crate) fn letter(index: usize) -> String {
    match u8::try_from(index).ok().filter(|index| *index < 26) {
        Some(index) => format!("({})", char::from(b'a' + index)),
        None => format!("({})", index + 1),
    }
}

/// A range of intervals or other durations: `1 min to 1 h`, or one of them.
pub(crate) fn range(low_s: f64, high_s: f64) -> String {
    if same(low_s, high_s) {
        return duration(low_s);
    }
    let (low, high) = (duration(low_s), duration(high_s));
    match (low.split_once(' '), high.split_once(' ')) {
        (Some((from, unit)), Some((to, same))) if unit == same => format!("{from}–{to} {unit}"),
        _ => format!("{low} – {high}"),
    }
}

/// A count, or the range of several.
pub(crate) fn count_range(low: u64, high: u64) -> String {
    if low == high {
        low.to_string()
    } else {
        format!("{low} to {high}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swept_keys_are_named_with_their_units() {
        for (key, text, named) in [
            ("failures.detection_s", "90", "detection time = 1.5 min"),
            ("guest.memory_bytes", "1048576", "guest memory = 1 MiB"),
            (
                "world.medium.write_per_s_bytes",
                "4294967296",
                "writing speed = 4096 MiB/s",
            ),
            (
                "world.shared_medium.read_per_s_bytes",
                "52428800",
                "shared store = 50 MiB/s",
            ),
            ("checkpoint.shared.every", "4", "N = 4"),
            ("limits.failures", "7", "failures = 7"),
        ] {
            assert_eq!(swept_text(key, text), named);
        }
    }
}

//! ④ Published results beside our own: what `revenant validate` prints.
//!
//! ```text
//! formulas · simulated · contention ─▶ Check (expected, ours, tolerance, source) ─▶ table
//! google · records (need data files) ▶
//! ```
//!
//! The expected numbers are those of papers, or of several independent programs that agree; each check names its source.

mod contention;
mod formulas;
mod google;
mod records;
mod simulated;

use std::path::{Path, PathBuf};

pub use google::TraceError;

use crate::logs::LogError;

/// A published number beside ours.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// Groups the numbers of one source.
    pub id: &'static str,
    /// What is compared, and its unit.
    pub quantity: String,
    /// As published.
    pub expected: f64,
    /// What this version computes.
    pub ours: f64,
    /// How far ours may be off. Of simulated means: the half-width of the 95 % confidence interval of ours, and half a unit of the last
    /// published digit.
    pub tolerance: f64,
    /// Where the expected number is from.
    pub source: &'static str,
    /// Why it is known not to come out; `None`: it must.
    pub known_miss: Option<&'static str>,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Within the tolerance.
    Reproduced,
    /// Outside, for a known reason.
    Missed,
    /// Outside: a defect.
    Off,
}

impl Check {
    fn new(
        id: &'static str,
        quantity: impl Into<String>,
        (expected, tolerance): (f64, f64),
        ours: f64,
        source: &'static str,
    ) -> Check {
        Check {
            id,
            quantity: quantity.into(),
            expected,
            ours,
            tolerance,
            source,
            known_miss: None,
        }
    }

    fn but(self, known_miss: &'static str) -> Check {
        Check {
            known_miss: Some(known_miss),
            ..self
        }
    }

    /// Whether ours is within the tolerance.
    pub fn verdict(&self) -> Verdict {
        let within = (self.ours - self.expected).abs() <= self.tolerance * (1.0 + 1e-9);
        match (within, self.known_miss) {
            (true, _) => Verdict::Reproduced,
            (false, Some(_)) => Verdict::Missed,
            (false, None) => Verdict::Off,
        }
    }
}

impl Verdict {
    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Reproduced => "reproduced",
            Verdict::Missed => "missed",
            Verdict::Off => "OFF",
        }
    }
}

/// A check could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ValidateError {
    /// A trace is not what it should be.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// A failure log is not what it should be.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A log has nothing to fit.
    #[error("{}: {source}", path.display())]
    Fit {
        /// The log.
        path: PathBuf,
        /// What is missing.
        source: crate::fit::TooFew,
    },
    /// A spec of the checks does not hold.
    #[error(transparent)]
    Spec(#[from] crate::SpecError),
    /// A run could not begin.
    #[error(transparent)]
    Run(#[from] crate::RunError),
    /// A trial could not be run.
    #[error(transparent)]
    Trial(#[from] crate::trial::TrialError),
}

/// Makes every check; those that need recorded data only where its files are in `data` (what they are called: `docs/validation.md`).
/// `told` hears of each group as it begins.
pub fn validate(data: Option<&Path>, told: &mut dyn FnMut(&str)) -> Result<Vec<Check>, ValidateError> {
    told("formulas");
    let mut checks = formulas::checks();
    told("simulated means");
    checks.extend(simulated::checks()?);
    checks.extend(contention::checks());
    if let Some(data) = data {
        told("Google cluster trace");
        checks.extend(google::checks(&data.join("gloudsim-google2011"))?);
        told("failure logs");
        checks.extend(records::checks(data)?);
    }
    Ok(checks)
}

/// The checks as a table in Markdown.
pub fn markdown(checks: &[Check]) -> String {
    let mut text = String::from(
        "| | quantity | published | ours | tolerance | | source |\n|---|---|---:|---:|---:|---|---|\n",
    );
    for check in checks {
        let places = decimals(check);
        let verdict = check.verdict();
        let word = match (verdict, check.known_miss) {
            (Verdict::Missed, Some(why)) => format!("missed: {why}"),
            _ => verdict.word().to_owned(),
        };
        text.push_str(&format!(
            "| {} | {} | {} | {:.places$} | {} | {word} | {} |\n",
            check.id,
            check.quantity,
            check.expected,
            check.ours,
            shown_tolerance(check.tolerance),
            check.source
        ));
    }
    text
}

/// One more than the published number has, so that its last digit can be judged.
fn decimals(check: &Check) -> usize {
    let published = check.expected.to_string();
    published.split_once('.').map_or(0, |(_, places)| places.len()) + 1
}

fn shown_tolerance(tolerance: f64) -> String {
    if tolerance <= 0.0 {
        "exact".to_owned()
    } else if tolerance >= 1.0 {
        format!("{tolerance:.0}")
    } else {
        // Two digits that count.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 324"
        )]
        let places = (-libm::floor(libm::log10(tolerance))) as usize + 1;
        let text = format!("{tolerance:.places$}");
        text.trim_end_matches('0').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_no_data_is_reproduced() {
        let checks = validate(None, &mut |_| {}).unwrap();
        assert!(checks.len() > 40, "{}", checks.len());
        let off: Vec<&Check> = checks
            .iter()
            .filter(|check| check.verdict() != Verdict::Reproduced)
            .collect();
        assert!(off.is_empty(), "{off:#?}");
    }

    /// The checks that need the data sets, where they are.
    #[test]
    fn what_needs_data_is_reproduced_where_it_is() {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
        if !data.is_dir() {
            eprintln!("skipped: the data sets are not here");
            return;
        }
        let mut checks = google::checks(&data.join("gloudsim-google2011")).unwrap();
        checks.extend(records::checks(&data).unwrap());
        let off: Vec<&Check> = checks
            .iter()
            .filter(|check| check.verdict() == Verdict::Off)
            .collect();
        assert!(off.is_empty(), "{off:#?}");
    }

    #[test]
    fn a_number_outside_its_tolerance_is_off_or_a_known_miss() {
        let check = Check::new("X", "x | s", (1.25, 0.01), 1.27, "somebody");
        assert_eq!(check.verdict(), Verdict::Off);
        let known = check.clone().but("the sample is not the trace");
        assert_eq!(known.verdict(), Verdict::Missed);
        let table = markdown(&[check, known]);
        assert!(
            table.contains("| 1.25 | 1.270 | 0.01 | OFF | somebody |"),
            "{table}"
        );
        assert!(table.contains("missed: the sample is not the trace"), "{table}");
        assert_eq!(shown_tolerance(0.0), "exact");
        assert_eq!(shown_tolerance(156.7), "157");
    }
}

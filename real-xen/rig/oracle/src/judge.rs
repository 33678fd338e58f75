//! Whether what a guest printed is what it must have computed.

use std::collections::BTreeSet;
use std::fmt;

use revenant_sim::{Oracle, Program};

use crate::report::{DIGEST_DIGITS, Report};

/// A guest computed something else than its program does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// Memory.
    Digest {
        /// What it said.
        report: Report,
        /// The digest it must have.
        expected: String,
    },
    /// Disk, or memory and disk of different instants.
    Disk(Report),
    /// No guest has so many pages, or came so far so fast: nothing is computed to check it.
    Implausible(Report),
}

/// Pages that a guest's program has at most, and steps that it does at most between two reports that are judged.
const PAGES_MAX: u64 = 1 << 20;
const STEPS_MAX: u64 = 1_000_000_000;

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Digest { report, expected } => {
                write!(
                    f,
                    "wrong memory at step {}: expected digest {expected}: {report}",
                    report.step
                )
            }
            Wrong::Disk(report) => write!(f, "wrong disk at step {}: {report}", report.step),
            Wrong::Implausible(report) => {
                write!(
                    f,
                    "expected {} to {PAGES_MAX} pages and less than {STEPS_MAX} steps since the last report: {report}",
                    Program::PAGES_MIN
                )
            }
        }
    }
}

/// What was judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Reports seen.
    pub reports: u64,
    /// The last step reported.
    pub last_step: u64,
    /// Boots seen.
    pub boots: BTreeSet<u64>,
    /// How often the step went back: a restore from an earlier state.
    pub went_back: u64,
}

/// Judges the reports of guests that run the same program, one after the other.
#[derive(Debug, Default)]
pub struct Judge {
    oracle: Option<(Program, u64, u64, Oracle)>,
    verdict: Verdict,
}

impl Judge {
    /// A judge who has seen nothing.
    pub fn new() -> Self {
        Judge::default()
    }

    /// Judges one more report.
    pub fn see(&mut self, report: &Report) -> Result<(), Wrong> {
        let plausible = (Program::PAGES_MIN..=PAGES_MAX).contains(&report.pages)
            && report.step.saturating_sub(self.verdict.last_step) < STEPS_MAX;
        if !plausible {
            return Err(Wrong::Implausible(report.clone()));
        }
        let expected = self.expected(report);
        if report.digest != expected {
            return Err(Wrong::Digest {
                report: report.clone(),
                expected,
            });
        }
        if report.disk != "ok" && report.disk != "none" {
            return Err(Wrong::Disk(report.clone()));
        }
        self.verdict.reports += 1;
        self.verdict.went_back += u64::from(report.step < self.verdict.last_step);
        self.verdict.last_step = report.step;
        self.verdict.boots.insert(report.boot);
        Ok(())
    }

    /// What has been seen so far.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    fn expected(&mut self, report: &Report) -> String {
        let wanted = (report.program, report.pages, report.seed);
        let oracle = match &mut self.oracle {
            Some((program, pages, seed, oracle)) if (*program, *pages, *seed) == wanted => oracle,
            other => {
                let oracle = Oracle::new(report.program, report.pages, report.seed, u64::MAX);
                &mut other
                    .insert((report.program, report.pages, report.seed, oracle))
                    .3
            }
        };
        let mut digest = oracle.digest_at(report.step).to_hex().to_string();
        digest.truncate(DIGEST_DIGITS);
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(step: u64) -> Report {
        let mut judge = Judge::new();
        let mut report = Report {
            program: Program::HotSet,
            seed: 7,
            pages: 64,
            step,
            digest: String::new(),
            disk: "none".into(),
            boot: 1,
        };
        report.digest = judge.expected(&report);
        report
    }

    #[test]
    fn the_right_course_passes_also_after_going_back_and_the_wrong_one_does_not() {
        let mut judge = Judge::new();
        for step in [100, 900, 300, 1200] {
            judge.see(&report(step)).unwrap();
        }
        assert_eq!((judge.verdict().went_back, judge.verdict().last_step), (1, 1200));
        let wrong = Report {
            step: 1300,
            ..report(1299)
        };
        assert!(matches!(judge.see(&wrong), Err(Wrong::Digest { .. })));
        let wrong = Report {
            disk: "block=3,expected=9,found=8".into(),
            ..report(1300)
        };
        assert!(matches!(judge.see(&wrong), Err(Wrong::Disk(_))));
        for wrong in [
            Report {
                pages: u64::MAX,
                ..report(1300)
            },
            Report {
                step: u64::MAX,
                ..report(1300)
            },
        ] {
            assert!(matches!(judge.see(&wrong), Err(Wrong::Implausible(_))));
        }
    }
}

//! The lines that a guest prints.

use std::fmt;

use revenant_sim::Program;

/// First word of a line.
const MARK: &str = "oracle";
/// Hex digits of a digest that are printed: 128 bits.
pub(crate) const DIGEST_DIGITS: usize = 32;

/// What a guest said of itself at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The program it runs.
    pub program: Program,
    /// The program's seed.
    pub seed: u64,
    /// Pages of the program's memory.
    pub pages: u64,
    /// Steps done.
    pub step: u64,
    /// The machine's digest, 32 hex digits.
    pub digest: String,
    /// State of the disk: `none`, `ok`, or what is wrong with it.
    pub disk: String,
    /// Drawn when the guest booted: the same after a restore, another after a reboot.
    pub boot: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{MARK} {} seed={} pages={} step={} digest={} disk={} boot={:016x} .",
            self.program, self.seed, self.pages, self.step, self.digest, self.disk, self.boot
        )
    }
}

/// The reports in a console log. Lines of the kernel are passed over, and so is a line that was cut off: a whole
/// one ends with a full stop of its own.
pub fn parse_reports(text: &str) -> Vec<Report> {
    text.lines().filter_map(parse).collect()
}

fn parse(line: &str) -> Option<Report> {
    let (_, line) = line.split_once(MARK)?;
    let mut words = line.split_whitespace();
    let program = words.next()?.parse().ok()?;
    let mut value = |key: &str| -> Option<String> {
        let word = words.next()?;
        Some(word.strip_prefix(key)?.strip_prefix('=')?.to_owned())
    };
    let report = Report {
        program,
        seed: value("seed")?.parse().ok()?,
        pages: value("pages")?.parse().ok()?,
        step: value("step")?.parse().ok()?,
        digest: value("digest")?,
        disk: value("disk")?,
        boot: u64::from_str_radix(&value("boot")?, 16).ok()?,
    };
    (words.next() == Some(".") && report.digest.len() == DIGEST_DIGITS).then_some(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_come_back_and_torn_ones_do_not() {
        let report = Report {
            program: Program::HotSet,
            seed: 7,
            pages: 64,
            step: 1000,
            digest: "0123456789abcdef0123456789abcdef".into(),
            disk: "ok".into(),
            boot: 0xfeed,
        };
        let line = report.to_string();
        let log = format!(
            "[    1.0] Linux\r\n{line}\r\nnoise {line}\n{}\n",
            &line[..line.len() - 1]
        );
        assert_eq!(parse_reports(&log), [report.clone(), report]);
    }
}

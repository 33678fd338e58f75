//! What a person reads: tables, sizes, times. A closed pipe is no error.
//!
//! Names, facts and paths may come from elsewhere. Everything that is printed goes through here, where [`escaped`] takes
//! from it what a terminal would obey.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result};
use revenant_core::Timestamp;
pub(crate) use revenant_core::quantity::counted;

use crate::layout::{columns_of, hanging};

/// A name takes at most so many columns of a table.
const NAME_CHARS_MAX: usize = 40;

/// Before lines that belong to the one above.
const SET_IN: &str = "  ";

/// Writes lines to standard output; a reader that went away (`| head`) ends the output quietly.
pub(crate) fn print(text: &str) -> Result<()> {
    write_out(&escape(text, |c| !matches!(c, '\n' | '\t') && is_active(c)))
}

/// Prints a JSON document, pretty, with a final line feed, as it comes to be: it may be long.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    let written = serde_json::to_writer_pretty(EscapedJson(&mut stdout), value).map_err(io::Error::from);
    unless_closed(
        written
            .and_then(|()| writeln!(stdout))
            .and_then(|()| stdout.flush()),
    )
}

/// Passes JSON on with what a terminal would obey as `\u` escapes. Takes whole pieces of text, as a JSON writer gives them.
struct EscapedJson<W>(W);

impl<W: io::Write> io::Write for EscapedJson<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            // Within a document's strings JSON itself escapes what is below U+0020.
            if c != '\n' && is_active(c) {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            } else {
                out.push(c);
            }
        }
        self.0.write_all(out.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn write_out(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    unless_closed(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

fn unless_closed(written: io::Result<()>) -> Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to standard output"),
    }
}

/// Something worth knowing, on standard error.
pub(crate) fn note(text: &str) {
    tell("note", text);
}

/// Something that went wrong and did not stop the command, on standard error.
pub(crate) fn warning(text: &str) {
    tell("warning", text);
}

/// What stopped the command, on standard error.
pub(crate) fn error(error: &anyhow::Error) {
    tell("error", &format!("{error:#}"));
}

/// A line on standard error. Lines within `text` are set in, so that none can pass for a line of ours.
pub(crate) fn tell(kind: &str, text: &str) {
    let columns = columns_of(io::stderr());
    let mut begin = format!("{kind}: ");
    let mut told = String::new();
    for line in text.lines() {
        told.push_str(&hanging(&begin, &escaped(line), SET_IN.len(), columns));
        SET_IN.clone_into(&mut begin);
    }
    eprint!("{told}");
}

/// The text on one line, with nothing in it that a terminal would obey or that would hide: `\u{1b}`.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    escape(text, is_active)
}

/// A name for a table: escaped, and cut if it is wide.
pub(crate) fn name(text: &str) -> String {
    let text = escaped(text);
    match text.char_indices().nth(NAME_CHARS_MAX) {
        None => text.into_owned(),
        Some(_) => text.chars().take(NAME_CHARS_MAX - 1).chain(['…']).collect(),
    }
}

fn escape(text: &str, active: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&active) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if active(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Control characters (with those of C1: U+009B is an escape sequence's beginning to some terminals), and what changes
/// the direction of text, breaks lines or is not seen.
fn is_active(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// Columns padded to their widest cell, two blanks apart; cells are escaped. Columns named in `right` are flush right.
pub(crate) fn table(header: &[&str], right: &[usize], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<Cow<'_, str>>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| escaped(cell)).collect())
        .collect();
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let header: Vec<Cow<'_, str>> = header.iter().map(|&cell| cell.into()).collect();
    for row in std::iter::once(&header).chain(&rows) {
        let mut line = String::new();
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            let gap = if column == 0 { "" } else { "  " };
            let _ = if right.contains(&column) {
                write!(line, "{gap}{cell:>width$}")
            } else {
                write!(line, "{gap}{cell:<width$}")
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A size with a binary unit and three significant digits.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = count as f64;
    let mut unit = "B";
    for name in UNITS {
        if value < 999.5 {
            break;
        }
        value /= 1024.0;
        unit = name;
    }
    match value {
        _ if unit == "B" => format!("{count} B"),
        v if v < 9.995 => format!("{v:.2} {unit}"),
        v if v < 99.95 => format!("{v:.1} {unit}"),
        v => format!("{v:.0} {unit}"),
    }
}

/// An instant on the wall clock, UTC, whole seconds.
pub(crate) fn instant(at: Timestamp) -> String {
    let since_epoch = Duration::from_nanos(at.0);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since_epoch).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        let seen: Vec<_> = [0, 999, 1024, 1023 * 1024, 15_013_401, 5 << 40].map(bytes).into();
        assert_eq!(
            seen,
            ["0 B", "999 B", "1.00 KiB", "1.00 MiB", "14.3 MiB", "5.00 TiB"]
        );
    }

    /// Every character there is, in every place where text from elsewhere is printed.
    #[test]
    fn nothing_active_comes_out() {
        let all: String = ('\0'..=char::MAX).collect();
        let seen = escaped(&all);
        assert!(!seen.contains(is_active));
        // Distinct, and what people write is left alone.
        assert!(seen.contains("\\u{1b}") && seen.contains("\\u{202e}") && seen.contains("\\n"));
        for fine in ["web-1 größer 本", "a\\b \"c\"", "🦀"] {
            assert_eq!(escaped(fine), fine);
        }
        let row = vec!["a\nb\u{9b}31m".to_owned()];
        assert_eq!(table(&["X"], &[], &[row]), "X\na\\nb\\u{9b}31m\n");
        assert_eq!(name(&"x".repeat(40)), "x".repeat(40));
        assert_eq!(name(&"x".repeat(4096)), "x".repeat(39) + "…");
    }

    #[test]
    fn tables_align_and_end_without_blanks() {
        let text = table(
            &["ID", "SIZE"],
            &[1],
            &[vec!["a".into(), "10".into()], vec!["long".into(), "7".into()]],
        );
        assert_eq!(text, "ID    SIZE\na       10\nlong     7\n");
    }
}

//! What a person reads: tables, sizes, times. A closed pipe is no error.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::{Duration, UNIX_EPOCH};

use revenant_core::Timestamp;

/// Writes text to standard output; a reader that went away (`| head`) ends the output quietly.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Prints a JSON document, pretty, with a final line feed.
pub(crate) fn print_json(value: &serde_json::Value) -> io::Result<()> {
    print(&format!("{value:#}\n"))
}

/// Prints a JSON document like [`print_json`] as it comes to be, for one that may be long.
pub(crate) fn print_json_of(value: &impl serde::Serialize) -> io::Result<()> {
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    let written = serde_json::to_writer_pretty(&mut stdout, value).map_err(io::Error::from);
    match written
        .and_then(|()| writeln!(stdout))
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Columns padded to their widest cell, two blanks apart. Columns named in `right` are flush right.
pub(crate) fn table(header: &[&str], right: &[usize], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let header: Vec<String> = header.iter().map(|&cell| cell.to_owned()).collect();
    for row in std::iter::once(&header).chain(rows) {
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

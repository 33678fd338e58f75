//! How output fits the terminal that it goes to. What goes elsewhere is as wide as it is.

use std::io;
use std::os::fd::AsFd;

use rustix::termios::tcgetwinsize;

use crate::output::{note, print, table};

/// A name that is cut keeps so many characters.
const NAME_CHARS_MIN: usize = 8;
/// Between two columns of a table.
const GAP_CHARS: usize = 2;

/// The columns of the terminal that standard output is; `None` if it is none.
pub(crate) fn columns() -> Option<usize> {
    columns_of(io::stdout())
}

/// The columns of a terminal, as it was when it was asked.
pub(crate) fn columns_of(stream: impl AsFd) -> Option<usize> {
    let columns = tcgetwinsize(stream).ok()?.ws_col;
    (columns > 0).then_some(usize::from(columns))
}

/// A table that gives way where the terminal is narrow: columns are left out, and names are cut.
#[derive(Debug)]
pub(crate) struct Table<'t> {
    pub(crate) header: &'t [&'t str],
    /// Columns that are flush right.
    pub(crate) right: &'t [usize],
    /// Columns that may be left out, in this order.
    pub(crate) least: &'t [usize],
    /// Columns that may be cut.
    pub(crate) names: &'t [usize],
}

impl Table<'_> {
    /// Prints it, with a note of what was left out.
    pub(crate) fn print(&self, rows: Vec<Vec<String>>) -> anyhow::Result<()> {
        let (text, left_out) = self.fitted(rows, columns());
        print(&text)?;
        if !left_out.is_empty() {
            note(&format!(
                "no room for {}; --json or `| cat` shows all",
                left_out.join(", ")
            ));
        }
        Ok(())
    }

    /// The table, and the columns that are not in it.
    fn fitted(&self, mut rows: Vec<Vec<String>>, columns: Option<usize>) -> (String, Vec<&str>) {
        let mut kept: Vec<usize> = (0..self.header.len()).collect();
        if let Some(columns) = columns {
            let mut least = self.least.iter();
            while self.excess(&kept, &rows, columns) > 0
                && let Some(left_out) = least.next()
            {
                kept.retain(|column| column != left_out);
            }
            for &name in self.names {
                let excess = self.excess(&kept, &rows, columns);
                if excess > 0 {
                    let width = self.width(name, &rows).saturating_sub(excess);
                    cut(&mut rows, name, width.max(NAME_CHARS_MIN));
                }
            }
        }
        let header: Vec<&str> = kept.iter().map(|&column| self.header[column]).collect();
        let right: Vec<usize> = (0..kept.len())
            .filter(|&place| self.right.contains(&kept[place]))
            .collect();
        let pick = |row: &Vec<String>| kept.iter().map(|&column| row[column].clone()).collect();
        let rows: Vec<Vec<String>> = rows.iter().map(pick).collect();
        let left_out = (0..self.header.len()).filter(|column| !kept.contains(column));
        let left_out = left_out.map(|column| self.header[column]).collect();
        (table(&header, &right, &rows), left_out)
    }

    /// How much wider than the terminal it would be.
    fn excess(&self, kept: &[usize], rows: &[Vec<String>], columns: usize) -> usize {
        let widths = kept.iter().map(|&column| self.width(column, rows));
        let gaps = GAP_CHARS * kept.len().saturating_sub(1);
        (widths.sum::<usize>() + gaps).saturating_sub(columns)
    }

    fn width(&self, column: usize, rows: &[Vec<String>]) -> usize {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([self.header[column].len()]).max().unwrap_or(0)
    }
}

fn cut(rows: &mut [Vec<String>], column: usize, width: usize) {
    for row in rows {
        let cell = &mut row[column];
        if cell.chars().count() > width {
            *cell = cell.chars().take(width - 1).chain(['…']).collect();
        }
    }
}

/// A line that begins so and goes on with words; what the terminal has no room for comes on lines below, set in by `indent`.
pub(crate) fn hanging(begin: &str, words: &str, indent: usize, columns: Option<usize>) -> String {
    let Some(columns) = columns else {
        return format!("{begin}{words}\n");
    };
    let (mut text, mut used) = (begin.to_owned(), begin.chars().count());
    let mut is_first = true;
    for word in words.split(' ') {
        let len = word.chars().count();
        let gap = usize::from(!is_first);
        // A line that has only just begun takes the word, whatever its length.
        if used + gap + len > columns && used > indent {
            text.truncate(text.trim_end().len());
            text.push_str(&format!("\n{:indent$}", ""));
            used = indent;
        } else if gap > 0 {
            text.push(' ');
            used += 1;
        }
        text.push_str(word);
        used += len;
        is_first = false;
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Table<'_> = Table {
        header: &["ID", "GUEST", "BASE", "SIZE"],
        right: &[3],
        least: &[2],
        names: &[1],
    };

    fn rows() -> Vec<Vec<String>> {
        let row = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
        vec![
            row(["a1", "a guest of many words", "-", "7"]),
            row(["a2", "b", "a1", "10"]),
        ]
    }

    #[test]
    fn a_table_gives_way_column_by_column_and_then_cuts_names() {
        let (whole, left_out) = TABLE.fitted(rows(), None);
        assert_eq!(
            (whole.lines().next(), left_out.len()),
            (Some("ID  GUEST                  BASE  SIZE"), 0)
        );
        assert_eq!(TABLE.fitted(rows(), Some(37)).0, whole);
        let (text, left_out) = TABLE.fitted(rows(), Some(36));
        assert_eq!(
            (text.lines().next(), left_out),
            (Some("ID  GUEST                  SIZE"), vec!["BASE"])
        );
        let (text, _) = TABLE.fitted(rows(), Some(20));
        assert_eq!(
            text,
            "ID  GUEST       SIZE\na1  a guest o…     7\na2  b             10\n"
        );
    }

    #[test]
    fn words_hang_below_their_beginning() {
        assert_eq!(hanging("key  ", "one two three", 5, None), "key  one two three\n");
        assert_eq!(
            hanging("key  ", "one two three", 5, Some(13)),
            "key  one two\n     three\n"
        );
        assert_eq!(
            hanging("a long key ", "one", 5, Some(13)),
            "a long key\n     one\n"
        );
        assert_eq!(
            hanging("key  ", "unbreakable one", 5, Some(8)),
            "key  unbreakable\n     one\n"
        );
    }
}

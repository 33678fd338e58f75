//! CSV with a header: `time_s` (when a failure began) or `gap_s` (how long after the one before), and, where known, `down_s`, `system`,
//! `node` and `cause`. Other columns are passed over.

use super::{Fault, Parser, Record, State, csv_fields, number};

/// How to read a line, and when the log begins if that is known: gaps are counted from 0.
pub(super) fn parser(header: &str) -> Result<(Parser, Option<f64>), Fault> {
    let names = csv_fields(header)?;
    let column = |name: &str| names.iter().position(|found| found.trim() == name);
    let (time, gap) = (column("time_s"), column("gap_s"));
    let (down, system, node, cause) = (
        column("down_s"),
        column("system"),
        column("node"),
        column("cause"),
    );
    if time.is_some() == gap.is_some() {
        return Err(("header", header.to_owned(), "a column time_s or a column gap_s"));
    }
    let columns = names.len();
    let mut now = 0.0;
    let parser: Parser = Box::new(move |line| {
        let fields = csv_fields(line)?;
        if fields.len() != columns {
            return Err(("line", line.to_owned(), "as many fields as the header has"));
        }
        let field = |index: Option<usize>| index.and_then(|index| fields.get(index)).unwrap_or_default();
        let at_least_zero = |what, index: Option<usize>| {
            let value = number(what, field(index), "seconds, 0 at least")?;
            if value < 0.0 {
                return Err((what, field(index).to_owned(), "seconds, 0 at least"));
            }
            Ok(value)
        };
        now = match gap {
            Some(_) => now + at_least_zero("gap_s", gap)?,
            None => number("time_s", field(time), "seconds")?,
        };
        Ok(Record {
            system: field(system).trim().to_owned(),
            node: field(node).trim().to_owned(),
            cause: field(cause).trim().to_owned(),
            state: State::Down,
            start_s: now,
            duration_s: if down.is_some() {
                at_least_zero("down_s", down)?
            } else {
                0.0
            },
        })
    });
    Ok((parser, gap.map(|_| 0.0)))
}

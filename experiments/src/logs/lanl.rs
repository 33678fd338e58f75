//! Failure records of Los Alamos National Laboratory, 1996 to 2005 (LA-UR-05-7318), one failure a line.

use super::{Fault, Parser, Record, State, csv_fields, number};

const COLUMNS: usize = 26;
const SYSTEM: usize = 0;
const NODE: usize = 6;
const STARTED: usize = 16;
const DOWN_MINUTES: usize = 18;
/// The columns of causes, of which at most one is filled.
const CAUSES: [(usize, &str); 6] = [
    (19, "facilities"),
    (20, "hardware"),
    (21, "human error"),
    (22, "network"),
    (23, "undetermined"),
    (24, "software"),
];

pub(super) fn parser(header: &str) -> Result<Parser, Fault> {
    let columns = csv_fields(header)?;
    let fits = columns.len() == COLUMNS
        && columns
            .get(STARTED)
            .is_some_and(|name| name.eq_ignore_ascii_case("prob started"));
    if !fits {
        return Err((
            "header",
            header.to_owned(),
            "the 26 columns of LA-UR-05-7318, \"System,machine type,…\"",
        ));
    }
    Ok(Box::new(record))
}

fn record(line: &str) -> Result<Record, Fault> {
    let fields = csv_fields(line)?;
    if fields.len() != COLUMNS {
        return Err(("line", line.to_owned(), "26 fields"));
    }
    let field = |index: usize| fields.get(index).unwrap_or_default();
    let cause = CAUSES.iter().find(|(index, _)| !field(*index).trim().is_empty());
    let minutes = number("Down Time", field(DOWN_MINUTES), "minutes")?;
    Ok(Record {
        system: field(SYSTEM).trim().to_owned(),
        node: field(NODE).trim().to_owned(),
        cause: cause.map_or("", |(_, name)| name).to_owned(),
        state: State::Down,
        start_s: instant(field(STARTED))?,
        duration_s: minutes * 60.0,
    })
}

/// `M/D/YYYY H:MM` as seconds since 1970-01-01 of the same clock. It is local time, and says nothing of summer: gaps across a
/// change are off by an hour.
pub(super) fn instant(text: &str) -> Result<f64, Fault> {
    let bad = || ("Prob Started", text.to_owned(), "a time such as 6/21/2005 10:54");
    let (date, time) = text.trim().split_once(' ').ok_or_else(bad)?;
    let parts = |text: &str, separator: char| -> Option<Vec<i64>> {
        text.split(separator)
            .map(|part| part.parse::<u16>().ok().map(i64::from))
            .collect()
    };
    let date = parts(date, '/').ok_or_else(bad)?;
    let time = parts(time, ':').ok_or_else(bad)?;
    let ([month @ 1..=12, day @ 1..=31, year @ 1900..=2200], [hour @ 0..=23, minute @ 0..=59]) =
        (date.as_slice(), time.as_slice())
    else {
        return Err(bad());
    };
    Ok((days(*year, *month, *day) * 86_400 + hour * 3_600 + minute * 60) as f64)
}

/// Days from 1970-01-01 in the Gregorian calendar. Years begin on 1 March here, so that the leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let month_from_march = (month + 9) % 12;
    year * 365 + year / 4 - year / 100 + year / 400 + (153 * month_from_march + 2) / 5 + day - 1 - 719_468
}

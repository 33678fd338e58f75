//! `event_trace.tab` of the Failure Trace Archive (Kondo, Javadi, Iosup and Epema, CCGRID 2010): intervals of nodes, up or down,
//! columns padded with spaces and tabs.

use super::{Fault, Parser, Record, State, number};

const COLUMNS: usize = 9;

pub(super) fn parser(header: &str) -> Result<Parser, Fault> {
    let names: Vec<&str> = header.split_whitespace().collect();
    if names.len() != COLUMNS || names[5] != "event_type" || names[6] != "event_start_time" {
        return Err((
            "header",
            header.to_owned(),
            "the nine columns of event_trace.tab, \"event_id component_id …\"",
        ));
    }
    Ok(Box::new(record))
}

fn record(line: &str) -> Result<Record, Fault> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    // The reason at the end is missing here and there.
    if !(COLUMNS - 1..=COLUMNS).contains(&fields.len()) {
        return Err(("line", line.to_owned(), "nine fields"));
    }
    let state = match fields[5] {
        "0" => State::Down,
        "1" => State::Up,
        other => return Err(("event_type", other.to_owned(), "0 (down) or 1 (up)")),
    };
    let start_s = number("event_start_time", fields[6], "seconds")?;
    let stop_s = number("event_stop_time", fields[7], "seconds")?;
    if stop_s < start_s {
        return Err((
            "event_stop_time",
            fields[7].to_owned(),
            "no time before event_start_time",
        ));
    }
    Ok(Record {
        system: fields[3].to_owned(),
        node: fields[2].to_owned(),
        cause: fields.get(8).unwrap_or(&"").to_string(),
        state,
        start_s,
        duration_s: stop_s - start_s,
    })
}

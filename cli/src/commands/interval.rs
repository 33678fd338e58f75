//! Advice on checkpoint intervals.

use anyhow::Result;
use revenant_experiments::interval::{InputParams, advise};

use super::duration;
use crate::Outcome;
use crate::args::IntervalArgs;
use crate::output::{print, print_json, table};

pub(crate) fn interval(args: &IntervalArgs) -> Result<Outcome> {
    let input = InputParams {
        mtbf: duration("mtbf", &args.mtbf)?,
        cost: duration("cost", &args.cost)?,
        restart: duration("restart", &args.restart)?,
        downtime: duration("downtime", &args.downtime)?,
        work: args
            .work
            .as_deref()
            .map(|text| duration("work", text))
            .transpose()?,
        shape: args.shape,
    };
    let advice = advise(&input)?;
    if args.json {
        print_json(&serde_json::to_value(&advice)?)?;
        return Ok(Outcome::Done);
    }
    let rows: Vec<Vec<String>> = advice
        .policies
        .iter()
        .map(|advice| {
            let blank = || "-".to_owned();
            vec![
                advice.policy.clone(),
                advice.interval_s.map_or_else(blank, seconds),
                advice.makespan_s.map_or_else(blank, seconds),
                advice
                    .waste
                    .map_or_else(blank, |waste| format!("{:.2} %", waste * 100.0)),
                if advice.best { "least" } else { "" }.to_owned(),
            ]
        })
        .collect();
    let mut text = table(
        &["POLICY", "INTERVAL", "MAKESPAN", "WASTE", ""],
        &[1, 2, 3],
        &rows,
    );
    text.push_str("\nInterval: work between two checkpoints, the checkpoint's own cost left out; the first one, where it changes on the way.\n");
    print(&text)?;
    for warning in &advice.warnings {
        eprintln!("note: {warning}");
    }
    Ok(Outcome::Done)
}

/// Seconds in the unit that a person would take, four digits.
fn seconds(value: f64) -> String {
    let (value, unit) = match value {
        v if v < 120.0 => (v, "s"),
        v if v < 3.0 * 3600.0 => (v / 60.0, "min"),
        v => (v / 3600.0, "h"),
    };
    if value >= 1e6 {
        return format!("{value:.2e} {unit}");
    }
    let decimals = if value < 10.0 { 2 } else { 1 };
    format!("{value:.decimals$} {unit}")
}

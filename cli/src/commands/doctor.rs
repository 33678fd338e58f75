//! What this machine can do, and what is missing.

mod store;

use std::time::Duration;

use anyhow::{Result, bail};
use revenant_core::capture::Method;
use revenant_core::policy::Fixed;
use revenant_core::protect::Options;
use revenant_sim::driver::{Rules, Scenario, run};
use revenant_sim::fault::{FaultPlan, Loss};
use revenant_sim::{CostProfile, GuestSpec, Program};
use revenant_xen::Status;
use serde_json::{Value, json};

use crate::Outcome;
use crate::args::DoctorArgs;
use crate::layout::{columns, hanging};
use crate::output::{counted, escaped, print, print_json, table};

/// On a narrow terminal a check's name takes at most so many columns, and its status.
const NAME_CHARS: usize = 24;
const STATUS_CHARS: usize = 7;

/// One line of the report.
struct Line {
    name: String,
    status: &'static str,
    found: String,
    remedy: String,
}

pub(crate) fn doctor(args: &DoctorArgs) -> Result<Outcome> {
    let mut lines = vec![build_line(), simulator_line()];
    let (mut outcome, mut failed) = (Outcome::Done, Vec::new());
    if let Some(dir) = &args.store {
        let (of_store, damaged) = store::lines(dir);
        // What a host without Xen lacks is no failure.
        let missing = of_store.iter().filter(|line| line.status == "missing");
        failed.extend(missing.map(|line| line.name.clone()));
        lines.extend(of_store);
        if damaged {
            outcome = Outcome::DamageFound;
        }
    }
    let of_all = lines.iter().filter(|line| line.status == "failed");
    failed.extend(of_all.map(|line| line.name.clone()));
    lines.extend(xen_lines());
    if args.json {
        let checks: Vec<Value> = lines
            .iter()
            .map(|l| json!({ "name": l.name, "status": l.status, "found": l.found, "remedy": l.remedy }))
            .collect();
        print_json(&json!({ "checks": checks }))?;
    } else {
        print(&told(lines, columns()))?;
    }
    if outcome == Outcome::Done && !failed.is_empty() {
        bail!("not all is as it must be: {}", failed.join(", "));
    }
    Ok(outcome)
}

/// A table, or where it is wider than the terminal, what to do below what was found.
fn told(lines: Vec<Line>, columns: Option<usize>) -> String {
    let row = |l: &Line| {
        vec![
            l.name.clone(),
            l.status.to_owned(),
            l.found.clone(),
            l.remedy.clone(),
        ]
    };
    let rows: Vec<_> = lines.iter().map(row).collect();
    let text = table(&["CHECK", "STATUS", "FOUND", "TO MEND IT"], &[], &rows);
    let fits = |columns| text.lines().all(|line| line.chars().count() <= columns);
    let Some(columns) = columns.filter(|&columns| !fits(columns)) else {
        return text;
    };
    let names = lines.iter().map(|line| escaped(&line.name).chars().count());
    let (name, status) = (names.max().unwrap_or(0).min(NAME_CHARS), STATUS_CHARS);
    let indent = name + status + 4;
    let mut text = format!(
        "{:<name$}  {:<status$}  FOUND, AND TO MEND IT\n",
        "CHECK", "STATUS"
    );
    for line in lines {
        let mut begin = escaped(&line.name).into_owned();
        if begin.chars().count() > name {
            text.push_str(&format!("{begin}\n"));
            begin.clear();
        }
        let begin = format!("{begin:<name$}  {:<status$}  ", line.status);
        text.push_str(&hanging(&begin, &escaped(&line.found), indent, Some(columns)));
        if !line.remedy.is_empty() {
            let begin = format!("{:indent$}> ", "");
            let remedy = escaped(&line.remedy);
            text.push_str(&hanging(&begin, &remedy, indent + 2, Some(columns)));
        }
    }
    text
}

fn build_line() -> Line {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Line {
        name: "revenant".into(),
        status: "ok",
        found: format!(
            "{} on {} {}, {}",
            env!("CARGO_PKG_VERSION"),
            std::env::consts::OS,
            std::env::consts::ARCH,
            counted(cores, "core")
        ),
        remedy: String::new(),
    }
}

fn xen_lines() -> impl Iterator<Item = Line> {
    revenant_xen::probe().into_iter().map(|check| Line {
        name: format!("xen: {}", check.name),
        status: match check.status {
            Status::Ok => "ok",
            Status::Missing => "missing",
            Status::Denied => "denied",
            Status::Unknown => "unknown",
            Status::Broken => "broken",
        },
        found: check.found,
        remedy: check.remedy.to_owned(),
    })
}

/// The engine at work on a simulated guest that is lost and brought back: if this fails, nothing else is worth trying.
fn simulator_line() -> Line {
    let name = "self-test".to_owned();
    let scenario = Scenario {
        guest: GuestSpec {
            program: Program::Stencil,
            pages: 64,
            seed: 1,
            steps: 500,
            step: Duration::from_millis(10),
        },
        profile: CostProfile::default(),
        protect: Options::default(),
        method: Method::PreCopy,
        incremental: true,
        dirty_log: true,
        detection: Duration::ZERO,
        boot: Duration::ZERO,
        keep_last: 2,
        compression_level: 1,
        faults: FaultPlan::default(),
        seed: 1,
        time_limit: Duration::from_hours(1),
        rules: Rules::default(),
    };
    let mut losses = [(Duration::from_secs(3), Loss::Host)].into_iter();
    let report = run(&scenario, Box::new(Fixed(Duration::from_secs(1))), &mut || {
        losses.next()
    });
    let good = report.digest_ok == Some(true) && report.tally.restores > 0;
    let found = format!(
        "a simulated guest lost its host and finished from a checkpoint: {}, result {}",
        counted(report.tally.captures, "checkpoint"),
        if good { "right" } else { "WRONG" }
    );
    let remedy = if good { "" } else { "report this as a bug" };
    Line {
        name,
        status: if good { "ok" } else { "failed" },
        found,
        remedy: remedy.to_owned(),
    }
}

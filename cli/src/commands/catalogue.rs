//! What is in a store, and whether it is whole.

use std::ops::Range;

use anyhow::Result;
use revenant_core::Store;
use revenant_core::guest::{MemoryLayout, Space};
use revenant_core::store::{
    CatalogueLog, CheckpointId, CheckpointInfo, Difference, DiskInfo, Finding, FindingKind, RecordChange,
    RecordSummary, Repaired, StoreError, Survey, Verification,
};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use super::{WAIT_TO_READ, open, open_interruptible, warn_unless_guarded};
use crate::Outcome;
use crate::args::{DiffArgs, ListArgs, ShowArgs, VerifyArgs};
use crate::output::{bytes, escaped, instant, name, note, print, print_json, table, tell};

pub(crate) fn list(args: &ListArgs) -> Result<Outcome> {
    let store = open(&args.store, WAIT_TO_READ)?;
    let mut listing = store.list()?;
    if let Some(guest) = &args.guest {
        listing.checkpoints.retain(|info| info.guest == *guest);
    }
    listing.damaged.extend(store.lost()?);
    if let Some(guest) = args.guest.as_ref().filter(|_| listing.checkpoints.is_empty()) {
        // It may be the damage that hides the guest.
        report(&listing.damaged);
        store.check_guest(guest)?;
    }
    let not_whole = store.not_whole(listing.checkpoints.iter().map(|info| info.id))?;
    if args.json {
        let row = |info: &CheckpointInfo| {
            let (mut row, lacking) = (info_json(info), not_whole.get(&info.id));
            row["whole"] = lacking.is_none().into();
            row["lacking"] = lacking.map(finding_json).into();
            row
        };
        let checkpoints: Vec<Value> = listing.checkpoints.iter().map(row).collect();
        let damaged: Vec<Value> = listing.damaged.iter().map(finding_json).collect();
        print_json(&json!({ "checkpoints": checkpoints, "damaged": damaged }))?;
    } else {
        let row = |info: &CheckpointInfo| row(info, not_whole.contains_key(&info.id));
        let rows: Vec<_> = listing.checkpoints.iter().map(row).collect();
        let header = [
            "ID",
            "GUEST",
            "MACHINE",
            "COMMITTED",
            "MEMORY",
            "DISKS",
            "NEW PAGES",
            "WRITTEN",
            "BASE",
            "STATE",
        ];
        print(&table(&header, &[4, 5, 6, 7], &rows))?;
        report(&listing.damaged);
        report(&by_cause(not_whole.values()));
    }
    Ok(if not_whole.is_empty() {
        outcome(&listing.damaged)
    } else {
        Outcome::DamageFound
    })
}

/// What several checkpoints lack is told once.
pub(super) fn by_cause<'a>(findings: impl Iterator<Item = &'a Finding>) -> Vec<Finding> {
    let mut causes: Vec<Finding> = Vec::new();
    for finding in findings {
        let same = |cause: &&mut Finding| (&cause.path, &cause.what) == (&finding.path, &finding.what);
        match causes.iter_mut().find(same) {
            Some(cause) => cause.checkpoints.extend(&finding.checkpoints),
            None => causes.push(finding.clone()),
        }
    }
    causes
}

fn row(info: &CheckpointInfo, lacks: bool) -> Vec<String> {
    vec![
        info.id.to_string(),
        name(&info.guest),
        name(&info.machine.0),
        instant(info.committed),
        pages(info.memory_pages()),
        disks_size(info),
        info.new_pages.to_string(),
        bytes(info.stored_bytes),
        info.base.map_or_else(|| "-".to_owned(), |base| base.to_string()),
        if lacks { "NOT WHOLE" } else { "whole" }.to_owned(),
    ]
}

fn pages(count: u64) -> String {
    bytes(count.saturating_mul(revenant_core::PAGE_SIZE as u64))
}

fn disks_size(info: &CheckpointInfo) -> String {
    match info.disks().as_slice() {
        [] => "-".to_owned(),
        disks => pages(disks.iter().map(|disk| disk.blocks).sum()),
    }
}

pub(crate) fn show(args: &ShowArgs) -> Result<Outcome> {
    let store = open(&args.store, WAIT_TO_READ)?;
    let look = || store.survey(store.resolve(&args.id)?);
    let survey = match look() {
        // Pruned between the two: the name stands for another now.
        Err(StoreError::NoSuchCheckpoint(_)) => look()?,
        survey => survey?,
    };
    let info = survey.info();
    if args.json {
        print_json(&Shown(&survey))?;
        return Ok(Outcome::Done);
    }
    let mut text = String::new();
    let mut line =
        |key: &str, value: String| text.push_str(&format!("{:<24} {}\n", escaped(key), escaped(&value)));
    line("id", info.id.to_hex());
    line("guest", info.guest.clone());
    line("machine", info.machine.to_string());
    line("begun", instant(info.begun));
    line("committed", instant(info.committed));
    line(
        "base",
        info.base
            .map_or_else(|| "none: a full checkpoint".to_owned(), |base| base.to_hex()),
    );
    line("pages", format!("{} ({} zero)", info.pages, info.zero_pages));
    line(
        "written anew",
        format!("{} pages, {}", info.new_pages, bytes(info.stored_bytes)),
    );
    line("layout", ranges(survey.ranges(Space::Memory)));
    for disk in info.disks() {
        line(&format!("disk {}", disk.name), pages(disk.blocks));
    }
    let facts = info.facts.iter();
    for (key, value) in facts.filter(|(key, _)| !DiskInfo::is_fact(key)) {
        line(key, value.clone());
    }
    for RecordSummary { name, count, bytes } in survey.records() {
        line(name, format!("{count} records, {bytes} bytes"));
    }
    print(&text)?;
    Ok(Outcome::Done)
}

/// A checkpoint for machines. The layout may be long and is written as it is read.
struct Shown<'s>(&'s Survey);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        const LAYOUT: &str = "layout_pfns";
        let records = self.0.records().iter();
        let records: Vec<Value> = records
            .map(|record| json!({ "name": record.name, "count": record.count, "bytes": record.bytes }))
            .collect();
        let mut value = info_json(self.0.info());
        value["records"] = records.into();
        value[LAYOUT] = Value::Null;
        let fields = value.as_object().into_iter().flatten();
        let mut map = serializer.serialize_map(None)?;
        for (key, field) in fields {
            if key == LAYOUT {
                map.serialize_entry(key, &Layout(self.0))?;
            } else {
                map.serialize_entry(key, field)?;
            }
        }
        map.end()
    }
}

struct Layout<'s>(&'s Survey);

impl Serialize for Layout<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let ranges = self.0.ranges(Space::Memory);
        serializer.collect_seq(ranges.map(|range| [range.start, range.end]))
    }
}

pub(crate) fn verify(args: &VerifyArgs) -> Result<Outcome> {
    let wait = args.store.wait.unwrap_or(WAIT_TO_READ);
    let store = open_interruptible(&args.store.store, wait)?;
    let mut seen = {
        let _held = store.hold("verify the store")?;
        let id = args.id.as_deref().map(|name| store.resolve(name)).transpose()?;
        store.verify(id)?
    };
    let mut repaired = None;
    if args.repair {
        let done = repair(&store, args)?;
        if !done.is_empty() {
            seen = store.verify(None)?;
        }
        repaired = Some(done);
    }
    if let Some(expected) = &args.expect {
        seen.findings.extend(store.expect_root(expected)?);
    }
    if args.json {
        print_json(&verification_json(&seen, repaired.as_ref()))?;
    } else {
        if let Some(done) = &repaired {
            print(&repaired_text(done))?;
        }
        print(&verification_text(&seen))?;
        report(&seen.findings);
        if let Some(why) = seen.not_noted.filter(|_| !seen.findings.is_empty()) {
            note(&format!(
                "later checkpoints may share what is damaged, it could not be noted: {why}"
            ));
        }
    }
    warn_unless_guarded(&store);
    Ok(outcome(&seen.findings))
}

fn repair(store: &Store, args: &VerifyArgs) -> Result<Repaired> {
    let wait = args.store.wait.unwrap_or(WAIT_TO_READ);
    let from = args.from.as_deref().map(|dir| open_interruptible(dir, wait));
    Ok(store.repair(from.transpose()?.as_ref())?)
}

fn verification_json(seen: &Verification, repaired: Option<&Repaired>) -> Value {
    let findings: Vec<Value> = seen.findings.iter().map(finding_json).collect();
    let remains: Vec<Value> = seen
        .remains
        .iter()
        .map(|remains| json!({ "path": remains.path, "bytes": remains.len_bytes }))
        .collect();
    let strangers: Vec<Value> = seen
        .strangers
        .iter()
        .map(|stranger| json!({ "path": stranger.path, "kind": stranger.kind.to_string() }))
        .collect();
    json!({
        "checkpoints": seen.checkpoints,
        "segments": seen.segments,
        "pages": seen.pages,
        "bytes": seen.bytes,
        "findings": findings,
        "remains": remains,
        "not_noted": seen.not_noted,
        "repaired": repaired.map(repaired_json),
        "strangers": strangers,
        "log": seen.log.as_ref().map(log_json),
    })
}

fn verification_text(seen: &Verification) -> String {
    let verdict = if seen.findings.is_empty() {
        "no damage"
    } else {
        "DAMAGED"
    };
    let mut text = format!(
        "{verdict}: {} checkpoints, {} segments, {} pages, {} read\n",
        seen.checkpoints,
        seen.segments,
        seen.pages,
        bytes(seen.bytes)
    );
    if let Some(log) = &seen.log {
        text.push_str(&log_lines(log));
    }
    // What a manifest needs that is gone or does not read nobody can tell.
    let unknown = seen
        .findings
        .iter()
        .any(|finding| finding.path.starts_with("checkpoints/"));
    for remains in &seen.remains {
        let what = if remains.path.starts_with("tmp/") {
            "unfinished, of a writer at work or of one that died; prune removes what is left"
        } else if unknown {
            "needed by no manifest that reads; prune keeps it as long as one is missing or damaged"
        } else {
            "unused, prune removes it"
        };
        text.push_str(&format!(
            "{} ({}): {what}\n",
            escaped(&remains.path),
            bytes(remains.len_bytes)
        ));
    }
    for stranger in &seen.strangers {
        text.push_str(&format!(
            "strange: {}, no store made it and none touches it\n",
            escaped(&stranger.to_string())
        ));
    }
    text
}

fn repaired_json(done: &Repaired) -> Value {
    let manifests: Vec<String> = done.manifests.iter().map(CheckpointId::to_hex).collect();
    json!({
        "header": done.header,
        "log": done.log,
        "manifests": manifests,
        "segments": done.segments,
        "pages": done.pages,
        "left": done.left.iter().map(finding_json).collect::<Vec<_>>(),
    })
}

fn repaired_text(done: &Repaired) -> String {
    let header = if done.header { "the header, " } else { "" };
    let log = if done.log { "the catalogue log, " } else { "" };
    let left = done
        .left
        .iter()
        .map(|finding| format!("not healed: {}\n", escaped(&finding.to_string())));
    format!(
        "healed: {header}{log}{} manifests, {} pages in {} segments\n{}",
        done.manifests.len(),
        done.pages,
        done.segments,
        left.collect::<String>()
    )
}

/// What the catalogue log says of itself: the root to keep elsewhere, and what it cannot know.
fn log_lines(log: &CatalogueLog) -> String {
    let mut text = format!("root {}\n", log.root);
    if let (begun, true) = log.begun {
        let begun = instant(begun);
        text.push_str(&format!(
            "note: the catalogue log was damaged or lost, and begun anew at {begun}; its history before is lost\n"
        ));
    }
    for id in &log.unlogged {
        text.push_str(&format!(
            "note: {id} is not in the catalogue log yet; the next checkpoint adds it\n"
        ));
    }
    text
}

fn log_json(log: &CatalogueLog) -> Value {
    let (begun, anew) = log.begun;
    let unlogged: Vec<String> = log.unlogged.iter().map(CheckpointId::to_hex).collect();
    json!({
        "root": log.root.to_string(),
        "begun": instant(begun),
        "begun_anew": anew,
        "unlogged": unlogged,
    })
}

pub(crate) fn diff(args: &DiffArgs) -> Result<Outcome> {
    let store = open(&args.store, WAIT_TO_READ)?;
    let _held = store.hold("read the store")?;
    let (a, b) = (store.resolve(&args.a)?, store.resolve(&args.b)?);
    let difference = store.diff(a, b)?;
    if args.json {
        let mut value = difference_json(&difference);
        value["a"] = json!({ "id": a.to_hex() });
        value["b"] = json!({ "id": b.to_hex() });
        print_json(&value)?;
        return Ok(Outcome::Done);
    }
    let mut text = String::new();
    for (what, frames) in [
        ("same", &difference.same),
        ("changed", &difference.changed),
        ("only in the first", &difference.only_a),
        ("only in the second", &difference.only_b),
    ] {
        let detail = if what == "same" {
            String::new()
        } else {
            format!("  {}", ranges(frames.ranges().iter().cloned()))
        };
        text.push_str(&format!("{what:<20} {:>10} pages{detail}\n", frames.page_count()));
    }
    for record in &difference.records {
        text.push_str(&format!(
            "record {}: {}\n",
            escaped(&record.name),
            change(record.change)
        ));
    }
    if difference.records_reordered {
        text.push_str("the records come in another order\n");
    }
    print(&text)?;
    Ok(Outcome::Done)
}

/// A catalogue entry for machines.
pub(crate) fn info_json(info: &CheckpointInfo) -> Value {
    let disks: Vec<Value> = info
        .disks()
        .iter()
        .map(|disk| json!({ "number": disk.number, "name": disk.name, "blocks": disk.blocks }))
        .collect();
    json!({
        "id": info.id.to_hex(),
        "guest": info.guest,
        "machine": info.machine.0,
        "base": info.base.map(|base| base.to_hex()),
        "begun": instant(info.begun),
        "committed": instant(info.committed),
        "pages": info.pages,
        "memory_pages": info.memory_pages(),
        "zero_pages": info.zero_pages,
        "new_pages": info.new_pages,
        "stored_bytes": info.stored_bytes,
        "disks": disks,
        "facts": info.facts,
    })
}

pub(super) fn finding_json(finding: &Finding) -> Value {
    let checkpoints: Vec<String> = finding.checkpoints.iter().map(CheckpointId::to_hex).collect();
    let kind = match finding.kind {
        FindingKind::Damaged => "damaged",
        FindingKind::Unreadable => "unreadable",
        FindingKind::Denied => "denied",
        FindingKind::NotAFile => "not-a-file",
    };
    json!({
        "path": finding.path,
        "offset": finding.offset,
        "checkpoints": checkpoints,
        "kind": kind,
        "what": finding.what,
    })
}

fn difference_json(difference: &Difference) -> Value {
    let frames = |layout: &MemoryLayout| {
        let ranges: Vec<Value> = layout
            .ranges()
            .iter()
            .map(|range| json!([range.start, range.end]))
            .collect();
        json!({ "pages": layout.page_count(), "pfns": ranges })
    };
    let records: Vec<Value> = difference
        .records
        .iter()
        .map(|record| json!({ "name": record.name, "occurrence": record.occurrence, "change": change(record.change) }))
        .collect();
    json!({
        "same": frames(&difference.same),
        "changed": frames(&difference.changed),
        "only_a": frames(&difference.only_a),
        "only_b": frames(&difference.only_b),
        "records": records,
        "records_reordered": difference.records_reordered,
    })
}

fn change(change: RecordChange) -> &'static str {
    match change {
        RecordChange::OnlyA => "only in the first",
        RecordChange::OnlyB => "only in the second",
        RecordChange::Content => "changed",
    }
}

/// The first few ranges of frame numbers.
fn ranges(mut all: impl Iterator<Item = Range<u64>>) -> String {
    const SHOWN: usize = 6;
    let shown: Vec<String> = (&mut all)
        .take(SHOWN)
        .map(|range| format!("{:#x}..{:#x}", range.start, range.end))
        .collect();
    let more = all.count();
    let tail = if more > 0 {
        format!(" and {more} more ranges")
    } else {
        String::new()
    };
    format!("{}{tail}", shown.join(" "))
}

pub(super) fn report(damaged: &[Finding]) {
    for finding in damaged {
        tell("damaged", &finding.to_string());
    }
}

pub(super) fn outcome(damaged: &[Finding]) -> Outcome {
    if damaged.is_empty() {
        Outcome::Done
    } else {
        Outcome::DamageFound
    }
}

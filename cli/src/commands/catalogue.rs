//! What is in a store.

use std::ops::Range;

use anyhow::Result;
use revenant_core::guest::{MemoryLayout, Space};
use revenant_core::store::{
    CheckpointId, CheckpointInfo, Difference, DiskInfo, Finding, FindingKind, RecordChange, RecordSummary,
    StoreError, Survey,
};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use super::names::{known_guest, resolve};
use super::{WAIT_TO_READ, open};
use crate::Outcome;
use crate::args::{DiffArgs, ListArgs, ShowArgs};
use crate::layout::{Table, columns, hanging};
use crate::output::{bytes, counted, escaped, instant, name, print, print_json, tell};

/// Where values begin in what `show` prints, unless the terminal is too narrow for an id then.
const KEY_CHARS: usize = 24;
const KEY_CHARS_MIN: usize = 12;
const ID_CHARS: usize = 64;

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
        known_guest(&store, guest)?;
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
        Table {
            header: &header,
            right: &[4, 5, 6, 7],
            least: &[8, 2, 6, 5, 4],
            names: &[1],
        }
        .print(rows)?;
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
    let look = || anyhow::Ok(store.survey(resolve(&store, &args.id)?));
    let survey = match look()? {
        // Pruned between the two: the name stands for another now.
        Err(StoreError::NoSuchCheckpoint(_)) => look()??,
        survey => survey?,
    };
    let info = survey.info();
    if args.json {
        print_json(&Shown(&survey))?;
        return Ok(Outcome::Done);
    }
    let columns = columns();
    let key_chars = columns.map_or(KEY_CHARS, |columns| {
        columns
            .saturating_sub(ID_CHARS + 1)
            .clamp(KEY_CHARS_MIN, KEY_CHARS)
    });
    let mut text = String::new();
    let mut line = |key: &str, value: String| {
        let key = format!("{:<key_chars$} ", escaped(key));
        text.push_str(&hanging(&key, &escaped(&value), key_chars + 1, columns));
    };
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
        format!(
            "{}, {}",
            counted(info.new_pages, "page"),
            bytes(info.stored_bytes)
        ),
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
        line(
            name,
            format!("{}, {}", counted(*count, "record"), counted(*bytes, "byte")),
        );
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

pub(crate) fn diff(args: &DiffArgs) -> Result<Outcome> {
    let store = open(&args.store, WAIT_TO_READ)?;
    let _held = store.hold("read the store")?;
    let (a, b) = (resolve(&store, &args.a)?, resolve(&store, &args.b)?);
    let difference = store.diff(a, b)?;
    if args.json {
        let mut value = difference_json(&difference);
        value["a"] = json!({ "id": a.to_hex() });
        value["b"] = json!({ "id": b.to_hex() });
        print_json(&value)?;
        return Ok(Outcome::Done);
    }
    let columns = columns();
    let mut text = String::new();
    for (what, frames) in [
        ("same", &difference.same),
        ("changed", &difference.changed),
        ("only in the first", &difference.only_a),
        ("only in the second", &difference.only_b),
    ] {
        let count = counted(frames.page_count(), "page");
        let (number, noun) = count.split_once(' ').unwrap_or((&count, ""));
        let begin = format!("{what:<20} {number:>10} {noun}");
        if what == "same" || frames.page_count() == 0 {
            text.push_str(&format!("{begin}\n"));
            continue;
        }
        let begin = format!("{begin}  ");
        let detail = ranges(frames.ranges().iter().cloned());
        text.push_str(&hanging(&begin, &detail, begin.len(), columns));
    }
    for record in &difference.records {
        let said = format!("{}: {}", escaped(&record.name), change(record.change));
        text.push_str(&hanging("record ", &said, 2, columns));
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
        format!(" and {}", counted(more, "more range"))
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

//! What is in a store, whether it is whole, and what may go.

use std::collections::BTreeMap;

use anyhow::Result;
use revenant_core::guest::{MemoryLayout, Space};
use revenant_core::store::{
    CatalogueLog, CheckpointId, CheckpointInfo, CollectOptions, Difference, DiskInfo, Finding, RecordChange,
    Retention,
};
use serde_json::{Value, json};

use super::{duration, open_store};
use crate::Outcome;
use crate::args::{DiffArgs, ListArgs, PruneArgs, ShowArgs, VerifyArgs};
use crate::output::{bytes, instant, print, print_json, table};

pub(crate) fn list(args: &ListArgs) -> Result<Outcome> {
    let mut listing = open_store(&args.store.store)?.list()?;
    if let Some(guest) = &args.guest {
        listing.checkpoints.retain(|info| info.guest == *guest);
    }
    if args.json {
        let checkpoints: Vec<Value> = listing.checkpoints.iter().map(info_json).collect();
        let damaged: Vec<Value> = listing.damaged.iter().map(finding_json).collect();
        print_json(&json!({ "checkpoints": checkpoints, "damaged": damaged }))?;
    } else {
        let rows: Vec<_> = listing.checkpoints.iter().map(row).collect();
        let header = [
            "ID",
            "GUEST",
            "MACHINE",
            "COMMITTED",
            "MEMORY",
            "DISKS",
            "NEW PAGES",
            "STORED",
            "BASE",
        ];
        print(&table(&header, &[4, 5, 6, 7], &rows))?;
        report(&listing.damaged);
    }
    Ok(outcome(&listing.damaged))
}

fn row(info: &CheckpointInfo) -> Vec<String> {
    vec![
        info.id.to_string(),
        info.guest.clone(),
        info.machine.to_string(),
        instant(info.committed),
        pages(info.memory_pages()),
        disks_size(info),
        info.new_pages.to_string(),
        bytes(info.stored_bytes),
        info.base.map_or_else(|| "-".to_owned(), |base| base.to_string()),
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
    let store = open_store(&args.store.store)?;
    let mut reader = store.read(store.find(&args.id)?)?;
    reader.select(Space::Memory)?;
    let info = reader.info();
    let records: BTreeMap<&str, (usize, usize)> =
        reader.records().iter().fold(BTreeMap::new(), |mut all, record| {
            let entry: &mut (usize, usize) = all.entry(&record.name).or_default();
            *entry = (entry.0 + 1, entry.1 + record.bytes.len());
            all
        });
    if args.json {
        let records: Vec<Value> = records
            .iter()
            .map(|(name, (count, len))| json!({ "name": name, "count": count, "bytes": len }))
            .collect();
        let layout: Vec<Value> = reader
            .layout()
            .ranges()
            .iter()
            .map(|range| json!([range.start, range.end]))
            .collect();
        let mut value = info_json(info);
        value["records"] = records.into();
        value["layout_pfns"] = layout.into();
        print_json(&value)?;
        return Ok(Outcome::Done);
    }
    let mut text = String::new();
    let mut line = |key: &str, value: String| text.push_str(&format!("{key:<24} {value}\n"));
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
    line("layout", ranges(&reader.layout()));
    for disk in info.disks() {
        line(&format!("disk {}", disk.name), pages(disk.blocks));
    }
    let facts = info.facts.iter();
    for (key, value) in facts.filter(|(key, _)| !DiskInfo::is_fact(key)) {
        line(key, value.clone());
    }
    for (name, (count, len)) in records {
        line(name, format!("{count} records, {len} bytes"));
    }
    print(&text)?;
    Ok(Outcome::Done)
}

pub(crate) fn verify(args: &VerifyArgs) -> Result<Outcome> {
    let store = open_store(&args.store.store)?;
    let id = args.id.as_deref().map(|prefix| store.find(prefix)).transpose()?;
    let mut seen = store.verify(id)?;
    if let Some(expected) = &args.expect {
        seen.findings.extend(store.expect_root(expected)?);
    }
    if args.json {
        let findings: Vec<Value> = seen.findings.iter().map(finding_json).collect();
        let remains: Vec<Value> = seen
            .remains
            .iter()
            .map(|remains| json!({ "path": remains.path, "bytes": remains.len_bytes }))
            .collect();
        print_json(&json!({
            "checkpoints": seen.checkpoints,
            "segments": seen.segments,
            "pages": seen.pages,
            "bytes": seen.bytes,
            "findings": findings,
            "remains": remains,
            "log": seen.log.as_ref().map(log_json),
        }))?;
    } else {
        let verdict = if seen.findings.is_empty() {
            "no damage"
        } else {
            "DAMAGED"
        };
        print(&format!(
            "{verdict}: {} checkpoints, {} segments, {} pages, {} read\n",
            seen.checkpoints,
            seen.segments,
            seen.pages,
            bytes(seen.bytes)
        ))?;
        if let Some(log) = &seen.log {
            print(&log_lines(log))?;
        }
        for remains in &seen.remains {
            print(&format!(
                "unused: {} ({}), prune removes it\n",
                remains.path,
                bytes(remains.len_bytes)
            ))?;
        }
        report(&seen.findings);
    }
    Ok(outcome(&seen.findings))
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
    let store = open_store(&args.store.store)?;
    let (a, b) = (store.find(&args.a)?, store.find(&args.b)?);
    let difference = store.diff(a, b)?;
    if args.json {
        print_json(&difference_json(&difference))?;
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
            format!("  {}", ranges(frames))
        };
        text.push_str(&format!("{what:<20} {:>10} pages{detail}\n", frames.page_count()));
    }
    for record in &difference.records {
        text.push_str(&format!("record {}: {}\n", record.name, change(record.change)));
    }
    if difference.records_reordered {
        text.push_str("the records come in another order\n");
    }
    print(&text)?;
    Ok(Outcome::Done)
}

pub(crate) fn prune(args: &PruneArgs) -> Result<Outcome> {
    let keep_within = args
        .keep_within
        .as_deref()
        .map(|text| duration("keep-within", text))
        .transpose()?;
    let retention = Retention {
        keep_last: args.keep_last,
        keep_within,
    };
    let options = CollectOptions {
        dry_run: args.dry_run,
        drop_damaged: args.drop_damaged,
        ..CollectOptions::default()
    };
    let pruned = open_store(&args.store.store)?.prune(&retention, options)?;
    let collected = &pruned.collected;
    if args.json {
        let ids =
            |all: &[CheckpointInfo]| -> Vec<String> { all.iter().map(|info| info.id.to_hex()).collect() };
        print_json(&json!({
            "dry_run": args.dry_run,
            "kept": ids(&pruned.kept),
            "dropped": ids(&pruned.dropped),
            "damaged_dropped": collected.damaged_dropped.iter().map(finding_json).collect::<Vec<_>>(),
            "segments_removed": collected.segments_removed,
            "segments_compacted": collected.segments_compacted,
            "remains_removed": collected.remains_removed,
            "freed_bytes": collected.freed_bytes,
        }))?;
        return Ok(Outcome::Done);
    }
    let (drops, frees) = if args.dry_run {
        ("would drop", "would free")
    } else {
        ("dropped", "freed")
    };
    let mut text = String::new();
    for info in &pruned.dropped {
        text.push_str(&format!(
            "{drops} {}  {}  {}\n",
            info.id,
            info.guest,
            instant(info.committed)
        ));
    }
    for finding in &collected.damaged_dropped {
        text.push_str(&format!("{drops} damaged {finding}\n"));
    }
    let (kept, freed) = (pruned.kept.len(), bytes(collected.freed_bytes));
    text.push_str(&format!("{kept} checkpoints kept, {frees} {freed}\n"));
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

fn finding_json(finding: &Finding) -> Value {
    let checkpoints: Vec<String> = finding.checkpoints.iter().map(CheckpointId::to_hex).collect();
    json!({ "path": finding.path, "offset": finding.offset, "checkpoints": checkpoints, "what": finding.what })
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
fn ranges(layout: &MemoryLayout) -> String {
    const SHOWN: usize = 6;
    let all = layout.ranges();
    let shown: Vec<String> = all
        .iter()
        .take(SHOWN)
        .map(|range| format!("{:#x}..{:#x}", range.start, range.end))
        .collect();
    let more = all.len().saturating_sub(SHOWN);
    let tail = if more > 0 {
        format!(" and {more} more ranges")
    } else {
        String::new()
    };
    format!("{}{tail}", shown.join(" "))
}

fn report(damaged: &[Finding]) {
    for finding in damaged {
        eprintln!("damaged: {finding}");
    }
}

fn outcome(damaged: &[Finding]) -> Outcome {
    if damaged.is_empty() {
        Outcome::Done
    } else {
        Outcome::DamageFound
    }
}

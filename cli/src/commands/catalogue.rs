//! What is in a store, whether it is whole, and what may go.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use revenant_core::Store;
use revenant_core::guest::{MemoryLayout, Space};
use revenant_core::store::{
    CheckpointId, CheckpointInfo, CollectOptions, Difference, DiskInfo, Finding, FindingKind, Pruned,
    RecordChange, Retention, Scope,
};
use serde_json::{Value, json};

use super::{duration, open_store};
use crate::Outcome;
use crate::args::{DiffArgs, ListArgs, PruneArgs, ShowArgs, VerifyArgs};
use crate::output::{bytes, instant, print, print_json, table};

pub(crate) fn list(args: &ListArgs) -> Result<Outcome> {
    let store = open_store(&args.store.store)?;
    let mut listing = store.list()?;
    if let Some(guest) = &args.guest {
        listing.checkpoints.retain(|info| info.guest == *guest);
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
            "STORED",
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
fn by_cause<'a>(findings: impl Iterator<Item = &'a Finding>) -> Vec<Finding> {
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
        info.guest.clone(),
        info.machine.to_string(),
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
    let store = open_store(&args.store.store)?;
    let mut reader = store.read(store.resolve(&args.id)?)?;
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
    let id = args.id.as_deref().map(|name| store.resolve(name)).transpose()?;
    let seen = store.verify(id)?;
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

pub(crate) fn diff(args: &DiffArgs) -> Result<Outcome> {
    let store = open_store(&args.store.store)?;
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
    let store = open_store(&args.store.store)?;
    let scope = match &args.guest {
        Some(guest) => Scope::Guest(known_guest(&store, guest)?),
        None => Scope::All,
    };
    let retention = Retention {
        keep_last: args.keep_last,
        keep_within,
        ..Retention::new(scope)
    };
    let options = CollectOptions {
        dry_run: args.dry_run,
        drop_damaged: args.drop_damaged,
        ..CollectOptions::default()
    };
    let pruned = store.prune(&retention, options)?;
    if args.json {
        print_json(&pruned_json(&pruned, args.dry_run))?;
    } else {
        report_pruned(&pruned, args.dry_run)?;
    }
    let held = &pruned.collected.held_by;
    Ok(if held.is_empty() && pruned.not_whole.is_empty() {
        Outcome::Done
    } else {
        Outcome::DamageFound
    })
}

/// A name that nobody has is a slip, and a prune that drops nothing because of it would look well.
fn known_guest(store: &Store, guest: &str) -> Result<String> {
    match store.newest(guest)? {
        Some(_) => Ok(guest.to_owned()),
        None => bail!("no guest is called {guest:?}"),
    }
}

fn pruned_json(pruned: &Pruned, dry_run: bool) -> Value {
    let collected = &pruned.collected;
    let ids = |all: &[CheckpointInfo]| -> Vec<String> { all.iter().map(|info| info.id.to_hex()).collect() };
    let findings = |all: &[Finding]| -> Vec<Value> { all.iter().map(finding_json).collect() };
    json!({
        "dry_run": dry_run,
        "kept": ids(&pruned.kept),
        "dropped": ids(&pruned.dropped),
        "not_whole": findings(&pruned.not_whole),
        "doubted": pruned.doubted.iter().map(CheckpointId::to_hex).collect::<Vec<_>>(),
        "damaged_dropped": findings(&collected.damaged_dropped),
        "held_by": findings(&collected.held_by),
        "segments_held": collected.segments_held,
        "held_bytes": collected.held_bytes,
        "segments_removed": collected.segments_removed,
        "segments_compacted": collected.segments_compacted,
        "remains_removed": collected.remains_removed,
        "freed_bytes": collected.freed_bytes,
    })
}

fn report_pruned(pruned: &Pruned, dry_run: bool) -> Result<()> {
    let collected = &pruned.collected;
    let (drops, frees) = if dry_run {
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
    for finding in by_cause(pruned.not_whole.iter()) {
        text.push_str(&format!(
            "kept, but not whole, and counted by no rule: {finding}\n"
        ));
    }
    for info in pruned
        .kept
        .iter()
        .filter(|info| pruned.doubted.contains(&info.id))
    {
        text.push_str(&format!(
            "kept {}  {}  {}: an instant that is still to come, its clock was wrong\n",
            info.id,
            info.guest,
            instant(info.committed)
        ));
    }
    if !collected.held_by.is_empty() {
        text.push_str(&format!(
            "{} in {} segments stay that manifests may need which do not read (--drop-damaged drops these):\n",
            bytes(collected.held_bytes),
            collected.segments_held
        ));
    }
    for finding in &collected.held_by {
        text.push_str(&format!("  {finding}\n"));
    }
    let (kept, freed) = (pruned.kept.len(), bytes(collected.freed_bytes));
    text.push_str(&format!("{kept} checkpoints kept, {frees} {freed}\n"));
    print(&text)?;
    Ok(())
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
    let kind = match finding.kind {
        FindingKind::Damaged => "damaged",
        FindingKind::Unreadable => "unreadable",
        FindingKind::Denied => "denied",
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

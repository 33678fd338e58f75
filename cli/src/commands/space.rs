//! What takes space in a store, and giving it back.

use anyhow::{Context, Result, anyhow};
use revenant_core::store::{
    CheckpointId, CheckpointInfo, CollectOptions, Finding, Pruned, Retention, Scope, Stats,
};
use serde_json::{Value, json};

use super::catalogue::{by_cause, finding_json, outcome, report};
use super::names::known_guest;
use super::{WAIT_TO_PRUNE, WAIT_TO_READ, duration, open, open_interruptible, warn_of_log};
use crate::Outcome;
use crate::args::{PruneArgs, StatsArgs};
use crate::layout::Table;
use crate::output::{bytes, counted, escaped, instant, name, print, print_json, table, tell};

pub(crate) fn prune(args: &PruneArgs) -> Result<Outcome> {
    let keep_within = args
        .keep_within
        .as_deref()
        .map(|text| duration("keep-within", text))
        .transpose()?;
    let wait = args.store.wait.unwrap_or(WAIT_TO_PRUNE);
    let store = open_interruptible(&args.store.store, wait)?;
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
        max_unused_percent: args.max_unused,
    };
    let pruned = store.prune(&retention, options);
    warn_of_log(&store);
    let pruned = pruned?;
    let written = if args.json {
        print_json(&pruned_json(&pruned, args.dry_run))
    } else {
        print(&told(&pruned, args.dry_run))
    };
    written.context("the prune came to its end, but its report could not be written")?;
    if !args.json {
        report(&pruned.collected.damaged_left);
        for undone in &pruned.collected.undone {
            tell("not done", &undone.to_string());
        }
    }
    match pruned.collected.shortcomings() {
        Some(what) if !args.dry_run => Err(anyhow!("not all was done: {what}")),
        _ if pruned.collected.held_by.is_empty() && pruned.not_whole.is_empty() => {
            Ok(outcome(&pruned.collected.damaged_left))
        }
        _ => Ok(Outcome::DamageFound),
    }
}

fn pruned_json(pruned: &Pruned, dry_run: bool) -> Value {
    let collected = &pruned.collected;
    let ids = |all: &[CheckpointInfo]| -> Vec<String> { all.iter().map(|info| info.id.to_hex()).collect() };
    let findings = |all: &[Finding]| -> Vec<Value> { all.iter().map(finding_json).collect() };
    let undone: Vec<Value> = collected
        .undone
        .iter()
        .map(|undone| json!({ "path": undone.path, "what": undone.what }))
        .collect();
    json!({
        "dry_run": dry_run,
        "kept": ids(&pruned.kept),
        "dropped": ids(&pruned.dropped),
        "not_whole": findings(&pruned.not_whole),
        "doubted": pruned.doubted.iter().map(CheckpointId::to_hex).collect::<Vec<_>>(),
        "damaged_dropped": findings(&collected.damaged_dropped),
        "damaged_left": findings(&collected.damaged_left),
        "held_by": findings(&collected.held_by),
        "segments_held": collected.segments_held,
        "held_bytes": collected.held_bytes,
        "segments_removed": collected.segments_removed,
        "segments_compacted": collected.segments_compacted,
        "rewritten_bytes": collected.rewritten_bytes,
        "remains_removed": collected.remains_removed,
        "freed_bytes": collected.freed_bytes,
        "pages_healed": collected.pages_healed,
        "unused_bytes": collected.unused_bytes,
        "segments_without_room": collected.segments_without_room,
        "short_bytes": collected.short_bytes,
        "undone": undone,
    })
}

fn told(pruned: &Pruned, dry_run: bool) -> String {
    let collected = &pruned.collected;
    let (drops, frees, leaves) = if dry_run {
        ("would drop", "would free", "would be left")
    } else {
        ("dropped", "freed", "left")
    };
    let mut text = String::new();
    for info in &pruned.dropped {
        text.push_str(&format!(
            "{drops} {}  {}  {}\n",
            info.id,
            escaped(&info.guest),
            instant(info.committed)
        ));
    }
    for finding in &collected.damaged_dropped {
        text.push_str(&format!("{drops} damaged {}\n", escaped(&finding.to_string())));
    }
    for finding in by_cause(pruned.not_whole.iter()) {
        text.push_str(&format!(
            "kept, but not whole, and counted by no rule: {}\n",
            escaped(&finding.to_string())
        ));
    }
    let doubted = pruned
        .kept
        .iter()
        .filter(|info| pruned.doubted.contains(&info.id));
    for info in doubted {
        text.push_str(&format!(
            "kept {}  {}  {}: an instant that is still to come, its clock was wrong\n",
            info.id,
            escaped(&info.guest),
            instant(info.committed)
        ));
    }
    if !collected.held_by.is_empty() {
        text.push_str(&format!(
            "held back: {} in {}, which these may need (--drop-damaged gives them up):\n",
            bytes(collected.held_bytes),
            counted(collected.segments_held, "segment")
        ));
    }
    for finding in &collected.held_by {
        text.push_str(&format!("  {}\n", escaped(&finding.to_string())));
    }
    if collected.pages_healed > 0 {
        text.push_str(&format!(
            "healed {}\n",
            counted(collected.pages_healed, "damaged page")
        ));
    }
    text.push_str(&format!(
        "{} kept, {frees} {}",
        counted(pruned.kept.len(), "checkpoint"),
        bytes(collected.freed_bytes)
    ));
    if collected.unused_bytes > 0 {
        let unused = bytes(collected.unused_bytes);
        text.push_str(&format!(", {unused} that no checkpoint needs {leaves}"));
    }
    text.push('\n');
    if collected.segments_without_room > 0 {
        text.push_str(&format!(
            "no room to rewrite {}: {} more must be free\n",
            counted(collected.segments_without_room, "segment"),
            bytes(collected.short_bytes)
        ));
    }
    text
}

pub(crate) fn stats(args: &StatsArgs) -> Result<Outcome> {
    let stats = open(&args.store, WAIT_TO_READ)?.stats()?;
    if args.json {
        print_json(&stats_json(&stats))?;
    } else {
        print_summary(&stats)?;
        report(&stats.damaged);
    }
    Ok(outcome(&stats.damaged))
}

fn stats_json(stats: &Stats) -> Value {
    let guests: Vec<Value> = stats
        .guests
        .iter()
        .map(|(name, used)| {
            json!({
                "guest": name,
                "checkpoints": used.checkpoints,
                "referenced_bytes": used.referenced_bytes,
                "own_bytes": used.own_bytes,
            })
        })
        .collect();
    let checkpoints: Vec<Value> = stats
        .checkpoints
        .iter()
        .map(|used| {
            json!({
                "id": used.info.id.to_hex(),
                "guest": used.info.guest,
                "committed": instant(used.info.committed),
                "referenced_bytes": used.referenced_bytes,
                "own_bytes": used.own_bytes,
            })
        })
        .collect();
    json!({
        "used_bytes": stats.used_bytes,
        "shared_bytes": stats.shared_bytes,
        "unused_bytes": stats.unused_bytes,
        "index_bytes": stats.index_bytes,
        "manifest_bytes": stats.manifest_bytes,
        "remains_bytes": stats.remains_bytes,
        "guests": guests,
        "checkpoints": checkpoints,
        "damaged": stats.damaged.iter().map(finding_json).collect::<Vec<_>>(),
    })
}

fn print_summary(stats: &Stats) -> Result<()> {
    let parts = [
        ("pages that checkpoints need", stats.used_bytes),
        ("  of these shared by several", stats.shared_bytes),
        ("pages that none needs", stats.unused_bytes),
        ("indexes of segments", stats.index_bytes),
        ("manifests", stats.manifest_bytes),
        ("remains", stats.remains_bytes),
    ];
    let rows: Vec<_> = parts
        .map(|(what, count)| vec![what.to_owned(), bytes(count)])
        .into();
    print(&table(&["WHAT", "TAKES"], &[1], &rows))?;
    print("\n")?;
    let rows: Vec<_> = stats
        .guests
        .iter()
        .map(|(guest, used)| {
            vec![
                name(guest),
                used.checkpoints.to_string(),
                bytes(used.referenced_bytes),
                bytes(used.own_bytes),
            ]
        })
        .collect();
    Table {
        header: &["GUEST", "CHECKPOINTS", "NEEDS", "ALONE"],
        right: &[1, 2, 3],
        least: &[],
        names: &[0],
    }
    .print(rows)?;
    print("\n")?;
    let rows: Vec<_> = stats
        .checkpoints
        .iter()
        .map(|used| {
            vec![
                used.info.id.to_string(),
                name(&used.info.guest),
                instant(used.info.committed),
                bytes(used.referenced_bytes),
                bytes(used.own_bytes),
            ]
        })
        .collect();
    Table {
        header: &["ID", "GUEST", "COMMITTED", "NEEDS", "ALONE"],
        right: &[3, 4],
        least: &[],
        names: &[1],
    }
    .print(rows)
}

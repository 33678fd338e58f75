//! Whether a store is whole, and what it held.

use std::path::Path;

use anyhow::{Result, bail};
use revenant_core::Store;
use revenant_core::store::{
    CatalogueLog, CatalogueRoot, CheckpointId, Finding, FindingKind, Repaired, Verification,
};
use serde_json::{Value, json};

use super::catalogue::{finding_json, outcome, report};
use super::init::NoStore;
use super::names::resolve;
use super::{WAIT_TO_READ, is_same_directory, open_interruptible, warn_unless_guarded};
use crate::Outcome;
use crate::args::VerifyArgs;
use crate::layout::{columns, hanging};
use crate::output::{bytes, counted, escaped, instant, note, print, print_json, tell};

pub(crate) fn verify(args: &VerifyArgs) -> Result<Outcome> {
    let wait = args.store.wait.unwrap_or(WAIT_TO_READ);
    let store = open_interruptible(&args.store.store, wait)?;
    let from = args.from.as_deref().map(|dir| other_store(dir, args));
    let from = from.transpose()?;
    let mut seen = {
        let _held = store.hold("verify the store")?;
        let id = args.id.as_deref().map(|name| resolve(&store, name)).transpose()?;
        store.verify(id)?
    };
    let mut repaired = None;
    if args.repair {
        let done = store.repair(from.as_ref())?;
        if !done.is_empty() {
            seen = store.verify(None)?;
        }
        repaired = Some(done);
    }
    let expected = args.expect.as_ref().map(|root| expect(&store, root));
    let expected = expected.transpose()?;
    if args.json {
        print_json(&verification_json(&seen, repaired.as_ref(), expected.as_ref()))?;
    } else {
        if let Some(done) = &repaired {
            print(&repaired_text(done))?;
        }
        print(&verification_text(&seen))?;
        if let Some(expected) = &expected {
            print(&expected.text(&seen))?;
        }
        report(&seen.findings);
        advise_on_damage(&seen, args);
        if let Some(expected) = &expected {
            expected.advise(args);
        }
    }
    warn_unless_guarded(&store);
    let not_met = expected.and_then(|expected| expected.not_met);
    Ok(outcome(&[seen.findings, not_met.into_iter().collect()].concat()))
}

/// Opens the store to heal from.
fn other_store(dir: &Path, args: &VerifyArgs) -> Result<Store> {
    if is_same_directory(dir, &args.store.store) {
        bail!(
            "{} is the store itself that is to be repaired: --from names another that has copies of its checkpoints; \
             without --from the store is healed from equal pages of its own",
            dir.display()
        );
    }
    let wait = args.store.wait.unwrap_or(WAIT_TO_READ);
    open_interruptible(dir, wait).map_err(|error| match error.downcast_ref::<NoStore>() {
        Some(none) => none.with_hint("--from names a store that has copies of what is damaged here"),
        None => error,
    })
}

/// How the store stands to a root that was kept elsewhere.
struct Expected {
    root: CatalogueRoot,
    /// Entries of the log since then; `None`: the log cannot be read.
    since: Option<u64>,
    not_met: Option<Finding>,
}

fn expect(store: &Store, root: &CatalogueRoot) -> Result<Expected> {
    let now = store.catalogue_root()?;
    Ok(Expected {
        root: *root,
        since: now.and_then(|now| now.entries.checked_sub(root.entries)),
        not_met: store.expect_root(root)?,
    })
}

impl Expected {
    fn text(&self, seen: &Verification) -> String {
        if self.not_met.is_some() {
            return String::new();
        }
        let more = match self.since {
            Some(0) => ", and nothing more".to_owned(),
            Some(since) => format!(" or pruned it, and {} more", counted(since, "change")),
            None => String::new(),
        };
        let but = if seen.findings.is_empty() {
            ""
        } else {
            ", but for the damage"
        };
        let said = format!("the store holds what it held at that root{more}");
        hanging(&format!("as expected{but}: "), &said, 2, columns())
    }

    /// What it means that the root is not met, and what is to be done.
    fn advise(&self, args: &VerifyArgs) {
        let Some(finding) = &self.not_met else {
            return;
        };
        tell("not as expected", &finding.to_string());
        note(&format!(
            "the root is of another store, or {store} was put back to an older copy, replaced or forged, or its log was lost and \
             begun anew. Checkpoints may be missing that verify cannot name: do not prune it or restart guests from it before it is known why.\n\
             A backup that has this root is told by `revenant verify --store BACKUP --expect ROOT`;\n\
             `revenant copy --guest NAME --store BACKUP --to {store}` brings what is missing.\n\
             If you did this yourself, keep the new root from now on.",
            store = args.store.store.display(),
        ));
    }

    fn json(&self) -> Value {
        json!({
            "root": self.root.to_string(),
            "met": self.not_met.is_none(),
            "entries_since": self.since,
            "finding": self.not_met.as_ref().map(finding_json),
        })
    }
}

/// What can be done about damage, as far as it was not tried.
fn advise_on_damage(seen: &Verification, args: &VerifyArgs) {
    if seen.findings.is_empty() {
        return;
    }
    if let Some(why) = &seen.not_noted {
        note(&format!(
            "later checkpoints may share what is damaged, it could not be noted: {why}"
        ));
    }
    let denied = |finding: &Finding| finding.kind == FindingKind::Denied;
    if seen.findings.iter().all(denied) {
        note("nothing of this need be damaged: whoever may read these files can verify them");
        return;
    }
    let store = args.store.store.display();
    let heals = match (args.repair, &args.from) {
        (false, _) => format!(
            "`revenant verify --repair --store {store}` heals from equal pages, with `--from OTHER` also from another store that \
             has these checkpoints"
        ),
        (true, None) => format!(
            "`revenant verify --repair --from OTHER --store {store}` heals from another store that has these checkpoints"
        ),
        (true, Some(from)) => format!(
            "what is left {} cannot heal; another store that has these checkpoints may",
            from.display()
        ),
    };
    note(&format!(
        "{heals}. What nothing heals is given up by `revenant prune --drop-damaged --keep-last N --store {store}`"
    ));
}

fn verification_json(seen: &Verification, repaired: Option<&Repaired>, expected: Option<&Expected>) -> Value {
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
        "expected": expected.map(Expected::json),
    })
}

fn verification_text(seen: &Verification) -> String {
    let verdict = if seen.findings.is_empty() {
        "no damage"
    } else {
        "DAMAGED"
    };
    let mut text = format!(
        "{verdict}: {}, {}, {}, {} read\n",
        counted(seen.checkpoints, "checkpoint"),
        counted(seen.segments, "segment"),
        counted(seen.pages, "page"),
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
        "healed: {header}{log}{}, {} in {}\n{}",
        counted(done.manifests.len(), "manifest"),
        counted(done.pages, "page"),
        counted(done.segments, "segment"),
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

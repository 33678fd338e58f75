//! Checkpoints from one store to another.

use anyhow::{Context, Error, Result, bail};
use revenant_core::Store;
use revenant_core::store::{CheckpointId, CheckpointInfo, CopyError, Finding, Hold, Standing, StoreError};
use serde_json::{Value, json};

use super::catalogue::{finding_json, info_json, outcome, report};
use super::init::NewStore;
use super::names::{known_guest, resolve};
use super::{WAIT_TO_READ, after_commit, is_same_directory, open_for_writing, open_interruptible};
use crate::Outcome;
use crate::args::CopyArgs;
use crate::output::{bytes, counted, escaped, instant, note, print, print_json};

pub(crate) fn copy(args: &CopyArgs) -> Result<Outcome> {
    if is_same_directory(&args.store.store, &args.to) {
        bail!(
            "{} is the store itself that is copied from: --to names another",
            args.to.display()
        );
    }
    let wait = args.store.wait.unwrap_or(WAIT_TO_READ);
    let source = open_interruptible(&args.store.store, wait)?;
    // What a name stands for is not pruned before it is read.
    let held = source.hold("read the store")?;
    match (&args.guest, &args.id) {
        (Some(guest), _) => {
            let guest = known_guest(&source, guest)?;
            // Of a whole row some may go meanwhile: a prune need not wait for all of it.
            drop(held);
            copy_all(args, &source, &guest)
        }
        (None, id) => {
            let id = resolve(&source, id.as_deref().unwrap_or_default())?;
            copy_one(args, &source, id, held)
        }
    }
}

fn open_target(args: &CopyArgs) -> Result<(Store, NewStore)> {
    let wait = args.store.wait.unwrap_or(WAIT_TO_READ);
    open_for_writing(&args.to, args.make, "--to names another", |dir| {
        open_interruptible(dir, wait)
    })
}

fn copy_one(args: &CopyArgs, source: &Store, id: CheckpointId, held: Hold) -> Result<Outcome> {
    let (target, made) = open_target(args)?;
    let about = || format!("cannot copy {id} to {}", args.to.display());
    if !args.force {
        match target.standing(source, id).with_context(about)? {
            Standing::Newest => {}
            Standing::There(there) => return said(args, &there, "is there already"),
            Standing::Broken(finding) => {
                report(std::slice::from_ref(&finding));
                note(&format!(
                    "the copy that is there is not whole, and later ones are there: `revenant verify --repair --store {} --from {}` \
                     heals it",
                    args.to.display(),
                    args.store.store.display()
                ));
                return Ok(outcome(&[finding]));
            }
            Standing::Behind(later) => bail!(
                "{} of {} there is later, begun at {}: a restart would then take {id} before it (give --force to copy it all \
                 the same)",
                later.id,
                later.guest,
                instant(later.begun)
            ),
        }
    }
    let copy = target.copy_from(source, id).with_context(about)?;
    drop(held);
    made.keep();
    after_commit(&target);
    said(args, &copy, "copied")
}

fn said(args: &CopyArgs, info: &CheckpointInfo, what: &str) -> Result<Outcome> {
    let told = if args.json {
        print_json(&info_json(info))
    } else {
        print(&line(info, what))
    };
    told.with_context(|| super::exchange::committed(info))?;
    Ok(Outcome::Done)
}

fn line(info: &CheckpointInfo, what: &str) -> String {
    format!(
        "{}  {}  {what}, {} ({} new), {} stored\n",
        info.id,
        escaped(&info.guest),
        counted(info.pages, "page"),
        info.new_pages,
        bytes(info.stored_bytes)
    )
}

/// What became of a guest's checkpoints.
#[derive(Debug, Default)]
struct Done {
    copied: Vec<CheckpointInfo>,
    /// Copies that were there, and what is older than one of them.
    there: Vec<CheckpointInfo>,
    behind: Vec<CheckpointId>,
    damaged: Vec<Finding>,
}

/// Oldest first, so that those there are always a guest's checkpoints up to some instant, and the same command goes on from it.
fn copy_all(args: &CopyArgs, source: &Store, guest: &str) -> Result<Outcome> {
    let (target, made) = open_target(args)?;
    let mut made = Some(made);
    let mut done = Done {
        // Whose they are cannot be told.
        damaged: source.list()?.damaged,
        ..Done::default()
    };
    let about = || format!("cannot copy to {}", args.to.display());
    for (info, standing) in target.standings(source, guest).with_context(about)? {
        let copied = match standing {
            Standing::There(_) | Standing::Behind(_) | Standing::Broken(_) => Ok(Some(standing)),
            Standing::Newest => copy_next(&target, source, info.id, &mut done),
        };
        match copied {
            Ok(Some(Standing::There(there))) => done.there.push(there),
            Ok(Some(Standing::Behind(_))) => done.behind.push(info.id),
            Ok(Some(Standing::Broken(finding))) => done.damaged.push(finding),
            Ok(Some(Standing::Newest)) => {
                made.take().into_iter().for_each(NewStore::keep);
                if let (false, Some(copy)) = (args.json, done.copied.last()) {
                    print(&line(copy, "copied"))?;
                }
            }
            Ok(None) => {}
            Err(error) => return Err(stopped(error, args, info.id, &done)),
        }
    }
    if !done.copied.is_empty() {
        after_commit(&target);
    }
    if args.json {
        print_json(&copied_json(guest, &done))?;
    } else {
        print(&summary(&done))?;
        report(&done.damaged);
    }
    Ok(outcome(&done.damaged))
}

/// Copies what was the newest when it was looked at; another process may have copied it since. `None`: it cannot be had, being
/// damaged or pruned.
fn copy_next(
    target: &Store,
    source: &Store,
    id: CheckpointId,
    done: &mut Done,
) -> Result<Option<Standing>, CopyError> {
    let copied = match target.standing(source, id) {
        Ok(Standing::Newest) => target.copy_from(source, id),
        Ok(other) => return Ok(Some(other)),
        Err(error) => Err(error),
    };
    match copied {
        Ok(copy) => {
            done.copied.push(copy);
            Ok(Some(Standing::Newest))
        }
        Err(CopyError::Source(StoreError::NoSuchCheckpoint(_))) => Ok(None),
        Err(CopyError::Source(StoreError::Damaged(mut finding))) => {
            if !finding.checkpoints.contains(&id) {
                finding.checkpoints.push(id);
            }
            done.damaged.push(*finding);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn stopped(error: CopyError, args: &CopyArgs, id: CheckpointId, done: &Done) -> Error {
    Error::new(error).context(format!(
        "cannot copy {id} to {} ({} copied before; the same command goes on from there)",
        args.to.display(),
        counted(done.copied.len(), "checkpoint")
    ))
}

fn summary(done: &Done) -> String {
    let mut text = format!(
        "{} copied, {} there already",
        counted(done.copied.len(), "checkpoint"),
        done.there.len()
    );
    if !done.behind.is_empty() {
        text.push_str(&format!(
            ", {} left out: older than what is there",
            done.behind.len()
        ));
    }
    text.push('\n');
    text
}

fn copied_json(guest: &str, done: &Done) -> Value {
    let infos = |infos: &[CheckpointInfo]| infos.iter().map(info_json).collect::<Vec<_>>();
    json!({
        "guest": guest,
        "copied": infos(&done.copied),
        "there": infos(&done.there),
        "behind": done.behind.iter().map(CheckpointId::to_hex).collect::<Vec<_>>(),
        "damaged": done.damaged.iter().map(finding_json).collect::<Vec<_>>(),
    })
}

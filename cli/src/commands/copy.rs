//! Checkpoints from one store to another.

use anyhow::{Context, Result, bail};
use revenant_core::Store;
use revenant_core::store::{CheckpointId, CheckpointInfo};

use super::{WAIT_TO_READ, find, heal, open, open_for_writing};
use crate::Outcome;
use crate::args::CopyArgs;
use crate::output::{bytes, escaped, instant, print, print_json};

pub(crate) fn copy(args: &CopyArgs) -> Result<Outcome> {
    let source = open(&args.store, WAIT_TO_READ)?;
    let id = find(&source, &args.id)?;
    let (target, made) = open_for_writing(&args.to, args.make, args.store.wait.unwrap_or(WAIT_TO_READ))?;
    if !args.force
        && let Some(there) = checked(&source, &target, id)?
    {
        return said(args, &there, "is there already");
    }
    let about = || format!("cannot copy {id} to {}", args.to.display());
    let copy = target.copy_from(&source, id).with_context(about)?;
    made.keep();
    heal(&target);
    said(args, &copy, "copied")
}

/// The copy that is there, if one is. A copy becomes the newest checkpoint of its guest: none is made after a later one.
fn checked(source: &Store, target: &Store, id: CheckpointId) -> Result<Option<CheckpointInfo>> {
    let info = source.survey(id)?.info().clone();
    let all = target.list()?.checkpoints;
    let of_guest = all.into_iter().filter(|other| other.guest == info.guest);
    let mut of_guest: Vec<CheckpointInfo> = of_guest.collect();
    if let Some(at) = of_guest
        .iter()
        .position(|other| other.id == id || other.copied_from() == Some(id))
    {
        return Ok(Some(of_guest.swap_remove(at)));
    }
    if let Some(later) = of_guest.iter().find(|other| other.begun > info.begun) {
        bail!(
            "{} of {} there was begun later, at {}: a restart would then take {id}, begun at {}, before it (give --force to copy it \
             all the same)",
            later.id,
            later.guest,
            instant(later.begun),
            instant(info.begun)
        );
    }
    Ok(None)
}

fn said(args: &CopyArgs, info: &CheckpointInfo, what: &str) -> Result<Outcome> {
    if args.json {
        print_json(&super::catalogue::info_json(info))?;
    } else {
        print(&format!(
            "{}  {}  {what}, {} pages ({} new), {} stored\n",
            info.id,
            escaped(&info.guest),
            info.pages,
            info.new_pages,
            bytes(info.stored_bytes)
        ))?;
    }
    Ok(Outcome::Done)
}

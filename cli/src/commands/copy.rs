//! Checkpoints from one store to another.

use anyhow::{Context, Result, bail};
use revenant_core::store::{CheckpointInfo, Standing};

use super::{WAIT_TO_READ, heal, open_for_writing, open_interruptible};
use crate::Outcome;
use crate::args::CopyArgs;
use crate::output::{bytes, escaped, instant, print, print_json};

pub(crate) fn copy(args: &CopyArgs) -> Result<Outcome> {
    let wait = args.store.wait.unwrap_or(WAIT_TO_READ);
    let source = open_interruptible(&args.store.store, wait)?;
    // What the name stands for is not pruned before it is read.
    let held = source.hold("read the store")?;
    let id = source.resolve(&args.id)?;
    let (target, made) = open_for_writing(&args.to, args.make, |dir| open_interruptible(dir, wait))?;
    let about = || format!("cannot copy {id} to {}", args.to.display());
    if !args.force {
        match target.standing(&source, id).with_context(about)? {
            Standing::Newest => {}
            Standing::There(there) => return said(args, &there, "is there already"),
            Standing::Behind(later) => bail!(
                "{} of {} there is later, begun at {}: a restart would then take {id} before it (give --force to copy it all \
                 the same)",
                later.id,
                later.guest,
                instant(later.begun)
            ),
        }
    }
    let copy = target.copy_from(&source, id).with_context(about)?;
    drop(held);
    made.keep();
    heal(&target);
    said(args, &copy, "copied")
}

fn said(args: &CopyArgs, info: &CheckpointInfo, what: &str) -> Result<Outcome> {
    let told = if args.json {
        print_json(&super::catalogue::info_json(info))
    } else {
        print(&format!(
            "{}  {}  {what}, {} pages ({} new), {} stored\n",
            info.id,
            escaped(&info.guest),
            info.pages,
            info.new_pages,
            bytes(info.stored_bytes)
        ))
    };
    told.with_context(|| super::exchange::committed(info))?;
    Ok(Outcome::Done)
}

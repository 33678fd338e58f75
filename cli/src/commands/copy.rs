//! Checkpoints from one store to another.

use anyhow::{Context, Result, bail};
use revenant_core::store::{CheckpointInfo, Standing};

use super::{open_or_create_store, open_store};
use crate::Outcome;
use crate::args::CopyArgs;
use crate::output::{bytes, instant, print, print_json};

pub(crate) fn copy(args: &CopyArgs) -> Result<Outcome> {
    let source = open_store(&args.store.store)?;
    let id = source.resolve(&args.id)?;
    // What cannot be read leaves no store behind that was made for it.
    drop(source.read(id)?);
    let target = open_or_create_store(&args.to)?;
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
    said(args, &copy, "copied")
}

fn said(args: &CopyArgs, info: &CheckpointInfo, what: &str) -> Result<Outcome> {
    if args.json {
        print_json(&super::catalogue::info_json(info))?;
    } else {
        print(&format!(
            "{}  {}  {what}, {} pages ({} new), {} stored\n",
            info.id,
            info.guest,
            info.pages,
            info.new_pages,
            bytes(info.stored_bytes)
        ))?;
    }
    Ok(Outcome::Done)
}

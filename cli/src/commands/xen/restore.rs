//! A guest from a checkpoint.

use anyhow::{Context, Result};
use revenant_xen::{RestoreRequest, restore_domain};
use serde_json::json;

use super::super::names::resolve;
use super::super::progress::bytes_bar;
use super::super::{WAIT_TO_READ, open};
use super::host::allowed_disks;
use crate::Outcome;
use crate::args::RestoreArgs;
use crate::output::{escaped, print, print_json};

pub(crate) fn restore(args: &RestoreArgs) -> Result<Outcome> {
    let store = open(&args.store, WAIT_TO_READ)?;
    let _held = store.hold("read the store")?;
    let id = resolve(&store, &args.id)?;
    let request = RestoreRequest {
        name: args.name.clone(),
        paused: args.paused,
        copy: args.copy,
        unattended: false,
        disks: allowed_disks(&args.disks)?,
    };
    let bar = bytes_bar(None, "restore");
    let restored = restore_domain(&store, id, &request, &mut || true, &mut |bytes| bar.inc(bytes));
    bar.finish_and_clear();
    let restored = restored.with_context(|| format!("cannot restore {id}"))?;
    if args.json {
        print_json(&json!({
            "checkpoint": id.to_hex(),
            "domain": restored.id,
            "name": restored.name,
            "took_s": restored.took.as_secs_f64(),
        }))?;
    } else {
        print(&format!(
            "{} is domain {}, from checkpoint {id}, after {:.2} s{}\n",
            escaped(&restored.name),
            restored.id,
            restored.took.as_secs_f64(),
            if args.paused { ", paused" } else { "" }
        ))?;
    }
    Ok(Outcome::Done)
}

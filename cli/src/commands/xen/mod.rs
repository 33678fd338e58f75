//! Live guests on real Xen.

mod calibrate;
mod host;
mod protect;
mod restore;

pub(crate) use calibrate::calibrate;
pub(crate) use protect::protect;
pub(crate) use restore::restore;

use anyhow::{Context, Result, bail};
use revenant_core::capture::{CaptureRequest, Captured, Method, Session, capture};
use revenant_core::clock::SystemClock;
use revenant_xen::{KeeperProgram, LiveDomain, keep, open_guest, save_to_stdout};
use serde_json::{Value, json};

use super::init::NAMED_BY_STORE;
use super::{WAIT_TO_TAKE_IN, duration, open_for_writing, open_waiting};
use crate::Outcome;
use crate::args::CheckpointArgs;
use crate::output::{bytes, counted, escaped, print, print_json};

const HELPER: &str = "xen-helper";

/// The processes that serve a guest: this program, called again.
pub(crate) fn helper(words: &[String]) -> Result<Outcome> {
    let number = |text: &String| text.parse::<u32>().context("expected a domain's number");
    match words {
        [domain] => keep(number(domain)?)?,
        [what, domain] if what == "save" => save_to_stdout(number(domain)?)?,
        _ => bail!("this command is for revenant's own use"),
    }
    Ok(Outcome::Done)
}

pub(crate) fn checkpoint(args: &CheckpointArgs) -> Result<Outcome> {
    host::refuse_broken_resume(args.broken_resume)?;
    let mut domain = LiveDomain::find(&args.domain)?;
    domain.suspend_timeout = duration("suspend-timeout", &args.suspend_timeout)?;
    let name = domain.name().unwrap_or_else(|| args.domain.clone());
    let mut guest = open_guest(domain, KeeperProgram::this(HELPER)?)?;
    if args.live && !guest.capabilities().dirty_log {
        bail!(
            "{name} has no dirty log (a PV guest under a Xen built without shadow paging): it can only be \
             checkpointed with --stop"
        );
    }
    let wait = args.store.wait.unwrap_or(WAIT_TO_TAKE_IN);
    let (store, made) = open_for_writing(&args.store.store, args.make, NAMED_BY_STORE, |dir| {
        open_waiting(dir, wait)
    })?;
    let request = CaptureRequest {
        method: if args.stop {
            Method::StopAndCopy
        } else {
            Method::PreCopy
        },
        incremental: !args.full,
        ..CaptureRequest::new(name.clone())
    };
    let captured = capture(
        &mut *guest,
        &store,
        &SystemClock::new(),
        &mut Session::once(),
        &request,
    )
    .with_context(|| format!("cannot checkpoint {name}"))?;
    made.keep();
    super::after_commit(&store);
    let told = if args.json {
        print_json(&captured_json(&captured))
    } else {
        print(&captured_text(&captured))
    };
    told.with_context(|| super::exchange::committed(&captured.checkpoint))?;
    Ok(Outcome::Done)
}

fn captured_text(captured: &Captured) -> String {
    let (info, timeline) = (&captured.checkpoint, &captured.timeline);
    format!(
        "{}  {}  {} ({}), {}, {} new, {} stored; suspended for {:.1} ms ({:.1} ms to get there), {:.2} s in all\n",
        info.id,
        escaped(&info.guest),
        timeline.method,
        timeline.increment,
        counted(info.pages, "page"),
        info.new_pages,
        bytes(info.stored_bytes),
        timeline.suspended_for.as_secs_f64() * 1e3,
        timeline.suspend_latency.as_secs_f64() * 1e3,
        timeline.total.as_secs_f64(),
    )
}

fn captured_json(captured: &Captured) -> Value {
    let mut value = super::catalogue::info_json(&captured.checkpoint);
    let timeline = &captured.timeline;
    let rounds: Vec<Value> = timeline
        .rounds
        .iter()
        .map(|round| {
            json!({
                "pages": round.pages,
                "seconds": round.duration.as_secs_f64(),
                "pages_dirtied": round.pages_dirtied,
            })
        })
        .collect();
    value["timeline"] = json!({
        "method": timeline.method.to_string(),
        "increment": timeline.increment.to_string(),
        "rounds": rounds,
        "suspend_latency_s": timeline.suspend_latency.as_secs_f64(),
        "suspended_s": timeline.suspended_for.as_secs_f64(),
        "commit_s": timeline.commit_time.as_secs_f64(),
        "total_s": timeline.total.as_secs_f64(),
    });
    value
}

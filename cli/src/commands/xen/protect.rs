//! Protecting a guest.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use revenant_core::capture::{CaptureRequest, Method};
use revenant_core::clock::SystemClock;
use revenant_core::policy::{Fixed, INTERVAL_MIN, IntervalPolicy};
use revenant_core::protect::Options;
use revenant_core::quantity::Size;
use revenant_xen::KeeperProgram;
use revenant_xen::protect::{Ended, Entry, Progress, Protection, Sign, protect as protect_guest, stand_by};
use serde_json::Value;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::super::{duration, open_for_writing};
use super::HELPER;
use crate::Outcome;
use crate::args::ProtectArgs;
use crate::output::{escaped, instant, print, warning};

/// After so many crashes from one checkpoint an older one serves.
const CRASHES_MAX: u32 = 2;

/// How long to wait for the store's lock if nothing is told: the guest must not go unwatched for long.
const WAIT: Duration = Duration::from_mins(1);

/// A failed capture is tried again after this, or after the interval if that is shorter.
const RETRY_AFTER: Duration = Duration::from_secs(10);

pub(crate) fn protect(args: &ProtectArgs) -> Result<Outcome> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("cannot take signals")?;
    }
    let policy = policy(args)?;
    let mut protection = protection(args)?;
    let wait = args.store.wait.unwrap_or(WAIT);
    let (store, made) = open_for_writing(&args.store.store, args.make, wait)?;
    made.keep();
    let mut log = args.log.as_deref().map(open_log).transpose()?;
    if args.stand_by {
        if !await_loss(args, &stop)? {
            return Ok(Outcome::Done);
        }
        protection.take_over = true;
    }
    let mut journal = |entry: &Entry| {
        eprintln!("{}", escaped(&line(entry)));
        if let Some(log) = &mut log {
            let written = entry.write(log).and_then(|()| log.flush());
            if let Err(error) = written {
                warning(&format!("cannot write the log: {error}"));
            }
        }
    };
    let (ended, tally) = protect_guest(&protection, policy, &store, &mut journal, &stop)?;
    print(&format!(
        "{} checkpoints, {} failed; {} failures, {} restarts\n",
        tally.captures, tally.captures_failed, tally.failures, tally.restores
    ))?;
    match ended {
        Ended::Stopped | Ended::PoweredOff => Ok(Outcome::Done),
        Ended::GivenUp(_) => bail!("{} could not be brought back", args.domain),
    }
}

fn policy(args: &ProtectArgs) -> Result<Box<dyn IntervalPolicy>> {
    if let Some(interval) = &args.interval {
        let interval = duration("interval", interval)?;
        if interval < INTERVAL_MIN {
            bail!("--interval {interval:?}: expected at least {INTERVAL_MIN:?}");
        }
        return Ok(Box::new(Fixed(interval)));
    }
    let choice = args.policy.as_ref().context("expected --interval or --policy")?;
    if choice.kind().needs_work {
        bail!("--policy {choice}: a guest's work has no known length, which this policy needs");
    }
    if let Some(world) = choice.kind().needs_world {
        bail!("--policy {choice}: it is for experiments with {world}");
    }
    Ok(choice.policy(Duration::ZERO))
}

fn protection(args: &ProtectArgs) -> Result<Protection> {
    let sign = match (&args.progress_file, &args.progress_key) {
        (Some(file), _) => Sign::File(file.clone()),
        (None, Some(node)) => Sign::Xenstore(node.clone()),
        (None, None) => Sign::ProcessorTime,
    };
    let progress = match &args.hang_timeout {
        Some(timeout) => Some(Progress {
            sign,
            timeout: duration("hang-timeout", timeout)?,
        }),
        None => None,
    };
    let mut options = Options {
        learn_costs: true,
        cold_start: false,
        retry_after: RETRY_AFTER,
        failures_max: args.failures_max,
        crashes_max: Some(CRASHES_MAX),
        ..Options::default()
    };
    if let Some(mtbf) = &args.mtbf {
        options.mtbf = duration("mtbf", mtbf)?;
    }
    if let Some(interval) = &args.interval {
        options.retry_after = RETRY_AFTER.min(duration("interval", interval)?);
    }
    let method = if args.stop {
        Method::StopAndCopy
    } else {
        Method::PreCopy
    };
    Ok(Protection {
        guest: args.domain.clone(),
        store_dir: args.store.store.clone(),
        capture: CaptureRequest {
            method,
            incremental: true,
            ..CaptureRequest::new(args.domain.clone())
        },
        progress,
        keep_last: args.keep_last,
        scrub_bytes_per_s: args
            .scrub
            .as_deref()
            .map(|text| rate("scrub", text))
            .transpose()?,
        suspend_timeout: duration("suspend-timeout", &args.suspend_timeout)?,
        helper: KeeperProgram::this(HELPER)?,
        take_over: false,
        options,
    })
}

/// Bytes a second as people write them (`10MiB/s`), named by the flag they came with.
fn rate(flag: &str, text: &str) -> Result<u64> {
    let size: Size = text
        .strip_suffix("/s")
        .with_context(|| format!("--{flag} {text:?}: expected a rate such as 10MiB/s"))?
        .parse()
        .with_context(|| format!("--{flag} {text:?}"))?;
    Ok(size.bytes)
}

/// Waits for the other host to be lost and makes sure that it is. `false`: asked to stop before.
fn await_loss(args: &ProtectArgs, stop: &AtomicBool) -> Result<bool> {
    let timeout = duration("lease-timeout", &args.lease_timeout)?;
    eprintln!("standing by for {}", args.domain);
    let more = || !stop.load(Ordering::Relaxed);
    if !stand_by(
        &args.store.store,
        &args.domain,
        timeout,
        &SystemClock::new(),
        more,
    )? {
        return Ok(false);
    }
    eprintln!(
        "the host that protected {} has not been heard of for {timeout:?}",
        args.domain
    );
    if let Some(command) = &args.fence {
        let status = Command::new("sh")
            .args(["-c", command])
            .status()
            .context("cannot run the fence command")?;
        if !status.success() {
            bail!(
                "the fence command ended with {status}: {} is not started here",
                args.domain
            );
        }
    }
    Ok(true)
}

fn open_log(path: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot open the log {}", path.display()))
}

/// An entry for people.
fn line(entry: &Entry) -> String {
    let details: Vec<String> = entry
        .details
        .iter()
        .map(|(key, value)| match value {
            Value::String(text) => format!("{key} {text}"),
            other => format!("{key} {other}"),
        })
        .collect();
    format!("{} {}: {}", instant(entry.at), entry.event, details.join(", "))
}

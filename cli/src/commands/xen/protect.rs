//! Protecting a guest.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use revenant_core::Store;
use revenant_core::capture::{CaptureRequest, Method};
use revenant_core::clock::{Clock, SystemClock};
use revenant_core::lease::{Lapsed, LeaseError, stand_by};
use revenant_core::medium::DirectoryMedium;
use revenant_core::policy::{Fixed, INTERVAL_MIN, IntervalPolicy};
use revenant_core::protect::Options;
use revenant_core::quantity::Size;
use revenant_xen::protect::{
    Ended, Entry, Progress, ProtectError, Protection, Sign, protect as protect_guest,
};
use revenant_xen::{KeeperProgram, check_allowed};
use serde_json::Value;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::super::init::NAMED_BY_STORE;
use super::super::{duration, open_for_writing, open_waiting};
use super::HELPER;
use super::host::{allowed_disks, refuse_broken_resume};
use crate::Outcome;
use crate::args::ProtectArgs;
use crate::output::{counted, escaped, instant, print, warning};

/// After so many crashes from one checkpoint an older one serves.
const CRASHES_MAX: u32 = 2;

/// How long to wait for the store's lock if nothing is told: the guest must not go unwatched for long.
const WAIT: Duration = Duration::from_mins(1);

/// A failed capture is tried again after this, or after the interval if that is shorter.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// A signal is answered within this time while standing by.
const STOP_WITHIN: Duration = Duration::from_millis(50);

pub(crate) fn protect(args: &ProtectArgs) -> Result<Outcome> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("cannot take signals")?;
    }
    refuse_broken_resume(args.broken_resume)?;
    // What is wrong with it is said at once, not when the other host is lost.
    drop(policy(args)?);
    let mut protection = protection(args)?;
    let wait = args.store.wait.unwrap_or(WAIT);
    let (store, made) = open_for_writing(&args.store.store, args.make, NAMED_BY_STORE, |dir| {
        open_waiting(dir, wait)
    })?;
    made.keep();
    let mut log = args.log.as_deref().map(open_log).transpose()?;
    let mut journal = |entry: &Entry| {
        eprintln!("{}", escaped(&line(entry)));
        if let Some(log) = &mut log {
            let written = entry.write(log).and_then(|()| log.flush());
            if let Err(error) = written {
                warning(&format!("cannot write the log: {error}"));
            }
        }
    };
    let (ended, tally) = loop {
        if args.stand_by {
            check_restorable(&store, &protection)?;
            let Some(lapsed) = await_loss(args, &stop)? else {
                return Ok(Outcome::Done);
            };
            protection.take_over = Some(lapsed);
        }
        match protect_guest(&protection, policy(args)?, &store, &mut journal, &stop) {
            // Then that host is the one to stand by for.
            Err(ProtectError::Lease(beaten @ LeaseError::Beaten { .. })) if args.stand_by => {
                eprintln!("{beaten}");
            }
            ended => break ended?,
        }
    };
    print(&format!(
        "{}, {} failed; {}, {}\n",
        counted(tally.captures, "checkpoint"),
        tally.captures_failed,
        counted(tally.failures, "failure"),
        counted(tally.restores, "restart")
    ))?;
    match ended {
        Ended::Stopped | Ended::PoweredOff => Ok(Outcome::Done),
        Ended::GivenUp(_) => bail!("{} could not be brought back", args.domain),
        Ended::LeaseLost(by) => bail!(
            "the lease on {} was lost to {by}: it is not protected here any more, and if it runs here, it runs on",
            args.domain
        ),
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
        lease_timeout: duration("lease-timeout", &args.lease_timeout)?,
        take_over: None,
        disks: allowed_disks(&args.disks)?,
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

/// A host that stands by would be refused the guest's disks only when it is needed: that is found out before.
fn check_restorable(store: &Store, protection: &Protection) -> Result<()> {
    let Some(id) = store.newest(&protection.guest)? else {
        return Ok(());
    };
    match check_allowed(store, id, &protection.disks) {
        Err(refused) if refused.refused() => {
            Err(refused).with_context(|| format!("{} could not be started here", protection.guest))
        }
        // A checkpoint that does not read is passed over when it comes to that.
        _ => Ok(()),
    }
}

/// Waits for the other host to be lost and makes sure that it is. `None`: asked to stop before.
fn await_loss(args: &ProtectArgs, stop: &AtomicBool) -> Result<Option<Lapsed>> {
    let timeout = duration("lease-timeout", &args.lease_timeout)?;
    eprintln!("standing by for {}", args.domain);
    let medium = DirectoryMedium::open(&args.store.store)?;
    let clock = SystemClock::new();
    let mut pause = |time: Duration| {
        let until = clock.now() + time;
        while clock.now() < until && !stop.load(Ordering::Relaxed) {
            sleep(STOP_WITHIN.min(until.since(clock.now())));
        }
        !stop.load(Ordering::Relaxed)
    };
    let lapsed = stand_by(&medium, &args.domain, timeout, &clock, &mut pause)
        .with_context(|| format!("cannot look at the lease on {}", args.domain))?;
    let Some(lapsed) = lapsed else { return Ok(None) };
    eprintln!(
        "{}, which protected {}, has not been heard of for {:?}",
        lapsed.holder, args.domain, lapsed.silent
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
    Ok(Some(lapsed))
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

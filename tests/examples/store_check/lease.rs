//! A holder of a guest's lease at work, and one that stands by.

use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use revenant_core::clock::{Clock, SystemClock};
use revenant_core::lease::{Claim, Held, Lease, LeaseState, stand_by};
use revenant_core::medium::DirectoryMedium;
use revenant_core::store::{CheckpointInfo, StoreError};

use crate::{Failed, REST, chain, expected, next_number, open};

/// Between two looks at how the holder stands.
const LOOK: Duration = Duration::from_millis(100);
/// How often the store is opened anew after a commit that failed: a client that was cut off may have lost its locks.
const TRIES: u32 = 10;

/// Waits until the guest's holder is lost, takes the lease over and protects the guest.
pub(super) fn stands_by(dir: &Path, guest: &str, term_ms: &str) -> Result<ExitCode, Failed> {
    let term = Duration::from_millis(term_ms.parse()?);
    let medium = DirectoryMedium::open(dir)?;
    println!("watching");
    let pause = &mut |time| {
        sleep(time);
        true
    };
    let lapsed = stand_by(&medium, guest, term, &SystemClock::new(), pause)?.ok_or("never told to stop")?;
    println!("lapsed {}", lapsed.epoch);
    protects(dir, guest, term, Some(lapsed.epoch))
}

/// Takes the lease from whoever has it and protects the guest.
pub(super) fn takes(dir: &Path, guest: &str, term_ms: &str) -> Result<ExitCode, Failed> {
    protects(dir, guest, Duration::from_millis(term_ms.parse()?), None)
}

/// Commits under the lease until that is refused.
fn protects(dir: &Path, guest: &str, term: Duration, after: Option<u64>) -> Result<ExitCode, Failed> {
    let clock = Arc::new(SystemClock::new());
    let listing = open(dir)?.list()?;
    let own = listing.checkpoints.iter().filter(|info| info.guest == guest);
    let claim = Claim {
        guest,
        holder: &process::id().to_string(),
        timeout: term,
        after,
        given: own.filter_map(CheckpointInfo::epoch).max().unwrap_or(0),
    };
    let lease = Lease::take(&DirectoryMedium::open(dir)?, &claim, &*clock)?;
    let folder: PathBuf = dir.to_owned();
    let held = Held::keep(lease, Arc::clone(&clock) as _, move || {
        Ok(Box::new(DirectoryMedium::open(&folder)?))
    });
    println!("took {}", held.fence().epoch());
    let over = AtomicBool::new(false);
    scope(|threads| {
        // What a commit that hangs cannot keep it from seeing.
        threads.spawn(|| tell_changes(&held, &clock, &over));
        let mut done = Err("nothing was tried".into());
        for _ in 0..TRIES {
            done = commit_until_refused(dir, guest, &held);
            let Err(error) = &done else { break };
            println!("failed: {}", chain(&**error));
        }
        // A holder that was refused learns who has the lease at its next renewal.
        over.store(done.is_err(), Ordering::Relaxed);
        done
    })
}

/// Tells how the holder stands when that changes, until the lease is lost or all is over.
fn tell_changes(held: &Held, clock: &SystemClock, over: &AtomicBool) {
    let mut before = LeaseState::Held;
    while !over.load(Ordering::Relaxed) {
        let state = held.state(clock.now());
        if state != before {
            match &state {
                LeaseState::Held => println!("sure"),
                LeaseState::Doubtful => println!("doubtful"),
                LeaseState::Lost { by } => return println!("lost {}", by.epoch.unwrap_or_default()),
            }
            before = state;
        }
        sleep(LOOK);
    }
}

fn commit_until_refused(dir: &Path, guest: &str, held: &Held) -> Result<ExitCode, Failed> {
    let store = open(dir)?;
    store.set_fence(held.fence().clone());
    let mut base = None;
    for number in next_number(&store, guest)?.. {
        let this = expected(guest, number);
        match this.stage(&store, base.as_ref())?.commit() {
            Ok(info) => {
                println!("acknowledged {guest} {number} {}", info.id.to_hex());
                base = Some((info.id, this));
            }
            Err(StoreError::Superseded { epoch, by, .. }) => {
                println!("refused {epoch} {}", by.unwrap_or_default());
                return Ok(ExitCode::SUCCESS);
            }
            Err(error) => return Err(error.into()),
        }
        sleep(REST);
    }
    Err("the numbers are used up".into())
}

//! A store at work on the file system of a directory, as a process of its own, for the rig of file systems:
//!
//! ```text
//! store_check conforms DIR                       one row a clause of the medium's contract
//! store_check commits STORE GUEST COUNT          prints `acknowledged GUEST NUMBER ID` after each commit
//! store_check prunes STORE KEPT COUNT            so many prunes, each waits for its turn; prints `pruned` after each
//! store_check judge STORE ACKNOWLEDGED [KEPT]    is all that was acknowledged there, and right, and nothing else?
//! store_check lock DIR shared|exclusive MS       takes a lock, says `held` and in the end `kept` or `lost`; or ends with status 4
//! store_check takes STORE GUEST MS               takes the guest's lease, whoever has it, and commits under it until it is lost
//! store_check stands-by STORE GUEST MS           the same once the holder has been silent for so long
//! ```
//!
//! What a checkpoint holds follows from its number, so that whoever reads it knows what it should be. `KEPT` says how many
//! of a guest's newest a prune at work left.

mod lease;

use std::collections::BTreeMap;
use std::error::Error;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::thread::sleep;
use std::time::Duration;
use std::{env, fs};

use revenant_core::clock::SystemClock;
use revenant_core::conformance::medium::JUDGES;
use revenant_core::lease::EPOCH_FACT;
use revenant_core::medium::{DirectoryMedium, LockMode, Medium};
use revenant_core::store::{CollectOptions, Retention, Scope, Store, StoreError, StoreOptions};
use revenant_tests::stores::Expected;

/// Frames of a guest; a fifth of them changes from one checkpoint to the next.
const FRAMES: u64 = 200;
/// Commits after which the store is opened anew.
const COMMITS_A_STORE: u32 = 8;
/// Between two commits, so that a prune may get in.
const REST: Duration = Duration::from_millis(200);
/// A prune of a store on emulated machines may take long.
const LOCK_WAIT: Duration = Duration::from_mins(10);
/// Exit status of a lock that another holds.
const BUSY: u8 = 4;

type Failed = Box<dyn Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["conforms", dir] => conforms(dir.as_ref()),
        ["commits", store, guest, count] => commits(store.as_ref(), guest, count),
        ["prunes", store, kept, count] => prunes(store.as_ref(), kept, count),
        ["judge", store, acknowledged] => judge(store.as_ref(), acknowledged, None),
        ["judge", store, acknowledged, kept] => judge(store.as_ref(), acknowledged, Some(kept)),
        ["lock", dir, mode, ms] => lock(dir.as_ref(), mode, ms),
        ["takes", store, guest, ms] => lease::takes(store.as_ref(), guest, ms),
        ["stands-by", store, guest, ms] => lease::stands_by(store.as_ref(), guest, ms),
        _ => Err("usage: store_check conforms|commits|prunes|judge|lock|takes|stands-by …".into()),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {}", chain(&*error));
        ExitCode::FAILURE
    })
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn conforms(dir: &Path) -> Result<ExitCode, Failed> {
    let mut broken = 0;
    for (number, (clause, judge)) in JUDGES.into_iter().enumerate() {
        let medium = DirectoryMedium::create(dir.join(format!("clause-{number}")))?;
        let holds = panic::catch_unwind(AssertUnwindSafe(|| judge(&medium))).is_ok();
        println!("{}\t{clause}", if holds { "holds" } else { "BROKEN" });
        broken += u32::from(!holds);
    }
    Ok(if broken == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn open(dir: &Path) -> Result<Store, StoreError> {
    let medium = DirectoryMedium::create(dir)?;
    Store::create(&medium)?;
    let options = StoreOptions {
        lock_wait: LOCK_WAIT,
        ..StoreOptions::default()
    };
    Store::open(Rc::new(medium), Rc::new(SystemClock::new()), options)
}

/// What the checkpoint of a number is: a frame changes in every fifth, a few are zero, a few compress.
fn expected(guest: &str, number: u32) -> Expected {
    let frames = (0..FRAMES).map(|frame| {
        let place = u32::try_from(frame).expect("few frames");
        let changed = number - (number + place) % 5;
        let content = match frame % 11 {
            0 => 0,
            1 => 1 + (changed * 31 + place) % 900,
            _ => 1000 + changed * 256 + place,
        };
        (frame, u8::try_from(frame % 3).expect("below 3"), content)
    });
    Expected::new(guest).with(&frames.collect::<Vec<_>>(), &number.to_string())
}

fn number_of(facts: &BTreeMap<String, String>) -> Result<u32, Failed> {
    Ok(facts
        .get("state")
        .ok_or("a checkpoint without a number")?
        .parse()?)
}

/// The number of the guest's next checkpoint.
fn next_number(store: &Store, guest: &str) -> Result<u32, Failed> {
    let listing = store.list()?;
    let newest = listing.checkpoints.iter().rfind(|info| info.guest == guest);
    newest.map_or(Ok(10), |info| number_of(&info.facts).map(|number| number + 1))
}

fn commits(dir: &Path, guest: &str, count: &str) -> Result<ExitCode, Failed> {
    let mut store = open(dir)?;
    let first = next_number(&store, guest)?;
    let mut base = None;
    for number in first..first + count.parse::<u32>()? {
        if number % COMMITS_A_STORE == 0 {
            store = open(dir)?;
        }
        let this = expected(guest, number);
        let id = this.stage(&store, base.as_ref())?.commit()?.id;
        println!("acknowledged {guest} {number} {}", id.to_hex());
        base = Some((id, this));
        sleep(REST);
    }
    Ok(ExitCode::SUCCESS)
}

fn prunes(dir: &Path, kept: &str, count: &str) -> Result<ExitCode, Failed> {
    let rules = Retention {
        keep_last: Some(kept.parse()?),
        ..Retention::new(Scope::All)
    };
    for _ in 0..count.parse::<u32>()? {
        open(dir)?.prune(&rules, CollectOptions::default())?;
        println!("pruned");
        sleep(REST);
    }
    Ok(ExitCode::SUCCESS)
}

fn judge(dir: &Path, acknowledged: &str, kept: Option<&str>) -> Result<ExitCode, Failed> {
    let store = open(dir)?;
    let listing = store.list()?;
    let verification = store.verify(None)?;
    let mut wrong: Vec<String> = (listing.damaged.iter().chain(&verification.findings))
        .map(|finding| format!("damaged: {finding}"))
        .collect();
    let mut there = Vec::new();
    let mut epochs = BTreeMap::new();
    for info in &listing.checkpoints {
        let number = number_of(&info.facts)?;
        let mut right = expected(&info.guest, number);
        if let Some(epoch) = info.epoch() {
            let newest = epochs.entry(&info.guest).or_insert(epoch);
            if epoch < *newest {
                wrong.push(format!(
                    "{} {number} is of epoch {epoch}, after {newest}",
                    info.guest
                ));
            }
            *newest = epoch.max(*newest);
            right.facts.insert(EPOCH_FACT.to_owned(), epoch.to_string());
        }
        if let Some(difference) = right.difference(&store, info.id)? {
            wrong.push(format!("{} {number} differs: {difference}", info.guest));
        }
        there.push(info.id.to_hex());
    }
    let promised = promised(
        &fs::read_to_string(acknowledged)?,
        kept.map(str::parse).transpose()?,
    );
    for (what, id) in &promised {
        if !there.contains(id) {
            wrong.push(format!("{what} was acknowledged and is not there"));
        }
    }
    for wrong in &wrong {
        eprintln!("{wrong}");
    }
    println!(
        "{} checkpoints right, {} of {} acknowledged there",
        there.len(),
        promised.iter().filter(|(_, id)| there.contains(id)).count(),
        promised.len()
    );
    Ok(if wrong.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Acknowledged checkpoints that must be there: what, and the id. If prunes keep so many of each guest, one of them may be
/// one that was never acknowledged.
fn promised(acknowledged: &str, kept: Option<usize>) -> Vec<(String, String)> {
    let mut guests: BTreeMap<&str, BTreeMap<u32, &str>> = BTreeMap::new();
    for line in acknowledged.lines() {
        // The end of a line may have been lost with the power: then nobody was told.
        if let ["acknowledged", guest, number, id] = line.split(' ').collect::<Vec<_>>()[..]
            && let Ok(number) = number.parse()
            && id.len() == 64
        {
            guests.entry(guest).or_default().insert(number, id);
        }
    }
    let newest = kept.map_or(usize::MAX, |kept| kept - 1);
    let of_each = guests.into_iter().flat_map(|(guest, numbers)| {
        let newest = numbers.into_iter().rev().take(newest);
        newest.map(move |(number, id)| (format!("{guest} {number}"), id.to_owned()))
    });
    of_each.collect()
}

fn lock(dir: &Path, mode: &str, ms: &str) -> Result<ExitCode, Failed> {
    let mode = match mode {
        "shared" => LockMode::Shared,
        "exclusive" => LockMode::Exclusive,
        _ => return Err("a lock is shared or exclusive".into()),
    };
    let medium = DirectoryMedium::create(dir)?;
    let Some(held) = medium.try_lock("lock", mode, Duration::ZERO)?.held() else {
        return Ok(ExitCode::from(BUSY));
    };
    println!("held");
    sleep(Duration::from_millis(ms.parse()?));
    println!("{}", if held.still_held()? { "kept" } else { "lost" });
    Ok(ExitCode::SUCCESS)
}

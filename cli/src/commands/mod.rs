//! One file a command group; this one opens what they share.

mod catalogue;
mod cluster;
mod copy;
mod doctor;
mod documents;
mod exchange;
mod experiment;
mod fit;
mod init;
mod interval;
mod names;
mod policies;
mod progress;
mod space;
mod validate;
mod verify;
#[cfg(feature = "libxc")]
mod xen;
#[cfg(not(feature = "libxc"))]
#[path = "no_xen.rs"]
mod xen;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use revenant_core::clock::SystemClock;
use revenant_core::medium::DirectoryMedium;
use revenant_core::quantity::Period;
use revenant_core::store::{StoreError, StoreOptions};
use revenant_core::{Medium, Store};

use crate::Outcome;
use crate::args::{Command, StoreArg};
use crate::interrupt::StopsAtSignal;
use crate::output::{counted, note, warning};

use init::{NoStore, open_for_writing};

pub(crate) fn dispatch(command: Command) -> Result<Outcome> {
    match command {
        Command::Run(args) => experiment::run(&args),
        Command::Fit(args) => fit::run(&args),
        Command::Validate(args) => validate::validate(&args),
        Command::Reproduce(args) => validate::reproduce(&args),
        Command::Merge(args) => cluster::merge(&args),
        Command::Status(args) => cluster::status(&args),
        Command::Slurm(args) => cluster::slurm(&args),
        Command::Replay(args) => experiment::replay(&args),
        Command::Plot(args) => experiment::plot(&args),
        Command::Report(args) => experiment::report(&args),
        Command::Interval(args) => interval::interval(&args),
        Command::Policies(args) => policies::policies(&args),
        Command::Init(args) => init::init(&args),
        Command::Import(args) => exchange::import(&args),
        Command::Export(args) => exchange::export(&args),
        Command::Copy(args) => copy::copy(&args),
        Command::List(args) => catalogue::list(&args),
        Command::Show(args) => catalogue::show(&args),
        Command::Verify(args) => verify::verify(&args),
        Command::Diff(args) => catalogue::diff(&args),
        Command::Prune(args) => space::prune(&args),
        Command::Stats(args) => space::stats(&args),
        Command::Checkpoint(args) => xen::checkpoint(&args),
        Command::Restore(args) => xen::restore(&args),
        Command::Protect(args) => xen::protect(&args),
        Command::Calibrate(args) => xen::calibrate(&args),
        Command::Ladder(args) => experiment::ladder(&args),
        Command::XenHelper { words } => xen::helper(&words),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Completions { shell } => documents::completions(shell),
        Command::Man { dir } => documents::man(&dir),
    }
}

/// How long commands wait for the store's lock if they are not told. An import may be a stream that comes once, and a
/// checkpoint has cost a guest time.
const WAIT_TO_TAKE_IN: Duration = Duration::from_mins(5);
const WAIT_TO_READ: Duration = Duration::from_secs(30);
/// What is not pruned today is pruned tomorrow.
const WAIT_TO_PRUNE: Duration = Duration::from_secs(10);

/// Opens the store that was named for a command, which waits so long for others unless it is told.
fn open(store: &StoreArg, wait: Duration) -> Result<Store> {
    open_waiting(&store.store, store.wait.unwrap_or(wait))
}

/// Opens the store in a directory; it waits for nobody.
fn open_store(dir: &Path) -> Result<Store> {
    open_waiting(dir, Duration::ZERO)
}

fn open_waiting(dir: &Path, lock_wait: Duration) -> Result<Store> {
    open_on(dir, lock_wait, |medium| Rc::new(medium))
}

/// The same for a command that writes, and that a signal ends: it leaves no unfinished file.
fn open_interruptible(dir: &Path, lock_wait: Duration) -> Result<Store> {
    open_on(dir, lock_wait, |medium| Rc::new(StopsAtSignal(medium)))
}

fn open_on(
    dir: &Path,
    lock_wait: Duration,
    on: impl FnOnce(DirectoryMedium) -> Rc<dyn Medium>,
) -> Result<Store> {
    let context = || format!("cannot open the store {}", dir.display());
    if let Some(none) = NoStore::without_directory(dir) {
        return Err(none.into());
    }
    let medium = DirectoryMedium::open(dir).with_context(context)?;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let options = StoreOptions {
        workers: cores,
        lock_wait,
        ..StoreOptions::default()
    };
    match Store::open(on(medium), Rc::new(SystemClock::new()), options) {
        Err(StoreError::NotAStore { path }) => Err(NoStore::without_header(dir, path).into()),
        opened => opened.with_context(context),
    }
}

/// Do both names lead to the same directory?
fn is_same_directory(a: &Path, b: &Path) -> bool {
    let same_entry = match (fs::metadata(a), fs::metadata(b)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    };
    let same_path = || match (fs::canonicalize(a), fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    };
    same_entry || same_path()
}

/// Says once that what was just read was not kept from being removed meanwhile.
fn warn_unless_guarded(store: &Store) {
    if !store.is_guarded() {
        note("the file system has no locks, so nothing kept a prune away while the store was read");
    }
}

/// Says what kept a writer from the catalogue log. What was written is there all the same.
fn warn_of_log(store: &Store) {
    if let Some(trouble) = store.take_log_trouble() {
        warning(&trouble.to_string());
    }
}

/// After a commit: what there is to say of the log, and older checkpoints are healed with what came.
fn after_commit(store: &Store) {
    warn_of_log(store);
    heal(store);
}

/// What came with a new checkpoint may be what older ones lack. It is there already: that this fails is no failure of the
/// command.
fn heal(store: &Store) {
    match store.heal() {
        Ok(Some(repaired)) if repaired.pages > 0 => {
            note(&format!(
                "healed {} of older checkpoints",
                counted(repaired.pages, "damaged page")
            ));
        }
        Ok(_) => {}
        Err(error) => note(&format!(
            "damaged pages of older checkpoints could not be healed: {error}"
        )),
    }
}

/// A duration as people write it, named by the flag it came with.
fn duration(flag: &str, text: &str) -> Result<Duration> {
    let period: Period = text.parse().with_context(|| format!("--{flag} {text:?}"))?;
    Ok(period.0)
}

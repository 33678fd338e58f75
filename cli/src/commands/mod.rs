//! One file a command group; this one opens what they share.

mod catalogue;
mod cluster;
mod copy;
mod doctor;
mod documents;
mod exchange;
mod experiment;
mod fit;
mod interval;
mod policies;
mod progress;
mod validate;
#[cfg(feature = "libxc")]
mod xen;
#[cfg(not(feature = "libxc"))]
#[path = "no_xen.rs"]
mod xen;

use std::path::Path;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use revenant_core::Store;
use revenant_core::clock::SystemClock;
use revenant_core::medium::DirectoryMedium;
use revenant_core::quantity::Period;
use revenant_core::store::StoreOptions;

use crate::Outcome;
use crate::args::Command;

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
        Command::Import(args) => exchange::import(&args),
        Command::Export(args) => exchange::export(&args),
        Command::Copy(args) => copy::copy(&args),
        Command::List(args) => catalogue::list(&args),
        Command::Show(args) => catalogue::show(&args),
        Command::Verify(args) => catalogue::verify(&args),
        Command::Diff(args) => catalogue::diff(&args),
        Command::Prune(args) => catalogue::prune(&args),
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

/// Opens the store in a directory.
fn open_store(dir: &Path) -> Result<Store> {
    let context = || format!("cannot open the store {}", dir.display());
    let medium = DirectoryMedium::open(dir).with_context(context)?;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let options = StoreOptions {
        workers: cores,
        ..StoreOptions::default()
    };
    Store::open(Rc::new(medium), Rc::new(SystemClock::new()), options).with_context(context)
}

/// Opens the store in a directory, making it first where there is none.
fn open_or_create_store(dir: &Path) -> Result<Store> {
    let context = || format!("cannot make a store in {}", dir.display());
    let medium = DirectoryMedium::create(dir).with_context(context)?;
    Store::create(&medium).with_context(context)?;
    open_store(dir)
}

/// A duration as people write it, named by the flag it came with.
fn duration(flag: &str, text: &str) -> Result<Duration> {
    let period: Period = text.parse().with_context(|| format!("--{flag} {text:?}"))?;
    Ok(period.0)
}

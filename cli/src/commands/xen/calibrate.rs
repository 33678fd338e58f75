//! A cost profile of this host.

use std::fs;
use std::rc::Rc;
use std::thread;

use anyhow::{Context, Result};
use revenant_core::clock::SystemClock;
use revenant_core::medium::DirectoryMedium;
use revenant_sim::calibrate::{Bench, calibrate as measure};
use revenant_xen::{KeeperProgram, LiveDomain, open_guest};

use crate::Outcome;
use crate::args::CalibrateArgs;
use crate::output::print;

pub(crate) fn calibrate(args: &CalibrateArgs) -> Result<Outcome> {
    super::host::refuse_broken_resume(args.broken_resume)?;
    let domain = LiveDomain::find(&args.domain)?;
    let mut guest = open_guest(domain, KeeperProgram::this(super::HELPER)?)?;
    let folder = tempfile::Builder::new()
        .prefix(".revenant-calibrate-")
        .tempdir_in(&args.dir)
        .with_context(|| format!("cannot make a directory in {}", args.dir.display()))?;
    let medium = DirectoryMedium::create(folder.path())?;
    let mut bench = Bench {
        guest: &mut *guest,
        medium: &medium,
        clock: Rc::new(SystemClock::new()),
        workers: thread::available_parallelism().map_or(1, usize::from),
    };
    let profile = measure(&mut bench, &mut thread::sleep)
        .with_context(|| format!("cannot calibrate with {}", args.domain))?;
    let text = profile.to_toml();
    match &args.output {
        Some(file) => {
            fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
        None => print(&text)?,
    }
    Ok(Outcome::Done)
}

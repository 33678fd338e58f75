//! What this host is, and what it allows.

use std::path::Path;

use anyhow::{Result, bail};
use revenant_xen::disk::{AllowedDisks, DISKS_ALLOWED};
use revenant_xen::{XenControl, resume_is_broken};

use crate::args::{BrokenResumeArg, DisksArg};

/// What checkpoints may name of this host, besides what its own configurations do.
pub(super) fn allowed_disks(args: &DisksArg) -> Result<AllowedDisks> {
    let mut allowed = AllowedDisks::default();
    for path in &args.allow_disk {
        allowed.add(path, "--allow-disk")?;
    }
    let default = Path::new(DISKS_ALLOWED);
    match &args.disks_allowed {
        Some(file) => allowed.add_file(file)?,
        None if default.exists() => allowed.add_file(default)?,
        None => {}
    }
    Ok(allowed)
}

/// Guests are resumed in place at every checkpoint: not on a release of Xen that harms them by it.
pub(super) fn refuse_broken_resume(arg: BrokenResumeArg) -> Result<()> {
    let version = XenControl::open()?.version()?;
    if resume_is_broken(&version) && !arg.force_broken_resume {
        bail!(
            "Xen {version} loses the registers r8 to r15 of a guest that is resumed, so each checkpoint would crash it sooner \
             or later. Update to Xen 4.21.2 or 4.22. If yours has the mend (upstream d5ad2233bb), say --force-broken-resume"
        );
    }
    Ok(())
}

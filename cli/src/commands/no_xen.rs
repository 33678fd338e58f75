//! The commands for live guests in a binary without libxc: they say what is missing.

use anyhow::{Result, bail};

use crate::Outcome;
use crate::args::{CalibrateArgs, CheckpointArgs, ProtectArgs, RestoreArgs};

fn missing() -> Result<Outcome> {
    bail!(
        "this binary was built without libxc; live guests need one built with `--features libxc` on a Xen host \
         (packages libxen-dev and libclang-dev)"
    )
}

pub(crate) fn checkpoint(_: &CheckpointArgs) -> Result<Outcome> {
    missing()
}

pub(crate) fn restore(_: &RestoreArgs) -> Result<Outcome> {
    missing()
}

pub(crate) fn protect(_: &ProtectArgs) -> Result<Outcome> {
    missing()
}

pub(crate) fn calibrate(_: &CalibrateArgs) -> Result<Outcome> {
    missing()
}

pub(crate) fn helper(_: &[String]) -> Result<Outcome> {
    missing()
}

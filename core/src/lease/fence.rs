//! What keeps a holder that has lost its lease from changing the store.

use super::names::Names;
use crate::medium::{Medium, MediumError, MediumErrorKind};
use crate::store::CheckpointInfo;

/// The right to change a guest's part of a store, for as long as no larger epoch of its lease exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    guest: String,
    epoch: u64,
    names: Names,
}

/// What a fence found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has taken the lease since.
    Holds,
    /// Another has it.
    Superseded {
        /// Its epoch; `None`: the lease's own file was removed, and who has been here since is not known.
        by: Option<u64>,
    },
}

impl Fence {
    pub(super) fn new(guest: &str, epoch: u64, names: &Names) -> Self {
        Fence {
            guest: guest.to_owned(),
            epoch,
            names: names.clone(),
        }
    }

    /// The guest whose checkpoints it is about.
    pub fn guest(&self) -> &str {
        &self.guest
    }

    /// The epoch under which they are committed.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Asks the medium. An error means that it is not known, and then nothing may be changed either.
    pub fn check(&self, medium: &dyn Medium) -> Result<Standing, MediumError> {
        touch(medium, &self.names.probe(self.epoch))?;
        let epochs = self.names.epochs(medium)?;
        Ok(match epochs.last() {
            Some(&last) if last > self.epoch => Standing::Superseded { by: Some(last) },
            Some(&last) if last == self.epoch => Standing::Holds,
            _ => Standing::Superseded { by: None },
        })
    }
}

/// Leaves out what a holder whose epoch is over committed at the moment when it was deposed: of checkpoints of one guest, oldest
/// first, those that come after one of the present epoch and are of an earlier one. In sequence they are later than what the present
/// holder has made, and older in what the guest has done. A checkpoint that was made under no lease stays.
pub fn leave_out_deposed(checkpoints: &mut Vec<CheckpointInfo>, epoch: u64) {
    let mut present = false;
    checkpoints.retain(|info| {
        present |= info.epoch() == Some(epoch);
        !present || info.epoch().is_none_or(|of| of >= epoch)
    });
}

/// A client of a network file system lists a folder from memory for up to a minute; not when it has just changed the folder
/// itself, because the server's answer then shows that others have, too.
fn touch(medium: &dyn Medium, path: &str) -> Result<(), MediumError> {
    match medium.create_new(path) {
        Ok(_) => {}
        // Left by a crash.
        Err(error) if error.kind == MediumErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    match medium.remove(path) {
        Err(error) if error.kind != MediumErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

//! Who writes to a result folder does so alone: two writers would give rows twice, and wrong statistics that look right.
//!
//! The lock is on a file of the folder that stays there. It ends with its process, however that ends, and holds between the
//! hosts of a network file system.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use revenant_core::Medium;
use revenant_core::medium::{
    DirectoryMedium, LockAttempt, LockMode, MediumError, MediumErrorKind, MediumLock,
};

use super::RunError;

/// Its file; what else begins like it belongs to it.
pub(super) const LOCK: &str = ".lock";

/// The lock on a result folder, held as long as this lives.
#[derive(Debug)]
pub(super) struct FolderLock {
    path: PathBuf,
    /// `None`: the file system has no locks.
    lock: Option<Box<dyn MediumLock>>,
}

impl FolderLock {
    /// For who writes there.
    pub(super) fn to_write(path: &Path) -> Result<FolderLock, RunError> {
        FolderLock::take(path, LockMode::Exclusive)
    }

    /// For who reads what must not change meanwhile.
    pub(super) fn to_read(path: &Path) -> Result<FolderLock, RunError> {
        FolderLock::take(path, LockMode::Shared)
    }

    fn take(path: &Path, mode: LockMode) -> Result<FolderLock, RunError> {
        let medium = DirectoryMedium::open(path).map_err(|error| failed(path, error))?;
        let lock = match medium.try_lock(LOCK, mode, Duration::ZERO) {
            Ok(LockAttempt::Held(lock)) => Some(lock),
            Ok(LockAttempt::Busy(holders)) => {
                let holders: Vec<String> = holders.iter().map(ToString::to_string).collect();
                return Err(RunError::Busy {
                    path: path.to_owned(),
                    holders: match &holders[..] {
                        [] => "another process".to_owned(),
                        known => known.join(", "),
                    },
                });
            }
            Err(error) if error.kind == MediumErrorKind::Unsupported => None,
            Err(error) => return Err(failed(path, error)),
        };
        Ok(FolderLock {
            path: path.to_owned(),
            lock,
        })
    }

    /// What to mind where nothing keeps others away.
    pub(super) fn warning(&self) -> Option<String> {
        let none = "the file system of the results has no locks: nothing noticed whether another process wrote to them";
        self.lock.is_none().then(|| none.to_owned())
    }

    /// An error if the lock was taken away: its file was removed or replaced, and another process may have written here.
    pub(super) fn check(&self) -> Result<(), RunError> {
        match &self.lock {
            Some(lock) if !lock.still_held().map_err(|error| failed(&self.path, error))? => {
                Err(RunError::LockLost {
                    path: self.path.join(LOCK),
                })
            }
            _ => Ok(()),
        }
    }
}

fn failed(path: &Path, error: MediumError) -> RunError {
    RunError::io("lock", path, io::Error::other(error))
}

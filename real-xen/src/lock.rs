//! One capture of a domain at a time: two would take each other's dirty log.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

const FOLDER: &str = "/run/revenant";

/// Held as long as it lives; a lock dies with its holder.
#[derive(Debug)]
pub(crate) struct DomainLock {
    _file: File,
}

impl DomainLock {
    /// Takes the lock of the domain with this UUID.
    pub(crate) fn take(uuid: [u8; 16]) -> Result<Self, LockError> {
        let path = Path::new(FOLDER).join(format!("{:032x}.lock", u128::from_be_bytes(uuid)));
        let opened = fs::create_dir_all(FOLDER).and_then(|()| File::create(&path));
        let file = opened.map_err(|source| LockError::File {
            path: path.display().to_string(),
            source,
        })?;
        match file.try_lock() {
            Ok(()) => Ok(DomainLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Busy),
            Err(TryLockError::Error(source)) => Err(LockError::File {
                path: path.display().to_string(),
                source,
            }),
        }
    }
}

/// The lock could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// Somebody has it.
    #[error("another process checkpoints or protects this domain")]
    Busy,
    /// The lock file.
    #[error("cannot lock {path}")]
    File {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

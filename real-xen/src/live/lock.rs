//! One capture of a domain at a time: two would take each other's dirty log.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use revenant_core::clock::{Clock, SystemClock};
use rustix::io::{FdFlags, fcntl_setfd};

const FOLDER: &str = "/run/revenant";
/// How long to wait for a holder: the keeper of a process that died holds the lock for some seconds.
const PATIENCE: Duration = Duration::from_secs(8);
const POLL: Duration = Duration::from_millis(20);

/// Held as long as it lives; a lock dies with its holder.
#[derive(Debug)]
pub(crate) struct DomainLock {
    file: File,
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
        let clock = SystemClock::new();
        let begun = clock.now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(DomainLock { file }),
                Err(TryLockError::WouldBlock) if clock.now().since(begun) < PATIENCE => sleep(POLL),
                Err(TryLockError::WouldBlock) => return Err(LockError::Busy),
                Err(TryLockError::Error(source)) => {
                    return Err(LockError::File {
                        path: path.display().to_string(),
                        source,
                    });
                }
            }
        }
    }

    /// Starts a process that shares the lock: it is free when both have ended.
    pub(crate) fn inherited<T>(&self, start: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        fcntl_setfd(&self.file, FdFlags::empty())?;
        let started = start();
        fcntl_setfd(&self.file, FdFlags::CLOEXEC)?;
        started
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

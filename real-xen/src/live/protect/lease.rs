//! Who protects a guest, visible to other hosts through the store's medium.
//!
//! The protecting host renews a small file; a host that stands by watches it. A file that has not changed for a while by
//! the watcher's own clock means that the host is lost: clocks of two hosts are never compared. A host that is cut off
//! from the store and lives on is not lost, though: before the guest is started here it must be made sure that it is not
//! running there, which is what a fence command is for.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use revenant_core::Clock;

use super::watch::nap;

const FOLDER: &str = "protect";
const RENEW_EVERY: Duration = Duration::from_secs(1);

/// A lease could not be kept or watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}")]
pub struct LeaseError {
    action: &'static str,
    path: String,
    #[source]
    source: io::Error,
}

/// The lease on a guest, held by this process. A thread renews it, however long a capture or a restore takes; it is not
/// renewed any more once this is dropped.
#[derive(Debug)]
pub struct Lease {
    path: PathBuf,
    /// Dropped, it ends the thread.
    held: Option<Sender<()>>,
    renewing: Option<JoinHandle<()>>,
}

fn path_of(store: &Path, guest: &str) -> PathBuf {
    // A guest's name may hold any character; a file's may not.
    let name: String = guest
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
            _ => format!("%{byte:02x}"),
        })
        .collect();
    store.join(FOLDER).join(format!("{name}.lease"))
}

impl Lease {
    /// Takes the lease on `guest` in the store's directory; `holder` tells who has it.
    pub fn take(store: &Path, guest: &str, holder: &str) -> Result<Self, LeaseError> {
        Lease::renewed(store, guest, holder, RENEW_EVERY)
    }

    fn renewed(store: &Path, guest: &str, holder: &str, every: Duration) -> Result<Self, LeaseError> {
        let path = path_of(store, guest);
        let folder = store.join(FOLDER);
        fs::create_dir_all(&folder).map_err(|source| LeaseError {
            action: "make",
            path: folder.display().to_string(),
            source,
        })?;
        let mut lease = File {
            path: path.clone(),
            holder: format!("{holder} {}", std::process::id()),
            renewals: 0,
        };
        lease.renew().map_err(|source| LeaseError {
            action: "write the lease",
            path: path.display().to_string(),
            source,
        })?;
        let (held, hold) = channel::<()>();
        let renewing = thread::spawn(move || {
            while hold.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                // A medium that is away for a moment is no reason to stop; a host that stands by will act if it is longer.
                drop(lease.renew());
            }
        });
        Ok(Lease {
            path,
            held: Some(held),
            renewing: Some(renewing),
        })
    }

    /// Gives the lease back: nobody protects the guest, and nobody has to take over.
    pub fn release(mut self) {
        self.stop();
        drop(fs::remove_file(&self.path));
    }

    fn stop(&mut self) {
        drop(self.held.take());
        if let Some(renewing) = self.renewing.take() {
            // It does nothing that panics.
            drop(renewing.join());
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The file that shows that the holder lives.
struct File {
    path: PathBuf,
    holder: String,
    renewals: u64,
}

impl File {
    fn renew(&mut self) -> io::Result<()> {
        self.renewals += 1;
        let new = self.path.with_extension(format!("{}.new", std::process::id()));
        let text = format!("{} {}\n", self.holder, self.renewals);
        fs::File::create(&new)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .and_then(|()| fs::rename(&new, &self.path))
    }
}

/// Waits until the lease on `guest` has not changed for `timeout`; then its holder's host counts as lost. `false` if
/// `more` ended the wait. Without a lease there is nothing to take over, and the wait goes on.
pub fn stand_by(
    store: &Path,
    guest: &str,
    timeout: Duration,
    clock: &dyn Clock,
    mut more: impl FnMut() -> bool,
) -> Result<bool, LeaseError> {
    let path = path_of(store, guest);
    let pause = (timeout / 10).max(Duration::from_millis(50));
    let mut last: Option<Vec<u8>> = None;
    let mut since = clock.now();
    while more() {
        let seen = match fs::read(&path) {
            Ok(seen) => Some(seen),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => {
                return Err(LeaseError {
                    action: "read the lease",
                    path: path.display().to_string(),
                    source,
                });
            }
        };
        let now = clock.now();
        if seen != last || seen.is_none() {
            (last, since) = (seen, now);
        } else if now.since(since) >= timeout {
            return Ok(true);
        }
        nap(clock, now + pause, &mut more);
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use revenant_core::clock::SystemClock;

    use super::*;

    #[test]
    fn a_lease_that_is_renewed_is_left_alone_and_one_that_is_not_is_taken_over() {
        let store = tempfile::tempdir().unwrap();
        let clock = SystemClock::new();
        let timeout = Duration::from_millis(300);
        let every = Duration::from_millis(20);
        let lease = Lease::renewed(store.path(), "web/1", "host-a", every).unwrap();
        let begun = clock.now();
        let lost = stand_by(store.path(), "web/1", timeout, &clock, || {
            clock.now().since(begun) < 3 * timeout
        });
        assert!(!lost.unwrap(), "a living holder was declared lost");
        drop(lease);
        let begun = clock.now();
        assert!(stand_by(store.path(), "web/1", timeout, &clock, || true).unwrap());
        assert!(clock.now().since(begun) >= timeout);
        Lease::take(store.path(), "web/1", "host-b").unwrap().release();
        let mut looks = 0;
        let lost = stand_by(store.path(), "web/1", Duration::from_millis(1), &clock, || {
            looks += 1;
            looks < 3
        });
        assert!(!lost.unwrap(), "a lease that was given back was taken over");
    }
}

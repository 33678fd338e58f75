//! Adding to the log.

use std::time::Duration;

use super::entry::{Alive, Entry, Kind};
use super::file::{ENTRIES_MAX, LogFile};
use super::root::CatalogueRoot;
use super::{End, LogTrouble, NUMBER_END, Timestamp, log_path};
use crate::medium::{LockAttempt, LockMode, MediumErrorKind, MediumLock};
use crate::store::files::{self, CATALOGUE, LOG_BEGUN, LOG_LOCK, TmpFile, checkpoint_path};
use crate::store::{CheckpointId, FindingKind, Store, StoreError};

/// How long a writer waits for others to add their entries, which takes each a moment. Then its own are left to the next.
const LOCK_WAIT: Duration = Duration::from_secs(10);

const WRITE: &str = "write the catalogue log";

/// The last file of the log as this process wrote it. A file only grows, and a log that begins anew does so under another
/// name, so a file of that name and length is still the same.
#[derive(Debug)]
pub(in crate::store) struct Tail {
    file: LogFile,
    len_bytes: u64,
}

impl Store {
    /// Adds what the log does not say yet, in this order. Returns when it is durable. `number` is one in `tmp` that is free,
    /// if the caller knows one.
    pub(super) fn append_to_log(
        &self,
        at: Timestamp,
        events: Vec<(Kind, CheckpointId)>,
        anew: bool,
        number: Option<u64>,
    ) -> Result<(), StoreError> {
        let lock = self.lock_log()?;
        let files = self.log_files()?.own;
        let (mut file, mut changed) = self.log_to_continue(&files, anew, at)?;
        for (kind, id) in events {
            let entry = Entry { kind, at, id };
            if !entry.changes(&file.alive) || (kind == Kind::Adopted && self.is_gone(id)?) {
                continue;
            }
            if file.is_full() {
                if changed {
                    self.write_log_file(&file, number, &*lock)?;
                }
                file = file.next();
            }
            file.push(entry);
            changed = true;
        }
        let own = files.iter().find(|(first, _)| *first == file.before.entries);
        let mut len_bytes = own.map_or(0, |&(_, len_bytes)| len_bytes);
        if changed {
            len_bytes = self.write_log_file(&file, number, &*lock)?;
        }
        self.tidy_log(&file, &files)?;
        self.mark_log_begun()?;
        *self.log.borrow_mut() = Some(Tail { file, len_bytes });
        Ok(())
    }

    /// Its manifest went since this process read it: a deposed holder of a lease took it back. Asked while nobody else writes the
    /// log, so that what is adopted is either there or given up after this.
    fn is_gone(&self, id: CheckpointId) -> Result<bool, StoreError> {
        match self.medium.open(&checkpoint_path(id)) {
            Err(error) if error.kind == MediumErrorKind::NotFound => Ok(true),
            Err(error) if error.kind == MediumErrorKind::Halted => Err(error.into()),
            _ => Ok(false),
        }
    }

    /// The last file of the log; or, and then it says so, the first of a new one.
    fn log_to_continue(
        &self,
        files: &[(u64, u64)],
        anew: bool,
        at: Timestamp,
    ) -> Result<(LogFile, bool), StoreError> {
        let remembered = self.log.take();
        let Some(&(first, len_bytes)) = files.last() else {
            let new = if self.log_was_begun()? {
                self.log_trouble.replace(Some(LogTrouble::BegunAnew));
                begun(Kind::BegunAnew, never_used(at), at)
            } else {
                begun(Kind::Begun, 0, at)
            };
            return Ok((new, true));
        };
        let is_same = |tail: &Tail| (tail.file.before.entries, tail.len_bytes) == (first, len_bytes);
        if let Some(tail) = remembered.filter(|tail| !anew && is_same(tail)) {
            return Ok((tail.file, false));
        }
        match self.log_end(files)? {
            End::File(_, file) if !anew => return Ok((*file, false)),
            // What does not read now may read again.
            End::Unread(finding) if !anew && finding.kind != FindingKind::Damaged => {
                return Err(finding.into());
            }
            End::File(..) | End::Unread(_) | End::Nowhere => {}
        }
        self.log_trouble.replace(Some(LogTrouble::BegunAnew));
        let behind = match first.checked_add(ENTRIES_MAX as u64) {
            Some(behind) if behind < NUMBER_END => behind,
            // Whoever has made a file of such a number has not made the log.
            _ => never_used(at),
        };
        Ok((begun(Kind::BegunAnew, behind, at), true))
    }

    /// Alone among those who add to the log.
    pub(super) fn lock_log(&self) -> Result<Box<dyn MediumLock>, StoreError> {
        match self.medium.try_lock(LOG_LOCK, LockMode::Exclusive, LOCK_WAIT)? {
            LockAttempt::Held(lock) => Ok(lock),
            LockAttempt::Busy(holders) => Err(StoreError::Busy {
                operation: WRITE,
                exclusive: true,
                holders,
            }),
        }
    }

    fn write_log_file(
        &self,
        file: &LogFile,
        number: Option<u64>,
        lock: &dyn MediumLock,
    ) -> Result<u64, StoreError> {
        let medium = &*self.medium;
        let tmp = match number {
            Some(number) => TmpFile::create_as(medium, number)?,
            None => TmpFile::create(medium)?,
        };
        if !lock.still_held()? {
            let (operation, path) = (WRITE, LOG_LOCK);
            return Err(StoreError::LockLost { operation, path });
        }
        let bytes = file.encode();
        let path = log_path(file.before.entries);
        files::write_whole(tmp, CATALOGUE, &path, &[&bytes])?;
        Ok(bytes.len() as u64)
    }

    /// Removes what is left of a log before one that began anew.
    fn tidy_log(&self, file: &LogFile, files: &[(u64, u64)]) -> Result<(), StoreError> {
        if !file.entries.first().is_some_and(Entry::begins) {
            return Ok(());
        }
        let mut old = files
            .iter()
            .filter(|(first, _)| *first < file.before.entries)
            .peekable();
        if old.peek().is_none() {
            return Ok(());
        }
        old.try_for_each(|(first, _)| self.medium.remove(&log_path(*first)))?;
        Ok(self.medium.sync_dir(CATALOGUE)?)
    }

    /// Once a log is durable its loss can be told from a store that never had one.
    fn mark_log_begun(&self) -> Result<(), StoreError> {
        if self.log_marked.get() {
            return Ok(());
        }
        match self.medium.create_new(LOG_BEGUN) {
            Ok(_) => self.medium.sync_dir("")?,
            Err(error) if error.kind == MediumErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
        self.log_marked.set(true);
        Ok(())
    }
}

/// A number for the first entry of a log that follows one of which nothing is left: no file and no root may be taken for one
/// of that log, so it is beyond what can have been written until now.
fn never_used(at: Timestamp) -> u64 {
    let seconds = at.0 / 1_000_000_000;
    seconds.saturating_add(1).saturating_mul(ENTRIES_MAX as u64)
}

fn begun(kind: Kind, number: u64, at: Timestamp) -> LogFile {
    let mut file = LogFile::new(CatalogueRoot::origin(number), Alive::new());
    let id = CheckpointId([0; 32]);
    file.push(Entry { kind, at, id });
    file
}

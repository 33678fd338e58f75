//! Tries out what a store needs of its medium.

use std::time::Duration;

use super::bad::KnownBad;
use super::files::{LOCK, LOG_LOCK, TMP, TmpFile, tmp_path};
use super::verify::damage;
use super::{Finding, Store, StoreError, Stranger, entries, header};
use crate::medium::{LockAttempt, LockHolder, LockMode, Medium, MediumError, MediumErrorKind};

/// What a medium did when it was asked to do what a store needs.
#[derive(Debug)]
pub struct Probe {
    /// Readers and writers keep garbage collection away.
    pub shared_lock: ProbedLock,
    /// Garbage collection keeps all others away.
    pub exclusive_lock: ProbedLock,
    /// Who adds to the catalogue log keeps others from it.
    pub log_lock: ProbedLock,
    /// A file is made, written, synced, renamed over another and removed.
    pub file: Result<(), MediumError>,
    /// The names in a directory are synced.
    pub directory: Result<(), MediumError>,
    /// What has the place of one of the store's files or folders, or of what the medium keeps beside its locks.
    pub misplaced: Result<Vec<Stranger>, MediumError>,
}

/// What came of asking for a lock.
#[derive(Debug)]
pub enum ProbedLock {
    /// It can be had.
    Works,
    /// Others have it, as far as they are known.
    Busy(Vec<LockHolder>),
    /// The medium has no locks. Stores on it can be read.
    Missing,
    /// It failed.
    Failed(MediumError),
}

impl Store {
    /// Tries locks, files and directories of a medium that holds a store. What a store has is not touched, and nothing is left
    /// behind; others may find the store locked for a moment.
    pub fn probe(medium: &dyn Medium) -> Probe {
        let (shared_lock, guard) = lock(medium, LOCK, LockMode::Shared);
        let file = file(medium);
        let directory = medium.sync_dir(TMP);
        drop(guard);
        Probe {
            shared_lock,
            exclusive_lock: lock(medium, LOCK, LockMode::Exclusive).0,
            log_lock: lock(medium, LOG_LOCK, LockMode::Exclusive).0,
            file,
            directory,
            misplaced: entries::misplaced(medium),
        }
    }

    /// What is wrong with the files that writers go by: the header, the catalogue log, the lists of bad frames. Checkpoints can be
    /// read in spite of it.
    pub fn ailments(&self) -> Result<Vec<Finding>, StoreError> {
        let header = damage(header::check(&self.medium))?.err();
        let mut found: Vec<Finding> = header.into_iter().collect();
        found.append(&mut self.review_log()?.findings);
        found.append(&mut KnownBad::read(&self.medium)?.damaged);
        Ok(found)
    }
}

fn lock(medium: &dyn Medium, path: &str, mode: LockMode) -> (ProbedLock, Option<LockAttempt>) {
    match medium.try_lock(path, mode, Duration::ZERO) {
        Ok(LockAttempt::Held(guard)) if !guard.excludes() => (ProbedLock::Missing, None),
        Ok(held @ LockAttempt::Held(_)) => (ProbedLock::Works, Some(held)),
        Ok(LockAttempt::Busy(holders)) => (ProbedLock::Busy(holders), None),
        Err(error) if error.kind == MediumErrorKind::Unsupported => (ProbedLock::Missing, None),
        Err(error) => (ProbedLock::Failed(error), None),
    }
}

/// Both names are this process's own, so that nobody's file is replaced.
fn file(medium: &dyn Medium) -> Result<(), MediumError> {
    let target = TmpFile::create(medium)?;
    let mut file = TmpFile::create(medium)?;
    file.append(b"tried out by revenant doctor")?;
    file.seal()?;
    let path = tmp_path(target.number());
    file.publish(&path)?;
    medium.remove(&path)
}

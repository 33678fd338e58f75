//! What a store has held: an entry for each checkpoint that was committed or given up, chained, so that one that is lost, and a
//! store that was rolled back, can be told.
//!
//! ```text
//! commit:  manifest durable ─▶ entry durable ─▶ returns        a manifest that goes after that is missed
//! prune:   entry durable ─▶ manifests removed                  one that goes in between is not
//! ```
//!
//! The directory is the catalogue, the log only says what it should be: reading needs no log, and a writer that cannot
//! get at it leaves its entry to the next one, who finds a checkpoint that the log does not have and *adopts* it. The
//! bytes are specified in `docs/checkpoint-format.md` §3.6.

mod entry;
mod file;
mod review;
mod root;
mod writer;

use std::collections::BTreeSet;

pub use review::CatalogueLog;
pub use root::{CatalogueRoot, ParseRootError};
pub(super) use writer::Tail;

use entry::{Alive, Kind};
use file::{FILE_BYTES_MAX, LogFile, VERSION, Wrong};

use super::entries::{self, Contents};
use super::files::{CATALOGUE, LOG_BEGUN, StoreFile, checkpoint_path};
use super::{CheckpointId, CheckpointInfo, Finding, FindingKind, Store, StoreError, verify};
use crate::medium::MediumErrorKind;
use crate::units::Timestamp;

/// Digits of a file's name, at least.
const NAME_DIGITS: usize = 16;

impl Store {
    /// Says that a checkpoint was committed. It is durable already: whatever is in the way, but for a machine that has
    /// stopped, leaves the entry to the next writer. `number` is one in `tmp` that is free.
    pub(super) fn log_committed(&self, info: &CheckpointInfo, number: u64) -> Result<(), StoreError> {
        let there: Vec<CheckpointId> = self.heads.borrow().keys().copied().collect();
        let others = there.into_iter().filter(|id| *id != info.id);
        let events = others
            .map(|id| (Kind::Adopted, id))
            .chain([(Kind::Committed, info.id)]);
        match self.append_to_log(info.committed, events.collect(), false, Some(number)) {
            Err(StoreError::Medium(error)) if error.kind == MediumErrorKind::Halted => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Says that checkpoints are given up, before their manifests go, and of what else should be there that it is. With `heal` a
    /// log that is damaged anywhere begins anew, unless that is only because this process may not read it. Tells whether it
    /// did.
    pub(super) fn log_dropped(
        &self,
        dropped: &[CheckpointId],
        kept: &[CheckpointId],
        heal: bool,
    ) -> Result<bool, StoreError> {
        let heal = heal && {
            let findings = self.review_log()?.findings;
            !findings.is_empty() && findings.iter().all(Finding::is_hopeless)
        };
        if dropped.is_empty() && !heal {
            return Ok(false);
        }
        let kept = kept.iter().map(|&id| (Kind::Adopted, id));
        let events = kept.chain(dropped.iter().map(|&id| (Kind::Dropped, id)));
        self.append_to_log(self.clock.now(), events.collect(), heal, None)?;
        Ok(heal)
    }

    /// What the log says should be there. Nothing if it is damaged, which stops nobody: `verify` tells of that.
    pub(super) fn logged(&self) -> Result<Logged, StoreError> {
        let files = match verify::damage(self.log_files())? {
            Ok(files) => files.own,
            Err(finding) => return Ok(Logged::unread(finding)),
        };
        let Some(&(first, _)) = files.last() else {
            return Ok(Logged::default());
        };
        match verify::damage(self.read_log_file(first)) {
            Ok(Ok(file)) => Ok(Logged {
                alive: file.alive,
                unread: None,
            }),
            Ok(Err(finding)) => Ok(Logged::unread(finding)),
            Err(StoreError::Version { .. }) => Ok(Logged::default()),
            Err(error) => Err(error),
        }
    }

    /// Files of the log by the number of their first entry, ascending, with their lengths, and what else is there.
    fn log_files(&self) -> Result<Contents<u64>, StoreError> {
        let listed = entries::contents(&*self.medium, CATALOGUE, parse_name);
        let mut files = match listed {
            Ok(files) => files,
            // What has the folder's place or keeps it from being read is damage of the log, and of nothing else.
            Err(error) => return Err(Finding::of_read(CATALOGUE, None, error)?.into()),
        };
        files.own.sort_unstable();
        Ok(files)
    }

    /// Reads and checks a file of the log.
    fn read_log_file(&self, first: u64) -> Result<LogFile, StoreError> {
        let path = log_path(first);
        let file = StoreFile::open(&self.medium, path.clone())?;
        if file.len_bytes() > FILE_BYTES_MAX {
            let what = format!("catalogue log: longer than {FILE_BYTES_MAX} bytes");
            return Err(file.finding(FILE_BYTES_MAX, what).into());
        }
        let bytes = file.read_vec(0, file.len_bytes(), "catalogue log")?;
        let read = LogFile::decode(&bytes).map_err(|wrong| match wrong {
            Wrong::Malformed(wrong) => StoreError::from(file.finding(wrong.at, wrong.what)),
            Wrong::Unknown(found) => StoreError::Version {
                path,
                found,
                supported: VERSION,
            },
        })?;
        if read.before.entries == first {
            return Ok(read);
        }
        let what = format!("begins with entry {}, its name says {first}", read.before.entries);
        Err(file.finding(16, what).into())
    }

    /// A log was once begun here and made durable.
    fn log_was_begun(&self) -> Result<bool, StoreError> {
        match self.medium.open(LOG_BEGUN) {
            Ok(_) => Ok(true),
            Err(error) => match error.kind {
                MediumErrorKind::NotFound => Ok(false),
                MediumErrorKind::Halted | MediumErrorKind::Exhausted => Err(error.into()),
                // It has no content: that it is there is all that it says.
                _ => Ok(true),
            },
        }
    }
}

/// What should be in a store.
#[derive(Debug, Default)]
pub(super) struct Logged {
    alive: Alive,
    /// Why nobody can tell for now. Another process, or a later one, may be able to.
    pub(super) unread: Option<Finding>,
}

impl Logged {
    fn unread(finding: Finding) -> Self {
        Logged {
            alive: Alive::new(),
            unread: Some(finding).filter(|finding| finding.kind != FindingKind::Damaged),
        }
    }

    /// Those that are not among the manifests that are there.
    pub(super) fn missing(&self, there: &BTreeSet<CheckpointId>) -> Vec<Finding> {
        let missing = self.alive.iter().filter(|(id, _)| !there.contains(id));
        missing.map(|(&id, &number)| lost(id, number)).collect()
    }
}

fn lost(id: CheckpointId, number: u64) -> Finding {
    let what = format!("its manifest is gone: entry {number} of the catalogue log has it, none drops it");
    Finding::new(checkpoint_path(id), None, what).of(id)
}

fn log_path(first: u64) -> String {
    format!("{CATALOGUE}/{first:0NAME_DIGITS$}")
}

fn parse_name(name: &str) -> Option<u64> {
    let first = name.parse().ok()?;
    (log_path(first).strip_prefix(CATALOGUE)? == format!("/{name}")).then_some(first)
}

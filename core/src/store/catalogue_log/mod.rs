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
use crate::with_causes;

/// Digits of a file's name, at least.
const NAME_DIGITS: usize = 16;

/// A file whose name has this number or a larger one is none of the log: no store gets there.
const NUMBER_END: u64 = 1 << 60;

/// What kept a writer from saying in the log what it did, or made it begin the log anew. What it did is durable all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTrouble {
    /// The entry is left to the next writer, for this reason. Until then nobody would miss the checkpoint.
    NotWritten(String),
    /// The log was damaged or gone, and begins anew: what was lost before is not missed any more.
    BegunAnew,
}

impl std::fmt::Display for LogTrouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LogTrouble::NotWritten(why) => write!(
                f,
                "the catalogue log could not be written ({why}): until a later writer can, the loss of this checkpoint would not be \
                 noticed"
            ),
            LogTrouble::BegunAnew => f.write_str(
                "the catalogue log was damaged or gone, and begins anew with what is here: checkpoints lost before now are not \
                 missed any more",
            ),
        }
    }
}

/// Where the log ends.
enum End {
    /// With this file. Files behind it that do not read are none of it.
    File(usize, Box<LogFile>),
    /// The last file does not read.
    Unread(Finding),
    Nowhere,
}

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
            Err(error) => {
                let why = with_causes(&error);
                self.log_trouble.replace(Some(LogTrouble::NotWritten(why)));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// What was wrong with the catalogue log in the calls since this was asked last, if anything was.
    pub fn take_log_trouble(&self) -> Option<LogTrouble> {
        self.log_trouble.take()
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
        let removed = heal && self.remove_strays()?;
        let heal = heal && {
            let findings = self.review_log()?.findings;
            !findings.is_empty() && findings.iter().all(Finding::is_hopeless)
        };
        if dropped.is_empty() && !heal {
            return Ok(removed);
        }
        let kept = kept.iter().map(|&id| (Kind::Adopted, id));
        let events = kept.chain(dropped.iter().map(|&id| (Kind::Dropped, id)));
        self.append_to_log(self.clock.now(), events.collect(), heal, None)?;
        Ok(heal || removed)
    }

    /// Where the log with these files ends. What does not read behind a file that reads is its continuation only if it has the
    /// number of that; anything else of that name is none of the log, and must not put an end to it.
    fn log_end(&self, files: &[(u64, u64)]) -> Result<End, StoreError> {
        let mut behind: Option<(u64, Finding)> = None;
        let mut last: Option<Finding> = None;
        for (at, &(first, _)) in files.iter().enumerate().rev() {
            match verify::damage(self.read_log_file(first))? {
                Ok(file) => {
                    return Ok(match behind {
                        Some((next, finding)) if file.is_full() && file.root.entries == next => {
                            End::Unread(finding)
                        }
                        _ => End::File(at, Box::new(file)),
                    });
                }
                Err(finding) => {
                    let is_stray = matches!(finding.kind, FindingKind::Damaged | FindingKind::NotAFile);
                    last.get_or_insert_with(|| finding.clone());
                    if !is_stray {
                        // What does not read now may read again, and go on from there.
                        return Ok(End::Unread(finding));
                    }
                    behind = Some((first, finding));
                }
            }
        }
        Ok(last.map_or(End::Nowhere, End::Unread))
    }

    /// Removes files that have the names of files of the log and are none; tells whether there was any.
    fn remove_strays(&self) -> Result<bool, StoreError> {
        let lock = self.lock_log()?;
        let files = match verify::damage(self.log_files())? {
            Ok(files) => files.own,
            Err(_) => return Ok(false),
        };
        let strays = match self.log_end(&files) {
            Ok(End::File(at, _)) => &files[at + 1..],
            Ok(End::Unread(_) | End::Nowhere) | Err(StoreError::Version { .. }) => &[],
            Err(error) => return Err(error),
        };
        let mut removed = false;
        for &(first, _) in strays {
            // What is no file stays, and is told of.
            removed |= lock.still_held()? && self.medium.remove(&log_path(first)).is_ok();
        }
        if removed {
            self.medium.sync_dir(CATALOGUE)?;
        }
        Ok(removed)
    }

    /// What the log says should be there. Nothing if it does not read; then nobody can tell, and nothing is freed.
    pub(super) fn logged(&self) -> Result<Logged, StoreError> {
        let files = match verify::damage(self.log_files())? {
            Ok(files) => files.own,
            Err(finding) => return Ok(Logged::unread(finding)),
        };
        match self.log_end(&files) {
            Ok(End::File(_, file)) => Ok(Logged {
                alive: file.alive,
                unread: None,
            }),
            Ok(End::Unread(finding)) => Ok(Logged::unread(finding)),
            Ok(End::Nowhere) | Err(StoreError::Version { .. }) => Ok(Logged::default()),
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
    /// Why nobody can tell.
    pub(super) unread: Option<Finding>,
}

impl Logged {
    fn unread(finding: Finding) -> Self {
        Logged {
            alive: Alive::new(),
            unread: Some(finding),
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
    let first: u64 = name.parse().ok()?;
    (first < NUMBER_END && log_path(first).strip_prefix(CATALOGUE)? == format!("/{name}")).then_some(first)
}

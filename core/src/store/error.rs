//! What goes wrong in a store, and what is found wrong with it.

use std::fmt;

use super::files::SEGMENTS;
use super::{CheckpointId, GuestNameFault};
use crate::medium::{LockHolder, MediumError, MediumErrorKind};
use crate::quantity::counted;
use crate::units::Pfn;

/// What is found wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    /// Bytes were read and are wrong, or are missing.
    Damaged,
    /// The medium failed to read it: a bad sector. It may come back.
    Unreadable,
    /// This process may not read it; another may.
    Denied,
    /// A link, a FIFO, a device or a directory has its place. Nobody removes or replaces what is no file: that is for whoever
    /// put it there.
    NotAFile,
}

/// Damage found: a value, not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is made of it.
    pub kind: FindingKind,
    /// The file, as a path within the medium.
    pub path: String,
    /// Where in the file, in bytes, as far as it is known.
    pub offset: Option<u64>,
    /// The checkpoints that use the damaged bytes, as far as known, ascending.
    pub checkpoints: Vec<CheckpointId>,
    /// What is wrong, and what was expected.
    pub what: String,
}

impl Finding {
    /// Nobody will read it again, as far as this process can tell, and it may go: what it may not read, another may, and what is
    /// no file is not the store's to remove. (What only counts on such a segment may go.)
    pub(super) fn is_hopeless(&self) -> bool {
        match self.kind {
            FindingKind::Damaged | FindingKind::Unreadable => true,
            FindingKind::NotAFile => self.path.starts_with(SEGMENTS),
            FindingKind::Denied => false,
        }
    }

    pub(super) fn new(
        path: impl Into<String>,
        offset: impl Into<Option<u64>>,
        what: impl Into<String>,
    ) -> Self {
        Finding {
            kind: FindingKind::Damaged,
            path: path.into(),
            offset: offset.into(),
            checkpoints: Vec::new(),
            what: what.into(),
        }
    }

    /// What the failing open or read of one file means: something is wrong with that file, and with nothing else. It says
    /// nothing about the file if process or host have run out of something, or have stopped.
    pub(super) fn of_read(
        path: &str,
        offset: impl Into<Option<u64>>,
        error: MediumError,
    ) -> Result<Self, MediumError> {
        let kind = match error.kind {
            MediumErrorKind::Halted | MediumErrorKind::Exhausted => return Err(error),
            MediumErrorKind::NotFound | MediumErrorKind::UnexpectedEnd => FindingKind::Damaged,
            MediumErrorKind::NotAFile => FindingKind::NotAFile,
            MediumErrorKind::Denied => FindingKind::Denied,
            MediumErrorKind::AlreadyExists
            | MediumErrorKind::Full
            | MediumErrorKind::Unsupported
            | MediumErrorKind::Other => FindingKind::Unreadable,
        };
        let what = format!("cannot be read: {}", error.source);
        let found = Finding::new(path, offset, what);
        Ok(Finding { kind, ..found })
    }

    pub(super) fn of(mut self, id: CheckpointId) -> Self {
        self.checkpoints = vec![id];
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        write!(f, ": {}", self.what)?;
        for (i, id) in self.checkpoints.iter().enumerate() {
            write!(f, "{}{id}", if i == 0 { " (checkpoint " } else { ", " })?;
        }
        f.write_str(if self.checkpoints.is_empty() { "" } else { ")" })
    }
}

/// An operation on a store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The medium failed. [`MediumErrorKind::Full`] is among the causes.
    #[error(transparent)]
    Medium(#[from] MediumError),
    /// The medium holds no store.
    #[error("this is no checkpoint store: it has no file {path}")]
    NotAStore {
        /// The file that every store has.
        path: &'static str,
    },
    /// The medium has checkpoint files but no header; making a store of it would hide what happened to it.
    #[error(
        "{path} is missing but {dir} is not empty: refusing to make a new store over the remains of another (a repair makes the file anew)"
    )]
    HeaderLost {
        /// The file that every store has.
        path: &'static str,
        /// The directory that is not empty.
        dir: &'static str,
    },
    /// A file is of another format version, or of this one with flags that are not known.
    #[error("{path} {}", unknown_format(*found, *supported))]
    Version {
        /// The file.
        path: String,
        /// What it says.
        found: u32,
        /// What is understood here.
        supported: u32,
    },
    /// Bytes that were needed are damaged, or a file that was needed does not read.
    #[error("{}: {}", verdict(.0), .0)]
    Damaged(Box<Finding>),
    /// No checkpoint has this id.
    #[error("no checkpoint {0}")]
    NoSuchCheckpoint(String),
    /// Nothing in the store is called this.
    #[error(
        "no guest is called {text:?}, and no checkpoint has an id that begins so (an id is given by at least {least} digits){}",
        there_are(.guests),
        least = super::names::ID_DIGITS_MIN
    )]
    NoSuchName {
        /// What was asked for.
        text: String,
        /// The guests there are, quoted, as far as they are listed.
        guests: Vec<String>,
    },
    /// No checkpoint that reads is of a guest of this name.
    #[error("no guest is called {name:?}{}", there_are(.guests))]
    NoSuchGuest {
        /// What was asked for.
        name: String,
        /// The guests there are, quoted, as far as they are listed.
        guests: Vec<String>,
    },
    /// `GUEST~N` goes back beyond the guest's oldest checkpoint.
    #[error(
        "{text:?}: guest {guest:?} has {}, the newest is {guest:?} or {guest:?}~0",
        counted(*.checkpoints, "checkpoint")
    )]
    NotThatMany {
        /// What was asked for.
        text: String,
        /// The guest.
        guest: String,
        /// How many checkpoints it has.
        checkpoints: usize,
    },
    /// It could be one checkpoint and another: a guest's name and the beginning of an id, or of several.
    #[error("{text:?} could be any of these, say which: {}", choices.join(", "))]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// Words that mean one of them each, and what that is.
        choices: Vec<String>,
    },
    /// The lock is taken.
    #[error("cannot {operation}: {}{}", if *.exclusive {
        "a writer or reader has the store open"
    } else {
        "garbage collection has the store locked, or waits for it"
    }, named(.holders))]
    Busy {
        /// What was asked for.
        operation: &'static str,
        /// Whether it needs the store for itself.
        exclusive: bool,
        /// Those in the way, as far as they are known.
        holders: Vec<LockHolder>,
    },
    /// The lock's file was removed or replaced while the lock was held, so that others may have been let in. What was
    /// committed before is as it was.
    #[error(
        "cannot {operation}: somebody removed or replaced the file {path} of the store meanwhile, \
         so others may be changing it. Nobody may touch that file while the store is used"
    )]
    LockLost {
        /// What was being done; it was not finished.
        operation: &'static str,
        /// The lock's file.
        path: &'static str,
    },
    /// The medium has no locks.
    #[error(
        "cannot {operation}: the file system has no locks, without which a prune may remove what is being written. \
         Mount it with locks (NFS: without nolock, and with a lock manager), or put the store on another"
    )]
    NoLocks {
        /// What was asked for.
        operation: &'static str,
    },
    /// A segment that the new checkpoint was to share with earlier ones is not what it was when it was begun. The checkpoint was
    /// not made.
    #[error(
        "{path} was removed or changed while a checkpoint was made that needs it: the checkpoint was not kept"
    )]
    SegmentLost {
        /// The segment's file.
        path: String,
    },
    /// Another holder has the lease on the guest: this one changes nothing any more.
    #[error(
        "the lease on {guest} is lost (epoch {epoch}): {}",
        by.map_or_else(|| "its file was removed".to_owned(), |by| format!("epoch {by} was taken by another holder"))
    )]
    Superseded {
        /// The guest.
        guest: String,
        /// The epoch that was held.
        epoch: u64,
        /// The epoch that another holds; `None`: not known.
        by: Option<u64>,
    },
    /// A write to this staging failed before; it can only be dropped.
    #[error("an earlier write of this checkpoint failed")]
    Poisoned,
    /// More of something than the format carries.
    #[error("{found} {what}: the limit is {limit}")]
    Limit {
        /// What there is too much of, with its unit.
        what: &'static str,
        /// How much was to be stored.
        found: u64,
        /// The most that can be.
        limit: u64,
    },
    /// No new checkpoint's guest can be called this.
    #[error("{name:?} is no name for a guest: {fault}")]
    GuestName {
        /// The name, cut if it is too long.
        name: String,
        /// Why.
        fault: GuestNameFault,
    },
    /// Frames of the layout were never written, neither here nor in the base.
    #[error("{} of the layout without content, the first is {first}", counted(*.count, "frame"))]
    Uncovered {
        /// The first of them.
        first: Pfn,
        /// How many.
        count: u64,
    },
    /// The frame is not part of the checkpoint.
    #[error("frame {pfn} is not in checkpoint {id}")]
    NoSuchFrame {
        /// The frame.
        pfn: Pfn,
        /// The checkpoint.
        id: CheckpointId,
    },
    /// A retention without a rule would drop everything.
    #[error("the retention keeps nothing: give at least one rule that keeps a checkpoint")]
    EmptyRetention,
    /// The compressor failed on valid input: out of memory, or a fault of the machine.
    #[error("compression failed: {0}")]
    Codec(String),
}

impl StoreError {
    /// The medium has no space left.
    pub fn is_full(&self) -> bool {
        matches!(
            self,
            StoreError::Medium(MediumError {
                kind: MediumErrorKind::Full,
                ..
            })
        )
    }

    /// Bytes are damaged, as far as can be told for good.
    pub fn is_damage(&self) -> bool {
        self.finding()
            .is_some_and(|finding| matches!(finding.kind, FindingKind::Damaged | FindingKind::NotAFile))
    }

    /// What is wrong with a file, if that is what it is: damage, or a file that does not read.
    pub fn finding(&self) -> Option<&Finding> {
        match self {
            StoreError::Damaged(finding) => Some(finding),
            _ => None,
        }
    }
}

fn verdict(finding: &Finding) -> &'static str {
    match finding.kind {
        FindingKind::Denied => "denied",
        FindingKind::Damaged | FindingKind::Unreadable | FindingKind::NotAFile => "damaged",
    }
}

/// What a version, or what is said in it, is that is not known here.
pub(super) fn unknown_format(found: u32, supported: u32) -> String {
    if found == supported {
        format!(
            "has flags or an authentication, which this program does not know in format version {supported}"
        )
    } else {
        format!("has format version {found}, this program reads version {supported}")
    }
}

/// `; guests: "db", "web"`.
fn there_are(guests: &[String]) -> String {
    if guests.is_empty() {
        "; the store has no checkpoint that reads".to_owned()
    } else {
        format!("; guests: {}", guests.join(", "))
    }
}

/// ` (process 4711 on host)`.
fn named(holders: &[LockHolder]) -> String {
    let names: Vec<String> = holders.iter().map(ToString::to_string).collect();
    if names.is_empty() {
        String::new()
    } else {
        format!(" ({})", names.join(", "))
    }
}

impl From<Finding> for StoreError {
    fn from(finding: Finding) -> Self {
        StoreError::Damaged(Box::new(finding))
    }
}

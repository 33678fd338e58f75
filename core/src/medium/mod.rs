//! The door to where bytes become durable.

mod directory;

use std::fmt;
use std::io;
use std::time::Duration;

use rustix::io::Errno;

pub use directory::DirectoryMedium;

/// Where a store keeps its files: a directory, later an object store, or a simulated disk. File-system verbs,
/// because a store commits by rename, and rename and the sync of a directory are exactly what a crash tears.
///
/// Paths are relative, `/`-separated, made of at most two components of `[a-z0-9._-]`, and never escape the
/// medium. Directories are one level deep.
///
/// # Contract
/// - What was appended is durable only after `sync` of that file returned; a file's *name* is durable only after
///   `sync_dir` of its directory returned, and so are a `rename` and a `remove`. Before that a crash may
///   keep any of it, none of it, or tear unsynced bytes.
/// - `create_new` fails with [`MediumErrorKind::AlreadyExists`] if the name is taken, whoever took it.
/// - `rename` replaces its target atomically: after a crash the target name holds the old file or the new.
///   Open readers of a replaced or removed file go on reading what they opened.
/// - `append` returns when the bytes are accepted; bandwidth may work on behind it.
/// - After a failed `sync` the file must be thrown away: nothing may be concluded about its bytes.
/// - `list` gives every entry, whatever it is, in ascending order of names; a missing directory lists as empty.
/// - Links are never followed and nothing that is no file is read, written, renamed or removed: such an attempt is an error of
///   kind [`MediumErrorKind::NotAFile`], and returns at once.
/// - A lock goes when its guard is dropped and when its holder dies, and is otherwise exclusive between processes that
///   share the medium. It is a lock on the file that has the name: whoever removes or replaces that file takes the lock away, which
///   its guard tells. The name with `.next` behind it, and what else begins with the name and a dot, are the medium's own.
/// - `try_lock` waits for `wait` at most, and on a medium where nobody could let go meanwhile not at all. While somebody waits
///   for an exclusive lock nobody gets a shared one.
pub trait Medium: fmt::Debug {
    /// Makes a new, empty, writable file.
    fn create_new(&self, path: &str) -> Result<Box<dyn MediumWriter>, MediumError>;
    /// Opens a file for reading at any offset.
    fn open(&self, path: &str) -> Result<Box<dyn MediumReader>, MediumError>;
    /// What is in a directory.
    fn list(&self, dir: &str) -> Result<Vec<DirEntry>, MediumError>;
    /// Gives a file another name, replacing what had that name.
    fn rename(&self, from: &str, to: &str) -> Result<(), MediumError>;
    /// Removes a file.
    fn remove(&self, path: &str) -> Result<(), MediumError>;
    /// Makes a directory; an existing one is fine.
    fn create_dir(&self, dir: &str) -> Result<(), MediumError>;
    /// Makes the names in a directory durable. The empty string names the medium's root.
    fn sync_dir(&self, dir: &str) -> Result<(), MediumError>;
    /// Tries for so long to take a lock on a name, making the lock file where it can. A medium that has no locks
    /// gives a shared one that [excludes nobody](MediumLock::excludes) and refuses an exclusive one with
    /// [`MediumErrorKind::Unsupported`].
    fn try_lock(&self, path: &str, mode: LockMode, wait: Duration) -> Result<LockAttempt, MediumError>;
    /// Bytes that still fit, where the medium knows.
    fn free_bytes(&self) -> Result<Option<u64>, MediumError>;
}

/// A file being written, start to end.
pub trait MediumWriter: fmt::Debug {
    /// Adds bytes at the end.
    fn append(&mut self, bytes: &[u8]) -> Result<(), MediumError>;
    /// Makes all bytes appended so far durable.
    fn sync(&mut self) -> Result<(), MediumError>;
}

/// A file open for reading.
pub trait MediumReader: fmt::Debug {
    /// Length in bytes when it was opened.
    fn len_bytes(&self) -> u64;
    /// Fills `buf` from `offset`; a file that ends before that is an error of kind
    /// [`MediumErrorKind::UnexpectedEnd`].
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), MediumError>;
}

/// A held lock, released by dropping it.
pub trait MediumLock: fmt::Debug {
    /// Is the file that is locked still the one that has the name, and has no server taken the lock back from a client that was
    /// cut off? If not, somebody else may hold the lock as well.
    fn still_held(&self) -> Result<bool, MediumError>;
    /// False of a shared lock on a medium that has no locks: it is good to read by, and not to write by.
    fn excludes(&self) -> bool;
}

/// What became of an attempt to take a lock.
#[derive(Debug)]
pub enum LockAttempt {
    /// It is held as long as the guard lives.
    Held(Box<dyn MediumLock>),
    /// Others are in the way: those of them that are known.
    Busy(Vec<LockHolder>),
}

impl LockAttempt {
    /// The guard, if there is one.
    pub fn held(self) -> Option<Box<dyn MediumLock>> {
        match self {
            LockAttempt::Held(guard) => Some(guard),
            LockAttempt::Busy(_) => None,
        }
    }
}

/// A process that holds a lock, or waits for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LockHolder {
    /// Its number on its host.
    pub pid: u32,
    /// The host's name.
    pub host: String,
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)
    }
}

/// Who may hold a lock at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// With other shared holders.
    Shared,
    /// Alone.
    Exclusive,
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// Name without the directory. What is not UTF-8 in it is shown as U+FFFD.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Length in bytes, of a file.
    pub len_bytes: u64,
}

impl DirEntry {
    /// A regular file with a name that a medium's file can have. Nobody can reach anything else through the medium.
    pub fn is_file(&self) -> bool {
        self.kind == EntryKind::File && is_component(&self.name)
    }
}

/// What an entry of a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A FIFO, socket or device.
    Other,
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EntryKind::File => "a file",
            EntryKind::Directory => "a directory",
            EntryKind::Link => "a symbolic link",
            EntryKind::Other => "a device, FIFO or socket",
        })
    }
}

/// Is this one component of a path: of `[a-z0-9._-]`, and neither `.` nor `..`?
pub fn is_component(name: &str) -> bool {
    let good = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    !matches!(name, "" | "." | "..") && name.bytes().all(good)
}

/// What kind of trouble, as far as a caller can act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediumErrorKind {
    /// No such file.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// No space, or over quota.
    Full,
    /// Not permitted, or read-only.
    Denied,
    /// The file ends before what was to be read.
    UnexpectedEnd,
    /// What has the name is not what belongs there: a link, a device, a FIFO or a directory in the place of a file, or
    /// no directory where one is expected. Links are never followed.
    NotAFile,
    /// The process or the machine has no more open files or memory to give. Nothing is wrong with the file.
    Exhausted,
    /// The medium cannot do this at all: locks, on some network file systems.
    Unsupported,
    /// The machine under the caller has stopped (simulated world).
    Halted,
    /// Anything else: an I/O error.
    Other,
}

/// An operation on a medium failed.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {path}")]
pub struct MediumError {
    /// The verb: `create`, `open`, `append`, `sync`…
    pub operation: &'static str,
    /// The path within the medium.
    pub path: String,
    /// What a caller can act on.
    pub kind: MediumErrorKind,
    /// The operating system's words.
    #[source]
    pub source: io::Error,
}

impl MediumError {
    /// An error from an operating system's, its kind derived.
    pub fn from_io(operation: &'static str, path: &str, source: io::Error) -> Self {
        MediumError {
            operation,
            path: path.to_owned(),
            kind: MediumErrorKind::of(&source),
            source,
        }
    }
}

impl MediumErrorKind {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => MediumErrorKind::NotFound,
            io::ErrorKind::AlreadyExists => MediumErrorKind::AlreadyExists,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => MediumErrorKind::Full,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => MediumErrorKind::Denied,
            io::ErrorKind::UnexpectedEof => MediumErrorKind::UnexpectedEnd,
            io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory => MediumErrorKind::NotAFile,
            io::ErrorKind::OutOfMemory => MediumErrorKind::Exhausted,
            io::ErrorKind::Unsupported => MediumErrorKind::Unsupported,
            // Kinds that the standard library has no name for.
            _ => match Errno::from_io_error(error) {
                // `open` without following links; a FIFO that nobody reads, a device that is not there.
                Some(Errno::LOOP | Errno::NXIO | Errno::NODEV) => MediumErrorKind::NotAFile,
                Some(Errno::MFILE | Errno::NFILE) => MediumErrorKind::Exhausted,
                Some(Errno::NOLCK) => MediumErrorKind::Unsupported,
                _ => MediumErrorKind::Other,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_that_a_caller_can_act_on_has_a_kind() {
        let expected = [
            (Errno::NOENT, MediumErrorKind::NotFound),
            (Errno::EXIST, MediumErrorKind::AlreadyExists),
            (Errno::NOSPC, MediumErrorKind::Full),
            (Errno::DQUOT, MediumErrorKind::Full),
            (Errno::ACCESS, MediumErrorKind::Denied),
            (Errno::PERM, MediumErrorKind::Denied),
            (Errno::ROFS, MediumErrorKind::Denied),
            (Errno::LOOP, MediumErrorKind::NotAFile),
            (Errno::NXIO, MediumErrorKind::NotAFile),
            (Errno::ISDIR, MediumErrorKind::NotAFile),
            (Errno::NOTDIR, MediumErrorKind::NotAFile),
            (Errno::MFILE, MediumErrorKind::Exhausted),
            (Errno::NFILE, MediumErrorKind::Exhausted),
            (Errno::NOMEM, MediumErrorKind::Exhausted),
            (Errno::NOLCK, MediumErrorKind::Unsupported),
            (Errno::NOSYS, MediumErrorKind::Unsupported),
            (Errno::NOTSUP, MediumErrorKind::Unsupported),
            (Errno::IO, MediumErrorKind::Other),
        ];
        for (errno, kind) in expected {
            let error = MediumError::from_io("open", "x", errno.into());
            assert_eq!(error.kind, kind, "{errno:?}");
        }
    }
}

//! Names below a descriptor of a directory: whatever happens to the path meanwhile, and whatever somebody puts there,
//! nothing outside is reached. Links are not followed, and no `open` waits for whoever is at the other end of a FIFO.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RawMode, Stat, fstat, fsync, mkdirat, openat, renameat,
    statat, unlinkat,
};
use rustix::io::{Errno, retry_on_intr};

use crate::medium::{DirEntry, EntryKind};

/// Checkpoints hold the memory of guests: nobody else reads them.
const FILE_MODE: RawMode = 0o600;
pub(super) const DIR_MODE: RawMode = 0o700;

const COMMON: OFlags = OFlags::NOFOLLOW
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// To read it.
    Read,
    /// To write it; it must not be there.
    CreateNew,
    /// To read and write it; it is made if it is not there.
    Create,
    /// To read and write it.
    ReadWrite,
}

/// A directory, open.
#[derive(Debug)]
pub(super) struct At {
    root: OwnedFd,
}

impl At {
    /// The directory at this path, which may lead over links: where a store is its owner's business.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = retry_on_intr(|| openat(CWD, path, flags, Mode::empty()))?;
        Ok(At { root })
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens a regular file; anything else is an error.
    pub(super) fn open_file(&self, path: &str, access: Access) -> io::Result<File> {
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::CreateNew => OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL,
            Access::Create => OFlags::RDWR | OFlags::CREATE,
            Access::ReadWrite => OFlags::RDWR,
        };
        self.at(path, |dir, name| {
            let mode = Mode::from_raw_mode(FILE_MODE);
            let opened = retry_on_intr(|| openat(dir, name, flags | COMMON, mode));
            let file = opened.map_err(|e| explained(dir, name, e, EntryKind::File))?;
            let found = kind(&fstat(&file)?);
            if found == EntryKind::File {
                Ok(file.into())
            } else {
                Err(unexpected(found, EntryKind::File))
            }
        })
    }

    /// What is in a directory, in no order; the empty string is the root.
    pub(super) fn list(&self, dir: &str) -> io::Result<Vec<DirEntry>> {
        let dir = self.open_dir(dir)?;
        let mut entries = Vec::new();
        for entry in Dir::read_from(&dir)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let found = match statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) => found,
                // Removed since the directory was read.
                Err(Errno::NOENT) => continue,
                Err(e) => return Err(e.into()),
            };
            entries.push(DirEntry {
                name: name.to_string_lossy().into_owned(),
                kind: kind(&found),
                len_bytes: u64::try_from(found.st_size).unwrap_or(0),
            });
        }
        Ok(entries)
    }

    /// Gives a regular file another name, replacing a file that has it.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.at(from, |old_dir, old| {
            need_file(old_dir, old)?;
            self.at(to, |new_dir, new| {
                let renamed = renameat(old_dir, old, new_dir, new);
                renamed.map_err(|e| explained(new_dir, new, e, EntryKind::File))
            })
        })
    }

    /// Removes a regular file.
    pub(super) fn remove(&self, path: &str) -> io::Result<()> {
        self.at(path, |dir, name| {
            need_file(dir, name)?;
            Ok(unlinkat(dir, name, AtFlags::empty())?)
        })
    }

    /// Makes a directory, if it is not there.
    pub(super) fn create_dir(&self, name: &str) -> io::Result<()> {
        match mkdirat(self.root(), name, Mode::from_raw_mode(DIR_MODE)) {
            Err(Errno::EXIST) => {
                let found = kind(&statat(self.root(), name, AtFlags::SYMLINK_NOFOLLOW)?);
                if found == EntryKind::Directory {
                    Ok(())
                } else {
                    Err(unexpected(found, EntryKind::Directory))
                }
            }
            made => Ok(made?),
        }
    }

    /// Makes the names in a directory durable.
    pub(super) fn sync_dir(&self, dir: &str) -> io::Result<()> {
        Ok(fsync(self.open_dir(dir)?)?)
    }

    /// Is this open file the one that has the name?
    pub(super) fn names(&self, path: &str, file: &File) -> io::Result<bool> {
        let open = fstat(file)?;
        self.at(path, |dir, name| {
            match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(named) => Ok((named.st_dev, named.st_ino) == (open.st_dev, open.st_ino)),
                Err(Errno::NOENT) => Ok(false),
                Err(e) => Err(e.into()),
            }
        })
    }

    fn open_dir(&self, dir: &str) -> io::Result<OwnedFd> {
        let name = if dir.is_empty() { "." } else { dir };
        directory(self.root(), name, OFlags::RDONLY)
    }

    /// Does something with a path's last component, in the directory that the path leads to.
    fn at<T>(&self, path: &str, work: impl FnOnce(BorrowedFd<'_>, &str) -> io::Result<T>) -> io::Result<T> {
        match path.split_once('/') {
            None => work(self.root(), path),
            Some((dir, name)) => work(directory(self.root(), dir, OFlags::PATH)?.as_fd(), name),
        }
    }
}

fn directory(root: BorrowedFd<'_>, name: &str, access: OFlags) -> io::Result<OwnedFd> {
    let flags = access | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = retry_on_intr(|| openat(root, name, flags, Mode::empty()));
    opened.map_err(|e| explained(root, name, e, EntryKind::Directory))
}

/// `unlink` and `rename` take links, FIFOs and sockets as well.
fn need_file(dir: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    match kind(&statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?) {
        EntryKind::File => Ok(()),
        found => Err(unexpected(found, EntryKind::File)),
    }
}

fn kind(found: &Stat) -> EntryKind {
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink => EntryKind::Link,
        _ => EntryKind::Other,
    }
}

/// Of what is there but not as it should be the kernel speaks in riddles ("too many levels of symbolic links"): says what it is,
/// and of what may not be opened whose it is.
fn explained(dir: BorrowedFd<'_>, name: &str, error: Errno, expected: EntryKind) -> io::Error {
    if matches!(
        error,
        Errno::LOOP | Errno::NOTDIR | Errno::ISDIR | Errno::NXIO | Errno::NODEV
    ) && let Ok(found) = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
    {
        return unexpected(kind(&found), expected);
    }
    if error == Errno::ACCESS
        && let Ok(found) = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
    {
        let (user, group, mode) = (found.st_uid, found.st_gid, found.st_mode & 0o7777);
        let why = format!("permission denied: it is of user {user} and group {group}, with mode {mode:03o}");
        return io::Error::new(io::ErrorKind::PermissionDenied, why);
    }
    error.into()
}

fn unexpected(found: EntryKind, expected: EntryKind) -> io::Error {
    let why = if found == EntryKind::Link {
        ", which is never followed"
    } else {
        ""
    };
    // Of all that the standard library has a name for this is nearest.
    io::Error::new(
        io::ErrorKind::NotADirectory,
        format!("expected {expected}, found {found}{why}"),
    )
}

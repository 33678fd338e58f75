//! A directory on a local or shared file system.

mod at;
mod leased;
mod lock;
mod notes;

use std::cell::Cell;
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use rustix::fs::{fstatvfs, fsync};
use rustix::io::Errno;

use super::{DirEntry, LockAttempt, LockMode, Medium, MediumError, MediumReader, MediumWriter, is_component};
use at::{Access, At, DIR_MODE};

/// A directory as a medium. Durability is the file system's `fsync` of files and directories, locks are `flock`.
///
/// Everything is reached from a descriptor of the directory, and links below it are never followed. Some network and user-space
/// file systems refuse to sync a directory; on those names are as durable as the server makes them.
#[derive(Debug)]
pub struct DirectoryMedium {
    root: PathBuf,
    at: Rc<At>,
    dir_sync_refused: Cell<bool>,
}

impl DirectoryMedium {
    /// An existing directory.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, MediumError> {
        let root = root.into();
        let at = At::open(&root).map_err(|e| MediumError::from_io("open", &root.display().to_string(), e))?;
        Ok(DirectoryMedium {
            root,
            at: Rc::new(at),
            dir_sync_refused: Cell::new(false),
        })
    }

    /// A directory, made with its parents if it is not there, readable by its owner alone. The names of all that is made are
    /// durable.
    pub fn create(root: impl Into<PathBuf>) -> Result<Self, MediumError> {
        let root = root.into();
        create_all(&root).map_err(|e| MediumError::from_io("create", &root.display().to_string(), e))?;
        Self::open(root)
    }

    /// Where the directory is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// False once the file system has refused to make names durable.
    pub fn syncs_directories(&self) -> bool {
        !self.dir_sync_refused.get()
    }
}

/// Makes a directory and those above it that are not there. One that is made is made durable before the next, so that
/// of what is there already only the last can have been left by somebody who was interrupted before that.
fn create_all(root: &Path) -> io::Result<()> {
    let mut missing: Vec<&Path> = root
        .ancestors()
        .take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists())
        .collect();
    let last = missing.last().and_then(|dir| dir.parent()).unwrap_or(root);
    if let Err(error) = sync_parent(last) {
        // It was there before, and who may not read what is above it could not have made it.
        let denied = matches!(
            error.kind(),
            io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound
        );
        if !denied && !is_sync_refusal(&error) {
            return Err(error);
        }
    }
    while let Some(dir) = missing.pop() {
        match DirBuilder::new().mode(DIR_MODE).create(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
            made => made?,
        }
        match sync_parent(dir) {
            Err(error) if !is_sync_refusal(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Makes the name of a directory durable.
fn sync_parent(dir: &Path) -> io::Result<()> {
    let parent = match dir.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    Ok(fsync(File::open(parent)?)?)
}

/// CIFS and some user-space file systems cannot sync a directory.
fn is_sync_refusal(error: &io::Error) -> bool {
    let refusals = [Errno::INVAL, Errno::NOTSUP, Errno::NOSYS];
    Errno::from_io_error(error).is_some_and(|errno| refusals.contains(&errno))
}

/// A file: one or two components.
fn check(operation: &'static str, path: &str) -> Result<(), MediumError> {
    let good = path.split('/').count() <= 2 && path.split('/').all(is_component);
    valid(good, operation, path)
}

/// A directory: one component.
fn check_dir(operation: &'static str, dir: &str) -> Result<(), MediumError> {
    valid(is_component(dir), operation, dir)
}

fn valid(good: bool, operation: &'static str, path: &str) -> Result<(), MediumError> {
    if good {
        return Ok(());
    }
    let reason = "expected one or two components of a-z, 0-9, '.', '_' and '-'";
    let error = io::Error::new(io::ErrorKind::InvalidInput, reason);
    Err(MediumError::from_io(operation, path, error))
}

impl Medium for DirectoryMedium {
    fn create_new(&self, path: &str) -> Result<Box<dyn MediumWriter>, MediumError> {
        check("create", path)?;
        let file = self.at.open_file(path, Access::CreateNew);
        let file = file.map_err(|e| MediumError::from_io("create", path, e))?;
        Ok(Box::new(Writer {
            file,
            path: path.to_owned(),
        }))
    }

    fn open(&self, path: &str) -> Result<Box<dyn MediumReader>, MediumError> {
        check("open", path)?;
        let opened = self.at.open_file(path, Access::Read).and_then(|file| {
            let len_bytes = file.metadata()?.len();
            Ok((file, len_bytes))
        });
        let (file, len_bytes) = opened.map_err(|e| MediumError::from_io("open", path, e))?;
        Ok(Box::new(Reader {
            file,
            path: path.to_owned(),
            len_bytes,
        }))
    }

    fn list(&self, dir: &str) -> Result<Vec<DirEntry>, MediumError> {
        if !dir.is_empty() {
            check_dir("list", dir)?;
        }
        let mut entries = match self.at.list(dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(MediumError::from_io("list", dir, e)),
        };
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), MediumError> {
        check("rename", from)?;
        check("rename", to)?;
        let renamed = self.at.rename(from, to);
        renamed.map_err(|e| MediumError::from_io("rename", from, e))
    }

    fn remove(&self, path: &str) -> Result<(), MediumError> {
        check("remove", path)?;
        let removed = self.at.remove(path);
        removed.map_err(|e| MediumError::from_io("remove", path, e))
    }

    fn create_dir(&self, dir: &str) -> Result<(), MediumError> {
        check_dir("create", dir)?;
        let made = self.at.create_dir(dir);
        made.map_err(|e| MediumError::from_io("create", dir, e))
    }

    fn sync_dir(&self, dir: &str) -> Result<(), MediumError> {
        if !dir.is_empty() {
            check_dir("sync", dir)?;
        }
        match self.at.sync_dir(dir) {
            Err(error) if is_sync_refusal(&error) => {
                self.dir_sync_refused.set(true);
                Ok(())
            }
            synced => synced.map_err(|e| MediumError::from_io("sync", dir, e)),
        }
    }

    fn try_lock(&self, path: &str, mode: LockMode, wait: Duration) -> Result<LockAttempt, MediumError> {
        check("lock", path)?;
        let taken = lock::take(&self.at, path, mode, wait);
        taken.map_err(|e| MediumError::from_io("lock", path, e))
    }

    fn free_bytes(&self) -> Result<Option<u64>, MediumError> {
        let found = fstatvfs(self.at.root())
            .map_err(|e| MediumError::from_io("ask for free space of", "", e.into()))?;
        Ok(Some(found.f_bavail.saturating_mul(found.f_frsize)))
    }
}

#[derive(Debug)]
struct Writer {
    file: File,
    path: String,
}

impl MediumWriter for Writer {
    fn append(&mut self, bytes: &[u8]) -> Result<(), MediumError> {
        self.file
            .write_all(bytes)
            .map_err(|e| MediumError::from_io("append", &self.path, e))
    }

    fn sync(&mut self) -> Result<(), MediumError> {
        self.file
            .sync_all()
            .map_err(|e| MediumError::from_io("sync", &self.path, e))
    }
}

#[derive(Debug)]
struct Reader {
    file: File,
    path: String,
    len_bytes: u64,
}

impl MediumReader for Reader {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), MediumError> {
        self.file
            .read_exact_at(buf, offset)
            .map_err(|e| MediumError::from_io("read", &self.path, e))
    }
}

#[cfg(test)]
mod tests;

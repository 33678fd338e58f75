//! A directory on a local or shared file system.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock, statvfs};
use rustix::io::Errno;

use super::{DirEntry, LockMode, Medium, MediumError, MediumLock, MediumReader, MediumWriter};

/// Checkpoints hold the memory of guests: nobody else reads them.
const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;

/// A directory as a medium. Durability is the file system's `fsync` of files and directories, locks are `flock`.
#[derive(Debug)]
pub struct DirectoryMedium {
    root: PathBuf,
}

impl DirectoryMedium {
    /// An existing directory.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, MediumError> {
        let root = root.into();
        let found = fs::metadata(&root).and_then(|found| {
            if found.is_dir() {
                Ok(())
            } else {
                Err(io::ErrorKind::NotADirectory.into())
            }
        });
        found.map_err(|e| MediumError::from_io("open", &root.display().to_string(), e))?;
        Ok(DirectoryMedium { root })
    }

    /// A directory, made with its parents if it is not there, readable by its owner alone.
    pub fn create(root: impl Into<PathBuf>) -> Result<Self, MediumError> {
        let root = root.into();
        let made = DirBuilder::new().recursive(true).mode(DIR_MODE).create(&root);
        made.map_err(|e| MediumError::from_io("create", &root.display().to_string(), e))?;
        Self::open(root)
    }

    /// Where the directory is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The place of a valid path: one or two components of `[a-z0-9._-]`, none of them `.` or `..`.
    fn locate(&self, operation: &'static str, path: &str) -> Result<PathBuf, MediumError> {
        let fine = |name: &str| {
            !matches!(name, "" | "." | "..")
                && name
                    .bytes()
                    .all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
        };
        if path.split('/').count() <= 2 && path.split('/').all(fine) {
            return Ok(self.root.join(path));
        }
        let reason = "expected one or two components of a-z, 0-9, '.', '_' and '-'";
        Err(MediumError::from_io(
            operation,
            path,
            io::Error::new(io::ErrorKind::InvalidInput, reason),
        ))
    }

    /// Like `locate`, and the empty path is the root.
    fn locate_dir(&self, operation: &'static str, dir: &str) -> Result<PathBuf, MediumError> {
        if dir.is_empty() {
            Ok(self.root.clone())
        } else {
            self.locate(operation, dir)
        }
    }

    /// The lock file, made if it can be; on a read-only medium it may be there or not.
    fn open_lock(place: &Path) -> io::Result<Option<File>> {
        let writable = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(place);
        match writable {
            Ok(file) => Ok(Some(file)),
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                match File::open(place) {
                    Ok(file) => Ok(Some(file)),
                    Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(e) => Err(e),
                }
            }
            Err(e) => Err(e),
        }
    }
}

impl Medium for DirectoryMedium {
    fn create_new(&self, path: &str) -> Result<Box<dyn MediumWriter>, MediumError> {
        let place = self.locate("create", path)?;
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(place);
        let file = file.map_err(|e| MediumError::from_io("create", path, e))?;
        Ok(Box::new(Writer {
            file,
            path: path.to_owned(),
        }))
    }

    fn open(&self, path: &str) -> Result<Box<dyn MediumReader>, MediumError> {
        let file =
            File::open(self.locate("open", path)?).map_err(|e| MediumError::from_io("open", path, e))?;
        let found = file.metadata().and_then(|found| {
            if found.is_file() {
                Ok(found.len())
            } else {
                // What opens although it is no file: a directory, a device, a FIFO.
                Err(not_a_file())
            }
        });
        let len_bytes = found.map_err(|e| MediumError::from_io("open", path, e))?;
        Ok(Box::new(Reader {
            file,
            path: path.to_owned(),
            len_bytes,
        }))
    }

    fn list(&self, dir: &str) -> Result<Vec<DirEntry>, MediumError> {
        let fail = |e| MediumError::from_io("list", dir, e);
        let entries = match fs::read_dir(self.locate_dir("list", dir)?) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(fail(e)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry.map_err(fail)?;
            let found = match entry.metadata() {
                Ok(found) => found,
                // Removed since the directory was read.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(fail(e)),
            };
            if !found.is_dir() {
                let name = entry.file_name().to_string_lossy().into_owned();
                files.push(DirEntry {
                    name,
                    len_bytes: found.len(),
                });
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), MediumError> {
        let (old, new) = (self.locate("rename", from)?, self.locate("rename", to)?);
        fs::rename(old, new).map_err(|e| MediumError::from_io("rename", from, e))
    }

    fn remove(&self, path: &str) -> Result<(), MediumError> {
        fs::remove_file(self.locate("remove", path)?).map_err(|e| MediumError::from_io("remove", path, e))
    }

    fn create_dir(&self, dir: &str) -> Result<(), MediumError> {
        let made = DirBuilder::new()
            .recursive(true)
            .mode(DIR_MODE)
            .create(self.locate("create", dir)?);
        made.map_err(|e| MediumError::from_io("create", dir, e))
    }

    fn sync_dir(&self, dir: &str) -> Result<(), MediumError> {
        let opened = File::open(self.locate_dir("sync", dir)?);
        opened
            .and_then(|opened| opened.sync_all())
            .map_err(|e| MediumError::from_io("sync", dir, e))
    }

    fn try_lock(&self, path: &str, mode: LockMode) -> Result<Option<Box<dyn MediumLock>>, MediumError> {
        let fail = |e| MediumError::from_io("lock", path, e);
        let Some(file) = Self::open_lock(&self.locate("lock", path)?).map_err(fail)? else {
            return match mode {
                // Nobody can make the file, so nobody can hold the lock.
                LockMode::Shared => Ok(Some(Box::new(Lock { _file: None }))),
                LockMode::Exclusive => Err(fail(io::ErrorKind::ReadOnlyFilesystem.into())),
            };
        };
        let operation = match mode {
            LockMode::Shared => FlockOperation::NonBlockingLockShared,
            LockMode::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        match flock(&file, operation) {
            Ok(()) => Ok(Some(Box::new(Lock { _file: Some(file) }))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(fail(e.into())),
        }
    }

    fn free_bytes(&self) -> Result<Option<u64>, MediumError> {
        let found =
            statvfs(&self.root).map_err(|e| MediumError::from_io("ask for free space of", "", e.into()))?;
        Ok(Some(found.f_bavail.saturating_mul(found.f_frsize)))
    }
}

fn not_a_file() -> io::Error {
    Errno::NXIO.into()
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

/// Released when the file is closed.
#[derive(Debug)]
struct Lock {
    _file: Option<File>,
}

impl MediumLock for Lock {}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::conformance;

    #[test]
    fn conforms() {
        let dir = tempfile::tempdir().unwrap();
        let mut number = 0;
        conformance::medium::all(|| {
            number += 1;
            DirectoryMedium::create(dir.path().join(number.to_string())).unwrap()
        });
    }

    #[test]
    fn nobody_else_reads_a_guests_memory() {
        let dir = tempfile::tempdir().unwrap();
        let medium = DirectoryMedium::create(dir.path().join("a/b")).unwrap();
        medium.create_dir("d").unwrap();
        drop(medium.create_new("d/file").unwrap());
        drop(medium.try_lock("lock", LockMode::Shared).unwrap());
        for (path, mode) in [("", 0o700), ("d", 0o700), ("d/file", 0o600), ("lock", 0o600)] {
            let found = fs::metadata(medium.root().join(path)).unwrap().mode() & 0o777;
            assert_eq!(found & !mode, 0, "{path} has mode {found:o}");
        }
    }

    #[test]
    fn a_root_that_is_no_directory_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        let error = DirectoryMedium::open(&file).unwrap_err();
        assert_eq!(
            (error.operation, error.path.as_str()),
            ("open", file.to_str().unwrap())
        );
        let error = DirectoryMedium::open(dir.path().join("nothing")).unwrap_err();
        assert_eq!(error.kind, crate::medium::MediumErrorKind::NotFound);
    }
}

//! A medium in memory, whose files a test can damage.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::medium::{
    DirEntry, EntryKind, LockAttempt, LockMode, Medium, MediumError, MediumLock, MediumReader, MediumWriter,
};

type Bytes = Rc<RefCell<Vec<u8>>>;

/// Files and locks by path, and a log of what was called.
#[derive(Debug, Default)]
pub(in crate::store) struct MemoryMedium {
    files: RefCell<BTreeMap<String, Bytes>>,
    /// Shared holders, or -1.
    holders: RefCell<BTreeMap<String, Rc<Cell<i32>>>>,
    pub(super) log: Rc<RefCell<Vec<String>>>,
    /// Whether new shared holders are let in.
    admits: Cell<bool>,
    pub(super) has_locks: Cell<bool>,
    /// Bytes that still fit, without a limit `usize::MAX`.
    pub(super) room: Rc<Cell<usize>>,
    /// Does not say how many these are.
    pub(super) hides_room: Cell<bool>,
    /// Files that cannot be removed.
    pub(super) stuck: RefCell<BTreeSet<String>>,
}

impl MemoryMedium {
    pub(in crate::store) fn new() -> Rc<Self> {
        let medium = MemoryMedium::default();
        medium.room.set(usize::MAX);
        medium.admits.set(true);
        medium.has_locks.set(true);
        Rc::new(medium)
    }

    /// Lets nobody share the lock any more, or again.
    pub(super) fn admit(&self, newcomers: bool) {
        self.admits.set(newcomers);
    }

    /// All files with their content.
    pub(super) fn image(&self) -> BTreeMap<String, Vec<u8>> {
        self.files
            .borrow()
            .iter()
            .map(|(path, bytes)| (path.clone(), bytes.borrow().clone()))
            .collect()
    }

    /// A medium with these files.
    pub(super) fn holding(image: &BTreeMap<String, Vec<u8>>) -> Rc<Self> {
        let medium = MemoryMedium::new();
        for (path, bytes) in image {
            medium.set(path, bytes.clone());
        }
        medium
    }

    pub(super) fn set(&self, path: &str, bytes: Vec<u8>) {
        self.files
            .borrow_mut()
            .insert(path.to_owned(), Rc::new(RefCell::new(bytes)));
    }

    pub(super) fn get(&self, path: &str) -> Option<Vec<u8>> {
        self.files.borrow().get(path).map(|bytes| bytes.borrow().clone())
    }

    fn give_back(&self, bytes: Option<Bytes>) {
        let room = self.room.get();
        if let Some(bytes) = bytes.filter(|_| room != usize::MAX) {
            self.room.set(room + bytes.borrow().len());
        }
    }

    fn note(&self, what: String) {
        self.log.borrow_mut().push(what);
    }
}

fn fail(operation: &'static str, path: &str, kind: io::ErrorKind) -> MediumError {
    MediumError::from_io(operation, path, kind.into())
}

impl Medium for MemoryMedium {
    fn create_new(&self, path: &str) -> Result<Box<dyn MediumWriter>, MediumError> {
        self.note(format!("create {path}"));
        if self.files.borrow().contains_key(path) {
            return Err(fail("create", path, io::ErrorKind::AlreadyExists));
        }
        let bytes = Bytes::default();
        self.files.borrow_mut().insert(path.to_owned(), Rc::clone(&bytes));
        Ok(Box::new(Writer {
            path: path.to_owned(),
            bytes,
            log: Rc::clone(&self.log),
            room: Rc::clone(&self.room),
        }))
    }

    fn open(&self, path: &str) -> Result<Box<dyn MediumReader>, MediumError> {
        let bytes = self
            .get(path)
            .ok_or_else(|| fail("open", path, io::ErrorKind::NotFound))?;
        Ok(Box::new(Reader {
            path: path.to_owned(),
            bytes,
        }))
    }

    fn list(&self, dir: &str) -> Result<Vec<DirEntry>, MediumError> {
        let files = self.files.borrow();
        let entries = files.iter().filter_map(|(path, bytes)| {
            let (found, name) = path.split_once('/').unwrap_or(("", path));
            let entry = DirEntry {
                name: name.to_owned(),
                kind: EntryKind::File,
                len_bytes: bytes.borrow().len() as u64,
            };
            (found == dir).then_some(entry)
        });
        Ok(entries.collect())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), MediumError> {
        self.note(format!("rename {from} {to}"));
        let moved = self
            .files
            .borrow_mut()
            .remove(from)
            .ok_or_else(|| fail("rename", from, io::ErrorKind::NotFound))?;
        let replaced = self.files.borrow_mut().insert(to.to_owned(), moved);
        self.give_back(replaced);
        Ok(())
    }

    fn remove(&self, path: &str) -> Result<(), MediumError> {
        self.note(format!("remove {path}"));
        if self.stuck.borrow().contains(path) {
            return Err(fail("remove", path, io::ErrorKind::PermissionDenied));
        }
        let removed = self.files.borrow_mut().remove(path);
        if removed.is_none() {
            return Err(fail("remove", path, io::ErrorKind::NotFound));
        }
        self.give_back(removed);
        Ok(())
    }

    fn create_dir(&self, _: &str) -> Result<(), MediumError> {
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> Result<(), MediumError> {
        self.note(format!("sync_dir {dir}"));
        Ok(())
    }

    fn try_lock(&self, path: &str, mode: LockMode, _: Duration) -> Result<LockAttempt, MediumError> {
        if !self.has_locks.get() {
            return match mode {
                LockMode::Shared => Ok(LockAttempt::Held(Box::new(NoLock))),
                LockMode::Exclusive => Err(fail("lock", path, io::ErrorKind::Unsupported)),
            };
        }
        let holders = Rc::clone(self.holders.borrow_mut().entry(path.to_owned()).or_default());
        let held = holders.get();
        let now = match mode {
            LockMode::Shared if held >= 0 && self.admits.get() => held + 1,
            LockMode::Exclusive if held == 0 => -1,
            _ => return Ok(LockAttempt::Busy(Vec::new())),
        };
        holders.set(now);
        Ok(LockAttempt::Held(Box::new(Lock(holders))))
    }

    fn free_bytes(&self) -> Result<Option<u64>, MediumError> {
        let told = Some(self.room.get()).filter(|&room| room != usize::MAX && !self.hides_room.get());
        Ok(told.map(|room| room as u64))
    }
}

#[derive(Debug)]
struct Writer {
    path: String,
    bytes: Bytes,
    log: Rc<RefCell<Vec<String>>>,
    room: Rc<Cell<usize>>,
}

impl MediumWriter for Writer {
    fn append(&mut self, bytes: &[u8]) -> Result<(), MediumError> {
        self.log
            .borrow_mut()
            .push(format!("append {} {}", self.path, bytes.len()));
        if self.room.get() != usize::MAX {
            let left = self.room.get().checked_sub(bytes.len());
            self.room
                .set(left.ok_or_else(|| fail("append", &self.path, io::ErrorKind::StorageFull))?);
        }
        self.bytes.borrow_mut().extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), MediumError> {
        self.log.borrow_mut().push(format!("sync {}", self.path));
        Ok(())
    }
}

#[derive(Debug)]
struct Reader {
    path: String,
    bytes: Vec<u8>,
}

impl MediumReader for Reader {
    fn len_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), MediumError> {
        let start = usize::try_from(offset).unwrap();
        let found = self.bytes.get(start..start + buf.len());
        buf.copy_from_slice(found.ok_or_else(|| fail("read", &self.path, io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }
}

#[derive(Debug)]
struct Lock(Rc<Cell<i32>>);

impl MediumLock for Lock {
    fn still_held(&self) -> Result<bool, MediumError> {
        Ok(true)
    }

    fn excludes(&self) -> bool {
        true
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.set(if self.0.get() < 0 { 0 } else { self.0.get() - 1 });
    }
}

/// What a medium without locks gives.
#[derive(Debug)]
struct NoLock;

impl MediumLock for NoLock {
    fn still_held(&self) -> Result<bool, MediumError> {
        Ok(true)
    }

    fn excludes(&self) -> bool {
        false
    }
}

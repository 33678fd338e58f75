//! The content of a disk at one moment.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::rc::Rc;

use super::path::dir_of;

/// Content of a file, shared between images: the many outcomes of a crash differ in few files, and are compared quickly.
#[derive(Debug, Clone, Default, Eq)]
pub struct Bytes(pub(super) Rc<Vec<u8>>);

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes(Rc::new(bytes))
    }
}

impl Ord for Bytes {
    fn cmp(&self, other: &Self) -> Ordering {
        if Rc::ptr_eq(&self.0, &other.0) {
            Ordering::Equal
        } else {
            self.0.cmp(&other.0)
        }
    }
}

impl PartialOrd for Bytes {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Hash for Bytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// Files and directories by path, all durable.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Image {
    /// Content by path.
    pub files: BTreeMap<String, Bytes>,
    /// Directories below the root.
    pub dirs: BTreeSet<String>,
}

impl Image {
    /// Content of a file, if it is there.
    pub fn content(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(|bytes| &**bytes)
    }

    /// Puts a file there, and its directory.
    pub fn insert(&mut self, path: &str, bytes: Vec<u8>) {
        let dir = dir_of(path);
        if !dir.is_empty() {
            self.dirs.insert(dir.to_owned());
        }
        self.files.insert(path.to_owned(), bytes.into());
    }

    /// Damages the byte at `offset`: those of its bits change that are set in `flips`. Tells whether there is such a byte.
    pub fn corrupt(&mut self, path: &str, offset: u64, flips: u8) -> bool {
        let bytes = self.files.get_mut(path).map(|bytes| Rc::make_mut(&mut bytes.0));
        let byte = bytes.and_then(|bytes| bytes.get_mut(usize::try_from(offset).ok()?));
        byte.map(|byte| *byte ^= flips).is_some()
    }

    /// Cuts a file to `len_bytes`. Tells whether the file was there and longer than that.
    pub fn truncate(&mut self, path: &str, len_bytes: u64) -> bool {
        let Some(bytes) = self.files.get_mut(path) else {
            return false;
        };
        match usize::try_from(len_bytes) {
            Ok(len) if len < bytes.0.len() => {
                Rc::make_mut(&mut bytes.0).truncate(len);
                true
            }
            _ => false,
        }
    }
}

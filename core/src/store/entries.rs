//! What is in the directories of a store: the store's own files, and strangers.
//!
//! File managers, network file systems and people leave things in directories. They are in nobody's way: a store reads,
//! replaces and removes nothing but files with names of the forms it writes.

use std::fmt;

use super::files::{
    BAD, CATALOGUE, CHECKPOINTS, HEADER, LOCK, LOG_BEGUN, LOG_LOCK, SEGMENTS, TMP, TMP_NUMBER_MAX,
};
use crate::lease::LEASES;
use crate::medium::{EntryKind, Medium, MediumError};

/// Something in a directory of a store that no store made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stranger {
    /// Its path within the medium.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.path, self.kind)
    }
}

/// A directory's content, ascending by name.
#[derive(Debug)]
pub(super) struct Contents<N> {
    /// The store's own: what the names say, and the length of the files.
    pub(super) own: Vec<(N, u64)>,
    /// Worth a word: without what file systems and desktops make by themselves.
    pub(super) strangers: Vec<Stranger>,
}

/// Reads a directory. Files whose names `parse` understands are the store's.
pub(super) fn contents<N>(
    medium: &dyn Medium,
    dir: &str,
    parse: impl Fn(&str) -> Option<N>,
) -> Result<Contents<N>, MediumError> {
    let mut contents = Contents {
        own: Vec::new(),
        strangers: Vec::new(),
    };
    for entry in medium.list(dir)? {
        match parse(&entry.name).filter(|_| entry.is_file()) {
            Some(name) => contents.own.push((name, entry.len_bytes)),
            None if is_usual(&entry.name) => {}
            None => contents.strangers.push(Stranger {
                path: format!("{dir}/{}", entry.name),
                kind: entry.kind,
            }),
        }
    }
    Ok(contents)
}

/// What has the place of one of the store's files or folders and is none, or of what a medium keeps beside its locks.
pub(super) fn misplaced(medium: &dyn Medium) -> Result<Vec<Stranger>, MediumError> {
    let belongs = |name: &str| match name {
        HEADER | LOCK | LOG_LOCK | LOG_BEGUN => Some(EntryKind::File),
        TMP | SEGMENTS | CHECKPOINTS | CATALOGUE | BAD | LEASES => Some(EntryKind::Directory),
        name => match name.strip_prefix(LOCK).or_else(|| name.strip_prefix(LOG_LOCK)) {
            Some(".next") => Some(EntryKind::File),
            Some(".by") => Some(EntryKind::Directory),
            _ => None,
        },
    };
    let entries = medium.list("")?.into_iter();
    let misplaced = entries.filter(|entry| belongs(&entry.name).is_some_and(|kind| kind != entry.kind));
    Ok(misplaced
        .map(|entry| Stranger {
            path: entry.name,
            kind: entry.kind,
        })
        .collect())
}

/// Files that are being written, or were: their numbers.
pub(super) fn tmp(medium: &dyn Medium) -> Result<Contents<u64>, MediumError> {
    contents(medium, TMP, |name| {
        let number: u64 = name.parse().ok()?;
        // `+7` and `007` are numbers too, and not ours; nor is one that no writer comes to.
        (number.to_string() == name && number <= TMP_NUMBER_MAX).then_some(number)
    })
}

/// `.DS_Store`, `.nfs0001`, `.Trash-0`, `lost+found`: no reason to think that something is wrong.
fn is_usual(name: &str) -> bool {
    name.starts_with('.') || name == "lost+found"
}

//! Names on a simulated disk: as the running machine sees them, as they are durable, and the changes between the two.
//!
//! Each directory has a row of changes since its last sync. After a crash any prefix of each row has happened,
//! independently of the other directories, but for renames. A rename is two changes: the new name, in the row of the
//! target's directory, and the end of the old one, in the row of the source's. The end of the old name never happens
//! without the new one, its directory, and what precedes these in their rows; so a renamed file may have two names after a
//! crash, never none. Syncing a directory makes its row durable with all that it needs.
//!
//! A file in a directory whose own name is lost is lost with it.

use std::collections::{BTreeMap, BTreeSet};

use super::file::File;
use super::path::dir_of;

/// Changes that are not durable at most: older ones have been written back by the file system itself.
const PENDING_MAX: usize = 64;

/// Files by path, and directories below the root.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    pub(super) files: BTreeMap<String, File>,
    pub(super) dirs: BTreeSet<String>,
}

impl Tree {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Link { path, file } => drop(self.files.insert(path.clone(), file.clone())),
            Change::Unlink { path } | Change::Moved { from: path, .. } => drop(self.files.remove(path)),
            Change::MakeDir { dir } => drop(self.dirs.insert(dir.clone())),
        }
    }

    /// Whether files can be made in the directory of this path.
    pub(super) fn has_dir_of(&self, path: &str) -> bool {
        let dir = dir_of(path);
        dir.is_empty() || self.dirs.contains(dir)
    }
}

/// A change of names.
#[derive(Debug)]
enum Change {
    Link {
        path: String,
        file: File,
    },
    Unlink {
        path: String,
    },
    /// The old name of a renamed file ends; the new one came with change `link`.
    Moved {
        from: String,
        to: String,
        link: u64,
    },
    MakeDir {
        dir: String,
    },
}

impl Change {
    /// The directory in whose row it is.
    fn dir(&self) -> &str {
        match self {
            Change::Link { path, .. } | Change::Unlink { path } | Change::Moved { from: path, .. } => {
                dir_of(path)
            }
            Change::MakeDir { .. } => "",
        }
    }
}

/// A change that is not durable, numbered in order of execution.
#[derive(Debug)]
struct Pending {
    number: u64,
    change: Change,
}

/// Both views of the names and the changes between them.
#[derive(Debug, Default)]
pub(super) struct Names {
    live: Tree,
    durable: Tree,
    pending: Vec<Pending>,
    next_number: u64,
}

impl Names {
    /// Everything durable.
    pub(super) fn new(tree: Tree) -> Self {
        Names {
            live: tree.clone(),
            durable: tree,
            ..Names::default()
        }
    }

    /// As the running machine sees them.
    pub(super) fn live(&self) -> &Tree {
        &self.live
    }

    pub(super) fn link(&mut self, path: &str, file: File) {
        self.change(Change::Link {
            path: path.to_owned(),
            file,
        });
    }

    pub(super) fn unlink(&mut self, path: &str) {
        self.change(Change::Unlink {
            path: path.to_owned(),
        });
    }

    /// Gives `file`, now named `from`, the name `to`.
    pub(super) fn rename(&mut self, from: &str, to: &str, file: File) {
        let link = self.next_number;
        self.link(to, file);
        self.change(Change::Moved {
            from: from.to_owned(),
            to: to.to_owned(),
            link,
        });
    }

    pub(super) fn make_dir(&mut self, dir: &str) {
        self.change(Change::MakeDir { dir: dir.to_owned() });
    }

    fn change(&mut self, change: Change) {
        self.live.apply(&change);
        self.pending.push(Pending {
            number: self.next_number,
            change,
        });
        self.next_number += 1;
        if self.pending.len() > PENDING_MAX {
            // Nothing precedes the oldest, so it needs no other.
            self.durable.apply(&self.pending.remove(0).change);
        }
    }

    /// Makes the names in a directory durable.
    pub(super) fn sync_dir(&mut self, dir: &str) {
        let wanted = self
            .pending
            .iter()
            .map(|pending| pending.change.dir() == dir)
            .collect();
        let chosen = self.with_needs(wanted);
        let mut chosen = chosen.into_iter();
        let durable = &mut self.durable;
        self.pending.retain(|pending| {
            let now = chosen.next() == Some(true);
            if now {
                durable.apply(&pending.change);
            }
            !now
        });
    }

    /// The rows that are not empty: directories, ascending, with the number of changes in each.
    pub(super) fn rows(&self) -> Vec<(&str, usize)> {
        let mut rows: BTreeMap<&str, usize> = BTreeMap::new();
        for pending in &self.pending {
            *rows.entry(pending.change.dir()).or_default() += 1;
        }
        rows.into_iter().collect()
    }

    /// The pending changes that have happened, if at least these prefixes of the rows have.
    pub(super) fn happened(&self, prefixes: &[(&str, usize)]) -> Vec<bool> {
        let mut left: BTreeMap<&str, usize> = prefixes.iter().copied().collect();
        let wanted = self.pending.iter().map(|pending| {
            let left = left.entry(pending.change.dir()).or_default();
            let taken = *left > 0;
            *left -= usize::from(taken);
            taken
        });
        let wanted = wanted.collect();
        self.with_needs(wanted)
    }

    /// The names after a crash in which these of the pending changes have happened.
    pub(super) fn after_crash(&self, happened: &[bool]) -> Tree {
        let mut tree = self.durable.clone();
        for (pending, happened) in self.pending.iter().zip(happened) {
            if *happened {
                tree.apply(&pending.change);
            }
        }
        let Tree { files, dirs } = &mut tree;
        files.retain(|path, _| dir_of(path).is_empty() || dirs.contains(dir_of(path)));
        tree
    }

    /// Adds to the chosen changes all that they need.
    fn with_needs(&self, mut chosen: Vec<bool>) -> Vec<bool> {
        // Every need is older than what needs it: one pass from the newest to the oldest finds all.
        let mut rows: BTreeSet<&str> = BTreeSet::new();
        let mut links: BTreeSet<u64> = BTreeSet::new();
        let mut dirs: BTreeSet<&str> = BTreeSet::new();
        for (pending, chosen) in self.pending.iter().zip(&mut chosen).rev() {
            *chosen |= rows.contains(pending.change.dir()) || links.contains(&pending.number);
            *chosen |= matches!(&pending.change, Change::MakeDir { dir } if dirs.contains(dir.as_str()));
            if *chosen {
                rows.insert(pending.change.dir());
                if let Change::Moved { to, link, .. } = &pending.change {
                    links.insert(*link);
                    dirs.insert(dir_of(to));
                }
            }
        }
        chosen
    }
}

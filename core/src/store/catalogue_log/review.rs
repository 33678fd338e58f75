//! Reading the whole log.

use std::collections::BTreeSet;

use super::entry::{Entry, Kind};
use super::file::LogFile;
use super::{Alive, CatalogueRoot, End, log_path, lost};
use crate::store::entries::Contents;
use crate::store::error::unknown_format;
use crate::store::files::CATALOGUE;
use crate::store::{CheckpointId, Finding, Remains, Store, StoreError, Stranger, verify};
use crate::units::Timestamp;

/// Times that the log is read again if a writer replaces it meanwhile.
const TRIES: usize = 4;

/// What a store's catalogue log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueLog {
    /// Where it stands.
    pub root: CatalogueRoot,
    /// Its first entry: when, and whether a log before it was damaged or lost.
    pub begun: (Timestamp, bool),
    /// Checkpoints that are there and that it does not have yet: of a writer at work, of one that died before it could say so,
    /// or of a program that keeps no log. The next writer adds them.
    pub unlogged: Vec<CheckpointId>,
}

/// The log, read from end to end.
#[derive(Debug, Default)]
pub(in crate::store) struct Review {
    pub(in crate::store) findings: Vec<Finding>,
    /// Files before one with which the log began anew.
    pub(in crate::store) remains: Vec<Remains>,
    pub(in crate::store) strangers: Vec<Stranger>,
    pub(in crate::store) bytes: u64,
    /// Files that read, ascending, from where the log begins.
    files: Vec<LogFile>,
    /// The last one is among them.
    ends: bool,
}

impl Store {
    /// Where the catalogue log stands, for keeping elsewhere; `None` if there is no log or none that can be read.
    pub fn catalogue_root(&self) -> Result<Option<CatalogueRoot>, StoreError> {
        let Ok(files) = verify::damage(self.log_files())? else {
            return Ok(None);
        };
        Ok(match self.log_end(&files.own)? {
            End::File(_, file) => Some(file.root),
            End::Unread(_) | End::Nowhere => None,
        })
    }

    /// Checkpoints that the catalogue log has and the store has not: lost by anything but garbage collection. Nothing if the log
    /// cannot be read, which [`verify`](Self::verify) tells.
    pub fn lost(&self) -> Result<Vec<Finding>, StoreError> {
        // In this order: what is committed meanwhile is missing in neither, and what is dropped meanwhile is looked at again.
        let look = || {
            let logged = self.logged()?;
            let there: BTreeSet<CheckpointId> = self.ids()?.into_iter().collect();
            Ok::<_, StoreError>(logged.missing(&there))
        };
        let lost = look()?;
        if lost.is_empty() {
            return Ok(lost);
        }
        let still: BTreeSet<Vec<CheckpointId>> = look()?.into_iter().map(|found| found.checkpoints).collect();
        let is_still = |found: &Finding| still.contains(&found.checkpoints);
        Ok(lost.into_iter().filter(is_still).collect())
    }

    /// Holds the store's history against a root that was taken earlier and kept elsewhere. A finding: this store is older than
    /// that, or its history is another.
    pub fn expect_root(&self, expected: &CatalogueRoot) -> Result<Option<Finding>, StoreError> {
        let review = self.review_log()?;
        let found = review
            .files
            .iter()
            .find_map(|file| file.root_after(expected.entries));
        let what = match (found, review.files.last()) {
            (Some(found), _) if found == *expected => return Ok(None),
            (Some(found), _) => format!(
                "this store is not a continuation of the one with root {expected}: its own root there is {found}"
            ),
            (None, None) => {
                format!("nothing tells whether this store is the one with root {expected}: it has no log")
            }
            (None, Some(last)) if last.root.entries < expected.entries => format!(
                "this store is older than the one with root {expected}, or another: its log ends with root {}",
                last.root
            ),
            (None, Some(_)) => format!(
                "nothing tells whether this store is a continuation of the one with root {expected}: that part of the log is \
                 gone"
            ),
        };
        Ok(Some(Finding::new(CATALOGUE, None, what)))
    }

    /// Reads the whole log.
    pub(in crate::store) fn review_log(&self) -> Result<Review, StoreError> {
        let mut listed = verify::damage(self.log_files())?;
        let mut review = Review::default();
        for _ in 0..TRIES {
            let Contents { own, strangers } = match listed {
                Ok(contents) => contents,
                Err(finding) => {
                    review.findings.push(finding);
                    break;
                }
            };
            review = self.review_files(&own)?;
            review.strangers = strangers;
            listed = verify::damage(self.log_files())?;
            // Which files there are has not changed while they were read.
            let names = |files: &[(u64, u64)]| files.iter().map(|file| file.0).collect::<Vec<_>>();
            if listed.as_ref().is_ok_and(|now| names(&now.own) == names(&own)) {
                break;
            }
        }
        Ok(review)
    }

    fn review_files(&self, files: &[(u64, u64)]) -> Result<Review, StoreError> {
        let mut review = Review::default();
        let end = match self.log_end(files) {
            Ok(End::File(at, _)) => at + 1,
            Ok(End::Unread(_) | End::Nowhere) | Err(StoreError::Version { .. }) => files.len(),
            Err(error) => return Err(error),
        };
        let (files, strays) = files.split_at(end);
        let Some(&(last, _)) = files.last() else {
            if self.log_was_begun()? {
                let what = "the catalogue log is gone: nothing tells which checkpoints should be here";
                review.findings.push(Finding::new(CATALOGUE, None, what));
            }
            return Ok(review);
        };
        // What the file before comes to, if that was read.
        let mut before: Option<(CatalogueRoot, Alive)> = None;
        for (i, &(first, len_bytes)) in files.iter().enumerate() {
            review.bytes += len_bytes;
            let file = match verify::damage(self.read_log_file(first)) {
                Ok(Ok(file)) => file,
                Ok(Err(finding)) => {
                    review.findings.push(finding);
                    before = None;
                    continue;
                }
                Err(StoreError::Version {
                    path,
                    found,
                    supported,
                }) => {
                    let what = unknown_format(found, supported);
                    review.findings.push(Finding::new(path, 8, what));
                    before = None;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if file.entries.first().is_some_and(Entry::begins) {
                review.begin_here(&files[..i]);
            } else if let Some(what) = misfit(&file, before.as_ref(), i == 0) {
                review.findings.push(Finding::new(log_path(first), None, what));
            }
            before = Some((file.root, file.alive.clone()));
            review.ends = first == last;
            review.files.push(file);
        }
        for &(first, len_bytes) in strays {
            review.bytes += len_bytes;
            if let Err(finding) = verify::damage(self.read_log_file(first))? {
                let what = format!("{}; the log goes on without it", finding.what);
                review.findings.push(Finding { what, ..finding });
            }
        }
        Ok(review)
    }
}

/// What is wrong with a file in its place.
fn misfit(file: &LogFile, before: Option<&(CatalogueRoot, Alive)>, is_first: bool) -> Option<String> {
    let number = file.before.entries;
    match before {
        Some((root, _)) if root.entries < number => Some(format!(
            "entries {} to {} before it are gone",
            root.entries,
            number - 1
        )),
        Some((root, _)) if *root != file.before => Some(format!(
            "does not continue the file before it: expected root {root}, found {}",
            file.before
        )),
        Some((_, alive)) if *alive != file.alive_before => {
            Some("begins with other checkpoints than the file before it ends with".to_owned())
        }
        None if is_first => Some(format!("the {number} entries before it are gone")),
        // If the file before it does not read, that is said already.
        Some(_) | None => None,
    }
}

impl Review {
    /// What was before does not count any more.
    fn begin_here(&mut self, before: &[(u64, u64)]) {
        self.findings.clear();
        self.files.clear();
        self.remains
            .extend(before.iter().map(|&(first, len_bytes)| Remains {
                path: log_path(first),
                len_bytes,
            }));
    }

    /// Holds the checkpoints that are there against the log: what it says, and those that are missing. They were listed after
    /// the log was read, so that none is missed which was committed meanwhile.
    pub(in crate::store) fn compare(&self, there: &[CheckpointId]) -> (Option<CatalogueLog>, Vec<Finding>) {
        let Some(last) = self.files.last().filter(|_| self.ends) else {
            return (None, Vec::new());
        };
        let there: BTreeSet<_> = there.iter().copied().collect();
        let missing = last.alive.iter().filter(|(id, _)| !there.contains(id));
        let findings = missing.map(|(&id, &number)| lost(id, number)).collect();
        let first = self.files.first().and_then(|file| file.entries.first());
        let begun = first.map_or((Timestamp(0), false), |entry| {
            (entry.at, entry.kind == Kind::BegunAnew)
        });
        let unlogged = there
            .into_iter()
            .filter(|id| !last.alive.contains_key(id))
            .collect();
        let log = CatalogueLog {
            root: last.root,
            begun,
            unlogged,
        };
        (Some(log), findings)
    }
}

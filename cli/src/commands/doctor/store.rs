//! What a store is, whether it has what its writers go by, and what its file system does when it is asked to.

use std::path::Path;

use anyhow::Result;
use revenant_core::medium::{DirectoryMedium, LockHolder, MediumError, MediumErrorKind};
use revenant_core::store::{BadCounts, Finding, FindingKind, Listing, ProbedLock, Stranger};
use revenant_core::{Medium, Store};

use super::Line;
use crate::commands::init::NoStore;
use crate::commands::open_store;
use crate::output::{bytes, counted};

/// Returns lines and whether damage was seen.
pub(super) fn lines(dir: &Path) -> (Vec<Line>, bool) {
    let name = format!("store {}", dir.display());
    match look(dir) {
        Ok(seen) => {
            let mut lines = vec![if seen.is_damaged() {
                damage_line(name, &seen)
            } else {
                content_line(name, &seen)
            }];
            lines.extend(seen.ailments.iter().map(ailment_line));
            lines.extend(probe_lines(&seen));
            let damaged = lines.iter().any(|line| line.status == DAMAGED);
            (lines, damaged)
        }
        Err(error) => {
            let none = error.downcast_ref::<NoStore>();
            let line = Line {
                name,
                status: if none.is_none() && dir.is_dir() {
                    "failed"
                } else {
                    "missing"
                },
                found: none.map_or_else(|| format!("{error:#}"), |none| format!("{none:#}")),
                remedy: none.map_or_else(String::new, NoStore::remedy),
            };
            (vec![line], false)
        }
    }
}

const DAMAGED: &str = "damaged";

/// A store as it looks without reading pages.
struct Seen {
    medium: DirectoryMedium,
    listing: Listing,
    bad: BadCounts,
    not_whole: usize,
    ailments: Vec<Finding>,
}

impl Seen {
    fn is_damaged(&self) -> bool {
        !self.listing.damaged.is_empty() || self.bad != BadCounts::default() || self.not_whole > 0
    }
}

fn look(dir: &Path) -> Result<Seen> {
    let store = open_store(dir)?;
    let mut listing = store.list()?;
    listing.damaged.extend(store.lost()?);
    Ok(Seen {
        medium: DirectoryMedium::open(dir)?,
        not_whole: store
            .not_whole(listing.checkpoints.iter().map(|info| info.id))?
            .len(),
        bad: store.known_bad()?,
        ailments: store.ailments()?,
        listing,
    })
}

/// Something that writers go by.
fn ailment_line(finding: &Finding) -> Line {
    Line {
        name: format!("store: {}", finding.path),
        status: if finding.kind == FindingKind::Denied {
            "failed"
        } else {
            DAMAGED
        },
        found: finding.what.clone(),
        remedy: match finding.kind {
            FindingKind::NotAFile => "take it away: no command does".to_owned(),
            FindingKind::Denied => "give its owner's rights to who works with the store".to_owned(),
            FindingKind::Damaged | FindingKind::Unreadable => "revenant verify --repair".to_owned(),
        },
    }
}

fn damage_line(name: String, seen: &Seen) -> Line {
    Line {
        name,
        status: DAMAGED,
        found: format!(
            "{} of {} not whole, {}, {}, {}",
            seen.not_whole,
            counted(seen.listing.checkpoints.len(), "checkpoint"),
            counted(seen.listing.damaged.len(), "damaged or lost manifest"),
            counted(seen.bad.frames, "known bad frame"),
            counted(seen.bad.segments, "suspect segment")
        ),
        remedy: "revenant verify names them, --repair heals what it can".to_owned(),
    }
}

fn content_line(name: String, seen: &Seen) -> Line {
    let free = seen.medium.free_bytes().ok().flatten();
    let free = free.map_or_else(|| "unknown".to_owned(), bytes);
    Line {
        name,
        status: "ok",
        found: format!(
            "{}, {free} free; names were looked at, not contents: revenant verify reads these",
            counted(seen.listing.checkpoints.len(), "checkpoint")
        ),
        remedy: String::new(),
    }
}

fn probe_lines(seen: &Seen) -> Vec<Line> {
    let medium = &seen.medium;
    let probe = Store::probe(medium);
    let mut lines = vec![
        lock_line("store: lock shared", &probe.shared_lock),
        lock_line("store: lock exclusive", &probe.exclusive_lock),
        lock_line("store: lock of the log", &probe.log_lock),
        medium_line(
            "store: files",
            "made, written, synced, renamed over another, removed",
            probe.file,
        ),
        if medium.syncs_directories() {
            medium_line("store: directories", "synced", probe.directory)
        } else {
            Line {
                name: "store: directories".to_owned(),
                status: "refused",
                found: "the file system does not sync directories".to_owned(),
                remedy: "if its server loses power, the newest checkpoints may be lost: copy what matters elsewhere"
                    .to_owned(),
            }
        },
    ];
    match probe.misplaced {
        Ok(misplaced) => {
            let is_told = |path: &str| seen.ailments.iter().any(|finding| finding.path == path);
            let untold = misplaced.iter().filter(|found| !is_told(&found.path));
            lines.extend(untold.map(misplaced_line));
        }
        Err(error) => lines.push(failed("store: names", &error)),
    }
    lines
}

fn misplaced_line(found: &Stranger) -> Line {
    Line {
        name: format!("store: {}", found.path),
        status: "failed",
        found: format!("{} is in the place of what the store keeps there", found.kind),
        remedy: "take it away: no command does".to_owned(),
    }
}

fn lock_line(name: &str, lock: &ProbedLock) -> Line {
    let (status, found, remedy) = match lock {
        ProbedLock::Works => ("ok", "taken and released".to_owned(), ""),
        ProbedLock::Busy(holders) => ("busy", in_use(holders), ""),
        ProbedLock::Missing => (
            "missing",
            "the file system has no locks: the store can be read, not written".to_owned(),
            "mount it with locks (NFS: without nolock, and with a lock manager)",
        ),
        ProbedLock::Failed(error) => return failed(name, error),
    };
    Line {
        name: name.to_owned(),
        status,
        found,
        remedy: remedy.to_owned(),
    }
}

fn in_use(holders: &[LockHolder]) -> String {
    let names: Vec<String> = holders.iter().map(ToString::to_string).collect();
    if names.is_empty() {
        "others use the store".to_owned()
    } else {
        format!("in use by {}", names.join(", "))
    }
}

fn medium_line(name: &str, found: &str, tried: Result<(), MediumError>) -> Line {
    match tried {
        Ok(()) => Line {
            name: name.to_owned(),
            status: "ok",
            found: found.to_owned(),
            remedy: String::new(),
        },
        Err(error) => failed(name, &error),
    }
}

fn failed(name: &str, error: &MediumError) -> Line {
    Line {
        name: name.to_owned(),
        status: if error.kind == MediumErrorKind::Denied {
            "denied"
        } else {
            "failed"
        },
        found: format!("{error}: {}", error.source),
        remedy: if error.kind == MediumErrorKind::Denied {
            "a store that is only read needs no more".to_owned()
        } else {
            String::new()
        },
    }
}

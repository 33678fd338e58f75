//! What a store is, and what its file system does when it is asked to.

use std::path::Path;

use anyhow::Result;
use revenant_core::medium::{DirectoryMedium, LockHolder, MediumError, MediumErrorKind};
use revenant_core::store::{BadCounts, Listing, ProbedLock};
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
            lines.extend(probe_lines(&seen.medium));
            (lines, seen.is_damaged())
        }
        Err(error) => {
            let none = error.downcast_ref::<NoStore>();
            let line = Line {
                name,
                status: "missing",
                found: none.map_or_else(|| format!("{error:#}"), |none| format!("{none:#}")),
                remedy: none.map_or_else(String::new, NoStore::remedy),
            };
            (vec![line], false)
        }
    }
}

/// A store as it looks without reading pages.
struct Seen {
    medium: DirectoryMedium,
    listing: Listing,
    bad: BadCounts,
    not_whole: usize,
    has_header: bool,
}

impl Seen {
    fn is_damaged(&self) -> bool {
        !self.has_header
            || !self.listing.damaged.is_empty()
            || self.bad != BadCounts::default()
            || self.not_whole > 0
    }
}

fn look(dir: &Path) -> Result<Seen> {
    let store = open_store(dir)?;
    let mut listing = store.list()?;
    listing.damaged.extend(store.lost()?);
    Ok(Seen {
        medium: DirectoryMedium::open(dir)?,
        has_header: dir.join(Store::HEADER).exists(),
        not_whole: store
            .not_whole(listing.checkpoints.iter().map(|info| info.id))?
            .len(),
        bad: store.known_bad()?,
        listing,
    })
}

fn damage_line(name: String, seen: &Seen) -> Line {
    Line {
        name,
        status: "damaged",
        found: format!(
            "{}{} of {} not whole, {}, {}, {}",
            if seen.has_header { "" } else { "no header, " },
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

fn probe_lines(medium: &DirectoryMedium) -> Vec<Line> {
    let probe = Store::probe(medium);
    vec![
        lock_line("store: lock shared", &probe.shared_lock),
        lock_line("store: lock exclusive", &probe.exclusive_lock),
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
    ]
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

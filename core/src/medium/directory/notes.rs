//! Who holds a lock: `flock` does not say, and cannot where the holder is on another host.
//!
//! Beside a lock file is a folder with an empty file for each holder, whose name tells the holder. Nothing but the words of an
//! error depends on them, so whatever is wrong with them is passed over.

use std::rc::Rc;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use rustix::system::uname;

use super::at::{Access, At};
use crate::medium::{DirEntry, LockHolder, LockMode};

/// How many locks a process may hold at once and be noted for each.
const NOTES_MAX: u32 = 64;

/// What somebody has to do with a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Shared,
    Exclusive,
    /// For an exclusive lock.
    Waiting,
}

impl Role {
    fn letter(self) -> &'static str {
        match self {
            Role::Shared => "s",
            Role::Exclusive => "x",
            Role::Waiting => "w",
        }
    }
}

/// The notes beside one lock file.
#[derive(Debug)]
pub(super) struct Notes {
    at: Rc<At>,
    dir: String,
}

/// A note, removed when it is dropped.
#[derive(Debug)]
pub(super) struct Note {
    at: Rc<At>,
    path: String,
}

impl Drop for Note {
    fn drop(&mut self) {
        let _ = self.at.remove(&self.path);
    }
}

impl Notes {
    pub(super) fn new(at: &Rc<At>, lock: &str) -> Self {
        Notes {
            at: Rc::clone(at),
            dir: format!("{lock}.by"),
        }
    }

    /// Notes this process, if the medium can be written.
    pub(super) fn write(&self, role: Role) -> Option<Note> {
        self.at.create_dir(&self.dir).ok()?;
        let (pid, host, role) = (std::process::id(), host(), role.letter());
        let paths = (0..NOTES_MAX).map(|number| format!("{}/{role}.{pid}.{number}.{host}", self.dir));
        for path in paths {
            match self.at.open_file(&path, Access::CreateNew) {
                Ok(_) => {
                    let at = Rc::clone(&self.at);
                    return Some(Note { at, path });
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(_) => return None,
            }
        }
        None
    }

    /// Removes what those left that died. The caller has the lock that tells that there are no others.
    pub(super) fn clear(&self, roles: &[Role]) {
        for name in self.names() {
            if parse(&name).is_some_and(|(role, _)| roles.iter().any(|cleared| cleared.letter() == role)) {
                let _ = self.at.remove(&format!("{}/{name}", self.dir));
            }
        }
    }

    /// Who keeps others from a lock of this mode, each once. Processes of this host that are no more are not among them.
    pub(super) fn in_the_way(&self, mode: LockMode) -> Vec<LockHolder> {
        let host = host();
        let mut holders: Vec<LockHolder> = self
            .names()
            .iter()
            .filter_map(|name| parse(name))
            .filter(|(role, _)| mode == LockMode::Exclusive || *role != Role::Shared.letter())
            .map(|(_, holder)| holder)
            .filter(|holder| holder.host != host || is_alive(holder.pid))
            .collect();
        holders.sort();
        holders.dedup();
        holders
    }

    fn names(&self) -> Vec<String> {
        let entries = self.at.list(&self.dir).unwrap_or_default();
        let files = entries.into_iter().filter(DirEntry::is_file);
        files.map(|entry| entry.name).collect()
    }
}

/// `s.4711.0.host.example`: role, process, a number that makes it unique, host.
fn parse(name: &str) -> Option<(&str, LockHolder)> {
    let mut parts = name.splitn(4, '.');
    let (role, pid, _number, host) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let known = [Role::Shared, Role::Exclusive, Role::Waiting].map(Role::letter);
    let pid = pid.parse().ok()?;
    let host = host.to_owned();
    known.contains(&role).then_some((role, LockHolder { pid, host }))
}

/// This host's name, as far as it goes into the name of a file.
fn host() -> String {
    let name = uname().nodename().to_string_lossy().to_ascii_lowercase();
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    name.chars()
        .take(100)
        .map(|c| if fits(c) { c } else { '-' })
        .collect()
}

fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // Another's process may not be signalled, but is there.
    pid.is_some_and(|pid| !matches!(test_kill_process(pid), Err(Errno::SRCH)))
}

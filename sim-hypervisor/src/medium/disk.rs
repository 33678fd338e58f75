//! The state of a simulated disk and what a power loss can make of it.
//!
//! Bytes: a file has a synced length; what was appended beyond may come out missing, cut, whole or as garbage. Names:
//! each directory has a row of changes since its last sync; any prefix of it may have become durable, in each directory
//! independently. A rename is two changes, the new name in the target's directory and the end of the old one in the
//! source's; the second is never durable without the first, so a file may have two names after a crash, never none.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;

use revenant_core::medium::{DirEntry, LockMode, MediumError};

use super::image::Image;
use super::path::dir_of;

/// Changes of names that are not durable at most: older ones have been written back by the file system itself.
const PENDING_MAX: usize = 64;

/// When a planned crash strikes, relative to its operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The operation has no effect.
    Before,
    /// Half the bytes of an append arrive. The other operations are atomic: as `After`.
    Torn,
    /// The operation has its effect, and nobody learns of it.
    After,
}

/// A file's content, shared by its names and handles.
#[derive(Debug, Clone, Default)]
pub(super) struct File(Rc<RefCell<Content>>);

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    synced: usize,
}

impl File {
    pub(super) fn len_bytes(&self) -> u64 {
        self.0.borrow().bytes.len() as u64
    }

    pub(super) fn append(&self, bytes: &[u8]) {
        self.0.borrow_mut().bytes.extend_from_slice(bytes);
    }

    pub(super) fn sync(&self) {
        let mut content = self.0.borrow_mut();
        content.synced = content.bytes.len();
    }

    /// Fills `buf` from `offset` if the file is that long.
    pub(super) fn read_at(&self, offset: u64, buf: &mut [u8]) -> Option<()> {
        let content = self.0.borrow();
        let start = usize::try_from(offset).ok()?;
        buf.copy_from_slice(content.bytes.get(start..start.checked_add(buf.len())?)?);
        Some(())
    }

    fn after_crash(&self, tail: Tail) -> Vec<u8> {
        let content = self.0.borrow();
        let unsynced = content.bytes.len() - content.synced;
        let kept = match tail {
            Tail::Lost => 0,
            Tail::Cut(share) => unsynced * usize::from(share) / usize::from(u8::MAX),
            Tail::Kept | Tail::Garbage => unsynced,
        };
        let mut bytes = content.bytes[..content.synced + kept].to_vec();
        if tail == Tail::Garbage {
            bytes[content.synced..].fill(0xa5);
        }
        bytes
    }
}

/// What becomes of bytes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    Lost,
    /// This share of 255 parts.
    Cut(u8),
    Kept,
    Garbage,
}

/// A change of names that is not durable yet.
#[derive(Debug, Clone)]
pub(super) enum NameOp {
    Link {
        path: String,
        file: File,
    },
    Unlink {
        path: String,
    },
    /// The old name of a renamed file ends; its new one was linked just before.
    Moved {
        from: String,
        to: String,
    },
    MakeDir {
        dir: String,
    },
}

impl NameOp {
    fn dir(&self) -> &str {
        match self {
            NameOp::Link { path, .. } | NameOp::Unlink { path } | NameOp::Moved { from: path, .. } => {
                dir_of(path)
            }
            NameOp::MakeDir { .. } => "",
        }
    }
}

#[derive(Debug, Default)]
struct Holders {
    shared: u32,
    exclusive: bool,
}

/// The disk behind all handles of one boot.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// Names as the running machine sees them.
    pub(super) live: BTreeMap<String, File>,
    pub(super) live_dirs: BTreeSet<String>,
    durable: BTreeMap<String, File>,
    durable_dirs: BTreeSet<String>,
    /// In order of execution, over all directories.
    pending: Vec<NameOp>,
    locks: BTreeMap<String, Holders>,
    pub(super) capacity_bytes: Option<u64>,
    pub(super) halted: bool,
    pub(super) trap: Option<(u64, Moment)>,
    /// Changing operations begun.
    pub(super) counted: u64,
    /// Their names, if somebody wants them.
    pub(super) log: Option<Vec<String>>,
}

impl Disk {
    pub(super) fn new(image: Image) -> Self {
        let files: BTreeMap<String, File> = image
            .files
            .into_iter()
            .map(|(path, bytes)| {
                (
                    path,
                    File(Rc::new(RefCell::new(Content {
                        synced: bytes.len(),
                        bytes,
                    }))),
                )
            })
            .collect();
        Disk {
            live: files.clone(),
            durable: files,
            live_dirs: image.dirs.clone(),
            durable_dirs: image.dirs,
            ..Disk::default()
        }
    }

    /// Counts a changing operation; tells if and when the planned crash strikes it.
    pub(super) fn count(&mut self, operation: &str, path: &str) -> Option<Moment> {
        self.counted += 1;
        if let Some(log) = &mut self.log {
            log.push(format!("{operation} {path}"));
        }
        let nth = self.counted;
        self.trap.filter(|&(at, _)| at == nth).map(|(_, moment)| moment)
    }

    pub(super) fn halt(&mut self) {
        self.halted = true;
        self.locks.clear();
    }

    pub(super) fn need_dir(&self, operation: &'static str, path: &str) -> Result<(), MediumError> {
        let dir = dir_of(path);
        if dir.is_empty() || self.live_dirs.contains(dir) {
            return Ok(());
        }
        Err(MediumError::from_io(
            operation,
            path,
            io::ErrorKind::NotFound.into(),
        ))
    }

    pub(super) fn list(&self, dir: &str) -> Vec<DirEntry> {
        let in_dir = self.live.iter().filter(|(path, _)| dir_of(path) == dir);
        let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
        in_dir
            .map(|(path, file)| DirEntry {
                name: name(path),
                len_bytes: file.len_bytes(),
            })
            .collect()
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.live.values().map(File::len_bytes).sum()
    }

    pub(super) fn name_op(&mut self, op: NameOp) {
        apply(&op, &mut self.live, &mut self.live_dirs);
        self.pending.push(op);
        if self.pending.len() > PENDING_MAX {
            let oldest = self.pending.remove(0);
            apply(&oldest, &mut self.durable, &mut self.durable_dirs);
        }
    }

    /// Makes the names in a directory durable. The end of an old name takes the new one along.
    pub(super) fn sync_dir(&mut self, dir: &str) {
        let chosen: Vec<bool> = self.pending.iter().map(|op| op.dir() == dir).collect();
        let chosen = with_new_names(&self.pending, chosen);
        let mut keep = Vec::new();
        for (op, chosen) in self.pending.drain(..).zip(chosen) {
            if chosen {
                apply(&op, &mut self.durable, &mut self.durable_dirs);
            } else {
                keep.push(op);
            }
        }
        self.pending = keep;
    }

    pub(super) fn lock(&mut self, path: &str, mode: LockMode) -> bool {
        let holders = self.locks.entry(path.to_owned()).or_default();
        match mode {
            LockMode::Shared if !holders.exclusive => holders.shared += 1,
            LockMode::Exclusive if !holders.exclusive && holders.shared == 0 => holders.exclusive = true,
            LockMode::Shared | LockMode::Exclusive => return false,
        }
        true
    }

    pub(super) fn unlock(&mut self, path: &str, mode: LockMode) {
        // A lock that went with the power is not there any more.
        if let Some(holders) = self.locks.get_mut(path) {
            match mode {
                LockMode::Shared => holders.shared = holders.shared.saturating_sub(1),
                LockMode::Exclusive => holders.exclusive = false,
            }
        }
    }

    pub(super) fn live_image(&self) -> Image {
        let files = self
            .live
            .iter()
            .map(|(path, file)| (path.clone(), file.after_crash(Tail::Kept)))
            .collect();
        Image {
            files,
            dirs: self.live_dirs.clone(),
        }
    }

    pub(super) fn crash_images(&self) -> Vec<Image> {
        const TAILS: [Tail; 4] = [Tail::Lost, Tail::Cut(127), Tail::Kept, Tail::Garbage];
        let dirs: BTreeSet<&str> = self.pending.iter().map(NameOp::dir).collect();
        let dirs: Vec<&str> = dirs.into_iter().collect();
        let mut images = BTreeSet::new();
        let mut prefixes = vec![0; dirs.len()];
        loop {
            let (names, made) = self.names_after(&dirs, &prefixes);
            for tail in TAILS {
                let files = names
                    .iter()
                    .map(|(path, file)| (path.clone(), file.after_crash(tail)))
                    .collect();
                images.insert(Image {
                    files,
                    dirs: made.clone(),
                });
            }
            // The next combination of prefixes, counted like an odometer.
            let Some(wheel) = (0..dirs.len()).find(|&i| prefixes[i] < self.pending_in(dirs[i])) else {
                break;
            };
            prefixes[..wheel].fill(0);
            prefixes[wheel] += 1;
        }
        images.into_iter().collect()
    }

    pub(super) fn crash_image(&self, draw: &mut dyn FnMut() -> u64) -> Image {
        let dirs: BTreeSet<&str> = self.pending.iter().map(NameOp::dir).collect();
        let dirs: Vec<&str> = dirs.into_iter().collect();
        let mut below = |bound: usize| usize::try_from(draw() % (bound as u64 + 1)).unwrap_or(0);
        let prefixes: Vec<usize> = dirs.iter().map(|dir| below(self.pending_in(dir))).collect();
        let (names, made) = self.names_after(&dirs, &prefixes);
        let mut tail = || match draw() % 4 {
            0 => Tail::Lost,
            1 => Tail::Cut(draw().to_le_bytes()[0]),
            2 => Tail::Kept,
            _ => Tail::Garbage,
        };
        let files = names
            .iter()
            .map(|(path, file)| (path.clone(), file.after_crash(tail())))
            .collect();
        Image { files, dirs: made }
    }

    fn pending_in(&self, dir: &str) -> usize {
        self.pending.iter().filter(|op| op.dir() == dir).count()
    }

    /// Names after a crash that kept so many of the pending changes of each directory.
    fn names_after(&self, dirs: &[&str], prefixes: &[usize]) -> (BTreeMap<String, File>, BTreeSet<String>) {
        let mut left = prefixes.to_vec();
        let mut take = |op: &NameOp| {
            let dir = dirs
                .iter()
                .position(|dir| *dir == op.dir())
                .expect("every pending directory is listed");
            let taken = left[dir] > 0;
            left[dir] -= usize::from(taken);
            taken
        };
        let chosen: Vec<bool> = self.pending.iter().map(&mut take).collect();
        let chosen = with_new_names(&self.pending, chosen);
        let (mut names, mut made) = (self.durable.clone(), self.durable_dirs.clone());
        for (op, _) in self.pending.iter().zip(chosen).filter(|(_, chosen)| *chosen) {
            apply(op, &mut names, &mut made);
        }
        // A file in a directory that was never made is not there.
        names.retain(|path, _| dir_of(path).is_empty() || made.contains(dir_of(path)));
        (names, made)
    }
}

/// Adds to the chosen changes the new names of all files whose old name ends with them, and what came before these in
/// their directories: a directory's changes become durable in order.
fn with_new_names(ops: &[NameOp], mut chosen: Vec<bool>) -> Vec<bool> {
    // From the last to the first: a change takes earlier ones along, never later ones.
    for index in (0..ops.len()).rev() {
        let (true, NameOp::Moved { to, .. }) = (chosen[index], &ops[index]) else {
            continue;
        };
        let link = ops[..index]
            .iter()
            .rposition(|op| matches!(op, NameOp::Link { path, .. } if path == to));
        // Not pending any more: durable already.
        let Some(link) = link else { continue };
        for (before, chosen) in ops[..=link].iter().zip(&mut chosen) {
            *chosen |= before.dir() == dir_of(to);
        }
    }
    chosen
}

fn apply(op: &NameOp, names: &mut BTreeMap<String, File>, dirs: &mut BTreeSet<String>) {
    match op {
        NameOp::Link { path, file } => drop(names.insert(path.clone(), file.clone())),
        NameOp::Unlink { path } | NameOp::Moved { from: path, .. } => drop(names.remove(path)),
        NameOp::MakeDir { dir } => drop(dirs.insert(dir.clone())),
    }
}

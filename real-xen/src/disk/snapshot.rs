//! Snapshots of one disk: made ready, taken, kept as the base of the next, removed.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use revenant_core::store::CheckpointId;

use super::error::DiskError;
use super::exceptions::ReadAt;
use super::mapped::{names, number_of, real_name, single_target};
use super::tools::Tools;

/// Sectors of a chunk: chunks are 4 KiB blocks.
const CHUNK_SECTORS: &str = "8";
/// Stands for the checkpoint of a snapshot that no checkpoint has yet.
const NEXT: &str = "next";
/// Hex digits of a checkpoint's id in a snapshot's name.
const TAG_DIGITS: usize = 16;
const COW_SUFFIX: &str = ".cow";

/// The part of a checkpoint's id that is in the name of its snapshots.
pub(super) fn tag_of(id: CheckpointId) -> String {
    id.to_hex()[..TAG_DIGITS].to_owned()
}

/// The name of the snapshot that is being made of a disk.
pub(super) fn next_name(disk: &str) -> String {
    format!("rv-{disk}-{NEXT}")
}

fn tagged_name(disk: &str, tag: &str) -> String {
    format!("rv-{disk}-{tag}")
}

/// The tag in a snapshot's name, if it is one of this disk: `next`, or a checkpoint's.
fn tag_in<'a>(name: &'a str, disk: &str) -> Option<&'a str> {
    let tag = name.strip_prefix("rv-")?.strip_prefix(disk)?.strip_prefix('-')?;
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    (tag == NEXT || tag.len() == TAG_DIGITS && tag.chars().all(hex)).then_some(tag)
}

/// Names of all snapshots of a disk.
pub(super) fn of_origin(tools: &Tools, disk: &str) -> Result<Vec<String>, DiskError> {
    let mut found = names(tools)?;
    found.retain(|name| tag_in(name, disk).is_some());
    Ok(found)
}

/// A snapshot that belongs to a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) name: String,
    /// Which checkpoint's.
    pub(super) tag: String,
    /// The file with its exception store.
    pub(super) cow: PathBuf,
}

/// One disk's snapshots and the directory with their copy-on-write stores.
#[derive(Debug, Clone)]
pub(super) struct Snapshots {
    pub(super) tools: Tools,
    /// Device-mapper name of the origin.
    pub(super) disk: String,
    pub(super) sectors: u64,
    pub(super) cow_dir: PathBuf,
    pub(super) cow_bytes: u64,
}

impl Snapshots {
    /// Makes a snapshot ready to be taken: all but the instant itself.
    pub(super) fn prepare(&self) -> Result<(), DiskError> {
        let cow = self.create_store()?;
        let device = self.tools.losetup(&["--find", "--show"], Some(&cow))?;
        let name = next_name(&self.disk);
        // The kernel finds the first bytes of the store zero and writes a header: the store is new.
        let table = format!(
            "0 {} snapshot {} {} P {CHUNK_SECTORS}",
            self.sectors,
            number_of(&self.tools, &real_name(&self.disk))?,
            device.trim()
        );
        self.tools.dmsetup(&["create", &name, "--notable"])?;
        self.tools.dmsetup(&["load", &name, "--table", &table])?;
        Ok(())
    }

    /// A sparse file, named with a number above all others: so later ones are known.
    fn create_store(&self) -> Result<PathBuf, DiskError> {
        let number = self.stores()?.iter().map(|&(number, _)| number).max();
        let number = number.map_or(0, |last| last.saturating_add(1));
        let path = self
            .cow_dir
            .join(format!("rv-{}-{number}{COW_SUFFIX}", self.disk));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(DiskError::io("create", &path))?;
        file.set_len(self.cow_bytes)
            .map_err(DiskError::io("set the length of", &path))?;
        Ok(path)
    }

    /// The files of this disk in the directory, with their numbers.
    fn stores(&self) -> Result<Vec<(u64, PathBuf)>, DiskError> {
        let entries = fs::read_dir(&self.cow_dir).map_err(DiskError::io("list", &self.cow_dir))?;
        let mut stores = Vec::new();
        for entry in entries {
            let path = entry.map_err(DiskError::io("list", &self.cow_dir))?.path();
            if let Some(number) = self.store_number(&path) {
                stores.push((number, path));
            }
        }
        Ok(stores)
    }

    fn store_number(&self, path: &Path) -> Option<u64> {
        let name = path.file_name()?.to_str()?.strip_suffix(COW_SUFFIX)?;
        let number = name.strip_prefix("rv-")?.strip_prefix(&self.disk)?;
        number.strip_prefix('-')?.parse().ok()
    }

    /// The snapshot of the newest checkpoint that has one.
    pub(super) fn base(&self) -> Result<Option<Base>, DiskError> {
        let mut bases = self.bases()?;
        Ok(bases.pop())
    }

    /// The snapshots of checkpoints, oldest first.
    fn bases(&self) -> Result<Vec<Base>, DiskError> {
        let mut bases = Vec::new();
        for name in of_origin(&self.tools, &self.disk)? {
            let Some(tag) = tag_in(&name, &self.disk).filter(|&tag| tag != NEXT) else {
                continue;
            };
            // One without a store here is somebody's who does not share this directory: it is of no use.
            if let Some(cow) = self.store_of(&name)? {
                let tag = tag.to_owned();
                bases.push(Base { name, tag, cow });
            }
        }
        bases.sort_by_key(|base| self.store_number(&base.cow));
        Ok(bases)
    }

    /// The file behind a snapshot's store, if it is one of this disk in this directory.
    fn store_of(&self, name: &str) -> Result<Option<PathBuf>, DiskError> {
        let Some(target) = single_target(&self.tools, name)? else {
            return Ok(None);
        };
        let Some(number) = target.args.get(1).filter(|_| target.kind == "snapshot") else {
            return Ok(None);
        };
        let path = self.tools.sys_block(number).join("loop/backing_file");
        let Ok(file) = fs::read_to_string(&path) else {
            return Ok(None);
        };
        let file = PathBuf::from(file.trim_end_matches('\n'));
        let here = file.file_name().map(|name| self.cow_dir.join(name));
        Ok(here.filter(|path| path.exists() && self.store_number(path).is_some()))
    }

    /// How a snapshot is: `None` if it is well, else the kernel's word.
    pub(super) fn lost(&self, name: &str) -> Result<Option<String>, DiskError> {
        let status = self.tools.dmsetup(&["status", name])?;
        // 0 8192 snapshot 16/8192 8
        match status.split_whitespace().nth(3) {
            Some(usage) if usage.contains('/') => Ok(None),
            Some(word) => Ok(Some(word.to_owned())),
            None => Err(DiskError::Unexpected {
                what: "status",
                name: name.to_owned(),
                found: status,
                expected: "that of a snapshot",
            }),
        }
    }

    /// The snapshot that was just taken becomes the base; older ones go.
    pub(super) fn keep_next(&self, id: CheckpointId) -> Result<(), DiskError> {
        let name = tagged_name(&self.disk, &tag_of(id));
        self.tools.dmsetup(&["rename", &next_name(&self.disk), &name])?;
        self.sweep()
    }

    /// Removes what no later capture can use: a snapshot that was never committed, bases but the newest, stores without a
    /// snapshot. Lets the disk go on should it be suspended.
    pub(super) fn sweep(&self) -> Result<(), DiskError> {
        let suspended = ["info", "-c", "--noheadings", "-o", "suspended", &self.disk];
        if self.tools.dmsetup(&suspended)?.trim() == "Suspended" {
            super::mapped::resume(&self.tools, &self.disk)?;
        }
        let keep = self.base()?;
        for name in of_origin(&self.tools, &self.disk)? {
            if keep.as_ref().is_none_or(|base| base.name != name) {
                self.remove(&name)?;
            }
        }
        for (_, store) in self.stores()? {
            if keep.as_ref().is_none_or(|base| base.cow != store) {
                self.remove_store(&store)?;
            }
        }
        Ok(())
    }

    /// Removes all snapshots and stores.
    pub(super) fn forget(&self) -> Result<(), DiskError> {
        for name in of_origin(&self.tools, &self.disk)? {
            self.remove(&name)?;
        }
        self.sweep()
    }

    /// Removes a snapshot. As the kernel's documentation asks, its origin is suspended meanwhile, for milliseconds; if the
    /// snapshot is open just then (udev looks into new devices), it is tried again with the origin going on in between.
    fn remove(&self, name: &str) -> Result<(), DiskError> {
        const ATTEMPTS: u32 = 20;
        for attempt in 1.. {
            match self.tools.suspended(&[&self.disk], &["remove", name]) {
                Ok(()) => break,
                Err(_) if attempt < ATTEMPTS => std::thread::sleep(std::time::Duration::from_millis(100)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn remove_store(&self, path: &Path) -> Result<(), DiskError> {
        // /dev/loop3: []: (/var/lib/…)
        let loops = self.tools.losetup(&["--associated"], Some(path))?;
        for device in loops.lines().filter_map(|line| line.split_once(':')) {
            self.tools.losetup(&["--detach", device.0], None)?;
        }
        fs::remove_file(path).map_err(DiskError::io("remove", path))
    }
}

/// A file to read an exception store from. It is the file below the loop device, which sees what the kernel wrote through
/// it; the loop device itself may have older pages in its cache.
#[derive(Debug)]
pub(super) struct StoreFile {
    file: File,
    len: u64,
}

impl StoreFile {
    pub(super) fn open(path: &Path) -> Result<Self, DiskError> {
        let file = File::open(path).map_err(DiskError::io("open", path))?;
        let len = file.metadata().map_err(DiskError::io("look at", path))?.len();
        Ok(StoreFile { file, len })
    }
}

impl ReadAt for StoreFile {
    fn len_bytes(&self) -> u64 {
        self.len
    }

    fn read_at(&self, at: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        self.file.read_exact_at(buffer, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_of_one_disk_are_not_taken_for_another_s() {
        let tag = "0123456789abcdef";
        assert_eq!(tag_in("rv-a-next", "a"), Some(NEXT));
        assert_eq!(tag_in(&tagged_name("a-b", tag), "a-b"), Some(tag));
        assert_eq!(tag_in(&tagged_name("a-b", tag), "a"), None);
        assert_eq!(tag_in(&next_name("a-b"), "a"), None);
        assert_eq!(tag_in("rv-a-0123456789abcdeg", "a"), None);
        assert_eq!(tag_in("a", "a"), None);
        let id: CheckpointId = "0123456789abcdef".repeat(4).parse().unwrap();
        assert_eq!(tag_of(id), tag);
    }
}

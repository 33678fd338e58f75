//! The state behind all handles of one boot of a machine with a simulated disk.

use std::io;

use revenant_core::Timestamp;
use revenant_core::medium::{DirEntry, EntryKind, MediumError};

use super::file::File;
use super::image::Image;
use super::names::{Names, Tree};
use super::path::dir_of;
use super::{Moment, failed, halted};

#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) names: Names,
    pub(super) capacity_bytes: Option<u64>,
    pub(super) read_only: bool,
    pub(super) halted: bool,
    /// Writes fail until then.
    pub(super) mended: Timestamp,
    /// How often it broke: what was open for writing then stays broken.
    pub(super) breaks: u32,
    pub(super) trap: Option<(u64, Moment)>,
    /// Changing operations begun.
    pub(super) counted: u64,
    /// Their names, if somebody wants them.
    pub(super) log: Option<Vec<String>>,
}

impl Disk {
    pub(super) fn new(image: Image) -> Self {
        let files = image.files.into_iter();
        let tree = Tree {
            files: files.map(|(path, bytes)| (path, File::durable(bytes))).collect(),
            dirs: image.dirs,
        };
        Disk {
            names: Names::new(tree),
            ..Disk::default()
        }
    }

    /// Counts a changing operation; tells if and when the planned crash strikes it.
    pub(super) fn count(&mut self, operation: &str, path: &str) -> Option<Moment> {
        self.counted += 1;
        let nth = self.counted;
        if let Some(log) = &mut self.log {
            log.push(format!("{operation} {path}"));
        }
        self.trap.filter(|&(at, _)| at == nth).map(|(_, moment)| moment)
    }

    pub(super) fn halt(&mut self) {
        self.halted = true;
    }

    pub(super) fn need_power(&self, operation: &'static str, path: &str) -> Result<(), MediumError> {
        if self.halted {
            Err(halted(operation, path))
        } else {
            Ok(())
        }
    }

    pub(super) fn need_writable(&self, operation: &'static str, path: &str) -> Result<(), MediumError> {
        if self.read_only {
            Err(failed(operation, path, io::ErrorKind::ReadOnlyFilesystem))
        } else {
            Ok(())
        }
    }

    pub(super) fn need_mended(
        &self,
        operation: &'static str,
        path: &str,
        now: Timestamp,
    ) -> Result<(), MediumError> {
        if now >= self.mended {
            return Ok(());
        }
        Err(failed(operation, path, io::ErrorKind::ReadOnlyFilesystem))
    }

    /// The directory of a file that is to be made.
    pub(super) fn need_dir_of(&self, operation: &'static str, path: &str) -> Result<(), MediumError> {
        let live = self.names.live();
        if live.has_dir_of(path) {
            return Ok(());
        }
        let kind = if live.files.contains_key(dir_of(path)) {
            io::ErrorKind::NotADirectory
        } else {
            io::ErrorKind::NotFound
        };
        Err(failed(operation, path, kind))
    }

    pub(super) fn find(&self, operation: &'static str, path: &str) -> Result<File, MediumError> {
        self.need_dir_of(operation, path)?;
        let live = self.names.live();
        let kind = if live.dirs.contains(path) {
            io::ErrorKind::IsADirectory
        } else {
            io::ErrorKind::NotFound
        };
        let file = live.files.get(path).cloned();
        file.ok_or_else(|| failed(operation, path, kind))
    }

    pub(super) fn has(&self, path: &str) -> bool {
        let live = self.names.live();
        live.dirs.contains(path) || live.files.contains_key(path)
    }

    pub(super) fn list(&self, dir: &str) -> Result<Vec<DirEntry>, MediumError> {
        let Tree { files, dirs } = self.names.live();
        if files.contains_key(dir) {
            return Err(failed("list", dir, io::ErrorKind::NotADirectory));
        }
        let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
        let files = files.iter().filter(|(path, _)| dir_of(path) == dir);
        let mut entries: Vec<DirEntry> = files
            .map(|(path, file)| DirEntry {
                name: name(path),
                kind: EntryKind::File,
                len_bytes: file.len_bytes(),
            })
            .collect();
        if dir.is_empty() {
            entries.extend(dirs.iter().map(|dir| DirEntry {
                name: dir.clone(),
                kind: EntryKind::Directory,
                len_bytes: 0,
            }));
            entries.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Ok(entries)
    }

    /// Bytes that still fit; without a limit none are counted.
    pub(super) fn room_bytes(&self) -> Option<u64> {
        self.capacity_bytes.map(|capacity| {
            let used: u64 = self.names.live().files.values().map(File::len_bytes).sum();
            capacity.saturating_sub(used)
        })
    }

    pub(super) fn live_image(&self) -> Image {
        let Tree { files, dirs } = self.names.live();
        Image {
            files: files
                .iter()
                .map(|(path, file)| (path.clone(), file.live()))
                .collect(),
            dirs: dirs.clone(),
        }
    }
}

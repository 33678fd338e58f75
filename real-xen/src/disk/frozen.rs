//! The disks of a guest, frozen together and handed to the capture engine.

use std::fmt;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use revenant_core::guest::{Changed, FrozenDisk};
use revenant_core::store::CheckpointId;
use revenant_core::{HypervisorError, PAGE_SIZE};

use super::error::DiskError;
use super::exceptions::{Exceptions, read_exceptions};
use super::mapped::{attached, name_of, number_of};
use super::snapshot::{Snapshots, StoreFile, next_name, tag_of};
use super::tools::Tools;

const SECTOR: u64 = 512;
const BLOCK: u64 = PAGE_SIZE as u64;

/// Which disk of a guest is to be frozen.
#[derive(Debug, Clone)]
pub struct DiskConfig {
    /// What the guest's configuration calls it (`xvda`).
    pub name: String,
    /// Its block device, [attached](super::attach).
    pub device: PathBuf,
}

/// The disks of one guest.
#[derive(Debug)]
pub struct DiskSet {
    disks: Vec<(String, Snapshots)>,
    frozen: Vec<FrozenSnapshot>,
    prepared: bool,
}

impl DiskSet {
    /// Takes up the disks of a guest, in the order of its configuration, and removes what runs that were killed left of
    /// their snapshots. The files with what the guest overwrites while a snapshot exists go to `cow_dir`, which is the
    /// guest's alone and must not be on one of its disks. They are sparse and at most `cow_bytes` long each; `None`: as
    /// long as it takes for a snapshot never to run full. One process at a time has a guest's disks: a second one would
    /// take the first one's snapshots for leftovers.
    pub fn open(
        tools: &Tools,
        disks: &[DiskConfig],
        cow_dir: &Path,
        cow_bytes: Option<u64>,
    ) -> Result<Self, DiskError> {
        fs::create_dir_all(cow_dir).map_err(DiskError::io("create", cow_dir))?;
        let cow_dir = cow_dir
            .canonicalize()
            .map_err(DiskError::io("resolve", cow_dir))?;
        let mut opened = Vec::with_capacity(disks.len());
        for config in disks {
            let disk = name_of(tools, &config.device)?;
            let Some(sectors) = attached(tools, &disk)? else {
                return Err(DiskError::NotAttached { name: disk });
            };
            let bytes = sectors.saturating_mul(SECTOR);
            if bytes == 0 || !bytes.is_multiple_of(BLOCK) {
                return Err(DiskError::Size {
                    device: config.device.clone(),
                    bytes,
                });
            }
            let snapshots = Snapshots {
                tools: tools.clone(),
                disk,
                sectors,
                cow_dir: cow_dir.clone(),
                cow_bytes: cow_bytes.unwrap_or_else(|| ample(bytes)).next_multiple_of(BLOCK),
            };
            snapshots.sweep()?;
            opened.push((config.name.clone(), snapshots));
        }
        Ok(DiskSet {
            disks: opened,
            frozen: Vec::new(),
            prepared: false,
        })
    }

    /// Does all that can be done before the guest is suspended. What an earlier attempt left is removed.
    pub fn prepare(&mut self) -> Result<(), DiskError> {
        self.prepared = false;
        self.frozen.clear();
        for (_, snapshots) in &self.disks {
            snapshots.sweep()?;
            snapshots.prepare()?;
        }
        self.prepared = true;
        Ok(())
    }

    /// Freezes all disks at one instant; they were [prepared](Self::prepare). Takes milliseconds. For a state that fits
    /// the guest's memory the guest is suspended.
    pub fn freeze(&mut self) -> Result<(), DiskError> {
        if self.disks.is_empty() {
            return Ok(());
        }
        if !std::mem::take(&mut self.prepared) {
            let name = self.disks[0].1.disk.clone();
            return Err(DiskError::NotPrepared { name });
        }
        let origins: Vec<&str> = self.disks.iter().map(|(_, s)| s.disk.as_str()).collect();
        let names: Vec<String> = origins.iter().map(|disk| next_name(disk)).collect();
        let mut activate = vec!["resume"];
        activate.extend(names.iter().map(String::as_str));
        self.disks[0].1.tools.suspended(&origins, &activate)?;
        self.frozen = self
            .disks
            .iter()
            .map(|(name, snapshots)| FrozenSnapshot {
                name: name.clone(),
                snapshots: snapshots.clone(),
                file: None,
            })
            .collect();
        Ok(())
    }

    /// Hands out what the last freeze froze, once.
    pub fn take_frozen(&mut self) -> Vec<Box<dyn FrozenDisk>> {
        let frozen = self.frozen.drain(..);
        frozen.map(|disk| Box::new(disk) as Box<dyn FrozenDisk>).collect()
    }

    /// Removes what no later capture can use: snapshots that were not committed, and their files.
    pub fn sweep(&mut self) -> Result<(), DiskError> {
        self.prepared = false;
        self.frozen.clear();
        self.disks.iter().try_for_each(|(_, snapshots)| snapshots.sweep())
    }

    /// Removes all snapshots, the bases too: the next checkpoint reads every block. Then the disks can be detached.
    pub fn forget(&mut self) -> Result<(), DiskError> {
        self.prepared = false;
        self.frozen.clear();
        self.disks
            .iter()
            .try_for_each(|(_, snapshots)| snapshots.forget())
    }
}

/// A store that has room for every block of a disk: header, the blocks, a pair of 16 bytes for each, and a few areas.
fn ample(disk_bytes: u64) -> u64 {
    let pairs_per_area = BLOCK / 16;
    let blocks = disk_bytes / BLOCK;
    let areas = blocks / pairs_per_area + 2;
    (blocks + areas + 2).saturating_mul(BLOCK)
}

/// A disk as it was when it was frozen.
pub struct FrozenSnapshot {
    name: String,
    snapshots: Snapshots,
    file: Option<File>,
}

impl fmt::Debug for FrozenSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FrozenSnapshot")
            .field(&self.snapshots.disk)
            .finish()
    }
}

impl FrozenSnapshot {
    fn block_count(&self) -> u64 {
        self.snapshots.sectors * SECTOR / BLOCK
    }

    fn snapshot_name(&self) -> String {
        next_name(&self.snapshots.disk)
    }

    /// Opens the snapshot at the first read.
    fn open(&mut self) -> Result<&File, DiskError> {
        if self.file.is_none() {
            let tools = &self.snapshots.tools;
            let path = tools.node(&number_of(tools, &self.snapshot_name())?);
            self.file = Some(File::open(&path).map_err(DiskError::io("open", path))?);
        }
        Ok(self.file.as_ref().expect("just opened"))
    }

    fn find_changed(&self, checkpoint: CheckpointId) -> Result<Changed, DiskError> {
        let unknown = |why: String| Ok(Changed::Unknown { why });
        let Some(base) = self.snapshots.base()? else {
            return unknown("no snapshot of an earlier checkpoint is there".to_owned());
        };
        if base.tag != tag_of(checkpoint) {
            return unknown(format!("the snapshot there is, is of checkpoint {}", base.tag));
        }
        if let Some(status) = self.snapshots.lost(&base.name)? {
            return unknown(format!("the snapshot of the base is lost ({status})"));
        }
        let store = StoreFile::open(&base.cow)?;
        match read_exceptions(&store, self.snapshots.sectors * SECTOR) {
            Ok(Exceptions::Chunks { chunk_bytes, changed }) => Ok(Changed::Blocks(in_blocks(
                &changed,
                chunk_bytes,
                self.block_count(),
            ))),
            Ok(Exceptions::Invalid) => unknown("the snapshot of the base ran full".to_owned()),
            // A list that cannot be trusted is worth nothing, and the disk itself can be read.
            Err(error) => unknown(format!("{}: {error}", base.cow.display())),
        }
    }

    fn read_blocks(&mut self, first: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        let (count, blocks) = (buffer.len() as u64 / BLOCK, self.block_count());
        let end = first.saturating_add(count);
        if !(buffer.len() as u64).is_multiple_of(BLOCK) || end > blocks {
            return Err(DiskError::OutOfRange {
                first,
                last: end.saturating_sub(1),
                device: self.snapshot_name().into(),
                blocks,
            });
        }
        let read = self.open()?.read_exact_at(buffer, first * BLOCK);
        // The kernel fails every read of a snapshot that is lost; say so.
        let Err(error) = read else { return Ok(()) };
        let name = self.snapshot_name();
        match self.snapshots.lost(&name)? {
            Some(status) => Err(DiskError::Lost {
                name,
                status,
                cow_bytes: self.snapshots.cow_bytes,
            }),
            None => Err(DiskError::io("read", name)(error)),
        }
    }
}

/// Ranges of chunks as ranges of blocks.
fn in_blocks(chunks: &[Range<u64>], chunk_bytes: u64, blocks: u64) -> Vec<Range<u64>> {
    let per_chunk = chunk_bytes / BLOCK;
    let ranges = chunks
        .iter()
        .map(|range| range.start * per_chunk..(range.end * per_chunk).min(blocks));
    ranges.filter(|range| !range.is_empty()).collect()
}

fn backend(operation: &'static str) -> impl FnOnce(DiskError) -> HypervisorError {
    move |error| HypervisorError::Backend {
        operation,
        source: Box::new(error),
    }
}

impl FrozenDisk for FrozenSnapshot {
    fn name(&self) -> &str {
        &self.name
    }

    fn blocks(&self) -> u64 {
        self.block_count()
    }

    fn changed_since(&mut self, checkpoint: CheckpointId) -> Result<Changed, HypervisorError> {
        self.find_changed(checkpoint)
            .map_err(backend("listing the changed blocks of a disk"))
    }

    fn read(&mut self, first: u64, buffer: &mut [u8]) -> Result<(), HypervisorError> {
        self.read_blocks(first, buffer)
            .map_err(backend("reading a snapshot"))
    }

    fn committed(&mut self, id: CheckpointId) -> Result<(), HypervisorError> {
        // An open snapshot cannot be removed, later.
        self.file = None;
        self.snapshots
            .keep_next(id)
            .map_err(backend("keeping a snapshot as the base of the next checkpoint"))
    }

    fn abandon(&mut self) -> Result<(), HypervisorError> {
        self.file = None;
        self.snapshots.sweep().map_err(backend("removing a snapshot"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_become_blocks_within_the_disk() {
        assert_eq!(in_blocks(&[0..1, 3..5], 4096, 100), [0..1, 3..5]);
        assert_eq!(in_blocks(&[0..1, 3..4], 16384, 14), [0..4, 12..14]);
        // A disk of 1,000,000 blocks: every block, header, metadata areas, to spare.
        assert!(ample(1_000_000 * BLOCK) / BLOCK >= 1_000_000 + 1_000_000 / 256 + 3);
    }
}

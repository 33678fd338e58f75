//! A disk out of a checkpoint onto a block device.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use revenant_core::PAGE_SIZE;
use revenant_core::restore::{DiskRestoreError, restore_disk};
use revenant_core::store::CheckpointReader;

use super::error::DiskError;

const BLOCK: u64 = PAGE_SIZE as u64;

/// What writing a disk back did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenBack {
    /// Blocks of the disk.
    pub blocks: u64,
    /// Blocks that differed and were written.
    pub written: u64,
}

/// Makes the content of the target that of the disk `name` in the checkpoint. Blocks that are right already are only read.
/// All is durable when this returns.
pub fn write_back(
    reader: &mut CheckpointReader,
    name: &str,
    target: &mut DiskTarget,
) -> Result<WrittenBack, DiskRestoreError<DiskError>> {
    let blocks = restore_disk(reader, name, |first, bytes| target.put(first, bytes))?;
    let written = target.finish().map_err(|source| DiskRestoreError::Target {
        name: name.to_owned(),
        source,
    })?;
    Ok(WrittenBack { blocks, written })
}

/// A device about to be written.
#[derive(Debug)]
pub struct DiskTarget {
    path: PathBuf,
    file: File,
    present: Vec<u8>,
    /// Blocks written.
    written: u64,
    touched: bool,
}

impl DiskTarget {
    /// Opens a device of exactly so many blocks that no mount and no other device is on.
    pub fn open(path: &Path, blocks: u64) -> Result<Self, DiskError> {
        let meta = path.metadata().map_err(DiskError::io("look at", path))?;
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        if meta.file_type().is_block_device() {
            // A device that a mount or another device is on is refused by the kernel.
            let exclusive = rustix::fs::OFlags::EXCL.bits();
            options.custom_flags(exclusive.cast_signed());
        }
        let mut file = options.open(path).map_err(DiskError::io("open", path))?;
        let found = file
            .seek(SeekFrom::End(0))
            .map_err(DiskError::io("find the size of", path))?;
        let expected = blocks.saturating_mul(BLOCK);
        if found != expected {
            return Err(DiskError::OtherSize {
                device: path.to_owned(),
                found,
                expected,
            });
        }
        // A guest writes past this host's cache; what is in it may be older than the disk, and is not to be compared with.
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)
            .map_err(|errno| DiskError::io("drop what is cached of", path)(errno.into()))?;
        Ok(DiskTarget {
            path: path.to_owned(),
            file,
            present: Vec::new(),
            written: 0,
            touched: false,
        })
    }

    /// Something of it was written, or may have been.
    pub fn touched(&self) -> bool {
        self.touched
    }

    /// Writes the blocks that differ, neighbours in one go.
    fn put(&mut self, first: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.present.resize(bytes.len(), 0);
        self.file
            .read_exact_at(&mut self.present, first * BLOCK)
            .map_err(DiskError::io("read", &self.path))?;
        let (wanted, present) = (bytes.chunks(PAGE_SIZE), self.present.chunks(PAGE_SIZE));
        let differs: Vec<bool> = wanted
            .zip(present)
            .map(|(wanted, present)| wanted != present)
            .collect();
        let mut at = 0;
        for run in differs.chunk_by(|a, b| a == b) {
            let end = at + run.len();
            if run[0] {
                self.touched = true;
                self.file
                    .write_all_at(
                        &bytes[at * PAGE_SIZE..end * PAGE_SIZE],
                        (first + at as u64) * BLOCK,
                    )
                    .map_err(DiskError::io("write", &self.path))?;
                self.written += run.len() as u64;
            }
            at = end;
        }
        Ok(())
    }

    fn finish(&self) -> Result<u64, DiskError> {
        self.file.sync_all().map_err(DiskError::io("sync", &self.path))?;
        Ok(self.written)
    }
}

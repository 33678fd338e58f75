//! A disk that is written all the time, and a memory of what was written.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Size of a block, and its alignment in memory for unbuffered writes.
const BLOCK_BYTES: usize = 4096;
/// Blocks that are used at most.
const BLOCKS_MAX: u64 = 512;
const MAGIC: u64 = 0x7265_7665_6e61_6e74;

/// A block is not what memory says was written there.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Another write's content.
    #[error("block={block},expected={expected},found={found}")]
    Block {
        /// Which block.
        block: u64,
        /// Number of the write that memory remembers.
        expected: u64,
        /// Number of the write that is on the disk; `damaged` if it is none.
        found: String,
    },
    /// The disk failed.
    #[error("io={0}")]
    Io(#[from] io::Error),
}

/// The disk and what is remembered of it.
#[derive(Debug)]
pub struct Disk {
    file: File,
    boot: u64,
    /// Number of the last write to each block; 0: not written since boot.
    written: Vec<u64>,
    writes: u64,
    /// Room for one aligned block.
    buffer: Vec<u8>,
}

impl Disk {
    /// Opens a disk, unbuffered where that is possible: nothing is to wait in the guest's own page cache.
    pub fn open(path: &Path, boot: u64) -> io::Result<Self> {
        let direct = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).unwrap_or(0);
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let file = options
            .clone()
            .custom_flags(direct)
            .open(path)
            .or_else(|_| options.open(path))?;
        let blocks = rustix::fs::seek(&file, rustix::fs::SeekFrom::End(0))? / BLOCK_BYTES as u64;
        if blocks == 0 {
            return Err(io::Error::other(
                "the disk is smaller than one block of 4096 bytes",
            ));
        }
        let used = usize::try_from(blocks.min(BLOCKS_MAX)).expect("a small number");
        Ok(Disk {
            file,
            boot,
            written: vec![0; used],
            writes: 0,
            buffer: vec![0; 2 * BLOCK_BYTES],
        })
    }

    /// Blocks in use.
    pub fn blocks(&self) -> u64 {
        self.written.len() as u64
    }

    /// Writes the next block in turn.
    pub fn write(&mut self) -> Result<(), Fault> {
        let write = self.writes + 1;
        let block = write % self.blocks();
        // A disk that is ahead of memory already holds what is about to be written: seen now or never.
        self.check(block, 1)?;
        let boot = self.boot;
        fill(self.aligned(), boot, write);
        let at = self.offset();
        self.file
            .write_all_at(&self.buffer[at..at + BLOCK_BYTES], block * BLOCK_BYTES as u64)?;
        // Remembered after the write. A guest that stops between the two issues the write again when it goes on: the
        // same bytes to the same place.
        self.writes = write;
        self.written[usize::try_from(block).expect("inside the disk")] = write;
        Ok(())
    }

    /// Reads back `count` blocks from `first` on (wrapping) and compares them with what memory says.
    pub fn check(&mut self, first: u64, count: u64) -> Result<(), Fault> {
        let mut wanted = vec![0; BLOCK_BYTES];
        let blocks = self.blocks();
        for block in (first..first + count).map(|block| block % blocks) {
            let expected = self.written[usize::try_from(block).expect("inside the disk")];
            if expected == 0 {
                continue;
            }
            let at = self.offset();
            self.file
                .read_exact_at(&mut self.buffer[at..at + BLOCK_BYTES], block * BLOCK_BYTES as u64)?;
            fill(&mut wanted, self.boot, expected);
            let seen = &self.buffer[at..at + BLOCK_BYTES];
            if seen != wanted {
                return Err(Fault::Block {
                    block,
                    expected,
                    found: recognise(seen, self.boot),
                });
            }
        }
        Ok(())
    }

    fn offset(&self) -> usize {
        self.buffer.as_ptr().align_offset(BLOCK_BYTES)
    }

    fn aligned(&mut self) -> &mut [u8] {
        let at = self.offset();
        &mut self.buffer[at..at + BLOCK_BYTES]
    }
}

/// What write number `write` of a boot puts into its block.
fn fill(block: &mut [u8], boot: u64, write: u64) {
    let mut state = boot ^ write.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for (index, word) in block.chunks_exact_mut(8).enumerate() {
        let value = match index {
            0 => MAGIC,
            1 => boot,
            2 => write,
            _ => {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                state
            }
        };
        word.copy_from_slice(&value.to_le_bytes());
    }
}

fn recognise(block: &[u8], boot: u64) -> String {
    let word = |index: usize| {
        let bytes = block[index * 8..].first_chunk().expect("a whole block");
        u64::from_le_bytes(*bytes)
    };
    let mut wanted = vec![0; block.len()];
    fill(&mut wanted, word(1), word(2));
    match (block == wanted, word(1) == boot) {
        (true, true) => word(2).to_string(),
        (true, false) => "another-boot".into(),
        (false, _) => "damaged".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn an_older_or_newer_disk_than_memory_remembers_is_found() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&vec![0; 8 * BLOCK_BYTES]).unwrap();
        let mut disk = Disk::open(file.path(), 5).unwrap();
        for _ in 0..20 {
            disk.write().unwrap();
        }
        disk.check(0, 8).unwrap();
        let then = std::fs::read(file.path()).unwrap();
        let memory = disk.written.clone();
        for _ in 0..3 {
            disk.write().unwrap();
        }
        disk.check(0, 8).unwrap();
        let now = std::fs::read(file.path()).unwrap();
        // The disk went back, memory did not.
        file.as_file().write_all_at(&then, 0).unwrap();
        assert!(matches!(disk.check(0, 8), Err(Fault::Block { expected: 21, found, .. }) if found == "13"));
        // Memory went back, the disk did not.
        file.as_file().write_all_at(&now, 0).unwrap();
        disk.written = memory;
        assert!(matches!(disk.check(0, 8), Err(Fault::Block { found, .. }) if found == "21"));
        // A torn block.
        file.as_file().write_all_at(&[9; 100], 3 * 4096 + 512).unwrap();
        assert!(matches!(disk.check(3, 1), Err(Fault::Block { block: 3, found, .. }) if found == "damaged"));
    }
}

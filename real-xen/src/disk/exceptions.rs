//! The list of changed chunks in a dm-snapshot exception store.
//!
//! A persistent exception store (kernel, `dm-snap-persistent.c`) is laid out in chunks. All integers are little-endian.
//!
//! ```text
//! chunk 0      header: magic "SnAp" | valid | version 1 | chunk size in sectors, four bytes each
//! chunk 1      metadata area 0: pairs (old chunk, new chunk), eight bytes each
//! chunks 2..   the old content of as many chunks as area 0 has pairs
//! …            metadata area 1, and so on
//! ```
//!
//! A pair says that chunk *old* of the origin was about to be overwritten and what it held was saved in chunk *new* of
//! the store. The first pair whose *new* is 0 ends the list. The kernel writes a pair before it lets the write through,
//! and appends only: whoever reads while the origin is being written sees all pairs there were when it began, and
//! perhaps some later ones.

use std::ops::Range;

/// Length of a sector.
const SECTOR: u64 = 512;
const MAGIC: u32 = 0x7041_6e53;
const VERSION: u32 = 1;
/// Bytes of the header that say anything.
const HEADER: usize = 16;
/// Bytes of a pair.
const PAIR: usize = 16;
/// The kernel's own bounds: a page, and what a chunk size in a table may reasonably be (1 MiB).
const CHUNK_SECTORS: Range<u32> = 8..2049;

/// Where an exception store can be read from.
pub trait ReadAt {
    /// Its length in bytes.
    fn len_bytes(&self) -> u64;
    /// Fills `buffer` from byte `at` on. All of it lies within the length.
    fn read_at(&self, at: u64, buffer: &mut [u8]) -> std::io::Result<()>;
}

/// What an exception store says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exceptions {
    /// The store ran full, or writing it failed: the list is not complete, the snapshot is lost.
    Invalid,
    /// The origin's chunks that were written since the snapshot was taken.
    Chunks {
        /// Length of a chunk in bytes: a power of two, 4 KiB to 1 MiB.
        chunk_bytes: u64,
        /// Ascending, disjoint, not adjacent, none empty.
        changed: Vec<Range<u64>>,
    },
}

/// An exception store that the kernel cannot have written.
#[derive(Debug, thiserror::Error)]
pub enum ExceptionsError {
    /// It ends too early.
    #[error("byte {at}: the exception store ends at byte {len}, expected {what}")]
    Truncated {
        /// Where more was expected.
        at: u64,
        /// Its length.
        len: u64,
        /// What was expected.
        what: &'static str,
    },
    /// A field has an impossible value.
    #[error("byte {at}: {field} is {found:#x}, expected {expected}")]
    Field {
        /// Where it is.
        at: u64,
        /// Which.
        field: &'static str,
        /// Its value.
        found: u64,
        /// What would have been right.
        expected: String,
    },
    /// It could not be read.
    #[error("byte {at}: cannot read the exception store")]
    Read {
        /// Where.
        at: u64,
        /// The operating system's words.
        #[source]
        source: std::io::Error,
    },
}

/// Reads the list of changed chunks of an origin with `origin_bytes` bytes. Memory is taken for the chunks of the origin
/// that changed, 16 bytes for each run.
pub fn read_exceptions(store: &impl ReadAt, origin_bytes: u64) -> Result<Exceptions, ExceptionsError> {
    let Some(chunk_bytes) = read_header(store)? else {
        return Ok(Exceptions::Invalid);
    };
    let origin_chunks = origin_bytes.div_ceil(chunk_bytes);
    let store_chunks = store.len_bytes() / chunk_bytes;
    let pairs_per_area = chunk_bytes / PAIR as u64;
    let mut area = vec![0; usize::try_from(chunk_bytes).expect("at most 1 MiB")];
    let mut changed = ChunkSet::default();
    // No chunk of the origin is saved twice, so a longer list is damage: this also bounds the work.
    let mut left = origin_chunks;
    for number in 0.. {
        let chunk = 1 + number * (pairs_per_area + 1);
        let at = chunk.saturating_mul(chunk_bytes);
        read(store, at, &mut area, "a metadata area")?;
        for (i, pair) in (0u64..).zip(area.as_chunks::<PAIR>().0) {
            let at = at + i * PAIR as u64;
            let (old, new) = (le64(&pair[..8]), le64(&pair[8..]));
            if new == 0 {
                return Ok(Exceptions::Chunks {
                    chunk_bytes,
                    changed: changed.into_ranges(),
                });
            }
            if left == 0 {
                return Err(field(
                    at,
                    "a further pair's old chunk",
                    old,
                    "the end of the list: the origin has no more chunks",
                ));
            }
            left -= 1;
            if old >= origin_chunks {
                return Err(field(at, "old chunk", old, format!("less than {origin_chunks}")));
            }
            if new >= store_chunks || new % (pairs_per_area + 1) == 1 {
                let expected = format!("a data chunk of the store, less than {store_chunks}");
                return Err(field(at + 8, "new chunk", new, expected));
            }
            changed.push(old);
        }
    }
    unreachable!("the areas end with the store")
}

/// Checks the header; gives the chunk size in bytes unless the store is marked as invalid.
fn read_header(store: &impl ReadAt) -> Result<Option<u64>, ExceptionsError> {
    let mut header = [0; HEADER];
    read(store, 0, &mut header, "a header")?;
    let word = |i: usize| u32::from_le_bytes([header[i], header[i + 1], header[i + 2], header[i + 3]]);
    let (magic, valid, version, sectors) = (word(0), word(4), word(8), word(12));
    if magic != MAGIC {
        return Err(field(0, "magic", magic.into(), format!("{MAGIC:#x}")));
    }
    if version != VERSION {
        return Err(field(8, "version", version.into(), format!("{VERSION}")));
    }
    match valid {
        0 => return Ok(None),
        1 => {}
        other => return Err(field(4, "valid", other.into(), "0 or 1")),
    }
    if !CHUNK_SECTORS.contains(&sectors) || !sectors.is_power_of_two() {
        return Err(field(
            12,
            "chunk size",
            sectors.into(),
            "a power of two of sectors, 8 to 2048",
        ));
    }
    Ok(Some(u64::from(sectors) * SECTOR))
}

fn read(store: &impl ReadAt, at: u64, buffer: &mut [u8], what: &'static str) -> Result<(), ExceptionsError> {
    let len = store.len_bytes();
    if at.saturating_add(buffer.len() as u64) > len {
        return Err(ExceptionsError::Truncated { at, len, what });
    }
    store
        .read_at(at, buffer)
        .map_err(|source| ExceptionsError::Read { at, source })
}

fn field(at: u64, field: &'static str, found: u64, expected: impl Into<String>) -> ExceptionsError {
    let expected = expected.into();
    ExceptionsError::Field {
        at,
        field,
        found,
        expected,
    }
}

fn le64(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// Chunks in the order in which they were first written, which is often ascending.
#[derive(Debug, Default)]
struct ChunkSet {
    runs: Vec<Range<u64>>,
}

impl ChunkSet {
    fn push(&mut self, chunk: u64) {
        match self.runs.last_mut() {
            Some(last) if last.end == chunk => last.end += 1,
            _ => self.runs.push(chunk..chunk + 1),
        }
    }

    fn into_ranges(mut self) -> Vec<Range<u64>> {
        self.runs.sort_unstable_by_key(|run| run.start);
        let mut ranges: Vec<Range<u64>> = Vec::with_capacity(self.runs.len());
        for run in self.runs {
            match ranges.last_mut() {
                Some(last) if run.start <= last.end => last.end = last.end.max(run.end),
                _ => ranges.push(run),
            }
        }
        ranges
    }
}

#[cfg(test)]
mod tests;

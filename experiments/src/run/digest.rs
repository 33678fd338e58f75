//! BLAKE3 of a file by several threads: the hash is a tree, whose subtrees are computed apart and joined.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};
use blake3::{Hash, Hasher};

use super::ordered;

/// Bytes of a subtree; a power of two.
const SUBTREE_BYTES: u64 = 1 << 20;

/// The hash of a file that nobody writes to meanwhile.
pub(super) fn digest(path: &Path, jobs: usize) -> io::Result<Hash> {
    let length = fs::metadata(path)?.len();
    if length <= SUBTREE_BYTES {
        return Ok(Hasher::new().update_reader(File::open(path)?)?.finalize());
    }
    let mut subtrees = Subtrees(Vec::new());
    ordered::run(
        jobs,
        0..length.div_ceil(SUBTREE_BYTES),
        &AtomicBool::new(false),
        |_| 1,
        |numbers| subtree(path, numbers.start * SUBTREE_BYTES),
        &mut subtrees,
    )?;
    let (left, right) = halves(&subtrees.0, length);
    Ok(merge_subtrees_root(&left, &right, Mode::Hash))
}

fn subtree(path: &Path, offset: u64) -> io::Result<ChainingValue> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut hasher = Hasher::new();
    hasher.set_input_offset(offset);
    Ok(hasher
        .update_reader(file.take(SUBTREE_BYTES))?
        .finalize_non_root())
}

/// The two subtrees that a tree over so many bytes is made of.
fn halves(subtrees: &[ChainingValue], length: u64) -> (ChainingValue, ChainingValue) {
    let left = left_subtree_len(length);
    let at = usize::try_from(left / SUBTREE_BYTES).unwrap_or(usize::MAX);
    (
        joined(&subtrees[..at], left),
        joined(&subtrees[at..], length - left),
    )
}

fn joined(subtrees: &[ChainingValue], length: u64) -> ChainingValue {
    if let [subtree] = subtrees {
        return *subtree;
    }
    let (left, right) = halves(subtrees, length);
    merge_subtrees_non_root(&left, &right, Mode::Hash)
}

/// Collects the subtrees in order.
struct Subtrees(Vec<ChainingValue>);

impl ordered::Sink<io::Result<ChainingValue>> for Subtrees {
    type Error = io::Error;

    fn take(&mut self, _: Range<u64>, subtree: io::Result<ChainingValue>) -> io::Result<()> {
        self.0.push(subtree?);
        Ok(())
    }

    fn idle(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_hash_of_the_file_whatever_its_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for length in [
            0,
            1,
            SUBTREE_BYTES - 1,
            SUBTREE_BYTES,
            SUBTREE_BYTES + 1,
            2 * SUBTREE_BYTES,
            3 * SUBTREE_BYTES + 5,
            7 * SUBTREE_BYTES - 1_000,
        ] {
            let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            fs::write(&path, &bytes).unwrap();
            for jobs in [1, 3] {
                assert_eq!(digest(&path, jobs).unwrap(), blake3::hash(&bytes), "{length}");
            }
        }
    }
}

//! The file that makes a medium a store.

use std::rc::Rc;
use std::time::Duration;

use super::files::{self, StoreFile, TmpFile};
use super::id::digest;
use super::wire::Put;
use super::{Finding, StoreError, locks};
use crate::medium::{DirEntry, LockMode, Medium, MediumErrorKind};
use crate::units::PAGE_SIZE;

/// The version written, and the only one read.
pub(super) const VERSION: u32 = 1;
const MAGIC: [u8; 8] = *b"RVSTORE\n";
const LEN: usize = 32;
/// How long to wait for a garbage collection in a store that another process has just made.
const LOCK_WAIT: Duration = Duration::from_secs(10);

fn encode() -> [u8; LEN] {
    let mut bytes = MAGIC.to_vec();
    bytes.put_u32(VERSION);
    bytes.put_u32(u32::try_from(PAGE_SIZE).expect("a page is small"));
    bytes.extend_from_slice(&digest(&bytes));
    *bytes.first_chunk().expect("32 bytes were written")
}

/// Makes an empty medium a store, or completes what a crash left of that.
pub(super) fn create(medium: &dyn Medium) -> Result<(), StoreError> {
    if is_there(medium)? {
        return Ok(medium.sync_dir("")?);
    }
    // Shared, as by a writer: else another process that was quicker could collect the unfinished file, and a third one give its name
    // to a file of its own, which would be published in its place.
    let guard = match locks::take(medium, LockMode::Shared, "make the store", LOCK_WAIT) {
        Err(StoreError::NoLocks { .. }) => None,
        taken => Some(taken?),
    };
    let made = make(medium);
    drop(guard);
    // Another process may have been quicker, and committed to the store already.
    if made.is_err() && is_there(medium)? {
        return Ok(medium.sync_dir("")?);
    }
    made
}

/// Whoever made it may have been interrupted before its name was durable.
fn is_there(medium: &dyn Medium) -> Result<bool, StoreError> {
    match medium.open(files::HEADER) {
        Ok(_) => Ok(true),
        Err(error) if error.kind == MediumErrorKind::NotFound => Ok(false),
        Err(error) => Err(Finding::of_read(files::HEADER, None, error)?.into()),
    }
}

fn make(medium: &dyn Medium) -> Result<(), StoreError> {
    for dir in [files::SEGMENTS, files::CHECKPOINTS] {
        // Whatever a file manager has put there says nothing of a store.
        let files = medium.list(dir)?.into_iter();
        if files
            .filter(DirEntry::is_file)
            .any(|file| !file.name.starts_with('.'))
        {
            return Err(StoreError::HeaderLost {
                path: files::HEADER,
                dir,
            });
        }
    }
    for dir in [files::TMP, files::SEGMENTS, files::CHECKPOINTS, files::CATALOGUE] {
        medium.create_dir(dir)?;
    }
    medium.sync_dir("")?;
    write(medium)
}

/// Writes the header, in the place of what may be there.
pub(super) fn write(medium: &dyn Medium) -> Result<(), StoreError> {
    let file = TmpFile::create(medium)?;
    Ok(files::write_whole(file, "", files::HEADER, &[&encode()])?)
}

/// Reads and checks the header.
pub(super) fn check(medium: &Rc<dyn Medium>) -> Result<(), StoreError> {
    let file = StoreFile::open_if_there(medium, files::HEADER.to_owned())?;
    let file = file.ok_or(StoreError::NotAStore { path: files::HEADER })?;
    if file.len_bytes() != LEN as u64 {
        let what = format!(
            "expected a header of {LEN} bytes, the file has {}",
            file.len_bytes()
        );
        return Err(file.finding(0, what).into());
    }
    let mut found = [0; LEN];
    file.read_at(0, &mut found)?;
    judge(&found).map_err(|error| match error {
        Wrong::Version(found) => StoreError::Version {
            path: files::HEADER.to_owned(),
            found,
            supported: VERSION,
        },
        Wrong::Bytes(at, what) => Finding::new(files::HEADER, at, what).into(),
    })
}

enum Wrong {
    Version(u32),
    Bytes(u64, &'static str),
}

fn judge(found: &[u8; LEN]) -> Result<(), Wrong> {
    let expected = encode();
    if found[..8] != expected[..8] {
        return Err(Wrong::Bytes(0, "expected the magic of a checkpoint store"));
    }
    if digest(&found[..16]) != found[16..] {
        return Err(Wrong::Bytes(16, "header checksum mismatch"));
    }
    if found[8..12] != expected[8..12] {
        return Err(Wrong::Version(u32::from_le_bytes(
            *found[8..12].first_chunk().expect("four bytes"),
        )));
    }
    if found[12..16] != expected[12..16] {
        return Err(Wrong::Bytes(12, "expected a page size of 4096"));
    }
    Ok(())
}

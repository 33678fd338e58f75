//! Names on the medium, and the one way a file comes to be there.

use std::io;
use std::ops::RangeInclusive;
use std::rc::Rc;

use super::entries;
use super::{CheckpointId, Finding, SegmentName, StoreError};
use crate::medium::{Medium, MediumError, MediumErrorKind, MediumReader, MediumWriter};

pub(super) const HEADER: &str = "revenant-store";
pub(super) const LOCK: &str = "lock";
pub(super) const TMP: &str = "tmp";
pub(super) const SEGMENTS: &str = "segments";
pub(super) const CHECKPOINTS: &str = "checkpoints";
pub(super) const BAD: &str = "bad";
pub(super) const CATALOGUE: &str = "catalogue";
/// Held by who adds to the catalogue log.
pub(super) const LOG_LOCK: &str = "catalogue-lock";
/// An empty file: there has been a durable catalogue log.
pub(super) const LOG_BEGUN: &str = "catalogue-begun";

pub(super) fn segment_path(name: SegmentName) -> String {
    format!("{SEGMENTS}/{name}")
}

pub(super) fn bad_path(segment: SegmentName) -> String {
    format!("{BAD}/{segment}")
}

pub(super) fn checkpoint_path(id: CheckpointId) -> String {
    format!("{CHECKPOINTS}/{}", id.to_hex())
}

/// The largest number of a file in `tmp`. No writer ever comes to it; what has a larger one is not of a store.
pub(super) const TMP_NUMBER_MAX: u64 = (1 << 48) - 1;

pub(super) fn tmp_path(number: u64) -> String {
    format!("{TMP}/{number}")
}

/// A file under a name in `tmp`. It gets its real name only once it is whole and durable; if it never does, dropping it
/// removes it as far as the medium still works.
#[derive(Debug)]
pub(super) struct TmpFile<'m> {
    medium: &'m dyn Medium,
    path: String,
    number: u64,
    writer: Option<Box<dyn MediumWriter>>,
    len_bytes: u64,
    published: bool,
}

impl<'m> TmpFile<'m> {
    /// Takes the number behind the largest there is, so that names depend on nothing but what is there; if another
    /// writer takes it first, the next. Behind the last number comes the first that is free.
    pub(super) fn create(medium: &'m dyn Medium) -> Result<Self, MediumError> {
        let taken = entries::tmp(medium)?
            .own
            .into_iter()
            .map(|(number, _)| number)
            .max();
        let next = taken.map_or(0, |last| last + 1);
        match Self::create_from(medium, next..=TMP_NUMBER_MAX)? {
            Some(file) => Ok(file),
            None => Self::create_from(medium, 0..=TMP_NUMBER_MAX)?.ok_or_else(all_taken),
        }
    }

    /// Takes this number if it is free, without looking what else there is.
    pub(super) fn create_as(medium: &'m dyn Medium, number: u64) -> Result<Self, MediumError> {
        match Self::create_from(medium, number..=number)? {
            Some(file) => Ok(file),
            None => Self::create(medium),
        }
    }

    /// Takes the first of these numbers that is free, if one is.
    fn create_from(
        medium: &'m dyn Medium,
        numbers: RangeInclusive<u64>,
    ) -> Result<Option<Self>, MediumError> {
        for number in numbers {
            let path = tmp_path(number);
            let created = match medium.create_new(&path) {
                // Tools that copy files alone leave empty directories behind.
                Err(error) if error.kind == MediumErrorKind::NotFound => {
                    make_dir(medium, TMP)?;
                    medium.create_new(&path)
                }
                created => created,
            };
            match created {
                Ok(writer) => {
                    return Ok(Some(TmpFile {
                        medium,
                        path,
                        number,
                        writer: Some(writer),
                        len_bytes: 0,
                        published: false,
                    }));
                }
                Err(error) if error.kind == MediumErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// What it is called until it is published.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), MediumError> {
        self.writer.as_mut().expect("not sealed yet").append(bytes)?;
        self.len_bytes += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Makes the content durable and closes the file.
    pub(super) fn seal(&mut self) -> Result<(), MediumError> {
        self.writer.as_mut().expect("not sealed yet").sync()?;
        self.writer = None;
        Ok(())
    }

    /// Gives the sealed file its name. The name is durable after the `sync_dir` that the caller owes.
    pub(super) fn publish(mut self, path: &str) -> Result<(), MediumError> {
        debug_assert!(self.writer.is_none(), "only a durable file gets a name");
        match self.medium.rename(&self.path, path) {
            Err(error) if error.kind == MediumErrorKind::NotFound => {
                if let Some((dir, _)) = path.split_once('/') {
                    make_dir(self.medium, dir)?;
                }
                self.medium.rename(&self.path, path)?;
            }
            renamed => renamed?,
        }
        self.published = true;
        Ok(())
    }
}

impl Drop for TmpFile<'_> {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed now is a remains that `collect` removes.
            let _ = self.medium.remove(&self.path);
        }
    }
}

fn all_taken() -> MediumError {
    MediumError::from_io("create", TMP, io::ErrorKind::AlreadyExists.into())
}

/// Makes a directory of the store that got lost, durably.
fn make_dir(medium: &dyn Medium, dir: &str) -> Result<(), MediumError> {
    medium.create_dir(dir)?;
    medium.sync_dir("")
}

/// Writes a small file as a whole: durable, then named, then the name durable.
pub(super) fn write_whole(
    mut file: TmpFile<'_>,
    dir: &str,
    path: &str,
    parts: &[&[u8]],
) -> Result<(), MediumError> {
    let medium = file.medium;
    for part in parts {
        file.append(part)?;
    }
    file.seal()?;
    file.publish(path)?;
    medium.sync_dir(dir)
}

/// A file of the store open for reading. Whatever keeps one file from being read, a missing end, a bad sector, a lacking
/// permission, is a finding on that file: nobody who does without the file is stopped by it.
#[derive(Debug)]
pub(super) struct StoreFile {
    path: String,
    reader: Box<dyn MediumReader>,
}

impl StoreFile {
    /// A file that must be there.
    pub(super) fn open(medium: &Rc<dyn Medium>, path: String) -> Result<Self, StoreError> {
        Self::open_if_there(medium, path.clone())?
            .ok_or_else(|| Finding::new(path, None, "the file is missing").into())
    }

    pub(super) fn open_if_there(medium: &Rc<dyn Medium>, path: String) -> Result<Option<Self>, StoreError> {
        match medium.open(&path) {
            Ok(reader) => Ok(Some(StoreFile { path, reader })),
            Err(error) if error.kind == MediumErrorKind::NotFound => Ok(None),
            Err(error) => Err(Finding::of_read(&path, None, error)?.into()),
        }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn len_bytes(&self) -> u64 {
        self.reader.len_bytes()
    }

    pub(super) fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        match self.reader.read_at(offset, buf) {
            Ok(()) => Ok(()),
            Err(error) if error.kind == MediumErrorKind::UnexpectedEnd => {
                let what = format!("expected {} bytes, the file ends before", buf.len());
                Err(self.finding(offset, what).into())
            }
            Err(error) => Err(Finding::of_read(&self.path, offset, error)?.into()),
        }
    }

    /// Bytes `[offset, offset + len)`; the length has been checked against a limit, here it is against the file.
    pub(super) fn read_vec(&self, offset: u64, len: u64, what: &str) -> Result<Vec<u8>, StoreError> {
        let left = self.len_bytes().saturating_sub(offset);
        if len > left {
            return Err(self
                .finding(
                    offset,
                    format!("{what}: expected {len} bytes, the file has {left} more"),
                )
                .into());
        }
        let mut bytes = vec![0; usize::try_from(len).expect("a limit was checked")];
        self.read_at(offset, &mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn finding(&self, offset: u64, what: impl Into<String>) -> Finding {
        Finding::new(&self.path, offset, what)
    }
}

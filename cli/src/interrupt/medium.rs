//! A store whose operations end by an error once a signal came: whoever holds an unfinished file removes it on the way out.

use std::io;
use std::time::Duration;

use revenant_core::Medium;
use revenant_core::medium::{
    DirEntry, LockAttempt, LockMode, MediumError, MediumErrorKind, MediumReader, MediumWriter,
};

/// A medium that stops at a signal. Signals are watched for from the first file that is begun: before that nothing is to be
/// cleaned up, and they end the process as ever, while it waits for a lock, too.
///
/// What makes something durable and what removes something goes on: a commit whose last file is written is not torn at its end,
/// and what was begun can be removed.
#[derive(Debug)]
pub(crate) struct StopsAtSignal<M>(pub(crate) M);

fn check(operation: &'static str, path: &str) -> Result<(), MediumError> {
    super::check().map_err(|source| MediumError {
        operation,
        path: path.to_owned(),
        // Of an error of this kind nobody thinks that something is wrong with the file.
        kind: MediumErrorKind::Halted,
        source,
    })
}

impl<M: Medium> Medium for StopsAtSignal<M> {
    fn create_new(&self, path: &str) -> Result<Box<dyn MediumWriter>, MediumError> {
        const VERB: &str = "create";
        super::watch().map_err(|error: io::Error| MediumError::from_io(VERB, path, error))?;
        check(VERB, path)?;
        let inner = self.0.create_new(path)?;
        let path = path.to_owned();
        Ok(Box::new(Writer { inner, path }))
    }

    fn open(&self, path: &str) -> Result<Box<dyn MediumReader>, MediumError> {
        check("open", path)?;
        let inner = self.0.open(path)?;
        let path = path.to_owned();
        Ok(Box::new(Reader { inner, path }))
    }

    fn list(&self, dir: &str) -> Result<Vec<DirEntry>, MediumError> {
        check("list", dir)?;
        self.0.list(dir)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), MediumError> {
        self.0.rename(from, to)
    }

    fn remove(&self, path: &str) -> Result<(), MediumError> {
        self.0.remove(path)
    }

    fn create_dir(&self, dir: &str) -> Result<(), MediumError> {
        self.0.create_dir(dir)
    }

    fn sync_dir(&self, dir: &str) -> Result<(), MediumError> {
        self.0.sync_dir(dir)
    }

    fn try_lock(&self, path: &str, mode: LockMode, wait: Duration) -> Result<LockAttempt, MediumError> {
        check("lock", path)?;
        self.0.try_lock(path, mode, wait)
    }

    fn free_bytes(&self) -> Result<Option<u64>, MediumError> {
        self.0.free_bytes()
    }
}

#[derive(Debug)]
struct Writer {
    inner: Box<dyn MediumWriter>,
    path: String,
}

impl MediumWriter for Writer {
    fn append(&mut self, bytes: &[u8]) -> Result<(), MediumError> {
        check("write", &self.path)?;
        self.inner.append(bytes)
    }

    fn sync(&mut self) -> Result<(), MediumError> {
        self.inner.sync()
    }
}

#[derive(Debug)]
struct Reader {
    inner: Box<dyn MediumReader>,
    path: String,
}

impl MediumReader for Reader {
    fn len_bytes(&self) -> u64 {
        self.inner.len_bytes()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), MediumError> {
        check("read", &self.path)?;
        self.inner.read_at(offset, buf)
    }
}

//! Faults on the `Medium` seam.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use revenant_core::Medium;
use revenant_core::medium::{DirEntry, LockAttempt, LockMode, MediumError, MediumReader, MediumWriter};

use super::hypervisor::flip_bit;
use super::inject::Faults;
use super::plan::{Call, Verdict, When};
use crate::world::HostId;

/// A medium on which a plan is carried out, as seen from one host.
#[derive(Debug, Clone)]
pub struct FaultyMedium {
    inner: Rc<dyn Medium>,
    host: HostId,
    faults: Faults,
}

/// What is left of a verdict for the call itself to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Twist {
    None,
    Flip(u32),
    Lie,
}

impl FaultyMedium {
    /// Carries the plan out on calls to `inner`; a loss of the host strikes `host`.
    pub fn new(inner: Rc<dyn Medium>, host: HostId, faults: Faults) -> Self {
        FaultyMedium { inner, host, faults }
    }

    fn call<T>(
        &self,
        call: Call,
        path: &str,
        work: impl FnOnce(Twist) -> Result<T, MediumError>,
    ) -> Result<T, MediumError> {
        match self.faults.meet(call) {
            None => work(Twist::None),
            Some(Verdict::Fail) => Err(refused(
                path,
                io::Error::other("the fault plan lets this call fail"),
            )),
            Some(Verdict::Full) => Err(refused(path, io::ErrorKind::StorageFull.into())),
            Some(Verdict::Lose(loss, When::Before)) => {
                self.faults.lose(loss, None, self.host);
                work(Twist::None)
            }
            Some(Verdict::Lose(loss, When::After)) => {
                let done = work(Twist::None);
                self.faults.lose(loss, None, self.host);
                done
            }
            Some(Verdict::Delay(by)) => {
                self.faults.world().advance(by.0);
                work(Twist::None)
            }
            Some(Verdict::Flip(bit)) => work(Twist::Flip(bit)),
            Some(Verdict::Lie) => work(Twist::Lie),
        }
    }
}

fn refused(path: &str, source: io::Error) -> MediumError {
    MediumError::from_io("a faulty call on", path, source)
}

#[deny(clippy::missing_trait_methods)]
impl Medium for FaultyMedium {
    fn create_new(&self, path: &str) -> Result<Box<dyn MediumWriter>, MediumError> {
        let inner = self.call(Call::Create, path, |_| self.inner.create_new(path))?;
        Ok(Box::new(FaultyWriter {
            inner,
            path: path.to_owned(),
            medium: self.clone(),
        }))
    }

    fn open(&self, path: &str) -> Result<Box<dyn MediumReader>, MediumError> {
        let inner = self.call(Call::Open, path, |_| self.inner.open(path))?;
        Ok(Box::new(FaultyReader {
            inner,
            path: path.to_owned(),
            medium: self.clone(),
        }))
    }

    fn list(&self, dir: &str) -> Result<Vec<DirEntry>, MediumError> {
        self.call(Call::List, dir, |_| self.inner.list(dir))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), MediumError> {
        self.call(Call::Rename, from, |_| self.inner.rename(from, to))
    }

    fn remove(&self, path: &str) -> Result<(), MediumError> {
        self.call(Call::Remove, path, |_| self.inner.remove(path))
    }

    fn create_dir(&self, dir: &str) -> Result<(), MediumError> {
        self.inner.create_dir(dir)
    }

    fn sync_dir(&self, dir: &str) -> Result<(), MediumError> {
        self.call(Call::SyncDir, dir, |twist| match twist {
            Twist::Lie => Ok(()),
            Twist::None | Twist::Flip(_) => self.inner.sync_dir(dir),
        })
    }

    fn try_lock(&self, path: &str, mode: LockMode, wait: Duration) -> Result<LockAttempt, MediumError> {
        self.call(Call::Lock, path, |_| self.inner.try_lock(path, mode, wait))
    }

    fn free_bytes(&self) -> Result<Option<u64>, MediumError> {
        self.inner.free_bytes()
    }
}

#[derive(Debug)]
struct FaultyWriter {
    inner: Box<dyn MediumWriter>,
    path: String,
    medium: FaultyMedium,
}

#[deny(clippy::missing_trait_methods)]
impl MediumWriter for FaultyWriter {
    fn append(&mut self, bytes: &[u8]) -> Result<(), MediumError> {
        let inner = &mut self.inner;
        self.medium.call(Call::Append, &self.path, |twist| match twist {
            Twist::Flip(bit) => {
                let mut bytes = bytes.to_vec();
                flip_bit(&mut bytes, bit);
                inner.append(&bytes)
            }
            Twist::None | Twist::Lie => inner.append(bytes),
        })
    }

    fn sync(&mut self) -> Result<(), MediumError> {
        let inner = &mut self.inner;
        self.medium.call(Call::Sync, &self.path, |twist| match twist {
            Twist::Lie => Ok(()),
            Twist::None | Twist::Flip(_) => inner.sync(),
        })
    }
}

#[derive(Debug)]
struct FaultyReader {
    inner: Box<dyn MediumReader>,
    path: String,
    medium: FaultyMedium,
}

#[deny(clippy::missing_trait_methods)]
impl MediumReader for FaultyReader {
    fn len_bytes(&self) -> u64 {
        self.inner.len_bytes()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), MediumError> {
        self.medium.call(Call::Read, &self.path, |twist| {
            self.inner.read_at(offset, buf)?;
            if let Twist::Flip(bit) = twist {
                flip_bit(buf, bit);
            }
            Ok(())
        })
    }
}

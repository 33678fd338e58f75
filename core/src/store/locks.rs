//! Who may use a store at the same time: writers and readers share it, garbage collection has it alone.

use std::rc::Rc;
use std::time::Duration;

use super::files::LOCK;
use super::{Store, StoreError};
use crate::medium::{LockAttempt, LockHolder, LockMode, Medium, MediumErrorKind, MediumLock};

/// A lock on the store, held as long as it lives. Whoever shares the store twice holds one lock: if the second had to be taken, it
/// would queue behind a garbage collection that waits for the first.
#[derive(Debug)]
pub(super) struct StoreLock(Box<dyn MediumLock>);

impl StoreLock {
    /// That nobody took it away: whoever removes or replaces the file lets others in.
    pub(super) fn check(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.0.still_held()? {
            Ok(())
        } else {
            Err(StoreError::LockLost {
                operation,
                path: LOCK,
            })
        }
    }
}

/// Keeps garbage collection away as long as it lives.
#[derive(Debug)]
#[must_use = "dropped, it keeps nobody away"]
pub struct Hold {
    _lock: Rc<StoreLock>,
}

impl Store {
    /// Shares the store from here on, so that what a name stands for is still there when it is read. A reader or staging of this
    /// store shares it as well.
    ///
    /// # Errors
    /// [`Busy`](StoreError::Busy); those of the medium.
    pub fn hold(&self, operation: &'static str) -> Result<Hold, StoreError> {
        let lock = self.share(operation)?;
        Ok(Hold { _lock: lock })
    }

    /// False once something was read on a medium that has no locks: nothing kept a garbage collection away meanwhile.
    pub fn is_guarded(&self) -> bool {
        self.guarded.get()
    }

    /// Shares the store with other readers and writers.
    pub(super) fn share(&self, operation: &'static str) -> Result<Rc<StoreLock>, StoreError> {
        let held = self.shared.borrow().upgrade();
        if let Some(held) = held.filter(|held| held.0.still_held().unwrap_or(false)) {
            return Ok(held);
        }
        let lock = Rc::new(self.lock(LockMode::Shared, operation)?);
        if !lock.0.excludes() {
            self.guarded.set(false);
        }
        *self.shared.borrow_mut() = Rc::downgrade(&lock);
        Ok(lock)
    }

    /// Shares the store to write to it. Without locks a garbage collection might remove what is being written.
    pub(super) fn share_to_write(&self, operation: &'static str) -> Result<Rc<StoreLock>, StoreError> {
        let lock = self.share(operation)?;
        if lock.0.excludes() {
            Ok(lock)
        } else {
            Err(StoreError::NoLocks { operation })
        }
    }

    /// Takes the store for itself.
    pub(super) fn exclude(&self, operation: &'static str) -> Result<Rc<StoreLock>, StoreError> {
        if self.shared.borrow().strong_count() > 0 {
            // Whoever holds it would have to let go while we wait here.
            return Err(busy(LockMode::Exclusive, operation, Vec::new()));
        }
        Ok(Rc::new(self.lock(LockMode::Exclusive, operation)?))
    }

    /// The same, without waiting for anybody; `None` if somebody has it.
    pub(super) fn exclude_at_once(
        &self,
        operation: &'static str,
    ) -> Result<Option<Rc<StoreLock>>, StoreError> {
        if self.shared.borrow().strong_count() > 0 {
            return Ok(None);
        }
        match self.lock_within(LockMode::Exclusive, operation, Duration::ZERO) {
            Ok(lock) => Ok(Some(Rc::new(lock))),
            Err(StoreError::Busy { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn lock(&self, mode: LockMode, operation: &'static str) -> Result<StoreLock, StoreError> {
        self.lock_within(mode, operation, self.options.lock_wait)
    }

    fn lock_within(
        &self,
        mode: LockMode,
        operation: &'static str,
        wait: Duration,
    ) -> Result<StoreLock, StoreError> {
        take(&*self.medium, mode, operation, wait)
    }
}

/// Takes the lock of the store on a medium, whether or not one is there yet.
pub(super) fn take(
    medium: &dyn Medium,
    mode: LockMode,
    operation: &'static str,
    wait: Duration,
) -> Result<StoreLock, StoreError> {
    match medium.try_lock(LOCK, mode, wait) {
        Ok(LockAttempt::Held(guard)) => Ok(StoreLock(guard)),
        Ok(LockAttempt::Busy(holders)) => Err(busy(mode, operation, holders)),
        Err(error) if error.kind == MediumErrorKind::Unsupported => Err(StoreError::NoLocks { operation }),
        Err(error) => Err(error.into()),
    }
}

fn busy(mode: LockMode, operation: &'static str, holders: Vec<LockHolder>) -> StoreError {
    StoreError::Busy {
        operation,
        exclusive: mode == LockMode::Exclusive,
        holders,
    }
}

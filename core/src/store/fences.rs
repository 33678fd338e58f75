//! Leases that this handle of a store goes by.

use super::{Store, StoreError};
use crate::lease::{Fence, Standing};

impl Store {
    /// From here on every commit of the fence's guest through this handle carries the fence's epoch as a fact, and is
    /// refused once another has taken the guest's lease; so is every removal, of whichever guest's checkpoints. Replaces an
    /// earlier fence of the guest.
    pub fn set_fence(&self, fence: Fence) {
        self.fences.borrow_mut().insert(fence.guest().to_owned(), fence);
    }

    /// Fails if another has taken the lease on this guest, or if that cannot be known. A guest without a fence is free.
    pub fn check_fence(&self, guest: &str) -> Result<(), StoreError> {
        let fence = self.fences.borrow().get(guest).cloned();
        fence.map_or(Ok(()), |fence| self.check(&fence))
    }

    /// Fails if any of the leases was taken by another.
    pub(super) fn check_fences(&self) -> Result<(), StoreError> {
        let fences: Vec<Fence> = self.fences.borrow().values().cloned().collect();
        fences.iter().try_for_each(|fence| self.check(fence))
    }

    /// Under which epoch a checkpoint of the guest is committed.
    pub(super) fn epoch(&self, guest: &str) -> Option<u64> {
        self.fences.borrow().get(guest).map(Fence::epoch)
    }

    fn check(&self, fence: &Fence) -> Result<(), StoreError> {
        match fence.check(&*self.medium)? {
            Standing::Holds => Ok(()),
            Standing::Superseded { by } => Err(StoreError::Superseded {
                guest: fence.guest().to_owned(),
                epoch: fence.epoch(),
                by,
            }),
        }
    }
}

//! What is in a store.

use std::rc::Rc;

use super::files::CHECKPOINTS;
use super::manifest::{Head, Manifest};
use super::{CheckpointId, CheckpointInfo, Listing, Store, StoreError};

impl Store {
    /// Committed checkpoints, oldest first; manifests whose head cannot be read become findings. Reads every head anew.
    pub fn list(&self) -> Result<Listing, StoreError> {
        let mut listing = Listing::default();
        for id in self.ids()? {
            match Manifest::open(&self.medium, id) {
                Ok(manifest) => listing.checkpoints.push(manifest.head.info),
                Err(StoreError::Damaged(finding)) => listing.damaged.push(*finding),
                // Pruned since the directory was read.
                Err(StoreError::NoSuchCheckpoint(_)) => {}
                Err(error) => return Err(error),
            }
        }
        listing.checkpoints.sort_by_key(CheckpointInfo::age_key);
        Ok(listing)
    }

    /// Is this checkpoint in the catalogue, its head undamaged?
    pub fn contains(&self, id: CheckpointId) -> Result<bool, StoreError> {
        Ok(self.heads()?.iter().any(|head| head.info.id == id))
    }

    /// The entry of this checkpoint, if it is in the catalogue and its head undamaged.
    pub fn info(&self, id: CheckpointId) -> Result<Option<CheckpointInfo>, StoreError> {
        let heads = self.heads()?;
        let found = heads.iter().find(|head| head.info.id == id);
        Ok(found.map(|head| head.info.clone()))
    }

    /// The newest committed checkpoint of a guest. Those with a damaged head are passed over: `list` tells of them.
    pub fn newest(&self, guest: &str) -> Result<Option<CheckpointId>, StoreError> {
        let heads = self.heads()?;
        let of_guest = heads
            .iter()
            .map(|head| &head.info)
            .filter(|info| info.guest == guest);
        Ok(of_guest.max_by_key(|info| info.age_key()).map(|info| info.id))
    }

    /// Ids of all manifests, ascending. What has such a name and is no file is among them: it is where a manifest was, and what
    /// that needs may not be removed.
    pub(super) fn ids(&self) -> Result<Vec<CheckpointId>, StoreError> {
        let entries = self.medium.list(CHECKPOINTS)?.into_iter();
        Ok(entries.filter_map(|entry| entry.name.parse().ok()).collect())
    }

    /// All readable heads, from memory where they have been read before.
    pub(super) fn heads(&self) -> Result<Vec<Rc<Head>>, StoreError> {
        let ids = self.ids()?;
        let mut known = self.heads.borrow_mut();
        known.retain(|id, _| ids.binary_search(id).is_ok());
        let mut heads = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(head) = known.get(&id) {
                heads.push(Rc::clone(head));
                continue;
            }
            match Manifest::open(&self.medium, id) {
                Ok(manifest) => {
                    let head = Rc::new(manifest.head);
                    known.insert(id, Rc::clone(&head));
                    heads.push(head);
                }
                Err(StoreError::Damaged(_) | StoreError::NoSuchCheckpoint(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(heads)
    }
}

//! What the loss of a store does to the bytes on its disk.
//!
//! The newest checkpoint of the guest is really damaged: the largest segment that no other checkpoint needs is torn in its
//! middle, as by a device that lost a part. Its manifest stays, so the catalogue goes on listing it, and a restore finds the
//! damage when it reads the pages. A store that is about to build on the torn segment notices that, too: the next
//! checkpoint to be begun is a full one, shares nothing with it, and is whole. (A flipped byte within a page would not be noticed
//! before it is read, and every later checkpoint with an equal page would share it: `docs/checkpoint-format.md`, section 2.)
//! A checkpoint that has no page of its own loses the end of its manifest instead, which is its map of pages.

use std::collections::BTreeSet;
use std::rc::Rc;

use revenant_core::store::{StoreError, StoreOptions};
use revenant_core::{Store, Timestamp};

use crate::medium::{Image, SimMedium};
use crate::profile::CostProfile;
use crate::world::World;

/// Bytes at the end of a manifest that are wiped: enough to be no end of any compressed map.
const WIPED: usize = 16;

/// When the guest's newest checkpoint on this disk was begun, if there is one.
///
/// # Panics
/// If the disk does not hold a store.
pub(super) fn newest_begun(medium: &SimMedium, guest: &str) -> Option<Timestamp> {
    let store = opened(medium.image());
    let newest = store.newest(guest).expect("the copy of a disk can be read")?;
    let info = store.info(newest).expect("the copy of a disk can be read");
    info.map(|info| info.begun)
}

/// Damages the guest's newest checkpoint on this disk, if there is one; tells in which file.
///
/// # Panics
/// If the disk does not hold a store.
pub(super) fn damage_newest(medium: &SimMedium, guest: &str) -> Option<String> {
    let image = medium.image();
    let store = opened(image.clone());
    let newest = store.newest(guest).expect("the copy of a disk can be read");
    let manifest = format!("checkpoints/{}", newest?.to_hex());
    let needless = unneeded(&store).expect("the copy of a disk can be read");
    let mut without = image;
    without.files.remove(&manifest);
    let own = unneeded(&opened(without)).expect("the copy of a disk can be read");
    let largest = own
        .difference(&needless)
        .max_by_key(|(path, len)| (*len, path.clone()));
    if let Some((path, _)) = largest {
        medium.rot(path, |bytes| bytes.truncate(bytes.len() / 2));
        return Some(path.clone());
    }
    medium.rot(&manifest, |bytes| {
        let kept = bytes.len().saturating_sub(WIPED);
        bytes[kept..].fill(0);
    });
    Some(manifest)
}

/// Looks at a copy of the disk, which takes no time of the world in which the disk is.
fn opened(image: Image) -> Store {
    let options = StoreOptions {
        workers: 0,
        ..StoreOptions::default()
    };
    let nowhere = World::new(CostProfile::default());
    Store::open(Rc::new(SimMedium::new(image)), Rc::new(nowhere), options)
        .expect("a store is on the disk before anything strikes it")
}

/// Segments that no checkpoint needs, and their lengths in bytes.
fn unneeded(store: &Store) -> Result<BTreeSet<(String, u64)>, StoreError> {
    let remains = store.verify(None)?.remains.into_iter();
    let segments = remains.filter(|file| file.path.starts_with("segments/"));
    Ok(segments.map(|file| (file.path, file.len_bytes)).collect())
}

//! What is said to take space is what goes when it goes.

use proptest::prelude::*;

use super::memory::MemoryMedium;
use super::support::*;
use crate::medium::Medium;
use crate::store::{CheckpointId, CollectOptions, Store};

fn commit(
    store: &Store,
    guest: &str,
    base: Option<CheckpointId>,
    contents: std::ops::Range<u32>,
) -> CheckpointId {
    let mut staging = store.begin(new(guest, base)).unwrap();
    let pages: Vec<_> = contents
        .map(|content| (u64::from(content % 500), 0, content + 1))
        .collect();
    put(&mut staging, &pages).unwrap();
    staging.commit().unwrap().id
}

fn files_bytes(medium: &MemoryMedium) -> u64 {
    let dirs = ["segments", "checkpoints", "tmp"].map(|dir| medium.list(dir).unwrap());
    dirs.iter().flatten().map(|entry| entry.len_bytes).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]
    /// Everything adds up to the files, and a checkpoint's own bytes are those that its removal frees, but for what stays
    /// in frames, which is said too.
    #[test]
    fn the_parts_are_the_whole_and_go_as_they_are_said_to(
        steps in prop::collection::vec((0..3u8, 0..800u32, 1..300u32, any::<bool>()), 1..8),
        removed in any::<prop::sample::Index>(),
    ) {
        let medium = MemoryMedium::new();
        let store = store_on(medium.clone(), options(0));
        let mut made: Vec<(u8, CheckpointId)> = Vec::new();
        for (guest, start, count, full) in steps {
            let base = made.iter().rev().find(|(g, _)| !full && *g == guest).map(|(_, id)| *id);
            made.push((guest, commit(&store, &guest.to_string(), base, start..start + count)));
        }
        medium.set("tmp/7", vec![0; 33]);
        let stats = store.stats().unwrap();
        prop_assert_eq!(&stats.damaged, &[]);
        let all = stats.used_bytes + stats.unused_bytes + stats.index_bytes + stats.manifest_bytes + stats.remains_bytes;
        prop_assert_eq!(all, files_bytes(&medium));
        prop_assert_eq!(stats.remains_bytes, 33);
        let own: u64 = stats.checkpoints.iter().map(|c| c.own_bytes).sum();
        let rounding = 16 * 3000 / 10;
        prop_assert!((own + stats.shared_bytes).abs_diff(stats.used_bytes + stats.manifest_bytes) < rounding);
        prop_assert_eq!(stats.checkpoints.len(), made.len());
        for (name, guest) in &stats.guests {
            let of_guest: Vec<_> = stats.checkpoints.iter().filter(|c| c.info.guest == *name).collect();
            prop_assert_eq!(of_guest.len() as u64, guest.checkpoints);
            prop_assert!(of_guest.iter().map(|c| c.own_bytes).sum::<u64>() <= guest.own_bytes + rounding);
            prop_assert!(guest.own_bytes <= guest.referenced_bytes + rounding);
            prop_assert!(of_guest.iter().all(|c| c.referenced_bytes <= guest.referenced_bytes + rounding));
        }

        let gone = &stats.checkpoints[removed.index(stats.checkpoints.len())];
        let options = CollectOptions { max_unused_percent: 100, ..CollectOptions::default() };
        store.remove(&[gone.info.id], options).unwrap();
        let after = store.stats().unwrap();
        let lost = stats.used_bytes + stats.manifest_bytes - after.used_bytes - after.manifest_bytes;
        prop_assert!(lost.abs_diff(gone.own_bytes) < rounding, "{} freed, {} said", lost, gone.own_bytes);
    }
}

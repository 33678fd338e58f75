//! Dropping checkpoints never harms those that stay.

use proptest::prelude::*;

use super::memory::MemoryMedium;
use super::support::*;
use crate::medium::Medium;
use crate::store::{CheckpointId, CollectOptions, Retention, Scope, Store, StoreError};

fn keep_last(n: u32) -> Retention {
    Retention {
        keep_last: Some(n),
        ..Retention::new(Scope::All)
    }
}

fn checkpoint(
    store: &Store,
    guest: &str,
    base: Option<CheckpointId>,
    contents: std::ops::Range<u32>,
) -> CheckpointId {
    let mut staging = store.begin(new(guest, base)).unwrap();
    let pages: Vec<_> = contents
        .map(|content| (u64::from(content % 1000), 0, content))
        .collect();
    pages
        .chunks(1000)
        .for_each(|pages| put(&mut staging, pages).unwrap());
    staging.commit().unwrap().id
}

fn memory(contents: std::ops::Range<u32>) -> Memory {
    contents
        .map(|content| (u64::from(content % 1000), (0, content)))
        .collect()
}

#[test]
fn collection_waits_for_nobody_and_harms_nobody() {
    let store = store_on(MemoryMedium::new(), options(0));
    let id = checkpoint(&store, "g", None, 0..50);
    let busy =
        |result: Result<_, StoreError>| matches!(result, Err(StoreError::Busy { exclusive: true, .. }));
    let staging = store.begin(new("g", None)).unwrap();
    assert!(busy(store.collect(CollectOptions::default()).map(|_| ())));
    drop(staging);
    let reader = store.read(id).unwrap();
    assert!(busy(
        store
            .prune(&keep_last(u32::MAX), CollectOptions::default())
            .map(|_| ())
    ));
    assert!(
        store.begin(new("g", None)).is_ok(),
        "a reader does not block a writer"
    );
    drop(reader);
    assert!(store.collect(CollectOptions::default()).is_ok());
    assert!(matches!(
        store.prune(&Retention::new(Scope::All), CollectOptions::default()),
        Err(StoreError::EmptyRetention)
    ));
}

#[test]
fn a_segment_shrinks_when_most_of_it_is_dead_and_goes_when_all_is() {
    let medium = MemoryMedium::new();
    let store = store_on(medium.clone(), options(0));
    let first = checkpoint(&store, "g", None, 0..1000);
    // Overwrites all but the last hundred frames.
    let second = checkpoint(&store, "g", Some(first), 1000..1900);
    let whole: Memory = memory(900..1900);
    let lengths = || {
        medium
            .list("segments")
            .unwrap()
            .iter()
            .map(|e| e.len_bytes)
            .collect::<Vec<_>>()
    };
    let before: u64 = lengths().iter().sum();

    let dry = store
        .prune(
            &keep_last(1),
            CollectOptions {
                dry_run: true,
                ..CollectOptions::default()
            },
        )
        .unwrap();
    assert_eq!(lengths().iter().sum::<u64>(), before);
    let image = medium.image().values().map(Vec::len).sum::<usize>() as u64;
    let pruned = store.prune(&keep_last(1), CollectOptions::default()).unwrap();
    assert_eq!(dry, pruned);
    assert_eq!((pruned.dropped[0].id, pruned.kept[0].id), (first, second));
    assert_eq!(
        (
            pruned.collected.segments_removed,
            pruned.collected.segments_compacted
        ),
        (0, 1)
    );
    assert!(matches!(store.read(first), Err(StoreError::NoSuchCheckpoint(_))));
    let freed = image - medium.image().values().map(Vec::len).sum::<usize>() as u64;
    assert!(
        freed.abs_diff(pruned.collected.freed_bytes) <= 9 * 64,
        "freed {freed}, but for the footer {}",
        pruned.collected.freed_bytes
    );
    assert_holds(&store, second, &whole);
    assert_eq!(store.verify(None).unwrap().findings, []);

    // What the index remembers of the dropped frames must not be referred to; what is left may.
    let third = checkpoint(&store, "h", None, 500..1000);
    assert_holds(&store, third, &memory(500..1000));
    assert_eq!(store.verify(None).unwrap().findings, []);
    let info = store.list().unwrap().checkpoints.pop().unwrap();
    assert_eq!(info.new_pages, 400, "nothing is left of what was overwritten");

    let last = checkpoint(&store, "g", None, 5000..5001);
    store.prune(&keep_last(1), CollectOptions::default()).unwrap();
    assert_eq!(
        store
            .list()
            .unwrap()
            .checkpoints
            .iter()
            .map(|c| c.id)
            .collect::<Vec<_>>(),
        [third, last]
    );
    assert_holds(&store, third, &memory(500..1000));
    assert_eq!(store.verify(None).unwrap().remains, []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]
    /// Chains of increments of two guests with prunes in between: whatever stays is whole, and nothing is left over.
    #[test]
    fn whatever_stays_is_whole(
        steps in prop::collection::vec((0..2u8, 0..1000u32, 1..400u32, any::<bool>(), prop::option::of(1..4u32)), 1..12),
        max_unused_percent in prop::sample::select(vec![0, 5, 20, 100]),
    ) {
        let medium = MemoryMedium::new();
        let store = store_on(medium.clone(), options(0));
        let mut alive: Vec<(CheckpointId, u8, Memory)> = Vec::new();
        for (guest, start, count, full, prune) in steps {
            let newest = alive.iter().rev().find(|c| !full && c.1 == guest);
            let (base, mut all) = newest.map_or((None, Memory::new()), |c| (Some(c.0), c.2.clone()));
            let contents = start..start + count;
            let id = checkpoint(&store, &guest.to_string(), base, contents.clone());
            all.extend(memory(contents));
            alive.push((id, guest, all));
            if let Some(n) = prune {
                let options = CollectOptions { max_unused_percent, ..CollectOptions::default() };
                let pruned = store.prune(&keep_last(n), options).unwrap();
                prop_assert_eq!(pruned.collected.shortcomings(), None);
                alive.retain(|c| pruned.kept.iter().any(|kept| kept.id == c.0));
                prop_assert_eq!(alive.len(), pruned.kept.len());
                for guest in 0..2 {
                    prop_assert!(alive.iter().filter(|c| c.1 == guest).count() <= n as usize);
                }
                let verified = store.verify(None).unwrap();
                prop_assert_eq!((verified.findings, verified.remains), (vec![], vec![]));
            }
            for (id, _, memory) in &alive { assert_holds(&store, *id, memory); }
        }
    }
}

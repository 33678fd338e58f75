//! What `diff` says is what differs.

use proptest::prelude::*;

use super::memory::MemoryMedium;
use super::support::*;
use crate::guest::{MemoryLayout, StateRecord};
use crate::store::{CheckpointId, Difference, RecordChange, Store};

fn checkpoint(store: &Store, memory: &Memory, records: &[&str]) -> CheckpointId {
    let mut staging = store.begin(new("g", None)).unwrap();
    let pages: Vec<_> = memory
        .iter()
        .map(|(&pfn, &(tag, content))| (pfn, tag, content))
        .collect();
    put(&mut staging, &pages).unwrap();
    for record in records {
        let (name, bytes) = record.split_once('=').unwrap();
        staging.put_record(StateRecord::new(name, bytes)).unwrap();
    }
    staging.commit().unwrap().id
}

fn frames(all: &Memory, wanted: impl Fn(u64) -> bool) -> MemoryLayout {
    all.keys()
        .filter(|&&pfn| wanted(pfn))
        .map(|&pfn| pfn..pfn + 1)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn frames_differ_as_memory_does(
        a in prop::collection::btree_map(0..60u64, (0..2u8, 0..8u32), 0..50),
        b in prop::collection::btree_map(0..60u64, (0..2u8, 0..8u32), 0..50),
        known in any::<bool>(),
    ) {
        // Without an index equal pages are in different slots and are told by their digests.
        let dedup_pages_max = if known { 1000 } else { 0 };
        let store = store_on(MemoryMedium::new(), crate::store::StoreOptions { dedup_pages_max, ..options(0) });
        let (x, y) = (checkpoint(&store, &a, &[]), checkpoint(&store, &b, &[]));
        let diff = store.diff(x, y).unwrap();
        prop_assert_eq!(diff.only_a, frames(&a, |pfn| !b.contains_key(&pfn)));
        prop_assert_eq!(diff.only_b, frames(&b, |pfn| !a.contains_key(&pfn)));
        prop_assert_eq!(diff.same, frames(&a, |pfn| b.get(&pfn) == Some(&a[&pfn])));
        prop_assert_eq!(diff.changed, frames(&a, |pfn| b.get(&pfn).is_some_and(|found| *found != a[&pfn])));
        prop_assert!(diff.records.is_empty() && !diff.records_reordered);
    }
}

#[test]
fn records_are_told_by_name_and_occurrence() {
    let store = store_on(MemoryMedium::new(), options(0));
    let a = checkpoint(&store, &Memory::new(), &["v=1", "v=2", "x=1", "gone=1"]);
    let b = checkpoint(&store, &Memory::new(), &["x=1", "v=1", "v=3", "new=1"]);
    let diff = store.diff(a, b).unwrap();
    let found: Vec<_> = diff
        .records
        .iter()
        .map(|r| (r.name.as_str(), r.occurrence, r.change))
        .collect();
    assert_eq!(
        found,
        [
            ("gone", 0, RecordChange::OnlyA),
            ("v", 1, RecordChange::Content),
            ("new", 0, RecordChange::OnlyB)
        ]
    );
    assert!(diff.records_reordered);
    assert_eq!(store.diff(a, a).unwrap(), Difference::default());
}

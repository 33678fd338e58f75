//! What goes in comes out.

use std::rc::Rc;

use proptest::prelude::*;

use super::memory::MemoryMedium;
use super::support::*;
use crate::guest::{MemoryLayout, PageBatch, PageTag, StateRecord};
use crate::medium::{DirectoryMedium, Medium};
use crate::store::{CheckpointId, Store, StoreError, StoreOptions};
use crate::units::Pfn;

/// A step in the life of a staging.
#[derive(Debug, Clone)]
enum Op {
    Put(Vec<(u64, u8, u32)>),
    Zero(u64, u64, u8),
    Mark,
    Rollback,
    Record(String, Vec<u8>),
    ClearRecords,
}

fn any_op() -> impl Strategy<Value = Op> {
    // Frames near 0 and far away; few contents, so that pages are equal and frames overwritten.
    let frame =
        prop_oneof![4 => 0..200u64, 1 => (Pfn::MAX.0 - 9)..=Pfn::MAX.0, 1 => 1u64 << 40..(1 << 40) + 50];
    prop_oneof![
        6 => prop::collection::vec((frame, 0..3u8, 0..60u32), 0..120).prop_map(Op::Put),
        2 => (0..300u64, 0..40u64, 0..2u8).prop_map(|(start, count, tag)| Op::Zero(start, count, tag)),
        1 => Just(Op::Mark),
        1 => Just(Op::Rollback),
        1 => (".{0,6}", prop::collection::vec(any::<u8>(), 0..50)).prop_map(|(name, bytes)| Op::Record(name, bytes)),
        1 => Just(Op::ClearRecords),
    ]
}

#[derive(Debug, Clone)]
struct Plan {
    guest: u8,
    incremental: bool,
    ops: Vec<Op>,
    /// Keep only the frames of these ranges that exist.
    retain: Option<Vec<(u64, u64)>>,
    commit: bool,
}

fn any_plan() -> impl Strategy<Value = Plan> {
    let retain = prop::option::of(prop::collection::vec((0..250u64, 1..80u64), 1..3));
    (
        0..2u8,
        any::<bool>(),
        prop::collection::vec(any_op(), 0..10),
        retain,
        prop::bool::weighted(0.9),
    )
        .prop_map(|(guest, incremental, ops, retain, commit)| Plan {
            guest,
            incremental,
            ops,
            retain,
            commit,
        })
}

type Expected = Vec<(CheckpointId, u8, Memory, Vec<StateRecord>)>;

fn carry_out(store: &Store, plan: &Plan, done: &mut Expected) {
    let guest = plan.guest.to_string();
    let newest = done
        .iter()
        .rev()
        .find(|(_, g, ..)| plan.incremental && *g == plan.guest);
    let (base, mut memory) = newest.map_or((None, Memory::new()), |(id, _, memory, _)| {
        (Some(*id), memory.clone())
    });
    let mut staging = store.begin(new(&guest, base)).unwrap();
    let (mut records, mut mark) = (Vec::new(), None);
    for op in &plan.ops {
        match op {
            Op::Put(pages) => {
                put(&mut staging, pages).unwrap();
                memory.extend(pages.iter().map(|&(pfn, tag, content)| (pfn, (tag, content))));
            }
            Op::Zero(start, count, tag) => {
                staging.put_zero(*start..start + count, PageTag(*tag)).unwrap();
                memory.extend((*start..start + count).map(|pfn| (pfn, (*tag, 0))));
            }
            Op::Mark => mark = Some((staging.mark(), memory.clone())),
            Op::Rollback => {
                if let Some((mark, before)) = &mark {
                    staging.rollback(*mark);
                    memory.clone_from(before);
                }
            }
            Op::Record(name, bytes) => {
                let record = StateRecord::new(name.as_str(), bytes.as_slice());
                staging.put_record(record.clone()).unwrap();
                records.push(record);
            }
            Op::ClearRecords => {
                staging.clear_records();
                records.clear();
            }
        }
    }
    if let Some(ranges) = &plan.retain {
        let wanted: MemoryLayout = ranges
            .iter()
            .map(|&(start, count)| start..start + count)
            .collect();
        memory.retain(|&pfn, _| wanted.contains(Pfn(pfn)));
        staging
            .retain(&memory.keys().map(|&pfn| pfn..pfn + 1).collect())
            .unwrap();
    }
    staging.set_fact("plan", &format!("{}", plan.ops.len()));
    if plan.commit {
        let info = staging.commit().unwrap();
        assert_eq!(info.base, base);
        done.push((info.id, plan.guest, memory, records));
    }
}

fn check(store: &Store, done: &Expected) {
    let listing = store.list().unwrap();
    assert_eq!(listing.damaged, []);
    assert_eq!(
        listing.checkpoints.iter().map(|c| c.id).collect::<Vec<_>>(),
        done.iter().map(|d| d.0).collect::<Vec<_>>()
    );
    for (id, _, memory, records) in done {
        assert_holds(store, *id, memory);
        assert_eq!(store.read(*id).unwrap().records(), records);
        assert_eq!(store.resolve(&id.to_hex()[..40]).unwrap(), *id);
    }
    for guest in 0..2 {
        let newest = done.iter().rev().find(|d| d.1 == guest).map(|d| d.0);
        assert_eq!(store.newest(&guest.to_string()).unwrap(), newest);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Any history of full and incremental checkpoints of two guests, in one store or reopened each time, with any size of
    /// index.
    #[test]
    fn any_history_comes_back(
        plans in prop::collection::vec(any_plan(), 1..6),
        reopen in any::<bool>(),
        dedup_pages_max in prop_oneof![Just(0), Just(10), Just(1_000_000)],
        workers in 0..3usize,
    ) {
        let medium = MemoryMedium::new();
        let options = StoreOptions { workers, dedup_pages_max, ..StoreOptions::default() };
        let mut store = store_on(medium.clone(), options);
        let mut done = Expected::new();
        for plan in &plans {
            if reopen {
                store = store_on(medium.clone(), options);
            }
            carry_out(&store, plan, &mut done);
        }
        prop_assert!(medium.list("tmp").unwrap().is_empty());
        check(&store, &done);
        check(&store_on(medium, options), &done);
    }
}

/// Frames that fill many batches and frames, on a real file system.
#[test]
fn large_memory_comes_back_from_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let medium: Rc<dyn Medium> = Rc::new(DirectoryMedium::create(dir.path().join("store")).unwrap());
    let store = store_on(medium, options(2));
    let mut memory = Memory::new();
    let mut staging = store.begin(new("g", None)).unwrap();
    for batch in 0..12u64 {
        let pages: Vec<_> = (0..1000)
            .map(|i| {
                (
                    batch * 1000 + i,
                    0,
                    u32::try_from((batch * 1000 + i) * 7 % 9001).unwrap(),
                )
            })
            .collect();
        put(&mut staging, &pages).unwrap();
        memory.extend(pages.iter().map(|&(pfn, tag, content)| (pfn, (tag, content))));
    }
    let info = staging.commit().unwrap();
    assert_eq!(info.new_pages, 9000);
    assert_holds(&store, info.id, &memory);
    // Nothing new: the same pages once more cost a manifest.
    let mut staging = store.begin(new("other", None)).unwrap();
    for (&pfn, &(tag, content)) in &memory {
        put(&mut staging, &[(pfn, tag, content)]).unwrap();
    }
    let again = staging.commit().unwrap();
    assert_eq!(again.new_pages, 0);
    assert!(again.stored_bytes < 1000, "{}", again.stored_bytes);
    assert_holds(&store, again.id, &memory);
}

#[test]
fn what_cannot_be_stored_is_refused_by_name() {
    let store = store_on(MemoryMedium::new(), options(0));
    let mut staging = store.begin(new("g", None)).unwrap();
    put(&mut staging, &[(5, 0, 1)]).unwrap();
    staging.retain(&std::iter::once(4..8).collect()).unwrap();
    let error = staging.commit().unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Uncovered {
                first: Pfn(4),
                count: 3
            }
        ),
        "{error}"
    );

    let mut staging = store.begin(new("g", None)).unwrap();
    let error = put(&mut staging, &[(1 << 52, 0, 1)]).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Limit {
                found: 0x10_0000_0000_0000,
                ..
            }
        ),
        "{error}"
    );
    assert!(matches!(staging.commit(), Err(StoreError::Poisoned)));

    let mut staging = store.begin(new("g", None)).unwrap();
    let error = staging.put_zero(0..1 << 50, PageTag(0)).unwrap_err();
    assert!(matches!(error, StoreError::Limit { .. }), "{error}");
    assert!(store.list().unwrap().checkpoints.is_empty());

    assert!(matches!(
        store.begin(new(&"g".repeat(5000), None)),
        Err(StoreError::GuestName { .. })
    ));
    let nowhere = CheckpointId([9; 32]);
    assert!(matches!(
        store.begin(new("g", Some(nowhere))),
        Err(StoreError::NoSuchCheckpoint(_))
    ));
    assert!(matches!(
        store.read(nowhere),
        Err(StoreError::NoSuchCheckpoint(_))
    ));
    assert!(matches!(
        store.resolve("090909"),
        Err(StoreError::NoSuchName { .. })
    ));

    let mut staging = store.begin(new("g", None)).unwrap();
    put(&mut staging, &[(5, 0, 1)]).unwrap();
    let mut reader = store.read(staging.commit().unwrap().id).unwrap();
    let error = reader
        .read_pages(&[Pfn(5), Pfn(6)], &mut PageBatch::new())
        .unwrap_err();
    assert!(
        matches!(error, StoreError::NoSuchFrame { pfn: Pfn(6), .. }),
        "{error}"
    );
}

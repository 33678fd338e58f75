//! A copy holds what it is a copy of, and is there as a whole or not at all.

use std::collections::BTreeMap;
use std::rc::Rc;

use proptest::prelude::*;

use super::memory::MemoryMedium;
use super::support::*;
use crate::guest::{PageTag, StateRecord};
use crate::medium::Medium;
use crate::store::{CheckpointId, CopyError, Standing, Store, StoreOptions};

type Pages = Vec<(u64, u8, u32)>;

/// A checkpoint of these pages, and of its base's others.
fn checkpoint(store: &Store, guest: &str, base: Option<CheckpointId>, pages: &Pages) -> CheckpointId {
    let mut staging = store.begin(new(guest, base)).unwrap();
    put(&mut staging, pages).unwrap();
    staging.put_zero(900..903, PageTag(2)).unwrap();
    staging
        .put_record(StateRecord::new("vcpu", format!("{} pages", pages.len())))
        .unwrap();
    staging.set_fact("state", guest);
    staging.commit().unwrap().id
}

fn memory(pages: &Pages) -> Memory {
    let zero = (900..903).map(|pfn| (pfn, (2, 0)));
    let pages = pages.iter().map(|&(pfn, tag, content)| (pfn, (tag, content)));
    zero.chain(pages).collect()
}

fn full(contents: std::ops::Range<u32>) -> Pages {
    contents
        .map(|content| (u64::from(content % 500), 0, content))
        .collect()
}

fn any_pages() -> impl Strategy<Value = Pages> {
    // Few frames and contents, so that pages are equal and runs are broken up.
    prop::collection::vec((0..120u64, 0..3u8, 0..60u32), 0..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// Whatever the target holds and however much it remembers of it.
    #[test]
    fn any_row_of_checkpoints_is_copied(
        row in prop::collection::vec((any_pages(), any::<bool>()), 1..5),
        there in any_pages(),
        at_once in any::<bool>(),
        dedup_pages_max in prop_oneof![Just(0), Just(10), Just(1_000_000)],
        workers in 0..3usize,
    ) {
        let options = StoreOptions { workers, dedup_pages_max, ..StoreOptions::default() };
        let (from, to) = (MemoryMedium::new(), MemoryMedium::new());
        let (source, target) = (store_on(from.clone(), options), store_on(to.clone(), options));
        let other = checkpoint(&target, "other", None, &there);
        let (mut before, mut held) = (None, Vec::<(CheckpointId, Memory)>::new());
        for (pages, on_top) in &row {
            let base = before.filter(|_| *on_top);
            let mut expected = base.map_or_else(Memory::new, |_| held.last().unwrap().1.clone());
            expected.extend(memory(pages));
            before = Some(checkpoint(&source, "g", base, pages));
            held.push((before.unwrap(), expected));
            if at_once {
                target.copy_from(&source, before.unwrap()).unwrap();
            }
        }
        let image = from.image();
        if !at_once {
            for (id, _) in &held {
                target.copy_from(&source, *id).unwrap();
            }
        }
        prop_assert!(from.image() == image, "the source is as it was");
        prop_assert_eq!(target.verify(None).unwrap().findings, []);
        assert_holds(&target, other, &memory(&there));
        let copies = store_on(to, options).list().unwrap().checkpoints.split_off(1);
        prop_assert_eq!(copies.len(), held.len());
        for (copy, (id, expected)) in copies.iter().zip(&held) {
            assert_holds(&target, copy.id, expected);
            let (original, reader) = (source.info(*id).unwrap().unwrap(), target.read(copy.id).unwrap());
            let from = source.read(*id).unwrap();
            prop_assert_eq!(reader.records(), from.records());
            prop_assert_eq!((copy.begun, copy.base), (original.begun, None));
            prop_assert_eq!((copy.copied_from(), original.copied_from()), (Some(*id), None));
            prop_assert_eq!((&copy.guest, &copy.machine), (&original.guest, &original.machine));
            let mut facts = original.facts.clone();
            facts.insert("copied_from".to_owned(), id.to_hex());
            prop_assert_eq!(&copy.facts, &facts);
        }
        let newest = copies.last().map(|copy| copy.id);
        prop_assert_eq!(target.newest("g").unwrap(), newest);
    }
}

#[test]
fn what_the_target_has_is_neither_read_nor_written() {
    let (from, to) = (MemoryMedium::new(), MemoryMedium::new());
    let (source, target) = (store_on(from.clone(), options(0)), store_on(to, options(0)));
    let first = checkpoint(&source, "g", None, &full(1..400));
    let segment = format!("segments/{}", from_segments(&from)[0]);
    assert_eq!(target.copy_from(&source, first).unwrap().new_pages, 399);
    let second = checkpoint(&source, "g", Some(first), &full(1003..1006));
    // The pages of the first segment are damaged, and nobody looks at them: its footer says what they are.
    let mut bytes = from.get(&segment).unwrap();
    bytes[40] ^= 1;
    from.set(&segment, bytes);
    let copy = target.copy_from(&source, second).unwrap();
    assert_eq!(copy.new_pages, 3);
    assert_holds(
        &target,
        copy.id,
        &memory(&[full(1..400), full(1003..1006)].concat()),
    );
    // Once more costs a manifest.
    let again = target.copy_from(&source, second).unwrap();
    assert_eq!(again.new_pages, 0);
    assert!(again.stored_bytes < 1000, "{}", again.stored_bytes);
    // A store without them does look.
    let empty = store_on(MemoryMedium::new(), options(0));
    let error = empty.copy_from(&source, second).unwrap_err();
    assert!(error.damaged(), "{error}");
    assert_eq!(empty.list().unwrap().checkpoints, []);
    let gone = target.copy_from(&source, CheckpointId([9; 32])).unwrap_err();
    assert!(!gone.damaged(), "{gone}");
}

fn from_segments(medium: &MemoryMedium) -> Vec<String> {
    let entries = medium.list("segments").unwrap().into_iter();
    entries.map(|entry| entry.name).collect()
}

#[test]
fn no_damage_is_copied() {
    let from = MemoryMedium::new();
    let source = store_on(from.clone(), options(0));
    let pages = full(1..20);
    let first = checkpoint(&source, "g", None, &pages);
    let second = checkpoint(&source, "g", Some(first), &full(501..504));
    let expected = memory(&[pages, full(501..504)].concat());
    let image: BTreeMap<_, _> = from.image();
    let mut refused = 0;
    for (path, bytes) in image.iter().filter(|(path, _)| path.contains('/')) {
        for at in 0..bytes.len() {
            let mut damaged = image.clone();
            damaged.get_mut(path).unwrap()[at] ^= 1 << (at % 8);
            let damaged = MemoryMedium::holding(&damaged);
            let source = Store::open(damaged, Rc::new(Ticking::default()), options(0)).unwrap();
            let to = MemoryMedium::new();
            let target = store_on(to.clone(), options(0));
            match target.copy_from(&source, second) {
                Ok(copy) => assert_holds(&target, copy.id, &expected),
                Err(error) => {
                    assert!(error.damaged(), "byte {at} of {path}: {error}");
                    let CopyError::Source(source) = error else {
                        panic!("the target is whole")
                    };
                    assert_eq!(source.finding().unwrap().path, *path);
                    assert_eq!(to.image().len(), 1, "only the header is left");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 500, "only {refused} were refused");
}

#[test]
fn a_full_target_keeps_what_it_has() {
    let source = store_on(MemoryMedium::new(), options(0));
    let id = checkpoint(&source, "g", None, &full(1..40));
    let there = MemoryMedium::new();
    let before = {
        let target = store_on(there.clone(), options(0));
        checkpoint(&target, "other", None, &full(20..30))
    };
    let image = there.image();
    let mut room = 0;
    loop {
        let medium = MemoryMedium::holding(&image);
        medium.room.set(room);
        let target = store_on(medium.clone(), options(0));
        match target.copy_from(&source, id) {
            Ok(copy) => {
                assert_holds(&target, copy.id, &memory(&full(1..40)));
                break;
            }
            Err(CopyError::Target(error)) => assert!(error.is_full(), "{room}: {error}"),
            Err(error) => panic!("{room}: {error}"),
        }
        let after = medium.image();
        assert!(image.iter().all(|(path, bytes)| after[path] == *bytes), "{room}");
        assert_eq!(target.list().unwrap().checkpoints.len(), 1, "{room}: no copy");
        assert_holds(&target, before, &memory(&full(20..30)));
        room += 7;
    }
    assert!(room > 100, "only {room} bytes were needed");
}

/// A backup that has lost something is none: the newest is copied once more, which heals it; one with later ones behind it is named.
#[test]
fn what_lacks_something_is_no_copy() {
    let (from, to) = (MemoryMedium::new(), MemoryMedium::new());
    let (source, target) = (store_on(from, options(0)), store_on(to.clone(), options(0)));
    let pages = [full(1..20), full(501..520)];
    let mut ids = Vec::new();
    let mut segments = Vec::new();
    for pages in &pages {
        let id = checkpoint(&source, "g", None, pages);
        target.copy_from(&source, id).unwrap();
        let new = from_segments(&to)
            .into_iter()
            .find(|name| !segments.contains(name));
        segments.push(new.unwrap());
        ids.push(id);
    }
    let whole = to.image();
    let standing_without = |lost: usize, of: usize| {
        let mut image = whole.clone();
        image.remove(&format!("segments/{}", segments[lost]));
        let target = Store::open(
            MemoryMedium::holding(&image),
            Rc::new(Ticking::default()),
            options(0),
        )
        .unwrap();
        let standing = target.standing(&source, ids[of]).unwrap();
        (target, standing)
    };
    for of in 0..2 {
        assert!(matches!(standing_without(1 - of, of).1, Standing::There(_)));
    }
    let (target, newest) = standing_without(1, 1);
    assert_eq!(newest, Standing::Newest);
    let copy = target.copy_from(&source, ids[1]).unwrap();
    assert_holds(&target, copy.id, &memory(&pages[1]));
    assert!(matches!(
        target.standing(&source, ids[1]).unwrap(),
        Standing::There(_)
    ));
    let Standing::Broken(finding) = standing_without(0, 0).1 else {
        panic!("a later one is there")
    };
    assert_eq!(finding.path, format!("segments/{}", segments[0]));
}

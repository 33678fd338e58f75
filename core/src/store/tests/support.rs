//! What the claims have in common.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::clock::Clock;
use crate::guest::{MachineKind, PageBatch, PageTag};
use crate::medium::Medium;
use crate::store::{CheckpointId, CheckpointReader, NewCheckpoint, Staging, Store, StoreError, StoreOptions};
use crate::units::{PAGE_SIZE, Page, Pfn, Timestamp};

/// A clock that goes on by a second each time it is asked.
#[derive(Debug, Default)]
pub(super) struct Ticking(Cell<u64>);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        self.0.set(self.0.get() + 1_000_000_000);
        Timestamp(self.0.get())
    }
}

pub(super) fn options(workers: usize) -> StoreOptions {
    StoreOptions {
        workers,
        ..StoreOptions::default()
    }
}

/// A store on a medium that may hold one already.
pub(super) fn store_on(medium: Rc<dyn Medium>, options: StoreOptions) -> Store {
    Store::create(&*medium).unwrap();
    Store::open(medium, Rc::new(Ticking::default()), options).unwrap()
}

pub(super) fn new(guest: &str, base: Option<CheckpointId>) -> NewCheckpoint {
    NewCheckpoint {
        guest: guest.to_owned(),
        machine: MachineKind::new("test"),
        base,
        facts: BTreeMap::new(),
    }
}

/// A page that compresses well, from a number; 0 is the zero page.
pub(super) fn page(content: u32) -> Page {
    let mut page = [0; PAGE_SIZE];
    page.as_chunks_mut()
        .0
        .iter_mut()
        .step_by(37)
        .for_each(|word| *word = content.to_le_bytes());
    page
}

/// Puts pages as one batch: frame, tag, content.
pub(super) fn put(staging: &mut Staging<'_>, pages: &[(u64, u8, u32)]) -> Result<(), StoreError> {
    let mut batch = staging.take_batch();
    assert!(batch.is_empty());
    for &(pfn, tag, content) in pages {
        batch.push(Pfn(pfn), PageTag(tag), &page(content));
    }
    staging.put_pages(batch)
}

/// Memory as a checkpoint should hold it: tag and content number.
pub(super) type Memory = BTreeMap<u64, (u8, u32)>;

/// All memory of a checkpoint by sequential reading, zero pages from the map.
pub(super) fn read_back(reader: &mut CheckpointReader) -> Result<BTreeMap<u64, (u8, Page)>, StoreError> {
    let mut found: BTreeMap<u64, (u8, Page)> = reader
        .layout()
        .iter()
        .map(|pfn| (pfn.0, (0, [0; PAGE_SIZE])))
        .collect();
    for (frames, tag) in reader.zero_tagged() {
        frames.for_each(|frame| found.get_mut(&frame).unwrap().0 = tag.0);
    }
    let (mut batch, mut seen) = (PageBatch::new(), std::collections::BTreeSet::new());
    while reader.next_batch(&mut batch)? {
        for (pfn, tag, page) in batch.iter() {
            assert!(seen.insert(pfn), "{pfn} came twice");
            assert_ne!(page, &[0; PAGE_SIZE], "{pfn} is zero");
            *found.get_mut(&pfn.0).expect("in the layout") = (tag.0, *page);
        }
    }
    Ok(found)
}

/// Fails unless the checkpoint holds exactly this, by either way of reading.
pub(super) fn assert_holds(store: &Store, id: CheckpointId, memory: &Memory) {
    let mut reader = store.read(id).unwrap();
    let found = read_back(&mut reader).unwrap();
    let expected: BTreeMap<_, _> = memory
        .iter()
        .map(|(&pfn, &(tag, content))| (pfn, (tag, page(content))))
        .collect();
    assert!(found == expected, "sequential reading of {id} differs");
    assert_eq!(reader.info().pages, memory.len() as u64);
    assert_eq!(
        reader.info().zero_pages,
        memory.values().filter(|(_, content)| *content == 0).count() as u64
    );
    let frames: Vec<Pfn> = memory.keys().rev().copied().map(Pfn).collect();
    let mut batch = PageBatch::new();
    for some in frames.chunks(300) {
        batch.clear();
        reader.read_pages(some, &mut batch).unwrap();
        assert_eq!(batch.pfns(), some);
        assert!(
            batch
                .iter()
                .all(|(pfn, tag, page)| expected[&pfn.0] == (tag.0, *page)),
            "random reading of {id} differs"
        );
    }
}

//! Checkpoint stores on simulated disks, and a model of what is in them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use revenant_core::Medium;
use revenant_core::clock::Clock;
use revenant_core::guest::{BATCH_PAGES_MAX, MachineKind, MemoryLayout, PageBatch, PageTag, StateRecord};
use revenant_core::medium::{DirEntry, LockAttempt, LockMode, MediumError, MediumReader, MediumWriter};
use revenant_core::store::{
    CheckpointId, CheckpointReader, NewCheckpoint, Staging, Store, StoreError, StoreOptions,
};
use revenant_core::units::{PAGE_SIZE, Page, Pfn, Timestamp};
use revenant_sim::SimMedium;

/// A clock that goes on by a second each time it is asked.
#[derive(Debug, Default)]
pub struct Ticking(Cell<u64>);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        self.0.set(self.0.get() + 1_000_000_000);
        Timestamp(self.0.get())
    }
}

/// Opens the store on a disk, everything on the calling thread.
pub fn open(disk: &SimMedium) -> Result<Store, StoreError> {
    open_on(Rc::new(disk.clone()))
}

/// Opens the store on a medium, everything on the calling thread.
pub fn open_on(medium: Rc<dyn Medium>) -> Result<Store, StoreError> {
    let options = StoreOptions {
        workers: 0,
        dedup_pages_max: 10_000,
        ..StoreOptions::default()
    };
    Store::open(medium, Rc::new(Ticking::default()), options)
}

/// A disk on which a stretch of one file does not read.
#[derive(Debug)]
pub struct BadSpot {
    /// The disk itself.
    pub disk: Rc<SimMedium>,
    /// The file.
    pub path: String,
    /// The bytes that do not read.
    pub bad: Range<u64>,
}

#[derive(Debug)]
struct BadSpotReader {
    inner: Box<dyn MediumReader>,
    path: String,
    bad: Range<u64>,
}

impl MediumReader for BadSpotReader {
    fn len_bytes(&self) -> u64 {
        self.inner.len_bytes()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), MediumError> {
        if offset < self.bad.end && self.bad.start < offset + buf.len() as u64 {
            let source = io::Error::other("a bad sector");
            return Err(MediumError::from_io("read", &self.path, source));
        }
        self.inner.read_at(offset, buf)
    }
}

impl Medium for BadSpot {
    fn create_new(&self, path: &str) -> Result<Box<dyn MediumWriter>, MediumError> {
        self.disk.create_new(path)
    }

    fn open(&self, path: &str) -> Result<Box<dyn MediumReader>, MediumError> {
        let inner = self.disk.open(path)?;
        if path != self.path {
            return Ok(inner);
        }
        Ok(Box::new(BadSpotReader {
            inner,
            path: path.to_owned(),
            bad: self.bad.clone(),
        }))
    }

    fn list(&self, dir: &str) -> Result<Vec<DirEntry>, MediumError> {
        self.disk.list(dir)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), MediumError> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &str) -> Result<(), MediumError> {
        self.disk.remove(path)
    }

    fn create_dir(&self, dir: &str) -> Result<(), MediumError> {
        self.disk.create_dir(dir)
    }

    fn sync_dir(&self, dir: &str) -> Result<(), MediumError> {
        self.disk.sync_dir(dir)
    }

    fn try_lock(&self, path: &str, mode: LockMode, wait: Duration) -> Result<LockAttempt, MediumError> {
        self.disk.try_lock(path, mode, wait)
    }

    fn free_bytes(&self) -> Result<Option<u64>, MediumError> {
        self.disk.free_bytes()
    }
}

/// The page of a number: 0 is the zero page, below 1,000 it compresses to a few bytes, from there on not at all.
pub fn page(number: u32) -> Page {
    let mut page = [0; PAGE_SIZE];
    let dense = number >= 1000;
    let mut word = u64::from(number);
    for chunk in page
        .as_chunks_mut::<8>()
        .0
        .iter_mut()
        .step_by(if dense { 1 } else { 37 })
    {
        if dense {
            // The output function of splitmix64.
            word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *chunk = (mixed ^ (mixed >> 31)).to_le_bytes();
        } else {
            *chunk = word.to_le_bytes();
        }
    }
    page
}

/// What a checkpoint should hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Expected {
    /// Name of the guest.
    pub guest: String,
    /// Tag and page number by frame.
    pub memory: BTreeMap<u64, (u8, u32)>,
    /// Name and content of each record.
    pub records: Vec<(String, Vec<u8>)>,
    /// Facts of the catalogue.
    pub facts: BTreeMap<String, String>,
}

impl Expected {
    /// A guest with no memory and no state.
    pub fn new(guest: &str) -> Self {
        Expected {
            guest: guest.to_owned(),
            ..Expected::default()
        }
    }

    /// As it is with these frames written and with the machine state of that moment.
    #[must_use]
    pub fn with(mut self, pages: &[(u64, u8, u32)], state: &str) -> Self {
        self.memory
            .extend(pages.iter().map(|&(pfn, tag, number)| (pfn, (tag, number))));
        self.records = vec![
            ("vcpu/0".to_owned(), state.as_bytes().to_vec()),
            ("disk".to_owned(), state.as_bytes().repeat(9)),
            ("vcpu/0".to_owned(), Vec::new()),
        ];
        self.facts.insert("state".to_owned(), state.to_owned());
        self
    }

    /// Begins a checkpoint of this and puts all of it in, of the memory what differs from the base. Some pages are put
    /// wrong first and corrected, or taken back, as a live capture does.
    pub fn stage<'s>(
        &self,
        store: &'s Store,
        base: Option<&(CheckpointId, Expected)>,
    ) -> Result<Staging<'s>, StoreError> {
        let mut staging = store.begin(NewCheckpoint {
            guest: self.guest.clone(),
            machine: MachineKind::new("test"),
            base: base.map(|(id, _)| *id),
            facts: BTreeMap::new(),
        })?;
        let changed = self
            .memory
            .iter()
            .filter(|(pfn, held)| base.and_then(|(_, base)| base.memory.get(pfn)) != Some(held));
        let changed: Vec<_> = changed.map(|(&pfn, &held)| (pfn, held)).collect();
        if let Some(&(pfn, (tag, _))) = changed.first() {
            put(&mut staging, &[(pfn, (tag, 999))])?;
        }
        for some in changed.chunks(20) {
            put(&mut staging, some)?;
        }
        let mark = staging.mark();
        put(&mut staging, &[(0, (7, 998)), (1 << 40, (0, 997))])?;
        staging.rollback(mark);
        for &(pfn, (tag, number)) in &changed {
            if number == 0 {
                staging.put_zero(pfn..pfn + 1, PageTag(tag))?;
            }
        }
        let layout: MemoryLayout = self.memory.keys().map(|&pfn| pfn..pfn + 1).collect();
        staging.retain(&layout)?;
        for (name, bytes) in &self.records {
            staging.put_record(StateRecord::new(name, &bytes[..]))?;
        }
        for (key, value) in &self.facts {
            staging.set_fact(key, value);
        }
        Ok(staging)
    }

    /// What a checkpoint holds that is not this; `None` if nothing. An error is the store's.
    pub fn difference(&self, store: &Store, id: CheckpointId) -> Result<Option<String>, StoreError> {
        let mut reader = store.read(id)?;
        let info = reader.info();
        if (&info.guest, &info.facts) != (&self.guest, &self.facts) {
            return Ok(Some(format!("{} with facts {:?}", info.guest, info.facts)));
        }
        let records = reader
            .records()
            .iter()
            .map(|record| (record.name.clone(), record.bytes.clone()));
        if records.collect::<Vec<_>>() != self.records {
            return Ok(Some("other records".to_owned()));
        }
        let frames = reader.layout();
        if !frames.iter().map(|pfn| pfn.0).eq(self.memory.keys().copied()) {
            return Ok(Some(format!("other frames: {frames:?}")));
        }
        if let Some(pfn) = self.wrong_in_order(&mut reader)? {
            return Ok(Some(format!("frame {pfn} read in order")));
        }
        Ok(self
            .wrong_at_random(&mut reader)?
            .map(|pfn| format!("frame {pfn} read at random")))
    }

    /// The first frame that sequential reading gives wrong, twice or not at all.
    fn wrong_in_order(&self, reader: &mut CheckpointReader) -> Result<Option<u64>, StoreError> {
        let mut left: BTreeMap<u64, (u8, u32)> = self.memory.clone();
        let mut batch = PageBatch::new();
        while reader.next_batch(&mut batch)? {
            for (pfn, tag, found) in batch.iter() {
                let expected = left.remove(&pfn.0);
                if expected.is_none_or(|(t, number)| t != tag.0 || number == 0 || *found != page(number)) {
                    return Ok(Some(pfn.0));
                }
            }
        }
        for (frames, tag) in reader.zero_tagged() {
            for pfn in frames {
                if left.insert(pfn, (0, 0)) != Some((tag.0, 0)) {
                    return Ok(Some(pfn));
                }
            }
        }
        Ok(left
            .into_iter()
            .find(|(_, held)| *held != (0, 0))
            .map(|(pfn, _)| pfn))
    }

    /// The first frame that random access, from the last to the first, gives wrong.
    fn wrong_at_random(&self, reader: &mut CheckpointReader) -> Result<Option<u64>, StoreError> {
        let pfns: Vec<Pfn> = self.memory.keys().rev().copied().map(Pfn).collect();
        let mut batch = PageBatch::new();
        for some in pfns.chunks(BATCH_PAGES_MAX) {
            batch.clear();
            reader.read_pages(some, &mut batch)?;
            for (pfn, tag, found) in batch.iter() {
                let (expected, number) = self.memory[&pfn.0];
                if expected != tag.0 || *found != page(number) {
                    return Ok(Some(pfn.0));
                }
            }
            if batch.pfns() != some {
                return Ok(some.first().map(|pfn| pfn.0));
            }
        }
        Ok(None)
    }
}

fn put(staging: &mut Staging<'_>, pages: &[(u64, (u8, u32))]) -> Result<(), StoreError> {
    let mut batch = staging.take_batch();
    for &(pfn, (tag, number)) in pages {
        batch.push(Pfn(pfn), PageTag(tag), &page(number));
    }
    staging.put_pages(batch)
}

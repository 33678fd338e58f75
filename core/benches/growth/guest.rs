//! A guest of 256 MiB that writes anywhere.

use std::collections::BTreeSet;

use revenant_core::guest::{BATCH_PAGES_MAX, MachineKind, PageTag};
use revenant_core::store::{CheckpointId, NewCheckpoint, Staging, Store};
use revenant_core::units::{PAGE_SIZE, Page, Pfn};

const FRAMES: u64 = 65_536;
/// 2 %.
const WRITTEN: usize = 1_311;

/// What each frame holds, by number, and which were written since the last checkpoint.
#[derive(Debug)]
pub(crate) struct Guest {
    versions: Vec<u32>,
    written: BTreeSet<u64>,
    newest: Option<CheckpointId>,
    random: Random,
}

#[derive(Debug)]
struct Random(u64);

impl Random {
    /// A state that differs for each page.
    fn of(frame: u64, version: u32) -> Self {
        // The output function of splitmix64.
        let mut mixed = (frame << 32 | u64::from(version)).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Random((mixed ^ (mixed >> 31)) | 1)
    }

    /// The next of a xorshift generator.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

impl Guest {
    pub(crate) fn new() -> Self {
        Guest {
            versions: vec![0; usize::try_from(FRAMES).unwrap()],
            written: (0..FRAMES).collect(),
            newest: None,
            random: Random::of(0, 7),
        }
    }

    /// Writes 2 % of its frames.
    pub(crate) fn run(&mut self) {
        while self.written.len() < WRITTEN {
            let frame = self.random.next() % FRAMES;
            if self.written.insert(frame) {
                self.versions[usize::try_from(frame).unwrap()] += 1;
            }
        }
    }

    pub(crate) fn begin<'s>(&self, store: &'s Store) -> Staging<'s> {
        let new = NewCheckpoint {
            guest: "guest".to_owned(),
            machine: MachineKind::new("benchmark"),
            base: self.newest,
            facts: std::collections::BTreeMap::new(),
        };
        store.begin(new).unwrap()
    }

    /// Puts what was written since the last checkpoint.
    pub(crate) fn fill<'s>(&self, mut staging: Staging<'s>) -> Staging<'s> {
        let frames: Vec<u64> = self.written.iter().copied().collect();
        for some in frames.chunks(BATCH_PAGES_MAX) {
            let mut batch = staging.take_batch();
            for &frame in some {
                let version = self.versions[usize::try_from(frame).unwrap()];
                batch.push(Pfn(frame), PageTag(0), &page(frame, version));
            }
            staging.put_pages(batch).unwrap();
        }
        staging
    }

    pub(crate) fn committed(&mut self, id: CheckpointId) {
        self.newest = Some(id);
        self.written.clear();
    }
}

/// Two fifths of the pages are zero at first; the others are text-like, pointer-like and a little random.
fn page(frame: u64, version: u32) -> Page {
    let mut random = Random::of(frame, version);
    let mut page = [0; PAGE_SIZE];
    let (kind, base) = (frame % 20, random.next());
    if kind < 8 && version == 0 {
        return page;
    }
    for (i, word) in page.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let value = match kind {
            0..9 => 0x2065_6874_2064_6e61 ^ ((random.next() % 26) << (8 * (i % 8))),
            9..19 => 0xffff_8880_0000_0000 | (base & 0xfff_f000) | ((random.next() % 64) << 3),
            _ => random.next(),
        };
        *word = value.to_le_bytes();
    }
    page
}

//! Images of memory against the memory they are of, written to a file with holes and to a pipe.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::rc::Rc;

use proptest::prelude::*;
use revenant_core::clock::SystemClock;
use revenant_core::guest::{MachineKind, PageTag};
use revenant_core::medium::DirectoryMedium;
use revenant_core::store::{CheckpointReader, NewCheckpoint, Staging, Store, StoreOptions};
use revenant_core::{PAGE_SIZE, Pfn};
use revenant_xen_format::{IMAGE_FRAMES_MAX, ImageError, ImageSink, write_elf, write_raw};

/// What a file would hold, and how much of it was written.
#[derive(Default)]
struct Sink {
    bytes: Vec<u8>,
    put: usize,
}

impl ImageSink for Sink {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.put += bytes.len();
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        self.bytes
            .resize(self.bytes.len() + usize::try_from(bytes).unwrap(), 0);
        Ok(())
    }
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let medium = Rc::new(DirectoryMedium::open(dir.path()).unwrap());
    Store::create(&*medium).unwrap();
    let options = StoreOptions {
        workers: 0,
        ..StoreOptions::default()
    };
    let store = Store::open(medium, Rc::new(SystemClock::new()), options).unwrap();
    (dir, store)
}

/// A checkpoint of what `fill` puts into it.
fn checkpoint(store: &Store, fill: impl FnOnce(&mut Staging<'_>)) -> CheckpointReader {
    let new = NewCheckpoint {
        guest: "g".to_owned(),
        machine: MachineKind::new("xen-hvm"),
        base: None,
        facts: BTreeMap::new(),
    };
    let mut staging = store.begin(new).unwrap();
    fill(&mut staging);
    store.read(staging.commit().unwrap().id).unwrap()
}

/// Offset, address and length of each PT_LOAD.
fn loads(elf: &[u8]) -> Vec<(u64, u64, u64)> {
    let long = |at: usize| u64::from_le_bytes(*elf[at..].first_chunk().unwrap());
    assert!(elf.starts_with(b"\x7fELF\x02\x01\x01"));
    let count = usize::from(u16::from_le_bytes([elf[56], elf[57]]));
    (0..count)
        .map(|index| 64 + 56 * index)
        .filter(|&at| elf[at] == 1)
        .map(|at| {
            assert_eq!((long(at + 16), long(at + 32)), (long(at + 24), long(at + 40)));
            (long(at + 8), long(at + 24), long(at + 32))
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn both_formats_hold_the_memory_and_nothing_else(
        frames in prop::collection::btree_map(0..90u64, 0..3u8, 1..70),
    ) {
        let (_dir, store) = store();
        let mut reader = checkpoint(&store, |staging| {
            let mut batch = staging.take_batch();
            for (&pfn, &fill) in &frames {
                batch.push(Pfn(pfn), PageTag(0), &[fill; PAGE_SIZE]);
            }
            staging.put_pages(batch).unwrap();
        });
        let filled = frames.values().filter(|&&fill| fill > 0).count() * PAGE_SIZE;
        let mut raw = Sink::default();
        let summary = write_raw(&mut reader, &mut raw).unwrap();
        let last = *frames.last_key_value().unwrap().0;
        prop_assert_eq!((summary.bytes, summary.pages), ((last + 1) * 4096, frames.len() as u64));
        prop_assert_eq!((raw.bytes.len() as u64, raw.put), (summary.bytes, filled));
        for (pfn, page) in (0..).zip(raw.bytes.chunks(PAGE_SIZE)) {
            let fill = frames.get(&pfn).copied().unwrap_or(0);
            prop_assert!(page.iter().all(|&byte| byte == fill), "frame {}", pfn);
        }

        let mut elf = Sink::default();
        let summary = write_elf(&mut reader, &mut elf).unwrap();
        prop_assert_eq!(elf.bytes.len() as u64, summary.bytes);
        let mut found = BTreeMap::new();
        for (offset, address, length) in loads(&elf.bytes) {
            prop_assert_eq!((offset % 4096, address % 4096, length % 4096), (0, 0, 0));
            for at in (0..length).step_by(PAGE_SIZE) {
                let page = &elf.bytes[usize::try_from(offset + at).unwrap()..][..PAGE_SIZE];
                prop_assert!(page.iter().all(|byte| *byte == page[0]));
                prop_assert!(found.insert((address + at) / 4096, page[0]).is_none());
            }
        }
        prop_assert_eq!(found, frames);
    }
}

/// Keeps what is no hole.
struct Head(Vec<u8>);

impl ImageSink for Head {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn skip(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }
}

/// More ranges than the header can count, and more memory than anybody has.
#[test]
fn many_ranges_are_counted_elsewhere_and_no_image_is_endless() {
    let (_dir, store) = store();
    let commit = |ranges: &mut dyn Iterator<Item = Range<u64>>| {
        checkpoint(&store, |staging| {
            ranges.for_each(|range| staging.put_zero(range, PageTag(0)).unwrap());
        })
    };
    let mut head = Head(Vec::new());
    let ranges = 70_000_u32;
    write_elf(
        &mut commit(&mut (0..u64::from(ranges)).map(|n| 2 * n..2 * n + 1)),
        &mut head,
    )
    .unwrap();
    assert_eq!(head.0[56..58], [0xff, 0xff]);
    let at = u64::from_le_bytes(*head.0[40..].first_chunk().unwrap());
    let count = &head.0[usize::try_from(at).unwrap() + 44..][..4];
    assert_eq!(count, (ranges + 1).to_le_bytes());

    let far = IMAGE_FRAMES_MAX..IMAGE_FRAMES_MAX + 1;
    let mut reader = commit(&mut std::iter::once(far));
    assert!(matches!(
        write_raw(&mut reader, &mut head),
        Err(ImageError::TooLarge { raw: true, .. })
    ));
    assert!(write_elf(&mut reader, &mut head).is_ok());
    let mut reader = commit(&mut std::iter::once(0..IMAGE_FRAMES_MAX + 1));
    assert!(matches!(
        write_elf(&mut reader, &mut head),
        Err(ImageError::TooLarge { raw: false, .. })
    ));
}

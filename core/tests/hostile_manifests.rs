//! A small manifest does not become large in memory, whatever it claims and whatever is done with the store that has it:
//! measured with a counting allocator over every operation. One test function, because the count is the process's.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]
#![allow(unsafe_code, reason = "an allocator can be counted only from inside")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use revenant_core::clock::SystemClock;
use revenant_core::guest::{MachineKind, PageTag, Space};
use revenant_core::medium::DirectoryMedium;
use revenant_core::store::{
    CheckpointId, CollectOptions, NewCheckpoint, Retention, Scope, ScrubCursor, Store, StoreError,
    StoreOptions,
};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator with the arguments it came with; counting touches atomics only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract, which is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `dealloc`'s contract, which is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MIB: usize = 1 << 20;

/// What every operation may hold: a fixed amount, and so many bytes for each byte of the manifest.
const FIXED: usize = 48 * MIB;
const PER_BYTE: usize = 64;
/// What one that holds the map, or makes one of it, may hold for each run in addition.
const PER_RUN: usize = 80;

/// A manifest with right digests.
struct Hostile {
    what: &'static str,
    segments: u32,
    runs: u64,
    pages: u64,
    zero: u64,
    /// Raw body: pieces, each so many times.
    body: Vec<(Vec<u8>, usize)>,
    /// It is no damage, or found only where its segments are looked at.
    sound: bool,
}

fn number(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
    bytes
}

impl Hostile {
    fn zero_runs(what: &'static str, runs: usize, pair: &[u8], sound: bool) -> Self {
        Hostile {
            what,
            segments: 0,
            runs: runs as u64,
            pages: runs as u64,
            zero: runs as u64,
            body: vec![
                (number(runs as u64), 1),
                (pair.to_vec(), runs / 2),
                (number(0), 1),
            ],
            sound,
        }
    }

    fn records(what: &'static str, count: usize, record: &[u8], sound: bool) -> Self {
        Hostile {
            what,
            segments: 0,
            runs: 0,
            pages: 0,
            zero: 0,
            body: vec![
                (number(0), 1),
                (number(count as u64), 1),
                (record.to_vec(), count),
            ],
            sound,
        }
    }

    /// Its id and its bytes.
    fn make(&self) -> (CheckpointId, Vec<u8>) {
        let mut raw_len = 0;
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        for (piece, times) in &self.body {
            let block = piece.repeat((1 << 16) / piece.len().max(1) + 1);
            let mut left = piece.len() * times;
            raw_len += left as u64;
            while left > 0 {
                let some = left.min(block.len());
                encoder.write_all(&block[..some]).unwrap();
                left -= some;
            }
        }
        let body = encoder.finish().unwrap();
        let mut head = Vec::new();
        for name in ["hostile", "test"] {
            head.extend_from_slice(&u32::try_from(name.len()).unwrap().to_le_bytes());
            head.extend_from_slice(name.as_bytes());
        }
        head.push(0);
        for field in [1, 2, 3, self.pages, self.zero, 0, 0] {
            head.extend_from_slice(&u64::to_le_bytes(field));
        }
        head.extend_from_slice(&[0; 4]);
        head.extend_from_slice(&(body.len() as u64).to_le_bytes());
        head.extend_from_slice(&raw_len.to_le_bytes());
        head.extend_from_slice(blake3::hash(&body).as_bytes());
        head.extend_from_slice(&self.segments.to_le_bytes());
        for segment in 0..self.segments {
            head.extend_from_slice(&blake3::hash(&segment.to_le_bytes()).as_bytes()[..16]);
        }
        let mut bytes = b"RVCHKPT\n\x01\0\0\0".to_vec();
        bytes.extend_from_slice(&u32::try_from(head.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(&head);
        let id = CheckpointId(*blake3::hash(&bytes).as_bytes());
        bytes.extend_from_slice(&body);
        (id, bytes)
    }
}

fn hostile() -> Vec<Hostile> {
    // Runs of one zero frame each: untagged [gap 0, shape 0], tagged [0, 2, tag].
    let (alike, alternating) = ([0, 0, 0, 0], [0, 2, 1, 0, 0]);
    let segments = 1 << 18;
    let mut far = number(u64::from(segments));
    for segment in 0..segments {
        far.extend([vec![0, 1], number(u64::from(segment)), number((1 << 21) - 2)].concat());
    }
    far.extend(number(0));
    vec![
        Hostile::zero_runs("runs that a writer joins", 100_000_000, &alike, false),
        Hostile::zero_runs(
            "more runs than its bytes warrant",
            60_000_000,
            &alternating,
            false,
        ),
        Hostile::zero_runs("many runs", 1 << 22, &alternating, true),
        Hostile {
            what: "the last slot of segments that are not there",
            segments,
            runs: u64::from(segments),
            pages: u64::from(segments),
            zero: 0,
            body: vec![(far, 1)],
            sound: true,
        },
        Hostile::records("empty records", 30_000_000, &[0, 0], false),
        Hostile::records(
            "long names",
            1 << 16,
            &[&number(4096)[..], &[b'n'; 4096], &[0]].concat(),
            false,
        ),
        Hostile::records("many records", 1 << 16, &[1, b'n', 0], true),
        Hostile::records(
            "a great many bytes of records",
            100,
            &[&[1, b'n'][..], &number(4 << 20), &vec![0; 4 << 20]].concat(),
            false,
        ),
    ]
}

/// What is done, and whether it holds the map.
type Operation = (
    &'static str,
    bool,
    fn(&Store, CheckpointId, &Path) -> Result<(), StoreError>,
);

fn operations() -> Vec<Operation> {
    vec![
        ("list", false, |store, _, _| store.list().map(drop)),
        ("survey", false, |store, id, _| {
            let survey = store.survey(id)?;
            assert!(survey.ranges(Space::Memory).count() <= 1);
            Ok(())
        }),
        ("verify", false, |store, id, _| {
            store.verify(Some(id))?;
            store.verify(None).map(drop)
        }),
        ("scrub", false, |store, _, _| {
            let mut cursor = ScrubCursor::default();
            store.scrub(&mut cursor, u64::MAX).map(drop)
        }),
        ("known bad", false, |store, _, _| store.known_bad().map(drop)),
        ("repair", false, |store, _, _| store.repair(None).map(drop)),
        ("prune", false, |store, _, _| {
            let dry_run = CollectOptions {
                dry_run: true,
                ..CollectOptions::default()
            };
            let keep = Retention {
                keep_last: Some(9),
                ..Retention::new(Scope::All)
            };
            store.prune(&keep, dry_run)?;
            store.prune(&keep, CollectOptions::default()).map(drop)
        }),
        ("read", true, |store, id, _| store.read(id).map(drop)),
        ("diff", true, |store, id, _| store.diff(id, id).map(drop)),
        ("begin on it", true, |store, id, _| {
            let new = NewCheckpoint {
                guest: "other".to_owned(),
                machine: MachineKind::new("test"),
                base: Some(id),
                facts: BTreeMap::new(),
            };
            let mut staging = store.begin(new)?;
            staging.put_zero(0..1, PageTag(3))?;
            Ok(())
        }),
        ("copy", true, |store, id, dir| {
            let target = open(&dir.join("target"));
            target
                .copy_from(store, id)
                .map(drop)
                .map_err(|error| match error {
                    revenant_core::store::CopyError::Source(error)
                    | revenant_core::store::CopyError::Target(error) => error,
                })
        }),
    ]
}

fn open(dir: &Path) -> Store {
    let medium = Rc::new(DirectoryMedium::create(dir).unwrap());
    Store::create(&*medium).unwrap();
    let options = StoreOptions {
        workers: 0,
        ..StoreOptions::default()
    };
    Store::open(medium, Rc::new(SystemClock::new()), options).unwrap()
}

#[test]
fn a_small_manifest_does_not_become_large() {
    for hostile in hostile() {
        let (id, bytes) = hostile.make();
        let len = bytes.len();
        for (name, holds, operation) in operations() {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("store");
            drop(open(&path));
            fs::write(path.join("checkpoints").join(id.to_hex()), &bytes).unwrap();
            let store = open(&path);
            let before = HELD.load(Ordering::Relaxed);
            PEAK.store(before, Ordering::Relaxed);
            let result = operation(&store, id, dir.path());
            let peak = PEAK.load(Ordering::Relaxed) - before;
            let runs = if holds && hostile.sound {
                usize::try_from(hostile.runs).unwrap()
            } else {
                0
            };
            // Up to the limit a body that is refused may be held when it is.
            let refused = if holds && !hostile.sound {
                (1 << 24) * 36
            } else {
                0
            };
            let limit = FIXED + PER_BYTE * len + PER_RUN * runs + refused;
            let what = hostile.what;
            println!(
                "{what}, {name}: {} MiB of {} for {len} bytes",
                peak / MIB,
                limit / MIB
            );
            assert!(
                peak <= limit,
                "{what}, {name}: {peak} bytes, at most {limit} for {len} bytes"
            );
            match result {
                Ok(()) => assert!(hostile.sound || !holds, "{what}, {name}: taken for a checkpoint"),
                Err(StoreError::Damaged(finding)) => {
                    assert!(finding.offset.is_some() || hostile.sound, "{finding}");
                }
                Err(other) => panic!("{what}, {name}: {other}"),
            }
        }
    }
}

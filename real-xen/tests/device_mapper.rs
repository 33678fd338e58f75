//! Disks on a real device mapper. Needs root, `dmsetup`, `losetup`, a kernel with dm-snapshot and loop, and a
//! device-mapper device of 16 MiB or more whose content may be overwritten:
//!
//! ```text
//! REVENANT_DM_TEST=/dev/mapper/NAME cargo test -p revenant-xen --test device_mapper -- --ignored
//! ```
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use revenant_core::clock::SystemClock;
use revenant_core::guest::{Changed, FrozenDisk, MachineKind, MemoryLayout, PageTag, disk_frame};
use revenant_core::medium::DirectoryMedium;
use revenant_core::store::{CheckpointId, DiskInfo, NewCheckpoint, Store, StoreOptions};
use revenant_core::{Clock, PAGE_SIZE};
use revenant_xen::disk::{DiskConfig, DiskError, DiskSet, DiskTarget, Tools, attach, detach, write_back};

const BLOCK: u64 = PAGE_SIZE as u64;

/// The device, and what it should hold: a block is filled with one number.
struct Device {
    path: PathBuf,
    file: File,
    content: Vec<u64>,
}

impl Device {
    fn open(path: &Path) -> Self {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).open(path).unwrap();
        let bytes = file.seek(SeekFrom::End(0)).unwrap();
        assert!(bytes >= 16 << 20, "the device is too small for this test");
        let content = vec![0; usize::try_from(bytes / BLOCK).unwrap()];
        let path = path.to_owned();
        Device { path, file, content }
    }

    fn blocks(&self) -> u64 {
        self.content.len() as u64
    }

    fn write(&mut self, block: u64, number: u64) {
        self.file.write_all_at(&page(number), block * BLOCK).unwrap();
        self.content[usize::try_from(block).unwrap()] = number;
    }

    /// Lets the writes reach the device.
    fn sync(&self) {
        self.file.sync_data().unwrap();
    }

    fn set(&self, dir: &Path, cow_bytes: Option<u64>) -> DiskSet {
        let disks = [DiskConfig {
            name: "xvda".to_owned(),
            device: self.path.clone(),
        }];
        DiskSet::open(&Tools::of_host(), &disks, dir, cow_bytes).unwrap()
    }
}

fn page(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(PAGE_SIZE / 8)
}

/// Freezes what was written so far.
fn freeze(set: &mut DiskSet, device: &Device) -> Box<dyn FrozenDisk> {
    device.sync();
    set.prepare().unwrap();
    let clock = SystemClock::default();
    let begun = clock.now();
    set.freeze().unwrap();
    println!("freeze took {:?}", clock.now().since(begun));
    let mut frozen = set.take_frozen();
    assert_eq!(frozen.len(), 1);
    frozen.pop().unwrap()
}

fn content(frozen: &mut dyn FrozenDisk) -> Vec<u64> {
    let mut buffer = vec![0; 256 * PAGE_SIZE];
    let mut content = Vec::new();
    for first in (0..frozen.blocks()).step_by(256) {
        let count = usize::try_from(256.min(frozen.blocks() - first)).unwrap();
        let buffer = &mut buffer[..count * PAGE_SIZE];
        frozen.read(first, buffer).unwrap();
        for block in buffer.chunks(PAGE_SIZE) {
            let number = u64::from_le_bytes(block[..8].try_into().unwrap());
            assert!(block == page(number), "a torn block");
            content.push(number);
        }
    }
    content
}

fn changed(frozen: &mut dyn FrozenDisk, since: CheckpointId) -> BTreeSet<u64> {
    match frozen.changed_since(since).unwrap() {
        Changed::Blocks(ranges) => ranges.into_iter().flatten().collect(),
        Changed::Unknown { why } => panic!("{why}"),
    }
}

fn unknown(frozen: &mut dyn FrozenDisk, since: CheckpointId) -> String {
    match frozen.changed_since(since).unwrap() {
        Changed::Unknown { why } => why,
        Changed::Blocks(ranges) => panic!("nobody can know {ranges:?}"),
    }
}

fn id(digit: &str) -> CheckpointId {
    digit.repeat(64).parse().unwrap()
}

fn dmsetup(args: &[&str]) -> String {
    let output = Command::new("dmsetup").args(args).output().unwrap();
    assert!(output.status.success(), "dmsetup {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "needs root and REVENANT_DM_TEST=/dev/mapper/NAME, a device whose content it overwrites"]
fn disks_are_frozen_read_and_written_back() {
    let path = PathBuf::from(std::env::var_os("REVENANT_DM_TEST").expect("REVENANT_DM_TEST names a device"));
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let tools = Tools::of_host();
    let dir = tempfile::tempdir().unwrap();
    let table = dmsetup(&["table", &name]);
    let mut device = Device::open(&path);
    for block in 0..device.blocks() {
        device.write(block, block + 1);
    }

    assert_eq!(attach(&tools, &path).unwrap(), name);
    attach(&tools, &path).unwrap();
    assert!(dmsetup(&["table", &name]).contains("snapshot-origin"));
    assert_eq!(dmsetup(&["table", &format!("{name}-rvreal")]), table);

    increments(&mut device, dir.path());
    killed_runs(&mut device, dir.path(), &name);
    one_instant(&mut device, dir.path());
    overflow(&mut device, dir.path());
    restored(&mut device, dir.path());

    assert!(matches!(
        detach(&tools, &path),
        Err(DiskError::HasSnapshots { .. })
    ));
    device.set(&dir.path().join("cow"), None).forget().unwrap();
    detach(&tools, &path).unwrap();
    detach(&tools, &path).unwrap();
    assert_eq!(dmsetup(&["table", &name]), table);
    assert!(!dmsetup(&["ls"]).contains(&format!("{name}-")), "nothing is left");
    assert_eq!(std::fs::read_dir(dir.path().join("cow")).unwrap().count(), 0);
}

fn increments(device: &mut Device, dir: &Path) {
    let dir = dir.join("cow");
    let (last, late) = (device.blocks() - 1, device.blocks() - 9);
    let mut set = device.set(&dir, None);
    let mut frozen = freeze(&mut set, device);
    let first = device.content.clone();
    for block in [0, 7, last] {
        device.write(block, 1_000_000 + block);
    }
    device.sync();
    assert!(
        content(&mut *frozen) == first,
        "the snapshot is of the instant of the freeze"
    );
    assert!(unknown(&mut *frozen, id("a")).contains("no snapshot"));
    assert!(frozen.read(last, &mut vec![0; 2 * PAGE_SIZE]).is_err());
    frozen.committed(id("a")).unwrap();
    drop((frozen, set));

    // Another process goes on. More blocks than a metadata area has pairs.
    let mut set = device.set(&dir, None);
    let scattered: BTreeSet<u64> = (0..700).map(|i| i * 3 + 100).collect();
    for &block in &scattered {
        device.write(block, 2_000_000 + block);
    }
    let mut frozen = freeze(&mut set, device);
    let second = device.content.clone();
    device.write(late, 3);
    device.sync();
    let written: BTreeSet<u64> = scattered.iter().copied().chain([0, 7, last]).collect();
    let listed = changed(&mut *frozen, id("a"));
    let more: Vec<u64> = listed.difference(&written).copied().collect();
    assert!(
        written.is_subset(&listed),
        "every block that was written is listed"
    );
    assert!(
        more.is_empty() || more == [late],
        "and none that was not: {more:?}"
    );
    assert!(content(&mut *frozen) == second);
    assert!(unknown(&mut *frozen, id("b")).contains("aaaaaaaaaaaaaaaa"));
    frozen.abandon().unwrap();

    // Abandoned: the base is as it was.
    let mut frozen = freeze(&mut set, device);
    assert!(changed(&mut *frozen, id("a")).is_superset(&written));
    frozen.committed(id("c")).unwrap();
    device.write(11, 5);
    let mut frozen = freeze(&mut set, device);
    assert_eq!(changed(&mut *frozen, id("c")), BTreeSet::from([11]));
    assert!(content(&mut *frozen) == device.content);
    frozen.committed(id("d")).unwrap();
}

/// What processes leave that died at any moment is removed by the next, and the base stays.
fn killed_runs(device: &mut Device, dir: &Path, name: &str) {
    let dir = dir.join("cow");
    let mut set = device.set(&dir, None);
    set.prepare().unwrap();
    drop(set);
    let mut set = device.set(&dir, None);
    let frozen = freeze(&mut set, device);
    drop((frozen, set));
    // As if a script had died in the middle, which takes a power loss of its own.
    dmsetup(&["suspend", "--nolockfs", name]);
    let mut set = device.set(&dir, None);
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
    let snapshots = dmsetup(&["ls"])
        .lines()
        .filter(|line| line.starts_with("rv-"))
        .count();
    assert_eq!(snapshots, 1, "the base");
    device.write(12, 6);
    let mut frozen = freeze(&mut set, device);
    assert_eq!(changed(&mut *frozen, id("d")), BTreeSet::from([12]));
    frozen.abandon().unwrap();
}

/// While a writer goes on, a snapshot holds all it wrote before some instant and nothing of later.
fn one_instant(device: &mut Device, dir: &Path) {
    let dir = dir.join("cow");
    let mut set = device.set(&dir, None);
    let writer = device.file.try_clone().unwrap();
    let (stop, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
    let last = thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                for block in 0..4 {
                    writer.write_all_at(&page(number), block * BLOCK * 1000).unwrap();
                    writer.sync_data().unwrap();
                }
                rounds.store(number, Ordering::Relaxed);
            }
            number
        });
        while rounds.load(Ordering::Relaxed) == 0 {
            thread::sleep(Duration::from_millis(5));
        }
        for _ in 0..5 {
            thread::sleep(Duration::from_millis(50));
            let mut frozen = freeze(&mut set, device);
            let content = content(&mut *frozen);
            let seen: Vec<u64> = (0..4).map(|i| content[i * 1000]).collect();
            println!("the writer was at {seen:?}");
            assert!(
                seen[0] - seen[3] <= 1 && seen.windows(2).all(|two| two[0] >= two[1]),
                "{seen:?}"
            );
            let listed = changed(&mut *frozen, id("d"));
            assert!((0..4).all(|i| listed.contains(&(i * 1000))));
            frozen.abandon().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        writing.join().unwrap()
    });
    for block in 0..4 {
        device.content[block * 1000] = last;
    }
}

fn overflow(device: &mut Device, dir: &Path) {
    let dir = dir.join("small");
    device
        .set(&dir.parent().unwrap().join("cow"), None)
        .forget()
        .unwrap();
    let mut set = device.set(&dir, Some(32 * BLOCK));
    freeze(&mut set, device).committed(id("e")).unwrap();
    let mut frozen = freeze(&mut set, device);
    for block in 0..100 {
        device.write(block, 9_000_000 + block);
    }
    device.sync();
    let why = unknown(&mut *frozen, id("e"));
    assert!(why.contains("lost") || why.contains("full"), "{why}");
    let error = frozen.read(50, &mut page(0)).unwrap_err();
    let error = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        error.contains("is lost") && error.contains("131072 bytes"),
        "{error}"
    );
    frozen.abandon().unwrap();
    set.forget().unwrap();
}

/// Through a store and back onto the device.
fn restored(device: &mut Device, dir: &Path) {
    let medium = Rc::new(DirectoryMedium::create(dir.join("store")).unwrap());
    Store::create(&*medium).unwrap();
    let store = Store::open(medium, Rc::new(SystemClock::default()), StoreOptions::default()).unwrap();
    let mut set = device.set(&dir.join("cow"), None);
    let mut frozen = freeze(&mut set, device);
    let mut staging = store
        .begin(NewCheckpoint {
            guest: "g".to_owned(),
            machine: MachineKind::new("test"),
            base: None,
            facts: BTreeMap::new(),
        })
        .unwrap();
    let saved = device.content.clone();
    for first in (0..frozen.blocks()).step_by(512) {
        let blocks = first..frozen.blocks().min(first + 512);
        let pfns: Vec<_> = blocks.map(|block| disk_frame(1, block).unwrap()).collect();
        let mut batch = staging.take_batch();
        frozen
            .read(first, batch.extend_zeroed(&pfns, PageTag(0)))
            .unwrap();
        staging.put_pages(batch).unwrap();
    }
    let blocks = frozen.blocks();
    staging.retain(&MemoryLayout::new()).unwrap();
    staging
        .retain_disk(&DiskInfo {
            number: 1,
            name: "xvda".to_owned(),
            blocks,
        })
        .unwrap();
    let info = staging.commit().unwrap();
    frozen.committed(info.id).unwrap();

    for block in [3, 4, 5, 2048] {
        device.write(block, 77);
    }
    device.sync();
    let mut reader = store.read(info.id).unwrap();
    let mut target = DiskTarget::open(&device.path, blocks).unwrap();
    assert!(!target.touched());
    let back = write_back(&mut reader, "xvda", &mut target).unwrap();
    assert_eq!((back.blocks, back.written), (blocks, 4));
    assert!(target.touched());
    drop(target);
    device.content = saved;
    // What was written back counts as changed, as any write does.
    let mut frozen = freeze(&mut set, device);
    assert!(content(&mut *frozen) == device.content);
    assert_eq!(changed(&mut *frozen, info.id), BTreeSet::from([3, 4, 5, 2048]));
    frozen.abandon().unwrap();

    let small = dir.join("small.img");
    File::create(&small).unwrap().set_len(BLOCK).unwrap();
    let error = DiskTarget::open(&small, blocks).unwrap_err().to_string();
    assert!(error.contains("small.img has 4096 bytes"), "{error}");
}

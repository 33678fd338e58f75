//! Disks in checkpoints: what the engine reads, what it keeps from the base, and what comes back.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Range;
use std::rc::Rc;

use revenant_core::capture::{CaptureError, CaptureRequest, Captured, Method, Session, capture};
use revenant_core::guest::{
    Capabilities, Changed, FrozenDisk, MachineKind, MemoryLayout, PageBatch, PageTag, PfnSet, SPACE_FRAMES,
    Space, StateRecord,
};
use revenant_core::medium::DirectoryMedium;
use revenant_core::restore::{DiskRestoreError, restore, restore_disk};
use revenant_core::store::{CheckpointId, StoreOptions};
use revenant_core::{Clock, Hypervisor, HypervisorError, PAGE_SIZE, Pfn, Store, Timestamp};

/// A clock that stands still.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }
}

/// What a disk is, and what was done to it.
#[derive(Debug, Default)]
struct Disk {
    name: &'static str,
    blocks: Vec<u8>,
    changed: Vec<Range<u64>>,
    base: Option<CheckpointId>,
    fail_at: Option<u64>,
    read: Vec<Range<u64>>,
    abandoned: u32,
}

/// A frozen disk: each block is filled with one byte.
#[derive(Debug)]
struct Frozen {
    disk: Rc<RefCell<Disk>>,
    blocks: Vec<u8>,
    name: &'static str,
}

impl FrozenDisk for Frozen {
    fn name(&self) -> &str {
        self.name
    }

    fn blocks(&self) -> u64 {
        self.blocks.len() as u64
    }

    fn changed_since(&mut self, checkpoint: CheckpointId) -> Result<Changed, HypervisorError> {
        let disk = self.disk.borrow();
        if disk.base == Some(checkpoint) {
            return Ok(Changed::Blocks(disk.changed.clone()));
        }
        let why = "counts from another checkpoint".to_owned();
        Ok(Changed::Unknown { why })
    }

    fn read(&mut self, first: u64, buffer: &mut [u8]) -> Result<(), HypervisorError> {
        let mut disk = self.disk.borrow_mut();
        let range = first..first + (buffer.len() / PAGE_SIZE) as u64;
        if disk.fail_at.is_some_and(|block| range.contains(&block)) {
            let source = std::io::Error::other("bad sector").into();
            let operation = "read the snapshot";
            return Err(HypervisorError::Backend { operation, source });
        }
        for (block, bytes) in range.clone().zip(buffer.chunks_mut(PAGE_SIZE)) {
            bytes.fill(self.blocks[usize::try_from(block).unwrap()]);
        }
        disk.read.push(range);
        Ok(())
    }

    fn committed(&mut self, id: CheckpointId) -> Result<(), HypervisorError> {
        let mut disk = self.disk.borrow_mut();
        disk.base = Some(id);
        disk.changed.clear();
        Ok(())
    }

    fn abandon(&mut self) -> Result<(), HypervisorError> {
        self.disk.borrow_mut().abandoned += 1;
        Ok(())
    }
}

/// A guest of four frames, without a dirty log, with disks.
#[derive(Debug, Default)]
struct Guest {
    memory: BTreeMap<u64, u8>,
    disks: Vec<Rc<RefCell<Disk>>>,
    frozen: Vec<Frozen>,
    state: u8,
    state_fails: bool,
}

impl Hypervisor for Guest {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            backend: "script",
            machine: MachineKind::new("script"),
            dirty_log: false,
            live_read: false,
            rewrites: false,
        }
    }

    fn layout(&mut self) -> Result<MemoryLayout, HypervisorError> {
        Ok(self.memory.keys().map(|&pfn| pfn..pfn + 1).collect())
    }

    fn suspend(&mut self) -> Result<(), HypervisorError> {
        self.frozen.clear();
        for disk in &self.disks {
            let (blocks, name) = (disk.borrow().blocks.clone(), disk.borrow().name);
            let disk = Rc::clone(disk);
            self.frozen.push(Frozen { disk, blocks, name });
        }
        Ok(())
    }

    fn resume(&mut self) -> Result<(), HypervisorError> {
        // A running guest writes at once.
        for disk in &self.disks {
            disk.borrow_mut().blocks[0] ^= 0x80;
        }
        Ok(())
    }

    fn set_dirty_log(&mut self, _: bool) -> Result<(), HypervisorError> {
        unreachable!("capabilities say so")
    }

    fn take_dirty(&mut self, _: &mut PfnSet) -> Result<(), HypervisorError> {
        unreachable!("capabilities say so")
    }

    fn read_pages(&mut self, pfns: &[Pfn], into: &mut PageBatch) -> Result<(), HypervisorError> {
        for &pfn in pfns {
            let &fill = self.memory.get(&pfn.0).ok_or(HypervisorError::NoSuchFrame(pfn))?;
            into.push(pfn, PageTag(0), &[fill; PAGE_SIZE]);
        }
        Ok(())
    }

    fn populate(&mut self, layout: &MemoryLayout) -> Result<(), HypervisorError> {
        self.memory = layout.iter().map(|pfn| (pfn.0, 0)).collect();
        Ok(())
    }

    fn write_pages(&mut self, batch: &PageBatch) -> Result<(), HypervisorError> {
        for (pfn, _, page) in batch.iter() {
            let fill = self.memory.get_mut(&pfn.0);
            *fill.ok_or(HypervisorError::NoSuchFrame(pfn))? = page[7];
        }
        Ok(())
    }

    fn save_state(&mut self) -> Result<Vec<StateRecord>, HypervisorError> {
        if self.state_fails {
            let operation = "save";
            let waited = std::time::Duration::ZERO;
            return Err(HypervisorError::Timeout { operation, waited });
        }
        let (name, bytes) = ("cpu".to_owned(), vec![self.state]);
        Ok(vec![StateRecord { name, bytes }])
    }

    fn load_state(&mut self, records: &[StateRecord]) -> Result<(), HypervisorError> {
        self.state = records[0].bytes[0];
        Ok(())
    }

    fn frozen_disks(&mut self) -> Result<Vec<Box<dyn FrozenDisk>>, HypervisorError> {
        let frozen = self.frozen.drain(..);
        Ok(frozen.map(|disk| Box::new(disk) as Box<dyn FrozenDisk>).collect())
    }
}

struct World {
    guest: Guest,
    store: Store,
    _dir: tempfile::TempDir,
}

impl World {
    /// Four frames, and disks of 3,000 and of 5 blocks: the first needs several batches.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let medium = Rc::new(DirectoryMedium::create(dir.path()).unwrap());
        Store::create(&*medium).unwrap();
        let store = Store::open(medium, Rc::new(Still), StoreOptions::default()).unwrap();
        let disk = |name, blocks: Vec<u8>| {
            Rc::new(RefCell::new(Disk {
                name,
                blocks,
                ..Disk::default()
            }))
        };
        let large = (0..3000u32)
            .map(|i| {
                if i % 7 == 0 {
                    0
                } else {
                    u8::try_from(i % 251).unwrap()
                }
            })
            .collect();
        let guest = Guest {
            memory: [(0, 1), (1, 0), (9, 3), (SPACE_FRAMES - 2, 4)].into(),
            disks: vec![disk("xvda", large), disk("xvdb", vec![1, 2, 0, 4, 5])],
            state: 42,
            ..Guest::default()
        };
        World {
            guest,
            store,
            _dir: dir,
        }
    }

    fn capture(&mut self, incremental: bool) -> Result<Captured, CaptureError> {
        for disk in &self.guest.disks {
            disk.borrow_mut().read.clear();
        }
        let request = CaptureRequest {
            method: Method::StopAndCopy,
            incremental,
            ..CaptureRequest::new("g")
        };
        capture(
            &mut self.guest,
            &self.store,
            &Still,
            &mut Session::once(),
            &request,
        )
    }

    fn disk(&self, number: usize) -> std::cell::RefMut<'_, Disk> {
        self.guest.disks[number].borrow_mut()
    }

    /// Writes a block and lists it as changed.
    fn write(&self, number: usize, block: u64, fill: u8) {
        let mut disk = self.disk(number);
        disk.blocks[usize::try_from(block).unwrap()] = fill;
        disk.changed.push(block..block + 1);
        disk.changed.sort_by_key(|range| range.start);
    }

    fn stored(&self, id: CheckpointId, name: &str) -> Vec<u8> {
        let mut reader = self.store.read(id).unwrap();
        let mut fills = Vec::new();
        let blocks = restore_disk(&mut reader, name, |first, bytes| {
            assert_eq!(first, fills.len() as u64);
            for block in bytes.chunks(PAGE_SIZE) {
                assert!(block.iter().all(|&byte| byte == block[0]));
                fills.push(block[0]);
            }
            Ok::<(), Infallible>(())
        });
        assert_eq!(blocks.unwrap(), fills.len() as u64);
        fills
    }
}

#[test]
fn a_full_checkpoint_holds_memory_and_disks_of_one_instant() {
    let mut world = World::new();
    let memory = world.guest.memory.clone();
    let before = (world.disk(0).blocks.clone(), world.disk(1).blocks.clone());
    let captured = world.capture(false).unwrap();
    let info = &captured.checkpoint;

    assert_eq!((info.memory_pages(), info.pages), (4, 4 + 3000 + 5));
    assert_eq!(info.facts["disk/1"], "xvda 3000");
    assert_eq!(captured.disks[1].disk, info.disks()[1]);
    assert_eq!(
        captured.disks.iter().map(|disk| disk.blocks_read).sum::<u64>(),
        3005
    );
    assert_ne!(world.disk(0).blocks[0], before.0[0], "the guest went on writing");
    assert_eq!(world.stored(info.id, "xvda"), before.0);
    assert_eq!(world.stored(info.id, "xvdb"), before.1);

    let mut other = Guest::default();
    let mut reader = world.store.read(info.id).unwrap();
    let restored = restore(&mut reader, &mut other, &Still).unwrap();
    assert_eq!((restored.pages_written, restored.pages_zero), (3, 1));
    assert_eq!((other.memory, other.state), (memory, 42));

    let error = restore_disk(&mut reader, "hda", |_, _| Ok::<(), Infallible>(())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the checkpoint holds no disk \"hda\"; its disks: xvda, xvdb"
    );
}

#[test]
fn an_increment_reads_what_changed_and_keeps_the_rest() {
    let mut world = World::new();
    let first = world.capture(false).unwrap().checkpoint;
    world.write(0, 0, 200);
    world.write(0, 2999, 201);
    world.write(0, 1500, 0);
    let before = world.disk(0).blocks.clone();
    // Not listed as changed: had it been read, the checkpoint would have it.
    let unseen = world.disk(1).blocks.clone();
    world.disk(1).blocks[3] = 99;
    let kept_from_first = world.stored(first.id, "xvdb");
    let second = world.capture(true).unwrap();

    assert_eq!(second.checkpoint.base, Some(first.id));
    assert_eq!(world.disk(0).read, [0..1, 1500..1501, 2999..3000]);
    assert_eq!(second.disks[0].blocks_read, 3);
    assert!(second.disks.iter().all(|disk| disk.all_because.is_none()));
    assert_eq!(world.stored(second.checkpoint.id, "xvda"), before);
    assert_eq!(world.stored(second.checkpoint.id, "xvdb"), kept_from_first);
    assert_eq!(unseen[3], kept_from_first[3]);
}

#[test]
fn all_blocks_are_read_when_the_base_is_not_what_changes_count_from() {
    let mut world = World::new();
    world.capture(false).unwrap();
    // A commit that the disk was never told of, because the process died.
    let base = world.disk(0).base;
    world.capture(false).unwrap();
    world.disk(0).base = base;
    world.disk(0).blocks[8] = 77;
    let before = world.disk(0).blocks.clone();
    let third = world.capture(true).unwrap();
    assert_eq!(third.disks[0].blocks_read, 3000);
    let why = third.disks[0].all_because.as_deref();
    assert_eq!(why, Some("counts from another checkpoint"));
    assert_eq!(world.stored(third.checkpoint.id, "xvda"), before);

    // The first disk is gone: the second one's blocks are not to be taken from its place.
    world.guest.disks.remove(0);
    let before = world.disk(0).blocks.clone();
    let fourth = world.capture(true).unwrap();
    assert_eq!(fourth.disks[0].blocks_read, 5);
    assert_eq!(world.stored(fourth.checkpoint.id, "xvdb"), before);
    assert_eq!(fourth.checkpoint.disks().len(), 1);
    let error = restore_disk(
        &mut world.store.read(fourth.checkpoint.id).unwrap(),
        "xvda",
        |_, _| Ok::<(), Infallible>(()),
    );
    assert!(matches!(error, Err(DiskRestoreError::NoSuchDisk { .. })));
}

#[test]
fn a_failure_in_the_middle_abandons_every_disk_and_leaves_no_checkpoint() {
    let mut world = World::new();
    let first = world.capture(false).unwrap().checkpoint;
    world.disk(1).base = None;
    world.disk(1).fail_at = Some(2);
    let error = world.capture(true).unwrap_err();
    assert_eq!(error.to_string(), "cannot read a frozen disk");
    assert_eq!((world.disk(0).abandoned, world.disk(1).abandoned), (1, 1));
    assert_eq!(world.disk(0).base, Some(first.id));
    assert_eq!(world.store.list().unwrap().checkpoints.len(), 1);

    // Failing before the disks' turn comes abandons them as well.
    world.disk(1).fail_at = None;
    world.guest.state_fails = true;
    world.capture(true).unwrap_err();
    assert_eq!((world.disk(0).abandoned, world.disk(1).abandoned), (2, 2));
    world.guest.state_fails = false;
    let before = world.disk(1).blocks.clone();
    let again = world.capture(true).unwrap();
    assert_eq!(world.stored(again.checkpoint.id, "xvdb"), before);
}

#[test]
fn memory_and_disks_that_do_not_fit_are_refused() {
    let mut world = World::new();
    world.disk(1).name = "a b";
    let error = world.capture(false).unwrap_err();
    assert!(matches!(error, CaptureError::Disk { name } if name == "a b"));
    world.disk(1).name = "ab";
    world.guest.memory.insert(Space::Memory.frames().end - 1, 1);
    let error = world.capture(false).unwrap_err();
    assert!(matches!(error, CaptureError::Store(_)), "{error}");
    // The second attempt was refused before anything was frozen.
    assert_eq!(world.disk(0).abandoned, 1);
}

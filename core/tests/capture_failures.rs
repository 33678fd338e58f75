//! What a capture does when the guest fails it: nothing half-true is committed, and nobody is told that a suspended guest
//! runs.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::rc::Rc;

use proptest::prelude::*;
use revenant_core::capture::{CaptureError, CaptureRequest, Increment, Session, capture};
use revenant_core::guest::{
    Capabilities, MachineKind, MemoryLayout, PageBatch, PageTag, PfnSet, StateRecord,
};
use revenant_core::medium::DirectoryMedium;
use revenant_core::store::StoreOptions;
use revenant_core::{Clock, Hypervisor, HypervisorError, PAGE_SIZE, Pfn, Store, Timestamp};

/// A clock that stands still.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }
}

/// How the guest misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    None,
    /// `resume` fails.
    NotResumed,
    /// `resume` and `save_state` fail.
    NeitherResumedNorSaved,
    /// One page less than asked for.
    Short,
    /// Two pages swapped.
    Swapped,
    /// The layout was not what it was said to be.
    LayoutMoved,
}

/// A guest of pages filled with one byte each. While it runs it does the next thing of its script before each call.
#[derive(Debug)]
struct Guest {
    pages: BTreeMap<u64, u8>,
    dirty: Option<PfnSet>,
    suspended: bool,
    can_log: bool,
    /// What it was when it was suspended last.
    at_suspend: BTreeMap<u64, u8>,
    /// Frame, and its new content or that it is given back.
    script: Vec<(u64, Option<u8>)>,
    lie: Lie,
}

impl Guest {
    fn new(pages: u64) -> Self {
        Guest {
            pages: (0..pages).map(|pfn| (pfn, 1)).collect(),
            dirty: None,
            suspended: false,
            can_log: true,
            at_suspend: BTreeMap::new(),
            script: Vec::new(),
            lie: Lie::None,
        }
    }

    fn live(&mut self) {
        if self.suspended {
            return;
        }
        if let Some((pfn, content)) = self.script.pop() {
            match content {
                Some(fill) => drop(self.pages.insert(pfn, fill)),
                None => drop(self.pages.remove(&pfn)),
            }
            if let Some(dirty) = &mut self.dirty {
                dirty.insert(Pfn(pfn));
            }
        }
    }

    fn failure(operation: &'static str) -> HypervisorError {
        HypervisorError::Backend {
            operation,
            source: "as told".into(),
        }
    }
}

impl Hypervisor for Guest {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            backend: "script",
            machine: MachineKind::new("script"),
            dirty_log: self.can_log,
            live_read: self.can_log,
            rewrites: false,
        }
    }

    fn layout(&mut self) -> Result<MemoryLayout, HypervisorError> {
        self.live();
        Ok(self.pages.keys().map(|&pfn| pfn..pfn + 1).collect())
    }

    fn layout_held(&mut self) -> Result<bool, HypervisorError> {
        Ok(self.lie != Lie::LayoutMoved)
    }

    fn suspend(&mut self) -> Result<(), HypervisorError> {
        self.live();
        self.suspended = true;
        self.at_suspend = self.pages.clone();
        Ok(())
    }

    fn resume(&mut self) -> Result<(), HypervisorError> {
        if matches!(self.lie, Lie::NotResumed | Lie::NeitherResumedNorSaved) {
            return Err(Guest::failure("resume"));
        }
        self.suspended = false;
        self.live();
        Ok(())
    }

    fn set_dirty_log(&mut self, on: bool) -> Result<(), HypervisorError> {
        assert!(self.can_log, "capabilities say so");
        self.dirty = on.then(|| self.dirty.take().unwrap_or_default());
        Ok(())
    }

    fn take_dirty(&mut self, into: &mut PfnSet) -> Result<(), HypervisorError> {
        self.live();
        let dirty = self
            .dirty
            .as_mut()
            .ok_or(Guest::failure("read a log that is off"))?;
        into.union_with(dirty);
        dirty.clear();
        Ok(())
    }

    fn read_pages(&mut self, pfns: &[Pfn], into: &mut PageBatch) -> Result<(), HypervisorError> {
        self.live();
        let mut asked = pfns.to_vec();
        match self.lie {
            Lie::Short => drop(asked.pop()),
            Lie::Swapped if asked.len() > 1 => asked.swap(0, 1),
            _ => {}
        }
        for pfn in asked {
            let fill = *self.pages.get(&pfn.0).ok_or(HypervisorError::NoSuchFrame(pfn))?;
            into.push(pfn, PageTag(0), &[fill; PAGE_SIZE]);
        }
        Ok(())
    }

    fn populate(&mut self, _: &MemoryLayout) -> Result<(), HypervisorError> {
        unreachable!("nothing is restored here")
    }

    fn write_pages(&mut self, _: &PageBatch) -> Result<(), HypervisorError> {
        unreachable!("nothing is restored here")
    }

    fn save_state(&mut self) -> Result<Vec<StateRecord>, HypervisorError> {
        if self.lie == Lie::NeitherResumedNorSaved {
            return Err(Guest::failure("save"));
        }
        Ok(vec![StateRecord::new("state", [1])])
    }

    fn load_state(&mut self, _: &[StateRecord]) -> Result<(), HypervisorError> {
        unreachable!("nothing is restored here")
    }
}

fn store(dir: &tempfile::TempDir) -> Store {
    let medium = DirectoryMedium::create(dir.path()).unwrap();
    Store::create(&medium).unwrap();
    Store::open(Rc::new(medium), Rc::new(Still), StoreOptions::default()).unwrap()
}

fn request() -> CaptureRequest {
    CaptureRequest {
        incremental: true,
        ..CaptureRequest::new("guest")
    }
}

#[test]
fn a_guest_that_does_not_run_is_never_said_to_run() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let mut guest = Guest::new(4);
    guest.lie = Lie::NotResumed;
    let seen = capture(&mut guest, &store, &Still, &mut Session::once(), &request());
    let Err(CaptureError::NotResumed {
        checkpoint: Some(id),
        also: None,
        ..
    }) = seen
    else {
        panic!("{seen:?}");
    };
    assert!(store.contains(id).unwrap());

    guest.suspended = false;
    guest.lie = Lie::NeitherResumedNorSaved;
    let seen = capture(&mut guest, &store, &Still, &mut Session::once(), &request());
    let Err(error @ CaptureError::NotResumed { checkpoint: None, .. }) = seen else {
        panic!("{seen:?}");
    };
    assert!(
        error
            .to_string()
            .contains("cannot save the machine state: save failed: as told"),
        "{error}"
    );
}

#[test]
fn answers_that_were_not_asked_for_are_refused() {
    for lie in [Lie::Short, Lie::Swapped, Lie::LayoutMoved] {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        let mut guest = Guest::new(4);
        guest.lie = lie;
        let seen = capture(&mut guest, &store, &Still, &mut Session::once(), &request());
        match lie {
            Lie::LayoutMoved => assert!(matches!(seen, Err(CaptureError::LayoutChanged)), "{seen:?}"),
            _ => assert!(matches!(seen, Err(CaptureError::WrongFrames { .. })), "{seen:?}"),
        }
        assert!(!guest.suspended, "the guest does not run");
        assert!(
            store.list().unwrap().checkpoints.is_empty(),
            "something was committed"
        );
    }
}

#[test]
fn a_log_of_another_backend_is_not_built_upon() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let mut guest = Guest::new(4);
    let mut session = Session::continuous();
    let mut increments = Vec::new();
    for can_log in [true, true, false, true, true] {
        guest.can_log = can_log;
        if !can_log {
            guest.dirty = None;
        }
        guest.script.push((0, Some(7)));
        let captured = capture(&mut guest, &store, &Still, &mut session, &request()).unwrap();
        increments.push(captured.timeline.increment);
    }
    let expected = [
        Increment::Full,
        Increment::ByDirtyLog,
        Increment::ByContent,
        Increment::ByContent,
        Increment::ByDirtyLog,
    ];
    assert_eq!(increments, expected);
}

fn script() -> impl Strategy<Value = Vec<(u64, Option<u8>)>> {
    prop::collection::vec((0..40u64, prop::option::weighted(0.7, 1..9u8)), 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    /// Frames come, go and change at any call: each checkpoint is the guest of the instant at which it was suspended.
    #[test]
    fn a_checkpoint_is_the_suspended_guest(scripts in prop::collection::vec(script(), 1..5), log in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        let mut guest = Guest::new(24);
        guest.can_log = log;
        let mut session = Session::continuous();
        for script in scripts {
            guest.script = script;
            // A guest that is emptied by its script has no checkpoint.
            guest.script.insert(0, (99, Some(3)));
            let captured = match capture(&mut guest, &store, &Still, &mut session, &request()) {
                Ok(captured) => captured,
                Err(CaptureError::RestlessLayout { .. }) => continue,
                Err(error) => return Err(TestCaseError::fail(format!("{error:?}"))),
            };
            let mut reader = store.read(captured.checkpoint.id).unwrap();
            let layout = reader.layout();
            let frames: Vec<u64> = layout.iter().map(|pfn| pfn.0).collect();
            prop_assert_eq!(&frames, &guest.at_suspend.keys().copied().collect::<Vec<_>>());
            let pfns: Vec<Pfn> = layout.iter().collect();
            let mut batch = PageBatch::new();
            reader.read_pages(&pfns, &mut batch).unwrap();
            for (pfn, _, page) in batch.iter() {
                prop_assert!(page.iter().all(|&byte| byte == guest.at_suspend[&pfn.0]), "frame {}", pfn);
            }
        }
    }
}

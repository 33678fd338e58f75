//! Bytes of a simulated file, and what a crash makes of those that were not synced.

use std::cell::RefCell;
use std::rc::Rc;

use revenant_core::medium::LockMode;

use super::image::Bytes;

/// A file's content, shared by its names and handles.
#[derive(Debug, Clone, Default)]
pub(super) struct File(Rc<RefCell<Content>>);

#[derive(Debug, Default)]
struct Content {
    /// Shared with images: copied only if it grows after one was taken.
    bytes: Rc<Vec<u8>>,
    /// So many of them are durable.
    synced: usize,
    locks: Locks,
}

/// Who holds locks on it.
#[derive(Debug, Default)]
struct Locks {
    shared: u32,
    exclusive: bool,
}

/// What becomes of bytes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail {
    /// This share of them, in parts of [`WHOLE`], comes out as it was written.
    kept: u64,
    /// The rest is filled with this, or missing.
    fill: Option<u8>,
}

/// All parts of a share.
const WHOLE: u64 = 1 << 32;

/// A byte that no test writes by accident.
const GARBAGE: u8 = 0xa5;

impl Tail {
    /// A fate picked by two random numbers.
    pub(super) fn drawn(kind: u64, share: u64) -> Self {
        let (kept, fill) = match kind % 6 {
            0 => (0, None),
            1 => (share % WHOLE, None),
            2 => (WHOLE, None),
            3 => (0, Some(GARBAGE)),
            4 => (share % WHOLE, Some(0)),
            _ => (share % WHOLE, Some(GARBAGE)),
        };
        Tail { kept, fill }
    }

    /// How many of so many bytes are kept.
    fn kept_of(self, unsynced: usize) -> usize {
        let kept = unsynced as u128 * u128::from(self.kept) / u128::from(WHOLE);
        usize::try_from(kept).map_or(unsynced, |kept| kept.min(unsynced))
    }
}

impl File {
    /// A file all of whose bytes are durable.
    pub(super) fn durable(Bytes(bytes): Bytes) -> Self {
        let synced = bytes.len();
        let locks = Locks::default();
        File(Rc::new(RefCell::new(Content { bytes, synced, locks })))
    }

    pub(super) fn len_bytes(&self) -> u64 {
        self.0.borrow().bytes.len() as u64
    }

    pub(super) fn append(&self, bytes: &[u8]) {
        Rc::make_mut(&mut self.0.borrow_mut().bytes).extend_from_slice(bytes);
    }

    pub(super) fn sync(&self) {
        let mut content = self.0.borrow_mut();
        content.synced = content.bytes.len();
    }

    /// Changes what is durable, behind everybody's back.
    pub(super) fn rot(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut content = self.0.borrow_mut();
        change(Rc::make_mut(&mut content.bytes));
        content.synced = content.synced.min(content.bytes.len());
    }

    /// Fills `buf` from `offset` if the file is that long.
    pub(super) fn read_at(&self, offset: u64, buf: &mut [u8]) -> Option<()> {
        let content = self.0.borrow();
        let start = usize::try_from(offset).ok()?;
        buf.copy_from_slice(content.bytes.get(start..start.checked_add(buf.len())?)?);
        Some(())
    }

    /// What the running machine reads.
    pub(super) fn live(&self) -> Bytes {
        Bytes(Rc::clone(&self.0.borrow().bytes))
    }

    /// Takes a lock on it, if nobody is in the way.
    pub(super) fn lock(&self, mode: LockMode) -> bool {
        let Locks { shared, exclusive } = &mut self.0.borrow_mut().locks;
        match mode {
            LockMode::Shared if !*exclusive => *shared += 1,
            LockMode::Exclusive if !*exclusive && *shared == 0 => *exclusive = true,
            LockMode::Shared | LockMode::Exclusive => return false,
        }
        true
    }

    pub(super) fn unlock(&self, mode: LockMode) {
        let Locks { shared, exclusive } = &mut self.0.borrow_mut().locks;
        match mode {
            LockMode::Shared => *shared -= 1,
            LockMode::Exclusive => *exclusive = false,
        }
    }

    /// The same for all handles of one file, different for others.
    pub(super) fn identity(&self) -> *const () {
        Rc::as_ptr(&self.0).cast()
    }

    /// Its bytes after a crash in which `tail` happens to those not synced.
    pub(super) fn after_crash(&self, tail: Tail) -> Bytes {
        let content = self.0.borrow();
        let kept = content.synced + tail.kept_of(content.bytes.len() - content.synced);
        if kept == content.bytes.len() {
            return Bytes(Rc::clone(&content.bytes));
        }
        let mut bytes = content.bytes[..kept].to_vec();
        if let Some(fill) = tail.fill {
            bytes.resize(content.bytes.len(), fill);
        }
        bytes.into()
    }

    /// The outcomes that an enumeration looks at, each once: unsynced bytes missing, cut in half, whole or garbage.
    pub(super) fn crash_variants(&self) -> Vec<Bytes> {
        let mut variants: Vec<Bytes> = Vec::new();
        let fates = [(WHOLE, None), (0, None), (WHOLE / 2, None), (0, Some(GARBAGE))];
        for (kept, fill) in fates {
            let bytes = self.after_crash(Tail { kept, fill });
            if !variants.contains(&bytes) {
                variants.push(bytes);
            }
        }
        variants
    }
}

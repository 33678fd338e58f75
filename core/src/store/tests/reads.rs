//! A read that fails is a finding on the file, whatever is done and however it fails: nobody who does without the file is
//! stopped, and what comes back later finds all that it needs.

use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::memory::MemoryMedium;
use super::support::*;
use crate::medium::{
    DirEntry, LockAttempt, LockMode, Medium, MediumError, MediumErrorKind, MediumReader, MediumWriter,
};
use crate::store::{
    CheckpointId, CollectOptions, CopyError, FindingKind, Retention, Scope, Store, StoreError,
};

/// Which call on the file fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Open,
    Read,
}

/// A medium on which one file does not read.
#[derive(Debug)]
struct BadFile {
    inner: Rc<MemoryMedium>,
    path: String,
    at: At,
    kind: MediumErrorKind,
}

fn error(operation: &'static str, path: &str, kind: MediumErrorKind) -> MediumError {
    MediumError {
        operation,
        path: path.to_owned(),
        kind,
        source: io::Error::other("as the test wants it"),
    }
}

#[derive(Debug)]
struct BadReader {
    len_bytes: u64,
    path: String,
    kind: MediumErrorKind,
}

impl MediumReader for BadReader {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read_at(&self, _: u64, _: &mut [u8]) -> Result<(), MediumError> {
        Err(error("read", &self.path, self.kind))
    }
}

impl Medium for BadFile {
    fn create_new(&self, path: &str) -> Result<Box<dyn MediumWriter>, MediumError> {
        self.inner.create_new(path)
    }

    fn open(&self, path: &str) -> Result<Box<dyn MediumReader>, MediumError> {
        let reader = self.inner.open(path)?;
        match self.at {
            _ if path != self.path => Ok(reader),
            At::Open => Err(error("open", path, self.kind)),
            At::Read => Ok(Box::new(BadReader {
                len_bytes: reader.len_bytes(),
                path: path.to_owned(),
                kind: self.kind,
            })),
        }
    }

    fn list(&self, dir: &str) -> Result<Vec<DirEntry>, MediumError> {
        self.inner.list(dir)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), MediumError> {
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &str) -> Result<(), MediumError> {
        self.inner.remove(path)
    }

    fn create_dir(&self, dir: &str) -> Result<(), MediumError> {
        self.inner.create_dir(dir)
    }

    fn sync_dir(&self, dir: &str) -> Result<(), MediumError> {
        self.inner.sync_dir(dir)
    }

    fn try_lock(&self, path: &str, mode: LockMode, wait: Duration) -> Result<LockAttempt, MediumError> {
        self.inner.try_lock(path, mode, wait)
    }

    fn free_bytes(&self) -> Result<Option<u64>, MediumError> {
        self.inner.free_bytes()
    }
}

/// Every kind there is: one that is added does not compile here until it is.
fn kinds() -> Vec<MediumErrorKind> {
    use MediumErrorKind as K;
    let next = |kind: K| match kind {
        K::NotFound => Some(K::AlreadyExists),
        K::AlreadyExists => Some(K::Full),
        K::Full => Some(K::Denied),
        K::Denied => Some(K::UnexpectedEnd),
        K::UnexpectedEnd => Some(K::NotAFile),
        K::NotAFile => Some(K::Unsupported),
        K::Unsupported => Some(K::Exhausted),
        K::Exhausted => Some(K::Halted),
        K::Halted => Some(K::Other),
        K::Other => None,
    };
    std::iter::successors(Some(K::NotFound), |kind| next(*kind)).collect()
}

type Image = BTreeMap<String, Vec<u8>>;
type Held = Vec<(CheckpointId, &'static str, Memory)>;

/// Two guests that share nothing, two checkpoints of each, and three segments of each: the second is an increment.
fn two_guests() -> (Image, Held) {
    let medium = MemoryMedium::new();
    let store = store_on(medium.clone(), options(0));
    let mut held: Held = Vec::new();
    for (guest, first) in [("a", 0), ("b", 1000)] {
        let (mut base, mut memory) = (None, Memory::new());
        for step in [first, first + 100] {
            let pages: Vec<_> = (1..30)
                .map(|i| (u64::from(i + step % 200), 0, i + step))
                .collect();
            let mut staging = store.begin(new(guest, base)).unwrap();
            put(&mut staging, &pages).unwrap();
            memory.extend(pages.iter().map(|&(pfn, tag, content)| (pfn, (tag, content))));
            let id = staging.commit().unwrap().id;
            base = Some(id);
            held.push((id, guest, memory.clone()));
        }
    }
    (medium.image(), held)
}

struct Case<'a> {
    image: &'a Image,
    held: &'a Held,
    path: &'a str,
    at: At,
    kind: MediumErrorKind,
}

impl Case<'_> {
    fn open(&self) -> (Rc<MemoryMedium>, Result<Store, StoreError>) {
        let inner = MemoryMedium::holding(self.image);
        let medium = BadFile {
            inner: Rc::clone(&inner),
            path: self.path.to_owned(),
            at: self.at,
            kind: self.kind,
        };
        let store = Store::open(Rc::new(medium), Rc::new(Ticking::default()), options(0));
        (inner, store)
    }

    /// Nothing is wrong with the file: process or host are at their end.
    fn says_nothing(&self) -> bool {
        matches!(self.kind, MediumErrorKind::Exhausted | MediumErrorKind::Halted)
    }

    fn is_missing(&self) -> bool {
        self.kind == MediumErrorKind::NotFound && self.at == At::Open
    }

    /// Can this checkpoint do without the file?
    fn spares(&self, id: CheckpointId) -> bool {
        let mut without = self.image.clone();
        without.remove(self.path);
        let store = Store::open(
            MemoryMedium::holding(&without),
            Rc::new(Ticking::default()),
            options(0),
        );
        let whole = store
            .unwrap()
            .read(id)
            .and_then(|mut reader| read_back(&mut reader));
        whole.is_ok()
    }

    fn is_manifest_of(&self, id: CheckpointId) -> bool {
        self.path.ends_with(&id.to_hex())
    }

    /// This checkpoint is not there any more, as far as can be seen.
    fn hides(&self, id: CheckpointId) -> bool {
        self.is_manifest_of(id) && self.is_missing()
    }

    fn ids(&self) -> impl Iterator<Item = CheckpointId> {
        self.held.iter().map(|held| held.0)
    }

    fn all_whole(&self, image: &Image, ids: &[CheckpointId]) {
        let medium = MemoryMedium::holding(image);
        let store = Store::open(medium, Rc::new(Ticking::default()), options(0)).unwrap();
        for (id, _, memory) in self.held.iter().filter(|held| ids.contains(&held.0)) {
            let found = store.read(*id).and_then(|mut reader| read_back(&mut reader));
            let found = found.unwrap_or_else(|error| panic!("{id}: {error}"));
            assert!(
                found.len() == memory.len()
                    && found
                        .iter()
                        .all(|(pfn, (tag, bytes))| (*tag, *bytes) == (memory[pfn].0, page(memory[pfn].1))),
                "{id} differs"
            );
        }
    }
}

fn list(case: &Case<'_>, store: &Store) -> Result<(), StoreError> {
    let listing = store.list()?;
    let listed: Vec<_> = listing.checkpoints.iter().map(|info| info.id).collect();
    let others: Vec<_> = case.ids().filter(|id| !case.is_manifest_of(*id)).collect();
    assert_eq!(listed, others);
    let named: Vec<_> = listing.damaged.iter().map(|finding| &*finding.path).collect();
    let is_named = others.len() < case.held.len() && !case.is_missing();
    assert_eq!(named, if is_named { vec![case.path] } else { vec![] });
    Ok(())
}

fn not_whole(case: &Case<'_>, store: &Store) -> Result<(), StoreError> {
    let lacking = store.not_whole(case.ids())?;
    for id in case.ids() {
        let is_whole = case.spares(id) || case.hides(id);
        assert_eq!(lacking.contains_key(&id), !is_whole, "{id}");
    }
    assert!(
        lacking.values().all(|finding| finding.path == case.path),
        "{lacking:?}"
    );
    Ok(())
}

fn newest(case: &Case<'_>, store: &Store) -> Result<(), StoreError> {
    for (id, guest, _) in [&case.held[1], &case.held[3]] {
        if !case.is_manifest_of(*id) {
            assert_eq!(store.newest(guest)?, Some(*id));
            assert_eq!(store.resolve(guest)?, *id);
        }
    }
    Ok(())
}

fn verify(case: &Case<'_>, store: &Store) -> Result<(), StoreError> {
    let findings = store.verify(None)?.findings;
    let named: Vec<_> = findings.iter().map(|finding| &*finding.path).collect();
    let is_gone = case.is_missing() && case.path.starts_with("checkpoints/");
    // Nobody reads it: it says something by being there.
    let is_mark = case.path == "catalogue-begun";
    assert_eq!(
        named,
        if is_gone || is_mark {
            vec![]
        } else {
            vec![case.path]
        }
    );
    let kind = match case.kind {
        MediumErrorKind::Denied => FindingKind::Denied,
        MediumErrorKind::NotFound | MediumErrorKind::UnexpectedEnd => FindingKind::Damaged,
        MediumErrorKind::NotAFile => FindingKind::NotAFile,
        _ => FindingKind::Unreadable,
    };
    assert!(
        findings.iter().all(|finding| finding.kind == kind),
        "{findings:?}"
    );
    Ok(())
}

fn read(case: &Case<'_>, store: &Store) -> Result<(), StoreError> {
    for (id, _, memory) in case.held.iter().filter(|held| case.spares(held.0)) {
        assert_eq!(read_back(&mut store.read(*id)?)?.len(), memory.len());
    }
    Ok(())
}

fn copy(case: &Case<'_>, store: &Store) -> Result<(), StoreError> {
    for (id, _, memory) in case.held.iter().filter(|held| case.spares(held.0)) {
        let target = store_on(MemoryMedium::new(), options(0));
        match target.copy_from(store, *id) {
            Ok(copy) => assert_holds(&target, copy.id, memory),
            Err(CopyError::Source(error) | CopyError::Target(error)) => return Err(error),
        }
    }
    Ok(())
}

/// Of pages of the bad file, among others: what does not read is not shared.
fn commit(_: &Case<'_>, store: &Store) -> Result<(), StoreError> {
    let mut staging = store.begin(new("c", None))?;
    let pages = [(0, 0, 1), (1, 0, 101), (2, 0, 1001), (3, 0, 1101), (4, 0, 5000)];
    put(&mut staging, &pages)?;
    let id = staging.commit()?.id;
    let memory = pages.map(|(pfn, tag, content)| (pfn, (tag, content)));
    assert_holds(store, id, &memory.into());
    Ok(())
}

fn increment(case: &Case<'_>, store: &Store) -> Result<(), StoreError> {
    let (base, _, memory) = &case.held[3];
    let mut staging = match store.begin(new("b", Some(*base))) {
        // Whoever captures the guest takes a full one.
        Err(StoreError::Damaged(_) | StoreError::NoSuchCheckpoint(_)) if !case.spares(*base) => {
            return Ok(());
        }
        begun => begun?,
    };
    put(&mut staging, &[(0, 0, 6000)])?;
    let mut memory = memory.clone();
    memory.insert(0, (0, 6000));
    assert_holds(store, staging.commit()?.id, &memory);
    Ok(())
}

fn prune(case: &Case<'_>, store: &Store, medium: &MemoryMedium) -> Result<(), StoreError> {
    for scope in [Scope::Guest("b".to_owned()), Scope::All] {
        let retention = Retention {
            keep_last: Some(1),
            ..Retention::new(scope)
        };
        let pruned = store.prune(&retention, CollectOptions::default())?;
        let kept: Vec<_> = pruned.kept.iter().map(|info| info.id).collect();
        for guest in ["a", "b"] {
            let of_guest = || case.held.iter().filter(|held| held.1 == guest);
            let whole = of_guest().rev().find(|held| case.spares(held.0));
            let last = whole.or(of_guest().next_back()).unwrap().0;
            assert!(
                kept.contains(&last) || case.is_manifest_of(last),
                "{guest} loses its last"
            );
        }
        // What did not read comes back, and lacks nothing.
        let unread = case
            .ids()
            .filter(|id| case.is_manifest_of(*id) && !case.is_missing());
        let mut back: Vec<_> = kept.into_iter().chain(unread).collect();
        back.retain(|id| is_there(medium, *id));
        case.all_whole(&medium.image(), &back);
    }
    Ok(())
}

fn drop_damaged(case: &Case<'_>, store: &Store, medium: &MemoryMedium) -> Result<(), StoreError> {
    let options = CollectOptions {
        drop_damaged: true,
        ..CollectOptions::default()
    };
    let retention = Retention {
        keep_last: Some(9),
        ..Retention::new(Scope::All)
    };
    let pruned = store.prune(&retention, options)?;
    for id in case.ids().filter(|id| !case.hides(*id)) {
        let stays = match case.kind {
            MediumErrorKind::Denied => true,
            MediumErrorKind::NotAFile if case.is_manifest_of(id) => true,
            _ => case.spares(id),
        };
        assert_eq!(is_there(medium, id), stays, "{id}");
    }
    let kept: Vec<_> = pruned.kept.iter().map(|info| info.id).collect();
    case.all_whole(&medium.image(), &kept);
    Ok(())
}

fn collect(case: &Case<'_>, store: &Store, medium: &MemoryMedium) -> Result<(), StoreError> {
    store.collect(CollectOptions {
        max_unused_percent: 0,
        ..CollectOptions::default()
    })?;
    if !case.is_missing() {
        case.all_whole(&medium.image(), &case.ids().collect::<Vec<_>>());
    }
    Ok(())
}

fn is_there(medium: &MemoryMedium, id: CheckpointId) -> bool {
    medium
        .image()
        .contains_key(&format!("checkpoints/{}", id.to_hex()))
}

type Operation = fn(&Case<'_>, &Store, &MemoryMedium) -> Result<(), StoreError>;

const OPERATIONS: [(&str, Operation); 11] = [
    ("list", |case, store, _| list(case, store)),
    ("not whole", |case, store, _| not_whole(case, store)),
    ("newest", |case, store, _| newest(case, store)),
    ("verify", |case, store, _| verify(case, store)),
    ("read", |case, store, _| read(case, store)),
    ("copy", |case, store, _| copy(case, store)),
    ("commit", |case, store, _| commit(case, store)),
    ("increment", |case, store, _| increment(case, store)),
    ("prune", prune),
    ("drop damaged", drop_damaged),
    ("collect", collect),
];

#[test]
fn a_read_that_fails_is_a_finding_on_its_file_in_every_operation() {
    let (image, held) = two_guests();
    let all = image
        .keys()
        .flat_map(|path| kinds().into_iter().map(move |kind| (path, kind)))
        .flat_map(|(path, kind)| [At::Open, At::Read].map(|at| (path, kind, at)));
    for (path, kind, at) in all {
        let (image, held) = (&image, &held);
        let case = Case {
            image,
            held,
            path,
            at,
            kind,
        };
        for (name, operation) in OPERATIONS {
            println!("{name}: {path} {kind:?} {at:?}");
            let (medium, store) = case.open();
            let done = store.and_then(|store| operation(&case, &store, &medium));
            let is_right = match &done {
                Ok(()) => true,
                Err(StoreError::Medium(error)) => case.says_nothing() && error.kind == kind,
                // To write into what may be no store, or another's, is refused.
                Err(StoreError::Damaged(finding)) => {
                    finding.path == "revenant-store" && path == "revenant-store"
                }
                Err(StoreError::NotAStore { .. }) => path == "revenant-store",
                Err(_) => false,
            };
            assert!(is_right, "{done:?}");
        }
    }
}

/// What the log says outlives a read of it that fails: others may read it, or a later one. Meanwhile nothing goes.
#[test]
fn a_log_that_does_not_read_now_is_not_begun_anew() {
    let (image, held) = two_guests();
    let (path, log) = image
        .iter()
        .find(|(path, _)| path.starts_with("catalogue/"))
        .unwrap();
    for (kind, at) in [MediumErrorKind::Denied, MediumErrorKind::Other]
        .into_iter()
        .flat_map(|kind| [At::Open, At::Read].map(|at| (kind, at)))
    {
        let (image, held) = (&image, &held);
        let case = Case {
            image,
            held,
            path,
            at,
            kind,
        };
        let (medium, store) = case.open();
        let store = store.unwrap();
        let retention = Retention {
            keep_last: Some(1),
            ..Retention::new(Scope::All)
        };
        commit(&case, &store).unwrap();
        let pruned = store.prune(&retention, CollectOptions::default()).unwrap();
        assert_eq!((pruned.dropped.len(), pruned.collected.undone.len()), (0, 1));
        assert_eq!(&medium.image()[path], log);
        case.all_whole(&medium.image(), &case.ids().collect::<Vec<_>>());

        let begun_anew = kind == MediumErrorKind::Other;
        assert_eq!(store.repair(None).unwrap().log, begun_anew);
        assert_eq!(medium.image().get(path) == Some(log), !begun_anew);
    }
}

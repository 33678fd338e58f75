//! The simulated disk is a medium, and what a crash can make of it is what the contract allows and no more.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use proptest::prelude::*;
use revenant_core::Medium;
use revenant_core::medium::{LockMode, MediumError, MediumErrorKind, MediumWriter};
use revenant_sim::SimMedium;
use revenant_sim::medium::{Image, Moment};

const PATHS: [&str; 6] = ["x", "y", "a/x", "a/y", "b/x", "b/y"];
const DIRS: [&str; 3] = ["", "a", "b"];

/// A changing operation; numbers choose among paths, directories, and files made so far.
#[derive(Debug, Clone)]
enum Op {
    Create(usize),
    Append(usize, u8),
    Sync(usize),
    Rename(usize, usize),
    Remove(usize),
    MakeDir(usize),
    SyncDir(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0..PATHS.len()).prop_map(Op::Create),
        4 => (any::<usize>(), 1..20u8).prop_map(|(file, len)| Op::Append(file, len)),
        3 => any::<usize>().prop_map(Op::Sync),
        5 => (0..PATHS.len(), 0..PATHS.len()).prop_map(|(from, to)| Op::Rename(from, to)),
        1 => (0..PATHS.len()).prop_map(Op::Remove),
        1 => (1..DIRS.len()).prop_map(Op::MakeDir),
        3 => (0..DIRS.len()).prop_map(Op::SyncDir),
    ]
}

/// Begins with directories that are durable, or half of the time with none at all.
fn ops() -> impl Strategy<Value = Vec<Op>> {
    let rest = prop::collection::vec(op(), 1..24);
    (any::<bool>(), rest).prop_map(|(made, rest)| {
        let start = [Op::MakeDir(1), Op::MakeDir(2), Op::SyncDir(0)];
        start.into_iter().filter(|_| made).chain(rest).collect()
    })
}

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    synced: usize,
    /// A synced directory held a name of it, and nothing but renames happened to it since.
    anchored: bool,
}

type ModelFile = Rc<RefCell<Content>>;
type Names = BTreeMap<String, ModelFile>;

/// What the contract says, told without a word about how a disk keeps it: names now, and for each directory every state it
/// has been in since it was last synced.
#[derive(Debug, Default)]
struct Model {
    names: Names,
    dirs: BTreeSet<String>,
    durable_dirs: BTreeSet<String>,
    history: BTreeMap<String, Vec<Names>>,
}

fn dir_of(path: &str) -> &str {
    path.split_once('/').map_or("", |(dir, _)| dir)
}

impl Model {
    fn in_dir(&self, dir: &str) -> Names {
        let names = self.names.iter().filter(|(path, _)| dir_of(path) == dir);
        names
            .map(|(path, file)| (path.clone(), Rc::clone(file)))
            .collect()
    }

    fn states(&self, dir: &str) -> Vec<Names> {
        self.history
            .get(dir)
            .cloned()
            .unwrap_or_else(|| vec![Names::new()])
    }

    fn note(&mut self, dir: &str) {
        let mut states = self.states(dir);
        states.push(self.in_dir(dir));
        self.history.insert(dir.to_owned(), states);
    }

    fn has_dir(&self, path: &str) -> bool {
        dir_of(path).is_empty() || self.dirs.contains(dir_of(path))
    }

    fn create(&mut self, path: &str) -> Result<ModelFile, MediumErrorKind> {
        if !self.has_dir(path) {
            return Err(MediumErrorKind::NotFound);
        }
        if self.names.contains_key(path) {
            return Err(MediumErrorKind::AlreadyExists);
        }
        let file = ModelFile::default();
        self.names.insert(path.to_owned(), Rc::clone(&file));
        self.note(dir_of(path));
        Ok(file)
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), MediumErrorKind> {
        let file = self.names.get(from).filter(|_| self.has_dir(to));
        let file = Rc::clone(file.ok_or(MediumErrorKind::NotFound)?);
        if from == to {
            return Ok(());
        }
        if let Some(replaced) = self.names.insert(to.to_owned(), file) {
            replaced.borrow_mut().anchored = false;
        }
        self.note(dir_of(to));
        self.names.remove(from);
        self.note(dir_of(from));
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Result<(), MediumErrorKind> {
        let file = self.names.remove(path).ok_or(MediumErrorKind::NotFound)?;
        file.borrow_mut().anchored = false;
        self.note(dir_of(path));
        Ok(())
    }

    fn sync_dir(&mut self, dir: &str) -> Result<(), MediumErrorKind> {
        if !dir.is_empty() && !self.dirs.contains(dir) {
            return Err(MediumErrorKind::NotFound);
        }
        if dir.is_empty() {
            self.durable_dirs = self.dirs.clone();
        }
        let now = self.in_dir(dir);
        if dir.is_empty() || self.durable_dirs.contains(dir) {
            for file in now.values() {
                file.borrow_mut().anchored = true;
            }
        }
        self.history.insert(dir.to_owned(), vec![now]);
        Ok(())
    }

    /// The content if nothing is lost.
    fn image(&self) -> Image {
        let files = self
            .names
            .iter()
            .map(|(path, file)| (path.clone(), file.borrow().bytes.clone()));
        Image {
            files: files.collect(),
            dirs: self.dirs.clone(),
        }
    }

    /// Why a crash now cannot leave this.
    fn objection(&self, image: &Image) -> Option<String> {
        if !image.dirs.is_superset(&self.durable_dirs) || !image.dirs.is_subset(&self.dirs) {
            return Some(format!("directories {:?}", image.dirs));
        }
        for dir in DIRS {
            let found: BTreeMap<_, _> = image
                .files
                .iter()
                .filter(|(path, _)| dir_of(path) == dir)
                .collect();
            if !dir.is_empty() && !image.dirs.contains(dir) {
                if found.is_empty() {
                    continue;
                }
                return Some(format!("files in {dir}, which is not there"));
            }
            let fits = |state: &Names| {
                let mut pairs = state.iter().zip(&found);
                state.len() == found.len()
                    && pairs
                        .all(|((name, file), (path, bytes))| name == *path && could_be(&file.borrow(), bytes))
            };
            if !self.states(dir).iter().any(fits) {
                return Some(format!("directory {dir:?} was never like this"));
            }
        }
        None
    }
}

fn could_be(file: &Content, found: &[u8]) -> bool {
    (file.synced..=file.bytes.len()).contains(&found.len()) && found.starts_with(&file.bytes[..file.synced])
}

/// A disk and its model, with the files made so far.
struct Pair {
    disk: SimMedium,
    model: Model,
    open: Vec<(Box<dyn MediumWriter>, ModelFile)>,
}

fn kind<T>(result: Result<T, MediumError>) -> Result<T, MediumErrorKind> {
    result.map_err(|error| error.kind)
}

impl Pair {
    fn new() -> Self {
        Pair {
            disk: SimMedium::default(),
            model: Model::default(),
            open: Vec::new(),
        }
    }

    /// Does the same to both; what each answered.
    fn apply(&mut self, op: &Op) -> (Result<(), MediumErrorKind>, Result<(), MediumErrorKind>) {
        let (disk, model) = (&self.disk, &mut self.model);
        match *op {
            Op::Create(path) => {
                let (real, told) = (kind(disk.create_new(PATHS[path])), model.create(PATHS[path]));
                match (real, told) {
                    (Ok(writer), Ok(file)) => {
                        self.open.push((writer, file));
                        (Ok(()), Ok(()))
                    }
                    (real, told) => (real.map(|_| ()), told.map(|_| ())),
                }
            }
            Op::Append(..) | Op::Sync(_) if self.open.is_empty() => (Ok(()), Ok(())),
            Op::Append(file, len) => {
                let file = file % self.open.len();
                // Each file has bytes of its own, none of them what the disk makes garbage of.
                let bytes = vec![u8::try_from(file + 1).expect("few files"); usize::from(len)];
                let (writer, content) = &mut self.open[file];
                content.borrow_mut().bytes.extend_from_slice(&bytes);
                (kind(writer.append(&bytes)), Ok(()))
            }
            Op::Sync(file) => {
                let file = file % self.open.len();
                let (writer, content) = &mut self.open[file];
                let mut content = content.borrow_mut();
                content.synced = content.bytes.len();
                (kind(writer.sync()), Ok(()))
            }
            Op::Rename(from, to) => {
                let (from, to) = (PATHS[from], PATHS[to]);
                (kind(disk.rename(from, to)), model.rename(from, to))
            }
            Op::Remove(path) => (kind(disk.remove(PATHS[path])), model.remove(PATHS[path])),
            Op::MakeDir(dir) => {
                model.dirs.insert(DIRS[dir].to_owned());
                (kind(disk.create_dir(DIRS[dir])), Ok(()))
            }
            Op::SyncDir(dir) => (kind(disk.sync_dir(DIRS[dir])), model.sync_dir(DIRS[dir])),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    /// Nobody crashes: the disk holds and answers what a plain map of files does. Then the power goes: every image is one
    /// that the contract allows.
    #[test]
    fn no_crash_image_breaks_the_contract(ops in ops(), seed: u64) {
        let mut pair = Pair::new();
        for op in &ops {
            let (real, told) = pair.apply(op);
            prop_assert_eq!(real, told, "{:?}", op);
            prop_assert_eq!(pair.disk.image(), pair.model.image(), "after {:?}", op);
        }
        let images = pair.disk.crash_images();
        prop_assert!(images.is_sorted_by(|a, b| a < b), "each image once, in order");
        prop_assert_eq!(&images, &pair.disk.crash_images());
        prop_assert!(images.contains(&pair.disk.image()), "everything may have been written by chance");
        let mut state = seed;
        let mut draw = || { state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1); state >> 20 };
        let drawn: Vec<Image> = (0..20).map(|_| pair.disk.crash_image(&mut draw)).collect();
        for image in images.iter().chain(&drawn) {
            let objection = pair.model.objection(image);
            prop_assert!(objection.is_none(), "{}: {:?}", objection.unwrap_or_default(), image);
            for (_, file) in &pair.open {
                let file = file.borrow();
                let found = || image.files.values().any(|bytes| could_be(&file, bytes));
                prop_assert!(!file.anchored || file.synced == 0 || found(), "{:?} has no name in {:?}", file, image);
            }
        }
    }

    /// What a planned crash leaves is what a power cut between two operations leaves, and afterwards nothing answers.
    #[test]
    fn a_planned_crash_is_a_power_cut_at_that_operation(ops in ops(), at: prop::sample::Index) {
        let run = |trap: Option<(u64, Moment)>, until: u64| {
            let mut pair = Pair::new();
            if let Some((nth, moment)) = trap {
                pair.disk.crash_at(nth, moment);
            }
            for op in &ops {
                if pair.disk.operations() == until || pair.disk.is_halted() {
                    break;
                }
                let _ = pair.apply(op);
            }
            pair
        };
        let total = run(None, u64::MAX).disk.operations();
        if total == 0 {
            return Ok(());
        }
        let nth = 1 + at.index(usize::try_from(total).unwrap()) as u64;
        for (moment, done) in [(Moment::Before, nth - 1), (Moment::After, nth)] {
            let mut crashed = run(Some((nth, moment)), u64::MAX);
            prop_assert_eq!(crashed.disk.crash_images(), run(None, done).disk.crash_images());
            prop_assert!(crashed.disk.is_halted());
            for op in &ops {
                let ignored = matches!(op, Op::Append(..) | Op::Sync(_)) && crashed.open.is_empty();
                let answer = crashed.apply(op).0;
                prop_assert!(ignored || answer == Err(MediumErrorKind::Halted), "{:?} answered {:?}", op, answer);
            }
            prop_assert_eq!(crashed.disk.operations(), nth);
        }
    }
}

#[test]
fn it_is_a_medium() {
    revenant_core::conformance::medium::all(SimMedium::default);
}

#[test]
fn a_renamed_file_is_never_lost_even_if_its_target_was_removed_before() {
    let disk = SimMedium::new(Image {
        files: [
            ("a/new".to_owned(), b"new".to_vec()),
            ("b/file".to_owned(), b"old".to_vec()),
        ]
        .into(),
        dirs: ["a".to_owned(), "b".to_owned()].into(),
    });
    disk.remove("b/file").unwrap();
    disk.rename("a/new", "b/file").unwrap();
    let names = |image: &Image| image.files.keys().cloned().collect::<Vec<_>>();
    let new = |image: &Image| image.files.values().any(|bytes| bytes == b"new");
    let images = disk.crash_images();
    assert!(images.iter().all(new), "{images:?}");
    let found: BTreeSet<_> = images.iter().map(names).collect();
    let expected = [vec!["a/new"], vec!["a/new", "b/file"], vec!["b/file"]];
    assert_eq!(
        found,
        expected
            .map(|names| names.into_iter().map(str::to_owned).collect())
            .into()
    );
    // The end of the old name is durable now, and with it all that led to the new one.
    disk.sync_dir("a").unwrap();
    for _ in 0..2 {
        assert_eq!(disk.crash_images(), [disk.image()]);
        assert_eq!(names(&disk.image()), ["b/file"]);
        disk.sync_dir("b").unwrap();
    }
}

#[test]
fn a_torn_append_leaves_half_and_unsynced_bytes_are_anyones_guess() {
    let disk = SimMedium::default();
    let mut file = disk.create_new("file").unwrap();
    file.append(b"durable ").unwrap();
    file.sync().unwrap();
    disk.sync_dir("").unwrap();
    disk.crash_at(disk.operations() + 1, Moment::Torn);
    let error = file.append(b"abcdefgh").unwrap_err();
    assert_eq!(
        (error.kind, error.operation, &*error.path),
        (MediumErrorKind::Halted, "append", "file")
    );
    let found: BTreeSet<Vec<u8>> = disk
        .crash_images()
        .into_iter()
        .map(|mut i| i.files.remove("file").unwrap())
        .collect();
    let garbage = [&b"durable "[..], &[0xa5; 4]].concat();
    let expected = [
        b"durable ".to_vec(),
        b"durable a".to_vec(),
        b"durable abcd".to_vec(),
        garbage,
    ];
    assert_eq!(found, expected.into());
}

#[test]
fn a_full_disk_takes_what_fits_and_says_so() {
    let disk = SimMedium::default();
    disk.set_capacity(Some(10));
    let mut file = disk.create_new("file").unwrap();
    file.append(b"sixsix").unwrap();
    assert_eq!(disk.free_bytes().unwrap(), Some(4));
    assert_eq!(file.append(b"sixsix").unwrap_err().kind, MediumErrorKind::Full);
    assert_eq!(disk.image().files["file"], b"sixsixsixs");
    assert_eq!(disk.free_bytes().unwrap(), Some(0));
    disk.remove("file").unwrap();
    let mut file = disk.create_new("file").unwrap();
    file.append(b"room again").unwrap();
    disk.set_capacity(None);
    assert_eq!(disk.free_bytes().unwrap(), None);
    file.append(b" and more").unwrap();
}

#[test]
fn nothing_answers_after_the_power_went_and_locks_do_not_outlive_it() {
    let disk = SimMedium::default();
    let mut writer = disk.create_new("file").unwrap();
    writer.append(b"bytes").unwrap();
    let reader = disk.open("file").unwrap();
    let lock = disk.try_lock("lock", LockMode::Exclusive).unwrap();
    assert!(lock.is_some() && disk.try_lock("lock", LockMode::Shared).unwrap().is_none());
    disk.crash_at(disk.operations() + 1, Moment::Before);
    let answers = [
        kind(disk.sync_dir("")),
        kind(writer.append(b"x")),
        kind(writer.sync()),
        kind(reader.read_at(0, &mut [0; 5])),
        kind(disk.create_new("other").map(|_| ())),
        kind(disk.open("file").map(|_| ())),
        kind(disk.list("").map(|_| ())),
        kind(disk.rename("file", "other")),
        kind(disk.remove("file")),
        kind(disk.create_dir("dir")),
        kind(disk.try_lock("other", LockMode::Shared).map(|_| ())),
        kind(disk.free_bytes().map(|_| ())),
    ];
    assert_eq!(answers, [Err(MediumErrorKind::Halted); 12]);
    for image in disk.crash_images() {
        let next = SimMedium::new(image);
        assert!(next.try_lock("lock", LockMode::Exclusive).unwrap().is_some());
    }
    drop(lock);
}

#[test]
fn the_log_names_every_changing_operation_in_order() {
    let disk = SimMedium::default();
    disk.create_dir("d").unwrap();
    disk.keep_log();
    let mut file = disk.create_new("d/file").unwrap();
    file.append(b"x").unwrap();
    file.sync().unwrap();
    disk.open("d/file").unwrap();
    disk.rename("d/file", "file").unwrap();
    disk.sync_dir("").unwrap();
    disk.remove("file").unwrap();
    let expected = [
        "create d/file",
        "append d/file",
        "sync d/file",
        "rename d/file",
        "sync directory ",
        "remove file",
    ];
    assert_eq!(disk.log(), expected);
    assert_eq!(disk.operations(), 7);
}

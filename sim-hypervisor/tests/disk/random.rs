//! Random rows of operations against a model that knows every state each directory has been in.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use revenant_core::Medium;
use revenant_core::medium::{DirEntry, MediumWriter};
use revenant_sim::SimMedium;
use revenant_sim::medium::Image;

const DIRS: [&str; 3] = ["", "a", "b"];
const PATHS: [&str; 6] = ["x", "y", "a/x", "a/y", "b/x", "b/y"];

#[derive(Debug, Clone)]
enum Step {
    Create(usize),
    /// To a file ever made.
    Append(usize, u8),
    Sync(usize),
    Rename(usize, usize),
    Remove(usize),
    MakeDir(usize),
    SyncDir(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let path = 0..PATHS.len();
    let step = prop_oneof![
        4 => path.clone().prop_map(Step::Create),
        3 => (any::<usize>(), 1..6u8).prop_map(|(file, len)| Step::Append(file, len)),
        2 => any::<usize>().prop_map(Step::Sync),
        4 => (path.clone(), path.clone()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => path.prop_map(Step::Remove),
        2 => (1..DIRS.len()).prop_map(Step::MakeDir),
        3 => (0..DIRS.len()).prop_map(Step::SyncDir),
    ];
    prop::collection::vec(step, 0..30)
}

/// What is in a directory: files by path (their number), and directories.
#[derive(Debug, Clone, Default, PartialEq)]
struct State {
    files: BTreeMap<&'static str, usize>,
    dirs: BTreeSet<&'static str>,
}

#[derive(Debug, Default)]
struct ModelFile {
    bytes: Vec<u8>,
    synced: usize,
    /// Its name was durable once, in a directory with a durable name.
    anchored: bool,
    /// It was removed or replaced.
    gone: bool,
}

/// Every state that each directory was in since it was last synced, the oldest first.
#[derive(Debug)]
struct Model {
    rows: BTreeMap<&'static str, Vec<State>>,
    files: Vec<ModelFile>,
}

fn dir_of(path: &'static str) -> &'static str {
    path.split_once('/').map_or("", |(dir, _)| dir)
}

impl Model {
    fn new() -> Self {
        Model {
            rows: DIRS.map(|dir| (dir, vec![State::default()])).into(),
            files: Vec::new(),
        }
    }

    fn now(&self, dir: &str) -> &State {
        self.rows[dir].last().unwrap()
    }

    fn find(&self, path: &'static str) -> Option<usize> {
        self.now(dir_of(path)).files.get(path).copied()
    }

    fn has(&self, dir: &str) -> bool {
        dir.is_empty() || self.now("").dirs.contains(dir)
    }

    fn change(&mut self, dir: &'static str, change: impl FnOnce(&mut State)) {
        let mut state = self.now(dir).clone();
        change(&mut state);
        self.rows.get_mut(dir).unwrap().push(state);
    }

    fn sync_dir(&mut self, dir: &'static str) {
        let state = self.now(dir).clone();
        self.rows.insert(dir, vec![state]);
        for dir in DIRS {
            if dir.is_empty() || self.rows[""][0].dirs.contains(dir) {
                for file in self.rows[dir][0].files.values() {
                    self.files[*file].anchored = true;
                }
            }
        }
    }

    /// Does the same to the model and to the disk; whether it worked must be the same, too.
    fn step(&mut self, step: &Step, disk: &SimMedium, writers: &mut Vec<Box<dyn MediumWriter>>) {
        match *step {
            Step::Create(path) => {
                let path = PATHS[path];
                let works = self.has(dir_of(path)) && self.find(path).is_none();
                let made = disk.create_new(path);
                assert_eq!(made.is_ok(), works, "{step:?}");
                if let Ok(writer) = made {
                    writers.push(writer);
                    let number = self.files.len();
                    self.files.push(ModelFile::default());
                    self.change(dir_of(path), |state| {
                        state.files.insert(path, number);
                    });
                }
            }
            Step::Append(pick, len) if !writers.is_empty() => {
                let file = pick % writers.len();
                let start = u8::try_from(self.files[file].bytes.len()).unwrap();
                let bytes: Vec<u8> = (start..start + len).map(|at| at % 100 + 1).collect();
                writers[file].append(&bytes).unwrap();
                self.files[file].bytes.extend(bytes);
            }
            Step::Sync(pick) if !writers.is_empty() => {
                let file = pick % writers.len();
                writers[file].sync().unwrap();
                self.files[file].synced = self.files[file].bytes.len();
            }
            Step::Append(..) | Step::Sync(_) => {}
            Step::Rename(from, to) => self.rename(PATHS[from], PATHS[to], disk),
            Step::Remove(path) => {
                let path = PATHS[path];
                let found = self.find(path);
                assert_eq!(disk.remove(path).is_ok(), found.is_some(), "{step:?}");
                if let Some(file) = found {
                    self.files[file].gone = true;
                    self.change(dir_of(path), |state| {
                        state.files.remove(path);
                    });
                }
            }
            Step::MakeDir(dir) => {
                disk.create_dir(DIRS[dir]).unwrap();
                if !self.has(DIRS[dir]) {
                    self.change("", |state| {
                        state.dirs.insert(DIRS[dir]);
                    });
                }
            }
            Step::SyncDir(dir) => {
                let dir = DIRS[dir];
                assert_eq!(disk.sync_dir(dir).is_ok(), self.has(dir), "{step:?}");
                if self.has(dir) {
                    self.sync_dir(dir);
                }
            }
        }
    }

    fn rename(&mut self, from: &'static str, to: &'static str, disk: &SimMedium) {
        let found = self.find(from).filter(|_| self.has(dir_of(to)));
        assert_eq!(disk.rename(from, to).is_ok(), found.is_some(), "{from} to {to}");
        if let Some(file) = found
            && from != to
        {
            if let Some(replaced) = self.find(to) {
                self.files[replaced].gone = true;
            }
            self.change(dir_of(to), |state| {
                state.files.insert(to, file);
            });
            self.change(dir_of(from), |state| {
                state.files.remove(from);
            });
        }
    }

    /// Panics unless a crash may leave this.
    fn judge(&self, image: &Image) {
        let mut named = BTreeSet::new();
        for dir in DIRS {
            let exists = dir.is_empty() || image.dirs.contains(dir);
            let found: BTreeMap<&str, &[u8]> = image
                .files
                .iter()
                .filter(|(path, _)| in_dir(path, dir))
                .map(|(path, bytes)| (path.as_str(), &**bytes))
                .collect();
            let fits = |state: &&State| {
                (!dir.is_empty() || state.dirs.iter().eq(&image.dirs))
                    && state.files.len() == found.len()
                    && state
                        .files
                        .iter()
                        .all(|(path, &file)| found.get(path).is_some_and(|bytes| self.may_hold(file, bytes)))
            };
            if exists {
                let mut states = self.rows[dir].iter().filter(fits).peekable();
                assert!(states.peek().is_some(), "{dir:?} was never so: {image:?}");
                named.extend(states.flat_map(|state| state.files.values().copied()));
            } else {
                assert!(found.is_empty(), "files without their directory: {image:?}");
            }
        }
        for (number, file) in self.files.iter().enumerate() {
            let safe = file.anchored && !file.gone;
            assert!(
                !safe || named.contains(&number),
                "file {number} is lost: {image:?}"
            );
        }
    }

    /// Whether a crash may leave a file with these bytes: the synced ones, some more, and zeroes or garbage to the end.
    fn may_hold(&self, file: usize, found: &[u8]) -> bool {
        let ModelFile { bytes, synced, .. } = &self.files[file];
        let kept = found.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        let rest = &found[kept..];
        let filled =
            found.len() == bytes.len() && [0, 0xa5].iter().any(|fill| rest.iter().all(|b| b == fill));
        kept >= *synced && (rest.is_empty() || filled)
    }
}

fn in_dir(path: &str, dir: &str) -> bool {
    path.rsplit_once('/').map_or("", |(dir, _)| dir) == dir
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_durable_is_lost_and_nothing_appears_that_never_was(steps in steps(), seed: u64) {
        let run = || {
            let (disk, mut model, mut writers) = (SimMedium::default(), Model::new(), Vec::new());
            for step in &steps {
                model.step(step, &disk, &mut writers);
            }
            (disk, model, writers)
        };
        let (disk, model, mut writers) = run();

        // The running machine sees exactly what was done.
        let live = disk.image();
        let mut expected = Image::default();
        for state in DIRS.map(|dir| model.now(dir)) {
            for (path, file) in &state.files {
                expected.insert(path, model.files[*file].bytes.clone());
            }
        }
        prop_assert!(live.files == expected.files);
        for dir in DIRS {
            let listed = disk.list(dir).unwrap().into_iter().filter(DirEntry::is_file);
            let listed: Vec<_> = listed.map(|entry| entry.len_bytes).collect();
            let files = model.now(dir).files.values();
            prop_assert_eq!(listed, files.map(|file| model.files[*file].bytes.len() as u64).collect::<Vec<_>>());
        }

        // A crash leaves what it may, each outcome once; nothing happening to be lost is one of them.
        let images = disk.crash_images();
        for image in &images {
            model.judge(image);
        }
        prop_assert!(images.contains(&live));
        prop_assert_eq!(images.iter().collect::<BTreeSet<_>>().len(), images.len());
        prop_assert_eq!(&run().0.crash_images(), &images);
        let mut stream = Xoshiro256PlusPlus::seed_from_u64(seed);
        for _ in 0..20 {
            model.judge(&disk.crash_image(&mut || stream.next_u64()));
        }

        // Once all is synced a crash takes nothing.
        for writer in &mut writers {
            writer.sync().unwrap();
        }
        for dir in DIRS.into_iter().filter(|dir| model.has(dir)) {
            disk.sync_dir(dir).unwrap();
        }
        prop_assert_eq!(disk.crash_images(), vec![live.clone()]);
        prop_assert_eq!(SimMedium::new(live.clone()).image(), live);
    }
}

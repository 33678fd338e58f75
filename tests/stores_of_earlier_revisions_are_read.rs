//! A store that an earlier revision made is opened, listed, verified, read byte for byte, copied, pruned and added to:
//! `docs/checkpoint-format.md` §10.
//!
//! The stores are in `fixtures/`, with what each holds as text beside it; its README says how more are made.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use revenant_core::guest::{PageBatch, PageTag};
use revenant_core::medium::DirectoryMedium;
use revenant_core::store::{
    CheckpointId, CollectOptions, DiskInfo, NewCheckpoint, Retention, Scope, Store, StoreOptions,
};
use revenant_core::units::Pfn;
use revenant_sim::SimMedium;
use revenant_sim::medium::{Image, Moment};
use revenant_tests::contents::{content, contents};
use revenant_tests::stores::{Expected, Ticking, open, page};
use revenant_xen_format::testing::{Recipe, Shape};
use revenant_xen_format::{Container, GuestType, ImportOptions, import};

/// A store as it is in the repository.
struct Fixture {
    name: String,
    image: Image,
    /// What [`contents`] said of it when it was made.
    contents: String,
}

fn fixtures() -> Vec<Fixture> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut found = Vec::new();
    for set in subdirectories(&root) {
        for dir in subdirectories(&set) {
            let name = dir.strip_prefix(&root).unwrap().display().to_string();
            let contents = fs::read_to_string(dir.with_extension("txt"))
                .unwrap_or_else(|error| panic!("{name}: what it holds is not told: {error}"));
            found.push(Fixture {
                image: read_image(&dir),
                name,
                contents,
            });
        }
    }
    assert!(found.len() >= 6, "fixtures are missing: {}", found.len());
    found
}

fn subdirectories(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

/// The files of a store, and the directories that a repository does not keep when they are empty.
fn read_image(dir: &Path) -> Image {
    let mut image = Image::default();
    image
        .dirs
        .extend(["tmp", "segments", "checkpoints"].map(str::to_owned));
    for path in subdirectories(dir).into_iter().chain([dir.to_owned()]) {
        for entry in fs::read_dir(path).unwrap() {
            let file = entry.unwrap().path();
            if file.is_file() {
                let name = file.strip_prefix(dir).unwrap().to_str().unwrap();
                image.insert(name, fs::read(&file).unwrap());
            }
        }
    }
    image
}

fn write_image(image: &Image, dir: &Path) {
    for name in &image.dirs {
        fs::create_dir_all(dir.join(name)).unwrap();
    }
    for (path, bytes) in &image.files {
        fs::write(dir.join(path), &**bytes).unwrap();
    }
}

fn ids(store: &Store) -> Vec<CheckpointId> {
    let listing = store.list().unwrap();
    assert_eq!(listing.damaged, []);
    listing.checkpoints.iter().map(|info| info.id).collect()
}

#[test]
fn they_verify_and_give_back_what_was_put_in() {
    for fixture in fixtures() {
        let disk = SimMedium::new(fixture.image.clone());
        let store = open(&disk).unwrap();
        assert_eq!(store.verify(None).unwrap().findings, [], "{}", fixture.name);
        assert_eq!(contents(&store).unwrap(), fixture.contents, "{}", fixture.name);
        for id in ids(&store) {
            assert_eq!(store.verify(Some(id)).unwrap().findings, [], "{}", fixture.name);
        }
        let mut found = disk.image();
        found.files.remove("lock");
        let mut was = fixture.image;
        was.files.remove("lock");
        assert!(found == was, "{}: reading changes nothing", fixture.name);
    }
}

#[test]
fn they_are_read_from_a_directory_and_where_nothing_can_be_written() {
    for fixture in fixtures() {
        let dir = tempfile::tempdir().unwrap();
        write_image(&fixture.image, dir.path());
        let medium = Rc::new(DirectoryMedium::open(dir.path()).unwrap());
        let store = Store::open(medium, Rc::new(Ticking::default()), StoreOptions::default()).unwrap();
        assert_eq!(contents(&store).unwrap(), fixture.contents, "{}", fixture.name);

        let disk = SimMedium::new(fixture.image);
        disk.set_read_only(true);
        let store = open(&disk).unwrap();
        assert_eq!(store.verify(None).unwrap().findings, [], "{}", fixture.name);
        assert_eq!(contents(&store).unwrap(), fixture.contents, "{}", fixture.name);
    }
}

#[test]
fn they_are_copied() {
    for fixture in fixtures() {
        let source = open(&SimMedium::new(fixture.image)).unwrap();
        let disk = SimMedium::default();
        Store::create(&disk).unwrap();
        let target = open(&disk).unwrap();
        for id in ids(&source) {
            let copied = target.copy_from(&source, id).unwrap();
            let (was, is) = (content(&source, id), content(&target, copied.id));
            assert_eq!(was.unwrap(), is.unwrap(), "{}: {id}", fixture.name);
        }
        assert_eq!(target.verify(None).unwrap().findings, [], "{}", fixture.name);
    }
}

/// Increments on the newest of each guest and a new guest's first, then collections: what was there is still the same.
#[test]
fn they_are_added_to_and_pruned() {
    for fixture in fixtures() {
        let name = fixture.name;
        let disk = SimMedium::new(fixture.image);
        let store = open(&disk).unwrap();
        let before: Vec<_> = ids(&store)
            .into_iter()
            .map(|id| (id, content(&store, id).unwrap()))
            .collect();
        let listed = store.list().unwrap().checkpoints;
        let guests: BTreeSet<&str> = listed.iter().map(|info| &*info.guest).collect();
        let mut added = Vec::new();
        for guest in guests.iter().copied().chain(["another"]) {
            added.push(add(&store, guest));
        }
        let same = |store: &Store, kept: &[CheckpointId]| {
            for (id, was) in before.iter().filter(|(id, _)| kept.contains(id)) {
                assert_eq!(content(store, *id).unwrap(), *was, "{name}: {id}");
            }
            assert_eq!(store.verify(None).unwrap().findings, [], "{name}");
        };
        same(&store, &ids(&store));
        for keep_last in [2, 1] {
            let rule = Retention {
                keep_last: Some(keep_last),
                ..Retention::new(Scope::All)
            };
            // As another process would find it.
            let store = open(&disk).unwrap();
            let pruned = store.prune(&rule, CollectOptions::default()).unwrap();
            let kept: Vec<_> = pruned.kept.iter().map(|info| info.id).collect();
            assert!(added.iter().all(|id| kept.contains(id)), "{name}: the newest go");
            assert_eq!(ids(&store), kept, "{name}");
            same(&store, &kept);
            assert_eq!(store.verify(None).unwrap().remains, [], "{name}");
        }
    }
}

/// A checkpoint on top of a guest's newest one, if it has any, with one page changed.
fn add(store: &Store, guest: &str) -> CheckpointId {
    let base = store.newest(guest).unwrap();
    let info = base.and_then(|id| store.info(id).unwrap());
    let mut staging = store
        .begin(NewCheckpoint {
            guest: guest.to_owned(),
            machine: info.map_or(revenant_core::guest::MachineKind::new("test"), |info| {
                info.machine
            }),
            base,
            facts: [("added".to_owned(), "yes".to_owned())].into(),
        })
        .unwrap();
    let mut batch = staging.take_batch();
    batch.push(Pfn(0), PageTag(0), &page(1234));
    staging.put_pages(batch).unwrap();
    let id = staging.commit().unwrap().id;
    let mut found = PageBatch::new();
    store.read(id).unwrap().read_pages(&[Pfn(0)], &mut found).unwrap();
    assert_eq!(found.iter().next().map(|(_, _, page)| *page), Some(page(1234)));
    id
}

/// Fills a new store.
type Fill = fn(&SimMedium);

/// Makes stores as this revision writes them, in a new directory `$REVENANT_FIXTURES`. See `fixtures/README.md`.
#[test]
#[ignore = "makes new fixtures; see fixtures/README.md"]
fn make() {
    let root =
        PathBuf::from(std::env::var("REVENANT_FIXTURES").expect("REVENANT_FIXTURES names a directory"));
    let stores: [(&str, Fill); 6] = [
        ("increments", increments),
        ("pruned", pruned),
        ("copies", copies),
        ("disks", disks),
        ("save-files", save_files),
        ("after-a-crash", after_a_crash),
    ];
    for (name, fill) in stores {
        let mut disk = SimMedium::default();
        Store::create(&disk).unwrap();
        fill(&disk);
        if disk.is_halted() {
            disk = SimMedium::new(disk.image());
        }
        let dir = root.join(name);
        write_image(&disk.image(), &dir);
        let held = contents(&open(&disk).unwrap()).unwrap();
        fs::write(dir.with_extension("txt"), held).unwrap();
    }
}

type Held = (CheckpointId, Expected);

fn commit(store: &Store, expected: Expected, base: Option<&Held>) -> Held {
    let id = expected.stage(store, base).unwrap().commit().unwrap().id;
    (id, expected)
}

/// Page numbers from `number` on, in frames from `first` on.
fn pages(first: u64, count: u32, number: u32) -> Vec<(u64, u8, u32)> {
    (0..count)
        .map(|i| (first + u64::from(i), 0, number + i))
        .collect()
}

/// Two guests that share pages, one with an increment on an increment; tags, zero pages, far frames, pages that do not
/// compress.
fn increments(disk: &SimMedium) {
    let store = open(disk).unwrap();
    let mut full = pages(0, 40, 1);
    full.extend([
        (3, 0, 1001),
        (41, 5, 0),
        (42, 0, 0),
        (1 << 30, 0, 36),
        (5, 255, 77),
    ]);
    let first = commit(&store, Expected::new("web 1.example").with(&full, "full"), None);
    let changed = [pages(0, 20, 101), vec![(42, 0, 1002), (41, 6, 0), (7, 0, 0)]].concat();
    let second = commit(&store, first.1.clone().with(&changed, "second"), Some(&first));
    let other = Expected::new("gäst").with(&[pages(1000, 18, 20), vec![(9, 4, 0)]].concat(), "other");
    commit(&store, other, None);
    let changed = [(3, 0, 1003), (43, 0, 44), (1 << 47, 1, 45)];
    commit(&store, second.1.clone().with(&changed, "third"), Some(&second));
}

/// A base is gone, its segment compacted, another removed.
fn pruned(disk: &SimMedium) {
    let store = open(disk).unwrap();
    let full = [pages(0, 40, 1), pages(3, 1, 1001)].concat();
    let first = commit(&store, Expected::new("a").with(&full, "full"), None);
    let second = commit(
        &store,
        first.1.clone().with(&pages(0, 33, 101), "second"),
        Some(&first),
    );
    commit(&store, Expected::new("b").with(&pages(0, 18, 201), "gone"), None);
    commit(&store, Expected::new("b").with(&pages(0, 18, 221), "b"), None);
    let rule = Retention {
        keep_last: Some(1),
        ..Retention::new(Scope::All)
    };
    let pruned = store.prune(&rule, CollectOptions::default()).unwrap();
    let collected = pruned.collected;
    assert_eq!(
        (
            pruned.dropped.len(),
            collected.segments_compacted,
            collected.segments_removed
        ),
        (2, 1, 1)
    );
    let changed = second.1.clone().with(&[(7, 0, 200), (8, 0, 0)], "third");
    commit(&store, changed, Some(&second));
}

/// Copies of an increment and its base from another store, beside a checkpoint that has some of their pages.
fn copies(disk: &SimMedium) {
    let other = SimMedium::default();
    Store::create(&other).unwrap();
    increments(&other);
    let source = open(&other).unwrap();
    let store = open(disk).unwrap();
    commit(&store, Expected::new("here").with(&pages(0, 10, 1), "here"), None);
    for info in source.list().unwrap().checkpoints {
        store.copy_from(&source, info.id).unwrap();
    }
}

/// Memory and two disks, and an increment of both.
fn disks(disk: &SimMedium) {
    let store = open(disk).unwrap();
    let disks = [(1, "xvda", 12), (2, "xvdb", 5)].map(|(number, name, blocks)| DiskInfo {
        number,
        name: name.to_owned(),
        blocks,
    });
    let block = |disk: &DiskInfo, block: u64| (u64::from(disk.number) << 48) + block;
    let memory = Expected::new("db").with(&pages(0, 8, 1), "full");
    let mut base: Option<Held> = None;
    for round in 0..2u32 {
        let expected = memory.clone().with(&[(2, 0, 50 + round)], "running");
        let mut staging = expected.stage(&store, base.as_ref()).unwrap();
        for disk in &disks {
            for at in (0..disk.blocks).filter(|at| round == 0 || *at == 3) {
                let mut batch = staging.take_batch();
                let number = 300 * round + u32::try_from(at).unwrap();
                batch.push(Pfn(block(disk, at)), PageTag(0), &page(number));
                staging.put_pages(batch).unwrap();
            }
            staging.retain_disk(disk).unwrap();
        }
        base = Some((staging.commit().unwrap().id, expected));
    }
}

/// What `xl save` wrote of a PV, an HVM and a PVH guest, and one that ran on while it was saved.
fn save_files(disk: &SimMedium) {
    let store = open(disk).unwrap();
    let recipe = |guest, container, shape, seed| Recipe {
        guest,
        version: 3,
        container,
        shape,
        frames: 3,
        per_record: 3,
        seed,
    };
    for (name, recipe) in [
        (
            "pv",
            recipe(GuestType::Pv, Container::XlSaveFile, Shape::Plain, 1),
        ),
        (
            "hvm",
            recipe(GuestType::Hvm, Container::LibxcStream, Shape::Plain, 2),
        ),
        (
            "hvm",
            recipe(GuestType::Hvm, Container::XlSaveFile, Shape::Live, 3),
        ),
    ] {
        let options = ImportOptions {
            name: Some(name.to_owned()),
            ..ImportOptions::default()
        };
        import(&recipe.build().bytes[..], &store, &options).unwrap();
    }
}

/// The power went before the manifest had its name: a segment that nobody needs and a file in `tmp`.
fn after_a_crash(disk: &SimMedium) {
    let first = {
        let store = open(disk).unwrap();
        commit(&store, Expected::new("a").with(&pages(0, 20, 1), "whole"), None)
    };
    disk.keep_log();
    let before = disk.operations();
    let next = first.1.clone().with(&pages(0, 2, 1001), "lost");
    let twin = SimMedium::new(disk.image());
    twin.keep_log();
    commit(&open(&twin).unwrap(), next.clone(), Some(&first));
    let log = twin.log();
    let manifest = log
        .iter()
        .position(|line| line == "sync directory segments")
        .unwrap();
    // The file's making, and the first of its bytes.
    disk.crash_at(before + manifest as u64 + 3, Moment::After);
    let store = open(disk).unwrap();
    assert!(next.stage(&store, Some(&first)).unwrap().commit().is_err());
}

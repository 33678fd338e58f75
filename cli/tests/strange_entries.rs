//! Every kind of directory entry that a store can meet × every command: none hangs, none panics, none touches what is outside
//! of the store, and guests whose files are as they were stay readable, writable and unharmed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Ended, copy_store, import, revenant, save_file, snapshot};

/// What may lie in a directory. Links lead to a folder outside of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Empty,
    Text,
    Folder,
    FullFolder,
    Fifo,
    Socket,
    Device,
    LinkToFile,
    LinkToFolder,
    LinkToNothing,
    LinkToItself,
}

const KINDS: [Kind; 11] = [
    Kind::Empty,
    Kind::Text,
    Kind::Folder,
    Kind::FullFolder,
    Kind::Fifo,
    Kind::Socket,
    Kind::Device,
    Kind::LinkToFile,
    Kind::LinkToFolder,
    Kind::LinkToNothing,
    Kind::LinkToItself,
];

impl Kind {
    /// Puts one there; false if this machine or user cannot make one.
    fn make(self, at: &Path, outside: &Path) -> bool {
        let tool = |tool: &str, arguments: &[&OsStr]| {
            let made = Command::new(tool).args(arguments).output().unwrap();
            made.status.success()
        };
        match self {
            Kind::Empty => fs::write(at, b"").is_ok(),
            Kind::Text => fs::write(at, b"not of this store\n").is_ok(),
            Kind::Folder => fs::create_dir(at).is_ok(),
            Kind::FullFolder => fs::create_dir(at)
                .and_then(|()| fs::write(at.join("7"), b"kept"))
                .is_ok(),
            Kind::Fifo => tool("mkfifo", &[at.as_os_str()]),
            Kind::Socket => UnixListener::bind(at).is_ok(),
            Kind::Device => tool(
                "mknod",
                &[at.as_os_str(), OsStr::new("c"), OsStr::new("1"), OsStr::new("3")],
            ),
            Kind::LinkToFile => symlink(outside.join("thesis.tex"), at).is_ok(),
            Kind::LinkToFolder => symlink(outside, at).is_ok(),
            Kind::LinkToNothing => symlink(outside.join("nothing"), at).is_ok(),
            Kind::LinkToItself => symlink(at.file_name().unwrap(), at).is_ok(),
        }
    }
}

/// A store with two guests that share nothing, and what belongs to whom.
struct World {
    dir: tempfile::TempDir,
    /// Saves of the guest `sound`, whose files are left alone, and of one to come.
    sound: Vec<u8>,
    sound_id: String,
    new_file: PathBuf,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("guest.save");
        let base = dir.path().join("base");
        save_file(&file, 2);
        import(&base, &file, "struck");
        let sound = save_file(&file, 4);
        let sound_id = import(&base, &file, "sound");
        save_file(&file, 6);
        World {
            sound,
            sound_id,
            new_file: file,
            dir,
        }
    }

    fn base(&self) -> PathBuf {
        self.dir.path().join("base")
    }

    /// A copy of the store, and a folder outside of it that nobody may touch.
    fn fresh(&self) -> (tempfile::TempDir, PathBuf, PathBuf) {
        let dir = tempfile::tempdir_in(self.dir.path()).unwrap();
        let (store, outside) = (dir.path().join("store"), dir.path().join("outside"));
        copy_store(&self.base(), &store);
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("thesis.tex"), b"ten years of work").unwrap();
        fs::write(outside.join("0"), b"looks like a remains").unwrap();
        (dir, store, outside)
    }

    /// Runs every command; those that must work for the sound guest come with what they must show.
    fn commands(&self, store: &Path, scratch: &Path) -> Vec<(Ended, bool)> {
        let target = scratch.join("target");
        let new = self.new_file.to_str().unwrap();
        let run = |args: &[&str]| revenant(store, args);
        let list = run(&["list", "--json"]);
        let listed = list.status != Some(1) && String::from_utf8_lossy(&list.stdout).contains(&self.sound_id);
        let export = run(&["export", "-o", "-", "sound"]);
        let exported = export.stdout == self.sound && export.status == Some(0);
        let import = run(&["import", new, "--name=new"]);
        let imported = import.status == Some(0);
        let copy = run(&["copy", "sound", "--init", "--to", target.to_str().unwrap()]);
        let copied = copy.status == Some(0);
        let diff = run(&["diff", "sound", "new"]);
        let compared = diff.status == Some(0);
        let show = run(&["show", "sound"]);
        let shown = show.status == Some(0);
        let verify_one = run(&["verify", "sound"]);
        let verified = verify_one.status == Some(0);
        let prune = run(&["prune", "--keep-last=1"]);
        let pruned = matches!(prune.status, Some(0 | 3));
        let again = run(&["export", "-o", "-", "sound"]);
        let exported_again = again.stdout == self.sound && again.status == Some(0);
        vec![
            (list, listed),
            (run(&["list"]), true),
            (export, exported),
            (import, imported),
            (copy, copied),
            (diff, compared),
            (show, shown),
            (verify_one, verified),
            (run(&["verify"]), true),
            (run(&["doctor", "--store", store.to_str().unwrap()]), true),
            (run(&["stats"]), true),
            (run(&["prune", "--keep-last=1", "--dry-run"]), true),
            (prune, pruned),
            (again, exported_again),
        ]
    }
}

fn name(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

/// Where what may appear, by hand or by a file system: as a new entry, beside the store's own.
fn strangers() -> Vec<(&'static str, OsString)> {
    let hex = |len: usize| name(&"0123456789abcdef".repeat(4).as_bytes()[..len]);
    let mut all = Vec::new();
    for dir in ["", "tmp", "segments", "checkpoints", "catalogue"] {
        for stranger in [
            name(b".DS_Store"),
            name(b".nfs000000000000abcd00000001"),
            name(b"lost+found"),
            name(b"A B"),
            name(b"\xff\xfe"),
            name(b"x"),
            hex(31),
            hex(32),
            hex(63),
            hex(64),
        ] {
            all.push((dir, stranger));
        }
    }
    // No writer comes to these numbers.
    for number in [1 << 48, u64::MAX] {
        all.push(("tmp", name(number.to_string().as_bytes())));
    }
    all
}

#[test]
fn what_does_not_belong_into_a_store_stops_nobody_and_is_left_alone() {
    let world = World::new();
    for (dir, stranger) in strangers() {
        for kind in KINDS {
            let (scratch, store, outside) = world.fresh();
            let at = store.join(dir).join(&stranger);
            if !kind.make(&at, &outside) {
                continue;
            }
            // A regular file with a segment's name is an unused segment, which prune removes.
            let is_segment =
                dir == "segments" && stranger.len() == 32 && matches!(kind, Kind::Empty | Kind::Text);
            let before = (snapshot(&outside), fs::symlink_metadata(&at).unwrap().file_type());
            for (ended, held) in world.commands(&store, scratch.path()) {
                assert!(
                    ended.is_civil() && held,
                    "{kind:?} at {}: {ended:?}",
                    at.display()
                );
            }
            assert_eq!(snapshot(&outside), before.0, "{kind:?} at {}", at.display());
            let after = fs::symlink_metadata(&at).map(|found| found.file_type());
            assert!(
                is_segment || after.as_ref().is_ok_and(|kind| *kind == before.1),
                "{kind:?} at {} is gone",
                at.display()
            );
        }
    }
}

/// The store's own files and folders.
fn own(store: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = snapshot(store).into_keys().collect();
    for path in &mut all {
        *path = path.strip_prefix(store).unwrap().to_owned();
    }
    all
}

#[test]
fn whatever_stands_in_the_place_of_a_file_of_the_store_harms_that_file_alone() {
    let world = World::new();
    for path in own(&world.base()) {
        for kind in KINDS {
            let (scratch, store, outside) = world.fresh();
            let at = store.join(&path);
            let is_folder = at.is_dir();
            if is_folder && kind == Kind::FullFolder {
                continue;
            }
            if is_folder {
                fs::remove_dir_all(&at)
            } else {
                fs::remove_file(&at)
            }
            .unwrap();
            if !kind.make(&at, &outside) {
                continue;
            }
            let before = snapshot(&outside);
            // Without its catalogue, its pages or its header nothing can be demanded of a store but civility.
            let of_all = is_folder || path.parent() == Some(Path::new(""));
            let of_sound = !of_all && reads_as_sound(&world, &store, &path);
            for (ended, held) in world.commands(&store, scratch.path()) {
                assert!(ended.is_civil(), "{kind:?} at {}: {ended:?}", path.display());
                assert!(held || !of_sound, "{kind:?} at {}: {ended:?}", path.display());
            }
            assert_eq!(snapshot(&outside), before, "{kind:?} at {}", path.display());
        }
    }
}

#[test]
fn what_is_no_file_is_named_and_never_removed_or_replaced() {
    let world = World::new();
    let places = own(&world.base()).into_iter().filter(|path| {
        let dir = path.parent().unwrap();
        [Path::new("checkpoints"), Path::new("segments")].contains(&dir)
    });
    for path in places {
        for kind in KINDS {
            let (_scratch, store, outside) = world.fresh();
            let at = store.join(&path);
            fs::remove_file(&at).unwrap();
            if !kind.make(&at, &outside) {
                continue;
            }
            let what = format!("{kind:?} at {}", path.display());
            let before = (snapshot(&outside), fs::symlink_metadata(&at).unwrap().file_type());
            let base = world.base();
            let commands: [&[&str]; 3] = [
                &["prune", "--keep-last=1", "--drop-damaged"],
                &["verify", "--repair", "--from", base.to_str().unwrap()],
                &["prune", "--keep-last=1", "--drop-damaged", "--max-unused=0"],
            ];
            for command in commands {
                let ended = revenant(&store, command);
                assert!(ended.is_civil(), "{what}: {ended:?}");
            }
            assert_eq!(snapshot(&outside), before.0, "{what}");
            let after = fs::symlink_metadata(&at).map(|found| found.file_type());
            if matches!(kind, Kind::Empty | Kind::Text) {
                assert!(after.is_err(), "{what}: damage was not dropped");
                continue;
            }
            assert!(after.is_ok_and(|kind| kind == before.1), "{what} is gone");
            let said = String::from_utf8(revenant(&store, &["verify", "--json"]).stdout).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(said.contains(name), "{what} is not named: {said}");
        }
    }
}

/// Whatever it is: nothing that people and programs get from a store depends on it.
#[test]
fn notes_and_what_makes_waiting_fair_stop_nobody_whatever_has_their_place() {
    let world = World::new();
    let notes = [
        "bad",
        "lock.next",
        "lock.by",
        "catalogue-begun",
        "catalogue-lock.next",
        "catalogue-lock.by",
    ];
    for note in notes {
        for kind in KINDS {
            let (scratch, store, outside) = world.fresh();
            let at = store.join(note);
            let there = fs::symlink_metadata(&at);
            match there.map(|found| found.is_dir()) {
                Ok(true) => fs::remove_dir_all(&at).unwrap(),
                Ok(false) => fs::remove_file(&at).unwrap(),
                Err(_) => {}
            }
            if !kind.make(&at, &outside) {
                continue;
            }
            let what = format!("{kind:?} at {note}");
            let (before, is) = (snapshot(&outside), fs::symlink_metadata(&at).unwrap().file_type());
            for (ended, held) in world.commands(&store, scratch.path()) {
                assert!(ended.is_civil() && held, "{what}: {ended:?}");
            }
            let dropped = revenant(
                &store,
                &["import", world.new_file.to_str().unwrap(), "--name=new"],
            );
            assert_eq!(dropped.status, Some(0), "{what}: {dropped:?}");
            let dropped = revenant(&store, &["prune", "--keep-last=1"]);
            assert_eq!(dropped.status, Some(0), "{what}: {dropped:?}");
            let repaired = revenant(&store, &["verify", "--repair"]);
            assert!(matches!(repaired.status, Some(0 | 3)), "{what}: {repaired:?}");
            let as_it_must = fs::symlink_metadata(world.base().join(note)).map_or_else(
                |_| note != "lock.next" && note != "catalogue-lock.next",
                |found| found.is_dir(),
            ) == is.is_dir()
                && (is.is_dir() || is.is_file());
            let doctor = revenant(&store, &["doctor", "--store", store.to_str().unwrap()]);
            let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
            let named = said.contains(&format!("store: {note} "));
            assert_eq!(named, !as_it_must, "{what}: {doctor:?}");
            assert_eq!(doctor.status == Some(0), as_it_must, "{what}: {doctor:?}");
            assert_eq!(snapshot(&outside), before, "{what}");
            let after = fs::symlink_metadata(&at).map(|found| found.file_type());
            assert!(after.is_ok_and(|after| after == is), "{what} is gone");
        }
    }
}

#[test]
fn a_repair_heals_although_it_cannot_note_it() {
    let world = World::new();
    let (_scratch, store, outside) = world.fresh();
    for segment in fs::read_dir(store.join("segments")).unwrap() {
        let segment = segment.unwrap().path();
        let bytes = fs::read(&segment).unwrap();
        fs::write(segment, &bytes[..bytes.len() - 9]).unwrap();
    }
    assert!(Kind::LinkToFolder.make(&store.join("bad"), &outside));
    let before = snapshot(&outside);
    let base = world.base();
    let repaired = revenant(&store, &["verify", "--repair", "--from", base.to_str().unwrap()]);
    assert_eq!(repaired.status, Some(3), "{repaired:?}");
    let said = String::from_utf8_lossy(&repaired.stdout);
    assert!(said.contains("not healed: bad"), "{repaired:?}");
    assert_eq!(
        revenant(&store, &["export", "-o", "-", "sound"]).stdout,
        world.sound
    );
    fs::remove_file(store.join("bad")).unwrap();
    let verified = revenant(&store, &["verify"]);
    assert_eq!(verified.status, Some(0), "{verified:?}");
    assert_eq!(snapshot(&outside), before);
}

/// Is this one of the files that the sound guest does without?
fn reads_as_sound(world: &World, store: &Path, path: &Path) -> bool {
    let (_scratch, copy, _) = world.fresh();
    fs::remove_file(copy.join(path)).unwrap();
    let _ = store;
    revenant(&copy, &["export", "-o", "-", "sound"]).stdout == world.sound
}

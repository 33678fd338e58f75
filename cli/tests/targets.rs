//! Where an export may go and what becomes of what was there: every kind of target, met directly, through a link and through
//! two, with --force and without.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use revenant_xen_format::testing::{Recipe, Shape};
use revenant_xen_format::{Container, GuestType};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

/// A store with one checkpoint, and the save file that an export of it is.
struct World {
    dir: tempfile::TempDir,
    image: Vec<u8>,
}

impl World {
    fn new(frames: u64) -> World {
        let dir = tempfile::tempdir().unwrap();
        let recipe = Recipe {
            guest: GuestType::Hvm,
            version: 3,
            container: Container::XlSaveFile,
            shape: Shape::Plain,
            frames,
            per_record: 128,
            seed: 2,
        };
        let image = recipe.build().bytes;
        let file = dir.path().join("guest.save");
        fs::write(&file, &image).unwrap();
        let world = World { dir, image };
        let imported = world
            .command(&["import", file.to_str().unwrap(), "--init"])
            .output()
            .unwrap();
        assert!(imported.status.success(), "{imported:?}");
        world
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_revenant"));
        command
            .args(args)
            .env("REVENANT_STORE", self.dir.path().join("store"));
        command
    }

    fn export(&self, target: &Path, force: bool) -> Command {
        let id = fs::read_dir(self.dir.path().join("store/checkpoints"))
            .unwrap()
            .next()
            .unwrap();
        let id = id.unwrap().file_name().into_string().unwrap();
        let mut args = vec!["export", &id, "--output", target.to_str().unwrap()];
        args.extend(force.then_some("--force"));
        self.command(&args)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nothing,
    Regular,
    Directory,
    Socket,
    Fifo,
    Character,
    Block,
    Stdout,
}

const KINDS: [Kind; 8] = [
    Kind::Nothing,
    Kind::Regular,
    Kind::Directory,
    Kind::Socket,
    Kind::Fifo,
    Kind::Character,
    Kind::Block,
    Kind::Stdout,
];

/// Makes one; `None` where only root may.
fn make(kind: Kind, path: &Path) -> Option<()> {
    let node = |kind, major, minor| mknodat(CWD, path, kind, Mode::from(0o666), makedev(major, minor)).ok();
    match kind {
        Kind::Nothing => {}
        Kind::Regular => {
            fs::write(path, "what was there").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
            // Root's exports keep the owner.
            let _ = std::os::unix::fs::chown(path, Some(65534), Some(65534));
        }
        Kind::Directory => fs::create_dir(path).unwrap(),
        Kind::Socket => drop(UnixListener::bind(path).unwrap()),
        Kind::Fifo => node(FileType::Fifo, 0, 0)?,
        Kind::Character => node(FileType::CharacterDevice, 1, 3)?,
        // A device that there is not: opening it fails, which is all that may happen.
        Kind::Block => node(FileType::BlockDevice, 240, 77)?,
        Kind::Stdout => symlink("/dev/stdout", path).unwrap(),
    }
    Some(())
}

/// What must not change about something that is not replaced.
fn identity(path: &Path) -> Option<(u64, u32)> {
    fs::metadata(path).ok().map(|there| (there.ino(), there.mode()))
}

fn run(mut command: Command, fifo: Option<&Path>) -> (Output, Vec<u8>) {
    let reader = fifo.map(|fifo| {
        let fifo = fifo.to_owned();
        thread::spawn(move || fs::read(fifo).unwrap())
    });
    let output = command.output().unwrap();
    let read = reader.map(|reader| reader.join().unwrap()).unwrap_or_default();
    (output, read)
}

/// One case, in a folder of its own; `false` if it cannot be made here.
fn meets(world: &World, folder: &Path, kind: Kind, links: u32, force: bool) -> bool {
    fs::create_dir_all(folder.join("elsewhere")).unwrap();
    let end = folder.join("elsewhere/end");
    if make(kind, &end).is_none() {
        return false;
    }
    // Relative and absolute links alike.
    let target = folder.join(["elsewhere/end", "link", "second"][links as usize]);
    symlink("elsewhere/end", folder.join("link")).unwrap();
    symlink(folder.join("link"), folder.join("second")).unwrap();
    let case = format!("{kind:?}, {links} links, force {force}");
    let before = identity(&end);
    let fifo = (kind == Kind::Fifo).then_some(end.as_path());
    let (output, piped) = run(world.export(&target, force), fifo);
    let done = output.status.success();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match kind {
        Kind::Nothing | Kind::Regular if force || kind == Kind::Nothing => {
            assert!(done, "{case}: {said}");
            assert!(fs::read(&end).unwrap() == world.image, "{case}");
            let now = fs::metadata(&end).unwrap();
            let mode = if kind == Kind::Nothing { 0o600 } else { 0o640 };
            assert_eq!(now.mode() & 0o777, mode, "{case}");
            if kind == Kind::Regular && is_root() {
                assert_eq!((now.uid(), now.gid()), (65534, 65534), "{case}");
            }
        }
        Kind::Fifo => assert!(done && piped == world.image, "{case}: {said}"),
        Kind::Stdout => assert!(done && output.stdout == world.image, "{case}: {said}"),
        // A container may forbid to open devices.
        Kind::Character => assert!(done || said.contains("cannot open"), "{case}: {said}"),
        Kind::Nothing | Kind::Regular | Kind::Directory | Kind::Socket | Kind::Block => {
            assert_eq!(output.status.code(), Some(1), "{case}: {said}");
            let would = !force && matches!(kind, Kind::Regular | Kind::Block);
            assert_eq!(said.contains("--force"), would, "{case}: {said}");
        }
    }
    if !matches!(kind, Kind::Nothing | Kind::Regular) || !done {
        assert_eq!(identity(&end), before, "{case}");
    }
    if kind == Kind::Regular && !force {
        assert_eq!(fs::read(&end).unwrap(), b"what was there", "{case}");
    }
    for link in ["link", "second"] {
        assert!(
            fs::symlink_metadata(folder.join(link)).unwrap().is_symlink(),
            "{case}"
        );
    }
    assert!(
        fs::read_dir(folder.join("elsewhere")).unwrap().count() <= 1,
        "{case}: remains"
    );
    true
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn nothing_but_a_regular_file_is_ever_replaced() {
    let world = World::new(60);
    let mut seen = 0;
    for kind in KINDS {
        for (links, force) in [0, 1, 2]
            .into_iter()
            .flat_map(|links| [(links, false), (links, true)])
        {
            let folder = world.dir.path().join(format!("{kind:?}-{links}-{force}"));
            seen += u32::from(meets(&world, &folder, kind, links, force));
        }
    }
    assert!(seen >= 6 * 6, "only {seen} cases could be made");
}

#[test]
fn a_link_to_itself_and_a_missing_folder_are_refused() {
    let world = World::new(60);
    let path = |name: &str| world.dir.path().join(name);
    symlink("loop", path("loop")).unwrap();
    for (target, words) in [
        ("loop", "symbolic links"),
        ("nowhere/a", "No such file"),
        ("new/", "names no file"),
    ] {
        for force in [false, true] {
            let output = world.export(&path(target), force).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{target}: {said}");
            assert!(said.contains(words), "{target}: {said}");
        }
    }
    // A descriptor that is redirected to a file appends to nothing and replaces nothing.
    let file = fs::File::create(path("redirected")).unwrap();
    let inode = file.metadata().unwrap().ino();
    let done = world
        .export(Path::new("/dev/stdout"), false)
        .stdout(file)
        .status()
        .unwrap();
    assert!(done.success());
    assert!(fs::read(path("redirected")).unwrap() == world.image);
    assert_eq!(fs::metadata(path("redirected")).unwrap().ino(), inode);
}

/// Waits until a file that matches appears in a folder.
fn wait_for(folder: &Path, matches: impl Fn(&str) -> bool) -> PathBuf {
    for _ in 0..4000 {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let found = entries
            .map(|entry| entry.path())
            .find(|path| matches(path.file_name().unwrap().to_str().unwrap()));
        if let Some(path) = found {
            return path;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("nothing appeared in {}", folder.display());
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// An import that waits for more of a pipe is stopped by each signal: its status tells which, and nothing of it is left. A
/// second one ends the program at once.
#[test]
fn a_signal_leaves_nothing_of_an_import() {
    let world = World::new(12_000);
    // Another store: pages that are there already would not be written.
    let store = world.dir.path().join("other");
    let made = world
        .command(&["init"])
        .env("REVENANT_STORE", &store)
        .status()
        .unwrap();
    assert!(made.success());
    let folder = store.join("tmp");
    for (name, sent) in common::taken() {
        let mut command = world.command(&["import", "-"]);
        command.env("REVENANT_STORE", &store);
        let mut child = command
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&world.image[..world.image.len() / 2]).unwrap();
        wait_for(&folder, |_| true);
        signal(&child, name);
        let status = child.wait().unwrap();
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(
            (status.code(), status.signal()),
            (Some(128 + sent.as_raw()), None),
            "{said}"
        );
        assert!(said.contains(&format!("interrupted by SIG{name}")), "{said}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }
    // What the caller ignores is not heard.
    let mut command = Command::new("sh");
    let script = "trap '' HUP; exec \"$0\" import - --name deaf";
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_revenant")])
        .env("REVENANT_STORE", &store);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&world.image[..world.image.len() / 2]).unwrap();
    wait_for(&folder, |_| true);
    signal(&child, "HUP");
    stdin.write_all(&world.image[world.image.len() / 2..]).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

/// A file that may not grow any further is an error like a full disk, and what a killed export left is named.
#[test]
fn a_partial_is_removed_or_named() {
    let world = World::new(3000);
    let folder = world.dir.path().join("out");
    fs::create_dir(&folder).unwrap();
    let target = folder.join("a.save");
    let export = world.export(&target, false);
    let words: Vec<_> = export
        .get_args()
        .map(|arg| arg.to_str().unwrap().to_owned())
        .collect();
    let mut limited = Command::new("sh");
    limited
        .args([
            "-c",
            "ulimit -f 64; exec \"$0\" \"$@\"",
            env!("CARGO_BIN_EXE_revenant"),
        ])
        .args(&words);
    let output = limited
        .env("REVENANT_STORE", world.dir.path().join("store"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("File too large"), "{said}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);

    let ended = Command::new("true").spawn().unwrap();
    let pid = ended.id();
    ended.wait_with_output().unwrap();
    fs::write(folder.join(format!(".a.save.{pid}.partial")), "half").unwrap();
    fs::write(
        folder.join(format!(".a.save.{}.partial", std::process::id())),
        "at work",
    )
    .unwrap();
    let output = world.export(&target, false).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!(".a.save.{pid}.partial")), "{said}");
    assert!(!said.contains(&format!(".{}.", std::process::id())), "{said}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
}

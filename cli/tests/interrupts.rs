//! A command that is stopped by a signal while it writes to a store: its status tells which signal, it leaves no unfinished file,
//! and the store is as whole as before.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::fs;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use common::{copy_store, import, revenant, taken};
use revenant_xen_format::testing::{Recipe, Shape};
use revenant_xen_format::{Container, GuestType};
use rustix::process::{Pid, Signal, kill_process};

/// A command may be done before the signal comes. So often it is tried.
const TRIES: usize = 40;

fn save_file(path: &Path, frames: u64) {
    let recipe = Recipe {
        guest: GuestType::Hvm,
        version: 3,
        container: Container::XlSaveFile,
        shape: Shape::Plain,
        frames,
        per_record: 256,
        seed: 8,
    };
    fs::write(path, recipe.build().bytes).unwrap();
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    // It may be gone.
    let _ = kill_process(pid, signal);
}

/// Runs a command on a store and sends it these signals as soon as it has begun a file there. `None`: it was faster.
fn interrupted(
    store: &Path,
    written: &Path,
    words: &[&str],
    signals: &[Signal],
) -> Option<(ExitStatus, String)> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_revenant"))
        .args(words)
        .env("REVENANT_STORE", store)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = || fs::read_dir(written.join("tmp")).unwrap().next().is_some();
    while child.try_wait().unwrap().is_none() && !begun() {
        std::thread::yield_now();
    }
    // It stands still meanwhile, and so gets all of them before it goes on.
    signal(&child, Signal::STOP);
    for sent in signals {
        signal(&child, *sent);
    }
    signal(&child, Signal::CONT);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (!output.status.success()).then_some((output.status, said))
}

struct World {
    dir: tempfile::TempDir,
}

impl World {
    /// The command's words, the store that it is run on and the one that it writes to, as they are before each try.
    fn prepare(&self, command: &str) -> (Vec<String>, PathBuf, PathBuf) {
        let path = |name: &str| self.dir.path().join(name);
        let text = |name: &str| path(name).display().to_string();
        let fresh = |from: &str| {
            let _ = fs::remove_dir_all(path("at-work"));
            copy_store(&path(from), &path("at-work"));
        };
        let (words, store) = match command {
            "import" => (vec!["import".to_owned(), text("large.save")], "at-work"),
            "copy" => (
                vec!["copy".into(), "large".into(), "--to".into(), text("at-work")],
                "full",
            ),
            "prune" => (
                ["prune", "--keep-last=1", "--max-unused=0"]
                    .map(str::to_owned)
                    .to_vec(),
                "at-work",
            ),
            _ => (
                vec!["verify".into(), "--repair".into(), "--from".into(), text("full")],
                "at-work",
            ),
        };
        fresh(match command {
            "import" | "copy" => "empty",
            "prune" => "crowded",
            _ => "damaged",
        });
        (words, path(store), path("at-work"))
    }

    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        save_file(&path("large.save"), 12_000);
        save_file(&path("part.save"), 9_000);
        assert_eq!(revenant(&path("empty"), &["init"]).status, Some(0));
        import(&path("full"), &path("large.save"), "large");
        import(&path("crowded"), &path("large.save"), "large");
        import(&path("crowded"), &path("part.save"), "large");
        copy_store(&path("full"), &path("damaged"));
        let segments = fs::read_dir(path("damaged").join("segments")).unwrap();
        let segment = segments.flatten().next().unwrap().path();
        let file = fs::OpenOptions::new().write(true).open(segment).unwrap();
        file.write_all_at(b"rotten", 100).unwrap();
        World { dir }
    }
}

#[test]
fn a_signal_leaves_nothing_unfinished_in_a_store() {
    let world = World::new();
    for command in ["import", "copy", "prune", "repair"] {
        for (name, sent) in taken() {
            let what = format!("{command}, SIG{name}");
            let stopped = (0..TRIES).find_map(|_| {
                let (words, store, written) = world.prepare(command);
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                interrupted(&store, &written, &words, &[sent]).map(|ended| (ended, written))
            });
            let ((status, said), written) = stopped.unwrap_or_else(|| panic!("{what}: always faster"));
            assert_eq!(status.code(), Some(128 + sent.as_raw()), "{what}: {said}");
            assert!(
                said.contains(&format!("interrupted by SIG{name}")),
                "{what}: {said}"
            );
            assert_eq!(fs::read_dir(written.join("tmp")).unwrap().count(), 0, "{what}");
            let verified = revenant(&written, &["verify"]);
            let expected = if command == "repair" { [0, 3] } else { [0, 0] };
            assert!(
                verified.status.is_some_and(|status| expected.contains(&status)),
                "{what}: {verified:?}"
            );
        }
    }
}

#[test]
fn a_second_signal_ends_a_command_at_once() {
    // Two of one kind would come as one.
    let [(_, first), (_, second), ..] = taken()[..] else {
        return;
    };
    let world = World::new();
    let at_once = (0..TRIES).any(|_| {
        let (words, store, written) = world.prepare("copy");
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ended = interrupted(&store, &written, &words, &[first, second]);
        ended.is_some_and(|(status, _)| status.signal().is_some())
    });
    assert!(at_once);
}

//! What goes wrong beside the store is told as what it is: outputs that cannot be written or must not be, files that may not be
//! read, names whose checkpoints a prune takes away meanwhile.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use common::{copy_store, import, revenant, save_file, snapshot};
use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;

const PROGRAM: &str = env!("CARGO_BIN_EXE_revenant");

/// A folder, a save file and a store with a checkpoint of it.
fn store() -> (tempfile::TempDir, PathBuf, PathBuf, String) {
    let dir = tempfile::tempdir().unwrap();
    let (file, store) = (dir.path().join("guest.save"), dir.path().join("store"));
    save_file(&file, 2);
    let id = import(&store, &file, "web");
    (dir, file, store, id)
}

fn command(store: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(args)
        .env("REVENANT_STORE", store)
        .stdin(Stdio::null());
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_commit_that_cannot_be_told_of_is_named_all_the_same() {
    let (dir, file, store, _) = store();
    let target = dir.path().join("target");
    let import = ["import", file.to_str().unwrap(), "--name=other"];
    let copy = ["copy", "web", "--init", "--to", target.to_str().unwrap()];
    for (args, written) in [(&import[..], &store), (&copy, &target)] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ended = command(&store, args).stdout(full).output().unwrap();
        let newest = revenant(written, &["list", "--json"]).json();
        let id = newest["checkpoints"].as_array().unwrap().last().unwrap()["id"].clone();
        let said = stderr(&ended);
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert!(said.contains(id.as_str().unwrap()), "{said}");
        assert!(
            said.contains("was committed") && said.contains("standard output"),
            "{said}"
        );
    }
}

#[test]
fn an_export_to_a_standard_output_that_is_closed_fails() {
    let (_dir, _, store, _) = store();
    for output in ["-", "/dev/stdout"] {
        let script = format!("exec {PROGRAM} export web -o {output} >&-");
        let ended = Command::new("sh")
            .args(["-c", &script])
            .env("REVENANT_STORE", &store)
            .output()
            .unwrap();
        assert_eq!(ended.status.code(), Some(1), "{output}: {}", stderr(&ended));
    }
    let null = command(&store, &["export", "web", "-o", "-"])
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(null.success());
}

#[test]
fn nothing_is_exported_into_the_store() {
    let (dir, _, store, id) = store();
    let link = dir.path().join("way");
    symlink(&store, &link).unwrap();
    symlink(store.join("new"), dir.path().join("name")).unwrap();
    let before = snapshot(&store.join("checkpoints"));
    for output in [
        store.join("checkpoints").join(&id),
        store.join("tmp/0"),
        store.join("new"),
        link.join("checkpoints").join(&id),
        link.join("../store/new"),
        dir.path().join("name"),
    ] {
        let ended = revenant(
            &store,
            &["export", "web", "--force", "-o", output.to_str().unwrap()],
        );
        assert_eq!(ended.status, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("is in the store"), "{ended:?}");
        assert_eq!(snapshot(&store.join("checkpoints")), before);
        assert!(!store.join("new").exists());
    }
    let beside = dir.path().join("store-2");
    let ended = revenant(&store, &["export", "web", "-o", beside.to_str().unwrap()]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
}

/// Runs a command as somebody who is not root: root may read everything.
fn as_nobody(store: &Path, args: &[&str]) -> Output {
    let mut command = command(store, args);
    if geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    command.output().unwrap()
}

/// Gives a store to whom [`as_nobody`] runs commands as.
fn give_away(path: &Path) {
    if !geteuid().is_root() {
        return;
    }
    chown(path, Some(65534), Some(65534)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give_away(&entry.unwrap().path());
        }
    }
}

#[test]
fn a_file_that_may_not_be_read_is_denied_and_not_damaged() {
    let (dir, file, store, _) = store();
    give_away(dir.path());
    let import = ["import", file.to_str().unwrap(), "--name=other"];
    let header = store.join("revenant-store");
    fs::set_permissions(&header, Permissions::from_mode(0o000)).unwrap();
    let ended = as_nobody(&store, &import);
    let said = stderr(&ended);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(
        said.contains("denied: revenant-store") && said.contains("with mode 000"),
        "{said}"
    );
    assert!(!said.contains("damaged"), "{said}");
    let doctor = as_nobody(&store, &["doctor", "--store", store.to_str().unwrap()]);
    assert_eq!(doctor.status.code(), Some(1), "{}", stderr(&doctor));
    fs::set_permissions(&header, Permissions::from_mode(0o600)).unwrap();
    // The same of notes stops nobody.
    let bad = store.join("bad");
    fs::create_dir(&bad).unwrap();
    give_away(&bad);
    fs::set_permissions(&bad, Permissions::from_mode(0o000)).unwrap();
    let next = store.join("lock.next");
    File::create(&next).unwrap();
    give_away(&next);
    fs::set_permissions(&next, Permissions::from_mode(0o000)).unwrap();
    let commands: [&[&str]; 4] = [
        &["list"],
        &import,
        &["export", "web", "-o", "-"],
        &["prune", "--keep-last=1"],
    ];
    for args in commands {
        let ended = as_nobody(&store, args);
        assert_eq!(ended.status.code(), Some(0), "{args:?}: {}", stderr(&ended));
    }
    let verified = as_nobody(&store, &["verify"]);
    let said = stderr(&verified);
    assert_eq!(verified.status.code(), Some(3), "{said}");
    assert!(said.contains("bad: cannot be read"), "{said}");
    fs::set_permissions(&bad, Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_name_stands_for_what_is_there_once_a_prune_is_over() {
    let (dir, file, base, old) = store();
    let old_only = snapshot(&base.join("checkpoints"));
    let new = import(&base, &file, "web");
    let copy = dir.path().join("copy");
    let commands: [&[&str]; 4] = [
        &["copy", "web", "--init", "--json", "--to", copy.to_str().unwrap()],
        &["export", "web", "-o", "-"],
        &["show", "web", "--json"],
        &["verify", "web"],
    ];
    for args in commands {
        // The newest is gone while a prune is at work, and another has come before it is over.
        let store = dir.path().join("store-2");
        copy_store(&base, &store);
        let (old_path, new_path) = (
            store.join("checkpoints").join(&old),
            store.join("checkpoints").join(&new),
        );
        let bytes = fs::read(&new_path).unwrap();
        fs::remove_file(&new_path).unwrap();
        assert_eq!(snapshot(&store.join("checkpoints")).len(), old_only.len());
        let lock = File::open(store.join("lock")).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        let mut waiting = command(&store, args);
        let waiting = waiting
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(300));
        fs::write(&new_path, &bytes).unwrap();
        fs::remove_file(&old_path).unwrap();
        drop(lock);
        let ended = waiting.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{args:?}: {}", stderr(&ended));
        fs::remove_dir_all(&store).unwrap();
    }
}

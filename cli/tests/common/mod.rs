//! What tests of the command share: running it with a time limit, save files, and what is in a store.

#![allow(dead_code, reason = "not every test needs all of it")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use revenant_xen_format::testing::{Recipe, Shape};
use revenant_xen_format::{Container, GuestType};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// What was typed.
    pub(crate) command: String,
    /// `None`: it did not end by itself.
    pub(crate) status: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// A command that takes longer than this hangs.
const LIMIT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Runs `revenant` on a store, without an input.
pub(crate) fn revenant(store: &Path, args: &[&str]) -> Ended {
    let child = Command::new(env!("CARGO_BIN_EXE_revenant"))
        .args(args)
        .env("REVENANT_STORE", store)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    end(child, args.join(" "))
}

fn end(mut child: Child, command: String) -> Ended {
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let stdout = thread::spawn(move || {
        let mut bytes = Vec::new();
        out.read_to_end(&mut bytes).map(|_| bytes)
    });
    let stderr = thread::spawn(move || {
        let mut bytes = Vec::new();
        err.read_to_end(&mut bytes).map(|_| bytes)
    });
    let mut waited = Duration::ZERO;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status.code(),
            None if waited > LIMIT => {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            None => {
                thread::sleep(LOOK_EVERY);
                waited += LOOK_EVERY;
            }
        }
    };
    Ended {
        command,
        status,
        stdout: stdout.join().unwrap().unwrap(),
        stderr: String::from_utf8_lossy(&stderr.join().unwrap().unwrap()).into_owned(),
    }
}

impl Ended {
    /// Ended by itself, with one of the documented statuses, and did not panic.
    pub(crate) fn is_civil(&self) -> bool {
        self.status.is_some_and(|status| (0..=4).contains(&status)) && !self.stderr.contains("panicked")
    }

    /// What `--json` printed.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Writes a small save file whose content depends on the seed.
pub(crate) fn save_file(path: &Path, seed: u64) -> Vec<u8> {
    let recipe = Recipe {
        guest: GuestType::Hvm,
        version: 3,
        container: Container::XlSaveFile,
        shape: Shape::Plain,
        frames: 60,
        per_record: 32,
        seed,
    };
    let bytes = recipe.build().bytes;
    fs::write(path, &bytes).unwrap();
    bytes
}

/// Takes a save file into a store, made if it is not there; the id.
pub(crate) fn import(store: &Path, file: &Path, guest: &str) -> String {
    let name = format!("--name={guest}");
    let imported = revenant(
        store,
        &["import", file.to_str().unwrap(), &name, "--init", "--json"],
    );
    assert_eq!(imported.status, Some(0), "{imported:?}");
    imported.json()["id"].as_str().unwrap().to_owned()
}

/// Everything below a directory that a command could change: kinds, and the content of files.
pub(crate) fn snapshot(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        let content = if kind.is_dir() {
            found.extend(snapshot(&entry.path()));
            b"directory".to_vec()
        } else if kind.is_file() {
            fs::read(entry.path()).unwrap()
        } else if kind.is_symlink() {
            fs::read_link(entry.path())
                .unwrap()
                .into_os_string()
                .into_encoded_bytes()
        } else {
            let meta = entry.metadata().unwrap();
            let special = kind.is_fifo() || kind.is_socket() || kind.is_char_device();
            assert!(special, "{entry:?}");
            format!("special {:o} {}", meta.mode(), meta.rdev()).into_bytes()
        };
        found.insert(entry.path(), content);
    }
    found
}

/// A copy of a store as `cp -a` makes it.
pub(crate) fn copy_store(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

/// The signals that a command takes here. What was ignored when the test was started stays ignored: in the background of a shell
/// that is SIGINT, under `nohup` SIGHUP.
pub(crate) fn taken() -> Vec<(&'static str, Signal)> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let ignored = u64::from_str_radix(mask.trim(), 16).unwrap();
    let all = [("TERM", Signal::TERM), ("INT", Signal::INT), ("HUP", Signal::HUP)];
    let is_taken = |signal: Signal| ignored >> (signal.as_raw() - 1) & 1 == 0;
    all.into_iter().filter(|(_, signal)| is_taken(*signal)).collect()
}

/// Runs `revenant` on a terminal of so many columns, with what it writes to standard output and error on it; the lines as a
/// terminal gets them, one for each time that a progress bar is drawn.
pub(crate) fn on_terminal(store: &Path, columns: u16, args: &[&str]) -> Vec<String> {
    let (terminal, end) = terminal(columns);
    let mut child = Command::new(env!("CARGO_BIN_EXE_revenant"))
        .args(args)
        .env("REVENANT_STORE", store)
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .stdout(end.try_clone().unwrap())
        .stderr(end)
        .spawn()
        .unwrap();
    let reader = thread::spawn(move || {
        let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
        // A terminal that nobody holds any more ends with an error.
        while let Ok(n @ 1..) = (&terminal).read(&mut piece) {
            bytes.extend(&piece[..n]);
        }
        bytes
    });
    child.wait().unwrap();
    let text = String::from_utf8(reader.join().unwrap()).unwrap();
    without_escapes(&text)
        .split(['\r', '\n'])
        .map(|line| line.trim_end().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

/// A terminal, from outside and from inside.
fn terminal(columns: u16) -> (fs::File, fs::File) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let outside = openpt(flags).unwrap();
    grantpt(&outside).unwrap();
    unlockpt(&outside).unwrap();
    let inside = ioctl_tiocgptpeer(&outside, flags).unwrap();
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&inside, size).unwrap();
    (outside.into(), inside.into())
}

fn without_escapes(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // A control sequence ends with a letter.
            let _ = chars.find(char::is_ascii_alphabetic);
        } else {
            out.push(c);
        }
    }
    out
}

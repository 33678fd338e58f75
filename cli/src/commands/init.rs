//! How a directory becomes a store: because somebody says so. A mistyped `--store` makes none.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use revenant_core::Store;
use revenant_core::medium::DirectoryMedium;

use super::open_store;
use crate::Outcome;
use crate::args::{InitArgs, MakeArg};
use crate::output::print;

/// What a half-made store may hold.
const OURS: [&str; 13] = [
    "tmp",
    "segments",
    "checkpoints",
    "catalogue",
    "catalogue-begun",
    "catalogue-lock",
    "catalogue-lock.next",
    "catalogue-lock.by",
    "bad",
    "leases",
    "lock",
    "lock.next",
    "lock.by",
];
/// What a file system puts at its root.
const LOST_AND_FOUND: &str = "lost+found";

pub(crate) fn init(args: &InitArgs) -> Result<Outcome> {
    let dir = &args.store;
    let there = dir.join(Store::HEADER).exists();
    make(dir)?.keep();
    open_store(dir)?;
    let what = if there {
        "is a store already"
    } else {
        "is a store now"
    };
    print(&format!("{} {what}\n", dir.display()))?;
    Ok(Outcome::Done)
}

/// Opens the store in a directory for a command that writes, making it first if that was asked for. One that was made is
/// undone with the [`NewStore`], unless that is kept. `named_by` says how another is named.
pub(super) fn open_for_writing(
    dir: &Path,
    asked: MakeArg,
    named_by: &str,
    open: impl FnOnce(&Path) -> Result<Store>,
) -> Result<(Store, NewStore)> {
    let made = if asked.init {
        make(dir)?
    } else {
        NewStore::default()
    };
    match open(dir) {
        Err(error) => Err(match error.downcast_ref::<NoStore>() {
            Some(_) if has_manifests(dir) => anyhow!(
                "the store in {0} has lost its header: `revenant verify --repair --store {0}` makes it anew",
                dir.display()
            ),
            Some(none) => none.with_hint(&format!("{}, or --init here; {named_by}", none.remedy())),
            None => error,
        }),
        Ok(store) => Ok((store, made)),
    }
}

/// How most commands are told of a store.
pub(super) const NAMED_BY_STORE: &str = "another is named by --store or REVENANT_STORE";

/// A directory that was named as a store is none.
#[derive(Debug)]
pub(crate) struct NoStore {
    dir: PathBuf,
    why: String,
}

impl NoStore {
    pub(super) fn without_directory(dir: &Path) -> Option<Self> {
        let why = match fs::metadata(dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => "there is no such directory",
            Ok(there) if !there.is_dir() => "it is a file, and a store is a directory",
            _ => return None,
        };
        Some(NoStore {
            dir: dir.to_owned(),
            why: why.to_owned(),
        })
    }

    pub(super) fn without_header(dir: &Path, header: &str) -> Self {
        NoStore {
            dir: dir.to_owned(),
            why: format!("it has no file {header}"),
        }
    }

    pub(crate) fn remedy(&self) -> String {
        let if_empty = if self.dir.is_dir() {
            " of an empty directory"
        } else {
            ""
        };
        format!(
            "`revenant init --store {}` makes one{if_empty}",
            self.dir.display()
        )
    }

    /// The error, with another hint than that the store may be elsewhere.
    pub(super) fn with_hint(&self, hint: &str) -> anyhow::Error {
        anyhow!("{self:#}\n{hint}")
    }
}

/// Plain with what to do about it, `{:#}` without.
impl fmt::Display for NoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is no store: {}", self.dir.display(), self.why)?;
        if f.alternate() {
            return Ok(());
        }
        write!(f, "\n{}; {NAMED_BY_STORE}", self.remedy())
    }
}

impl std::error::Error for NoStore {}

/// Whether something lies where a store has its manifests.
fn has_manifests(dir: &Path) -> bool {
    fs::read_dir(dir.join("checkpoints")).is_ok_and(|mut entries| entries.next().is_some())
}

/// Makes a directory a store, with the directories above it.
fn make(dir: &Path) -> Result<NewStore> {
    let context = || format!("cannot make a store in {}", dir.display());
    if dir.join(Store::HEADER).exists() {
        return Ok(NewStore::default());
    }
    if let Some(stranger) = stranger(dir).with_context(context)? {
        bail!(
            "cannot make a store in {}: it is not empty, it has {stranger:?}",
            dir.display()
        );
    }
    let missing = dir
        .ancestors()
        .take_while(|above| !above.as_os_str().is_empty() && !above.exists());
    let new = NewStore {
        root: Some(dir.to_owned()),
        folders: missing.map(Path::to_owned).collect(),
    };
    let medium = DirectoryMedium::create(dir).with_context(context)?;
    Store::create(&medium).with_context(context)?;
    Ok(new)
}

/// Something in the directory that no store has.
fn stranger(dir: &Path) -> std::io::Result<Option<String>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !OURS.contains(&name.as_str()) && name != LOST_AND_FOUND && !name.starts_with('.') {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// A store that was made for the command at hand. Dropped, it is removed again if nothing came into it: a failed import
/// leaves no new store behind.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct NewStore {
    /// `None`: it was there before, or is kept.
    root: Option<PathBuf>,
    /// The directories that were made, the innermost first.
    folders: Vec<PathBuf>,
}

impl NewStore {
    /// It is of use and stays.
    pub(crate) fn keep(mut self) {
        self.root = None;
    }

    /// Directories first, of which only empty ones go: if another process is at work in the store already it stays whole.
    fn remove(&self, root: &Path) -> std::io::Result<()> {
        let entries: Vec<_> = fs::read_dir(root)?.collect::<Result<_, _>>()?;
        let (folders, files): (Vec<_>, Vec<_>) = entries
            .iter()
            .filter(|entry| {
                let name = entry.file_name();
                name == Store::HEADER || OURS.iter().any(|&ours| name == ours)
            })
            .partition(|entry| entry.path().is_dir());
        folders
            .iter()
            .try_for_each(|folder| fs::remove_dir(folder.path()))?;
        files.iter().try_for_each(|file| fs::remove_file(file.path()))?;
        self.folders.iter().try_for_each(fs::remove_dir)
    }
}

impl Drop for NewStore {
    fn drop(&mut self) {
        if let Some(root) = self.root.take() {
            // An empty store that stays does no harm.
            let _ = self.remove(&root);
        }
    }
}

//! How a directory becomes a store: because somebody says so. A mistyped `--store` makes none.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use revenant_core::Store;
use revenant_core::medium::DirectoryMedium;
use revenant_core::store::StoreError;

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
/// undone with the [`NewStore`], unless that is kept.
pub(super) fn open_for_writing(
    dir: &Path,
    asked: MakeArg,
    open: impl FnOnce(&Path) -> Result<Store>,
) -> Result<(Store, NewStore)> {
    let made = if asked.init {
        make(dir)?
    } else {
        NewStore::default()
    };
    let missing = |error: &anyhow::Error| {
        let not_a_store = |cause: &StoreError| matches!(cause, StoreError::NotAStore { .. });
        !dir.exists()
            || error
                .chain()
                .filter_map(|cause| cause.downcast_ref())
                .any(not_a_store)
    };
    match open(dir) {
        Err(error) if missing(&error) && has_manifests(dir) => bail!(
            "the store in {0} has lost its header: `revenant verify --repair --store {0}` makes it anew",
            dir.display()
        ),
        Err(error) if missing(&error) => bail!(
            "there is no store in {0}: make one with `revenant init --store {0}`, or give --init",
            dir.display()
        ),
        store => Ok((store?, made)),
    }
}

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

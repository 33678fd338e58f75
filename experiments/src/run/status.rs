//! How far a run and its shards have come, while they run or after.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde::Serialize;

use super::RunError;
use super::folder::{Folder, MANIFEST, TRIALS};
use crate::manifest::{Manifest, Status};

/// How far one folder has come.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FolderStatus {
    /// Its name: of a shard its folder's, of the whole `.`.
    pub folder: String,
    /// What its manifest says.
    pub status: Status,
    /// Rows on disk, whole ones.
    pub trials_done: u64,
    /// Rows there will be.
    pub trials: u64,
    /// When a process last began to work on it, UTC.
    pub started: String,
    /// When that process ended; `None`: it is at work, or was killed.
    pub stopped: Option<String>,
    /// Files of a complete run that are not what its manifest says, or gone, and a `trials.csv` with another number of rows than
    /// there should be.
    pub damaged: Vec<String>,
}

/// The run in a folder and its shards, the whole first if it was begun or merged.
pub fn status(dir: &Path) -> Result<Vec<FolderStatus>, RunError> {
    let mut found = Vec::new();
    if dir.join(MANIFEST).exists() {
        found.push(of(dir, ".")?);
    }
    let entries = std::fs::read_dir(dir).map_err(|source| RunError::io("read", dir, source))?;
    let mut shards = Vec::new();
    for entry in entries {
        let path = entry.map_err(|source| RunError::io("read", dir, source))?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let number = name
            .strip_prefix("shard-")
            .and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if let Some(number) = number.filter(|_| path.join(MANIFEST).exists()) {
            shards.push((number, name, path));
        }
    }
    shards.sort();
    for (_, name, path) in &shards {
        found.push(of(path, name)?);
    }
    if found.is_empty() {
        return Err(RunError::NoRun { path: dir.to_owned() });
    }
    Ok(found)
}

fn of(path: &Path, name: &str) -> Result<FolderStatus, RunError> {
    let folder = Folder::existing(path)?;
    let manifest = manifest_of(&folder)?;
    let trials = folder.file(TRIALS);
    // Of published results the manifest alone tells.
    let trials_done = if manifest.status == Status::Complete && !trials.exists() {
        manifest.counts.trials_done
    } else {
        rows(&trials)?
    };
    Ok(FolderStatus {
        folder: name.to_owned(),
        status: manifest.status,
        trials_done,
        trials: manifest.identity.trials,
        damaged: damaged_of(&folder, &manifest)?,
        started: manifest.started,
        stopped: manifest.stopped,
    })
}

/// Files in a folder that are not what the manifest of its complete run says. Nothing of a folder without a manifest, or of a run
/// that is not complete.
pub fn damaged(dir: &Path) -> Result<Vec<String>, RunError> {
    let folder = Folder::of(dir);
    if !folder.holds_run() {
        return Ok(Vec::new());
    }
    damaged_of(&folder, &manifest_of(&folder)?)
}

fn manifest_of(folder: &Folder) -> Result<Manifest, RunError> {
    serde_json::from_slice(&folder.read(MANIFEST)?).map_err(|source| RunError::BadManifest {
        path: folder.file(MANIFEST),
        source,
    })
}

fn damaged_of(folder: &Folder, manifest: &Manifest) -> Result<Vec<String>, RunError> {
    let mut damaged = Vec::new();
    if manifest.status != Status::Complete {
        return Ok(damaged);
    }
    for (name, digest) in &manifest.outputs_blake3 {
        let path = folder.file(name);
        // Published results leave out what a command makes again.
        if !path.exists() {
            if name != TRIALS {
                damaged.push(name.clone());
            }
            continue;
        }
        let is_whole = name != TRIALS || rows(&path)? == manifest.identity.trials;
        if !is_whole || folder.digest(name, super::threads(0))? != *digest {
            damaged.push(name.clone());
        }
    }
    Ok(damaged)
}

/// Whole lines of a file, the header left out.
fn rows(path: &Path) -> Result<u64, RunError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        file => file.map_err(|source| RunError::io("read", path, source))?,
    };
    let mut lines = 0u64;
    let mut line = Vec::new();
    let mut file = BufReader::new(file);
    while file
        .read_until(b'\n', &mut line)
        .map_err(|source| RunError::io("read", path, source))?
        > 0
    {
        lines += u64::from(line.ends_with(b"\n"));
        line.clear();
    }
    Ok(lines.saturating_sub(1))
}

//! The folder of a run: the one place where this crate touches files.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::RunError;
use super::digest::digest;
use super::lock::{FolderLock, LOCK};
use crate::plot::REPORT;

/// The spec as run.
pub const SPEC: &str = "spec.toml";
/// What ran where, from which seed, with which result.
pub const MANIFEST: &str = "manifest.json";
/// A row a trial.
pub const TRIALS: &str = "trials.csv";
/// A row a trial at level `cluster`: what became of all its jobs.
pub const CLUSTER: &str = "cluster.csv";
/// A row a job of these, if the spec wants them.
pub const JOBS: &str = "jobs.csv";
/// A row a cell.
pub const SUMMARY: &str = "summary.csv";
/// A row a policy and its baseline: differences trial by trial.
pub const PAIRED: &str = "paired.csv";
/// Closed forms to draw under it.
pub const THEORY: &str = "theory.csv";
/// How long captures suspended the guest.
pub const DOWNTIME: &str = "downtime.hlog";
/// How long recoveries took.
pub const RECOVERY: &str = "recovery.hlog";
/// Where the figures go.
pub const FIGURES: &str = "figures";

/// The files a run writes, and which `overwrite` may therefore remove.
const FILES: [&str; 10] = [
    SPEC, MANIFEST, TRIALS, CLUSTER, JOBS, SUMMARY, PAIRED, THEORY, DOWNTIME, RECOVERY,
];

/// A run's folder.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder of a run that is to be written, made if it is not there, and nobody else's from now on. One that holds something,
    /// and no run, is refused and left as it is.
    pub(super) fn claim(path: &Path) -> Result<(Folder, FolderLock), RunError> {
        let folder = Folder::of(path);
        folder.refuse_others_things()?;
        fs::create_dir_all(path).map_err(|source| RunError::io("create", path, source))?;
        let lock = FolderLock::to_write(path)?;
        folder.refuse_others_things()?;
        Ok((folder, lock))
    }

    fn refuse_others_things(&self) -> Result<(), RunError> {
        let occupied = match fs::read_dir(&self.path) {
            Ok(mut entries) => entries.any(|entry| !entry.is_ok_and(|entry| is_nobodys(&entry))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(source) => return Err(RunError::io("read", &self.path, source)),
        };
        if occupied && !self.holds_run() {
            let path = self.path.clone();
            return Err(RunError::NotARun { path });
        }
        Ok(())
    }

    /// Whether a run was begun here.
    pub(super) fn holds_run(&self) -> bool {
        self.file(MANIFEST).exists()
    }

    /// Makes room for a new run: what an earlier one has left goes, if it may be overwritten, and nothing else. Its manifest stays
    /// until it is replaced, so that the folder is one of a run whenever this process ends.
    pub(super) fn clear(&self, overwrite: bool) -> Result<(), RunError> {
        if !self.holds_run() {
            return Ok(());
        }
        if !overwrite {
            let path = self.path.clone();
            return Err(RunError::Exists { path });
        }
        for name in FILES.into_iter().filter(|name| *name != MANIFEST) {
            self.remove(name)?;
        }
        self.remove(REPORT)?;
        self.remove_figures()
    }

    /// The folder of a run that was begun.
    pub(super) fn existing(path: &Path) -> Result<Folder, RunError> {
        let folder = Folder::of(path);
        if folder.holds_run() {
            Ok(folder)
        } else {
            Err(RunError::NoRun {
                path: path.to_owned(),
            })
        }
    }

    /// A folder that is there.
    pub(super) fn of(path: &Path) -> Folder {
        Folder {
            path: path.to_owned(),
        }
    }

    /// Figures of an earlier run and their captions: none may outlive its data.
    fn remove_figures(&self) -> Result<(), RunError> {
        let path = self.file(FIGURES);
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(|source| RunError::io("read", &path, source))?,
        };
        for entry in entries {
            let file = entry
                .map_err(|source| RunError::io("read", &path, source))?
                .path();
            if file
                .extension()
                .is_some_and(|extension| extension == "svg" || extension == "png" || extension == "txt")
            {
                fs::remove_file(&file).map_err(|source| RunError::io("remove", &file, source))?;
            }
        }
        Ok(())
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Replaces a file in one step: after a crash it is the old one or the new one.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> Result<(), RunError> {
        let path = self.file(name);
        self.write_with(name, |file| {
            let write = file.write_all(content);
            write.map_err(|source| RunError::io("write", &path, source))
        })
    }

    /// The same for what is too large to be held.
    pub(super) fn write_with(
        &self,
        name: &str,
        content: impl FnOnce(&mut io::BufWriter<File>) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        let path = self.file(name);
        let staged = self.file(&format!(".{name}.new"));
        let failed = |source| RunError::io("write", &path, source);
        let mut writer = io::BufWriter::new(File::create(&staged).map_err(failed)?);
        content(&mut writer)?;
        let publish = || -> io::Result<()> {
            let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.sync_all()?;
            fs::rename(&staged, &path)?;
            File::open(&self.path)?.sync_all()
        };
        publish().map_err(failed)
    }

    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>, RunError> {
        let path = self.file(name);
        fs::read(&path).map_err(|source| RunError::io("read", &path, source))
    }

    fn remove(&self, name: &str) -> Result<(), RunError> {
        let path = self.file(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(RunError::io("remove", &path, source))
            }
            _ => Ok(()),
        }
    }

    /// Opens a file for appending after its first `keep_bytes`, cutting off the rest; made if it is not there.
    pub(super) fn append_after(&self, name: &str, keep_bytes: u64) -> Result<LineFile, RunError> {
        let path = self.file(name);
        let open = || -> io::Result<File> {
            let file = fs::OpenOptions::new().create(true).append(true).open(&path)?;
            file.set_len(keep_bytes)?;
            Ok(file)
        };
        let file = open().map_err(|source| RunError::io("open", &path, source))?;
        Ok(LineFile {
            writer: io::BufWriter::new(file),
            path,
        })
    }

    /// BLAKE3 of a file in hex, for the manifest; by `jobs` threads.
    pub(super) fn digest(&self, name: &str, jobs: usize) -> Result<String, RunError> {
        let path = self.file(name);
        let digest = digest(&path, jobs).map_err(|source| RunError::io("read", &path, source))?;
        Ok(digest.to_hex().to_string())
    }
}

/// A lock, or a file that was being staged when its process was killed.
fn is_nobodys(entry: &fs::DirEntry) -> bool {
    let name = entry.file_name();
    let name = name.to_string_lossy();
    name.starts_with(LOCK) || FILES.iter().any(|file| *name == format!(".{file}.new"))
}

/// A text file that grows line by line.
#[derive(Debug)]
pub(super) struct LineFile {
    writer: io::BufWriter<File>,
    path: PathBuf,
}

impl LineFile {
    pub(super) fn append(&mut self, line: &str) -> Result<(), RunError> {
        let write = self.writer.write_all(line.as_bytes());
        write.map_err(|source| RunError::io("append to", &self.path, source))
    }

    /// Hands everything to the operating system: from then on the death of this process loses nothing of it.
    pub(super) fn flush(&mut self) -> Result<(), RunError> {
        self.writer
            .flush()
            .map_err(|source| RunError::io("append to", &self.path, source))
    }

    /// Makes everything durable.
    pub(super) fn sync(&mut self) -> Result<(), RunError> {
        self.flush()?;
        self.writer
            .get_ref()
            .sync_all()
            .map_err(|source| RunError::io("sync", &self.path, source))
    }
}

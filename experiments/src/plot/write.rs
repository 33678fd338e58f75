//! Where figures go: a file is there whole, or as it was before.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::PlotError;

/// The folder of figures.
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) fn create(path: PathBuf) -> Result<Folder, PlotError> {
        fs::create_dir_all(&path).map_err(|source| PlotError::write(&path, source))?;
        Ok(Folder { path })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Replaces a file in one step.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<PathBuf, PlotError> {
        let path = self.path(name);
        let staged = self.path(&format!(".{name}.new"));
        self.replace(&staged, &path, content)
            .map_err(|source| PlotError::write(&path, source))?;
        Ok(path)
    }

    fn replace(&self, staged: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut file = File::create(staged)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(staged, path)?;
        File::open(&self.path)?.sync_all()
    }
}

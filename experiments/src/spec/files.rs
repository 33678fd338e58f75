//! ① Files that a spec names: failure logs and traces of jobs.
//!
//! A log of others is not copied into the folder of a run, and may not lie beside the spec: then it is looked for in the folder
//! of data that the user names.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use super::failures::RawLog;
use crate::failures::Recorded;
use crate::logs::LogError;

/// Where the files that a spec names are.
#[derive(Debug)]
pub(super) struct Files<'a> {
    spec: &'a Path,
    data: Option<&'a Path>,
    /// Logs that were read. A sweep has thousands of settings, and most of them share one.
    logs: RefCell<Vec<(RawLog, Recorded)>>,
}

impl<'a> Files<'a> {
    pub(super) fn new(spec: &'a Path, data: Option<&'a Path>) -> Files<'a> {
        Files {
            spec,
            data,
            logs: RefCell::default(),
        }
    }

    /// The spec itself.
    pub(super) fn spec(&self) -> &'a Path {
        self.spec
    }

    /// Beside the spec if it is there, else in the folder of data; if it is in neither, where it should have been.
    pub(super) fn find(&self, file: &Path) -> PathBuf {
        let beside = self.spec.parent().unwrap_or(Path::new("")).join(file);
        match self.data.map(|data| data.join(file)) {
            Some(in_data) if !beside.exists() => in_data,
            _ => beside,
        }
    }

    /// The log, which is read once.
    pub(super) fn log(
        &self,
        wanted: &RawLog,
        read: impl FnOnce(&Path) -> Result<Recorded, LogError>,
    ) -> Result<Recorded, LogError> {
        let known = |(log, _): &&(RawLog, Recorded)| log == wanted;
        if let Some((_, recorded)) = self.logs.borrow().iter().find(known) {
            return Ok(recorded.clone());
        }
        let recorded = read(&self.find(wanted.file()))?;
        self.logs.borrow_mut().push((wanted.clone(), recorded.clone()));
        Ok(recorded)
    }

    /// Whether a log that was read has this one's name and is another: rows could not tell them apart.
    pub(super) fn has_namesake(&self, wanted: &RawLog) -> bool {
        self.logs
            .borrow()
            .iter()
            .any(|(log, _)| log.label() == wanted.label() && !log.is_of_the_records_of(wanted))
    }
}

//! A published result folder run again, and compared with what was published.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use revenant_core::Clock;

use super::folder::{MANIFEST, SPEC, SUMMARY};
use super::{Progress, RunError, RunOptions, run};
use crate::manifest::{Manifest, Status, logs_of};
use crate::spec::Spec;

/// What came of running a folder's experiment again.
#[derive(Debug, Clone, PartialEq)]
pub struct Reproduction {
    /// Name of the experiment.
    pub experiment: String,
    /// Trials of the run.
    pub trials: u64,
    /// The new folder.
    pub out: PathBuf,
    /// Outputs with the digest that the published manifest has.
    pub identical: Vec<String>,
    /// Outputs with another.
    pub different: Vec<String>,
    /// Of a summary that differs: how many of its means lie outside the published 95 % interval, of how many.
    pub means_outside: Option<(usize, usize)>,
    /// Files of the published folder that are not what its own manifest says.
    pub tampered: Vec<String>,
    /// It was stopped on request.
    pub interrupted: bool,
}

impl Reproduction {
    /// Every output came out to the byte, and the published files are those of their manifest.
    pub fn is_exact(&self) -> bool {
        self.different.is_empty() && self.tampered.is_empty() && !self.interrupted
    }
}

/// Runs the spec of a folder again, with the seed and the trials of its manifest, into `out` (replaced if it holds a run), and
/// compares digests. The folder needs its manifest and spec alone; files of it that are there are checked against the manifest. Failure
/// logs that it replays are looked for in `data`, and must be the ones of the manifest.
pub fn reproduce(
    published: &Path,
    data: Option<&Path>,
    out: &Path,
    jobs: usize,
    clock: &dyn Clock,
    progress: &mut (dyn FnMut(Progress) + Send),
    cancel: &AtomicBool,
) -> Result<Reproduction, RunError> {
    let manifest = read_manifest(published)?;
    let spec = Spec::load(&published.join(SPEC), data)?
        .with_identity(manifest.identity.seed, &manifest.identity.trials_a_cell);
    if let Some((name, there, here)) = other_log(&manifest.identity.logs_blake3, &logs_of(&spec)) {
        return Err(RunError::OtherLog { name, there, here });
    }
    let options = RunOptions {
        out: out.to_owned(),
        jobs,
        seed: None,
        trials: None,
        shard: None,
        resume: false,
        overwrite: true,
        command: std::env::args().collect(),
    };
    let report = run(&spec, &options, clock, progress, cancel)?;
    let fresh = read_manifest(out)?;
    let mut reproduction = Reproduction {
        experiment: manifest.experiment,
        trials: report.counts.trials_done,
        out: out.to_owned(),
        identical: Vec::new(),
        different: Vec::new(),
        means_outside: None,
        tampered: tampered(published, &manifest.outputs_blake3)?,
        interrupted: report.status != Status::Complete,
    };
    // What was not made yet is not different.
    let made = if reproduction.interrupted {
        BTreeMap::new()
    } else {
        manifest.outputs_blake3
    };
    for (name, digest) in made {
        if fresh.outputs_blake3.get(&name) == Some(&digest) {
            reproduction.identical.push(name);
        } else {
            reproduction.different.push(name);
        }
    }
    if reproduction.different.iter().any(|name| name == SUMMARY) && published.join(SUMMARY).exists() {
        reproduction.means_outside = means_outside(&published.join(SUMMARY), &out.join(SUMMARY));
    }
    Ok(reproduction)
}

/// The first log that is another one here: its name, and the digests there and here.
fn other_log(
    there: &BTreeMap<String, String>,
    here: &BTreeMap<String, String>,
) -> Option<(String, String, String)> {
    there
        .iter()
        .zip(here.values())
        .find(|((_, there), here)| there != here)
        .map(|((name, there), here)| (name.clone(), there.clone(), here.clone()))
}

fn read_manifest(folder: &Path) -> Result<Manifest, RunError> {
    let path = folder.join(MANIFEST);
    let bytes = fs::read(&path).map_err(|source| RunError::io("read", &path, source))?;
    serde_json::from_slice(&bytes).map_err(|source| RunError::BadManifest { path, source })
}

fn tampered(folder: &Path, digests: &BTreeMap<String, String>) -> Result<Vec<String>, RunError> {
    let mut tampered = Vec::new();
    for (name, digest) in digests {
        let path = folder.join(name);
        match fs::read(&path) {
            Ok(bytes) if blake3::hash(&bytes).to_hex().as_str() == digest => {}
            Ok(_) => tampered.push(name.clone()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(RunError::io("read", &path, source)),
        }
    }
    Ok(tampered)
}

/// Rows are matched by their place; `None` where the tables cannot be compared.
fn means_outside(published: &Path, fresh: &Path) -> Option<(usize, usize)> {
    const MEAN: &str = "waste_mean";
    let column = |path: &Path, name: &str| -> Option<Vec<Option<f64>>> {
        let mut reader = csv::Reader::from_path(path).ok()?;
        let index = reader.headers().ok()?.iter().position(|found| found == name)?;
        let rows = reader
            .records()
            .map(|row| Some(row.ok()?.get(index)?.parse::<f64>().ok()));
        rows.collect()
    };
    let (low, high) = (
        column(published, "waste_ci95_lo")?,
        column(published, "waste_ci95_hi")?,
    );
    let means = column(fresh, MEAN)?;
    if means.len() != low.len() {
        return None;
    }
    let outside = means
        .iter()
        .zip(low.iter().zip(&high))
        .filter(|(mean, (low, high))| match (mean, low, high) {
            (Some(mean), Some(low), Some(high)) => mean < low || mean > high,
            _ => false,
        });
    Some((outside.count(), means.len()))
}

//! Shards put together: the files of the run that nobody split.

mod histograms;

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use revenant_core::Clock;

use super::folder::{
    CLUSTER, DOWNTIME, Folder, JOBS, MANIFEST, PAIRED, RECOVERY, SPEC, SUMMARY, THEORY, TRIALS,
};
use super::lock::FolderLock;
use super::parts::Parts;
use super::shard::Shard;
use super::{RunError, RunReport, begun_in, difference, plan_of, resume, summarise};
use crate::hlog;
use crate::manifest::{Identity, Manifest, ShardRecord, Status};
use crate::plan::Plan;
use crate::record::{self, ClusterRow, JobRow, TrialRow};
use crate::spec::Spec;

/// Puts the shards in `out` together there. Refuses shards of another run, incomplete ones and damaged files; what it writes replaces an
/// earlier merge in one step a file, the manifest last.
pub fn merge(spec: &Spec, out: &Path, command: &[String], clock: &dyn Clock) -> Result<RunReport, RunError> {
    let shards = find(out)?;
    let lock = FolderLock::to_write(out)?;
    let mut reading = Vec::new();
    let mut begun = Vec::new();
    for shard in &shards {
        let folder = Folder::existing(&shard.folder(out))?;
        reading.push(FolderLock::to_read(&shard.folder(out))?);
        begun.push(begun_in(&folder)?.identity);
    }
    let spec = &spec.clone().with_identity(begun[0].seed, &begun[0].trials_a_cell);
    let plan = sized(&plan_of(spec, None)?, &shards, &begun);
    let mut records = Vec::new();
    for (&shard, begun) in shards.iter().zip(&begun) {
        records.push(check(&plan.part(shard), begun, shard, out)?);
    }
    let whole = Folder::of(out);
    let mut manifest = Manifest::begin(&plan, command, clock.now());
    manifest.warnings.extend(lock.warning());
    manifest.shards = records;
    for name in plan.stretches() {
        join(&plan, &shards, out, name)?;
    }
    whole.write(SPEC, spec.source.as_bytes())?;
    manifest.counts.trials_done = plan.trials();
    let jobs = super::threads(0);
    manifest.counts = summarise::summarise(
        &plan,
        &whole,
        &Parts::scan(&plan, &whole)?,
        jobs,
        manifest.counts,
        &mut manifest.warnings,
    )?;
    manifest.status = Status::Complete;
    for name in plan.stretches().chain([SPEC, SUMMARY, PAIRED, THEORY]) {
        manifest
            .outputs_blake3
            .insert(name.to_owned(), whole.digest(name, jobs)?);
    }
    std::iter::once(&lock)
        .chain(&reading)
        .try_for_each(FolderLock::check)?;
    manifest.stop(clock.now());
    whole.write(MANIFEST, manifest.to_json().as_bytes())?;
    Ok(RunReport {
        status: manifest.status,
        out: out.to_owned(),
        counts: manifest.counts,
        resumed_from: 0,
        warnings: manifest.warnings,
    })
}

/// The plan with the trials that each cell came to where a precision was asked for. Shards that share a cell say the same of it, or one
/// of them is refused.
fn sized(plan: &Plan, shards: &[Shard], begun: &[Identity]) -> Plan {
    let mut sizes: Vec<u32> = plan.cells.iter().map(|cell| cell.trials).collect();
    for (shard, begun) in shards.iter().zip(begun) {
        for (cell, &trials) in shard.cells(sizes.len()).zip(&begun.trials_of_cells) {
            sizes[cell] = trials;
        }
    }
    plan.resized(&sizes)
}

/// All shards of the one number of parts of which there are any, in order, whether they are there or not.
fn find(out: &Path) -> Result<Vec<Shard>, RunError> {
    let entries = std::fs::read_dir(out).map_err(|source| RunError::io("read", out, source))?;
    let mut parts = std::collections::BTreeMap::<u32, Vec<Shard>>::new();
    for entry in entries {
        let name = entry
            .map_err(|source| RunError::io("read", out, source))?
            .file_name();
        let name = name.to_string_lossy();
        let shard = name
            .strip_prefix("shard-")
            .and_then(|rest| rest.replacen("-of-", "/", 1).parse::<Shard>().ok());
        if let Some(shard) = shard {
            parts.entry(shard.of()).or_default().push(shard);
        }
    }
    let path = out.to_owned();
    let mut parts = parts.into_iter();
    match (parts.next(), parts.next()) {
        (None, _) => Err(RunError::NoShards { path }),
        (Some((one, _)), Some((other, _))) => Err(RunError::MixedShards { path, one, other }),
        (Some((of, there)), None) => {
            let missing: Vec<String> = Shard::all(of)
                .filter(|shard| !there.contains(shard))
                .map(|shard| shard.to_string())
                .collect();
            if missing.is_empty() {
                return Ok(Shard::all(of).collect());
            }
            Err(RunError::MissingShards {
                path,
                missing: missing.join(", "),
            })
        }
    }
}

fn read_manifest(folder: &Folder) -> Result<Manifest, RunError> {
    serde_json::from_slice(&folder.read(MANIFEST)?).map_err(|source| RunError::BadManifest {
        path: folder.file(MANIFEST),
        source,
    })
}

/// Whether a shard is of this part of the plan, complete and as it was written.
fn check(part: &Plan, begun: &Identity, shard: Shard, out: &Path) -> Result<ShardRecord, RunError> {
    let path = shard.folder(out);
    if let Some((what, there, here)) = difference(part, &Folder::of(&path), begun)? {
        return Err(RunError::ForeignShard {
            path,
            what,
            there,
            here,
        });
    }
    let folder = Folder::of(&path);
    let manifest = read_manifest(&folder)?;
    if manifest.status != Status::Complete {
        return Err(RunError::IncompleteShard {
            path,
            done: manifest.counts.trials_done,
            trials: manifest.identity.trials,
        });
    }
    for name in part.stretches() {
        if manifest.outputs_blake3.get(name) != Some(&folder.digest(name, super::threads(0))?) {
            return Err(RunError::DamagedShard {
                path: folder.file(name),
            });
        }
    }
    resume::check_all_rows(&folder, part)?;
    Ok(ShardRecord {
        shard: shard.to_string(),
        host_os: manifest.host_os,
        host_cores: manifest.host_cores,
        started: manifest.started,
        stopped: manifest.stopped,
        manifest_blake3: folder.digest(MANIFEST, 1)?,
    })
}

/// Writes a file of the whole from those of the shards.
fn join(plan: &Plan, shards: &[Shard], whole: &Path, name: &str) -> Result<(), RunError> {
    let header = match name {
        TRIALS => record::header::<TrialRow>(),
        CLUSTER => ClusterRow::header(),
        JOBS => record::header::<JobRow>(),
        _ => hlog::HEADER.to_owned(),
    };
    Folder::of(whole).write_with(name, |out| {
        let write = out.write_all(header.as_bytes());
        write.map_err(|source| RunError::io("write", &whole.join(name), source))?;
        if matches!(name, DOWNTIME | RECOVERY) {
            return histograms::join(plan, shards, whole, name, out);
        }
        for shard in shards {
            let from = shard.folder(whole).join(name);
            // A shard has a table only if one of its cells writes to it.
            if from.exists() {
                append(out, &from, &header)?;
            }
        }
        Ok(())
    })
}

/// Appends a table without its header.
fn append(out: &mut BufWriter<File>, from: &Path, header: &str) -> Result<(), RunError> {
    let failed = |source| RunError::io("copy", from, source);
    let mut file = BufReader::new(File::open(from).map_err(failed)?);
    let mut found = vec![0; header.len()];
    file.read_exact(&mut found).map_err(failed)?;
    if found != header.as_bytes() {
        return Err(RunError::StrangeShard {
            path: from.to_owned(),
            expected: "the columns of this version".to_owned(),
        });
    }
    io::copy(&mut file, out).map_err(failed)?;
    Ok(())
}

//! Shards put together: the files of the run that nobody split.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use revenant_core::Clock;

use super::folder::{CLUSTER, Folder, JOBS, MANIFEST, PAIRED, SPEC, SUMMARY, THEORY, TRIALS};
use super::parts::Parts;
use super::shard::Shard;
use super::{RunError, RunReport, begun_in, plan_of, summarise};
use crate::hlog;
use crate::manifest::{Identity, Manifest, ShardRecord, Status};
use crate::plan::Plan;
use crate::record::{self, ClusterRow, JobRow, TrialRow};
use crate::spec::Spec;

/// Puts the shards in `out` together there. Refuses shards of another run, incomplete ones and damaged files; what it writes replaces an
/// earlier merge in one step a file, the manifest last.
pub fn merge(spec: &Spec, out: &Path, command: &[String], clock: &dyn Clock) -> Result<RunReport, RunError> {
    let shards = find(out)?;
    let folders = shards
        .iter()
        .map(|shard| Folder::existing(&shard.folder(out)))
        .collect::<Result<Vec<_>, _>>()?;
    let parts = folders.iter().map(begun_in).collect::<Result<Vec<_>, _>>()?;
    let spec = &spec.clone().with_identity(parts[0].seed, &parts[0].trials_a_cell);
    let sizes: Vec<u32> = parts
        .iter()
        .flat_map(|part| part.trials_of_cells.iter().copied())
        .collect();
    let plan = plan_of(spec, None)?.resized(&sizes);
    let mut records = Vec::new();
    for ((shard, folder), part) in shards.into_iter().zip(&folders).zip(&parts) {
        records.push(check(folder, part, &plan, shard, out)?);
    }
    let whole = Folder::of(out);
    let mut manifest = Manifest::begin(&plan, command, clock.now());
    manifest.shards = records;
    for name in plan.stretches() {
        join(&whole, &folders, name)?;
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

/// Whether a shard is of this plan, complete and as it was written.
fn check(
    folder: &Folder,
    part: &Identity,
    plan: &Plan,
    shard: Shard,
    out: &Path,
) -> Result<ShardRecord, RunError> {
    let path = shard.folder(out);
    let wanted = Identity::of(&plan.part(shard));
    if let Some((what, there, here)) = wanted.difference(part) {
        return Err(RunError::ForeignShard {
            path,
            what,
            there,
            here,
        });
    }
    let manifest = read_manifest(folder)?;
    if manifest.status != Status::Complete {
        return Err(RunError::IncompleteShard {
            path,
            done: manifest.counts.trials_done,
            trials: manifest.identity.trials,
        });
    }
    for name in plan.part(shard).stretches() {
        if manifest.outputs_blake3.get(name) != Some(&folder.digest(name, super::threads(0))?) {
            return Err(RunError::DamagedShard {
                path: folder.file(name),
            });
        }
    }
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
fn join(whole: &Folder, shards: &[Folder], name: &str) -> Result<(), RunError> {
    let header = match name {
        TRIALS => record::header::<TrialRow>(),
        CLUSTER => ClusterRow::header(),
        JOBS => record::header::<JobRow>(),
        _ => hlog::HEADER.to_owned(),
    };
    whole.write_with(name, |out: &mut BufWriter<File>| {
        out.write_all(header.as_bytes())?;
        // A shard has a table only if one of its cells writes to it.
        for shard in shards.iter().filter(|shard| shard.file(name).exists()) {
            let mut file = BufReader::new(File::open(shard.file(name))?);
            let mut found = vec![0; header.len()];
            file.read_exact(&mut found)?;
            if found != header.as_bytes() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a shard's file has another header",
                ));
            }
            io::copy(&mut file, out)?;
        }
        Ok(())
    })
}

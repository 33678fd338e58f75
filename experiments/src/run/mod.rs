//! The run of an experiment: plan, trials in parallel, rows in order, summary, manifest.
//!
//! ```text
//! plan ─▶ ordered (threads) ─▶ trials.csv, *.hlog ─▶ summary.csv, theory.csv ─▶ manifest.json
//! ```
//!
//! What the files hold depends on the spec, the seed and the trials alone: not on the number of threads, and not on
//! how often the run was interrupted and resumed. Rows are handed to the operating system as they come.

mod digest;
mod error;
mod folder;
mod lock;
mod merge;
mod ordered;
mod parts;
mod pilot;
mod replay;
mod reproduce;
mod resume;
mod rows;
mod shard;
mod status;
mod summarise;
mod text;

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::thread;

use revenant_core::Clock;
use serde::Deserialize;

use crate::cluster::JobRecord;
use crate::hlog::{self, CellHistogram, CellHistograms, Spans};
use crate::lines::CellLines;
use crate::manifest::{Counts, Identity, Manifest, Status};
use crate::model::{Costs, SharedCosts};
use crate::plan::{Plan, WorkItem};
use crate::record::{self, ClusterRow, JobRow, LineWriter, TrialRow};
use crate::sim;
use crate::spec::{Cost, Level, Setting, Spec, meaning};
use crate::trial::{CellTrials, TrialError};

pub use error::RunError;
pub use folder::{
    CLUSTER, DOWNTIME, FIGURES, JOBS, MANIFEST, PAIRED, RECOVERY, SPEC, SUMMARY, THEORY, TRIALS,
};
use folder::{Folder, LineFile};
pub use merge::merge;
use parts::Parts;
pub use replay::{JobTimeline, REPLAY, TIMELINE, Timeline, TimelineEvent, TimelineSpan, Which, replay};
pub use reproduce::{Reproduction, reproduce};
use resume::{KeptRows, Remains};
pub use shard::{NoShard, Shard};
pub use status::{FolderStatus, damaged, status};

/// How to run an experiment.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Folder for the results.
    pub out: PathBuf,
    /// Threads; 0: as many as the host has processors.
    pub jobs: usize,
    /// Master seed in place of the spec's.
    pub seed: Option<u64>,
    /// Trials a cell at every level in place of the spec's.
    pub trials: Option<u32>,
    /// Run this part alone, in a folder of its own inside the folder for the results.
    pub shard: Option<Shard>,
    /// Go on with the run in the folder; one that was not begun is begun.
    pub resume: bool,
    /// Replace the run in the folder.
    pub overwrite: bool,
    /// The command line, for the manifest.
    pub command: Vec<String>,
}

/// How far a run has come; told after each trial and at the start. Before that, how far a pilot has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Trials with a row, those of an earlier process included.
    pub trials_done: u64,
    /// Trials in all.
    pub trials: u64,
    /// Failures that struck in the trials of this process.
    pub failures: u64,
}

/// What a run has left.
#[derive(Debug, Clone)]
pub struct RunReport {
    /// Complete, or interrupted on request: then it can be resumed.
    pub status: Status,
    /// The folder.
    pub out: PathBuf,
    /// How much there is.
    pub counts: Counts,
    /// Trials that an earlier process had done.
    pub resumed_from: u64,
    /// What to mind when reading the results; also in the manifest.
    pub warnings: Vec<String>,
}

/// Runs an experiment, or goes on with it. `progress` is called on this thread. When `cancel` is raised, trials in hand are
/// finished and written, and the report says `Interrupted`.
pub fn run(
    spec: &Spec,
    options: &RunOptions,
    clock: &dyn Clock,
    progress: &mut (dyn FnMut(Progress) + Send),
    cancel: &AtomicBool,
) -> Result<RunReport, RunError> {
    let spec = &spec.clone().with_seed(options.seed).with_trials(options.trials);
    let mut options = options.clone();
    if let Some(shard) = options.shard {
        options.out = shard.folder(&options.out);
    }
    let options = &options;
    let (folder, lock) = Folder::claim(&options.out)?;
    // Whoever was killed, or is a task of an array, cannot know whether there is something to go on with.
    let begun = (options.resume && folder.holds_run())
        .then(|| begun_in(&folder))
        .transpose()?;
    let plan = plan_of(spec, options.shard)?;
    let plan = if let Some(there) = &begun {
        let plan = plan.resized(&there.identity.trials_of_cells);
        if let Some((what, there, here)) = difference(&plan, &folder, &there.identity)? {
            return Err(RunError::Different {
                path: options.out.clone(),
                what,
                there,
                here,
            });
        }
        plan
    } else {
        // A folder that is taken is refused before the pilot, which may be long.
        folder.clear(options.overwrite)?;
        pilot::sized(plan, threads(options.jobs), progress, cancel)?
    };
    let mut manifest = Manifest::begin(&plan, &options.command, clock.now());
    manifest.warnings.extend(lock.warning());
    if let Some(there) = &begun {
        manifest.outputs_blake3 = there.rows_blake3(&plan);
    }
    folder.write(MANIFEST, manifest.to_json().as_bytes())?;
    folder.write(SPEC, spec.source.as_bytes())?;
    let remains = if begun.is_some() {
        Remains::find(&folder, &plan)?
    } else {
        Remains::none(&folder)?
    };
    let resumed_from = remains.rows;
    let written = run_trials(&plan, &folder, options, remains, progress, cancel)?;
    manifest.counts.trials_done = written.trials;
    manifest.status = Status::Interrupted;
    if written.trials == plan.trials() {
        // The disk takes its time, and the summary need not wait for it.
        thread::scope(|scope| {
            let durable = scope.spawn(|| written.files.sync());
            let done = complete(
                &plan,
                &folder,
                &written.parts,
                threads(options.jobs),
                &mut manifest,
            );
            let durable = durable.join().unwrap_or_else(|panic| panic::resume_unwind(panic));
            done.and(durable)
        })?;
    } else {
        written.files.sync()?;
    }
    lock.check()?;
    manifest.stop(clock.now());
    folder.write(MANIFEST, manifest.to_json().as_bytes())?;
    Ok(RunReport {
        status: manifest.status,
        out: options.out.clone(),
        counts: manifest.counts,
        resumed_from,
        warnings: manifest.warnings,
    })
}

/// Summarises trials that are all done, and notes what the files hold.
fn complete(
    plan: &Plan,
    folder: &Folder,
    parts: &Parts,
    jobs: usize,
    manifest: &mut Manifest,
) -> Result<(), RunError> {
    let mut outputs = vec![SPEC];
    outputs.extend(plan.stretches());
    // A shard is summarised with the others: its baselines may be elsewhere.
    if plan.shard.is_none() {
        let (counts, warnings) = (manifest.counts, &mut manifest.warnings);
        manifest.counts = summarise::summarise(plan, folder, parts, jobs, counts, warnings)?;
        outputs.extend([SUMMARY, PAIRED, THEORY]);
    }
    for name in outputs {
        let digest = folder.digest(name, jobs)?;
        let before = manifest.outputs_blake3.insert(name.to_owned(), digest.clone());
        if before.is_some_and(|before| before != digest) {
            let path = folder.file(name);
            return Err(RunError::NotAsWritten { path });
        }
    }
    manifest.status = Status::Complete;
    Ok(())
}

/// The nominal costs of each setting, one entry a program.
pub(crate) fn costs(spec: &Spec) -> Result<Vec<Vec<Costs>>, RunError> {
    let mut all: Vec<Vec<Costs>> = Vec::with_capacity(spec.settings.len());
    for (index, setting) in spec.settings.iter().enumerate() {
        // Most sweeps leave alone what costs depend on, and probing takes its time.
        let like = spec.settings[..index]
            .iter()
            .position(|other| same_costs(other, setting));
        let costs = match like {
            Some(like) => all[like].clone(),
            None => costs_of(setting, spec.seed)?,
        };
        all.push(costs);
    }
    Ok(all)
}

fn same_costs(one: &Setting, other: &Setting) -> bool {
    (&one.guest, &one.checkpoint, &one.job, &one.failures, &one.cluster)
        == (
            &other.guest,
            &other.checkpoint,
            &other.job,
            &other.failures,
            &other.cluster,
        )
}

fn costs_of(setting: &Setting, seed: u64) -> Result<Vec<Costs>, RunError> {
    if let (Cost::Given(checkpoint), Cost::Given(restart)) =
        (setting.checkpoint.cost, setting.checkpoint.restart)
    {
        let stores = setting.cluster.as_ref().map_or_else(Default::default, |cluster| {
            cluster.lone_costs(cluster.workload.slot_memory())
        });
        return Ok(vec![Costs {
            checkpoint: checkpoint + stores.0,
            restart: restart + stores.1,
            shared: given_shared(setting),
            ..Costs::default()
        }]);
    }
    let programs = setting.guest.iter().flat_map(|guest| &guest.programs);
    let probe = |&program| {
        let costs =
            sim::probe(setting, program, seed).map_err(|source| RunError::Probe { program, source })?;
        let shared = costs.shared.or(given_shared(setting));
        Ok(Costs { shared, ..costs })
    };
    programs.map(probe).collect()
}

/// What the shared store costs, if that is given.
fn given_shared(setting: &Setting) -> Option<SharedCosts> {
    let shared = setting.checkpoint.shared?;
    Some(SharedCosts {
        checkpoint: shared.cost.given()?,
        restart: shared.restart.given()?,
    })
}

/// What of an earlier manifest matters, whatever else its version wrote.
#[derive(Deserialize)]
struct Begun {
    identity: Identity,
    /// Of the files that were complete once.
    #[serde(default)]
    outputs_blake3: BTreeMap<String, String>,
}

impl Begun {
    /// Digests of the files with the rows, if they were complete once. A resumed run must come to the same: rows say which trial
    /// they are of, and not whether they are right.
    fn rows_blake3(&self, plan: &Plan) -> BTreeMap<String, String> {
        let known = |name: &str| Some((name.to_owned(), self.outputs_blake3.get(name)?.clone()));
        plan.stretches().filter_map(known).collect()
    }
}

/// What the run in a folder is.
fn begun_in(folder: &Folder) -> Result<Begun, RunError> {
    match serde_json::from_slice::<Begun>(&folder.read(MANIFEST)?) {
        Ok(begun) => Ok(begun),
        Err(source) => Err(RunError::BadManifest {
            path: folder.file(MANIFEST),
            source,
        }),
    }
}

/// In what the run that was begun in a folder is not this one: the name of that, and its value there and here. A spec that is
/// written otherwise and asks for the same is the same.
fn difference(
    plan: &Plan,
    folder: &Folder,
    there: &Identity,
) -> Result<Option<(String, String, String)>, RunError> {
    let mut here = Identity::of(plan);
    if here.spec_blake3 != there.spec_blake3 && folder.file(SPEC).exists() {
        let spec = folder.read(SPEC)?;
        if blake3::hash(&spec).to_hex().as_str() == there.spec_blake3 {
            match meaning::difference(&String::from_utf8_lossy(&spec), &plan.spec.source) {
                Some((key, there, here)) => return Ok(Some((format!("{key} ="), there, here))),
                None => here.spec_blake3.clone_from(&there.spec_blake3),
            }
        }
    }
    let difference = here.difference(there);
    Ok(difference.map(|(what, there, here)| (what.to_owned(), there, here)))
}

/// What the trials have left.
struct Written {
    trials: u64,
    parts: Parts,
    files: Files,
}

fn run_trials(
    plan: &Plan,
    folder: &Folder,
    options: &RunOptions,
    remains: Remains,
    progress: &mut (dyn FnMut(Progress) + Send),
    cancel: &AtomicBool,
) -> Result<Written, RunError> {
    let jobs = threads(options.jobs);
    let (first, rows) = (remains.restart_at, remains.rows);
    let mut sink = Rows::open(plan, folder, remains, progress)?;
    let batch = |number| batch_length(plan, number, jobs);
    let work = |numbers| Batch::run(plan, numbers);
    let end = ordered::run(jobs, first..plan.trials(), cancel, batch, work, &mut sink)?;
    sink.files.flush()?;
    Ok(Written {
        // A cancel may have come while rows that are already there were computed again.
        trials: end.max(rows),
        parts: sink.parts,
        files: sink.files,
    })
}

/// How many trials a thread takes at a time, from this number on: all of one cell, and of one part of its rows.
fn batch_length(plan: &Plan, number: u64, jobs: usize) -> u64 {
    let item = plan.item(number);
    let cell = &plan.cells[item.cell];
    let most = match cell.level {
        // A cell of few trials, which may be long ones, still has work for all.
        Level::Model => (u64::from(cell.trials) / (4 * jobs as u64)).clamp(1, MODEL_BATCH),
        Level::Sim | Level::Cluster => 1,
    };
    most.min(Parts::rest(item.trial).into())
        .min(plan.first_trial(item.cell + 1) - number)
}

/// The plan of a spec, or of a part of it, with the trials that the spec names.
fn plan_of(spec: &Spec, shard: Option<Shard>) -> Result<Plan, RunError> {
    let plan = Plan::new(spec, &costs(spec)?);
    Ok(match shard {
        Some(shard) => plan.part(shard),
        None => plan,
    })
}

/// As many threads as asked for, or as the host has processors.
fn threads(jobs: usize) -> usize {
    match jobs {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        jobs => jobs,
    }
}

/// Trials of level `model` that a thread takes at a time: each takes microseconds, and handing over costs as much.
const MODEL_BATCH: u64 = 256;

/// Trials of one cell that were run: what a thread hands over is one text and a few numbers, not an outcome a trial.
struct Batch {
    /// Their rows.
    lines: String,
    /// Their rows of `cluster.csv` and `jobs.csv`.
    cluster: String,
    jobs: String,
    spans: Spans,
    failures: u64,
}

impl Batch {
    /// Runs the trials of these numbers, all of one cell. An error says which trial it is of.
    fn run(plan: &Plan, numbers: Range<u64>) -> Result<Batch, (WorkItem, TrialError)> {
        let first = plan.item(numbers.start);
        let cell = &plan.cells[first.cell];
        let trials = CellTrials::of(plan, first.cell);
        let length = usize::try_from(numbers.end - numbers.start).unwrap_or(usize::MAX);
        let wanted = plan.wants_jobs(cell);
        let mut row = TrialRow::of(plan, cell);
        let (mut cluster, mut jobs) = (String::new(), LineWriter::new());
        let (mut lines, mut spans, mut failures) = (CellLines::new(&row), Spans::default(), 0);
        for trial in (first.trial..).take(length) {
            let seed = plan.seed(trial);
            let mut each = |job: &JobRecord| {
                if wanted {
                    jobs.add(&JobRow::new(cell.point, trial, job));
                }
            };
            let item = WorkItem { trial, ..first };
            let outcome = trials
                .run(trial, seed, &mut each)
                .map_err(|error| (item, error))?;
            row.fill(trial, seed, &outcome);
            if let Some(outcome) = &outcome.cluster {
                cluster += &ClusterRow::line(&row, outcome);
            }
            lines.add(&row);
            spans.add(&outcome);
            failures += outcome.failures;
        }
        Ok(Batch {
            lines: lines.lines(),
            cluster,
            jobs: jobs.lines(),
            spans,
            failures,
        })
    }
}

/// The files that grow with the trials.
struct Files {
    trials: LineFile,
    downtime: LineFile,
    recovery: LineFile,
    /// Tables that only some runs have.
    cluster: Option<LineFile>,
    jobs: Option<LineFile>,
}

impl Files {
    fn open(plan: &Plan, folder: &Folder, remains: &Remains) -> Result<Files, RunError> {
        let open = |name, keep_bytes, header: &str| -> Result<LineFile, RunError> {
            let mut file = folder.append_after(name, keep_bytes)?;
            if keep_bytes == 0 {
                file.append(header)?;
            }
            file.flush()?;
            Ok(file)
        };
        Ok(Files {
            trials: open(TRIALS, remains.row_bytes, &record::header::<TrialRow>())?,
            downtime: open(DOWNTIME, remains.downtime_bytes, hlog::HEADER)?,
            recovery: open(RECOVERY, remains.recovery_bytes, hlog::HEADER)?,
            cluster: plan
                .has_cluster()
                .then(|| open(CLUSTER, remains.cluster_bytes, &ClusterRow::header()))
                .transpose()?,
            jobs: plan
                .has_jobs()
                .then(|| open(JOBS, remains.jobs_bytes, &record::header::<JobRow>()))
                .transpose()?,
        })
    }

    /// The tables of trials. The order of all files matters to a resume: a cell's histograms vouch for its rows.
    fn tables(&mut self) -> impl Iterator<Item = &mut LineFile> {
        let optional = [&mut self.cluster, &mut self.jobs].into_iter().flatten();
        std::iter::once(&mut self.trials).chain(optional)
    }

    fn flush(&mut self) -> Result<(), RunError> {
        self.tables().try_for_each(LineFile::flush)?;
        self.downtime.flush()?;
        self.recovery.flush()
    }

    /// Makes everything durable.
    fn sync(mut self) -> Result<(), RunError> {
        self.tables().try_for_each(LineFile::sync)?;
        self.downtime.sync()?;
        self.recovery.sync()
    }
}

/// Takes outcomes in order and writes rows and histograms.
struct Rows<'a> {
    plan: &'a Plan,
    kept: KeptRows,
    files: Files,
    /// Where rows begin, and where the next one will.
    parts: Parts,
    end: u64,
    histograms: CellHistograms,
    progress: &'a mut (dyn FnMut(Progress) + Send),
    state: Progress,
}

impl<'a> Rows<'a> {
    fn open(
        plan: &'a Plan,
        folder: &Folder,
        remains: Remains,
        progress: &'a mut (dyn FnMut(Progress) + Send),
    ) -> Result<Self, RunError> {
        let state = Progress {
            trials_done: remains.rows,
            trials: plan.trials(),
            failures: 0,
        };
        progress(state);
        Ok(Rows {
            plan,
            files: Files::open(plan, folder, &remains)?,
            parts: remains.parts,
            end: remains.restart_byte,
            kept: remains.kept,
            histograms: CellHistograms::new(),
            progress,
            state,
        })
    }
}

impl Rows<'_> {
    /// Vouches for the rows of a cell, now that all of them are there.
    fn end_cell(&mut self, index: usize) -> Result<(), RunError> {
        let cell = &self.plan.cells[index];
        let whole = self.plan.is_whole(index);
        let line = |histogram: &CellHistogram| {
            if whole {
                histogram.line(cell)
            } else {
                histogram.part_line(cell)
            }
        };
        let files = &mut self.files;
        files.tables().try_for_each(LineFile::flush)?;
        files.downtime.append(&line(&self.histograms.downtime))?;
        files.downtime.flush()?;
        files.recovery.append(&line(&self.histograms.recovery))?;
        files.recovery.flush()?;
        self.histograms = CellHistograms::new();
        Ok(())
    }
}

impl ordered::Sink<Result<Batch, (WorkItem, TrialError)>> for Rows<'_> {
    type Error = RunError;

    fn take(
        &mut self,
        numbers: Range<u64>,
        batch: Result<Batch, (WorkItem, TrialError)>,
    ) -> Result<(), RunError> {
        let batch = batch.map_err(|(item, source)| RunError::trial(self.plan, item, source))?;
        self.parts.row_at(self.plan, numbers.start, self.end);
        self.end += batch.lines.len() as u64;
        let mut fresh = batch.lines.as_str();
        for number in numbers.clone() {
            let end = fresh.find('\n').map_or(fresh.len(), |at| at + 1);
            if !self.kept.check(number, &fresh[..end])? {
                break;
            }
            fresh = &fresh[end..];
        }
        if !fresh.is_empty() {
            self.files.trials.append(fresh)?;
            self.state.trials_done = numbers.end;
        }
        let tables = [
            (&mut self.files.cluster, &batch.cluster),
            (&mut self.files.jobs, &batch.jobs),
        ];
        for (table, lines) in tables {
            if let Some(table) = table {
                table.append(lines)?;
            }
        }
        self.histograms.add(&batch.spans);
        self.state.failures += batch.failures;
        let cell = self.plan.item(numbers.start).cell;
        if numbers.end == self.plan.first_trial(cell + 1) {
            self.end_cell(cell)?;
        }
        (self.progress)(self.state);
        Ok(())
    }

    fn idle(&mut self) -> Result<(), RunError> {
        self.files.trials.flush()
    }
}

/// The folder an experiment's results go to unless told otherwise.
pub fn default_folder(spec: &Spec) -> PathBuf {
    Path::new("out").join(&spec.name)
}

#[cfg(test)]
mod tests;

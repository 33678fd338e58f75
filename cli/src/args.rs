//! The command line, as clap sees it.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use revenant_core::policy::Choice;
use revenant_core::quantity::Period;
use revenant_core::store::{CatalogueRoot, CollectOptions};
use revenant_experiments::run::Shard;

/// Checkpoint, store, verify and restore virtual machines; experiment with their failures.
#[derive(Debug, Parser)]
#[command(name = "revenant", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 done, 1 failed (also for want of a permission), 2 wrong usage, 3 damage found, \
4 a store or results that others have locked, 128 + N stopped by signal N."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the experiment that a spec file describes
    #[command(after_help = "Examples:
  revenant run experiments/specs/quickstart.toml
  revenant run sweep.toml --out out/sweep --jobs 8
  revenant run sweep.toml --out out/sweep --resume     go on after Ctrl-C or a crash")]
    Run(RunArgs),
    /// Put the shards of a run together
    #[command(after_help = "Examples:
  revenant run sweep.toml --out out/sweep --shard 1/2 & revenant run sweep.toml --out out/sweep --shard 2/2 & wait
  revenant merge sweep.toml --out out/sweep")]
    Merge(MergeArgs),
    /// How far a run and its shards have come
    Status(StatusArgs),
    /// Write a Slurm array job that runs an experiment in shards and merges them
    #[command(after_help = "Examples:
  revenant slurm sweep.toml --out out/sweep --tasks 40 --time 2:00:00 --sbatch=--partition=short
  sh out/sweep/slurm/submit.sh")]
    Slurm(SlurmArgs),
    /// Run one trial of a run again and write what happened in it, when
    #[command(after_help = "Example:
  revenant replay out/two-level --point 0 --trial 17
Writes DIR/replay/point-0-model-trial-17/timeline.json and draws it beside, after the trial has come out as its row says.")]
    Replay(ReplayArgs),
    /// Draw the figures of a run again, from its CSV files alone
    #[command(after_help = "Example:
  revenant plot out/quickstart --format svg --columns two")]
    Plot(PlotArgs),
    /// Write a page about a run: figures, tables, warnings, where it comes from
    #[command(after_help = "Example:
  revenant report out/quickstart
Writes DIR/report.html, a single file that needs nothing else.")]
    Report(ReportArgs),
    /// Fit laws to the times of a failure log
    #[command(after_help = "Formats: docs/failure-logs.md. Example:
  revenant fit event_trace.tab --format fta --what up")]
    Fit(FitArgs),
    /// Compare this version with published results: formulas, simulated means, real traces and logs
    #[command(
        after_help = "Without --data only what needs no files is compared. Which files, and where they are from:
docs/validation.md. Ends with 3 if a number is off that should not be. Examples:
  revenant validate
  revenant validate --data ~/traces --markdown validation.md"
    )]
    Validate(ValidateArgs),
    /// Run published result folders again and compare the bytes
    #[command(
        after_help = "A folder needs spec.toml and manifest.json. Ends with 3 if an output differs. Examples:
  revenant reproduce results
  revenant reproduce results/daly-a3 --out again"
    )]
    Reproduce(ReproduceArgs),
    /// Optimal checkpoint intervals and what they cost
    #[command(after_help = "Example:
  revenant interval --mtbf 24h --cost 5min --restart 10min --work 500h")]
    Interval(IntervalArgs),
    /// What checkpoint policies there are, and what they can be told
    Policies(PoliciesArgs),
    /// Make a directory a checkpoint store
    #[command(after_help = "A directory that is a store already is left as it is. Example:
  revenant init --store /var/lib/revenant")]
    Init(InitArgs),
    /// Take a Xen save file into a store as a checkpoint
    #[command(after_help = "Examples:
  revenant import guest.save --store /var/lib/revenant
  zstd -dc guest.save.zst | revenant import - --store /var/lib/revenant --name web1
Interrupted (SIGINT, SIGTERM, SIGHUP) it leaves nothing behind and ends with 128 + the signal's number.")]
    Import(ImportArgs),
    /// Write a checkpoint as a Xen save file, its memory as an image, or one of its disks
    #[command(
        after_help = "A new file is readable by its owner alone. Nothing but a regular file is ever replaced. Interrupted
(SIGINT, SIGTERM, SIGHUP) it removes what it has written of a file and ends with 128 + the signal's number.
Examples:
  revenant export 3f9c20 --store /var/lib/revenant --output guest.save
  revenant export 3f9c20 --store /var/lib/revenant --output - | ssh other xl restore /dev/stdin
  revenant export 3f9c20 --store /var/lib/revenant --format elf --output guest.core
  revenant export 3f9c20 --store /var/lib/revenant --disk xvda --output /dev/vg/copy --force"
    )]
    Export(ExportArgs),
    /// Copy a checkpoint, or all of a guest, into another store
    #[command(
        after_help = "Pages that the other store has already are neither read nor written. With --guest what is there already is passed \
                      over, and so is what is older than something there: interrupted, the same command goes on where it was.
Examples:
  revenant copy web1 --store /var/lib/revenant --to /mnt/shared/revenant
  revenant copy --guest web1 --store /var/lib/revenant --to /mnt/backup/revenant --init
  revenant copy 3f9c20 --store /mnt/shared/revenant --to /var/lib/revenant"
    )]
    Copy(CopyArgs),
    /// List the checkpoints of a store, oldest first
    #[command(
        after_help = "NOT WHOLE: a file that the checkpoint needs is missing, damaged or cannot be read, as far as its index
tells (`revenant verify` reads the pages, too). Ends with status 3 then, and names the file."
    )]
    List(ListArgs),
    /// Everything that is known about one checkpoint
    Show(ShowArgs),
    /// Read back and check every byte of one checkpoint, or of the whole store
    #[command(
        after_help = "Ends with status 3 if damage was found, and names it. Of a whole store it prints the root: it stands for all \
                      checkpoints that were ever committed and dropped. A checkpoint that was committed, not dropped, and is \
                      gone is damage. Keep the root on another machine and give it to --expect to see that a store was not \
                      rolled back to an older copy, nor replaced or forged."
    )]
    Verify(VerifyArgs),
    /// What differs between two checkpoints
    Diff(DiffArgs),
    /// Drop old checkpoints and give their space back
    #[command(
        after_help = "At least one rule must be given. A checkpoint is kept if any rule keeps it. Rules apply to each guest by itself. A checkpoint that is not whole
(see `revenant list`) counts for no rule, and a guest always keeps its newest one that is whole.
Segments of which too much is unneeded are written anew, the smallest first, as far as there is room for it. Ends with status 1
if something could not be done (the report says what was), and with 3 if what is kept is damaged or does not read.
Examples:
  revenant prune --store /var/lib/revenant --keep-last 3 --keep-within 7d --dry-run
  revenant prune --store /var/lib/revenant --keep-last 3 --guest web1"
    )]
    Prune(PruneArgs),
    /// What takes the space of a store: what is needed, by which guest and checkpoint, and what is not
    #[command(
        after_help = "NEEDS counts each page once, also if others need it too. ALONE is what would be freed if this guest, or this
checkpoint, went and no other. WRITTEN in `list` is something else: the bytes that were written when a checkpoint was made."
    )]
    Stats(StatsArgs),
    /// Take a checkpoint of a running Xen guest, which goes on running
    #[command(after_help = "Examples:
  revenant checkpoint web1 --store /var/lib/revenant
  revenant checkpoint web1 --store /var/lib/revenant --full --json")]
    Checkpoint(CheckpointArgs),
    /// Restart a guest from a checkpoint as a new domain on this host
    #[command(after_help = "Examples:
  revenant restore 3f9c20 --store /var/lib/revenant
  revenant restore 3f9c20 --store /var/lib/revenant --copy --name web1-then --paused")]
    Restore(RestoreArgs),
    /// Checkpoint a guest again and again, and restart it when it crashes, hangs, is destroyed, or loses its host
    #[command(after_help = "Examples:
  revenant protect web1 --store /mnt/shared/revenant --interval 5min --log /var/log/revenant-web1.jsonl
  revenant protect web1 --store /mnt/shared/revenant --policy young --mtbf 30d --hang-timeout 1min
  revenant protect web1 --store /mnt/shared/revenant --policy 'lazy(shape=0.6)' --mtbf 30d
On another host, to take over should the first be lost:
  revenant protect web1 --store /mnt/shared/revenant --interval 5min --stand-by --fence 'power-off host1'")]
    Protect(Box<ProtectArgs>),
    /// Measure this host with a guest that idles, and write a cost profile for the simulator
    #[command(
        after_help = "The profile goes into [world] of an experiment's spec, or to `revenant ladder`.
Example:
  revenant calibrate idle1 --dir /var/lib --output host.toml"
    )]
    Calibrate(CalibrateArgs),
    /// Predict measured checkpoints with a calibrated profile, and compare
    #[command(
        after_help = "The table of measured checkpoints is described in docs/experiments.md.
Example:
  revenant ladder results/ladder/ladder.csv --profile results/ladder/host.toml --out out/ladder"
    )]
    Ladder(LadderArgs),
    /// What this machine can do, and what is missing
    #[command(
        after_help = "Ends with status 3 if the store is damaged, as far as its index, header and log tell, and with 1 if something is
missing or failed that a writer to the store needs. What only Xen lacks, or who may only read the store, is no failure."
    )]
    Doctor(DoctorArgs),
    /// Looks after a guest whose checkpointing process died
    #[command(hide = true)]
    XenHelper {
        /// `save`, or the domain's number
        words: Vec<String>,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages into a directory
    Man {
        /// Where to
        dir: PathBuf,
    },
}

/// Where logs and traces are.
#[derive(Debug, Args)]
pub(crate) struct DataArg {
    /// Where failure logs and traces of jobs are that are not beside the spec
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl DataArg {
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.data.as_deref()
    }
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The experiment's spec (TOML)
    pub(crate) spec: PathBuf,
    #[command(flatten)]
    pub(crate) data: DataArg,
    /// Where the results go [default: out/NAME, NAME from the spec]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Seed, instead of the spec's
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Trials that run at the same time [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// Trials per cell, instead of the spec's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) trials: Option<u32>,
    /// Run this part of the trials alone, in a directory of its own inside the results
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<Shard>,
    /// Go on with an interrupted run in the same directory; a shard that was not begun is begun
    #[arg(long)]
    pub(crate) resume: bool,
    /// Replace an earlier run in the same directory
    #[arg(long, conflicts_with = "resume")]
    pub(crate) overwrite: bool,
    /// Do not draw figures
    #[arg(long)]
    pub(crate) no_figures: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MergeArgs {
    /// The experiment's spec (TOML)
    pub(crate) spec: PathBuf,
    #[command(flatten)]
    pub(crate) data: DataArg,
    /// Where the shards are and the results go [default: out/NAME, NAME from the spec]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Do not draw figures
    #[arg(long)]
    pub(crate) no_figures: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Directory of a run
    pub(crate) dir: PathBuf,
    /// Machine-readable output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SlurmArgs {
    /// The experiment's spec (TOML)
    pub(crate) spec: PathBuf,
    #[command(flatten)]
    pub(crate) data: DataArg,
    /// Where the results and the scripts go [default: out/NAME, NAME from the spec]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Tasks of the array, each of which runs one shard
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) tasks: u32,
    /// Tasks that may run at the same time [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) at_once: Option<u32>,
    /// Cores a task
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) cpus_per_task: u16,
    /// Time limit of a task, as sbatch takes it
    #[arg(long, value_name = "TIME")]
    pub(crate) time: Option<String>,
    /// The largest array the cluster takes (MaxArraySize of slurm.conf)
    #[arg(long, value_name = "N", default_value_t = 1001)]
    pub(crate) max_array_size: u32,
    /// A further option of sbatch, for array and merge alike; may be repeated
    #[arg(long = "sbatch", value_name = "OPTION", allow_hyphen_values = true)]
    pub(crate) sbatch: Vec<String>,
    /// Submit at once
    #[arg(long)]
    pub(crate) submit: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Directory of a run
    pub(crate) dir: PathBuf,
    /// Level of the trial [default: the first that the run has]
    #[arg(long)]
    pub(crate) level: Option<TrialLevel>,
    #[command(flatten)]
    pub(crate) data: DataArg,
    /// Number of the trial, as in trials.csv
    #[arg(long, value_name = "K")]
    pub(crate) trial: u32,
    /// Number of the point, as in trials.csv
    #[arg(long, value_name = "P", default_value_t = 0)]
    pub(crate) point: u32,
    /// At level cluster: the jobs to tell of, by their numbers in jobs.csv
    #[arg(long, value_name = "FROM-TO", default_value = "0-999", value_parser = job_range)]
    pub(crate) of_jobs: RangeInclusive<u64>,
}

fn job_range(text: &str) -> Result<RangeInclusive<u64>, String> {
    let range = text
        .split_once('-')
        .and_then(|(from, to)| Some(from.parse().ok()?..=to.parse().ok()?));
    range
        .filter(|range| !range.is_empty())
        .ok_or_else(|| "expected two numbers, the smaller first, such as 0-39".to_owned())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TrialLevel {
    Model,
    Sim,
    Cluster,
}

#[derive(Debug, Args)]
pub(crate) struct PlotArgs {
    /// Directory of a run
    pub(crate) dir: PathBuf,
    /// File formats
    #[arg(
        long,
        visible_alias = "formats",
        value_delimiter = ',',
        default_value = "svg,png"
    )]
    pub(crate) format: Vec<FigureFormat>,
    /// How many columns of a paper the figures span
    #[arg(long, default_value = "one")]
    pub(crate) columns: Columns,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Directory of a run
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FigureFormat {
    Svg,
    Png,
    Pdf,
    Tikz,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Columns {
    One,
    Two,
}

#[derive(Debug, Args)]
pub(crate) struct FitArgs {
    /// The log; - for standard input
    pub(crate) log: PathBuf,
    /// How it is written
    #[arg(long)]
    pub(crate) format: LogFormat,
    /// Which times: between failures, up, or down
    #[arg(long, default_value = "gaps")]
    pub(crate) what: LogTimes,
    /// Records of this system alone
    #[arg(long)]
    pub(crate) system: Option<String>,
    /// Records of this node alone
    #[arg(long)]
    pub(crate) node: Option<String>,
    /// Records of this cause alone
    #[arg(long)]
    pub(crate) cause: Option<String>,
    /// Bootstrap a p-value of each law from so many samples of it, for example 199
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) resamples: u32,
    /// Write fit.csv and qq.csv into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Machine-readable output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// Folder with traces and failure logs
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Write the table as Markdown into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ReproduceArgs {
    /// Result folders, or folders of result folders
    #[arg(required = true, value_name = "DIR")]
    pub(crate) dirs: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) data: DataArg,
    /// Folder for the new results, one a name
    #[arg(long, value_name = "DIR", default_value = "out/reproduced")]
    pub(crate) out: PathBuf,
    /// Threads; default: one a processor
    #[arg(long)]
    pub(crate) jobs: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Lanl,
    Fta,
    Csv,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogTimes {
    Gaps,
    Up,
    Down,
}

#[derive(Debug, Args)]
pub(crate) struct IntervalArgs {
    /// Mean time between failures of the whole machine, for example 24h
    #[arg(long, value_name = "TIME")]
    pub(crate) mtbf: String,
    /// What one checkpoint costs the guest, for example 5min
    #[arg(long, value_name = "TIME")]
    pub(crate) cost: String,
    /// Reading a checkpoint back and rebuilding the guest
    #[arg(long, value_name = "TIME", default_value = "0s")]
    pub(crate) restart: String,
    /// From a failure until a host is ready for the restart
    #[arg(long, value_name = "TIME", default_value = "0s")]
    pub(crate) downtime: String,
    /// The job's length without failures
    #[arg(long, value_name = "TIME")]
    pub(crate) work: Option<String>,
    /// Shape of the Weibull law that failures follow, for the policies that ask for it
    #[arg(long, value_name = "K")]
    pub(crate) shape: Option<f64>,
    /// Machine-readable output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PoliciesArgs {
    /// Machine-readable output
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which store.
#[derive(Debug, Args)]
pub(crate) struct StoreArg {
    /// Directory of the checkpoint store
    #[arg(long, value_name = "DIR", env = "REVENANT_STORE")]
    pub(crate) store: PathBuf,
    /// How long to wait while others have the store locked [default: 5min to import and checkpoint, whose data would be
    /// lost, 1min to protect, 10s to prune, else 30s]
    #[arg(long, value_name = "TIME", value_parser = wait_time)]
    pub(crate) wait: Option<Duration>,
}

fn wait_time(text: &str) -> Result<Duration, String> {
    let period: Period = text.parse().map_err(|error| format!("{error}"))?;
    Ok(period.0)
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Directory of the checkpoint store
    #[arg(long, value_name = "DIR", env = "REVENANT_STORE")]
    pub(crate) store: PathBuf,
}

/// May the store be made first?
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct MakeArg {
    /// Make the store first if there is none (see `revenant init`)
    #[arg(long)]
    pub(crate) init: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// A file written by `xl save` or `virsh save`, or a bare libxl or libxc stream; - for standard input
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) store: StoreArg,
    #[command(flatten)]
    pub(crate) make: MakeArg,
    /// Name of the guest in the catalogue [default: the one in the file, else the UUID there]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Refuse bytes behind the end of the stream; otherwise they are left alone, as a save on a block device has them
    #[arg(long)]
    pub(crate) strict: bool,
    /// Machine-readable output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The checkpoint: a guest's name, for its newest; NAME~N, for the one N before that; or an id, or at least 6 digits of its
    /// beginning. guest:NAME or id:DIGITS where a word could be either
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// The file to write; - for standard output. Links are followed, devices and FIFOs written through
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// What to write
    #[arg(long, value_name = "FORMAT", default_value = "save", conflicts_with = "disk")]
    pub(crate) format: ExportFormat,
    /// Write this disk of the guest instead, as a raw image; `revenant show` names them
    #[arg(long, value_name = "NAME")]
    pub(crate) disk: Option<String>,
    /// Replace the file if it exists (its mode and owner stay), overwrite a block device
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// The Xen save file that was imported, or one that `xl restore` takes
    Save,
    /// Memory by physical address; what does not exist is zeroes, or a hole where the target can have holes
    Raw,
    /// Memory and registers as an ELF core, for gdb, Volatility and the like
    Elf,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["id", "guest"]))]
pub(crate) struct CopyArgs {
    /// The checkpoint: a guest's name, for its newest; NAME~N, for the one N before that; or an id, or at least 6 digits of its
    /// beginning. guest:NAME or id:DIGITS where a word could be either
    pub(crate) id: Option<String>,
    /// All checkpoints of this guest instead, oldest first
    #[arg(long, value_name = "NAME")]
    pub(crate) guest: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// Directory of the store to copy it to
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    #[command(flatten)]
    pub(crate) make: MakeArg,
    /// Also if it is there already, or a later checkpoint of the guest, which a restart would then pass over
    #[arg(long, conflicts_with = "guest")]
    pub(crate) force: bool,
    /// Machine-readable output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// Only this guest
    #[arg(long)]
    pub(crate) guest: Option<String>,
    /// Machine-readable output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The checkpoint: a guest's name, for its newest; NAME~N, for the one N before that; or an id, or at least 6 digits of its
    /// beginning. guest:NAME or id:DIGITS where a word could be either
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// Machine-readable output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The checkpoint, as for `show`; the whole store if left out
    pub(crate) id: Option<String>,
    /// Heal what is damaged with equal pages from elsewhere in the store
    #[arg(long, conflicts_with = "id")]
    pub(crate) repair: bool,
    /// Heal from this store too: a backup of the damaged one, or one that has copies of its checkpoints
    #[arg(long, value_name = "STORE", requires = "repair")]
    pub(crate) from: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// The root that an earlier verify printed, kept elsewhere: fail if this store is older than that or another
    #[arg(long, value_name = "ROOT")]
    pub(crate) expect: Option<CatalogueRoot>,
    /// Machine-readable output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The older checkpoint, as for `show`
    pub(crate) a: String,
    /// The newer checkpoint, as for `show`
    pub(crate) b: String,
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// Machine-readable output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// Machine-readable output
    #[arg(long)]
    pub(crate) json: bool,
}

fn percent(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse().ok();
    number
        .filter(|percent| (0..=100).contains(percent))
        .ok_or_else(|| "expected whole percent, 0 to 100, such as 10%".to_owned())
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("rules").required(true).multiple(true).args(["keep_last", "keep_within"]))]
pub(crate) struct PruneArgs {
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// Drop checkpoints of this guest alone
    #[arg(long, value_name = "NAME")]
    pub(crate) guest: Option<String>,
    /// Keep the newest N checkpoints of each guest
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) keep_last: Option<u32>,
    /// Keep what is younger than this, for example 7d
    #[arg(long, value_name = "TIME")]
    pub(crate) keep_within: Option<String>,
    /// Drop checkpoints that are not whole at once; they stay otherwise as long as the rules reach back to them
    #[arg(long)]
    pub(crate) drop_damaged: bool,
    /// How much of what is stored may stay though no checkpoint needs it. Less gives more space back and writes more
    #[arg(long, value_name = "PERCENT", value_parser = percent, default_value_t = CollectOptions::MAX_UNUSED_PERCENT)]
    pub(crate) max_unused: u8,
    /// Say what would be dropped and freed, with the space there is; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Machine-readable output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct CheckpointArgs {
    /// The guest's name or domain number
    pub(crate) domain: String,
    #[command(flatten)]
    pub(crate) store: StoreArg,
    #[command(flatten)]
    pub(crate) make: MakeArg,
    /// Copy while the guest runs and suspend it only for the rest; the default where the guest has a dirty log
    #[arg(long, conflicts_with = "stop")]
    pub(crate) live: bool,
    /// Suspend the guest for the whole copy
    #[arg(long)]
    pub(crate) stop: bool,
    /// Do not build on the guest's newest checkpoint
    #[arg(long)]
    pub(crate) full: bool,
    /// How long the guest may take to suspend itself
    #[arg(long, value_name = "TIME", default_value = "15s")]
    pub(crate) suspend_timeout: String,
    #[command(flatten)]
    pub(crate) broken_resume: BrokenResumeArg,
    /// Machine-readable output
    #[arg(long)]
    pub(crate) json: bool,
}

/// What of this host a checkpoint may name.
#[derive(Debug, Args)]
pub(crate) struct DisksArg {
    /// Also let the checkpoint's configuration name this disk, file, program or device of the host, or all that match (* and ? stand for
    /// parts of a name); allowed anyway are those that a configuration in /etc/xen gives a guest of this name
    #[arg(long, value_name = "PATH")]
    pub(crate) allow_disk: Vec<String>,
    /// A file that lists such paths, one a line [default: /etc/revenant/disks.allow, if it is there]
    #[arg(long, value_name = "FILE")]
    pub(crate) disks_allowed: Option<PathBuf>,
}

/// Releases of Xen that harm a guest at each checkpoint.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct BrokenResumeArg {
    /// Also on Xen 4.21.0 and 4.21.1, which lose registers of a guest at each checkpoint, if yours is mended
    #[arg(long)]
    pub(crate) force_broken_resume: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The checkpoint: a guest's name, for its newest; NAME~N, for the one N before that; or an id, or at least 6 digits of its
    /// beginning. guest:NAME or id:DIGITS where a word could be either
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// Another name than it had
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Leave it paused
    #[arg(long)]
    pub(crate) paused: bool,
    /// Beside the guest that it is a copy of: a new UUID, new MAC addresses; needs --name
    #[arg(long, requires = "name")]
    pub(crate) copy: bool,
    #[command(flatten)]
    pub(crate) disks: DisksArg,
    /// Machine-readable output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ProtectArgs {
    /// The guest's name
    pub(crate) domain: String,
    #[command(flatten)]
    pub(crate) store: StoreArg,
    #[command(flatten)]
    pub(crate) make: MakeArg,
    /// Time between two checkpoints
    #[arg(
        long,
        value_name = "TIME",
        required_unless_present = "policy",
        conflicts_with = "policy"
    )]
    pub(crate) interval: Option<String>,
    /// Find the interval from --mtbf and the measured cost of a checkpoint; `revenant policies` lists them
    #[arg(long, requires = "mtbf", value_name = "NAME(KEY=VALUE;…)")]
    pub(crate) policy: Option<Choice>,
    /// Mean time between failures of guest and host together, for --policy
    #[arg(long, value_name = "TIME")]
    pub(crate) mtbf: Option<String>,
    /// Suspend the guest for the whole copy
    #[arg(long)]
    pub(crate) stop: bool,
    /// How many checkpoints to keep
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) keep_last: u32,
    /// Read the store again in the background at this rate, to find what rots while it can be healed: 10MiB/s
    #[arg(long, value_name = "RATE")]
    pub(crate) scrub: Option<String>,
    /// The guest hangs if it shows no progress for this long
    #[arg(long, value_name = "TIME")]
    pub(crate) hang_timeout: Option<String>,
    /// Progress is a change of this file, such as the guest's console log [default: processor time]
    #[arg(
        long,
        value_name = "FILE",
        requires = "hang_timeout",
        conflicts_with = "progress_key"
    )]
    pub(crate) progress_file: Option<PathBuf>,
    /// Progress is a change of this node in the guest's xenstore directory, such as data/heartbeat
    #[arg(long, value_name = "NODE", requires = "hang_timeout")]
    pub(crate) progress_key: Option<String>,
    /// How long the guest may take to suspend itself
    #[arg(long, value_name = "TIME", default_value = "15s")]
    pub(crate) suspend_timeout: String,
    /// Give up after this many failures
    #[arg(long, value_name = "N")]
    pub(crate) failures_max: Option<u32>,
    /// Append every event to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// Wait until the host that protects the guest is lost, then take over
    #[arg(long)]
    pub(crate) stand_by: bool,
    /// A host is lost if it has not renewed its lease for this long; one that could not for two thirds of it holds still. Of
    /// two hosts that give different times the longer one holds
    #[arg(long, value_name = "TIME", default_value = "15s")]
    pub(crate) lease_timeout: String,
    #[command(flatten)]
    pub(crate) disks: DisksArg,
    #[command(flatten)]
    pub(crate) broken_resume: BrokenResumeArg,
    /// With --stand-by: a shell command that makes sure that the other host is off; the guest is started only if it succeeds
    #[arg(long, value_name = "COMMAND", requires = "stand_by")]
    pub(crate) fence: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CalibrateArgs {
    /// The guest's name or domain number; it goes on running
    pub(crate) domain: String,
    #[command(flatten)]
    pub(crate) broken_resume: BrokenResumeArg,
    /// A directory on the disk that the store will be on
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Where the profile goes [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct LadderArgs {
    /// Measured checkpoints (CSV)
    pub(crate) measured: PathBuf,
    /// The cost profile to predict them with (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) profile: PathBuf,
    /// Where table and figures go
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Also look at this store
    #[arg(long, value_name = "DIR", env = "REVENANT_STORE")]
    pub(crate) store: Option<PathBuf>,
    /// Machine-readable output
    #[arg(long)]
    pub(crate) json: bool,
}

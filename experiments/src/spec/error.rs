//! What can be wrong with a spec.

use std::io;
use std::path::PathBuf;

use revenant_core::policy::ChoiceError;
use revenant_core::quantity::{Period, Size};
use revenant_sim::{ProfileError, UnknownProgram};

use crate::failures::BathtubError;

/// A spec cannot be used. Messages name the file, the line and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The spec file.
        path: PathBuf,
        /// The operating system's words.
        #[source]
        source: io::Error,
    },
    /// Not TOML, an unknown key, a missing key or a value of the wrong kind.
    #[error("{}:{line}: {message}", path.display())]
    Syntax {
        /// The spec file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The TOML reader's words.
        message: String,
    },
    /// Well-formed, but it cannot be run.
    #[error("{}:{line}: {problem}", path.display())]
    Invalid {
        /// The spec file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        problem: Problem,
    },
}

/// A value that makes no experiment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Names become part of paths and CSV cells.
    #[error("name {0:?}: use letters, digits, '-' and '_' only, at least one and at most 64")]
    BadName(String),
    /// A list that must name something is empty.
    #[error("{key} lists nothing: give at least one {what}")]
    Empty {
        /// The key.
        key: &'static str,
        /// What it lists.
        what: &'static str,
    },
    /// The same value twice would make two cells of one name.
    #[error("{key} has {value} twice")]
    Duplicate {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
    },
    /// A duration out of range.
    #[error("{key} = {found} must be at least {least}")]
    TooShort {
        /// The key.
        key: &'static str,
        /// As given.
        found: Period,
        /// The least that makes sense.
        least: Period,
    },
    /// A duration out of range.
    #[error("{key} = {found} must be at most {most}")]
    TooLong {
        /// The key.
        key: &'static str,
        /// As given.
        found: Period,
        /// The most that makes sense.
        most: Period,
    },
    /// A count out of range.
    #[error("{key} = {found} must be between {least} and {most}")]
    OutOfRange {
        /// The key.
        key: &'static str,
        /// As given.
        found: u64,
        /// The least that makes sense.
        least: u64,
        /// The most that makes sense.
        most: u64,
    },
    /// A law that is drawn has no scale of its own.
    #[error("failures.mtbf is missing: give the mean time between failures, such as mtbf = \"24h\"")]
    MtbfMissing,
    /// Kinds that are no shares.
    #[error("failures.kinds must be shares between 0 and 1 that add up to 1")]
    NotShares,
    /// A law that cannot be drawn.
    #[error("{key}: the shape of {law} must be between {least} and {most}")]
    BadShape {
        /// The key.
        key: &'static str,
        /// The law.
        law: &'static str,
        /// The least shape.
        least: String,
        /// The greatest.
        most: String,
    },
    /// A bathtub that cannot be drawn.
    #[error("failures.law: bathtub: {0}")]
    BadBathtub(BathtubError),
    /// A burst that never ends.
    #[error("failures.bursts.probability must be at least 0 and less than 1")]
    BurstProbability,
    /// Bursts that last longer than the time between failures.
    #[error("failures.bursts: probability × delay must be less than every failures.mtbf")]
    BurstsTooLong,
    /// A log is one recorded process.
    #[error("{key} is not used: the failures are those of a log")]
    NotOfALog {
        /// The key.
        key: &'static str,
    },
    /// A log that cannot be used.
    #[error("failures.law: log: {why}")]
    BadLog {
        /// What is wrong with it.
        why: String,
    },
    /// A policy that is not, or is told what it does not know.
    #[error("{0}")]
    Policy(ChoiceError),
    /// A policy without its name.
    #[error("a policy needs kind = \"…\"")]
    PolicyWithoutKind,
    /// A value that is no value of its parameter.
    #[error("policy {policy}: {key}: expected {expected}, or a list of them")]
    BadParameter {
        /// The policy.
        policy: &'static str,
        /// The parameter.
        key: &'static str,
        /// What it takes.
        expected: &'static str,
    },
    /// A policy for something the spec does not have.
    #[error("policy {policy} needs {needs}")]
    PolicyNeeds {
        /// The policy's name.
        policy: &'static str,
        /// What it is for.
        needs: &'static str,
    },
    /// A world that is only modelled.
    #[error("{key} is known at level \"model\" only: take \"sim\" out of levels")]
    OnlyAtModel {
        /// The key.
        key: &'static str,
    },
    /// Level `cluster` without one.
    #[error("level \"cluster\" needs a cluster: add [cluster], [cluster.workload] and [cluster.store.NAME]")]
    ClusterMissing,
    /// A cluster nobody runs.
    #[error("[cluster] is not used: levels does not list \"cluster\"")]
    ClusterUnused,
    /// A guest's bytes are simulated for one job at a time.
    #[error("level \"cluster\" simulates no guests: take \"sim\" out of levels")]
    ClusterWithSim,
    /// What is of a single job.
    #[error("{key} is not known at level \"cluster\"")]
    NotAtCluster {
        /// The key.
        key: &'static str,
    },
    /// Every host would fail at the same instants.
    #[error(
        "failures.law: log: all hosts would fail at once: write mode = \"replay-anywhere\" or \"bootstrap\""
    )]
    SameLogForAll,
    /// A pattern of two kinds of stores, of which there is one.
    #[error("cluster.shared_every needs a local and a shared store to checkpoint to")]
    SharedEveryAlone,
    /// Checkpoints to a store that is not.
    #[error("cluster.checkpoint_to: there is no [cluster.store.{name}]")]
    NoSuchStore {
        /// As given.
        name: String,
    },
    /// Two stores of one kind.
    #[error("checkpoints go to one store of kind \"{kind}\" at most: say in cluster.checkpoint_to which")]
    TwoStoresOfAKind {
        /// The kind.
        kind: &'static str,
    },
    /// Nowhere to write to.
    #[error(
        "checkpoints need a store: add [cluster.store.NAME], and name it in checkpoint_to if that is there"
    )]
    NoStore,
    /// A stream's share of nothing.
    #[error("stream_bandwidth needs bandwidth, that of the whole store")]
    StreamWithoutStore,
    /// Hosts have one store each.
    #[error("count is for shared stores: each host has one local store")]
    CountOfLocal,
    /// A shared store is in no host.
    #[error(
        "a shared store survives the loss of any host: take survives_host_loss away, or write kind = \"local\""
    )]
    SharedDies,
    /// Neither drawn nor recorded jobs.
    #[error("cluster.workload needs jobs = N, or trace = {{ file = \"…\", format = \"swf\" }}")]
    NoJobs,
    /// A trace has its own.
    #[error("cluster.workload.{key} is not used: the jobs are those of a trace")]
    NotOfATrace {
        /// The key.
        key: &'static str,
    },
    /// A trace that cannot be used.
    #[error("cluster.workload.trace: {why}")]
    BadTrace {
        /// What is wrong with it.
        why: String,
    },
    /// A law of nothing.
    #[error("cluster.workload.arrivals needs interarrival, the mean gap")]
    ArrivalsWithoutMean,
    /// Wider than all hosts.
    #[error("cluster.workload.width = {found} is more than the {slots} slots of all hosts")]
    TooWide {
        /// As given.
        found: u64,
        /// hosts × slots_per_host.
        slots: u64,
    },
    /// More memory than a host has.
    #[error("cluster.workload.memory: a VM of such a job needs more than cluster.memory_per_host")]
    MemoryNeverFits,
    /// A number of verifications that cost nobody knows what.
    #[error("checkpoint.verifications needs checkpoint.verify = \"20s\": what one costs")]
    VerificationsWithoutCost,
    /// Pages without their cost, or the other way round.
    #[error("checkpoint.epochs: dirty_pages and page (the time that one takes) go together")]
    HalfPages,
    /// Simulated or measured, but of no guest.
    #[error("{needed_by} needs a guest: add [guest] with programs = [\"…\"]")]
    GuestMissing {
        /// Who needs it.
        needed_by: &'static str,
    },
    /// A guest nobody runs.
    #[error("[guest] is not used: no level is \"sim\" and no cost is \"measured\"")]
    GuestUnused,
    /// The simulated world has the costs it has.
    #[error("{key}: level \"sim\" has the cost its world has; write {key} = \"measured\"")]
    CostNotMeasured {
        /// The key.
        key: &'static str,
    },
    /// No such guest program.
    #[error(transparent)]
    NoSuchProgram(UnknownProgram),
    /// Costs that make no world.
    #[error("world: {0}")]
    BadWorld(ProfileError),
    /// A world without a guest in it.
    #[error("[world] is not used: no level is \"sim\" and no cost is \"measured\"")]
    WorldUnused,
    /// The world gives both costs, or neither.
    #[error("checkpoint.cost and checkpoint.restart must both be \"measured\", or neither")]
    HalfMeasured,
    /// The same of the shared store.
    #[error("checkpoint.shared.cost and checkpoint.shared.restart must both be \"measured\", or neither")]
    SharedHalfMeasured,
    /// Measured costs of one store beside given ones of the other are of two worlds.
    #[error(
        "checkpoint.shared.cost = \"measured\" needs checkpoint.cost and checkpoint.restart to be \"measured\", too"
    )]
    SharedMeasuredAlone,
    /// A store of unknown speed.
    #[error(
        "checkpoint.shared.cost = \"measured\" needs to know how fast the shared store is: add [world.shared_medium] with write_per_s = \"100MiB\", read_per_s = \"100MiB\""
    )]
    SharedMediumMissing,
    /// The speed of a store that nobody measures.
    #[error(
        "world.shared_medium is not used: write checkpoint.shared = {{ cost = \"measured\", restart = \"measured\" }}"
    )]
    SharedMediumUnused,
    /// The guest's memory is whole frames.
    #[error("guest.memory = {found} must be a multiple of 4KiB between {least} and {most}")]
    BadMemory {
        /// As given.
        found: Size,
        /// The least a program needs.
        least: Size,
        /// The most that is simulated.
        most: Size,
    },
    /// The job's work is whole steps.
    #[error("job.work = {work} must be a multiple of guest.step = {step}")]
    NotWholeSteps {
        /// As given.
        work: Period,
        /// As given, or the default.
        step: Period,
    },
    /// Reads a value the level in question does not use.
    #[error("trials gives a number for level {level}, which levels does not list")]
    TrialsForAbsentLevel {
        /// The level.
        level: &'static str,
    },
    /// A level without a number of trials.
    #[error("trials gives no number for level {level}: write trials = N, or {{ {level} = N, … }}")]
    TrialsMissing {
        /// The level.
        level: &'static str,
    },
    /// More cells than anybody means.
    #[error("the factors make {found} cells, more than {most}: shorten the lists")]
    TooManyCells {
        /// As it comes out.
        found: usize,
        /// The limit.
        most: usize,
    },
    /// A precision that is none.
    #[error(
        "precision.makespan is {found}: expected the half-width of the 95 % interval as a share of the mean, 0.000001 to 1, for example 0.01"
    )]
    BadPrecision {
        /// As given.
        found: String,
    },
    /// `sweep` is not a table.
    #[error("sweep must be a table: [sweep], then \"key\" = [values] a line")]
    SweepNotATable,
    /// It concerns all points alike.
    #[error("sweep: {key} holds for the whole run and cannot vary from point to point")]
    NotSwept {
        /// The key.
        key: String,
    },
    /// Neither a list nor a range.
    #[error(
        "sweep: {key} needs a list of values, or a range {{ from = …, to = …, points = N, scale = \"log\" }}"
    )]
    NotAList {
        /// The key.
        key: String,
    },
    /// A list without values.
    #[error("sweep: {key} lists nothing: give at least one value")]
    EmptySweep {
        /// The key.
        key: String,
    },
    /// The same value twice would make two points of one name.
    #[error("sweep: {key} has {value} twice")]
    SweptTwice {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// The path leads through something that has no keys, or past the end of a list.
    #[error("sweep: {key} is not a place in this spec")]
    SweptNowhere {
        /// The key.
        key: String,
    },
    /// A range that cannot be divided.
    #[error("sweep: {key}: {why}")]
    BadRange {
        /// The key.
        key: String,
        /// What would be right.
        why: &'static str,
    },
    /// `zip` is not a list of lists of keys.
    #[error("sweep: zip must be a list of lists of swept keys, such as [[\"failures.mtbf\", \"job.work\"]]")]
    BadZip,
    /// `zip` names a key that is not swept.
    #[error("sweep: zip names {key}, which the sweep does not list")]
    ZipUnknown {
        /// The key.
        key: String,
    },
    /// `zip` names a key twice.
    #[error("sweep: zip names {key} twice")]
    ZippedTwice {
        /// The key.
        key: String,
    },
    /// Keys that vary together need lists of one length.
    #[error("sweep: {key} has {found} values and {other}, with which it is zipped, has {wanted}")]
    ZipLengths {
        /// The key.
        key: String,
        /// Its number of values.
        found: usize,
        /// The key it is zipped with.
        other: String,
        /// That one's number of values.
        wanted: usize,
    },
    /// More combinations than anybody means.
    #[error("the sweep makes more than {most} settings: shorten the lists")]
    TooManySettings {
        /// The limit.
        most: usize,
    },
}

//! From what was written to what can be run: ranges and combinations.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use toml::Spanned;

use super::cluster;
use super::error::Problem;
use super::failures;
use super::files::Files;
use super::raw::{
    Raw, RawCheckpoint, RawGuest, RawJob, RawLimits, RawPeriods, RawPolicy, RawPrecision, RawTrials,
};
use super::rules::{self, Checked as Beyond};
use super::{
    Checkpoint, Cost, FigureFormat, Figures, Guest, Job, Level, Limits, Method, Precision, Setting, Spec,
    Trials,
};
use revenant_core::policy::{Choice, Kind, Parameter, Unit, kind};
use revenant_core::quantity::{Period, Size};
use revenant_sim::{CostProfile, Program};

/// A complaint and the byte offset of what it is about.
type Complaint = (usize, Problem);

/// Shorter quantities drown in the nanosecond clock and the rounding of seconds to floats.
pub(super) const PERIOD_MIN: Period = Period(Duration::from_millis(1));
/// A year-long interval or MTBF of a century is fine; beyond, nanoseconds no longer fit 64 bits after a few failures.
pub(super) const PERIOD_MAX: Period = Period(Duration::from_secs(100 * 365 * 86_400));
/// More trials than this belong into several runs.
const TRIALS_MAX: u64 = 100_000_000;
/// Narrower intervals take longer than anybody waits.
const PRECISION_MIN: f64 = 1e-6;
/// Guest memory in the simulated world is real memory of this machine.
const MEMORY_MAX: Size = Size { bytes: 1 << 32 };
const MEMORY_DEFAULT: Size = Size { bytes: 256 << 10 };
const STEP_DEFAULT: Period = Period(Duration::from_secs(1));
const FAILURES_DEFAULT: u32 = 100_000;
/// A trial that takes this many times its work is not going to end.
const TIME_DEFAULT_FACTOR: u32 = 100;
/// Cells (points × levels) at most.
const CELLS_MAX: usize = 100_000;

/// What holds for the whole run.
pub(super) fn spec(
    raw: &Raw,
    settings: Vec<Setting>,
    source: &str,
    files: &Files<'_>,
) -> Result<Spec, Complaint> {
    let levels = checked_levels(raw)?;
    let spec = Spec {
        name: checked_name(&raw.name)?,
        question: raw.question.clone(),
        seed: raw.seed,
        trials: checked_trials(&raw.trials, &levels)?,
        precision: raw.precision.as_ref().map(checked_precision).transpose()?,
        levels,
        figures: Figures {
            formats: raw
                .figures
                .formats
                .clone()
                .unwrap_or(vec![FigureFormat::Svg, FigureFormat::Png]),
        },
        settings,
        source: source.to_owned(),
        path: files.spec().to_owned(),
    };
    let cells = spec.points() * spec.levels.len();
    if cells > CELLS_MAX {
        let problem = Problem::TooManyCells {
            found: cells,
            most: CELLS_MAX,
        };
        return Err((raw.policy.span().start, problem));
    }
    Ok(spec)
}

/// What may differ from point to point.
pub(super) fn setting(raw: &Raw, name: String, files: &Files<'_>) -> Result<Setting, Complaint> {
    let levels = checked_levels(raw)?;
    if levels.contains(&Level::Sim) && levels.contains(&Level::Cluster) {
        return Err((raw.levels.span().start, Problem::ClusterWithSim));
    }
    let job = checked_job(&raw.job)?;
    check_costs(&raw.checkpoint, &levels)?;
    let needed_by = needs_guest(&levels, raw);
    let guest = match (&raw.guest, needed_by) {
        (Some(guest), Some(_)) => Some(checked_guest(guest.get_ref(), raw)?),
        (None, Some((offset, needed_by))) => return Err((offset, Problem::GuestMissing { needed_by })),
        (Some(guest), None) => return Err((guest.span().start, Problem::GuestUnused)),
        (None, None) => None,
    };
    if let (Some(world), None) = (&raw.world, &guest) {
        return Err((world.span().start, Problem::WorldUnused));
    }
    let failures = failures::checked(&raw.failures, files)?;
    let kinds = failures.kinds;
    let mut beyond = rules::checked(raw, &levels, kinds.host_loss)?;
    let cluster = cluster::checked(raw, &levels, &failures, files)?;
    let (cluster, two_level) =
        cluster.map_or((None, None), |checked| (Some(checked.cluster), checked.two_level));
    beyond.two_level = beyond.two_level.or(two_level);
    Ok(Setting {
        name,
        guest,
        failures,
        checkpoint: Checkpoint {
            cost: *raw.checkpoint.cost.get_ref(),
            restart: *raw.checkpoint.restart.get_ref(),
            shared: beyond.shared,
            method: raw.checkpoint.method.unwrap_or(Method::StopAndCopy),
            incremental: raw.checkpoint.incremental.unwrap_or(false),
        },
        rules: beyond.rules,
        two_level: beyond.two_level,
        verified: beyond.verified,
        policies: checked_policies(&raw.policy, &beyond)?,
        limits: checked_limits(&raw.limits, job.work, cluster.is_some())?,
        cluster,
        job,
    })
}

fn checked_levels(raw: &Raw) -> Result<Vec<Level>, Complaint> {
    distinct(&raw.levels, "levels", "level", |level| level.name())
}

impl Spec {
    /// Combinations of the factors, levels left out.
    pub fn points(&self) -> usize {
        self.settings.iter().map(Setting::points).sum()
    }
}

impl Setting {
    /// Combinations of the factors beside the swept ones.
    fn points(&self) -> usize {
        let programs = self.guest.as_ref().map_or(1, |guest| guest.programs.len());
        programs * self.failures.mtbf.len() * self.policies.len()
    }
}

impl Spec {
    /// With another master seed, if one is given.
    #[must_use]
    pub fn with_seed(self, seed: Option<u64>) -> Spec {
        Spec {
            seed: seed.unwrap_or(self.seed),
            ..self
        }
    }

    /// With another number of trials a cell at every level it runs, if one is given; at least one.
    #[must_use]
    pub fn with_trials(self, trials: Option<u32>) -> Spec {
        let Some(count) = trials else { return self };
        let instead = |given: Option<u32>| given.map(|_| count.max(1));
        let trials = Trials {
            model: instead(self.trials.model),
            sim: instead(self.trials.sim),
            cluster: instead(self.trials.cluster),
        };
        Spec { trials, ..self }
    }
}

impl Spec {
    /// With the seed and the trials a cell of a run that was begun.
    #[must_use]
    pub fn with_identity(self, seed: u64, trials_a_cell: &BTreeMap<String, u32>) -> Spec {
        let at = |level: Level, own: Option<u32>| {
            own.map(|own| trials_a_cell.get(level.name()).copied().unwrap_or(own))
        };
        let trials = Trials {
            model: at(Level::Model, self.trials.model),
            sim: at(Level::Sim, self.trials.sim),
            cluster: at(Level::Cluster, self.trials.cluster),
        };
        Spec { seed, trials, ..self }
    }
}

fn checked_name(name: &Spanned<String>) -> Result<String, Complaint> {
    let text = name.get_ref();
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if text.is_empty() || text.len() > 64 || !text.chars().all(good) {
        return Err((name.span().start, Problem::BadName(text.clone())));
    }
    Ok(text.clone())
}

/// A list that is not empty and has nothing twice.
fn distinct<T: Clone, S: Display>(
    list: &Spanned<Vec<Spanned<T>>>,
    key: &'static str,
    what: &'static str,
    show: impl Fn(&T) -> S,
) -> Result<Vec<T>, Complaint> {
    if list.get_ref().is_empty() {
        return Err((list.span().start, Problem::Empty { key, what }));
    }
    let mut seen = std::collections::BTreeSet::new();
    for item in list.get_ref() {
        let value = show(item.get_ref()).to_string();
        if !seen.insert(value.clone()) {
            return Err((item.span().start, Problem::Duplicate { key, value }));
        }
    }
    Ok(list.get_ref().iter().map(|item| item.get_ref().clone()).collect())
}

pub(super) fn within(
    found: Period,
    offset: usize,
    key: &'static str,
    least: Period,
    most: Period,
) -> Result<Duration, Complaint> {
    if found < least {
        return Err((offset, Problem::TooShort { key, found, least }));
    }
    if found > most {
        return Err((offset, Problem::TooLong { key, found, most }));
    }
    Ok(found.0)
}

fn periods(
    list: &Spanned<Vec<Spanned<Period>>>,
    key: &'static str,
    what: &'static str,
) -> Result<Vec<Duration>, Complaint> {
    distinct(list, key, what, |period| *period)?;
    list.get_ref()
        .iter()
        .map(|period| {
            within(
                *period.get_ref(),
                period.span().start,
                key,
                PERIOD_MIN,
                PERIOD_MAX,
            )
        })
        .collect()
}

/// One mean time between failures, or a list of them.
pub(super) fn mtbfs(mtbf: &Spanned<RawPeriods>) -> Result<Vec<Duration>, Complaint> {
    let (span, key) = (mtbf.span(), "failures.mtbf");
    let list = match mtbf.get_ref() {
        RawPeriods::One(period) => vec![Spanned::new(span.clone(), *period)],
        RawPeriods::Many(list) => list.clone(),
    };
    periods(&Spanned::new(span, list), key, "mean time between failures")
}

fn checked_precision(raw: &RawPrecision) -> Result<Precision, Complaint> {
    let makespan = *raw.makespan.get_ref();
    if !(PRECISION_MIN..=1.0).contains(&makespan) {
        return Err((
            raw.makespan.span().start,
            Problem::BadPrecision {
                found: makespan.to_string(),
            },
        ));
    }
    let trials_max = match &raw.trials_max {
        None => TRIALS_MAX,
        Some(given) if (1..=TRIALS_MAX).contains(given.get_ref()) => *given.get_ref(),
        Some(given) => {
            return Err((
                given.span().start,
                Problem::OutOfRange {
                    key: "precision.trials_max",
                    found: *given.get_ref(),
                    least: 1,
                    most: TRIALS_MAX,
                },
            ));
        }
    };
    Ok(Precision {
        makespan,
        trials_max: u32::try_from(trials_max).unwrap_or(u32::MAX),
    })
}

fn checked_trials(trials: &Spanned<RawTrials>, levels: &[Level]) -> Result<Trials, Complaint> {
    let offset = trials.span().start;
    let at = |level: Level| -> Result<Option<u32>, Complaint> {
        let (given, wanted) = match *trials.get_ref() {
            RawTrials::Everywhere(count) => {
                (levels.contains(&level).then_some(count), levels.contains(&level))
            }
            RawTrials::PerLevel { model, sim, cluster } => {
                let given = match level {
                    Level::Model => model,
                    Level::Sim => sim,
                    Level::Cluster => cluster,
                };
                (given, levels.contains(&level))
            }
        };
        match (given, wanted) {
            (Some(_), false) => Err((offset, Problem::TrialsForAbsentLevel { level: level.name() })),
            (None, true) => Err((offset, Problem::TrialsMissing { level: level.name() })),
            (None, false) => Ok(None),
            (Some(found), true) => match u32::try_from(found) {
                Ok(count) if (1..=TRIALS_MAX).contains(&found) => Ok(Some(count)),
                _ => Err((
                    offset,
                    Problem::OutOfRange {
                        key: "trials",
                        found,
                        least: 1,
                        most: TRIALS_MAX,
                    },
                )),
            },
        }
    };
    Ok(Trials {
        model: at(Level::Model)?,
        sim: at(Level::Sim)?,
        cluster: at(Level::Cluster)?,
    })
}

fn checked_job(job: &RawJob) -> Result<Job, Complaint> {
    let work = within(
        *job.work.get_ref(),
        job.work.span().start,
        "job.work",
        PERIOD_MIN,
        PERIOD_MAX,
    )?;
    Ok(Job {
        work,
        final_checkpoint: job.final_checkpoint,
    })
}

fn check_costs(checkpoint: &RawCheckpoint, levels: &[Level]) -> Result<(), Complaint> {
    let costs = [
        (&checkpoint.cost, "checkpoint.cost"),
        (&checkpoint.restart, "checkpoint.restart"),
    ];
    for (cost, key) in costs {
        match cost.get_ref() {
            Cost::Given(_) if levels.contains(&Level::Sim) => {
                return Err((cost.span().start, Problem::CostNotMeasured { key }));
            }
            Cost::Given(given) => {
                let least = if key == "checkpoint.cost" {
                    PERIOD_MIN
                } else {
                    Period::default()
                };
                within(Period(*given), cost.span().start, key, least, PERIOD_MAX)?;
            }
            Cost::Measured => {}
        }
    }
    if (*checkpoint.cost.get_ref() == Cost::Measured) != (*checkpoint.restart.get_ref() == Cost::Measured) {
        return Err((checkpoint.cost.span().start, Problem::HalfMeasured));
    }
    Ok(())
}

fn needs_guest(levels: &[Level], raw: &Raw) -> Option<(usize, &'static str)> {
    if levels.contains(&Level::Sim) {
        return Some((raw.levels.span().start, "level \"sim\""));
    }
    [&raw.checkpoint.cost, &raw.checkpoint.restart]
        .into_iter()
        .find(|cost| *cost.get_ref() == Cost::Measured)
        .map(|cost| (cost.span().start, "\"measured\""))
}

fn checked_guest(guest: &RawGuest, raw: &Raw) -> Result<Guest, Complaint> {
    distinct(&guest.programs, "guest.programs", "guest program", Clone::clone)?;
    let programs = guest.programs.get_ref().iter().map(|name| {
        let program = name.get_ref().parse::<Program>();
        program.map_err(|unknown| (name.span().start, Problem::NoSuchProgram(unknown)))
    });
    let programs = programs.collect::<Result<Vec<_>, _>>()?;
    let frame = revenant_core::PAGE_SIZE as u64;
    let (least, most) = (
        Size {
            bytes: Program::PAGES_MIN * frame,
        },
        MEMORY_MAX,
    );
    let found = guest
        .memory
        .as_ref()
        .map_or(MEMORY_DEFAULT, |memory| *memory.get_ref());
    if !(least..=most).contains(&found) || !found.bytes.is_multiple_of(frame) {
        let offset = guest.memory.as_ref().map_or(0, |memory| memory.span().start);
        return Err((offset, Problem::BadMemory { found, least, most }));
    }
    let step = match &guest.step {
        None => STEP_DEFAULT,
        Some(step) => Period(within(
            *step.get_ref(),
            step.span().start,
            "guest.step",
            PERIOD_MIN,
            PERIOD_MAX,
        )?),
    };
    let work = *raw.job.work.get_ref();
    if !work.0.as_nanos().is_multiple_of(step.0.as_nanos()) {
        return Err((raw.job.work.span().start, Problem::NotWholeSteps { work, step }));
    }
    let world = match &raw.world {
        None => CostProfile::default(),
        Some(world) => {
            world
                .get_ref()
                .check()
                .map_err(|error| (world.span().start, Problem::BadWorld(error)))?;
            world.get_ref().clone()
        }
    };
    Ok(Guest {
        programs,
        pages: found.bytes / frame,
        step: step.0,
        world,
    })
}

/// Some policies are for what only some specs have.
fn check_needs(kind: &Kind, offset: usize, beyond: &Beyond) -> Result<(), Complaint> {
    let has = match kind.name {
        "two-level" => beyond.two_level.is_some(),
        "verified" => beyond.verified.is_some(),
        "epochs" => beyond.rules.epochs.is_some(),
        _ => true,
    };
    match kind.needs_world.filter(|_| !has) {
        None => Ok(()),
        Some(needs) => {
            let policy = kind.name;
            Err((offset, Problem::PolicyNeeds { policy, needs }))
        }
    }
}

fn checked_policies(
    policies: &Spanned<Vec<Spanned<RawPolicy>>>,
    beyond: &Beyond,
) -> Result<Vec<Choice>, Complaint> {
    let mut all: Vec<Choice> = Vec::new();
    for policy in policies.get_ref() {
        for (offset, choice) in checked_policy(policy)? {
            check_needs(choice.kind(), offset, beyond)?;
            if all.contains(&choice) {
                let value = format!("{choice:#}");
                return Err((offset, Problem::Duplicate { key: "policy", value }));
            }
            all.push(choice);
        }
    }
    if all.is_empty() {
        let what = "policy ([[policy]] with kind = \"…\")";
        let key = "policy";
        return Err((policies.span().start, Problem::Empty { key, what }));
    }
    Ok(all)
}

/// Every combination of the values of its parameters, and where it stands.
fn checked_policy(policy: &Spanned<RawPolicy>) -> Result<Vec<(usize, Choice)>, Complaint> {
    let refused = |offset: usize| move |error| (offset, Problem::Policy(error));
    let raw = policy.get_ref();
    let name = raw
        .get("kind")
        .ok_or((policy.span().start, Problem::PolicyWithoutKind))?;
    let offset = name.span().start;
    let name = name
        .get_ref()
        .as_str()
        .ok_or((offset, Problem::PolicyWithoutKind))?;
    let kind = kind(name).map_err(refused(offset))?;
    let mut grid = vec![(offset, Vec::new())];
    for (key, given) in raw.iter().filter(|(key, _)| *key != "kind") {
        let offset = given.span().start;
        let parameter = kind.parameter(key).map_err(refused(offset))?;
        let list = match given.get_ref() {
            toml::Value::Array(list) if list.is_empty() => {
                let (key, what) = (parameter.name, parameter.name);
                return Err((offset, Problem::Empty { key, what }));
            }
            toml::Value::Array(list) => list.iter().collect(),
            value => vec![value],
        };
        let mut wider = Vec::with_capacity(grid.len() * list.len());
        for (_, given) in &grid {
            for value in &list {
                let value = number(kind, parameter, value).map_err(|problem| (offset, problem))?;
                let value = parameter.within(kind.name, value).map_err(refused(offset))?;
                let mut given: Vec<(&str, f64)> = given.clone();
                given.push((parameter.name, value));
                wider.push((offset, given));
            }
        }
        grid = wider;
    }
    let choice = |(offset, given): (usize, Vec<_>)| {
        let choice = Choice::new(name, &given).map_err(refused(offset))?;
        Ok((offset, choice))
    };
    grid.into_iter().map(choice).collect()
}

/// A value of a parameter; of a time in seconds.
fn number(kind: &Kind, parameter: &Parameter, value: &toml::Value) -> Result<f64, Problem> {
    let (found, expected) = match (parameter.unit, value) {
        (Unit::Number, toml::Value::Integer(value)) => (Some(*value as f64), "a number"),
        (Unit::Number, value) => (value.as_float(), "a number"),
        (Unit::Time, value) => {
            let period = value.as_str().and_then(|text| text.parse::<Period>().ok());
            (period.map(Period::as_secs_f64), "a duration such as \"10min\"")
        }
    };
    found.ok_or(Problem::BadParameter {
        policy: kind.name,
        key: parameter.name,
        expected,
    })
}

/// Many jobs have no common measure: what a cluster does is given up after a century, unless told otherwise.
fn checked_limits(limits: &RawLimits, work: Duration, cluster: bool) -> Result<Limits, Complaint> {
    let failures = match &limits.failures {
        None => FAILURES_DEFAULT,
        Some(given) => u32::try_from(*given.get_ref()).map_err(|_| {
            let most = u64::from(u32::MAX);
            let found = *given.get_ref();
            (
                given.span().start,
                Problem::OutOfRange {
                    key: "limits.failures",
                    found,
                    least: 0,
                    most,
                },
            )
        })?,
    };
    let time = match &limits.time {
        None if cluster => PERIOD_MAX.0,
        None => work.saturating_mul(TIME_DEFAULT_FACTOR).min(PERIOD_MAX.0),
        Some(given) => within(
            *given.get_ref(),
            given.span().start,
            "limits.time",
            Period(work),
            PERIOD_MAX,
        )?,
    };
    Ok(Limits { failures, time })
}

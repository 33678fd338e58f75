//! ① `[cluster]`: hosts, stores and what is to be done, as written, and checked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::Level;
use super::check::{PERIOD_MAX, within};
use super::error::Problem;
use super::failures::{Failures, RawLaw, drawn_law};
use super::files::Files;
use super::raw::Raw;
use crate::cluster::{
    Arrivals, Bandwidth, Cluster, Spread, StoreKind, Synthetic, Trace, TraceFormat, Workload,
};
use crate::failures::{Process, Replay};
use revenant_core::policy::TwoLevel;
use revenant_core::quantity::{Period, Size};

type Complaint = (usize, Problem);

/// Each host takes some 700 bytes in every trial at a time.
const HOSTS_MAX: u64 = 1_000_000;
const SLOTS_MAX: u64 = 100_000;
const JOBS_MAX: u64 = 100_000_000;
const STORES_MAX: u64 = 10_000;
const COUNT_MAX: u64 = 1_000_000;
const BYTES_MAX: u64 = 1 << 60;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCluster {
    hosts: Spanned<u64>,
    slots_per_host: Option<Spanned<u64>>,
    memory_per_host: Option<Spanned<Size>>,
    spares: Option<Spanned<u64>>,
    repair: Option<Spanned<Period>>,
    checkpoint_to: Option<Spanned<Vec<Spanned<String>>>>,
    shared_every: Option<Spanned<u64>>,
    #[serde(default)]
    jobs_csv: bool,
    workload: Spanned<RawWorkload>,
    store: Spanned<BTreeMap<String, Spanned<RawStore>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStore {
    kind: Spanned<RawKind>,
    bandwidth: Option<Spanned<Size>>,
    stream_bandwidth: Option<Spanned<Size>>,
    latency: Option<Spanned<Period>>,
    count: Option<Spanned<u64>>,
    survives_host_loss: Option<Spanned<bool>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawKind {
    Local,
    Shared,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWorkload {
    jobs: Option<Spanned<u64>>,
    interarrival: Option<Spanned<Period>>,
    arrivals: Option<Spanned<RawSpread>>,
    length: Option<Spanned<RawSpread>>,
    memory: Spanned<Size>,
    memory_law: Option<Spanned<RawSpread>>,
    width: Option<Spanned<RawWidth>>,
    trace: Option<Spanned<RawTrace>>,
}

/// `2`, or `[1, 2, 4]`.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a number of slots such as 2, or a list such as [1, 2, 4]"
)]
enum RawWidth {
    One(u64),
    Many(Vec<u64>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTrace {
    file: PathBuf,
    format: TraceFormat,
}

/// `"constant"`, or a law.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawSpread {
    Constant,
    Exponential,
    Weibull(f64),
    Lognormal(f64),
    Gamma(f64),
}

/// The cluster of a setting, and what policy `two-level` is told of it.
pub(super) struct Checked {
    pub cluster: Cluster,
    pub two_level: Option<TwoLevel>,
}

/// Checks the section, which level `cluster` must have and no other may.
pub(super) fn checked(
    raw: &Raw,
    levels: &[Level],
    failures: &Failures,
    files: &Files<'_>,
) -> Result<Option<Checked>, Complaint> {
    let wanted = levels.contains(&Level::Cluster);
    let section = match (&raw.cluster, wanted) {
        (None, false) => return Ok(None),
        (Some(section), false) => return Err((section.span().start, Problem::ClusterUnused)),
        (None, true) => return Err((raw.levels.span().start, Problem::ClusterMissing)),
        (Some(section), true) => section,
    };
    refuse_what_is_of_one_job(raw, failures)?;
    let section = section.get_ref();
    let hosts = count(&section.hosts, "cluster.hosts", 1, HOSTS_MAX)?;
    let (local, shared) = stores(section)?;
    let shared_every = section
        .shared_every
        .as_ref()
        .map(|every| {
            if local.is_none() || shared.is_none() {
                return Err((every.span().start, Problem::SharedEveryAlone));
            }
            count(every, "cluster.shared_every", 1, COUNT_MAX)
        })
        .transpose()?;
    let cluster = Cluster {
        hosts,
        slots_per_host: or(section.slots_per_host.as_ref(), 1, |slots| {
            count(slots, "cluster.slots_per_host", 1, SLOTS_MAX)
        })?,
        memory_per_host: or(section.memory_per_host.as_ref(), u64::MAX, |memory| {
            bytes(memory, "cluster.memory_per_host", 1)
        })?,
        spares: or(section.spares.as_ref(), 0, |spares| {
            count(spares, "cluster.spares", 0, HOSTS_MAX)
        })?,
        repair: span(section.repair.as_ref(), "cluster.repair")?,
        local,
        shared,
        shared_every,
        workload: workload(&section.workload, files)?,
        jobs_csv: section.jobs_csv,
    };
    check_width(section, &cluster)?;
    let memory = cluster.workload.slot_memory();
    let two_level = cluster
        .local
        .as_ref()
        .and(cluster.shared.as_ref())
        .map(|shared| TwoLevel {
            shared_cost: Duration::from_nanos(shared.lone_ns(memory, memory)),
            host_loss_share: failures.kinds.host_loss,
            shared_every,
        });
    Ok(Some(Checked { cluster, two_level }))
}

/// What is said of a single job, or of nodes that strike one, has no meaning here.
fn refuse_what_is_of_one_job(raw: &Raw, failures: &Failures) -> Result<(), Complaint> {
    let of_hosts = ["failures.reboot", "failures.hang_detection"];
    if let Some((offset, key)) = super::rules::given(raw).find(|(_, key)| !of_hosts.contains(key)) {
        return Err((offset, Problem::NotAtCluster { key }));
    }
    let at = raw.failures.law_offset();
    match &failures.process {
        Process::Drawn { nodes, .. } if *nodes > 1 => {
            let key = "failures.nodes";
            return Err((at, Problem::NotAtCluster { key }));
        }
        Process::Recorded(log) if matches!(log.mode, Replay::From(_)) => {
            return Err((at, Problem::SameLogForAll));
        }
        _ => {}
    }
    if failures.kinds.store_loss > 0.0 {
        let key = "failures.kinds: store-loss";
        return Err((at, Problem::NotAtCluster { key }));
    }
    Ok(())
}

/// Those that checkpoints go to; at most one of a kind.
fn stores(section: &RawCluster) -> Result<(Option<StoreKind>, Option<StoreKind>), Complaint> {
    let all = section.store.get_ref();
    let named: Vec<(usize, &String)> = match &section.checkpoint_to {
        None => all
            .iter()
            .map(|(name, store)| (store.span().start, name))
            .collect(),
        Some(names) => names
            .get_ref()
            .iter()
            .map(|name| (name.span().start, name.get_ref()))
            .collect(),
    };
    let (mut local, mut shared) = (None, None);
    for store in all.values() {
        // One that is not written to has to make sense all the same.
        checked_store(store.get_ref())?;
    }
    for &(offset, name) in &named {
        let Some(store) = all.get(name) else {
            let name = name.clone();
            return Err((offset, Problem::NoSuchStore { name }));
        };
        let store = store.get_ref();
        let (place, kind) = match store.kind.get_ref() {
            RawKind::Local => (&mut local, "local"),
            RawKind::Shared => (&mut shared, "shared"),
        };
        if place.replace(checked_store(store)?).is_some() {
            return Err((offset, Problem::TwoStoresOfAKind { kind }));
        }
    }
    if named.is_empty() {
        return Err((section.store.span().start, Problem::NoStore));
    }
    Ok((local, shared))
}

fn checked_store(store: &RawStore) -> Result<StoreKind, Complaint> {
    let local = *store.kind.get_ref() == RawKind::Local;
    let bandwidth = match (&store.bandwidth, &store.stream_bandwidth) {
        (None, None) => None,
        (None, Some(stream)) => return Err((stream.span().start, Problem::StreamWithoutStore)),
        (Some(total), stream) => Some(Bandwidth {
            total: bytes(total, "cluster.store.bandwidth", 1)?,
            stream: stream
                .as_ref()
                .map(|stream| bytes(stream, "cluster.store.stream_bandwidth", 1))
                .transpose()?,
        }),
    };
    if let (Some(count), true) = (&store.count, local) {
        return Err((count.span().start, Problem::CountOfLocal));
    }
    let survives = store.survives_host_loss.as_ref();
    if let Some(survives) = survives.filter(|survives| !local && !*survives.get_ref()) {
        return Err((survives.span().start, Problem::SharedDies));
    }
    Ok(StoreKind {
        bandwidth,
        latency: span(store.latency.as_ref(), "cluster.store.latency")?,
        count: or(store.count.as_ref(), 1, |number| {
            count(number, "cluster.store.count", 1, STORES_MAX)
        })?,
        survives_host_loss: survives.map_or(!local, |survives| *survives.get_ref()),
    })
}

fn workload(raw: &Spanned<RawWorkload>, files: &Files<'_>) -> Result<Workload, Complaint> {
    let offset = raw.span().start;
    let raw = raw.get_ref();
    let memory = bytes(&raw.memory, "cluster.workload.memory", 0)?;
    if let Some(trace) = &raw.trace {
        let drawn = [
            raw.jobs.as_ref().map(|x| (x.span().start, "jobs")),
            raw.interarrival
                .as_ref()
                .map(|x| (x.span().start, "interarrival")),
            raw.arrivals.as_ref().map(|x| (x.span().start, "arrivals")),
            raw.length.as_ref().map(|x| (x.span().start, "length")),
            raw.memory_law.as_ref().map(|x| (x.span().start, "memory_law")),
            raw.width.as_ref().map(|x| (x.span().start, "width")),
        ];
        if let Some((offset, key)) = drawn.into_iter().flatten().next() {
            return Err((offset, Problem::NotOfATrace { key }));
        }
        let offset = trace.span().start;
        let trace = trace.get_ref();
        let path = files.find(&trace.file);
        let checked = Trace::check(&path, trace.format, memory).map_err(|error| {
            let cause = std::error::Error::source(&error).map_or(String::new(), |cause| format!(": {cause}"));
            let why = format!("{error}{cause}");
            (offset, Problem::BadTrace { why })
        })?;
        return Ok(Workload::Trace(checked));
    }
    let Some(jobs) = &raw.jobs else {
        return Err((offset, Problem::NoJobs));
    };
    if !(1..=JOBS_MAX).contains(jobs.get_ref()) {
        let problem = Problem::OutOfRange {
            key: "cluster.workload.jobs",
            found: *jobs.get_ref(),
            least: 1,
            most: JOBS_MAX,
        };
        return Err((jobs.span().start, problem));
    }
    let arrivals = match (&raw.interarrival, &raw.arrivals) {
        (None, None) => Arrivals::AtOnce,
        (None, Some(law)) => return Err((law.span().start, Problem::ArrivalsWithoutMean)),
        (Some(mean), law) => Arrivals::Gaps {
            mean: within(
                *mean.get_ref(),
                mean.span().start,
                "cluster.workload.interarrival",
                Period(Duration::from_nanos(1)),
                PERIOD_MAX,
            )?,
            law: law
                .as_ref()
                .map_or(Ok(Spread::Law(crate::failures::Law::Exponential)), spread)?,
        },
    };
    Ok(Workload::Synthetic(Synthetic {
        jobs: *jobs.get_ref(),
        arrivals,
        length: raw.length.as_ref().map_or(Ok(Spread::Constant), spread)?,
        memory,
        memory_law: raw.memory_law.as_ref().map_or(Ok(Spread::Constant), spread)?,
        width: or(raw.width.as_ref(), vec![1], width)?,
    }))
}

fn width(raw: &Spanned<RawWidth>) -> Result<Vec<u32>, Complaint> {
    let (span, key) = (raw.span(), "cluster.workload.width");
    let values = match raw.get_ref() {
        RawWidth::One(one) => vec![*one],
        RawWidth::Many(many) => many.clone(),
    };
    if values.is_empty() {
        let what = "number of slots";
        return Err((span.start, Problem::Empty { key, what }));
    }
    let checked = values
        .into_iter()
        .map(|value| count(&Spanned::new(span.clone(), value), key, 1, HOSTS_MAX));
    checked.collect()
}

/// Drawn jobs that could never run are a slip; those of a trace end as unfinished.
fn check_width(section: &RawCluster, cluster: &Cluster) -> Result<(), Complaint> {
    let Workload::Synthetic(synthetic) = &cluster.workload else {
        return Ok(());
    };
    let slots = u64::from(cluster.hosts) * u64::from(cluster.slots_per_host);
    let widest = synthetic.width.iter().copied().max().map_or(1, u64::from);
    let raw = section.workload.get_ref();
    if widest > slots {
        let offset = raw.width.as_ref().map_or(0, |width| width.span().start);
        let problem = Problem::TooWide { found: widest, slots };
        return Err((offset, problem));
    }
    let widest_vm = widest.min(cluster.slots_per_host.into());
    let needed = synthetic.memory.saturating_mul(widest_vm);
    if synthetic.memory_law == Spread::Constant && needed > cluster.memory_per_host {
        return Err((raw.memory.span().start, Problem::MemoryNeverFits));
    }
    Ok(())
}

fn spread(raw: &Spanned<RawSpread>) -> Result<Spread, Complaint> {
    let law = match *raw.get_ref() {
        RawSpread::Constant => return Ok(Spread::Constant),
        RawSpread::Exponential => RawLaw::Exponential,
        RawSpread::Weibull(shape) => RawLaw::Weibull(shape),
        RawSpread::Lognormal(sigma) => RawLaw::Lognormal(sigma),
        RawSpread::Gamma(shape) => RawLaw::Gamma(shape),
    };
    let law = drawn_law(&law, "cluster.workload", raw.span().start)?;
    Ok(law.map_or(Spread::Constant, Spread::Law))
}

fn or<R, T>(
    given: Option<&Spanned<R>>,
    otherwise: T,
    check: impl Fn(&Spanned<R>) -> Result<T, Complaint>,
) -> Result<T, Complaint> {
    given.map_or(Ok(otherwise), check)
}

fn span(period: Option<&Spanned<Period>>, key: &'static str) -> Result<Duration, Complaint> {
    period.map_or(Ok(Duration::ZERO), |period| {
        let least = Period::default();
        within(*period.get_ref(), period.span().start, key, least, PERIOD_MAX)
    })
}

fn count(given: &Spanned<u64>, key: &'static str, least: u64, most: u64) -> Result<u32, Complaint> {
    let found = *given.get_ref();
    let problem = Problem::OutOfRange {
        key,
        found,
        least,
        most,
    };
    match u32::try_from(found) {
        Ok(count) if (least..=most).contains(&found) => Ok(count),
        _ => Err((given.span().start, problem)),
    }
}

/// A size, or a size a second.
fn bytes(given: &Spanned<Size>, key: &'static str, least: u64) -> Result<u64, Complaint> {
    let found = given.get_ref().bytes;
    if (least..=BYTES_MAX).contains(&found) {
        return Ok(found);
    }
    let problem = Problem::OutOfRange {
        key,
        found,
        least,
        most: BYTES_MAX,
    };
    Err((given.span().start, problem))
}

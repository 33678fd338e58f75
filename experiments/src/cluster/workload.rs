//! What is to be done: jobs in the order of their submission, drawn or read from a trace, one at a time.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use super::ns;
use super::trace::{Trace, TraceError, TraceReader};
use crate::failures::{Law, unit_exponential};
use crate::seed::{Purpose, TrialSeed};

/// Where jobs come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Workload {
    /// Drawn.
    Synthetic(Synthetic),
    /// Recorded.
    Trace(Trace),
}

/// Jobs drawn from laws.
#[derive(Debug, Clone, PartialEq)]
pub struct Synthetic {
    /// How many.
    pub jobs: u64,
    /// When they are submitted.
    pub arrivals: Arrivals,
    /// How their lengths spread around W.
    pub length: Spread,
    /// Memory of a job in bytes, for each of its slots; a mean.
    pub memory: u64,
    /// How it spreads.
    pub memory_law: Spread,
    /// Slots of a job, one of these at random.
    pub width: Vec<u32>,
}

/// When jobs are submitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arrivals {
    /// All at the start.
    AtOnce,
    /// The first at the start, the others after gaps of this mean and law.
    Gaps {
        /// Mean gap.
        mean: Duration,
        /// Law of the gaps.
        law: Spread,
    },
}

/// How a quantity spreads around its mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Spread {
    /// Not at all.
    Constant,
    /// By this law.
    Law(Law),
}

impl Spread {
    /// A draw with mean one. It always takes one number from the stream, so that laws can be compared draw by draw.
    fn draw(self, rng: &mut ChaCha8Rng) -> f64 {
        let hazard = unit_exponential(rng);
        match self {
            Spread::Constant => 1.0,
            Spread::Law(law) => law.at_hazard(hazard),
        }
    }
}

/// A job as it is submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewJob {
    /// Time of submission in nanoseconds since the start of the trial.
    pub submit: u64,
    /// Work in nanoseconds.
    pub work: u64,
    /// Slots it takes.
    pub slots: u32,
    /// Memory of all its VMs together in bytes.
    pub memory: u64,
}

/// A job of no work would end before it begins.
const WORK_MIN_NS: u64 = 1_000_000;
/// A century: as for every duration of a spec.
const SPAN_MAX_NS: f64 = 3.1536e18;

impl Workload {
    /// Mean memory of a job's slot in bytes, as far as it is known without reading a trace.
    pub fn slot_memory(&self) -> u64 {
        match self {
            Workload::Synthetic(synthetic) => synthetic.memory,
            Workload::Trace(trace) => trace.memory,
        }
    }

    /// The jobs of a trial.
    pub(super) fn jobs(&self, seed: TrialSeed, work: Duration) -> Result<Jobs<'_>, TraceError> {
        Ok(match self {
            Workload::Synthetic(spec) => Jobs::Drawn {
                spec,
                rng: Box::new(seed.stream(Purpose::Workload)),
                work_ns: ns(work) as f64,
                given: 0,
                last: 0,
            },
            Workload::Trace(trace) => Jobs::Read(trace.open()?),
        })
    }
}

/// The jobs of a trial, one at a time.
#[derive(Debug)]
pub(super) enum Jobs<'a> {
    Drawn {
        spec: &'a Synthetic,
        rng: Box<ChaCha8Rng>,
        work_ns: f64,
        given: u64,
        last: u64,
    },
    Read(TraceReader),
}

impl Jobs<'_> {
    /// The next job; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<NewJob>, TraceError> {
        let (spec, rng, work_ns, given, last) = match self {
            Jobs::Read(reader) => return reader.next(),
            Jobs::Drawn {
                spec,
                rng,
                work_ns,
                given,
                last,
            } => (spec, rng, *work_ns, given, last),
        };
        if *given == spec.jobs {
            return Ok(None);
        }
        let (gap_law, mean) = match spec.arrivals {
            Arrivals::AtOnce => (Spread::Constant, Duration::ZERO),
            Arrivals::Gaps { mean, law } => (law, mean),
        };
        let gap = gap_law.draw(rng) * ns(mean) as f64;
        let length = spec.length.draw(rng);
        let memory = spec.memory_law.draw(rng);
        let slots = pick(&spec.width, libm::exp(-unit_exponential(rng)));
        if *given > 0 {
            *last = last.saturating_add(whole(gap));
        }
        *given += 1;
        Ok(Some(NewJob {
            submit: *last,
            work: whole(length * work_ns).max(WORK_MIN_NS),
            slots,
            memory: whole(memory * spec.memory as f64 * f64::from(slots)),
        }))
    }
}

/// One of the values, by a number from 0 to 1.
fn pick(values: &[u32], unit: f64) -> u32 {
    let index = usize::try_from(whole(unit * values.len() as f64)).unwrap_or(0);
    values[index.min(values.len() - 1)]
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts from floats saturate, and nothing drawn is negative"
)]
fn whole(value: f64) -> u64 {
    value.min(SPAN_MAX_NS) as u64
}

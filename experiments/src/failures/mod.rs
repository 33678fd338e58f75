//! ② When failures strike, and of what kind.
//!
//! ```text
//! law (mean one) ─▶ process (nodes, rejuvenation, bursts; or a log) ─▶ stream of a trial: gap, kind
//! ```
//!
//! Gaps are counted in time during which a failure can strike: from the start of the job, and after a failure from the
//! end of detection and downtime, as the closed forms have it (no failure strikes in D). For memoryless failures this
//! choice is only about D; for others it also says that a replaced host starts afresh.

mod ahead;
mod kinds;
mod law;
mod nodes;
mod process;
mod unit;

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

pub use kinds::{FailureKind, Kinds};
pub use law::{Bathtub, BathtubError, Law};
pub use process::{Bursts, Process, Recorded, Rejuvenate, Replay};

pub(crate) use unit::unit_exponential;

use crate::seed::{Purpose, TrialSeed};
use ahead::Ahead;
use nodes::Nodes;
use unit::open_unit;

/// The failures of one trial, in order.
#[derive(Debug)]
pub struct FailureStream {
    source: Source,
    /// Mean of the gaps that the source gives out as units, in nanoseconds.
    scale_ns: f64,
    times: ChaCha8Rng,
    /// Of a memoryless process: the next gaps.
    ready: Ahead<u64>,
    /// Of others that are drawn by inversion: unit exponentials.
    units: Ahead<f64>,
    bursts: Option<BurstStream>,
    kinds: Result<FailureKind, (Kinds, ChaCha8Rng)>,
}

/// Gaps in units of their mean.
#[derive(Debug)]
enum Source {
    /// Memoryless, and no bursts between.
    Memoryless,
    /// Independent.
    Single(Law),
    /// Independent, each the least of so many.
    LeastOf { law: Law, nodes: f64 },
    /// Of nodes that grow old one by one.
    Nodes(Nodes),
    /// From a log, in order.
    Replay {
        gaps: Arc<[f64]>,
        next: usize,
        /// What is left of the gap in which it begins.
        rest: Option<f64>,
        mean: f64,
    },
    /// From a log, drawn.
    Bootstrap { gaps: Arc<[f64]>, mean: f64 },
}

#[derive(Debug)]
struct BurstStream {
    probability: f64,
    delay_ns: f64,
    coins: ChaCha8Rng,
    /// A failure came before.
    begun: bool,
}

/// The next failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// Time at risk until it strikes.
    pub gap: Duration,
    /// What it takes away.
    pub kind: FailureKind,
}

impl FailureStream {
    /// The failures that a trial meets at this MTBF.
    pub fn new(seed: TrialSeed, process: &Process, mtbf: Duration, kinds: Kinds) -> Self {
        let mtbf_ns = mtbf.as_nanos() as f64;
        let mut times = seed.stream(Purpose::FailureTimes);
        let mut scale_ns = mtbf_ns;
        let mut burst_stream = None;
        let source = match process {
            Process::Drawn {
                law,
                nodes,
                rejuvenate,
                bursts,
            } => {
                if let Some(bursts) = bursts {
                    let delay_ns = bursts.delay.as_nanos() as f64;
                    // So that the mean of all gaps, those inside bursts and those between, is the MTBF.
                    scale_ns = (mtbf_ns - bursts.probability * delay_ns) / (1.0 - bursts.probability);
                    burst_stream = Some(BurstStream {
                        probability: bursts.probability,
                        delay_ns,
                        coins: seed.stream(Purpose::FailureBursts),
                        begun: false,
                    });
                }
                match (law, rejuvenate) {
                    // The least of N exponential gaps, each N times as long: one gap.
                    (Law::Exponential, _) if burst_stream.is_none() => Source::Memoryless,
                    (Law::Exponential, _) => Source::Single(*law),
                    (_, _) if *nodes == 1 => Source::Single(*law),
                    (_, Rejuvenate::All) => {
                        let nodes = *nodes as f64;
                        scale_ns *= nodes;
                        Source::LeastOf { law: *law, nodes }
                    }
                    (_, Rejuvenate::Failed) => {
                        scale_ns *= *nodes as f64;
                        Source::Nodes(Nodes::new(*law, *nodes, &mut times))
                    }
                }
            }
            Process::Recorded(log) => {
                let (gaps, mean) = (Arc::clone(&log.gaps_s), log.mean_s);
                let from = |instant_s: f64| {
                    let (next, rest) = log.at(instant_s);
                    let rest = Some(rest);
                    Source::Replay {
                        gaps: Arc::clone(&log.gaps_s),
                        next,
                        rest,
                        mean,
                    }
                };
                match log.mode {
                    Replay::Bootstrap => Source::Bootstrap { gaps, mean },
                    Replay::From(start) => from(start.as_secs_f64()),
                    Replay::Anywhere => from((1.0 - open_unit(&mut times)) * log.span_s()),
                }
            }
        };
        FailureStream {
            source,
            scale_ns,
            times,
            ready: Ahead::default(),
            units: Ahead::default(),
            bursts: burst_stream,
            kinds: kinds
                .only()
                .ok_or_else(|| (kinds, seed.stream(Purpose::FailureKinds))),
        }
    }

    /// Draws the next failure.
    pub fn draw(&mut self) -> Failure {
        let gap = Duration::from_nanos(self.gap_ns());
        let kind = match &mut self.kinds {
            Ok(kind) => *kind,
            Err((kinds, stream)) => kinds.at(open_unit(stream)),
        };
        Failure { gap, kind }
    }

    /// Draws the next failure of which only the time matters: at risk until it strikes, in nanoseconds. Kinds are drawn from a
    /// stream of their own, so leaving them out changes nothing.
    #[inline]
    pub fn gap_ns(&mut self) -> u64 {
        match self.ready.pop() {
            Some(gap_ns) => gap_ns,
            None => self.next_gap_ns(),
        }
    }

    #[inline(never)]
    fn next_gap_ns(&mut self) -> u64 {
        if let Some(gap_ns) = self.bursts.as_mut().and_then(BurstStream::gap_ns) {
            return gap_ns;
        }
        let unit = match &mut self.source {
            Source::Memoryless => {
                self.ready.draw(&mut self.times, self.scale_ns);
                return self.gap_ns();
            }
            Source::Single(law) => law.at_hazard(self.units.unit(&mut self.times)),
            Source::LeastOf { law, nodes } => law.at_hazard(self.units.unit(&mut self.times) / *nodes),
            Source::Nodes(nodes) => nodes.gap(&mut self.times),
            Source::Replay {
                gaps,
                next,
                rest,
                mean,
            } => {
                let gap = rest.take().unwrap_or(gaps[*next]);
                *next = (*next + 1) % gaps.len();
                gap / *mean
            }
            Source::Bootstrap { gaps, mean } => gaps[self.times.random_range(0..gaps.len())] / *mean,
        };
        whole_ns(unit * self.scale_ns)
    }
}

impl BurstStream {
    /// The gap to the next failure, if it belongs to the burst of the last.
    fn gap_ns(&mut self) -> Option<u64> {
        if !std::mem::replace(&mut self.begun, true) {
            return None;
        }
        let goes_on = open_unit(&mut self.coins) <= self.probability;
        goes_on.then(|| whole_ns(unit_exponential(&mut self.coins) * self.delay_ns))
    }
}

/// Longer than anything runs, and far from overflowing when added up.
const GAP_MAX_NS: u64 = u64::MAX / 8;

#[inline]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts from floats saturate, and gaps are not negative"
)]
fn whole_ns(nanoseconds: f64) -> u64 {
    (nanoseconds as u64).min(GAP_MAX_NS)
}

#[cfg(test)]
mod tests;

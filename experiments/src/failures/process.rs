//! ② Where the times of failures come from: a law, the nodes it holds for, bursts, or a recorded log.

use std::sync::Arc;
use std::time::Duration;

use super::law::Law;

/// How the failures that strike a job follow each other.
#[derive(Debug, Clone, PartialEq)]
pub enum Process {
    /// Drawn from a law.
    Drawn {
        /// Of the time between failures of one node.
        law: Law,
        /// Nodes whose failures strike the job. The MTBF is that of the whole: a node's is `nodes` times as long.
        nodes: u64,
        /// What a failure makes new.
        rejuvenate: Rejuvenate,
        /// Failures that bring others with them.
        bursts: Option<Bursts>,
    },
    /// Taken from a log.
    Recorded(Recorded),
}

/// What is as new after a failure (Bougeret et al., SC'11, section 2). For memoryless laws it is all one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rejuvenate {
    /// Every node: the times between failures are independent, each the least of as many gaps as there are nodes. Where the
    /// hazard falls (k < 1) that is one failure after another soon: the mean time between failures of the whole is then
    /// shorter than the MTBF of the spec, which is the long-run one of nodes that are renewed one by one.
    All,
    /// The node that failed; the others grow older.
    Failed,
}

/// Correlated failures: each failure brings another with it with some probability, soon after. MTBF and rate count every failure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bursts {
    /// That a failure is followed by another of its burst; less than 1. Bursts have 1/(1 − p) failures on average.
    pub probability: f64,
    /// Mean time until then; exponential.
    pub delay: Duration,
}

/// Gaps of a failure log.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Gaps between failures in seconds, in the order of the log; at least one, and not all zero.
    pub gaps_s: Arc<[f64]>,
    /// When each of them ends, from the log's beginning on.
    ends_s: Arc<[f64]>,
    /// Their mean.
    pub mean_s: f64,
    /// What is made of them.
    pub mode: Replay,
    /// The log's name, for rows and manifest.
    pub name: String,
    /// BLAKE3 of the log, in hex.
    pub blake3: String,
}

/// How a log is used. Gaps are scaled so that their mean is the MTBF of the cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// As it is, from this long after its beginning on, over and over: every trial is the same.
    From(Duration),
    /// As it is, from an instant on that each trial draws, over and over. All instants are alike: more trials begin in a long gap than in a
    /// short one, and no more in months with many failures than in others.
    Anywhere,
    /// Gaps drawn from the log one by one, with replacement: its law without its order.
    Bootstrap,
}

impl Process {
    /// Memoryless failures of one node.
    pub const EXPONENTIAL: Process = Process::law(Law::Exponential);

    /// Independent gaps of a law.
    pub const fn law(law: Law) -> Process {
        Process::Drawn {
            law,
            nodes: 1,
            rejuvenate: Rejuvenate::Failed,
            bursts: None,
        }
    }

    /// As rows spell it.
    pub fn name(&self) -> String {
        match self {
            Process::Drawn {
                law, bursts: None, ..
            } => law.name().to_owned(),
            Process::Drawn {
                law, bursts: Some(_), ..
            } => format!("{} bursts", law.name()),
            Process::Recorded(log) => {
                let mode = match log.mode {
                    Replay::From(Duration::ZERO) => "replay",
                    Replay::From(start) => {
                        return format!("replay from {}s {}", start.as_secs_f64(), log.name);
                    }
                    Replay::Anywhere => "replay-anywhere",
                    Replay::Bootstrap => "bootstrap",
                };
                format!("{mode} {}", log.name)
            }
        }
    }

    /// The law's shape, where it has one.
    pub fn shape(&self) -> Option<f64> {
        match self {
            Process::Drawn { law, .. } => law.shape(),
            Process::Recorded(_) => None,
        }
    }

    /// Nodes whose failures strike the job.
    pub fn nodes(&self) -> u64 {
        match self {
            Process::Drawn { nodes, .. } => *nodes,
            Process::Recorded(_) => 1,
        }
    }

    /// Whether the failures are those of the closed forms: one Poisson process.
    pub fn is_memoryless(&self) -> bool {
        matches!(
            self,
            Process::Drawn {
                law: Law::Exponential,
                bursts: None,
                ..
            }
        )
    }
}

impl Recorded {
    /// From gaps in seconds, at least one, and not all zero.
    pub fn new(gaps_s: Vec<f64>, mode: Replay, name: String, blake3: String) -> Recorded {
        let mut end_s = 0.0;
        let ends_s: Arc<[f64]> = gaps_s
            .iter()
            .map(|gap| {
                end_s += gap;
                end_s
            })
            .collect();
        Recorded {
            mean_s: end_s / gaps_s.len() as f64,
            gaps_s: gaps_s.into(),
            ends_s,
            mode,
            name,
            blake3,
        }
    }

    /// From the log's beginning to its last failure, in seconds.
    pub fn span_s(&self) -> f64 {
        self.ends_s.last().copied().unwrap_or(0.0)
    }

    /// Of an instant before the end of the log: the number of the gap that holds it, and what is left of that. A failure of the
    /// very instant is past.
    pub(super) fn at(&self, since_beginning_s: f64) -> (usize, f64) {
        let gap = self
            .ends_s
            .partition_point(|&end_s| end_s <= since_beginning_s)
            .min(self.ends_s.len() - 1);
        (gap, (self.ends_s[gap] - since_beginning_s).max(0.0))
    }
}

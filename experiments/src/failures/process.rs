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
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Replay {
    /// As it is, from its first gap on, over and over: every trial is the same.
    Replay,
    /// As it is, from a gap on that each trial draws, over and over.
    ReplayAnywhere,
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
                    Replay::Replay => "replay",
                    Replay::ReplayAnywhere => "replay-anywhere",
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
        Recorded {
            mean_s: gaps_s.iter().sum::<f64>() / gaps_s.len() as f64,
            gaps_s: gaps_s.into(),
            mode,
            name,
            blake3,
        }
    }
}

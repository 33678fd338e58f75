//! What a capture did and how long each part took.

use std::collections::BTreeMap;
use std::time::Duration;

use super::session::Increment;
use super::{Decision, Method, PreCopyPolicy, RoundStats};
use crate::units::{PAGE_SIZE, Timestamp};

/// One pass over pages. The last round of every capture is the one with the guest suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Round {
    /// Pages copied out of the guest.
    pub pages: u64,
    /// From the first page to the last, reading of the dirty log included.
    pub duration: Duration,
    /// Pages the guest dirtied meanwhile; `None` for the suspended round.
    pub pages_dirtied: Option<u64>,
}

impl Round {
    /// Bytes copied out of the guest.
    pub fn bytes(&self) -> u64 {
        self.pages * PAGE_SIZE as u64
    }
}

/// The record of one capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// How it was taken.
    pub method: Method,
    /// What it was taken relative to, and how changes were found.
    pub increment: Increment,
    /// All rounds in order, the suspended one last.
    pub rounds: Vec<Round>,
    /// From asking the guest to suspend until it stood still. It still works during a part of this.
    pub suspend_latency: Duration,
    /// From the moment it stood still until it was running again: no work is done in this time.
    pub suspended_for: Duration,
    /// From the guest running again until the checkpoint was committed. A failure in this time loses the checkpoint,
    /// not the guest's speed.
    pub commit_time: Duration,
    /// From the request to the commit.
    pub total: Duration,
}

impl Timeline {
    /// Pages copied in all rounds; a page counts as often as it was copied.
    pub fn pages_copied(&self) -> u64 {
        self.rounds.iter().map(|round| round.pages).sum()
    }

    /// Adds what is known before the commit to the facts of a checkpoint.
    pub(super) fn facts(&self) -> BTreeMap<String, String> {
        let rounds: Vec<String> = self.rounds.iter().map(|round| round.pages.to_string()).collect();
        let suspended_us = self.suspended_for.as_micros();
        let latency_us = self.suspend_latency.as_micros();
        [
            ("capture.increment", self.increment.to_string()),
            ("capture.method", self.method.to_string()),
            ("capture.pages_copied", self.pages_copied().to_string()),
            ("capture.round_pages", rounds.join(" ")),
            ("capture.suspend_latency_us", latency_us.to_string()),
            ("capture.suspended_us", suspended_us.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }
}

/// A capture before the guest is suspended.
#[derive(Debug)]
pub(super) struct Live {
    begun: Timestamp,
    method: Method,
    increment: Increment,
    rounds: Vec<Round>,
}

/// A capture while the guest is suspended.
#[derive(Debug)]
pub(super) struct Suspended {
    live: Live,
    latency: Duration,
    since: Timestamp,
}

/// A capture whose guest runs again.
#[derive(Debug)]
pub(super) struct Copied {
    timeline: Timeline,
    begun: Timestamp,
    resumed_at: Timestamp,
}

impl Live {
    pub(super) fn begin(now: Timestamp, method: Method, increment: Increment) -> Self {
        Live {
            begun: now,
            method,
            increment,
            rounds: Vec::new(),
        }
    }

    pub(super) fn increment(&self) -> Increment {
        self.increment
    }

    pub(super) fn method(&self) -> Method {
        self.method
    }

    /// Records a live round and asks the policy.
    pub(super) fn round(
        &mut self,
        pages: u64,
        dirty: u64,
        total: u64,
        took: Duration,
        policy: &PreCopyPolicy,
    ) -> Decision {
        self.rounds.push(Round {
            pages,
            duration: took,
            pages_dirtied: Some(dirty),
        });
        policy.decide(&RoundStats {
            rounds: u32::try_from(self.rounds.len()).unwrap_or(u32::MAX),
            pages_copied: pages,
            duration: took,
            pages_dirty: dirty,
            pages_total: total,
            pages_copied_in_all: self.rounds.iter().map(|round| round.pages).sum(),
        })
    }

    pub(super) fn suspended(self, requested: Timestamp, now: Timestamp) -> Suspended {
        Suspended {
            live: self,
            latency: now.since(requested),
            since: now,
        }
    }
}

impl Suspended {
    pub(super) fn resumed(mut self, pages: u64, copied_at: Timestamp, now: Timestamp) -> Copied {
        let duration = copied_at.since(self.since);
        self.live.rounds.push(Round {
            pages,
            duration,
            pages_dirtied: None,
        });
        Copied {
            begun: self.live.begun,
            resumed_at: now,
            timeline: Timeline {
                method: self.live.method,
                increment: self.live.increment,
                rounds: self.live.rounds,
                suspend_latency: self.latency,
                suspended_for: now.since(self.since),
                commit_time: Duration::ZERO,
                total: Duration::ZERO,
            },
        }
    }
}

impl Copied {
    pub(super) fn so_far(&self) -> &Timeline {
        &self.timeline
    }

    pub(super) fn committed(mut self, now: Timestamp) -> Timeline {
        self.timeline.commit_time = now.since(self.resumed_at);
        self.timeline.total = now.since(self.begun);
        self.timeline
    }
}

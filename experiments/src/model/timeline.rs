//! What happened in one trial, when: spans and moments, for a drawing.

use std::time::Duration;

use revenant_core::Timestamp;

use crate::failures::FailureKind;

/// What a stretch of time was spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Work that the result rests on.
    Work,
    /// Work that a later failure threw away.
    Lost,
    /// No work because of a checkpoint.
    Checkpoint,
    /// No work because of a verification.
    Verify,
    /// A restore.
    Restore,
    /// From a failure until it was noticed.
    Detection,
    /// From then until a host was ready.
    Downtime,
    /// A job of a cluster waits for hosts.
    Waiting,
}

/// A stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// From here.
    pub start: Timestamp,
    /// To here.
    pub end: Timestamp,
    /// On this.
    pub phase: Phase,
}

/// What happened at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A failure struck.
    Failure(FailureKind),
    /// A silent error struck in the work before.
    SilentError,
    /// A checkpoint was committed.
    Checkpoint,
    /// A checkpoint failed.
    CheckpointFailed,
    /// The guest runs again.
    Restored,
    /// A checkpoint could not be read.
    RestoreFailed,
    /// The work is done.
    Finished,
    /// It never will be.
    GivenUp,
}

/// An instant at which something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// Collects what happens in one trial.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorder {
    /// Without gaps, in order; neighbours differ in their phase.
    pub spans: Vec<Span>,
    /// In order.
    pub moments: Vec<Moment>,
}

impl Recorder {
    pub(crate) fn span(&mut self, start: Timestamp, end: Timestamp, phase: Phase) {
        if start == end {
            return;
        }
        match self.spans.last_mut() {
            Some(last) if last.phase == phase => last.end = end,
            _ => self.spans.push(Span { start, end, phase }),
        }
    }

    pub(crate) fn happened(&mut self, at: Timestamp, what: What) {
        self.moments.push(Moment { at, what });
    }

    /// The newest `lost` of work was for nothing. That is known only now, so spans are relabelled from the end.
    pub(crate) fn lose(&mut self, mut lost: Duration) {
        let mut at = self.spans.len();
        while at > 0 && !lost.is_zero() {
            at -= 1;
            let span = self.spans[at];
            if span.phase != Phase::Work {
                continue;
            }
            let length = span.end.since(span.start);
            if length <= lost {
                self.spans[at].phase = Phase::Lost;
                lost -= length;
            } else {
                let cut = span.end - lost;
                self.spans[at].end = cut;
                let tail = Span {
                    start: cut,
                    end: span.end,
                    phase: Phase::Lost,
                };
                self.spans.insert(at + 1, tail);
                lost = Duration::ZERO;
            }
        }
        // What was work beside work that was lost before is one stretch of it now.
        self.spans.dedup_by(|next, last| {
            let one = next.phase == last.phase;
            if one {
                last.end = next.end;
            }
            one
        });
    }
}

#[cfg(test)]
impl Recorder {
    /// The time in each phase must be that of the outcome, and all there is.
    pub(crate) fn accounts_for(&self, outcome: &crate::outcome::Outcome) {
        let spent = |phases: &[Phase]| {
            let spans = self.spans.iter();
            spans
                .filter(|span| phases.contains(&span.phase))
                .map(|span| span.end.since(span.start))
                .sum::<Duration>()
        };
        let told = [
            spent(&[Phase::Work]),
            spent(&[Phase::Lost]),
            spent(&[Phase::Checkpoint, Phase::Verify]),
            spent(&[Phase::Restore]),
            spent(&[Phase::Detection, Phase::Downtime]),
        ];
        let wanted = [
            outcome.useful,
            outcome.lost,
            outcome.checkpointing,
            outcome.restarting,
            outcome.down,
        ];
        assert_eq!(told, wanted, "{:?}", self.moments);
        let parts = outcome.useful + outcome.checkpointing + outcome.lost + outcome.restarting + outcome.down;
        assert_eq!(parts, outcome.makespan);
        for pair in self.spans.windows(2) {
            assert_eq!(pair[0].end, pair[1].start);
        }
        for pair in self.moments.windows(2) {
            assert!(pair[0].at <= pair[1].at);
        }
    }
}

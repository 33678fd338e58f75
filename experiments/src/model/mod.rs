//! ③ A trial at level `model`: the protect loop of the core, driven as a discrete-event simulation with constant costs.
//!
//! ```text
//! job (costs, rules) ─▶ world (clock, guest, stores) ◀─▶ the core's protect loop ─▶ outcome [, timeline]
//! ```
//!
//! The state machine that decides is the very one that protects a real guest ([`revenant_core::protect::Protect`]); what
//! this folder adds is a world of a few numbers. Time is in whole nanoseconds.
//!
//! What the papers leave open, and how it is here:
//! - A failure may strike while the guest works, is verified, checkpointed or restored, but not in detection and downtime.
//! - A start from nothing costs as much as a restart from a checkpoint, as in the closed forms.
//! - At an instant at which work ends, the work is done before a failure of the same instant strikes.
//! - A capture suspends the guest for C. The guest still works for `lead` before that, and its checkpoint is committed only
//!   `commit_latency` after it; a failure in these times throws it back to the checkpoint before. With given costs both
//!   are zero, as in the papers.
//!
//! What goes beyond one store and failures that are noticed at once is in the job's [`Rules`].

mod pairs;
mod rules;
mod silent;
mod stores;
mod timeline;
mod world;

use std::time::Duration;

use revenant_core::policy::IntervalPolicy;
use revenant_core::protect::{Event, GiveUp, Options, Protect, Step};

use crate::failures::{Failure, FailureStream};
use crate::outcome::{End, Outcome, Reason};
use crate::seed::TrialSeed;
use crate::spec::Limits;

pub use rules::{Epochs, Replicas, Rules, Shared, Verification};
pub(crate) use silent::SilentGaps;
pub use timeline::{Moment, Phase, Recorder, Span, What};

use world::{OutOfTime, World};

/// What checkpoints and restarts cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Costs {
    /// For how long the guest does not work because of a checkpoint (C).
    pub checkpoint: Duration,
    /// Reading a checkpoint back and rebuilding the guest (R).
    pub restart: Duration,
    /// From the request for a checkpoint until the guest stands still for it; it works meanwhile.
    pub lead: Duration,
    /// From the guest's going on until its checkpoint is committed.
    pub commit_latency: Duration,
    /// What the shared store costs, where there is one.
    pub shared: Option<SharedCosts>,
}

/// What a shared store costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedCosts {
    /// Bringing a checkpoint there, besides the local one (C₂).
    pub checkpoint: Duration,
    /// A restart from there (R₂).
    pub restart: Duration,
}

/// A job at level `model`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelJob {
    /// Work to do (W).
    pub work: Duration,
    /// Checkpoint the finished guest once more.
    pub final_checkpoint: bool,
    /// What checkpoints and restarts cost.
    pub costs: Costs,
    /// Mean time between failures, as the policy is told it.
    pub mtbf: Duration,
    /// From a failure until it is noticed.
    pub detection: Duration,
    /// From then until a host is ready.
    pub downtime: Duration,
    /// When to give up.
    pub limits: Limits,
    /// What is not as in the papers' plain case.
    pub rules: Rules,
}

impl ModelJob {
    /// Runs one trial. The seed is that of what strikes beside `failures`: silent errors, and which replica is hit.
    pub fn run(
        &self,
        policy: Box<dyn IntervalPolicy>,
        seed: TrialSeed,
        mut failures: FailureStream,
    ) -> Outcome {
        self.observe(policy, seed, &mut || failures.draw(), None)
    }

    /// Runs one trial and tells the recorder what happens. The recorder changes nothing.
    pub fn observe(
        &self,
        policy: Box<dyn IntervalPolicy>,
        seed: TrialSeed,
        failures: &mut dyn FnMut() -> Failure,
        recorder: Option<&mut Recorder>,
    ) -> Outcome {
        let options = Options {
            mtbf: self.mtbf,
            checkpoint_cost: self.costs.checkpoint,
            restart_cost: self.costs.restart,
            downtime: self.downtime,
            final_checkpoint: self.final_checkpoint,
            candidates_max: stores::CANDIDATES_MAX,
            failures_max: Some(self.limits.failures),
            ..Options::default()
        };
        let mut protect = Protect::new(policy, options);
        let mut world = World::new(self, seed, failures, recorder);
        let mut event = Event::Started;
        let end = loop {
            if let Event::GuestLost { .. } = event {
                // As after any loss: what there is to restart from, the stores say.
                protect.replace_candidates(world.candidates());
            }
            let happened = match protect.on(event, world.now()) {
                Step::Run { until } => world.run(until),
                Step::Linger { until } => world.linger(until),
                Step::Capture => world.capture(),
                Step::Wait { until } => world.wait(until),
                Step::Restore { from } => world.restore(from),
                Step::Finished => break End::Completed,
                Step::GivenUp(GiveUp::TooManyFailures) => break End::GivenUp(Reason::FailureLimit),
                Step::GivenUp(GiveUp::NothingToRestoreFrom) => {
                    break End::GivenUp(Reason::NothingToRestoreFrom);
                }
            };
            match happened {
                Ok(next) => event = next,
                Err(OutOfTime) => break End::GivenUp(Reason::TimeLimit),
            }
        };
        world.finish(end, protect.tally().captures)
    }
}

#[cfg(test)]
mod tests;

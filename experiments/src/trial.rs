//! ③ One trial in isolation, at whatever level its cell is.

use crate::fast;
use crate::outcome::Outcome;
use crate::plan::{Plan, WorkItem};
use crate::sim::{self, SimError};
use crate::spec::Level;

/// A trial could not be run at all. That is a defect of the machinery, not a result.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The simulated world failed.
    #[error("the simulated world failed")]
    Sim(#[from] SimError),
}

/// Runs a trial. The outcome depends on the plan and the trial's number, and on nothing else.
pub fn run(plan: &Plan, item: WorkItem) -> Result<Outcome, TrialError> {
    let cell = &plan.cells[item.cell];
    match cell.level {
        Level::Model => {
            let job = plan.model_job(item.cell);
            let policy = plan.interval_policy(cell);
            let shortcut = (policy.is_constant() && fast::applies(&job, plan.setting(cell).failures.kinds))
                .then(|| fast::run(&job, cell.interval, &mut plan.failures(item)))
                .flatten();
            Ok(shortcut.unwrap_or_else(|| job.run(policy, plan.seed(item.trial), plan.failures(item))))
        }
        Level::Sim => Ok(sim::run(plan, item)?),
    }
}

//! ③ One trial in isolation, at whatever level its cell is.

use crate::cluster::{JobRecord, TraceError};
use crate::fast;
use crate::outcome::Outcome;
use crate::plan::{Plan, WorkItem};
use crate::sim::{self, SimError};
use crate::spec::Level;

/// A trial could not be run at all. That is a defect of the machinery, or of a file it reads, not a result.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The simulated world failed.
    #[error("the simulated world failed")]
    Sim(#[from] SimError),
    /// The trace of jobs cannot be read any more.
    #[error(transparent)]
    Trace(#[from] TraceError),
}

/// Runs a trial. The outcome depends on the plan and the trial's number, and on nothing else.
pub fn run(plan: &Plan, item: WorkItem) -> Result<Outcome, TrialError> {
    run_jobs(plan, item, &mut |_| {})
}

/// Runs a trial. `each` is told of every job of a cluster that has ended; the job of another level it is not.
pub fn run_jobs(
    plan: &Plan,
    item: WorkItem,
    each: &mut dyn FnMut(&JobRecord),
) -> Result<Outcome, TrialError> {
    let cell = &plan.cells[item.cell];
    if let Some(cluster) = plan.cluster_run(item.cell) {
        let policy = |work| plan.policy_for(cell, work);
        let needs_work = cell.policy.kind().needs_work;
        return Ok(cluster.run(&policy, needs_work, plan.seed(item.trial), each)?);
    }
    if cell.level == Level::Sim {
        return Ok(sim::run(plan, item)?);
    }
    let job = plan.model_job(item.cell);
    let policy = plan.interval_policy(cell);
    let shortcut = (policy.is_constant() && fast::applies(&job, plan.setting(cell).failures.kinds))
        .then(|| fast::run(&job, cell.interval, &mut plan.failures(item)))
        .flatten();
    Ok(shortcut.unwrap_or_else(|| job.run(policy, plan.seed(item.trial), plan.failures(item))))
}

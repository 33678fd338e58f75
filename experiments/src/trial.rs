//! ③ One trial in isolation, at whatever level its cell is.

use crate::cluster::{ClusterRun, JobRecord, TraceError};
use crate::fast::Shortcut;
use crate::model::ModelJob;
use crate::outcome::Outcome;
use crate::plan::{Plan, WorkItem};
use crate::seed::TrialSeed;
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
    CellTrials::of(plan, item.cell).run(item.trial, plan.seed(item.trial), &mut |_| {})
}

/// How the trials of one cell are run: what does not differ between them.
#[derive(Debug)]
pub struct CellTrials<'a> {
    plan: &'a Plan,
    cell: usize,
    how: How<'a>,
}

#[derive(Debug)]
enum How<'a> {
    Cluster(ClusterRun<'a>),
    Sim,
    Model {
        job: Box<ModelJob>,
        shortcut: Option<Shortcut>,
    },
}

impl<'a> CellTrials<'a> {
    /// Of the cell of this index.
    pub fn of(plan: &'a Plan, index: usize) -> CellTrials<'a> {
        let cell = &plan.cells[index];
        let how = if let Some(cluster) = plan.cluster_run(index) {
            How::Cluster(cluster)
        } else if cell.level == Level::Sim {
            How::Sim
        } else {
            let job = Box::new(plan.model_job(index));
            let constant = plan.interval_policy(cell).is_constant();
            let shortcut = constant
                .then(|| Shortcut::of(&job, cell.interval, plan.setting(cell).failures.kinds))
                .flatten();
            How::Model { job, shortcut }
        };
        CellTrials {
            plan,
            cell: index,
            how,
        }
    }

    /// Runs a trial, whose seed is the one that the plan has for its number. `each` is told of every job of a cluster that has ended; the
    /// job of another level it is not.
    pub fn run(
        &self,
        trial: u32,
        seed: TrialSeed,
        each: &mut dyn FnMut(&JobRecord),
    ) -> Result<Outcome, TrialError> {
        let (plan, cell) = (self.plan, &self.plan.cells[self.cell]);
        Ok(match &self.how {
            How::Cluster(cluster) => {
                let policy = |work| plan.policy_for(cell, work);
                cluster.run(&policy, cell.policy.kind().needs_work, seed, each)?
            }
            How::Sim => sim::run(
                plan,
                WorkItem {
                    cell: self.cell,
                    trial,
                },
            )?,
            How::Model { job, shortcut } => {
                let failures = || plan.failures_from(cell, seed);
                let short = shortcut
                    .as_ref()
                    .and_then(|shortcut| shortcut.run(&mut failures()));
                short.unwrap_or_else(|| job.run(plan.interval_policy(cell), seed, failures()))
            }
        })
    }
}

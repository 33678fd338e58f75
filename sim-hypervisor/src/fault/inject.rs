//! The plan at work: counts calls, picks verdicts, keeps a log.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use revenant_core::{Clock, Timestamp};
use serde::Serialize;

use super::plan::{Call, CallFault, FaultPlan, Loss, Verdict};
use crate::world::{GuestId, HostId, Incident, World};

/// A fault that was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// When.
    pub at: Timestamp,
    /// Which.
    pub fault: CallFault,
}

#[derive(Debug, Default)]
struct Progress {
    counts: BTreeMap<Call, u32>,
    applied: Vec<Applied>,
}

/// A plan being carried out; clones share its progress, so that one plan covers all seams of a run.
#[derive(Debug, Clone)]
pub struct Faults {
    world: World,
    plan: Rc<FaultPlan>,
    progress: Rc<RefCell<Progress>>,
}

impl Faults {
    /// Starts a plan.
    pub fn new(world: &World, plan: FaultPlan) -> Self {
        Faults {
            world: world.clone(),
            plan: Rc::new(plan),
            progress: Rc::default(),
        }
    }

    /// What was carried out so far, in order.
    pub fn applied(&self) -> Vec<Applied> {
        self.progress.borrow().applied.clone()
    }

    /// Counts a call and tells what happens to it.
    pub(super) fn meet(&self, call: Call) -> Option<Verdict> {
        let mut progress = self.progress.borrow_mut();
        let count = progress.counts.entry(call).or_default();
        *count += 1;
        let nth = *count;
        let fault = self
            .plan
            .calls
            .iter()
            .find(|fault| fault.call == call && fault.nth == nth)
            .copied()?;
        progress.applied.push(Applied {
            at: self.world.now(),
            fault,
        });
        Some(fault.verdict)
    }

    pub(super) fn world(&self) -> &World {
        &self.world
    }

    /// Makes the loss happen, to this guest or its host.
    pub(super) fn lose(&self, loss: Loss, guest: Option<GuestId>, host: HostId) {
        match (loss, guest) {
            (Loss::Guest, Some(guest)) => self.world.strike(Incident::GuestCrash(guest)),
            // At a call on the medium nobody knows which guest is meant; the host is.
            (Loss::Guest, None) | (Loss::Host, _) => self.world.strike(Incident::HostLoss(host)),
        }
    }
}

//! Several guests in one world: one clock, one disk with one store, and for each guest hosts and a protect loop of its own.
//!
//! Loops take turns: whose guest ended first, or whose instant came first, is next, and goes on until it has to wait for something.
//! Meanwhile the other guests work, and are struck. So a capture with its prune, or a restart, is one thing as the other loops see
//! it, unless something is lost in its middle; then they go on with what that left behind.

use std::fmt;

use revenant_core::policy::IntervalPolicy;
use revenant_core::protect::{Event, Protect, Step};
use revenant_core::store::CheckpointId;
use revenant_core::{Clock, Timestamp};

use super::Driver;
use crate::driver::Scenario;
use crate::driver::boot::Candidate;
use crate::driver::report::{Report, RunEnd};
use crate::driver::strike::Losses;
use crate::medium::SimMedium;
use crate::world::World;

/// A guest among others.
pub struct Member<'a> {
    /// Its name in the catalogue, which no other has.
    pub name: &'a str,
    /// How it is protected. What things cost, and what a loss of power makes of the disk, is as the first member has it. No second
    /// store, and no verification.
    pub scenario: &'a Scenario,
    /// When it is checkpointed.
    pub policy: Box<dyn IntervalPolicy>,
    /// What strikes it besides the faults of the scenario.
    pub losses: &'a mut dyn Losses,
}

impl fmt::Debug for Member<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Member");
        shown.field("name", &self.name).field("scenario", &self.scenario);
        shown.field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// What can be seen after a step.
#[derive(Debug)]
pub struct Seen<'a> {
    /// Whose step it was.
    pub guest: &'a str,
    /// The checkpoint that was committed in it, if its driver was told that one was.
    pub committed: Option<CheckpointId>,
    /// The disk; [halted](SimMedium::is_halted) from a loss of power until some host has it running again.
    pub disk: &'a SimMedium,
    /// Files on it that have been damaged so far.
    pub damaged: &'a [String],
}

/// A protect loop that waits for something.
struct Turn<'a> {
    driver: Driver<'a>,
    protect: Protect<Candidate>,
    step: Step<Candidate>,
}

impl Turn<'_> {
    /// When it is to go on.
    fn due(&self) -> Timestamp {
        match self.step {
            Step::Run { until } => {
                let ended = self.driver.world.ended(self.driver.guest);
                let until = until.unwrap_or(Timestamp(u64::MAX));
                ended.map_or(until, |at| at.min(until))
            }
            Step::Linger { until } | Step::Wait { until } if !self.driver.at_hand => until,
            _ => self.driver.asked_at,
        }
    }

    /// Goes on until it has to wait again; tells how the run ended if it did.
    fn go_on(&mut self, watch: &mut dyn FnMut(&Seen<'_>)) -> Option<RunEnd> {
        loop {
            if self.driver.is_out_of_time() {
                return Some(RunEnd::TimeLimit);
            }
            let done = self.driver.perform(&self.step, &mut self.protect);
            let committed = match &done {
                Ok(Event::Captured { checkpoint, .. }) => Some(checkpoint.id),
                _ => None,
            };
            watch(&Seen {
                guest: self.driver.name,
                committed,
                disk: &self.driver.disks.local(),
                damaged: &self.driver.disks.damaged(),
            });
            match done {
                Ok(event) => self.step = self.driver.next_step(event, &mut self.protect),
                Err(end) => return Some(end),
            }
            if self.due() > self.driver.world.now() {
                return None;
            }
        }
    }
}

/// Runs guests beside each other, each to its end; `watch` sees what each step leaves. A report for each, in their order.
///
/// # Panics
/// If there is no member, or one with a second store or verification.
pub fn run_together(members: Vec<Member<'_>>, watch: &mut dyn FnMut(&Seen<'_>)) -> Vec<Report> {
    let first = members.first().expect("a world has guests");
    let world = World::new(first.scenario.profile.clone());
    let mut witnesses = vec![(); members.len()];
    let mut turns: Vec<(usize, Turn<'_>)> = Vec::new();
    for (index, (member, witness)) in members.into_iter().zip(&mut witnesses).enumerate() {
        let Member { name, scenario, .. } = member;
        let plain = scenario.rules.shared.is_none() && scenario.rules.verification.is_none();
        assert!(
            plain,
            "{name}: guests together have one store, and are not verified"
        );
        let beside = turns.first().map(|(_, turn)| &turn.driver.disks);
        let mut driver = Driver::new(name, scenario, &world, beside, member.losses, witness);
        let mut protect = Protect::new(member.policy, scenario.protect);
        let step = driver.next_step(Event::Started, &mut protect);
        turns.push((
            index,
            Turn {
                driver,
                protect,
                step,
            },
        ));
    }
    let mut reports: Vec<_> = turns.iter().map(|_| Report::new()).collect();
    while let Some(next) = (0..turns.len()).min_by_key(|&at| turns[at].1.due()) {
        let turn = &mut turns[next].1;
        if turn.due() > world.now() {
            let due = turn.due();
            let guests: Vec<_> = turns.iter().map(|(_, turn)| turn.driver.guest).collect();
            world.run_all_until(&guests, due);
            if world.now() < due {
                // A guest came to its end before that, and its loop may be due now.
                continue;
            }
        }
        if let Some(end) = turns[next].1.go_on(watch) {
            let (index, turn) = turns.remove(next);
            turn.driver.call_off();
            reports[index] = turn.driver.finish(end, &turn.protect);
        }
    }
    reports
}

//! Does what was planned, and says what could not be done.

use std::collections::BTreeSet;

use super::plan::{Doomed, Plan, Rewrite};
use super::report::{Collected, Undone};
use super::{Alone, Guard};
use crate::medium::MediumErrorKind;
use crate::store::files::{CHECKPOINTS, SEGMENTS, TMP};
use crate::store::live::Live;
use crate::store::manifest::Manifest;
use crate::store::{CheckpointId, Finding, SegmentName, Store, StoreError};

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) report: Collected,
    /// Checkpoints whose manifest could not be removed.
    pub(super) not_removed: Vec<CheckpointId>,
}

impl Store {
    /// Carries out a plan as far as it can be. An error is returned only if the machine has stopped: of all others the report
    /// tells.
    pub(super) fn carry_out(&self, plan: &Plan, live: &Live, guard: Guard<'_>) -> Result<Done, StoreError> {
        let mut done = Done {
            report: plan.report.clone(),
            ..Done::default()
        };
        match self.steps(plan, live, guard, &mut done) {
            Err(error) if has_stopped(&error) => return Err(error),
            Err(error) => done.report.undone.push(Undone::of(&error)),
            Ok(()) => {}
        }
        Ok(done)
    }

    /// Steps 3 to 5 of a collection. An error ends it: what comes behind must not be done. One is as soon as `alone` tells that
    /// others may be at work in the store. What they can have learnt of pages they learnt from manifests that are still there,
    /// because these are removed before the pages that only they need.
    fn steps(&self, plan: &Plan, live: &Live, guard: Guard<'_>, done: &mut Done) -> Result<(), StoreError> {
        let Guard { alone, log } = guard;
        let mut waiting = plan.manifests.iter();
        let logged = self.drop_checkpoints(&mut waiting, guard, done);
        // Of an error in between nothing behind it is gone.
        done.not_removed.extend(waiting.map(|(id, _)| *id));
        let logged = logged?;
        let report = &mut done.report;
        // A checkpoint that could not be dropped goes on needing what it needs.
        let mut held = BTreeSet::new();
        for &id in &done.not_removed {
            held.extend(self.segments_of(id)?);
        }
        let of_damaged = |finding: &Finding| {
            let stayed = |id: &CheckpointId| done.not_removed.contains(id);
            !finding.checkpoints.iter().any(stayed)
        };
        report.damaged_dropped.retain(of_damaged);
        for (_, doomed) in plan.segments.iter().filter(|(name, _)| !held.contains(name)) {
            report.segments_removed += u64::from(self.removed(doomed, alone, report)?);
        }
        if !plan.segments.is_empty() {
            self.medium.sync_dir(SEGMENTS)?;
        }
        for doomed in &plan.remains {
            report.remains_removed += u64::from(self.removed(doomed, alone, report)?);
        }
        if !plan.remains.is_empty() {
            self.medium.sync_dir(TMP)?;
        }
        if !logged {
            log()?;
        }
        let rewrites = plan
            .rewrite
            .iter()
            .filter(|rewrite| !held.contains(&rewrite.name));
        self.rewrite(rewrites, live, alone, report)
    }

    /// Step 3: says that checkpoints go, and removes their manifests. Without room to say so they go all the same: `false`.
    fn drop_checkpoints<'p>(
        &self,
        manifests: &mut impl ExactSizeIterator<Item = &'p (CheckpointId, Doomed)>,
        guard: Guard<'_>,
        done: &mut Done,
    ) -> Result<bool, StoreError> {
        (guard.alone)()?;
        let logged = match (guard.log)() {
            Err(error) if error.is_full() => false,
            logged => logged.map(|()| true)?,
        };
        if manifests.len() == 0 {
            return Ok(logged);
        }
        for (id, doomed) in manifests {
            let removed = self.removed(doomed, guard.alone, &mut done.report);
            if !matches!(removed, Ok(true)) {
                done.not_removed.push(*id);
            }
            removed?;
        }
        self.medium.sync_dir(CHECKPOINTS)?;
        Ok(logged)
    }

    /// Removes a file; tells whether it is gone. Why not is noted, and is in nobody else's way.
    fn removed(&self, doomed: &Doomed, alone: Alone<'_>, report: &mut Collected) -> Result<bool, StoreError> {
        alone()?;
        match self.medium.remove(&doomed.path) {
            Ok(()) => report.freed_bytes += doomed.len_bytes,
            // Somebody was faster, by hand.
            Err(error) if error.kind == MediumErrorKind::NotFound => {}
            Err(error) if error.kind == MediumErrorKind::Halted => return Err(error.into()),
            Err(error) => {
                report.undone.push(Undone::of_medium(&error));
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The segments that the manifest of a checkpoint names, none if it cannot be read.
    fn segments_of(&self, id: CheckpointId) -> Result<Vec<SegmentName>, StoreError> {
        match Manifest::open(&self.medium, id) {
            Ok(manifest) => Ok(manifest.head.segments),
            Err(StoreError::Damaged(_) | StoreError::NoSuchCheckpoint(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Rewrites segments, the shortest first. One for which there is no room is passed over.
    fn rewrite<'a>(
        &self,
        rewrites: impl Iterator<Item = &'a Rewrite>,
        live: &Live,
        alone: Alone<'_>,
        report: &mut Collected,
    ) -> Result<(), StoreError> {
        let mut without_room = Vec::new();
        let mut result = Ok(());
        for rewrite in rewrites {
            let room = self.free_bytes();
            if room.is_some_and(|room| room < rewrite.rewritten_bytes) {
                without_room.push(*rewrite);
                continue;
            }
            let Some(needed) = live.slots_of(rewrite.name) else {
                continue;
            };
            match self.repack(rewrite.name, needed, alone) {
                Ok(Some(len_bytes)) => {
                    report.segments_compacted += 1;
                    report.rewritten_bytes += len_bytes;
                    report.freed_bytes += rewrite.len_bytes.saturating_sub(len_bytes);
                    result = self.medium.sync_dir(SEGMENTS).map_err(StoreError::from);
                }
                Ok(None) => report.unused_bytes += rewrite.saved_bytes(),
                Err(error) if error.is_full() => without_room.push(*rewrite),
                // A damaged frame is not passed on as if it were sound; `verify` tells of it.
                Err(StoreError::Damaged(finding)) => {
                    report.damaged_left.push(*finding);
                    report.unused_bytes += rewrite.saved_bytes();
                }
                Err(error) => result = Err(error),
            }
            if result.is_err() {
                break;
            }
        }
        if !without_room.is_empty() {
            report.pass_over(&without_room, self.free_bytes());
        }
        result
    }
}

fn has_stopped(error: &StoreError) -> bool {
    matches!(error, StoreError::Medium(error) if error.kind == MediumErrorKind::Halted)
}

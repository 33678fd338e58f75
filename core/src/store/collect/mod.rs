//! Gives back the space of what no checkpoint needs.
//!
//! ```text
//! list ─▶ rules ─▶ live: which slots are needed ─▶ plan (weigh: what a rewriting would save) ─▶ carry out (repack)
//! ```
//! First everything is looked at and a plan is made, then it is carried out in the order that
//! `docs/checkpoint-format.md` §6 gives, each step leaving a store in which every manifest has all it needs.

mod carry_out;
mod plan;
mod repack;
mod report;
mod weigh;

pub use report::{Collected, Pruned, Undone};

use super::files::SEGMENTS;
use super::live::Live;
use super::manifest::Manifest;
use super::{CheckpointId, CheckpointInfo, Finding, Retention, Store, StoreError};

/// An error once the lock on the store was taken away.
type Alone<'a> = &'a dyn Fn() -> Result<(), StoreError>;

/// How to collect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollectOptions {
    /// Only say what would be done.
    pub dry_run: bool,
    /// Remove manifests that cannot be read. Without it they stop the collection, because what they need is unknown.
    pub drop_damaged: bool,
    /// How much of what is stored may go on being there though no checkpoint needs it, in percent. Segments are
    /// rewritten until it is no more, those that give back most for their length first. With 0 every segment that has something
    /// unneeded is rewritten; with 100 none, and only whole segments go.
    pub max_unused_percent: u8,
}

impl Default for CollectOptions {
    fn default() -> Self {
        CollectOptions {
            dry_run: false,
            drop_damaged: false,
            max_unused_percent: CollectOptions::MAX_UNUSED_PERCENT,
        }
    }
}

impl CollectOptions {
    /// What may be unneeded unless something else is said: a store stays within one and a half times of what its
    /// checkpoints take when they are stored afresh, and for each byte given back at most four are written.
    pub const MAX_UNUSED_PERCENT: u8 = 20;
}

impl Store {
    /// Drops the checkpoints that no rule keeps, then collects.
    pub fn prune(&self, retention: &Retention, options: CollectOptions) -> Result<Pruned, StoreError> {
        self.collect_after("prune the store", options, |all| retention.split(all))
    }

    /// Drops these checkpoints, then collects. With [`max_unused_percent`](CollectOptions::max_unused_percent) 0 the way to
    /// be rid of damaged pages: as long as they are there, equal pages of later checkpoints are not stored anew.
    pub fn remove(&self, ids: &[CheckpointId], options: CollectOptions) -> Result<Pruned, StoreError> {
        self.collect_after("remove checkpoints", options, |all| {
            if let Some(unknown) = ids.iter().find(|&&id| all.iter().all(|info| info.id != id)) {
                return Err(StoreError::NoSuchCheckpoint(unknown.to_hex()));
            }
            Ok(all.into_iter().partition(|info| !ids.contains(&info.id)))
        })
    }

    /// Removes what no checkpoint needs: remains of crashes, unused segments, the unused part of segments.
    pub fn collect(&self, options: CollectOptions) -> Result<Collected, StoreError> {
        let pruned = self.collect_after("collect garbage", options, |all| Ok((all, Vec::new())))?;
        Ok(pruned.collected)
    }

    /// An error means that nothing was done, or that the machine has stopped. Whatever else goes wrong once something was
    /// done is in the report.
    fn collect_after(
        &self,
        operation: &'static str,
        options: CollectOptions,
        split: impl FnOnce(Vec<CheckpointInfo>) -> Result<(Vec<CheckpointInfo>, Vec<CheckpointInfo>), StoreError>,
    ) -> Result<Pruned, StoreError> {
        self.check_writable()?;
        let lock = if options.dry_run {
            self.share(operation)?
        } else {
            self.exclude(operation)?
        };
        // What is to be dropped may have the pages that something else lacks.
        let pages_healed = if options.dry_run {
            0
        } else {
            self.heal_locked(&lock)?.pages
        };
        let listing = self.list()?;
        let (kept, dropped) = split(listing.checkpoints)?;
        let mut damaged = listing.damaged;
        let live = self.live(&kept, &mut damaged)?;
        if let Some(first) = damaged.first().filter(|_| !options.drop_damaged) {
            return Err(StoreError::DamagedManifests {
                count: damaged.len(),
                first: Box::new(first.clone()),
            });
        }
        let kept: Vec<_> = kept
            .into_iter()
            .filter(|c| damaged.iter().all(|d| !d.checkpoints.contains(&c.id)))
            .collect();
        let plan = self.plan(&dropped, damaged, &live, options.max_unused_percent)?;
        let mut pruned = Pruned {
            kept,
            dropped,
            ..Pruned::default()
        };
        if options.dry_run {
            pruned.collected = self.foreseen(plan);
        } else {
            let done = self.carry_out(plan, &live, &|| lock.check(operation))?;
            pruned.collected = done.report;
            pruned.not_dropped(&done.not_removed);
        }
        pruned.collected.pages_healed = pages_healed;
        Ok(pruned)
    }

    /// Marks what checkpoints need; those whose map cannot be read are added to `damaged`.
    fn live(&self, kept: &[CheckpointInfo], damaged: &mut Vec<Finding>) -> Result<Live, StoreError> {
        let mut live = Live::new(self.medium.list(SEGMENTS)?);
        for info in kept {
            let read = Manifest::open(&self.medium, info.id).and_then(|manifest| {
                let names = &manifest.head.segments;
                let body = manifest.body()?;
                body.runs()
                    .try_for_each(|run| run.map(|run| live.mark(names, &run)))
            });
            match read {
                Ok(()) => {}
                // What was marked for it before the damage keeps too much, which does no harm.
                Err(StoreError::Damaged(finding)) => damaged.push(*finding),
                Err(error) => return Err(error),
            }
        }
        Ok(live)
    }
}

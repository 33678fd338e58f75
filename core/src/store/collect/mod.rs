//! Gives back the space of what no checkpoint needs.
//!
//! ```text
//! list ─▶ rules ─▶ census: what is needed, lacking, held ─▶ plan (weigh: what a rewriting would save) ─▶ carry out (repack)
//! ```
//! First everything is looked at and a plan is made, then it is carried out in the order that
//! `docs/checkpoint-format.md` §6 gives, each step leaving a store in which every manifest has all it needs.

mod carry_out;
mod census;
mod plan;
mod repack;
mod report;
mod weigh;

pub use report::{Collected, Pruned, Undone};

use super::retention::{Scope, Split};
use super::{CheckpointId, CheckpointInfo, Retention, Store, StoreError};
use census::Census;

/// An error once the lock on the store was taken away.
type Alone<'a> = &'a dyn Fn() -> Result<(), StoreError>;

/// What has to be asked before something goes, and told.
#[derive(Clone, Copy)]
struct Guard<'a> {
    /// An error once the lock on the store was taken away.
    alone: Alone<'a>,
    /// Says in the catalogue log which checkpoints go.
    log: &'a dyn Fn() -> Result<(), StoreError>,
}

/// How to collect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollectOptions {
    /// Only say what would be done.
    pub dry_run: bool,
    /// Drop checkpoints that are not whole, whatever the rules say, unless what they need is there and this process may not
    /// read it. Without it they stay; and what a manifest that does not read may need stays with it.
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
        self.collect_after("prune the store", options, &retention.scope, |all, census| {
            retention.split(all, || self.clock.now(), census)
        })
    }

    /// Drops these checkpoints, then collects. With [`max_unused_percent`](CollectOptions::max_unused_percent) 0 everything that
    /// they alone needed goes.
    pub fn remove(&self, ids: &[CheckpointId], options: CollectOptions) -> Result<Pruned, StoreError> {
        self.collect_after("remove checkpoints", options, &Scope::All, |all, _| {
            if let Some(unknown) = ids.iter().find(|&&id| all.iter().all(|info| info.id != id)) {
                return Err(StoreError::NoSuchCheckpoint(unknown.to_hex()));
            }
            let (kept, dropped) = all.into_iter().partition(|info| !ids.contains(&info.id));
            Ok(Split {
                kept,
                dropped,
                doubted: Vec::new(),
            })
        })
    }

    /// Removes what no checkpoint needs: remains of crashes, unused segments, the unused part of segments.
    pub fn collect(&self, options: CollectOptions) -> Result<Collected, StoreError> {
        let pruned = self.collect_after("collect garbage", options, &Scope::All, |kept, _| {
            Ok(Split {
                kept,
                ..Split::default()
            })
        })?;
        Ok(pruned.collected)
    }

    /// An error means that nothing was done, or that the machine has stopped. Whatever else goes wrong once something was
    /// done is in the report.
    fn collect_after(
        &self,
        operation: &'static str,
        options: CollectOptions,
        scope: &Scope,
        split: impl FnOnce(Vec<CheckpointInfo>, &mut Census<'_>) -> Result<Split, StoreError>,
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
        let logged = self.logged()?;
        let listing = self.list()?;
        let mut census = Census::new(self, options.drop_damaged.then(|| scope.clone()))?;
        // What a checkpoint needs whose manifest is lost is as unknown as if it were damaged.
        let lost = logged.missing(&listing.ids());
        census.take_unlisted(listing.damaged);
        census.take_unlisted(lost);
        let heal_log = options.drop_damaged && *scope == Scope::All;
        if let Some(unread) = logged.unread.filter(|unread| !heal_log || !unread.is_hopeless()) {
            census.hold_all(unread);
        }
        let mut split = split(listing.checkpoints, &mut census)?;
        for info in &split.kept {
            census.look_at(info)?;
        }
        let is_doomed = |id: &CheckpointId| census.doomed.iter().any(|found| found.checkpoints.contains(id));
        split.kept.retain(|info| !is_doomed(&info.id));
        split.doubted.retain(|id| !is_doomed(id));
        let mut plan = self.plan(&split.dropped, &mut census, options.max_unused_percent)?;
        plan.report.pages_healed = pages_healed;
        let mut pruned = Pruned {
            kept: split.kept,
            dropped: split.dropped,
            not_whole: census.not_whole,
            doubted: split.doubted,
            ..Pruned::default()
        };
        if options.dry_run {
            pruned.collected = self.foreseen(plan);
        } else {
            self.check_fences()?;
            let goes: Vec<_> = plan.manifests.iter().map(|(id, _)| *id).collect();
            let stays: Vec<_> = pruned.kept.iter().map(|info| info.id).collect();
            let guard = Guard {
                alone: &|| lock.check(operation),
                log: &|| self.log_dropped(&goes, &stays, heal_log).map(drop),
            };
            let done = self.carry_out(&plan, &census.live, guard)?;
            pruned.collected = done.report;
            pruned.not_dropped(&done.not_removed);
        }
        Ok(pruned)
    }
}

//! Gives back the space of what no checkpoint needs.
//!
//! First everything is looked at and a plan is made, then it is carried out in the order that
//! `docs/checkpoint-format.md` §6 gives, each step leaving a store in which every manifest has all it needs.

use std::collections::BTreeMap;

use super::files::{self, CHECKPOINTS, SEGMENTS, TMP, checkpoint_path, segment_path};
use super::frame::FrameEntry;
use super::retention::{Scope, Split};
use super::segment::{SegmentReader, SegmentRewriter};
use super::survey::Survey;
use super::{CheckpointId, CheckpointInfo, Finding, Retention, SegmentName, Store, StoreError};
use crate::medium::LockMode;

/// How to collect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CollectOptions {
    /// Only say what would be done.
    pub dry_run: bool,
    /// Drop checkpoints that are not whole, whatever the rules say, unless what they need is there and this process may not
    /// read it. Without it they stay; and what a manifest that does not read may need stays with it.
    pub drop_damaged: bool,
    /// Rewrite every segment that has an unneeded frame, not only those that are mostly unneeded.
    pub thorough: bool,
}

/// What was, or would be, given back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collected {
    /// Segments removed because no checkpoint needs any of their pages.
    pub segments_removed: u64,
    /// Segments rewritten because most of their bytes were not needed.
    pub segments_compacted: u64,
    /// Unfinished files removed.
    pub remains_removed: u64,
    /// Why checkpoints were dropped that are not whole.
    pub damaged_dropped: Vec<Finding>,
    /// Manifests that do not read and stay. What they may need stays too, whether or not they need it.
    pub held_by: Vec<Finding>,
    /// Segments that stay for no other reason.
    pub segments_held: u64,
    /// Their bytes.
    pub held_bytes: u64,
    /// Bytes given back by all of this.
    pub freed_bytes: u64,
}

/// What a prune kept and dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Checkpoints that stay, oldest first.
    pub kept: Vec<CheckpointInfo>,
    /// Those that no rule keeps.
    pub dropped: Vec<CheckpointInfo>,
    /// Why some that stay are not whole. They use up no place in a rule.
    pub not_whole: Vec<Finding>,
    /// Those that stay because their instant is still to come by the store's clock.
    pub doubted: Vec<CheckpointId>,
    /// What the garbage collection behind it gave back.
    pub collected: Collected,
}

/// What is to be done.
#[derive(Debug, Default)]
struct Plan {
    manifests: Vec<String>,
    remains: Vec<String>,
    segments: Vec<SegmentName>,
    compact: Vec<(SegmentName, Vec<FrameEntry>)>,
    report: Collected,
}

/// Which slots of which segments are needed: a bit a slot.
#[derive(Debug, Default)]
pub(super) struct Live(BTreeMap<SegmentName, Vec<u64>>);

impl Store {
    /// Drops the checkpoints that no rule keeps, then collects.
    pub fn prune(&self, retention: &Retention, options: CollectOptions) -> Result<Pruned, StoreError> {
        self.collect_after("prune the store", options, &retention.scope, |all, survey| {
            retention.split(all, || self.clock.now(), survey)
        })
    }

    /// Drops these checkpoints, then collects. With [`thorough`](CollectOptions::thorough) the way to be rid of
    /// damaged pages: as long as they are there, equal pages of later checkpoints are not stored anew.
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

    /// Removes what no checkpoint needs: remains of crashes, unused segments, the unused part of segments that are
    /// mostly unused.
    pub fn collect(&self, options: CollectOptions) -> Result<Collected, StoreError> {
        let pruned = self.collect_after("collect garbage", options, &Scope::All, |kept, _| {
            Ok(Split {
                kept,
                ..Split::default()
            })
        })?;
        Ok(pruned.collected)
    }

    fn collect_after(
        &self,
        operation: &'static str,
        options: CollectOptions,
        scope: &Scope,
        split: impl FnOnce(Vec<CheckpointInfo>, &mut Survey<'_>) -> Result<Split, StoreError>,
    ) -> Result<Pruned, StoreError> {
        self.check_writable()?;
        let mode = if options.dry_run {
            LockMode::Shared
        } else {
            LockMode::Exclusive
        };
        let _lock = files::lock(&*self.medium, mode, operation)?;
        let listing = self.list()?;
        let mut survey = Survey::new(self, options.drop_damaged.then(|| scope.clone()));
        survey.take_unlisted(listing.damaged);
        let mut split = split(listing.checkpoints, &mut survey)?;
        for info in &split.kept {
            survey.look_at(info)?;
        }
        let is_doomed = |id: &CheckpointId| survey.doomed.iter().any(|found| found.checkpoints.contains(id));
        split.kept.retain(|info| !is_doomed(&info.id));
        split.doubted.retain(|id| !is_doomed(id));
        let not_whole = std::mem::take(&mut survey.not_whole);
        let plan = self.plan(&split.dropped, survey, options.thorough)?;
        let collected = if options.dry_run {
            plan.report
        } else {
            self.carry_out(plan)?
        };
        Ok(Pruned {
            kept: split.kept,
            dropped: split.dropped,
            not_whole,
            doubted: split.doubted,
            collected,
        })
    }

    fn plan(
        &self,
        dropped: &[CheckpointInfo],
        mut survey: Survey<'_>,
        thorough: bool,
    ) -> Result<Plan, StoreError> {
        let mut plan = Plan::default();
        let doomed = survey
            .doomed
            .iter()
            .flat_map(|finding| finding.checkpoints.iter().copied());
        plan.manifests = dropped
            .iter()
            .map(|info| info.id)
            .chain(doomed)
            .map(checkpoint_path)
            .collect();
        let paths = self
            .medium
            .list(CHECKPOINTS)?
            .into_iter()
            .map(|e| (format!("{CHECKPOINTS}/{}", e.name), e.len_bytes));
        let lengths: BTreeMap<String, u64> = paths.collect();
        plan.report.freed_bytes = plan.manifests.iter().filter_map(|path| lengths.get(path)).sum();
        plan.report.damaged_dropped = std::mem::take(&mut survey.doomed);
        plan.report.held_by = std::mem::take(&mut survey.held.by);
        for entry in self.medium.list(TMP)? {
            plan.report.freed_bytes += entry.len_bytes;
            plan.remains.push(format!("{TMP}/{}", entry.name));
        }
        plan.report.remains_removed = plan.remains.len() as u64;
        for entry in self.medium.list(SEGMENTS)? {
            // What has a strange name was not made by a store.
            let Some(name) = SegmentName::parse(&entry.name) else {
                continue;
            };
            let is_live = survey.live.0.contains_key(&name);
            if survey.held.holds(name) {
                if !is_live {
                    plan.report.segments_held += 1;
                    plan.report.held_bytes += entry.len_bytes;
                }
            } else if !is_live {
                plan.report.freed_bytes += entry.len_bytes;
                plan.segments.push(name);
            } else if let Some((frames, freed)) = worth_compacting(name, &mut survey, thorough)? {
                plan.report.freed_bytes += freed;
                plan.compact.push((name, frames));
            }
        }
        plan.report.segments_removed = plan.segments.len() as u64;
        plan.report.segments_compacted = plan.compact.len() as u64;
        Ok(plan)
    }

    fn carry_out(&self, plan: Plan) -> Result<Collected, StoreError> {
        let medium = &*self.medium;
        remove_all(self, CHECKPOINTS, &plan.manifests)?;
        let segments: Vec<String> = plan.segments.iter().map(|&name| segment_path(name)).collect();
        remove_all(self, SEGMENTS, &segments)?;
        remove_all(self, TMP, &plan.remains)?;
        let mut report = plan.report;
        for (name, frames) in &plan.compact {
            match self.compact(*name, frames) {
                Ok(()) => medium.sync_dir(SEGMENTS)?,
                // A damaged frame is not copied as if it were sound; verify tells of it.
                Err(StoreError::Damaged(_)) => report.segments_compacted -= 1,
                Err(error) => return Err(error),
            }
        }
        Ok(report)
    }

    /// Rewrites a segment with these frames alone.
    fn compact(&self, name: SegmentName, frames: &[FrameEntry]) -> Result<(), StoreError> {
        let segment = SegmentReader::open(&self.medium, name)?;
        let (digests, level) = (segment.footer.digests.clone(), self.options.compression_level);
        let mut rewriter = SegmentRewriter::begin(&*self.medium, name, digests, level)?;
        frames
            .iter()
            .try_for_each(|frame| rewriter.copy(&segment, frame))?;
        rewriter.publish().map(drop)
    }
}

/// The live frames of a segment and the bytes of the others, if these are more than half, or any if `thorough`. A
/// damaged segment is left as it is.
fn worth_compacting(
    name: SegmentName,
    survey: &mut Survey<'_>,
    thorough: bool,
) -> Result<Option<(Vec<FrameEntry>, u64)>, StoreError> {
    let Ok(all) = survey.footers.frames(name)? else {
        return Ok(None);
    };
    let bytes = |frames: &[FrameEntry]| frames.iter().map(|frame| u64::from(frame.len_bytes)).sum::<u64>();
    let live = &survey.live;
    let frames: Vec<_> = all
        .iter()
        .copied()
        .filter(|frame| live.any_of(name, frame))
        .collect();
    let (kept, all) = (bytes(&frames), bytes(&all));
    let worth = kept * 2 < all || (thorough && kept < all);
    Ok((worth && !frames.is_empty()).then(|| (frames, all - kept)))
}

fn remove_all(store: &Store, dir: &str, paths: &[String]) -> Result<(), StoreError> {
    if paths.is_empty() {
        return Ok(());
    }
    paths.iter().try_for_each(|path| store.medium.remove(path))?;
    Ok(store.medium.sync_dir(dir)?)
}

impl Live {
    pub(super) fn mark(&mut self, name: SegmentName, slot: u32, count: u32) {
        let bits = self.0.entry(name).or_default();
        let end = (slot + count) as usize;
        bits.resize(bits.len().max(end.div_ceil(64)), 0);
        (slot as usize..end).for_each(|slot| bits[slot / 64] |= 1 << (slot % 64));
    }

    fn any_of(&self, name: SegmentName, frame: &FrameEntry) -> bool {
        let bits = self.0.get(&name);
        let is_live = |slot: usize| {
            bits.and_then(|bits| bits.get(slot / 64))
                .is_some_and(|word| word >> (slot % 64) & 1 == 1)
        };
        (frame.first_slot as usize..frame.end_slot() as usize).any(is_live)
    }
}

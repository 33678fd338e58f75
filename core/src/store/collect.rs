//! Gives back the space of what no checkpoint needs.
//!
//! First everything is looked at and a plan is made, then it is carried out in the order that
//! `docs/checkpoint-format.md` §6 gives, each step leaving a store in which every manifest has all it needs.

use std::collections::{BTreeMap, BTreeSet};

use super::files::{CHECKPOINTS, SEGMENTS, TMP, TmpFile, checkpoint_path, segment_path, tmp_path};
use super::frame::FrameEntry;
use super::manifest::Manifest;
use super::page_map::{Run, Source};
use super::segment::{SegmentReader, SegmentRewriter};
use super::{CheckpointId, CheckpointInfo, Finding, Retention, SegmentName, Store, StoreError, entries};
use crate::medium::MediumErrorKind;

/// Bytes copied in one go when a segment gets its content back.
const COPY_BYTES: u64 = 1 << 20;

/// How to collect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CollectOptions {
    /// Only say what would be done.
    pub dry_run: bool,
    /// Remove manifests that cannot be read. Without it they stop the collection, because what they need is unknown.
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
    /// Manifests removed because they are damaged.
    pub damaged_dropped: Vec<Finding>,
    /// Bytes given back by all of this.
    pub freed_bytes: u64,
}

/// What a prune kept and dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Checkpoints that a rule keeps, oldest first.
    pub kept: Vec<CheckpointInfo>,
    /// The others.
    pub dropped: Vec<CheckpointInfo>,
    /// What the garbage collection behind it gave back.
    pub collected: Collected,
}

/// What is to be done.
#[derive(Debug, Default)]
struct Plan {
    /// Whose manifests go.
    checkpoints: Vec<CheckpointId>,
    remains: Vec<String>,
    segments: Vec<SegmentName>,
    compact: Vec<(SegmentName, Vec<FrameEntry>)>,
    report: Collected,
}

/// An error once the lock on the store was taken away.
type Alone<'a> = &'a dyn Fn() -> Result<(), StoreError>;

/// Says in the catalogue log which checkpoints go.
type Log<'a> = &'a dyn Fn() -> Result<(), StoreError>;

/// Which slots of which segments are needed: a bit a slot.
#[derive(Debug, Default)]
struct Live(BTreeMap<SegmentName, Vec<u64>>);

impl Store {
    /// Drops the checkpoints that no rule keeps, then collects.
    pub fn prune(&self, retention: &Retention, options: CollectOptions) -> Result<Pruned, StoreError> {
        self.collect_after("prune the store", options, |all| retention.split(all))
    }

    /// Drops these checkpoints, then collects. With [`thorough`](CollectOptions::thorough) the way to be rid of
    /// damaged pages: as long as they are there, equal pages of later checkpoints are not stored anew.
    pub fn remove(&self, ids: &[CheckpointId], options: CollectOptions) -> Result<Pruned, StoreError> {
        self.collect_after("remove checkpoints", options, |all| {
            if let Some(unknown) = ids.iter().find(|&&id| all.iter().all(|info| info.id != id)) {
                return Err(StoreError::NoSuchCheckpoint(unknown.to_hex()));
            }
            Ok(all.into_iter().partition(|info| !ids.contains(&info.id)))
        })
    }

    /// Removes what no checkpoint needs: remains of crashes, unused segments, the unused part of segments that are
    /// mostly unused.
    pub fn collect(&self, options: CollectOptions) -> Result<Collected, StoreError> {
        let pruned = self.collect_after("collect garbage", options, |all| Ok((all, Vec::new())))?;
        Ok(pruned.collected)
    }

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
        let logged = self.logged()?;
        let listing = self.list()?;
        let mut damaged = listing.damaged;
        let read = listing.checkpoints.iter().map(|info| info.id);
        let there: BTreeSet<_> = read
            .chain(
                damaged
                    .iter()
                    .flat_map(|finding| finding.checkpoints.iter().copied()),
            )
            .collect();
        // What a checkpoint needs whose manifest is lost is as unknown as if it were damaged.
        damaged.extend(logged.missing(&there));
        let (kept, dropped) = split(listing.checkpoints)?;
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
        let plan = self.plan(&dropped, damaged, &live, options.thorough)?;
        let collected = if options.dry_run {
            plan.report
        } else {
            let stays: Vec<_> = kept.iter().map(|info| info.id).collect();
            let goes = plan.checkpoints.clone();
            let log = || self.log_dropped(&goes, &stays, options.drop_damaged);
            self.carry_out(plan, &log, &|| lock.check(operation))?
        };
        Ok(Pruned {
            kept,
            dropped,
            collected,
        })
    }

    /// Marks what checkpoints need; those whose map cannot be read are added to `damaged`.
    fn live(&self, kept: &[CheckpointInfo], damaged: &mut Vec<Finding>) -> Result<Live, StoreError> {
        let mut live = Live::default();
        for info in kept {
            let read =
                Manifest::open(&self.medium, info.id).and_then(|m| m.body().map(|body| (m.head, body)));
            let (head, body) = match read {
                Ok(read) => read,
                Err(StoreError::Damaged(finding)) => {
                    damaged.push(*finding);
                    continue;
                }
                Err(error) => return Err(error),
            };
            for run in body.runs.iter().map(|&run| Run::from(run)) {
                if let Source::Stored { segment, slot } = run.source {
                    live.mark(head.segments[segment as usize], slot, run.count);
                }
            }
        }
        Ok(live)
    }

    fn plan(
        &self,
        dropped: &[CheckpointInfo],
        damaged: Vec<Finding>,
        live: &Live,
        thorough: bool,
    ) -> Result<Plan, StoreError> {
        let mut plan = Plan::default();
        let doomed = damaged
            .iter()
            .flat_map(|finding| finding.checkpoints.iter().copied());
        plan.checkpoints = dropped.iter().map(|info| info.id).chain(doomed).collect();
        let paths = self
            .medium
            .list(CHECKPOINTS)?
            .into_iter()
            .map(|e| (format!("{CHECKPOINTS}/{}", e.name), e.len_bytes));
        let lengths: BTreeMap<String, u64> = paths.collect();
        let manifests = plan.checkpoints.iter().map(|&id| checkpoint_path(id));
        plan.report.freed_bytes = manifests.filter_map(|path| lengths.get(&path)).sum();
        plan.report.damaged_dropped = damaged
            .into_iter()
            .filter(|finding| !finding.checkpoints.is_empty())
            .collect();
        for (number, len_bytes) in entries::tmp(&*self.medium)?.own {
            plan.report.freed_bytes += len_bytes;
            plan.remains.push(tmp_path(number));
        }
        plan.report.remains_removed = plan.remains.len() as u64;
        for (name, len_bytes) in entries::contents(&*self.medium, SEGMENTS, SegmentName::parse)?.own {
            if !live.0.contains_key(&name) {
                plan.report.freed_bytes += len_bytes;
                plan.segments.push(name);
            } else if let Some((frames, freed)) = self.worth_compacting(name, live, thorough)? {
                plan.report.freed_bytes += freed;
                plan.compact.push((name, frames));
            }
        }
        plan.report.segments_removed = plan.segments.len() as u64;
        plan.report.segments_compacted = plan.compact.len() as u64;
        Ok(plan)
    }

    /// The live frames of a segment and the bytes of the others, if these are more than half, or any if `thorough`. A
    /// damaged segment is left as it is.
    fn worth_compacting(
        &self,
        name: SegmentName,
        live: &Live,
        thorough: bool,
    ) -> Result<Option<(Vec<FrameEntry>, u64)>, StoreError> {
        let segment = match SegmentReader::open(&self.medium, name) {
            Ok(segment) => segment,
            Err(StoreError::Damaged(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let bytes =
            |frames: &[FrameEntry]| frames.iter().map(|frame| u64::from(frame.len_bytes)).sum::<u64>();
        let all = bytes(&segment.footer.frames);
        let frames: Vec<_> = segment
            .footer
            .frames
            .iter()
            .copied()
            .filter(|frame| live.any_of(name, frame))
            .collect();
        let kept = bytes(&frames);
        let worth = kept * 2 < all || (thorough && kept < all);
        Ok((worth && !frames.is_empty()).then(|| (frames, all - kept)))
    }

    /// Stops as soon as `alone` tells that others may be at work in the store. What they can have learnt of pages they learnt
    /// from manifests that are still there, because these are removed before the pages that only they need.
    fn carry_out(&self, plan: Plan, log: Log<'_>, alone: Alone<'_>) -> Result<Collected, StoreError> {
        let medium = &*self.medium;
        alone()?;
        let logged = match log() {
            // Room is made first.
            Err(error) if error.is_full() => false,
            logged => logged.map(|()| true)?,
        };
        let manifests: Vec<String> = plan.checkpoints.iter().map(|&id| checkpoint_path(id)).collect();
        remove_all(self, CHECKPOINTS, &manifests, alone)?;
        let segments: Vec<String> = plan.segments.iter().map(|&name| segment_path(name)).collect();
        remove_all(self, SEGMENTS, &segments, alone)?;
        remove_all(self, TMP, &plan.remains, alone)?;
        if !logged {
            log()?;
        }
        let mut report = plan.report;
        for (name, frames) in &plan.compact {
            match self.compact(*name, frames, alone) {
                Ok(()) => medium.sync_dir(SEGMENTS)?,
                // A damaged frame is not copied as if it were sound; verify tells of it.
                Err(StoreError::Damaged(_)) => report.segments_compacted -= 1,
                Err(error) => return Err(error),
            }
        }
        Ok(report)
    }

    /// Rewrites a segment with these frames alone.
    fn compact(&self, name: SegmentName, frames: &[FrameEntry], alone: Alone<'_>) -> Result<(), StoreError> {
        let segment = SegmentReader::open(&self.medium, name)?;
        let (digests, level) = (segment.footer.digests.clone(), self.options.compression_level);
        let mut rewriter = SegmentRewriter::begin(&*self.medium, name, digests, level)?;
        frames
            .iter()
            .try_for_each(|frame| rewriter.copy(&segment, frame))?;
        alone()?;
        rewriter.publish()?;
        let still_alone = alone();
        if still_alone.is_err() {
            // Who was let in before may have found a page in a frame that is gone now, and share it.
            self.put_back(name, &segment)?;
        }
        still_alone
    }

    /// Gives a segment the content again that is still open for reading.
    fn put_back(&self, name: SegmentName, segment: &SegmentReader) -> Result<(), StoreError> {
        let mut file = TmpFile::create(&*self.medium)?;
        let mut at = 0;
        while at < segment.file.len_bytes() {
            let len = COPY_BYTES.min(segment.file.len_bytes() - at);
            file.append(&segment.file.read_vec(at, len, "the segment")?)?;
            at += len;
        }
        file.seal()?;
        file.publish(&segment_path(name))?;
        Ok(self.medium.sync_dir(SEGMENTS)?)
    }
}

fn remove_all(store: &Store, dir: &str, paths: &[String], alone: Alone<'_>) -> Result<(), StoreError> {
    if paths.is_empty() {
        return Ok(());
    }
    for path in paths {
        alone()?;
        match store.medium.remove(path) {
            // The manifest of a lost checkpoint.
            Err(error) if error.kind == MediumErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(store.medium.sync_dir(dir)?)
}

impl Live {
    fn mark(&mut self, name: SegmentName, slot: u32, count: u32) {
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

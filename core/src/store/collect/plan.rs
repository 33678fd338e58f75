//! What is to be done, found out before anything is done.

use std::collections::BTreeMap;

use super::census::Census;
use super::report::Collected;
use super::weigh::Weight;
use crate::store::files::{CHECKPOINTS, SEGMENTS, checkpoint_path, segment_path, tmp_path};
use crate::store::live::Live;
use crate::store::segment::SegmentReader;
use crate::store::{CheckpointId, CheckpointInfo, SegmentName, Store, StoreError, entries};

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) manifests: Vec<(CheckpointId, Doomed)>,
    pub(super) segments: Vec<(SegmentName, Doomed)>,
    pub(super) remains: Vec<Doomed>,
    /// Segments to rewrite, those that will be shortest first: each one makes room for the next.
    pub(super) rewrite: Vec<Rewrite>,
    /// The report as far as it is known already.
    pub(super) report: Collected,
}

/// A file that is to go.
#[derive(Debug)]
pub(super) struct Doomed {
    pub(super) path: String,
    pub(super) len_bytes: u64,
}

/// A segment that is to be rewritten.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rewrite {
    pub(super) name: SegmentName,
    /// Length of the file.
    pub(super) len_bytes: u64,
    /// Its length afterwards, as near as can be told.
    pub(super) rewritten_bytes: u64,
}

impl Rewrite {
    pub(super) fn saved_bytes(&self) -> u64 {
        self.len_bytes.saturating_sub(self.rewritten_bytes)
    }
}

impl Store {
    pub(super) fn plan(
        &self,
        dropped: &[CheckpointInfo],
        census: &mut Census<'_>,
        max_unused_percent: u8,
    ) -> Result<Plan, StoreError> {
        let mut plan = Plan::default();
        let lengths: BTreeMap<String, u64> = self
            .medium
            .list(CHECKPOINTS)?
            .into_iter()
            .map(|e| (format!("{CHECKPOINTS}/{}", e.name), e.len_bytes))
            .collect();
        let ids = census.doomed.iter().flat_map(|finding| &finding.checkpoints);
        for &id in dropped.iter().map(|info| &info.id).chain(ids) {
            let path = checkpoint_path(id);
            let len_bytes = lengths.get(&path).copied().unwrap_or(0);
            plan.manifests.push((id, Doomed { path, len_bytes }));
        }
        plan.report.damaged_dropped = std::mem::take(&mut census.doomed);
        plan.report.held_by = std::mem::take(&mut census.held.by);
        for (number, len_bytes) in entries::tmp(&*self.medium)?.own {
            let path = tmp_path(number);
            plan.remains.push(Doomed { path, len_bytes });
        }
        let (mut weights, live) = (Vec::new(), &census.live);
        for (name, len_bytes) in entries::contents(&*self.medium, SEGMENTS, SegmentName::parse)?.own {
            let is_needed = live.needs(name);
            if census.held.holds(name) {
                if !is_needed {
                    plan.report.segments_held += 1;
                    plan.report.held_bytes += len_bytes;
                }
            } else if is_needed {
                weights.extend(self.weight(name, live, &mut plan.report)?);
            } else {
                let path = segment_path(name);
                plan.segments.push((name, Doomed { path, len_bytes }));
            }
        }
        self.choose(&mut plan, weights, live, max_unused_percent)?;
        plan.rewrite
            .sort_by_key(|rewrite| (rewrite.rewritten_bytes, rewrite.name));
        Ok(plan)
    }

    /// Weighs a segment; a damaged one is left as it is.
    fn weight(
        &self,
        name: SegmentName,
        live: &Live,
        report: &mut Collected,
    ) -> Result<Option<Weight>, StoreError> {
        match SegmentReader::open(&self.medium, name) {
            Ok(segment) => Ok(Some(Weight::of(&segment, name, live.slots_of(name)))),
            Err(StoreError::Damaged(finding)) => {
                report.damaged_left.push(*finding);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Chooses segments to rewrite until no more than so much is unneeded, those of which the largest part is unneeded first.
    /// Of none that is chosen less than that part is saved, so for each byte that is given back no more than a fixed number
    /// are written, however often a store is pruned.
    fn choose(
        &self,
        plan: &mut Plan,
        mut weights: Vec<Weight>,
        live: &Live,
        max_unused_percent: u8,
    ) -> Result<(), StoreError> {
        let mut all: u64 = weights.iter().map(|weight| weight.frames_bytes).sum();
        let mut unused: u64 = weights.iter().map(|weight| weight.unused_bytes).sum();
        weights.retain(|weight| weight.exceeds(max_unused_percent));
        weights.sort_by(|a, b| {
            let (of_a, of_b) = (
                u128::from(a.unused_bytes) * u128::from(b.frames_bytes),
                u128::from(b.unused_bytes) * u128::from(a.frames_bytes),
            );
            of_b.cmp(&of_a).then(a.name.cmp(&b.name))
        });
        for weight in weights {
            if unused * 100 <= all * u64::from(max_unused_percent) {
                break;
            }
            let needed = live.slots_of(weight.name);
            let trial = SegmentReader::open(&self.medium, weight.name)
                .and_then(|segment| weight.rewritten_bytes(&segment, needed, self.options.compression_level));
            let rewrite = match trial {
                Ok(rewritten_bytes) => Rewrite {
                    name: weight.name,
                    len_bytes: weight.len_bytes,
                    rewritten_bytes,
                },
                Err(StoreError::Damaged(finding)) => {
                    plan.report.damaged_left.push(*finding);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let saved = rewrite.saved_bytes();
            if saved * 100 > weight.frames_bytes * u64::from(max_unused_percent) {
                unused = unused.saturating_sub(saved);
                all -= saved;
                plan.rewrite.push(rewrite);
            }
        }
        plan.report.unused_bytes = unused;
        Ok(())
    }

    /// What carrying out a plan would come to, with the room there is.
    pub(super) fn foreseen(&self, plan: Plan) -> Collected {
        let mut report = plan.report;
        let files = plan.manifests.iter().map(|(_, doomed)| doomed);
        let files = files.chain(plan.segments.iter().map(|(_, doomed)| doomed));
        report.freed_bytes = files.chain(&plan.remains).map(|doomed| doomed.len_bytes).sum();
        report.segments_removed = plan.segments.len() as u64;
        report.remains_removed = plan.remains.len() as u64;
        let free = if plan.rewrite.is_empty() {
            None
        } else {
            self.free_bytes()
        };
        let mut room = free.map(|free| free + report.freed_bytes);
        let mut without_room = Vec::new();
        for rewrite in plan.rewrite {
            if room.is_some_and(|room| room < rewrite.rewritten_bytes) {
                without_room.push(rewrite);
                continue;
            }
            room = room.map(|room| room + rewrite.saved_bytes());
            report.segments_compacted += 1;
            report.rewritten_bytes += rewrite.rewritten_bytes;
            report.freed_bytes += rewrite.saved_bytes();
        }
        report.pass_over(&without_room, room);
        report
    }
}

impl Collected {
    /// Notes segments, shortest first, that were not rewritten for want of room, of which there is now so much.
    pub(super) fn pass_over(&mut self, without_room: &[Rewrite], room: Option<u64>) {
        let mut room = room.unwrap_or(0);
        for rewrite in without_room {
            // The medium refused what should have fitted: it needs more than it said.
            let missing = rewrite.rewritten_bytes.saturating_sub(room).max(1);
            self.short_bytes = self.short_bytes.max(missing);
            self.unused_bytes += rewrite.saved_bytes();
            room += rewrite.saved_bytes();
        }
        self.segments_without_room = without_room.len() as u64;
    }
}

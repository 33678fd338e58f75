//! What differs between two checkpoints.

use std::collections::BTreeMap;
use std::ops::Range;

use super::page_map::{PackedRun, Run, Source};
use super::reader::{CheckpointReader, OpenSegments};
use super::{CheckpointId, Store, StoreError};
use crate::guest::{MemoryLayout, StateRecord};

/// What differs between two checkpoints, *a* and *b*. Pages are compared by tag and by the digest of their content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Frames that only *a* has.
    pub only_a: MemoryLayout,
    /// Frames that only *b* has.
    pub only_b: MemoryLayout,
    /// Frames of both with another content or tag.
    pub changed: MemoryLayout,
    /// Frames of both with the same content and tag.
    pub same: MemoryLayout,
    /// Records that differ, by name.
    pub records: Vec<RecordDifference>,
    /// The records that both have come in another order.
    pub records_reordered: bool,
}

/// A machine-state record that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordDifference {
    /// Its name.
    pub name: String,
    /// Which of the records of that name, from 0.
    pub occurrence: usize,
    /// How it differs.
    pub change: RecordChange,
}

/// How a record differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordChange {
    /// Only *a* has it.
    OnlyA,
    /// Only *b* has it.
    OnlyB,
    /// Both have it with different bytes.
    Content,
}

/// Ranges in a difference at most, 16 bytes each: pages that differ one by one over 256 GiB.
const RANGES_MAX: usize = 1 << 26;

#[derive(Debug, Default)]
struct Ranges {
    only_a: Vec<Range<u64>>,
    only_b: Vec<Range<u64>>,
    changed: Vec<Range<u64>>,
    same: Vec<Range<u64>>,
}

impl Store {
    /// Compares two checkpoints without reading page content.
    pub fn diff(&self, a: CheckpointId, b: CheckpointId) -> Result<Difference, StoreError> {
        let (mut a, mut b) = (self.read(a)?, self.read(b)?);
        let ranges = compare_memory(&mut a, &mut b)?;
        let (records, records_reordered) = compare_records(a.records(), b.records());
        let frames = |ranges: Vec<Range<u64>>| ranges.into_iter().collect();
        Ok(Difference {
            only_a: frames(ranges.only_a),
            only_b: frames(ranges.only_b),
            changed: frames(ranges.changed),
            same: frames(ranges.same),
            records,
            records_reordered,
        })
    }
}

/// Goes along both maps at once, from border to border.
fn compare_memory(a: &mut CheckpointReader, b: &mut CheckpointReader) -> Result<Ranges, StoreError> {
    let ((a_runs, a_segments), (b_runs, b_segments)) = (a.parts(), b.parts());
    let mut ranges = Ranges::default();
    let (mut a_rest, mut b_rest) = (Rest::new(a_runs), Rest::new(b_runs));
    loop {
        ranges.check_len()?;
        let (end, into) = match (a_rest.first, b_rest.first) {
            (None, None) => return Ok(ranges),
            (Some(x), None) => (x.end(), &mut ranges.only_a),
            (None, Some(y)) => (y.end(), &mut ranges.only_b),
            (Some(x), Some(y)) if x.start < y.start => (x.end().min(y.start), &mut ranges.only_a),
            (Some(x), Some(y)) if y.start < x.start => (y.end().min(x.start), &mut ranges.only_b),
            (Some(x), Some(y)) => {
                let end = x.end().min(y.end());
                compare_runs(
                    x.slice(x.start, end),
                    a_segments,
                    y.slice(x.start, end),
                    b_segments,
                    &mut ranges,
                )?;
                a_rest.drop_before(end);
                b_rest.drop_before(end);
                continue;
            }
        };
        let starts = [a_rest.first, b_rest.first]
            .into_iter()
            .flatten()
            .map(|run| run.start);
        push(into, starts.min().unwrap_or(end)..end);
        a_rest.drop_before(end);
        b_rest.drop_before(end);
    }
}

/// Compares two runs over the same frames.
fn compare_runs(
    a: Run,
    a_segments: &mut OpenSegments,
    b: Run,
    b_segments: &mut OpenSegments,
    ranges: &mut Ranges,
) -> Result<(), StoreError> {
    let all_same = match (a.source, b.source) {
        (Source::Zero, Source::Zero) => Some(true),
        (
            Source::Stored {
                segment: in_a,
                slot: a_slot,
            },
            Source::Stored {
                segment: in_b,
                slot: b_slot,
            },
        ) => (a_segments.name(in_a) == b_segments.name(in_b) && a_slot == b_slot).then_some(true),
        // A stored page is never zero.
        _ => Some(false),
    };
    if let Some(same) = all_same.map(|same| same && a.tag == b.tag) {
        push(
            if same {
                &mut ranges.same
            } else {
                &mut ranges.changed
            },
            a.start..a.end(),
        );
        return Ok(());
    }
    for (by, frame) in (0..a.count).zip(a.start..) {
        let same = a.tag == b.tag
            && a_segments.digest(a.source.advanced(by))? == b_segments.digest(b.source.advanced(by))?;
        push(
            if same {
                &mut ranges.same
            } else {
                &mut ranges.changed
            },
            frame..frame + 1,
        );
    }
    Ok(())
}

impl Ranges {
    fn check_len(&self) -> Result<(), StoreError> {
        let all = [&self.only_a, &self.only_b, &self.changed, &self.same];
        let found: usize = all.iter().map(|ranges| ranges.len()).sum();
        if found > RANGES_MAX {
            return Err(StoreError::Limit {
                what: "ranges of frames in a difference",
                found: found as u64,
                limit: RANGES_MAX as u64,
            });
        }
        Ok(())
    }
}

fn push(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    match ranges.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => ranges.push(range),
    }
}

/// Runs still to come; the first may be cut.
struct Rest<'a> {
    first: Option<Run>,
    others: std::slice::Iter<'a, PackedRun>,
}

impl<'a> Rest<'a> {
    fn new(runs: &'a [PackedRun]) -> Self {
        let mut others = runs.iter();
        Rest {
            first: others.next().map(|&run| run.into()),
            others,
        }
    }

    fn drop_before(&mut self, frame: u64) {
        if let Some(run) = self.first {
            if run.end() <= frame {
                self.first = self.others.next().map(|&run| run.into());
            } else if run.start < frame {
                self.first = Some(run.slice(frame, run.end()));
            }
        }
    }
}

/// Records by name and occurrence, with their bytes, in order.
fn keyed(records: &[StateRecord]) -> Vec<((&str, usize), &[u8])> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let keyed = records.iter().map(|record| {
        let count = counts.entry(&record.name).or_default();
        *count += 1;
        ((record.name.as_str(), *count - 1), record.bytes.as_slice())
    });
    keyed.collect()
}

fn compare_records(a: &[StateRecord], b: &[StateRecord]) -> (Vec<RecordDifference>, bool) {
    let (a, b) = (keyed(a), keyed(b));
    let (a_by_key, b_by_key): (BTreeMap<_, _>, BTreeMap<_, _>) =
        (a.iter().copied().collect(), b.iter().copied().collect());
    let differs = |(name, occurrence): (&str, usize), change| RecordDifference {
        name: name.to_owned(),
        occurrence,
        change,
    };
    let mut differences = Vec::new();
    for (&key, bytes) in &a_by_key {
        match b_by_key.get(&key) {
            None => differences.push(differs(key, RecordChange::OnlyA)),
            Some(other) if other != bytes => differences.push(differs(key, RecordChange::Content)),
            Some(_) => {}
        }
    }
    let only_b = b_by_key.keys().filter(|key| !a_by_key.contains_key(*key));
    differences.extend(only_b.map(|&key| differs(key, RecordChange::OnlyB)));
    let common_a = a
        .iter()
        .map(|(key, _)| key)
        .filter(|key| b_by_key.contains_key(*key));
    let common_b = b
        .iter()
        .map(|(key, _)| key)
        .filter(|key| a_by_key.contains_key(*key));
    (differences, !common_a.eq(common_b))
}

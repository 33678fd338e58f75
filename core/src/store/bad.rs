//! Which stored pages are known to be bad.
//!
//! A list for each segment in which something was found to be wrong. It is a note, not a part of any checkpoint: without it
//! nothing is read wrong, with it no later checkpoint ties itself to a page that is gone.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use super::files::{self, BAD, StoreFile, TmpFile, bad_path};
use super::header::VERSION;
use super::id::digest;
use super::page_map::SLOTS_MAX;
use super::wire::{Fields, Malformed, Put};
use super::{Finding, SegmentName, Store, StoreError, entries};
use crate::medium::{Medium, MediumErrorKind};

const MAGIC: [u8; 8] = *b"RVBADFR\n";
const CHECKSUM: usize = 16;
/// A range for each slot would be as long as this.
const LEN_MAX: u64 = 16 + SLOTS_MAX as u64 * 8 + CHECKSUM as u64;

/// Slots of one segment, ascending, not overlapping: each range a frame, or pages that have no frame.
pub(super) type BadSlots = Vec<Range<u32>>;

/// Stands for all of a segment.
pub(super) const WHOLE: Range<u32> = 0..SLOTS_MAX;

/// The lists of a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct KnownBad {
    pub(super) segments: BTreeMap<SegmentName, BadSlots>,
    /// Lists that do not read. Their segments count as bad as a whole. Or, alone: what is wrong with the folder, of which then
    /// nothing is known.
    pub(super) damaged: Vec<Finding>,
}

/// How much of a store is known to be bad.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BadCounts {
    /// Segments that are suspect as a whole, because their list is damaged.
    pub segments: u64,
    /// Frames of other segments, and gaps between frames that a checkpoint needs.
    pub frames: u64,
}

impl Store {
    /// What verification, restores and scrubbing have found to be bad and what is not healed yet.
    pub fn known_bad(&self) -> Result<BadCounts, StoreError> {
        let mut counts = BadCounts::default();
        for slots in KnownBad::read(&self.medium)?.segments.values() {
            if *slots == [WHOLE] {
                counts.segments += 1;
            } else {
                counts.frames += slots.len() as u64;
            }
        }
        Ok(counts)
    }
}

impl KnownBad {
    /// Reads all lists. One that cannot be read stops nobody: then all of its segment counts as bad. Nor does a folder that cannot
    /// be read, or something else in its place: then nothing is known.
    pub(super) fn read(medium: &Rc<dyn Medium>) -> Result<Self, StoreError> {
        let mut known = KnownBad::default();
        let lists = match entries::contents(&**medium, BAD, SegmentName::parse) {
            Ok(lists) => lists.own,
            Err(error) => {
                known.damaged.push(Finding::of_read(BAD, None, error)?);
                return Ok(known);
            }
        };
        for (name, _) in lists {
            match read_list(medium, name) {
                Ok(Some(slots)) => {
                    known.segments.insert(name, slots);
                }
                // Cleared since the directory was read.
                Ok(None) => {}
                Err(StoreError::Damaged(finding)) => {
                    known.damaged.push(*finding);
                    known.segments.insert(name, vec![WHOLE]);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(known)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// The bad slots of a segment.
    pub(super) fn of(&self, name: SegmentName) -> &[Range<u32>] {
        self.segments.get(&name).map_or(&[], Vec::as_slice)
    }

    /// Is one of these slots bad?
    pub(super) fn any_of(&self, name: SegmentName, slots: &Range<u32>) -> bool {
        any_of(self.of(name), slots)
    }
}

/// Does one of these ranges, ascending, not overlapping, have one of the slots?
pub(super) fn any_of(ranges: &[Range<u32>], slots: &Range<u32>) -> bool {
    let after = ranges.partition_point(|range| range.end <= slots.start);
    ranges.get(after).is_some_and(|range| range.start < slots.end)
}

/// Ranges of two lists as one list.
pub(super) fn union(a: &[Range<u32>], b: &[Range<u32>]) -> BadSlots {
    let mut all: Vec<Range<u32>> = a.iter().chain(b).cloned().collect();
    all.sort_unstable_by_key(|range| (range.start, range.end));
    let mut joined: BadSlots = Vec::new();
    for range in all {
        match joined.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

/// What the ranges of one list have that those of another have not.
pub(super) fn minus(a: &[Range<u32>], b: &[Range<u32>]) -> BadSlots {
    let (mut left, mut at) = (BadSlots::new(), 0);
    for range in a {
        let mut start = range.start;
        at += b[at..].partition_point(|taken| taken.end <= start);
        while let Some(taken) = b.get(at).filter(|taken| taken.start < range.end) {
            if start < taken.start {
                left.push(start..taken.start);
            }
            start = taken.end;
            if taken.end >= range.end {
                break;
            }
            at += 1;
        }
        if start < range.end {
            left.push(start..range.end);
        }
    }
    left
}

/// Makes this the list of a segment, if it is not already; an empty one goes.
pub(super) fn write_list(
    medium: &Rc<dyn Medium>,
    name: SegmentName,
    slots: &[Range<u32>],
) -> Result<(), StoreError> {
    let path = bad_path(name);
    let before = read_list(medium, name);
    if matches!(&before, Ok(before) if before.as_deref().unwrap_or_default() == slots) {
        return Ok(());
    }
    if slots.is_empty() {
        return match medium.remove(&path) {
            Ok(()) => Ok(medium.sync_dir(BAD)?),
            Err(error) if error.kind == MediumErrorKind::NotFound => Ok(()),
            Err(error) => Err(error.into()),
        };
    }
    let file = TmpFile::create(&**medium)?;
    Ok(files::write_whole(file, BAD, &path, &[&encode(slots)])?)
}

/// The same, for whom the list is not what matters: what keeps it from being written is a finding on it.
pub(super) fn try_write_list(
    medium: &Rc<dyn Medium>,
    name: SegmentName,
    slots: &[Range<u32>],
) -> Result<Option<Finding>, StoreError> {
    match write_list(medium, name, slots) {
        Err(StoreError::Medium(error)) => {
            let what = format!(
                "the list of bad frames cannot be written: {error}: {}",
                error.source
            );
            let mut finding = Finding::of_read(&bad_path(name), None, error)?;
            finding.what = what;
            Ok(Some(finding))
        }
        written => written.map(|()| None),
    }
}

/// Adds to the list of a segment.
pub(super) fn add_to_list(
    medium: &Rc<dyn Medium>,
    name: SegmentName,
    slots: &[Range<u32>],
) -> Result<(), StoreError> {
    let before = match read_list(medium, name) {
        Ok(found) => found.unwrap_or_default(),
        Err(StoreError::Damaged(_)) => vec![WHOLE],
        Err(error) => return Err(error),
    };
    write_list(medium, name, &union(&before, slots))
}

fn read_list(medium: &Rc<dyn Medium>, name: SegmentName) -> Result<Option<BadSlots>, StoreError> {
    let Some(file) = StoreFile::open_if_there(medium, bad_path(name))? else {
        return Ok(None);
    };
    if file.len_bytes() > LEN_MAX {
        let what = format!("a list of bad frames has at most {LEN_MAX} bytes");
        return Err(file.finding(0, what).into());
    }
    let bytes = file.read_vec(0, file.len_bytes(), "list of bad frames")?;
    let slots = decode(&bytes).map_err(|wrong| file.finding(wrong.at, wrong.what))?;
    Ok(Some(slots))
}

fn encode(slots: &[Range<u32>]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.put_u32(VERSION);
    bytes.put_u32(u32::try_from(slots.len()).expect("at most 2^20 slots"));
    for range in slots {
        bytes.put_u32(range.start);
        bytes.put_u32(range.end);
    }
    let checksum = digest(&bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

fn decode(bytes: &[u8]) -> Result<BadSlots, Malformed> {
    let checked = bytes.split_last_chunk::<CHECKSUM>();
    let (body, _) = checked
        .filter(|(body, checksum)| digest(body) == **checksum)
        .ok_or_else(|| Malformed::new(0, "list of bad frames: checksum mismatch"))?;
    let mut fields = Fields::new(body);
    if fields.array::<8>("magic")? != MAGIC || fields.u32("version")? != VERSION {
        return Err(Malformed::new(0, "expected a list of bad frames of version 1"));
    }
    let count = fields.count(u64::from(SLOTS_MAX), "ranges")?;
    let mut slots = BadSlots::new();
    let mut next = 0;
    for _ in 0..count {
        let at = fields.at();
        let range = fields.u32("first slot")?..fields.u32("end slot")?;
        if range.start < next || range.start >= range.end || range.end > SLOTS_MAX {
            return Err(Malformed::new(at, "list of bad frames: expected ascending slots"));
        }
        next = range.end;
        slots.push(range);
    }
    fields.end()?;
    Ok(slots)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_slots() -> impl Strategy<Value = BadSlots> {
        prop::collection::vec((0..40u32, 1..17u32), 0..20).prop_map(|shapes| {
            let mut at = 0;
            let ranges = shapes.into_iter().map(|(gap, count)| {
                let start = at + gap;
                at = start + count;
                start..at
            });
            ranges.collect()
        })
    }

    proptest! {
        #[test]
        fn comes_back_or_complains(slots in any_slots(), at in any::<prop::sample::Index>(), flip in 1..=255u8) {
            let mut bytes = encode(&slots);
            prop_assert_eq!(decode(&bytes).unwrap(), slots);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert!(decode(&bytes).is_err());
        }

        /// Any bytes under a right checksum: an error, or a list that is encoded like that.
        #[test]
        fn decoding_never_panics(slots in any_slots(), edits in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..4)) {
            let mut bytes = encode(&slots);
            bytes.truncate(bytes.len() - CHECKSUM);
            for (at, value) in edits {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            let checksum = digest(&bytes);
            bytes.extend_from_slice(&checksum);
            if let Ok(slots) = decode(&bytes) {
                prop_assert_eq!(encode(&slots), bytes);
            }
        }

        #[test]
        fn a_union_has_what_either_has(a in any_slots(), b in any_slots(), probe in (0..900u32, 1..30u32)) {
            let both = union(&a, &b);
            prop_assert!(both.windows(2).all(|pair| pair[0].end <= pair[1].start));
            let probe = probe.0..probe.0 + probe.1;
            prop_assert_eq!(any_of(&both, &probe), any_of(&a, &probe) || any_of(&b, &probe));
            let left = minus(&a, &b);
            let has = |list: &[Range<u32>], slot: u32| any_of(list, &(slot..slot + 1));
            prop_assert!((0..1200).all(|slot| has(&left, slot) == (has(&a, slot) && !has(&b, slot))));
        }
    }
}

//! How the pages stood in a save file: what an export needs to give the same bytes back.

use crate::page::{FrameRun, PageType};

const VERSION: u8 = 1;
/// Frames that fit in a record at the limit of its length.
const FRAMES_MAX: u64 = 1 << 24;
/// Frames that do not exist may be listed this often, and in proportion to those that do: 16 GiB for the gaps in the
/// address space of a small guest, and a guest that was shrunk to a sixteenth of what it may have.
const ABSENT_MAX: u64 = 1 << 22;
const ABSENT_BY_PRESENT_MAX: u64 = 16;

/// Counts the frames of an arrangement. An arrangement costs some bytes and an export eight for each frame it lists: one
/// that lists more than a guest has is somebody's trick.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FrameCount {
    /// Frames that exist.
    pub(crate) present: u64,
    /// Frames that do not.
    absent: u64,
}

impl FrameCount {
    pub(crate) fn add(&mut self, run: FrameRun) {
        let count = if run.kind.is_populated() {
            &mut self.present
        } else {
            &mut self.absent
        };
        *count = count.saturating_add(run.len);
    }

    /// Can a guest with so many frames be listed like this?
    pub(crate) fn fits(self, frames: u64) -> bool {
        let absent_max = ABSENT_MAX.saturating_add(ABSENT_BY_PRESENT_MAX.saturating_mul(frames));
        self.present <= frames && self.absent <= absent_max
    }
}

/// The arrangement of a file's pages, encoded.
///
/// A checkpoint keeps pages by frame number; a save file keeps them in PAGE_DATA records of the saver's making,
/// between other records, and lists frames that do not exist. [`PageOrder`] is that arrangement without the pages:
///
/// ```text
/// order   := 0x01 record*
/// record  := varint(libxc records since the last PAGE_DATA record, or since the header)
///            varint(runs) run*
/// run     := varint(zigzag(first frame − end of the run before; the first counts from 0))
///            varint(frames << 4 | page type)
/// varint  := little-endian base 128, at most ten bytes
/// ```
/// A run costs some four bytes, a whole record of 1,024 consecutive frames six.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageOrder {
    bytes: Vec<u8>,
    /// Runs of the record being written, encoded but for the last.
    record: Vec<u8>,
    runs: u64,
    last: Option<FrameRun>,
    previous_end: u64,
    count: FrameCount,
}

impl Default for PageOrder {
    fn default() -> Self {
        PageOrder {
            bytes: vec![VERSION],
            record: Vec::new(),
            runs: 0,
            last: None,
            previous_end: 0,
            count: FrameCount::default(),
        }
    }
}

impl PageOrder {
    /// Adds runs to the current record.
    pub(crate) fn push(&mut self, runs: &[FrameRun]) {
        for &run in runs {
            self.count.add(run);
            if !self.last.as_mut().is_some_and(|last| last.absorb(run)) {
                self.flush_run();
                self.last = Some(run);
            }
        }
    }

    /// Ends the current record, before which stood `records` libxc records since the PAGE_DATA before it.
    pub(crate) fn end_record(&mut self, records: u64) {
        self.flush_run();
        put_varint(&mut self.bytes, records);
        put_varint(&mut self.bytes, self.runs);
        self.bytes.append(&mut self.record);
        self.runs = 0;
    }

    fn flush_run(&mut self) {
        if let Some(run) = self.last.take() {
            let delta = run.start.wrapping_sub(self.previous_end).cast_signed();
            put_varint(&mut self.record, (delta << 1 ^ delta >> 63).cast_unsigned());
            put_varint(&mut self.record, run.len << 4 | u64::from(run.kind.code()));
            self.previous_end = run.end();
            self.runs += 1;
        }
    }

    /// Can it be that of a guest? An export takes no other.
    pub(crate) fn is_sound(&self) -> bool {
        self.count.fits(self.count.present)
    }

    /// Bytes held.
    pub(crate) fn len_bytes(&self) -> usize {
        self.bytes.capacity() + self.record.capacity()
    }

    /// The encoded form.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Takes the encoded form apart, record by record.
#[derive(Debug)]
pub(crate) struct PageOrderReader<'a> {
    rest: &'a [u8],
    previous_end: u64,
}

impl<'a> PageOrderReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, &'static str> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => Ok(PageOrderReader {
                rest,
                previous_end: 0,
            }),
            Some(_) => Err("its version is not 1"),
            None => Err("it is empty"),
        }
    }

    /// The next record: fills `runs`, gives the number of libxc records before it; `None` at the end.
    pub(crate) fn next_record(&mut self, runs: &mut Vec<FrameRun>) -> Result<Option<u64>, &'static str> {
        runs.clear();
        if self.rest.is_empty() {
            return Ok(None);
        }
        let records = self.varint()?;
        let count = self.varint()?;
        let mut frames = 0;
        for _ in 0..count {
            let zigzag = self.varint()?;
            let delta = (zigzag >> 1) ^ (zigzag & 1).wrapping_neg();
            let packed = self.varint()?;
            let kind = PageType::new((packed & 0xf) as u8).ok_or("a page type is reserved")?;
            let run = FrameRun {
                start: self.previous_end.wrapping_add(delta),
                len: packed >> 4,
                kind,
            };
            frames += run.len;
            if run.len == 0 || frames > FRAMES_MAX || run.start > (1 << 52) - run.len {
                return Err("a run of frames is out of range");
            }
            self.previous_end = run.end();
            runs.push(run);
        }
        if runs.is_empty() {
            Err("a record lists no frame")
        } else {
            Ok(Some(records))
        }
    }

    fn varint(&mut self) -> Result<u64, &'static str> {
        let mut value = 0;
        for (i, &byte) in self.rest.iter().enumerate().take(10) {
            let bits = u64::from(byte & 0x7f);
            if i == 9 && bits > 1 {
                break;
            }
            value |= bits << (7 * i);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[i + 1..];
                return Ok(value);
            }
        }
        Err("a number does not end")
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run() -> impl Strategy<Value = FrameRun> {
        let start = prop_oneof![0..1000u64, 0..1u64 << 51, (1u64 << 52) - 500..(1 << 52) - 400];
        (start, 1..300u64, 0..16u8).prop_filter_map("reserved type", |(start, len, code)| {
            Some(FrameRun {
                start,
                len,
                kind: PageType::new(code)?,
            })
        })
    }

    proptest! {
        #[test]
        fn decodes_to_what_was_encoded(
            records in prop::collection::vec((0..9u64, prop::collection::vec(run(), 1..8)), 0..20)
        ) {
            let mut order = PageOrder::default();
            for (before, runs) in &records {
                order.push(runs);
                order.end_record(*before);
            }
            let bytes = order.into_bytes();
            let mut reader = PageOrderReader::new(&bytes).unwrap();
            let mut runs = Vec::new();
            for (before, expected) in &records {
                prop_assert_eq!(reader.next_record(&mut runs), Ok(Some(*before)));
                prop_assert!(runs.iter().flat_map(|r| r.entries()).eq(expected.iter().flat_map(|r| r.entries())));
            }
            prop_assert_eq!(reader.next_record(&mut runs), Ok(None));
        }

        #[test]
        fn nonsense_is_refused_or_read_to_its_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let bytes = [&[VERSION], bytes.as_slice()].concat();
            let mut reader = PageOrderReader::new(&bytes).unwrap();
            let mut runs = Vec::new();
            while let Ok(Some(_)) = reader.next_record(&mut runs) {
                prop_assert!(runs.iter().all(|r| r.len > 0 && r.end() <= 1 << 52));
            }
        }
    }
}

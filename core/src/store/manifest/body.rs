//! The page map and the records, compressed.

use std::io::{self, BufRead, BufReader, Read, Write};

use crate::guest::{PageTag, StateRecord};
use crate::store::StoreError;
use crate::store::page_map::{COUNT_MAX, PackedRun, Run, SLOTS_MAX, Source};
use crate::store::wire::Malformed;
use crate::units::Pfn;

const RECORD_NAME_MAX: u64 = 4096;
const RECORD_BYTES_MAX: u64 = 256 << 20;
/// Records of a checkpoint, and bytes of their names together: a save file of 512 virtual CPUs has some 2,000.
const RECORDS_MAX: u64 = 1 << 16;
const RECORD_NAMES_MAX: u64 = 4 << 20;
/// A map has at most so many runs (64 GiB of memory in which no page lies behind its neighbour), and so many more for each
/// stored byte: what is small on the medium does not become large in memory.
const RUNS_FREE: u64 = 1 << 24;
const RUNS_PER_BYTE: u64 = 64;
/// Raw bytes gathered before they go to the compressor.
const CHUNK: usize = 64 << 10;
/// Higher levels look back further than a reader is willing to keep: 2^23 bytes.
const LEVEL_MAX: i32 = 19;
const WINDOW_LOG_MAX: u32 = 23;
/// Shortest encoding of a run.
const RUN_BYTES_MIN: u64 = 2;

/// Writes a body piece by piece: runs first, then records.
pub(in crate::store) struct BodyWriter {
    encoder: zstd::stream::write::Encoder<'static, Vec<u8>>,
    runs: u64,
    raw: Vec<u8>,
    raw_len: u64,
    at: Cursor,
}

impl std::fmt::Debug for BodyWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BodyWriter")
            .field("raw_len", &self.raw_len)
            .finish_non_exhaustive()
    }
}

/// Where the run before ended: what the next one is told relative to.
#[derive(Debug, Default, Clone, Copy)]
struct Cursor {
    frame: u64,
    segment: u32,
    slot: u32,
}

impl Cursor {
    /// The slot that a run in `segment` is expected to start with.
    fn expected_slot(self, segment: u32) -> u32 {
        if segment == self.segment { self.slot } else { 0 }
    }

    fn pass(&mut self, run: &Run) {
        self.frame = run.end();
        if let Source::Stored { segment, slot } = run.source {
            (self.segment, self.slot) = (segment, slot + run.count);
        }
    }
}

impl BodyWriter {
    pub(in crate::store) fn new(level: i32, runs: u64) -> Result<Self, StoreError> {
        let encoder = zstd::stream::write::Encoder::new(Vec::new(), level.min(LEVEL_MAX)).map_err(codec)?;
        let mut writer = BodyWriter {
            encoder,
            runs,
            raw: Vec::with_capacity(CHUNK),
            raw_len: 0,
            at: Cursor::default(),
        };
        writer.number(runs);
        Ok(writer)
    }

    /// Adds a run behind all before.
    pub(in crate::store) fn run(&mut self, run: &Run) -> Result<(), StoreError> {
        self.number(run.start - self.at.frame);
        let (tagged, stored) = (run.tag != PageTag(0), run.source != Source::Zero);
        self.number(u64::from(run.count - 1) << 2 | u64::from(tagged) << 1 | u64::from(stored));
        if tagged {
            self.raw.push(run.tag.0);
        }
        if let Source::Stored { segment, slot } = run.source {
            self.number(u64::from(segment));
            self.number(zigzag(
                i64::from(slot) - i64::from(self.at.expected_slot(segment)),
            ));
        }
        self.at.pass(run);
        self.flush_if(CHUNK)
    }

    pub(in crate::store) fn records(&mut self, records: &[StateRecord]) -> Result<(), StoreError> {
        self.number(records.len() as u64);
        for record in records {
            self.number(record.name.len() as u64);
            self.raw.extend_from_slice(record.name.as_bytes());
            self.number(record.bytes.len() as u64);
            self.flush_if(0)?;
            self.raw_len += record.bytes.len() as u64;
            self.encoder.write_all(&record.bytes).map_err(codec)?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(Vec<u8>, u64), StoreError> {
        self.flush_if(0)?;
        let mut stored = self.encoder.finish().map_err(codec)?;
        pad(&mut stored, self.runs);
        Ok((stored, self.raw_len))
    }

    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.raw.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.raw.push(value.to_le_bytes()[0]);
    }

    fn flush_if(&mut self, len: usize) -> Result<(), StoreError> {
        if self.raw.len() >= len {
            self.raw_len += self.raw.len() as u64;
            self.encoder.write_all(&self.raw).map_err(codec)?;
            self.raw.clear();
        }
        Ok(())
    }
}

/// The most runs that a stored body of this length may have.
fn runs_max(stored_bytes: u64) -> u64 {
    RUNS_FREE + stored_bytes.saturating_mul(RUNS_PER_BYTE)
}

/// Makes a body that came out too short for its runs longer, by a zstd frame that decompressors skip. Only a map of more than
/// 2^24 runs that are nearly all alike is.
fn pad(stored: &mut Vec<u8>, runs: u64) {
    const SKIPPED: [u8; 4] = 0x184D_2A50_u32.to_le_bytes();
    if runs <= runs_max(stored.len() as u64) {
        return;
    }
    let least = (runs - RUNS_FREE).div_ceil(RUNS_PER_BYTE);
    let fill = u32::try_from(least - stored.len() as u64).expect("a body has fewer than 2^32 runs");
    stored.extend_from_slice(&SKIPPED);
    stored.extend_from_slice(&fill.to_le_bytes());
    stored.resize(stored.len() + fill as usize, 0);
}

/// What records put so far amount to.
#[derive(Debug, Default, Clone, Copy)]
pub(in crate::store) struct RecordTotals {
    count: u64,
    name_bytes: u64,
    bytes: u64,
}

/// A limit that was passed: of what, what was found, and the limit.
type Passed = (&'static str, u64, u64);

impl RecordTotals {
    /// Adds a record with a name of that length.
    fn name(&mut self, len: u64) -> Result<(), Passed> {
        self.count += 1;
        self.name_bytes = self.name_bytes.saturating_add(len);
        within(&[
            ("bytes of a record's name", len, RECORD_NAME_MAX),
            ("records", self.count, RECORDS_MAX),
            ("bytes of records' names", self.name_bytes, RECORD_NAMES_MAX),
        ])?;
        self.content(len)
    }

    /// Adds bytes of a record.
    fn content(&mut self, len: u64) -> Result<(), Passed> {
        self.bytes = self.bytes.saturating_add(len);
        within(&[("bytes of records", self.bytes, RECORD_BYTES_MAX)])
    }

    /// These and a record, unless a body does not carry that.
    pub(in crate::store) fn with(mut self, record: &StateRecord) -> Result<Self, StoreError> {
        self.name(record.name.len() as u64)
            .and_then(|()| self.content(record.bytes.len() as u64))
            .map_err(|(what, found, limit)| StoreError::Limit { what, found, limit })?;
        Ok(self)
    }
}

fn within(numbers: &[Passed]) -> Result<(), Passed> {
    let passed = numbers.iter().find(|(_, found, limit)| found > limit);
    passed.map_or(Ok(()), |&passed| Err(passed))
}

/// A map and records, read back.
#[derive(Debug, Default)]
pub(in crate::store) struct Body {
    /// In ascending order of frames, not overlapping.
    pub(in crate::store) runs: Vec<PackedRun>,
    pub(in crate::store) records: Vec<StateRecord>,
}

impl Body {
    /// Takes all of a body into memory: 16 bytes for each run, and the records. `counts` become its pages, and of these zero.
    pub(super) fn hold(mut map: MapDecoder<'_>, counts: &mut (u64, u64)) -> Result<Body, Malformed> {
        let mut runs: Vec<PackedRun> = Vec::new();
        while let Some(run) = map.next_run()? {
            if runs.len() == runs.capacity() {
                // By a quarter: this is the one table of a reader that may be as long as memory has pages.
                runs.reserve_exact(runs.len() / 4 + 1024);
            }
            runs.push(run.into());
        }
        *counts = map.counts;
        let mut decoder = map.records()?;
        let mut records = Vec::new();
        while let Some((name, len)) = decoder.next_record()? {
            let bytes = decoder.bytes(len)?;
            records.push(StateRecord { name, bytes });
        }
        Ok(Body { runs, records })
    }
}

/// Frames of these runs, and of these zero.
pub(in crate::store) fn count(runs: &[PackedRun]) -> (u64, u64) {
    runs.iter()
        .map(|&run| Run::from(run))
        .fold((0, 0), |(pages, zero), run| {
            let count = u64::from(run.count);
            (
                pages + count,
                zero + if run.source == Source::Zero { count } else { 0 },
            )
        })
}

/// The runs of a body, one after the other, each checked before it is given out. What came before an error is of a body that
/// is not to be used.
pub(super) struct MapDecoder<'a> {
    source: RawBody<'a>,
    /// Runs still to come.
    left: u64,
    at: Cursor,
    last: Option<Run>,
    used: Vec<bool>,
    /// Pages so far, and of these zero.
    counts: (u64, u64),
}

impl<'a> MapDecoder<'a> {
    /// Begins with a stored body of a manifest with that many segments.
    pub(super) fn new(stored: &'a [u8], raw_len: u64, segments: u32) -> Result<Self, Malformed> {
        let mut source = RawBody::new(stored, raw_len)?;
        let left = source.number("runs")?;
        if left > source.left / RUN_BYTES_MIN {
            return Err(source.wrong(format!("runs: {left} do not fit in what is left")));
        }
        let limit = runs_max(stored.len() as u64);
        if left > limit {
            let (what, len) = ("runs: a body of", stored.len());
            return Err(source.wrong(format!(
                "{what} {len} stored bytes has at most {limit}, found {left}"
            )));
        }
        Ok(MapDecoder {
            source,
            left,
            at: Cursor::default(),
            last: None,
            used: vec![false; segments as usize],
            counts: (0, 0),
        })
    }

    /// The next run; behind the last one it is checked that every segment is used.
    pub(super) fn next_run(&mut self) -> Result<Option<Run>, Malformed> {
        let source = &mut self.source;
        if self.left == 0 {
            return match self.used.iter().position(|used| !used) {
                Some(unused) => Err(source.wrong(format!("runs: none is in segment {unused}"))),
                None => Ok(None),
            };
        }
        self.left -= 1;
        let begins = source.offset();
        let run = read_run(source, self.at)?;
        if let Source::Stored { segment, slot } = run.source {
            let known = self.used.get_mut(segment as usize);
            *known.ok_or_else(|| source.wrong(format!("run: no segment {segment}")))? = true;
            if u64::from(slot) + u64::from(run.count) > u64::from(SLOTS_MAX) {
                return Err(source.wrong("run: beyond the slots of a segment".to_owned()));
            }
        }
        if self.last.is_some_and(|mut last| last.try_extend(&run)) {
            return Err(Malformed {
                at: begins,
                what: "run: expected what goes on like the run before to be part of it".to_owned(),
            });
        }
        self.at.pass(&run);
        self.last = Some(run);
        self.counts.0 += u64::from(run.count);
        if run.source == Source::Zero {
            self.counts.1 += u64::from(run.count);
        }
        Ok(Some(run))
    }

    /// Pages of the runs so far, and of these zero.
    pub(super) fn counts(&self) -> (u64, u64) {
        self.counts
    }

    /// What comes behind the runs, which have all been read.
    pub(super) fn records(mut self) -> Result<RecordDecoder<'a>, Malformed> {
        debug_assert_eq!(self.left, 0, "the runs have been read");
        let left = self.source.number("records")?;
        Ok(RecordDecoder {
            source: self.source,
            left,
            totals: RecordTotals::default(),
        })
    }
}

/// The records of a body, one after the other.
pub(super) struct RecordDecoder<'a> {
    source: RawBody<'a>,
    /// Records still to come.
    left: u64,
    totals: RecordTotals,
}

impl RecordDecoder<'_> {
    /// Name and length of the next record, whose bytes are to be taken or skipped. Behind the last one it is checked that the
    /// body ends.
    pub(super) fn next_record(&mut self) -> Result<Option<(String, u64)>, Malformed> {
        let source = &mut self.source;
        if self.left == 0 {
            return source.end().map(|()| None);
        }
        self.left -= 1;
        let begins = source.offset();
        let passes = |(what, found, limit)| Malformed {
            at: begins,
            what: format!("{what}: expected at most {limit}, found {found}"),
        };
        let name_len = source.number("record name length")?;
        self.totals.name(name_len).map_err(passes)?;
        let name = source.bytes(name_len, "record name")?;
        let name =
            String::from_utf8(name).map_err(|_| source.wrong("record name: expected UTF-8".to_owned()))?;
        let len = source.number("record length")?;
        self.totals.content(len).map_err(passes)?;
        Ok(Some((name, len)))
    }

    /// The bytes of the record.
    pub(super) fn bytes(&mut self, len: u64) -> Result<Vec<u8>, Malformed> {
        self.source.bytes(len, "record")
    }

    /// Reads the record and keeps nothing of it.
    pub(super) fn skip(&mut self, len: u64) -> Result<(), Malformed> {
        self.source.skip(len, "record")
    }
}

fn read_run(source: &mut RawBody<'_>, at: Cursor) -> Result<Run, Malformed> {
    let (gap, shape) = (source.number("gap")?, source.number("count")?);
    let start = at.frame.saturating_add(gap);
    let count = u32::try_from((shape >> 2).saturating_add(1))
        .ok()
        .filter(|&n| n <= COUNT_MAX);
    let count = count.ok_or_else(|| source.wrong(format!("run: expected at most {COUNT_MAX} frames")))?;
    if start.saturating_add(u64::from(count)) > Pfn::MAX.0 + 1 {
        return Err(source.wrong(format!("run: frame {start:#x} and {count} more are beyond 2^52")));
    }
    let tag = PageTag(if shape & 2 == 0 { 0 } else { source.byte("tag")? });
    if shape & 1 == 0 {
        return Ok(Run {
            start,
            count,
            tag,
            source: Source::Zero,
        });
    }
    let segment = u32::try_from(source.number("segment")?).unwrap_or(u32::MAX);
    let slot = i128::from(at.expected_slot(segment)) + i128::from(unzigzag(source.number("slot")?));
    let slot = u32::try_from(slot).ok().filter(|&slot| slot < SLOTS_MAX);
    let slot = slot.ok_or_else(|| source.wrong("run: no such slot".to_owned()))?;
    Ok(Run {
        start,
        count,
        tag,
        source: Source::Stored { segment, slot },
    })
}

/// The raw form of a body, decompressed as it is read: memory goes with what is really there.
struct RawBody<'a> {
    reader: BufReader<zstd::stream::read::Decoder<'static, &'a [u8]>>,
    len: u64,
    left: u64,
}

impl<'a> RawBody<'a> {
    fn new(stored: &'a [u8], len: u64) -> Result<Self, Malformed> {
        let fail = |e: io::Error| Malformed::new(0, e.to_string());
        let mut decoder = zstd::stream::read::Decoder::with_buffer(stored).map_err(fail)?;
        decoder.window_log_max(WINDOW_LOG_MAX).map_err(fail)?;
        Ok(RawBody {
            reader: BufReader::with_capacity(CHUNK, decoder),
            len,
            left: len,
        })
    }

    /// Where in the raw form the next byte is.
    fn offset(&self) -> u64 {
        self.len - self.left
    }

    fn wrong(&self, what: String) -> Malformed {
        Malformed {
            at: self.offset(),
            what,
        }
    }

    fn byte(&mut self, what: &str) -> Result<u8, Malformed> {
        let found = self.reader.fill_buf().map(|bytes| bytes.first().copied());
        match found {
            Ok(Some(byte)) if self.left > 0 => {
                self.reader.consume(1);
                self.left -= 1;
                Ok(byte)
            }
            Ok(_) => Err(self.wrong(format!("{what}: the body ends here"))),
            Err(error) => Err(self.wrong(format!("{what}: expected zstd data: {error}"))),
        }
    }

    fn number(&mut self, what: &str) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte(what)?;
            let bits = u64::from(byte & 0x7F);
            if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
                return Err(self.wrong(format!("{what}: not the shortest form of a 64-bit number")));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.wrong(format!("{what}: a number of more than 10 bytes")))
    }

    /// The caller has checked a limit; memory is taken as bytes come, not as they are announced.
    fn bytes(&mut self, len: u64, what: &str) -> Result<Vec<u8>, Malformed> {
        if len > self.left {
            return Err(self.wrong(format!("{what}: {len} bytes, {} are left", self.left)));
        }
        let mut bytes = Vec::new();
        let read = (&mut self.reader).take(len).read_to_end(&mut bytes);
        match read {
            Ok(_) if bytes.len() as u64 == len => {
                self.left -= len;
                Ok(bytes)
            }
            Ok(_) => Err(self.wrong(format!("{what}: the body ends here"))),
            Err(error) => Err(self.wrong(format!("{what}: expected zstd data: {error}"))),
        }
    }

    fn skip(&mut self, len: u64, what: &str) -> Result<(), Malformed> {
        let mut left = len;
        while left > 0 {
            let found = self.reader.fill_buf().map(|bytes| bytes.len() as u64);
            let found = found.map_err(|e| self.wrong(format!("{what}: expected zstd data: {e}")))?;
            let some = found.min(left).min(self.left);
            if some == 0 {
                return Err(self.wrong(format!("{what}: the body ends here")));
            }
            self.reader
                .consume(usize::try_from(some).expect("no more than is buffered"));
            (left, self.left) = (left - some, self.left - some);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Malformed> {
        if self.left > 0 {
            return Err(self.wrong(format!("{} bytes are not accounted for", self.left)));
        }
        match self.reader.fill_buf() {
            Ok([]) => Ok(()),
            Ok(_) => Err(self.wrong("more bytes than the head says".to_owned())),
            Err(error) => Err(self.wrong(format!("expected the end of the zstd data: {error}"))),
        }
    }
}

/// Small differences of either sign as small numbers.
fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn codec(error: io::Error) -> StoreError {
    StoreError::Codec(error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SEGMENTS: u32 = 3;

    /// Sorted runs that use each segment at least once, or none.
    fn any_runs() -> impl Strategy<Value = Vec<Run>> {
        let run = (
            0..1u64 << 40,
            1..=COUNT_MAX / 2,
            any::<u8>(),
            prop::option::of((0..SEGMENTS, 0..SLOTS_MAX / 2)),
        );
        (prop::collection::vec(run, 0..20)).prop_map(|shapes| {
            let (mut at, mut runs) = (0, Vec::new());
            let all = (0..SEGMENTS).map(|s| (0, 1, 0, Some((s, 9)))).chain(shapes);
            for (gap, count, tag, stored) in all {
                let source = stored.map_or(Source::Zero, |(segment, slot)| Source::Stored { segment, slot });
                let run = Run {
                    start: at + gap,
                    count,
                    tag: PageTag(tag),
                    source,
                };
                if !runs
                    .last_mut()
                    .is_some_and(|last: &mut Run| last.try_extend(&run))
                {
                    runs.push(run);
                }
                at += gap + u64::from(count);
            }
            runs
        })
    }

    fn any_records() -> impl Strategy<Value = Vec<StateRecord>> {
        let record = (".{0,12}", prop::collection::vec(any::<u8>(), 0..40));
        prop::collection::vec(record.prop_map(|(name, bytes)| StateRecord { name, bytes }), 0..5)
    }

    fn decode(stored: &[u8], raw_len: u64, segments: u32) -> Result<Body, Malformed> {
        MapDecoder::new(stored, raw_len, segments).and_then(|map| Body::hold(map, &mut (0, 0)))
    }

    fn encode(runs: &[Run], records: &[StateRecord]) -> (Vec<u8>, u64) {
        let mut writer = BodyWriter::new(1, runs.len() as u64).unwrap();
        for run in runs {
            writer.run(run).unwrap();
        }
        writer.records(records).unwrap();
        writer.finish().unwrap()
    }

    proptest! {
        #[test]
        fn comes_back(runs in any_runs(), records in any_records()) {
            let (stored, raw_len) = encode(&runs, &records);
            let body = decode(&stored, raw_len, SEGMENTS).unwrap();
            prop_assert_eq!(body.runs.iter().map(|&r| Run::from(r)).collect::<Vec<_>>(), runs);
            prop_assert_eq!(body.records, records);
            prop_assert!(decode(&stored, raw_len + 1, SEGMENTS).is_err());
            prop_assert!(decode(&stored, raw_len - 1, SEGMENTS).is_err());
            prop_assert!(decode(&stored, raw_len, SEGMENTS + 1).is_err());
        }

        /// The raw form with changed bytes: an error or another map, never a panic or a great allocation.
        #[test]
        fn decoding_never_panics(
            runs in any_runs(),
            records in any_records(),
            edits in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..5),
        ) {
            let (stored, _) = encode(&runs, &records);
            let mut raw = zstd::stream::decode_all(&stored[..]).unwrap();
            for (at, value) in edits {
                let at = at.index(raw.len());
                raw[at] = value;
            }
            let stored = zstd::stream::encode_all(&raw[..], 1).unwrap();
            let _ = decode(&stored, raw.len() as u64, SEGMENTS);
        }

        /// A run may be cut in two only where a writer would not have joined it.
        #[test]
        fn what_a_writer_joins_is_damage_in_pieces(runs in any_runs(), at in any::<prop::sample::Index>()) {
            let at = at.index(runs.len());
            let run = runs[at];
            prop_assume!(run.count > 1);
            let mut cut = runs.clone();
            cut.splice(at..=at, [run.slice(run.start, run.start + 1), run.slice(run.start + 1, run.end())]);
            let (stored, raw_len) = encode(&cut, &[]);
            let wrong = decode(&stored, raw_len, SEGMENTS).unwrap_err();
            prop_assert!(wrong.at > 0 && wrong.what.contains("part of it"), "{:?}", wrong);
        }

        #[test]
        fn bytes_at_random_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..100), raw_len in any::<u64>()) {
            prop_assert!(decode(&bytes, raw_len, SEGMENTS).is_err());
        }
    }
    #[test]
    fn readers_pass_over_padding() {
        let run = |start| Run {
            start,
            count: 1,
            tag: PageTag(0),
            source: Source::Zero,
        };
        let runs = [run(1), run(3)];
        let (mut stored, raw_len) = encode(&runs, &[]);
        let len = stored.len() as u64;
        pad(&mut stored, runs_max(len));
        assert_eq!(stored.len() as u64, len, "it is long enough");
        pad(&mut stored, runs_max(len) + 1000 * RUNS_PER_BYTE);
        assert!(runs_max(stored.len() as u64) >= runs_max(len) + 1000 * RUNS_PER_BYTE);
        let body = decode(&stored, raw_len, 0).unwrap();
        assert_eq!(body.runs.iter().map(|&r| Run::from(r)).collect::<Vec<_>>(), runs);
    }
}

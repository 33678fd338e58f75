//! The page map and the records, compressed.

use std::io::{self, BufRead, BufReader, Read, Write};

use crate::guest::{PageTag, StateRecord};
use crate::store::StoreError;
use crate::store::page_map::{COUNT_MAX, PackedRun, Run, SLOTS_MAX, Source};
use crate::store::wire::Malformed;
use crate::units::Pfn;

const RECORD_NAME_MAX: u64 = 4096;
const RECORD_BYTES_MAX: u64 = 256 << 20;
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
        Ok((self.encoder.finish().map_err(codec)?, self.raw_len))
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

/// Refuses records that a body does not carry.
pub(in crate::store) fn check_record(record: &StateRecord, bytes_before: u64) -> Result<u64, StoreError> {
    let name = record.name.len() as u64;
    if name > RECORD_NAME_MAX {
        return Err(StoreError::Limit {
            what: "bytes of a record's name",
            found: name,
            limit: RECORD_NAME_MAX,
        });
    }
    let found = bytes_before + name + record.bytes.len() as u64;
    if found > RECORD_BYTES_MAX {
        Err(StoreError::Limit {
            what: "bytes of records",
            found,
            limit: RECORD_BYTES_MAX,
        })
    } else {
        Ok(found)
    }
}

/// A map and records, read back.
#[derive(Debug, Default)]
pub(in crate::store) struct Body {
    /// In ascending order of frames, not overlapping.
    pub(in crate::store) runs: Vec<PackedRun>,
    pub(in crate::store) records: Vec<StateRecord>,
}

impl Body {
    /// Understands a stored body of a manifest with that many segments.
    pub(super) fn decode(stored: &[u8], raw_len: u64, segments: u32) -> Result<Body, Malformed> {
        let mut source = RawBody::new(stored, raw_len)?;
        let runs = read_runs(&mut source, segments)?;
        let records = read_records(&mut source)?;
        source.end()?;
        Ok(Body { runs, records })
    }

    /// Pages, and of these zero.
    pub(in crate::store) fn count(&self) -> (u64, u64) {
        count(&self.runs)
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

fn read_runs(source: &mut RawBody<'_>, segments: u32) -> Result<Vec<PackedRun>, Malformed> {
    let count = source.number("runs")?;
    if count > source.left / RUN_BYTES_MIN {
        return Err(source.wrong(format!("runs: {count} do not fit in what is left")));
    }
    let mut runs = Vec::new();
    let (mut at, mut used) = (Cursor::default(), vec![false; segments as usize]);
    for _ in 0..count {
        let run = read_run(source, at)?;
        if let Source::Stored { segment, slot } = run.source {
            let known = used.get_mut(segment as usize);
            *known.ok_or_else(|| source.wrong(format!("run: no segment {segment}")))? = true;
            if u64::from(slot) + u64::from(run.count) > u64::from(SLOTS_MAX) {
                return Err(source.wrong("run: beyond the slots of a segment".to_owned()));
            }
        }
        at.pass(&run);
        if runs.len() == runs.capacity() {
            // By a quarter: this is the one table of a reader that may be as long as memory has pages.
            runs.reserve_exact(runs.len() / 4 + 1024);
        }
        runs.push(run.into());
    }
    match used.iter().position(|used| !used) {
        Some(unused) => Err(source.wrong(format!("runs: none is in segment {unused}"))),
        None => Ok(runs),
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

fn read_records(source: &mut RawBody<'_>) -> Result<Vec<StateRecord>, Malformed> {
    let count = source.number("records")?;
    let (mut records, mut total) = (Vec::new(), 0);
    for _ in 0..count {
        let name_len = source.number("record name length")?;
        if name_len > RECORD_NAME_MAX {
            return Err(source.wrong(format!("record: a name of {name_len} bytes")));
        }
        let name = source.bytes(name_len, "record name")?;
        let name =
            String::from_utf8(name).map_err(|_| source.wrong("record name: expected UTF-8".to_owned()))?;
        let len = source.number("record length")?;
        total = name_len.saturating_add(len).saturating_add(total);
        if total > RECORD_BYTES_MAX {
            return Err(source.wrong(format!("records: more than {RECORD_BYTES_MAX} bytes")));
        }
        records.push(StateRecord {
            name,
            bytes: source.bytes(len, "record")?,
        });
    }
    Ok(records)
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

    fn wrong(&self, what: String) -> Malformed {
        Malformed {
            at: self.len - self.left,
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

    fn end(mut self) -> Result<(), Malformed> {
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
                runs.push(Run {
                    start: at + gap,
                    count,
                    tag: PageTag(tag),
                    source,
                });
                at += gap + u64::from(count);
            }
            runs
        })
    }

    fn any_records() -> impl Strategy<Value = Vec<StateRecord>> {
        let record = (".{0,12}", prop::collection::vec(any::<u8>(), 0..40));
        prop::collection::vec(record.prop_map(|(name, bytes)| StateRecord { name, bytes }), 0..5)
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
            let body = Body::decode(&stored, raw_len, SEGMENTS).unwrap();
            prop_assert_eq!(body.runs.iter().map(|&r| Run::from(r)).collect::<Vec<_>>(), runs);
            prop_assert_eq!(body.records, records);
            prop_assert!(Body::decode(&stored, raw_len + 1, SEGMENTS).is_err());
            prop_assert!(Body::decode(&stored, raw_len - 1, SEGMENTS).is_err());
            prop_assert!(Body::decode(&stored, raw_len, SEGMENTS + 1).is_err());
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
            let _ = Body::decode(&stored, raw.len() as u64, SEGMENTS);
        }

        #[test]
        fn bytes_at_random_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..100), raw_len in any::<u64>()) {
            prop_assert!(Body::decode(&bytes, raw_len, SEGMENTS).is_err());
        }
    }
}

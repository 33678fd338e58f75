//! HDR interval logs: a histogram a cell, tagged `point.level`.

use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

use super::cells::Level;
use crate::plot::PlotError;

/// More than any histogram of 64-bit values at three digits takes.
const INFLATED_MAX_BYTES: u64 = 4 << 20;

/// The values of one cell, in nanoseconds.
#[derive(Debug)]
pub(crate) struct CellLatency {
    pub(crate) point: u64,
    pub(crate) level: Level,
    pub(crate) histogram: Histogram<u64>,
    /// Line of the log, from 1.
    pub(crate) line: u64,
}

/// Reads a log line by line. Comments, the legend, and cells without a value are skipped.
pub(crate) fn read_log(path: &Path, text: &[u8]) -> Result<Vec<CellLatency>, PlotError> {
    let mut cells = Vec::new();
    for (number, line) in (1..).zip(text.split_inclusive(|byte| *byte == b'\n')) {
        let wrong = |what: &str| PlotError::line(path, number, what);
        if line.starts_with(b"#") || line.starts_with(b"\"StartTimestamp\"") || line == b"\n" {
            continue;
        }
        let mut entries = IntervalLogIterator::new(line);
        let Some(Ok(LogEntry::Interval(interval))) = entries.next() else {
            return Err(wrong("expected an interval of an HdrHistogram log, version 1.3"));
        };
        let (point, level) = interval
            .tag()
            .and_then(|tag| read_tag(tag.as_str()))
            .ok_or_else(|| wrong("expected a tag `point.level`, as in `Tag=7.sim`"))?;
        let bytes = STANDARD
            .decode(interval.encoded_histogram())
            .map_err(|_| wrong("the histogram is not Base64"))?;
        let histogram = decode(&bytes)
            .ok_or_else(|| wrong("the histogram is not a compressed V2 histogram of HdrHistogram"))?;
        cells.push(CellLatency {
            point,
            level,
            histogram,
            line: number,
        });
    }
    Ok(cells)
}

/// The crate's own reader of compressed histograms reserves what the inner header asks for, up to 4 GiB: here it is inflated
/// first, within bounds, and its length held against what is there.
fn decode(bytes: &[u8]) -> Option<Histogram<u64>> {
    const COMPRESSED_COOKIE: [u8; 4] = 0x1c84_9314u32.to_be_bytes();
    const HEADER_BYTES: usize = 40;
    let body = bytes.strip_prefix(&COMPRESSED_COOKIE)?.get(4..)?;
    let mut inner = Vec::new();
    ZlibDecoder::new(body)
        .take(INFLATED_MAX_BYTES)
        .read_to_end(&mut inner)
        .ok()?;
    let payload_bytes = u32::from_be_bytes(inner.get(4..8)?.try_into().ok()?);
    if usize::try_from(payload_bytes).ok()? > inner.len().checked_sub(HEADER_BYTES)? {
        return None;
    }
    Deserializer::new().deserialize(&mut &inner[..]).ok()
}

fn read_tag(tag: &str) -> Option<(u64, Level)> {
    let (point, level) = tag.split_once('.')?;
    let level = match level {
        "model" => Level::Model,
        "sim" => Level::Sim,
        "cluster" => Level::Cluster,
        _ => return None,
    };
    Some((point.parse().ok()?, level))
}

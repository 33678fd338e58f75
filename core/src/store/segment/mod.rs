//! Files of page content.

mod footer;
mod reader;
mod rewrite;
mod writer;

pub(super) use footer::{Footer, taken_bytes};
pub(super) use reader::SegmentReader;
pub(super) use rewrite::SegmentRewriter;
pub(super) use writer::{SealedSegment, SegmentWriter};

/// First bytes of a segment.
const MAGIC: [u8; 8] = *b"RVSEGMT\n";
/// Bytes before the first frame.
const HEADER: usize = 16;

fn header() -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&super::header::VERSION.to_le_bytes());
    bytes
}

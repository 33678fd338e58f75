//! The computation on the way out: frames to checked pages.

use super::frame::{Codec, FrameEntry};
use super::id::Digest;
use super::pool::Job;
use super::segment::SegmentReader;
use super::{FindingKind, StoreError};

/// Frames of one segment as they are stored, and room for their pages.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// Where in the file `stored` starts.
    offset: u64,
    stored: Vec<u8>,
    digests: Vec<Digest>,
    /// The frames, ascending.
    pub(super) frames: Vec<FrameEntry>,
    /// Their pages, one after the other.
    pub(super) pages: Vec<u8>,
    /// Frames that are damaged; their pages are not to be used.
    pub(super) wrong: Vec<WrongFrame>,
}

/// A damaged frame.
#[derive(Debug, Clone)]
pub(super) struct WrongFrame {
    pub(super) entry: FrameEntry,
    /// Where in the file.
    pub(super) offset: u64,
    pub(super) what: String,
    pub(super) kind: FindingKind,
}

impl Chunk {
    /// Reads frames of a segment, ascending, in one go; they should be near each other.
    pub(super) fn read(&mut self, segment: &SegmentReader, frames: &[FrameEntry]) -> Result<(), StoreError> {
        let (Some(first), Some(last)) = (frames.first(), frames.last()) else {
            return Ok(());
        };
        self.offset = first.offset;
        let len = last.offset + u64::from(last.len_bytes) - first.offset;
        self.stored.resize(usize::try_from(len).expect("a few frames"), 0);
        segment.file.read_at(first.offset, &mut self.stored)?;
        self.frames.clear();
        self.frames.extend_from_slice(frames);
        self.digests.clear();
        for frame in frames {
            self.digests.extend_from_slice(segment.footer.digests_of(frame));
        }
        self.wrong.clear();
        Ok(())
    }

    /// The finding for the first damaged frame, in the file of `path`.
    pub(super) fn check(&self, path: &str) -> Result<(), StoreError> {
        self.wrong
            .first()
            .map_or(Ok(()), |wrong| Err(wrong.finding(path).into()))
    }
}

impl WrongFrame {
    pub(super) fn finding(&self, path: &str) -> super::Finding {
        super::Finding {
            kind: self.kind,
            ..super::Finding::new(path, self.offset, &self.what)
        }
    }
}

impl Job for Chunk {
    type Output = Chunk;
    type Tools = Codec;

    fn run(mut self, codec: &mut Codec) -> Chunk {
        let bytes = self.frames.iter().map(FrameEntry::page_bytes).sum();
        self.pages.resize(bytes, 0);
        let (mut pages, mut digests) = (&mut self.pages[..], &self.digests[..]);
        for entry in &self.frames {
            let at = usize::try_from(entry.offset - self.offset).expect("within the chunk");
            let stored = &self.stored[at..at + entry.len_bytes as usize];
            let (expected, digests_rest) = digests.split_at(usize::from(entry.pages));
            let (out, pages_rest) = pages.split_at_mut(entry.page_bytes());
            if let Err(wrong) = codec.decode(stored, entry, expected, out) {
                let offset = entry.offset + wrong.at;
                self.wrong.push(WrongFrame {
                    entry: *entry,
                    offset,
                    what: wrong.what,
                    kind: FindingKind::Damaged,
                });
            }
            (digests, pages) = (digests_rest, pages_rest);
        }
        self
    }
}

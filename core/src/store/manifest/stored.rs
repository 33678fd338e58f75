//! A body as it is stored, and what can be had of it without holding all that it unfolds to.

use super::body::{Body, MapDecoder};
use super::{Manifest, about};
use crate::store::page_map::Run;
use crate::store::wire::Malformed;
use crate::store::{CheckpointId, Finding, StoreError};

/// The bytes of a body, held against their digest. A few of them may unfold to long maps: [`runs`](Self::runs) gives a map
/// piece by piece, only [`hold`](Self::hold) as a table.
#[derive(Debug)]
pub(in crate::store) struct StoredBody {
    id: CheckpointId,
    path: String,
    /// Where in the file it starts.
    at: u64,
    bytes: Vec<u8>,
    raw_len: u64,
    segments: u32,
    /// Pages, and of these zero, as the head says.
    counts: (u64, u64),
}

/// Records of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSummary {
    /// Their name.
    pub name: String,
    /// How many there are.
    pub count: u64,
    /// Their bytes together.
    pub bytes: u64,
}

impl StoredBody {
    pub(super) fn read(manifest: &Manifest) -> Result<Self, StoreError> {
        let (head, file, at) = (&manifest.head, &manifest.file, manifest.body_at);
        let bytes = file.read_vec(at, head.body_len, "manifest body")?;
        if *blake3::hash(&bytes).as_bytes() != head.body_digest {
            return Err(file.finding(at, "manifest body: checksum mismatch").into());
        }
        Ok(StoredBody {
            id: head.info.id,
            path: file.path().to_owned(),
            at,
            bytes,
            raw_len: head.body_raw_len,
            segments: u32::try_from(head.segments.len()).expect("at most 2^18"),
            counts: (head.info.pages, head.info.zero_pages),
        })
    }

    /// The map run by run, in ascending order of frames. It ends with an error if anything in the body is wrong, be it behind
    /// the map; then none of the runs may be relied on.
    pub(in crate::store) fn runs(&self) -> Runs<'_> {
        Runs {
            body: self,
            state: State::Before,
        }
    }

    /// Map and records as tables: 16 bytes for each run.
    pub(in crate::store) fn hold(&self) -> Result<Body, StoreError> {
        let mut counts = (0, 0);
        let held = self.decoder().and_then(|map| Body::hold(map, &mut counts));
        let body = held.map_err(|wrong| self.malformed(wrong))?;
        self.check_counts(counts)?;
        Ok(body)
    }

    /// The records by name, in order of names; their bytes are read and not kept.
    pub(in crate::store) fn records(&self) -> Result<Vec<RecordSummary>, StoreError> {
        let mut by_name: std::collections::BTreeMap<String, (u64, u64)> = std::collections::BTreeMap::new();
        self.each_record(|name, len| {
            let entry = by_name.entry(name).or_default();
            *entry = (entry.0 + 1, entry.1 + len);
        })?;
        let summary = |(name, (count, bytes))| RecordSummary { name, count, bytes };
        Ok(by_name.into_iter().map(summary).collect())
    }

    fn each_record(&self, mut each: impl FnMut(String, u64)) -> Result<(), StoreError> {
        let mut read = || {
            let mut map = self.decoder()?;
            while map.next_run()?.is_some() {}
            let mut records = map.records()?;
            while let Some((name, len)) = records.next_record()? {
                records.skip(len)?;
                each(name, len);
            }
            Ok(())
        };
        read().map_err(|wrong| self.malformed(wrong))
    }

    fn decoder(&self) -> Result<MapDecoder<'_>, Malformed> {
        MapDecoder::new(&self.bytes, self.raw_len, self.segments)
    }

    #[expect(clippy::needless_pass_by_value, reason = "for map_err")]
    fn malformed(&self, wrong: Malformed) -> StoreError {
        self.finding(format!(
            "manifest body, byte {} of the raw form: {}",
            wrong.at, wrong.what
        ))
    }

    fn check_counts(&self, counts: (u64, u64)) -> Result<(), StoreError> {
        if counts == self.counts {
            return Ok(());
        }
        let (pages, zero) = counts;
        Err(self.finding(format!(
            "manifest body: has {pages} pages, {zero} of them zero, which is not what the head says"
        )))
    }

    fn finding(&self, what: String) -> StoreError {
        about(Finding::new(&self.path, self.at, what).into(), self.id)
    }
}

/// The runs of a map.
pub(in crate::store) struct Runs<'b> {
    body: &'b StoredBody,
    state: State<'b>,
}

enum State<'b> {
    Before,
    Within(Box<MapDecoder<'b>>),
    Done,
}

impl Runs<'_> {
    /// Goes one run on; behind the last one all else of the body is checked.
    fn step(&mut self) -> Result<Option<Run>, StoreError> {
        let malformed = |wrong| self.body.malformed(wrong);
        let mut map = match std::mem::replace(&mut self.state, State::Done) {
            State::Before => Box::new(self.body.decoder().map_err(malformed)?),
            State::Within(map) => map,
            State::Done => return Ok(None),
        };
        if let Some(run) = map.next_run().map_err(malformed)? {
            self.state = State::Within(map);
            return Ok(Some(run));
        }
        let counts = map.counts();
        let mut records = map.records().map_err(malformed)?;
        while let Some((_, len)) = records.next_record().map_err(malformed)? {
            records.skip(len).map_err(malformed)?;
        }
        self.body.check_counts(counts)?;
        Ok(None)
    }
}

impl Iterator for Runs<'_> {
    type Item = Result<Run, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

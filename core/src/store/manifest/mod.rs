//! The file that makes pages and records a checkpoint.

mod body;
mod head;
mod stored;

use std::rc::Rc;

pub(super) use body::{Body, BodyWriter, RecordTotals, count};
pub(super) use head::{Head, check_facts, check_name};
pub use stored::RecordSummary;
pub(super) use stored::StoredBody;

use super::files::{StoreFile, checkpoint_path};
use super::header::VERSION;
use super::wire::Put;
use super::{CheckpointId, StoreError};
use crate::medium::Medium;

const MAGIC: [u8; 8] = *b"RVCHKPT\n";
const PREFIX: usize = 16;
/// Longest head: two names, facts and segment names at their limits.
const HEAD_BYTES_MAX: u32 = 8 << 20;
/// Longest body as it is stored, and as it is read.
const BODY_STORED_MAX: u64 = 1 << 30;
const BODY_RAW_MAX: u64 = 4 << 30;

/// A manifest as bytes: what comes before the body, the body, and the id that follows from the former.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) id: CheckpointId,
    pub(super) head: Vec<u8>,
    pub(super) body: Vec<u8>,
}

/// Completes a manifest: `own_bytes` are those of the checkpoint's segments.
pub(super) fn encode(
    mut head: Head,
    body: BodyWriter,
    own_bytes: u64,
) -> Result<(Encoded, Head), StoreError> {
    let (body, raw_len) = body.finish()?;
    for (what, found, limit) in [
        ("bytes of manifest body", body.len() as u64, BODY_STORED_MAX),
        ("bytes of uncompressed manifest body", raw_len, BODY_RAW_MAX),
    ] {
        if found > limit {
            return Err(StoreError::Limit { what, found, limit });
        }
    }
    head.body_len = body.len() as u64;
    head.body_raw_len = raw_len;
    head.body_digest = *blake3::hash(&body).as_bytes();
    // Fixed-width numbers: the length does not depend on what is stored.
    head.info.stored_bytes = own_bytes + (PREFIX + head.encode().len()) as u64 + body.len() as u64;
    let fields = head.encode();
    let len = u32::try_from(fields.len())
        .ok()
        .filter(|&len| len <= HEAD_BYTES_MAX);
    let found = fields.len() as u64;
    let limit = u64::from(HEAD_BYTES_MAX);
    let len = len.ok_or(StoreError::Limit {
        what: "bytes of manifest head",
        found,
        limit,
    })?;
    let mut bytes = Vec::with_capacity(PREFIX + fields.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.put_u32(VERSION);
    bytes.put_u32(len);
    bytes.extend_from_slice(&fields);
    Ok((
        Encoded {
            id: CheckpointId(*blake3::hash(&bytes).as_bytes()),
            head: bytes,
            body,
        },
        head,
    ))
}

/// A manifest open for reading, its head checked.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) head: Head,
    file: StoreFile,
    body_at: u64,
}

impl Manifest {
    pub(super) fn open(medium: &Rc<dyn Medium>, id: CheckpointId) -> Result<Self, StoreError> {
        Self::open_file(medium, id).map_err(|error| about(error, id))
    }

    fn open_file(medium: &Rc<dyn Medium>, id: CheckpointId) -> Result<Self, StoreError> {
        let path = checkpoint_path(id);
        let Some(file) = StoreFile::open_if_there(medium, path)? else {
            return Err(StoreError::NoSuchCheckpoint(id.to_hex()));
        };
        let mut bytes = file.read_vec(0, PREFIX as u64, "manifest")?;
        if bytes[..8] != MAGIC {
            return Err(file.finding(0, "expected the magic of a manifest").into());
        }
        let field = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().expect("16 bytes were read"));
        let (version, len) = (field(8), field(12));
        if version != VERSION {
            let what = format!("format version {version}, this program reads version {VERSION}");
            return Err(file.finding(8, what).into());
        }
        if len > HEAD_BYTES_MAX {
            return Err(file
                .finding(12, format!("head of {len} bytes, the limit is {HEAD_BYTES_MAX}"))
                .into());
        }
        bytes.extend_from_slice(&file.read_vec(PREFIX as u64, u64::from(len), "manifest head")?);
        if *blake3::hash(&bytes).as_bytes() != id.0 {
            return Err(file
                .finding(0, "manifest head: its digest is not the file's name")
                .into());
        }
        let head =
            Head::decode(&bytes[PREFIX..], id).map_err(|e| file.finding(PREFIX as u64 + e.at, e.what))?;
        let body_at = bytes.len() as u64;
        if body_at.checked_add(head.body_len) != Some(file.len_bytes()) {
            let what = format!(
                "expected {} bytes of body, the file has {}",
                head.body_len,
                file.len_bytes() - body_at
            );
            return Err(file.finding(body_at, what).into());
        }
        Ok(Manifest { head, file, body_at })
    }

    /// Length of the whole file.
    pub(super) fn len_bytes(&self) -> u64 {
        self.file.len_bytes()
    }

    /// The whole file as it is.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, StoreError> {
        self.file.read_vec(0, self.file.len_bytes(), "manifest")
    }

    /// Reads the body, which is held against its digest and not unfolded yet.
    pub(super) fn body(&self) -> Result<StoredBody, StoreError> {
        StoredBody::read(self).map_err(|error| about(error, self.head.info.id))
    }
}

/// Says which checkpoint a finding is about.
pub(super) fn about(error: StoreError, id: CheckpointId) -> StoreError {
    match error {
        StoreError::Damaged(finding) => finding.of(id).into(),
        other => other,
    }
}

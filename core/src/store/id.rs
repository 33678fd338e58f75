//! Names that are digests.

use std::fmt;
use std::str::FromStr;

use crate::units::Page;

/// Names a checkpoint: the BLAKE3 digest of its manifest's head, which covers all it holds. Displayed as its first
/// 12 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointId(pub [u8; 32]);

/// Names a segment: the digest of its pages' digests.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SegmentName(pub(super) [u8; 16]);

/// Identity of a page's content, or a checksum: the first 16 bytes of BLAKE3.
pub(super) type Digest = [u8; 16];

/// The text is not a checkpoint id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a checkpoint id: expected 64 lower-case hex digits")]
pub struct ParseIdError;

impl CheckpointId {
    /// All 64 hex digits.
    pub fn to_hex(&self) -> String {
        hex(&self.0)
    }
}

impl fmt::Display for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex(&self.0[..6]))
    }
}

impl fmt::Debug for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckpointId({self})")
    }
}

impl FromStr for CheckpointId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        unhex(text).map(CheckpointId).ok_or(ParseIdError)
    }
}

impl SegmentName {
    /// The name of a segment with these page digests.
    pub(super) fn of(digests: &[Digest]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("revenant checkpoint store v1 segment name");
        hasher.update(digests.as_flattened());
        SegmentName(cut(hasher.finalize()))
    }

    /// The inverse of `Display`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        unhex(text).map(SegmentName)
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SegmentName({self})")
    }
}

/// Digest of any bytes.
pub(super) fn digest(bytes: &[u8]) -> Digest {
    cut(blake3::hash(bytes))
}

/// Digest of a page.
pub(super) fn page_digest(page: &Page) -> Digest {
    cut(blake3::hash(page))
}

fn cut(hash: blake3::Hash) -> Digest {
    *hash
        .as_bytes()
        .first_chunk()
        .expect("a BLAKE3 digest has 32 bytes")
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    bytes
        .iter()
        .flat_map(|&b| [digit(b >> 4), digit(b & 15)])
        .collect()
}

/// Lower-case hex digits only, so that a file has one name.
pub(super) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    if pairs.len() != N {
        return None;
    }
    for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_its_hex_digits_and_nothing_else() {
        let id = CheckpointId(std::array::from_fn(|i| u8::try_from(i * 8).unwrap()));
        assert_eq!(id.to_hex().parse(), Ok(id));
        assert_eq!(id.to_string(), "000810182028");
        for bad in [
            "",
            "00",
            &id.to_hex()[1..],
            &format!("{}0", id.to_hex()),
            &id.to_hex().to_uppercase(),
        ] {
            assert_eq!(bad.parse::<CheckpointId>(), Err(ParseIdError), "{bad}");
        }
    }
}

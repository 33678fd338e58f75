//! Where a catalogue log stands, in a line that can be kept elsewhere.

use std::fmt;
use std::str::FromStr;

use super::entry::{ENTRY_BYTES, Entry};
use crate::store::id::{hex, unhex};

/// What stands for everything that a store's catalogue log has said so far: how many entries, and a digest over all of
/// them. Whoever keeps one elsewhere can tell later that a store still has this history, and was not rolled back or replaced.
/// Displayed as `1234:` and 64 hex digits, which is what is parsed too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogueRoot {
    /// Entries up to here.
    pub entries: u64,
    /// Digest of the root before and the last entry; zeroes before the first entry.
    pub hash: [u8; 32],
}

/// The text is not a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the root of a catalogue: expected a number, a colon and 64 lower-case hex digits")]
pub struct ParseRootError;

impl CatalogueRoot {
    /// The root before the first entry of a log that begins with entry number `entries`.
    pub(super) fn origin(entries: u64) -> Self {
        CatalogueRoot {
            entries,
            hash: [0; 32],
        }
    }

    /// The root after one more entry.
    pub(super) fn after(self, entry: &Entry) -> Self {
        let mut chained = [0; 32 + ENTRY_BYTES];
        chained[..32].copy_from_slice(&self.hash);
        chained[32..].copy_from_slice(&entry.encode());
        CatalogueRoot {
            entries: self.entries.saturating_add(1),
            hash: blake3::derive_key("revenant checkpoint store v1 catalogue", &chained),
        }
    }
}

impl fmt::Display for CatalogueRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.entries, hex(&self.hash))
    }
}

impl FromStr for CatalogueRoot {
    type Err = ParseRootError;

    fn from_str(text: &str) -> Result<Self, ParseRootError> {
        let (entries, hash) = text.split_once(':').ok_or(ParseRootError)?;
        let digits = !entries.is_empty() && entries.bytes().all(|c| c.is_ascii_digit());
        Ok(CatalogueRoot {
            entries: entries.parse().ok().filter(|_| digits).ok_or(ParseRootError)?,
            hash: unhex(hash).ok_or(ParseRootError)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::CheckpointId;
    use crate::store::catalogue_log::entry::Kind;
    use crate::units::Timestamp;

    #[test]
    fn a_root_is_its_text_and_depends_on_every_entry_before() {
        let entry = |number: u8| Entry {
            kind: Kind::Committed,
            at: Timestamp(7),
            id: CheckpointId([number; 32]),
        };
        let root = CatalogueRoot::origin(0).after(&entry(1)).after(&entry(2));
        assert_eq!(root.entries, 2);
        assert_eq!(root.to_string().parse(), Ok(root));
        assert_ne!(root, CatalogueRoot::origin(0).after(&entry(2)).after(&entry(1)));
        let text = root.to_string();
        for bad in [
            "",
            ":",
            "2",
            &text[2..],
            &text[1..],
            &text.to_uppercase(),
            &format!("+{text}"),
            &format!("{text}0"),
            &text[..text.len() - 1],
        ] {
            assert_eq!(bad.parse::<CatalogueRoot>(), Err(ParseRootError), "{bad}");
        }
    }
}

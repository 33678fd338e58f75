//! A file of the log: `docs/checkpoint-format.md` §3.6.

use super::entry::{Alive, ENTRY_BYTES, Entry};
use super::root::CatalogueRoot;
use crate::store::CheckpointId;
use crate::store::id::digest;
use crate::store::wire::{Fields, Malformed, Put};

const MAGIC: [u8; 8] = *b"RVCATLG\n";
pub(super) const VERSION: u32 = 1;

/// Entries of a file: it is written as a whole each time one is added.
pub(super) const ENTRIES_MAX: usize = 1024;

/// Checkpoints that a file can begin with.
const ALIVE_MAX: u64 = 1 << 20;

/// Length of a file at most; none longer is read.
pub(super) const FILE_BYTES_MAX: u64 = 128 + 40 * ALIVE_MAX + (ENTRIES_MAX * ENTRY_BYTES) as u64;

/// The digest at the end.
const DIGEST_BYTES: usize = 16;

/// A file's content. Nothing but the last file is needed to go on: it begins with what the files before it come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogFile {
    /// The root before its first entry, which gives that entry's number.
    pub(super) before: CatalogueRoot,
    /// What should be there before its first entry.
    pub(super) alive_before: Alive,
    pub(super) entries: Vec<Entry>,
    /// The root after its last entry.
    pub(super) root: CatalogueRoot,
    /// What should be there after its last entry.
    pub(super) alive: Alive,
}

/// Why a file cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wrong {
    Malformed(Malformed),
    /// It is whole and of a version or with flags that are not known here.
    Unknown(u32),
}

impl LogFile {
    pub(super) fn new(before: CatalogueRoot, alive_before: Alive) -> Self {
        LogFile {
            before,
            alive: alive_before.clone(),
            alive_before,
            entries: Vec::new(),
            root: before,
        }
    }

    /// An empty file to go on with behind this one.
    pub(super) fn next(&self) -> Self {
        LogFile::new(self.root, self.alive.clone())
    }

    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= ENTRIES_MAX
    }

    /// Adds an entry that says something new.
    pub(super) fn push(&mut self, entry: Entry) {
        entry.apply(self.root.entries, &mut self.alive);
        self.root = self.root.after(&entry);
        self.entries.push(entry);
    }

    /// The root after so many entries, if that is here.
    pub(super) fn root_after(&self, entries: u64) -> Option<CatalogueRoot> {
        let own = usize::try_from(entries.checked_sub(self.before.entries)?).ok()?;
        let chained = self.entries.get(..own)?.iter();
        Some(chained.fold(self.before, CatalogueRoot::after))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.put_u32(VERSION);
        bytes.put_u32(0);
        bytes.put_u64(self.before.entries);
        bytes.extend_from_slice(&self.before.hash);
        bytes.put_u32(u32::try_from(self.alive_before.len()).unwrap_or(u32::MAX));
        bytes.put_u32(u32::try_from(self.entries.len()).unwrap_or(u32::MAX));
        for (id, number) in &self.alive_before {
            bytes.extend_from_slice(&id.0);
            bytes.put_u64(*number);
        }
        for entry in &self.entries {
            bytes.extend_from_slice(&entry.encode());
        }
        // Where proof of the writer would be.
        bytes.put_u32(0);
        bytes.extend_from_slice(&digest(&bytes));
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Wrong> {
        let end = bytes.len().saturating_sub(DIGEST_BYTES);
        let (content, found) = bytes.split_at(end);
        if found != digest(content) {
            return Err(Malformed::new(end, "catalogue log: checksum mismatch").into());
        }
        let mut fields = Fields::new(content);
        if fields.array("magic")? != MAGIC {
            return Err(Malformed::new(0, "expected the magic of a catalogue log").into());
        }
        let (version, flags) = (fields.u32("version")?, fields.u32("flags")?);
        if (version, flags) != (VERSION, 0) {
            return Err(Wrong::Unknown(version));
        }
        let before = CatalogueRoot {
            entries: fields.u64("number of the first entry")?,
            hash: fields.array("root before")?,
        };
        let alive = fields.count(ALIVE_MAX, "checkpoints that are there")?;
        let entries = fields.count(ENTRIES_MAX as u64, "entries")?;
        let mut file = LogFile::new(before, read_alive(&mut fields, alive, before.entries)?);
        for _ in 0..entries {
            file.push_checked(&mut fields)?;
        }
        let proof = fields.u32("authentication")?;
        if proof != 0 {
            return Err(Wrong::Unknown(version));
        }
        fields.end()?;
        if file.entries.is_empty() {
            return Err(Malformed::new(60, "expected at least one entry").into());
        }
        Ok(file)
    }

    /// Takes an entry that must say something new; the log begins nowhere but at the beginning.
    fn push_checked(&mut self, fields: &mut Fields<'_>) -> Result<(), Malformed> {
        let (at, number) = (fields.at(), self.root.entries);
        let wrong = |what: &str| Malformed::new(at, format!("entry {number}: {what}"));
        let entry = Entry::decode(&fields.array("entry")?).map_err(|what| wrong(&what))?;
        let at_origin = self.entries.is_empty()
            && self.alive_before.is_empty()
            && self.before == CatalogueRoot::origin(number);
        if entry.begins() && !at_origin {
            return Err(wrong("the log cannot begin here"));
        }
        if !entry.changes(&self.alive) {
            return Err(wrong("it says what the entries before say already"));
        }
        if number == u64::MAX {
            return Err(wrong("there is no such number"));
        }
        self.push(entry);
        Ok(())
    }
}

fn read_alive(fields: &mut Fields<'_>, count: usize, first: u64) -> Result<Alive, Malformed> {
    let mut alive = Alive::new();
    for _ in 0..count {
        let at = fields.at();
        let id = CheckpointId(fields.array("id")?);
        let number = fields.u64("entry of a checkpoint")?;
        if alive.last_key_value().is_some_and(|(last, _)| *last >= id) {
            return Err(Malformed::new(at, "expected ascending ids"));
        }
        if number >= first {
            return Err(Malformed::new(
                at + 32,
                "expected the number of an entry before this file",
            ));
        }
        alive.insert(id, number);
    }
    Ok(alive)
}

impl From<Malformed> for Wrong {
    fn from(malformed: Malformed) -> Self {
        Wrong::Malformed(malformed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::catalogue_log::entry::Kind;
    use crate::units::Timestamp;

    fn id() -> impl Strategy<Value = CheckpointId> {
        (0..12u8).prop_map(|number| CheckpointId([number.wrapping_mul(21); 32]))
    }

    prop_compose! {
        /// A file somewhere in a log, or the first.
        fn file()(
            events in prop::collection::vec((0..3u8, any::<u64>(), id()), 1..60),
            before in prop::collection::btree_map(id(), 0..9u64, 0..5),
            first in prop::option::of((9..1u64 << 40, any::<[u8; 32]>())),
            anew in any::<bool>(),
        ) -> LogFile {
            let mut file = if let Some((entries, hash)) = first {
                LogFile::new(CatalogueRoot { entries, hash }, before)
            } else {
                let kind = if anew { Kind::BegunAnew } else { Kind::Begun };
                let mut file = LogFile::new(CatalogueRoot::origin(0), Alive::new());
                file.push(Entry { kind, at: Timestamp(1), id: CheckpointId([0; 32]) });
                file
            };
            for (kind, at, id) in events {
                let kind = [Kind::Committed, Kind::Adopted, Kind::Dropped][usize::from(kind)];
                let entry = Entry { kind, at: Timestamp(at), id };
                if entry.changes(&file.alive) {
                    file.push(entry);
                }
            }
            if file.entries.is_empty() {
                file.push(Entry { kind: Kind::Adopted, at: Timestamp(3), id: CheckpointId([255; 32]) });
            }
            file
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(file in file()) {
            prop_assert_eq!(LogFile::decode(&file.encode()), Ok(file.clone()));
            prop_assert_eq!(file.root_after(file.root.entries), Some(file.root));
            prop_assert_eq!(file.root_after(file.before.entries), Some(file.before));
            prop_assert_eq!(file.root_after(file.root.entries + 1), None);
        }

        /// With the digest made right again, so that it is not what finds it.
        #[test]
        fn nothing_else_is_read_as_if_it_were_written(
            file in file(),
            at in any::<prop::sample::Index>(),
            flip in 1..=255u8,
        ) {
            let mut bytes = file.encode();
            let end = bytes.len() - DIGEST_BYTES;
            let at = at.index(end);
            bytes[at] ^= flip;
            prop_assert!(matches!(LogFile::decode(&bytes), Err(Wrong::Malformed(_))));
            let right = digest(&bytes[..end]);
            bytes[end..].copy_from_slice(&right);
            if let Ok(other) = LogFile::decode(&bytes) {
                prop_assert_eq!(other.encode(), bytes);
                prop_assert!(other != file);
            }
        }
    }

    #[test]
    fn other_versions_flags_and_proofs_are_told_from_damage() {
        let mut file = LogFile::new(CatalogueRoot::origin(0), Alive::new());
        let kind = Kind::Begun;
        file.push(Entry {
            kind,
            at: Timestamp(1),
            id: CheckpointId([0; 32]),
        });
        let bytes = file.encode();
        let end = bytes.len() - DIGEST_BYTES;
        for (at, version) in [(8, 0), (12, 1), (end - 4, 1)] {
            let mut other = bytes.clone();
            other[at] ^= 1;
            let right = digest(&other[..end]);
            other[end..].copy_from_slice(&right);
            assert_eq!(LogFile::decode(&other), Err(Wrong::Unknown(version)), "byte {at}");
        }
    }
}

//! One event of a store's history.

use std::collections::BTreeMap;

use crate::store::CheckpointId;
use crate::units::Timestamp;

/// Length of an encoded entry.
pub(super) const ENTRY_BYTES: usize = 48;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A checkpoint was committed by the writer of this entry.
    Committed,
    /// A checkpoint was there that the log did not have: its writer died before it could say so, or keeps no log, or it was
    /// brought back.
    Adopted,
    /// A checkpoint was given up; its manifest goes after this entry is durable.
    Dropped,
    /// The log begins, on a store that had none.
    Begun,
    /// The log begins anew, because the one before was damaged or gone.
    BegunAnew,
}

const KINDS: [(Kind, u8); 5] = [
    (Kind::Committed, 1),
    (Kind::Adopted, 2),
    (Kind::Dropped, 3),
    (Kind::Begun, 4),
    (Kind::BegunAnew, 5),
];

/// An event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    /// When, by the clock of the store that wrote it.
    pub(super) at: Timestamp,
    /// Of which checkpoint; zeroes if the log begins.
    pub(super) id: CheckpointId,
}

/// The checkpoints that should be there, and which entry says so.
pub(super) type Alive = BTreeMap<CheckpointId, u64>;

impl Entry {
    pub(super) fn encode(&self) -> [u8; ENTRY_BYTES] {
        let code = KINDS.iter().find(|(kind, _)| *kind == self.kind);
        let mut bytes = [0; ENTRY_BYTES];
        bytes[0] = code.map_or(0, |(_, code)| *code);
        bytes[8..16].copy_from_slice(&self.at.0.to_le_bytes());
        bytes[16..].copy_from_slice(&self.id.0);
        bytes
    }

    pub(super) fn decode(bytes: &[u8; ENTRY_BYTES]) -> Result<Self, String> {
        let known = KINDS.iter().find(|(_, code)| *code == bytes[0]);
        let (kind, _) = known.ok_or_else(|| format!("there is no kind {}", bytes[0]))?;
        if bytes[1..8] != [0; 7] {
            return Err("expected zeroes behind its kind".to_owned());
        }
        let entry = Entry {
            kind: *kind,
            at: Timestamp(u64::from_le_bytes(*bytes[8..].first_chunk().expect("48 bytes"))),
            id: CheckpointId(*bytes[16..].first_chunk().expect("48 bytes")),
        };
        if entry.begins() && entry.id.0 != [0; 32] {
            return Err("the log begins, expected no checkpoint".to_owned());
        }
        Ok(entry)
    }

    /// Does the log begin here?
    pub(super) fn begins(&self) -> bool {
        matches!(self.kind, Kind::Begun | Kind::BegunAnew)
    }

    /// Would it say something new?
    pub(super) fn changes(&self, alive: &Alive) -> bool {
        match self.kind {
            Kind::Committed | Kind::Adopted => !alive.contains_key(&self.id),
            Kind::Dropped => alive.contains_key(&self.id),
            Kind::Begun | Kind::BegunAnew => true,
        }
    }

    /// What should be there after this event, the `number`th.
    pub(super) fn apply(&self, number: u64, alive: &mut Alive) {
        match self.kind {
            Kind::Committed | Kind::Adopted => drop(alive.insert(self.id, number)),
            Kind::Dropped => drop(alive.remove(&self.id)),
            Kind::Begun | Kind::BegunAnew => alive.clear(),
        }
    }
}

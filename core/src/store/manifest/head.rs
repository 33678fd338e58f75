//! What a catalogue shows, and which segments are needed.

use std::collections::BTreeMap;

use super::{BODY_RAW_MAX, BODY_STORED_MAX};
use crate::guest::MachineKind;
use crate::store::page_map::SEGMENTS_MAX;
use crate::store::wire::{Fields, Malformed, Put};
use crate::store::{CheckpointId, CheckpointInfo, SegmentName, StoreError};
use crate::units::Timestamp;

const NAME_BYTES_MAX: u64 = 4096;
const FACT_BYTES_MAX: u64 = 1 << 20;

/// The head of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Head {
    pub(in crate::store) info: CheckpointInfo,
    pub(in crate::store) segments: Vec<SegmentName>,
    pub(super) body_len: u64,
    pub(super) body_raw_len: u64,
    pub(super) body_digest: [u8; 32],
}

impl Head {
    /// A head whose body, id and stored bytes are still to come.
    pub(in crate::store) fn new(info: CheckpointInfo, segments: Vec<SegmentName>) -> Self {
        Head {
            info,
            segments,
            body_len: 0,
            body_raw_len: 0,
            body_digest: [0; 32],
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let (info, mut bytes) = (&self.info, Vec::new());
        bytes.put_bytes(info.guest.as_bytes());
        bytes.put_bytes(info.machine.0.as_bytes());
        bytes.push(u8::from(info.base.is_some()));
        bytes.extend(info.base.iter().flat_map(|base| base.0));
        let counts = [info.pages, info.zero_pages, info.new_pages, info.stored_bytes];
        for number in [info.sequence, info.begun.0, info.committed.0]
            .into_iter()
            .chain(counts)
        {
            bytes.put_u64(number);
        }
        bytes.put_u32(u32::try_from(info.facts.len()).expect("facts have at most 1 MiB"));
        for (key, value) in &info.facts {
            bytes.put_bytes(key.as_bytes());
            bytes.put_bytes(value.as_bytes());
        }
        bytes.put_u64(self.body_len);
        bytes.put_u64(self.body_raw_len);
        bytes.extend_from_slice(&self.body_digest);
        bytes.put_u32(u32::try_from(self.segments.len()).expect("at most 2^18 segments"));
        bytes.extend(self.segments.iter().flat_map(|name| name.0));
        bytes
    }

    pub(super) fn decode(bytes: &[u8], id: CheckpointId) -> Result<Head, Malformed> {
        let mut fields = Fields::new(bytes);
        let guest = fields.string(NAME_BYTES_MAX, "guest")?;
        let machine = MachineKind(fields.string(NAME_BYTES_MAX, "machine kind")?);
        let base = match fields.u8("base")? {
            0 => None,
            1 => Some(CheckpointId(fields.array("base")?)),
            other => {
                return Err(Malformed::new(
                    fields.at() - 1,
                    format!("base: expected 0 or 1, found {other}"),
                ));
            }
        };
        let sequence = fields.u64("sequence")?;
        let (begun, committed) = (
            Timestamp(fields.u64("begun")?),
            Timestamp(fields.u64("committed")?),
        );
        let (pages, zero_pages) = (fields.u64("pages")?, fields.u64("zero pages")?);
        let (new_pages, stored_bytes) = (fields.u64("new pages")?, fields.u64("stored bytes")?);
        let facts = facts(&mut fields)?;
        let body_len = limited(&mut fields, BODY_STORED_MAX, "body length")?;
        let body_raw_len = limited(&mut fields, BODY_RAW_MAX, "raw body length")?;
        let body_digest = fields.array("body digest")?;
        let count = fields.count(u64::from(SEGMENTS_MAX), "segments")?;
        let names = fields.take(count * 16, "segment names")?.as_chunks().0;
        fields.end()?;
        let info = CheckpointInfo {
            id,
            guest,
            machine,
            base,
            sequence,
            begun,
            committed,
            facts,
            pages,
            zero_pages,
            new_pages,
            stored_bytes,
        };
        let segments = names.iter().copied().map(SegmentName).collect();
        Ok(Head {
            info,
            segments,
            body_len,
            body_raw_len,
            body_digest,
        })
    }
}

fn limited(fields: &mut Fields<'_>, limit: u64, what: &str) -> Result<u64, Malformed> {
    let at = fields.at();
    match fields.u64(what)? {
        value if value <= limit => Ok(value),
        value => Err(Malformed::new(
            at,
            format!("{what}: expected at most {limit}, found {value}"),
        )),
    }
}

fn facts(fields: &mut Fields<'_>) -> Result<BTreeMap<String, String>, Malformed> {
    let count = fields.count(FACT_BYTES_MAX / 8, "facts")?;
    let mut facts = BTreeMap::new();
    for _ in 0..count {
        let at = fields.at();
        let key = fields.string(FACT_BYTES_MAX, "fact")?;
        let value = fields.string(FACT_BYTES_MAX, "fact")?;
        if facts.last_key_value().is_some_and(|(last, _)| *last >= key) {
            return Err(Malformed::new(at, "facts: expected ascending keys"));
        }
        facts.insert(key, value);
    }
    Ok(facts)
}

/// Refuses facts that a head does not carry.
pub(in crate::store) fn check_facts(facts: &BTreeMap<String, String>) -> Result<(), StoreError> {
    let found = facts
        .iter()
        .map(|(key, value)| (key.len() + value.len() + 8) as u64)
        .sum();
    if found > FACT_BYTES_MAX {
        Err(StoreError::Limit {
            what: "bytes of facts",
            found,
            limit: FACT_BYTES_MAX,
        })
    } else {
        Ok(())
    }
}

/// Refuses a name that is too long for a manifest.
pub(in crate::store) fn check_name(name: &str) -> Result<(), StoreError> {
    let found = name.len() as u64;
    if found > NAME_BYTES_MAX {
        Err(StoreError::Limit {
            what: "bytes of a name",
            found,
            limit: NAME_BYTES_MAX,
        })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_head() -> impl Strategy<Value = Head> {
        let names = (".{0,9}", ".{0,9}", prop::option::of(any::<[u8; 32]>()));
        let numbers = any::<[u64; 7]>();
        let facts = prop::collection::btree_map(".{0,5}", ".{0,5}", 0..4);
        let segments = prop::collection::vec(any::<[u8; 16]>(), 0..4);
        (names, numbers, facts, segments, any::<[u8; 32]>()).prop_map(
            |(names, n, facts, segments, body_digest)| Head {
                info: CheckpointInfo {
                    id: CheckpointId([7; 32]),
                    guest: names.0,
                    machine: MachineKind(names.1),
                    base: names.2.map(CheckpointId),
                    sequence: n[0],
                    begun: Timestamp(n[1]),
                    committed: Timestamp(n[2]),
                    facts,
                    pages: n[3],
                    zero_pages: n[4],
                    new_pages: n[5],
                    stored_bytes: n[6],
                },
                segments: segments.into_iter().map(SegmentName).collect(),
                body_len: n[0] % BODY_STORED_MAX,
                body_raw_len: n[1] % BODY_RAW_MAX,
                body_digest,
            },
        )
    }

    proptest! {
        #[test]
        fn comes_back(head in any_head()) {
            prop_assert_eq!(Head::decode(&head.encode(), head.info.id), Ok(head));
        }

        /// A head with a changed byte, cut short or grown, is an error or another head; never a panic.
        #[test]
        fn decoding_never_panics(head in any_head(), edits in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..4), len in 0..600usize) {
            let mut bytes = head.encode();
            for (at, value) in edits {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            bytes.resize(len, 0);
            if let Ok(decoded) = Head::decode(&bytes, head.info.id) {
                prop_assert_eq!(decoded.encode(), bytes);
            }
        }
    }
}

//! What a store holds, as text: the same for any store that gives back the same.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use blake3::Hasher;
use revenant_core::guest::{BATCH_PAGES_MAX, PageBatch};
use revenant_core::store::{CheckpointId, CheckpointInfo, CheckpointReader, Store, StoreError};
use revenant_core::units::Pfn;

/// The fact that a copy has and its source has not.
const COPIED_FROM: &str = "copied_from";

/// Every checkpoint of a store, oldest first: its entry in the catalogue, then its [`content`].
pub fn contents(store: &Store) -> Result<String, StoreError> {
    let mut text = String::new();
    for info in store.list()?.checkpoints {
        text.push_str(&entry(&info));
        text.push_str(&content(store, info.id)?);
        text.push('\n');
    }
    Ok(text)
}

fn entry(info: &CheckpointInfo) -> String {
    let base = info.base.map_or_else(|| "-".to_owned(), |base| base.to_hex());
    format!(
        "checkpoint {}\nbase {base}\nsequence {}\nbegun {}\ncommitted {}\npages {} zero {} new {} stored {}\n",
        info.id.to_hex(),
        info.sequence,
        info.begun.0,
        info.committed.0,
        info.pages,
        info.zero_pages,
        info.new_pages,
        info.stored_bytes,
    )
}

/// What a checkpoint is of, which is the same in its copies: names, facts, records and pages, these read in order and at random.
pub fn content(store: &Store, id: CheckpointId) -> Result<String, StoreError> {
    let mut reader = store.read(id)?;
    let info = reader.info();
    let mut text = format!("guest {}\nmachine {}\n", info.guest, info.machine);
    for (key, value) in info.facts.iter().filter(|(key, _)| *key != COPIED_FROM) {
        let _ = writeln!(text, "fact {key} {value}");
    }
    for record in reader.records() {
        let digest = blake3::hash(&record.bytes).to_hex();
        let _ = writeln!(text, "record {} {} {digest}", record.name, record.bytes.len());
    }
    for range in reader.layout().ranges() {
        let _ = writeln!(text, "frames {} {}", range.start, range.end);
    }
    let _ = writeln!(text, "in order {}", in_order(&mut reader)?);
    let _ = writeln!(text, "at random {}", at_random(&mut reader)?);
    let mut reader = store.read(id)?;
    let mut saved = Vec::new();
    let saved = match revenant_xen_format::export(&mut reader, &mut saved) {
        Ok(_) => format!("{} {}", saved.len(), blake3::hash(&saved).to_hex()),
        Err(_) => "none".to_owned(),
    };
    let _ = writeln!(text, "save file {saved}");
    Ok(text)
}

/// Digest of all that sequential reading gives, by frame: the order in which it comes is the store's own.
fn in_order(reader: &mut CheckpointReader) -> Result<String, StoreError> {
    let mut found = BTreeMap::new();
    let mut batch = PageBatch::new();
    while reader.next_batch(&mut batch)? {
        found.extend(
            batch
                .iter()
                .map(|(pfn, tag, page)| (pfn.0, (tag.0, blake3::hash(page)))),
        );
    }
    let mut hasher = Hasher::new();
    for (pfn, (tag, page)) in found {
        hasher.update(&pfn.to_le_bytes());
        hasher.update(&[tag]);
        hasher.update(page.as_bytes());
    }
    for (frames, tag) in reader.zero_tagged() {
        hasher.update(&frames.start.to_le_bytes());
        hasher.update(&frames.end.to_le_bytes());
        hasher.update(&[tag.0]);
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// Digest of all frames, from the last to the first.
fn at_random(reader: &mut CheckpointReader) -> Result<String, StoreError> {
    let mut hasher = Hasher::new();
    let mut batch = PageBatch::new();
    let frames: Vec<Pfn> = reader.layout().iter().collect();
    for some in frames.rchunks(BATCH_PAGES_MAX) {
        let backwards: Vec<Pfn> = some.iter().rev().copied().collect();
        batch.clear();
        reader.read_pages(&backwards, &mut batch)?;
        for (pfn, tag, page) in batch.iter() {
            hasher.update(&pfn.0.to_le_bytes());
            hasher.update(&[tag.0]);
            hasher.update(page);
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
}

//! A checkpoint of one store in another.
//!
//! ```text
//! map of the source ─▶ zero, or known here by its digest ─▶ map of the copy
//!                      neither ─▶ read, checked ─▶ staging ─▶ commit
//! ```
//!
//! Of pages that the target has already only the digests are read, from the segments' footers. So a row of checkpoints
//! that differ little costs the source and the target little, whether they were taken as increments or not.

use std::collections::BTreeMap;

use super::page_map::{PackedRun, Run, Source};
use super::reader::CheckpointReader;
use super::{CheckpointId, CheckpointInfo, Finding, NewCheckpoint, Staging, Store, StoreError};

/// The fact that tells of which checkpoint this one is a copy.
const COPIED_FROM: &str = "copied_from";

/// A copy was not made. The target does not list it; the source is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The source could not be read.
    #[error("cannot read the checkpoint")]
    Source(#[source] StoreError),
    /// The target could not be written.
    #[error("cannot write the copy")]
    Target(#[source] StoreError),
}

impl CheckpointInfo {
    /// The checkpoint that this one is a copy of, in whatever store that is.
    pub fn copied_from(&self) -> Option<CheckpointId> {
        self.facts.get(COPIED_FROM)?.parse().ok()
    }
}

impl CopyError {
    /// The checkpoint to be copied is damaged: an older one has to serve. Otherwise the same may be tried again.
    pub fn damaged(&self) -> bool {
        matches!(self, CopyError::Source(error) if error.is_damage())
    }
}

/// How a checkpoint of one store stands to those of its guest in another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// A copy of it would be the newest in content, too.
    Newest,
    /// It is there already, and whole as far as can be told without reading pages: this is it, or a copy of it.
    There(CheckpointInfo),
    /// It is there, lacks this, and cannot be copied again: later ones are there, too. A repair from the source heals it.
    Broken(Finding),
    /// This one there is later in content, and a copy would be taken for newer.
    Behind(CheckpointInfo),
}

impl Store {
    /// Where a checkpoint of another store would stand in this one. What both stores have, or have copies of, is in the order of
    /// the source's sequences; what the source does not know, in the order of the instants at which it was begun, as far as
    /// these have come by the clock of this store.
    ///
    /// # Errors
    /// Those of reading either catalogue; [`NoSuchCheckpoint`](StoreError::NoSuchCheckpoint) if the source has none of this id.
    pub fn standing(&self, source: &Store, id: CheckpointId) -> Result<Standing, CopyError> {
        let all = source.list().map_err(CopyError::Source)?.checkpoints;
        let this = all.iter().find(|info| info.id == id);
        let unknown = || CopyError::Source(StoreError::NoSuchCheckpoint(id.to_hex()));
        let this = this.ok_or_else(unknown)?;
        let there = self.there_of(&this.guest, |other| is_same(other, this))?;
        Ok(self.stand(this, &all, &there))
    }

    /// The same of all checkpoints that another store has of a guest, oldest first: copied in this order, those that are
    /// [`Newest`](Standing::Newest) stay so.
    ///
    /// # Errors
    /// Those of reading either catalogue.
    pub fn standings(
        &self,
        source: &Store,
        guest: &str,
    ) -> Result<Vec<(CheckpointInfo, Standing)>, CopyError> {
        let all = source.list().map_err(CopyError::Source)?.checkpoints;
        let there = self.there_of(guest, |_| true)?;
        let of_guest = all.iter().filter(|info| info.guest == guest);
        Ok(of_guest
            .map(|this| (this.clone(), self.stand(this, &all, &there)))
            .collect())
    }

    /// What this store has of a guest. Maps are read only of what is `asked_for`: a row that is copied one by one asks for each once.
    fn there_of(&self, guest: &str, asked_for: impl Fn(&CheckpointInfo) -> bool) -> Result<There, CopyError> {
        let mut checkpoints = self.list().map_err(CopyError::Target)?.checkpoints;
        checkpoints.retain(|info| info.guest == guest);
        let asked_for = checkpoints.iter().filter(|info| asked_for(info));
        let lacking = self.not_whole(asked_for.map(|info| info.id));
        Ok(There {
            lacking: lacking.map_err(CopyError::Target)?,
            checkpoints,
        })
    }

    /// Where `this` of a source that has `all` stands to those of its guest that are `there`.
    fn stand(&self, this: &CheckpointInfo, all: &[CheckpointInfo], there: &There) -> Standing {
        let (same, others): (Vec<_>, Vec<_>) =
            there.checkpoints.iter().partition(|other| is_same(other, this));
        let is_whole = |info: &&CheckpointInfo| !there.lacking.contains_key(&info.id);
        if let Some(whole) = same.iter().copied().rfind(is_whole) {
            return Standing::There(whole.clone());
        }
        let now = self.clock.now();
        let is_later = |other: &&CheckpointInfo| match all.iter().find(|known| is_same(other, known)) {
            Some(known) => known.age_key() > this.age_key(),
            None => other.begun > this.begun && other.begun <= now,
        };
        match (others.into_iter().find(is_later), same.last()) {
            // A copy that is not whole is none to count on: the one that is made now heals it.
            (None, _) => Standing::Newest,
            (Some(_), Some(broken)) => Standing::Broken(there.lacking[&broken.id].clone()),
            (Some(later), None) => Standing::Behind(later.clone()),
        }
    }

    /// Copies a checkpoint of another store into this one, with memory, disks, records and facts. Every byte that is read
    /// is checked; a crash leaves the whole copy or none of it. The copy is complete by itself, has an id of its own, and is
    /// the newest checkpoint of its guest here. It keeps the instant at which it was begun, which is that of its content.
    pub fn copy_from(&self, source: &Store, id: CheckpointId) -> Result<CheckpointInfo, CopyError> {
        let mut reader = source.read(id).map_err(CopyError::Source)?;
        let info = reader.info();
        let begun = info.begun;
        let mut facts = info.facts.clone();
        facts.insert(COPIED_FROM.to_owned(), id.to_hex());
        let new = NewCheckpoint {
            guest: info.guest.clone(),
            machine: info.machine.clone(),
            base: None,
            facts,
        };
        let mut staging = self.begin_as_named(new).map_err(CopyError::Target)?;
        staging.set_begun(begun);
        let missing = put_known(&mut reader, &mut staging)?;
        reader.narrow(missing);
        put_others(&mut reader, &mut staging)?;
        for record in reader.records() {
            staging.put_record(record.clone()).map_err(CopyError::Target)?;
        }
        staging.commit().map_err(CopyError::Target)
    }
}

/// What a target has of a guest.
struct There {
    checkpoints: Vec<CheckpointInfo>,
    /// What those lack that were asked for and are not whole.
    lacking: BTreeMap<CheckpointId, Finding>,
}

/// Are these the same checkpoint, or copies of the same one?
fn is_same(a: &CheckpointInfo, b: &CheckpointInfo) -> bool {
    let origin = |info: &CheckpointInfo| info.copied_from().unwrap_or(info.id);
    origin(a) == origin(b) || a.copied_from() == Some(b.id) || b.copied_from() == Some(a.id)
}

/// Puts what is zero or stored in the target; gives the rest of the map.
fn put_known(reader: &mut CheckpointReader, staging: &mut Staging<'_>) -> Result<Vec<PackedRun>, CopyError> {
    let mut missing: Vec<Run> = Vec::new();
    let (runs, segments) = reader.parts();
    for run in runs.iter().map(|&run| Run::from(run)) {
        if run.source == Source::Zero {
            staging
                .put_zero(run.start..run.end(), run.tag)
                .map_err(CopyError::Target)?;
            continue;
        }
        for (by, frame) in (0..run.count).zip(run.start..) {
            let digest = segments.digest(run.source.advanced(by));
            let Some(digest) = digest.map_err(CopyError::Source)? else {
                continue;
            };
            let known = staging.put_known(frame, run.tag, &digest);
            if known.map_err(CopyError::Target)? {
                continue;
            }
            let page = run.slice(frame, frame + 1);
            if !missing.last_mut().is_some_and(|last| last.try_extend(&page)) {
                missing.push(page);
            }
        }
    }
    Ok(missing.into_iter().map(PackedRun::from).collect())
}

/// Puts what the reader has been narrowed to.
fn put_others(reader: &mut CheckpointReader, staging: &mut Staging<'_>) -> Result<(), CopyError> {
    loop {
        let mut batch = staging.take_batch();
        if !reader.next_batch(&mut batch).map_err(CopyError::Source)? {
            return Ok(());
        }
        staging.put_pages(batch).map_err(CopyError::Target)?;
    }
}

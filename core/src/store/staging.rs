//! A checkpoint being written.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use super::files::{self, CHECKPOINTS, SEGMENTS, TmpFile, checkpoint_path, segment_path};
use super::id::Digest;
use super::info::sequence_after;
use super::known::Known;
use super::locks::StoreLock;
use super::manifest::{self, BodyWriter, Head, Manifest, RecordTotals, check_facts, check_name};
use super::page_map::{Journal, Merged, Run, SEGMENTS_MAX, Source};
use super::pages::{FinishedPages, PageWriter};
use super::segment::SealedSegment;
use super::{
    CheckpointId, CheckpointInfo, DiskInfo, Finding, GUEST_NAME_BYTES_MAX, NewCheckpoint, SegmentName, Store,
    StoreError, check_guest_name, entries,
};
use crate::guest::{MemoryLayout, PageBatch, PageTag, Space, StateRecord};
use crate::lease::EPOCH_FACT;
use crate::units::Timestamp;

/// A checkpoint being written. Dropping it abandons it; nothing of it is ever listed. Once a call has failed every later
/// one fails too.
#[derive(Debug)]
pub struct Staging<'s> {
    store: &'s Store,
    new: NewCheckpoint,
    sequence: u64,
    begun: Timestamp,
    /// `Err`: a call failed. The error itself is kept if it could not be returned.
    pages: Result<PageWriter<'s>, Option<StoreError>>,
    layout: Option<MemoryLayout>,
    records: Vec<StateRecord>,
    record_totals: RecordTotals,
    /// Last, so that it is released when all else is gone.
    lock: Rc<StoreLock>,
}

/// A place in a staging's history of page writes.
#[derive(Debug, Clone, Copy)]
pub struct Mark(usize);

impl Store {
    /// Begins a checkpoint. With a base, memory starts as the base's; one that
    /// needs pages that are known to be bad is damage. Garbage collection waits from here to commit.
    pub fn begin(&self, new: NewCheckpoint) -> Result<Staging<'_>, StoreError> {
        check_guest_name(&new.guest).map_err(|fault| StoreError::GuestName {
            name: new.guest.chars().take(GUEST_NAME_BYTES_MAX).collect(),
            fault,
        })?;
        self.begin_as_named(new)
    }

    /// As [`begin`](Self::begin), for a guest whose name was given when other rules held.
    pub(super) fn begin_as_named(&self, new: NewCheckpoint) -> Result<Staging<'_>, StoreError> {
        self.check_writable()?;
        check_name(&new.guest)?;
        check_name(&new.machine.0)?;
        check_facts(&new.facts)?;
        let lock = self.share_to_write("begin a checkpoint")?;
        let begun = self.clock.now();
        let heads = self.heads()?;
        let sequence = sequence_after(heads.iter().map(|head| &head.info));
        let mut known = self.known_pages(&heads, new.base)?;
        let journal = match new.base {
            Some(base) => self.inherited(base, &mut known)?,
            None => Journal::new(),
        };
        let options = &self.options;
        let pages = PageWriter::new(
            &*self.medium,
            &*self.clock,
            known,
            journal,
            options.workers,
            options.compression_level,
        );
        Ok(Staging {
            store: self,
            new,
            sequence,
            begun,
            pages: Ok(pages),
            layout: None,
            records: Vec::new(),
            record_totals: RecordTotals::default(),
            lock,
        })
    }

    /// The base's map, in this staging's segment numbers.
    fn inherited(&self, base: CheckpointId, known: &mut Known) -> Result<Journal, StoreError> {
        let manifest = Manifest::open(&self.medium, base)?;
        let numbers: Vec<u32> = manifest
            .head
            .segments
            .iter()
            .map(|&name| known.segments.number(name))
            .collect();
        let mut journal = Journal::new();
        for run in manifest.body()?.runs() {
            let mut run = run?;
            if let Source::Stored { segment, slot } = &mut run.source {
                let name = manifest.head.segments[*segment as usize];
                if known.is_bad(name, &(*slot..*slot + run.count)) {
                    let what = "pages of the base are known to be bad";
                    return Err(Finding::new(segment_path(name), None, what).of(base).into());
                }
                *segment = numbers[*segment as usize];
            }
            journal.push(run);
        }
        Ok(journal)
    }
}

impl<'s> Staging<'s> {
    /// An empty batch with reused buffers.
    pub fn take_batch(&mut self) -> PageBatch {
        self.pages
            .as_mut()
            .map_or_else(|_| PageBatch::new(), PageWriter::take_batch)
    }

    /// Takes pages in; a later put of a frame replaces an earlier one. Hashing, compressing and writing go on behind.
    pub fn put_pages(&mut self, batch: PageBatch) -> Result<(), StoreError> {
        self.with_pages(|pages| pages.put(batch))
    }

    /// Waits until all pages put so far are hashed, compressed and given to the medium: no worker is busy afterwards.
    pub(crate) fn drain(&mut self) -> Result<(), StoreError> {
        self.with_pages(PageWriter::drain)
    }

    /// These frames hold zeroes (no bytes travel).
    pub fn put_zero(&mut self, frames: Range<u64>, tag: PageTag) -> Result<(), StoreError> {
        self.with_pages(|pages| pages.put_zero(frames, tag))
    }

    /// This frame holds a page of which only the digest is at hand; false if the store knows no such page. Only such pages and
    /// zeroes may be put before it.
    pub(super) fn put_known(
        &mut self,
        frame: u64,
        tag: PageTag,
        digest: &Digest,
    ) -> Result<bool, StoreError> {
        self.with_pages(|pages| Ok(pages.put_known(frame, tag, digest)))
    }

    /// The checkpoint has exactly the frames of this layout: at commit others are dropped, and a frame that was never
    /// put and is not in the base is an error.
    pub fn retain(&mut self, layout: &MemoryLayout) -> Result<(), StoreError> {
        self.layout = Some(layout.clone());
        self.with_pages(|_| Ok(()))
    }

    /// The checkpoint also has all blocks of this disk, and its catalogue entry names it. Call it after
    /// [`retain`](Self::retain).
    pub fn retain_disk(&mut self, disk: &DiskInfo) -> Result<(), StoreError> {
        let first = Space::Disk(disk.number).frames().start;
        let blocks = first..first.saturating_add(disk.blocks);
        if let Some(layout) = &mut self.layout {
            let ranges = layout.ranges().iter().cloned();
            *layout = ranges.chain(std::iter::once(blocks)).collect();
        }
        let (key, value) = disk.fact();
        self.set_fact(&key, &value);
        self.with_pages(|_| Ok(()))
    }

    /// What the checkpoint is made from.
    pub fn base(&self) -> Option<CheckpointId> {
        self.new.base
    }

    /// Adds a machine-state record; order is kept. Large ones (MiB) are fine; 256 MiB together are the limit,
    /// and 65,536 of them.
    pub fn put_record(&mut self, record: StateRecord) -> Result<(), StoreError> {
        self.record_totals = self.record_totals.with(&record)?;
        self.records.push(record);
        self.with_pages(|_| Ok(()))
    }

    /// Drops all records put so far (a later epoch of the same stream replaces them).
    pub fn clear_records(&mut self) {
        self.records.clear();
        self.record_totals = RecordTotals::default();
    }

    /// Adds or replaces a fact for the catalogue. 1 MiB together are the limit, checked at commit.
    pub fn set_fact(&mut self, key: &str, value: &str) {
        self.new.facts.insert(key.to_owned(), value.to_owned());
    }

    /// What is put was begun at this instant, somewhere else.
    pub(super) fn set_begun(&mut self, begun: Timestamp) {
        self.begun = begun;
    }

    /// Remembers the present state of the page map. If a write that was going on behind failed, the next call tells.
    pub fn mark(&mut self) -> Mark {
        let Ok(pages) = &mut self.pages else {
            return Mark(0);
        };
        match pages.settle() {
            Ok(()) => Mark(pages.journal.mark()),
            Err(error) => {
                self.pages = Err(Some(error));
                Mark(0)
            }
        }
    }

    /// Forgets every page put since the mark.
    pub fn rollback(&mut self, mark: Mark) {
        let Ok(pages) = &mut self.pages else { return };
        match pages.settle() {
            Ok(()) => pages.journal.rollback(mark.0),
            Err(error) => self.pages = Err(Some(error)),
        }
    }

    /// Makes the checkpoint exist: after this returned Ok, no crash loses it.
    ///
    /// A guest whose lease this handle holds ([`Store::set_fence`]) is committed under the lease's epoch. If another has
    /// taken the lease, the checkpoint does not exist in the end: nothing is published when that is seen before, and the
    /// manifest is removed again when it is seen after, in which case another may have listed it meanwhile, as the newest
    /// state of the former holder, which it is.
    pub fn commit(mut self) -> Result<CheckpointInfo, StoreError> {
        if let Some(epoch) = self.store.epoch(&self.new.guest) {
            self.set_fact(EPOCH_FACT, &epoch.to_string());
        }
        check_facts(&self.new.facts)?;
        self.with_pages(PageWriter::settle)?;
        let pages = std::mem::replace(&mut self.pages, Err(None)).map_err(|_| StoreError::Poisoned)?;
        let FinishedPages {
            mut known,
            journal,
            sealed,
            new_pages,
        } = pages.finish()?;
        let map = Merged::new(&journal, self.layout.as_ref())?;
        let usage = Usage::of(&map, known.segments.len())?;
        let mut body = BodyWriter::new(self.store.options.compression_level, usage.runs)?;
        let mut written = Ok(());
        map.each(|run| {
            if written.is_ok() {
                written = body.run(&usage.renumbered(run));
            }
        });
        written?;
        body.records(&self.records)?;
        let all_used = sealed.iter().all(|(number, _)| usage.index.contains_key(number));
        self.lock.check("commit the checkpoint")?;
        // The manifest takes the name that the first of them gives up, so that no listing is needed to find a free one.
        let number = sealed.iter().map(|(_, segment)| segment.file.number()).min();
        let own = publish_segments(self.store, sealed, &usage)?;
        usage
            .order
            .iter()
            .for_each(|&number| debug_assert!(known.segments.name(number).is_some()));
        let names: Vec<SegmentName> = usage
            .order
            .iter()
            .filter_map(|&number| known.segments.name(number))
            .collect();
        let head = Head::new(self.info(&usage, new_pages), names.clone());
        self.check_segments(&names, &known)?;
        let number = number.or((!names.is_empty()).then_some(0));
        let own_bytes = own.iter().map(|(_, len_bytes)| len_bytes).sum();
        let (head, number) = self.publish_manifest(head, body, own_bytes, number)?;
        let info = head.info.clone();
        self.confirm_whole(&info, &names, &known)?;
        self.store.log_committed(&info, number)?;
        self.confirm_lease(&info)?;
        self.store.heads.borrow_mut().insert(info.id, Rc::new(head));
        known.loaded.extend(own);
        // An index that knows pages of a segment that was thrown away must not outlive it.
        *self.store.known.borrow_mut() = all_used.then_some(known);
        Ok(info)
    }

    fn info(&mut self, usage: &Usage, new_pages: u64) -> CheckpointInfo {
        CheckpointInfo {
            id: CheckpointId([0; 32]),
            guest: std::mem::take(&mut self.new.guest),
            machine: self.new.machine.clone(),
            base: self.new.base,
            sequence: self.sequence,
            begun: self.begun,
            committed: self.store.clock.now(),
            facts: std::mem::take(&mut self.new.facts),
            pages: usage.pages,
            zero_pages: usage.zero_pages,
            new_pages,
            stored_bytes: 0,
        }
    }

    /// Steps 5 to 7 of the commit; also gives the number in `tmp` that is free now.
    fn publish_manifest(
        &self,
        head: Head,
        body: BodyWriter,
        own: u64,
        number: Option<u64>,
    ) -> Result<(Head, u64), StoreError> {
        let (manifest, mut head) = manifest::encode(head, body, own)?;
        let medium = &*self.store.medium;
        let file = match number {
            Some(number) => TmpFile::create_as(medium, number)?,
            None => TmpFile::create(medium)?,
        };
        let number = file.number();
        let path = checkpoint_path(manifest.id);
        self.store.check_fence(&head.info.guest)?;
        files::write_whole(file, CHECKPOINTS, &path, &[&manifest.head, &manifest.body])?;
        head.info.id = manifest.id;
        Ok((head, number))
    }

    /// Step 8 of the commit. As long as the lock is held, whoever collects garbage from now on sees the manifest, and nobody did
    /// so since the segments were looked for. If it was lost nothing can be promised. What is whole is not taken back all the
    /// same: somebody may have counted on it already and dropped its elders.
    fn confirm_whole(
        &self,
        info: &CheckpointInfo,
        names: &[SegmentName],
        known: &Known,
    ) -> Result<(), StoreError> {
        let lost = self.lock.check("promise that the checkpoint just made is whole");
        if lost.is_err() {
            let complete = self.check_segments(names, known);
            if matches!(complete, Err(StoreError::SegmentLost { .. })) {
                self.withdraw(info.id);
            }
            complete?;
        }
        lost
    }

    /// Step 10 of the commit. The lease is looked at last: whoever takes it from here on finds a checkpoint that was made
    /// before. What a deposed holder made is given up like any other, so that it is not missed; where that cannot be said it
    /// stays, and is told from the new holder's by its epoch. Another writer that had listed it may have adopted it before it
    /// went, so that is said again.
    fn confirm_lease(&self, info: &CheckpointInfo) -> Result<(), StoreError> {
        let deposed = self.store.check_fence(&info.guest);
        let give_up = || self.store.log_dropped(&[info.id], &[], false).is_ok();
        if deposed.is_err() && give_up() {
            self.withdraw(info.id);
            give_up();
        }
        deposed
    }

    /// Step 4 of the commit. That all segments are there, and those that were there before as long as they were when their pages became known.
    fn check_segments(&self, names: &[SegmentName], known: &Known) -> Result<(), StoreError> {
        if names.is_empty() {
            return Ok(());
        }
        let found = entries::contents(&*self.store.medium, SEGMENTS, SegmentName::parse)?;
        let found: BTreeMap<SegmentName, u64> = found.own.into_iter().collect();
        let lost = names
            .iter()
            .find(|name| match (found.get(name), known.loaded.get(name)) {
                (Some(found), Some(loaded)) => found != loaded,
                // Its own, which an equal one of another writer may have replaced; or the base's, never looked into.
                (Some(_), None) => false,
                (None, _) => true,
            });
        match lost {
            None => Ok(()),
            Some(&name) => Err(StoreError::SegmentLost {
                path: segment_path(name),
            }),
        }
    }

    /// Takes back what cannot be promised, as far as the medium still works.
    fn withdraw(&self, id: CheckpointId) {
        let medium = &*self.store.medium;
        if medium.remove(&checkpoint_path(id)).is_ok() {
            let _ = medium.sync_dir(CHECKPOINTS);
        }
    }

    fn with_pages<T>(
        &mut self,
        call: impl FnOnce(&mut PageWriter<'s>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let result = match &mut self.pages {
            Ok(pages) => call(pages),
            Err(unreported) => return Err(unreported.take().unwrap_or(StoreError::Poisoned)),
        };
        if result.is_err() {
            self.pages = Err(None);
        }
        result
    }
}

/// Steps 2 and 3 of the commit, for the segments that the map uses; gives their lengths.
fn publish_segments(
    store: &Store,
    sealed: Vec<(u32, SealedSegment<'_>)>,
    usage: &Usage,
) -> Result<Vec<(SegmentName, u64)>, StoreError> {
    let mut published = Vec::new();
    for (number, SealedSegment { file, name }) in sealed {
        if !usage.index.contains_key(&number) {
            continue;
        }
        published.push((name, file.len_bytes()));
        file.publish(&segment_path(name))?;
    }
    if !published.is_empty() {
        store.medium.sync_dir(SEGMENTS)?;
    }
    Ok(published)
}

/// What a map amounts to.
#[derive(Debug, Default)]
struct Usage {
    runs: u64,
    pages: u64,
    zero_pages: u64,
    /// Segments that are used, by first use, as they are numbered in the staging, and the other way round.
    order: Vec<u32>,
    index: BTreeMap<u32, u32>,
}

impl Usage {
    fn of(map: &Merged<'_>, segments: usize) -> Result<Self, StoreError> {
        let mut usage = Usage::default();
        let mut seen = vec![false; segments];
        map.each(|run| {
            usage.runs += 1;
            usage.pages += u64::from(run.count);
            match run.source {
                Source::Zero => usage.zero_pages += u64::from(run.count),
                Source::Stored { segment, .. } => {
                    if !std::mem::replace(&mut seen[segment as usize], true) {
                        usage.order.push(segment);
                    }
                }
            }
        });
        if usage.order.len() > SEGMENTS_MAX as usize {
            let (found, limit) = (usage.order.len() as u64, u64::from(SEGMENTS_MAX));
            return Err(StoreError::Limit {
                what: "segments, take a full checkpoint",
                found,
                limit,
            });
        }
        usage.index = usage.order.iter().copied().zip(0..).collect();
        Ok(usage)
    }

    fn renumbered(&self, run: Run) -> Run {
        match run.source {
            Source::Zero => run,
            Source::Stored { segment, slot } => Run {
                source: Source::Stored {
                    segment: self.index[&segment],
                    slot,
                },
                ..run
            },
        }
    }
}

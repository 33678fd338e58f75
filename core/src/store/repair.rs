//! Makes whole again what is damaged, from equal content elsewhere.
//!
//! ```text
//! bad slots that checkpoints need ─▶ digests ─▶ in what other frames? ─▶ pages, checked ─▶ the segment, rewritten
//!    (list of bad frames,             (footer)   (footers of this store
//!     segments that do not open)                  and of another)
//! ```
//!
//! A rewritten segment keeps its name, so no manifest changes, and it takes its place by one rename: a crash leaves the damaged
//! one or the healed one.

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use self::source::Sources;
use super::bad::{self, BadSlots, KnownBad, WHOLE};
use super::expand::Chunk;
use super::files::{self, CHECKPOINTS, SEGMENTS, TmpFile, checkpoint_path, segment_path};
use super::frame::{Codec, FRAME_PAGES, FrameEntry};
use super::id::Digest;
use super::locks::StoreLock;
use super::manifest::Manifest;
use super::page_map::Source;
use super::pool::Job;
use super::segment::{SegmentReader, SegmentRewriter};
use super::slots::SlotSet;
use super::verify::damage;
use super::{CheckpointId, Finding, FindingKind, SegmentName, Store, StoreError, entries, header};
use crate::quantity::counted;
use crate::units::PAGE_SIZE;

/// What it is called where it is refused.
const REPAIR: &str = "repair the store";

/// Pages that are looked for in one pass over all footers: a bound for memory, not for what is healed.
const SOUGHT_AT_ONCE: usize = 1 << 18;

/// What a repair did, and what it could not do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repaired {
    /// The header of the store was written anew.
    pub header: bool,
    /// The catalogue log was damaged, and begun anew with what is here.
    pub log: bool,
    /// Damaged manifests that were replaced from the other store, and lost ones that were brought back from it.
    pub manifests: Vec<CheckpointId>,
    /// Segments rewritten with sound pages.
    pub segments: u64,
    /// Pages made whole again.
    pub pages: u64,
    /// What is still damaged and needed: no equal page was found, or there is no room for the segment.
    pub left: Vec<Finding>,
}

impl Repaired {
    /// Was nothing done, and is nothing left to do?
    pub fn is_empty(&self) -> bool {
        *self == Repaired::default()
    }
}

/// What an attempt to heal has looked at, so that the next one looks only at what has come since.
#[derive(Debug)]
pub(super) struct Sought {
    bad: KnownBad,
    segments: BTreeSet<SegmentName>,
}

/// A segment in which something is bad.
#[derive(Debug)]
struct Sick {
    name: SegmentName,
    /// How many slots it has, if there is a footer to tell.
    slots: u32,
    bad: BadSlots,
    /// What checkpoints need of it; anything, if one of them cannot be read.
    needed: SlotSet,
}

/// What a sick segment is rewritten from.
#[derive(Debug)]
struct Body {
    /// Digests of all its slots.
    digests: Vec<Digest>,
    /// Its sound frames, if it opens.
    segment: Option<SegmentReader>,
}

impl Store {
    /// Heals what is known to be bad: pages that checkpoints need are taken from where this store, or `from`, has equal ones;
    /// manifests that are damaged or lost are taken from `from` if it has them. A damaged catalogue log is begun anew. Verify the store before: what it finds is noted, and
    /// only what is noted is healed. A crash leaves every checkpoint readable that was. Garbage collection, writers and
    /// readers are locked out.
    pub fn repair(&self, from: Option<&Store>) -> Result<Repaired, StoreError> {
        let lock = self.exclude(REPAIR)?;
        let _theirs = from.map(|from| from.share("read the other store")).transpose()?;
        let mut done = Repaired {
            header: self.restore_header()?,
            ..Repaired::default()
        };
        self.check_writable()?;
        if done.header {
            // Nothing could be noted in a store without one.
            self.verify_locked(None)?;
        }
        if let Some(from) = from {
            self.take_manifests(from, &mut done)?;
            // What only they need has not been looked at.
            for &id in &done.manifests {
                self.verify_locked(Some(id))?;
            }
        }
        let known = KnownBad::read(&self.medium)?;
        self.heal_segments(&known, from, None, &lock, &mut done)?;
        // What is lost by what can be read of the log is lost by the new one as well.
        let mut known: Vec<CheckpointId> = self.ids()?;
        known.extend(self.lost()?.iter().flat_map(|lost| &lost.checkpoints));
        done.log = self.log_dropped(&[], &known, true)?;
        Ok(done)
    }

    /// Heals from within the store what is known to be bad, if anything is and if nobody else has the store open; `None` if
    /// that was not so. For after a checkpoint was added: what it brought may be what older ones lack.
    pub fn heal(&self) -> Result<Option<Repaired>, StoreError> {
        if KnownBad::read(&self.medium)?.is_empty() {
            return Ok(None);
        }
        let Some(lock) = self.exclude_at_once(REPAIR)? else {
            return Ok(None);
        };
        self.check_writable()?;
        self.heal_locked(&lock).map(Some)
    }

    /// The same for a caller that has the store for itself.
    pub(super) fn heal_locked(&self, lock: &StoreLock) -> Result<Repaired, StoreError> {
        let mut done = Repaired::default();
        let known = KnownBad::read(&self.medium)?;
        if known.is_empty() {
            return Ok(done);
        }
        // What was looked through in vain for the same pages need not be again.
        let sought = self.sought.take().filter(|sought| sought.bad == known);
        let segments = entries::contents(&*self.medium, SEGMENTS, SegmentName::parse)?;
        let segments: BTreeSet<SegmentName> = segments.own.into_iter().map(|(name, _)| name).collect();
        let looked_at = sought.map(|sought| sought.segments);
        if looked_at.as_ref() != Some(&segments) {
            self.heal_segments(&known, None, looked_at.as_ref(), lock, &mut done)?;
        }
        let bad = KnownBad::read(&self.medium)?;
        *self.sought.borrow_mut() = Some(Sought { bad, segments });
        Ok(done)
    }

    /// The header says nothing but that this is a store of version 1, which its checkpoints say as well.
    fn restore_header(&self) -> Result<bool, StoreError> {
        match header::check(&self.medium) {
            Ok(()) => Ok(false),
            Err(StoreError::Damaged(_) | StoreError::NotAStore { .. }) => {
                header::write(&*self.medium)?;
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// Replaces damaged and lost manifests by those of the same id in another store.
    fn take_manifests(&self, from: &Store, done: &mut Repaired) -> Result<(), StoreError> {
        let mut wanted = Vec::new();
        for id in self.ids()? {
            match read_map(self, id, |_, _| ()) {
                // It would be put in the place of what is not the store's.
                Err(StoreError::Damaged(finding)) if finding.kind == FindingKind::NotAFile => {
                    done.left.push(*finding);
                }
                Err(StoreError::Damaged(finding)) => wanted.push((id, *finding)),
                Ok(()) | Err(StoreError::NoSuchCheckpoint(_)) => {}
                Err(error) => return Err(error),
            }
        }
        for lost in self.lost()? {
            wanted.extend(lost.checkpoints.first().map(|&id| (id, lost.clone())));
        }
        for (id, finding) in wanted {
            match read_map(from, id, |_, _| ()) {
                Ok(()) => {
                    self.take_manifest(from, id)?;
                    done.manifests.push(id);
                }
                Err(StoreError::Damaged(_) | StoreError::NoSuchCheckpoint(_)) => done.left.push(finding),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn take_manifest(&self, from: &Store, id: CheckpointId) -> Result<(), StoreError> {
        let manifest = Manifest::open(&from.medium, id)?;
        let path = checkpoint_path(id);
        let bytes = manifest.bytes()?;
        let file = TmpFile::create(&*self.medium)?;
        Ok(files::write_whole(file, CHECKPOINTS, &path, &[&bytes])?)
    }

    /// Heals segments; of this store's those in `looked_at` are known to have nothing that is wanted.
    fn heal_segments(
        &self,
        known: &KnownBad,
        from: Option<&Store>,
        looked_at: Option<&BTreeSet<SegmentName>>,
        lock: &StoreLock,
        done: &mut Repaired,
    ) -> Result<(), StoreError> {
        let (needed, all_readable) = self.needed_segments()?;
        let suspects: BTreeSet<SegmentName> = needed.iter().chain(known.segments.keys()).copied().collect();
        let mut sick = Vec::new();
        for name in suspects {
            let is_needed = needed.contains(&name);
            match self.examine(name, known.of(name), is_needed, from, done)? {
                Ok(found) => sick.extend(found),
                Err(in_its_place) if is_needed => done.left.push(in_its_place),
                Err(_) => {}
            }
        }
        self.mark_needed(&mut sick, all_readable)?;
        let mut rest = &sick[..];
        while !rest.is_empty() {
            let mut wanted = 0;
            let enough = rest.iter().position(|sick| {
                wanted += sick.wanted().count();
                wanted >= SOUGHT_AT_ONCE
            });
            let (batch, others) = rest.split_at(enough.map_or(rest.len(), |last| last + 1));
            self.heal_batch(batch, from, looked_at, lock, done)?;
            rest = others;
        }
        Ok(())
    }

    /// The segments that readable manifests name, and whether all manifests could be read.
    fn needed_segments(&self) -> Result<(BTreeSet<SegmentName>, bool), StoreError> {
        let (mut names, mut all_readable) = (BTreeSet::new(), true);
        for id in self.ids()? {
            match Manifest::open(&self.medium, id) {
                Ok(manifest) => names.extend(manifest.head.segments),
                Err(StoreError::Damaged(_)) => all_readable = false,
                Err(StoreError::NoSuchCheckpoint(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((names, all_readable))
    }

    /// Looks at a segment again: what of it is bad now. The list of one that is gone and needed by nobody is cleared. What is in
    /// its place and no file is a finding that nothing can be done about here.
    fn examine(
        &self,
        name: SegmentName,
        listed: &[Range<u32>],
        needed: bool,
        from: Option<&Store>,
        done: &mut Repaired,
    ) -> Result<Result<Option<Sick>, Finding>, StoreError> {
        let opened = damage(SegmentReader::open(&self.medium, name))?;
        if listed.is_empty() && (opened.is_ok() || !needed) {
            return Ok(Ok(None));
        }
        let opened = match opened {
            Err(finding) if finding.kind == FindingKind::NotAFile => return Ok(Err(finding)),
            opened => opened,
        };
        if let Ok(segment) = opened {
            let slots = segment.footer.digests.len();
            return Ok(Ok(Some(Sick::new(name, slots, still_bad(&segment, listed)?))));
        }
        if !needed {
            done.left.extend(bad::try_write_list(&self.medium, name, &[])?);
            return Ok(Ok(None));
        }
        let slots = self.body(name, from)?.map_or(0, |body| body.digests.len());
        Ok(Ok(Some(Sick::new(name, slots, vec![WHOLE]))))
    }

    /// What a segment can be rewritten from; `None` if no footer of it is to be had.
    fn body(&self, name: SegmentName, from: Option<&Store>) -> Result<Option<Body>, StoreError> {
        if let Ok(segment) = damage(SegmentReader::open(&self.medium, name))? {
            return Ok(Some(Body {
                digests: segment.footer.digests.clone(),
                segment: Some(segment),
            }));
        }
        let Some(from) = from else { return Ok(None) };
        let theirs = damage(SegmentReader::open(&from.medium, name))?;
        Ok(theirs.ok().map(|theirs| Body {
            digests: theirs.footer.digests,
            segment: None,
        }))
    }

    /// Notes which slots of sick segments checkpoints need.
    fn mark_needed(&self, sick: &mut [Sick], all_readable: bool) -> Result<(), StoreError> {
        if !all_readable {
            for sick in sick.iter_mut() {
                sick.needed.add(WHOLE);
            }
        }
        if sick.is_empty() || !all_readable {
            return Ok(());
        }
        let named = sick
            .iter()
            .enumerate()
            .map(|(position, sick)| (sick.name, position));
        let positions: BTreeMap<SegmentName, usize> = named.collect();
        let mut damaged = false;
        for id in self.ids()? {
            let read = read_map(self, id, |name, slots| {
                if let Some(&position) = positions.get(&name) {
                    sick[position].needed.add(slots);
                }
            });
            match damage(read) {
                Ok(read) => damaged |= read.is_err(),
                Err(StoreError::NoSuchCheckpoint(_)) => {}
                Err(error) => return Err(error),
            }
        }
        if damaged {
            for sick in sick.iter_mut() {
                sick.needed.add(WHOLE);
            }
        }
        Ok(())
    }

    fn heal_batch(
        &self,
        batch: &[Sick],
        from: Option<&Store>,
        looked_at: Option<&BTreeSet<SegmentName>>,
        lock: &StoreLock,
        done: &mut Repaired,
    ) -> Result<(), StoreError> {
        let mut wanted = BTreeSet::new();
        for sick in batch {
            if let Some(body) = self.body(sick.name, from)? {
                wanted.extend(sick.wanted().filter_map(|slot| body.digests.get(slot as usize)));
            }
        }
        let mut sources = Sources::find(wanted, self, looked_at, from)?;
        for sick in batch {
            match self.heal_one(sick, &mut sources, from, lock, done) {
                Ok(()) => {}
                // More of it is bad than was known; the next verification notes it.
                Err(StoreError::Damaged(finding)) => done.left.push(*finding),
                Err(error) if error.is_full() => {
                    let what = "there is no room to rewrite it with sound pages";
                    done.left.push(Finding::new(segment_path(sick.name), None, what));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn heal_one(
        &self,
        sick: &Sick,
        sources: &mut Sources<'_>,
        from: Option<&Store>,
        lock: &StoreLock,
        done: &mut Repaired,
    ) -> Result<(), StoreError> {
        let Some(body) = self.body(sick.name, from)? else {
            let what = "cannot be read, and nothing tells which pages it had";
            done.left.push(Finding::new(segment_path(sick.name), None, what));
            return Ok(());
        };
        let plan = Plan::of(sick, &body, sources)?;
        if plan.changes && !plan.parts.is_empty() {
            let (digests, level) = (body.digests.clone(), self.options.compression_level);
            let mut rewriter = SegmentRewriter::begin(&*self.medium, sick.name, digests, level)?;
            plan.carry_out(sick.name, &body, sources, &mut rewriter)?;
            lock.check(REPAIR)?;
            rewriter.publish()?;
            self.medium.sync_dir(SEGMENTS)?;
            done.segments += 1;
            done.pages += plan.pages;
        }
        let unlisted = bad::try_write_list(&self.medium, sick.name, &plan.left)?;
        done.left.extend(unlisted);
        if let Some(first) = plan.left.first() {
            let pages = plan.left.iter().map(|range| range.end - range.start);
            let what = format!(
                "damaged, and nothing equal was found: {} from slot {} on",
                counted(pages.sum::<u32>(), "page"),
                first.start
            );
            done.left.push(Finding::new(segment_path(sick.name), None, what));
        }
        Ok(())
    }
}

/// Reads the map of a checkpoint with all checks; `each` is told the stored runs.
fn read_map(
    store: &Store,
    id: CheckpointId,
    mut each: impl FnMut(SegmentName, Range<u32>),
) -> Result<(), StoreError> {
    let manifest = Manifest::open(&store.medium, id)?;
    let body = manifest.body()?;
    body.runs().try_for_each(|run| {
        let run = run?;
        if let Source::Stored { segment, slot } = run.source {
            each(manifest.head.segments[segment as usize], slot..slot + run.count);
        }
        Ok(())
    })
}

/// Which of the listed slots are bad: frames that do not expand, and slots without a frame.
fn still_bad(segment: &SegmentReader, listed: &[Range<u32>]) -> Result<BadSlots, StoreError> {
    let mut bad = BadSlots::new();
    let slots = u32::try_from(segment.footer.digests.len()).expect("at most 2^20 slots");
    let mut next = 0;
    let (mut chunk, mut codec) = (Chunk::default(), Codec::default());
    for frame in &segment.footer.frames {
        push_listed(&mut bad, listed, next..frame.first_slot);
        next = frame.end_slot();
        let range = frame.first_slot..frame.end_slot();
        if !bad::any_of(listed, &range) {
            continue;
        }
        let read = damage(chunk.read(segment, std::slice::from_ref(frame)))?;
        chunk = chunk.run(&mut codec);
        if read.is_err() || !chunk.wrong.is_empty() {
            bad.push(range);
        }
    }
    push_listed(&mut bad, listed, next..slots);
    Ok(bad)
}

/// Adds what is listed of a gap between frames.
fn push_listed(bad: &mut BadSlots, listed: &[Range<u32>], gap: Range<u32>) {
    for range in listed {
        let (start, end) = (range.start.max(gap.start), range.end.min(gap.end));
        if start < end {
            bad.push(start..end);
        }
    }
}

/// What becomes of a segment.
#[derive(Debug, Default)]
struct Plan {
    parts: Vec<Part>,
    /// Pages healed.
    pages: u64,
    /// Slots that stay bad.
    left: BadSlots,
    /// The segment is to be rewritten.
    changes: bool,
}

#[derive(Debug, Clone)]
enum Part {
    /// A sound frame.
    Frame(FrameEntry),
    /// A damaged one, of which nothing equal was found.
    Damaged(FrameEntry),
    /// Slots whose pages are had from elsewhere.
    Pages(Range<u32>),
}

impl Plan {
    /// Puts sound frames, and what was found for the slots of the others, in order.
    fn of(sick: &Sick, body: &Body, sources: &mut Sources<'_>) -> Result<Self, StoreError> {
        let mut plan = Plan::default();
        let mut next = 0;
        if let Some(segment) = &body.segment {
            for frame in &segment.footer.frames {
                plan.gap(sick, body, next..frame.first_slot, sources)?;
                next = frame.end_slot();
                if bad::any_of(&sick.bad, &(frame.first_slot..next)) {
                    sources.salvage(segment, sick.name, frame);
                    plan.damaged(sick, body, frame, sources)?;
                } else {
                    plan.parts.push(Part::Frame(*frame));
                }
            }
        }
        plan.gap(sick, body, next..sick.slots, sources)?;
        Ok(plan)
    }

    /// Slots without a frame.
    fn gap(
        &mut self,
        sick: &Sick,
        body: &Body,
        slots: Range<u32>,
        sources: &mut Sources<'_>,
    ) -> Result<(), StoreError> {
        let (found, lost) = seek(sick, body, slots, sources)?;
        self.pages(found);
        self.left.extend(lost);
        Ok(())
    }

    /// A damaged frame. What nobody needs of it goes.
    fn damaged(
        &mut self,
        sick: &Sick,
        body: &Body,
        frame: &FrameEntry,
        sources: &mut Sources<'_>,
    ) -> Result<(), StoreError> {
        let slots = frame.first_slot..frame.end_slot();
        let (found, lost) = seek(sick, body, slots.clone(), sources)?;
        if found.is_empty() && !lost.is_empty() {
            self.parts.push(Part::Damaged(*frame));
            self.left.push(slots);
            return Ok(());
        }
        self.changes = true;
        self.pages(found);
        self.left.extend(lost);
        Ok(())
    }

    fn pages(&mut self, found: BadSlots) {
        for slots in found {
            self.pages += u64::from(slots.end - slots.start);
            self.changes = true;
            match self.parts.last_mut() {
                Some(Part::Pages(last)) if last.end == slots.start => last.end = slots.end,
                _ => self.parts.push(Part::Pages(slots)),
            }
        }
    }

    fn carry_out(
        &self,
        name: SegmentName,
        body: &Body,
        sources: &mut Sources<'_>,
        rewriter: &mut SegmentRewriter<'_>,
    ) -> Result<(), StoreError> {
        for part in &self.parts {
            match (part, &body.segment) {
                (Part::Frame(frame), Some(segment)) => rewriter.copy(segment, frame)?,
                (Part::Damaged(frame), Some(segment)) => rewriter.copy_damaged(segment, frame)?,
                (Part::Pages(slots), _) => put_pages(name, body, slots.clone(), sources, rewriter)?,
                (Part::Frame(_) | Part::Damaged(_), None) => {
                    unreachable!("only a segment that opens has frames")
                }
            }
        }
        Ok(())
    }
}

/// Of these slots those that are bad and needed: for which a page was found, and the others.
fn seek(
    sick: &Sick,
    body: &Body,
    slots: Range<u32>,
    sources: &mut Sources<'_>,
) -> Result<(BadSlots, BadSlots), StoreError> {
    let (mut found, mut lost) = (BadSlots::new(), BadSlots::new());
    for slot in slots.filter(|&slot| sick.wants(slot)) {
        let digest = &body.digests[slot as usize];
        let into = if sources.page(digest)?.is_some() {
            &mut found
        } else {
            &mut lost
        };
        match into.last_mut() {
            Some(last) if last.end == slot => last.end += 1,
            _ => into.push(slot..slot + 1),
        }
    }
    Ok((found, lost))
}

fn put_pages(
    name: SegmentName,
    body: &Body,
    slots: Range<u32>,
    sources: &mut Sources<'_>,
    rewriter: &mut SegmentRewriter<'_>,
) -> Result<(), StoreError> {
    let mut pages: Vec<u8> = Vec::new();
    let mut first = slots.start;
    for slot in slots.clone() {
        let page = sources.page(&body.digests[slot as usize])?;
        let page = page.ok_or_else(|| {
            let what = format!("the page for slot {slot} went while it was being healed");
            Finding::new(segment_path(name), None, what)
        })?;
        pages.extend_from_slice(&page);
        if pages.len() == FRAME_PAGES * PAGE_SIZE || slot + 1 == slots.end {
            rewriter.pages(first, &pages)?;
            pages.clear();
            first = slot + 1;
        }
    }
    Ok(())
}

impl Sick {
    fn new(name: SegmentName, slots: usize, bad: BadSlots) -> Self {
        let slots = u32::try_from(slots).expect("at most 2^20 slots");
        Sick {
            name,
            slots,
            bad,
            needed: SlotSet::below(slots),
        }
    }

    /// Is the page bad, and needed?
    fn wants(&self, slot: u32) -> bool {
        self.needed.contains(slot) && bad::any_of(&self.bad, &(slot..slot + 1))
    }

    /// Slots of which the pages are to be had from elsewhere, ascending.
    fn wanted(&self) -> impl Iterator<Item = u32> {
        let slots = self
            .bad
            .iter()
            .flat_map(|range| range.start..range.end.min(self.slots));
        slots.filter(|&slot| self.needed.contains(slot))
    }
}

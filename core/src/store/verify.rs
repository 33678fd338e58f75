//! Reads everything and says what is wrong with it.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use super::bad::{self, BadSlots, KnownBad};
use super::blame::Blame;
use super::expand::{Chunk, WrongFrame};
use super::files::{self, CHECKPOINTS, SEGMENTS, segment_path, tmp_path};
use super::frame::FrameEntry;
use super::manifest::Manifest;
use super::page_map::{Run, Source};
use super::pool::Pool;
use super::segment::SegmentReader;
use super::slots::SlotSet;
use super::{CatalogueLog, CheckpointId, Finding, SegmentName, Store, StoreError, Stranger, entries, header};

/// Frames expanded together, and how many of these bundles at the same time.
const CHUNK_FRAMES: usize = 32;
const AHEAD: usize = 4;

/// What a verification saw.
#[derive(Debug, Clone, Default)]
pub struct Verification {
    /// Damage.
    pub findings: Vec<Finding>,
    /// Files that no checkpoint needs: left by a crash or by a writer at work. No damage; `collect` removes them.
    pub remains: Vec<Remains>,
    /// What no store made, as far as it is unusual. No damage either; nobody reads or removes it.
    pub strangers: Vec<Stranger>,
    /// Manifests that were read.
    pub checkpoints: u64,
    /// Segments that were read.
    pub segments: u64,
    /// Stored pages that were expanded and compared with their digests.
    pub pages: u64,
    /// Bytes of manifests, segments and the catalogue log that were read.
    pub bytes: u64,
    /// Why the bad frames that were found could not be noted, if so. Noted ones are not shared by later checkpoints, and are
    /// what `repair` heals.
    pub not_noted: Option<String>,
    /// The catalogue log, if the whole store was verified and has one that reads to its end.
    pub log: Option<CatalogueLog>,
}

/// A file that no checkpoint needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remains {
    /// Its path within the medium.
    pub path: String,
    /// Its length in bytes.
    pub len_bytes: u64,
}

/// A segment as far as checkpoints care.
#[derive(Debug, Default)]
struct Judged {
    /// Slots that have a frame, ascending.
    present: Vec<Range<u32>>,
    /// Slots of damaged frames, ascending, and the findings about them: one each, the first of them this one.
    damaged: Vec<Range<u32>>,
    findings: usize,
    /// How many slots there are.
    slots: u32,
    /// The segment as a whole cannot be read; the finding names all who need it.
    unreadable: bool,
}

/// A verification at work.
#[derive(Debug)]
struct Verifier<'s> {
    store: &'s Store,
    pool: Pool<Chunk>,
    seen: Verification,
    /// Segments needed, by whom.
    needed: BTreeMap<SegmentName, Vec<CheckpointId>>,
    judged: BTreeMap<SegmentName, Judged>,
    /// Slots that a checkpoint needs and that have no frame.
    missing: BTreeMap<SegmentName, SlotSet>,
}

impl Store {
    /// Reads a checkpoint with all it needs, or (`None`) the whole store, and checks every byte. Damage is found, not
    /// returned as an error; an error means that the verification could not be done.
    pub fn verify(&self, id: Option<CheckpointId>) -> Result<Verification, StoreError> {
        let _lock = self.share("verify the store")?;
        self.verify_locked(id)
    }

    /// The same for a caller that has a lock.
    pub(super) fn verify_locked(&self, id: Option<CheckpointId>) -> Result<Verification, StoreError> {
        let pool = Pool::new(self.options.workers);
        let seen = Verification::default();
        let mut verifier = Verifier {
            store: self,
            pool,
            seen,
            needed: BTreeMap::new(),
            judged: BTreeMap::new(),
            missing: BTreeMap::new(),
        };
        let known = KnownBad::read(&self.medium)?;
        verifier.seen.findings.extend(known.damaged.iter().cloned());
        if let Some(finding) = damage(header::check(&self.medium))?.err() {
            verifier.seen.findings.push(finding);
        }
        let ids = if let Some(id) = id {
            vec![id]
        } else {
            verifier.catalogue()?
        };
        let manifests = verifier.heads(&ids, id.is_some())?;
        if id.is_none() {
            verifier.other_files()?;
        }
        for name in verifier.needed.keys().copied().collect::<Vec<_>>() {
            let judged = verifier.segment(name)?;
            verifier.judged.insert(name, judged);
        }
        manifests
            .into_iter()
            .try_for_each(|manifest| verifier.body(&manifest))?;
        verifier.seen.not_noted = verifier
            .note(&known, id.is_none())
            .err()
            .map(|error| error.to_string());
        let mut seen = verifier.seen;
        if id.is_some() {
            // A damaged frame that this checkpoint has no page in is not its damage.
            seen.findings
                .retain(|finding| !finding.checkpoints.is_empty() || finding.path == files::HEADER);
        }
        Ok(seen)
    }
}

impl Verifier<'_> {
    /// Ids of all manifests, held against the log, which is read before them.
    fn catalogue(&mut self) -> Result<Vec<CheckpointId>, StoreError> {
        let mut log = self.store.review_log()?;
        let ids = self.store.ids()?;
        let (found, mut missing) = log.compare(&ids);
        self.seen.findings.append(&mut log.findings);
        self.seen.findings.append(&mut missing);
        self.seen.remains.append(&mut log.remains);
        self.seen.strangers.append(&mut log.strangers);
        self.seen.bytes += log.bytes;
        self.seen.log = found;
        Ok(ids)
    }

    /// Opens manifests and notes which segments they need.
    fn heads(&mut self, ids: &[CheckpointId], must_exist: bool) -> Result<Vec<Manifest>, StoreError> {
        let mut manifests = Vec::new();
        for &id in ids {
            match damage(Manifest::open(&self.store.medium, id)) {
                Ok(Ok(manifest)) => {
                    for &name in &manifest.head.segments {
                        self.needed.entry(name).or_default().push(id);
                    }
                    self.seen.bytes += manifest.len_bytes();
                    manifests.push(manifest);
                }
                Ok(Err(finding)) => self.seen.findings.push(finding.of(id)),
                // Pruned since the directory was read.
                Err(StoreError::NoSuchCheckpoint(_)) if !must_exist => {}
                Err(error) => return Err(error),
            }
        }
        Ok(manifests)
    }

    /// Files that no manifest leads to.
    fn other_files(&mut self) -> Result<(), StoreError> {
        let medium = &*self.store.medium;
        let segments = entries::contents(medium, SEGMENTS, SegmentName::parse)?;
        let checkpoints = entries::contents(medium, CHECKPOINTS, |name| name.parse::<CheckpointId>().ok())?;
        let tmp = entries::tmp(medium)?;
        let unused = segments
            .own
            .into_iter()
            .filter(|(name, _)| !self.needed.contains_key(name));
        let unused = unused.map(|(name, len_bytes)| (segment_path(name), len_bytes));
        let unfinished = tmp
            .own
            .into_iter()
            .map(|(number, len_bytes)| (tmp_path(number), len_bytes));
        self.seen.remains.extend(
            unused
                .chain(unfinished)
                .map(|(path, len_bytes)| Remains { path, len_bytes }),
        );
        // What is in the place of a manifest or of a segment that is needed is damage.
        let is_needed = |path: &String| {
            let (dir, name) = path.split_once('/').unwrap_or_default();
            match dir {
                CHECKPOINTS => name.parse::<CheckpointId>().is_ok(),
                SEGMENTS => SegmentName::parse(name).is_some_and(|name| self.needed.contains_key(&name)),
                _ => false,
            }
        };
        let all = [checkpoints.strangers, segments.strangers, tmp.strangers];
        self.seen.strangers.extend(
            all.into_iter()
                .flatten()
                .filter(|stranger| !is_needed(&stranger.path)),
        );
        Ok(())
    }

    /// Reads a segment from end to end.
    fn segment(&mut self, name: SegmentName) -> Result<Judged, StoreError> {
        self.seen.segments += 1;
        let users = self.needed[&name].clone();
        let segment = match damage(SegmentReader::open(&self.store.medium, name))? {
            Ok(segment) => segment,
            Err(finding) => {
                self.seen.findings.push(Finding {
                    checkpoints: users,
                    ..finding
                });
                return Ok(Judged {
                    unreadable: true,
                    ..Judged::default()
                });
            }
        };
        self.seen.bytes += segment.file.len_bytes();
        let mut judged = Judged {
            slots: u32::try_from(segment.footer.digests.len()).expect("at most 2^20 slots"),
            ..Judged::default()
        };
        for frame in &segment.footer.frames {
            match judged.present.last_mut() {
                Some(last) if last.end == frame.first_slot => last.end = frame.end_slot(),
                _ => judged.present.push(frame.first_slot..frame.end_slot()),
            }
        }
        judged.findings = self.seen.findings.len();
        for wrong in self.frames(&segment)? {
            judged
                .damaged
                .push(wrong.entry.first_slot..wrong.entry.end_slot());
            self.seen.findings.push(wrong.finding(&segment_path(name)));
        }
        Ok(judged)
    }

    /// Expands every frame of a segment; gives the damaged ones.
    fn frames(&mut self, segment: &SegmentReader) -> Result<Vec<WrongFrame>, StoreError> {
        let mut wrong = Vec::new();
        let mut ahead = VecDeque::new();
        let mut spare: Vec<Chunk> = Vec::new();
        let mut bundles: VecDeque<&[FrameEntry]> = segment.footer.frames.chunks(CHUNK_FRAMES).collect();
        let mut result = Ok(());
        loop {
            while ahead.len() < AHEAD && result.is_ok() {
                let Some(frames) = bundles.pop_front() else { break };
                let mut chunk = spare.pop().unwrap_or_default();
                match damage(chunk.read(segment, frames)) {
                    Ok(Ok(())) => ahead.push_back(self.pool.submit(chunk)),
                    // Which of them is it?
                    Ok(Err(_)) if frames.len() > 1 => {
                        let each = frames.chunks(1).rev();
                        each.for_each(|frame| bundles.push_front(frame));
                    }
                    Ok(Err(finding)) => wrong.push(WrongFrame {
                        entry: frames[0],
                        offset: frames[0].offset,
                        what: finding.what,
                        kind: finding.kind,
                    }),
                    Err(error) => result = Err(error),
                }
            }
            let Some(ticket) = ahead.pop_front() else { break };
            let mut chunk: Chunk = self.pool.wait(ticket);
            self.seen.pages += chunk
                .frames
                .iter()
                .map(|f: &FrameEntry| u64::from(f.pages))
                .sum::<u64>();
            wrong.append(&mut chunk.wrong);
            spare.push(chunk);
        }
        wrong.sort_by_key(|wrong| wrong.entry.first_slot);
        result.map(|()| wrong)
    }

    /// Reads a manifest's map and holds it against the segments.
    fn body(&mut self, manifest: &Manifest) -> Result<(), StoreError> {
        let id = manifest.head.info.id;
        self.seen.checkpoints += 1;
        let mut needs = Needs::default();
        let read = manifest.body().and_then(|body| {
            let names = &manifest.head.segments;
            body.runs()
                .try_for_each(|run| run.map(|run| needs.note(&self.judged, &mut self.missing, names, &run)))
        });
        if let Some(finding) = damage(read)?.err() {
            self.seen.findings.push(finding.of(id));
            return Ok(());
        }
        for (name, blame) in needs.damaged {
            let first = self.judged[&name].findings;
            for position in blame.needed() {
                self.seen.findings[first + position].checkpoints.push(id);
            }
        }
        for (name, slot) in needs.missing {
            let what = format!(
                "expected frames with the pages in slot {slot} and behind, which the checkpoint needs"
            );
            self.seen
                .findings
                .push(Finding::new(segment_path(name), None, what).of(id));
        }
        Ok(())
    }
}

impl Verifier<'_> {
    /// Makes the lists of bad frames say what was found. A list of a segment that was not looked at stays, unless the segment
    /// is gone.
    fn note(&self, known: &KnownBad, everything: bool) -> Result<(), StoreError> {
        let medium = &self.store.medium;
        let mut lists: BTreeMap<SegmentName, BadSlots> = BTreeMap::new();
        for (&name, judged) in &self.judged {
            // Nothing is shared with a segment that does not open; what was known of it is known when it does again.
            let slots = if judged.unreadable && known.damaged.is_empty() {
                known.of(name).to_vec()
            } else if judged.unreadable {
                BadSlots::new()
            } else {
                let missing = self.missing.get(&name).map(SlotSet::ranges).unwrap_or_default();
                // Another checkpoint may need what has no frame.
                let listed = if everything { &[][..] } else { known.of(name) };
                let without_frame = bad::minus(&bad::union(&missing, listed), &judged.present);
                bad::union(&judged.damaged, &without_frame)
            };
            lists.insert(name, slots);
        }
        if everything && !known.is_empty() {
            let there = medium.list(SEGMENTS)?;
            let there: Vec<_> = there
                .iter()
                .filter_map(|entry| SegmentName::parse(&entry.name))
                .collect();
            let gone = known.segments.keys().filter(|name| !there.contains(name));
            for &name in gone {
                lists.entry(name).or_default();
            }
        }
        // Where the folder does not read there may be none to clear.
        let is_list = |finding: &Finding| finding.path != files::BAD;
        let any_damaged = known.damaged.iter().any(is_list);
        lists.retain(|&name, slots| slots != known.of(name) || any_damaged);
        if !lists.is_empty() {
            self.store.check_writable()?;
        }
        lists
            .iter()
            .try_for_each(|(&name, slots)| bad::write_list(medium, name, slots))
    }
}

/// What a checkpoint needs of what is not right.
#[derive(Debug, Default)]
struct Needs<'j> {
    /// Damaged frames.
    damaged: BTreeMap<SegmentName, Blame<'j>>,
    /// The first slot that has no frame.
    missing: BTreeMap<SegmentName, u32>,
}

impl<'j> Needs<'j> {
    fn note(
        &mut self,
        judged: &'j BTreeMap<SegmentName, Judged>,
        missing: &mut BTreeMap<SegmentName, SlotSet>,
        names: &[SegmentName],
        run: &Run,
    ) {
        let Source::Stored { segment, slot } = run.source else {
            return;
        };
        let (name, slots) = (names[segment as usize], slot..slot + run.count);
        let segment = &judged[&name];
        if segment.unreadable {
            return;
        }
        if !segment.damaged.is_empty() {
            let blame = self.damaged.entry(name);
            blame.or_insert_with(|| Blame::new(&segment.damaged)).need(&slots);
        }
        let after = segment
            .present
            .partition_point(|present| present.end <= slots.start);
        let present = segment.present.get(after);
        if !present.is_some_and(|present| present.start <= slots.start && slots.end <= present.end) {
            self.missing.entry(name).or_insert(slots.start);
            let missing = missing.entry(name);
            missing
                .or_insert_with(|| SlotSet::below(segment.slots))
                .add(slots);
        }
    }
}

/// Takes damage out of an error.
pub(super) fn damage<T>(result: Result<T, StoreError>) -> Result<Result<T, Finding>, StoreError> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(StoreError::Damaged(finding)) => Ok(Err(*finding)),
        Err(StoreError::NotAStore { path }) => Ok(Err(Finding::new(path, None, "the file is missing"))),
        Err(error) => Err(error),
    }
}

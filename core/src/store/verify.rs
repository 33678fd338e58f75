//! Reads everything and says what is wrong with it.

use std::collections::BTreeMap;
use std::ops::Range;

use super::expand::{Chunk, WrongFrame};
use super::files::{self, CHECKPOINTS, SEGMENTS, segment_path, tmp_path};
use super::frame::FrameEntry;
use super::manifest::Manifest;
use super::page_map::{PackedRun, Run, Source};
use super::pool::Pool;
use super::segment::SegmentReader;
use super::{CatalogueLog, CheckpointId, Finding, SegmentName, Store, StoreError, Stranger, entries, header};
use crate::medium::MediumErrorKind;

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
    /// Damaged slots and the finding about them.
    damaged: Vec<(Range<u32>, usize)>,
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
}

impl Store {
    /// Reads a checkpoint with all it needs, or (`None`) the whole store, and checks every byte. Damage is found, not
    /// returned as an error; an error means that the verification could not be done.
    pub fn verify(&self, id: Option<CheckpointId>) -> Result<Verification, StoreError> {
        let _lock = self.share("verify the store")?;
        let pool = Pool::new(self.options.workers);
        let seen = Verification::default();
        let mut verifier = Verifier {
            store: self,
            pool,
            seen,
            needed: BTreeMap::new(),
            judged: BTreeMap::new(),
        };
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
        let mut judged = Judged::default();
        for frame in &segment.footer.frames {
            match judged.present.last_mut() {
                Some(last) if last.end == frame.first_slot => last.end = frame.end_slot(),
                _ => judged.present.push(frame.first_slot..frame.end_slot()),
            }
        }
        match damage(self.frames(&segment))? {
            Ok(wrong) => {
                for wrong in wrong {
                    let slots = wrong.entry.first_slot..wrong.entry.end_slot();
                    judged.damaged.push((slots, self.seen.findings.len()));
                    self.seen.findings.push(wrong.finding(&segment_path(name)));
                }
            }
            Err(finding) => {
                self.seen.findings.push(Finding {
                    checkpoints: users,
                    ..finding
                });
                judged.unreadable = true;
            }
        }
        Ok(judged)
    }

    /// Expands every frame of a segment; gives the damaged ones.
    fn frames(&mut self, segment: &SegmentReader) -> Result<Vec<WrongFrame>, StoreError> {
        let mut wrong = Vec::new();
        let mut ahead = std::collections::VecDeque::new();
        let mut spare: Vec<Chunk> = Vec::new();
        let mut bundles = segment.footer.frames.chunks(CHUNK_FRAMES);
        let mut result = Ok(());
        loop {
            while let Some(frames) = bundles.next().filter(|_| result.is_ok()) {
                let mut chunk = spare.pop().unwrap_or_default();
                result = chunk.read(segment, frames);
                if result.is_ok() {
                    ahead.push_back(self.pool.submit(chunk));
                }
                if ahead.len() >= AHEAD {
                    break;
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
        result.map(|()| wrong)
    }

    /// Reads a manifest's map and holds it against the segments.
    fn body(&mut self, manifest: &Manifest) -> Result<(), StoreError> {
        let id = manifest.head.info.id;
        self.seen.checkpoints += 1;
        let body = match damage(manifest.body())? {
            Ok(body) => body,
            Err(finding) => {
                self.seen.findings.push(finding.of(id));
                return Ok(());
            }
        };
        let mut missing: BTreeMap<SegmentName, u32> = BTreeMap::new();
        for (name, slots) in body
            .runs
            .iter()
            .filter_map(|&run| stored(run, &manifest.head.segments))
        {
            let judged = &self.judged[&name];
            if judged.unreadable {
                continue;
            }
            for (damaged, finding) in &judged.damaged {
                let users = &mut self.seen.findings[*finding].checkpoints;
                if damaged.start < slots.end && slots.start < damaged.end && !users.contains(&id) {
                    users.push(id);
                }
            }
            let after = judged
                .present
                .partition_point(|present| present.end <= slots.start);
            let present = judged.present.get(after);
            if !present.is_some_and(|present| present.start <= slots.start && slots.end <= present.end) {
                missing.entry(name).or_insert(slots.start);
            }
        }
        for (name, slot) in missing {
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

/// Segment and slots of a stored run.
fn stored(run: PackedRun, segments: &[SegmentName]) -> Option<(SegmentName, Range<u32>)> {
    let run = Run::from(run);
    match run.source {
        Source::Zero => None,
        Source::Stored { segment, slot } => Some((segments[segment as usize], slot..slot + run.count)),
    }
}

/// Takes damage out of an error. A file that the medium fails to read is damaged too, a bad sector, and so is what is no file.
pub(super) fn damage<T>(result: Result<T, StoreError>) -> Result<Result<T, Finding>, StoreError> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(StoreError::Damaged(finding)) => Ok(Err(*finding)),
        Err(StoreError::NotAStore { path }) => Ok(Err(Finding::new(path, None, "the file is missing"))),
        Err(StoreError::Medium(error))
            if matches!(error.kind, MediumErrorKind::Other | MediumErrorKind::NotAFile) =>
        {
            let what = format!("cannot be read: {}", error.source);
            Ok(Err(Finding::new(error.path, None, what)))
        }
        Err(error) => Err(error),
    }
}

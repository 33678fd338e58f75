//! Before anything is deleted: what the checkpoints that stay need, what they lack, and what nobody can tell.

use std::collections::{BTreeMap, BTreeSet};

use crate::store::files::{CHECKPOINTS, SEGMENTS};
use crate::store::live::Live;
use crate::store::manifest::Manifest;
use crate::store::retention::{Judge, Scope};
use crate::store::whole::Footers;
use crate::store::{CheckpointId, CheckpointInfo, Finding, FindingKind, SegmentName, Store, StoreError};

/// What has been seen of the checkpoints that stay. Each manifest is read once.
#[derive(Debug)]
pub(super) struct Census<'s> {
    store: &'s Store,
    /// Of whom checkpoints that are not whole are dropped at once; `None`: of nobody.
    drop_of: Option<Scope>,
    looked_at: BTreeMap<CheckpointId, bool>,
    footers: Footers<'s>,
    /// What is needed.
    pub(super) live: Live,
    /// What may be needed.
    pub(super) held: Held,
    /// Why checkpoints that stay are not whole.
    pub(super) not_whole: Vec<Finding>,
    /// Why checkpoints are dropped although no rule drops them.
    pub(super) doomed: Vec<Finding>,
}

/// Segments that manifests may need which do not read.
#[derive(Debug, Default)]
pub(super) struct Held {
    all: bool,
    segments: BTreeSet<SegmentName>,
    /// What is wrong with these manifests.
    pub(super) by: Vec<Finding>,
}

impl Held {
    pub(super) fn holds(&self, name: SegmentName) -> bool {
        self.all || self.segments.contains(&name)
    }
}

impl<'s> Census<'s> {
    pub(super) fn new(store: &'s Store, drop_of: Option<Scope>) -> Result<Self, StoreError> {
        Ok(Census {
            store,
            drop_of,
            looked_at: BTreeMap::new(),
            footers: Footers::new(store)?,
            live: Live::new(store.medium.list(SEGMENTS)?),
            held: Held::default(),
            not_whole: Vec::new(),
            doomed: Vec::new(),
        })
    }

    /// Takes in manifests that a listing could not read. Whose they are and what they need is unknown.
    pub(super) fn take_unlisted(&mut self, found: Vec<Finding>) {
        for finding in found.into_iter().filter(|found| !found.checkpoints.is_empty()) {
            if self.drop_of == Some(Scope::All) && is_hopeless(&finding) {
                self.doomed.push(finding);
            } else {
                self.held.all = true;
                self.held.by.push(finding);
            }
        }
    }

    /// Looks at a checkpoint that stays: is it whole?
    pub(super) fn look_at(&mut self, info: &CheckpointInfo) -> Result<bool, StoreError> {
        if let Some(&is_whole) = self.looked_at.get(&info.id) {
            return Ok(is_whole);
        }
        let lacking = match Manifest::open(&self.store.medium, info.id) {
            Ok(manifest) => self.look_at_map(info, &manifest)?,
            Err(error) => {
                let finding = damage(error)?;
                if self.keeps(info, &finding) {
                    self.held.all = true;
                    self.held.by.push(finding.clone());
                }
                Some(finding)
            }
        };
        let is_whole = lacking.is_none();
        if let Some(finding) = lacking {
            let found = if self.keeps(info, &finding) {
                &mut self.not_whole
            } else {
                &mut self.doomed
            };
            found.push(finding.of(info.id));
        }
        self.looked_at.insert(info.id, is_whole);
        Ok(is_whole)
    }

    fn look_at_map(
        &mut self,
        info: &CheckpointInfo,
        manifest: &Manifest,
    ) -> Result<Option<Finding>, StoreError> {
        let names = &manifest.head.segments;
        let read = manifest.body().and_then(|body| {
            let lacking = self.footers.lacking(&manifest.head, &body)?;
            Ok((body, lacking))
        });
        let (body, lacking) = match read {
            Ok(read) => read,
            Err(error) => {
                let finding = damage(error)?;
                if self.keeps(info, &finding) {
                    self.held.segments.extend(names);
                    self.held.by.push(finding.clone());
                }
                return Ok(Some(finding));
            }
        };
        if lacking.as_ref().is_none_or(|finding| self.keeps(info, finding)) {
            for run in body.runs() {
                self.live.mark(names, &run?);
            }
        }
        Ok(lacking)
    }

    /// Does this checkpoint stay although it lacks something?
    fn keeps(&self, info: &CheckpointInfo, lacking: &Finding) -> bool {
        let is_covered = self
            .drop_of
            .as_ref()
            .is_some_and(|scope| scope.covers(&info.guest));
        !is_covered || !is_hopeless(lacking)
    }
}

impl Judge for Census<'_> {
    fn is_whole(&mut self, info: &CheckpointInfo) -> Result<bool, StoreError> {
        self.look_at(info)
    }
}

/// What this process may not read another can; and what has a manifest's place and is no file is not the store's to remove.
fn is_hopeless(finding: &Finding) -> bool {
    match finding.kind {
        FindingKind::Damaged | FindingKind::Unreadable => true,
        FindingKind::NotAFile => !finding.path.starts_with(CHECKPOINTS),
        FindingKind::Denied => false,
    }
}

fn damage(error: StoreError) -> Result<Finding, StoreError> {
    match error {
        StoreError::Damaged(finding) => Ok(*finding),
        error => Err(error),
    }
}

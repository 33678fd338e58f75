//! Where pages are had from that a segment lacks.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::medium::Medium;
use crate::store::cache::Cache;
use crate::store::files::{SEGMENTS, StoreFile, segment_path};
use crate::store::frame::{Codec, FrameEntry};
use crate::store::id::{Digest, page_digest};
use crate::store::segment::SegmentReader;
use crate::store::verify::damage;
use crate::store::{SegmentName, Store, StoreError, entries};
use crate::units::{PAGE_SIZE, Page};

/// Places remembered for a page: the first may turn out to be damaged as well.
const PLACES_MAX: usize = 4;
/// Expanded frames (64 KiB each) and open files kept.
const FRAMES_KEPT: usize = 128;
const FILES_KEPT: usize = 32;

/// Where a page should be.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// In the other store.
    theirs: bool,
    name: SegmentName,
    frame: FrameEntry,
    /// Position in the frame.
    index: usize,
}

/// Frames that have, by their footers, the pages that are wanted. Nothing is believed: each page is held against its digest.
#[derive(Debug)]
pub(super) struct Sources<'m> {
    ours: &'m Rc<dyn Medium>,
    theirs: Option<&'m Rc<dyn Medium>>,
    wanted: BTreeSet<Digest>,
    places: BTreeMap<Digest, Vec<Place>>,
    files: Cache<(bool, SegmentName), StoreFile>,
    /// By store, segment and offset; `None`: it does not expand.
    frames: Cache<(bool, SegmentName, u64), Option<Vec<u8>>>,
    codec: Codec,
}

impl<'m> Sources<'m> {
    /// Looks through the footers of a store, without those of `looked_at`, and of another.
    pub(super) fn find(
        wanted: BTreeSet<Digest>,
        store: &'m Store,
        looked_at: Option<&BTreeSet<SegmentName>>,
        from: Option<&'m Store>,
    ) -> Result<Self, StoreError> {
        let mut sources = Sources {
            ours: &store.medium,
            theirs: from.map(|from| &from.medium),
            wanted,
            places: BTreeMap::new(),
            files: Cache::new(FILES_KEPT),
            frames: Cache::new(FRAMES_KEPT),
            codec: Codec::default(),
        };
        if sources.wanted.is_empty() {
            return Ok(sources);
        }
        for (theirs, medium) in [(false, Some(sources.ours)), (true, sources.theirs)] {
            let Some(medium) = medium else { continue };
            for (name, _) in entries::contents(&**medium, SEGMENTS, SegmentName::parse)?.own {
                if !theirs && looked_at.is_some_and(|seen| seen.contains(&name)) {
                    continue;
                }
                if let Ok(segment) = damage(SegmentReader::open(medium, name))? {
                    let frames = &segment.footer.frames;
                    for frame in frames {
                        sources.note(theirs, name, &segment, frame);
                    }
                }
            }
        }
        Ok(sources)
    }

    /// A damaged frame of this store's: what is left of it may be just what is wanted.
    pub(super) fn salvage(&mut self, segment: &SegmentReader, name: SegmentName, frame: &FrameEntry) {
        self.note(false, name, segment, frame);
    }

    fn note(&mut self, theirs: bool, name: SegmentName, segment: &SegmentReader, frame: &FrameEntry) {
        for (index, digest) in segment.footer.digests_of(frame).iter().enumerate() {
            if !self.wanted.contains(digest) {
                continue;
            }
            let places = self.places.entry(*digest).or_default();
            let known = places
                .iter()
                .any(|p| (p.theirs, p.name, p.frame.offset) == (theirs, name, frame.offset));
            if places.len() < PLACES_MAX && !known {
                places.push(Place {
                    theirs,
                    name,
                    frame: *frame,
                    index,
                });
            }
        }
    }

    /// The page with this digest, from the first place that has it.
    pub(super) fn page(&mut self, digest: &Digest) -> Result<Option<Page>, StoreError> {
        while let Some(&place) = self.places.get(digest).and_then(|places| places.first()) {
            let page = self.read(place)?.filter(|page| page_digest(page) == *digest);
            if page.is_some() {
                return Ok(page);
            }
            // Not looked at again.
            if let Some(places) = self.places.get_mut(digest) {
                places.remove(0);
            }
        }
        Ok(None)
    }

    fn read(&mut self, place: Place) -> Result<Option<Page>, StoreError> {
        let key = (place.theirs, place.name, place.frame.offset);
        if self.frames.get(key).is_none() {
            let pages = damage(self.expand(place))?.ok().flatten();
            self.frames.insert(key, pages);
        }
        let pages = self.frames.get(key).and_then(Option::as_ref);
        Ok(pages.and_then(|pages| pages.as_chunks::<PAGE_SIZE>().0.get(place.index).copied()))
    }

    fn expand(&mut self, place: Place) -> Result<Option<Vec<u8>>, StoreError> {
        let key = (place.theirs, place.name);
        let medium = if place.theirs {
            self.theirs
        } else {
            Some(self.ours)
        };
        if let (None, Some(medium)) = (self.files.get(key), medium) {
            let file = StoreFile::open(medium, segment_path(place.name))?;
            self.files.insert(key, file);
        }
        let Some(file) = self.files.get(key) else {
            return Ok(None);
        };
        let mut stored = vec![0; place.frame.len_bytes as usize];
        file.read_at(place.frame.offset, &mut stored)?;
        let mut pages = vec![0; place.frame.page_bytes()];
        Ok(self.codec.salvage(&stored, &mut pages).then_some(pages))
    }
}

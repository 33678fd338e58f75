//! How near a pruned store comes to what its checkpoints need, what that costs, and what becomes of it on a full medium.

use std::rc::Rc;

use super::memory::MemoryMedium;
use super::support::{new, options, store_on};
use crate::guest::{PageBatch, PageTag};
use crate::medium::Medium;
use crate::store::{
    CheckpointId, CheckpointInfo, CollectOptions, Collected, Pruned, Retention, Scope, Store,
};
use crate::units::{PAGE_SIZE, Page, Pfn};

fn keep_last(n: u32) -> Retention {
    Retention {
        keep_last: Some(n),
        ..Retention::new(Scope::All)
    }
}

/// Numbers that look drawn, the same ones each time.
#[derive(Debug)]
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// What pages of guests are like: some of each are text, pointers, sparse tables, or compressed already.
fn page(frame: u64, version: u32, alike: bool) -> Page {
    if alike {
        let mut page = page(7, 0, false);
        page[..8].copy_from_slice(&(frame << 32 | u64::from(version)).to_le_bytes());
        return page;
    }
    let mut draw = Draw((frame << 20 | u64::from(version)).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let base = (0..4).fold(0, |_, _| draw.next());
    let mut page = [0; PAGE_SIZE];
    for (i, word) in page.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let value = match frame % 8 {
            0..3 => 0x2065_6874_2064_6e61 ^ (draw.below(26) << (8 * (i % 8))),
            3..6 => 0xffff_8880_0000_0000 | (base & 0xfff_f000) | (draw.below(64) << 3),
            6 if i % 9 == 0 => draw.next(),
            6 => 0,
            _ => draw.next(),
        };
        *word = value.to_le_bytes();
    }
    page
}

/// A guest that is checkpointed to a store and pruned there.
struct Guest {
    medium: Rc<MemoryMedium>,
    store: Store,
    draw: Draw,
    /// All its pages are the same, but for some bytes.
    alike: bool,
    /// What each frame holds.
    versions: Vec<u32>,
    /// Checkpoints that are kept, with what they hold.
    kept: Vec<(CheckpointId, Vec<u32>)>,
    /// Bytes of checkpoints, and of rewritten segments.
    committed_bytes: u64,
    rewritten_bytes: u64,
}

impl Guest {
    fn new(frames: usize) -> Self {
        let medium = MemoryMedium::new();
        Guest {
            store: store_on(medium.clone(), options(0)),
            medium,
            draw: Draw(7),
            alike: false,
            versions: vec![1; frames],
            kept: Vec::new(),
            committed_bytes: 0,
            rewritten_bytes: 0,
        }
    }

    fn write(&mut self, frame: u64) {
        self.versions[usize::try_from(frame).unwrap()] += 1;
    }

    /// Writes so many frames, anywhere.
    fn write_anywhere(&mut self, count: usize) {
        for _ in 0..count {
            let frame = self.draw.below(self.versions.len() as u64);
            self.write(frame);
        }
    }

    /// Writes stretches of 32 frames, so many frames in all.
    fn write_clusters(&mut self, count: usize) {
        for _ in 0..count / 32 {
            let first = self.draw.below(self.versions.len() as u64 - 32);
            (first..first + 32).for_each(|frame| self.write(frame));
        }
    }

    fn checkpoint(&mut self) {
        let info = commit(&self.store, &self.versions, self.alike);
        self.committed_bytes += info.stored_bytes;
        self.kept.push((info.id, self.versions.clone()));
    }

    fn prune(&mut self, keep: u32, options: CollectOptions) -> Pruned {
        let pruned = self.store.prune(&keep_last(keep), options).unwrap();
        self.rewritten_bytes += pruned.collected.rewritten_bytes;
        self.kept
            .retain(|(id, _)| pruned.kept.iter().any(|info| info.id == *id));
        pruned
    }

    /// Fails unless every checkpoint holds what it held.
    fn assert_whole(&self) {
        for (id, versions) in &self.kept {
            let mut reader = self.store.read(*id).unwrap();
            let (mut batch, mut seen) = (PageBatch::new(), 0);
            while reader.next_batch(&mut batch).unwrap() {
                for (pfn, _, found) in batch.iter() {
                    let version = versions[usize::try_from(pfn.0).unwrap()];
                    assert!(*found == page(pfn.0, version, self.alike), "{pfn} of {id}");
                    seen += 1;
                }
            }
            assert_eq!(seen, versions.len());
        }
        let verified = self.store.verify(None).unwrap();
        assert_eq!((verified.findings, verified.remains), (vec![], vec![]));
    }

    /// The store, as a multiple of what its checkpoints take in one that never held anything else.
    fn factor(&self) -> f64 {
        let medium = MemoryMedium::new();
        let fresh = store_on(medium.clone(), options(0));
        for (_, versions) in &self.kept {
            commit(&fresh, versions, self.alike);
        }
        stored_bytes(&self.medium) as f64 / stored_bytes(&medium) as f64
    }
}

fn commit(store: &Store, versions: &[u32], alike: bool) -> CheckpointInfo {
    let mut staging = store.begin(new("g", None)).unwrap();
    for (first, some) in (0u64..).step_by(1000).zip(versions.chunks(1000)) {
        let mut batch = staging.take_batch();
        for (frame, &version) in (first..).zip(some) {
            batch.push(Pfn(frame), PageTag(0), &page(frame, version, alike));
        }
        staging.put_pages(batch).unwrap();
    }
    staging.commit().unwrap()
}

fn stored_bytes(medium: &MemoryMedium) -> u64 {
    let dirs = ["segments", "checkpoints", "tmp"].map(|dir| medium.list(dir).unwrap());
    dirs.iter().flatten().map(|entry| entry.len_bytes).sum()
}

/// Runs a guest that writes, is checkpointed and pruned, again and again; the largest factor of the second half of its
/// life and the bytes rewritten for each byte of a checkpoint.
fn live(what: &str, rounds: u32, keep: u32, mut write: impl FnMut(&mut Guest)) -> (f64, f64) {
    let mut guest = Guest::new(FRAMES);
    let mut largest: f64 = 0.0;
    for round in 0..rounds {
        write(&mut guest);
        guest.checkpoint();
        guest.prune(keep, CollectOptions::default());
        if round >= rounds / 2 && (round % 5 == 0 || round + 1 == rounds) {
            largest = largest.max(guest.factor());
        }
    }
    guest.assert_whole();
    let rewritten = guest.rewritten_bytes as f64 / guest.committed_bytes as f64;
    println!("{what}: {largest:.2} times afresh, {rewritten:.2} B rewritten a byte");
    (largest, rewritten)
}

/// Pages that are the same but for a few bytes take little together and much each by itself: there is nothing to be had from
/// taking them apart, and that is not tried again and again.
#[test]
fn pages_that_are_alike_are_not_taken_apart_in_vain() {
    let mut guest = Guest::new(FRAMES);
    guest.alike = true;
    for _ in 0..30 {
        guest.write_anywhere(FRAMES / 10);
        guest.checkpoint();
        guest.prune(3, CollectOptions::default());
    }
    guest.assert_whole();
    let rewritten = guest.rewritten_bytes as f64 / guest.committed_bytes as f64;
    println!(
        "alike, 10 % anywhere, keep 3: {:.2} times afresh, {rewritten:.2} B rewritten a byte",
        guest.factor()
    );
    assert!(rewritten <= 1.0, "{rewritten}");
}

/// 16 MiB.
const FRAMES: usize = 4096;

#[test]
fn a_pruned_store_settles_near_what_its_checkpoints_need() {
    let share = |percent: usize| FRAMES * percent / 100;
    let lives = [
        live("20 % anywhere, keep 1", 12, 1, |g| g.write_anywhere(share(20))),
        live("10 % anywhere, keep 3", 60, 3, |g| g.write_anywhere(share(10))),
        live("2 % anywhere, keep 10", 60, 10, |g| g.write_anywhere(share(2))),
        live("10 % in clusters, keep 3", 60, 3, |g| g.write_clusters(share(10))),
    ];
    for (factor, rewritten) in lives {
        assert!(factor <= 1.5, "{factor}");
        assert!(rewritten <= 1.0, "{rewritten}");
    }
}

#[test]
fn dropping_all_at_once_or_two_pages_of_three_gives_the_space_back() {
    let mut guest = Guest::new(FRAMES);
    for _ in 0..12 {
        guest.write_anywhere(FRAMES / 5);
        guest.checkpoint();
    }
    guest.prune(1, CollectOptions::default());
    guest.assert_whole();
    let factor = guest.factor();
    println!("12 checkpoints, all but one dropped: {factor:.2} times afresh");
    assert!(factor <= 1.5, "{factor}");

    let mut guest = Guest::new(FRAMES);
    guest.checkpoint();
    (0..FRAMES as u64)
        .filter(|frame| frame % 3 != 0)
        .for_each(|frame| guest.write(frame));
    guest.checkpoint();
    guest.prune(1, CollectOptions::default());
    guest.assert_whole();
    let factor = guest.factor();
    println!("every third page live: {factor:.2} times afresh");
    assert!(factor <= 1.5, "{factor}");
}

fn thorough() -> CollectOptions {
    CollectOptions {
        max_unused_percent: 0,
        ..CollectOptions::default()
    }
}

/// A store of three segments that are all to be rewritten: their names and lengths, shortest first.
fn three_to_rewrite() -> (Guest, Vec<(String, u64)>) {
    let mut guest = Guest::new(1600);
    guest.checkpoint();
    (0..800).for_each(|frame| guest.write(frame));
    guest.checkpoint();
    (0..400).for_each(|frame| guest.write(frame));
    guest.checkpoint();
    // Of each segment half goes, and one segment goes as a whole.
    (0..1600)
        .filter(|frame| frame / 50 % 2 == 0)
        .for_each(|frame| guest.write(frame));
    guest.checkpoint();
    let segments = guest.medium.list("segments").unwrap();
    let segments = segments.into_iter().map(|entry| (entry.name, entry.len_bytes));
    (guest, segments.collect())
}

#[test]
fn on_a_full_medium_what_fits_is_done_and_the_rest_is_told() {
    for hides_room in [false, true] {
        let (mut guest, before) = three_to_rewrite();
        let medium = guest.medium.clone();
        medium.hides_room.set(hides_room);
        medium.room.set(0);
        let dry = CollectOptions {
            dry_run: true,
            ..thorough()
        };
        // Three manifests go: they make little room.
        let foreseen = guest.store.prune(&keep_last(1), dry).unwrap().collected;
        let done = guest.prune(1, thorough());
        assert_eq!((done.dropped.len(), done.kept.len()), (3, 1));
        let done = done.collected;
        assert_eq!((done.segments_compacted, done.segments_without_room), (0, 3));
        assert!(done.short_bytes > 0 && done.shortcomings().is_some(), "{done:?}");
        // What the catalogue log takes is not foreseen.
        let in_log = done.short_bytes.saturating_sub(foreseen.short_bytes);
        let foreseen = Collected {
            short_bytes: foreseen.short_bytes + in_log,
            ..foreseen
        };
        assert!(
            hides_room || (foreseen == done && in_log < 1024),
            "{foreseen:?}, {done:?}"
        );
        guest.assert_whole();

        // Room for the shortest, which makes room for others, or does not.
        let mut freed = 0;
        for _ in 0..40 {
            medium.room.set(medium.room.get() + 20_000);
            let foreseen = guest.store.collect(dry).unwrap();
            let done = guest.store.collect(thorough()).unwrap();
            assert!(hides_room || foreseen.freed_bytes.abs_diff(done.freed_bytes) <= done.freed_bytes / 20);
            assert_eq!(medium.list("tmp").unwrap(), []);
            freed += done.freed_bytes;
            guest.assert_whole();
            if done.segments_without_room == 0 {
                break;
            }
            assert!(done.short_bytes > 0);
        }
        let after: u64 = medium.list("segments").unwrap().iter().map(|e| e.len_bytes).sum();
        let before: u64 = before.iter().map(|(_, len_bytes)| len_bytes).sum();
        assert_eq!(before - after, freed);
        assert!(guest.factor() < 1.5, "{}", guest.factor());
    }
}

#[test]
fn the_room_that_is_said_to_be_missing_is_enough() {
    let (mut guest, _) = three_to_rewrite();
    guest.medium.room.set(0);
    let short = guest.prune(1, thorough()).collected.short_bytes;
    let free = guest.medium.room.get();
    // Lengths are foretold from a few frames.
    guest
        .medium
        .room
        .set(free + usize::try_from(short).unwrap() * 21 / 20);
    let done = guest.store.collect(thorough()).unwrap();
    assert_eq!(done.shortcomings(), None);
    guest.assert_whole();
}

#[test]
fn what_cannot_be_removed_is_told_and_in_nobody_elses_way() {
    let (mut guest, _) = three_to_rewrite();
    guest.medium.set("tmp/3", vec![1; 10]);
    guest.medium.set("tmp/4", vec![1; 10]);
    let stuck = guest.kept[1].clone();
    let path = format!("checkpoints/{}", stuck.0.to_hex());
    guest
        .medium
        .stuck
        .borrow_mut()
        .extend([path.clone(), "tmp/3".to_owned()]);
    let pruned = guest.prune(1, thorough());
    let ids = |infos: &[CheckpointInfo]| infos.iter().map(|info| info.id).collect::<Vec<_>>();
    assert_eq!(ids(&pruned.kept)[0], stuck.0, "it is still there");
    assert_eq!((pruned.kept.len(), pruned.dropped.len()), (2, 2));
    let undone: Vec<&str> = pruned.collected.undone.iter().map(|u| u.path.as_str()).collect();
    assert_eq!(undone, [path.as_str(), "tmp/3"]);
    assert_eq!(pruned.collected.remains_removed, 1);
    assert!(pruned.collected.shortcomings().unwrap().contains(&path));
    guest.medium.stuck.borrow_mut().clear();
    guest.store.collect(thorough()).unwrap();
    guest.assert_whole();
}

#[test]
fn a_damaged_frame_is_not_passed_on_as_if_it_were_sound() {
    let (mut guest, segments) = three_to_rewrite();
    let largest = segments.iter().max_by_key(|(_, len_bytes)| *len_bytes).unwrap();
    let path = format!("segments/{}", largest.0);
    let mut bytes = guest.medium.get(&path).unwrap();
    // Frames 50 to 99 of each hundred are needed: the last page of the segment's frames is.
    let middle = bytes.len() - 16 * 1600 - 3000;
    bytes[middle] ^= 1;
    guest.medium.set(&path, bytes.clone());
    let pruned = guest.prune(1, thorough());
    assert_eq!(pruned.collected.damaged_left.len(), 1);
    assert_eq!(guest.medium.get(&path), Some(bytes));
    assert!(
        pruned.collected.segments_compacted > 0,
        "the others are rewritten"
    );
    assert_eq!(pruned.collected.undone, []);
}

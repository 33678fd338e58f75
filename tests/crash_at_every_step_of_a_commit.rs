//! Whatever moment the power goes, no committed checkpoint is lost or changed, no half-made one is seen, and the store
//! goes on working: `docs/checkpoint-format.md` §1.1, §1.2, §5 and §6.
//!
//! A scenario of commits, prunes and an abandoned checkpoint is run once for each operation it does on the disk and each
//! moment of that operation. Everything the disk may then hold is opened, compared with the model and used on. The first
//! things done after a crash are crashed at each of their operations likewise.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{Hash, Hasher};

use revenant_core::medium::MediumErrorKind;
use revenant_core::store::{CheckpointId, CollectOptions, Retention, Scope, Store, StoreError};
use revenant_sim::SimMedium;
use revenant_sim::medium::{Image, Moment};
use revenant_tests::reliability::row;
use revenant_tests::stores::{Expected, open};

type Held = (CheckpointId, Expected);

#[derive(Debug, Clone)]
enum Step {
    /// Make the medium a store.
    Create,
    /// Write frames (frame, tag, page number) of a guest on top of its newest checkpoint, if it has one.
    Commit(&'static str, Vec<(u64, u8, u32)>, &'static str),
    /// The same, but dropped instead of committed.
    Abandon(&'static str, Vec<(u64, u8, u32)>),
    /// Keep the newest checkpoint of each guest, and collect.
    Prune,
}

/// What the model knows of a store.
#[derive(Debug, Clone, Default, Hash)]
struct Known {
    /// `Store::create` returned.
    created: bool,
    /// Checkpoints whose commit returned, oldest first, and that no prune was told to drop.
    alive: Vec<Held>,
    /// A commit that has not returned may have made this one.
    committing: Option<Expected>,
    /// A prune that has not returned may have left these.
    dropping: Vec<Held>,
    /// Of those alive: the commit returned, so a loss is seen.
    logged: BTreeSet<CheckpointId>,
}

impl Known {
    fn newest(&self, guest: &str) -> Option<&Held> {
        self.alive
            .iter()
            .rev()
            .find(|(_, expected)| expected.guest == guest)
    }

    /// What the guest is after these writes.
    fn next(&self, guest: &str, pages: &[(u64, u8, u32)], state: &str) -> Expected {
        let before = self
            .newest(guest)
            .map_or_else(|| Expected::new(guest), |(_, held)| held.clone());
        before.with(pages, state)
    }

    fn apply(&mut self, step: &Step, disk: &SimMedium) -> Result<(), StoreError> {
        match step {
            Step::Create => {
                Store::create(disk)?;
                self.created = true;
            }
            Step::Commit(guest, pages, state) => {
                let expected = self.next(guest, pages, state);
                let store = open(disk)?;
                let staging = expected.stage(&store, self.newest(guest))?;
                self.committing = Some(expected);
                let id = staging.commit()?.id;
                self.logged.insert(id);
                self.alive
                    .extend(self.committing.take().map(|expected| (id, expected)));
            }
            Step::Abandon(guest, pages) => {
                let store = open(disk)?;
                drop(
                    self.next(guest, pages, "abandoned")
                        .stage(&store, self.newest(guest))?,
                );
            }
            Step::Prune => {
                let newest: BTreeMap<_, _> =
                    self.alive.iter().map(|(id, e)| (e.guest.clone(), *id)).collect();
                let stays = |(id, expected): &Held| newest[&expected.guest] == *id;
                let store = open(disk)?;
                (self.alive, self.dropping) = std::mem::take(&mut self.alive).into_iter().partition(stays);
                self.logged
                    .retain(|logged| self.alive.iter().any(|(id, _)| id == logged));
                let rule = Retention {
                    keep_last: Some(1),
                    ..Retention::new(Scope::All)
                };
                let pruned = store.prune(&rule, CollectOptions::default())?;
                assert_eq!(pruned.collected.shortcomings(), None);
                let dropped: Vec<_> = pruned.dropped.iter().map(|info| info.id).collect();
                assert_eq!(
                    dropped,
                    self.dropping.iter().map(|(id, _)| *id).collect::<Vec<_>>()
                );
                self.dropping.clear();
            }
        }
        Ok(())
    }

    /// Runs steps until the power goes; tells whether it did.
    fn run(&mut self, steps: &[Step], disk: &SimMedium) -> bool {
        for step in steps {
            match self.apply(step, disk) {
                Ok(()) => {}
                Err(StoreError::Medium(error)) if error.kind == MediumErrorKind::Halted => return true,
                Err(error) => panic!("{step:?}: {error}"),
            }
        }
        disk.is_halted()
    }

    /// Holds what is listed against the model; gives it, oldest first.
    fn compare(&self, store: &Store) -> Vec<Held> {
        let listing = store.list().unwrap();
        assert_eq!(listing.damaged, [], "a crash damages no manifest");
        let mut found = Vec::new();
        for info in &listing.checkpoints {
            let known = self
                .alive
                .iter()
                .chain(&self.dropping)
                .find(|(id, _)| *id == info.id);
            let expected = known.map(|(_, expected)| expected).or(self.committing.as_ref());
            let expected = expected.unwrap_or_else(|| panic!("nobody committed {info:?}"));
            let difference = expected.difference(store, info.id).unwrap();
            assert_eq!(difference, None, "{} is not what was put in", info.id);
            found.push((info.id, expected.clone()));
        }
        let unknown = found
            .iter()
            .filter(|held| !self.alive.contains(held) && !self.dropping.contains(held));
        assert!(unknown.count() <= 1, "one commit, one checkpoint");
        for (id, _) in &self.alive {
            assert!(found.iter().any(|(found, _)| found == id), "{id} is lost");
        }
        found
    }
}

/// What is on a disk, but for the files that hold nothing and that whoever locks them first makes.
fn without_lock(disk: &SimMedium) -> Image {
    let mut image = disk.image();
    image.files.remove("lock");
    image.files.remove("catalogue-lock");
    image
}

/// Opens what a crash left and holds it against the model: what is certain after this boot.
fn boot(disk: &SimMedium, known: &Known) -> Known {
    let store = match open(disk) {
        Err(StoreError::NotAStore { .. }) if !known.created => {
            Store::create(disk).expect("creation can be completed");
            open(disk).expect("a store was created")
        }
        opened => opened.expect("a store opens after any crash"),
    };
    let before = without_lock(disk);
    let alive = known.compare(&store);
    let verified = store.verify(None).unwrap();
    assert_eq!(verified.findings, [], "a crash does no damage");
    assert!(without_lock(disk) == before, "reading changes nothing");
    if !known.logged.is_empty() {
        let log = verified.log.expect("the log is durable");
        assert!(
            log.unlogged.iter().all(|id| !known.logged.contains(id)),
            "a commit that returned is not in the log"
        );
    }
    Known {
        created: true,
        alive,
        logged: known.logged.clone(),
        ..Known::default()
    }
}

/// Loses each checkpoint whose commit returned: that is found, whatever happened before.
fn lose(image: &Image, known: &Known) {
    for id in &known.logged {
        let mut without = image.clone();
        let path = format!("checkpoints/{}", id.to_hex());
        without.files.remove(&path).expect("no crash loses it");
        let store = open(&SimMedium::new(without)).unwrap();
        let findings = store.verify(None).unwrap().findings;
        assert_eq!(
            findings.iter().map(|finding| &finding.path).collect::<Vec<_>>(),
            [&path],
            "a lost checkpoint is not seen"
        );
    }
}

/// Uses the store of an image: one more commit, then a collection that leaves nothing over.
fn use_on(image: Image, known: &Known) {
    lose(&image, known);
    let disk = SimMedium::new(image);
    let mut known = boot(&disk, known);
    assert!(!known.run(&after_crash(), &disk));
    let store = open(&disk).unwrap();
    known.compare(&store);
    let verified = store.verify(None).unwrap();
    assert_eq!((verified.findings, verified.remains), (vec![], vec![]));
    assert_eq!(verified.log.unwrap().unlogged, []);
}

/// Counts what was tried, and each image with what is known of it once.
#[derive(Debug, Default)]
struct Tried {
    crashes: usize,
    images: usize,
    different: BTreeSet<u64>,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let different = self.different.len();
        write!(
            f,
            "{} crashes, {} images, {different} of them different",
            self.crashes, self.images
        )
    }
}

impl Tried {
    /// Crashes the steps, begun on an image, at every operation and moment. Hands each thing that may then be found to
    /// `found`, if it has not been there before.
    fn every_crash(
        &mut self,
        start: &Image,
        known: &Known,
        steps: &[Step],
        mut found: impl FnMut(Image, &Known),
    ) {
        let whole = SimMedium::new(start.clone());
        whole.keep_log();
        assert!(!known.clone().run(steps, &whole));
        for (nth, operation) in (1..).zip(whole.log()) {
            let torn = operation.starts_with("append").then_some(Moment::Torn);
            for moment in [Moment::Before, Moment::After].into_iter().chain(torn) {
                let disk = SimMedium::new(start.clone());
                disk.crash_at(nth, moment);
                let mut known = known.clone();
                assert!(known.run(steps, &disk), "no crash {moment:?} {operation}");
                self.crashes += 1;
                let mut state = nth;
                let mut draw = || {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    state >> 24
                };
                let drawn: Vec<Image> = (0..4).map(|_| disk.crash_image(&mut draw)).collect();
                for image in disk.crash_images().into_iter().chain(drawn) {
                    self.images += 1;
                    let mut hasher = DefaultHasher::new();
                    (&image.files, &image.dirs, &known).hash(&mut hasher);
                    if self.different.insert(hasher.finish()) {
                        found(image, &known);
                    }
                }
            }
        }
    }
}

/// Frames `first..first + count` with page numbers from `number` on.
fn pages(first: u64, count: u32, number: u32) -> Vec<(u64, u8, u32)> {
    (0..count)
        .map(|i| (first + u64::from(i), 0, number + i))
        .collect()
}

/// Two guests and every kind of change: full, incremental, shared pages, abandoned, dropped; a segment that loses most of
/// its frames and pages of others, and one that loses all.
fn scenario() -> Vec<Step> {
    let mut full = pages(0, 36, 1);
    full.extend([
        (3, 0, 1001),
        (40, 0, 0),
        (41, 3, 0),
        (42, 0, 5),
        (43, 2, 37),
        (1 << 30, 0, 36),
    ]);
    // Of these every second one goes: their frame is taken apart.
    full.extend(pages(50, 6, 1100));
    let mut increment = pages(0, 32, 101);
    increment.extend([(33, 1, 34), (40, 0, 1002), (42, 0, 0)]);
    increment.extend([(50, 0, 7), (52, 0, 7), (54, 0, 7)]);
    let mut other = pages(1000, 18, 201);
    other.extend([(8, 0, 35), (9, 4, 0)]);
    vec![
        Step::Create,
        Step::Commit("a", full, "full"),
        Step::Commit("a", increment, "increment"),
        Step::Commit("b", other, "other"),
        Step::Abandon("b", pages(2000, 33, 301)),
        Step::Prune,
        Step::Commit(
            "b",
            [pages(1000, 18, 221), vec![(8, 0, 1)]].concat(),
            "all different",
        ),
        Step::Prune,
    ]
}

/// What an operator would do next. Pages that were in a segment before its compaction come again.
fn after_crash() -> Vec<Step> {
    vec![
        Step::Commit(
            "a",
            [pages(34, 3, 1), pages(0, 3, 501)].concat(),
            "after the crash",
        ),
        Step::Prune,
    ]
}

#[test]
fn the_scenario_compacts_a_segment_and_removes_one() {
    let disk = SimMedium::default();
    let mut known = Known::default();
    let steps = scenario();
    let mut sizes = Vec::new();
    for step in &steps {
        assert!(!known.run(std::slice::from_ref(step), &disk));
        let image = disk.image();
        let segments = image.files.range("segments/".to_owned().."segments0".to_owned());
        sizes.push(
            segments
                .map(|(path, bytes)| (path.clone(), bytes.len()))
                .collect::<BTreeMap<_, _>>(),
        );
    }
    assert_eq!(known.alive.len(), 2);
    let shrunk = |before: &BTreeMap<String, usize>, after: &BTreeMap<String, usize>| {
        before
            .iter()
            .filter(|(path, len)| after.get(*path).is_some_and(|now| now < len))
            .count()
    };
    let gone = |before: &BTreeMap<String, usize>, after: &BTreeMap<String, usize>| {
        before.keys().filter(|path| !after.contains_key(*path)).count()
    };
    assert_eq!((shrunk(&sizes[4], &sizes[5]), gone(&sizes[4], &sizes[5])), (1, 0));
    let rewritten = sizes[5].iter().find(|(path, len)| sizes[4][*path] != **len);
    assert!(
        rewritten.is_some_and(|(_, &len)| (3 * 4096..5 * 4096).contains(&len)),
        "three pages of six stay: {rewritten:?}"
    );
    assert_eq!((shrunk(&sizes[6], &sizes[7]), gone(&sizes[6], &sizes[7])), (0, 1));
}

#[test]
fn no_crash_loses_what_was_committed() {
    let (mut tried, mut unfinished) = (Tried::default(), Vec::new());
    tried.every_crash(
        &Image::default(),
        &Known::default(),
        &scenario(),
        |image, known| {
            if known.committing.is_some() || !known.dropping.is_empty() || !known.created {
                unfinished.push((image.clone(), known.clone()));
            }
            use_on(image, known);
        },
    );
    row(
        "crash at every step of commits, prunes and an abandoned checkpoint",
        &tried,
        "nothing committed is lost, nothing half-made is seen, the store goes on",
        "cargo test -p revenant-tests --test crash_at_every_step_of_a_commit",
    );
    assert!(
        tried.crashes >= 270 && tried.different.len() >= 600,
        "the scenario has become poorer: {tried}"
    );

    let mut again = Tried::default();
    for (image, known) in unfinished.iter().step_by(12) {
        // What is there is certain once it has been seen, except that nothing says so to a store that was never made.
        let disk = SimMedium::new(image.clone());
        let seen = match open(&disk) {
            Ok(_) => boot(&disk, known),
            Err(_) => Known::default(),
        };
        let steps = [vec![Step::Create], after_crash()].concat();
        again.every_crash(image, &seen, &steps, use_on);
    }
    row(
        "crash at every step of the first things done after such a crash",
        &again,
        "nothing committed is lost, nothing half-made is seen, the store goes on",
        "cargo test -p revenant-tests --test crash_at_every_step_of_a_commit",
    );
    assert!(
        again.crashes >= 2700 && again.different.len() >= 3800,
        "the scenario has become poorer: {again}"
    );
}

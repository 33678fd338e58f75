//! What leases promise, with holders that take turns at every single operation.

mod turns;

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use self::turns::{InTurn, Turns};
use super::*;
use crate::clock::{Clock, SystemClock};
use crate::guest::{MachineKind, PageBatch, PageTag};
use crate::medium::{DirectoryMedium, Medium};
use crate::store::{
    CheckpointId, CheckpointInfo, CollectOptions, NewCheckpoint, Retention, Scope, Store, StoreError,
    StoreOptions,
};
use crate::units::{PAGE_SIZE, Pfn, Timestamp};

const GUEST: &str = "web/1";
const TIMEOUT: Duration = Duration::from_secs(15);

/// A clock that is set by hand.
#[derive(Debug, Default)]
struct Set(Cell<u64>);

impl Set {
    fn pass(&self, time: Duration) {
        self.0.set((self.now() + time).0);
    }
}

impl Clock for Set {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.get())
    }
}

fn claim(holder: &str, after: Option<u64>) -> Claim<'_> {
    Claim {
        guest: GUEST,
        holder,
        timeout: TIMEOUT,
        after,
        given: 0,
    }
}

fn directory() -> (tempfile::TempDir, DirectoryMedium) {
    let dir = tempfile::tempdir().unwrap();
    let medium = DirectoryMedium::open(dir.path()).unwrap();
    (dir, medium)
}

fn new_store(medium: Rc<dyn Medium>) -> Store {
    Store::create(&*medium).unwrap();
    open_store(medium).unwrap()
}

fn open_store(medium: Rc<dyn Medium>) -> Result<Store, StoreError> {
    let options = StoreOptions {
        workers: 0,
        ..StoreOptions::default()
    };
    Store::open(medium, Rc::new(SystemClock::new()), options)
}

fn commit(store: &Store, guest: &str, content: u8) -> Result<CheckpointId, StoreError> {
    let mut staging = store.begin(NewCheckpoint {
        guest: guest.to_owned(),
        machine: MachineKind::new("test"),
        base: None,
        facts: std::collections::BTreeMap::new(),
    })?;
    let mut batch = PageBatch::new();
    batch.push(Pfn(0), PageTag(0), &[content; PAGE_SIZE]);
    staging.put_pages(batch)?;
    Ok(staging.commit()?.id)
}

#[test]
fn who_cannot_renew_comes_into_doubt_before_others_may_act_and_who_is_deposed_has_lost() {
    let (_dir, medium) = directory();
    let clock = Set::default();
    let mut first = Lease::take(&medium, &claim("a", None), &clock).unwrap();
    let mut watcher = StandBy::new(GUEST, TIMEOUT / 3);
    assert_eq!(watcher.look(&medium, &clock).unwrap(), None);
    for _ in 0..5 {
        clock.pass(TIMEOUT / 2);
        first.renew(&medium, &clock).unwrap();
        assert_eq!(
            watcher.look(&medium, &clock).unwrap(),
            None,
            "it was renewed in time"
        );
    }
    clock.pass(TIMEOUT / 2);
    assert_eq!(first.state(clock.now()), LeaseState::Held);
    clock.pass(TIMEOUT / 4);
    assert_eq!(first.state(clock.now()), LeaseState::Doubtful);
    assert_eq!(
        watcher.look(&medium, &clock).unwrap(),
        None,
        "the holder's own timeout is the longer one"
    );
    clock.pass(TIMEOUT / 4);
    let lapsed = watcher.look(&medium, &clock).unwrap().unwrap();
    assert_eq!((lapsed.epoch, lapsed.holder.as_str()), (1, "a"));

    // Nobody took it: the doubt ends.
    first.renew(&medium, &clock).unwrap();
    assert_eq!(first.state(clock.now()), LeaseState::Held);

    let second = Lease::take(&medium, &claim("b", Some(lapsed.epoch)), &clock).unwrap();
    let beaten = Lease::take(&medium, &claim("c", Some(lapsed.epoch)), &clock);
    assert!(matches!(beaten, Err(LeaseError::Beaten { epoch: 2, .. })));
    first.renew(&medium, &clock).unwrap();
    let by = Rival {
        epoch: Some(2),
        holder: "b".into(),
    };
    assert_eq!(first.state(clock.now()), LeaseState::Lost { by });
    first.release(&medium).unwrap();
    assert_eq!(second.fence().check(&medium).unwrap(), Standing::Holds);
}

#[test]
fn no_epoch_is_given_twice() {
    let (dir, medium) = directory();
    let clock = Set::default();
    let epoch = |lease: &Lease| lease.fence().epoch();
    let first = Lease::take(&medium, &claim("a", None), &clock).unwrap();
    let sleeper = first.fence();
    first.release(&medium).unwrap();
    let mut watcher = StandBy::new(GUEST, TIMEOUT);
    for _ in 0..3 {
        assert_eq!(
            watcher.look(&medium, &clock).unwrap(),
            None,
            "a lease that was given back was taken over"
        );
        clock.pass(TIMEOUT);
    }
    let mut second = Lease::take(&medium, &claim("a", None), &clock).unwrap();
    assert!(epoch(&second) > sleeper.epoch());
    assert_eq!(
        sleeper.check(&medium).unwrap(),
        Standing::Superseded { by: Some(2) }
    );
    // Somebody cleaned up: what is known of the checkpoints goes on.
    fs::remove_dir_all(dir.path().join("leases")).unwrap();
    fs::create_dir(dir.path().join("leases")).unwrap();
    second.renew(&medium, &clock).unwrap();
    assert!(matches!(
        second.state(clock.now()),
        LeaseState::Lost {
            by: Rival { epoch: None, .. }
        }
    ));
    let knowing = Claim {
        given: 2,
        ..claim("c", None)
    };
    let third = Lease::take(&medium, &knowing, &clock).unwrap();
    assert_eq!(epoch(&third), 3);
    // A forger's.
    drop(
        medium
            .create_new(&format!("leases/web.2f1.{}", u64::MAX))
            .unwrap(),
    );
    let none = Lease::take(&medium, &claim("d", None), &clock);
    assert!(matches!(none, Err(LeaseError::NoEpoch { .. })));
}

#[test]
fn the_lease_of_an_earlier_version_is_waited_for() {
    let (dir, medium) = directory();
    let clock = Set::default();
    fs::create_dir(dir.path().join("protect")).unwrap();
    let old = dir.path().join("protect/web1.lease");
    let mut watcher = StandBy::new("web1", TIMEOUT);
    for renewal in 0..4 {
        fs::write(&old, format!("host-a 4711 {renewal}\n")).unwrap();
        assert_eq!(watcher.look(&medium, &clock).unwrap(), None);
        clock.pass(TIMEOUT);
    }
    assert_eq!(watcher.look(&medium, &clock).unwrap().unwrap().epoch, 0);
}

/// On a network file system a look may fail that comes between two renewals, the first one too.
#[test]
fn looks_that_fail_at_first_are_repeated_for_the_timeout() {
    let (dir, medium) = directory();
    let clock = Set::default();
    let place = dir.path().join("leases");
    let _ = fs::remove_dir_all(&place);
    let watch = |looks: usize, mends_at: usize| {
        fs::write(&place, "in its place").unwrap();
        let mut pauses = 0;
        let seen = stand_by(&medium, GUEST, TIMEOUT, &clock, &mut |pause| {
            clock.pass(pause);
            pauses += 1;
            if pauses == mends_at {
                fs::remove_file(&place).unwrap();
            }
            pauses < looks
        });
        (seen.map_err(drop), pauses)
    };
    assert_eq!(watch(30, 3), (Ok(None), 30));
    assert_eq!(watch(30, 31), (Err(()), 10));
}

#[test]
fn a_living_holder_is_left_alone_and_a_lost_one_is_taken_over() {
    let (dir, medium) = directory();
    let clock = Arc::new(SystemClock::new());
    let timeout = Duration::from_millis(300);
    let claim = Claim {
        timeout,
        ..claim("host-a", None)
    };
    let wait = |limit: Duration| {
        let begun = clock.now();
        stand_by(&medium, GUEST, timeout, &*clock, &mut |pause| {
            thread::sleep(pause);
            clock.now().since(begun) < limit
        })
        .unwrap()
    };
    let keep = |lease| {
        let root = dir.path().to_owned();
        let open = move || DirectoryMedium::open(&root).map(|medium| Box::new(medium) as Box<dyn Medium>);
        Held::keep(lease, Arc::clone(&clock) as Arc<dyn Clock + Send + Sync>, open)
    };
    let held = keep(Lease::take(&medium, &claim, &*clock).unwrap());
    assert_eq!(wait(3 * timeout), None, "a living holder was declared lost");
    assert_eq!(held.state(clock.now()), LeaseState::Held);
    drop(held);
    let begun = clock.now();
    let lapsed = wait(Duration::from_secs(60)).expect("nobody renews");
    assert!(clock.now().since(begun) >= timeout && lapsed.silent >= timeout);
    let after = Claim {
        after: Some(lapsed.epoch),
        ..claim
    };
    keep(Lease::take(&medium, &after, &*clock).unwrap()).release();
    assert_eq!(
        wait(3 * timeout),
        None,
        "a lease that was given back was taken over"
    );
}

#[test]
fn a_holder_that_lost_its_lease_removes_nothing() {
    let (dir, medium) = directory();
    let store = new_store(Rc::new(medium));
    let medium = store_medium(&dir);
    let clock = Set::default();
    for content in 1..=3 {
        commit(&store, GUEST, content).unwrap();
    }
    let lease = Lease::take(&*medium, &claim("a", None), &clock).unwrap();
    store.set_fence(lease.fence());
    let keep = Retention {
        keep_last: Some(2),
        ..Retention::new(Scope::All)
    };
    assert_eq!(
        store
            .prune(&keep, CollectOptions::default())
            .unwrap()
            .dropped
            .len(),
        1
    );
    drop(Lease::take(&*medium, &claim("b", None), &clock).unwrap());
    let keep = Retention {
        keep_last: Some(1),
        ..keep
    };
    let refused = store.prune(&keep, CollectOptions::default());
    assert!(matches!(refused, Err(StoreError::Superseded { by: Some(2), .. })));
    assert_eq!(store.list().unwrap().checkpoints.len(), 2);
    // The lease is on one guest.
    commit(&store, "other", 4).unwrap();
    assert!(matches!(
        commit(&store, GUEST, 5),
        Err(StoreError::Superseded { .. })
    ));
}

#[test]
fn what_a_deposed_holder_left_is_no_candidate_once_there_is_something_better() {
    let (_dir, medium) = directory();
    let store = new_store(Rc::new(medium));
    let left = |epochs: &[Option<u64>], epoch| {
        let mut checkpoints: Vec<_> = (0..epochs.len())
            .map(|i| {
                let id = commit(&store, GUEST, u8::try_from(i + 1).unwrap()).unwrap();
                let mut info = store.info(id).unwrap().unwrap();
                info.facts
                    .extend(epochs[i].map(|epoch| (EPOCH_FACT.to_owned(), epoch.to_string())));
                info
            })
            .collect();
        leave_out_deposed(&mut checkpoints, epoch);
        checkpoints.iter().map(CheckpointInfo::epoch).collect::<Vec<_>>()
    };
    let of = |epoch| Some(epoch);
    assert_eq!(left(&[of(1), of(1), None], 2), [of(1), of(1), None]);
    assert_eq!(
        left(&[of(1), of(2), of(1), None, of(2), of(3)], 2),
        [of(1), of(2), None, of(2), of(3)]
    );
}

fn store_medium(dir: &tempfile::TempDir) -> Rc<dyn Medium> {
    Rc::new(DirectoryMedium::open(dir.path()).unwrap())
}

/// What a holder does once it has the lease.
#[derive(Debug, Clone, Copy)]
enum Act {
    Renew,
    Commit,
}

/// What was seen, in the order in which it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Taken(u64),
    Committed(u64, CheckpointId),
    Refused(u64),
    Lost(u64),
}

type Log = Arc<Mutex<Vec<Seen>>>;

/// One host: takes the lease, does what it is to do until it has lost it, and says how it stands at the very end.
fn host(me: usize, root: &Path, acts: &[Act], turns: &Arc<Turns>, log: &Log) -> Option<Lease> {
    let medium: Rc<dyn Medium> = Rc::new(InTurn::new(root, me, Arc::clone(turns)));
    let note = |seen| log.lock().unwrap().push(seen);
    let clock = SystemClock::new();
    let store = open_store(Rc::clone(&medium)).unwrap();
    let name = format!("host {me}");
    let mut lease = match Lease::take(&*medium, &claim(&name, None), &clock) {
        Ok(lease) => lease,
        Err(LeaseError::Beaten { .. }) => return None,
        Err(error) => panic!("{error:?}"),
    };
    let epoch = lease.fence().epoch();
    note(Seen::Taken(epoch));
    store.set_fence(lease.fence());
    for (i, act) in acts.iter().enumerate() {
        match act {
            Act::Renew => {
                lease.renew(&*medium, &clock).unwrap();
                if lease.lost().is_some() {
                    note(Seen::Lost(epoch));
                    break;
                }
            }
            Act::Commit => match commit(&store, GUEST, u8::try_from(me * 50 + i + 1).unwrap()) {
                Ok(id) => note(Seen::Committed(epoch, id)),
                Err(StoreError::Superseded { .. }) => {
                    note(Seen::Refused(epoch));
                    break;
                }
                Err(error) => panic!("{error:?}"),
            },
        }
    }
    Some(lease)
}

fn acts() -> impl Strategy<Value = Vec<Vec<Act>>> {
    let act = prop_oneof![1 => Just(Act::Renew), 2 => Just(Act::Commit)];
    prop::collection::vec(prop::collection::vec(act, 1..4), 2..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    /// Processes that make one store at once, commit to it and collect what is left there, interrupted at every operation.
    #[test]
    fn a_store_that_many_make_at_once_is_made(
        many in 2..4usize, order in prop::collection::vec((any::<u8>(), 1u8..30), 1..40),
    ) {
        let (dir, _) = directory();
        let turns = Turns::of(many);
        let is_busy = |error: &StoreError| matches!(error, StoreError::Busy { .. });
        let committed: usize = thread::scope(|scope| {
            let hosts: Vec<_> = (0..many)
                .map(|me| {
                    let (turns, root) = (&turns, dir.path());
                    scope.spawn(move || turns.take_part(me, || {
                        let medium: Rc<dyn Medium> = Rc::new(InTurn::new(root, me, Arc::clone(turns)));
                        Store::create(&*medium).unwrap();
                        let store = open_store(medium).unwrap();
                        let committed = commit(&store, GUEST, u8::try_from(me + 1).unwrap());
                        assert!(committed.as_ref().err().is_none_or(is_busy), "{committed:?}");
                        let collected = store.collect(CollectOptions::default());
                        assert!(collected.as_ref().err().is_none_or(is_busy), "{collected:?}");
                        usize::from(committed.is_ok())
                    }))
                })
                .collect();
            turns.give(&order);
            hosts.into_iter().map(|host| host.join().unwrap()).sum()
        });
        let store = open_store(store_medium(&dir)).unwrap();
        prop_assert_eq!(store.list().unwrap().checkpoints.len(), committed);
        prop_assert_eq!(store.verify(None).unwrap().findings, []);
    }

    /// Hosts that interrupt each other at every operation: who has been deposed commits nothing any more, and nothing that
    /// was refused is left.
    #[test]
    fn after_a_take_over_only_the_new_holder_commits(
        acts in acts(), order in prop::collection::vec((any::<u8>(), 1u8..60), 1..40),
    ) {
        let (dir, medium) = directory();
        drop(new_store(Rc::new(medium)));
        let (turns, log) = (Turns::of(acts.len()), Log::default());
        let mut leases: Vec<Lease> = thread::scope(|scope| {
            let hosts: Vec<_> = acts
                .iter()
                .enumerate()
                .map(|(me, acts)| {
                    let (turns, log, root) = (&turns, &log, dir.path());
                    scope.spawn(move || turns.take_part(me, || host(me, root, acts, turns, log)))
                })
                .collect();
            turns.give(&order);
            hosts.into_iter().filter_map(|host| host.join().unwrap()).collect()
        });
        let log = log.lock().unwrap().clone();
        let mut largest = 0;
        let mut committed = Vec::new();
        for seen in &log {
            match *seen {
                Seen::Taken(epoch) => {
                    prop_assert_eq!(log.iter().filter(|&other| other == seen).count(), 1);
                    largest = largest.max(epoch);
                }
                Seen::Committed(epoch, id) => {
                    prop_assert!(epoch >= largest, "{epoch} committed after {largest} was taken: {log:?}");
                    committed.push(id);
                }
                // Somebody has created a larger one, and may not have returned yet.
                Seen::Refused(_) | Seen::Lost(_) => {}
            }
        }
        let medium = store_medium(&dir);
        let store = open_store(Rc::clone(&medium)).unwrap();
        let listed: Vec<CheckpointId> = store.list().unwrap().checkpoints.iter().map(|info| info.id).collect();
        committed.sort();
        let mut sorted = listed.clone();
        sorted.sort();
        prop_assert_eq!(sorted, committed, "{:?}", log);
        let findings = store.verify(None).unwrap().findings;
        prop_assert!(findings.is_empty(), "{findings:?} {log:?}");
        let clock = SystemClock::new();
        for lease in &mut leases {
            let epoch = lease.fence().epoch();
            lease.renew(&*medium, &clock).unwrap();
            prop_assert_eq!(lease.lost().is_none(), epoch == largest, "epoch {} of {}", epoch, largest);
        }
    }
}

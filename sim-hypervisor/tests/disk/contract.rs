//! What the running machine sees.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use revenant_core::Medium;
use revenant_core::conformance;
use revenant_core::medium::{LockMode, MediumError, MediumErrorKind};
use revenant_sim::SimMedium;
use revenant_sim::medium::{Cost, Image, Moment, Pace};

use crate::{put, with_dirs};

fn kind<T>(result: Result<T, MediumError>) -> Option<MediumErrorKind> {
    result.err().map(|error| error.kind)
}

#[test]
fn it_is_a_medium() {
    conformance::medium::all(SimMedium::default);
}

#[test]
fn a_name_is_a_file_or_a_directory() {
    let medium = with_dirs(&["d"]);
    put(&medium, "f", b"file");
    assert_eq!(kind(medium.create_new("d")), Some(MediumErrorKind::AlreadyExists));
    assert_eq!(kind(medium.create_dir("")), Some(MediumErrorKind::Other));
    medium.rename("f", "f").unwrap();
    assert_eq!(
        medium.image().content("f"),
        Some(&b"file"[..]),
        "renamed to its own name"
    );
}

#[test]
fn a_full_disk_takes_what_fits() {
    let medium = SimMedium::default();
    medium.set_capacity(Some(10));
    put(&medium, "a", b"seven b");
    assert_eq!(medium.free_bytes().unwrap(), Some(3));
    let mut file = medium.create_new("b").unwrap();
    assert_eq!(kind(file.append(b"12345")), Some(MediumErrorKind::Full));
    assert_eq!(
        medium.image().content("b"),
        Some(&b"123"[..]),
        "what fits was taken"
    );
    medium.remove("a").unwrap();
    file.append(b"4567890").unwrap();
    assert_eq!(medium.free_bytes().unwrap(), Some(0));
}

#[test]
fn a_read_only_disk_is_read_and_no_more() {
    let medium = with_dirs(&["d"]);
    put(&medium, "d/x", b"x");
    let mut file = medium.create_new("open").unwrap();
    let before = medium.image();
    medium.set_read_only(true);
    let refused = [
        kind(file.append(b"1")),
        kind(file.sync()),
        kind(medium.create_new("y")),
        kind(medium.rename("d/x", "y")),
        kind(medium.remove("d/x")),
        kind(medium.create_dir("e")),
        kind(medium.sync_dir("d")),
        kind(medium.try_lock("lock", LockMode::Exclusive, Duration::ZERO)),
    ];
    assert_eq!(refused, [Some(MediumErrorKind::Denied); 8]);
    assert!(
        medium
            .try_lock("lock", LockMode::Shared, Duration::ZERO)
            .unwrap()
            .held()
            .is_some()
    );
    assert_eq!(medium.list("d").unwrap().len(), 1);
    assert_eq!(medium.image(), before);
}

#[test]
fn without_power_nothing_works_and_locks_are_gone() {
    let medium = with_dirs(&["d"]);
    put(&medium, "d/x", b"x");
    let mut writer = medium.create_new("w").unwrap();
    let reader = medium.open("d/x").unwrap();
    let lock = medium
        .try_lock("lock", LockMode::Exclusive, Duration::ZERO)
        .unwrap()
        .held();
    assert!(lock.is_some());
    let next = medium.operations() + 1;
    medium.crash_at(next, Moment::Before);
    let outcomes = [
        kind(medium.remove("d/x")),
        kind(writer.append(b"1")),
        kind(writer.sync()),
        kind(reader.read_at(0, &mut [0])),
        kind(medium.create_new("y")),
        kind(medium.open("d/x")),
        kind(medium.list("d")),
        kind(medium.rename("d/x", "y")),
        kind(medium.create_dir("e")),
        kind(medium.sync_dir("d")),
        kind(medium.try_lock("lock", LockMode::Shared, Duration::ZERO)),
        kind(medium.free_bytes()),
    ];
    assert_eq!(outcomes, [Some(MediumErrorKind::Halted); 12]);
    assert!(medium.is_halted());
    assert_eq!(
        medium.operations(),
        next,
        "what fails for want of power is no operation"
    );
    let rebooted = SimMedium::new(medium.image());
    let again = rebooted
        .try_lock("lock", LockMode::Exclusive, Duration::ZERO)
        .unwrap()
        .held();
    assert!(again.is_some(), "a lock dies with its holder's machine");
    drop(lock);
    assert!(
        rebooted
            .try_lock("lock", LockMode::Shared, Duration::ZERO)
            .unwrap()
            .held()
            .is_none(),
        "an old guard frees no new lock"
    );
}

#[test]
fn operations_are_counted_and_named() {
    let medium = SimMedium::default();
    medium.keep_log();
    medium.create_dir("d").unwrap();
    put(&medium, "d/x", b"x");
    medium.rename("d/x", "y").unwrap();
    let held = medium
        .try_lock("lock", LockMode::Shared, Duration::ZERO)
        .unwrap()
        .held();
    assert!(
        held.is_some()
            && medium
                .try_lock("lock", LockMode::Shared, Duration::ZERO)
                .unwrap()
                .held()
                .is_some()
    );
    medium.open("y").unwrap();
    medium.remove("y").unwrap();
    medium.sync_dir("").unwrap();
    let log = medium.log();
    let expected = [
        "create directory d",
        "create d/x",
        "append d/x",
        "sync d/x",
        "rename d/x",
        "lock lock",
        "remove y",
        "sync directory ",
    ];
    assert_eq!(log, expected);
    assert_eq!(medium.operations(), 8);
}

/// Cuts the power while the call that it was given for takes its time.
#[derive(Debug, Default)]
struct CutDuring {
    strikes: RefCell<Option<(Cost, Box<dyn Cut>)>>,
}

trait Cut: std::fmt::Debug {
    fn cut(&self);
}

impl Cut for SimMedium {
    fn cut(&self) {
        revenant_sim::Powered::power_off(self);
    }
}

impl Pace for CutDuring {
    fn pass(&self, cost: Cost) {
        let strikes = self.strikes.borrow();
        if let Some((at, medium)) = &*strikes
            && *at == cost
        {
            medium.cut();
        }
    }
}

#[test]
fn power_may_go_while_a_call_takes_its_time() {
    let cases: [(Cost, &[&[u8]]); 3] = [
        (Cost::Append { bytes: 4 }, &[b"", b"a", b"ab", b"\xa5\xa5"]),
        (Cost::Sync, &[b"", b"ab", b"abcd", b"\xa5\xa5\xa5\xa5"]),
        (Cost::Read { bytes: 1 }, &[b"abcd"]),
    ];
    for (cost, expected) in cases {
        let pace = Rc::new(CutDuring::default());
        let medium = SimMedium::paced(Image::default(), Rc::clone(&pace) as Rc<dyn Pace>);
        let mut file = medium.create_new("x").unwrap();
        medium.sync_dir("").unwrap();
        *pace.strikes.borrow_mut() = Some((cost, Box::new(medium.clone())));
        let done = file
            .append(b"abcd")
            .and_then(|()| file.sync())
            .and_then(|()| medium.open("x")?.read_at(0, &mut [0]));
        assert_eq!(kind(done), Some(MediumErrorKind::Halted), "{cost:?}");
        let mut found: Vec<Vec<u8>> = medium
            .crash_images()
            .iter()
            .map(|image| image.content("x").unwrap().to_vec())
            .collect();
        found.sort();
        assert_eq!(found, expected, "{cost:?}");
        // The pace holds the medium, which holds the pace.
        pace.strikes.take();
    }
}

//! The engine over simulated guests: what was captured while the guest ran is one instant of it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;
use revenant_core::capture::{CaptureRequest, Increment, Method, Session, capture};
use revenant_core::medium::DirectoryMedium;
use revenant_core::restore::restore;
use revenant_core::store::StoreOptions;
use revenant_core::{Hypervisor, Store};
use revenant_sim::fault::{FaultPlan, Faults, FaultyHypervisor, FaultyMedium};
use revenant_sim::{CostProfile, GuestSpec, Oracle, Program, SimHypervisor, SimMedium, World};

const STEP: Duration = Duration::from_millis(5);
const PAGES: u64 = 48;
const TARGET: u64 = 1 << 40;

fn world() -> World {
    // Slow enough that a live capture really races the guest.
    World::new(
        CostProfile::from_toml("[hypervisor]\npage_read = \"3ms\"\ndirty_log_page = \"100us\"").unwrap(),
    )
}

fn store(dir: &tempfile::TempDir, world: &World) -> Store {
    let medium = DirectoryMedium::create(dir.path()).unwrap();
    Store::create(&medium).unwrap();
    let options = StoreOptions {
        workers: 0,
        ..StoreOptions::default()
    };
    Store::open(Rc::new(medium), Rc::new(world.clone()), options).unwrap()
}

/// Restores the checkpoint into a new guest and holds it against the oracle.
fn is_an_instant_of(
    world: &World,
    store: &Store,
    id: revenant_core::store::CheckpointId,
    oracle: &mut Oracle,
) -> u64 {
    let blank = world.create_blank(world.add_host(), STEP);
    let mut target = SimHypervisor::new(world, blank);
    restore(&mut store.read(id).unwrap(), &mut target, world).unwrap();
    let steps = world.steps(blank);
    assert_eq!(
        world.digest(blank),
        oracle.digest_at(steps),
        "restored at step {steps}"
    );
    world.destroy(blank);
    steps
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Any row of captures, full and incremental, live and not, with and without a dirty log: each restores to an
    /// instant of the guest between its request and its commit, and the guest itself is not disturbed.
    #[test]
    fn every_capture_is_one_instant(
        program in prop::sample::select(Program::ALL.to_vec()),
        seed in any::<u64>(),
        dirty_log in any::<bool>(),
        continuous in any::<bool>(),
        row in prop::collection::vec((any::<bool>(), any::<bool>(), 0..200u32), 1..5),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let world = world();
        let store = store(&dir, &world);
        let spec = GuestSpec { program, pages: PAGES, seed, steps: TARGET, step: STEP };
        let guest = world.boot(world.add_host(), &spec);
        let mut seam = if dirty_log {
            SimHypervisor::new(&world, guest)
        } else {
            SimHypervisor::without_dirty_log(&world, guest)
        };
        let mut session = if continuous { Session::continuous() } else { Session::once() };
        let mut oracle = Oracle::new(program, PAGES, seed, TARGET);
        let mut earlier = Vec::new();
        for (number, (live, incremental, wait)) in row.into_iter().enumerate() {
            world.advance(STEP * wait);
            let request = CaptureRequest {
                method: if live { Method::PreCopy } else { Method::StopAndCopy },
                incremental,
                ..CaptureRequest::new("guest")
            };
            let before = world.steps(guest);
            let captured = capture(&mut seam, &store, &world, &mut session, &request).unwrap();
            let timeline = &captured.timeline;
            prop_assert_eq!(timeline.method == Method::PreCopy, live && dirty_log);
            prop_assert_eq!(timeline.increment == Increment::Full, !incremental || number == 0);
            prop_assert_eq!(timeline.increment == Increment::ByDirtyLog, incremental && number > 0 && dirty_log && continuous);
            let steps = is_an_instant_of(&world, &store, captured.checkpoint.id, &mut oracle);
            prop_assert!((before..=world.steps(guest)).contains(&steps));
            earlier.push((captured.checkpoint.id, steps));
        }
        for (id, steps) in earlier {
            prop_assert_eq!(is_an_instant_of(&world, &store, id, &mut oracle), steps);
        }
        seam.suspend().unwrap();
        let steps = world.steps(guest);
        prop_assert_eq!(world.digest(guest), oracle.digest_at(steps));
    }
}

#[test]
fn an_increment_by_dirty_log_reads_what_changed() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(CostProfile::default());
    let store = store(&dir, &world);
    let spec = GuestSpec {
        program: Program::Idle,
        pages: 512,
        seed: 3,
        steps: TARGET,
        step: STEP,
    };
    let guest = world.boot(world.add_host(), &spec);
    let (mut seam, mut session) = (SimHypervisor::new(&world, guest), Session::continuous());
    let mut request = CaptureRequest::new("idle");
    let full = capture(&mut seam, &store, &world, &mut session, &request).unwrap();
    world.advance(Duration::from_secs(2));
    request.incremental = true;
    let increment = capture(&mut seam, &store, &world, &mut session, &request).unwrap();
    assert!(full.timeline.pages_copied() >= 512);
    assert!(increment.timeline.pages_copied() <= 8, "{:?}", increment.timeline);
    assert!(increment.timeline.suspended_for < full.timeline.total);
    assert_eq!(increment.checkpoint.pages, 512);
    assert_eq!(increment.checkpoint.base, Some(full.checkpoint.id));
}

/// Every call of a capture fails once, before and after the guest is suspended: the guest runs on, and what the failed
/// captures took out of the dirty log is in the next increment.
#[test]
fn a_capture_that_fails_leaves_the_guest_running_and_forgets_no_page() {
    let failing = [
        "layout",
        "suspend",
        "take-dirty",
        "read-pages",
        "save-state",
        "append",
        "sync",
        "rename",
        "sync-dir",
    ];
    let mut failed = 0;
    for (call, nth) in failing.iter().flat_map(|call| (2..6).map(move |nth| (call, nth))) {
        let world = world();
        let host = world.add_host();
        let plan: FaultPlan = format!("{call}#{nth}=fail").parse().unwrap();
        let faults = Faults::new(&world, plan);
        let disk = SimMedium::default();
        Store::create(&disk).unwrap();
        let medium = FaultyMedium::new(Rc::new(disk), host, faults.clone());
        let options = StoreOptions {
            workers: 0,
            ..StoreOptions::default()
        };
        let store = Store::open(Rc::new(medium), Rc::new(world.clone()), options).unwrap();
        let spec = GuestSpec {
            program: Program::Sliding,
            pages: PAGES,
            seed: 9,
            steps: TARGET,
            step: STEP,
        };
        let guest = world.boot(host, &spec);
        let mut seam = FaultyHypervisor::new(SimHypervisor::new(&world, guest), faults);
        let mut session = Session::continuous();
        let request = CaptureRequest {
            incremental: true,
            ..CaptureRequest::new("guest")
        };
        let mut oracle = Oracle::new(Program::Sliding, PAGES, 9, TARGET);
        for _ in 0..5 {
            world.advance(STEP * 50);
            let captured = capture(&mut seam, &store, &world, &mut session, &request);
            let steps = world.steps(guest);
            world.advance(STEP * 5);
            assert!(
                world.steps(guest) > steps,
                "the guest stands still after {call}#{nth}"
            );
            match captured {
                Ok(captured) => drop(is_an_instant_of(
                    &world,
                    &store,
                    captured.checkpoint.id,
                    &mut oracle,
                )),
                Err(_) => failed += 1,
            }
        }
    }
    assert!(failed >= 30, "{failed} captures failed: the faults do not strike");
}

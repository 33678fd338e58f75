//! Guests in the world against their oracle, through the seam alone.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use proptest::prelude::*;
use revenant_core::guest::{GoneReason, PageBatch, PfnSet, StateRecord};
use revenant_core::quantity::Size;
use revenant_core::{Clock, Hypervisor, HypervisorError, Pfn, Timestamp};
use revenant_sim::{
    CostProfile, GuestSpec, Happening, Incident, Oracle, Program, SimHypervisor, SystemMemory, World,
};

const STEP: Duration = Duration::from_millis(10);

fn spec(program: Program, pages: u64, seed: u64, steps: u64) -> GuestSpec {
    GuestSpec {
        program,
        pages,
        seed,
        steps,
        step: STEP,
    }
}

fn any_program() -> impl Strategy<Value = Program> {
    prop::sample::select(Program::ALL.to_vec())
}

/// All memory of a suspended guest, batch by batch, into another.
fn copy_memory(from: &mut SimHypervisor, to: &mut SimHypervisor) {
    let layout = from.layout().unwrap();
    to.populate(&layout).unwrap();
    let pfns: Vec<Pfn> = layout.iter().collect();
    let mut batch = PageBatch::new();
    for chunk in pfns.chunks(16) {
        batch.clear();
        from.read_pages(chunk, &mut batch).unwrap();
        to.write_pages(&batch).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Moved to another host in the middle, a guest ends where one that was never touched ends.
    #[test]
    fn moved_guest_ends_where_the_oracle_says(
        program in any_program(), pages in 8..40u64, seed in any::<u64>(), before in 0..150u64, after in 0..150u64,
    ) {
        let world = World::new(CostProfile::default());
        let (here, there) = (world.add_host(), world.add_host());
        let target = before + after + 10;
        let source = world.boot(here, &spec(program, pages, seed, target));
        let mut from = SimHypervisor::new(&world, source);
        world.advance(STEP * u32::try_from(before).unwrap());
        from.suspend().unwrap();
        let at = world.steps(source);
        let mut oracle = Oracle::new(program, pages, seed, target);
        prop_assert_eq!(world.digest(source), oracle.digest_at(at));

        let copy = world.create_blank(there, STEP);
        let mut to = SimHypervisor::new(&world, copy);
        copy_memory(&mut from, &mut to);
        let records = from.save_state().unwrap();
        to.load_state(&records).unwrap();
        prop_assert_eq!(to.save_state().unwrap(), records);
        prop_assert_eq!(world.digest(copy), world.digest(source));

        world.strike(Incident::HostLoss(here));
        to.resume().unwrap();
        let finished = matches!(world.run_until(copy, None), Happening::GuestFinished(_));
        prop_assert!(finished);
        prop_assert_eq!(world.steps(copy), target);
        prop_assert_eq!(world.digest(copy), oracle.digest_at(target));
    }

    /// Whatever changed between two looks at memory was in the dirty log, also while the log was being read.
    #[test]
    fn every_changed_page_is_in_the_dirty_log(
        program in any_program(), seed in any::<u64>(), waits in prop::collection::vec(0..40u32, 1..6),
    ) {
        let world = World::new(CostProfile::default());
        let guest = world.boot(world.add_host(), &spec(program, 24, seed, u64::MAX));
        let mut seam = SimHypervisor::new(&world, guest);
        seam.set_dirty_log(true).unwrap();
        seam.suspend().unwrap();
        let pfns: Vec<Pfn> = seam.layout().unwrap().iter().collect();
        let mut known = PageBatch::new();
        seam.read_pages(&pfns, &mut known).unwrap();
        seam.take_dirty(&mut PfnSet::new()).unwrap();
        seam.resume().unwrap();
        let mut dirty = PfnSet::new();
        for wait in waits {
            world.advance(STEP * wait);
            seam.take_dirty(&mut dirty).unwrap();
        }
        seam.suspend().unwrap();
        seam.take_dirty(&mut dirty).unwrap();
        let mut now = PageBatch::new();
        seam.read_pages(&pfns, &mut now).unwrap();
        for (index, &pfn) in pfns.iter().enumerate() {
            prop_assert!(now.page(index) == known.page(index) || dirty.contains(pfn), "{pfn} changed unseen");
        }
    }
}

#[test]
fn live_reads_race_the_guest() {
    // Reading a page takes longer than the guest needs to change it: some pages come out torn, and the log says which.
    let slow = CostProfile::from_toml("[hypervisor]\npage_read = \"100ms\"").unwrap();
    let world = World::new(slow);
    let guest = world.boot(world.add_host(), &spec(Program::HotSet, 16, 7, u64::MAX));
    let mut seam = SimHypervisor::new(&world, guest);
    seam.set_dirty_log(true).unwrap();
    let pfns: Vec<Pfn> = seam.layout().unwrap().iter().collect();
    let mut live = PageBatch::new();
    seam.read_pages(&pfns, &mut live).unwrap();
    seam.suspend().unwrap();
    let (mut still, mut dirty) = (PageBatch::new(), PfnSet::new());
    seam.read_pages(&pfns, &mut still).unwrap();
    seam.take_dirty(&mut dirty).unwrap();
    let differing: Vec<_> = (0..pfns.len())
        .filter(|&i| live.page(i) != still.page(i))
        .collect();
    assert!(!differing.is_empty());
    assert!(differing.iter().all(|&i| dirty.contains(pfns[i])));
}

#[test]
fn incidents_strike_inside_calls_and_at_their_instant() {
    let world = World::new(CostProfile::default());
    let host = world.add_host();
    let guest = world.boot(host, &spec(Program::Idle, 8, 1, 1_000));
    let mut seam = SimHypervisor::new(&world, guest);
    // Suspending takes 50 ms: the guest crashes in the middle of it.
    world.schedule(Timestamp(20_000_000), Incident::GuestCrash(guest));
    assert!(matches!(
        seam.suspend(),
        Err(HypervisorError::Gone(GoneReason::GuestCrashed))
    ));
    assert_eq!(
        world.lost(guest),
        Some((GoneReason::GuestCrashed, Timestamp(20_000_000)))
    );
    assert_eq!(world.steps(guest), 2);

    let second = world.boot(host, &spec(Program::Idle, 8, 1, 1_000));
    let start = world.now();
    world.schedule(start + Duration::from_secs(3), Incident::HostLoss(host));
    let happening = world.run_until(second, Some(start + Duration::from_secs(60)));
    assert_eq!(
        happening,
        Happening::GuestLost(GoneReason::HostLost, start + Duration::from_secs(3))
    );
    assert!(!world.host_is_up(host));
    assert_eq!(world.run_until(second, None), happening);
}

#[test]
fn time_is_exact_whatever_the_stops() {
    let world = World::new(CostProfile::default());
    let guest = world.boot(world.add_host(), &spec(Program::Idle, 8, 1, 1_000));
    for _ in 0..1_000 {
        world.advance(Duration::from_micros(3_333));
    }
    assert_eq!(world.steps(guest), 333);
    let finish = Timestamp(0) + STEP * 1_000;
    assert_eq!(world.run_until(guest, None), Happening::GuestFinished(finish));
    assert_eq!(world.now(), finish);
}

#[test]
fn malformed_state_is_refused_by_name() {
    let world = World::new(CostProfile::default());
    let guest = world.boot(world.add_host(), &spec(Program::Sort, 8, 1, 10));
    let mut seam = SimHypervisor::new(&world, guest);
    seam.suspend().unwrap();
    let good = seam.save_state().unwrap();
    let mut cases = vec![good[..2].to_vec(), good.iter().rev().cloned().collect()];
    for index in 0..good.len() {
        let mut bad = good.clone();
        bad[index].bytes.push(0xff);
        cases.push(bad);
    }
    for bad in cases {
        let before = world.digest(guest);
        assert!(
            matches!(seam.load_state(&bad), Err(HypervisorError::BadState { .. })),
            "{bad:?}"
        );
        assert_eq!(world.digest(guest), before);
    }
}

/// What programs compute is part of every published result and of every console log that was kept: it does not change.
#[test]
fn programs_compute_what_they_always_did() {
    for (program, digest) in [
        (Program::Idle, "ba7da42cbf95463e"),
        (Program::Stencil, "456d3378866af599"),
        (Program::KeyValue, "0dda7e39ec0ba2f0"),
        (Program::Sort, "f2b3f3ebbe16990f"),
        (Program::HotSet, "c4beec5ab2798fc4"),
        (Program::Sliding, "f57f512e342991c8"),
    ] {
        let found = Oracle::new(program, 32, 7, u64::MAX).digest_at(1000).to_hex();
        assert_eq!(&found[..16], digest, "{program}");
    }
}

/// Memory that is not the program's is moved with the guest, and goes on changing as it did.
#[test]
fn system_memory_moves_with_the_guest() {
    let world = World::new(CostProfile {
        system: SystemMemory {
            pages: 64,
            used_pages: 40,
            distinct_pages: 30,
            page_entropy: Size { bytes: 700 },
            hot_pages: 8,
            changing_pages: 5,
            writes_per_s: 90,
        },
        ..CostProfile::default()
    });
    let host = world.add_host();
    let guest = world.boot(host, &spec(Program::HotSet, 16, 7, u64::MAX));
    world.advance(Duration::from_secs(3));
    let (mut from, blank) = (SimHypervisor::new(&world, guest), world.create_blank(host, STEP));
    let mut to = SimHypervisor::new(&world, blank);
    from.suspend().unwrap();
    assert_eq!(from.layout().unwrap().page_count(), 16 + 64);
    copy_memory(&mut from, &mut to);
    to.load_state(&from.save_state().unwrap()).unwrap();
    let memory = |hypervisor: &mut SimHypervisor| {
        let pfns: Vec<Pfn> = hypervisor.layout().unwrap().iter().collect();
        let mut batch = PageBatch::new();
        hypervisor.read_pages(&pfns, &mut batch).unwrap();
        batch.bytes().to_vec()
    };
    let before = memory(&mut from);
    assert_eq!(before, memory(&mut to));
    to.resume().unwrap();
    world.advance(Duration::from_secs(1));
    to.suspend().unwrap();
    assert!(memory(&mut to) != before, "it stood still after the move");
    let (mut state, mut moved) = (from.save_state().unwrap(), to.save_state().unwrap());
    let [system, copied] = [state.pop().unwrap(), moved.pop().unwrap()];
    assert_eq!(
        (system.name.as_str(), copied.bytes.len()),
        ("sim/system", system.bytes.len())
    );
    let bad = StateRecord::new("sim/system", vec![0xff; system.bytes.len()]);
    moved.push(bad);
    assert!(matches!(
        to.load_state(&moved),
        Err(HypervisorError::BadState { .. })
    ));
}

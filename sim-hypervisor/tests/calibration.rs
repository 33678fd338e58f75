//! Calibrating the simulator gives its own profile back.

use std::rc::Rc;
use std::time::Duration;

use revenant_core::quantity::{Period, Size};
use revenant_sim::calibrate::{Bench, calibrate};
use revenant_sim::medium::{Image, WorldPace};
use revenant_sim::{
    CostProfile, GuestSpec, HypervisorCosts, MediumCosts, Program, SimHypervisor, SimMedium, StoreCosts,
    SystemMemory, World,
};

fn slow_host() -> CostProfile {
    let us = |us| Period(Duration::from_micros(us));
    CostProfile {
        represents: 1,
        hypervisor: HypervisorCosts {
            layout: us(70_000),
            suspend: us(12_000),
            resume: us(3_000),
            read_call: us(250),
            page_read: us(4),
            page_write: us(4),
            dirty_log_switch: us(9_000),
            dirty_log_read: us(2_500),
            dirty_log_page: Period(Duration::ZERO),
            state: us(1_700),
            ..HypervisorCosts::default()
        },
        medium: MediumCosts {
            write_per_s: Size { bytes: 90 << 20 },
            read_per_s: Size { bytes: 300 << 20 },
            latency: us(300),
            sync: us(6_000),
            ..MediumCosts::default()
        },
        shared_medium: None,
        store: StoreCosts {
            page_scan: us(2),
            page_hash: us(9),
            page_compress: us(31),
        },
        system: SystemMemory {
            pages: 6_000,
            used_pages: 2_500,
            distinct_pages: 2_000,
            page_entropy: Size { bytes: 1_400 },
            hot_pages: 160,
            changing_pages: 40,
            writes_per_s: 700,
        },
    }
}

fn calibrated(profile: &CostProfile, dirty_log: bool) -> CostProfile {
    let world = World::new(profile.clone());
    let spec = GuestSpec {
        program: Program::Idle,
        pages: Program::PAGES_MIN,
        seed: 1,
        steps: u64::MAX,
        step: Duration::from_secs(3600),
    };
    let guest = world.boot(world.add_host(), &spec);
    let mut hypervisor = if dirty_log {
        SimHypervisor::new(&world, guest)
    } else {
        SimHypervisor::without_dirty_log(&world, guest)
    };
    let mut bench = Bench {
        guest: &mut hypervisor,
        medium: &SimMedium::paced(Image::default(), Rc::new(WorldPace::new(&world))),
        clock: Rc::new(world.clone()),
        workers: 2,
    };
    calibrate(&mut bench, &mut |by| world.advance(by)).expect("the simulator can be measured")
}

fn assert_near(what: &str, found: f64, wanted: f64, tolerance: f64) {
    assert!(
        (found - wanted).abs() <= tolerance * wanted,
        "{what}: found {found}, wanted {wanted}"
    );
}

#[test]
fn the_simulator_is_calibrated_to_itself() {
    let wanted = slow_host();
    let found = calibrated(&wanted, true);
    let (f, w) = (&found.hypervisor, &wanted.hypervisor);
    for (what, found, wanted, tolerance) in [
        ("layout", f.layout, w.layout, 0.0),
        ("suspend", f.suspend, w.suspend, 0.0),
        ("resume", f.resume, w.resume, 0.0),
        ("read_call", f.read_call, w.read_call, 0.01),
        ("page_read", f.page_read, w.page_read, 0.001),
        ("dirty_log_switch", f.dirty_log_switch, w.dirty_log_switch, 0.0),
        ("dirty_log_read", f.dirty_log_read, w.dirty_log_read, 0.001),
        ("state", f.state, w.state, 0.0),
        ("page_hash", found.store.page_hash, wanted.store.page_hash, 0.01),
        (
            "page_compress",
            found.store.page_compress,
            wanted.store.page_compress,
            0.01,
        ),
        ("latency", found.medium.latency, wanted.medium.latency, 0.0),
        ("sync", found.medium.sync, wanted.medium.sync, 0.01),
    ] {
        assert_near(what, found.as_secs_f64(), wanted.as_secs_f64(), tolerance);
    }
    let (f, w) = (&found.system, &wanted.system);
    for (what, found, wanted, tolerance) in [
        ("pages", f.pages, w.pages + Program::PAGES_MIN, 0.0),
        ("used_pages", f.used_pages, w.used_pages, 0.01),
        ("distinct_pages", f.distinct_pages, w.distinct_pages, 0.15),
        ("page_entropy", f.page_entropy.bytes, w.page_entropy.bytes, 0.03),
        ("hot_pages", f.hot_pages, w.hot_pages, 0.1),
        ("changing_pages", f.changing_pages, w.changing_pages, 0.15),
        ("writes_per_s", f.writes_per_s, w.writes_per_s, 0.1),
        (
            "write_per_s",
            found.medium.write_per_s.bytes,
            wanted.medium.write_per_s.bytes,
            0.01,
        ),
        (
            "read_per_s",
            found.medium.read_per_s.bytes,
            wanted.medium.read_per_s.bytes,
            0.01,
        ),
    ] {
        assert_near(what, found as f64, wanted as f64, tolerance);
    }
}

/// A guest without a dirty log is read while it is suspended, and runs afterwards; what changes in it is not known.
#[test]
fn a_guest_without_a_dirty_log_is_measured_too() {
    let wanted = slow_host();
    let found = calibrated(&wanted, false);
    assert_eq!(found.system.writes_per_s, 0);
    assert_near(
        "page_read",
        found.hypervisor.page_read.as_secs_f64(),
        wanted.hypervisor.page_read.as_secs_f64(),
        0.001,
    );
}

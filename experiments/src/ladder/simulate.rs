//! A measured checkpoint again, in the simulated world.

use std::rc::Rc;
use std::time::Duration;

use revenant_core::Store;
use revenant_core::capture::{CaptureRequest, Captured, Session, capture};
use revenant_core::store::{StoreError, StoreOptions};
use revenant_sim::medium::{Image, WorldPace};
use revenant_sim::{CostProfile, GuestSpec, SimHypervisor, SimMedium, World};

use super::LadderError;
use super::table::{CaptureKind, Row, Source};

/// Of a page frame, Linux keeps a descriptor of 64 bytes: that part of a guest's memory is in use however little it does.
const DESCRIPTOR_SHARE: f64 = 64.0 / 4096.0;

/// What the profile says of the checkpoint of a row.
pub(super) fn predict(profile: &CostProfile, row: &Row, line: usize) -> Result<Row, LadderError> {
    let captured = simulate(&fitted(profile, row), row).map_err(|failed| match failed {
        Failed::Store(source) => LadderError::Store { line, source },
        Failed::Capture(source) => LadderError::Capture { line, source },
    })?;
    Ok(Row {
        source: Source::Predicted,
        suspended_s: captured.timeline.suspended_for.as_secs_f64(),
        total_s: captured.timeline.total.as_secs_f64(),
        stored_bytes: captured.checkpoint.stored_bytes,
        ..row.clone()
    })
}

enum Failed {
    Store(StoreError),
    Capture(Box<revenant_core::capture::CaptureError>),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Failed::Store(error)
    }
}

/// The profile with as much system memory as a guest of this size has besides its program.
fn fitted(profile: &CostProfile, row: &Row) -> CostProfile {
    let mut fitted = profile.clone();
    let system = &mut fitted.system;
    let pages = row.memory_mib * 256 - row.pages;
    let more = (pages as f64 - system.pages as f64) * DESCRIPTOR_SHARE;
    let grown = |used: u64| whole(used as f64 + more).clamp(u64::from(used > 0), pages);
    system.used_pages = grown(system.used_pages);
    // Descriptors of free pages are alike but for their neighbours.
    system.distinct_pages = grown(system.distinct_pages).min(system.used_pages);
    system.hot_pages = system.hot_pages.min(system.distinct_pages);
    system.changing_pages = system.changing_pages.min(system.hot_pages);
    system.pages = pages;
    fitted
}

fn simulate(profile: &CostProfile, row: &Row) -> Result<Captured, Failed> {
    let world = World::new(profile.clone());
    let spec = GuestSpec {
        program: row.program,
        pages: row.pages,
        seed: row.seed,
        steps: u64::MAX,
        step: Duration::from_nanos(row.step_ns),
    };
    let guest = world.boot(world.add_host(), &spec);
    let medium = Rc::new(SimMedium::paced(
        Image::default(),
        Rc::new(WorldPace::new(&world)),
    ));
    Store::create(&*medium)?;
    let store = Store::open(medium, Rc::new(world.clone()), StoreOptions::default())?;
    let take = |incremental: bool| {
        let request = CaptureRequest {
            incremental,
            ..CaptureRequest::new(row.guest.as_str())
        };
        let mut hypervisor = SimHypervisor::new(&world, guest);
        capture(&mut hypervisor, &store, &world, &mut Session::once(), &request)
            .map_err(|error| Failed::Capture(Box::new(error)))
    };
    let lived = Duration::from_nanos(row.step_ns.saturating_mul(row.steps));
    if row.capture == CaptureKind::Full {
        world.advance(lived);
        return take(false);
    }
    let interval = Duration::from_secs_f64(row.interval_s);
    world.advance(lived.saturating_sub(interval));
    let first = take(false)?;
    world.advance(interval.saturating_sub(first.timeline.total));
    take(true)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a float saturates"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

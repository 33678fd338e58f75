//! A world is gone after its trial: a million trials take no more memory than one. Measured with a counting allocator; one test
//! function, because the count is the process's.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(unsafe_code, reason = "an allocator can be counted only from inside")]

mod protected;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use protected::{plain, trial};
use revenant_sim::driver::{Shared, Strike};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator with the arguments it came with; counting touches an atomic only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract, which is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `dealloc`'s contract, which is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a thread may keep for the next trial: caches of compressors, not a world with its guest and disks.
const KEPT: usize = 16 << 10;

#[test]
fn a_world_is_gone_after_its_trial() {
    let one = plain();
    let mut two = plain();
    two.rules.shared = Some(Shared {
        every: 2,
        boot: Duration::from_secs(40),
    });
    let strikes = [
        (70_000, Strike::GuestCrash),
        (90_000, Strike::Hang),
        (60_000, Strike::HostCrash),
        (75_000, Strike::StoreLoss),
        (80_000, Strike::HostLoss),
    ];
    for (name, scenario) in [("one store", one), ("two stores", two)] {
        for strikes in [&strikes[..0], &strikes] {
            trial(&scenario, strikes);
            let before = HELD.load(Ordering::Relaxed);
            for _ in 0..5 {
                trial(&scenario, strikes);
            }
            let more = HELD.load(Ordering::Relaxed).saturating_sub(before);
            assert!(
                more < KEPT,
                "{name}, {} losses: {more} bytes more after five trials",
                strikes.len()
            );
        }
    }
}

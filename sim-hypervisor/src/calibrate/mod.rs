//! The cost profile of a real host, measured through the doors that the simulator stands behind.
//!
//! Everything is timed where the capture engine would wait for it: at the hypervisor's door, at the medium's, and in the
//! store's own computing. So a simulation with this profile waits for as long. Calibrating the simulator itself gives its
//! own profile back; a test holds it to that.

mod guest;
mod medium;
mod memory;
mod store;

use std::rc::Rc;
use std::time::Duration;

use revenant_core::medium::MediumError;
use revenant_core::quantity::{Period, Size};
use revenant_core::store::StoreError;
use revenant_core::{Clock, Hypervisor, HypervisorError, Medium};

use crate::profile::{CostProfile, SystemMemory};

/// How often small operations are repeated.
const REPEATS: usize = 7;

/// The guest and the host to be measured.
#[derive(Debug)]
pub struct Bench<'a> {
    /// A guest that idles: what it holds and changes is taken for that of every guest's system. It runs afterwards.
    pub guest: &'a mut dyn Hypervisor,
    /// An empty medium on the disk that stores will be on.
    pub medium: &'a dyn Medium,
    /// The time.
    pub clock: Rc<dyn Clock>,
    /// Threads of the store.
    pub workers: usize,
}

/// A calibration failed. The guest runs, or is gone.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    /// The guest.
    #[error("cannot measure the guest")]
    Guest(#[from] HypervisorError),
    /// The medium.
    #[error("cannot measure the disk")]
    Medium(#[from] MediumError),
    /// A store in memory.
    #[error("cannot measure the store")]
    Store(#[from] StoreError),
    /// Nothing to measure with.
    #[error("the guest has no used page")]
    EmptyGuest,
}

/// Measures everything. `pass` lets time pass; the guest runs meanwhile.
pub fn calibrate(
    bench: &mut Bench<'_>,
    pass: &mut dyn FnMut(Duration),
) -> Result<CostProfile, CalibrateError> {
    let seen = guest::measure(bench, pass)?;
    let memory = memory::read(bench)?;
    let (store, page_entropy) = store::measure(bench, &memory.sample)?;
    let hot_pages = seen.hot_pages.min(memory.distinct);
    let mut hypervisor = seen.costs;
    hypervisor.read_call = Period(memory.call);
    hypervisor.page_read = Period(memory.page);
    hypervisor.page_write = hypervisor.page_read;
    Ok(CostProfile {
        represents: 1,
        hypervisor,
        medium: medium::measure(bench)?,
        shared_medium: None,
        store,
        system: SystemMemory {
            pages: memory.pages,
            used_pages: memory.used,
            distinct_pages: memory.distinct,
            page_entropy: Size { bytes: page_entropy },
            hot_pages,
            changing_pages: whole(hot_pages as f64 * seen.changing),
            writes_per_s: if hot_pages == 0 { 0 } else { seen.writes_per_s },
        },
    })
}

fn median(mut values: Vec<Duration>) -> Duration {
    values.sort_unstable();
    values[values.len() / 2]
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a float saturates"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

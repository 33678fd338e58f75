//! Closed forms that trials are held against, one file a model. All times in seconds, all failures exponential.
//!
//! τ and `w` are the work between two checkpoints with the checkpoint's cost left out (Young, Daly); Hérault and Robert
//! print the period T = τ + C. Waste = 1 − work / makespan; overhead = makespan / work − 1.

pub mod epochs;
pub mod precopy;
pub mod replication;
pub mod silent;
mod single;
pub mod storage;
pub mod two_level;

pub use single::{FirstOrder, Scenario, waste};

/// Asserts that two numbers are within a tolerance of each other.
#[cfg(test)]
#[track_caller]
fn near(found: f64, wanted: f64, tolerance: f64) {
    assert!(
        (found - wanted).abs() <= tolerance,
        "found {found}, wanted {wanted} ± {tolerance}"
    );
}

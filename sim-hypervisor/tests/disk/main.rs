//! The simulated disk: the contract of a medium, and what a crash may and may not take.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod contract;
mod crashes;
mod random;

use revenant_core::Medium;
use revenant_sim::SimMedium;

/// A synced file; its name is not.
fn put(medium: &SimMedium, path: &str, bytes: &[u8]) {
    let mut file = medium.create_new(path).unwrap();
    file.append(bytes).unwrap();
    file.sync().unwrap();
}

/// Directories with durable names.
fn with_dirs(dirs: &[&str]) -> SimMedium {
    let medium = SimMedium::default();
    for dir in dirs {
        medium.create_dir(dir).unwrap();
    }
    medium.sync_dir("").unwrap();
    medium
}

//! A workload for real guests, and the judge of what it prints.
//!
//! The guest's process holds the memory of a simulated machine ([`revenant_sim::Program`]) and computes on it. What it
//! must have become after any number of steps is known from running the same program elsewhere: one page that a
//! checkpoint lost, tore or swapped gives another digest from there on. Beside it the process writes a disk and
//! remembers in memory what it wrote, so that memory and disk which are not of one instant show too.

mod disk;
mod judge;
mod report;

pub use disk::{Disk, Fault};
pub use judge::{Judge, Verdict, Wrong};
pub use report::{Report, parse_reports};

//! The checkpoint core of Revenant: one engine that captures, stores, restores and protects virtual
//! machines, whatever hypervisor runs them.
//!
//! ```text
//! guest ──▶ capture ──▶ store ──▶ restore ──▶ guest          protect drives the circle
//!   ▲ Hypervisor          ▲ Medium   ▲ Clock
//! ```
//!
//! Three doors lead to the outside world, each an object-safe trait with a written contract and an exported
//! conformance suite: [`Hypervisor`] (a guest), [`Medium`] (where bytes become durable) and [`Clock`]
//! (time). Nothing in this crate reads the wall clock, draws a random number or opens a file but through
//! them, so a simulator that owns all three exercises the very code that saves a real machine.
#![forbid(unsafe_code)]

pub mod capture;
mod causes;
pub mod clock;
pub mod guest;
pub mod lease;
pub mod medium;
pub mod policy;
pub mod protect;
pub mod quantity;
pub mod restore;
pub mod store;
pub mod units;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;

pub use causes::with_causes;
pub use clock::Clock;
pub use guest::{Hypervisor, HypervisorError};
pub use medium::{Medium, MediumError};
pub use store::Store;
pub use units::{PAGE_SIZE, Pfn, Timestamp};

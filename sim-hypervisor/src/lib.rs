//! The simulated world: guests with an oracle, a virtual clock, a disk that tears, and a fault plan.
//!
//! It implements the seams of `revenant-core`, so that the real capture, store, restore and protect code runs in
//! it unchanged. Bytes really move; time does not pass but is accounted: every call through a seam costs what the
//! [`CostProfile`] says, and while the virtual clock moves the guests run and incidents strike. The same seed gives
//! the same world on any machine.
#![forbid(unsafe_code)]

pub mod calibrate;
pub mod driver;
pub mod fault;
mod hypervisor;
mod machine;
pub mod medium;
mod oracle;
mod profile;
mod program;
mod silent;
mod system;
mod world;

pub use hypervisor::{MACHINE, SimHypervisor};
pub use medium::SimMedium;
pub use oracle::Oracle;
pub use profile::{CostProfile, HypervisorCosts, MediumCosts, ProfileError, StoreCosts, SystemMemory};
pub use program::{Program, UnknownProgram};
pub use silent::SilentErrors;
pub use world::{GuestId, GuestSpec, Happening, HostId, Incident, Powered, World};

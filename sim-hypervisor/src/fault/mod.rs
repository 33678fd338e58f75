//! Faults as data: a plan says which call fails how, decorators on the seams carry it out, and what was done is logged.
//!
//! The simulator and the engine know nothing of faults; the same binary runs with a plan and without one. A plan has a text
//! form that fits on a command line, so that a failing run can be had again.

mod hypervisor;
mod inject;
mod medium;
mod plan;
mod text;

pub use hypervisor::FaultyHypervisor;
pub use inject::{Applied, Faults};
pub use medium::FaultyMedium;
pub use plan::{Call, CallFault, FaultPlan, Loss, TimedFault, Verdict, When};
pub use text::ParsePlanError;

//! The judges: what every backend of a seam must do, as functions that fail with the clause that was broken. A backend's
//! own test hands them a fresh instance; third parties use the same ones.

pub mod clock;
pub mod hypervisor;
pub mod medium;

//! Fixtures shared by the claims.

pub mod rig;
pub mod stores;

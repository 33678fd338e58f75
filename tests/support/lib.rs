//! Fixtures shared by the claims.

pub mod contents;
pub mod machine;
pub mod reliability;
pub mod rig;
pub mod stores;

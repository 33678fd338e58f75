//! Fixtures shared by the claims.

pub mod stores;

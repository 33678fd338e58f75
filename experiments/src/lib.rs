//! Placeholder
#![forbid(unsafe_code)]
pub mod failures;
pub mod model;
pub mod outcome;
pub mod plan;
pub mod record;
pub mod seed;
pub mod spec;
pub mod stats;
pub mod theory;

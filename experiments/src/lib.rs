//! Placeholder
#![forbid(unsafe_code)]
pub mod spec;
pub mod theory;

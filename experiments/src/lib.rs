//! Failure-rate experiments: how much work a guest loses under failures, by checkpoint interval.
//!
//! ```text
//! ① spec (TOML) ─▶ ② plan, seeds, failures ─▶ ③ trials: model · sim ─▶ rows ─▶ ④ statistics, theory ─▶ ⑤ manifest, figures
//! ```
//!
//! Two levels run the same trial. `model` is the protect loop of the core over constant costs; `sim` is the whole core over a
//! simulated guest, host and disk. Both meet the same failures, and both are held against the closed forms of
//! [`theory`]. A third, `cluster`, runs many jobs on many hosts, whose checkpoints contend for stores. Results depend on spec and seed only.
#![forbid(unsafe_code)]

pub mod cluster;
pub mod curve;
mod expected;
pub mod failures;
mod fast;
pub mod fit;
mod hlog;
pub mod interval;
pub mod ladder;
mod lines;
pub mod logs;
pub mod manifest;
pub mod model;
mod order;
pub mod outcome;
pub mod paired;
pub mod plan;
pub mod plot;
pub mod record;
pub mod run;
pub mod seed;
mod sim;
pub mod spec;
mod special;
pub mod stats;
mod summary;
pub mod theory;
pub mod trial;
pub mod validate;

pub use run::{Progress, RunError, RunOptions, RunReport, run};
pub use sim::SimError;
pub use spec::{Spec, SpecError};

//! ① Guest → checkpoint: stop-and-copy and pre-copy, full and incremental, over any [`Hypervisor`].
//!
//! ```text
//! pre-copy       log on ─▶ round 0: all, or what changed ─▶ rounds: what was dirtied meanwhile ─▶ ┐
//! stop-and-copy  ────────────────────────────────────────────────────────────────────────────▶ ┤
//!                                           suspend ─▶ the rest ─▶ machine state ─▶ resume ─▶ commit
//! ```
//!
//! Disks that the backend froze with the suspension are copied after `resume`, from their frozen state, into the same
//! checkpoint.
//!
//! The guest comes first. It is resumed as soon as the last byte is out of it, before compression, sync and commit
//! have finished; it is resumed after any error; and a failed capture forgets no dirty page, because a [`Session`] keeps
//! every frame that was taken from the log until a checkpoint holding it is committed.
//!
//! [`Hypervisor`]: crate::Hypervisor

mod disks;
mod engine;
mod error;
mod policy;
mod rounds;
mod session;
mod timeline;

pub use disks::CopiedDisk;
pub use engine::{CaptureRequest, Captured, Method, capture};
pub use error::CaptureError;
pub use policy::{Decision, PreCopyPolicy, RoundStats};
pub use session::{Increment, Session};
pub use timeline::{Round, Timeline};

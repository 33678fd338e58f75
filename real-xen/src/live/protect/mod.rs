//! Protecting a live guest: checkpoints while it runs, and a restart from the newest good one when it is lost.
//!
//! What to do next is the core's state machine; here is who does it on a real host, and how it is noticed that a guest
//! has crashed, was destroyed, hangs, or has lost its host.

mod driver;
mod journal;
mod scrub;
mod watch;

pub use driver::{Ended, ProtectError, Protection, protect};
pub use journal::{Entry, Journal};
pub use watch::{Progress, Sign};

//! The reactive loop: checkpoint by policy, notice that the guest is gone, restart it from the newest
//! committed checkpoint, go on.
//!
//! [`Protect`] is the control flow alone. It reads no clock and performs nothing: a driver tells it what
//! happened ([`Event`]) and does what it is told ([`Step`]). Real hosts, the simulated world and the
//! discrete-event model drive this same machine.
//!
//! ```text
//!            ┌───────── Captured / CaptureFailed ──────────┐
//!            ▼                                             │
//! Started ─▶ Run ── TimerExpired ─▶ Capture ───────────────┤
//!            │ ▲                       │ GuestLost         │ Captured after GuestFinished
//!  GuestLost │ │ Restored              ▼                   ▼
//!            └─┼──────────────────▶  Wait ─▶ Restore    Finished
//!              └─────────────────────────────┘  └─ RestoreFailed, CheckpointUnreadable: older checkpoint, or GivenUp
//! ```
//!
//! A checkpoint may hold a guest that is about to crash: bytes are whole, the guest is not. If it crashes from the same
//! one [`Options::crashes_max`] times, nothing being committed between, an older one serves.

mod machine;

pub use machine::{Event, GiveUp, Options, Protect, Step, Tally};

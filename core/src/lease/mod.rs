//! Who protects a guest, as every host that shares the medium sees it.
//!
//! ```text
//! stand_by ─▶ Lease::take ─▶ Held: renewed by a thread ─▶ release
//!                  └▶ Fence: every commit and prune of the holder's store asks it
//! ```
//!
//! A lease is the file `leases/GUEST.EPOCH` with the largest epoch. It is *taken* by creating the file of the next
//! epoch, which only one can do, and *renewed* by replacing the file by one with a larger counter. Who stands by looks at
//! the file: not changed for the timeout, by the watcher's own clock, its holder is lost. Clocks of two hosts are never
//! compared.
//!
//! A holder has lost the lease when there is a larger epoch. It may be slow to notice, so two things keep it from doing
//! harm: when it could not renew for most of the timeout it is in doubt and holds still, and its [`Fence`] has every commit
//! look for a larger epoch before the checkpoint exists and again afterwards. What a host that is cut off does with the
//! *guest* no file can prevent: that is what fencing the host is for.
//!
//! The file of the largest epoch is never removed, a lease that was given back says so in it; otherwise an epoch would be
//! given twice, and a holder that slept for long could take itself for the present one.

mod fence;
mod held;
mod names;
mod record;
mod standing_by;
mod taken;
#[cfg(test)]
mod tests;

pub use fence::{Fence, Standing, leave_out_deposed};
pub use held::Held;
pub(crate) use names::LEASES;
pub use standing_by::{Lapsed, StandBy, stand_by};
pub use taken::{Claim, Lease, LeaseError, LeaseState, Rival};

/// The fact that tells under which epoch of the guest's lease a checkpoint was committed.
pub const EPOCH_FACT: &str = "epoch";

//! The protect loop in the simulated world: the state machine, the engine, the store and the disk are the real ones or
//! behave like them; only the guest's hardware and time are simulated.
//!
//! A run takes a guest to the end of its work through whatever is lost on the way. The checkpointer is a process on the
//! guest's host: when that host is lost it dies too, and a new one on the other host opens the store, reads the
//! catalogue and goes on from there. After a crash of the host the new one starts where the old one was.
//!
//! Several guests may be in one world ([`run_together`]), each with a protect loop and hosts of its own, all in one store.
//!
//! Where there are two stores ([`Shared`]) every checkpoint is committed to that of the host, and every so many are copied to the
//! shared one. The local store goes with its host; what is in it is found again where the host only crashed.

mod boot;
mod damage;
mod disks;
mod drive;
mod report;
mod strike;
mod verify;
mod witness;

use std::time::Duration;

use revenant_core::capture::Method;
use revenant_core::protect::Options;

pub use drive::{Member, Seen, run, run_together, watch};
pub use report::{Capture, Report, RunEnd};
pub use strike::{Losses, Strike};
pub use witness::{Moment, Spent, Witness};

use crate::fault::FaultPlan;
use crate::profile::CostProfile;
use crate::world::GuestSpec;

/// The name in the catalogue of a guest that is alone.
const GUEST: &str = "guest";

/// A guest to be protected, and how.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The guest.
    pub guest: GuestSpec,
    /// What things cost.
    pub profile: CostProfile,
    /// What the protect loop is told.
    pub protect: Options,
    /// How to get the pages out.
    pub method: Method,
    /// Build each checkpoint on the one before.
    pub incremental: bool,
    /// Whether the hypervisor has a dirty log and reads running guests (Xen: PVH), or not (PV).
    pub dirty_log: bool,
    /// From a loss until somebody notices.
    pub detection: Duration,
    /// A start from nothing takes this long, on top of what the calls cost.
    pub boot: Duration,
    /// Checkpoints kept, at least 1; older ones are pruned as they come.
    pub keep_last: u32,
    /// zstd level of the store.
    pub compression_level: i32,
    /// What goes wrong besides the losses.
    pub faults: FaultPlan,
    /// Seeds what a loss of power makes of unsynced bytes.
    pub seed: u64,
    /// The run ends after this much virtual time at the latest.
    pub time_limit: Duration,
    /// What is not as in the plain case.
    pub rules: Rules,
}

/// What may differ from the plain case, in which nothing but a guest or its host is lost, and noticed at once. The default is
/// the plain case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// A host that crashed takes so much longer to be ready than another takes that stands by.
    pub reboot: Duration,
    /// From a hang until the detector tells, whatever else is done meanwhile, in place of the detection of other failures; `None`: as
    /// those.
    pub hang_detection: Option<Duration>,
    /// For how long a store takes no writes that has lost something.
    pub store_repair: Duration,
    /// How silent errors are found; `None`: never.
    pub verification: Option<Verification>,
    /// A second store, which outlives the host; the first then does not. `None`: there is one, which does.
    pub shared: Option<Shared>,
}

/// The store that outlives the host; its disk has the costs of [`CostProfile::shared_medium`].
///
/// A checkpoint that goes there is committed to the local store first and then copied, and the guest stands still for the
/// copy, as the papers have it. If that fails, the capture has failed; the local checkpoint serves all the same. A restart from there
/// copies the checkpoint to the host's store and goes on from the copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shared {
    /// Every checkpoint of this number goes there, counted from the last that did or came from there; at least 1.
    pub every: u32,
    /// A start from nothing takes this long on a host where the guest has not been, in place of [`Scenario::boot`].
    pub boot: Duration,
}

/// Looks at the guest's state that find every silent error before them. The guest stands still meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verification {
    /// What one costs (V).
    pub cost: Duration,
    /// How many a checkpoint (m), at equal distances, the last of a suspended guest just before the capture takes anything from
    /// it; at least 1. A guest that finishes without a last checkpoint is looked at once more.
    pub per_checkpoint: u32,
}

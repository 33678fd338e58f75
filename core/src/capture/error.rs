//! Why a capture failed.

use crate::guest::{GoneReason, HypervisorError};
use crate::store::{CheckpointId, StoreError};

/// A capture failed. Unless it is [`NotResumed`](CaptureError::NotResumed) or the guest is gone, the guest runs as
/// before; no earlier checkpoint is touched and no dirty page is forgotten.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The guest or its hypervisor failed.
    #[error("cannot {action}")]
    Guest {
        /// What was being done.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: HypervisorError,
    },
    /// The store failed.
    #[error("cannot store the checkpoint")]
    Store(#[from] StoreError),
    /// The layout of a running guest would not hold still.
    #[error("the guest's memory layout changed {changes} times while one batch was read")]
    RestlessLayout {
        /// How often.
        changes: u32,
    },
    /// The guest's disks are not such as a checkpoint holds.
    #[error(
        "disk {name:?}: a checkpoint holds up to 15 disks of less than 2^48 blocks, named without white space"
    )]
    Disk {
        /// What the backend calls it.
        name: String,
    },
    /// The guest was suspended and could not be resumed.
    #[error("the guest was not resumed{}", match checkpoint {
        Some(id) => format!(", its checkpoint {id} is committed"),
        None => String::new(),
    })]
    NotResumed {
        /// The checkpoint, if it could be committed all the same.
        checkpoint: Option<CheckpointId>,
        /// Why resuming failed.
        #[source]
        source: HypervisorError,
    },
}

impl CaptureError {
    pub(super) fn guest(action: &'static str) -> impl Fn(HypervisorError) -> CaptureError {
        move |source| CaptureError::Guest { action, source }
    }

    /// Why the guest is no more, if that is what the failure means.
    pub fn guest_gone(&self) -> Option<GoneReason> {
        match self {
            CaptureError::Guest {
                source: HypervisorError::Gone(reason),
                ..
            }
            | CaptureError::NotResumed {
                source: HypervisorError::Gone(reason),
                ..
            } => Some(*reason),
            _ => None,
        }
    }
}

//! Why a capture failed.

use crate::guest::{GoneReason, HypervisorError};
use crate::store::{CheckpointId, StoreError};
use crate::units::Pfn;

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
    /// The guest answered for other frames than it was asked for.
    #[error("asked for {asked} frames from {first} on, the guest gave {given}, or others")]
    WrongFrames {
        /// The first frame asked for.
        first: Pfn,
        /// How many were asked for.
        asked: usize,
        /// How many came.
        given: usize,
    },
    /// The guest's disks are not such as a checkpoint holds.
    #[error(
        "disk {name:?}: a checkpoint holds up to 15 disks of less than 2^48 blocks, named without white space"
    )]
    Disk {
        /// What the backend calls it.
        name: String,
    },
    /// Frames came or went while the guest was being suspended.
    #[error("the guest's memory layout changed while it was being suspended")]
    LayoutChanged,
    /// The medium has no room for what is still to be copied. The guest was not suspended.
    #[error("the store's medium has {free_bytes} bytes free, up to {needed_bytes} may be needed")]
    NoSpace {
        /// What the rest of the capture may need at most.
        needed_bytes: u64,
        /// What is free.
        free_bytes: u64,
    },
    /// The guest was suspended and could not be resumed.
    #[error("the guest was not resumed{}{}", match checkpoint {
        Some(id) => format!(", its checkpoint {id} is committed"),
        None => String::new(),
    }, match also {
        Some(error) => format!(" (besides, {})", crate::with_causes(&**error)),
        None => String::new(),
    })]
    NotResumed {
        /// The checkpoint, if it could be committed all the same.
        checkpoint: Option<CheckpointId>,
        /// What failed besides.
        also: Option<Box<CaptureError>>,
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

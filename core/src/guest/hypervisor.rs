//! The door to a guest.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::{FrozenDisk, MachineKind, MemoryLayout, PageBatch, PfnSet, StateRecord};
use crate::units::Pfn;

/// What a backend can do with this guest. The engine chooses its method by reading this, never by trying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// Name of the backend, as errors and catalogues print it.
    pub backend: &'static str,
    /// Whose machine state this is; a checkpoint restores only onto a backend of the same kind.
    pub machine: MachineKind,
    /// The hypervisor records which frames the guest writes. Without it (Xen built without shadow paging,
    /// PV guest) there is no pre-copy, and increments are found by comparing content.
    pub dirty_log: bool,
    /// Pages can be read while the guest runs. Without it every read needs a suspended guest.
    pub live_read: bool,
    /// The guest can be made blank and filled in place. Without it (a domain that a toolstack has to build and wire
    /// up) `populate`, `write_pages` and `load_state` are refused, and a restore goes through an exported image.
    pub rewrites: bool,
}

/// Why a guest is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoneReason {
    /// The guest crashed: a kernel panic, a triple fault.
    GuestCrashed,
    /// Somebody destroyed the domain or it shut down by itself.
    Destroyed,
    /// The host under it stopped: all that was only in its memory is lost.
    HostLost,
}

/// One guest on some hypervisor.
///
/// # Contract
/// - A guest is *running*, *suspended* or *gone*. `suspend` and `resume` are idempotent. While suspended
///   neither memory nor machine state changes. Once gone, every call answers [`HypervisorError::Gone`].
/// - `layout` lists the populated frames and only those; a frame outside it is never read or written
///   (asking for one is [`HypervisorError::NoSuchFrame`]). It may change while the guest runs.
/// - Page tags and machine state are opaque to the engine and come back exactly as they were saved.
/// - `set_dirty_log(true)` starts with an empty log; from then on every frame written by the guest, by a
///   device, or newly populated, appears in the next `take_dirty`. A frame written between the moment
///   `take_dirty` took the log and its return is reported by this call or by the next one, never by
///   neither. Switching the log on twice keeps it; off forgets it.
/// - `read_pages` appends one entry per requested frame, in order. On an error the batch holds nothing that
///   may be used. On a running guest a page may be torn; then the dirty log names it later.
/// - `populate` turns a guest into a blank, suspended one: exactly the frames of the layout, all zero, no
///   dirty log. With `write_pages` and `load_state` it is the whole of a restore. `write_pages` and
///   `load_state` need a suspended guest.
/// - `save_state` needs a suspended guest, and after `load_state` of the same records gives them back.
/// - `frozen_disks` hands out the guest's disks as they were during the last suspension, whether or not the guest runs
///   again; the order is that of the guest's configuration. A second call for the same suspension gives none.
/// - A failed call leaves the guest as it was, unless it says otherwise by `Gone`.
pub trait Hypervisor: fmt::Debug {
    /// What can be done with this guest.
    fn capabilities(&self) -> Capabilities;
    /// The populated frames, sparse: a 128 MiB PVH guest spans 1,044,480 frame numbers.
    fn layout(&mut self) -> Result<MemoryLayout, HypervisorError>;
    /// Asked after a suspended guest was resumed: whether what `layout` said while it was suspended was right. A backend
    /// for which a full look takes longer than a guest should be suspended answers from what it knows then, and looks
    /// here. After a `false` its next answer to a suspended guest's layout is the full look.
    fn layout_held(&mut self) -> Result<bool, HypervisorError> {
        Ok(true)
    }
    /// Stops all vCPUs and quiesces devices. Returns when nothing changes any more.
    fn suspend(&mut self) -> Result<(), HypervisorError>;
    /// Lets a suspended guest go on in place.
    fn resume(&mut self) -> Result<(), HypervisorError>;
    /// Asked of a suspended guest about to be copied, where pages cannot be read live: takes everything that may be asked for aside, if that is how this
    /// backend works. After a `true` the guest may be resumed at once: `layout`, `read_pages` and `save_state` answer for
    /// the suspended instant until it is suspended again.
    fn keep_image(&mut self) -> Result<bool, HypervisorError> {
        Ok(false)
    }
    /// Starts or ends the recording of written frames.
    fn set_dirty_log(&mut self, on: bool) -> Result<(), HypervisorError>;
    /// Reads and clears the dirty log, adding to `into`.
    fn take_dirty(&mut self, into: &mut PfnSet) -> Result<(), HypervisorError>;
    /// Appends the given frames (at most what the batch still has room for) to `into`.
    fn read_pages(&mut self, pfns: &[Pfn], into: &mut PageBatch) -> Result<(), HypervisorError>;
    /// Discards all memory and state and makes the guest blank, suspended, with this layout.
    fn populate(&mut self, layout: &MemoryLayout) -> Result<(), HypervisorError>;
    /// Writes whole frames, content and tag.
    fn write_pages(&mut self, batch: &PageBatch) -> Result<(), HypervisorError>;
    /// vCPUs, devices and whatever else makes up the machine besides memory.
    fn save_state(&mut self) -> Result<Vec<StateRecord>, HypervisorError>;
    /// The inverse of `save_state`.
    fn load_state(&mut self, records: &[StateRecord]) -> Result<(), HypervisorError>;
    /// The disks that were frozen by the last `suspend`. A backend that does not know of disks has none.
    fn frozen_disks(&mut self) -> Result<Vec<Box<dyn FrozenDisk>>, HypervisorError> {
        Ok(Vec::new())
    }
}

/// Why a call to a [`Hypervisor`] failed.
#[derive(Debug, thiserror::Error)]
pub enum HypervisorError {
    /// The backend cannot do this at all; its [`Capabilities`] say so.
    #[error("{backend} cannot {operation}")]
    Unsupported {
        /// What was asked for.
        operation: &'static str,
        /// Who was asked.
        backend: &'static str,
    },
    /// The guest must be suspended for this, and is running.
    #[error("cannot {operation} while the guest runs: suspend it first")]
    NotSuspended {
        /// What was asked for.
        operation: &'static str,
    },
    /// The guest is no more.
    #[error("the guest is gone: {}", match .0 {
        GoneReason::GuestCrashed => "it crashed",
        GoneReason::Destroyed => "it was destroyed",
        GoneReason::HostLost => "its host was lost",
    })]
    Gone(GoneReason),
    /// The frame is not populated.
    #[error("frame {0} is not populated")]
    NoSuchFrame(Pfn),
    /// A machine-state record is missing, unknown or malformed.
    #[error("state record {name}: {reason}")]
    BadState {
        /// Name of the record.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The guest or the hypervisor did not answer in time.
    #[error("{operation} got no answer within {waited:?}")]
    Timeout {
        /// What was asked for.
        operation: &'static str,
        /// For how long.
        waited: Duration,
    },
    /// The backend's own error.
    #[error("{operation} failed")]
    Backend {
        /// What was asked for.
        operation: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

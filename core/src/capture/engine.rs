//! The capture itself.

use std::collections::BTreeMap;
use std::fmt;

use super::disks::{CopiedDisk, Disks, check_memory};
use super::rounds::{Copier, populated};
use super::session::{Increment, Session};
use super::timeline::{Copied, Live};
use super::{CaptureError, Decision, PreCopyPolicy, Timeline};
use crate::clock::Clock;
use crate::guest::{Hypervisor, MemoryLayout, PfnSet, StateRecord};
use crate::store::{CheckpointId, CheckpointInfo, NewCheckpoint, Staging, Store, StoreError};

/// How the pages get out of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Suspend, copy, resume.
    StopAndCopy,
    /// Copy while the guest runs, then suspend it for what is left. Needs a dirty log; without one the capture is
    /// stop-and-copy, and says so.
    PreCopy,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Method::StopAndCopy => "stop-and-copy",
            Method::PreCopy => "pre-copy",
        })
    }
}

/// What to capture and how.
#[derive(Debug, Clone)]
pub struct CaptureRequest {
    /// The guest's name in the catalogue.
    pub guest: String,
    /// How the pages get out.
    pub method: Method,
    /// Build on the guest's newest checkpoint where there is one.
    pub incremental: bool,
    /// When pre-copy has done enough.
    pub precopy: PreCopyPolicy,
    /// Facts for the catalogue.
    pub facts: BTreeMap<String, String>,
}

impl CaptureRequest {
    /// A full live checkpoint.
    pub fn new(guest: impl Into<String>) -> Self {
        CaptureRequest {
            guest: guest.into(),
            method: Method::PreCopy,
            incremental: false,
            precopy: PreCopyPolicy::default(),
            facts: BTreeMap::new(),
        }
    }
}

/// A committed capture.
#[derive(Debug, Clone)]
pub struct Captured {
    /// The checkpoint.
    pub checkpoint: CheckpointInfo,
    /// What was done and how long it took.
    pub timeline: Timeline,
    /// The guest's disks, if its backend froze any.
    pub disks: Vec<CopiedDisk>,
}

/// Takes a checkpoint of a running (or suspended) guest and commits it. The guest runs when this returns.
///
/// An increment by dirty log needs a session whose last checkpoint is still in the store. If that is not so, all of
/// memory is read and compared by content; the timeline tells which it was.
///
/// # Errors
/// See [`CaptureError`] for the state that each leaves behind.
pub fn capture(
    guest: &mut dyn Hypervisor,
    store: &Store,
    clock: &dyn Clock,
    session: &mut Session,
    request: &CaptureRequest,
) -> Result<Captured, CaptureError> {
    let outcome = capture_in_session(guest, store, clock, session, request);
    let ended = session.end(guest);
    // The capture's own error tells more. A log that cannot be switched off after a good capture belongs to a guest that
    // is going down: the next call on it will say so.
    drop(ended);
    outcome
}

fn capture_in_session(
    guest: &mut dyn Hypervisor,
    store: &Store,
    clock: &dyn Clock,
    session: &mut Session,
    request: &CaptureRequest,
) -> Result<Captured, CaptureError> {
    let begun = clock.now();
    let can = guest.capabilities();
    let live = request.method == Method::PreCopy && can.dirty_log && can.live_read;
    let method = if live {
        Method::PreCopy
    } else {
        Method::StopAndCopy
    };
    let (base, increment) = plan(store, session, request)?;
    // Also for stop-and-copy in a row: the next increment then knows what changed.
    if can.dirty_log && (live || session.keeps_log()) {
        session.start_log(guest)?;
    }
    let new = NewCheckpoint {
        guest: request.guest.clone(),
        machine: can.machine,
        base,
        facts: request.facts.clone(),
    };
    let (mut staging, increment) = begin(store, new, increment)?;
    let mut job = Job {
        guest,
        clock,
        session,
    };
    let live = Live::begin(begun, method, increment);
    let copied = job.copy(&mut staging, live, &request.precopy);
    let (copied, records, resumed) = copied.inspect_err(|_| Disks::forsake(job.guest))?;
    let committed = Disks::copy(job.guest, store, &mut staging).and_then(|disks| {
        let checkpoint = commit(staging, records, copied.so_far())?;
        let disks = disks.committed(checkpoint.id);
        Ok((checkpoint, disks))
    });
    match (committed, resumed) {
        (Ok((checkpoint, disks)), Ok(())) => {
            job.session.committed(checkpoint.id);
            Ok(Captured {
                checkpoint,
                timeline: copied.committed(clock.now()),
                disks,
            })
        }
        (Err(error), Ok(())) => Err(error),
        (committed, Err(source)) => {
            let checkpoint = committed.ok().map(|(checkpoint, _)| checkpoint.id);
            Err(CaptureError::NotResumed { checkpoint, source })
        }
    }
}

/// What the checkpoint builds on.
fn plan(
    store: &Store,
    session: &Session,
    request: &CaptureRequest,
) -> Result<(Option<CheckpointId>, Increment), CaptureError> {
    if !request.incremental {
        return Ok((None, Increment::Full));
    }
    if let Some(base) = session.counts_from()
        && store.contains(base)?
    {
        return Ok((Some(base), Increment::ByDirtyLog));
    }
    Ok(store
        .newest(&request.guest)?
        .map_or((None, Increment::Full), |base| (Some(base), Increment::ByContent)))
}

/// Begins the checkpoint. A base that is damaged or was pruned a moment ago is no reason to go without a checkpoint:
/// then all of memory is read.
fn begin(
    store: &Store,
    new: NewCheckpoint,
    increment: Increment,
) -> Result<(Staging<'_>, Increment), CaptureError> {
    match store.begin(new.clone()) {
        Err(StoreError::Damaged(_) | StoreError::NoSuchCheckpoint(_)) if new.base.is_some() => {
            Ok((store.begin(NewCheckpoint { base: None, ..new })?, Increment::Full))
        }
        begun => Ok((begun?, increment)),
    }
}

fn commit(
    mut staging: Staging<'_>,
    records: Vec<StateRecord>,
    so_far: &Timeline,
) -> Result<CheckpointInfo, CaptureError> {
    for record in records {
        staging.put_record(record)?;
    }
    for (key, value) in so_far.facts() {
        staging.set_fact(&key, &value);
    }
    Ok(staging.commit()?)
}

type Resumed = Result<(), crate::guest::HypervisorError>;

/// The parties of a capture.
struct Job<'a> {
    guest: &'a mut dyn Hypervisor,
    clock: &'a dyn Clock,
    session: &'a mut Session,
}

impl Job<'_> {
    /// Everything up to the guest's running again. Whatever fails in between, it is resumed.
    fn copy(
        &mut self,
        staging: &mut Staging<'_>,
        mut live: Live,
        policy: &PreCopyPolicy,
    ) -> Result<(Copied, Vec<StateRecord>, Resumed), CaptureError> {
        let mut copier = Copier::new(staging);
        let mut remaining = PfnSet::new();
        let by_log = live.increment() == Increment::ByDirtyLog;
        if by_log {
            remaining.union_with(self.session.pending());
            self.session.take(self.guest, &mut remaining)?;
        }
        let everything = if live.method() == Method::PreCopy {
            self.rounds(&mut copier, &mut live, &mut remaining, policy)?;
            false
        } else {
            !by_log
        };
        let requested = self.clock.now();
        self.guest
            .suspend()
            .map_err(CaptureError::guest("suspend the guest"))?;
        let suspended = live.suspended(requested, self.clock.now());
        let last = self.copy_last(&mut copier, &mut remaining, everything);
        let copied_at = self.clock.now();
        let resumed = self.guest.resume();
        let resumed_at = self.clock.now();
        let last = match (last, resumed) {
            (Err(error), Ok(())) => return Err(error),
            // A guest that is gone failed both calls for one reason; the first says where it was noticed.
            (Err(error), Err(_)) if error.guest_gone().is_some() => return Err(error),
            (Err(_), Err(source)) => {
                return Err(CaptureError::NotResumed {
                    checkpoint: None,
                    source,
                });
            }
            (Ok(last), resumed) => (last, resumed),
        };
        copier.hand_over()?;
        let (
            Last {
                layout,
                pages,
                records,
            },
            resumed,
        ) = last;
        staging.retain(&layout)?;
        Ok((suspended.resumed(pages, copied_at, resumed_at), records, resumed))
    }

    /// The live rounds. Leaves in `remaining` what is dirty when the policy has had enough.
    fn rounds(
        &mut self,
        copier: &mut Copier<'_, '_>,
        live: &mut Live,
        remaining: &mut PfnSet,
        policy: &PreCopyPolicy,
    ) -> Result<(), CaptureError> {
        let mut first_full = live.increment() != Increment::ByDirtyLog;
        loop {
            let begun = self.clock.now();
            let layout = self.layout()?;
            let pages = if std::mem::take(&mut first_full) {
                copier.copy_live(self.guest, layout.iter())?
            } else {
                copier.copy_live(self.guest, populated(remaining, &layout))?
            };
            remaining.clear();
            self.session.take(self.guest, remaining)?;
            let took = self.clock.now().since(begun);
            match live.round(pages, remaining.len(), layout.page_count(), took, policy) {
                Decision::Continue => {}
                Decision::StopAndCopy => return Ok(()),
            }
        }
    }

    /// The round with the guest suspended.
    fn copy_last(
        &mut self,
        copier: &mut Copier<'_, '_>,
        remaining: &mut PfnSet,
        everything: bool,
    ) -> Result<Last, CaptureError> {
        if self.session.is_logging() {
            self.session.take(self.guest, remaining)?;
        }
        let layout = self.layout()?;
        let pages = if everything {
            copier.copy_suspended(self.guest, layout.iter())?
        } else {
            copier.copy_suspended(self.guest, populated(remaining, &layout))?
        };
        let records = self
            .guest
            .save_state()
            .map_err(CaptureError::guest("save the machine state"))?;
        Ok(Last {
            layout,
            pages,
            records,
        })
    }

    fn layout(&mut self) -> Result<MemoryLayout, CaptureError> {
        let layout = self
            .guest
            .layout()
            .map_err(CaptureError::guest("read the memory layout"))?;
        check_memory(&layout)?;
        Ok(layout)
    }
}

/// What the suspended round brought out.
struct Last {
    layout: MemoryLayout,
    pages: u64,
    records: Vec<StateRecord>,
}

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
use crate::units::{PAGE_SIZE, Timestamp};

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
    if !can.dirty_log {
        // The log that the session knows of was another backend's.
        session.reset();
    }
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
        store,
        clock,
        session,
    };
    let live = Live::begin(begun, method, increment);
    let copied = job.copy(&mut staging, live, &request.precopy);
    let (outcome, resumed) = copied.inspect_err(|_| Disks::forsake(job.guest))?;
    if outcome.is_err() {
        Disks::forsake(job.guest);
    }
    let committed = outcome.and_then(|(copied, records)| {
        let disks = Disks::copy(job.guest, store, &mut staging)?;
        let checkpoint = commit(staging, records, copied.so_far())?;
        let disks = disks.committed(checkpoint.id);
        Ok((checkpoint, copied, disks))
    });
    match (committed, resumed) {
        (Ok((checkpoint, copied, disks)), Ok(())) => {
            job.session.committed(checkpoint.id);
            Ok(Captured {
                checkpoint,
                timeline: copied.committed(clock.now()),
                disks,
            })
        }
        (Err(error), Ok(())) => Err(error),
        // A guest that is gone failed both calls for one reason; the first says where it was noticed.
        (Err(error), Err(_)) if error.guest_gone().is_some() => Err(error),
        (Ok((checkpoint, ..)), Err(source)) => Err(CaptureError::NotResumed {
            checkpoint: Some(checkpoint.id),
            also: None,
            source,
        }),
        (Err(error), Err(source)) => Err(CaptureError::NotResumed {
            checkpoint: None,
            also: Some(Box::new(error)),
            source,
        }),
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

/// Whether the guest runs again.
type Resumed = Result<(), crate::guest::HypervisorError>;
/// What came out of the guest.
type Outcome = Result<(Copied, Vec<StateRecord>), CaptureError>;

/// Refuses what would run out of space with the guest suspended. Pages copied live have taken theirs already.
fn room_for(free_bytes: Option<u64>, bytes: u64) -> Result<(), CaptureError> {
    /// Manifest, footers, and whatever compression adds to pages that do not compress.
    const SLACK_BYTES: u64 = 16 << 20;
    let needed_bytes = bytes.saturating_add(SLACK_BYTES);
    match free_bytes {
        Some(free_bytes) if free_bytes < needed_bytes => Err(CaptureError::NoSpace {
            needed_bytes,
            free_bytes,
        }),
        _ => Ok(()),
    }
}

/// The parties of a capture.
struct Job<'a> {
    guest: &'a mut dyn Hypervisor,
    store: &'a Store,
    clock: &'a dyn Clock,
    session: &'a mut Session,
}

impl Job<'_> {
    /// Everything up to the commit. An error is one from before the guest was suspended; from then on it is part of the
    /// outcome, beside whether the guest runs again.
    fn copy(
        &mut self,
        staging: &mut Staging<'_>,
        mut live: Live,
        policy: &PreCopyPolicy,
    ) -> Result<(Outcome, Resumed), CaptureError> {
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
        room_for(
            self.store.free_bytes(),
            self.still_to_store(&live, &remaining, everything)?,
        )?;
        let requested = self.clock.now();
        self.guest
            .suspend()
            .map_err(CaptureError::guest("suspend the guest"))?;
        let suspended = live.suspended(requested, self.clock.now());
        let (last, copied_at, resumed, resumed_at) = self.take_last(&mut copier, &mut remaining, everything);
        let handed_over = last.and_then(|last| {
            copier.hand_over()?;
            Ok(last)
        });
        let outcome = handed_over.and_then(|last| {
            staging.retain(&last.layout)?;
            self.confirm_layout()?;
            let copied = suspended.resumed(last.pages, copied_at, resumed_at);
            Ok((copied, last.records))
        });
        Ok((outcome, resumed))
    }

    /// Bytes that the suspended round may add to the store. What is left of live rounds is taken as it is: it is little. All
    /// of memory is taken at a quarter, zero pages and compression being what they are, and nothing of what only
    /// differs from a stored checkpoint.
    fn still_to_store(
        &mut self,
        live: &Live,
        remaining: &PfnSet,
        everything: bool,
    ) -> Result<u64, CaptureError> {
        let pages = match (everything, live.increment()) {
            (true, Increment::Full) => self.layout()?.page_count() / 4,
            (true, _) => 0,
            (false, _) => remaining.len(),
        };
        Ok(pages.saturating_mul(PAGE_SIZE as u64))
    }

    /// The layout that was copied must be the one that the guest had.
    fn confirm_layout(&mut self) -> Result<(), CaptureError> {
        match self.guest.layout_held() {
            Ok(true) => Ok(()),
            Ok(false) => Err(CaptureError::LayoutChanged),
            // The guest's death after its checkpoint was taken does not spoil the checkpoint, but nobody can say any more
            // whether it is whole.
            Err(source) => Err(CaptureError::Guest {
                action: "look at the memory layout again",
                source,
            }),
        }
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
                copier.copy_live_held(self.guest, populated(remaining, &layout))?
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

    /// Everything that is done while the guest waits, to its running again, whatever fails; with the instants at which the
    /// copy was done and the guest ran.
    fn take_last(
        &mut self,
        copier: &mut Copier<'_, '_>,
        remaining: &mut PfnSet,
        everything: bool,
    ) -> (Result<Last, CaptureError>, Timestamp, Resumed, Timestamp) {
        // The log first: an image may let the guest run, and what it writes then belongs to the next capture.
        let logged = if self.session.is_logging() {
            self.session.take(self.guest, remaining)
        } else {
            Ok(())
        };
        // Pages that are read live are read from the guest, never from an image.
        let can_keep = !self.guest.capabilities().live_read;
        let kept = logged.and_then(|()| {
            if can_keep {
                let kept = self.guest.keep_image();
                kept.map_err(CaptureError::guest("take the guest's image"))
            } else {
                Ok(false)
            }
        });
        let early =
            matches!(kept, Ok(true)).then(|| (self.clock.now(), self.guest.resume(), self.clock.now()));
        let last = kept.and_then(|_| self.copy_last(copier, remaining, everything));
        let (copied_at, resumed, resumed_at) =
            early.unwrap_or_else(|| (self.clock.now(), self.guest.resume(), self.clock.now()));
        (last, copied_at, resumed, resumed_at)
    }

    /// The last round, of a suspended guest or its image.
    fn copy_last(
        &mut self,
        copier: &mut Copier<'_, '_>,
        remaining: &mut PfnSet,
        everything: bool,
    ) -> Result<Last, CaptureError> {
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

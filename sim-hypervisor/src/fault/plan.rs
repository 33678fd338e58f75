//! What goes wrong, and when.

use std::time::Duration;

use rand::{Rng, RngExt};
use revenant_core::quantity::Period;
use serde::{Deserialize, Serialize};

/// A call through a seam.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// `Hypervisor::layout`
    Layout,
    /// `Hypervisor::suspend`
    Suspend,
    /// `Hypervisor::resume`
    Resume,
    /// `Hypervisor::set_dirty_log`
    SetDirtyLog,
    /// `Hypervisor::take_dirty`
    TakeDirty,
    /// `Hypervisor::read_pages`
    ReadPages,
    /// `Hypervisor::populate`
    Populate,
    /// `Hypervisor::write_pages`
    WritePages,
    /// `Hypervisor::save_state`
    SaveState,
    /// `Hypervisor::load_state`
    LoadState,
    /// `Medium::create_new`
    Create,
    /// `Medium::open`
    Open,
    /// `MediumReader::read_at`
    Read,
    /// `MediumWriter::append`
    Append,
    /// `MediumWriter::sync`
    Sync,
    /// `Medium::list`
    List,
    /// `Medium::rename`
    Rename,
    /// `Medium::remove`
    Remove,
    /// `Medium::sync_dir`
    SyncDir,
    /// `Medium::try_lock`
    Lock,
}

impl Call {
    /// All calls.
    pub const ALL: [Call; 20] = [
        Call::Layout,
        Call::Suspend,
        Call::Resume,
        Call::SetDirtyLog,
        Call::TakeDirty,
        Call::ReadPages,
        Call::Populate,
        Call::WritePages,
        Call::SaveState,
        Call::LoadState,
        Call::Create,
        Call::Open,
        Call::Read,
        Call::Append,
        Call::Sync,
        Call::List,
        Call::Rename,
        Call::Remove,
        Call::SyncDir,
        Call::Lock,
    ];

    /// A call on the `Medium` seam, not the `Hypervisor`.
    pub fn is_on_medium(self) -> bool {
        self >= Call::Create
    }
}

/// What is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// The guest crashes; its host and the checkpointer live on.
    Guest,
    /// The host stops, and with it guest, checkpointer and whatever was not synced.
    Host,
}

/// Before or after the call had its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// The call has no effect.
    Before,
    /// The call has its effect.
    After,
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It fails without effect.
    Fail,
    /// The medium is full. For appends and creates.
    Full,
    /// Something is lost around it.
    Lose(Loss, When),
    /// It takes this much longer.
    Delay(Period),
    /// One bit of the bytes on their way is flipped, counted modulo their number. On `read` the fault is the reader's
    /// alone; on `append` it stays in the file; on `read-pages` it is silent corruption of the guest's data on the way into
    /// the checkpoint, which no checksum of the store can see.
    Flip(u32),
    /// It reports success and does nothing: a disk that lies about `sync`. Breaks the assumptions of the store.
    Lie,
}

impl Verdict {
    /// Can this happen to such a call?
    pub fn fits(self, call: Call) -> bool {
        match self {
            Verdict::Fail | Verdict::Lose(..) | Verdict::Delay(_) => true,
            Verdict::Full => matches!(call, Call::Append | Call::Create),
            Verdict::Flip(_) => matches!(call, Call::Read | Call::Append | Call::ReadPages),
            Verdict::Lie => matches!(call, Call::Sync | Call::SyncDir),
        }
    }
}

/// A fault at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallFault {
    /// Which kind of call.
    pub call: Call,
    /// The how many-eth of its kind since the start of the run, counted from 1.
    pub nth: u32,
    /// What happens to it.
    pub verdict: Verdict,
}

/// A loss at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimedFault {
    /// Virtual time since the start of the run.
    pub at: Period,
    /// What is lost.
    pub loss: Loss,
}

/// Everything that goes wrong in a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultPlan {
    /// At calls.
    pub calls: Vec<CallFault>,
    /// At instants.
    pub times: Vec<TimedFault>,
}

impl FaultPlan {
    /// A plan of up to `faults_max` faults within `span` of virtual time, none of which breaks what the store assumes of its
    /// medium or corrupts data before it reaches the store: after it a guest must still compute the right result.
    pub fn random(rng: &mut impl Rng, faults_max: u32, span: Duration) -> Self {
        let mut plan = FaultPlan::default();
        for _ in 0..rng.random_range(1..=faults_max.max(1)) {
            if rng.random_bool(0.25) {
                let at_ns = rng.random_range(0..u64::try_from(span.as_nanos()).unwrap_or(u64::MAX).max(1));
                plan.times.push(TimedFault {
                    at: Period(Duration::from_nanos(at_ns)),
                    loss: random_loss(rng),
                });
            } else {
                plan.calls.push(random_call_fault(rng));
            }
        }
        plan
    }
}

fn random_loss(rng: &mut impl Rng) -> Loss {
    if rng.random_bool(0.5) {
        Loss::Guest
    } else {
        Loss::Host
    }
}

fn random_call_fault(rng: &mut impl Rng) -> CallFault {
    loop {
        let call = Call::ALL[rng.random_range(0..Call::ALL.len())];
        // Mostly early calls, where there are few of a kind; now and then a late one.
        let nth = if rng.random_bool(0.8) {
            rng.random_range(1..12)
        } else {
            rng.random_range(1..120)
        };
        let verdict = match rng.random_range(0..8) {
            0 | 1 => Verdict::Fail,
            2 => Verdict::Full,
            3 | 4 => Verdict::Lose(random_loss(rng), When::Before),
            5 => Verdict::Lose(random_loss(rng), When::After),
            6 => Verdict::Delay(Period(Duration::from_millis(rng.random_range(1..3_000)))),
            _ => Verdict::Flip(rng.random_range(0..1 << 20)),
        };
        if verdict.fits(call) && !(call == Call::ReadPages && matches!(verdict, Verdict::Flip(_))) {
            return CallFault { call, nth, verdict };
        }
    }
}

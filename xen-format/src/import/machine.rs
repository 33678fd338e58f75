//! The records of a stream that are not pages, sorted out by checkpoint.

use revenant_core::guest::StateRecord;

use crate::error::{Fault, FormatError};
use crate::names;
use crate::record::{Layer, OPTIONAL, Record, STATE_BYTES_MAX, libxc, libxl, record_name};

/// What a held record costs besides its body.
const RECORD_COST_BYTES: u64 = 160;

/// Where a record stands in a plain stream; the order of the variants is that of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// Of `xl save` or `virsh save`.
    ToolHeader,
    LibxlHeader,
    /// A libxl record before LIBXC_CONTEXT.
    BeforeContext,
    Context,
    LibxcHeader,
    /// Once in a stream, before the pages.
    Static,
    P2m,
    /// Of one checkpoint.
    State,
    LibxcEnd,
    /// A libxl record after the libxc stream, of one checkpoint.
    Outer,
    LibxlEnd,
    /// Says something about the stream, nothing about the guest.
    Signal,
}

impl Place {
    pub(crate) fn of_libxc(code: u32, before_pages: bool) -> Place {
        match code {
            libxc::X86_PV_INFO | libxc::X86_CPUID_POLICY | libxc::X86_MSR_POLICY | libxc::STATIC_DATA_END => {
                Place::Static
            }
            libxc::X86_PV_P2M_FRAMES => Place::P2m,
            libxc::VERIFY | libxc::CHECKPOINT => Place::Signal,
            libxc::END => Place::LibxcEnd,
            code if code & OPTIONAL != 0 && before_pages => Place::Static,
            _ => Place::State,
        }
    }

    /// Of a libxl record after LIBXC_CONTEXT.
    pub(crate) fn of_outer(code: u32) -> Place {
        match code {
            libxl::END => Place::LibxlEnd,
            libxl::CHECKPOINT_END | libxl::CHECKPOINT_STATE => Place::Signal,
            _ => Place::Outer,
        }
    }

    /// Holds for the whole stream, not for one checkpoint of it.
    fn is_of_stream(self) -> bool {
        self <= Place::P2m
    }
}

/// The records held: of the stream, of the last complete checkpoint, and since then.
#[derive(Debug, Default)]
pub(crate) struct MachineRecords {
    stream: Vec<(Place, StateRecord)>,
    complete: Vec<(Place, StateRecord)>,
    complete_cost_bytes: u64,
    current: Vec<(Place, StateRecord)>,
    current_cost_bytes: u64,
    stream_cost_bytes: u64,
}

impl MachineRecords {
    /// Takes a record that starts at `offset` of the input.
    pub(crate) fn push(&mut self, offset: u64, place: Place, record: StateRecord) -> Result<(), FormatError> {
        self.hold(offset, "machine state", place, record)
    }

    pub(crate) fn push_record(&mut self, place: Place, record: Record) -> Result<(), FormatError> {
        let name = record_name(record.layer, record.code);
        let held = StateRecord {
            name: names::record(record.layer, record.code),
            bytes: record.body,
        };
        self.hold(record.offset, name, place, held)
    }

    fn hold(
        &mut self,
        at: u64,
        name: &'static str,
        place: Place,
        record: StateRecord,
    ) -> Result<(), FormatError> {
        self.current_cost_bytes += cost_bytes(&record);
        let total_bytes = self.stream_cost_bytes + self.complete_cost_bytes + self.current_cost_bytes;
        let limit_bytes = u64::from(STATE_BYTES_MAX);
        if total_bytes > limit_bytes {
            return Err(FormatError::new(at, name, Fault::StateTooLarge { limit_bytes }));
        }
        self.current.push((place, record));
        Ok(())
    }

    /// What came since the last complete checkpoint is a complete checkpoint.
    pub(crate) fn complete(&mut self) {
        self.complete.clear();
        self.complete_cost_bytes = 0;
        for (place, record) in self
            .current
            .drain(..)
            .filter(|(place, _)| *place != Place::Signal)
        {
            let (held, cost) = if place.is_of_stream() {
                (&mut self.stream, &mut self.stream_cost_bytes)
            } else {
                (&mut self.complete, &mut self.complete_cost_bytes)
            };
            *cost += cost_bytes(&record);
            held.push((place, record));
        }
        self.current_cost_bytes = 0;
    }

    /// Forgets what came since the last complete checkpoint.
    pub(crate) fn roll_back(&mut self) {
        self.current.clear();
        self.current_cost_bytes = 0;
    }

    /// All records as they came, of a stream without checkpoints.
    pub(crate) fn into_exact(self) -> Vec<StateRecord> {
        self.current.into_iter().map(|(_, record)| record).collect()
    }

    /// The records of a plain stream with this content.
    pub(crate) fn into_plain(self) -> Vec<StateRecord> {
        let mut all: Vec<_> = self
            .stream
            .into_iter()
            .chain(self.complete)
            .chain(self.current)
            .collect();
        let end = |place, layer, code| (place, StateRecord::new(names::record(layer, code), []));
        let nested = all.iter().any(|(place, _)| *place == Place::LibxlHeader);
        // Whatever ends there were are the same again.
        all.retain(|(place, _)| !matches!(place, Place::LibxcEnd | Place::LibxlEnd | Place::Signal));
        all.push(end(Place::LibxcEnd, Layer::Libxc, libxc::END));
        if nested {
            all.push(end(Place::LibxlEnd, Layer::Libxl, libxl::END));
        }
        all.sort_by_key(|(place, _)| *place);
        all.into_iter().map(|(_, record)| record).collect()
    }
}

fn cost_bytes(record: &StateRecord) -> u64 {
    RECORD_COST_BYTES + record.bytes.len() as u64
}

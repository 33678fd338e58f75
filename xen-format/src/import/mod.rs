//! From a save file into a store.
//!
//! ```text
//! StreamReader ─┬─ PAGE_DATA ──▶ memory: batches, zero frames, which frames exist ──▶ Staging ──▶ commit
//!               └─ the rest  ──▶ machine: records in order, one set per checkpoint ────▲
//! ```
//! A plain stream that lists every frame once is stored with its page order and comes back byte for byte. A live
//! stream repeats pages, a checkpointed one repeats everything: of each page the last version of the last
//! *complete* checkpoint is stored, and an export writes a plain stream of it.

mod machine;
mod memory;

use std::collections::BTreeMap;
use std::io::Read;

use revenant_core::guest::StateRecord;
use revenant_core::store::{CheckpointInfo, NewCheckpoint, Store, StoreError};

use crate::config::{GuestName, Identity};
use crate::error::{Fault, FormatError};
use crate::header::{GuestType, LibxcHeader};
use crate::names;
use crate::reader::{Item, StreamReader};
use crate::record::{Layer, libxl};

use machine::MachineRecords;
pub(crate) use machine::Place;
use memory::GuestMemory;

/// What the caller wants of an import.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// The guest's name in the catalogue; by default the one in the domain configuration.
    pub name: Option<String>,
    /// Bytes behind the end of the stream are an error. Otherwise they are left alone, as by Xen's own tools: a save on a
    /// block device has some.
    pub strict: bool,
    /// Facts for the catalogue besides those of the file itself.
    pub facts: BTreeMap<String, String>,
}

/// What an import took in.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The new checkpoint.
    pub info: CheckpointInfo,
    /// Kind of guest and version of stream and Xen.
    pub header: LibxcHeader,
    /// Length of the input.
    pub bytes_read: u64,
    /// Pages of data in the input, repetitions included.
    pub pages_read: u64,
    /// An export gives the very same bytes back, up to the end of the stream. Otherwise the stream repeated pages or checkpoints, and an
    /// export writes a plain stream with the same content.
    pub exact: bool,
    /// Complete checkpoints in the stream, of which the last counts; 0 if it is not a checkpointed stream.
    pub checkpoints: u64,
    /// Where a checkpointed stream broke off inside a further, incomplete checkpoint, which was left out.
    pub broke_off_at: Option<u64>,
    /// Where the guest's name is from.
    pub name: GuestName,
    /// What followed the stream and was not taken in.
    pub trailing: Option<Trailing>,
}

/// Input behind the end of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailing {
    /// Length of the stream in bytes.
    pub offset: u64,
    /// The first of what follows, up to 64 KiB of it, are zeroes.
    pub zeroes: bool,
}

/// A save file was not taken in. The store is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file is damaged, incomplete or no save file.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The store failed.
    #[error("storing the image failed")]
    Store(#[from] StoreError),
}

/// Reads a save file to its end and commits it as one checkpoint.
///
/// Memory: two batches of pages, the machine state (at most 32 MiB), and for each run of frames some 40 bytes.
pub fn import(input: impl Read, store: &Store, options: &ImportOptions) -> Result<Imported, ImportError> {
    let mut reader = StreamReader::new(input);
    let mut machine = MachineRecords::default();
    let mut identity = Identity::default();
    let header = loop {
        let at = reader.offset();
        match reader.next_item()? {
            Some(Item::Xl(header)) => {
                identity = Identity::of_json(header.config());
                let record = StateRecord::new(names::XL_HEADER, header.encode());
                machine.push(at, Place::ToolHeader, record)?;
            }
            Some(Item::Libvirt(header)) => {
                identity = Identity::of_libvirt_xml(header.xml());
                let record = StateRecord::new(names::LIBVIRT_HEADER, header.encode());
                machine.push(at, Place::ToolHeader, record)?;
            }
            Some(Item::Libxl(header)) => {
                machine.push(
                    at,
                    Place::LibxlHeader,
                    StateRecord::new(names::LIBXL_HEADER, header.encode()),
                )?;
            }
            Some(Item::Record(record)) => {
                let place = if record.code == libxl::LIBXC_CONTEXT {
                    Place::Context
                } else {
                    Place::BeforeContext
                };
                machine.push_record(place, record)?;
            }
            Some(Item::Libxc(header)) => {
                machine.push(
                    at,
                    Place::LibxcHeader,
                    StateRecord::new(names::LIBXC_HEADER, header.encode()),
                )?;
                break header;
            }
            Some(Item::Pages(_) | Item::CheckpointComplete) | None => {
                unreachable!("the reader gives the libxc header before pages, checkpoints and the end")
            }
        }
    };
    let name = match &options.name {
        Some(name) => GuestName::Given(name.clone()),
        None => identity.guest_name(),
    };
    let staging = store.begin(NewCheckpoint {
        guest: name.text().to_owned(),
        machine: names::machine_kind(header.guest),
        base: None,
        facts: facts(options, header),
    })?;
    Session {
        strict: options.strict,
        name,
        trailing: None,
        reader,
        machine,
        memory: GuestMemory::new(staging),
        header,
        checkpoints: 0,
        broke_off_at: None,
    }
    .run()
}

fn facts(options: &ImportOptions, header: LibxcHeader) -> BTreeMap<String, String> {
    let mut facts = options.facts.clone();
    let mut tell = |key: &str, value: String| {
        facts.entry(key.to_owned()).or_insert(value);
    };
    tell("method", "import".to_owned());
    tell("stream", format!("libxc v{}", header.version));
    tell(
        "xen version",
        format!("{}.{}", header.xen_major, header.xen_minor),
    );
    facts
}

/// The libxc stream and what follows it.
struct Session<'s, R> {
    strict: bool,
    name: GuestName,
    trailing: Option<Trailing>,
    reader: StreamReader<R>,
    machine: MachineRecords,
    memory: GuestMemory<'s>,
    header: LibxcHeader,
    checkpoints: u64,
    broke_off_at: Option<u64>,
}

impl<R: Read> Session<'_, R> {
    fn run(mut self) -> Result<Imported, ImportError> {
        loop {
            match self.reader.next_item() {
                Ok(None) => break,
                Err(error) if matches!(error.fault, Fault::Trailing) && !self.strict => {
                    self.trailing = Some(Trailing {
                        offset: error.offset,
                        zeroes: self.reader.zeroes_follow(),
                    });
                    break;
                }
                Ok(Some(item)) => match self.take(item) {
                    Err(ImportError::Format(error)) => self.tolerate(error)?,
                    other => other?,
                },
                Err(error) => self.tolerate(error)?,
            }
        }
        self.finish()
    }

    /// The sender of a checkpointed stream died: that is what such a stream is for.
    fn tolerate(&mut self, error: FormatError) -> Result<(), FormatError> {
        if self.checkpoints == 0 || !error.is_truncation() {
            return Err(error);
        }
        self.broke_off_at = Some(error.offset);
        Ok(())
    }

    fn take(&mut self, item: Item) -> Result<(), ImportError> {
        match item {
            Item::Pages(_) => self.memory.take_pages(&mut self.reader)?,
            Item::Record(record) => {
                let place = match record.layer {
                    Layer::Libxc => {
                        self.memory.count_record();
                        Place::of_libxc(record.code, self.memory.is_empty())
                    }
                    Layer::Libxl => Place::of_outer(record.code),
                };
                self.machine.push_record(place, record)?;
            }
            Item::CheckpointComplete => {
                self.checkpoints += 1;
                self.machine.complete();
                self.memory.complete()?;
            }
            Item::Xl(_) | Item::Libvirt(_) | Item::Libxl(_) | Item::Libxc(_) => {
                unreachable!("the reader gives each header once, before the records")
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Imported, ImportError> {
        if self.checkpoints > 0 {
            self.memory.roll_back();
            self.machine.roll_back();
        }
        let pages_read = self.memory.pages_read();
        let (mut staging, order) = self.memory.finish()?;
        let order = order.filter(|order| self.checkpoints == 0 && order.is_sound());
        let exact = order.is_some();
        let records = if exact {
            self.machine.into_exact()
        } else {
            self.machine.into_plain()
        };
        for record in records {
            staging.put_record(record)?;
        }
        if let Some(order) = order {
            staging.put_record(StateRecord::new(names::PAGE_ORDER, order.into_bytes()))?;
        }
        if self.checkpoints > 0 {
            staging.set_fact("checkpoints in stream", &self.checkpoints.to_string());
        }
        Ok(Imported {
            info: staging.commit()?,
            header: self.header,
            bytes_read: self.reader.offset(),
            pages_read,
            exact,
            checkpoints: self.checkpoints,
            broke_off_at: self.broke_off_at,
            name: self.name,
            trailing: self.trailing,
        })
    }
}

impl Imported {
    /// Kind of guest.
    pub fn guest_type(&self) -> GuestType {
        self.header.guest
    }
}

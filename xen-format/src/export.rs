//! From a store back into a save file.

use std::io::Write;

use revenant_core::guest::{BATCH_PAGES_MAX, PageBatch, Space, StateRecord};
use revenant_core::store::{CheckpointReader, StoreError};
use revenant_core::{PAGE_SIZE, Pfn};

use crate::error::{Fault, FormatError};
use crate::header::{LibxcHeader, LibxlHeader, XlHeader, le32};
use crate::import::Place;
use crate::libvirt::LibvirtHeader;
use crate::names;
use crate::order::Sequence;
use crate::page::{FrameRun, PageType, Parts};
use crate::page_order::{FrameCount, PageOrderReader};
use crate::record::{self, Layer, libxc, libxl};
use crate::writer::{StreamWriter, WriteError};

/// What an export wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// Length of the save file.
    pub bytes: u64,
    /// Pages of data in it.
    pub pages: u64,
    /// It is byte for byte the file that was imported. Otherwise it is a plain stream in the order of frame
    /// numbers with that content.
    pub exact: bool,
}

/// A checkpoint could not be written as a save file.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It is of some other hypervisor.
    #[error("the checkpoint is of machine kind {machine}, expected xen-pv or xen-hvm")]
    NotXen {
        /// Whose it is.
        machine: String,
    },
    /// Its state records do not make up a save file.
    #[error("state record {name}: {reason}")]
    BadRecord {
        /// The record.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Its state records do not make up a save file that a restorer takes.
    #[error("state record {name}: {fault}")]
    BadStream {
        /// The record.
        name: String,
        /// What is wrong with it.
        fault: Fault,
    },
    /// Reading the checkpoint failed.
    #[error("reading the checkpoint failed")]
    Store(#[from] StoreError),
    /// Writing the file failed.
    #[error("writing the save file failed")]
    Write(#[from] WriteError),
}

/// Writes a checkpoint of a Xen guest as a save file. What was imported from a plain file comes back byte for
/// byte.
pub fn export(reader: &mut CheckpointReader, output: impl Write) -> Result<Exported, ExportError> {
    export_as(reader, None, output)
}

/// As [`export`], with another domain configuration (libxl's JSON) in place of the checkpoint's: the guest gets another
/// name, or other disks.
pub fn export_as(
    reader: &mut CheckpointReader,
    config: Option<&[u8]>,
    output: impl Write,
) -> Result<Exported, ExportError> {
    let machine = &reader.info().machine;
    if ![names::MACHINE_PV, names::MACHINE_HVM].contains(&machine.0.as_str()) {
        return Err(ExportError::NotXen {
            machine: machine.to_string(),
        });
    }
    // A save file holds no disks.
    reader.select(Space::Memory)?;
    let mut records = reader.records().to_vec();
    let configured = |record: &&mut StateRecord| record.name == names::XL_HEADER;
    if let (Some(config), Some(header)) = (config, records.iter_mut().find(configured)) {
        header.bytes = XlHeader::with_config(config).encode();
    }
    let arrangement = match records.iter().find(|record| record.name == names::PAGE_ORDER) {
        Some(order) => Arrangement::as_imported(&order.bytes)?,
        None => Arrangement::Ascending,
    };
    let exact = config.is_none() && matches!(arrangement, Arrangement::AsImported { .. });
    let mut export = Export {
        out: StreamWriter::new(output),
        pages: Pages::new(reader),
        arrangement,
        sequence: None,
        libxc_records: 0,
        open: Open::default(),
    };
    for record in records.iter().filter(|record| record.name != names::PAGE_ORDER) {
        export.record(record)?;
    }
    export.finish(exact)
}

const LISTS_OTHERS: &str = "it lists other frames than the checkpoint has";

fn bad(name: &str, reason: &'static str) -> ExportError {
    ExportError::BadRecord {
        name: name.to_owned(),
        reason,
    }
}

/// Where the pages go.
enum Arrangement<'a> {
    /// Where they stood in the imported file: the next record comes after so many libxc records.
    AsImported {
        order: PageOrderReader<'a>,
        next: Option<u64>,
        runs: Vec<FrameRun>,
    },
    /// Before the machine state, by frame number, as many to a record as Xen itself writes.
    Ascending,
    /// They are written.
    Done,
}

impl<'a> Arrangement<'a> {
    fn as_imported(bytes: &'a [u8]) -> Result<Self, ExportError> {
        let fail = |reason| bad(names::PAGE_ORDER, reason);
        let mut runs = Vec::new();
        let mut order = PageOrderReader::new(bytes).map_err(fail)?;
        let next = order.next_record(&mut runs).map_err(fail)?;
        Ok(Arrangement::AsImported { order, next, runs })
    }
}

/// Which streams have begun and not ended.
#[derive(Debug, Default)]
struct Open {
    libxl: bool,
    libxc: bool,
    ended: bool,
}

struct Export<'a, W: Write> {
    out: StreamWriter<W>,
    pages: Pages<'a>,
    arrangement: Arrangement<'a>,
    sequence: Option<Sequence>,
    /// libxc records written since the last PAGE_DATA record.
    libxc_records: u64,
    open: Open,
}

impl<W: Write> Export<'_, W> {
    fn record(&mut self, record: &StateRecord) -> Result<(), ExportError> {
        let (name, bytes) = (record.name.as_str(), record.bytes.as_slice());
        if self.open.ended {
            return Err(bad(name, "it follows the end of the stream"));
        }
        let fail = |error: FormatError| ExportError::BadStream {
            name: name.to_owned(),
            fault: error.fault,
        };
        match name {
            names::XL_HEADER => {
                XlHeader::parse(bytes).map_err(fail)?;
                Ok(self.out.put(bytes)?)
            }
            names::LIBVIRT_HEADER => {
                LibvirtHeader::parse(bytes).map_err(fail)?;
                Ok(self.out.put(bytes)?)
            }
            names::LIBXL_HEADER => {
                let header = bytes
                    .try_into()
                    .map_err(|_| bad(name, "it is not 16 bytes long"))?;
                self.out.libxl(LibxlHeader::decode(header, 0).map_err(fail)?)?;
                self.open.libxl = true;
                Ok(())
            }
            names::LIBXC_HEADER => {
                let header = bytes
                    .try_into()
                    .map_err(|_| bad(name, "it is not 40 bytes long"))?;
                let header = LibxcHeader::decode(header, 0).map_err(fail)?;
                self.out.libxc(header)?;
                self.sequence = Some(Sequence::new(header));
                self.open.libxc = true;
                Ok(())
            }
            _ => {
                let (layer, code) =
                    names::parse_record(name).ok_or_else(|| bad(name, "a save file has no such part"))?;
                self.checked_record(layer, code, record)
            }
        }
    }

    fn checked_record(&mut self, layer: Layer, code: u32, record: &StateRecord) -> Result<(), ExportError> {
        let (name, body) = (record.name.as_str(), record.bytes.as_slice());
        let fail = |fault| ExportError::BadStream {
            name: name.to_owned(),
            fault,
        };
        if !(match layer {
            Layer::Libxl => self.open.libxl,
            Layer::Libxc => self.open.libxc && code != libxc::PAGE_DATA,
        }) {
            return Err(bad(name, "it does not stand inside its stream"));
        }
        let rule = record::length_rule(layer, code).map_err(fail)?;
        let found = body.len() as u64;
        if !rule.allows(found) {
            return Err(fail(Fault::Length {
                found,
                expected: rule,
            }));
        }
        record::check_body(layer, code, body, None).map_err(|(_, fault)| fail(fault))?;
        if layer == Layer::Libxc {
            self.write_pages(code)?;
            let vcpu = if record::is_vcpu(code) { le32(body) } else { 0 };
            let sequence = self.sequence.as_mut().expect("set with the header");
            sequence.accept(code, vcpu).map_err(fail)?;
            self.libxc_records += 1;
            self.open.libxc = code != libxc::END;
        }
        self.open.ended = match layer {
            Layer::Libxl => code == libxl::END,
            Layer::Libxc => code == libxc::END && !self.open.libxl,
        };
        Ok(self.out.record(layer, code, body)?)
    }

    /// Writes the pages that stand before a libxc record of this type.
    fn write_pages(&mut self, code: u32) -> Result<(), ExportError> {
        let fail = |fault| ExportError::BadStream {
            name: "PAGE_DATA".to_owned(),
            fault,
        };
        let sequence = self.sequence.as_mut().expect("set with the header");
        match &mut self.arrangement {
            Arrangement::AsImported { order, next, runs } => {
                while *next == Some(self.libxc_records) {
                    sequence.accept(libxc::PAGE_DATA, 0).map_err(fail)?;
                    self.pages.write_record(&mut self.out, runs)?;
                    self.libxc_records = 0;
                    *next = order
                        .next_record(runs)
                        .map_err(|reason| bad(names::PAGE_ORDER, reason))?;
                }
                if next.is_none() {
                    self.arrangement = Arrangement::Done;
                }
            }
            Arrangement::Ascending if Place::of_libxc(code, true) > Place::P2m => {
                if self.pages.reader.layout().page_count() > 0 {
                    sequence.accept(libxc::PAGE_DATA, 0).map_err(fail)?;
                }
                self.pages.write_ascending(&mut self.out)?;
                self.arrangement = Arrangement::Done;
            }
            Arrangement::Ascending | Arrangement::Done => {}
        }
        Ok(())
    }

    fn finish(self, exact: bool) -> Result<Exported, ExportError> {
        if !self.open.ended {
            return Err(bad(names::LIBXC_HEADER, "the records end before the stream does"));
        }
        if !matches!(self.arrangement, Arrangement::Done) {
            return Err(bad(names::PAGE_ORDER, "it goes on behind the end of the stream"));
        }
        if self.pages.listed.present != self.pages.frames {
            return Err(bad(names::PAGE_ORDER, LISTS_OTHERS));
        }
        let exported = Exported {
            bytes: self.out.offset(),
            pages: self.pages.written,
            exact,
        };
        self.out.finish()?;
        Ok(exported)
    }
}

/// Takes pages out of the checkpoint, a batch at a time.
struct Pages<'a> {
    reader: &'a mut CheckpointReader,
    batch: PageBatch,
    pfns: Vec<Pfn>,
    part: Vec<FrameRun>,
    /// Pages of data written.
    written: u64,
    /// Frames in the checkpoint.
    frames: u64,
    /// Frames written, with data or without.
    listed: FrameCount,
}

impl<'a> Pages<'a> {
    fn new(reader: &'a mut CheckpointReader) -> Self {
        let frames = reader.counts().0;
        Pages {
            reader,
            batch: PageBatch::new(),
            pfns: Vec::new(),
            part: Vec::new(),
            written: 0,
            frames,
            listed: FrameCount::default(),
        }
    }

    /// One PAGE_DATA record with this list.
    fn write_record<W: Write>(
        &mut self,
        out: &mut StreamWriter<W>,
        runs: &[FrameRun],
    ) -> Result<(), ExportError> {
        for &run in runs {
            self.listed.add(run);
        }
        if !self.listed.fits(self.frames) {
            return Err(bad(names::PAGE_ORDER, LISTS_OTHERS));
        }
        out.begin_pages(runs)?;
        let data: Vec<FrameRun> = runs.iter().copied().filter(|run| run.kind.has_data()).collect();
        let mut parts = Parts::new(&data);
        while parts.take(BATCH_PAGES_MAX, &mut self.part) {
            self.pfns.clear();
            self.pfns
                .extend(self.part.iter().flat_map(|run| run.start..run.end()).map(Pfn));
            self.batch.clear();
            self.reader.read_pages(&self.pfns, &mut self.batch)?;
            let kinds = self
                .part
                .iter()
                .flat_map(|run| (0..run.len).map(|_| run.kind.code()));
            if !kinds
                .zip(self.batch.iter())
                .all(|(kind, (_, tag, _))| tag.0 == kind)
            {
                return Err(bad(
                    names::PAGE_ORDER,
                    "it gives a frame another page type than the checkpoint",
                ));
            }
            out.pages(self.batch.bytes())?;
            self.written += self.pfns.len() as u64;
        }
        Ok(())
    }

    /// The whole memory. Page types come with the pages: frames without data are read as zeroes and left out.
    fn write_ascending<W: Write>(&mut self, out: &mut StreamWriter<W>) -> Result<(), ExportError> {
        let layout = self.reader.layout();
        let mut frames = layout.iter().peekable();
        let mut runs: Vec<FrameRun> = Vec::new();
        while frames.peek().is_some() {
            self.pfns.clear();
            self.pfns.extend(frames.by_ref().take(BATCH_PAGES_MAX));
            self.batch.clear();
            self.reader.read_pages(&self.pfns, &mut self.batch)?;
            runs.clear();
            for (pfn, tag, _) in self.batch.iter() {
                let kind = PageType::new(tag.0).filter(|kind| kind.is_populated());
                let kind = kind.ok_or_else(|| bad("PAGE_DATA", "a page's tag is no Xen page type"))?;
                let run = FrameRun {
                    start: pfn.0,
                    len: 1,
                    kind,
                };
                if !runs.last_mut().is_some_and(|last| last.absorb(run)) {
                    runs.push(run);
                }
            }
            out.begin_pages(&runs)?;
            let mut bytes = self.batch.bytes();
            for run in &runs {
                let (data, rest) = bytes.split_at(usize::try_from(run.len).unwrap_or(0) * PAGE_SIZE);
                bytes = rest;
                if run.kind.has_data() {
                    out.pages(data)?;
                    self.written += run.len;
                }
            }
            self.listed.present += self.pfns.len() as u64;
        }
        Ok(())
    }
}

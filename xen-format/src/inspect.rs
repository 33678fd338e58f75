//! What a save file holds, without taking it in.

use std::io::Read;

use crate::config::{GuestName, Identity};
use crate::error::FormatError;
use crate::header::LibxcHeader;
use crate::page::PageType;
use crate::reader::{Item, StreamReader};
use crate::record::{Layer, libxc, record_name};

/// Records listed one by one; further ones are only counted.
const RECORDS_MAX: usize = 4096;
const PAGE_TYPES: usize = 16;

/// The outermost format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// As `xl save` writes it.
    XlSaveFile,
    /// As `virsh save` writes it for a Xen guest.
    LibvirtSaveFile,
    /// A libxl stream without a header before it.
    LibxlStream,
    /// A libxc stream alone.
    LibxcStream,
}

/// One record, or several PAGE_DATA records in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordSummary {
    /// Where the (first) record's header starts.
    pub offset: u64,
    /// Its name in the specification.
    pub name: &'static str,
    /// Which stream it belongs to.
    pub layer: Layer,
    /// Its type.
    pub code: u32,
    /// Length of the body, of all bodies if several, in bytes.
    pub body_bytes: u64,
    /// How many records these are; 1 unless PAGE_DATA.
    pub count: u64,
}

/// What a save file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The outermost format.
    pub container: Container,
    /// The domain's name, if there is a configuration and it tells.
    pub guest_name: Option<String>,
    /// Kind of guest, version of the stream, version of Xen.
    pub header: LibxcHeader,
    /// Records in stream order, at most 4,096 of them.
    pub records: Vec<RecordSummary>,
    /// Records beyond those listed.
    pub records_omitted: u64,
    /// Frames listed, by page type (index: the type's number), repetitions included.
    pub frames_by_type: [u64; PAGE_TYPES],
    /// Complete checkpoints; 0 for a plain stream.
    pub checkpoints: u64,
    /// Length of the input.
    pub bytes: u64,
}

impl Summary {
    /// Pages of data, repetitions included.
    pub fn data_pages(&self) -> u64 {
        let data = |(code, _): &(u8, &u64)| PageType::new(*code).is_some_and(PageType::has_data);
        (0u8..)
            .zip(&self.frames_by_type)
            .filter(data)
            .map(|(_, frames)| frames)
            .sum()
    }
}

/// Reads and checks a save file to its end. A checkpointed stream that breaks off is an error here: a summary
/// is that of a whole file.
pub fn inspect(input: impl Read) -> Result<Summary, FormatError> {
    let mut reader = StreamReader::new(input);
    let mut seen = Seen::default();
    let mut runs = Vec::new();
    while let Some(item) = reader.next_item()? {
        match item {
            Item::Xl(header) => {
                seen.container = Some(Container::XlSaveFile);
                seen.name(Identity::of_json(header.config()));
            }
            Item::Libvirt(header) => {
                seen.container = Some(Container::LibvirtSaveFile);
                seen.name(Identity::of_libvirt_xml(header.xml()));
            }
            Item::Libxl(_) => seen.container = seen.container.or(Some(Container::LibxlStream)),
            Item::Libxc(header) => seen.header = Some(header),
            Item::Record(record) => {
                seen.record(record.offset, record.layer, record.code, record.body.len() as u64);
            }
            Item::Pages(head) => {
                seen.record(head.offset, Layer::Libxc, libxc::PAGE_DATA, head.length.into());
                while reader.next_runs(&mut runs)? {
                    for run in &runs {
                        seen.frames_by_type[usize::from(run.kind.code())] += run.len;
                    }
                }
            }
            Item::CheckpointComplete => seen.checkpoints += 1,
        }
    }
    Ok(Summary {
        container: seen.container.unwrap_or(Container::LibxcStream),
        guest_name: seen.guest_name,
        header: seen.header.expect("a stream without this header is an error"),
        records: seen.records,
        records_omitted: seen.records_omitted,
        frames_by_type: seen.frames_by_type,
        checkpoints: seen.checkpoints,
        bytes: reader.offset(),
    })
}

/// A summary in the making.
#[derive(Debug, Default)]
struct Seen {
    container: Option<Container>,
    guest_name: Option<String>,
    header: Option<LibxcHeader>,
    records: Vec<RecordSummary>,
    records_omitted: u64,
    frames_by_type: [u64; PAGE_TYPES],
    checkpoints: u64,
}

impl Seen {
    fn name(&mut self, identity: Identity) {
        if let GuestName::Given(name) = identity.guest_name() {
            self.guest_name = Some(name);
        }
    }

    fn record(&mut self, offset: u64, layer: Layer, code: u32, body_bytes: u64) {
        let pages = (layer, code) == (Layer::Libxc, libxc::PAGE_DATA);
        let listed = self.records.len();
        let same = |last: &&mut RecordSummary| pages && (last.layer, last.code) == (layer, code);
        if let Some(last) = self.records.last_mut().filter(same) {
            last.body_bytes += body_bytes;
            last.count += 1;
        } else if listed < RECORDS_MAX {
            let name = record_name(layer, code);
            self.records.push(RecordSummary {
                offset,
                name,
                layer,
                code,
                body_bytes,
                count: 1,
            });
        } else {
            self.records_omitted += 1;
        }
    }
}

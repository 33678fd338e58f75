//! What a save file holds, without taking it in.

use std::io::Read;

use crate::config::guest_name;
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
    /// A libxl stream without the xl header.
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

    fn add(&mut self, record: RecordSummary) {
        let listed = self.records.len();
        let same = |last: &&mut RecordSummary| last.name == "PAGE_DATA" && record.name == last.name;
        if let Some(last) = self.records.last_mut().filter(same) {
            last.body_bytes += record.body_bytes;
            last.count += 1;
        } else if listed < RECORDS_MAX {
            self.records.push(record);
        } else {
            self.records_omitted += 1;
        }
    }
}

/// Reads and checks a save file to its end. A checkpointed stream that breaks off is an error here: its summary
/// is that of a whole file.
pub fn inspect(input: impl Read) -> Result<Summary, FormatError> {
    let mut reader = StreamReader::new(input);
    let mut container = Container::LibxcStream;
    let mut name = None;
    // Records may come before the header that a summary needs; their number is tiny or they are omitted.
    let mut summary: Option<Summary> = None;
    let mut early = Vec::new();
    let mut runs = Vec::new();
    while let Some(item) = reader.next_item()? {
        match item {
            Item::Xl(header) => {
                container = Container::XlSaveFile;
                name = guest_name(header.config());
            }
            Item::Libxl(_) if container == Container::LibxcStream => container = Container::LibxlStream,
            Item::Libxl(_) => {}
            Item::Libxc(header) => {
                let mut new = Summary {
                    container,
                    guest_name: name.take(),
                    header,
                    records: Vec::new(),
                    records_omitted: 0,
                    frames_by_type: [0; PAGE_TYPES],
                    checkpoints: 0,
                    bytes: 0,
                };
                early.drain(..).for_each(|record| new.add(record));
                summary = Some(new);
            }
            Item::Record(record) => {
                let (name, body_bytes) = (record.name(), record.body.len() as u64);
                let (offset, layer, code) = (record.offset, record.layer, record.code);
                let record = RecordSummary {
                    offset,
                    name,
                    layer,
                    code,
                    body_bytes,
                    count: 1,
                };
                match &mut summary {
                    Some(summary) => summary.add(record),
                    None if early.len() < RECORDS_MAX => early.push(record),
                    None => {}
                }
            }
            Item::Pages(head) => {
                let summary = summary.as_mut().expect("pages come behind the header");
                let (layer, code) = (Layer::Libxc, libxc::PAGE_DATA);
                let (name, body_bytes) = (record_name(layer, code), head.length.into());
                summary.add(RecordSummary {
                    offset: head.offset,
                    name,
                    layer,
                    code,
                    body_bytes,
                    count: 1,
                });
                while reader.next_runs(&mut runs)? {
                    for run in &runs {
                        summary.frames_by_type[usize::from(run.kind.code())] += run.len;
                    }
                }
            }
            Item::CheckpointComplete => {
                summary
                    .as_mut()
                    .expect("checkpoints come behind the header")
                    .checkpoints += 1;
            }
        }
    }
    let mut summary = summary.expect("a stream without this header is an error");
    summary.bytes = reader.offset();
    Ok(summary)
}

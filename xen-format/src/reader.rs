//! Streaming reader: bytes in, checked items out.
//!
//! First in the flow of an import: input → **reader** → pages and state records → store. Everything in a save
//! file is untrusted here. Nothing is allocated because a length field says so, only because the bytes came.

use std::io::Read;

use crate::error::LengthRule;
use crate::error::{Fault, FormatError};
use crate::header::{
    self, GuestType, LIBXC_MARKER, LIBXL_IDENT, LibxcHeader, LibxlHeader, XL_MAGIC, XlHeader, le32,
};
use crate::libvirt::{self, LIBVIRT_MAGIC, LibvirtHeader};
use crate::order::Sequence;
use crate::page::FrameRun;
use crate::pages::PageRecord;
use crate::record::{self, Layer, Record, STATE_BYTES_MAX, libxc, libxl, record_name};
use crate::source::Source;

/// What a save file consists of, in the order in which it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// The header of an xl save file.
    Xl(XlHeader),
    /// The header of libvirt's libxl driver.
    Libvirt(LibvirtHeader),
    /// The header of a libxl stream.
    Libxl(LibxlHeader),
    /// The headers of a libxc stream.
    Libxc(LibxcHeader),
    /// A record that is not PAGE_DATA.
    Record(Record),
    /// A PAGE_DATA record: its frame list is now to be taken by [`StreamReader::next_runs`], then its pages by
    /// [`StreamReader::read_pages`]. What is not taken is checked and skipped.
    Pages(PageHead),
    /// Not in the bytes: everything up to here is one consistent checkpoint (after CHECKPOINT of a bare libxc
    /// stream, after CHECKPOINT_END of a libxl stream).
    CheckpointComplete,
}

/// The head of a PAGE_DATA record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageHead {
    /// Where in the input its record header starts.
    pub offset: u64,
    /// Length of the body in bytes.
    pub length: u32,
    /// Frames it lists.
    pub frames: u32,
    /// Pages of data it carries.
    pub pages: u32,
}

/// Where the reader is.
#[derive(Debug)]
enum State {
    /// Before the first byte.
    Start,
    /// A libxl header comes next.
    LibxlHeader,
    /// A libxl record comes next.
    Libxl,
    /// The headers of the inner stream come next.
    LibxcHeader,
    /// A libxc record comes next.
    Libxc,
    /// The list or the pages of a PAGE_DATA record.
    Pages(PageRecord),
    /// A CHECKPOINT was read: emulator records up to CHECKPOINT_END come next.
    Emulators,
    /// The end of a checkpoint is to be reported.
    CheckpointComplete,
    /// The last END was read.
    End,
    /// An error was reported or the end was.
    Done,
}

/// Reads a save file: an xl file, one of libvirt, a bare libxl stream or a bare libxc stream, told apart by their first bytes.
#[derive(Debug)]
pub struct StreamReader<R> {
    source: Source<R>,
    state: State,
    /// The libxc stream stands in a libxl stream.
    nested: bool,
    /// LIBXC_CONTEXT was seen.
    context_seen: bool,
    guest: Option<GuestType>,
    sequence: Option<Sequence>,
    pv_width: Option<u8>,
}

impl<R: Read> StreamReader<R> {
    /// Reads from `input`, which needs no buffering of its own.
    pub fn new(input: R) -> Self {
        StreamReader {
            source: Source::new(input),
            state: State::Start,
            nested: false,
            context_seen: false,
            guest: None,
            sequence: None,
            pv_width: None,
        }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> u64 {
        self.source.offset()
    }

    /// Is what follows the end of the stream zeroes, as far as it has been read into the buffer (up to 64 KiB)?
    pub(crate) fn zeroes_follow(&mut self) -> bool {
        self.source.buffered().iter().all(|&byte| byte == 0)
    }

    /// The next item; `None` once, at the proper end of the stream and of the input. After an error there is
    /// nothing more to read.
    pub fn next_item(&mut self) -> Result<Option<Item>, FormatError> {
        let item = self.advance();
        if item.is_err() {
            self.state = State::Done;
        }
        item
    }

    fn advance(&mut self) -> Result<Option<Item>, FormatError> {
        if let State::Pages(pages) = &mut self.state {
            pages.skip_rest(&mut self.source)?;
            self.state = State::Libxc;
        }
        match self.state {
            State::Start => self.start().map(Some),
            State::LibxlHeader => self.libxl_header(*LIBXL_IDENT, 0).map(Some),
            State::Libxl | State::Emulators => self.libxl_record().map(Some),
            State::LibxcHeader => self.libxc_header(&[]).map(Some),
            State::Libxc => self.libxc_record().map(Some),
            State::CheckpointComplete => {
                self.state = State::Libxc;
                Ok(Some(Item::CheckpointComplete))
            }
            State::Pages(_) => unreachable!("left above"),
            State::End => {
                self.state = State::Done;
                if self.source.at_end("end of stream")? {
                    return Ok(None);
                }
                Err(FormatError::new(
                    self.source.offset(),
                    "end of stream",
                    Fault::Trailing,
                ))
            }
            State::Done => Ok(None),
        }
    }

    fn start(&mut self) -> Result<Item, FormatError> {
        let magic: [u8; 8] = self.source.array("magic")?;
        if magic == *LIBXL_IDENT {
            return self.libxl_header(magic, 8);
        }
        if magic == *LIBXC_MARKER {
            return self.libxc_header(&magic);
        }
        if LIBVIRT_MAGIC.starts_with(&magic) {
            return self.libvirt_header(magic);
        }
        if !XL_MAGIC.starts_with(&magic) {
            return Err(FormatError::new(0, "magic", Fault::NotASaveFile { found: magic }));
        }
        let mut fixed = [0; XlHeader::FIXED_BYTES];
        fixed[..8].copy_from_slice(&magic);
        self.source.fill(&mut fixed[8..], header::XL)?;
        let (mut xl, optional_bytes) = XlHeader::decode_fixed(&fixed, 0)?;
        let at = self.source.offset();
        xl.optional = self.source.vec(optional_bytes, header::XL)?;
        xl.check_optional(at)?;
        self.state = State::LibxlHeader;
        Ok(Item::Xl(xl))
    }

    fn libvirt_header(&mut self, magic: [u8; 8]) -> Result<Item, FormatError> {
        let mut fixed = [0; LibvirtHeader::FIXED_BYTES];
        fixed[..8].copy_from_slice(&magic);
        self.source.fill(&mut fixed[8..], libvirt::LIBVIRT)?;
        let length = LibvirtHeader::check_fixed(&fixed)?;
        let xml = self.source.vec(length, libvirt::LIBVIRT)?;
        self.state = State::LibxlHeader;
        Ok(Item::Libvirt(LibvirtHeader::joined(&fixed, &xml)))
    }

    /// The header whose first `known` bytes have been read.
    fn libxl_header(&mut self, ident: [u8; 8], known: usize) -> Result<Item, FormatError> {
        let at = self.source.offset() - known as u64;
        let mut bytes = [0; LibxlHeader::BYTES];
        bytes[..8].copy_from_slice(&ident);
        self.source.fill(&mut bytes[known..], header::LIBXL)?;
        self.nested = true;
        self.state = State::Libxl;
        LibxlHeader::decode(&bytes, at).map(Item::Libxl)
    }

    fn libxc_header(&mut self, known: &[u8]) -> Result<Item, FormatError> {
        let at = self.source.offset() - known.len() as u64;
        let mut bytes = [0; LibxcHeader::BYTES];
        bytes[..known.len()].copy_from_slice(known);
        // Apart, so that a truncation names the header that is cut.
        self.source.fill(&mut bytes[known.len()..24], header::IMAGE)?;
        self.source.fill(&mut bytes[24..], header::DOMAIN)?;
        let header = LibxcHeader::decode(&bytes, at)?;
        self.guest = Some(header.guest);
        self.sequence = Some(Sequence::new(header));
        self.state = State::Libxc;
        Ok(Item::Libxc(header))
    }

    /// Type and length of the next record, and where it starts.
    fn record_head(&mut self, place: &'static str) -> Result<(u64, u32, u32), FormatError> {
        let at = self.source.offset();
        if self.source.at_end(place)? {
            return Err(FormatError::new(at, place, Fault::NoEnd));
        }
        let head: [u8; 8] = self.source.array(place)?;
        Ok((at, le32(&head), le32(&head[4..])))
    }

    fn libxl_record(&mut self) -> Result<Item, FormatError> {
        let (at, code, length) = self.record_head("libxl record")?;
        let name = record_name(Layer::Libxl, code);
        let in_checkpoint = matches!(self.state, State::Emulators);
        let misplaced = match code {
            libxl::LIBXC_CONTEXT if self.context_seen => Some(Fault::Duplicate),
            libxl::END if in_checkpoint => Some(Fault::OutOfOrder {
                rule: "CHECKPOINT_END comes between CHECKPOINT and END",
            }),
            libxl::END if !self.context_seen => Some(Fault::Missing {
                record: "LIBXC_CONTEXT",
            }),
            libxl::CHECKPOINT_END | libxl::CHECKPOINT_STATE if !in_checkpoint => Some(Fault::OutOfOrder {
                rule: "it follows a CHECKPOINT record of the libxc stream",
            }),
            _ => None,
        };
        // Unknown types and lengths are told before misplaced ones.
        let rule =
            record::length_rule(Layer::Libxl, code).map_err(|fault| FormatError::new(at, name, fault))?;
        if let Some(fault) = misplaced {
            return Err(FormatError::new(at, name, fault));
        }
        let body = self.body(at, Layer::Libxl, code, length, rule)?;
        match code {
            libxl::LIBXC_CONTEXT => {
                self.context_seen = true;
                self.state = State::LibxcHeader;
            }
            libxl::CHECKPOINT_END => self.state = State::CheckpointComplete,
            libxl::END => self.state = State::End,
            _ => {}
        }
        Ok(Item::Record(Record {
            offset: at,
            layer: Layer::Libxl,
            code,
            body,
        }))
    }

    fn libxc_record(&mut self) -> Result<Item, FormatError> {
        let (at, code, length) = self.record_head("libxc record")?;
        if self.is_colo_state(code, length) {
            let body = self.body(at, Layer::Libxl, code, length, LengthRule::AtMost(8))?;
            return Ok(Item::Record(Record {
                offset: at,
                layer: Layer::Libxl,
                code,
                body,
            }));
        }
        let name = record_name(Layer::Libxc, code);
        let fail = |offset, fault| FormatError::new(offset, name, fault);
        let rule = record::length_rule(Layer::Libxc, code).map_err(|fault| fail(at, fault))?;
        let sequence = self
            .sequence
            .as_mut()
            .expect("records come behind the header that starts the sequence");
        if code == libxc::PAGE_DATA {
            sequence.accept(code, 0).map_err(|fault| fail(at, fault))?;
            let (head, pages) = PageRecord::open(&mut self.source, at, length)?;
            self.state = State::Pages(pages);
            return Ok(Item::Pages(head));
        }
        // Order is judged before the body is taken in; a duplicate vCPU shows only after.
        if !record::is_vcpu(code) {
            sequence.accept(code, 0).map_err(|fault| fail(at, fault))?;
        }
        let body = self.body(at, Layer::Libxc, code, length, rule)?;
        if record::is_vcpu(code) {
            let sequence = self.sequence.as_mut().expect("still there");
            sequence
                .accept(code, le32(&body))
                .map_err(|fault| fail(at, fault))?;
        }
        match code {
            libxc::X86_PV_INFO => self.pv_width = body.first().copied(),
            libxc::END if self.nested => self.state = State::Libxl,
            libxc::END => self.state = State::End,
            libxc::CHECKPOINT if self.nested => self.state = State::Emulators,
            libxc::CHECKPOINT => self.state = State::CheckpointComplete,
            _ => {}
        }
        Ok(Item::Record(Record {
            offset: at,
            layer: Layer::Libxc,
            code,
            body,
        }))
    }

    /// A COLO primary speaks a libxl record to its secondary between two checkpoints, where the inner stream
    /// goes on. In the inner stream its type means a PV vCPU, and COLO knows HVM guests only.
    fn is_colo_state(&self, code: u32, length: u32) -> bool {
        let between = self
            .sequence
            .as_ref()
            .is_some_and(|s| s.checkpoints() > 0 && !s.in_epoch());
        let possible = self.nested && self.guest == Some(GuestType::Hvm) && matches!(length, 4 | 8);
        code == libxl::CHECKPOINT_STATE && between && possible
    }

    /// The checked body of the record whose header starts at `at`.
    fn body(
        &mut self,
        at: u64,
        layer: Layer,
        code: u32,
        length: u32,
        rule: LengthRule,
    ) -> Result<Vec<u8>, FormatError> {
        let name = record_name(layer, code);
        check_length(at, name, length, STATE_BYTES_MAX, rule)?;
        let body = self.source.vec(length, name)?;
        self.source.padding(length, name)?;
        match record::check_body(layer, code, &body, self.pv_width) {
            Ok(()) => Ok(body),
            Err((_, fault @ Fault::Length { .. })) => Err(FormatError::new(at + 4, name, fault)),
            Err((offset, fault)) => Err(FormatError::new(at + 8 + offset, name, fault)),
        }
    }

    /// After [`Item::Pages`]: replaces `into` by the next piece of the record's frame list as runs (in list
    /// order, at most 4,096 frames a piece); `false` when there is no more.
    pub fn next_runs(&mut self, into: &mut Vec<FrameRun>) -> Result<bool, FormatError> {
        into.clear();
        let State::Pages(pages) = &mut self.state else {
            return Ok(false);
        };
        let more = pages.next_runs(&mut self.source, into);
        if more.is_err() {
            self.state = State::Done;
        }
        more
    }

    /// After the frame list: fills `into` with the next pages of the record, in list order.
    ///
    /// # Panics
    /// If `into` is not whole pages, asks for more pages than the record has left, or the list is not yet read.
    pub fn read_pages(&mut self, into: &mut [u8]) -> Result<(), FormatError> {
        let State::Pages(pages) = &mut self.state else {
            panic!("no PAGE_DATA record is open")
        };
        let read = pages.read_pages(&mut self.source, into);
        if read.is_err() {
            self.state = State::Done;
        }
        read
    }
}

/// Judges the length of the record whose header starts at `at`.
pub(crate) fn check_length(
    at: u64,
    name: &'static str,
    length: u32,
    limit_bytes: u32,
    rule: LengthRule,
) -> Result<(), FormatError> {
    match [LengthRule::AtMost(limit_bytes.into()), rule]
        .into_iter()
        .find(|rule| !rule.allows(length.into()))
    {
        None => Ok(()),
        Some(expected) => Err(FormatError::new(
            at + 4,
            name,
            Fault::Length {
                found: length.into(),
                expected,
            },
        )),
    }
}

//! What can be wrong with a save file, and where.

use std::error::Error;
use std::fmt;
use std::io;

use crate::foreign::describe;

/// A save file that cannot be taken: where (byte offset and record) and what (the fault).
#[derive(Debug)]
pub struct FormatError {
    /// Bytes from the start of the input to the field at fault; for a truncation, the length of the input.
    pub offset: u64,
    /// The header or record that holds it, as the specification calls it.
    pub place: &'static str,
    /// What is wrong there, and what was expected.
    pub fault: Fault,
}

impl FormatError {
    pub(crate) fn new(offset: u64, place: &'static str, fault: Fault) -> Self {
        FormatError { offset, place, fault }
    }

    /// The input ends too early, and is well-formed up to there: what a checkpointed stream looks like whose
    /// sender died.
    pub fn is_truncation(&self) -> bool {
        matches!(self.fault, Fault::Truncated { .. } | Fault::NoEnd)
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}, {}: {}", self.offset, self.place, self.fault)
    }
}

impl Error for FormatError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.fault {
            Fault::Io(source) => Some(source),
            _ => None,
        }
    }
}

/// What is wrong at one place of a save file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The input could not be read.
    #[error("reading failed")]
    Io(io::Error),
    /// The input ends inside a header or a record.
    #[error("the input ends here, {missing_bytes} bytes too early")]
    Truncated {
        /// Bytes of the field or block being read that are not there.
        missing_bytes: u64,
    },
    /// The input ends between two records.
    #[error("the input ends here without an END record")]
    NoEnd,
    /// Not one of the formats this crate reads.
    #[error(
        "starts with {found:02x?}{}, expected an xl save file (\"Xen saved domain, xl format\"), one of libvirt's libxl \
         driver (\"libvirt-xml\"), a libxl stream (\"LibxlFmt\") or a libxc stream (eight bytes of 0xff)",
        describe(*found).map_or_else(String::new, |what| format!(" ({what})"))
    )]
    NotASaveFile {
        /// The first eight bytes.
        found: [u8; 8],
    },
    /// A stream written on a big-endian host. No Xen architecture is one.
    #[error("flagged as big-endian, expected little-endian")]
    BigEndian,
    /// A field has a value that it must not have.
    #[error("{field} is {found:#x}, expected {expected}")]
    Field {
        /// The field, as the specification calls it.
        field: &'static str,
        /// Its value.
        found: u64,
        /// What would have been right.
        expected: &'static str,
    },
    /// A record's body is too long, too short, or disagrees with its own counts.
    #[error("body length is {found} bytes, expected {expected}")]
    Length {
        /// The length the record claims.
        found: u64,
        /// What would have been right.
        expected: LengthRule,
    },
    /// A record type without the optional bit (31) that this version of the format does not have.
    #[error("unknown mandatory record type {code:#x}")]
    UnknownMandatory {
        /// The type.
        code: u32,
    },
    /// A record where it must not be.
    #[error("out of order: {rule}")]
    OutOfOrder {
        /// The rule it breaks.
        rule: &'static str,
    },
    /// A second record of a type that may occur once.
    #[error("occurs twice, expected once in a checkpoint")]
    Duplicate,
    /// The stream or the checkpoint ends without a record that a restorer needs.
    #[error("comes before any {record} record, without which the domain cannot be restored")]
    Missing {
        /// The missing record.
        record: &'static str,
    },
    /// A reserved page type.
    #[error("frame {pfn:#x} has page type {code:#x}, expected 0x0-0x4 or 0x9-0xf")]
    PageType {
        /// The frame.
        pfn: u64,
        /// Its type.
        code: u8,
    },
    /// A frame twice in one PAGE_DATA record: which content counts?
    #[error("frame {pfn:#x} occurs twice in one record")]
    DuplicateFrame {
        /// The frame.
        pfn: u64,
    },
    /// The frame list of a PAGE_DATA record and the pages behind it disagree.
    #[error("the body holds {held} pages of data, expected {expected} by its frame list")]
    PageCount {
        /// Pages that fit in the body.
        held: u64,
        /// Frames whose type calls for data (at least: counting stops when it is too many).
        expected: u64,
    },
    /// The frame list is so irregular that following it would cost more memory than its pages justify.
    #[error("frame lists break up into more than {limit} runs, expected runs of frames as a guest has them")]
    TooScattered {
        /// How many runs were allowed.
        limit: u64,
    },
    /// A frame number that a checkpoint keeps for the blocks of disks.
    #[error("frame number {found:#x}, expected less than {limit:#x}")]
    FrameNumber {
        /// The frame number.
        found: u64,
        /// The first that is too large.
        limit: u64,
    },
    /// More machine state than any machine has.
    #[error("machine state adds up to more than {limit_bytes} bytes")]
    StateTooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// Bytes after the last END record.
    #[error("the stream has ended, expected the end of the input")]
    Trailing,
}

/// What a record's length should have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LengthRule {
    /// This and nothing else.
    Exactly(u64),
    /// This or more.
    AtLeast(u64),
    /// This or less.
    AtMost(u64),
    /// A positive multiple.
    MultipleOf(u64),
}

impl fmt::Display for LengthRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LengthRule::Exactly(bytes) => write!(f, "{bytes}"),
            LengthRule::AtLeast(bytes) => write!(f, "at least {bytes}"),
            LengthRule::AtMost(bytes) => write!(f, "at most {bytes}"),
            LengthRule::MultipleOf(bytes) => write!(f, "a positive multiple of {bytes}"),
        }
    }
}

impl LengthRule {
    /// Does this length obey the rule?
    pub fn allows(self, length: u64) -> bool {
        match self {
            LengthRule::Exactly(bytes) => length == bytes,
            LengthRule::AtLeast(bytes) => length >= bytes,
            LengthRule::AtMost(bytes) => length <= bytes,
            LengthRule::MultipleOf(bytes) => length > 0 && length.is_multiple_of(bytes),
        }
    }
}

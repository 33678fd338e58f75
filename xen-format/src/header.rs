//! The headers that open a save file, its libxl stream and its libxc stream.

use crate::error::{Fault, FormatError, LengthRule};

/// First bytes of a file that `xl save` wrote.
pub const XL_MAGIC: &[u8; 32] = b"Xen saved domain, xl format\n \0 \r";
/// First bytes of a libxl stream.
pub const LIBXL_IDENT: &[u8; 8] = b"LibxlFmt";
/// First bytes of a libxc stream (eight bytes of ones: no older format starts so).
pub const LIBXC_MARKER: &[u8; 8] = &[0xff; 8];
/// An xl header's optional part (the domain configuration) is a few KiB; this is the most that is taken.
pub const XL_OPTIONAL_BYTES_MAX: u32 = 4 << 20;

const XL_FIXED_BYTES: usize = 48;
const BYTE_ORDER: u32 = 0x0102_0304;
/// The configuration is JSON, not the old text format.
const XL_MANDATORY_JSON: u32 = 1 << 0;
/// What follows is a libxl stream v2, not the format of Xen 4.5 and before.
const XL_MANDATORY_STREAM_V2: u32 = 1 << 1;

pub(crate) const XL: &str = "xl header";
pub(crate) const LIBXL: &str = "libxl header";
pub(crate) const IMAGE: &str = "libxc image header";
pub(crate) const DOMAIN: &str = "libxc domain header";

/// The header of a file that `xl save` wrote (`tools/xl/xl.h`): 32 bytes of magic, then little-endian words
/// 0x01020304, mandatory flags, optional flags and length of the optional part, then the optional part: a
/// word with the length of the domain configuration, the configuration, and whatever else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XlHeader {
    /// The configuration is JSON.
    pub json: bool,
    /// Flags a reader may ignore; kept.
    pub optional_flags: u32,
    /// The optional part as it is in the file.
    pub optional: Vec<u8>,
}

impl XlHeader {
    /// A header with a JSON domain configuration.
    pub fn with_config(config: &[u8]) -> Self {
        let length = u32::try_from(config.len()).unwrap_or(u32::MAX);
        XlHeader {
            json: true,
            optional_flags: 0,
            optional: [&length.to_le_bytes(), config].concat(),
        }
    }

    /// The domain configuration, opaque here; empty if there is none.
    pub fn config(&self) -> &[u8] {
        match self.optional.split_first_chunk::<4>() {
            Some((length, rest)) => rest
                .get(..u32::from_le_bytes(*length) as usize)
                .unwrap_or_default(),
            None => &[],
        }
    }

    /// The header's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mandatory = XL_MANDATORY_STREAM_V2 | if self.json { XL_MANDATORY_JSON } else { 0 };
        let optional_bytes = u32::try_from(self.optional.len()).unwrap_or(u32::MAX);
        let mut out = XL_MAGIC.to_vec();
        for word in [BYTE_ORDER, mandatory, self.optional_flags, optional_bytes] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.optional);
        out
    }

    /// Checks a whole header.
    pub fn parse(bytes: &[u8]) -> Result<XlHeader, FormatError> {
        let truncated =
            |missing_bytes| FormatError::new(bytes.len() as u64, XL, Fault::Truncated { missing_bytes });
        let (fixed, optional) = bytes.split_first_chunk().ok_or_else(|| truncated(1))?;
        let (mut header, optional_bytes) = XlHeader::decode_fixed(fixed, 0)?;
        if optional.len() != optional_bytes as usize {
            let fault = Fault::Length {
                found: optional.len() as u64,
                expected: LengthRule::Exactly(optional_bytes.into()),
            };
            return Err(FormatError::new(44, XL, fault));
        }
        header.optional = optional.to_vec();
        header.check_optional(XL_FIXED_BYTES as u64)?;
        Ok(header)
    }

    /// Bytes before the optional part.
    pub(crate) const FIXED_BYTES: usize = XL_FIXED_BYTES;

    /// Checks the fixed part, which starts at `offset` of the input; gives the header, still without its
    /// optional part, and the length of that.
    pub(crate) fn decode_fixed(
        bytes: &[u8; XL_FIXED_BYTES],
        at: u64,
    ) -> Result<(XlHeader, u32), FormatError> {
        let fail = |offset, fault| Err(FormatError::new(at + offset, XL, fault));
        if let Some(i) = (0..XL_MAGIC.len()).find(|&i| bytes[i] != XL_MAGIC[i]) {
            let fault = Fault::Field {
                field: "magic",
                found: bytes[i].into(),
                expected: "the magic of an xl save file",
            };
            return fail(i as u64, fault);
        }
        let word = |i: usize| le32(&bytes[32 + 4 * i..]);
        match word(0) {
            BYTE_ORDER => {}
            order if order == BYTE_ORDER.swap_bytes() => return fail(32, Fault::BigEndian),
            found => return fail(32, field("byte order", found.into(), "0x1020304")),
        }
        let known = XL_MANDATORY_JSON | XL_MANDATORY_STREAM_V2;
        if word(1) & !known != 0 {
            return fail(
                36,
                field(
                    "mandatory flags",
                    word(1).into(),
                    "bits 0 (JSON) and 1 (stream v2) only",
                ),
            );
        }
        if word(1) & XL_MANDATORY_STREAM_V2 == 0 {
            let expected = "bit 1 (stream v2) set; images of Xen 4.5 and older are not supported";
            return fail(36, field("mandatory flags", word(1).into(), expected));
        }
        if word(3) > XL_OPTIONAL_BYTES_MAX {
            let expected = LengthRule::AtMost(XL_OPTIONAL_BYTES_MAX.into());
            return fail(
                44,
                Fault::Length {
                    found: word(3).into(),
                    expected,
                },
            );
        }
        let json = word(1) & XL_MANDATORY_JSON != 0;
        Ok((
            XlHeader {
                json,
                optional_flags: word(2),
                optional: Vec::new(),
            },
            word(3),
        ))
    }

    /// Checks the optional part, which starts at `at`.
    pub(crate) fn check_optional(&self, at: u64) -> Result<(), FormatError> {
        let Some((length, rest)) = self.optional.split_first_chunk::<4>() else {
            return Ok(());
        };
        let length = u32::from_le_bytes(*length);
        if length as usize > rest.len() {
            let expected = "at most the optional data's length less 4";
            return Err(FormatError::new(
                at,
                XL,
                field("configuration length", length.into(), expected),
            ));
        }
        Ok(())
    }
}

/// The header of a libxl stream (libxl-migration-stream, "Header"); big-endian on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LibxlHeader {
    /// The stream was converted from the format of Xen 4.5 or older.
    pub legacy: bool,
}

impl LibxlHeader {
    /// Length on disk.
    pub const BYTES: usize = 16;
    const VERSION: u32 = 2;

    /// The header's bytes.
    pub fn encode(self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        out[..8].copy_from_slice(LIBXL_IDENT);
        out[8..12].copy_from_slice(&Self::VERSION.to_be_bytes());
        out[12..].copy_from_slice(&(u32::from(self.legacy) << 1).to_be_bytes());
        out
    }

    /// Checks the bytes, which start at `at` of the input.
    pub(crate) fn decode(bytes: &[u8; Self::BYTES], at: u64) -> Result<LibxlHeader, FormatError> {
        let fail = |offset, fault| Err(FormatError::new(at + offset, LIBXL, fault));
        if !bytes.starts_with(LIBXL_IDENT) {
            return fail(
                0,
                field("ident", be64(bytes), "\"LibxlFmt\" (0x4c6962786c466d74)"),
            );
        }
        let (version, options) = (be32(&bytes[8..]), be32(&bytes[12..]));
        if version != Self::VERSION {
            return fail(8, field("version", version.into(), "2"));
        }
        if options & 1 != 0 {
            return fail(12, Fault::BigEndian);
        }
        if options & !0b11 != 0 {
            return fail(12, field("options", options.into(), "reserved bits 2-31 clear"));
        }
        Ok(LibxlHeader {
            legacy: options & 0b10 != 0,
        })
    }
}

/// What kind of guest a libxc stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GuestType {
    /// Paravirtual.
    Pv,
    /// Hardware-virtualised: HVM and PVH are the same here.
    Hvm,
}

/// The image header and the domain header of a libxc stream ("Headers"); the first is big-endian on disk,
/// the second little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LibxcHeader {
    /// Version of the stream format: 2 (Xen 4.6-4.13) or 3 (since 4.14).
    pub version: u32,
    /// Kind of guest.
    pub guest: GuestType,
    /// Version of the Xen that saved the guest; major 0 after a conversion from the legacy format.
    pub xen_major: u32,
    /// See `xen_major`.
    pub xen_minor: u32,
}

impl LibxcHeader {
    /// Length on disk of both headers.
    pub const BYTES: usize = 40;
    const ID: u32 = 0x5845_4e46;
    const PAGE_SHIFT: u16 = 12;

    /// Both headers' bytes.
    pub fn encode(self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        out[..8].copy_from_slice(LIBXC_MARKER);
        out[8..12].copy_from_slice(&Self::ID.to_be_bytes());
        out[12..16].copy_from_slice(&self.version.to_be_bytes());
        let guest: u32 = match self.guest {
            GuestType::Pv => 1,
            GuestType::Hvm => 2,
        };
        out[24..28].copy_from_slice(&guest.to_le_bytes());
        out[28..30].copy_from_slice(&Self::PAGE_SHIFT.to_le_bytes());
        out[32..36].copy_from_slice(&self.xen_major.to_le_bytes());
        out[36..].copy_from_slice(&self.xen_minor.to_le_bytes());
        out
    }

    /// Checks the bytes, which start at `at` of the input.
    pub(crate) fn decode(bytes: &[u8; Self::BYTES], at: u64) -> Result<LibxcHeader, FormatError> {
        let version = Self::check_image(bytes, at)?;
        let fail = |offset, fault| Err(FormatError::new(at + offset, DOMAIN, fault));
        let guest = match le32(&bytes[24..]) {
            1 => GuestType::Pv,
            2 => GuestType::Hvm,
            found => return fail(24, field("type", found.into(), "1 (x86 PV) or 2 (x86 HVM)")),
        };
        let (page_shift, reserved) = (
            u16::from_le_bytes([bytes[28], bytes[29]]),
            u16::from_le_bytes([bytes[30], bytes[31]]),
        );
        if page_shift != Self::PAGE_SHIFT {
            return fail(28, field("page_shift", page_shift.into(), "12"));
        }
        if reserved != 0 {
            return fail(30, field("reserved field", reserved.into(), "0"));
        }
        Ok(LibxcHeader {
            version,
            guest,
            xen_major: le32(&bytes[32..]),
            xen_minor: le32(&bytes[36..]),
        })
    }

    fn check_image(bytes: &[u8; Self::BYTES], at: u64) -> Result<u32, FormatError> {
        let fail = |offset, fault| Err(FormatError::new(at + offset, IMAGE, fault));
        if !bytes.starts_with(LIBXC_MARKER) {
            return fail(0, field("marker", be64(bytes), "0xffffffffffffffff"));
        }
        let (id, version) = (be32(&bytes[8..]), be32(&bytes[12..]));
        if id != Self::ID {
            return fail(8, field("id", id.into(), "\"XENF\" (0x58454e46)"));
        }
        if !(2..=3).contains(&version) {
            return fail(12, field("version", version.into(), "2 or 3"));
        }
        let (options, reserved) = (
            u16::from_be_bytes([bytes[16], bytes[17]]),
            be64(&bytes[16..]) & (u64::MAX >> 16),
        );
        if options & 1 != 0 {
            return fail(16, Fault::BigEndian);
        }
        if options != 0 {
            return fail(16, field("options", options.into(), "reserved bits 1-15 clear"));
        }
        if reserved != 0 {
            return fail(18, field("reserved field", reserved, "0"));
        }
        Ok(version)
    }
}

pub(crate) fn field(field: &'static str, found: u64, expected: &'static str) -> Fault {
    Fault::Field {
        field,
        found,
        expected,
    }
}

/// The first four bytes as a little-endian word; the caller has checked the length.
pub(crate) fn le32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(*bytes.first_chunk().expect("four bytes"))
}

fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(*bytes.first_chunk().expect("four bytes"))
}

fn be64(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(*bytes.first_chunk().expect("eight bytes"))
}

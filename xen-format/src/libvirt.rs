//! The header that libvirt's libxl driver puts before a libxl stream (`virsh save`).

use crate::error::{Fault, FormatError, LengthRule};
use crate::header::{field, le32};

/// First bytes of a file that `virsh save` wrote for a Xen guest.
pub const LIBVIRT_MAGIC: &[u8; 16] = b"libvirt-xml\n \0 \r";
/// A domain's XML is a few KiB; this is the most that is taken.
pub const LIBVIRT_XML_BYTES_MAX: u32 = 4 << 20;

pub(crate) const LIBVIRT: &str = "libvirt header";

/// The header (`src/libxl/libxl_conf.h` of libvirt): 16 bytes of magic, then little-endian words version and length of
/// the XML, 40 unused bytes, and the domain's XML with a NUL behind it. A libxl stream follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibvirtHeader {
    bytes: Vec<u8>,
}

impl LibvirtHeader {
    /// Bytes before the XML.
    pub(crate) const FIXED_BYTES: usize = 64;
    /// The stream that follows is of version 2; 1 was for that of Xen 4.5 and older.
    const VERSION: u32 = 2;

    /// A header with this XML.
    pub fn with_xml(xml: &str) -> Self {
        let mut bytes = LIBVIRT_MAGIC.to_vec();
        let length = u32::try_from(xml.len() + 1).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&Self::VERSION.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.resize(Self::FIXED_BYTES, 0);
        bytes.extend_from_slice(xml.as_bytes());
        bytes.push(0);
        LibvirtHeader { bytes }
    }

    /// The domain's XML as libvirt has it, without the NUL.
    pub fn xml(&self) -> &[u8] {
        let xml = self.bytes.get(Self::FIXED_BYTES..).unwrap_or_default();
        xml.strip_suffix(&[0]).unwrap_or(xml)
    }

    /// The header's bytes.
    pub fn encode(&self) -> &[u8] {
        &self.bytes
    }

    /// Checks a whole header.
    pub fn parse(bytes: &[u8]) -> Result<LibvirtHeader, FormatError> {
        let missing_bytes = Self::FIXED_BYTES.saturating_sub(bytes.len()) as u64;
        let (fixed, xml) = bytes.split_first_chunk().ok_or_else(|| {
            FormatError::new(bytes.len() as u64, LIBVIRT, Fault::Truncated { missing_bytes })
        })?;
        let length = Self::check_fixed(fixed)?;
        if xml.len() != length as usize {
            let found = xml.len() as u64;
            let expected = LengthRule::Exactly(length.into());
            return Err(FormatError::new(20, LIBVIRT, Fault::Length { found, expected }));
        }
        Ok(Self::joined(fixed, xml))
    }

    /// Checks the part before the XML; gives the length of that.
    pub(crate) fn check_fixed(fixed: &[u8; Self::FIXED_BYTES]) -> Result<u32, FormatError> {
        let fail = |offset, fault| Err(FormatError::new(offset, LIBVIRT, fault));
        if let Some(i) = (0..LIBVIRT_MAGIC.len()).find(|&i| fixed[i] != LIBVIRT_MAGIC[i]) {
            let expected = "the magic of libvirt's save files of Xen guests";
            return fail(i as u64, field("magic", fixed[i].into(), expected));
        }
        let (version, length) = (le32(&fixed[16..]), le32(&fixed[20..]));
        if version != Self::VERSION {
            let expected = "2; images of Xen 4.5 and older are not supported";
            return fail(16, field("version", version.into(), expected));
        }
        let rule = LengthRule::AtMost(LIBVIRT_XML_BYTES_MAX.into());
        if !rule.allows(length.into()) {
            let found = length.into();
            return fail(
                20,
                Fault::Length {
                    found,
                    expected: rule,
                },
            );
        }
        Ok(length)
    }

    pub(crate) fn joined(fixed: &[u8; Self::FIXED_BYTES], xml: &[u8]) -> Self {
        LibvirtHeader {
            bytes: [fixed, xml].concat(),
        }
    }
}

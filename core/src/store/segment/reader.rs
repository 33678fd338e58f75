//! A finished segment.

use std::rc::Rc;

use super::footer::{TRAILER, Trailer};
use super::{Footer, HEADER, header};
use crate::medium::Medium;
use crate::store::files::{StoreFile, segment_path};
use crate::store::header::VERSION;
use crate::store::{Finding, SegmentName, StoreError};

/// A segment open for reading: header and footer are checked, frames are as they are.
#[derive(Debug)]
pub(in crate::store) struct SegmentReader {
    pub(in crate::store) file: StoreFile,
    pub(in crate::store) footer: Footer,
}

impl SegmentReader {
    pub(in crate::store) fn open(medium: &Rc<dyn Medium>, name: SegmentName) -> Result<Self, StoreError> {
        let file = StoreFile::open(medium, segment_path(name))?;
        let len = file.len_bytes();
        let Some(trailer_at) = len.checked_sub(TRAILER as u64).filter(|&at| at > HEADER as u64) else {
            return Err(file
                .finding(0, format!("a segment is longer than its {len} bytes"))
                .into());
        };
        let mut head = [0; HEADER];
        file.read_at(0, &mut head)?;
        check_header(&file, &head)?;
        let mut trailer = [0; TRAILER];
        file.read_at(trailer_at, &mut trailer)?;
        let trailer = Trailer::decode(&trailer, len).map_err(|e| file.finding(trailer_at + e.at, e.what))?;
        let footer_at = trailer_at - trailer.footer_len;
        let bytes = file.read_vec(footer_at, trailer.footer_len, "footer")?;
        let footer =
            Footer::decode(&bytes, &trailer, len).map_err(|e| file.finding(footer_at + e.at, e.what))?;
        if trailer.name != name {
            return Err(file
                .finding(trailer_at, format!("this is segment {}", trailer.name))
                .into());
        }
        Ok(SegmentReader { file, footer })
    }
}

fn check_header(file: &StoreFile, found: &[u8; HEADER]) -> Result<(), StoreError> {
    let expected = header();
    if found[..8] != expected[..8] {
        return Err(file.finding(0, "expected the magic of a segment").into());
    }
    if found[8..12] != expected[8..12] {
        let found = u32::from_le_bytes(*found[8..12].first_chunk().expect("four bytes"));
        let what = format!("format version {found}, this program reads version {VERSION}");
        return Err(Finding::new(file.path(), 8, what).into());
    }
    if found[12..] == expected[12..] {
        Ok(())
    } else {
        Err(file.finding(12, "expected four zero bytes").into())
    }
}

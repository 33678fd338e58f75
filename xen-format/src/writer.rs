//! Streaming writer: the counterpart of the reader.

use std::io::{self, BufWriter, Write};

use revenant_core::PAGE_SIZE;

use crate::header::{LibxcHeader, LibxlHeader, XlHeader};
use crate::libvirt::LibvirtHeader;
use crate::page::FrameRun;
use crate::record::{BODY_BYTES_MAX, Layer, libxc, record_name};

/// Small writes collect in this; page data goes past it.
const BUFFER_BYTES: usize = 256 << 10;

/// A save file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The output refused bytes.
    #[error("writing at byte {offset} failed")]
    Io {
        /// Bytes accepted before.
        offset: u64,
        /// The operating system's words.
        #[source]
        source: io::Error,
    },
    /// No reader would take such a record.
    #[error("{record} of {bytes} bytes, a record holds at most {BODY_BYTES_MAX}")]
    TooLong {
        /// Name of the record.
        record: &'static str,
        /// Length of its body.
        bytes: u64,
    },
}

/// Writes headers and records. The order is the caller's affair.
#[derive(Debug)]
pub struct StreamWriter<W: Write> {
    out: BufWriter<W>,
    offset: u64,
    /// Bytes of page data that the open PAGE_DATA record still expects.
    page_bytes_left: u64,
}

impl<W: Write> StreamWriter<W> {
    /// Writes to `output`, which needs no buffering of its own.
    pub fn new(output: W) -> Self {
        StreamWriter {
            out: BufWriter::with_capacity(BUFFER_BYTES, output),
            offset: 0,
            page_bytes_left: 0,
        }
    }

    /// Bytes written so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The header of an xl save file.
    pub fn xl(&mut self, header: &XlHeader) -> Result<(), WriteError> {
        self.put(&header.encode())
    }

    /// The header of libvirt's libxl driver.
    pub fn libvirt(&mut self, header: &LibvirtHeader) -> Result<(), WriteError> {
        self.put(header.encode())
    }

    /// The header of a libxl stream.
    pub fn libxl(&mut self, header: LibxlHeader) -> Result<(), WriteError> {
        self.put(&header.encode())
    }

    /// The headers of a libxc stream.
    pub fn libxc(&mut self, header: LibxcHeader) -> Result<(), WriteError> {
        self.put(&header.encode())
    }

    /// A record and its padding.
    ///
    /// # Panics
    /// If a PAGE_DATA record is open that has not got all its pages.
    pub fn record(&mut self, layer: Layer, code: u32, body: &[u8]) -> Result<(), WriteError> {
        self.record_head(layer, code, body.len() as u64)?;
        self.put(body)?;
        self.put(&[0; 8][..body.len().wrapping_neg() % 8])
    }

    /// Opens a PAGE_DATA record with this frame list; its pages are to follow by [`pages`](Self::pages).
    ///
    /// # Panics
    /// As [`record`](Self::record).
    pub fn begin_pages(&mut self, runs: &[FrameRun]) -> Result<(), WriteError> {
        let frames: u64 = runs.iter().map(|run| run.len).sum();
        let pages: u64 = runs
            .iter()
            .filter(|run| run.kind.has_data())
            .map(|run| run.len)
            .sum();
        let page_bytes = pages.saturating_mul(PAGE_SIZE as u64);
        self.record_head(
            Layer::Libxc,
            libxc::PAGE_DATA,
            frames.saturating_mul(8).saturating_add(8 + page_bytes),
        )?;
        self.put(&frames.to_le_bytes())?;
        let mut piece = [0; 8 * 512];
        let mut entries = runs.iter().flat_map(|run| run.entries());
        loop {
            let (list, _) = piece.as_chunks_mut::<8>();
            let filled = list
                .iter_mut()
                .zip(&mut entries)
                .map(|(to, entry)| *to = entry.to_le_bytes())
                .count();
            if filled == 0 {
                break;
            }
            self.put(&piece[..8 * filled])?;
        }
        self.page_bytes_left = page_bytes;
        Ok(())
    }

    /// Page data of the open PAGE_DATA record.
    ///
    /// # Panics
    /// If that is more than its frame list calls for.
    pub fn pages(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let left = self.page_bytes_left.checked_sub(bytes.len() as u64);
        self.page_bytes_left = left.expect("no more pages than the frame list calls for");
        self.put(bytes)
    }

    /// Hands the output back, everything written out.
    pub fn finish(self) -> Result<W, WriteError> {
        let offset = self.offset;
        assert_eq!(
            self.page_bytes_left, 0,
            "every page of a PAGE_DATA record is written"
        );
        self.out.into_inner().map_err(|e| WriteError::Io {
            offset,
            source: e.into_error(),
        })
    }

    fn record_head(&mut self, layer: Layer, code: u32, length: u64) -> Result<(), WriteError> {
        assert_eq!(
            self.page_bytes_left, 0,
            "every page of a PAGE_DATA record is written"
        );
        let too_long = WriteError::TooLong {
            record: record_name(layer, code),
            bytes: length,
        };
        let length = u32::try_from(length)
            .ok()
            .filter(|&l| l <= BODY_BYTES_MAX)
            .ok_or(too_long)?;
        self.put(&code.to_le_bytes())?;
        self.put(&length.to_le_bytes())
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.out.write_all(bytes).map_err(|source| WriteError::Io {
            offset: self.offset,
            source,
        })?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}

//! The input, counted.

use std::io::{self, BufRead, BufReader, Read};

use crate::error::{Fault, FormatError};

/// Small reads come out of this; larger ones go past it straight into the caller's buffer.
const BUFFER_BYTES: usize = 64 << 10;

/// Reads an input once, forwards, and knows where it is.
#[derive(Debug)]
pub(crate) struct Source<R> {
    inner: BufReader<R>,
    offset: u64,
}

impl<R: Read> Source<R> {
    pub(crate) fn new(input: R) -> Self {
        Source {
            inner: BufReader::with_capacity(BUFFER_BYTES, input),
            offset: 0,
        }
    }

    /// Bytes read so far.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Fills `into`; `place` is what it is read for.
    pub(crate) fn fill(&mut self, into: &mut [u8], place: &'static str) -> Result<(), FormatError> {
        let mut filled = 0;
        while filled < into.len() {
            match self.inner.read(&mut into[filled..]) {
                Ok(0) => {
                    let missing_bytes = (into.len() - filled) as u64;
                    return Err(FormatError::new(
                        self.offset,
                        place,
                        Fault::Truncated { missing_bytes },
                    ));
                }
                Ok(n) => {
                    filled += n;
                    self.offset += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(FormatError::new(self.offset, place, Fault::Io(e))),
            }
        }
        Ok(())
    }

    /// A fixed number of bytes.
    pub(crate) fn array<const N: usize>(&mut self, place: &'static str) -> Result<[u8; N], FormatError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes, place)?;
        Ok(bytes)
    }

    /// `len` bytes. The vector grows with what is really there, so that a length costs nothing.
    pub(crate) fn vec(&mut self, len: u32, place: &'static str) -> Result<Vec<u8>, FormatError> {
        let len = len as usize;
        let mut bytes = Vec::new();
        while bytes.len() < len {
            let have = bytes.len();
            let step = (len - have).min(have.max(BUFFER_BYTES));
            bytes.reserve_exact(step);
            bytes.resize(have + step, 0);
            self.fill(&mut bytes[have..], place).map_err(|mut error| {
                if let Fault::Truncated { missing_bytes } = &mut error.fault {
                    *missing_bytes += (len - have - step) as u64;
                }
                error
            })?;
        }
        Ok(bytes)
    }

    /// What has been read ahead.
    pub(crate) fn buffered(&self) -> &[u8] {
        self.inner.buffer()
    }

    /// Is this the end of the input?
    pub(crate) fn at_end(&mut self, place: &'static str) -> Result<bool, FormatError> {
        loop {
            match self.inner.fill_buf() {
                Ok(bytes) => return Ok(bytes.is_empty()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(FormatError::new(self.offset, place, Fault::Io(e))),
            }
        }
    }

    /// The zeroes that round a body of `length` bytes up to a multiple of eight.
    pub(crate) fn padding(&mut self, length: u32, place: &'static str) -> Result<(), FormatError> {
        let mut bytes = [0; 8];
        let bytes = &mut bytes[..(length.wrapping_neg() % 8) as usize];
        let at = self.offset;
        self.fill(bytes, place)?;
        match bytes.iter().position(|&b| b != 0) {
            None => Ok(()),
            Some(i) => {
                let fault = Fault::Field {
                    field: "padding",
                    found: bytes[i].into(),
                    expected: "0",
                };
                Err(FormatError::new(at + i as u64, place, fault))
            }
        }
    }
}

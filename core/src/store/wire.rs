//! Little-endian fields out of bytes at hand, bounds-checked.

/// Appends fields to a buffer.
pub(super) trait Put {
    fn put_u32(&mut self, value: u32);
    fn put_u64(&mut self, value: u64);
    /// Four-byte length and bytes. The caller has checked a limit far below 4 GiB.
    fn put_bytes(&mut self, bytes: &[u8]);
}

impl Put for Vec<u8> {
    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.put_u32(u32::try_from(bytes.len()).expect("limits are checked before encoding"));
        self.extend_from_slice(bytes);
    }
}

/// Why bytes cannot be understood, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Malformed {
    /// Offset in what was decoded.
    pub(super) at: u64,
    /// What was expected.
    pub(super) what: String,
}

impl Malformed {
    pub(super) fn new(at: usize, what: impl Into<String>) -> Self {
        Malformed {
            at: at as u64,
            what: what.into(),
        }
    }
}

/// Takes fields from the front of a slice.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Fields { bytes, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn rest(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(super) fn take(&mut self, len: usize, what: &str) -> Result<&'a [u8], Malformed> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..len).ok_or_else(|| {
            Malformed::new(
                self.at,
                format!("{what}: expected {len} bytes, {} are left", rest.len()),
            )
        })?;
        self.at += len;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Malformed> {
        Ok(*self.take(N, what)?.first_chunk().expect("N bytes were taken"))
    }

    pub(super) fn u8(&mut self, what: &str) -> Result<u8, Malformed> {
        Ok(self.array::<1>(what)?[0])
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, Malformed> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, Malformed> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A number that is a length or count: at most `limit`.
    pub(super) fn count(&mut self, limit: u64, what: &str) -> Result<usize, Malformed> {
        let at = self.at;
        let value = self.u32(what)?;
        if u64::from(value) > limit {
            return Err(Malformed::new(
                at,
                format!("{what}: expected at most {limit}, found {value}"),
            ));
        }
        Ok(value as usize)
    }

    pub(super) fn string(&mut self, limit: u64, what: &str) -> Result<String, Malformed> {
        let len = self.count(limit, what)?;
        let at = self.at;
        let bytes = self.take(len, what)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| Malformed::new(at, format!("{what}: expected UTF-8")))
    }

    /// Fails unless everything was taken.
    pub(super) fn end(&self) -> Result<(), Malformed> {
        match self.rest() {
            0 => Ok(()),
            rest => Err(Malformed::new(self.at, format!("{rest} bytes too many"))),
        }
    }
}

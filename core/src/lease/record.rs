//! What a lease file says.

use std::time::Duration;

use crate::medium::{Medium, MediumError, MediumErrorKind};

/// More than any lease has: what is longer is cut off.
const BYTES_MAX: u64 = 1024;

/// The content of a lease file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Record {
    /// Who holds it, for people.
    pub(super) holder: String,
    /// Grows with each renewal, so that a watcher sees a change.
    pub(super) renewals: u64,
    /// How long it may stay as it is before others may take it; the holder goes by the same.
    pub(super) timeout: Duration,
    /// It was given back: nobody protects the guest, nobody has to take over.
    pub(super) released: bool,
}

impl Record {
    pub(super) fn encode(&self) -> String {
        format!(
            "state {}\nholder {}\nrenewals {}\ntimeout_ms {}\n",
            if self.released { "released" } else { "held" },
            printable(&self.holder),
            self.renewals,
            self.timeout.as_millis(),
        )
    }

    /// As much as can be understood: a file that was just created is empty, and one of a later version says more.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let field = |key: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(' '));
            lines.find(|(found, _)| *found == key).map(|(_, value)| value)
        };
        let number = |key: &str| field(key).and_then(|value| value.parse().ok()).unwrap_or(0);
        Record {
            holder: printable(field("holder").unwrap_or("somebody")),
            renewals: number("renewals"),
            timeout: Duration::from_millis(number("timeout_ms")),
            released: field("state") == Some("released"),
        }
    }
}

/// A host's name comes from outside and goes to terminals.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .take(200)
        .collect()
}

/// The bytes of a lease file, `None` if there is none.
pub(super) fn read(medium: &dyn Medium, path: &str) -> Result<Option<Vec<u8>>, MediumError> {
    let file = match medium.open(path) {
        Ok(file) => file,
        Err(error) if error.kind == MediumErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let len = file.len_bytes().min(BYTES_MAX);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
    file.read_at(0, &mut bytes)?;
    Ok(Some(bytes))
}

//! What happened to a protected guest, with times: one JSON object a line.

use std::io::{self, Write};
use std::time::Duration;

use revenant_core::Timestamp;
use serde_json::{Map, Value, json};

/// One thing that happened.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When, on the host's clock.
    pub at: Timestamp,
    /// What, one word: `watching`, `captured`, `capture-failed`, `lost`, `restoring`, `restored`, `restore-failed`,
    /// `rebooted`, `lease-doubtful`, `lease-lost`, `stopped`.
    pub event: &'static str,
    /// The particulars.
    pub details: Map<String, Value>,
}

/// Where entries go.
pub trait Journal {
    /// Takes an entry; what cannot be written must not stop the protection.
    fn record(&mut self, entry: &Entry);
}

impl<F: FnMut(&Entry)> Journal for F {
    fn record(&mut self, entry: &Entry) {
        self(entry);
    }
}

impl Entry {
    /// As a line of JSON, in one write: a process that is killed leaves no half of it for the next one to go on from. Times are
    /// seconds; `at` counts from the Unix epoch.
    pub fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        let mut line = Map::new();
        line.insert("at".into(), json!(self.at.as_secs_f64()));
        line.insert("event".into(), json!(self.event));
        line.extend(self.details.clone());
        output.write_all(format!("{}\n", Value::Object(line)).as_bytes())
    }
}

/// Particulars from a JSON object.
pub(super) fn details(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

pub(super) fn seconds(time: Duration) -> Value {
    json!(time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts writes, as a file does that other processes read and append to.
    #[derive(Default)]
    struct Writes(Vec<Vec<u8>>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_entry_is_written_whole_or_not_at_all() {
        let entry = Entry {
            at: Timestamp(1_500_000_000),
            event: "captured",
            details: details(json!({ "checkpoint": "ab", "total_s": 0.5 })),
        };
        let mut writes = Writes::default();
        entry.write(&mut writes).unwrap();
        let lines: Vec<Value> = writes
            .0
            .iter()
            .map(|bytes| serde_json::from_slice(bytes.strip_suffix(b"\n").unwrap()).unwrap())
            .collect();
        assert_eq!(
            lines,
            [json!({ "at": 1.5, "event": "captured", "checkpoint": "ab", "total_s": 0.5 })]
        );
    }
}

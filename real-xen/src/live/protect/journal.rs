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
    /// As a line of JSON. Times are seconds; `at` counts from the Unix epoch.
    pub fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        let mut line = Map::new();
        line.insert("at".into(), json!(self.at.as_secs_f64()));
        line.insert("event".into(), json!(self.event));
        line.extend(self.details.clone());
        writeln!(output, "{}", Value::Object(line))
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

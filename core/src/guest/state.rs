//! Everything of a machine that is not memory, as opaque named records.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whose machine state a checkpoint carries, for example `xen-pv`, `xen-hvm`, `sim`. A checkpoint restores
/// only onto a backend that names the same kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MachineKind(pub String);

impl MachineKind {
    /// A kind by name.
    pub fn new(name: &str) -> Self {
        MachineKind(name.to_owned())
    }
}

impl fmt::Display for MachineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One piece of machine state: a vCPU, a device, a record of a save file. The order of records is part of
/// the state. Names are the backend's (`vcpu/0`, `xen/libxc/0x9`); the same name may occur more than once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRecord {
    /// What it is, in the backend's words.
    pub name: String,
    /// Its content, understood by the backend alone.
    pub bytes: Vec<u8>,
}

impl StateRecord {
    /// A record.
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        StateRecord {
            name: name.into(),
            bytes: bytes.into(),
        }
    }
}

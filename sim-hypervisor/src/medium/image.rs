//! The content of a disk at one moment.

use std::collections::{BTreeMap, BTreeSet};

/// Files and directories by path, all durable.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Image {
    /// Content by path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Directories below the root.
    pub dirs: BTreeSet<String>,
}

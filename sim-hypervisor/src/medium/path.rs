//! Paths as the contract of `Medium` has them.

use std::io;

use revenant_core::medium::{MediumError, is_component};

/// A file: one or two components.
pub(super) fn check(operation: &'static str, path: &str) -> Result<(), MediumError> {
    let mut components = path.split('/');
    let good = components.by_ref().take(2).all(is_component) && components.next().is_none();
    if good { Ok(()) } else { Err(bad(operation, path)) }
}

/// A directory: one component, or the root as the empty string.
pub(super) fn check_dir(operation: &'static str, dir: &str) -> Result<(), MediumError> {
    if dir.is_empty() || is_component(dir) {
        Ok(())
    } else {
        Err(bad(operation, dir))
    }
}

/// A directory that can be made: not the root.
pub(super) fn check_new_dir(operation: &'static str, dir: &str) -> Result<(), MediumError> {
    if is_component(dir) {
        Ok(())
    } else {
        Err(bad(operation, dir))
    }
}

/// The directory of a file.
pub(super) fn dir_of(path: &str) -> &str {
    path.split_once('/').map_or("", |(dir, _)| dir)
}

fn bad(operation: &'static str, path: &str) -> MediumError {
    let source = io::Error::new(io::ErrorKind::InvalidInput, "not a path of this medium");
    MediumError::from_io(operation, path, source)
}

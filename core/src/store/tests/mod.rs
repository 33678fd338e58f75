//! Claims about the store as a whole.

mod memory;
mod round_trip;
mod support;

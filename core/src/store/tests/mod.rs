//! Claims about the store as a whole.

mod collection;
mod commit;
mod copies;
mod damage;
mod differences;
pub(in crate::store) mod memory;
mod names;
mod reads;
mod round_trip;
mod support;

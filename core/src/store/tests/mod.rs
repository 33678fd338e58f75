//! Claims about the store as a whole.

mod collection;
mod commit;
mod copies;
mod damage;
mod differences;
mod folders;
pub(in crate::store) mod memory;
mod names;
mod reads;
mod repacking;
mod round_trip;
mod space;
mod support;

//! Xen's own save files: a streaming reader and writer, and the way into and out of a checkpoint store.
//!
//! ```text
//! save file ──▶ StreamReader ──▶ import ──▶ Store ──▶ export ──▶ StreamWriter ──▶ save file
//! ```
//!
//! Nested formats, after the public specifications `libxl-migration-stream` and
//! `libxc-migration-stream` of the Xen project: the header that `xl save` or `virsh save` puts before everything, the libxl
//! stream (version 2) and the libxc stream (versions 2 and 3; PV and HVM/PVH guests; plain, live and
//! checkpointed). A save file is untrusted input: errors carry the byte offset ([`FormatError`]), memory goes by
//! the bytes that really came, and whatever the specification reserves must be zero, because what is not
//! understood cannot be given back the same.
#![forbid(unsafe_code)]

mod config;
mod error;
mod export;
mod foreign;
mod frame_set;
mod header;
mod image;
mod import;
mod inspect;
mod libvirt;
pub mod names;
mod order;
mod page;
mod page_order;
mod pages;
mod reader;
mod record;
mod source;
#[cfg(feature = "testing")]
pub mod testing;
mod writer;

pub use config::{GuestName, Identity, UNNAMED};
pub use error::{Fault, FormatError, LengthRule};
pub use export::{ExportError, Exported, export, export_as};
pub use header::{
    GuestType, LIBXC_MARKER, LIBXL_IDENT, LibxcHeader, LibxlHeader, XL_MAGIC, XL_OPTIONAL_BYTES_MAX, XlHeader,
};
pub use image::{IMAGE_FRAMES_MAX, ImageError, ImageSink, ImageSummary, put_sparse, write_elf, write_raw};
pub use import::{ImportError, ImportOptions, Imported, Trailing, import};
pub use inspect::{Container, RecordSummary, Summary, inspect};
pub use libvirt::{LIBVIRT_MAGIC, LIBVIRT_XML_BYTES_MAX, LibvirtHeader};
pub use page::{FrameRun, PageType};
pub use page_order::PageOrder;
pub use reader::{Item, PageHead, StreamReader};
pub use record::{BODY_BYTES_MAX, Layer, OPTIONAL, Record, STATE_BYTES_MAX, libxc, libxl, record_name};
pub use writer::{StreamWriter, WriteError};

//! How a Xen machine stands in a checkpoint: the machine kinds and the names of its state records.
//!
//! The state records of a checkpoint are, in stream order: the xl header or libvirt's, the libxl header, libxl records up to
//! and with LIBXC_CONTEXT, the libxc headers, libxc records (without PAGE_DATA) up to and with END, further libxl
//! records up to and with END, and for an image that is to be given back byte for byte the page order. Bare
//! streams lack the outer ones. A record's bytes are its body as in the stream, a header's the whole header.

use revenant_core::guest::MachineKind;

use crate::header::GuestType;
use crate::record::Layer;

/// Machine kind of a PV guest.
pub const MACHINE_PV: &str = "xen-pv";
/// Machine kind of an HVM or PVH guest.
pub const MACHINE_HVM: &str = "xen-hvm";

/// The xl header with its optional part.
pub const XL_HEADER: &str = "xen/xl-header";
/// The header of libvirt's libxl driver with the domain's XML.
pub const LIBVIRT_HEADER: &str = "xen/libvirt/header";
/// The libxl stream's header.
pub const LIBXL_HEADER: &str = "xen/libxl/header";
/// Image header and domain header of the libxc stream.
pub const LIBXC_HEADER: &str = "xen/libxc/header";
/// How the pages stood in the file, see [`PageOrder`](crate::PageOrder).
pub const PAGE_ORDER: &str = "xen/page-order";

const LIBXL_PREFIX: &str = "xen/libxl/0x";
const LIBXC_PREFIX: &str = "xen/libxc/0x";

/// The kind of machine a guest is.
pub fn machine_kind(guest: GuestType) -> MachineKind {
    MachineKind::new(match guest {
        GuestType::Pv => MACHINE_PV,
        GuestType::Hvm => MACHINE_HVM,
    })
}

/// The name of a record, for example `xen/libxc/0x0009`.
pub fn record(layer: Layer, code: u32) -> String {
    match layer {
        Layer::Libxl => format!("{LIBXL_PREFIX}{code:04x}"),
        Layer::Libxc => format!("{LIBXC_PREFIX}{code:04x}"),
    }
}

/// The inverse of [`record`].
pub fn parse_record(name: &str) -> Option<(Layer, u32)> {
    let (layer, digits) = match name.strip_prefix(LIBXL_PREFIX) {
        Some(digits) => (Layer::Libxl, digits),
        None => (Layer::Libxc, name.strip_prefix(LIBXC_PREFIX)?),
    };
    let code = u32::from_str_radix(digits, 16).ok()?;
    // One spelling only.
    (record(layer, code) == name).then_some((layer, code))
}

//! Records: their types, names, and what their bodies must look like.

use crate::error::{Fault, LengthRule};
use crate::header::{GuestType, field, le32};

/// Longest body a record may claim (128 MiB, the limit of Xen's own reader).
pub const BODY_BYTES_MAX: u32 = 128 << 20;
/// Longest body that is taken of a record other than PAGE_DATA. The largest real one is a device model's
/// state, a few MiB.
pub const STATE_BYTES_MAX: u32 = 32 << 20;
/// Types with this bit may be ignored by a reader that does not know them.
pub const OPTIONAL: u32 = 1 << 31;
/// vCPU numbers below this are possible in a PV guest.
const PV_VCPUS_MAX: u32 = 8192;

/// Record types of a libxc stream.
pub mod libxc {
    #![expect(
        missing_docs,
        reason = "the names are the specification's, and it says what they are"
    )]
    pub const END: u32 = 0x0;
    pub const PAGE_DATA: u32 = 0x1;
    pub const X86_PV_INFO: u32 = 0x2;
    pub const X86_PV_P2M_FRAMES: u32 = 0x3;
    pub const X86_PV_VCPU_BASIC: u32 = 0x4;
    pub const X86_PV_VCPU_EXTENDED: u32 = 0x5;
    pub const X86_PV_VCPU_XSAVE: u32 = 0x6;
    pub const SHARED_INFO: u32 = 0x7;
    pub const X86_TSC_INFO: u32 = 0x8;
    pub const HVM_CONTEXT: u32 = 0x9;
    pub const HVM_PARAMS: u32 = 0xa;
    pub const TOOLSTACK: u32 = 0xb;
    pub const X86_PV_VCPU_MSRS: u32 = 0xc;
    pub const VERIFY: u32 = 0xd;
    pub const CHECKPOINT: u32 = 0xe;
    pub const CHECKPOINT_DIRTY_PFN_LIST: u32 = 0xf;
    pub const STATIC_DATA_END: u32 = 0x10;
    pub const X86_CPUID_POLICY: u32 = 0x11;
    pub const X86_MSR_POLICY: u32 = 0x12;
}

/// Record types of a libxl stream.
pub mod libxl {
    #![expect(
        missing_docs,
        reason = "the names are the specification's, and it says what they are"
    )]
    pub const END: u32 = 0x0;
    pub const LIBXC_CONTEXT: u32 = 0x1;
    pub const EMULATOR_XENSTORE_DATA: u32 = 0x2;
    pub const EMULATOR_CONTEXT: u32 = 0x3;
    pub const CHECKPOINT_END: u32 = 0x4;
    pub const CHECKPOINT_STATE: u32 = 0x5;
}

/// Which of the two nested streams a record belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// The outer one.
    Libxl,
    /// The inner one.
    Libxc,
}

/// A record that is not PAGE_DATA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where in the input its header starts.
    pub offset: u64,
    /// Which stream it belongs to.
    pub layer: Layer,
    /// Its type, see [`libxc`] and [`libxl`].
    pub code: u32,
    /// Its body without padding.
    pub body: Vec<u8>,
}

impl Record {
    /// Its name in the specification.
    pub fn name(&self) -> &'static str {
        record_name(self.layer, self.code)
    }
}

/// A record type's name in the specification.
pub fn record_name(layer: Layer, code: u32) -> &'static str {
    const LIBXC: [&str; 0x13] = [
        "END",
        "PAGE_DATA",
        "X86_PV_INFO",
        "X86_PV_P2M_FRAMES",
        "X86_PV_VCPU_BASIC",
        "X86_PV_VCPU_EXTENDED",
        "X86_PV_VCPU_XSAVE",
        "SHARED_INFO",
        "X86_TSC_INFO",
        "HVM_CONTEXT",
        "HVM_PARAMS",
        "TOOLSTACK",
        "X86_PV_VCPU_MSRS",
        "VERIFY",
        "CHECKPOINT",
        "CHECKPOINT_DIRTY_PFN_LIST",
        "STATIC_DATA_END",
        "X86_CPUID_POLICY",
        "X86_MSR_POLICY",
    ];
    const LIBXL: [&str; 6] = [
        "libxl END",
        "LIBXC_CONTEXT",
        "EMULATOR_XENSTORE_DATA",
        "EMULATOR_CONTEXT",
        "CHECKPOINT_END",
        "CHECKPOINT_STATE",
    ];
    let known: &[&'static str] = match layer {
        Layer::Libxc => &LIBXC,
        Layer::Libxl => &LIBXL,
    };
    match known.get(code as usize) {
        Some(name) => name,
        None if code & OPTIONAL != 0 => "optional record",
        None => "unknown record",
    }
}

/// What the length of a record's body must be, as far as the type alone tells.
///
/// # Errors
/// For a mandatory type this format does not have.
pub(crate) fn length_rule(layer: Layer, code: u32) -> Result<LengthRule, Fault> {
    let known = match layer {
        _ if code & OPTIONAL != 0 => Some(LengthRule::AtMost(STATE_BYTES_MAX.into())),
        Layer::Libxl => libxl_length_rule(code),
        Layer::Libxc => libxc_length_rule(code),
    };
    known.ok_or(Fault::UnknownMandatory { code })
}

fn libxl_length_rule(code: u32) -> Option<LengthRule> {
    Some(match code {
        libxl::END | libxl::LIBXC_CONTEXT | libxl::CHECKPOINT_END => LengthRule::Exactly(0),
        libxl::EMULATOR_XENSTORE_DATA | libxl::EMULATOR_CONTEXT => LengthRule::AtLeast(8),
        libxl::CHECKPOINT_STATE => LengthRule::MultipleOf(4),
        _ => return None,
    })
}

fn libxc_length_rule(code: u32) -> Option<LengthRule> {
    Some(match code {
        libxc::END | libxc::VERIFY | libxc::CHECKPOINT | libxc::STATIC_DATA_END => LengthRule::Exactly(0),
        libxc::PAGE_DATA | libxc::X86_PV_P2M_FRAMES => LengthRule::AtLeast(16),
        libxc::X86_PV_INFO => LengthRule::Exactly(8),
        libxc::SHARED_INFO => LengthRule::Exactly(4096),
        libxc::X86_TSC_INFO => LengthRule::Exactly(24),
        libxc::HVM_CONTEXT => LengthRule::AtLeast(1),
        libxc::HVM_PARAMS => LengthRule::AtLeast(8),
        libxc::X86_CPUID_POLICY => LengthRule::MultipleOf(24),
        libxc::X86_MSR_POLICY => LengthRule::MultipleOf(16),
        libxc::TOOLSTACK | libxc::CHECKPOINT_DIRTY_PFN_LIST => LengthRule::AtMost(STATE_BYTES_MAX.into()),
        code if is_vcpu(code) => LengthRule::AtLeast(8),
        _ => return None,
    })
}

/// Is this one of the four per-vCPU records of a PV guest?
pub(crate) fn is_vcpu(code: u32) -> bool {
    matches!(
        code,
        libxc::X86_PV_VCPU_BASIC..=libxc::X86_PV_VCPU_XSAVE | libxc::X86_PV_VCPU_MSRS
    )
}

/// Checks the inside of a body whose length obeys [`length_rule`]. The error comes with the offset from the
/// start of the body; 0 for the length itself too.
pub(crate) fn check_body(
    layer: Layer,
    code: u32,
    body: &[u8],
    pv_width: Option<u8>,
) -> Result<(), (u64, Fault)> {
    let word = |offset: usize| le32(&body[offset..]);
    let reserved = |offset: usize| match word(offset) {
        0 => Ok(()),
        found => Err((offset as u64, field("reserved field", found.into(), "0"))),
    };
    match (layer, code) {
        (Layer::Libxl, libxl::EMULATOR_XENSTORE_DATA | libxl::EMULATOR_CONTEXT) if word(0) > 2 => Err((
            0,
            field("emulator_id", word(0).into(), "0 (unknown), 1 or 2 (QEMU)"),
        )),
        (Layer::Libxl, libxl::CHECKPOINT_STATE) => {
            // Four bytes in the code of Xen, eight in the specification.
            let expected = LengthRule::AtMost(8);
            match (body.len() as u64, word(0)) {
                (9.., _) => Err((
                    0,
                    Fault::Length {
                        found: body.len() as u64,
                        expected,
                    },
                )),
                (_, 4..) => Err((0, field("control_id", word(0).into(), "0-3"))),
                _ => Ok(()),
            }
        }
        (Layer::Libxc, libxc::X86_PV_INFO) => {
            if !matches!((body[0], body[1]), (4, 3) | (8, 4)) {
                let found = u64::from(u16::from_be_bytes([body[0], body[1]]));
                return Err((
                    0,
                    field("guest_width, pt_levels", found, "4, 3 (0x403) or 8, 4 (0x804)"),
                ));
            }
            match u16::from_le_bytes([body[2], body[3]]) {
                0 => reserved(4),
                found => Err((2, field("reserved field", found.into(), "0"))),
            }
        }
        (Layer::Libxc, libxc::X86_PV_P2M_FRAMES) => check_p2m(body, pv_width.unwrap_or(8)),
        (Layer::Libxc, libxc::X86_TSC_INFO) => reserved(20),
        (Layer::Libxc, libxc::HVM_PARAMS) => {
            reserved(4)?;
            let expected = 8 + 16 * u64::from(word(0));
            exact_length(body, expected)
        }
        (Layer::Libxc, code) if is_vcpu(code) => {
            if word(0) >= PV_VCPUS_MAX {
                return Err((0, field("vcpu_id", word(0).into(), "at most 8191")));
            }
            reserved(4)
        }
        _ => Ok(()),
    }
}

/// The list holds the frame numbers of the P2M frames that cover frames start to end, both included.
fn check_p2m(body: &[u8], width: u8) -> Result<(), (u64, Fault)> {
    let (start, end) = (u64::from(le32(body)), u64::from(le32(&body[4..])));
    if start > end {
        return Err((4, field("p2m_end_pfn", end, "at least p2m_start_pfn")));
    }
    let per_frame = 4096 / u64::from(width);
    exact_length(body, 8 + 8 * (end / per_frame - start / per_frame + 1))
}

fn exact_length(body: &[u8], expected: u64) -> Result<(), (u64, Fault)> {
    match body.len() as u64 {
        found if found == expected => Ok(()),
        found => Err((
            0,
            Fault::Length {
                found,
                expected: LengthRule::Exactly(expected),
            },
        )),
    }
}

/// Does a guest of this kind have such libxc records at all?
pub(crate) fn belongs_to(code: u32, guest: GuestType) -> bool {
    match code {
        libxc::X86_PV_INFO | libxc::X86_PV_P2M_FRAMES | libxc::SHARED_INFO => guest == GuestType::Pv,
        code if is_vcpu(code) => guest == GuestType::Pv,
        libxc::HVM_CONTEXT | libxc::HVM_PARAMS | libxc::TOOLSTACK => guest == GuestType::Hvm,
        _ => true,
    }
}

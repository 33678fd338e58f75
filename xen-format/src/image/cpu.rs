//! The registers of a guest's vCPUs, as far as its state records tell.

use revenant_core::guest::StateRecord;

use crate::names;
use crate::record::{Layer, libxc};

/// Typecode of a vCPU's registers in an HVM context (`xen/include/public/arch-x86/hvm/save.h`).
const HVM_CPU: u16 = 2;
/// Length of its part that all versions of Xen have, up to `shadow_gs`.
const HVM_CPU_BYTES: usize = 952;
/// Length of `struct vcpu_guest_context` of a 64-bit PV guest (`xen/include/public/arch-x86/xen.h`).
const PV_CONTEXT_BYTES: usize = 5168;
/// The guest was in its kernel (`VGCF_in_kernel`).
const PV_IN_KERNEL: u64 = 1 << 2;

/// A segment register with what the processor keeps behind it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) selector: u32,
    pub(super) limit: u32,
    /// As in the second word of a descriptor.
    pub(super) flags: u32,
    pub(super) base: u64,
}

/// One vCPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Registers {
    pub(super) vcpu: u32,
    /// rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8 … r15.
    pub(super) general: [u64; 16],
    pub(super) rip: u64,
    pub(super) rflags: u64,
    /// cs, ds, es, fs, gs, ss, ldt, tr, gdt, idt.
    pub(super) segments: [Segment; 10],
    /// cr0, cr1 (which there is not), cr2, cr3, cr4.
    pub(super) control: [u64; 5],
    /// What SWAPGS would put into gs.
    pub(super) kernel_gs_base: u64,
    /// As FXSAVE has it.
    pub(super) fpu: [u8; 512],
}

/// The vCPUs of a Xen guest, by number; none if the records are of another kind of machine or another format.
pub(super) fn registers(records: &[StateRecord]) -> Vec<Registers> {
    let named = |code| {
        let name = names::record(Layer::Libxc, code);
        records.iter().filter(move |record| record.name == name)
    };
    let mut all: Vec<Registers> = match named(libxc::HVM_CONTEXT).next_back() {
        Some(context) => hvm_cpus(&context.bytes),
        None => named(libxc::X86_PV_VCPU_BASIC)
            .filter_map(|record| pv_cpu(&record.bytes))
            .collect(),
    };
    all.sort_by_key(|registers| registers.vcpu);
    all
}

/// An HVM context is a row of entries: type, instance, length, body.
fn hvm_cpus(mut context: &[u8]) -> Vec<Registers> {
    let mut cpus = Vec::new();
    while let Some((head, rest)) = context.split_first_chunk::<8>() {
        let [t0, t1, i0, i1, length @ ..] = *head;
        let Some((body, after)) = rest.split_at_checked(u32::from_le_bytes(length) as usize) else {
            break;
        };
        if u16::from_le_bytes([t0, t1]) == HVM_CPU && body.len() >= HVM_CPU_BYTES {
            cpus.push(hvm_cpu(u16::from_le_bytes([i0, i1]).into(), body));
        }
        context = after;
    }
    cpus
}

fn hvm_cpu(vcpu: u32, body: &[u8]) -> Registers {
    let long = |index: usize| le64(body, 512 + 8 * index);
    // Xen: rax rbx rcx rdx rbp rsi rdi rsp r8 …
    let order = [0, 1, 2, 3, 5, 6, 7, 4, 8, 9, 10, 11, 12, 13, 14, 15];
    // Xen: selectors of cs ds es fs gs ss tr ldt, limits and bases also of idt and gdt.
    let segments = [0, 1, 2, 3, 4, 5, 7, 6, 9, 8].map(|index| {
        let held = index < 8;
        let attributes = if held { le32_at(body, 888 + 4 * index) } else { 0 };
        Segment {
            selector: if held { le32_at(body, 736 + 4 * index) } else { 0 },
            limit: le32_at(body, 768 + 4 * index),
            flags: (attributes & 0xff) << 8 | (attributes & 0xf00) << 12,
            base: le64(body, 808 + 8 * index),
        }
    });
    Registers {
        vcpu,
        general: order.map(long),
        rip: long(16),
        rflags: long(17),
        segments,
        control: [long(18), 0, long(19), long(20), long(21)],
        kernel_gs_base: le64(body, 944),
        fpu: *body.first_chunk().expect("the length was checked"),
    }
}

/// The body of an X86_PV_VCPU_BASIC record: the vCPU's number, a reserved word, the context.
fn pv_cpu(body: &[u8]) -> Option<Registers> {
    let (head, context) = body.split_first_chunk::<8>()?;
    if context.len() != PV_CONTEXT_BYTES {
        return None;
    }
    let long = |offset| le64(context, offset);
    // Xen: r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi, from byte 520 on; rsp apart.
    let general = [
        600, 560, 608, 616, 624, 632, 672, 552, 592, 584, 576, 568, 544, 536, 528, 520,
    ]
    .map(long);
    let (fs_base, kernel_gs, user_gs) = (long(5144), long(5152), long(5160));
    let (gs_base, kernel_gs_base) = if long(512) & PV_IN_KERNEL == 0 {
        (user_gs, kernel_gs)
    } else {
        (kernel_gs, user_gs)
    };
    let plain = |offset, base| Segment {
        selector: le32_at(context, offset) & 0xffff,
        base,
        ..Segment::default()
    };
    let mut segments = [Segment::default(); 10];
    segments[..6].copy_from_slice(&[
        plain(656, 0),
        plain(696, 0),
        plain(688, 0),
        plain(704, fs_base),
        plain(712, gs_base),
        plain(680, 0),
    ]);
    Some(Registers {
        vcpu: le32_at(head, 0),
        general,
        rip: long(648),
        rflags: long(664),
        segments,
        control: [long(4984), 0, long(5000), long(5008), long(5016)],
        kernel_gs_base,
        fpu: *context.first_chunk()?,
    })
}

fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("the length was checked"))
}

fn le32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("the length was checked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each 8-byte word of a context holds its own offset.
    fn marked(bytes: usize) -> Vec<u8> {
        (0..bytes as u64 / 8)
            .flat_map(|word| (8 * word).to_le_bytes())
            .collect()
    }

    #[test]
    fn hvm_registers_are_found_among_other_entries_in_the_last_context() {
        let entry = |kind: u16, instance: u16, body: &[u8]| {
            let length = u32::try_from(body.len()).unwrap();
            [
                &kind.to_le_bytes()[..],
                &instance.to_le_bytes(),
                &length.to_le_bytes(),
                body,
            ]
            .concat()
        };
        let (cpu, name) = (marked(1024), names::record(Layer::Libxc, libxc::HVM_CONTEXT));
        let context = [
            entry(1, 0, &[7; 32]),
            entry(HVM_CPU, 1, &cpu),
            entry(HVM_CPU, 0, &cpu),
            entry(HVM_CPU, 2, &cpu[..64]),
            entry(0, 0, &[]),
        ]
        .concat();
        let records = [
            StateRecord::new(&*name, [0; 8]),
            StateRecord::new(&*name, context),
        ];
        let all = registers(&records);
        assert_eq!(
            all.iter().map(|registers| registers.vcpu).collect::<Vec<_>>(),
            [0, 1]
        );
        let Registers {
            general,
            rip,
            control,
            segments,
            kernel_gs_base,
            ..
        } = &all[0];
        // rax, rsi, rsp, rbp, r8, r15
        let picked = [0, 4, 6, 7, 8, 15].map(|i: usize| general[i]);
        assert_eq!(picked, [512, 552, 568, 544, 576, 632]);
        assert_eq!(
            (*rip, *control, *kernel_gs_base),
            (640, [656, 0, 664, 672, 680], 944)
        );
        assert_eq!(segments[4].base, 840);
        // Half of a word each: cs, ds; the base of the GDT is the last.
        assert_eq!((segments[0].selector, segments[8].base), (736, 880));
        // Cut off anywhere it is not looked for behind the end.
        let whole = &records[1].bytes;
        for cut in 0..whole.len() {
            assert!(hvm_cpus(&whole[..cut]).len() <= 2);
        }
    }

    #[test]
    fn pv_registers_are_found() {
        let mut body = [3_u64.to_le_bytes().to_vec(), marked(PV_CONTEXT_BYTES)].concat();
        let name = names::record(Layer::Libxc, libxc::X86_PV_VCPU_BASIC);
        let found = registers(&[StateRecord::new(&*name, &*body)]);
        // r15 first, rsp last in the picture of the stack.
        assert_eq!(
            (found[0].vcpu, found[0].general[15], found[0].general[6]),
            (3, 520, 672)
        );
        assert_eq!((found[0].rip, found[0].control[3]), (648, 5008));
        assert_eq!((found[0].segments[4].base, found[0].kernel_gs_base), (5160, 5152));
        body[8 + 512] |= 4;
        let found = registers(&[StateRecord::new(&*name, &*body)]);
        assert_eq!((found[0].segments[4].base, found[0].kernel_gs_base), (5152, 5160));
        assert_eq!(registers(&[StateRecord::new(&*name, &body[..2808])]), []);
    }
}

//! An ELF64 core file (System V ABI, "Executable and Linking Format").

use revenant_core::guest::Space;
use revenant_core::store::CheckpointReader;
use revenant_core::units::PAGE_SIZE;

use super::cpu::{Registers, registers};
use super::{Frames, IMAGE_FRAMES_MAX, ImageError, ImageSink, ImageSummary, bytes};

const HEADER_BYTES: u64 = 64;
const PROGRAM_HEADER_BYTES: u64 = 56;
const SECTION_HEADER_BYTES: u64 = 64;
/// Counts that do not fit are in a section header instead, see "PN_XNUM".
const PN_XNUM: u64 = 0xffff;

const ET_CORE: u16 = 4;
const EM_X86_64: u16 = 62;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;

/// Registers of a thread, as Linux writes them into cores.
const NT_PRSTATUS: u32 = 1;
const NT_FPREGSET: u32 = 2;
const PRSTATUS_BYTES: usize = 336;
/// Registers of a processor with what is behind them, as QEMU's `dump-guest-memory` writes them.
const NT_QEMU: u32 = 0;
const QEMU_VERSION: u32 = 1;
const QEMU_BYTES: u32 = 440;

/// Writes memory as an ELF64 core: a PT_LOAD for each range of frames, whose virtual addresses are the physical ones, and
/// notes with the registers of the vCPUs, if they are at hand in a format that is known.
pub fn write_elf(
    reader: &mut CheckpointReader,
    sink: &mut dyn ImageSink,
) -> Result<ImageSummary, ImageError> {
    reader.select(Space::Memory)?;
    let layout = reader.layout();
    let found = layout.page_count();
    if found > IMAGE_FRAMES_MAX {
        return Err(ImageError::TooLarge { found, raw: false });
    }
    let cpus = registers(reader.records());
    let mut notes = Vec::new();
    for cpu in &cpus {
        put_note(&mut notes, "CORE", NT_PRSTATUS, &prstatus(cpu));
        put_note(&mut notes, "CORE", NT_FPREGSET, &cpu.fpu);
        put_note(&mut notes, "QEMU", NT_QEMU, &qemu_state(cpu));
    }

    let loads = layout.ranges().len() as u64;
    let count = loads + 1;
    let sections = u64::from(count >= PN_XNUM);
    let notes_at = HEADER_BYTES + PROGRAM_HEADER_BYTES * count + SECTION_HEADER_BYTES * sections;
    let notes_end = notes_at + notes.len() as u64;
    let pages_at = notes_end.next_multiple_of(PAGE_SIZE as u64);

    let mut head = Vec::new();
    put_header(&mut head, count);
    put_program_header(&mut head, PT_NOTE, notes_at, 0, notes.len() as u64);
    let mut at = pages_at;
    for range in layout.ranges() {
        let length = bytes(range.end - range.start);
        put_program_header(&mut head, PT_LOAD, at, bytes(range.start), length);
        at += length;
    }
    if sections > 0 {
        // All but sh_info, at byte 44, is zero.
        head.resize(head.len() + 44, 0);
        head.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
        head.resize(head.len() + 16, 0);
    }
    head.append(&mut notes);
    sink.put(&head)?;
    sink.skip(pages_at - notes_end)?;
    let mut frames = Frames::new(reader);
    for range in layout.ranges() {
        frames.write(range.clone(), sink)?;
    }
    Ok(ImageSummary {
        bytes: at,
        pages: found,
        vcpus: cpus.len() as u64,
    })
}

fn put_header(out: &mut Vec<u8>, program_headers: u64) {
    let many = program_headers >= PN_XNUM;
    // 64 bits, little-endian, version 1, no particular system.
    out.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    put16(out, &[ET_CORE, EM_X86_64]);
    put32(out, &[1]);
    let section_headers_at = HEADER_BYTES + PROGRAM_HEADER_BYTES * program_headers;
    put64(out, &[0, HEADER_BYTES, if many { section_headers_at } else { 0 }]);
    put32(out, &[0]);
    let count = u16::try_from(program_headers.min(PN_XNUM)).unwrap_or(u16::MAX);
    put16(out, &[64, 56, count, 64, u16::from(many), 0]);
}

fn put_program_header(out: &mut Vec<u8>, kind: u32, offset: u64, address: u64, length: u64) {
    let (flags, align) = if kind == PT_LOAD {
        (7, PAGE_SIZE as u64)
    } else {
        (0, 4)
    };
    put32(out, &[kind, flags]);
    put64(out, &[offset, address, address, length, length, align]);
}

/// Length of name and content, type, name and content, each filled up to four bytes.
fn put_note(out: &mut Vec<u8>, name: &str, kind: u32, content: &[u8]) {
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    put32(out, &[length(name.len() + 1), length(content.len()), kind]);
    for part in [[name.as_bytes(), &[0]].concat().as_slice(), content] {
        out.extend_from_slice(part);
        out.resize(out.len().next_multiple_of(4), 0);
    }
}

/// `struct elf_prstatus`: the thread's number is that of the vCPU, counted from 1, since 0 is no thread to a debugger.
fn prstatus(cpu: &Registers) -> Vec<u8> {
    let [
        rax,
        rbx,
        rcx,
        rdx,
        rsi,
        rdi,
        rsp,
        rbp,
        r8,
        r9,
        r10,
        r11,
        r12,
        r13,
        r14,
        r15,
    ] = cpu.general;
    let [cs, ds, es, fs, gs, ss, ..] = cpu.segments;
    let selector = |segment: super::cpu::Segment| u64::from(segment.selector);
    let mut out = vec![0; 32];
    put32(&mut out, &[cpu.vcpu.saturating_add(1)]);
    out.resize(112, 0);
    put64(
        &mut out,
        &[
            r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi,
        ],
    );
    // No system call is under way.
    put64(
        &mut out,
        &[u64::MAX, cpu.rip, selector(cs), cpu.rflags, rsp, selector(ss)],
    );
    put64(
        &mut out,
        &[
            fs.base,
            gs.base,
            selector(ds),
            selector(es),
            selector(fs),
            selector(gs),
        ],
    );
    put32(&mut out, &[1]);
    out.resize(PRSTATUS_BYTES, 0);
    out
}

/// `struct QEMUCPUState`.
fn qemu_state(cpu: &Registers) -> Vec<u8> {
    let mut out = Vec::with_capacity(QEMU_BYTES as usize);
    put32(&mut out, &[QEMU_VERSION, QEMU_BYTES]);
    // The order of `general` is its.
    put64(&mut out, &cpu.general);
    put64(&mut out, &[cpu.rip, cpu.rflags]);
    for segment in &cpu.segments {
        put32(&mut out, &[segment.selector, segment.limit, segment.flags, 0]);
        put64(&mut out, &[segment.base]);
    }
    put64(&mut out, &cpu.control);
    put64(&mut out, &[cpu.kernel_gs_base]);
    debug_assert_eq!(out.len(), QEMU_BYTES as usize);
    out
}

fn put16(out: &mut Vec<u8>, values: &[u16]) {
    out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

fn put32(out: &mut Vec<u8>, values: &[u32]) {
    out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

fn put64(out: &mut Vec<u8>, values: &[u64]) {
    out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

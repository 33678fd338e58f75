//! The reader takes what is valid, whole, and refuses everything else with the place.

mod common;

use common::{offset_of, recipe, recipes, refusal, rewrite, shapes};
use proptest::prelude::*;
use revenant_xen_format::testing::{Recipe, Shape};
use revenant_xen_format::{Container, Fault, GuestType, Layer, LengthRule, inspect, libxc, libxl};

proptest! {
    #[test]
    fn what_is_read_can_be_written_the_same(recipe in recipes(shapes())) {
        let file = recipe.build();
        prop_assert!(rewrite(&file.bytes).unwrap() == file.bytes);
        let summary = inspect(file.bytes.as_slice()).unwrap();
        prop_assert_eq!(summary.bytes, file.bytes.len() as u64);
        prop_assert_eq!(summary.checkpoints, if let Shape::Checkpointed(n) = recipe.shape { n } else { 0 });
        prop_assert_eq!(summary.container, recipe.container);
    }

    /// Any damage: either it is refused, or it is a stream that is read whole and given back the same.
    #[test]
    fn damage_is_refused_or_kept(
        recipe in recipes(shapes()),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..6),
    ) {
        let mut bytes = recipe.build().bytes;
        for (at, value, kind) in edits {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = value,
                1 => bytes[at] ^= 1 << (value % 8),
                2 => drop(bytes.drain(at..(at + usize::from(value)).min(bytes.len() - 1))),
                _ => {
                    let piece = bytes[at..(at + 8 * usize::from(value)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        let length = bytes.len() as u64;
        match rewrite(&bytes) {
            Ok(again) => prop_assert!(again == bytes, "what was read is not what was given"),
            Err(error) => prop_assert!(error.offset <= length, "{error} is beyond {length}"),
        }
    }

    #[test]
    fn arbitrary_bytes_behind_a_magic_are_survived(start in 0..3u8, bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let container = [Container::XlSaveFile, Container::LibxlStream, Container::LibxcStream][usize::from(start)];
        let mut file = recipe(GuestType::Hvm, container).build().bytes;
        file.truncate(120);
        file.extend(bytes);
        prop_assert!(inspect(file.as_slice()).is_err());
    }
}

#[test]
fn every_truncation_is_refused_where_it_is() {
    for (guest, container) in [
        (GuestType::Pv, Container::XlSaveFile),
        (GuestType::Hvm, Container::LibxcStream),
    ] {
        let bytes = Recipe {
            frames: 6,
            ..recipe(guest, container)
        }
        .build()
        .bytes;
        for length in 0..bytes.len() {
            let error = refusal(&bytes[..length]);
            assert!(error.is_truncation(), "{length}: {error}");
            assert_eq!(error.offset, length as u64, "{error}");
        }
    }
}

/// A plain HVM stream, alone; the first record is at byte 40.
fn hvm() -> Vec<u8> {
    recipe(GuestType::Hvm, Container::LibxcStream).build().bytes
}

fn pv() -> Vec<u8> {
    recipe(GuestType::Pv, Container::LibxcStream).build().bytes
}

fn xl() -> Vec<u8> {
    recipe(GuestType::Hvm, Container::XlSaveFile).build().bytes
}

/// Writes `value` at `at` and tells where and why the result is refused.
#[track_caller]
fn refused_after(mut bytes: Vec<u8>, at: usize, value: &[u8], offset: usize, fault: &str) {
    bytes[at..at + value.len()].copy_from_slice(value);
    assert_refused(&bytes, offset, fault);
}

#[track_caller]
fn assert_refused(bytes: &[u8], offset: usize, fault: &str) {
    let error = refusal(bytes);
    assert_eq!(error.offset, offset as u64, "{error}");
    let message = error.to_string();
    assert!(message.contains(fault), "{message}");
}

#[test]
fn headers_are_checked_field_by_field() {
    refused_after(hvm(), 0, b"\x7fELF", 0, "starts with");
    refused_after(hvm(), 8, b"XENG", 8, "id is 0x58454e47");
    refused_after(
        hvm(),
        12,
        &4u32.to_be_bytes(),
        12,
        "version is 0x4, expected 2 or 3",
    );
    refused_after(hvm(), 16, &1u16.to_be_bytes(), 16, "big-endian");
    refused_after(hvm(), 16, &2u16.to_be_bytes(), 16, "options is 0x2");
    refused_after(hvm(), 23, &[1], 18, "reserved field is 0x1");
    refused_after(hvm(), 24, &[3], 24, "type is 0x3");
    refused_after(hvm(), 28, &[13], 28, "page_shift is 0xd, expected 12");
    refused_after(hvm(), 30, &[1], 30, "reserved field");
    refused_after(xl(), 9, b"!", 9, "magic");
    refused_after(xl(), 32, &[1, 2, 3, 4], 32, "big-endian");
    refused_after(xl(), 32, &[4, 3, 2, 2], 32, "byte order is 0x2020304");
    refused_after(xl(), 36, &[1], 36, "Xen 4.5 and older");
    refused_after(xl(), 36, &[7], 36, "mandatory flags is 0x7");
    refused_after(
        xl(),
        44,
        &(1u32 << 31).to_le_bytes(),
        44,
        "2147483648 bytes, expected at most",
    );
    refused_after(xl(), 48, &[0xff, 0xff], 48, "configuration length");
    let libxl = offset_of(&xl(), Layer::Libxl, libxl::LIBXC_CONTEXT) - 16;
    refused_after(xl(), libxl, b"l", libxl, "ident");
    refused_after(xl(), libxl + 11, &[3], libxl + 8, "version is 0x3, expected 2");
    refused_after(xl(), libxl + 15, &[1], libxl + 12, "big-endian");
    refused_after(xl(), libxl + 12, &[1], libxl + 12, "options is 0x1000000");
}

/// What people feed it besides is named, with the command that helps.
#[test]
fn foreign_files_are_named() {
    for (begin, words) in [
        (&b"\x28\xb5\x2f\xfd"[..], "zstd -dc FILE | revenant import -"),
        (b"\x1f\x8b\x08", "gzip -dc"),
        (b"\xfd7zXZ\0", "xz -dc"),
        (b"\x04\x22\x4d\x18", "lz4 -dc"),
        (b"BZh9", "bzip2 -dc"),
        (b"XenSavedDomv2-\n", "XenSavedDomv2-"),
        (b"LinuxGuestRecord", "Xen 4.5"),
        (b"LibvirtQemudSave", "QEMU"),
        (&[0; 16], "zeroes"),
    ] {
        refused_after(hvm(), 0, begin, 0, words);
    }
    let libvirt = recipe(GuestType::Hvm, Container::LibvirtSaveFile).build().bytes;
    refused_after(libvirt.clone(), 12, b"!", 12, "magic");
    refused_after(libvirt.clone(), 16, &[1], 16, "version is 0x1, expected 2");
    refused_after(libvirt, 23, &[1], 20, "expected at most 4194304");
}

#[test]
fn page_lists_are_checked_entry_by_entry() {
    let pages = offset_of(&hvm(), Layer::Libxc, libxc::PAGE_DATA);
    let length = u32::from_le_bytes(*hvm()[pages + 4..].first_chunk().unwrap());
    let after =
        |at, value: &[u8], offset, fault| refused_after(hvm(), pages + at, value, pages + offset, fault);
    after(
        4,
        &u32::MAX.to_le_bytes(),
        4,
        "4294967295 bytes, expected at most 134217728",
    );
    after(4, &8u32.to_le_bytes(), 4, "expected at least 16");
    after(4, &(length + 1).to_le_bytes(), 4, "expected");
    after(4, &(length + 4096).to_le_bytes(), 4, "pages of data, expected");
    after(8, &0u32.to_le_bytes(), 8, "count is 0x0, expected at least 1");
    after(8, &u32::MAX.to_le_bytes(), 8, "a frame list that fits");
    after(8, &(1u32 << 29).to_le_bytes(), 8, "a frame list that fits");
    after(12, &[1], 12, "reserved field");
    after(16, &(1u64 << 52).to_le_bytes(), 16, "reserved bits 52-59");
    after(16, &(1u64 << 63).to_le_bytes(), 16, "page type 0x8");
    after(
        24,
        &hvm()[pages + 16..pages + 24],
        24,
        "occurs twice in one record",
    );
    // One page fewer and one more than the list calls for.
    let shorter = length - 4096;
    let entry = refused_page_count(pages, shorter);
    assert!(entry > 16, "found while the list is read");
}

/// The offset, from the record, at which a body that is too short for its list is refused.
fn refused_page_count(pages: usize, length: u32) -> usize {
    let mut bytes = hvm();
    bytes[pages + 4..pages + 8].copy_from_slice(&length.to_le_bytes());
    let error = refusal(&bytes);
    assert!(matches!(error.fault, Fault::PageCount { .. }), "{error}");
    usize::try_from(error.offset).expect("small") - pages
}

/// `bytes` with a record put in before the one at `at`.
fn with_record(bytes: &[u8], at: usize, code: u32, body: &[u8]) -> Vec<u8> {
    let mut record = [
        code.to_le_bytes(),
        u32::try_from(body.len()).expect("small").to_le_bytes(),
    ]
    .concat();
    record.extend_from_slice(body);
    record.resize(record.len().next_multiple_of(8), 0);
    [&bytes[..at], &record, &bytes[at..]].concat()
}

/// Puts a record before the one at `place`, and expects it to be refused there.
#[track_caller]
fn insert(bytes: &[u8], place: usize, code: u32, body: &[u8], fault: &str) {
    assert_refused(&with_record(bytes, place, code, body), place, fault);
}

#[test]
fn hvm_records_are_refused_out_of_place() {
    let hvm = hvm();
    let at = |code| offset_of(&hvm, Layer::Libxc, code);
    let (pages, context) = (at(libxc::PAGE_DATA), at(libxc::HVM_CONTEXT));
    insert(&hvm, pages, 0x13, &[], "unknown mandatory record type 0x13");
    insert(&hvm, pages, libxc::CHECKPOINT_DIRTY_PFN_LIST, &[0; 8], "COLO");
    insert(
        &hvm,
        pages,
        libxc::X86_CPUID_POLICY,
        &[0; 24],
        "static data comes once",
    );
    insert(&hvm, pages, libxc::STATIC_DATA_END, &[], "static data comes once");
    insert(
        &hvm,
        pages,
        libxc::SHARED_INFO,
        &[0; 4096],
        "an HVM guest has no such record",
    );
    insert(&hvm, pages, libxc::VERIFY, &[], "among the PAGE_DATA");
    insert(&hvm, 40, libxc::HVM_CONTEXT, &[1], "before any STATIC_DATA_END");
    insert(&hvm, 40, libxc::PAGE_DATA, &[0; 16], "before any STATIC_DATA_END");
    insert(&hvm, context, libxc::END, &[], "before any HVM_CONTEXT");
    insert(&hvm, context, libxc::CHECKPOINT, &[], "before any HVM_CONTEXT");
    let behind = context + 8 + 104;
    // Xen takes these as often as they come.
    let params = [[0; 8], [0; 8], [1; 8]].concat();
    let params = [&1u32.to_le_bytes(), &params[4..]].concat();
    for (code, body) in [(libxc::HVM_CONTEXT, &[1][..]), (libxc::HVM_PARAMS, &params)] {
        let longer = with_record(&hvm, behind, code, body);
        assert!(rewrite(&longer).unwrap() == longer);
    }
    insert(&hvm, behind, libxc::PAGE_DATA, &[0; 16], "pages come before");
}

#[test]
fn pv_records_are_refused_out_of_place() {
    let pv = pv();
    let at = |code| offset_of(&pv, Layer::Libxc, code);
    let (info, vcpu) = ([8, 4, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0, 9]);
    insert(
        &pv,
        at(libxc::X86_PV_P2M_FRAMES),
        libxc::PAGE_DATA,
        &[0; 16],
        "before any X86_PV_P2M_FRAMES",
    );
    insert(
        &pv,
        at(libxc::STATIC_DATA_END),
        libxc::X86_PV_INFO,
        &info,
        "occurs twice",
    );
    insert(
        &pv,
        at(libxc::END),
        libxc::X86_PV_VCPU_BASIC,
        &vcpu,
        "occurs twice",
    );
    insert(
        &pv,
        at(libxc::END),
        libxc::X86_PV_P2M_FRAMES,
        &[0; 16],
        "vCPU records come after",
    );
    insert(
        &pv,
        at(libxc::PAGE_DATA),
        libxc::HVM_PARAMS,
        &[0; 8],
        "a PV guest has no such record",
    );
    insert(
        &pv,
        at(libxc::SHARED_INFO),
        libxc::END,
        &[],
        "before any SHARED_INFO",
    );
}

#[test]
fn outer_records_are_refused_out_of_place() {
    let xl = xl();
    let at = |code| offset_of(&xl, Layer::Libxl, code);
    insert(
        &xl,
        at(libxl::LIBXC_CONTEXT),
        libxl::END,
        &[],
        "before any LIBXC_CONTEXT",
    );
    insert(
        &xl,
        at(libxl::LIBXC_CONTEXT),
        0x6,
        &[],
        "unknown mandatory record type 0x6",
    );
    insert(&xl, at(libxl::END), libxl::LIBXC_CONTEXT, &[], "occurs twice");
    insert(
        &xl,
        at(libxl::END),
        libxl::CHECKPOINT_END,
        &[],
        "follows a CHECKPOINT",
    );
}

#[test]
fn bodies_of_pv_records_are_checked_inside() {
    let pv = pv();
    let at = |code| offset_of(&pv, Layer::Libxc, code);
    let after = |at, value: &[u8], offset, fault| refused_after(pv.clone(), at, value, offset, fault);
    let info = at(libxc::X86_PV_INFO);
    after(info + 8, &[4, 4], info + 8, "guest_width, pt_levels is 0x404");
    after(info + 4, &[7], info + 4, "7 bytes, expected 8");
    let p2m = at(libxc::X86_PV_P2M_FRAMES);
    after(p2m + 12, &[0, 0, 0, 0x80], p2m + 4, "bytes, expected 33554");
    after(
        p2m + 8,
        &u32::MAX.to_le_bytes(),
        p2m + 12,
        "at least p2m_start_pfn",
    );
    let vcpu = at(libxc::X86_PV_VCPU_BASIC);
    after(vcpu + 8, &8192u32.to_le_bytes(), vcpu + 8, "vcpu_id");
    after(vcpu + 12, &[1], vcpu + 12, "reserved field");
}

#[test]
fn bodies_of_hvm_records_are_checked_inside() {
    let hvm = hvm();
    let at = |code| offset_of(&hvm, Layer::Libxc, code);
    let after = |at, value: &[u8], offset, fault| refused_after(hvm.clone(), at, value, offset, fault);
    let (context, params) = (at(libxc::HVM_CONTEXT), at(libxc::HVM_PARAMS));
    after(context + 8 + 103, &[9], context + 8 + 103, "padding is 0x9");
    after(
        context + 4,
        &0u32.to_le_bytes(),
        context + 4,
        "expected at least 1",
    );
    after(
        context + 4,
        &(1u32 << 31).to_le_bytes(),
        context + 4,
        "expected at most",
    );
    after(
        params + 8,
        &u32::MAX.to_le_bytes(),
        params + 4,
        "expected 68719476728",
    );
    let end = at(libxc::END);
    let error = refusal(&[&hvm[..end + 4], &[8, 0, 0, 0], &[0; 8]].concat());
    let expected = LengthRule::Exactly(0);
    assert!(
        matches!(error.fault, Fault::Length { found: 8, expected: e } if e == expected),
        "{error}"
    );
    assert_refused(
        &[&hvm[..], &[0]].concat(),
        hvm.len(),
        "expected the end of the input",
    );
}

/// The specification wants the parameters first, Xen writes the context first.
#[test]
fn context_and_parameters_come_in_either_order() {
    let bytes = hvm();
    let at = |code| offset_of(&bytes, Layer::Libxc, code);
    let (context, params, end) = (at(libxc::HVM_CONTEXT), at(libxc::HVM_PARAMS), at(libxc::END));
    assert!(context < params);
    let swapped = [
        &bytes[..context],
        &bytes[params..end],
        &bytes[context..params],
        &bytes[end..],
    ]
    .concat();
    assert_eq!(rewrite(&swapped).unwrap(), swapped);
}

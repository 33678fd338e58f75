//! What else people feed to an import, by its first bytes, and what to do with it.

/// Beginnings of files that are something else.
const FOREIGN: [(&[u8], &str); 11] = [
    (
        &[0x28, 0xb5, 0x2f, 0xfd],
        "a zstd-compressed file: `zstd -dc FILE | revenant import -`",
    ),
    (
        &[0x1f, 0x8b],
        "a gzip-compressed file: `gzip -dc FILE | revenant import -`",
    ),
    (
        &[0xfd, b'7', b'z', b'X', b'Z', 0],
        "an xz-compressed file: `xz -dc FILE | revenant import -`",
    ),
    (
        &[0x04, 0x22, 0x4d, 0x18],
        "an lz4-compressed file: `lz4 -dc FILE | revenant import -`",
    ),
    (
        b"BZh",
        "a bzip2-compressed file: `bzip2 -dc FILE | revenant import -`",
    ),
    (
        &[0x89, b'L', b'Z', b'O'],
        "an lzop-compressed file: `lzop -dc FILE | revenant import -`",
    ),
    (
        b"XenSaved",
        "a suspend image of xapi (XenServer, XCP-ng; \"XenSavedDomv2-\"), which only xapi reads: resume the guest there",
    ),
    (
        b"LinuxGue",
        "an image of Xen 4.5 or older: save the guest with a newer Xen",
    ),
    (
        b"LibvirtQ",
        "a save file of libvirt's QEMU driver, whose guests are not Xen's",
    ),
    (
        b"\x7fELF",
        "an ELF file, perhaps a core of `xl dump-core`: a core lacks the state of devices that a restore needs",
    ),
    (
        &[0; 8],
        "zeroes: there is no save file at the start of this input",
    ),
];

/// What a file with these first bytes is, if it is known.
pub(crate) fn describe(found: [u8; 8]) -> Option<&'static str> {
    FOREIGN
        .iter()
        .find(|(begin, _)| found.starts_with(begin))
        .map(|&(_, what)| what)
}

//! Memory goes by the bytes that really came, whatever the stream claims: measured with a counting allocator.
//! One test function, because the count is the process's.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]
#![allow(unsafe_code, reason = "an allocator can be counted only from inside")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};

use std::rc::Rc;

use revenant_core::clock::SystemClock;
use revenant_core::medium::DirectoryMedium;
use revenant_core::store::{Store, StoreOptions};
use revenant_xen_format::testing::{Recipe, Shape};
use revenant_xen_format::{
    Container, Fault, FormatError, GuestType, ImportError, ImportOptions, Imported, LibxcHeader, OPTIONAL,
    import, inspect, libxc,
};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator with the arguments it came with; counting touches atomics only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract, which is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `dealloc`'s contract, which is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What reading `input` holds at most, in bytes, and what comes of it.
fn peak_of(input: impl Read) -> (usize, Result<u64, FormatError>) {
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let read = inspect(input).map(|summary| summary.bytes);
    (PEAK.load(Ordering::Relaxed) - before, read)
}

/// What taking `input` into an empty store holds at most, in bytes, and what comes of it.
fn import_peak_of(input: impl Read) -> (usize, Result<Imported, ImportError>) {
    let dir = tempfile::tempdir().unwrap();
    let medium = Rc::new(DirectoryMedium::open(dir.path()).unwrap());
    Store::create(&*medium).unwrap();
    let store = Store::open(medium, Rc::new(SystemClock::new()), StoreOptions::default()).unwrap();
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let imported = import(input, &store, &ImportOptions::default());
    (PEAK.load(Ordering::Relaxed) - before, imported)
}

/// A stream up to its first PAGE_DATA record.
fn opening() -> Vec<u8> {
    let header = LibxcHeader {
        version: 3,
        guest: GuestType::Hvm,
        xen_major: 4,
        xen_minor: 17,
    };
    [
        &header.encode()[..],
        &libxc::STATIC_DATA_END.to_le_bytes(),
        &[0; 4],
    ]
    .concat()
}

fn head(code: u32, length: u32) -> Vec<u8> {
    [code.to_le_bytes(), length.to_le_bytes()].concat()
}

/// `count` eight-byte words, made as they are read.
fn words(count: u64, word: impl Fn(u64) -> u64) -> impl Read {
    struct Words<F>(std::ops::Range<u64>, F);
    impl<F: Fn(u64) -> u64> Read for Words<F> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let (list, _) = into.as_chunks_mut::<8>();
            Ok(list
                .iter_mut()
                .zip(&mut self.0)
                .map(|(to, i)| *to = (self.1)(i).to_le_bytes())
                .count()
                * 8)
        }
    }
    Words(0..count, word)
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

#[test]
fn memory_goes_by_what_was_read() {
    reading();
    importing();
}

fn reading() {
    // A record that claims the most, and then nothing comes.
    for (code, length) in [
        (libxc::HVM_CONTEXT, 32 << 20),
        (OPTIONAL | 1, 32 << 20),
        (libxc::HVM_CONTEXT, u32::MAX),
    ] {
        let (peak, read) = peak_of([opening(), head(code, length)].concat().as_slice());
        assert!(read.is_err() && peak < 200 * KIB, "{peak} bytes, {read:?}");
    }
    let most = 128 << 20;
    let count = (most - 8) / 8;
    let list = || [opening(), head(libxc::PAGE_DATA, most), head(count, 0)].concat();
    let (peak, read) = peak_of(list().as_slice());
    assert!(
        read.unwrap_err().is_truncation() && peak < 400 * KIB,
        "{peak} bytes"
    );

    // A frame list of 128 MiB: in order it costs nothing, scattered and backwards it is refused.
    let xtab = 0xf << 60;
    let (peak, read) = peak_of(io::Cursor::new(list()).chain(words(u64::from(count), |i| xtab | i)));
    assert!(
        read.unwrap_err().is_truncation() && peak < 400 * KIB,
        "{peak} bytes"
    );
    let scattered = words(u64::from(count), |i| xtab | ((1 << 51) - 2 * i));
    let (peak, read) = peak_of(io::Cursor::new(list()).chain(scattered));
    let error = read.unwrap_err();
    assert!(
        matches!(error.fault, Fault::TooScattered { .. }) && peak < 12 * MIB,
        "{peak} bytes, {error}"
    );

    // A million records of nothing.
    let empty = words(1 << 20, |_| u64::from(OPTIONAL));
    let (peak, read) = peak_of(io::Cursor::new(opening()).chain(empty));
    assert!(read.unwrap_err().is_truncation() && peak < MIB, "{peak} bytes");

    // An honest stream of a few MiB.
    let recipe = Recipe {
        guest: GuestType::Pv,
        version: 3,
        container: Container::XlSaveFile,
        shape: Shape::Live,
        frames: 2000,
        per_record: 1024,
        seed: 1,
    };
    let bytes = recipe.build().bytes;
    let (peak, read) = peak_of(bytes.as_slice());
    assert!(
        read.unwrap() == bytes.len() as u64 && peak < 400 * KIB,
        "{peak} bytes"
    );
}

/// Bytes held at the peak may be 128 MiB and a hundredth of those read. All these streams are made to cost.
fn importing() {
    // Frames without data, eight bytes of stream each: first each one far from the others, so that each is a run of
    // its own in memory; then the same ones again and again.
    let xalloc = 0xe << 60;
    for far in [3, 0] {
        let list = |record: u64| words(1024, move |i| xalloc | ((1 << 47) - 3 * i - far * 1024 * record));
        let before = [head(libxc::PAGE_DATA, 8 + 8 * 1024), head(1024, 0)].concat();
        let error = refused(400, &before, list);
        assert!(matches!(error.fault, Fault::TooScattered { .. }), "{error}");
    }
    // Records that say nothing: each is held, none is paid for by its length.
    let error = refused(400, &[], |_| words(1024, |_| u64::from(OPTIONAL)));
    assert!(matches!(error.fault, Fault::StateTooLarge { .. }), "{error}");

    // Pages of data far apart: what a page costs in memory is a small part of what it costs in the stream.
    let bytes = scattered(16384);
    let (peak, imported) = import_peak_of(bytes.as_slice());
    assert_eq!(imported.unwrap().info.pages, 16384);
    assert!(peak < 128 * MIB + bytes.len() / 100, "{peak} bytes");
}

/// What comes of importing so many times `head` and a list, at a price that is far from the limit.
fn refused<R: Read + 'static>(records: u64, head: &[u8], list: impl Fn(u64) -> R) -> FormatError {
    let mut stream: Box<dyn Read> = Box::new(io::Cursor::new(opening()));
    for record in 0..records {
        stream = Box::new(stream.chain(io::Cursor::new(head.to_vec())).chain(list(record)));
    }
    let (peak, imported) = import_peak_of(stream);
    assert!(peak < 64 * MIB, "{peak} bytes");
    match imported {
        Err(ImportError::Format(error)) => error,
        other => panic!("this must be refused: {other:?}"),
    }
}

/// A stream of pages that are all different, each in a record of its own, far from each other and descending.
fn scattered(pages: u64) -> Vec<u8> {
    let mut bytes = opening();
    for page in 0..pages {
        bytes.extend(head(libxc::PAGE_DATA, 16 + 4096));
        bytes.extend(head(1, 0));
        bytes.extend_from_slice(&((1 << 47) - 5000 * page).to_le_bytes());
        let mixed = |word: u64| {
            (page * 512 + word)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .to_le_bytes()
        };
        bytes.extend((0..512).flat_map(mixed));
    }
    bytes.extend(head(libxc::HVM_CONTEXT, 8));
    bytes.extend([1; 8]);
    bytes.extend(head(libxc::END, 0));
    bytes
}

//! First benchmarks, each beside a yardstick measured in the same run on the same bytes, as a ratio: machines are noisy.
//!
//! ```text
//! cargo bench -p revenant-tests                       a synthetic guest of 256 MiB
//! cargo bench -p revenant-tests -- FILE.save …        save files of your own
//! ```
//! Prints a Markdown table: best of five, after one round that is thrown away.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark stops at the first trouble and reads the clock"
)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use revenant_core::capture::{CaptureRequest, Method, Session, capture};
use revenant_core::clock::SystemClock;
use revenant_core::guest::{
    Capabilities, MachineKind, MemoryLayout, PageBatch, PageTag, PfnSet, StateRecord,
};
use revenant_core::medium::DirectoryMedium;
use revenant_core::restore::restore;
use revenant_core::store::StoreOptions;
use revenant_core::units::{PAGE_SIZE, Page};
use revenant_core::{Hypervisor, HypervisorError, Pfn, Store};
use revenant_xen_format::names;
use revenant_xen_format::{ImportOptions, export, import};

const ROUNDS: u32 = 5;

/// A guest whose memory is a slice of this process's: reading a page is a copy, as it is through a foreign mapping.
#[derive(Debug, Default)]
struct MappedGuest {
    layout: MemoryLayout,
    frames: BTreeMap<u64, u64>,
    memory: Vec<u8>,
    tags: Vec<PageTag>,
    records: Vec<StateRecord>,
    machine: String,
}

impl MappedGuest {
    fn index(&self, pfn: Pfn) -> Result<usize, HypervisorError> {
        let (start, before) = self
            .frames
            .range(..=pfn.0)
            .next_back()
            .ok_or(HypervisorError::NoSuchFrame(pfn))?;
        Ok(usize::try_from(before + pfn.0 - start).unwrap())
    }
}

impl Hypervisor for MappedGuest {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            backend: "mapped",
            machine: MachineKind::new(&self.machine),
            dirty_log: false,
            live_read: false,
            rewrites: false,
        }
    }

    fn layout(&mut self) -> Result<MemoryLayout, HypervisorError> {
        Ok(self.layout.clone())
    }

    fn suspend(&mut self) -> Result<(), HypervisorError> {
        Ok(())
    }

    fn resume(&mut self) -> Result<(), HypervisorError> {
        Ok(())
    }

    fn set_dirty_log(&mut self, _: bool) -> Result<(), HypervisorError> {
        Err(HypervisorError::Unsupported {
            operation: "log dirty pages",
            backend: "mapped",
        })
    }

    fn take_dirty(&mut self, _: &mut PfnSet) -> Result<(), HypervisorError> {
        Err(HypervisorError::Unsupported {
            operation: "log dirty pages",
            backend: "mapped",
        })
    }

    fn read_pages(&mut self, pfns: &[Pfn], into: &mut PageBatch) -> Result<(), HypervisorError> {
        for &pfn in pfns {
            let index = self.index(pfn)?;
            let page: &Page = self.memory[index * PAGE_SIZE..].first_chunk().unwrap();
            into.push(pfn, self.tags[index], page);
        }
        Ok(())
    }

    fn populate(&mut self, layout: &MemoryLayout) -> Result<(), HypervisorError> {
        let pages = usize::try_from(layout.page_count()).unwrap();
        self.layout = layout.clone();
        self.frames.clear();
        let mut before = 0;
        for range in layout.ranges() {
            self.frames.insert(range.start, before);
            before += range.end - range.start;
        }
        self.memory.clear();
        self.memory.resize(pages * PAGE_SIZE, 0);
        self.tags.clear();
        self.tags.resize(pages, PageTag::default());
        Ok(())
    }

    fn write_pages(&mut self, batch: &PageBatch) -> Result<(), HypervisorError> {
        for (pfn, tag, page) in batch.iter() {
            let index = self.index(pfn)?;
            self.memory[index * PAGE_SIZE..][..PAGE_SIZE].copy_from_slice(page);
            self.tags[index] = tag;
        }
        Ok(())
    }

    fn save_state(&mut self) -> Result<Vec<StateRecord>, HypervisorError> {
        Ok(self.records.clone())
    }

    fn load_state(&mut self, records: &[StateRecord]) -> Result<(), HypervisorError> {
        self.records = records.to_vec();
        Ok(())
    }
}

/// Memory as guests have it: two fifths zero, a tenth repeated, the rest text-like, pointer-like and a little random.
fn synthetic_guest() -> MappedGuest {
    const PAGES: u64 = 65_536;
    let mut guest = MappedGuest {
        machine: names::MACHINE_HVM.to_owned(),
        ..MappedGuest::default()
    };
    guest.populate(&MemoryLayout::flat(PAGES)).unwrap();
    let mut state = 0x1234_5678_9abc_def0_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for page in guest.memory.chunks_exact_mut(PAGE_SIZE) {
        let kind = random() % 20;
        let seed = if kind < 10 { random() % 64 } else { random() };
        for (i, word) in (0u64..).zip(page.chunks_exact_mut(8)) {
            let value = match kind {
                0..8 => 0,
                8..10 => (seed + 1) * (i + 1),
                10..14 => 0x2065_6874_2064_6e61 ^ ((random() % 26) << (8 * (i % 8))),
                14..19 => 0xffff_8880_0000_0000 | (seed & 0xfff_f000) | ((random() % 64) << 3),
                _ => random(),
            };
            word.copy_from_slice(&value.to_le_bytes());
        }
    }
    guest
}

/// Best time of several rounds, the first of which does not count.
fn best(mut round: impl FnMut() -> Duration) -> Duration {
    round();
    (0..ROUNDS).map(|_| round()).min().unwrap()
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let begun = Instant::now();
    black_box(work());
    begun.elapsed()
}

fn fresh_store(dir: &Path) -> Store {
    let _ = fs::remove_dir_all(dir);
    let medium = DirectoryMedium::create(dir).unwrap();
    Store::create(&medium).unwrap();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let options = StoreOptions {
        workers,
        ..StoreOptions::default()
    };
    Store::open(Rc::new(medium), Rc::new(SystemClock::new()), options).unwrap()
}

/// `cp` and a sync, since a store syncs too.
fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
    File::open(to).unwrap().sync_all().unwrap();
}

fn row(what: &str, took: Duration, bytes: u64, yardstick: &str, against: Duration) {
    let rate = bytes as f64 / took.as_secs_f64() / 1e9;
    let ratio = took.as_secs_f64() / against.as_secs_f64();
    let (ms, against_ms) = (took.as_secs_f64() * 1e3, against.as_secs_f64() * 1e3);
    println!("| {what} | {ms:.1} ms | {rate:.2} GB/s | {yardstick} {against_ms:.1} ms | {ratio:.2} |");
}

/// Everything about one save file.
fn measure(name: &str, file: &Path, dir: &Path) {
    let bytes = fs::metadata(file).unwrap().len();
    let (store_dir, out) = (dir.join("store"), dir.join("out"));
    let copied = best(|| timed(|| copy(file, &out)));
    let compressed = best(|| {
        timed(|| {
            let mut zstd = Command::new("zstd");
            zstd.args(["-q", "-f", "-1", "-T2", "-o"])
                .arg(&out)
                .arg(file)
                .stdin(Stdio::null());
            assert!(
                zstd.status().is_ok_and(|status| status.success()),
                "the yardstick zstd is not installed"
            );
        })
    });
    let imported = best(|| {
        let store = fresh_store(&store_dir);
        timed(|| import(File::open(file).unwrap(), &store, &ImportOptions::default()).unwrap())
    });
    row(&format!("{name}: import"), imported, bytes, "`cp`", copied);
    row(
        &format!("{name}: import"),
        imported,
        bytes,
        "`zstd -1 -T2`",
        compressed,
    );

    let store = fresh_store(&store_dir);
    let id = import(File::open(file).unwrap(), &store, &ImportOptions::default())
        .unwrap()
        .info
        .id;
    let exported = best(|| {
        let mut reader = store.read(id).unwrap();
        timed(|| {
            export(&mut reader, File::create(&out).unwrap()).unwrap();
            File::open(&out).unwrap().sync_all().unwrap();
        })
    });
    row(&format!("{name}: export"), exported, bytes, "`cp`", copied);

    let clock = SystemClock::new();
    let machine = store.read(id).unwrap().info().machine.0.clone();
    let mut guest = MappedGuest {
        machine,
        ..MappedGuest::default()
    };
    let restored = best(|| {
        let mut reader = store.read(id).unwrap();
        timed(|| restore(&mut reader, &mut guest, &clock).unwrap())
    });
    let memory = guest.memory.len() as u64;
    row(&format!("{name}: restore"), restored, memory, "`cp`", copied);
    measure_capture(name, &mut guest, &store_dir);
}

fn measure_capture(name: &str, guest: &mut MappedGuest, store_dir: &Path) {
    let clock = SystemClock::new();
    let memory = guest.memory.len() as u64;
    let mut target = vec![0; guest.memory.len()];
    let memcpy = best(|| timed(|| target.copy_from_slice(&guest.memory)));
    let request = CaptureRequest {
        method: Method::StopAndCopy,
        ..CaptureRequest::new("guest")
    };
    let mut suspended = Duration::MAX;
    let captured = best(|| {
        let store = fresh_store(store_dir);
        timed(|| {
            let captured = capture(guest, &store, &clock, &mut Session::once(), &request).unwrap();
            suspended = suspended.min(captured.timeline.suspended_for);
        })
    });
    row(
        &format!("{name}: capture, to the commit"),
        captured,
        memory,
        "`memcpy`",
        memcpy,
    );
    row(
        &format!("{name}: capture, suspended"),
        suspended,
        memory,
        "`memcpy`",
        memcpy,
    );
    let store = fresh_store(store_dir);
    capture(guest, &store, &clock, &mut Session::once(), &request).unwrap();
    let again = best(|| timed(|| capture(guest, &store, &clock, &mut Session::once(), &request).unwrap()));
    row(
        &format!("{name}: capture, all of it known"),
        again,
        memory,
        "`memcpy`",
        memcpy,
    );
}

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = std::env::args_os()
        .skip(1)
        .map(PathBuf::from)
        .filter(|path| path.exists())
        .collect();
    println!("| what | best of {ROUNDS} | rate | yardstick | ratio |\n|---|---|---|---|---|");
    if files.is_empty() {
        let file = dir.path().join("synthetic.save");
        write_synthetic(&file, &dir.path().join("seed-store"));
        measure("synthetic 256 MiB", &file, dir.path());
    }
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        measure(&name, &file, dir.path());
    }
}

/// The synthetic guest as a save file, by way of a store.
fn write_synthetic(file: &Path, store_dir: &Path) {
    use revenant_xen_format::testing::{Recipe, Shape};
    use revenant_xen_format::{Container, GuestType};
    // The machine's records come from a small synthetic file, the memory is ours.
    let recipe = Recipe {
        guest: GuestType::Hvm,
        version: 3,
        container: Container::XlSaveFile,
        shape: Shape::Plain,
        frames: 16,
        per_record: 16,
        seed: 2,
    };
    let store = fresh_store(store_dir);
    let small = import(recipe.build().bytes.as_slice(), &store, &ImportOptions::default())
        .unwrap()
        .info
        .id;
    let records = store.read(small).unwrap().records().to_vec();
    let mut guest = synthetic_guest();
    guest.records = records
        .into_iter()
        .filter(|record| record.name != names::PAGE_ORDER)
        .collect();
    let request = CaptureRequest {
        method: Method::StopAndCopy,
        ..CaptureRequest::new("synthetic")
    };
    let id = capture(
        &mut guest,
        &store,
        &SystemClock::new(),
        &mut Session::once(),
        &request,
    )
    .unwrap()
    .checkpoint
    .id;
    export(&mut store.read(id).unwrap(), File::create(file).unwrap()).unwrap();
    drop(store);
    fs::remove_dir_all(store_dir).unwrap();
}

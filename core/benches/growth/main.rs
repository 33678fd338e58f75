//! What becomes of a store that lives long: a guest of 256 MiB of which 2 % change between checkpoints, anywhere, is
//! checkpointed 1,000 times, and the store pruned each time to the newest ten.
//!
//! ```text
//! cargo bench -p revenant-core --bench growth                        into results/store-growth
//! cargo bench -p revenant-core --bench growth -- --out DIR --checkpoints 100
//! cargo bench -p revenant-core --bench growth -- --draw               from the table that is there
//! ```
//! Every step is done by a store opened anew, as a process that has just started does it. Writes a row a checkpoint and
//! draws them, and the times on the processor. Sizes are the same each time, times are not. Linux only.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark stops at the first trouble and reads the clock"
)]

mod figure;
mod guest;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use guest::Guest;
use revenant_core::Store;
use revenant_core::clock::SystemClock;
use revenant_core::medium::DirectoryMedium;
use revenant_core::store::{CollectOptions, Retention, Scope, StoreOptions};

const KEEP_LAST: u32 = 10;
/// Every so many checkpoints those that are kept are stored afresh as well.
const AFRESH_EVERY: u32 = 50;

/// A row of the table.
#[derive(Debug)]
struct Row {
    checkpoint: u32,
    store_bytes: u64,
    /// What the checkpoints that are kept take in a store that never held anything else.
    afresh_bytes: Option<u64>,
    segments: usize,
    begin: Took,
    list: Took,
    prune: Took,
    rewritten_bytes: u64,
    written_bytes: u64,
}

const HEADER: &str = "checkpoint,store_bytes,afresh_bytes,segments,written_bytes,rewritten_bytes,begin_ms,begin_cpu_ms,list_ms,list_cpu_ms,prune_ms,prune_cpu_ms";

impl Row {
    fn csv(&self) -> String {
        let times = |took: Took| format!("{:.3},{:.3}", ms(took.elapsed), ms(took.computing));
        let afresh = self
            .afresh_bytes
            .map_or_else(String::new, |bytes| bytes.to_string());
        format!(
            "{},{},{afresh},{},{},{},{},{},{}",
            self.checkpoint,
            self.store_bytes,
            self.segments,
            self.written_bytes,
            self.rewritten_bytes,
            times(self.begin),
            times(self.list),
            times(self.prune),
        )
    }
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

/// How long something took.
#[derive(Debug, Clone, Copy)]
struct Took {
    elapsed: Duration,
    /// Of this, on a processor: what other processes do is not in it, nor is waiting for the disk.
    computing: Duration,
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Took) {
    let (begun, computed) = (Instant::now(), on_processor());
    let done = work();
    let took = Took {
        elapsed: begun.elapsed(),
        computing: on_processor().saturating_sub(computed),
    };
    (done, took)
}

/// How long this thread has been on a processor.
fn on_processor() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

fn open(dir: &Path) -> Store {
    let medium = DirectoryMedium::create(dir).unwrap();
    Store::create(&medium).unwrap();
    Store::open(
        Rc::new(medium),
        Rc::new(SystemClock::new()),
        StoreOptions::default(),
    )
    .unwrap()
}

/// Length of all files in a store, and how many segments there are.
fn measured(dir: &Path) -> (u64, usize) {
    let lengths = |name: &str| -> Vec<u64> {
        let entries = fs::read_dir(dir.join(name)).unwrap();
        entries
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .collect()
    };
    let segments = lengths("segments");
    let all = ["checkpoints", "tmp"].map(lengths).into_iter().flatten();
    (segments.iter().copied().chain(all).sum(), segments.len())
}

/// One checkpoint more, and what no rule keeps goes.
fn step(dir: &Path, guest: &mut Guest, checkpoint: u32) -> Row {
    let store = open(dir);
    let (staging, begin) = timed(|| guest.begin(&store));
    let info = guest.fill(staging).commit().unwrap();
    guest.committed(info.id);
    let store = open(dir);
    let (listing, list) = timed(|| store.list().unwrap());
    assert!(listing.damaged.is_empty());
    let store = open(dir);
    let retention = Retention {
        keep_last: Some(KEEP_LAST),
        ..Retention::new(Scope::All)
    };
    let (pruned, prune) = timed(|| store.prune(&retention, CollectOptions::default()).unwrap());
    assert_eq!(pruned.collected.shortcomings(), None);
    let (store_bytes, segments) = measured(dir);
    Row {
        checkpoint,
        store_bytes,
        afresh_bytes: None,
        segments,
        begin,
        list,
        prune,
        rewritten_bytes: pruned.collected.rewritten_bytes,
        written_bytes: info.stored_bytes,
    }
}

/// What the checkpoints of a store take in one that holds nothing else.
fn afresh_bytes(dir: &Path, fresh_dir: &Path) -> u64 {
    let (store, fresh) = (open(dir), open(fresh_dir));
    for info in store.list().unwrap().checkpoints {
        fresh.copy_from(&store, info.id).unwrap();
    }
    let (bytes, _) = measured(fresh_dir);
    fs::remove_dir_all(fresh_dir).unwrap();
    bytes
}

/// Writes the table.
fn measure(table: &Path, checkpoints: u32) {
    let dir = tempfile::tempdir().unwrap();
    let (store_dir, fresh_dir) = (dir.path().join("store"), dir.path().join("fresh"));
    let mut guest = Guest::new();
    let mut csv = fs::File::create(table).unwrap();
    writeln!(csv, "{HEADER}").unwrap();
    for checkpoint in 1..=checkpoints {
        let mut row = step(&store_dir, &mut guest, checkpoint);
        if checkpoint % AFRESH_EVERY == 0 {
            row.afresh_bytes = Some(afresh_bytes(&store_dir, &fresh_dir));
            println!("{}", row.csv());
        }
        writeln!(csv, "{}", row.csv()).unwrap();
        guest.run();
    }
    assert!(open(&store_dir).verify(None).unwrap().findings.is_empty());
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        args.iter()
            .position(|arg| arg == name)
            .map(|at| args[at + 1].clone())
    };
    let out = value("--out").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/store-growth"),
        PathBuf::from,
    );
    fs::create_dir_all(&out).unwrap();
    let table = out.join("growth.csv");
    if !args.iter().any(|arg| arg == "--draw") {
        measure(
            &table,
            value("--checkpoints").map_or(1000, |text| text.parse().unwrap()),
        );
    }
    let figure = figure::draw(&fs::read_to_string(&table).unwrap());
    fs::write(out.join("growth.svg"), figure).unwrap();
}

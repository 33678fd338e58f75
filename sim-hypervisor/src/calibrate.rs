//! The cost profile of a real host, measured through the doors that the simulator stands behind.
//!
//! Everything is timed where the capture engine would wait for it: at the hypervisor's door, at the medium's, and in the
//! store's own computing. So a simulation with this profile waits for as long. Calibrating the simulator itself gives its
//! own profile back; a test holds it to that.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use revenant_core::guest::{BATCH_PAGES_MAX, MemoryLayout, PageBatch, PageTag, PfnSet};
use revenant_core::medium::MediumError;
use revenant_core::quantity::{Period, Size};
use revenant_core::store::{NewCheckpoint, StoreError, StoreOptions};
use revenant_core::units::{PAGE_SIZE, Pfn};
use revenant_core::{Clock, Hypervisor, HypervisorError, Medium, Store};

use crate::medium::SimMedium;
use crate::profile::{CostProfile, HypervisorCosts, MediumCosts, StoreCosts, SystemMemory};

/// For how long the guest is left alone between two looks at its dirty log, and how often: the shortest stretches tell how
/// fast pages become dirty, the longest how many do.
const STRETCHES: [(Duration, u32); 4] = [
    (Duration::from_millis(20), 12),
    (Duration::from_millis(100), 8),
    (Duration::from_millis(500), 4),
    (Duration::from_secs(3), 2),
];
/// How often the guest is suspended, and small operations are repeated.
const REPEATS: usize = 7;
/// Pages that hashing and compression are timed with, at most: all of the guest's, or a part of them drawn by digest.
const SAMPLE_PAGES: u64 = 16_384;
/// Bytes written and read to time a medium.
const TRANSFER_BYTES: usize = 32 << 20;
const PIECE_BYTES: usize = 1 << 20;
/// Large, so that the fixed part of a read does not count.
const READ_BYTES: usize = 16 << 20;
/// Folder of the files that a medium is timed with.
const FOLDER: &str = "calibrate";

/// The guest and the host to be measured.
#[derive(Debug)]
pub struct Bench<'a> {
    /// A guest that idles: what it holds and changes is taken for that of every guest's system. It runs afterwards.
    pub guest: &'a mut dyn Hypervisor,
    /// An empty medium on the disk that stores will be on.
    pub medium: &'a dyn Medium,
    /// The time.
    pub clock: Rc<dyn Clock>,
    /// Threads of the store.
    pub workers: usize,
}

/// A calibration failed. The guest runs, or is gone.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    /// The guest.
    #[error("cannot measure the guest")]
    Guest(#[from] HypervisorError),
    /// The medium.
    #[error("cannot measure the disk")]
    Medium(#[from] MediumError),
    /// A store in memory.
    #[error("cannot measure the store")]
    Store(#[from] StoreError),
    /// Nothing to measure with.
    #[error("the guest has no used page")]
    EmptyGuest,
}

/// Measures everything. `pass` lets time pass; the guest runs meanwhile.
pub fn calibrate(
    bench: &mut Bench<'_>,
    pass: &mut dyn FnMut(Duration),
) -> Result<CostProfile, CalibrateError> {
    let (mut hypervisor, dirtied, changing) = measure_guest(bench, pass)?;
    let memory = read_memory(bench)?;
    let pages = memory.pages.max(1) as f64;
    hypervisor.read_call = Period(memory.call);
    let copying = memory.read.saturating_sub(memory.call.mul_f64(memory.calls));
    hypervisor.page_read = Period(copying.div_f64(pages));
    hypervisor.page_write = hypervisor.page_read;
    let (store, entropy) = measure_store(bench, &memory.sample)?;
    let (hot_pages, writes_per_s) = fit_writes(&dirtied);
    let distinct = memory.distinct.len() as u64;
    let hot_pages = hot_pages.min(distinct);
    let profile = CostProfile {
        represents: 1,
        hypervisor,
        medium: measure_medium(bench)?,
        store,
        system: SystemMemory {
            pages: memory.pages,
            used_pages: memory.used,
            distinct_pages: distinct,
            page_entropy: Size { bytes: entropy },
            hot_pages,
            changing_pages: whole(hot_pages as f64 * changing),
            writes_per_s: if hot_pages == 0 { 0 } else { writes_per_s },
        },
    };
    Ok(profile)
}

/// A stretch of a running guest, and how many pages it dirtied.
#[derive(Debug, Clone, Copy)]
struct Dirtied {
    seconds: f64,
    pages: f64,
}

/// Costs of the hypervisor's calls but for those that go by the page; how many pages become dirty; and which share of dirty
/// pages is other than before.
fn measure_guest(
    bench: &mut Bench<'_>,
    pass: &mut dyn FnMut(Duration),
) -> Result<(HypervisorCosts, Vec<Dirtied>, f64), CalibrateError> {
    let clock = Rc::clone(&bench.clock);
    let timed = |work: &mut dyn FnMut() -> Result<(), HypervisorError>| {
        let begun = clock.now();
        work().map(|()| clock.now().since(begun))
    };
    let guest = &mut *bench.guest;
    let mut costs = HypervisorCosts {
        layout: Period(timed(&mut || guest.layout().map(drop))?),
        ..HypervisorCosts::default()
    };
    let (mut dirtied, mut changing) = (Vec::new(), 1.0);
    if guest.capabilities().dirty_log {
        costs.dirty_log_switch = Period(timed(&mut || guest.set_dirty_log(true))?);
        let seen =
            watch_dirty_log(guest, &*clock, pass).and_then(|looks| Ok((looks, watch_contents(guest, pass)?)));
        // Whatever came of it, the log is not left on.
        let ended = guest.set_dirty_log(false);
        let (looks, share) = seen?;
        ended?;
        changing = share;
        // A log is read by the frame, dirty or not: with the few that an idle guest dirties there is nothing else to see.
        costs.dirty_log_read = Period(median(looks.iter().map(|(took, _)| *took).collect()));
        costs.dirty_log_page = Period(Duration::ZERO);
        dirtied = looks.into_iter().map(|(_, dirtied)| dirtied).collect();
    }
    let (mut suspends, mut states, mut resumes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        suspends.push(timed(&mut || guest.suspend())?);
        let state = timed(&mut || guest.save_state().map(drop));
        resumes.push(timed(&mut || guest.resume())?);
        states.push(state?);
        pass(STRETCHES[0].0);
    }
    costs.suspend = Period(median(suspends));
    costs.state = Period(median(states));
    costs.resume = Period(median(resumes));
    Ok((costs, dirtied, changing))
}

/// Which share of the pages that are written for as long as the longest stretch has another content afterwards.
fn watch_contents(
    guest: &mut dyn Hypervisor,
    pass: &mut dyn FnMut(Duration),
) -> Result<f64, HypervisorError> {
    let (longest, _) = STRETCHES[STRETCHES.len() - 1];
    if !guest.capabilities().live_read {
        return Ok(1.0);
    }
    let mut dirty = PfnSet::new();
    pass(longest);
    guest.take_dirty(&mut dirty)?;
    let layout = guest.layout()?;
    let populated = dirty.iter().filter(|&pfn| layout.contains(pfn));
    let pfns: Vec<Pfn> = populated.take(BATCH_PAGES_MAX).collect();
    let (mut before, mut after) = (PageBatch::new(), PageBatch::new());
    guest.read_pages(&pfns, &mut before)?;
    guest.take_dirty(&mut dirty)?;
    pass(longest);
    dirty.clear();
    guest.take_dirty(&mut dirty)?;
    guest.read_pages(&pfns, &mut after)?;
    let written = before
        .iter()
        .zip(after.iter())
        .filter(|((pfn, ..), _)| dirty.contains(*pfn));
    let (mut all, mut other) = (0u32, 0u32);
    for ((.., old), (.., new)) in written {
        all += 1;
        other += u32::from(old != new);
    }
    Ok(if all == 0 {
        1.0
    } else {
        f64::from(other) / f64::from(all)
    })
}

/// Reads the log after stretches of different length: how long each reading took, and what was in it.
fn watch_dirty_log(
    guest: &mut dyn Hypervisor,
    clock: &dyn Clock,
    pass: &mut dyn FnMut(Duration),
) -> Result<Vec<(Duration, Dirtied)>, HypervisorError> {
    let mut looks = Vec::new();
    let mut pages = PfnSet::new();
    guest.take_dirty(&mut pages)?;
    let mut since = clock.now();
    for (stretch, times) in STRETCHES {
        for _ in 0..times {
            pass(stretch);
            pages.clear();
            let begun = clock.now();
            guest.take_dirty(&mut pages)?;
            let now = clock.now();
            let dirtied = Dirtied {
                seconds: now.since(since).as_secs_f64(),
                pages: pages.len() as f64,
            };
            looks.push((now.since(begun), dirtied));
            since = now;
        }
    }
    Ok(looks)
}

/// What is in a guest's memory.
#[derive(Debug, Default)]
struct Memory {
    pages: u64,
    used: u64,
    distinct: BTreeSet<[u8; 16]>,
    /// Distinct used pages one after the other.
    sample: Vec<u8>,
    /// How long the reading took, and in how many calls.
    read: Duration,
    calls: f64,
    /// What a call takes however many pages it reads.
    call: Duration,
}

/// Reads all of a guest's memory once; it runs if it can be read so.
fn read_memory(bench: &mut Bench<'_>) -> Result<Memory, CalibrateError> {
    let suspends = !bench.guest.capabilities().live_read;
    if suspends {
        bench.guest.suspend()?;
    }
    let read = read_all(&mut *bench.guest, &*bench.clock);
    if suspends {
        bench.guest.resume()?;
    }
    let memory = read?;
    if memory.used == 0 {
        return Err(CalibrateError::EmptyGuest);
    }
    Ok(memory)
}

fn read_all(guest: &mut dyn Hypervisor, clock: &dyn Clock) -> Result<Memory, HypervisorError> {
    let layout: MemoryLayout = guest.layout()?;
    let mut memory = Memory::default();
    let mut frames = layout.iter().peekable();
    let mut batch = PageBatch::new();
    let drawn = SAMPLE_PAGES.saturating_mul(1 << 16) / layout.page_count().max(1);
    while frames.peek().is_some() {
        let pfns: Vec<Pfn> = frames.by_ref().take(BATCH_PAGES_MAX).collect();
        batch.clear();
        let begun = clock.now();
        guest.read_pages(&pfns, &mut batch)?;
        memory.read += clock.now().since(begun);
        memory.calls += 1.0;
        memory.pages += pfns.len() as u64;
        for (_, _, page) in batch.iter() {
            if page.iter().all(|&byte| byte == 0) {
                continue;
            }
            memory.used += 1;
            let mut digest = [0; 16];
            digest.copy_from_slice(&blake3::hash(page).as_bytes()[..16]);
            let draw = u64::from(u16::from_le_bytes([digest[0], digest[1]]));
            if memory.distinct.insert(digest) && draw < drawn {
                memory.sample.extend_from_slice(page);
            }
        }
    }
    let one: Vec<Pfn> = layout.iter().take(1).collect();
    let mut calls = Vec::new();
    for _ in 0..REPEATS {
        batch.clear();
        let begun = clock.now();
        guest.read_pages(&one, &mut batch)?;
        calls.push(clock.now().since(begun));
    }
    // Of one page the call is nearly all.
    let page = memory.read.div_f64(memory.pages.max(1) as f64);
    memory.call = median(calls).saturating_sub(page);
    Ok(memory)
}

/// The store's computing, with a store in memory: zero pages are looked at, new pages are hashed and compressed besides, the
/// same pages again are hashed only. Besides, how many bytes of a page do not compress.
fn measure_store(bench: &Bench<'_>, sample: &[u8]) -> Result<(StoreCosts, u64), CalibrateError> {
    let pages = (sample.len() / PAGE_SIZE).max(1) as f64;
    let zeroes = vec![0; sample.len()];
    let options = StoreOptions {
        workers: bench.workers,
        ..StoreOptions::default()
    };
    let (mut scans, mut news, mut knowns, mut stored_bytes) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for _ in 0..3 {
        let medium: Rc<dyn Medium> = Rc::new(SimMedium::default());
        Store::create(&*medium)?;
        let store = Store::open(medium, Rc::clone(&bench.clock), options)?;
        let staged = |pages: &[u8]| stage(&store, &*bench.clock, bench.guest, pages);
        scans.push(staged(&zeroes)?.0);
        let (new, bytes) = staged(sample)?;
        news.push(new);
        stored_bytes = bytes;
        knowns.push(staged(sample)?.0);
    }
    let (scan, new, known) = (median(scans), median(news), median(knowns));
    let costs = StoreCosts {
        page_scan: Period(scan.div_f64(pages)),
        page_hash: Period(known.saturating_sub(scan).div_f64(pages)),
        page_compress: Period(new.saturating_sub(known).div_f64(pages)),
    };
    let entropy = whole(stored_bytes as f64 / pages).min(PAGE_SIZE as u64);
    Ok((costs, entropy))
}

/// Stores pages as a checkpoint: how long it took, and how many bytes it became.
fn stage(
    store: &Store,
    clock: &dyn Clock,
    guest: &dyn Hypervisor,
    sample: &[u8],
) -> Result<(Duration, u64), CalibrateError> {
    let begun = clock.now();
    let machine = guest.capabilities().machine;
    let mut staging = store.begin(NewCheckpoint {
        guest: "calibrate".to_owned(),
        machine,
        base: None,
        facts: BTreeMap::new(),
    })?;
    let mut pages = sample.as_chunks::<PAGE_SIZE>().0.iter();
    let mut pfns = (0..).map(Pfn);
    while !pages.as_slice().is_empty() {
        let mut batch = staging.take_batch();
        for (page, pfn) in pages.by_ref().take(BATCH_PAGES_MAX).zip(&mut pfns) {
            batch.push(pfn, PageTag::default(), page);
        }
        staging.put_pages(batch)?;
    }
    let info = staging.commit()?;
    Ok((clock.now().since(begun), info.stored_bytes))
}

fn measure_medium(bench: &Bench<'_>) -> Result<MediumCosts, CalibrateError> {
    let (medium, clock) = (bench.medium, &*bench.clock);
    let path = |name: &str| format!("{FOLDER}/{name}");
    medium.create_dir(FOLDER)?;
    let (mut syncs, mut names) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        let mut file = medium.create_new(&path("small"))?;
        file.append(&[1; 64])?;
        let begun = clock.now();
        file.sync()?;
        let synced = clock.now();
        drop(file);
        medium.remove(&path("small"))?;
        names.push(clock.now().since(synced));
        syncs.push(synced.since(begun));
    }
    let sync = median(syncs);
    let piece: Vec<u8> = (0..=250).cycle().take(PIECE_BYTES).collect();
    let mut file = medium.create_new(&path("large"))?;
    let begun = clock.now();
    for _ in 0..TRANSFER_BYTES / PIECE_BYTES {
        file.append(&piece)?;
    }
    file.sync()?;
    let wrote = clock.now().since(begun).saturating_sub(sync);
    drop(file);
    let reader = medium.open(&path("large"))?;
    let mut read_back = vec![0; READ_BYTES];
    let begun = clock.now();
    for at in (0..TRANSFER_BYTES).step_by(READ_BYTES) {
        reader.read_at(at as u64, &mut read_back)?;
    }
    let read = clock.now().since(begun);
    drop(reader);
    medium.remove(&path("large"))?;
    Ok(MediumCosts {
        write_per_s: per_second(wrote),
        read_per_s: per_second(read),
        latency: Period(median(names)),
        sync: Period(sync),
        ..MediumCosts::default()
    })
}

fn per_second(took: Duration) -> Size {
    let bytes = TRANSFER_BYTES as f64 / took.as_secs_f64().max(1e-6);
    Size {
        bytes: whole(bytes).max(1),
    }
}

/// The pages among which writes fall at random, and how many writes there are per second, that explain best how many
/// pages stretches of different length dirtied: `pages(t) = hot (1 - exp(-writes t / hot))`, least squares of the
/// logarithms, so that short stretches count as much as long ones.
fn fit_writes(looks: &[Dirtied]) -> (u64, u64) {
    let looks: Vec<Dirtied> = looks.iter().copied().filter(|look| look.pages > 0.0).collect();
    let most = looks.iter().map(|look| look.pages).fold(0.0, f64::max);
    if most == 0.0 {
        return (0, 0);
    }
    let error = |hot: f64, writes: f64| -> f64 {
        let residual = |look: &Dirtied| {
            let expected = hot * -(-writes * look.seconds / hot).exp_m1();
            (expected.max(1e-9) / look.pages).ln().powi(2)
        };
        looks.iter().map(residual).sum()
    };
    // A grid, since the two trade places where all stretches are short or all are long; factors of 1.05 are finer than
    // what is measured.
    let fastest = looks
        .iter()
        .map(|look| look.pages / look.seconds)
        .fold(0.0, f64::max);
    let hots = (0..60).map(|i| most * 1.05f64.powi(i));
    let best = hots
        .flat_map(|hot| (-60..40).map(move |i| (hot, fastest * 1.05f64.powi(i))))
        .min_by(|a, b| error(a.0, a.1).total_cmp(&error(b.0, b.1)));
    best.map_or((0, 0), |(hot, writes)| (whole(hot), whole(writes).max(1)))
}

fn median(mut values: Vec<Duration>) -> Duration {
    values.sort_unstable();
    values[values.len() / 2]
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a float saturates"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

//! What a guest's memory holds, and what reading it costs.

use std::collections::BTreeSet;
use std::time::Duration;

use revenant_core::guest::{BATCH_PAGES_MAX, MemoryLayout, PageBatch};
use revenant_core::units::Pfn;
use revenant_core::{Clock, Hypervisor, HypervisorError};

use super::{Bench, CalibrateError, REPEATS, median};

/// Pages that hashing and compression are timed with, at most: all of the guest's, or a part of them drawn by digest.
const SAMPLE_PAGES: u64 = 16_384;

/// What is in a guest's memory.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) pages: u64,
    /// Pages that are not zero.
    pub(super) used: u64,
    /// Contents among them.
    pub(super) distinct: u64,
    /// Distinct used pages one after the other.
    pub(super) sample: Vec<u8>,
    /// What a call that reads pages takes, and besides for each page.
    pub(super) call: Duration,
    pub(super) page: Duration,
}

/// Reads all of a guest's memory once; it runs if it can be read so.
pub(super) fn read(bench: &mut Bench<'_>) -> Result<Memory, CalibrateError> {
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
    let (mut pages, mut used, mut took) = (0u64, 0, Duration::ZERO);
    let (mut distinct, mut sample) = (BTreeSet::new(), Vec::new());
    let mut calls = 0u32;
    let mut frames = layout.iter().peekable();
    let mut batch = PageBatch::new();
    let drawn = SAMPLE_PAGES.saturating_mul(1 << 16) / layout.page_count().max(1);
    while frames.peek().is_some() {
        let pfns: Vec<Pfn> = frames.by_ref().take(BATCH_PAGES_MAX).collect();
        batch.clear();
        let begun = clock.now();
        guest.read_pages(&pfns, &mut batch)?;
        took += clock.now().since(begun);
        calls += 1;
        pages += pfns.len() as u64;
        for (_, _, page) in batch.iter() {
            if page.iter().all(|&byte| byte == 0) {
                continue;
            }
            used += 1;
            let mut digest = [0; 16];
            digest.copy_from_slice(&blake3::hash(page).as_bytes()[..16]);
            let draw = u64::from(u16::from_le_bytes([digest[0], digest[1]]));
            if distinct.insert(digest) && draw < drawn {
                sample.extend_from_slice(page);
            }
        }
    }
    let one: Vec<Pfn> = layout.iter().take(1).collect();
    let mut singles = Vec::new();
    for _ in 0..REPEATS {
        batch.clear();
        let begun = clock.now();
        guest.read_pages(&one, &mut batch)?;
        singles.push(clock.now().since(begun));
    }
    // Of a call for one page the call is nearly all.
    let each = |took: Duration| took.div_f64(pages.max(1) as f64);
    let call = median(singles).saturating_sub(each(took));
    Ok(Memory {
        pages,
        used,
        distinct: distinct.len() as u64,
        sample,
        call,
        page: each(took.saturating_sub(call * calls)),
    })
}

//! The store's own computing.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use revenant_core::guest::{BATCH_PAGES_MAX, PageBatch, PageTag};
use revenant_core::quantity::Period;
use revenant_core::store::{NewCheckpoint, StoreOptions};
use revenant_core::units::{PAGE_SIZE, Page, Pfn};
use revenant_core::{Clock, Hypervisor, Medium, Store};

use super::{Bench, CalibrateError, median, whole};
use crate::medium::SimMedium;
use crate::profile::StoreCosts;

/// The store's computing, with a store in memory: zero pages are looked at, new pages are hashed and compressed besides, the
/// same pages again are hashed only. Besides, how many bytes of a page do not compress.
pub(super) fn measure(bench: &Bench<'_>, sample: &[u8]) -> Result<(StoreCosts, u64), CalibrateError> {
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

/// Stores pages as a checkpoint: how long it took, and how many bytes it became. That they are copied into batches is not
/// counted: a capture copies them as it reads them.
fn stage(
    store: &Store,
    clock: &dyn Clock,
    guest: &dyn Hypervisor,
    sample: &[u8],
) -> Result<(Duration, u64), CalibrateError> {
    let batched = |(first, pages): (usize, &[Page])| {
        let mut batch = PageBatch::new();
        for (page, pfn) in pages.iter().zip((first * BATCH_PAGES_MAX) as u64..) {
            batch.push(Pfn(pfn), PageTag::default(), page);
        }
        batch
    };
    let pages = sample.as_chunks::<PAGE_SIZE>().0;
    let batches: Vec<PageBatch> = pages.chunks(BATCH_PAGES_MAX).enumerate().map(batched).collect();
    let machine = guest.capabilities().machine;
    let begun = clock.now();
    let mut staging = store.begin(NewCheckpoint {
        guest: "calibrate".to_owned(),
        machine,
        base: None,
        facts: BTreeMap::new(),
    })?;
    for batch in batches {
        staging.put_pages(batch)?;
    }
    let info = staging.commit()?;
    Ok((clock.now().since(begun), info.stored_bytes))
}

//! A guest's hypervisor, and how the guest writes its memory.

use std::rc::Rc;
use std::time::Duration;

use revenant_core::guest::{BATCH_PAGES_MAX, PageBatch, PfnSet};
use revenant_core::quantity::Period;
use revenant_core::units::Pfn;
use revenant_core::{Clock, Hypervisor, HypervisorError};

use super::{Bench, CalibrateError, REPEATS, median, whole};
use crate::profile::HypervisorCosts;

/// For how long the guest is left alone between two looks at its dirty log, and how often: the shortest stretches tell how
/// fast pages become dirty, the longest how many do.
const STRETCHES: [(Duration, u32); 4] = [
    (Duration::from_millis(20), 12),
    (Duration::from_millis(100), 8),
    (Duration::from_millis(500), 4),
    (Duration::from_secs(3), 2),
];

/// A stretch of a running guest, and how many pages it dirtied.
#[derive(Debug, Clone, Copy)]
struct Dirtied {
    seconds: f64,
    pages: f64,
}

/// What the guest and its hypervisor were seen to do.
pub(super) struct Seen {
    /// Costs of calls, but for those that read pages.
    pub(super) costs: HypervisorCosts,
    /// Pages that are written again and again.
    pub(super) hot_pages: u64,
    pub(super) writes_per_s: u64,
    /// Share of written pages that are other than before.
    pub(super) changing: f64,
}

/// Watches the dirty log, and suspends the guest a few times.
pub(super) fn measure(bench: &mut Bench<'_>, pass: &mut dyn FnMut(Duration)) -> Result<Seen, CalibrateError> {
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
    let (hot_pages, writes_per_s) = fit_writes(&dirtied);
    Ok(Seen {
        costs,
        hot_pages,
        writes_per_s,
        changing,
    })
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

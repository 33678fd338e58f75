//! The judge of `Hypervisor` implementations: the contract of [`crate::guest::Hypervisor`], clause by clause.
//!
//! A backend's test gives a [`Subject`] and calls [`all`]. What the backend's capabilities deny is asked for all the
//! same, and has to be refused as the contract says.

use std::fmt;

use crate::guest::{BATCH_PAGES_MAX, MemoryLayout, PageBatch, PageTag, PfnSet, StateRecord};
use crate::units::{PAGE_SIZE, Pfn};
use crate::{Hypervisor, HypervisorError};

/// A backend under judgement.
pub trait Subject: fmt::Debug {
    /// A running guest that writes to its memory all the time and has not been touched yet.
    fn running_guest(&mut self) -> Box<dyn Hypervisor>;
    /// A guest that may be populated and restored into, on the same backend.
    fn blank_guest(&mut self) -> Box<dyn Hypervisor>;
    /// Lets running guests execute for a while, long enough for each to write some page.
    fn let_run(&mut self);
    /// Takes a guest away, as a crash or a lost host would.
    fn lose(&mut self, guest: &mut dyn Hypervisor);
}

/// Every clause of the contract.
///
/// # Panics
/// At the first clause that does not hold.
pub fn all(subject: &mut impl Subject) {
    suspend_and_resume_are_idempotent(subject);
    nothing_changes_while_suspended(subject);
    frames_outside_the_layout_are_refused(subject);
    every_write_is_in_the_dirty_log(subject);
    a_log_that_is_off_knows_nothing(subject);
    a_restored_guest_is_the_saved_one(subject);
    a_populated_guest_is_blank_and_suspended(subject);
    malformed_state_is_refused(subject);
    writes_need_a_suspended_guest(subject);
    what_cannot_be_rewritten_says_so(subject);
    a_lost_guest_answers_gone(subject);
}

/// Everything a suspended guest is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Snapshot {
    layout: MemoryLayout,
    pages: Vec<(Pfn, PageTag, Vec<u8>)>,
    records: Vec<StateRecord>,
}

fn snapshot(guest: &mut dyn Hypervisor) -> Snapshot {
    let layout = guest.layout().expect("layout");
    let pfns: Vec<Pfn> = layout.iter().collect();
    let mut pages = Vec::with_capacity(pfns.len());
    let mut batch = PageBatch::new();
    for chunk in pfns.chunks(BATCH_PAGES_MAX) {
        batch.clear();
        guest.read_pages(chunk, &mut batch).expect("read pages");
        assert_eq!(
            batch.pfns(),
            chunk,
            "one entry for each frame asked for, in order"
        );
        pages.extend(batch.iter().map(|(pfn, tag, page)| (pfn, tag, page.to_vec())));
    }
    Snapshot {
        layout,
        pages,
        records: guest.save_state().expect("save state"),
    }
}

/// Suspending a suspended guest and resuming a running one change nothing and succeed.
pub fn suspend_and_resume_are_idempotent(subject: &mut impl Subject) {
    let mut guest = subject.running_guest();
    guest.resume().expect("resume a running guest");
    for _ in 0..2 {
        guest.suspend().expect("suspend");
    }
    for _ in 0..2 {
        guest.resume().expect("resume");
    }
}

/// Memory, tags and machine state stand still while the guest is suspended, however long, and move on afterwards.
pub fn nothing_changes_while_suspended(subject: &mut impl Subject) {
    let mut guest = subject.running_guest();
    guest.suspend().expect("suspend");
    let before = snapshot(&mut *guest);
    subject.let_run();
    assert_eq!(snapshot(&mut *guest), before, "a suspended guest changed");
    guest.resume().expect("resume");
    subject.let_run();
    guest.suspend().expect("suspend");
    assert_ne!(snapshot(&mut *guest), before, "a resumed guest stands still");
}

/// A frame that is not populated is neither read nor written.
pub fn frames_outside_the_layout_are_refused(subject: &mut impl Subject) {
    let mut guest = subject.running_guest();
    guest.suspend().expect("suspend");
    let layout = guest.layout().expect("layout");
    let outside = Pfn(layout.ranges().last().expect("a guest has memory").end);
    let refused = guest.read_pages(&[outside], &mut PageBatch::new());
    assert!(
        matches!(refused, Err(HypervisorError::NoSuchFrame(pfn)) if pfn == outside),
        "{refused:?}"
    );
    if !guest.capabilities().rewrites {
        return;
    }
    let before = snapshot(&mut *guest);
    let inside = Pfn(layout.ranges()[0].start);
    let mut batch = PageBatch::new();
    batch.push(inside, PageTag::default(), &[0x5a; PAGE_SIZE]);
    batch.push(outside, PageTag::default(), &[0x5a; PAGE_SIZE]);
    let refused = guest.write_pages(&batch);
    assert!(
        matches!(refused, Err(HypervisorError::NoSuchFrame(_))),
        "{refused:?}"
    );
    assert_eq!(snapshot(&mut *guest), before, "a failed write wrote");
}

/// Between two looks at memory, whatever differs was reported by some `take_dirty`; switching on twice forgets nothing.
pub fn every_write_is_in_the_dirty_log(subject: &mut impl Subject) {
    let mut guest = subject.running_guest();
    if !guest.capabilities().dirty_log {
        let refused = guest.set_dirty_log(true);
        assert!(
            matches!(refused, Err(HypervisorError::Unsupported { .. })),
            "{refused:?}"
        );
        let refused = guest.take_dirty(&mut PfnSet::new());
        assert!(
            matches!(refused, Err(HypervisorError::Unsupported { .. })),
            "{refused:?}"
        );
        return;
    }
    guest.suspend().expect("suspend");
    guest.set_dirty_log(true).expect("start the log");
    let mut dirty = PfnSet::new();
    guest.take_dirty(&mut dirty).expect("read the log");
    assert!(
        dirty.is_empty(),
        "a log that just started names {} frames",
        dirty.len()
    );
    let before = snapshot(&mut *guest);
    guest.resume().expect("resume");
    for _ in 0..3 {
        subject.let_run();
        guest.set_dirty_log(true).expect("start the log again");
        guest.take_dirty(&mut dirty).expect("read the log");
    }
    guest.suspend().expect("suspend");
    guest.take_dirty(&mut dirty).expect("read the log");
    let after = snapshot(&mut *guest);
    let known: std::collections::BTreeMap<Pfn, &[u8]> = before
        .pages
        .iter()
        .map(|(pfn, _, page)| (*pfn, page.as_slice()))
        .collect();
    let mut changed = 0;
    for (pfn, _, page) in &after.pages {
        if known.get(pfn) != Some(&page.as_slice()) {
            changed += 1;
            assert!(dirty.contains(*pfn), "frame {pfn} changed and no log named it");
        }
    }
    assert!(changed > 0, "the guest wrote nothing: this judges nothing");
    let mut again = PfnSet::new();
    guest.take_dirty(&mut again).expect("read the log");
    assert!(
        again.is_empty(),
        "a log that was read and cleared names {} frames",
        again.len()
    );
}

/// Off means forgotten: what was written before the log is switched on again is not in it.
pub fn a_log_that_is_off_knows_nothing(subject: &mut impl Subject) {
    let mut guest = subject.running_guest();
    if !guest.capabilities().dirty_log {
        return;
    }
    guest.set_dirty_log(true).expect("start the log");
    subject.let_run();
    guest.suspend().expect("suspend");
    guest.set_dirty_log(false).expect("end the log");
    guest.set_dirty_log(true).expect("start the log");
    let mut dirty = PfnSet::new();
    guest.take_dirty(&mut dirty).expect("read the log");
    assert!(dirty.is_empty(), "a new log names {} frames", dirty.len());
}

/// `populate`, `write_pages` and `load_state` make a guest that gives back what was saved.
pub fn a_restored_guest_is_the_saved_one(subject: &mut impl Subject) {
    let mut source = subject.running_guest();
    if !source.capabilities().rewrites {
        return;
    }
    subject.let_run();
    source.suspend().expect("suspend");
    let saved = snapshot(&mut *source);
    let mut target = subject.blank_guest();
    target.populate(&saved.layout).expect("populate");
    let mut batch = PageBatch::new();
    for chunk in saved.pages.chunks(BATCH_PAGES_MAX) {
        batch.clear();
        for (pfn, tag, page) in chunk {
            batch.push(*pfn, *tag, page.first_chunk().expect("a whole page"));
        }
        target.write_pages(&batch).expect("write pages");
    }
    target.load_state(&saved.records).expect("load state");
    assert_eq!(snapshot(&mut *target), saved, "the restored guest differs");
    target.resume().expect("resume the restored guest");
    subject.let_run();
    target.suspend().expect("suspend");
    assert_ne!(snapshot(&mut *target), saved, "the restored guest does not run");
}

/// Whatever was there before, `populate` leaves exactly its layout, all zero, standing still, without a log.
pub fn a_populated_guest_is_blank_and_suspended(subject: &mut impl Subject) {
    let mut source = subject.running_guest();
    if !source.capabilities().rewrites {
        return;
    }
    let wanted = source.layout().expect("layout");
    let mut guest = subject.blank_guest();
    guest.populate(&wanted).expect("populate");
    assert_eq!(guest.layout().expect("layout"), wanted);
    let pfns: Vec<Pfn> = wanted.iter().take(BATCH_PAGES_MAX).collect();
    let mut batch = PageBatch::new();
    guest.read_pages(&pfns, &mut batch).expect("read pages");
    assert!(
        batch.bytes().iter().all(|&byte| byte == 0),
        "a populated guest is not blank"
    );
    guest.write_pages(&batch).expect("a populated guest is suspended");
}

/// Records in another number or order, or of another length, are refused by name.
pub fn malformed_state_is_refused(subject: &mut impl Subject) {
    let mut guest = subject.running_guest();
    if !guest.capabilities().rewrites {
        return;
    }
    guest.suspend().expect("suspend");
    let good = guest.save_state().expect("save state");
    let mut missing = good.clone();
    missing.pop();
    let mut long = good.clone();
    long.last_mut().expect("a machine has state").bytes.push(0xff);
    for bad in [Vec::new(), missing, long] {
        let refused = guest.load_state(&bad);
        assert!(
            matches!(refused, Err(HypervisorError::BadState { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(
        guest.save_state().expect("save state"),
        good,
        "a refused record changed the machine"
    );
}

/// Memory and machine state of a running guest are not written; state is not saved; pages are read only where the
/// capabilities say so.
pub fn writes_need_a_suspended_guest(subject: &mut impl Subject) {
    let mut guest = subject.running_guest();
    let pfn = guest
        .layout()
        .expect("layout")
        .iter()
        .next()
        .expect("a guest has memory");
    let mut batch = PageBatch::new();
    batch.push(pfn, PageTag::default(), &[0; PAGE_SIZE]);
    let can = guest.capabilities();
    let mut refusals = vec![guest.save_state().map(drop)];
    if can.rewrites {
        refusals.push(guest.write_pages(&batch));
        refusals.push(guest.load_state(&[]));
    }
    if !can.live_read {
        refusals.push(guest.read_pages(&[pfn], &mut PageBatch::new()));
    }
    for refused in refusals {
        assert!(
            matches!(refused, Err(HypervisorError::NotSuspended { .. })),
            "{refused:?}"
        );
    }
}

/// Where a guest cannot be rewritten in place, all three calls say so and the guest goes on undisturbed.
pub fn what_cannot_be_rewritten_says_so(subject: &mut impl Subject) {
    let mut guest = subject.running_guest();
    if guest.capabilities().rewrites {
        return;
    }
    guest.suspend().expect("suspend");
    let before = snapshot(&mut *guest);
    let answers = [
        guest.populate(&before.layout),
        guest.write_pages(&PageBatch::new()),
        guest.load_state(&before.records),
    ];
    for refused in answers {
        assert!(
            matches!(refused, Err(HypervisorError::Unsupported { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(
        snapshot(&mut *guest).pages,
        before.pages,
        "a refused call changed memory"
    );
    guest.resume().expect("resume");
}

/// After a loss every call answers `Gone`.
pub fn a_lost_guest_answers_gone(subject: &mut impl Subject) {
    let mut guest = subject.running_guest();
    let layout = guest.layout().expect("layout");
    subject.lose(&mut *guest);
    let answers = [
        guest.layout().map(drop),
        guest.suspend(),
        guest.resume(),
        guest.read_pages(&[Pfn(0)], &mut PageBatch::new()),
        guest.populate(&layout),
        guest.write_pages(&PageBatch::new()),
        guest.save_state().map(drop),
        guest.load_state(&[]),
    ];
    for answer in answers {
        assert!(matches!(answer, Err(HypervisorError::Gone(_))), "{answer:?}");
    }
}

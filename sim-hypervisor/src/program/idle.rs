//! A kernel with nothing to do: a jiffies counter, now and then a log line.

use crate::machine::{Machine, PAGE_WORDS, R_STEPS};

/// The counter's word, in the page of per-CPU data.
const JIFFIES: u64 = 3;
/// The log is the second page.
const LOG: u64 = PAGE_WORDS;

pub(crate) fn boot(machine: &mut Machine) {
    // A kernel image: pages that are never written again, some of them alike.
    for page in 2..machine.words() / PAGE_WORDS / 2 {
        for word in 0..PAGE_WORDS {
            machine.store(page * PAGE_WORDS + word, (page / 3) << 32 | word);
        }
    }
}

/// A page of the kernel image, which is never written again.
pub(crate) fn image_page(pages: u64, draw: u64) -> u64 {
    2 + draw % (pages / 2 - 2)
}

pub(crate) fn step(machine: &mut Machine) {
    let jiffies = machine.load(JIFFIES).wrapping_add(1);
    machine.store(JIFFIES, jiffies);
    if machine.register(R_STEPS).is_multiple_of(16) {
        let entry = machine.random();
        machine.store(LOG + jiffies % PAGE_WORDS, entry);
        machine.print(entry);
    }
}

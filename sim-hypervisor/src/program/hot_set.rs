//! Random updates, nine of ten into the first tenth of memory.

use revenant_core::guest::PageTag;

use crate::machine::{Machine, PAGE_WORDS};

const UPDATES: u64 = 4;

pub(crate) fn boot(machine: &mut Machine) {
    let pages = machine.words() / PAGE_WORDS;
    for page in 0..pages {
        machine.set_tag(page, PageTag(u8::try_from(page % 4).unwrap_or(0)));
        // Every second page starts with random content, the others are zero until they are touched.
        for word in 0..if page.is_multiple_of(2) { PAGE_WORDS } else { 0 } {
            let value = machine.random();
            machine.store(page * PAGE_WORDS + word, value);
        }
    }
}

pub(crate) fn step(machine: &mut Machine) {
    let words = machine.words();
    for _ in 0..UPDATES {
        let draw = machine.random();
        let span = if draw % 10 < 9 { words.div_ceil(10) } else { words };
        let at = (draw >> 8) % span;
        let value = machine.load(at);
        machine.store(at, value.rotate_left(7) ^ draw);
    }
}

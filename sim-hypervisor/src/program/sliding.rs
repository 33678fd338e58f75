//! Updates in a window that moves through memory: what one interval dirties, the next leaves alone.

use crate::machine::{Machine, PAGE_WORDS, R_STEPS};

/// Steps before the window moves on by a page.
const STAY: u64 = 8;

pub(crate) fn boot(machine: &mut Machine) {
    machine.store(0, 1);
}

pub(crate) fn step(machine: &mut Machine) {
    let pages = machine.words() / PAGE_WORDS;
    let window = (pages / 8).max(2);
    let first = machine.register(R_STEPS) / STAY % pages;
    for _ in 0..4 {
        let draw = machine.random();
        let page = (first + draw % window) % pages;
        let at = page * PAGE_WORDS + (draw >> 16) % PAGE_WORDS;
        // Each write depends on another word of the window: a stale page spreads.
        let other =
            machine.load((first + (draw >> 32) % window) % pages * PAGE_WORDS + (draw >> 48) % PAGE_WORDS);
        machine.store(at, other.wrapping_add(draw));
    }
    if first == 0 {
        let seen = machine.load(0);
        machine.print(seen);
    }
}

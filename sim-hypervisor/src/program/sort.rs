//! An array sorted by comb sort, then shuffled and sorted again. A step is a stretch of one pass.

use crate::machine::{Machine, PAGE_WORDS};

const R_GAP: usize = 2;
const R_AT: usize = 3;
const R_SWAPPED: usize = 4;
/// Words left to shuffle before the next sort begins.
const R_SHUFFLE: usize = 5;

/// Comparisons, or swaps of a shuffle, in a step.
const STRETCH: u64 = 256;
/// The array starts behind the page of per-CPU data.
const ARRAY: u64 = PAGE_WORDS;

pub(crate) fn boot(machine: &mut Machine) {
    let length = machine.words() - ARRAY;
    for i in 0..length {
        machine.store(ARRAY + i, i);
    }
    machine.set_register(R_SHUFFLE, length);
}

pub(crate) fn step(machine: &mut Machine) {
    let length = machine.words() - ARRAY;
    match machine.register(R_SHUFFLE) {
        0 => sort(machine, length),
        left => shuffle(machine, length, left),
    }
}

fn shuffle(machine: &mut Machine, length: u64, left: u64) {
    let swaps = left.min(STRETCH);
    for i in 0..swaps {
        let other = machine.random() % length;
        swap(machine, ARRAY + length - left + i, ARRAY + other);
    }
    machine.set_register(R_SHUFFLE, left - swaps);
    machine.set_register(R_GAP, length * 10 / 13);
    machine.set_register(R_AT, 0);
    machine.set_register(R_SWAPPED, 0);
}

fn sort(machine: &mut Machine, length: u64) {
    let (gap, mut at) = (machine.register(R_GAP).max(1), machine.register(R_AT));
    let mut swapped = machine.register(R_SWAPPED);
    for _ in 0..STRETCH {
        if at + gap >= length {
            return next_pass(machine, length, gap, swapped);
        }
        let (low, high) = (ARRAY + at, ARRAY + at + gap);
        if machine.load(low) > machine.load(high) {
            swap(machine, low, high);
            swapped = 1;
        }
        at += 1;
    }
    machine.set_register(R_AT, at);
    machine.set_register(R_SWAPPED, swapped);
}

fn next_pass(machine: &mut Machine, length: u64, gap: u64, swapped: u64) {
    machine.set_register(R_AT, 0);
    machine.set_register(R_SWAPPED, 0);
    machine.set_register(R_GAP, (gap * 10 / 13).max(1));
    if gap == 1 && swapped == 0 {
        let median = machine.load(ARRAY + length / 2);
        machine.print(median);
        machine.set_register(R_SHUFFLE, length);
    }
}

fn swap(machine: &mut Machine, a: u64, b: u64) {
    let (x, y) = (machine.load(a), machine.load(b));
    machine.store(a, y);
    machine.store(b, x);
}

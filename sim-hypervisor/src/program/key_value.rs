//! A hash table with open addressing under a stream of updates and deletions.

use crate::machine::{Machine, PAGE_WORDS};

/// The table starts behind the page of per-CPU data; an entry is a key (zero: free) and a value.
const TABLE: u64 = PAGE_WORDS;
/// How far a key may stand from its place.
const PROBES_MAX: u64 = 16;

pub(crate) fn boot(machine: &mut Machine) {
    let entries = (machine.words() - TABLE) / 2;
    for _ in 0..entries / 8 {
        update(machine);
    }
}

pub(crate) fn step(machine: &mut Machine) {
    for _ in 0..4 {
        update(machine);
    }
}

/// Adds to the value of a random key, inserting it if there is room near its place; a few keys are deleted instead.
fn update(machine: &mut Machine) {
    let entries = (machine.words() - TABLE) / 2;
    let draw = machine.random();
    let key = draw % (entries / 2) + 1;
    let place = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) % entries;
    for probe in 0..PROBES_MAX {
        let at = TABLE + (place + probe) % entries * 2;
        let found = machine.load(at);
        if found != key && found != 0 {
            continue;
        }
        if draw >> 60 == 0 {
            // Deleting leaves a tombstone: the key stays, its value goes.
            machine.store(at + 1, 0);
        } else {
            let value = machine.load(at + 1);
            machine.store(at, key);
            machine.store(at + 1, value.wrapping_mul(31).wrapping_add(draw));
        }
        return;
    }
    machine.print(key);
}

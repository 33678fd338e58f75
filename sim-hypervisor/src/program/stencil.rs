//! Heat spreading over a plane, in fixed point. A row of cells is a page; two planes take turns as source and
//! target. A step computes one row.

use revenant_core::guest::PageTag;

use crate::machine::{Machine, PAGE_WORDS};

const R_ROW: usize = 2;
const R_SWEEP: usize = 3;

fn rows(machine: &Machine) -> u64 {
    machine.words() / PAGE_WORDS / 2
}

pub(crate) fn boot(machine: &mut Machine) {
    let rows = rows(machine);
    for row in 0..rows {
        machine.set_tag(row, PageTag(1));
        for column in 0..PAGE_WORDS {
            // Smooth, so that rows compress, with hot spots that no two seeds share.
            let spot = if column.is_multiple_of(64) {
                machine.random() % 1_000_000
            } else {
                0
            };
            machine.store(row * PAGE_WORDS + column, row * 1_000 + column + spot);
        }
    }
}

/// The first page of source and of target.
fn planes(rows: u64, sweep: u64) -> (u64, u64) {
    if sweep.is_multiple_of(2) {
        (0, rows)
    } else {
        (rows, 0)
    }
}

/// The page that the next step computes a row from.
pub(crate) fn next_row(machine: &Machine) -> u64 {
    let (source, _) = planes(rows(machine), machine.register(R_SWEEP));
    source + machine.register(R_ROW)
}

pub(crate) fn step(machine: &mut Machine) {
    let rows = rows(machine);
    let (row, sweep) = (machine.register(R_ROW), machine.register(R_SWEEP));
    let (source, target) = planes(rows, sweep);
    let up = (source + (row + rows - 1) % rows) * PAGE_WORDS;
    let here = (source + row) * PAGE_WORDS;
    let down = (source + (row + 1) % rows) * PAGE_WORDS;
    let mut sum = 0u64;
    for column in 0..PAGE_WORDS {
        let left = (column + PAGE_WORDS - 1) % PAGE_WORDS;
        let right = (column + 1) % PAGE_WORDS;
        let around = machine
            .load(up + column)
            .wrapping_add(machine.load(down + column))
            .wrapping_add(machine.load(here + left))
            .wrapping_add(machine.load(here + right));
        let cell = machine.load(here + column) / 2 + around / 8;
        machine.store((target + row) * PAGE_WORDS + column, cell);
        sum = sum.wrapping_add(cell);
    }
    if row + 1 == rows {
        machine.set_register(R_SWEEP, sweep + 1);
        machine.set_register(R_ROW, 0);
        machine.print(sum);
    } else {
        machine.set_register(R_ROW, row + 1);
    }
}

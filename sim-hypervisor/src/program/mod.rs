//! The programs that simulated guests run. Small, real, and entirely in guest memory and registers: nothing of a
//! program's state is hidden in the simulator, so a page that a checkpoint lost, tore or swapped changes what the
//! program computes from there on.

mod hot_set;
mod idle;
mod key_value;
mod sliding;
mod sort;
mod stencil;

use std::fmt;
use std::str::FromStr;

use revenant_core::guest::MemoryLayout;
use serde::{Deserialize, Serialize};

use crate::machine::{Machine, PAGE_WORDS, layout_with_hole};

/// A guest program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Program {
    /// A kernel with nothing to do: a few pages ticked.
    Idle,
    /// A two-dimensional heat stencil, double-buffered: sweeps through all of memory row by row.
    Stencil,
    /// A hash table under updates: scattered single-page writes.
    KeyValue,
    /// An array sorted, shuffled and sorted again: dense writes at shrinking distance.
    Sort,
    /// Random updates, nine of ten into a tenth of memory.
    HotSet,
    /// Updates in a window that moves through memory: the working set of one interval is not that of the next.
    Sliding,
}

impl Program {
    /// All programs.
    pub const ALL: [Program; 6] = [
        Program::Idle,
        Program::Stencil,
        Program::KeyValue,
        Program::Sort,
        Program::HotSet,
        Program::Sliding,
    ];

    /// Frames every program needs at least.
    pub const PAGES_MIN: u64 = 8;

    /// The name used in specs and CSV files.
    pub fn name(self) -> &'static str {
        match self {
            Program::Idle => "idle",
            Program::Stencil => "stencil",
            Program::KeyValue => "key-value",
            Program::Sort => "sort",
            Program::HotSet => "hot-set",
            Program::Sliding => "sliding",
        }
    }

    /// Which frames a guest of this program and size has. Half of the programs live in a layout with a hole.
    pub(crate) fn layout(self, pages: u64) -> MemoryLayout {
        let pages = pages.max(Program::PAGES_MIN);
        match self {
            Program::Idle | Program::KeyValue | Program::Sliding => layout_with_hole(pages),
            Program::Stencil | Program::Sort | Program::HotSet => MemoryLayout::flat(pages),
        }
    }

    /// Sets memory and registers up for the first step.
    pub(crate) fn boot(self, machine: &mut Machine) {
        match self {
            Program::Idle => idle::boot(machine),
            Program::Stencil => stencil::boot(machine),
            Program::KeyValue => key_value::boot(machine),
            Program::Sort => sort::boot(machine),
            Program::HotSet => hot_set::boot(machine),
            Program::Sliding => sliding::boot(machine),
        }
    }

    /// A page, chosen by `draw` where there is a choice, whose content now decides what the program computes: it is read before
    /// it is overwritten, or stays to the end.
    pub(crate) fn page_in_use(self, machine: &Machine, draw: u64) -> u64 {
        let pages = machine.words() / PAGE_WORDS;
        match self {
            Program::Idle => idle::image_page(pages, draw),
            Program::Stencil => stencil::next_row(machine),
            // The first page is not the program's data in all of them.
            Program::KeyValue | Program::Sort | Program::HotSet | Program::Sliding => 1 + draw % (pages - 1),
        }
    }

    /// One step: at most a few hundred words touched.
    pub(crate) fn step(self, machine: &mut Machine) {
        match self {
            Program::Idle => idle::step(machine),
            Program::Stencil => stencil::step(machine),
            Program::KeyValue => key_value::step(machine),
            Program::Sort => sort::step(machine),
            Program::HotSet => hot_set::step(machine),
            Program::Sliding => sliding::step(machine),
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No guest program has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no guest program {0:?}: there is idle, stencil, key-value, sort, hot-set and sliding")]
pub struct UnknownProgram(pub String);

impl FromStr for Program {
    type Err = UnknownProgram;

    fn from_str(name: &str) -> Result<Self, UnknownProgram> {
        Program::ALL
            .into_iter()
            .find(|p| p.name() == name)
            .ok_or_else(|| UnknownProgram(name.to_owned()))
    }
}

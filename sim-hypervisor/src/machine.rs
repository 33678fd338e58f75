//! A simulated machine: memory as real bytes, a vCPU, a console, a dirty log. It knows no time and no hypervisor.

use std::ops::Range;

use revenant_core::guest::{MemoryLayout, PageTag, PfnSet, StateRecord};
use revenant_core::units::{PAGE_SIZE, Page};
use revenant_core::{HypervisorError, Pfn};

use crate::profile::SystemMemory;
use crate::program::Program;
use crate::system::{self, System};

/// 64-bit words in a page frame.
pub(crate) const PAGE_WORDS: u64 = (PAGE_SIZE / 8) as u64;

/// Registers of the vCPU.
pub(crate) const REGISTERS: usize = 16;

/// Register that counts the steps done.
pub(crate) const R_STEPS: usize = 0;
/// Register that holds the program's own random state.
pub(crate) const R_RANDOM: usize = 1;
/// Register that holds the number of steps after which the guest's work is done.
pub(crate) const R_TARGET: usize = 15;

const RECORD_PROGRAM: &str = "sim/program";
const RECORD_VCPU: &str = "sim/vcpu/0";
const RECORD_CONSOLE: &str = "sim/console";
/// Only of a machine that has memory besides its program's.
const RECORD_SYSTEM: &str = "sim/system";

/// What the guest printed, folded into a checksum: a device with state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Console {
    words: u64,
    checksum: u64,
}

/// A machine. All state of the program that runs on it is in memory, registers and console, so that saving those
/// and loading them elsewhere continues it exactly.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    program: Option<Program>,
    /// Frames of the program; those behind are the system's.
    program_frames: usize,
    system: System,
    layout: MemoryLayout,
    /// Frames in layout order.
    memory: Vec<u8>,
    tags: Vec<PageTag>,
    registers: [u64; REGISTERS],
    console: Console,
    /// Nanoseconds the vCPU ran towards its next step.
    pub(crate) carry_ns: u64,
    dirty: Option<Vec<u64>>,
}

impl Machine {
    /// No memory, no program.
    pub(crate) fn blank() -> Self {
        Machine {
            program: None,
            program_frames: 0,
            system: System::default(),
            layout: MemoryLayout::new(),
            memory: Vec::new(),
            tags: Vec::new(),
            registers: [0; REGISTERS],
            console: Console::default(),
            carry_ns: 0,
            dirty: None,
        }
    }

    /// A machine about to run the first step of `program`.
    pub(crate) fn boot(program: Program, pages: u64, seed: u64, target_steps: u64) -> Self {
        let mut machine = Machine::blank();
        machine.populate(&program.layout(pages));
        machine.program = Some(program);
        machine.registers[R_RANDOM] = seed;
        machine.registers[R_TARGET] = target_steps;
        program.boot(&mut machine);
        machine
    }

    /// Discards everything and takes these frames, all zero.
    pub(crate) fn populate(&mut self, layout: &MemoryLayout) {
        let pages = usize::try_from(layout.page_count()).unwrap_or(usize::MAX);
        *self = Machine::blank();
        self.layout = layout.clone();
        self.memory = vec![0; pages.saturating_mul(PAGE_SIZE)];
        self.tags = vec![PageTag::default(); pages];
        let system: u64 = layout
            .ranges()
            .iter()
            .map(|range| range.end.saturating_sub(range.start.max(system::FIRST_FRAME)))
            .sum();
        self.program_frames = pages - usize::try_from(system).unwrap_or(0).min(pages);
    }

    /// Takes more memory, which is not the program's.
    pub(crate) fn add_system(&mut self, memory: &SystemMemory) {
        if memory.pages == 0 {
            return;
        }
        let range = system::FIRST_FRAME..system::FIRST_FRAME + memory.pages;
        self.layout = self.layout.ranges().iter().cloned().chain([range]).collect();
        let before = self.memory.len();
        let pages = usize::try_from(memory.pages).unwrap_or(usize::MAX);
        self.memory.resize(before + pages.saturating_mul(PAGE_SIZE), 0);
        self.tags.resize(self.tags.len() + pages, PageTag::default());
        let used = self.memory[before..].chunks_mut(PAGE_SIZE);
        for (number, page) in (0..memory.used_pages).zip(used) {
            system::fill(page, number, memory);
        }
        self.system = System::new(memory);
    }

    /// What is not the program goes on for a while.
    pub(crate) fn run_system(&mut self, ran_ns: u64) {
        let mut system = std::mem::take(&mut self.system);
        let first = self.program_frames as u64;
        system.run(ran_ns, |page, value| {
            let word = (first + page) * PAGE_WORDS;
            let value = value.unwrap_or_else(|| self.load(word));
            self.store(word, value);
        });
        self.system = system;
    }

    pub(crate) fn layout(&self) -> &MemoryLayout {
        &self.layout
    }

    pub(crate) fn steps(&self) -> u64 {
        self.registers[R_STEPS]
    }

    /// Steps after which the work is done.
    pub(crate) fn target(&self) -> u64 {
        self.registers[R_TARGET]
    }

    pub(crate) fn finished(&self) -> bool {
        self.steps() >= self.target()
    }

    /// Runs up to `count` steps, never past the target; tells how many.
    pub(crate) fn run(&mut self, count: u64) -> u64 {
        let Some(program) = self.program else { return 0 };
        let count = count.min(self.target().saturating_sub(self.steps()));
        for _ in 0..count {
            program.step(self);
            self.registers[R_STEPS] += 1;
        }
        count
    }

    /// Number of 64-bit words of the program's memory.
    pub(crate) fn words(&self) -> u64 {
        self.program_frames as u64 * PAGE_WORDS
    }

    pub(crate) fn load(&self, word: u64) -> u64 {
        let at = byte_index(word);
        u64::from_le_bytes(*self.memory[at..].first_chunk().expect("inside memory"))
    }

    pub(crate) fn store(&mut self, word: u64, value: u64) {
        let at = byte_index(word);
        self.memory[at..at + 8].copy_from_slice(&value.to_le_bytes());
        if let Some(dirty) = &mut self.dirty {
            let page = word / PAGE_WORDS;
            dirty[usize::try_from(page / 64).expect("inside memory")] |= 1 << (page % 64);
        }
    }

    /// Flips these bits in every word of a page from which the program goes on, chosen by `place`.
    pub(crate) fn corrupt(&mut self, place: u64, flips: u64) {
        let Some(program) = self.program else { return };
        let first = program.page_in_use(self, place) * PAGE_WORDS;
        for word in first..first + PAGE_WORDS {
            let value = self.load(word);
            self.store(word, value ^ flips);
        }
    }

    pub(crate) fn register(&self, index: usize) -> u64 {
        self.registers[index]
    }

    pub(crate) fn set_register(&mut self, index: usize, value: u64) {
        self.registers[index] = value;
    }

    /// The next number of the program's own random sequence (splitmix64), its state in a register.
    pub(crate) fn random(&mut self) -> u64 {
        let state = self.registers[R_RANDOM].wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.registers[R_RANDOM] = state;
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Prints a word on the console.
    pub(crate) fn print(&mut self, word: u64) {
        self.console.words += 1;
        self.console.checksum = (self.console.checksum ^ word)
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(17);
    }

    pub(crate) fn set_tag(&mut self, page: u64, tag: PageTag) {
        self.tags[usize::try_from(page).expect("inside memory")] = tag;
    }

    /// BLAKE3 over layout, tags, memory, registers and console: everything that makes the program what it is. What the
    /// system does beside it goes by time and not by step, and is not part of this.
    pub(crate) fn digest(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        let program = |range: &&Range<u64>| range.start < system::FIRST_FRAME;
        for range in self.layout.ranges().iter().filter(program) {
            hasher.update(&range.start.to_le_bytes());
            hasher.update(&range.end.to_le_bytes());
        }
        for tag in &self.tags[..self.program_frames] {
            hasher.update(&[tag.0]);
        }
        hasher.update(&self.memory[..self.program_frames * PAGE_SIZE]);
        for register in self.registers {
            hasher.update(&register.to_le_bytes());
        }
        hasher.update(&self.console.words.to_le_bytes());
        hasher.update(&self.console.checksum.to_le_bytes());
        hasher.finalize()
    }

    /// Where a frame's bytes are.
    pub(crate) fn frame(&self, pfn: Pfn) -> Option<usize> {
        let mut before = 0;
        for range in self.layout.ranges() {
            if pfn.0 < range.start {
                return None;
            }
            if range.contains(&pfn.0) {
                return usize::try_from(before + pfn.0 - range.start).ok();
            }
            before += range.end - range.start;
        }
        None
    }

    pub(crate) fn page(&self, frame: usize) -> &Page {
        self.memory[frame * PAGE_SIZE..]
            .first_chunk()
            .expect("inside memory")
    }

    pub(crate) fn tag(&self, frame: usize) -> PageTag {
        self.tags[frame]
    }

    /// A write from outside the vCPU: the toolstack or a device.
    pub(crate) fn write_page(&mut self, frame: usize, tag: PageTag, page: &Page) {
        self.memory[frame * PAGE_SIZE..][..PAGE_SIZE].copy_from_slice(page);
        self.tags[frame] = tag;
        if let Some(dirty) = &mut self.dirty {
            dirty[frame / 64] |= 1 << (frame % 64);
        }
    }

    pub(crate) fn set_dirty_log(&mut self, on: bool) {
        match (on, &self.dirty) {
            (true, None) => self.dirty = Some(vec![0; self.tags.len().div_ceil(64)]),
            (true, Some(_)) => {}
            (false, _) => self.dirty = None,
        }
    }

    /// Reads and clears the log; `None` if it is off.
    pub(crate) fn take_dirty(&mut self, into: &mut PfnSet) -> Option<()> {
        let dirty = self.dirty.as_mut()?;
        let mut frames = self.layout.iter();
        let mut next = 0;
        for (index, word) in dirty.iter_mut().enumerate() {
            let mut bits = std::mem::take(word);
            while bits != 0 {
                let frame = index * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                into.insert(frames.nth(frame - next).expect("one frame number for each frame"));
                next = frame + 1;
            }
        }
        Some(())
    }

    pub(crate) fn save_state(&self) -> Vec<StateRecord> {
        let name = self.program.map_or("", Program::name);
        let mut vcpu = Vec::with_capacity((REGISTERS + 1) * 8);
        for word in self.registers.iter().chain([&self.carry_ns]) {
            vcpu.extend_from_slice(&word.to_le_bytes());
        }
        let console = [
            self.console.words.to_le_bytes(),
            self.console.checksum.to_le_bytes(),
        ]
        .concat();
        let mut records = vec![
            StateRecord::new(RECORD_PROGRAM, name),
            StateRecord::new(RECORD_VCPU, vcpu),
            StateRecord::new(RECORD_CONSOLE, console),
        ];
        if self.system != System::default() {
            let words = self.system.words().map(u64::to_le_bytes);
            records.push(StateRecord::new(RECORD_SYSTEM, words.concat()));
        }
        records
    }

    pub(crate) fn load_state(&mut self, records: &[StateRecord]) -> Result<(), HypervisorError> {
        let (program, vcpu, console, system) = match records {
            [program, vcpu, console] => (program, vcpu, console, None),
            [program, vcpu, console, system] => (program, vcpu, console, Some(system)),
            _ => {
                let reason = format!("expected 3 or 4 records, found {}", records.len());
                return Err(bad(RECORD_VCPU, reason));
            }
        };
        for (record, name) in [
            (program, RECORD_PROGRAM),
            (vcpu, RECORD_VCPU),
            (console, RECORD_CONSOLE),
        ]
        .into_iter()
        .chain(system.map(|record| (record, RECORD_SYSTEM)))
        {
            if record.name != name {
                return Err(bad(&record.name, format!("expected {name} here")));
            }
        }
        let loaded = match program.bytes.as_slice() {
            [] => None,
            name => Some(
                std::str::from_utf8(name)
                    .ok()
                    .and_then(|name| name.parse().ok())
                    .ok_or_else(|| bad(RECORD_PROGRAM, "names no guest program".to_owned()))?,
            ),
        };
        let vcpu: [u64; REGISTERS + 1] = words(vcpu)?;
        let system = match system {
            Some(record) => {
                let pages = (self.tags.len() - self.program_frames) as u64;
                System::from_words(words(record)?, pages)
                    .ok_or_else(|| bad(RECORD_SYSTEM, format!("is not that of {pages} pages")))?
            }
            None => System::default(),
        };
        let [words, checksum] = words(console)?;
        self.system = system;
        self.program = loaded;
        self.registers.copy_from_slice(&vcpu[..REGISTERS]);
        self.carry_ns = vcpu[REGISTERS];
        self.console = Console { words, checksum };
        Ok(())
    }
}

/// The record's bytes as exactly `N` little-endian words.
fn words<const N: usize>(record: &StateRecord) -> Result<[u64; N], HypervisorError> {
    if record.bytes.len() != N * 8 {
        return Err(bad(
            &record.name,
            format!("expected {} bytes, found {}", N * 8, record.bytes.len()),
        ));
    }
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(record.bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    }
    Ok(words)
}

fn bad(name: &str, reason: String) -> HypervisorError {
    HypervisorError::BadState {
        name: name.to_owned(),
        reason,
    }
}

fn byte_index(word: u64) -> usize {
    usize::try_from(word * 8).expect("inside memory")
}

/// A layout of `pages` frames with a hole: all but the last two low, those at the top of the 32-bit space.
pub(crate) fn layout_with_hole(pages: u64) -> MemoryLayout {
    const HIGH: u64 = 0xfee00;
    let low: Range<u64> = 0..pages.saturating_sub(2);
    let high = HIGH..HIGH + pages.min(2);
    [low, high].into_iter().collect()
}

//! The memory of a guest besides that of its program, as far as a checkpoint feels it: how much there is, how well it
//! compresses, and how fast it changes.

use revenant_core::units::PAGE_SIZE;

use crate::profile::SystemMemory;

/// First frame of the system's memory: past every layout of programs.
pub(crate) const FIRST_FRAME: u64 = 1 << 20;

/// What a machine does to its system's memory, and how far it has come. Everything else is in that memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct System {
    hot_pages: u64,
    changing_pages: u64,
    writes_per_s: u64,
    /// Writes done.
    written: u64,
    /// Nanoseconds times writes per second, towards the next write.
    carry: u64,
}

/// Fields of [`System`], for its state record.
pub(crate) const WORDS: usize = 5;

impl System {
    pub(crate) fn new(memory: &SystemMemory) -> Self {
        System {
            hot_pages: memory.hot_pages,
            changing_pages: memory.changing_pages,
            writes_per_s: memory.writes_per_s,
            written: 0,
            carry: 0,
        }
    }

    pub(crate) fn words(&self) -> [u64; WORDS] {
        [
            self.hot_pages,
            self.changing_pages,
            self.writes_per_s,
            self.written,
            self.carry,
        ]
    }

    /// From its words; `None` if they are of no system with so many pages.
    pub(crate) fn from_words(words: [u64; WORDS], pages: u64) -> Option<Self> {
        let [hot_pages, changing_pages, writes_per_s, written, carry] = words;
        let sound = changing_pages <= hot_pages
            && hot_pages <= pages
            && (writes_per_s == 0 || hot_pages > 0)
            && carry < NANOS;
        sound.then_some(System {
            hot_pages,
            changing_pages,
            writes_per_s,
            written,
            carry,
        })
    }

    /// Runs for a while; `write` is called with each page written and what to write, `None` for what is there already.
    pub(crate) fn run(&mut self, ran_ns: u64, mut write: impl FnMut(u64, Option<u64>)) {
        let progress = u128::from(ran_ns) * u128::from(self.writes_per_s) + u128::from(self.carry);
        let due = progress / u128::from(NANOS);
        self.carry = u64::try_from(progress % u128::from(NANOS)).expect("less than a second");
        // All pages are written many times over by then.
        let due = u64::try_from(due)
            .unwrap_or(u64::MAX)
            .min(self.hot_pages.saturating_mul(64));
        for _ in 0..due {
            self.written += 1;
            let draw = mix(self.written);
            let page = draw % self.hot_pages;
            write(page, (page < self.changing_pages).then_some(draw));
        }
    }
}

const NANOS: u64 = 1_000_000_000;

/// The content of a page at the start: the entropy of its number in the first bytes, nothing in the others.
pub(crate) fn fill(page: &mut [u8], number: u64, memory: &SystemMemory) {
    let number = if number < memory.distinct_pages { number } else { 0 };
    let bytes = usize::try_from(memory.page_entropy.bytes)
        .unwrap_or(PAGE_SIZE)
        .clamp(8, PAGE_SIZE);
    for (index, chunk) in (0u64..).zip(page[..bytes].chunks_mut(8)) {
        let word = mix(number << 10 | index).to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
}

/// splitmix64's finalizer.
fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

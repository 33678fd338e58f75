//! Entries that are far off, unsorted: a hierarchy of wheels (Varghese and Lauck, SOSP 1987, scheme 7).
//!
//! A slot of the wheel at level l spans 64ˡ keys. An entry waits at the level of the highest digit (to the base 64) in which its key is above the
//! cursor, in the slot of that digit. So every entry of a level comes before those of the levels above, and in a level the lowest slot comes first.

use super::Entry;

const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
const LEVELS: usize = u64::BITS.div_ceil(DIGIT_BITS) as usize;
/// A slot with no more entries is not worth being parted further: the heap takes them as they are.
const FEW: usize = 24;

#[derive(Debug, Clone)]
pub(super) struct Wheel<E> {
    slots: Vec<Vec<Entry<E>>>,
    /// By level: which of its slots have entries.
    taken: [u64; LEVELS],
    /// Keys up to this one are at hand and have no place here. It does not go back.
    cursor: u64,
    len: usize,
}

impl<E: Copy> Default for Wheel<E> {
    fn default() -> Wheel<E> {
        Wheel {
            slots: vec![Vec::new(); LEVELS * SLOTS],
            taken: [0; LEVELS],
            cursor: 0,
            len: 0,
        }
    }
}

impl<E: Copy> Wheel<E> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Takes an entry, unless it is at hand: then it is given back.
    #[inline]
    pub(super) fn put(&mut self, entry: Entry<E>) -> Option<Entry<E>> {
        if entry.key <= self.cursor {
            return Some(entry);
        }
        let level = (entry.key ^ self.cursor).ilog2() / DIGIT_BITS;
        let slot = (entry.key >> (DIGIT_BITS * level)) & 63;
        self.taken[level as usize] |= 1 << slot;
        self.slots[place(level, slot as u32)].push(entry);
        self.len += 1;
        None
    }

    /// Brings the next entries to hand, at least one unless there is none: whatever is given out comes before all that is left.
    pub(super) fn bring(&mut self, mut give: impl FnMut(Entry<E>)) {
        let mut none = true;
        while none && let Some((level, taken)) = (0..).zip(&mut self.taken).find(|(_, taken)| **taken != 0) {
            let slot = taken.trailing_zeros();
            *taken &= *taken - 1;
            let mut entries = std::mem::take(&mut self.slots[place(level, slot)]);
            self.len -= entries.len();
            // The cursor goes no further than it must: what comes up meanwhile waits here rather than in the heap.
            self.cursor = if entries.len() <= FEW {
                entries.iter().map(|entry| entry.key).max().unwrap_or(self.cursor)
            } else {
                self.first_of(level, slot)
            };
            for entry in entries.drain(..) {
                if let Some(at_hand) = self.put(entry) {
                    none = false;
                    give(at_hand);
                }
            }
            // The slot keeps its memory.
            self.slots[place(level, slot)] = entries;
        }
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&Entry<E>) -> bool) {
        self.len = 0;
        for (level, taken) in (0..).zip(&mut self.taken) {
            let mut left = *taken;
            while left != 0 {
                let slot = left.trailing_zeros();
                left &= left - 1;
                let entries = &mut self.slots[place(level, slot)];
                entries.retain(&keep);
                self.len += entries.len();
                if entries.is_empty() {
                    *taken &= !(1 << slot);
                }
            }
        }
    }

    /// The first key of a slot.
    fn first_of(&self, level: u32, slot: u32) -> u64 {
        let low = DIGIT_BITS * level;
        let above = u64::MAX.checked_shl(low + DIGIT_BITS).unwrap_or(0);
        (self.cursor & above) | (u64::from(slot) << low)
    }
}

#[inline]
fn place(level: u32, slot: u32) -> usize {
    level as usize * SLOTS + slot as usize
}

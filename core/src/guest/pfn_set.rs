//! A sparse set of frame numbers.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::units::Pfn;

/// Frames a leaf covers: one cache-friendly bitmap of 512 bytes.
const LEAF_BITS: u64 = 4096;
const LEAF_WORDS: usize = 64;

/// A set of frame numbers that costs memory by population, not by span: 512 bytes for each started run of
/// 4,096 frames. Holds dirty logs, which arrive as bitmap words.
#[derive(Debug, Clone, Default)]
pub struct PfnSet {
    leaves: BTreeMap<u64, Box<[u64; LEAF_WORDS]>>,
    len: u64,
}

impl PfnSet {
    /// The empty set.
    pub fn new() -> Self {
        PfnSet::default()
    }

    /// Number of frames in the set.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Holds no frame.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Empties the set.
    pub fn clear(&mut self) {
        self.leaves.clear();
        self.len = 0;
    }

    /// Adds a frame; tells whether it is new.
    pub fn insert(&mut self, pfn: Pfn) -> bool {
        let before = self.len;
        self.insert_word(Pfn(pfn.0 & !63), 1 << (pfn.0 % 64));
        self.len != before
    }

    /// Adds the frames `first + i` for every bit `i` set in `word`. `first` is a multiple of 64.
    pub fn insert_word(&mut self, first: Pfn, word: u64) {
        debug_assert_eq!(first.0 % 64, 0, "a bitmap word starts at a multiple of 64");
        if word == 0 {
            return;
        }
        let leaf = self
            .leaves
            .entry(first.0 / LEAF_BITS)
            .or_insert_with(|| Box::new([0; LEAF_WORDS]));
        let slot = &mut leaf[word_index(first)];
        self.len += u64::from((word & !*slot).count_ones());
        *slot |= word;
    }

    /// Removes a frame; tells whether it was there.
    pub fn remove(&mut self, pfn: Pfn) -> bool {
        let Entry::Occupied(mut leaf) = self.leaves.entry(pfn.0 / LEAF_BITS) else {
            return false;
        };
        let slot = &mut leaf.get_mut()[word_index(pfn)];
        let bit = 1 << (pfn.0 % 64);
        let was = *slot & bit != 0;
        *slot &= !bit;
        if leaf.get().iter().all(|&word| word == 0) {
            leaf.remove();
        }
        self.len -= u64::from(was);
        was
    }

    /// Is this frame in the set?
    pub fn contains(&self, pfn: Pfn) -> bool {
        self.leaves
            .get(&(pfn.0 / LEAF_BITS))
            .is_some_and(|leaf| leaf[word_index(pfn)] >> (pfn.0 % 64) & 1 == 1)
    }

    /// Adds every frame of `other`.
    pub fn union_with(&mut self, other: &PfnSet) {
        for (&key, leaf) in &other.leaves {
            for (i, &word) in (0u64..).zip(leaf.iter()) {
                self.insert_word(Pfn(key * LEAF_BITS + i * 64), word);
            }
        }
    }

    /// The frames in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Pfn> + '_ {
        self.leaves.iter().flat_map(|(&key, leaf)| {
            (0u64..).zip(leaf.iter()).flat_map(move |(i, &word)| {
                let first = key * LEAF_BITS + i * 64;
                BitsOf(word).map(move |bit| Pfn(first + bit))
            })
        })
    }
}

impl FromIterator<Pfn> for PfnSet {
    fn from_iter<I: IntoIterator<Item = Pfn>>(iter: I) -> Self {
        let mut set = PfnSet::new();
        for pfn in iter {
            set.insert(pfn);
        }
        set
    }
}

/// Positions of the set bits of a word, lowest first.
struct BitsOf(u64);

impl Iterator for BitsOf {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let bit = (self.0 != 0).then(|| u64::from(self.0.trailing_zeros()))?;
        self.0 &= self.0 - 1;
        Some(bit)
    }
}

fn word_index(pfn: Pfn) -> usize {
    usize::try_from(pfn.0 % LEAF_BITS / 64).expect("below 64")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against the obvious set: any mix of inserts, removes and unions.
        #[test]
        fn behaves_as_a_btree_set(ops in prop::collection::vec((0..3u8, 0..20_000u64, any::<u64>()), 0..200)) {
            let (mut set, mut model) = (PfnSet::new(), BTreeSet::new());
            for (op, pfn, word) in ops {
                match op {
                    0 => prop_assert_eq!(set.insert(Pfn(pfn)), model.insert(pfn)),
                    1 => prop_assert_eq!(set.remove(Pfn(pfn)), model.remove(&pfn)),
                    _ => {
                        let mut other = PfnSet::new();
                        other.insert_word(Pfn(pfn & !63), word);
                        set.union_with(&other);
                        model.extend((0..64).filter(|i| word >> i & 1 == 1).map(|i| (pfn & !63) + i));
                    }
                }
                prop_assert_eq!(set.contains(Pfn(pfn)), model.contains(&pfn));
            }
            prop_assert_eq!(set.len(), model.len() as u64);
            prop_assert!(set.iter().map(|p| p.0).eq(model.iter().copied()));
        }
    }
}

//! Recognises pages that are stored already.

use std::collections::BTreeMap;

use hashbrown::HashTable;

use super::SegmentName;
use super::chunked::Chunked;
use super::id::Digest;

/// Where a page is: number of the segment in the table, slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) segment: u32,
    pub(super) slot: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    digest: Digest,
    at: Location,
}

/// Digests of stored pages with their places, bounded: when it is full the oldest entry gives way. 24 bytes an entry, and 5
/// to 10 for the hash table over them.
#[derive(Debug)]
pub(super) struct DedupIndex {
    entries: Chunked<Entry>,
    table: HashTable<u32>,
    capacity: usize,
    /// The entry that gives way next, once full.
    oldest: usize,
}

impl DedupIndex {
    pub(super) fn new(capacity: usize) -> Self {
        let capacity = capacity.min(u32::MAX as usize);
        DedupIndex {
            entries: Chunked::new(),
            table: HashTable::new(),
            capacity,
            oldest: 0,
        }
    }

    /// Has no room left but by forgetting.
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= self.capacity
    }

    pub(super) fn find(&self, digest: &Digest) -> Option<Location> {
        let index = self
            .table
            .find(hash(digest), |&i| self.entries.get(i as usize).digest == *digest)?;
        Some(self.entries.get(*index as usize).at)
    }

    /// Adds a page that `find` does not know.
    pub(super) fn insert(&mut self, digest: Digest, at: Location) {
        let entry = Entry { digest, at };
        let index = if !self.is_full() {
            self.entries.push(entry);
            self.entries.len() - 1
        } else if self.capacity == 0 {
            return;
        } else {
            let index = self.oldest;
            self.oldest = (index + 1) % self.capacity;
            let old = self.entries.get(index);
            if let Ok(found) = self.table.find_entry(hash(&old.digest), |&i| i as usize == index) {
                found.remove();
            }
            self.entries.set(index, entry);
            index
        };
        let entries = &self.entries;
        let index = u32::try_from(index).expect("the capacity fits");
        self.table
            .insert_unique(hash(&digest), index, |&i| hash(&entries.get(i as usize).digest));
    }
}

/// A digest is as good a hash as any part of it.
fn hash(digest: &Digest) -> u64 {
    u64::from_le_bytes(*digest.first_chunk().expect("a digest has 16 bytes"))
}

/// Numbers for the segments that a page map speaks of.
#[derive(Debug, Default)]
pub(super) struct SegmentTable {
    /// `None`: still being written.
    names: Vec<Option<SegmentName>>,
    numbers: BTreeMap<SegmentName, u32>,
}

impl SegmentTable {
    /// The number of a segment, a new one if it has none.
    pub(super) fn number(&mut self, name: SegmentName) -> u32 {
        if let Some(&number) = self.numbers.get(&name) {
            return number;
        }
        let number = self.reserve();
        self.set_name(number, name);
        number
    }

    /// A number for a segment that has no name yet.
    pub(super) fn reserve(&mut self) -> u32 {
        self.names.push(None);
        u32::try_from(self.names.len() - 1).expect("fewer segments than bytes of memory")
    }

    pub(super) fn set_name(&mut self, number: u32, name: SegmentName) {
        self.names[number as usize] = Some(name);
        self.numbers.entry(name).or_insert(number);
    }

    pub(super) fn name(&self, number: u32) -> Option<SegmentName> {
        self.names[number as usize]
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_the_oldest_when_full() {
        let page = |i: u32| crate::store::id::digest(&i.to_le_bytes());
        let mut index = DedupIndex::new(3);
        for i in 0..10 {
            assert_eq!(index.find(&page(i)), None);
            index.insert(page(i), Location { segment: 1, slot: i });
            let known: Vec<_> = (0..10)
                .filter_map(|j| index.find(&page(j)))
                .map(|at| at.slot)
                .collect();
            assert_eq!(known, (i.saturating_sub(2)..=i).collect::<Vec<_>>());
        }
        let mut off = DedupIndex::new(0);
        off.insert(page(0), Location { segment: 0, slot: 0 });
        assert_eq!(off.find(&page(0)), None);
    }
}

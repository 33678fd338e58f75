//! A small cache that forgets what was not used for longest.

use std::collections::BTreeMap;

/// At most a few hundred things: finding the one to forget looks at all.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    entries: BTreeMap<K, (u64, V)>,
    capacity: usize,
    uses: u64,
}

impl<K: Ord + Copy, V> Cache<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Cache {
            entries: BTreeMap::new(),
            capacity,
            uses: 0,
        }
    }

    pub(super) fn get(&mut self, key: K) -> Option<&V> {
        self.uses += 1;
        let (used, value) = self.entries.get_mut(&key)?;
        *used = self.uses;
        Some(value)
    }

    /// Adds a value and gives back the one that made room, if one had to.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.uses += 1;
        let forgotten = if self.entries.len() >= self.capacity && !self.entries.contains_key(&key) {
            let oldest = self
                .entries
                .iter()
                .min_by_key(|(_, (used, _))| *used)
                .map(|(&key, _)| key);
            oldest
                .and_then(|key| self.entries.remove(&key))
                .map(|(_, value)| value)
        } else {
            None
        };
        self.entries.insert(key, (self.uses, value));
        forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_what_was_not_used_for_longest() {
        let mut cache = Cache::new(2);
        assert_eq!((cache.insert(1, 'a'), cache.insert(2, 'b')), (None, None));
        assert_eq!(cache.get(1), Some(&'a'));
        assert_eq!(cache.insert(3, 'c'), Some('b'));
        for (key, kept) in [(1, Some('a')), (2, None), (3, Some('c'))] {
            assert_eq!(cache.get(key).copied(), kept);
        }
    }
}

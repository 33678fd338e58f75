//! Entries at hand, in order: a 4-ary heap.

use super::Entry;

const ARITY: usize = 4;

/// Entries of which the first is at hand.
#[derive(Debug, Clone)]
pub(super) struct Heap<E>(Vec<Entry<E>>);

impl<E> Default for Heap<E> {
    fn default() -> Heap<E> {
        Heap(Vec::new())
    }
}

impl<E: Copy> Heap<E> {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    pub(super) fn first(&self) -> Option<&Entry<E>> {
        self.0.first()
    }

    #[inline]
    pub(super) fn push(&mut self, entry: Entry<E>) {
        self.0.push(entry);
        self.rise(self.0.len() - 1);
    }

    #[inline]
    pub(super) fn remove_first(&mut self) {
        if let Some(last) = self.0.pop()
            && !self.0.is_empty()
        {
            self.0[0] = last;
            self.sink(0);
        }
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&Entry<E>) -> bool) {
        self.0.retain(keep);
        for index in (0..self.0.len().div_ceil(ARITY)).rev() {
            self.sink(index);
        }
    }

    fn rise(&mut self, mut index: usize) {
        let entry = self.0[index];
        while index > 0 {
            let parent = (index - 1) / ARITY;
            if self.0[parent].order() < entry.order() {
                break;
            }
            self.0[index] = self.0[parent];
            index = parent;
        }
        self.0[index] = entry;
    }

    fn sink(&mut self, mut index: usize) {
        let entry = self.0[index];
        let length = self.0.len();
        loop {
            let first = index * ARITY + 1;
            if first >= length {
                break;
            }
            let mut least = first;
            for child in first + 1..(first + ARITY).min(length) {
                if self.0[child].order() < self.0[least].order() {
                    least = child;
                }
            }
            if entry.order() < self.0[least].order() {
                break;
            }
            self.0[index] = self.0[least];
            index = least;
        }
        self.0[index] = entry;
    }
}

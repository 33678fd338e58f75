//! A queue of events: a 4-ary heap of small entries over a slab of payloads.
//!
//! Order is by key, then class, then the order of scheduling, so it never depends on how the heap happens to lie. A cancelled
//! event frees its place in the slab at once; its entry in the heap is recognised by its number and thrown away when it
//! comes up, or when such entries outnumber the others.

/// An event that is to come. Numbers are never used twice, so an old handle harms nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventId {
    place: u32,
    number: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry<K> {
    key: K,
    /// Class in the two highest bits, then a running number.
    number: u64,
    place: u32,
}

#[derive(Debug, Clone, Copy)]
struct Place<E> {
    /// Of the event that is here; `VACANT` if there is none.
    number: u64,
    event: E,
}

const VACANT: u64 = u64::MAX;
const ARITY: usize = 4;
/// Below this many entries nothing is gained by clearing out.
const CLEAR_MIN: usize = 64;

/// Events in the order of their keys.
#[derive(Debug, Clone)]
pub struct Queue<K, E> {
    heap: Vec<Entry<K>>,
    places: Vec<Place<E>>,
    vacant: Vec<u32>,
    next: u64,
}

impl<K: Ord + Copy, E: Copy> Default for Queue<K, E> {
    fn default() -> Self {
        Queue {
            heap: Vec::new(),
            places: Vec::new(),
            vacant: Vec::new(),
            next: 0,
        }
    }
}

impl<K: Ord + Copy, E: Copy> Queue<K, E> {
    /// Events to come.
    pub fn len(&self) -> usize {
        self.places.len() - self.vacant.len()
    }

    /// Whether nothing is to come.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts an event in. Of events with one key those of a lower class (0 to 2) come first, and among these the ones that were
    /// scheduled first.
    ///
    /// # Panics
    /// If more than 2³² events are to come.
    pub fn schedule(&mut self, key: K, class: u8, event: E) -> EventId {
        let number = (u64::from(class) << 62) | self.next;
        self.next += 1;
        let taken = Place { number, event };
        let place = if let Some(place) = self.vacant.pop() {
            self.places[place as usize] = taken;
            place
        } else {
            self.places.push(taken);
            u32::try_from(self.places.len() - 1).expect("fewer than 2^32 events at a time")
        };
        self.heap.push(Entry { key, number, place });
        self.rise(self.heap.len() - 1);
        EventId { place, number }
    }

    /// Takes an event out; `None` if it has come or was cancelled.
    pub fn cancel(&mut self, id: EventId) -> Option<E> {
        let place = self.places.get_mut(id.place as usize)?;
        if place.number != id.number {
            return None;
        }
        place.number = VACANT;
        let event = place.event;
        self.vacant.push(id.place);
        self.clear_if_crowded();
        Some(event)
    }

    /// The key of the next event.
    pub fn next_key(&mut self) -> Option<K> {
        while let Some(first) = self.heap.first() {
            if self.places[first.place as usize].number == first.number {
                return Some(first.key);
            }
            self.remove_first();
        }
        None
    }

    /// The next event.
    pub fn pop(&mut self) -> Option<(K, E)> {
        loop {
            let first = *self.heap.first()?;
            self.remove_first();
            let place = &mut self.places[first.place as usize];
            if place.number == first.number {
                place.number = VACANT;
                let event = place.event;
                self.vacant.push(first.place);
                self.clear_if_crowded();
                return Some((first.key, event));
            }
        }
    }

    fn remove_first(&mut self) {
        if let Some(last) = self.heap.pop()
            && !self.heap.is_empty()
        {
            self.heap[0] = last;
            self.sink(0);
        }
    }

    /// Events that come leave those behind that were cancelled and would have come later, as cancelling does.
    #[inline]
    fn clear_if_crowded(&mut self) {
        if self.heap.len() > CLEAR_MIN && self.heap.len() > 2 * self.len() {
            self.clear_out();
        }
    }

    fn clear_out(&mut self) {
        let places = &self.places;
        self.heap
            .retain(|entry| places[entry.place as usize].number == entry.number);
        for index in (0..=self.heap.len() / ARITY).rev() {
            if index < self.heap.len() {
                self.sink(index);
            }
        }
    }

    fn rise(&mut self, mut index: usize) {
        let entry = self.heap[index];
        while index > 0 {
            let parent = (index - 1) / ARITY;
            if before(&self.heap[parent], &entry) {
                break;
            }
            self.heap[index] = self.heap[parent];
            index = parent;
        }
        self.heap[index] = entry;
    }

    fn sink(&mut self, mut index: usize) {
        let entry = self.heap[index];
        let length = self.heap.len();
        loop {
            let first = index * ARITY + 1;
            if first >= length {
                break;
            }
            let children = &self.heap[first..(first + ARITY).min(length)];
            let mut least = 0;
            for (child, candidate) in children.iter().enumerate().skip(1) {
                if before(candidate, &children[least]) {
                    least = child;
                }
            }
            if before(&entry, &children[least]) {
                break;
            }
            self.heap[index] = children[least];
            index = first + least;
        }
        self.heap[index] = entry;
    }
}

#[inline]
fn before<K: Ord>(one: &Entry<K>, other: &Entry<K>) -> bool {
    (&one.key, one.number) < (&other.key, other.number)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Call {
        Schedule(u64, u8),
        Cancel(usize),
        Pop,
    }

    fn call() -> impl Strategy<Value = Call> {
        prop_oneof![
            3 => (0u64..50, 0u8..3).prop_map(|(key, class)| Call::Schedule(key, class)),
            2 => any::<prop::sample::Index>().prop_map(|index| Call::Cancel(index.index(1000))),
            2 => Just(Call::Pop),
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_sorted_map(calls in prop::collection::vec(call(), 0..600)) {
            let mut queue = Queue::default();
            let mut model = BTreeMap::new();
            let mut handles = Vec::new();
            for (number, call) in calls.into_iter().enumerate() {
                match call {
                    Call::Schedule(key, class) => {
                        handles.push((queue.schedule(key, class, number), (key, class, number)));
                        model.insert((key, class, number), number);
                    }
                    Call::Cancel(index) if !handles.is_empty() => {
                        let (id, key) = handles[index % handles.len()];
                        prop_assert_eq!(queue.cancel(id), model.remove(&key));
                    }
                    Call::Cancel(_) => {}
                    Call::Pop => {
                        let first = model.pop_first().map(|((key, _, _), event)| (key, event));
                        prop_assert_eq!(queue.next_key(), first.map(|(key, _)| key));
                        prop_assert_eq!(queue.pop(), first);
                    }
                }
                prop_assert_eq!(queue.len(), model.len());
                let cancelled = queue.heap.len() - queue.len();
                prop_assert!(cancelled <= CLEAR_MIN.max(queue.len()), "{cancelled} of {}", queue.heap.len());
            }
        }
    }
}

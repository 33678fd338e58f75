//! A queue of events: those at hand in a heap, the others unsorted in a hierarchy of wheels.
//!
//! Order is by key, then class, then the order of scheduling, so it never depends on how the entries happen to lie. An event that
//! is far off is moved a few times on its way to the heap, each time beside others of about its time: that costs a fraction of
//! what sorting all that is to come would, and touches little memory. The entry of a cancelled event is recognised by its number,
//! and thrown away when it comes up, or when such entries outnumber the others.

mod heap;
mod places;
mod wheel;

use heap::Heap;
use places::Places;
use wheel::Wheel;

/// An event that is to come. Numbers are never used twice, so an old handle harms nobody.
#[derive(Debug, Clone, Copy)]
pub struct EventId {
    place: u32,
    number: u64,
}

/// What is sorted.
#[derive(Debug, Clone, Copy)]
struct Entry<E> {
    key: u64,
    /// Class in the two highest bits, then a running number.
    number: u64,
    place: u32,
    event: E,
}

impl<E> Entry<E> {
    /// Key and number as one, which is compared faster.
    #[inline]
    fn order(&self) -> u128 {
        u128::from(self.key) << 64 | u128::from(self.number)
    }
}

/// Below this many entries nothing is gained by clearing out.
const CLEAR_MIN: usize = 64;

/// Events in the order of their keys.
#[derive(Debug, Clone)]
pub struct Queue<E> {
    near: Heap<E>,
    far: Wheel<E>,
    places: Places,
    next: u64,
}

impl<E: Copy> Default for Queue<E> {
    fn default() -> Self {
        Queue {
            near: Heap::default(),
            far: Wheel::default(),
            places: Places::default(),
            next: 0,
        }
    }
}

impl<E: Copy> Queue<E> {
    /// Events to come.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nothing is to come.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts an event in. Of events with one key those of a lower class (0 to 2) come first, and among these the ones that were
    /// scheduled first. A key may be smaller than those that have come: such an event goes straight to the heap.
    ///
    /// # Panics
    /// If more than 2³² events are to come.
    pub fn schedule(&mut self, key: u64, class: u8, event: E) -> EventId {
        let number = (u64::from(class) << 62) | self.next;
        self.next += 1;
        let place = self.places.put(number);
        if let Some(at_hand) = self.far.put(Entry {
            key,
            number,
            place,
            event,
        }) {
            self.near.push(at_hand);
        }
        EventId { place, number }
    }

    /// Takes an event out; false if it has come or was cancelled.
    pub fn cancel(&mut self, id: EventId) -> bool {
        let found = self.places.take(id.place, id.number);
        self.clear_if_crowded();
        found
    }

    /// The key of the next event.
    pub fn next_key(&mut self) -> Option<u64> {
        loop {
            let first = *self.first()?;
            if self.places.has(first.place, first.number) {
                return Some(first.key);
            }
            self.near.remove_first();
        }
    }

    /// The next event.
    pub fn pop(&mut self) -> Option<(u64, E)> {
        loop {
            let first = *self.first()?;
            self.near.remove_first();
            if self.places.take(first.place, first.number) {
                self.clear_if_crowded();
                return Some((first.key, first.event));
            }
        }
    }

    /// The entry that comes next.
    #[inline]
    fn first(&mut self) -> Option<&Entry<E>> {
        if self.near.first().is_none() {
            let near = &mut self.near;
            self.far.bring(|entry| near.push(entry));
        }
        self.near.first()
    }

    /// Entries of events that are to come, or were cancelled.
    fn entries(&self) -> usize {
        self.near.len() + self.far.len()
    }

    /// Events that come leave those behind that were cancelled and would have come later, as cancelling does.
    #[inline]
    fn clear_if_crowded(&mut self) {
        let entries = self.entries();
        if entries > CLEAR_MIN && entries > 2 * self.len() {
            let keep = |entry: &Entry<E>| self.places.has(entry.place, entry.number);
            self.near.retain(keep);
            self.far.retain(keep);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Call {
        Schedule(u64, u8),
        /// So much after the event that came last.
        After(u64, u8),
        Cancel(usize),
        Pop,
    }

    /// Of every magnitude, and some that come again.
    fn key() -> impl Strategy<Value = u64> {
        prop_oneof![
            0u64..50,
            (any::<u64>(), 0u32..64).prop_map(|(key, shift)| key >> shift),
            Just(u64::MAX),
        ]
    }

    fn call() -> impl Strategy<Value = Call> {
        prop_oneof![
            1 => (key(), 0u8..3).prop_map(|(key, class)| Call::Schedule(key, class)),
            3 => (key(), 0u8..3).prop_map(|(gap, class)| Call::After(gap, class)),
            2 => any::<prop::sample::Index>().prop_map(|index| Call::Cancel(index.index(1000))),
            2 => Just(Call::Pop),
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_sorted_map(calls in prop::collection::vec(call(), 0..1_500)) {
            let mut queue = Queue::default();
            let mut model = BTreeMap::new();
            let mut handles = Vec::new();
            let mut now = 0u64;
            for (number, call) in calls.into_iter().enumerate() {
                let call = match call {
                    Call::After(gap, class) => Call::Schedule(now.saturating_add(gap), class),
                    call => call,
                };
                match call {
                    Call::Schedule(key, class) | Call::After(key, class) => {
                        handles.push((queue.schedule(key, class, number), (key, class, number)));
                        model.insert((key, class, number), number);
                    }
                    Call::Cancel(index) if !handles.is_empty() => {
                        let (id, key) = handles[index % handles.len()];
                        prop_assert_eq!(queue.cancel(id), model.remove(&key).is_some());
                    }
                    Call::Cancel(_) => {}
                    Call::Pop => {
                        let first = model.pop_first().map(|((key, _, _), event)| (key, event));
                        prop_assert_eq!(queue.next_key(), first.map(|(key, _)| key));
                        prop_assert_eq!(queue.pop(), first);
                        now = first.map_or(now, |(key, _)| key);
                    }
                }
                prop_assert_eq!(queue.len(), model.len());
                let cancelled = queue.entries() - queue.len();
                prop_assert!(cancelled <= CLEAR_MIN.max(queue.len()), "{cancelled} of {}", queue.entries());
            }
        }
    }
}

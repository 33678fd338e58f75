//! Payloads at places that are used again.

/// What is at each place, under a number that is never used twice.
#[derive(Debug, Clone)]
pub(super) struct Slab<E> {
    places: Vec<Place<E>>,
    vacant: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Place<E> {
    /// Of what is here; `VACANT` if nothing is.
    number: u64,
    payload: E,
}

const VACANT: u64 = u64::MAX;

impl<E> Default for Slab<E> {
    fn default() -> Slab<E> {
        Slab {
            places: Vec::new(),
            vacant: Vec::new(),
        }
    }
}

impl<E: Copy> Slab<E> {
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.vacant.len()
    }

    /// Puts a payload somewhere: where?
    #[inline]
    pub(super) fn put(&mut self, number: u64, payload: E) -> u32 {
        let taken = Place { number, payload };
        if let Some(place) = self.vacant.pop() {
            self.places[place as usize] = taken;
            return place;
        }
        self.places.push(taken);
        u32::try_from(self.places.len() - 1).expect("fewer than 2^32 events at a time")
    }

    #[inline]
    pub(super) fn has(&self, place: u32, number: u64) -> bool {
        self.places[place as usize].number == number
    }

    /// What is there under this number, if it still is.
    #[inline]
    pub(super) fn take(&mut self, place: u32, number: u64) -> Option<E> {
        let found = self.places.get_mut(place as usize)?;
        if found.number != number {
            return None;
        }
        found.number = VACANT;
        self.vacant.push(place);
        Some(found.payload)
    }
}

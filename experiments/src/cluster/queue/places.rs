//! Which events are still to come.

/// The number of an event at each place, which is used again when the event has come. Numbers are never used twice.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    numbers: Vec<u64>,
    vacant: Vec<u32>,
}

const VACANT: u64 = u64::MAX;

impl Places {
    /// Places that are taken.
    pub(super) fn len(&self) -> usize {
        self.numbers.len() - self.vacant.len()
    }

    /// Takes a place for a number: which?
    #[inline]
    pub(super) fn put(&mut self, number: u64) -> u32 {
        if let Some(place) = self.vacant.pop() {
            self.numbers[place as usize] = number;
            return place;
        }
        self.numbers.push(number);
        u32::try_from(self.numbers.len() - 1).expect("fewer than 2^32 events at a time")
    }

    #[inline]
    pub(super) fn has(&self, place: u32, number: u64) -> bool {
        self.numbers[place as usize] == number
    }

    /// Gives up the place of a number; false if it was not there any more.
    #[inline]
    pub(super) fn take(&mut self, place: u32, number: u64) -> bool {
        let found = self.has(place, number);
        if found {
            self.numbers[place as usize] = VACANT;
            self.vacant.push(place);
        }
        found
    }
}

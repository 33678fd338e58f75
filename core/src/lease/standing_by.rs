//! Waiting for the holder of a lease to be lost.

use std::time::Duration;

use super::names::Names;
use super::record::{self, Record};
use crate::clock::Clock;
use crate::medium::{Medium, MediumError};
use crate::units::Timestamp;

/// The shortest pause between two looks.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// A lease whose holder is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lapsed {
    /// Its epoch: what [`Claim::after`](super::Claim::after) wants to know.
    pub epoch: u64,
    /// What the holder said of itself.
    pub holder: String,
    /// For how long it has not been renewed, by the watcher's clock.
    pub silent: Duration,
}

/// Watches a guest's lease; a look at a time.
#[derive(Debug)]
pub struct StandBy {
    names: Names,
    /// Where versions before 0.2 kept the lease, if the medium can name it.
    former: Option<String>,
    timeout: Duration,
    /// Epoch and content as they were seen last, and since when they are so.
    seen: Option<(u64, Vec<u8>)>,
    since: Timestamp,
}

impl StandBy {
    /// A watcher that has seen nothing. The lease's own timeout is kept to if it is longer than this one.
    pub fn new(guest: &str, timeout: Duration) -> Self {
        let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        StandBy {
            names: Names::of(guest),
            former: guest.bytes().all(plain).then(|| format!("protect/{guest}.lease")),
            timeout,
            seen: None,
            since: Timestamp::default(),
        }
    }

    /// Looks at the lease; tells if its holder is lost. Without a lease, or with one that was given back, there is nothing to
    /// take over.
    pub fn look(&mut self, medium: &dyn Medium, clock: &dyn Clock) -> Result<Option<Lapsed>, MediumError> {
        let seen = match self.read(medium) {
            Ok(seen) => seen,
            Err(error) => {
                // Nobody could have been seen to live.
                self.since = clock.now();
                return Err(error);
            }
        };
        let now = clock.now();
        let Some((epoch, bytes)) = &seen else {
            self.seen = None;
            return Ok(None);
        };
        if seen != self.seen {
            (self.seen, self.since) = (seen, now);
            return Ok(None);
        }
        let record = Record::decode(bytes);
        let silent = now.since(self.since);
        let lapsed = !record.released && silent >= self.timeout.max(record.timeout);
        Ok(lapsed.then_some(Lapsed {
            epoch: *epoch,
            holder: record.holder,
            silent,
        }))
    }

    fn read(&self, medium: &dyn Medium) -> Result<Option<(u64, Vec<u8>)>, MediumError> {
        if let Some(epoch) = self.names.epochs(medium)?.last().copied() {
            let bytes = record::read(medium, &self.names.epoch(epoch))?;
            return Ok(bytes.map(|bytes| (epoch, bytes)));
        }
        let Some(former) = &self.former else {
            return Ok(None);
        };
        // It was removed when it was given back.
        Ok(record::read(medium, former)?.map(|bytes| (0, bytes)))
    }
}

/// Watches until the holder is lost; `pause` waits for so long and tells whether to go on. `None`: it said no. A medium
/// that fails may come back, and nobody is declared lost meanwhile; one that fails from the first look on for the whole timeout
/// is an error.
pub fn stand_by(
    medium: &dyn Medium,
    guest: &str,
    timeout: Duration,
    clock: &dyn Clock,
    pause: &mut dyn FnMut(Duration) -> bool,
) -> Result<Option<Lapsed>, MediumError> {
    let mut watcher = StandBy::new(guest, timeout);
    let begun = clock.now();
    let mut has_looked = false;
    loop {
        match watcher.look(medium, clock) {
            Ok(Some(lapsed)) => return Ok(Some(lapsed)),
            Ok(None) => has_looked = true,
            Err(error) if !has_looked && clock.now().since(begun) >= timeout => return Err(error),
            Err(_) => {}
        }
        if !pause((timeout / 10).max(PAUSE_MIN)) {
            return Ok(None);
        }
    }
}

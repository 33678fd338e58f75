//! Taking a lease and keeping it: the steps, without the thread that does them in time.

use std::time::Duration;

use super::fence::{Fence, Standing};
use super::names::{LEASES, Names};
use super::record::{self, Record};
use crate::clock::Clock;
use crate::medium::{Medium, MediumError, MediumErrorKind};
use crate::units::Timestamp;

/// How often a claim moves on because somebody else was quicker.
const TRIES: u32 = 16;

/// Which lease is wanted, and how.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The guest's name.
    pub guest: &'a str,
    /// Who takes it, for people: host and process.
    pub holder: &'a str,
    /// How long the lease may stay as it is before others may take it.
    pub timeout: Duration,
    /// Take it over from the holder of this epoch and nobody else; `None`: from whoever has it.
    pub after: Option<u64>,
    /// Epochs up to here were given before, whatever the medium's lease files say: those that checkpoints of the guest name.
    pub given: u64,
}

/// A lease could not be taken or kept.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The medium failed.
    #[error("cannot keep the lease on {guest}")]
    Medium {
        /// The guest.
        guest: String,
        /// What failed.
        #[source]
        source: MediumError,
    },
    /// Another host was quicker.
    #[error("another host took over {guest} first, with epoch {epoch} of its lease")]
    Beaten {
        /// The guest.
        guest: String,
        /// The epoch that could not be had.
        epoch: u64,
    },
    /// The epochs are used up: nobody but a forger gets there.
    #[error("the lease on {guest} has no epoch left: a file or checkpoint names the largest number there is")]
    NoEpoch {
        /// The guest.
        guest: String,
    },
}

/// How a holder stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseState {
    /// It has the lease.
    Held,
    /// It could not renew for so long that somebody may be taking it over at this moment. A later renewal ends the doubt.
    Doubtful,
    /// It has the lease no longer, for ever.
    Lost {
        /// Who took it.
        by: Rival,
    },
}

/// Who took a lease away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rival {
    /// Its epoch; `None`: the lease's file was removed.
    pub epoch: Option<u64>,
    /// What it says of itself, without control characters.
    pub holder: String,
}

impl std::fmt::Display for Rival {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.epoch {
            Some(epoch) => write!(f, "{} (epoch {epoch})", self.holder),
            None => f.write_str("whoever removed its file"),
        }
    }
}

/// The lease on a guest, taken. It has to be renewed, well within its timeout.
#[derive(Debug)]
pub struct Lease {
    guest: String,
    names: Names,
    epoch: u64,
    record: Record,
    /// The beginning of the last renewal that worked.
    renewed: Timestamp,
    lost: Option<Rival>,
}

impl Lease {
    /// Takes the lease: creates the file of the next epoch, which two cannot do while it is the last. It is durable when this returns.
    pub fn take(medium: &dyn Medium, claim: &Claim<'_>, clock: &dyn Clock) -> Result<Self, LeaseError> {
        let failed = |source| LeaseError::Medium {
            guest: claim.guest.to_owned(),
            source,
        };
        let names = Names::of(claim.guest);
        medium.create_dir(LEASES).map_err(failed)?;
        medium.sync_dir("").map_err(failed)?;
        let begun = clock.now();
        let older = names.epochs(medium).map_err(failed)?;
        let epoch = claim_epoch(medium, claim, &names, &older)?;
        let lease = Lease {
            guest: claim.guest.to_owned(),
            epoch,
            record: Record {
                holder: claim.holder.to_owned(),
                renewals: 0,
                timeout: claim.timeout,
                released: false,
            },
            renewed: begun,
            lost: None,
            names,
        };
        let written = lease.write(medium).and_then(|()| medium.sync_dir(LEASES));
        // Others may have taken it since the epochs were listed, and cleared away the file of this one, so that it could be
        // created once more: then it was given before, but there is a later one.
        let standing = written.and_then(|()| lease.fence().check(medium));
        let by = match standing {
            Ok(Standing::Holds) => {
                lease.clear(medium, &older);
                return Ok(lease);
            }
            Ok(Standing::Superseded { by }) => Ok(by.unwrap_or(epoch)),
            // Whoever took it in this moment has cleared away what was being written.
            Err(source) => match lease.later_epoch(medium) {
                Ok(Some(later)) => Ok(later),
                Ok(None) | Err(_) => Err(failed(source)),
            },
        };
        // An epoch without a holder would only keep others from the guest.
        drop(medium.remove(&lease.names.epoch(epoch)));
        Err(LeaseError::Beaten {
            guest: claim.guest.to_owned(),
            epoch: by?,
        })
    }

    /// The guest.
    pub fn guest(&self) -> &str {
        &self.guest
    }

    /// How long it may stay as it is before others may take it.
    pub fn timeout(&self) -> Duration {
        self.record.timeout
    }

    /// What the holder's store asks before it changes anything.
    pub fn fence(&self) -> Fence {
        Fence::new(&self.guest, self.epoch, &self.names)
    }

    /// The beginning of the last renewal that worked.
    pub(super) fn renewed(&self) -> Timestamp {
        self.renewed
    }

    /// Who took it, if it is lost.
    pub(super) fn lost(&self) -> Option<&Rival> {
        self.lost.as_ref()
    }

    /// Shows that the holder lives, and looks whether the lease is still its own. A lease that is lost is left alone.
    pub fn renew(&mut self, medium: &dyn Medium, clock: &dyn Clock) -> Result<(), MediumError> {
        if self.lost.is_some() {
            return Ok(());
        }
        let begun = clock.now();
        let mut written = Ok(());
        // Writing again what is gone would hide that others may have been here.
        if record::read(medium, &self.names.epoch(self.epoch))?.is_some() {
            self.record.renewals += 1;
            written = self.write(medium);
        }
        // Also if that failed: whoever takes the lease clears away what is being written.
        if let Standing::Superseded { by } = self.fence().check(medium)? {
            self.lost = Some(self.rival(medium, by));
            return Ok(());
        }
        written?;
        self.renewed = begun;
        Ok(())
    }

    /// How the holder stands at this instant of the clock that it renews by.
    pub fn state(&self, now: Timestamp) -> LeaseState {
        state(self.lost.as_ref(), self.renewed, self.record.timeout, now)
    }

    /// Gives the lease back: nobody protects the guest, and nobody has to take over.
    pub fn release(mut self, medium: &dyn Medium) -> Result<(), MediumError> {
        if self.lost.is_some() || record::read(medium, &self.names.epoch(self.epoch))?.is_none() {
            return Ok(());
        }
        self.record.released = true;
        self.record.renewals += 1;
        self.write(medium)
    }

    /// A medium that has not taken the bytes has not taken the renewal: they are synced.
    fn write(&self, medium: &dyn Medium) -> Result<(), MediumError> {
        let fresh = self.names.fresh(self.epoch);
        let mut file = match medium.create_new(&fresh) {
            // Left by a renewal that failed.
            Err(error) if error.kind == MediumErrorKind::AlreadyExists => {
                medium.remove(&fresh)?;
                medium.create_new(&fresh)?
            }
            other => other?,
        };
        file.append(self.record.encode().as_bytes())?;
        file.sync()?;
        drop(file);
        medium.rename(&fresh, &self.names.epoch(self.epoch))
    }

    fn later_epoch(&self, medium: &dyn Medium) -> Result<Option<u64>, MediumError> {
        let epochs = self.names.epochs(medium)?;
        Ok(epochs.last().copied().filter(|&last| last > self.epoch))
    }

    fn rival(&self, medium: &dyn Medium, epoch: Option<u64>) -> Rival {
        let bytes = epoch.and_then(|epoch| record::read(medium, &self.names.epoch(epoch)).ok().flatten());
        Rival {
            epoch,
            holder: Record::decode(&bytes.unwrap_or_default()).holder,
        }
    }

    /// Older epochs tell nothing any more. What cannot be removed does no harm.
    fn clear(&self, medium: &dyn Medium, older: &[u64]) {
        for &epoch in older.iter().filter(|&&epoch| epoch < self.epoch) {
            for path in [
                self.names.epoch(epoch),
                self.names.fresh(epoch),
                self.names.probe(epoch),
            ] {
                drop(medium.remove(&path));
            }
        }
    }
}

/// Creates the file of the next epoch that nobody has.
fn claim_epoch(
    medium: &dyn Medium,
    claim: &Claim<'_>,
    names: &Names,
    older: &[u64],
) -> Result<u64, LeaseError> {
    let guest = || claim.guest.to_owned();
    let last = older.last().copied().unwrap_or(0);
    if let Some(after) = claim.after
        && last > after
    {
        return Err(LeaseError::Beaten {
            guest: guest(),
            epoch: last,
        });
    }
    let mut epoch = last.max(claim.given).max(claim.after.unwrap_or(0));
    for _ in 0..TRIES {
        epoch = epoch
            .checked_add(1)
            .ok_or_else(|| LeaseError::NoEpoch { guest: guest() })?;
        match medium.create_new(&names.epoch(epoch)) {
            Ok(_) => return Ok(epoch),
            Err(error) if error.kind != MediumErrorKind::AlreadyExists => {
                return Err(LeaseError::Medium {
                    guest: guest(),
                    source: error,
                });
            }
            Err(_) if claim.after.is_some() => break,
            Err(_) => {}
        }
    }
    Err(LeaseError::Beaten {
        guest: guest(),
        epoch,
    })
}

/// A holder is in doubt before others may act: what it has begun needs time to end.
pub(super) fn state(
    lost: Option<&Rival>,
    renewed: Timestamp,
    timeout: Duration,
    now: Timestamp,
) -> LeaseState {
    match lost {
        Some(by) => LeaseState::Lost { by: by.clone() },
        None if now.since(renewed) >= timeout * 2 / 3 => LeaseState::Doubtful,
        None => LeaseState::Held,
    }
}

//! Locks on files of a directory, by `flock`.
//!
//! A lock is on a file, not on its name: if the file was removed or replaced, the next who asks locks another one. So
//! whoever has a lock looks whether its file still has the name, and asks a server that may have taken it back.
//!
//! `flock` lets shared holders that come one after the other keep an exclusive one out for ever. Therefore who waits for
//! an exclusive lock holds a second one meanwhile, the turnstile, and whoever wants a shared lock passes through it. Programs that
//! do not know the turnstile are excluded by the lock itself, and only do not queue.

use std::fs::File;
use std::io;
use std::rc::Rc;
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, retry_on_intr};

use super::at::{Access, At};
use super::leased;
use super::notes::{Note, Notes, Role};
use crate::clock::{Clock, SystemClock};
use crate::medium::{LockAttempt, LockMode, MediumError, MediumErrorKind, MediumLock};
use crate::units::Timestamp;

/// How long to sleep before asking again, at first and at most.
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(100);
/// How often a lock file may be replaced while it is being locked.
const REPLACED_MAX: u32 = 100;

/// What came of one attempt.
enum Try {
    Got(File),
    Taken,
    /// There is no such file, and none can be made.
    Missing,
    /// The file system has no locks.
    Refused(io::Error),
}

/// Takes a lock, waiting for it.
pub(super) fn take(at: &Rc<At>, path: &str, mode: LockMode, wait: Duration) -> io::Result<LockAttempt> {
    let applicant = Applicant {
        at,
        path,
        mode,
        patience: Patience::new(wait),
        notes: Notes::new(at, path),
    };
    match mode {
        LockMode::Shared => applicant.shared(),
        LockMode::Exclusive => applicant.exclusive(),
    }
}

/// Somebody who wants a lock.
struct Applicant<'a> {
    at: &'a Rc<At>,
    path: &'a str,
    mode: LockMode,
    patience: Patience,
    notes: Notes,
}

impl Applicant<'_> {
    fn shared(&self) -> io::Result<LockAttempt> {
        // If the turnstile was never made nobody waits behind it.
        let turn = self.turn(false)?;
        if matches!(turn, Try::Taken) {
            return Ok(self.busy());
        }
        match self.wait_for(self.path, true)? {
            Try::Got(file) => self.held(file, Role::Shared),
            Try::Taken => Ok(self.busy()),
            // Nobody can make the file, so nobody can hold the lock.
            Try::Missing => Ok(self.unlocked(true)),
            Try::Refused(_) => Ok(self.unlocked(false)),
        }
    }

    fn exclusive(&self) -> io::Result<LockAttempt> {
        let mut tried = self.attempt(self.path, true)?;
        if matches!(tried, Try::Taken) && self.patience.left().is_some() {
            let turn = self.turn(true)?;
            if matches!(turn, Try::Taken) {
                return Ok(self.busy());
            }
            self.notes.clear(&[Role::Waiting]);
            let _waiting = self.notes.write(Role::Waiting);
            tried = self.wait_for(self.path, true)?;
        }
        match tried {
            Try::Got(file) => {
                // Nobody else holds the lock: what is noted is of the dead.
                self.notes.clear(&[Role::Shared, Role::Exclusive]);
                self.held(file, Role::Exclusive)
            }
            Try::Taken => Ok(self.busy()),
            Try::Missing => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            Try::Refused(error) => Err(error),
        }
    }

    /// Passes the turnstile, or takes it. It makes waiting fair and excludes nobody: where it is not to be had, because something
    /// else has its place or it may not be opened, nobody is stopped.
    fn turn(&self, make: bool) -> io::Result<Try> {
        match self.wait_for(&format!("{}.next", self.path), make) {
            Err(error) if MediumErrorKind::of(&error) != MediumErrorKind::Exhausted => Ok(Try::Missing),
            tried => tried,
        }
    }

    fn busy(&self) -> LockAttempt {
        LockAttempt::Busy(self.notes.in_the_way(self.mode))
    }

    fn held(&self, file: File, role: Role) -> io::Result<LockAttempt> {
        Ok(LockAttempt::Held(Box::new(Lock {
            _note: self.notes.write(role),
            at: Rc::clone(self.at),
            path: self.path.to_owned(),
            leased: leased::prepare(&file)?,
            file: Some(file),
            excludes: true,
        })))
    }

    /// A guard that locks nothing.
    fn unlocked(&self, excludes: bool) -> LockAttempt {
        LockAttempt::Held(Box::new(Lock {
            _note: None,
            at: Rc::clone(self.at),
            path: self.path.to_owned(),
            leased: false,
            file: None,
            excludes,
        }))
    }

    /// Tries until the lock is free or patience is at an end.
    fn wait_for(&self, path: &str, make: bool) -> io::Result<Try> {
        let mut pause = PAUSE_MIN;
        loop {
            let tried = self.attempt(path, make)?;
            match self.patience.left() {
                Some(left) if matches!(tried, Try::Taken) => sleep(pause.min(left)),
                _ => return Ok(tried),
            }
            pause = PAUSE_MAX.min(pause * 2);
        }
    }

    /// Tries once.
    fn attempt(&self, path: &str, make: bool) -> io::Result<Try> {
        let operation = match self.mode {
            LockMode::Shared => FlockOperation::NonBlockingLockShared,
            LockMode::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        for _ in 0..REPLACED_MAX {
            let Some(file) = self.open(path, make)? else {
                return Ok(Try::Missing);
            };
            let free = match retry_on_intr(|| flock(&file, operation)) {
                Ok(()) => true,
                Err(Errno::WOULDBLOCK) => false,
                Err(e @ (Errno::NOLCK | Errno::NOSYS | Errno::NOTSUP)) => return Ok(Try::Refused(e.into())),
                Err(e) => return Err(e.into()),
            };
            if self.at.names(path, &file)? {
                return Ok(if free { Try::Got(file) } else { Try::Taken });
            }
        }
        Err(io::Error::other("its file is being replaced all the time"))
    }

    /// The lock file, made if it can be. Where locks are those of a network file system a shared one needs the right to read and an
    /// exclusive one the right to write; who may only read gets a shared one.
    fn open(&self, path: &str, make: bool) -> io::Result<Option<File>> {
        let writable = if make { Access::Create } else { Access::ReadWrite };
        let opened = match (self.at.open_file(path, writable), self.mode) {
            (Err(e), LockMode::Shared) if is_denied(&e) => self.at.open_file(path, Access::Read),
            (opened, _) => opened,
        };
        match opened {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }
}

fn is_denied(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// Until when to wait.
struct Patience {
    clock: SystemClock,
    end: Timestamp,
}

impl Patience {
    fn new(wait: Duration) -> Self {
        let clock = SystemClock::new();
        let end = clock.now() + wait;
        Patience { clock, end }
    }

    /// How much of it is left, if any.
    fn left(&self) -> Option<Duration> {
        let left = self.end.since(self.clock.now());
        (!left.is_zero()).then_some(left)
    }
}

/// Released when the file is closed.
#[derive(Debug)]
struct Lock {
    /// First, so that it goes while the lock is held: others take what is noted after that for what is left of the dead.
    _note: Option<Note>,
    at: Rc<At>,
    path: String,
    file: Option<File>,
    /// A server may take it back.
    leased: bool,
    excludes: bool,
}

impl MediumLock for Lock {
    fn still_held(&self) -> Result<bool, MediumError> {
        let Some(file) = &self.file else {
            return Ok(true);
        };
        let failed = |e| MediumError::from_io("look at the lock", &self.path, e);
        // Asking the server comes first: while it does not answer the name is not worth knowing.
        let known = !self.leased || leased::is_known(file).map_err(failed)?;
        Ok(known && self.at.names(&self.path, file).map_err(failed)?)
    }

    fn excludes(&self) -> bool {
        self.excludes
    }
}

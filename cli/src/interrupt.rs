//! Signals during work that would leave a half-written file behind: the work ends by an error, so that whoever holds
//! the file removes it on the way out.

mod medium;

use std::fs;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

pub(crate) use medium::StopsAtSignal;

/// How long a read from a silent pipe goes without looking for a signal.
const LOOK_EVERY: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};

/// The last signal that came since [`watch`], 0 if none.
static RECEIVED: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// From here on SIGINT, SIGTERM and SIGHUP are looked for by [`check`] and do not end the process; a second one does.
/// What the parent process had ignored (`nohup`) stays ignored.
pub(crate) fn watch() -> io::Result<()> {
    if RECEIVED.get().is_some() {
        return Ok(());
    }
    let received = RECEIVED.get_or_init(Arc::default);
    let again = Arc::new(AtomicBool::new(false));
    let ignored = ignored_signals();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if ignored >> (signal - 1) & 1 == 1 {
            continue;
        }
        // In this order: the first signal finds the condition not yet met.
        flag::register_conditional_default(signal, Arc::clone(&again))?;
        flag::register(signal, Arc::clone(&again))?;
        let number = usize::try_from(signal).unwrap_or_default();
        flag::register_usize(signal, Arc::clone(received), number)?;
    }
    Ok(())
}

/// A file that grows over the process's limit (`ulimit -f`) is an error of that write, not the end of the process.
pub(crate) fn survive_file_limit() {
    // Where it cannot be had the process ends as it would have.
    let _ = flag::register(SIGXFSZ, Arc::default());
}

/// The signal that came since [`watch`], if one did.
pub(crate) fn received() -> Option<u8> {
    let number = RECEIVED.get()?.load(Ordering::Relaxed);
    u8::try_from(number).ok().filter(|&number| number > 0)
}

/// An error if a signal came.
pub(crate) fn check() -> io::Result<()> {
    let name = match received().map(i32::from) {
        None => return Ok(()),
        Some(SIGINT) => "SIGINT",
        Some(SIGTERM) => "SIGTERM",
        Some(_) => "SIGHUP",
    };
    Err(io::Error::other(format!("interrupted by {name}")))
}

/// Bit *n* − 1 is set if signal *n* is ignored; none if the system does not tell.
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default()
}

/// An input that stops at a signal, also while it waits for somebody to write into a pipe. Signals are watched for from
/// the second read on: until the first has brought the headers nothing is begun, and who waits for the store's lock after
/// that has nothing to clean up.
#[derive(Debug)]
pub(crate) struct Interruptible<T> {
    input: T,
    begun: bool,
    watched: bool,
}

impl<T> Interruptible<T> {
    pub(crate) fn new(input: T) -> Self {
        Interruptible {
            input,
            begun: false,
            watched: false,
        }
    }
}

impl<T: Read + AsFd> Read for Interruptible<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.begun && !self.watched {
            watch()?;
            self.watched = true;
        }
        self.begun = true;
        loop {
            check()?;
            let ready = poll(&mut [PollFd::new(&self.input, PollFlags::IN)], Some(&LOOK_EVERY));
            match ready {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return self.input.read(buf),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

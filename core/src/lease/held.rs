//! A lease that is renewed in time, however long a capture or a restore takes.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Fence;
use super::taken::{Lease, LeaseState, Rival, state};
use crate::clock::Clock;
use crate::medium::{Medium, MediumError};
use crate::units::Timestamp;

/// Renewals are this far apart, or a tenth of the timeout if that is less.
const RENEW_EVERY_MAX: Duration = Duration::from_secs(1);
const RENEW_EVERY_MIN: Duration = Duration::from_millis(10);

/// A lease that a thread renews until this is dropped.
#[derive(Debug)]
pub struct Held {
    fence: Fence,
    timeout: Duration,
    shown: Arc<Mutex<Shown>>,
    /// A word on it: give the lease back. Dropped: leave it as it is.
    order: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread has come to know. Apart from the lease itself, which it has in its hands while a medium hangs.
#[derive(Debug)]
struct Shown {
    renewed: Timestamp,
    lost: Option<Rival>,
}

impl Held {
    /// Starts the thread. It has a connection of its own to the medium, which `open` makes; `clock` is the one that the
    /// lease was taken by.
    pub fn keep(
        lease: Lease,
        clock: Arc<dyn Clock + Send + Sync>,
        open: impl Fn() -> Result<Box<dyn Medium>, MediumError> + Send + 'static,
    ) -> Self {
        let shown = Arc::new(Mutex::new(Shown {
            renewed: lease.renewed(),
            lost: None,
        }));
        let (order, orders) = channel();
        let (fence, timeout) = (lease.fence(), lease.timeout());
        let every = (timeout / 10).clamp(RENEW_EVERY_MIN, RENEW_EVERY_MAX);
        let told = Arc::clone(&shown);
        let thread = thread::spawn(move || {
            let mut lease = lease;
            // A medium that is away for a moment is no reason to stop: the doubt grows by itself.
            let ordered = loop {
                match orders.recv_timeout(every) {
                    Err(RecvTimeoutError::Timeout) => {}
                    ordered => break ordered,
                }
                if open().is_ok_and(|medium| lease.renew(&*medium, &*clock).is_ok()) {
                    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                    told.renewed = lease.renewed();
                    told.lost = lease.lost().cloned();
                }
            };
            if ordered.is_ok()
                && let Ok(medium) = open()
            {
                drop(lease.release(&*medium));
            }
        });
        Held {
            fence,
            timeout,
            shown,
            order: Some(order),
            thread: Some(thread),
        }
    }

    /// What the holder's store asks before it changes anything.
    pub fn fence(&self) -> &Fence {
        &self.fence
    }

    /// How the holder stands at this instant of the clock that the lease is kept by. Costs nothing; what was taken a moment
    /// ago is not in it, a [`Fence`] sees it.
    pub fn state(&self, now: Timestamp) -> LeaseState {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        state(shown.lost.as_ref(), shown.renewed, self.timeout, now)
    }

    /// Gives the lease back.
    pub fn release(mut self) {
        if let Some(order) = self.order.take() {
            // The thread ends only when this is dropped or used.
            let _ = order.send(());
        }
        if let Some(thread) = self.thread.take() {
            // It does nothing that panics.
            drop(thread.join());
        }
    }
}

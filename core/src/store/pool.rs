//! Threads that compute beside the one that calls the medium.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// A piece of pure computation: from what is in it to an output, with per-thread tools.
pub(super) trait Job: Send + 'static {
    /// What comes of it.
    type Output: Send + 'static;
    /// What a thread keeps between jobs, such as a compressor.
    type Tools: Default;
    /// Does it.
    fn run(self, tools: &mut Self::Tools) -> Self::Output;
}

/// Runs jobs on a fixed number of threads and on whoever waits for a result. Results are asked for by ticket, so the
/// caller decides their order; with no threads at all the same calls do the same work.
pub(super) struct Pool<J: Job> {
    shared: Arc<Shared<J>>,
    threads: Vec<JoinHandle<()>>,
    wanted: usize,
    next_ticket: u64,
    tools: J::Tools,
}

/// Names a submitted job; redeemed once.
#[derive(Debug)]
pub(super) struct Ticket(u64);

struct Shared<J: Job> {
    state: Mutex<State<J>>,
    /// A job was queued, or the pool closes.
    queued: Condvar,
    /// A result was put down.
    finished: Condvar,
}

struct State<J: Job> {
    queue: VecDeque<(u64, J)>,
    /// `None`: the job panicked.
    results: BTreeMap<u64, Option<J::Output>>,
    closed: bool,
}

impl<J: Job> Pool<J> {
    /// Threads start with the first job.
    pub(super) fn new(threads: usize) -> Self {
        let state = State {
            queue: VecDeque::new(),
            results: BTreeMap::new(),
            closed: false,
        };
        let shared = Shared {
            state: Mutex::new(state),
            queued: Condvar::new(),
            finished: Condvar::new(),
        };
        Pool {
            shared: Arc::new(shared),
            threads: Vec::new(),
            wanted: threads,
            next_ticket: 0,
            tools: J::Tools::default(),
        }
    }

    /// Queues a job.
    pub(super) fn submit(&mut self, job: J) -> Ticket {
        while self.threads.len() < self.wanted {
            let shared = Arc::clone(&self.shared);
            match std::thread::Builder::new()
                .name("revenant-store".to_owned())
                .spawn(move || shared.work())
            {
                Ok(thread) => self.threads.push(thread),
                // No more threads to be had: whoever waits does the work.
                Err(_) => self.wanted = self.threads.len(),
            }
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.shared.lock().queue.push_back((ticket, job));
        self.shared.queued.notify_one();
        Ticket(ticket)
    }

    /// The result of a job; works on queued jobs while it is not there.
    ///
    /// # Panics
    /// If the job did: a bug, carried to the thread that can report it.
    pub(super) fn wait(&mut self, Ticket(ticket): Ticket) -> J::Output {
        let mut state = self.shared.lock();
        loop {
            if let Some(result) = state.results.remove(&ticket) {
                return result.expect("a job does not panic");
            }
            if let Some((done, job)) = state.queue.pop_front() {
                drop(state);
                let output = job.run(&mut self.tools);
                state = self.shared.lock();
                state.results.insert(done, Some(output));
            } else {
                state = self
                    .shared
                    .finished
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

impl<J: Job> Drop for Pool<J> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.queue.clear();
        drop(state);
        self.shared.queued.notify_all();
        for thread in self.threads.drain(..) {
            // A thread cannot fail: its jobs' panics are caught.
            let _ = thread.join();
        }
    }
}

impl<J: Job> Shared<J> {
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        // The state is consistent between any two statements; a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut tools = J::Tools::default();
        let mut state = self.lock();
        while !state.closed {
            let Some((ticket, job)) = state.queue.pop_front() else {
                state = self.queued.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(state);
            let result = catch_unwind(AssertUnwindSafe(|| job.run(&mut tools))).ok();
            state = self.lock();
            state.results.insert(ticket, result);
            self.finished.notify_all();
        }
    }
}

impl<J: Job> fmt::Debug for Pool<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("threads", &self.threads.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Square(u64);

    impl Job for Square {
        type Output = u64;
        type Tools = u64;

        fn run(self, count: &mut u64) -> u64 {
            *count += 1;
            assert!(self.0 != 13, "unlucky");
            self.0 * self.0
        }
    }

    #[test]
    fn results_come_by_ticket_in_any_order() {
        for threads in [0, 1, 3] {
            let mut pool = Pool::new(threads);
            let mut tickets: Vec<_> = (20..60).map(|i| (i, pool.submit(Square(i)))).collect();
            for (i, ticket) in tickets.drain(20..).rev() {
                assert_eq!(pool.wait(ticket), i * i);
            }
            assert_eq!(
                tickets.into_iter().map(|(_, t)| pool.wait(t)).sum::<u64>(),
                (20..40).map(|i| i * i).sum()
            );
            pool.submit(Square(1));
        }
    }
}

//! Work in parallel, results in order.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

/// How far workers may run ahead of the oldest result that is still missing, for each of them. Bounds the memory that
/// waiting results take, whatever one slow item costs.
const AHEAD_PER_WORKER: u64 = 64;

/// Which numbers are taken and which are taken up.
struct Counter {
    next: u64,
    taken_up: u64,
    stop: bool,
}

struct Gate {
    counter: Mutex<Counter>,
    moved: Condvar,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, Counter> {
        // The counter is consistent after every statement, so a panic elsewhere does not spoil it.
        self.counter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next number to work on, when it is its turn; `None` when there is nothing more to do.
    fn claim(&self, end: u64, ahead: u64, cancel: &AtomicBool) -> Option<u64> {
        let mut counter = self.lock();
        loop {
            if counter.stop || counter.next >= end || cancel.load(Ordering::Relaxed) {
                return None;
            }
            if counter.next < counter.taken_up + ahead {
                counter.next += 1;
                return Some(counter.next - 1);
            }
            counter = self.moved.wait(counter).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn taken_up(&self, number: u64) {
        self.lock().taken_up = number + 1;
        self.moved.notify_all();
    }

    fn stop(&self) {
        self.lock().stop = true;
        self.moved.notify_all();
    }
}

/// Stops the others when a worker panics: they might wait for its result.
struct StopOnPanic<'a>(&'a Gate);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
        }
    }
}

/// Where results go.
pub(super) trait Sink<T> {
    /// Why a result could not be taken.
    type Error;
    /// Takes a result; called in ascending order of the numbers, without gaps.
    fn take(&mut self, number: u64, result: T) -> Result<(), Self::Error>;
    /// Called when no further result is at hand: what was taken should be made visible.
    fn idle(&mut self) -> Result<(), Self::Error>;
}

/// Runs `work` on every number of the range with `jobs` threads and gives the results to the sink on this thread, in
/// order. When `cancel` is raised no further number is begun, and everything begun is finished and taken up.
/// An error of the sink ends the whole. Says which number is the first that was not taken up.
pub(super) fn run<T: Send, S: Sink<T>>(
    jobs: usize,
    numbers: Range<u64>,
    cancel: &AtomicBool,
    work: impl Fn(u64) -> T + Sync,
    sink: &mut S,
) -> Result<u64, S::Error> {
    let jobs = jobs.max(1);
    let ahead = AHEAD_PER_WORKER * jobs as u64;
    let gate = Gate {
        counter: Mutex::new(Counter {
            next: numbers.start,
            taken_up: numbers.start,
            stop: false,
        }),
        moved: Condvar::new(),
    };
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..jobs {
            let (gate, work, sender) = (&gate, &work, sender.clone());
            scope.spawn(move || {
                let _guard = StopOnPanic(gate);
                while let Some(number) = gate.claim(numbers.end, ahead, cancel) {
                    if sender.send((number, work(number))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let taken = take_in_order(&receiver, numbers.start, &gate, sink);
        if taken.is_err() {
            gate.stop();
        }
        taken
    })
}

fn take_in_order<T, S: Sink<T>>(
    results: &mpsc::Receiver<(u64, T)>,
    first: u64,
    gate: &Gate,
    sink: &mut S,
) -> Result<u64, S::Error> {
    let mut early = BTreeMap::new();
    let mut next = first;
    loop {
        let received = if let Ok(received) = results.try_recv() {
            Some(received)
        } else {
            sink.idle()?;
            results.recv().ok()
        };
        let Some((number, result)) = received else {
            return Ok(next);
        };
        early.insert(number, result);
        while let Some(result) = early.remove(&next) {
            sink.take(next, result)?;
            gate.taken_up(next);
            next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Collect {
        seen: Vec<u64>,
        fail_at: Option<u64>,
    }

    impl Sink<u64> for Collect {
        type Error = &'static str;

        fn take(&mut self, number: u64, result: u64) -> Result<(), Self::Error> {
            assert_eq!(number * 3, result);
            if self.fail_at == Some(number) {
                return Err("full");
            }
            self.seen.push(number);
            Ok(())
        }

        fn idle(&mut self) -> Result<(), Self::Error> {
            Ok(())
        }
    }

    /// Late ones hold up the others without a lock-up: every 100th takes long.
    fn work(number: u64) -> u64 {
        if number.is_multiple_of(100) {
            thread::sleep(std::time::Duration::from_millis(2));
        }
        number * 3
    }

    #[test]
    fn results_come_in_order_for_any_number_of_jobs() {
        for jobs in [1, 2, 7] {
            let mut sink = Collect::default();
            let end = run(jobs, 10..1_500, &AtomicBool::new(false), work, &mut sink);
            assert_eq!(end, Ok(1_500));
            assert!(sink.seen.iter().copied().eq(10..1_500));
        }
    }

    #[test]
    fn a_full_sink_ends_it() {
        let mut sink = Collect {
            fail_at: Some(700),
            ..Collect::default()
        };
        assert_eq!(
            run(3, 0..100_000, &AtomicBool::new(false), work, &mut sink),
            Err("full")
        );
        assert_eq!(sink.seen.len(), 700);
    }

    #[test]
    fn what_was_begun_before_a_cancel_is_taken_up() {
        let cancel = AtomicBool::new(false);
        let begun = AtomicBool::new(false);
        let mut sink = Collect::default();
        let work = |number| {
            if number == 500 {
                cancel.store(true, Ordering::Relaxed);
            }
            begun.store(true, Ordering::Relaxed);
            number * 3
        };
        let end = run(2, 0..1_000_000, &cancel, work, &mut sink).unwrap();
        assert!(end > 500 && end < 1_000, "{end}");
        assert!(sink.seen.iter().copied().eq(0..end));
    }

    #[test]
    fn a_panic_in_a_worker_is_passed_on_and_hangs_nobody() {
        let panicked = std::panic::catch_unwind(|| {
            let work = |number| {
                if number == 50 {
                    panic!("expected by the test")
                } else {
                    number * 3
                }
            };
            run(
                2,
                0..100_000,
                &AtomicBool::new(false),
                work,
                &mut Collect::default(),
            )
        });
        assert!(panicked.is_err());
    }
}

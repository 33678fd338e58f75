//! Work in parallel, results in order.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

/// How many batches workers may run ahead of the oldest result that is still missing, for each of them. Bounds the memory
/// that waiting results take, whatever one slow item costs.
const AHEAD_PER_WORKER: u64 = 8;

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

    /// The next numbers to work on, when it is their turn; `None` when there is nothing more to do.
    fn claim(
        &self,
        end: u64,
        jobs: u64,
        batch: &impl Fn(u64) -> u64,
        cancel: &AtomicBool,
    ) -> Option<Range<u64>> {
        let mut counter = self.lock();
        loop {
            if counter.stop || counter.next >= end || cancel.load(Ordering::Relaxed) {
                return None;
            }
            let start = counter.next;
            let length = batch(start).clamp(1, end - start);
            if start < counter.taken_up + AHEAD_PER_WORKER * jobs * length {
                counter.next = start + length;
                return Some(start..counter.next);
            }
            counter = self.moved.wait(counter).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn taken_up(&self, next: u64) {
        self.lock().taken_up = next;
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
    /// Takes what the work made of a batch; called in ascending order of the numbers, without gaps.
    fn take(&mut self, numbers: Range<u64>, result: T) -> Result<(), Self::Error>;
    /// Called when no further result is at hand: what was taken should be made visible.
    fn idle(&mut self) -> Result<(), Self::Error>;
}

/// Runs `work` on every number of the range with `jobs` threads, as many numbers at a time as `batch` says of the first of them, and
/// gives the results to the sink on this thread, in order; a single thread is this one. When `cancel` is raised no further number is begun, and everything begun is finished and taken up.
/// An error of the sink ends the whole. Says which number is the first that was not taken up.
pub(super) fn run<T: Send, S: Sink<T>>(
    jobs: usize,
    numbers: Range<u64>,
    cancel: &AtomicBool,
    batch: impl Fn(u64) -> u64 + Sync,
    work: impl Fn(Range<u64>) -> T + Sync,
    sink: &mut S,
) -> Result<u64, S::Error> {
    if jobs <= 1 {
        return one_by_one(numbers, cancel, batch, work, sink);
    }
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
            let (gate, batch, work, sender) = (&gate, &batch, &work, sender.clone());
            scope.spawn(move || {
                let _guard = StopOnPanic(gate);
                while let Some(claimed) = gate.claim(numbers.end, jobs as u64, batch, cancel) {
                    if sender.send((claimed.clone(), work(claimed))).is_err() {
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

fn one_by_one<T, S: Sink<T>>(
    numbers: Range<u64>,
    cancel: &AtomicBool,
    batch: impl Fn(u64) -> u64,
    work: impl Fn(Range<u64>) -> T,
    sink: &mut S,
) -> Result<u64, S::Error> {
    let mut next = numbers.start;
    while next < numbers.end && !cancel.load(Ordering::Relaxed) {
        let claimed = next..next + batch(next).clamp(1, numbers.end - next);
        sink.take(claimed.clone(), work(claimed.clone()))?;
        sink.idle()?;
        next = claimed.end;
    }
    Ok(next)
}

fn take_in_order<T, S: Sink<T>>(
    results: &mpsc::Receiver<(Range<u64>, T)>,
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
        let Some((numbers, result)) = received else {
            return Ok(next);
        };
        early.insert(numbers.start, (numbers.end, result));
        while let Some((end, result)) = early.remove(&next) {
            sink.take(next..end, result)?;
            next = end;
            gate.taken_up(next);
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

    impl Sink<Vec<u64>> for Collect {
        type Error = &'static str;

        fn take(&mut self, numbers: Range<u64>, results: Vec<u64>) -> Result<(), Self::Error> {
            assert!(numbers.clone().map(|number| number * 3).eq(results));
            for number in numbers {
                if self.fail_at == Some(number) {
                    return Err("full");
                }
                self.seen.push(number);
            }
            Ok(())
        }

        fn idle(&mut self) -> Result<(), Self::Error> {
            Ok(())
        }
    }

    /// Late ones hold up the others without a lock-up: every 100th takes long.
    fn work(numbers: Range<u64>) -> Vec<u64> {
        if numbers.start.is_multiple_of(100) {
            thread::sleep(std::time::Duration::from_millis(2));
        }
        numbers.map(|number| number * 3).collect()
    }

    /// Batches of every size up to nine.
    fn batch(start: u64) -> u64 {
        1 + start % 9
    }

    #[test]
    fn results_come_in_order_for_any_number_of_jobs() {
        for jobs in [1, 2, 7] {
            let mut sink = Collect::default();
            let end = run(jobs, 10..1_500, &AtomicBool::new(false), batch, work, &mut sink);
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
            run(3, 0..100_000, &AtomicBool::new(false), batch, work, &mut sink),
            Err("full")
        );
        assert_eq!(sink.seen.len(), 700);
    }

    #[test]
    fn what_was_begun_before_a_cancel_is_taken_up() {
        let cancel = AtomicBool::new(false);
        let begun = AtomicBool::new(false);
        let mut sink = Collect::default();
        let work = |numbers: Range<u64>| {
            if numbers.contains(&500) {
                cancel.store(true, Ordering::Relaxed);
            }
            begun.store(true, Ordering::Relaxed);
            numbers.map(|number| number * 3).collect::<Vec<u64>>()
        };
        let end = run(2, 0..1_000_000, &cancel, batch, work, &mut sink).unwrap();
        assert!(end > 500 && end < 1_000, "{end}");
        assert!(sink.seen.iter().copied().eq(0..end));
    }

    #[test]
    fn a_panic_in_a_worker_is_passed_on_and_hangs_nobody() {
        let panicked = std::panic::catch_unwind(|| {
            let work = |numbers: Range<u64>| {
                assert!(!numbers.contains(&50), "expected by the test");
                numbers.map(|number| number * 3).collect::<Vec<u64>>()
            };
            run(
                2,
                0..100_000,
                &AtomicBool::new(false),
                batch,
                work,
                &mut Collect::default(),
            )
        });
        assert!(panicked.is_err());
    }
}

//! Work in parallel, results in order.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// How many batches threads may run ahead of the oldest result that is still missing, for each of them. Bounds the memory
/// that waiting results take, whatever one slow item costs.
const AHEAD_PER_THREAD: u64 = 8;

/// Where results go.
pub(super) trait Sink<T> {
    /// Why a result could not be taken.
    type Error;
    /// Takes what the work made of a batch; called in ascending order of the numbers, without gaps, from whichever thread.
    fn take(&mut self, numbers: Range<u64>, result: T) -> Result<(), Self::Error>;
    /// Called when no further result is at hand: what was taken should be made visible.
    fn idle(&mut self) -> Result<(), Self::Error>;
}

/// Runs `work` on every number of the range with `jobs` threads, this one among them, as many numbers at a time as `batch` says of the
/// first of them, and gives the results to the sink in order. When `cancel` is raised no further number is begun, and everything
/// begun is finished and taken up. An error of the sink ends the whole. Says which number is the first that was not taken up.
pub(super) fn run<T: Send, S: Sink<T, Error: Send> + Send>(
    jobs: usize,
    numbers: Range<u64>,
    cancel: &AtomicBool,
    batch: impl Fn(u64) -> u64 + Sync,
    work: impl Fn(Range<u64>) -> T + Sync,
    sink: &mut S,
) -> Result<u64, S::Error> {
    let line = Line {
        state: Mutex::new(State {
            next: numbers.start,
            taken_up: numbers.start,
            stop: false,
            early: BTreeMap::new(),
            sink: Some(sink),
            failed: None,
        }),
        moved: Condvar::new(),
        end: numbers.end,
        ahead: AHEAD_PER_THREAD * jobs.max(1) as u64,
    };
    let work = || {
        let _guard = StopOnPanic(&line);
        while let Some(claimed) = line.claim(&batch, cancel) {
            let result = work(claimed.clone());
            line.hand_over(claimed, result);
        }
    };
    thread::scope(|scope| {
        for _ in 1..jobs {
            scope.spawn(work);
        }
        work();
    });
    let state = line.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    state.failed.map_or(Ok(state.taken_up), Err)
}

/// The line in which numbers are given out and results queue up. Whoever brings the result that the sink waits for takes up all that can be:
/// so results are written while they are in that thread's cache, and no thread is there for that alone.
struct Line<'s, T, S: Sink<T>> {
    state: Mutex<State<'s, T, S>>,
    moved: Condvar,
    end: u64,
    /// Batches.
    ahead: u64,
}

struct State<'s, T, S: Sink<T>> {
    /// Numbers before are given out.
    next: u64,
    /// Results of numbers before are with the sink.
    taken_up: u64,
    stop: bool,
    /// Results that came before their turn, by their first number, with the end of their numbers.
    early: BTreeMap<u64, (u64, T)>,
    /// Not here while a thread takes up results.
    sink: Option<&'s mut S>,
    failed: Option<S::Error>,
}

impl<'s, T, S: Sink<T>> Line<'s, T, S> {
    fn lock(&self) -> MutexGuard<'_, State<'s, T, S>> {
        // The state is consistent after every statement, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next numbers to work on, when it is their turn; `None` when there is nothing more to do.
    fn claim(&self, batch: &impl Fn(u64) -> u64, cancel: &AtomicBool) -> Option<Range<u64>> {
        let mut state = self.lock();
        loop {
            if state.stop || state.next >= self.end || cancel.load(Ordering::Relaxed) {
                return None;
            }
            let start = state.next;
            let length = batch(start).clamp(1, self.end - start);
            if start < state.taken_up + self.ahead * length {
                state.next = start + length;
                return Some(start..state.next);
            }
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Queues a result up, and takes up all whose turn it is unless another thread is doing so: that one will see it.
    fn hand_over(&self, numbers: Range<u64>, result: T) {
        let mut state = self.lock();
        state.early.insert(numbers.start, (numbers.end, result));
        let Some(sink) = state.sink.take() else { return };
        loop {
            let first = state.taken_up;
            let Some((end, result)) = state.early.remove(&first) else {
                break;
            };
            let more = state.early.contains_key(&end);
            drop(state);
            let taken = sink.take(first..end, result);
            let taken = if more {
                taken
            } else {
                taken.and_then(|()| sink.idle())
            };
            state = self.lock();
            self.moved.notify_all();
            match taken {
                Ok(()) => state.taken_up = end,
                Err(error) => {
                    state.failed = Some(error);
                    state.stop = true;
                    return;
                }
            }
        }
        state.sink = Some(sink);
    }
}

/// Stops the others when a thread panics: they might wait for its result.
struct StopOnPanic<'l, 's, T, S: Sink<T>>(&'l Line<'s, T, S>);

impl<T, S: Sink<T>> Drop for StopOnPanic<'_, '_, T, S> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.lock().stop = true;
            self.0.moved.notify_all();
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

//! Threads that do one operation on a medium at a time, in an order that a test gives.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::medium::{
    DirEntry, DirectoryMedium, LockAttempt, LockMode, Medium, MediumError, MediumReader, MediumWriter,
};

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Turns {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    turn: Option<usize>,
    waiting: Vec<bool>,
    over: Vec<bool>,
}

impl Turns {
    pub(super) fn of(many: usize) -> Arc<Self> {
        Arc::new(Turns {
            state: Mutex::new(State {
                turn: None,
                waiting: vec![false; many],
                over: vec![false; many],
            }),
            changed: Condvar::new(),
        })
    }

    /// Runs a thread's part and tells when it has ended, however it does.
    pub(super) fn take_part<T>(&self, me: usize, part: impl FnOnce() -> T) -> T {
        struct Over<'a>(&'a Turns, usize);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.state.lock().unwrap().over[self.1] = true;
                self.0.changed.notify_all();
            }
        }
        let _over = Over(self, me);
        part()
    }

    /// Waits until it is this one's turn.
    fn wait(&self, me: usize) {
        let mut state = self.state.lock().unwrap();
        state.waiting[me] = true;
        self.changed.notify_all();
        while state.turn != Some(me) {
            state = self.changed.wait(state).unwrap();
        }
        state.turn = None;
        state.waiting[me] = false;
    }

    /// Gives turns until all have ended: to one of those that wait, so many in a row.
    pub(super) fn give(&self, order: &[(u8, u8)]) {
        let mut order = order.iter().copied().cycle();
        let (mut pick, mut left) = (0, 0);
        let mut state = self.state.lock().unwrap();
        loop {
            let settled = |state: &State| {
                state.turn.is_none() && (0..state.over.len()).all(|i| state.waiting[i] || state.over[i])
            };
            while !settled(&state) {
                state = self.changed.wait(state).unwrap();
            }
            let waiting: Vec<usize> = (0..state.over.len()).filter(|&i| state.waiting[i]).collect();
            if waiting.is_empty() {
                return;
            }
            if left == 0 || !waiting.contains(&pick) {
                let (which, many) = order.next().unwrap();
                (pick, left) = (waiting[usize::from(which) % waiting.len()], many);
            }
            left -= 1;
            state.turn = Some(pick);
            self.changed.notify_all();
        }
    }
}

/// A directory that does each operation only when it is its turn. Nothing crashes here, so nothing has to be durable.
#[derive(Debug)]
pub(super) struct InTurn {
    inner: DirectoryMedium,
    me: usize,
    turns: Arc<Turns>,
}

impl InTurn {
    pub(super) fn new(root: &Path, me: usize, turns: Arc<Turns>) -> Self {
        let inner = DirectoryMedium::open(root).unwrap();
        InTurn { inner, me, turns }
    }

    fn turn(&self) -> &DirectoryMedium {
        self.turns.wait(self.me);
        &self.inner
    }
}

impl Medium for InTurn {
    fn create_new(&self, path: &str) -> Result<Box<dyn MediumWriter>, MediumError> {
        let inner = self.turn().create_new(path)?;
        let turns = Arc::clone(&self.turns);
        Ok(Box::new(Writer {
            inner,
            me: self.me,
            turns,
        }))
    }

    fn open(&self, path: &str) -> Result<Box<dyn MediumReader>, MediumError> {
        self.turn().open(path)
    }

    fn list(&self, dir: &str) -> Result<Vec<DirEntry>, MediumError> {
        self.turn().list(dir)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), MediumError> {
        self.turn().rename(from, to)
    }

    fn remove(&self, path: &str) -> Result<(), MediumError> {
        self.turn().remove(path)
    }

    fn create_dir(&self, dir: &str) -> Result<(), MediumError> {
        self.turn().create_dir(dir)
    }

    fn sync_dir(&self, _: &str) -> Result<(), MediumError> {
        self.turn();
        Ok(())
    }

    fn try_lock(&self, path: &str, mode: LockMode, wait: Duration) -> Result<LockAttempt, MediumError> {
        // The others have their turns while this one waits.
        let tries = if wait.is_zero() { 1 } else { 1000 };
        let mut attempt = self.turn().try_lock(path, mode, Duration::ZERO)?;
        for _ in 1..tries {
            if let LockAttempt::Held(_) = attempt {
                break;
            }
            attempt = self.turn().try_lock(path, mode, Duration::ZERO)?;
        }
        Ok(attempt)
    }

    fn free_bytes(&self) -> Result<Option<u64>, MediumError> {
        self.inner.free_bytes()
    }
}

#[derive(Debug)]
struct Writer {
    inner: Box<dyn MediumWriter>,
    me: usize,
    turns: Arc<Turns>,
}

impl MediumWriter for Writer {
    fn append(&mut self, bytes: &[u8]) -> Result<(), MediumError> {
        self.turns.wait(self.me);
        self.inner.append(bytes)
    }

    fn sync(&mut self) -> Result<(), MediumError> {
        self.turns.wait(self.me);
        Ok(())
    }
}

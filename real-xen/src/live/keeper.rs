//! A process that outlives ours, for the guest's sake.
//!
//! Between the suspend request and the resume a guest depends on us. If we are killed there, nobody would let it go on,
//! and its dirty log would stay on for ever. So a keeper is started before anything is asked of the guest: a process in
//! a group of its own that does nothing but listen to the pipe from us. If it closes without a farewell, the keeper
//! withdraws the request, resumes the guest and ends the log. It shares our lock on the domain, so that nobody else
//! touches the guest before it is done.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use revenant_core::HypervisorError;
use revenant_core::clock::Clock;

use crate::live::domain::LiveDomain;
use crate::live::lock::DomainLock;
use crate::live::sys::XenError;

/// Said by the keeper once it can do what it is there for.
const READY: &str = "ready";
/// Said to the keeper before the guest is asked to suspend itself.
const ASKING: u8 = b'?';
/// Said to the keeper once the guest runs again and nothing is asked of it.
const RUNNING: u8 = b'!';
/// Said to the keeper when it is not needed any more.
const RELEASE: u8 = b'.';
/// How long after our end the keeper looks out for a guest that took the request and has yet to suspend itself.
const WATCH: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);

/// How to start a keeper: a program and the arguments that come before the domain's number. The program calls [`keep`].
#[derive(Debug, Clone)]
pub struct KeeperProgram {
    /// The program.
    pub program: PathBuf,
    /// Its first arguments.
    pub arguments: Vec<OsString>,
}

impl KeeperProgram {
    /// This program, called again.
    pub fn this(subcommand: &str) -> io::Result<Self> {
        Ok(KeeperProgram {
            program: std::env::current_exe()?,
            arguments: vec![subcommand.into()],
        })
    }
}

/// A running keeper. Dropped without [`release`](Keeper::release) it takes care of the guest, as after a kill.
#[derive(Debug)]
pub(crate) struct Keeper {
    child: Child,
}

impl Keeper {
    /// Starts one, which shares `lock`, and waits until it is ready.
    pub(crate) fn start(program: &KeeperProgram, domain: u32, lock: &DomainLock) -> io::Result<Self> {
        let mut command = Command::new(&program.program);
        command
            .args(&program.arguments)
            .arg(domain.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C and a closing terminal go to our group: the keeper is in another.
            .process_group(0);
        let mut child = lock.inherited(|| command.spawn())?;
        let mut line = String::new();
        let said = child.stdout.take().expect("stdout is a pipe");
        BufReader::new(said).read_line(&mut line)?;
        if line.trim() == READY {
            Ok(Keeper { child })
        } else {
            Err(io::Error::other("the keeper process did not get ready"))
        }
    }

    /// The guest is about to be asked to suspend itself.
    pub(crate) fn asking(&mut self) -> io::Result<()> {
        self.say(ASKING)
    }

    /// The guest runs, and nothing is asked of it.
    pub(crate) fn running(&mut self) -> io::Result<()> {
        self.say(RUNNING)
    }

    fn say(&mut self, word: u8) -> io::Result<()> {
        match &mut self.child.stdin {
            Some(pipe) => pipe.write_all(&[word]),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// The guest is in order: the keeper ends without touching it.
    pub(crate) fn release(mut self) {
        drop(self.say(RELEASE));
        drop(self.child.stdin.take());
        // It ends at once; its share of the lock must be gone when ours is.
        drop(self.child.wait());
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It may be busy with the guest for some seconds; it is not waited for then, and init inherits it.
        drop(self.child.try_wait());
    }
}

/// The keeper's whole life. Reads from standard input, writes to standard output.
pub fn keep(domain: u32) -> Result<(), KeepError> {
    let guest = LiveDomain::open(domain)?;
    let mut output = io::stdout();
    writeln!(output, "{READY}").and_then(|()| output.flush())?;
    let mut asked = false;
    // A read error is as good as the end: nobody is there.
    for word in io::stdin().lock().bytes().map_while(Result::ok) {
        match word {
            ASKING => asked = true,
            RUNNING => asked = false,
            RELEASE => return Ok(()),
            _ => {}
        }
    }
    take_care(&guest, asked);
    Ok(())
}

/// Brings a guest back to a state that needs nobody. If it was asked to suspend itself, it may have taken the request
/// and have yet to do it: then it is waited for. Stops early if the guest is gone.
fn take_care(guest: &LiveDomain, asked: bool) {
    let pending = asked && !guest.withdraw_suspend();
    let begun = guest.clock().now();
    let mut resumed = false;
    let mut log_ended = false;
    loop {
        match guest.is_suspended() {
            Ok(true) => resumed = guest.resume().is_ok(),
            Err(HypervisorError::Gone(_)) => return,
            // Xen that does not answer now may answer later.
            Ok(false) | Err(_) => {}
        }
        log_ended = log_ended || guest.control().end_dirty_log(guest.id()).is_ok();
        let in_order = log_ended && (resumed || !pending);
        if in_order || guest.clock().now().since(begun) >= WATCH {
            return;
        }
        sleep(POLL);
    }
}

/// A keeper could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// Xen cannot be reached.
    #[error(transparent)]
    Xen(#[from] XenError),
    /// The pipes to the other process.
    #[error("cannot talk to the process that is kept watch for")]
    Pipe(#[from] io::Error),
}

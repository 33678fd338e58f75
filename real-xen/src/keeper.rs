//! A process that outlives ours, for the guest's sake.
//!
//! Between the suspend request and the resume a guest depends on us. If we are killed there, nobody would let it go on,
//! and its dirty log would stay on for ever. So a keeper is started before anything is asked of the guest: a process in
//! a group of its own that does nothing but wait for the pipe from us to close. If it closes without a word, the
//! keeper withdraws the request, resumes the guest and ends the log.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use revenant_core::clock::Clock;

use crate::domain::LiveDomain;
use crate::sys::XenError;

/// Said by the keeper once it can do what it is there for.
const READY: &str = "ready";
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
    /// Starts one and waits until it is ready.
    pub(crate) fn start(program: &KeeperProgram, domain: u32) -> io::Result<Self> {
        let mut child = Command::new(&program.program)
            .args(&program.arguments)
            .arg(domain.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C and a closing terminal go to our group: the keeper is in another.
            .process_group(0)
            .spawn()?;
        let mut line = String::new();
        let said = child.stdout.take().expect("stdout is a pipe");
        BufReader::new(said).read_line(&mut line)?;
        if line.trim() == READY {
            Ok(Keeper { child })
        } else {
            Err(io::Error::other("the keeper process did not get ready"))
        }
    }

    /// The guest is in order: the keeper ends without touching it.
    pub(crate) fn release(mut self) {
        if let Some(mut pipe) = self.child.stdin.take() {
            drop(pipe.write_all(&[RELEASE]));
        }
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
    let mut said = Vec::new();
    // A read error is as good as the end: nobody is there.
    drop(io::stdin().lock().take(16).read_to_end(&mut said));
    if said.contains(&RELEASE) {
        return Ok(());
    }
    take_care(&guest);
    Ok(())
}

/// Brings a guest back to a state that needs nobody. Stops early if it is gone.
fn take_care(guest: &LiveDomain) {
    guest.withdraw_suspend();
    let mut log_ended = false;
    let begun = guest.clock().now();
    while guest.clock().now().since(begun) < WATCH {
        if guest.resume().is_err() && guest.info().is_err() {
            return;
        }
        if !log_ended {
            log_ended = guest.control().end_dirty_log(guest.id()).is_ok();
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

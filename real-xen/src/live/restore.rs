//! ④ A checkpoint becomes a domain again.
//!
//! Building a domain and wiring it up (event channels, xenstore, console, disks) is the toolstack's business: the
//! checkpoint is written as a save file into a pipe, and `xl restore` reads from it. Every byte is checked before it
//! goes into the pipe; if one is bad the pipe breaks off and `xl` takes back what it has built.
//!
//! What cannot be taken back comes last: the guest's disks are written when the domain stands, paused. By then all of the
//! checkpoint has been read and found good, and the toolstack has taken the memory and has found no other domain on the
//! disks. Writing them beneath a paused domain is safe: its block devices have their backends, but the guest's side of
//! each connects only when the guest runs, and the backend hands the guest's requests to the device past this host's cache, in
//! which nothing is left once the disk is synced.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use revenant_core::Store;
use revenant_core::clock::{Clock, SystemClock};
use revenant_core::guest::Space;
use revenant_core::restore::DiskRestoreError;
use revenant_core::store::{CheckpointId, CheckpointReader, StoreError};
use revenant_xen_format::{ExportError, export_as};

use super::configuration::Configuration;
use crate::disk::{AllowedDisks, DiskError, DiskTarget, configured, write_back};
use crate::live::ahead::Ahead;
use crate::live::domain::widen;
use crate::live::lock::DomainLock;
use crate::live::sys::{DomainState, XenControl, XenError, Xenstore};
use crate::live::xl::{self, XlError, failed};

/// Where this host keeps the configurations of its guests.
const CONFIGURATIONS: &str = "/etc/xen";

/// How a guest is to come back.
#[derive(Debug, Clone, Default)]
pub struct RestoreRequest {
    /// Another name than it had.
    pub name: Option<String>,
    /// Leave it paused.
    pub paused: bool,
    /// Beside the domain that it is a copy of: with a new UUID and new MAC addresses, and a name that must be given.
    pub copy: bool,
    /// No `xl` process stays behind to act on the domain's end: somebody else does.
    pub unattended: bool,
    /// Paths that the checkpoint's configuration may name, besides those that this host's own configurations give to a
    /// guest of that name.
    pub disks: AllowedDisks,
}

/// A domain that was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredDomain {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// From the request until it ran (or stood paused).
    pub took: Duration,
}

/// How far the writing of a disk came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskState {
    /// It is as it was before the restore.
    Untouched,
    /// It is neither as it was nor as in the checkpoint.
    PartlyWritten,
    /// It is as in the checkpoint.
    Written,
}

impl fmt::Display for DiskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DiskState::Untouched => "untouched",
            DiskState::PartlyWritten => "partly written",
            DiskState::Written => "written",
        })
    }
}

/// A disk of the guest when a restore broke off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskLeft {
    /// What the guest calls it.
    pub name: String,
    /// What it is here.
    pub device: PathBuf,
    /// How far its writing came.
    pub state: DiskState,
}

impl fmt::Display for DiskLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) is {}", self.name, self.device.display(), self.state)
    }
}

/// A restore failed. No domain is left behind; the checkpoint is untouched, and so are the guest's disks but for
/// [`RestoreError::DisksLeft`].
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Not a checkpoint that a domain can be made from.
    #[error("the checkpoint has no domain configuration: it was not taken from, or saved by, xl")]
    NoConfiguration,
    /// The configuration is not libxl's JSON.
    #[error("the checkpoint's domain configuration is not as libxl writes it: {0}")]
    BadConfiguration(String),
    /// It would be there twice.
    #[error(
        "domain {id} ({name}) is this guest, and is there already: destroy it first, or ask for a copy under another name"
    )]
    Exists {
        /// The domain's number.
        id: u32,
        /// Its name.
        name: String,
    },
    /// A disk that is in the checkpoint and not in the configuration.
    #[error("the checkpoint holds disk {0}, its domain configuration names no such disk")]
    NoSuchDisk(String),
    /// The configuration names a path that nothing on this host allows.
    #[error(
        "the checkpoint gives the guest {path} of this host as disk {disk}, and no configuration of the guest in /etc/xen \
         does. If it is right, add --allow-disk {path}, or a line {path} to {}",
        crate::disk::DISKS_ALLOWED
    )]
    DiskNotAllowed {
        /// What the guest calls it.
        disk: String,
        /// What the checkpoint's configuration calls it.
        path: String,
    },
    /// The configuration asks for something else of this host that nothing on it allows.
    #[error(
        "the checkpoint's configuration asks for {key} {value:?}, and no configuration of the guest in /etc/xen does. If it is \
         right, {}",
        leave(key, path.as_deref())
    )]
    NotAllowed {
        /// What xl.cfg(5) calls it.
        key: &'static str,
        /// Its value.
        value: String,
        /// The path that would allow it, where there is one.
        path: Option<String>,
    },
    /// It broke off when the domain stood and its disks were being written, or had been. Not an error of its own: the source
    /// tells what happened.
    #[error("the restore broke off; {}", disks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    DisksLeft {
        /// The disks in the checkpoint, in the order in which they are written.
        disks: Vec<DiskLeft>,
        /// What happened.
        #[source]
        source: Box<RestoreError>,
    },
    /// Whoever asked for it wants it no longer.
    #[error("the restore was called off")]
    CalledOff,
    /// A disk could not be brought back.
    #[error(transparent)]
    Disk(#[from] Box<DiskRestoreError<DiskError>>),
    /// A disk cannot be written.
    #[error("cannot write disk {name:?}")]
    Target {
        /// The disk.
        name: String,
        /// Why.
        #[source]
        source: DiskError,
    },
    /// A copy with disks would write to the disks of the guest that it is a copy of.
    #[error("the checkpoint holds disks: a copy beside the guest would write to the same ones")]
    CopyWithDisks,
    /// A copy needs a name of its own.
    #[error("a copy beside the guest needs another name than {0}")]
    CopyNeedsName(String),
    /// Somebody restores or checkpoints it at this moment.
    #[error("another process restores, checkpoints or protects this guest")]
    Busy,
    /// The checkpoint is damaged.
    #[error("cannot read the checkpoint")]
    Checkpoint(#[from] StoreError),
    /// It cannot be written as a save file.
    #[error("cannot write the checkpoint as a save file")]
    Export(#[source] ExportError),
    /// The toolstack did not build the domain.
    #[error(transparent)]
    Xl(#[from] XlError),
    /// Xen did not answer.
    #[error(transparent)]
    Xen(#[from] XenError),
    /// The pipe to the toolstack.
    #[error("cannot talk to xl")]
    Pipe(#[from] io::Error),
    /// `xl` says it is there, Xen does not.
    #[error("xl restored {0}, and no domain of that name runs")]
    Vanished(String),
}

/// How to allow what was refused.
fn leave(key: &str, path: Option<&str>) -> String {
    match path {
        Some(path) => format!(
            "add --allow-disk {path}, or a line {path} to {}",
            crate::disk::DISKS_ALLOWED
        ),
        None => format!("write the same {key} into /etc/xen, in a configuration with the guest's name"),
    }
}

impl RestoreError {
    /// The checkpoint may be well, but this host does not allow what its configuration asks for.
    pub fn refused(&self) -> bool {
        matches!(
            self,
            RestoreError::DiskNotAllowed { .. } | RestoreError::NotAllowed { .. }
        )
    }

    /// This checkpoint will never restore: an older one has to serve.
    pub fn damaged(&self) -> bool {
        match self {
            RestoreError::Checkpoint(error) => error.is_damage(),
            RestoreError::Export(error) => match error {
                ExportError::Store(error) => error.is_damage(),
                ExportError::NotXen { .. }
                | ExportError::BadRecord { .. }
                | ExportError::BadStream { .. } => true,
                ExportError::Write(_) => false,
            },
            RestoreError::Disk(error) => match &**error {
                DiskRestoreError::Checkpoint(error) => error.is_damage(),
                DiskRestoreError::Incomplete { .. } | DiskRestoreError::NoSuchDisk { .. } => true,
                DiskRestoreError::Target { .. } => false,
            },
            RestoreError::DisksLeft { source, .. } => source.damaged(),
            RestoreError::NoConfiguration
            | RestoreError::BadConfiguration(_)
            | RestoreError::NoSuchDisk(_) => true,
            RestoreError::Exists { .. }
            | RestoreError::DiskNotAllowed { .. }
            | RestoreError::NotAllowed { .. }
            | RestoreError::CalledOff
            | RestoreError::Target { .. }
            | RestoreError::CopyWithDisks
            | RestoreError::CopyNeedsName(_)
            | RestoreError::Busy
            | RestoreError::Xl(_)
            | RestoreError::Xen(_)
            | RestoreError::Pipe(_)
            | RestoreError::Vanished(_) => false,
        }
    }

    /// The store could not read this checkpoint, and may be able to later: an older one has to serve meanwhile.
    pub fn unreadable(&self) -> bool {
        let found = self.of_store();
        found.is_some_and(|error| error.finding().is_some() && !error.is_damage())
    }

    fn of_store(&self) -> Option<&StoreError> {
        match self {
            RestoreError::Checkpoint(error) | RestoreError::Export(ExportError::Store(error)) => Some(error),
            RestoreError::Disk(error) => match &**error {
                DiskRestoreError::Checkpoint(error) => Some(error),
                _ => None,
            },
            RestoreError::DisksLeft { source, .. } => source.of_store(),
            _ => None,
        }
    }
}

/// Fails if this host would refuse the checkpoint for what its configuration names.
pub fn check_allowed(store: &Store, id: CheckpointId, allowed: &AllowedDisks) -> Result<(), RestoreError> {
    let reader = store.read(id)?;
    let request = RestoreRequest {
        disks: allowed.clone(),
        ..RestoreRequest::default()
    };
    Configuration::of(&reader)?.check(&known(&reader, &request))
}

/// What was allowed, and what this host's own configurations give to a guest of this name.
fn known(reader: &CheckpointReader, request: &RestoreRequest) -> AllowedDisks {
    let mut allowed = request.disks.clone();
    for name in std::iter::once(&reader.info().guest).chain(&request.name) {
        allowed.join(configured(Path::new(CONFIGURATIONS), name));
    }
    allowed
}

/// Restores a checkpoint as a new domain on this host. `go_on` is asked before each of the steps that change what others
/// see: the domain, its disks, its running. `progress` is told how many more bytes went to the toolstack.
pub fn restore_domain(
    store: &Store,
    id: CheckpointId,
    request: &RestoreRequest,
    go_on: &mut dyn FnMut() -> bool,
    progress: &mut dyn FnMut(u64),
) -> Result<RestoredDomain, RestoreError> {
    let clock = SystemClock::new();
    let begun = clock.now();
    let mut reader = store.read(id)?;
    let mut configuration = Configuration::of(&reader)?;
    check_copy(&reader, &configuration, request)?;
    configuration.check(&known(&reader, request))?;
    configuration.apply(request)?;
    let disks = devices(&reader, &configuration)?;
    if !disks.is_empty() {
        verify(store, id)?;
    }
    let uuid = configuration.uuid()?;
    // Held until the domain is there, so that two restores at once do not both find that it is not.
    let _lock = DomainLock::take(uuid).map_err(|_| RestoreError::Busy)?;
    let control = XenControl::open()?;
    refuse_twice(&control, &Xenstore::open()?, &configuration)?;
    let mut permitted = || {
        if go_on() {
            Ok(())
        } else {
            Err(RestoreError::CalledOff)
        }
    };

    permitted()?;
    // From here on there may be a domain of this UUID, and it is ours.
    let restored = build(&mut reader, &configuration, request, progress).and_then(|()| {
        let id =
            find(&control, uuid)?.ok_or_else(|| RestoreError::Vanished(configuration.name().to_owned()))?;
        permitted()?;
        write_disks(&mut reader, disks, || {
            permitted()?;
            if !request.paused {
                xl::run(&["unpause", &id.to_string()])?;
            }
            Ok(())
        })?;
        Ok(id)
    });
    if restored.is_err()
        && let Ok(Some(left)) = find(&control, uuid)
    {
        // What went wrong first is what is told.
        drop(xl::run(&["destroy", &left.to_string()]));
    }
    Ok(RestoredDomain {
        id: restored?,
        name: configuration.name().to_owned(),
        took: clock.now().since(begun),
    })
}

fn check_copy(
    reader: &CheckpointReader,
    configuration: &Configuration,
    request: &RestoreRequest,
) -> Result<(), RestoreError> {
    if !request.copy {
        return Ok(());
    }
    let name = request.name.as_deref();
    if name.is_none_or(|name| name == configuration.name()) {
        return Err(RestoreError::CopyNeedsName(configuration.name().to_owned()));
    }
    if !reader.info().disks().is_empty() {
        return Err(RestoreError::CopyWithDisks);
    }
    Ok(())
}

/// Reads all that the checkpoint needs, memory and disks. A guest without disks has nothing that cannot be taken back, and
/// its memory is checked on the way to the toolstack.
fn verify(store: &Store, id: CheckpointId) -> Result<(), RestoreError> {
    match store.verify(Some(id))?.findings.into_iter().next() {
        Some(finding) => Err(StoreError::from(finding).into()),
        None => Ok(()),
    }
}

/// The domain of this UUID that is not about to go.
fn find(control: &XenControl, uuid: [u8; 16]) -> Result<Option<u32>, RestoreError> {
    let domains = control.domains()?;
    let found = domains
        .iter()
        .find(|domain| domain.uuid == uuid && domain.state != DomainState::Dying);
    Ok(found.map(|domain| domain.id))
}

/// Has the toolstack build the domain and leave it paused.
fn build(
    reader: &mut CheckpointReader,
    configuration: &Configuration,
    request: &RestoreRequest,
    progress: &mut dyn FnMut(u64),
) -> Result<(), RestoreError> {
    reader.select(Space::Memory)?;
    let mut arguments = vec!["restore", "-p"];
    if request.unattended {
        arguments.push("-e");
    }
    arguments.push("/proc/self/fd/0");
    let mut child = Command::new("xl")
        .args(&arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(XlError::Start)?;
    let said = gather(&mut child);
    let written = write_stream(reader, configuration, &mut child, progress);
    let status = child.wait()?;
    match written {
        Err(error) if !is_broken_pipe(&error) => Err(error),
        written if status.success() => written,
        _ => Err(failed(&arguments, &said.join().unwrap_or_default()).into()),
    }
}

/// The disks in the checkpoint and what they are here.
fn devices(reader: &CheckpointReader, configuration: &Configuration) -> Result<Vec<Disk>, RestoreError> {
    let disks = reader.info().disks().into_iter().map(|disk| {
        let device = configuration.disk(&disk.name);
        Ok(Disk {
            device: device.ok_or_else(|| RestoreError::NoSuchDisk(disk.name.clone()))?,
            name: disk.name,
            blocks: disk.blocks,
            state: DiskState::Untouched,
        })
    });
    disks.collect()
}

/// A disk that is to be brought back.
#[derive(Debug)]
struct Disk {
    name: String,
    device: PathBuf,
    blocks: u64,
    state: DiskState,
}

/// Brings the disks back to the instant of the memory, and then goes on with `finally`. All are opened before one is written. If
/// something fails, the error says how far it came.
fn write_disks(
    reader: &mut CheckpointReader,
    mut disks: Vec<Disk>,
    finally: impl FnOnce() -> Result<(), RestoreError>,
) -> Result<(), RestoreError> {
    let source = match write_all(reader, &mut disks).and_then(|()| finally()) {
        Err(source) if !disks.is_empty() => source,
        done => return done,
    };
    let left = disks.into_iter().map(|disk| DiskLeft {
        name: disk.name,
        device: disk.device,
        state: disk.state,
    });
    Err(RestoreError::DisksLeft {
        disks: left.collect(),
        source: Box::new(source),
    })
}

fn write_all(reader: &mut CheckpointReader, disks: &mut [Disk]) -> Result<(), RestoreError> {
    let targets: Result<Vec<DiskTarget>, RestoreError> = disks
        .iter()
        .map(|disk| {
            DiskTarget::open(&disk.device, disk.blocks).map_err(|source| RestoreError::Target {
                name: disk.name.clone(),
                source,
            })
        })
        .collect();
    for (disk, mut target) in disks.iter_mut().zip(targets?) {
        let written = write_back(reader, &disk.name, &mut target);
        disk.state = match &written {
            Ok(_) => DiskState::Written,
            Err(_) if target.touched() => DiskState::PartlyWritten,
            Err(_) => DiskState::Untouched,
        };
        written.map_err(Box::new)?;
    }
    Ok(())
}

fn refuse_twice(
    control: &XenControl,
    store: &Xenstore,
    configuration: &Configuration,
) -> Result<(), RestoreError> {
    let uuid = configuration.uuid()?;
    for domain in control.domains()? {
        let name = store
            .read(&format!("/local/domain/{}/name", domain.id))
            .unwrap_or_default();
        let same = domain.uuid == uuid || name == configuration.name();
        if domain.id != 0 && same && domain.state != DomainState::Dying {
            return Err(RestoreError::Exists { id: domain.id, name });
        }
    }
    Ok(())
}

/// Reads what the child says on standard error, so that it never waits for us to.
fn gather(child: &mut Child) -> thread::JoinHandle<Vec<u8>> {
    const KEPT_BYTES: u64 = 1 << 20;
    let stderr = child.stderr.take();
    thread::spawn(move || {
        let mut said = Vec::new();
        if let Some(mut stderr) = stderr {
            drop(stderr.by_ref().take(KEPT_BYTES).read_to_end(&mut said));
            drop(io::copy(&mut stderr, &mut io::sink()));
        }
        said
    })
}

fn write_stream(
    reader: &mut CheckpointReader,
    configuration: &Configuration,
    child: &mut Child,
    progress: &mut dyn FnMut(u64),
) -> Result<(), RestoreError> {
    let pipe = child
        .stdin
        .take()
        .ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
    widen(&pipe);
    // xl builds a domain before it reads of its memory; meanwhile that is decompressed and checked.
    let mut counted = Counted {
        inner: Ahead::new(pipe),
        progress,
    };
    export_as(reader, Some(&configuration.encode()), &mut counted).map_err(RestoreError::Export)?;
    Ok(counted.inner.finish()?)
}

struct Counted<'a, W> {
    inner: W,
    progress: &'a mut dyn FnMut(u64),
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        (self.progress)(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The reader of the pipe went away; what it said tells more.
fn is_broken_pipe(error: &RestoreError) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if kind == Some(io::ErrorKind::BrokenPipe) {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use revenant_xen_format::{Fault, WriteError};

    use super::*;

    #[test]
    fn a_checkpoint_that_will_never_restore_is_told_from_a_host_that_cannot_now() {
        let record = || "x".to_owned();
        let left = |source| RestoreError::DisksLeft {
            disks: Vec::new(),
            source: Box::new(source),
        };
        let bad_stream = || {
            RestoreError::Export(ExportError::BadStream {
                name: record(),
                fault: Fault::NoEnd,
            })
        };
        let bad_record = ExportError::BadRecord {
            name: record(),
            reason: "short",
        };
        let damaged = [
            RestoreError::NoConfiguration,
            RestoreError::NoSuchDisk("xvda".into()),
            RestoreError::Export(bad_record),
            bad_stream(),
            left(bad_stream()),
        ];
        assert!(damaged.iter().all(RestoreError::damaged));
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        let sound = [
            RestoreError::Busy,
            RestoreError::CalledOff,
            RestoreError::Export(ExportError::Write(WriteError::Io {
                offset: 0,
                source: broken(),
            })),
            left(RestoreError::Pipe(broken())),
        ];
        assert!(!sound.iter().any(RestoreError::damaged));
    }

    #[test]
    fn who_reads_of_a_broken_restore_learns_of_each_disk() {
        let disk = |name: &str, state| DiskLeft {
            name: name.to_owned(),
            device: PathBuf::from("/dev/vg/x"),
            state,
        };
        let error = RestoreError::DisksLeft {
            disks: vec![
                disk("xvda", DiskState::Written),
                disk("xvdb", DiskState::PartlyWritten),
                disk("xvdc", DiskState::Untouched),
            ],
            source: Box::new(RestoreError::CalledOff),
        };
        assert_eq!(
            revenant_core::with_causes(&error),
            "the restore broke off; xvda (/dev/vg/x) is written, xvdb (/dev/vg/x) is partly written, \
             xvdc (/dev/vg/x) is untouched: the restore was called off"
        );
    }
}

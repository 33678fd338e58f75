//! ④ A checkpoint becomes a domain again.
//!
//! Building a domain and wiring it up (event channels, xenstore, console, disks) is the toolstack's business: the
//! checkpoint is written as a save file into a pipe, and `xl restore` reads from it. Every byte is checked before it
//! goes into the pipe; if one is bad the pipe breaks off and `xl` takes back what it has built.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use revenant_core::clock::{Clock, SystemClock};
use revenant_core::guest::Space;
use revenant_core::restore::DiskRestoreError;
use revenant_core::store::{CheckpointReader, StoreError};
use revenant_xen_format::{ExportError, XlHeader, export_as, names};
use serde_json::{Value, json};

use crate::disk::{DiskError, write_back};
use crate::live::ahead::Ahead;
use crate::live::domain::widen;
use crate::live::lock::DomainLock;
use crate::live::sys::{DomainState, XenControl, XenError, Xenstore};
use crate::live::xl::{XlError, failed};

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

/// A restore failed. No domain is left behind; the checkpoint is untouched.
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
        "domain {id} ({name}) is this guest, and runs: destroy it first, or ask for a copy under another name"
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
    /// A disk could not be brought back.
    #[error(transparent)]
    Disk(#[from] Box<DiskRestoreError<DiskError>>),
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

impl RestoreError {
    /// This checkpoint will never restore: an older one has to serve.
    pub fn damaged(&self) -> bool {
        match self {
            RestoreError::Disk(error) if matches!(**error, DiskRestoreError::Incomplete { .. }) => true,
            RestoreError::NoConfiguration
            | RestoreError::BadConfiguration(_)
            | RestoreError::Export(
                ExportError::NotXen { .. } | ExportError::BadRecord { .. } | ExportError::BadStream { .. },
            ) => true,
            _ => self.of_store().is_some_and(StoreError::is_damage),
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
            _ => None,
        }
    }
}

/// A domain configuration about to be used.
struct Configuration {
    json: Value,
}

impl Configuration {
    fn of(reader: &CheckpointReader) -> Result<Self, RestoreError> {
        let header = reader
            .records()
            .iter()
            .find(|record| record.name == names::XL_HEADER)
            .ok_or(RestoreError::NoConfiguration)?;
        let header = XlHeader::parse(&header.bytes)
            .map_err(|error| RestoreError::BadConfiguration(error.to_string()))?;
        let text = header.config();
        let text = text.strip_suffix(&[0]).unwrap_or(text);
        let json: Value = serde_json::from_slice(text)
            .map_err(|error| RestoreError::BadConfiguration(error.to_string()))?;
        if json["c_info"]["name"].is_string() && json["c_info"]["uuid"].is_string() {
            Ok(Configuration { json })
        } else {
            Err(RestoreError::BadConfiguration(
                "expected c_info with a name and a uuid".into(),
            ))
        }
    }

    fn name(&self) -> &str {
        self.json["c_info"]["name"].as_str().unwrap_or_default()
    }

    fn uuid(&self) -> Result<[u8; 16], RestoreError> {
        let text = self.json["c_info"]["uuid"].as_str().unwrap_or_default();
        parse_uuid(text).ok_or_else(|| RestoreError::BadConfiguration(format!("uuid {text:?}")))
    }

    fn apply(&mut self, request: &RestoreRequest) -> io::Result<()> {
        if let Some(name) = &request.name {
            self.json["c_info"]["name"] = json!(name);
        }
        if request.copy {
            self.json["c_info"]["uuid"] = json!(random_uuid()?);
            // libxl draws a new address for an interface that has none.
            let nics = self.json.get_mut("nics").and_then(Value::as_array_mut);
            for nic in nics.into_iter().flatten().filter_map(Value::as_object_mut) {
                nic.remove("mac");
            }
        }
        if request.unattended {
            // A crashed domain stays to be seen, and is destroyed by who sees it.
            self.json["on_crash"] = json!("preserve");
        }
        // A guest that was given a generation id learns by a new one that it went back in time: Linux reseeds its random
        // numbers, Windows its directory services.
        if let Some(generation) = self.json.pointer_mut("/b_info/type.hvm/ms_vm_genid") {
            *generation = json!(random_bytes()?);
        }
        Ok(())
    }

    /// The block device behind a disk that the guest knows by this name.
    fn disk(&self, name: &str) -> Option<PathBuf> {
        let disks = self.json.get("disks")?.as_array()?;
        let disk = disks.iter().find(|disk| disk["vdev"] == name)?;
        Some(PathBuf::from(disk["pdev_path"].as_str()?))
    }

    fn encode(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(&self.json).unwrap_or_default();
        text.extend(b"\n\0");
        text
    }
}

/// Restores a checkpoint as a new domain on this host.
pub fn restore_domain(
    reader: &mut CheckpointReader,
    request: &RestoreRequest,
    progress: &mut dyn FnMut(u64),
) -> Result<RestoredDomain, RestoreError> {
    let clock = SystemClock::new();
    let begun = clock.now();
    let mut configuration = Configuration::of(reader)?;
    if request.copy
        && request
            .name
            .as_deref()
            .is_none_or(|name| name == configuration.name())
    {
        return Err(RestoreError::CopyNeedsName(configuration.name().to_owned()));
    }
    if request.copy && !reader.info().disks().is_empty() {
        return Err(RestoreError::CopyWithDisks);
    }
    configuration.apply(request)?;
    let uuid = configuration.uuid()?;
    // Held until the domain is there, so that two restores at once do not both find that it is not.
    let _lock = DomainLock::take(uuid).map_err(|_| RestoreError::Busy)?;
    let control = XenControl::open()?;
    let store = Xenstore::open()?;
    refuse_twice(&control, &store, &configuration)?;

    write_disks(reader, &configuration)?;
    let mut arguments = vec!["restore"];
    if request.paused {
        arguments.push("-p");
    }
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
    let written = write_stream(reader, &configuration, &mut child, progress);
    let status = child.wait()?;
    if let Err(error) = &written
        && !is_broken_pipe(error)
    {
        return written.map(|()| unreachable!("an error was seen"));
    }
    if !status.success() {
        let said = said.join().unwrap_or_default();
        return Err(failed(&arguments, &said).into());
    }
    written?;
    let name = configuration.name().to_owned();
    let id = control
        .domains()?
        .iter()
        .find(|domain| domain.uuid == uuid && domain.state != DomainState::Dying)
        .map(|domain| domain.id)
        .ok_or_else(|| RestoreError::Vanished(name.clone()))?;
    Ok(RestoredDomain {
        id,
        name,
        took: clock.now().since(begun),
    })
}

/// Brings the disks back to the instant of the memory, before anybody uses them.
fn write_disks(reader: &mut CheckpointReader, configuration: &Configuration) -> Result<(), RestoreError> {
    for disk in reader.info().disks() {
        let device = configuration
            .disk(&disk.name)
            .ok_or_else(|| RestoreError::NoSuchDisk(disk.name.clone()))?;
        write_back(reader, &disk.name, &device).map_err(Box::new)?;
    }
    Ok(reader.select(Space::Memory)?)
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

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.chars().filter(|&c| c != '-').collect();
    let number = (digits.len() == 32).then(|| u128::from_str_radix(&digits, 16).ok())??;
    Some(number.to_be_bytes())
}

fn random_bytes() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A random UUID (RFC 9562, version 4).
fn random_uuid() -> io::Result<String> {
    let mut bytes = random_bytes()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration() -> Configuration {
        Configuration {
            json: json!({
                "c_info": { "name": "web1", "uuid": "9983fb4e-e71d-11f1-ad69-ff71b4863435" },
                "b_info": { "memory": 1 },
                "nics": [{ "mac": "00:16:3e:01:02:03", "bridge": "xenbr0" }],
                "on_crash": "destroy",
            }),
        }
    }

    #[test]
    fn the_same_guest_keeps_its_identity() {
        let mut config = configuration();
        config.apply(&RestoreRequest::default()).unwrap();
        assert_eq!(config.encode(), configuration().encode());
        assert_eq!(config.uuid().unwrap()[..4], [0x99, 0x83, 0xfb, 0x4e]);
    }

    #[test]
    fn a_copy_gets_an_identity_of_its_own() {
        let mut config = configuration();
        let request = RestoreRequest {
            name: Some("web2".into()),
            copy: true,
            unattended: true,
            ..RestoreRequest::default()
        };
        config.apply(&request).unwrap();
        assert_eq!(config.name(), "web2");
        assert_ne!(config.uuid().unwrap(), configuration().uuid().unwrap());
        assert_eq!(config.json["nics"], json!([{ "bridge": "xenbr0" }]));
        assert_eq!(config.json["on_crash"], "preserve");
        assert_eq!(config.json["b_info"], configuration().json["b_info"]);
    }

    #[test]
    fn a_uuid_is_32_digits() {
        for bad in ["", "9983fb4e", "x983fb4e-e71d-11f1-ad69-ff71b4863435"] {
            assert_eq!(parse_uuid(bad), None, "{bad}");
        }
    }
}

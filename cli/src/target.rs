//! Where an export goes.
//!
//! | there is at the end of all links | without --force | with --force |
//! | --- | --- | --- |
//! | nothing | a new file, 0600 | the same |
//! | regular file | refused | replaced as a whole, its mode and owner kept |
//! | block device | refused | written through, synced |
//! | character device, FIFO, open descriptor | written through | the same |
//! | directory, socket | refused | refused |
//! | anything inside the store, a standard output that is closed | refused | refused |
//!
//! A file is written beside its name and gets it when it is whole and durable: a failed export must not cost the user
//! what had the name before. Nothing but a regular file is ever replaced.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result, bail};
use rustix::fs::{CWD, OFlags, RenameFlags, fcntl_getfl, renameat_with};
use rustix::io::Errno;

use crate::interrupt;
use crate::output::{note, warning};

/// Nobody else reads a guest's memory.
const FILE_MODE: u32 = 0o600;
/// As many links as Linux follows.
const LINKS_MAX: u32 = 40;
/// Of the name of a file as much goes into that of its partial: names have 255 bytes.
const STEM_BYTES_MAX: usize = 200;
const PARTIAL: &[u8] = b".partial";
/// Where every open descriptor of a process has a name, behind which there need not be a path.
const DESCRIPTORS: (&str, &str) = ("/proc/", "/fd");

/// An open target of an export.
#[derive(Debug)]
pub(crate) enum Target {
    Staged(StagedFile),
    /// A device, a pipe, or whatever a descriptor stands for.
    Through(File),
}

impl Target {
    /// Opens what `path` names; `-` is standard output. Signals are watched for while a file is written: a pipe or a
    /// device leaves nothing to clean up.
    pub(crate) fn open(path: &Path, force: bool, store: &Path) -> Result<Target> {
        if path == Path::new("-") {
            return open_standard_output();
        }
        let shown = path.display();
        if path.as_os_str().as_bytes().ends_with(b"/") {
            bail!("{shown} names no file");
        }
        let place = resolve(path).with_context(|| format!("cannot follow {shown}"))?;
        if is_within(store, folder(&place.path)) {
            bail!("{shown} is in the store, where nothing but the store's own files may be written");
        }
        match place.found {
            Found::Nothing => StagedFile::create(place.path, None).map(Target::Staged),
            Found::Regular(_) if !force => bail!("{shown} exists (give --force to replace it)"),
            Found::Regular(old) => StagedFile::create(place.path, Some(old)).map(Target::Staged),
            Found::Block if !force => {
                bail!("{shown} is a block device (give --force to overwrite what is on it)")
            }
            // O_EXCL: not while it is mounted, or otherwise held.
            Found::Block => through(&place.path, OFlags::EXCL),
            Found::Stream => through(&place.path, OFlags::empty()),
            Found::StandardOutput => open_standard_output(),
            Found::Directory => bail!("{shown} is a directory, expected a file"),
            Found::Socket => bail!("{shown} is a socket, which cannot be written like a file"),
        }
    }

    /// Leaves out `bytes` zeroes: a hole in a new file, written out elsewhere.
    pub(crate) fn skip(&mut self, mut bytes: u64) -> io::Result<()> {
        static ZEROES: [u8; 64 << 10] = [0; 64 << 10];
        if let Target::Staged(staged) = self {
            return staged.skip(bytes);
        }
        while bytes > 0 {
            let piece = usize::try_from(bytes).map_or(ZEROES.len(), |left| left.min(ZEROES.len()));
            self.write_all(&ZEROES[..piece])?;
            bytes -= piece as u64;
        }
        Ok(())
    }

    /// All is written: makes it durable, and gives a file its name.
    pub(crate) fn finish(self) -> Result<()> {
        match self {
            Target::Staged(staged) => staged.publish(),
            Target::Through(file) => synced(&file).context("cannot sync the output"),
        }
    }
}

impl Write for Target {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Target::Staged(staged) => {
                interrupt::check()?;
                staged.file.write(buf)
            }
            Target::Through(file) => file.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Not through `io::stdout`, which would look for the ends of lines in it.
fn standard_output() -> io::Result<File> {
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

fn open_standard_output() -> Result<Target> {
    let file = standard_output()?;
    // A descriptor that was closed when the process began the runtime opens for reading and writing on the null device.
    let is_both = fcntl_getfl(&file).is_ok_and(|flags| flags.contains(OFlags::RDWR));
    let device = file.metadata()?;
    if is_both && device.file_type().is_char_device() && device.rdev() == fs::metadata("/dev/null")?.rdev() {
        bail!("standard output is closed (give --output /dev/null to throw away what is written)");
    }
    Ok(Target::Through(file))
}

/// Is the folder this store's, or below it, whatever path leads there?
fn is_within(store: &Path, folder: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).ok().map(|there| (there.dev(), there.ino()));
    let store = identity(store);
    let real = fs::canonicalize(folder);
    real.is_ok_and(|folder| store.is_some() && folder.ancestors().any(|above| identity(above) == store))
}

fn through(path: &Path, flags: OFlags) -> Result<Target> {
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = OpenOptions::new().write(true).custom_flags(flags).open(path);
    Ok(Target::Through(
        file.with_context(|| format!("cannot open {}", path.display()))?,
    ))
}

/// What an export meets at its target.
#[derive(Debug)]
enum Found {
    Nothing,
    Regular(Access),
    Block,
    /// A character device, a FIFO, or what an open descriptor stands for.
    Stream,
    StandardOutput,
    Directory,
    Socket,
}

/// Who may do what with a file.
#[derive(Debug, Clone, Copy)]
struct Access {
    mode: u32,
    owner: u32,
    group: u32,
}

impl Access {
    fn of(there: &Metadata) -> Self {
        Access {
            mode: there.mode() & 0o777,
            owner: there.uid(),
            group: there.gid(),
        }
    }
}

/// The end of a chain of links.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    found: Found,
}

/// Follows links to their end, which need not be there yet.
fn resolve(path: &Path) -> io::Result<Place> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let there = match fs::symlink_metadata(&path) {
            Ok(there) => there,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let found = Found::Nothing;
                return Ok(Place { path, found });
            }
            Err(error) => return Err(error),
        };
        if !there.is_symlink() {
            let found = classify(&there);
            return Ok(Place { path, found });
        }
        if is_descriptor(&path) {
            let found = if is_standard_output(&path)? {
                Found::StandardOutput
            } else {
                Found::Stream
            };
            return Ok(Place { path, found });
        }
        path = folder(&path).join(fs::read_link(&path)?);
    }
    Err(Errno::LOOP.into())
}

fn classify(there: &Metadata) -> Found {
    let kind = there.file_type();
    match () {
        () if kind.is_file() => Found::Regular(Access::of(there)),
        () if kind.is_dir() => Found::Directory,
        () if kind.is_block_device() => Found::Block,
        () if kind.is_socket() => Found::Socket,
        () => Found::Stream,
    }
}

/// Is this a link in `/proc/PID/fd`, to which `/dev/stdout` and `/dev/fd` lead?
fn is_descriptor(path: &Path) -> bool {
    let (begin, end) = DESCRIPTORS;
    fs::canonicalize(folder(path)).is_ok_and(|folder| {
        let folder = folder.as_os_str().as_bytes();
        folder.starts_with(begin.as_bytes()) && folder.ends_with(end.as_bytes())
    })
}

fn is_standard_output(path: &Path) -> io::Result<bool> {
    let (ours, there) = (standard_output()?.metadata()?, fs::metadata(path)?);
    Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()))
}

fn folder(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Syncs what can be: a pipe cannot, and some shared file systems refuse a directory.
fn synced(file: &File) -> io::Result<()> {
    match file.sync_all() {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        other => other,
    }
}

/// A file that gets its name only when it is whole and durable, and is removed otherwise.
#[derive(Debug)]
pub(crate) struct StagedFile {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    replaced: Option<Access>,
    published: bool,
}

impl StagedFile {
    fn create(target: PathBuf, replaced: Option<Access>) -> Result<Self> {
        let name = target
            .file_name()
            .with_context(|| format!("{} names no file", target.display()))?;
        tell_of_leftovers(&target, name);
        interrupt::watch().context("cannot take signals")?;
        let (file, temporary) = create_partial(&target, name)?;
        Ok(StagedFile {
            file,
            temporary,
            target,
            replaced,
            published: false,
        })
    }

    /// The length is set at once, so that a hole at the end counts.
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        interrupt::check()?;
        let offset = i64::try_from(bytes).map_err(|_| io::Error::from(ErrorKind::FileTooLarge))?;
        let end = self.file.seek(SeekFrom::Current(offset))?;
        self.file.set_len(end)
    }

    fn publish(mut self) -> Result<()> {
        let named = || format!("cannot name {}", self.target.display());
        if let Some(old) = self.replaced {
            keep_access(&self.file, old, &self.target)?;
        }
        synced(&self.file).with_context(|| format!("cannot sync {}", self.temporary.display()))?;
        interrupt::check()?;
        match &self.replaced {
            Some(_) => rename_over_file(&self.temporary, &self.target),
            None => rename_to_nothing(&self.temporary, &self.target),
        }
        .with_context(named)?;
        self.published = true;
        let folder = folder(&self.target);
        File::open(folder)
            .and_then(|opened| synced(&opened))
            .with_context(|| format!("cannot sync {}", folder.display()))
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if self.published {
            return;
        }
        let shown = self.temporary.display();
        match fs::remove_file(&self.temporary) {
            Ok(()) if interrupt::received().is_some() => note(&format!("{shown} was removed")),
            Ok(()) => {}
            Err(error) => warning(&format!("{shown} is left: {error}")),
        }
    }
}

/// Renames only if what is there is still a regular file.
fn rename_over_file(from: &Path, to: &Path) -> io::Result<()> {
    match fs::symlink_metadata(to) {
        Ok(there) if !there.is_file() => Err(io::Error::other("it is no regular file any more")),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => fs::rename(from, to),
    }
}

/// Renames only if there is nothing.
fn rename_to_nothing(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system can be asked for that.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => match fs::symlink_metadata(to) {
            Ok(_) => Err(ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == ErrorKind::NotFound => fs::rename(from, to),
            Err(error) => Err(error),
        },
        other => Ok(other?),
    }
}

/// Gives the new file mode and owner of the one it replaces. An owner that cannot be given (only root can) takes the
/// rights of others with it: they were meant for the group of another file.
fn keep_access(file: &File, old: Access, target: &Path) -> Result<()> {
    let ours = Access::of(&file.metadata()?);
    let mut mode = old.mode;
    if (ours.owner, ours.group) != (old.owner, old.group)
        && let Err(error) = fchown(file, Some(old.owner), Some(old.group))
    {
        mode &= 0o700;
        warning(&format!(
            "{} does not keep its owner ({error}); others have no access to it",
            target.display()
        ));
    }
    file.set_permissions(fs::Permissions::from_mode(mode))
        .with_context(|| format!("cannot set the mode of {}", target.display()))
}

/// `.NAME.PID.partial` beside the target.
fn create_partial(target: &Path, name: &OsStr) -> Result<(File, PathBuf)> {
    let mut number = 0_u32;
    loop {
        let mut partial = partial_prefix(name);
        // In containers a process that was killed may have had our number.
        let again = if number == 0 {
            String::new()
        } else {
            format!("-{number}")
        };
        partial.push(format!("{}{again}", process::id()));
        partial.push(OsStr::from_bytes(PARTIAL));
        let path = target.with_file_name(partial);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(&path);
        match file {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists && number < 1000 => number += 1,
            Err(error) => return Err(error).with_context(|| format!("cannot create {}", path.display())),
        }
    }
}

fn partial_prefix(name: &OsStr) -> OsString {
    let name = name.as_bytes();
    let mut prefix = OsString::from(".");
    prefix.push(OsStr::from_bytes(&name[..name.len().min(STEM_BYTES_MAX)]));
    prefix.push(".");
    prefix
}

/// Names what earlier exports to this target left that were killed. It may be another host's that is at work: nothing
/// is removed.
fn tell_of_leftovers(target: &Path, name: &OsStr) {
    let prefix = partial_prefix(name);
    let Ok(entries) = fs::read_dir(folder(target)) else {
        return;
    };
    for entry in entries.flatten() {
        let found = entry.file_name();
        let middle = found.as_bytes().strip_prefix(prefix.as_bytes());
        let Some(pid) = middle.and_then(|middle| middle.strip_suffix(PARTIAL)) else {
            continue;
        };
        let pid = String::from_utf8_lossy(pid.split(|&b| b == b'-').next().unwrap_or_default()).into_owned();
        let number = pid.parse::<u32>();
        let lives = |number| number != process::id() && Path::new("/proc").join(&pid).exists();
        if number.is_ok_and(|number| !lives(number)) {
            let bytes = entry.metadata().map_or(0, |there| there.len());
            note(&format!(
                "{} ({}) is left of an export that was cut off: no process {pid} runs here",
                entry.path().display(),
                crate::output::bytes(bytes)
            ));
        }
    }
}

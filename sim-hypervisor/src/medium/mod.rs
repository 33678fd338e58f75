//! A simulated disk: what was not synced may be lost or torn when the machine stops, names as well as bytes.
//!
//! Stand-alone it takes no time, for tests that enumerate every crash. In a world its calls take virtual time and it loses
//! power with its host.

mod crash;
mod disk;
mod file;
mod handles;
mod image;
mod names;
mod pace;
mod path;

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use revenant_core::medium::{
    DirEntry, LockAttempt, LockMode, MediumError, MediumErrorKind, MediumReader, MediumWriter,
};
use revenant_core::{Medium, Timestamp};

pub use image::{Bytes, Image};
pub use pace::{Cost, Pace, WorldPace};

use crate::world::Powered;
use disk::Disk;
use file::File;
use handles::{Lock, Reader, Writer};

/// When a planned crash strikes, relative to its operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The operation has no effect.
    Before,
    /// In its middle: half the bytes of an append arrive; of a sync nothing is certain, so that what it was to make durable
    /// may be so or not; a change of names has happened, and is durable or not.
    Torn,
    /// The operation has its whole effect, and nobody learns of it.
    After,
}

/// A disk as one boot of a machine sees it; clones share it. After the power went every call fails with
/// [`MediumErrorKind::Halted`], and what the next boot finds is one of the [`crash_images`](SimMedium::crash_images).
#[derive(Clone)]
pub struct SimMedium {
    disk: Rc<RefCell<Disk>>,
    pace: Rc<dyn Pace>,
}

impl fmt::Debug for SimMedium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimMedium")
            .field("operations", &self.operations())
            .finish_non_exhaustive()
    }
}

impl Default for SimMedium {
    fn default() -> Self {
        SimMedium::new(Image::default())
    }
}

impl SimMedium {
    /// A disk with this content, all of it durable, that takes no time.
    pub fn new(image: Image) -> Self {
        SimMedium::paced(image, Rc::new(pace::Instantly))
    }

    /// A disk with this content whose calls take time.
    pub fn paced(image: Image, pace: Rc<dyn Pace>) -> Self {
        SimMedium {
            disk: Rc::new(RefCell::new(Disk::new(image))),
            pace,
        }
    }

    /// The same disk for who strikes it while its world stands still: no call takes time, and the world is not kept alive by it.
    pub(crate) fn at_a_standstill(&self) -> Self {
        SimMedium {
            disk: Rc::clone(&self.disk),
            pace: Rc::new(pace::Instantly),
        }
    }

    /// Breaks it: until it is mended it is read-only, as a file system makes itself after an I/O error, and every later write to
    /// files that are open now fails.
    pub fn refuse_writes_until(&self, mended: Timestamp) {
        let mut disk = self.disk.borrow_mut();
        disk.mended = disk.mended.max(mended);
        disk.breaks += 1;
    }

    /// When it is mended, or was, if it ever broke.
    pub fn mended(&self) -> Timestamp {
        self.disk.borrow().mended
    }

    /// Changes the durable bytes of a file, if there is one: a medium that rots. No caller of the running machine learns of it.
    pub fn rot(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let file = self.disk.borrow().names.live().files.get(path).cloned();
        if let Some(file) = file {
            file.rot(change);
        }
    }

    /// Limits how many bytes the files may have together.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.disk.borrow_mut().capacity_bytes = bytes;
    }

    /// Lets every changing operation fail with [`MediumErrorKind::Denied`]. Locks are as in a directory on a read-only file
    /// system: a missing lock file cannot be held exclusively, and is of no use to hold shared.
    pub fn set_read_only(&self, read_only: bool) {
        self.disk.borrow_mut().read_only = read_only;
    }

    /// Cuts the power at the `nth` changing operation, counted from 1 since this boot.
    pub fn crash_at(&self, nth: u64, moment: Moment) {
        self.disk.borrow_mut().trap = Some((nth, moment));
    }

    /// Changing operations begun so far: create, append, sync, rename, remove, create_dir,
    /// sync_dir, and the making of a lock file.
    pub fn operations(&self) -> u64 {
        self.disk.borrow().counted
    }

    /// From now on keeps the names of changing operations.
    pub fn keep_log(&self) {
        self.disk.borrow_mut().log.get_or_insert_default();
    }

    /// The changing operations since [`keep_log`](Self::keep_log), one line each: `sync tmp/0`.
    pub fn log(&self) -> Vec<String> {
        self.disk.borrow().log.clone().unwrap_or_default()
    }

    /// The power is off.
    pub fn is_halted(&self) -> bool {
        self.disk.borrow().halted
    }

    /// Everything that a boot after a power loss now could find, each once, ascending. Names: in every directory any prefix of the changes since its last sync, of which at most the last 64 of the disk are
    /// pending; a renamed file keeps at least one of its names. Unsynced bytes of each file: none, half, all, or garbage of
    /// full length, in all combinations for up to three such files, and the same for all of them if there are more.
    pub fn crash_images(&self) -> Vec<Image> {
        crash::images(&self.disk.borrow().names)
    }

    /// One of the things that a boot after a power loss now could find, picked by `draw`, a source of random numbers. Here
    /// unsynced bytes may also be cut anywhere, and be followed by zeroes or garbage up to the full length.
    pub fn crash_image(&self, draw: &mut dyn FnMut() -> u64) -> Image {
        crash::drawn(&self.disk.borrow().names, draw)
    }

    /// The content as the running machine sees it.
    pub fn image(&self) -> Image {
        self.disk.borrow().live_image()
    }

    /// One call: fails if the power is off, takes its time, fails if the power went meanwhile.
    fn begin(&self, operation: &'static str, path: &str, cost: Cost) -> Result<(), MediumError> {
        self.powered(operation, path)?;
        self.pace.pass(cost);
        self.powered(operation, path)
    }

    fn powered(&self, operation: &'static str, path: &str) -> Result<(), MediumError> {
        self.disk.borrow().need_power(operation, path)
    }

    /// A changing operation, counted, and the place where a planned crash strikes. No borrow of the disk is held while time
    /// passes: the power may go meanwhile, and then nothing has changed.
    fn change<T>(
        &self,
        operation: &'static str,
        path: &str,
        cost: Cost,
        work: impl FnOnce(&mut Disk) -> Result<T, MediumError>,
    ) -> Result<T, MediumError> {
        self.begin(operation, path, cost)?;
        let now = self.pace.now();
        let mut disk = self.disk.borrow_mut();
        disk.need_writable(operation, path)?;
        disk.need_mended(operation, path, now)?;
        let moment = disk.count(operation, path);
        let happens = match moment {
            Some(Moment::Before) => false,
            // Names are not durable before a sync, so what happened to them may be undone as well.
            Some(Moment::Torn) => cost != Cost::Sync,
            Some(Moment::After) | None => true,
        };
        let done = happens.then(|| work(&mut disk));
        if let (None, Some(done)) = (moment, done) {
            return done;
        }
        disk.halt();
        Err(halted(operation, path))
    }
}

fn halted(operation: &'static str, path: &str) -> MediumError {
    let source = io::Error::other("the machine has stopped");
    MediumError {
        operation,
        path: path.to_owned(),
        kind: MediumErrorKind::Halted,
        source,
    }
}

fn failed(operation: &'static str, path: &str, kind: io::ErrorKind) -> MediumError {
    MediumError::from_io(operation, path, kind.into())
}

impl Powered for SimMedium {
    fn power_off(&self) {
        self.disk.borrow_mut().halt();
    }

    fn damage(&self, mended: Timestamp) {
        self.refuse_writes_until(mended);
    }
}

impl Medium for SimMedium {
    fn create_new(&self, path: &str) -> Result<Box<dyn MediumWriter>, MediumError> {
        const VERB: &str = "create";
        path::check(VERB, path)?;
        let file = self.change(VERB, path, Cost::Name, |disk| {
            disk.need_dir_of(VERB, path)?;
            let live = disk.names.live();
            if live.files.contains_key(path) || live.dirs.contains(path) {
                return Err(failed(VERB, path, io::ErrorKind::AlreadyExists));
            }
            let file = File::default();
            disk.names.link(path, file.clone());
            Ok(file)
        })?;
        Ok(Box::new(Writer {
            medium: self.clone(),
            path: path.to_owned(),
            file,
            breaks: self.disk.borrow().breaks,
        }))
    }

    fn open(&self, path: &str) -> Result<Box<dyn MediumReader>, MediumError> {
        path::check("open", path)?;
        self.begin("open", path, Cost::Name)?;
        let file = self.disk.borrow().find("open", path)?;
        let len_bytes = file.len_bytes();
        Ok(Box::new(Reader {
            medium: self.clone(),
            path: path.to_owned(),
            file,
            len_bytes,
        }))
    }

    fn list(&self, dir: &str) -> Result<Vec<DirEntry>, MediumError> {
        path::check_dir("list", dir)?;
        // That there is no such directory a file system knows without asking the disk.
        if !dir.is_empty() && !self.disk.borrow().has(dir) {
            return self.powered("list", dir).map(|()| Vec::new());
        }
        self.begin("list", dir, Cost::Name)?;
        self.disk.borrow().list(dir)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), MediumError> {
        const VERB: &str = "rename";
        path::check(VERB, from)?;
        path::check(VERB, to)?;
        self.change(VERB, from, Cost::Name, |disk| {
            let file = disk.find(VERB, from)?;
            disk.need_dir_of(VERB, to)?;
            if disk.names.live().dirs.contains(to) {
                return Err(failed(VERB, to, io::ErrorKind::IsADirectory));
            }
            // To its own name: nothing to do.
            if from != to {
                disk.names.rename(from, to, file);
            }
            Ok(())
        })
    }

    fn remove(&self, path: &str) -> Result<(), MediumError> {
        path::check("remove", path)?;
        self.change("remove", path, Cost::Name, |disk| {
            disk.find("remove", path)?;
            disk.names.unlink(path);
            Ok(())
        })
    }

    fn create_dir(&self, dir: &str) -> Result<(), MediumError> {
        const VERB: &str = "create directory";
        path::check_new_dir(VERB, dir)?;
        self.change(VERB, dir, Cost::Name, |disk| {
            let live = disk.names.live();
            if live.files.contains_key(dir) {
                return Err(failed(VERB, dir, io::ErrorKind::NotADirectory));
            }
            if !live.dirs.contains(dir) {
                disk.names.make_dir(dir);
            }
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &str) -> Result<(), MediumError> {
        const VERB: &str = "sync directory";
        path::check_dir(VERB, dir)?;
        self.change(VERB, dir, Cost::Sync, |disk| {
            if !dir.is_empty() {
                // As if there were a file in it.
                disk.need_dir_of(VERB, &format!("{dir}/x"))?;
            }
            disk.names.sync_dir(dir);
            Ok(())
        })
    }

    /// Does not wait: all that happens in a simulated world happens on the caller's own thread.
    fn try_lock(&self, path: &str, mode: LockMode, _: Duration) -> Result<LockAttempt, MediumError> {
        const VERB: &str = "lock";
        path::check(VERB, path)?;
        self.powered(VERB, path)?;
        let (missing, read_only) = {
            let disk = self.disk.borrow();
            let read_only = disk.read_only || self.pace.now() < disk.mended;
            (!disk.names.live().files.contains_key(path), read_only)
        };
        if missing && !(read_only && mode == LockMode::Shared) {
            let made = self.change(VERB, path, Cost::Name, |disk| {
                disk.need_dir_of(VERB, path)?;
                if disk.names.live().dirs.contains(path) {
                    return Err(failed(VERB, path, io::ErrorKind::IsADirectory));
                }
                disk.names.link(path, File::default());
                Ok(())
            });
            match made {
                // It broke in this very call.
                Err(error) if error.kind == MediumErrorKind::Denied && mode == LockMode::Shared => {}
                made => made?,
            }
        } else {
            self.begin(VERB, path, Cost::Name)?;
        }
        let file = self.disk.borrow().names.live().files.get(path).cloned();
        if file.as_ref().is_some_and(|file| !file.lock(mode)) {
            return Ok(LockAttempt::Busy(Vec::new()));
        }
        Ok(LockAttempt::Held(Box::new(Lock {
            disk: Rc::clone(&self.disk),
            path: path.to_owned(),
            mode,
            file,
        })))
    }

    fn free_bytes(&self) -> Result<Option<u64>, MediumError> {
        self.begin("free space", "", Cost::Name)?;
        Ok(self.disk.borrow().room_bytes())
    }
}

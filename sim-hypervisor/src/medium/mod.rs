//! A simulated disk: what was not synced may be lost or torn when the machine stops, names as well as bytes.
//!
//! Stand-alone it takes no time, for tests that enumerate every crash. In a world its calls take virtual time and it loses
//! power with its host.

mod disk;
mod handles;
mod image;
mod pace;
mod path;

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::rc::Rc;

use revenant_core::Medium;
use revenant_core::medium::{
    DirEntry, LockMode, MediumError, MediumErrorKind, MediumLock, MediumReader, MediumWriter,
};

pub use disk::Moment;
pub use image::Image;
pub use pace::{Cost, Pace, WorldPace};

use crate::world::Powered;
use disk::{Disk, NameOp};
use handles::{Lock, Reader, Writer};

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

    /// Limits how many bytes the files may have together.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.disk.borrow_mut().capacity_bytes = bytes;
    }

    /// Cuts the power at the `nth` changing operation, counted from 1 since this boot.
    pub fn crash_at(&self, nth: u64, moment: Moment) {
        self.disk.borrow_mut().trap = Some((nth, moment));
    }

    /// Changing operations begun so far: create, append, sync, rename, remove, create_dir, sync_dir.
    pub fn operations(&self) -> u64 {
        self.disk.borrow().counted
    }

    /// From now on keeps the names of changing operations.
    pub fn keep_log(&self) {
        self.disk.borrow_mut().log.get_or_insert_default();
    }

    /// The changing operations since [`keep_log`](Self::keep_log), one line each.
    pub fn log(&self) -> Vec<String> {
        self.disk.borrow().log.clone().unwrap_or_default()
    }

    /// The power is off.
    pub fn is_halted(&self) -> bool {
        self.disk.borrow().halted
    }

    /// Everything that a boot after a power loss now could find, each once. Names: in every directory any prefix of the
    /// changes since its last sync. Unsynced bytes of each file: none, half, all, or garbage of full length.
    pub fn crash_images(&self) -> Vec<Image> {
        self.disk.borrow().crash_images()
    }

    /// One of the things that a boot after a power loss now could find, picked by `draw`, a source of random numbers.
    pub fn crash_image(&self, draw: &mut dyn FnMut() -> u64) -> Image {
        self.disk.borrow().crash_image(draw)
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
        if self.disk.borrow().halted {
            Err(halted(operation, path))
        } else {
            Ok(())
        }
    }

    /// A changing operation, counted, and the place where a planned crash strikes.
    fn change<T>(
        &self,
        operation: &'static str,
        path: &str,
        cost: Cost,
        work: impl FnOnce(&mut Disk) -> Result<T, MediumError>,
    ) -> Result<T, MediumError> {
        self.begin(operation, path, cost)?;
        let mut disk = self.disk.borrow_mut();
        let moment = disk.count(operation, path);
        if moment == Some(Moment::Before) {
            disk.halt();
            return Err(halted(operation, path));
        }
        let done = work(&mut disk);
        if moment.is_some() {
            disk.halt();
            return Err(halted(operation, path));
        }
        done
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
}

impl Medium for SimMedium {
    fn create_new(&self, path: &str) -> Result<Box<dyn MediumWriter>, MediumError> {
        path::check("create", path)?;
        let file = self.change("create", path, Cost::Name, |disk| {
            disk.need_dir("create", path)?;
            if disk.live.contains_key(path) {
                return Err(failed("create", path, io::ErrorKind::AlreadyExists));
            }
            let file = disk::File::default();
            disk.name_op(NameOp::Link {
                path: path.to_owned(),
                file: file.clone(),
            });
            Ok(file)
        })?;
        Ok(Box::new(Writer {
            medium: self.clone(),
            path: path.to_owned(),
            file,
        }))
    }

    fn open(&self, path: &str) -> Result<Box<dyn MediumReader>, MediumError> {
        path::check("open", path)?;
        self.begin("open", path, Cost::Name)?;
        let file = self.disk.borrow().live.get(path).cloned();
        let file = file.ok_or_else(|| failed("open", path, io::ErrorKind::NotFound))?;
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
        self.begin("list", dir, Cost::Name)?;
        Ok(self.disk.borrow().list(dir))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), MediumError> {
        path::check("rename", from)?;
        path::check("rename", to)?;
        self.change("rename", from, Cost::Name, |disk| {
            disk.need_dir("rename", to)?;
            let file = disk.live.get(from).cloned();
            let file = file.ok_or_else(|| failed("rename", from, io::ErrorKind::NotFound))?;
            if from == to {
                return Ok(());
            }
            disk.name_op(NameOp::Link {
                path: to.to_owned(),
                file,
            });
            disk.name_op(NameOp::Moved {
                from: from.to_owned(),
                to: to.to_owned(),
            });
            Ok(())
        })
    }

    fn remove(&self, path: &str) -> Result<(), MediumError> {
        path::check("remove", path)?;
        self.change("remove", path, Cost::Name, |disk| {
            if !disk.live.contains_key(path) {
                return Err(failed("remove", path, io::ErrorKind::NotFound));
            }
            disk.name_op(NameOp::Unlink {
                path: path.to_owned(),
            });
            Ok(())
        })
    }

    fn create_dir(&self, dir: &str) -> Result<(), MediumError> {
        path::check_dir("create directory", dir)?;
        self.change("create directory", dir, Cost::Name, |disk| {
            if !disk.live_dirs.contains(dir) {
                disk.name_op(NameOp::MakeDir { dir: dir.to_owned() });
            }
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &str) -> Result<(), MediumError> {
        path::check_dir("sync directory", dir)?;
        self.change("sync directory", dir, Cost::Sync, |disk| {
            if !dir.is_empty() && !disk.live_dirs.contains(dir) {
                return Err(failed("sync directory", dir, io::ErrorKind::NotFound));
            }
            disk.sync_dir(dir);
            Ok(())
        })
    }

    fn try_lock(&self, path: &str, mode: LockMode) -> Result<Option<Box<dyn MediumLock>>, MediumError> {
        path::check("lock", path)?;
        self.begin("lock", path, Cost::Name)?;
        let mut disk = self.disk.borrow_mut();
        if !disk.live.contains_key(path) {
            disk.name_op(NameOp::Link {
                path: path.to_owned(),
                file: disk::File::default(),
            });
        }
        if !disk.lock(path, mode) {
            return Ok(None);
        }
        Ok(Some(Box::new(Lock {
            disk: Rc::clone(&self.disk),
            path: path.to_owned(),
            mode,
        })))
    }

    fn free_bytes(&self) -> Result<Option<u64>, MediumError> {
        self.begin("free space", "", Cost::Name)?;
        let disk = self.disk.borrow();
        Ok(disk
            .capacity_bytes
            .map(|capacity| capacity.saturating_sub(disk.used_bytes())))
    }
}

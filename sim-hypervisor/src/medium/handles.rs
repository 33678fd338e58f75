//! Open files and held locks of a simulated disk.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::rc::Rc;

use revenant_core::medium::{LockMode, MediumError, MediumLock, MediumReader, MediumWriter};

use super::disk::Disk;
use super::file::File;
use super::pace::Cost;
use super::{Moment, SimMedium, failed, halted};

#[derive(Debug)]
pub(super) struct Writer {
    pub(super) medium: SimMedium,
    pub(super) path: String,
    pub(super) file: File,
    /// How often the disk had broken when this was opened.
    pub(super) breaks: u32,
}

impl Writer {
    /// A file that was open when the disk broke takes nothing more.
    fn need_whole(&self, operation: &'static str, disk: &Disk) -> Result<(), MediumError> {
        if self.breaks == disk.breaks {
            return Ok(());
        }
        let source = io::Error::other("the disk broke since the file was opened");
        Err(MediumError::from_io(operation, &self.path, source))
    }
}

impl MediumWriter for Writer {
    fn append(&mut self, bytes: &[u8]) -> Result<(), MediumError> {
        const VERB: &str = "append";
        self.medium.powered(VERB, &self.path)?;
        self.medium.pace.pass(Cost::Append {
            bytes: bytes.len() as u64,
        });
        let now = self.medium.pace.now();
        let mut disk = self.medium.disk.borrow_mut();
        let half = &bytes[..bytes.len() / 2];
        if disk.halted {
            // The power went while they were on their way.
            self.file.append(half);
            return Err(halted(VERB, &self.path));
        }
        disk.need_writable(VERB, &self.path)?;
        disk.need_mended(VERB, &self.path, now)?;
        self.need_whole(VERB, &disk)?;
        let moment = disk.count(VERB, &self.path);
        let arriving = match moment {
            Some(Moment::Before) => &[],
            Some(Moment::Torn) => half,
            Some(Moment::After) | None => bytes,
        };
        let room = disk.room_bytes().unwrap_or(u64::MAX);
        let fits = arriving.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        self.file.append(&arriving[..fits]);
        if moment.is_some() {
            disk.halt();
            return Err(halted(VERB, &self.path));
        }
        if fits < arriving.len() {
            return Err(failed(VERB, &self.path, io::ErrorKind::StorageFull));
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), MediumError> {
        const VERB: &str = "sync";
        self.medium.change(VERB, &self.path, Cost::Sync, |disk| {
            self.need_whole(VERB, disk)?;
            self.file.sync();
            Ok(())
        })
    }
}

#[derive(Debug)]
pub(super) struct Reader {
    pub(super) medium: SimMedium,
    pub(super) path: String,
    pub(super) file: File,
    pub(super) len_bytes: u64,
}

impl MediumReader for Reader {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), MediumError> {
        self.medium.begin(
            "read",
            &self.path,
            Cost::Read {
                bytes: buf.len() as u64,
            },
        )?;
        let filled = self.file.read_at(offset, buf);
        filled.ok_or_else(|| failed("read", &self.path, io::ErrorKind::UnexpectedEof))
    }
}

pub(super) struct Lock {
    pub(super) disk: Rc<RefCell<Disk>>,
    pub(super) path: String,
    pub(super) mode: LockMode,
    /// The file that is locked; `None`: nobody can make one.
    pub(super) file: Option<File>,
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("path", &self.path)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl MediumLock for Lock {
    fn still_held(&self) -> Result<bool, MediumError> {
        const VERB: &str = "look at the lock";
        let disk = self.disk.borrow();
        disk.need_power(VERB, &self.path)?;
        let named = disk.names.live().files.get(&self.path);
        Ok(named.map(File::identity) == self.file.as_ref().map(File::identity))
    }

    fn excludes(&self) -> bool {
        true
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            file.unlock(self.mode);
        }
    }
}

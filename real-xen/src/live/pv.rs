//! A live PV guest behind the core's door.
//!
//! Debian builds Xen without shadow paging, and a PV guest has no log-dirty without it. Its page tables hold machine
//! frame numbers besides, which only libxenguest knows how to translate. So a PV guest is captured stop-and-copy:
//! suspended, its libxc stream is taken into memory by a helper process at the speed of a copy, and it goes on while the
//! store compresses. Increments come from comparing content.

use std::fs::File;
use std::io::{self, BufReader};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};

use revenant_core::guest::{Capabilities, FrozenDisk, MemoryLayout, PageBatch, PageTag, PfnSet, StateRecord};
use revenant_core::units::Page;
use revenant_core::{Hypervisor, HypervisorError, PAGE_SIZE, Pfn};
use revenant_xen_format::{
    FormatError, FrameRun, GuestType, Item, Layer, LibxlHeader, StreamReader, XlHeader, libxl, names,
};

use crate::live::attended::Attended;
use crate::live::domain::{LiveDomain, backend, widen};
use crate::live::keeper::KeeperProgram;
use crate::live::sys::{XenControl, XenError, save_domain};
use crate::live::xl;

const BACKEND: &str = "xen-pv";
const LOG_DIRTY: &str = "log dirty pages";

/// A live PV guest.
#[derive(Debug)]
pub struct PvGuest {
    guest: Attended,
    xl_header: Vec<u8>,
    /// What the guest was when it was suspended last. Its memory stays for the next time.
    image: Image,
    /// The image outlasts the suspension.
    kept: bool,
}

impl PvGuest {
    /// Opens a live guest. `helper` says how to start the keeper and, with the word `save` before the domain's number,
    /// [`save_to_stdout`].
    pub fn open(domain: LiveDomain, helper: KeeperProgram) -> Result<Self, HypervisorError> {
        let guest = Attended::take(domain, BACKEND, helper)?;
        let xl_header = XlHeader::with_config(&xl::configuration(guest.domain().id())?).encode();
        Ok(PvGuest {
            guest,
            xl_header,
            image: Image::default(),
            kept: false,
        })
    }

    fn domain(&self) -> &LiveDomain {
        self.guest.domain()
    }

    /// The image of the instant at which the guest was suspended last: taken when it is first asked for, and kept when the
    /// guest goes on after [`keep_image`](Hypervisor::keep_image).
    fn image(&mut self, operation: &'static str) -> Result<&Image, HypervisorError> {
        if self.image.taken && self.kept {
            self.domain().info()?;
            return Ok(&self.image);
        }
        self.guest.need_suspended(operation)?;
        if !self.image.taken {
            self.take_image()?;
        }
        Ok(&self.image)
    }

    fn take_image(&mut self) -> Result<(), HypervisorError> {
        const WHAT: &str = "take the guest's image";
        let helper = self.guest.helper();
        let mut saver = Command::new(&helper.program)
            .args(&helper.arguments)
            .arg("save")
            .arg(self.domain().id().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| backend("start the save process", error))?;
        let output = saver.stdout.take().expect("stdout is a pipe");
        widen(&output);
        let read = self.image.read(File::from(OwnedFd::from(output)));
        let ended = wait_for(saver);
        match (read, ended) {
            (Ok(()), Ok(())) => Ok(()),
            // Why the stream broke off is known to the one who wrote it.
            (_, Err(said)) => Err(backend(WHAT, io::Error::other(said))),
            (Err(error), Ok(())) => Err(backend(WHAT, error)),
        }
    }
}

/// Waits for a helper; what it said on standard error if it failed.
fn wait_for(child: Child) -> Result<(), String> {
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    Err(format!(
        "the save process ended with {}: {}",
        output.status,
        last.unwrap_or("it said nothing")
    ))
}

/// The helper's life: suspends the domain if it is not, and writes its libxc stream to standard output. The domain
/// stays suspended.
pub fn save_to_stdout(domain: u32) -> Result<(), SaveError> {
    let guest = LiveDomain::open(domain)?;
    let control = XenControl::open()?;
    let mut suspended = Ok(());
    let saved = save_domain(&control, domain, false, io::stdout().as_fd(), || {
        suspended = guest.suspend();
        suspended.is_ok()
    });
    suspended?;
    Ok(saved?)
}

/// A save by libxenguest failed.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// Xen refused something.
    #[error(transparent)]
    Xen(#[from] XenError),
    /// The guest did not suspend.
    #[error(transparent)]
    Guest(#[from] HypervisorError),
}

/// A suspended guest, in memory: as large as the guest itself.
#[derive(Default)]
struct Image {
    /// It is whole.
    taken: bool,
    layout: MemoryLayout,
    /// Where each frame's page is, ascending by frame; frames without data have none.
    index: Vec<(u64, PageTag, Option<u32>)>,
    pages: Vec<u8>,
    records: Vec<StateRecord>,
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Image({} frames, {} records)",
            self.index.len(),
            self.records.len()
        )
    }
}

impl Image {
    /// Forgets the image and makes room for one of so many pages. Memory that is touched for the first time costs more
    /// than the copy into it, and that is not to happen while the guest waits.
    fn prepare(&mut self, pages: u64) {
        self.taken = false;
        self.index.clear();
        self.records.clear();
        let bytes = usize::try_from(pages).unwrap_or(0) * PAGE_SIZE;
        if self.pages.len() < bytes {
            self.pages.resize(bytes, 0);
            for byte in self.pages.iter_mut().step_by(PAGE_SIZE) {
                *byte = 1;
            }
        }
    }

    /// Reads a libxc stream.
    fn read(&mut self, input: File) -> Result<(), FormatError> {
        let mut reader = StreamReader::new(BufReader::with_capacity(1 << 20, input));
        let mut filled = 0;
        let mut runs = Vec::new();
        let mut listed = Vec::new();
        while let Some(item) = reader.next_item()? {
            match item {
                Item::Libxc(header) => self
                    .records
                    .push(StateRecord::new(names::LIBXC_HEADER, header.encode())),
                Item::Record(record) => self.records.push(StateRecord {
                    name: names::record(record.layer, record.code),
                    bytes: record.body,
                }),
                Item::Pages(_) => {
                    listed.clear();
                    while reader.next_runs(&mut runs)? {
                        listed.extend_from_slice(&runs);
                    }
                    self.take(&mut reader, &listed, &mut filled)?;
                }
                Item::Xl(_) | Item::Libxl(_) | Item::Libvirt(_) | Item::CheckpointComplete => {}
            }
        }
        self.index.sort_unstable_by_key(|&(frame, ..)| frame);
        self.layout = self.index.iter().map(|&(frame, ..)| frame..frame + 1).collect();
        self.taken = true;
        Ok(())
    }

    /// Takes the pages of a record; the first `filled` pages of memory are in use.
    fn take(
        &mut self,
        reader: &mut StreamReader<BufReader<File>>,
        runs: &[FrameRun],
        filled: &mut usize,
    ) -> Result<(), FormatError> {
        let start = *filled;
        for run in runs {
            let tag = PageTag(run.kind.code());
            for frame in run.start..run.end() {
                if run.kind.has_data() {
                    self.index.push((frame, tag, u32::try_from(*filled).ok()));
                    *filled += 1;
                } else if run.kind.is_populated() {
                    self.index.push((frame, tag, None));
                }
            }
        }
        let end = *filled * PAGE_SIZE;
        if self.pages.len() < end {
            self.pages.resize(end, 0);
        }
        reader.read_pages(&mut self.pages[start * PAGE_SIZE..end])
    }

    fn find(&self, pfn: Pfn) -> Option<(PageTag, Option<&Page>)> {
        let at = self
            .index
            .binary_search_by_key(&pfn.0, |&(frame, ..)| frame)
            .ok()?;
        let (_, tag, page) = self.index[at];
        let content = page.map(|page| {
            self.pages[page as usize * PAGE_SIZE..]
                .first_chunk()
                .expect("the index points at whole pages")
        });
        Some((tag, content))
    }
}

impl Hypervisor for PvGuest {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            backend: BACKEND,
            machine: names::machine_kind(GuestType::Pv),
            dirty_log: false,
            live_read: false,
            rewrites: false,
        }
    }

    /// While it runs: frames from 0 up to as many as it holds. Ballooned holes are known once it is suspended.
    fn layout(&mut self) -> Result<MemoryLayout, HypervisorError> {
        if self.kept || self.domain().is_suspended()? {
            Ok(self.image("read the memory layout")?.layout.clone())
        } else {
            Ok(MemoryLayout::flat(self.domain().info()?.pages))
        }
    }

    fn suspend(&mut self) -> Result<(), HypervisorError> {
        if self.domain().is_suspended()? {
            return Ok(());
        }
        self.kept = false;
        self.image.prepare(self.domain().info()?.pages);
        self.guest.suspend()
    }

    fn frozen_disks(&mut self) -> Result<Vec<Box<dyn FrozenDisk>>, HypervisorError> {
        Ok(self.guest.take_frozen())
    }

    fn keep_image(&mut self) -> Result<bool, HypervisorError> {
        self.image("take the guest's image")?;
        self.kept = true;
        Ok(true)
    }

    fn resume(&mut self) -> Result<(), HypervisorError> {
        self.guest.resume()?;
        // An image that nobody asked to keep is that of a suspended guest only.
        self.image.taken &= self.kept;
        Ok(())
    }

    fn set_dirty_log(&mut self, _: bool) -> Result<(), HypervisorError> {
        self.guest.refuse(LOG_DIRTY)
    }

    fn take_dirty(&mut self, _: &mut PfnSet) -> Result<(), HypervisorError> {
        self.guest.refuse(LOG_DIRTY)
    }

    fn read_pages(&mut self, pfns: &[Pfn], into: &mut PageBatch) -> Result<(), HypervisorError> {
        let image = self.image("read pages")?;
        for &pfn in pfns {
            match image.find(pfn) {
                Some((tag, Some(page))) => into.push(pfn, tag, page),
                Some((tag, None)) => {
                    into.push_zeroed(pfn, tag);
                }
                None => return Err(HypervisorError::NoSuchFrame(pfn)),
            }
        }
        Ok(())
    }

    fn populate(&mut self, _: &MemoryLayout) -> Result<(), HypervisorError> {
        self.guest.refuse_to_rewrite()
    }

    fn write_pages(&mut self, _: &PageBatch) -> Result<(), HypervisorError> {
        self.guest.refuse_to_rewrite()
    }

    fn save_state(&mut self) -> Result<Vec<StateRecord>, HypervisorError> {
        let libxl_record = |code| StateRecord::new(names::record(Layer::Libxl, code), Vec::new());
        let mut records = vec![
            StateRecord::new(names::XL_HEADER, self.xl_header.clone()),
            StateRecord::new(names::LIBXL_HEADER, LibxlHeader::default().encode()),
            libxl_record(libxl::LIBXC_CONTEXT),
        ];
        records.extend(self.image("save the machine state")?.records.iter().cloned());
        records.push(libxl_record(libxl::END));
        Ok(records)
    }

    fn load_state(&mut self, _: &[StateRecord]) -> Result<(), HypervisorError> {
        self.guest.refuse_to_rewrite()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    #[test]
    fn a_stream_that_breaks_off_is_an_error_not_a_smaller_guest() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[0xff; 8]).unwrap();
        file.rewind().unwrap();
        let mut image = Image::default();
        image.prepare(16);
        assert!(image.read(file).unwrap_err().is_truncation());
        assert!(!image.taken);
    }
}

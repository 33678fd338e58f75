//! Which disks a live domain writes to, and their freezing when it is suspended.

use std::path::{Path, PathBuf};

use revenant_core::HypervisorError;
use revenant_core::guest::FrozenDisk;

use crate::disk::{DiskConfig, DiskSet, Tools, attach};
use crate::live::domain::{LiveDomain, backend};

/// Where what a guest overwrites is kept while a snapshot exists, a folder for each guest.
const COW_FOLDER: &str = "/var/lib/revenant/cow";

/// The disks of a live guest.
#[derive(Debug)]
pub(crate) struct GuestDisks {
    set: Option<DiskSet>,
}

impl GuestDisks {
    /// The disks that the domain may write, as xenstore has them. Each becomes a snapshot origin, if it is not yet.
    pub(crate) fn of(domain: &LiveDomain) -> Result<Self, HypervisorError> {
        const WHAT: &str = "take up the guest's disks";
        let configs = writable(domain);
        if configs.is_empty() {
            return Ok(GuestDisks { set: None });
        }
        let tools = Tools::of_host();
        for config in &configs {
            attach(&tools, &config.device).map_err(|error| backend(WHAT, error))?;
        }
        let folder = Path::new(COW_FOLDER).join(format!("{:032x}", u128::from_be_bytes(domain.uuid())));
        let set = DiskSet::open(&tools, &configs, &folder, None).map_err(|error| backend(WHAT, error))?;
        Ok(GuestDisks { set: Some(set) })
    }

    /// What can be done before the guest is suspended.
    pub(crate) fn prepare(&mut self) -> Result<(), HypervisorError> {
        match &mut self.set {
            Some(set) => set
                .prepare()
                .map_err(|error| backend("prepare to freeze the guest's disks", error)),
            None => Ok(()),
        }
    }

    /// Freezes all at one instant; the guest is suspended.
    pub(crate) fn freeze(&mut self) -> Result<(), HypervisorError> {
        match &mut self.set {
            Some(set) => set
                .freeze()
                .map_err(|error| backend("freeze the guest's disks", error)),
            None => Ok(()),
        }
    }

    /// What the last freeze froze, once.
    pub(crate) fn take_frozen(&mut self) -> Vec<Box<dyn FrozenDisk>> {
        self.set.as_mut().map(DiskSet::take_frozen).unwrap_or_default()
    }
}

fn writable(domain: &LiveDomain) -> Vec<DiskConfig> {
    let mut configs: Vec<DiskConfig> = attached(domain)
        .into_iter()
        .filter_map(|(disk, writable)| writable.then_some(disk))
        .collect();
    configs.sort_by(|a, b| a.name.cmp(&b.name));
    configs
}

/// What is behind all the disks of a live domain.
pub(crate) fn paths(domain: &LiveDomain) -> Vec<PathBuf> {
    attached(domain)
        .into_iter()
        .map(|(disk, _)| disk.device)
        .collect()
}

/// The disks of a domain as xenstore has them, and whether it may write to them. An empty drive is none.
fn attached(domain: &LiveDomain) -> Vec<(DiskConfig, bool)> {
    let store = domain.store();
    let devices = store.list(&domain.path("device/vbd"));
    let disk = |device: &String| {
        let back = store.read(&domain.path(&format!("device/vbd/{device}/backend")))?;
        let node = |name: &str| store.read(&format!("{back}/{name}"));
        let disk = DiskConfig {
            name: node("dev")?,
            device: PathBuf::from(node("params").filter(|path| !path.is_empty())?),
        };
        Some((disk, node("mode").is_some_and(|mode| mode.starts_with('w'))))
    };
    devices.iter().filter_map(disk).collect()
}

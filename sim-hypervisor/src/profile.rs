//! What things cost in the simulated world.

use revenant_core::PAGE_SIZE;
use revenant_core::quantity::{Period, Size};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Costs of every call through the seams, in virtual time. Reads from TOML; unknown keys are refused, missing
/// ones take the default.
///
/// A simulated guest is small. `represents` lets one of its pages stand for many: every cost that goes by the page
/// or by the byte is multiplied by it, so that a 64-page guest takes as long to checkpoint as a 4 GiB one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CostProfile {
    /// Real pages that one simulated page stands for, at least 1.
    pub represents: u32,
    /// Costs of the hypervisor.
    pub hypervisor: HypervisorCosts,
    /// Costs of every medium but the shared one.
    pub medium: MediumCosts,
    /// Costs of the medium of a second store, which all hosts share; `None`: as of the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared_medium: Option<MediumCosts>,
    /// Costs of the store's own computing.
    pub store: StoreCosts,
    /// What a guest holds besides its program.
    pub system: SystemMemory,
}

/// Costs of calls through the `Hypervisor` seam.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HypervisorCosts {
    /// Finding out which frames a guest has, the first time.
    pub layout: Period,
    /// From the request to a guest that stands still.
    pub suspend: Period,
    /// From the request to a guest that runs again.
    pub resume: Period,
    /// Reading pages out of a guest, however many.
    pub read_call: Period,
    /// Copying one page out of a guest.
    pub page_read: Period,
    /// Copying one page into a guest.
    pub page_write: Period,
    /// Giving a guest one populated frame.
    pub page_populate: Period,
    /// Switching the dirty log on or off.
    pub dirty_log_switch: Period,
    /// Reading and clearing the dirty log, whatever is in it.
    pub dirty_log_read: Period,
    /// The same, for each dirty page.
    pub dirty_log_page: Period,
    /// Saving or loading the machine state besides memory.
    pub state: Period,
}

/// Costs of calls through the `Medium` seam.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MediumCosts {
    /// Bytes per second that reach the disk, behind the writer's back until it syncs.
    pub write_per_s: Size,
    /// Bytes per second that come from the disk.
    pub read_per_s: Size,
    /// Bytes that are accepted before the writer has to wait for the disk.
    pub write_buffer: Size,
    /// Fixed part of every read and every change of a name.
    pub latency: Period,
    /// Fixed part of a sync of a file or a directory.
    pub sync: Period,
}

/// Costs of hashing and compressing, with all of the store's threads at work. None by default: the store keeps up with
/// every medium.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreCosts {
    /// Taking one page in, whatever it holds.
    pub page_scan: Period,
    /// Hashing one page that is not zero, besides.
    pub page_hash: Period,
    /// Compressing one new page, besides.
    pub page_compress: Period,
}

/// The memory of a guest besides that of its program: kernel, libraries, free pages. None by default: a simulated guest is
/// its program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SystemMemory {
    /// Frames, those that are zero among them.
    pub pages: u64,
    /// Frames that are not zero.
    pub used_pages: u64,
    /// Distinct contents among the used ones.
    pub distinct_pages: u64,
    /// Bytes of a used page that do not compress, at most 4096; the others are zero.
    pub page_entropy: Size,
    /// Used pages that are written again and again, at random among themselves.
    pub hot_pages: u64,
    /// Those of them that are other than before when they were written; the others are dirty and the same.
    pub changing_pages: u64,
    /// Writes into them per second of the guest's running, each into one page.
    pub writes_per_s: u64,
}

impl Default for CostProfile {
    fn default() -> Self {
        CostProfile {
            represents: 1,
            hypervisor: HypervisorCosts::default(),
            medium: MediumCosts::default(),
            shared_medium: None,
            store: StoreCosts::default(),
            system: SystemMemory::default(),
        }
    }
}

impl Default for HypervisorCosts {
    /// The order of magnitude of Xen 4.17 on a present-day host.
    fn default() -> Self {
        HypervisorCosts {
            layout: Period(Duration::ZERO),
            suspend: Period(Duration::from_millis(50)),
            resume: Period(Duration::from_millis(2)),
            read_call: Period(Duration::ZERO),
            page_read: Period(Duration::from_micros(1)),
            page_write: Period(Duration::from_micros(1)),
            page_populate: Period(Duration::from_nanos(500)),
            dirty_log_switch: Period(Duration::ZERO),
            dirty_log_read: Period(Duration::from_millis(1)),
            dirty_log_page: Period(Duration::from_nanos(10)),
            state: Period(Duration::from_millis(1)),
        }
    }
}

impl Default for MediumCosts {
    /// The order of magnitude of a local solid-state disk.
    fn default() -> Self {
        MediumCosts {
            write_per_s: Size { bytes: 400 << 20 },
            read_per_s: Size { bytes: 800 << 20 },
            write_buffer: Size { bytes: 1 << 30 },
            latency: Period(Duration::from_micros(100)),
            sync: Period(Duration::from_millis(2)),
        }
    }
}

/// A cost profile cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// Not TOML, an unknown key or a value of the wrong kind; the reader's words say where.
    #[error("{0}")]
    Syntax(String),
    /// A value that makes no world.
    #[error("{key} must be at least {least}")]
    TooSmall {
        /// The key.
        key: &'static str,
        /// The least that makes sense.
        least: &'static str,
    },
    /// A value beyond one that it is a part of.
    #[error("{key} must be at most {most}")]
    TooLarge {
        /// The key.
        key: &'static str,
        /// The most that makes sense.
        most: &'static str,
    },
}

impl CostProfile {
    /// Reads a profile from TOML text.
    pub fn from_toml(text: &str) -> Result<Self, ProfileError> {
        let profile: CostProfile = toml::from_str(text).map_err(|e| ProfileError::Syntax(e.to_string()))?;
        profile.check()?;
        Ok(profile)
    }

    /// The profile as TOML text, every key in it.
    ///
    /// # Panics
    /// Never: all that is in a profile has a form in TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("tables of numbers and texts")
    }

    /// Checks what the types do not say.
    pub fn check(&self) -> Result<(), ProfileError> {
        let least = |key, least| Err(ProfileError::TooSmall { key, least });
        if self.represents == 0 {
            return least("represents", "1");
        }
        let shared = self.shared_medium.as_ref();
        for (key, per_s) in [
            ("medium.write_per_s", Some(self.medium.write_per_s)),
            ("medium.read_per_s", Some(self.medium.read_per_s)),
            (
                "shared_medium.write_per_s",
                shared.map(|medium| medium.write_per_s),
            ),
            ("shared_medium.read_per_s", shared.map(|medium| medium.read_per_s)),
        ] {
            if per_s.is_some_and(|per_s| per_s.bytes == 0) {
                return least(key, "1B");
            }
        }
        let system = &self.system;
        for (key, value, most, limit) in [
            ("system.pages", system.pages, "2^24", 1 << 24),
            (
                "system.used_pages",
                system.used_pages,
                "system.pages",
                system.pages,
            ),
            (
                "system.distinct_pages",
                system.distinct_pages,
                "system.used_pages",
                system.used_pages,
            ),
            (
                "system.hot_pages",
                system.hot_pages,
                "system.distinct_pages",
                system.distinct_pages,
            ),
            (
                "system.changing_pages",
                system.changing_pages,
                "system.hot_pages",
                system.hot_pages,
            ),
            (
                "system.page_entropy",
                system.page_entropy.bytes,
                "4096B",
                PAGE_SIZE as u64,
            ),
            ("system.writes_per_s", system.writes_per_s, "10^9", 1_000_000_000),
        ] {
            if value > limit {
                return Err(ProfileError::TooLarge { key, most });
            }
        }
        if system.writes_per_s > 0 && system.hot_pages == 0 {
            return least("system.hot_pages", "1 if there are writes_per_s");
        }
        if system.used_pages > 0 && system.distinct_pages == 0 {
            return least("system.distinct_pages", "1 if there are used_pages");
        }
        Ok(())
    }

    /// What `count` pages cost at `each`, in nanoseconds.
    pub(crate) fn pages_ns(&self, each: Period, count: u64) -> u64 {
        let one = u64::try_from(each.0.as_nanos()).unwrap_or(u64::MAX);
        one.saturating_mul(count)
            .saturating_mul(u64::from(self.represents))
    }

    /// What `bytes` take at `per_s`, in nanoseconds.
    pub(crate) fn bytes_ns(&self, bytes: u64, per_s: Size) -> u64 {
        let ns = u128::from(bytes) * u128::from(self.represents) * 1_000_000_000 / u128::from(per_s.bytes);
        u64::try_from(ns).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_fills_in_defaults() {
        let text = CostProfile::default().to_toml();
        assert_eq!(CostProfile::from_toml(&text), Ok(CostProfile::default()));
        let slow = CostProfile::from_toml("represents = 4\n[medium]\nsync = \"20ms\"").unwrap();
        assert_eq!(slow.medium.sync.0, Duration::from_millis(20));
        assert_eq!(slow.hypervisor, HypervisorCosts::default());
        let two = CostProfile::from_toml("[shared_medium]\nsync = \"20ms\"").unwrap();
        let far = two.shared_medium.as_ref().unwrap();
        assert_eq!(far.read_per_s, two.medium.read_per_s);
        assert_eq!(CostProfile::from_toml(&two.to_toml()), Ok(two));
    }

    #[test]
    fn refuses_nonsense_by_name() {
        for (text, named) in [
            ("represents = 0", "represents must be at least 1"),
            (
                "[medium]\nwrite_per_s = \"0B\"",
                "medium.write_per_s must be at least 1B",
            ),
            (
                "[shared_medium]\nread_per_s = \"0B\"",
                "shared_medium.read_per_s must be at least 1B",
            ),
            (
                "[system]\npages = 8\nused_pages = 9",
                "system.used_pages must be at most system.pages",
            ),
            (
                "[system]\npages = 8\nwrites_per_s = 9",
                "system.hot_pages must be at least 1",
            ),
            ("[medium]\nfsync = \"1ms\"", "fsync"),
            ("[hypervisor]\nsuspend = 5", "suspend"),
            ("[hypervisor]\nsuspend = \"5\"", "suspend"),
        ] {
            let error = CostProfile::from_toml(text).unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}

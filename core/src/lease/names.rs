//! Names of lease files.

use crate::medium::{Medium, MediumError};

/// The folder of all leases on a medium.
pub(crate) const LEASES: &str = "leases";
/// Bytes of a name that are kept readable; names of files end at 255 on every file system.
const READABLE_MAX: usize = 150;

/// The files of one guest's lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    stem: String,
}

impl Names {
    /// A guest's name may hold any character, the medium's alphabet is `[a-z0-9._-]`: all but `[a-z0-9_-]` becomes a dot
    /// and two hex digits. Of a long name the beginning and a digest are left. Two names never share a file: after a dot
    /// an escape has a hex digit, and the digest of a long name a second dot.
    pub(super) fn of(guest: &str) -> Self {
        let mut stem = String::new();
        for byte in guest.bytes() {
            match byte {
                b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => stem.push(char::from(byte)),
                _ => stem.push_str(&format!(".{byte:02x}")),
            }
        }
        if stem.len() > READABLE_MAX {
            let digest = blake3::hash(guest.as_bytes()).to_hex();
            stem.truncate(READABLE_MAX / 2);
            stem = format!("{stem}..{digest}");
        }
        Names { stem }
    }

    /// The lease itself.
    pub(super) fn epoch(&self, epoch: u64) -> String {
        format!("{LEASES}/{}.{epoch}", self.stem)
    }

    /// What is about to replace it.
    pub(super) fn fresh(&self, epoch: u64) -> String {
        format!("{LEASES}/{}.{epoch}.new", self.stem)
    }

    /// A file that is made only to see whether the folder can be written to and what is in it now.
    pub(super) fn probe(&self, epoch: u64) -> String {
        format!("{LEASES}/{}.{epoch}.probe", self.stem)
    }

    /// All epochs that there are, ascending.
    pub(super) fn epochs(&self, medium: &dyn Medium) -> Result<Vec<u64>, MediumError> {
        let entries = medium.list(LEASES)?;
        let mut epochs: Vec<u64> = entries
            .iter()
            .filter_map(|entry| self.epoch_of(&entry.name))
            .collect();
        epochs.sort_unstable();
        Ok(epochs)
    }

    fn epoch_of(&self, name: &str) -> Option<u64> {
        let digits = name.strip_prefix(&self.stem)?.strip_prefix('.')?;
        let epoch = digits.parse().ok()?;
        // One spelling only: no sign, no leading zero.
        (format!("{epoch}") == digits).then_some(epoch)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_name() -> impl Strategy<Value = String> {
        prop_oneof![
            ".{0,40}",
            "[a-z.0-9/]{0,12}",
            "[a-c]{140,400}",
            Just("web".to_owned()),
            Just("web.1".to_owned()),
            Just("web.2e1".to_owned()),
        ]
    }

    proptest! {
        #[test]
        fn every_guest_has_files_of_its_own_that_every_medium_takes(
            one in any_name(), other in any_name(), epoch in any::<u64>(), second in any::<u64>(),
        ) {
            let (a, b) = (Names::of(&one), Names::of(&other));
            for path in [a.epoch(epoch), a.fresh(epoch), a.probe(epoch)] {
                let name = path.strip_prefix("leases/").unwrap();
                prop_assert!(name.len() <= 255, "{name}");
                prop_assert!(name.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-')));
                prop_assert!(name != "." && name != "..");
            }
            let name = b.epoch(second);
            let found = a.epoch_of(name.strip_prefix("leases/").unwrap());
            prop_assert_eq!(found, (one == other).then_some(second), "{} and {}", one, other);
            for path in [b.fresh(second), b.probe(second)] {
                prop_assert_eq!(a.epoch_of(path.strip_prefix("leases/").unwrap()), None);
            }
        }
    }
}

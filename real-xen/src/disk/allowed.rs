//! Which of this host's devices, files and options a checkpoint may name.
//!
//! A checkpoint carries the guest's configuration, and with it paths that are opened as root: who can write to a store could
//! have a guest's disk written over any other of the same size, or give a guest the host's own. So only those paths are
//! used that the host itself knows for the guest, or that whoever runs the host has listed. Options whose text a device model or a
//! boot loader gets could name anything, so only those are passed on that the host itself knows for the guest.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

/// Where a host lists what checkpoints may name besides what its own configurations do.
pub const DISKS_ALLOWED: &str = "/etc/revenant/disks.allow";

/// A list of paths cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AllowedError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// The operating system's words.
        #[source]
        source: io::Error,
    },
    /// An entry that could mean anything.
    #[error(
        "{entry:?} in {place}: expected an absolute path without \"..\"; * and ? stand for parts of a name"
    )]
    Entry {
        /// The entry.
        entry: String,
        /// Where it was found.
        place: String,
    },
}

/// Paths, or patterns of paths, that checkpoints may name, and options that they may ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedDisks {
    entries: Vec<String>,
    options: BTreeSet<(String, String)>,
}

impl AllowedDisks {
    /// Allows a path, or all that match a pattern: `*` is any part of a name, `?` any one character. `place` says where the
    /// entry comes from, for the error.
    pub fn add(&mut self, entry: &str, place: &str) -> Result<(), AllowedError> {
        if plain(Path::new(entry)).is_none() {
            return Err(AllowedError::Entry {
                entry: entry.to_owned(),
                place: place.to_owned(),
            });
        }
        self.entries.push(entry.to_owned());
        Ok(())
    }

    /// Allows what a file lists, one entry a line; `#` begins a comment.
    pub fn add_file(&mut self, file: &Path) -> Result<(), AllowedError> {
        let text = fs::read_to_string(file).map_err(|source| AllowedError::Read {
            path: file.to_owned(),
            source,
        })?;
        let lines = text
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default().trim());
        let place = file.display().to_string();
        lines
            .filter(|line| !line.is_empty())
            .try_for_each(|line| self.add(line, &place))
    }

    /// Allows what the host knows already.
    pub fn extend(&mut self, paths: impl IntoIterator<Item = PathBuf>) {
        let paths = paths.into_iter().filter(|path| plain(path).is_some());
        self.entries
            .extend(paths.map(|path| path.to_string_lossy().into_owned()));
    }

    /// Allows a value of a key of an xl configuration (xl.cfg(5)), exactly as it is written.
    pub fn add_option(&mut self, key: &str, value: &str) {
        self.options.insert((key.to_owned(), value.to_owned()));
    }

    /// Allows what others allow, too.
    pub fn join(&mut self, others: AllowedDisks) {
        self.entries.extend(others.entries);
        self.options.extend(others.options);
    }

    /// May a checkpoint ask for this value of this key of an xl configuration?
    pub fn allows_option(&self, key: &str, value: &str) -> bool {
        self.options.contains(&(key.to_owned(), value.to_owned()))
    }

    /// May a checkpoint name this path? What counts is what the path leads to: another name of an allowed device is the
    /// same device (`/dev/vg/web1`, `/dev/mapper/vg-web1`, `/dev/dm-3`).
    pub fn allows(&self, path: &Path) -> bool {
        let Some(name) = plain(path) else { return false };
        let resolved = fs::canonicalize(path).ok();
        let resolved_name = resolved.as_ref().map(|path| path.to_string_lossy());
        self.entries.iter().any(|entry| {
            let named =
                matches(entry, &name) || resolved_name.as_ref().is_some_and(|name| matches(entry, name));
            named || resolved.as_ref().is_some_and(|path| same(path, Path::new(entry)))
        })
    }
}

/// The path without double slashes and dots. `None`: it is relative, or goes up.
fn plain(path: &Path) -> Option<String> {
    let sound = |part: &Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    let sound = path.is_absolute() && path.components().all(|part| sound(&part));
    sound.then(|| {
        path.components()
            .collect::<PathBuf>()
            .to_string_lossy()
            .into_owned()
    })
}

/// Do both lead to one file, or to one device?
fn same(resolved: &Path, entry: &Path) -> bool {
    let Ok(entry) = fs::canonicalize(entry) else {
        return false;
    };
    let device = |path: &Path| {
        let meta = fs::metadata(path).ok()?;
        meta.file_type().is_block_device().then(|| meta.rdev())
    };
    resolved == entry || device(resolved).is_some_and(|number| device(&entry) == Some(number))
}

/// `*` and `?` stay within a name.
fn matches(pattern: &str, name: &str) -> bool {
    fn from(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', pattern)), _) => {
                let within = name.iter().position(|&c| c == b'/').unwrap_or(name.len());
                (0..=within).any(|at| from(pattern, &name[at..]))
            }
            (Some((b'?', pattern)), Some((&c, name))) => c != b'/' && from(pattern, name),
            (Some((wanted, pattern)), Some((found, name))) => wanted == found && from(pattern, name),
            _ => false,
        }
    }
    from(pattern.as_bytes(), name.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn allowed(entries: &[&str]) -> AllowedDisks {
        let mut allowed = AllowedDisks::default();
        for entry in entries {
            allowed.add(entry, "test").unwrap();
        }
        allowed
    }

    #[test]
    fn nothing_is_allowed_that_was_not_meant() {
        let rules = allowed(&["/dev/vg/web1", "/dev/vg/db-*", "/srv/?.img"]);
        let ask = |path: &str| rules.allows(Path::new(path));
        for fine in [
            "/dev/vg/web1",
            "/dev//vg/./web1",
            "/dev/vg/db-",
            "/dev/vg/db-7",
            "/srv/a.img",
        ] {
            assert!(ask(fine), "{fine}");
        }
        let foul = [
            "/dev/vg/web",
            "/dev/vg/web11",
            "/dev/vg/db-7/part",
            "/dev/vg/../vg/web1",
            "/dev/vg/db-/../../sda",
            "/srv/ab.img",
            "/srv//.img",
            "dev/vg/web1",
            "",
            "/",
            "/dev/sda",
        ];
        for foul in foul {
            assert!(!ask(foul), "{foul}");
        }
        assert!(!AllowedDisks::default().allows(Path::new("/dev/vg/web1")));
        for foul in ["", "web1", "../web1", "/dev/../web1"] {
            let refused = AllowedDisks::default().add(foul, "test").unwrap_err();
            assert!(refused.to_string().contains("absolute"), "{foul}");
        }
    }

    #[test]
    fn another_name_of_an_allowed_disk_is_that_disk_and_a_link_elsewhere_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("mapper")).unwrap();
        for disk in ["dm-3", "dm-4"] {
            fs::write(at(disk), "").unwrap();
        }
        symlink("../dm-3", at("mapper/vg-web1")).unwrap();
        symlink("dm-3", at("web1")).unwrap();
        symlink("dm-4", at("evil")).unwrap();
        let text = |name: &str| at(name).display().to_string();
        for entry in [text("web1"), text("dm-3"), text("mapper/*")] {
            let rules = allowed(&[&entry]);
            assert!(rules.allows(&at("mapper/vg-web1")), "{entry}");
            assert!(!rules.allows(&at("evil")), "{entry}");
            assert!(!rules.allows(&at("dm-4")), "{entry}");
        }
        assert!(allowed(&[&text("web1")]).allows(&at("dm-3")));
        let list = at("disks.allow");
        fs::write(&list, format!("# of web1\n\n  {}  # first\n", text("web1"))).unwrap();
        let mut rules = AllowedDisks::default();
        rules.add_file(&list).unwrap();
        assert_eq!(rules, allowed(&[&text("web1")]));
        fs::write(&list, "web1\n").unwrap();
        let refused = rules.add_file(&list).unwrap_err().to_string();
        assert!(refused.contains("disks.allow"), "{refused}");
    }
}

//! What this host's own configurations (`/etc/xen`) give to a guest, as xl.cfg(5) has them.

use std::fs;
use std::path::{Path, PathBuf};

use super::AllowedDisks;

/// Keys whose values are files, programs or words that are passed on as they are.
const TEXTS: [&str; 18] = [
    "kernel",
    "ramdisk",
    "bootloader",
    "bootloader_args",
    "device_model_override",
    "device_model_args",
    "device_model_args_pv",
    "device_model_args_hvm",
    "firmware_override",
    "system_firmware",
    "smbios_firmware",
    "acpi_firmware",
    "device_tree",
    "pvshim_path",
    "stubdomain_kernel",
    "stubdomain_ramdisk",
    "serial",
    "usbdevice",
];
/// Lists of devices, each of parts between commas, of which one names something of this host: the list, how that part begins, and
/// what it is called here.
const PARTS: [(&str, &str, &str); 4] = [
    ("disk", "script=", "script"),
    ("vif", "script=", "script"),
    ("p9", "path=", "path"),
    ("channel", "path=", "path"),
];

/// What this host's own configurations allow a guest of this name: files in `folder` (`/etc/xen`) and its `auto` that say
/// `name = "GUEST"`. What cannot be read or understood allows nothing.
pub fn configured(folder: &Path, guest: &str) -> AllowedDisks {
    let mut allowed = AllowedDisks::default();
    for folder in [folder.to_owned(), folder.join("auto")] {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        for text in entries.filter_map(|entry| fs::read_to_string(entry.path()).ok()) {
            let text = without_comments(&text);
            if value_of(&text, "name").and_then(|value| quoted(value).next()) == Some(guest) {
                allowed.extend(value_of(&text, "disk").into_iter().flat_map(disk_paths));
                options(&text, &mut allowed);
            }
        }
    }
    allowed
}

fn options(text: &str, allowed: &mut AllowedDisks) {
    let values = |key: &str| value_of(text, key).into_iter().flat_map(quoted);
    for key in TEXTS {
        for value in values(key) {
            allowed.add_option(key, value);
        }
    }
    for (list, begins, key) in PARTS {
        let parts = values(list).flat_map(|device| device.split(','));
        for value in parts.filter_map(|part| part.trim().strip_prefix(begins)) {
            allowed.add_option(key, value);
        }
    }
    for value in values("dtdev") {
        allowed.add_option("path", value);
    }
    for address in values("pci").filter_map(pci_address) {
        // All functions of a device, as people write them.
        match address.strip_suffix('*') {
            Some(device) => {
                for function in 0..8 {
                    allowed.add_option("pci", &format!("{device}{function}"));
                }
            }
            None => allowed.add_option("pci", &address),
        }
    }
}

/// `03:00.0`, `0000:03:00.0@5,permissive=1` and `bdf=03:00.0` with the number of the PCI segment and nothing behind.
fn pci_address(device: &str) -> Option<String> {
    let part = device.split(',').map(str::trim).find_map(|part| {
        part.strip_prefix("bdf=")
            .or_else(|| (!part.contains('=')).then_some(part))
    })?;
    let address = part.split('@').next()?.to_ascii_lowercase();
    match address.matches(':').count() {
        1 => Some(format!("0000:{address}")),
        2 => Some(address),
        _ => None,
    }
}

fn without_comments(text: &str) -> String {
    let mut kept = String::new();
    for line in text.lines() {
        let mut quote = None;
        for c in line.chars() {
            match quote {
                None if c == '#' => break,
                None if c == '"' || c == '\'' => quote = Some(c),
                Some(end) if c == end => quote = None,
                _ => {}
            }
            kept.push(c);
        }
        kept.push('\n');
    }
    kept
}

/// What stands behind `key =`: the rest of the line, or of the list that begins there.
fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let behind = line
            .trim_start()
            .strip_prefix(key)
            .and_then(|rest| rest.trim_start().strip_prefix('='));
        if let Some(behind) = behind {
            let from = at + line.len() - behind.len();
            let value = text[from..].trim_start();
            let end = if value.starts_with('[') {
                value.find(']')
            } else {
                value.find('\n')
            };
            return Some(&value[..end.unwrap_or(value.len())]);
        }
        at += line.len();
    }
    None
}

/// Strings in either kind of quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.find(['"', '\''])?;
        let quote = rest[start..].chars().next()?;
        let inner = &rest[start + 1..];
        let end = inner.find(quote)?;
        rest = &inner[end + 1..];
        Some(&inner[..end])
    })
}

/// The targets of xl's disk specifications: `phy:/dev/vg/web1,xvda,w`, `/dev/vg/web1,raw,xvda`, `vdev=xvda,target=/dev/vg/web1`.
fn disk_paths(list: &str) -> impl Iterator<Item = PathBuf> {
    quoted(list).filter_map(|disk| {
        let target = disk.split(',').enumerate().find_map(|(i, part)| {
            let part = part.trim();
            match part.strip_prefix("target=") {
                Some(target) => Some(target),
                None if i == 0 && !part.contains('=') => Some(part.rsplit(':').next().unwrap_or(part)),
                None => None,
            }
        });
        target.filter(|target| target.starts_with('/')).map(PathBuf::from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) {
        fs::write(folder.join(name), text).unwrap();
    }

    #[test]
    fn the_hosts_own_configurations_are_read_as_people_write_them() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        fs::create_dir(folder.join("auto")).unwrap();
        write(folder, "xl.conf", "lockfile=\"/x\"\n");
        write(
            folder,
            "web.cfg",
            "name='web1' # disk = ['/dev/no']\ndisk = [ 'phy:/dev/vg/web1,xvda,w', # 'x,/dev/no2'\n \"/srv/a.img,raw,xvdb,rw\",\n\
             'vdev=xvdc, format=raw, target=/dev/vg/c', 'tap:aio:/srv/t.img,xvdd,w', ',,hdc,,,cdrom' ]\nkernel='/boot/k'\n",
        );
        write(
            folder,
            "auto/web2.cfg",
            "disk=['/dev/vg/web2,,xvda']\nname = \"web2\"\n",
        );
        write(folder, "broken.cfg", "name = 'web1\ndisk = [ '/dev/no3,,xvda'\n");
        let all = [
            "/dev/vg/web1",
            "/srv/a.img",
            "/dev/vg/c",
            "/srv/t.img",
            "/dev/vg/web2",
            "/dev/no",
            "/dev/no2",
            "/dev/no3",
            // What boots the guest is no disk of it.
            "/boot/k",
        ];
        let allows = |guest: &str, folder: &Path| {
            let allowed = configured(folder, guest);
            let allows = |path: &&str| allowed.allows(Path::new(path));
            all.into_iter().filter(allows).collect::<Vec<_>>()
        };
        assert_eq!(allows("web1", folder), all[..4]);
        assert_eq!(allows("web2", folder), all[4..5]);
        assert_eq!(configured(folder, "web"), AllowedDisks::default());
        assert_eq!(
            configured(Path::new("/nonexistent"), "web1"),
            AllowedDisks::default()
        );
    }

    #[test]
    fn a_guests_devices_and_options_are_those_of_its_configuration() {
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            "web.cfg",
            "name='web1'\nkernel = \"/boot/k\"\ndevice_model_args_hvm = [ '-a', '-b' ]\nserial=['pty','file:/log']\n\
             vif = [ 'mac=00:16:3e:00:00:01, script=/opt/vif' ]\npci = [ '03:00.0,permissive=1', '0001:0A:00.*@5', 'x' ]\n",
        );
        let allowed = configured(dir.path(), "web1");
        let yes = [
            ("kernel", "/boot/k"),
            ("device_model_args_hvm", "-a"),
            ("device_model_args_hvm", "-b"),
            ("serial", "file:/log"),
            ("script", "/opt/vif"),
            ("pci", "0000:03:00.0"),
            ("pci", "0001:0a:00.7"),
        ];
        for (key, value) in yes {
            assert!(allowed.allows_option(key, value), "{key} {value}");
        }
        let no = [
            ("ramdisk", "/boot/k"),
            ("kernel", "/boot"),
            ("device_model_args", "-a"),
            ("pci", "0000:03:00.1"),
            ("pci", "0000:0a:00.0"),
            ("pci", "x"),
        ];
        for (key, value) in no {
            assert!(!allowed.allows_option(key, value), "{key} {value}");
        }
    }
}

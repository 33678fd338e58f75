//! What a guest's configuration asks of the host besides disks, and that the host has to know of first.

use std::path::Path;

use serde_json::Value;

use crate::disk::AllowedDisks;

/// Where the toolstack's own scripts are.
const SCRIPTS: &str = "/etc/xen/scripts";

/// Xen's own boot loader, which libxl looks for among its programs first.
const BOOT_LOADER: &str = "pygrub";

/// What a value of libxl's JSON means to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// The toolstack runs it, as root; a name without a folder is one of its own scripts.
    Script,
    /// The toolstack runs it, as root, and looks for a name without a folder in its `PATH`.
    Program,
    /// The toolstack or a device model opens it, as root.
    File,
    /// Words that a program gets, which may name anything.
    Words,
    /// Words likewise, but for the harmless ones.
    Backend,
    /// PCI devices of the host.
    Pci,
    /// USB devices of the host.
    Usb,
    /// Ports, memory and interrupts of the host.
    Resources,
}

/// Keys of libxl's JSON, wherever they stand, and what xl.cfg(5) calls them.
const KEYS: [(&str, &str, Meaning); 31] = [
    ("script", "script", Meaning::Script),
    ("bootloader", "bootloader", Meaning::Program),
    ("device_model", "device_model_override", Meaning::Program),
    ("device_model_override", "device_model_override", Meaning::Program),
    ("firmware", "firmware_override", Meaning::Script),
    ("kernel", "kernel", Meaning::File),
    ("ramdisk", "ramdisk", Meaning::File),
    ("stubdomain_kernel", "stubdomain_kernel", Meaning::File),
    ("stubdomain_ramdisk", "stubdomain_ramdisk", Meaning::File),
    ("device_tree", "device_tree", Meaning::File),
    ("pvshim_path", "pvshim_path", Meaning::File),
    ("system_firmware", "system_firmware", Meaning::File),
    ("smbios_firmware", "smbios_firmware", Meaning::File),
    ("acpi_firmware", "acpi_firmware", Meaning::File),
    // Of shared folders, channels and devices of a device tree.
    ("path", "path", Meaning::File),
    ("extra", "device_model_args", Meaning::Words),
    ("extra_pv", "device_model_args_pv", Meaning::Words),
    ("extra_hvm", "device_model_args_hvm", Meaning::Words),
    ("device_model_args", "device_model_args", Meaning::Words),
    ("device_model_args_pv", "device_model_args_pv", Meaning::Words),
    ("device_model_args_hvm", "device_model_args_hvm", Meaning::Words),
    ("bootloader_args", "bootloader_args", Meaning::Words),
    ("serial", "serial", Meaning::Backend),
    ("serial_list", "serial", Meaning::Backend),
    ("usbdevice", "usbdevice", Meaning::Backend),
    ("usbdevice_list", "usbdevice", Meaning::Backend),
    ("pcidevs", "pci", Meaning::Pci),
    ("usbdevs", "usbdev", Meaning::Usb),
    ("ioports", "ioports", Meaning::Resources),
    ("iomem", "iomem", Meaning::Resources),
    ("irqs", "irqs", Meaning::Resources),
];

/// Backends of serial lines and USB devices that are nothing of the host's.
const HARMLESS: [&str; 6] = ["pty", "null", "none", "tablet", "mouse", "keyboard"];

/// Something that a configuration asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Demand {
    /// What xl.cfg(5) calls it.
    pub(super) key: &'static str,
    /// As xl.cfg(5) writes it.
    pub(super) value: String,
    /// The path that allows it, where there is one.
    pub(super) path: Option<String>,
}

impl Demand {
    fn allowed(&self, allowed: &AllowedDisks) -> bool {
        let path = self.path.as_deref().map(Path::new);
        allowed.allows_option(self.key, &self.value) || path.is_some_and(|path| allowed.allows(path))
    }
}

/// The first demand that the host does not know of.
pub(super) fn unknown(json: &Value, allowed: &AllowedDisks) -> Option<Demand> {
    all(json).into_iter().find(|demand| !demand.allowed(allowed))
}

/// Allows all that a configuration asks for which the host itself runs.
pub(super) fn allow(json: &Value, allowed: &mut AllowedDisks) {
    for demand in all(json) {
        allowed.add_option(demand.key, &demand.value);
    }
}

fn all(json: &Value) -> Vec<Demand> {
    let mut found = Vec::new();
    gather(json, &mut found);
    found
}

fn gather(json: &Value, found: &mut Vec<Demand>) {
    match json {
        Value::Object(map) => {
            for (key, value) in map {
                let known = KEYS.iter().find(|(name, ..)| name == key);
                if let Some((_, name, meaning)) = known {
                    found.extend(demands(name, *meaning, value));
                }
                gather(value, found);
            }
        }
        Value::Array(all) => all.iter().for_each(|value| gather(value, found)),
        _ => {}
    }
}

/// What one value asks for. A list of texts is each of them.
fn demands(key: &'static str, meaning: Meaning, value: &Value) -> Vec<Demand> {
    let one = std::slice::from_ref(value);
    let values = value.as_array().map_or(one, Vec::as_slice);
    values
        .iter()
        .filter_map(|value| demand(key, meaning, value))
        .collect()
}

fn demand(key: &'static str, meaning: Meaning, value: &Value) -> Option<Demand> {
    let (text, path) = match meaning {
        Meaning::Pci => {
            let address = pci(value);
            let path = format!("/sys/bus/pci/devices/{address}");
            (address, Some(path))
        }
        Meaning::Usb => {
            let (bus, address) = usb(value);
            let path = format!("/dev/bus/usb/{bus:03}/{address:03}");
            (format!("hostbus={bus},hostaddr={address}"), Some(path))
        }
        Meaning::Resources => (value.to_string(), None),
        Meaning::Script | Meaning::Program | Meaning::File => {
            let text = value.as_str()?.to_owned();
            (text.clone(), Some(text))
        }
        Meaning::Words | Meaning::Backend => (value.as_str()?.to_owned(), None),
    };
    let asks = match meaning {
        Meaning::Script => text.contains('/') && Path::new(&text).parent() != Some(Path::new(SCRIPTS)),
        Meaning::Program => !text.is_empty() && text != BOOT_LOADER,
        Meaning::Backend => !text.is_empty() && !HARMLESS.contains(&text.as_str()),
        Meaning::File | Meaning::Words => !text.is_empty(),
        Meaning::Pci | Meaning::Usb | Meaning::Resources => !value.is_null(),
    };
    asks.then_some(Demand {
        key,
        value: text,
        path,
    })
}

/// libxl leaves out numbers that are nought.
fn number(device: &Value, key: &str) -> u64 {
    device[key].as_u64().unwrap_or_default()
}

fn pci(device: &Value) -> String {
    let number = |key| number(device, key);
    let (domain, bus, slot) = (number("domain"), number("bus"), number("dev"));
    format!("{domain:04x}:{bus:02x}:{slot:02x}.{:x}", number("func"))
}

/// Number of the bus, and of the device on it.
fn usb(device: &Value) -> (u64, u64) {
    let host = device.get("type.hostdev").unwrap_or(&Value::Null);
    (number(host, "hostbus"), number(host, "hostaddr"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What is asked for, and what xl.cfg(5) calls it.
    type Asked = (Value, &'static str, &'static str);

    /// One thing of each kind.
    fn foul() -> Vec<Asked> {
        [programs_and_files(), words_and_devices()].concat()
    }

    fn programs_and_files() -> Vec<Asked> {
        let b = |value: Value| json!({ "b_info": value });
        let kind = |kind: &str, value: Value| json!({ "b_info": { format!("type.{kind}"): value } });
        vec![
            (
                json!({ "nics": [{ "mac": "x" }, { "script": "/tmp/evil" }] }),
                "script",
                "/tmp/evil",
            ),
            (
                json!({ "disks": [{ "script": "../../tmp/evil" }] }),
                "script",
                "../../tmp/evil",
            ),
            (
                json!({ "nics": [{ "script": "/etc/xen/scripts/../../../tmp/evil" }] }),
                "script",
                "/etc/xen/scripts/../../../tmp/evil",
            ),
            (
                b(json!({ "device_model": "/tmp/evil" })),
                "device_model_override",
                "/tmp/evil",
            ),
            (b(json!({ "bootloader": "/tmp/evil" })), "bootloader", "/tmp/evil"),
            (b(json!({ "bootloader": "poweroff" })), "bootloader", "poweroff"),
            (
                kind("pv", json!({ "bootloader": "/tmp/evil" })),
                "bootloader",
                "/tmp/evil",
            ),
            (b(json!({ "kernel": "/etc/shadow" })), "kernel", "/etc/shadow"),
            (kind("pv", json!({ "ramdisk": "shadow" })), "ramdisk", "shadow"),
            (
                kind("hvm", json!({ "acpi_firmware": "/etc/shadow" })),
                "acpi_firmware",
                "/etc/shadow",
            ),
            (
                kind("pvh", json!({ "pvshim_path": "/tmp/evil" })),
                "pvshim_path",
                "/tmp/evil",
            ),
        ]
    }

    fn words_and_devices() -> Vec<Asked> {
        let b = |value: Value| json!({ "b_info": value });
        let kind = |kind: &str, value: Value| json!({ "b_info": { format!("type.{kind}"): value } });
        vec![
            (b(json!({ "bootloader_args": ["--x"] })), "bootloader_args", "--x"),
            (
                b(json!({ "extra": ["-chardev"] })),
                "device_model_args",
                "-chardev",
            ),
            (
                b(json!({ "extra_hvm": ["", "-x"] })),
                "device_model_args_hvm",
                "-x",
            ),
            (
                kind("hvm", json!({ "serial": "file:/etc/passwd" })),
                "serial",
                "file:/etc/passwd",
            ),
            (
                kind("hvm", json!({ "serial_list": ["pty", "pipe:/x"] })),
                "serial",
                "pipe:/x",
            ),
            (
                kind("hvm", json!({ "usbdevice_list": ["host:1.2"] })),
                "usbdevice",
                "host:1.2",
            ),
            (
                json!({ "pcidevs": [{ "bus": 3, "dev": 31, "permissive": true }] }),
                "pci",
                "0000:03:1f.0",
            ),
            (
                json!({ "usbdevs": [{ "type": "hostdev", "type.hostdev": { "hostbus": 1, "hostaddr": 4 } }] }),
                "usbdev",
                "hostbus=1,hostaddr=4",
            ),
            (json!({ "p9s": [{ "tag": "x", "path": "/etc" }] }), "path", "/etc"),
            (
                b(json!({ "ioports": [{ "first": 1 }] })),
                "ioports",
                r#"{"first":1}"#,
            ),
            (b(json!({ "iomem": [{ "start": 0 }] })), "iomem", r#"{"start":0}"#),
            (b(json!({ "irqs": [0] })), "irqs", "0"),
        ]
    }

    #[test]
    fn what_the_host_does_not_know_of_is_found_wherever_it_stands() {
        let nothing = AllowedDisks::default();
        for (json, key, value) in foul() {
            let found = unknown(&json, &nothing).unwrap_or_else(|| panic!("{json}"));
            assert_eq!((found.key, found.value.as_str()), (key, value), "{json}");
            // Known under one key is not known under all.
            let mut other = AllowedDisks::default();
            other.add_option("another", value);
            assert_eq!(unknown(&json, &other), Some(found), "{json}");
            // What the host runs itself it allows.
            let mut known = AllowedDisks::default();
            allow(&json, &mut known);
            assert_eq!(unknown(&json, &known), None, "{json}");
        }
    }

    #[test]
    fn a_path_that_was_allowed_is_allowed_for_devices_too() {
        let mut allowed = AllowedDisks::default();
        for path in [
            "/sys/bus/pci/devices/0000:03:1f.*",
            "/dev/bus/usb/001/004",
            "/tmp/evil",
            "/etc/shadow",
        ] {
            allowed.add(path, "test").unwrap();
        }
        let of_a_path = [
            "pci",
            "usbdev",
            "kernel",
            "device_model_override",
            "pvshim_path",
            "acpi_firmware",
        ];
        for (json, key, _) in foul().into_iter().filter(|(_, key, _)| of_a_path.contains(key)) {
            assert_eq!(unknown(&json, &allowed), None, "{key}");
        }
    }

    #[test]
    fn what_most_guests_have_needs_no_leave() {
        let json = json!({
            "c_info": { "type": "hvm", "name": "web1" },
            "b_info": {
                "kernel": "", "bootloader": "pygrub", "cmdline": "root=/dev/xvda1", "bootloader_args": [], "extra": [], "ioports": [],
                "device_model": null,
                "type.hvm": { "firmware": "ovmf", "serial": "pty", "usbdevice_list": ["tablet"], "bios": "seabios" },
            },
            "disks": [{ "pdev_path": "/dev/vg/web1", "vdev": "xvda" }],
            "nics": [{ "script": "vif-bridge" }, { "script": "/etc/xen/scripts/vif-route" }],
            "pcidevs": [],
        });
        assert_eq!(unknown(&json, &AllowedDisks::default()), None);
    }
}

//! The configuration of a guest, as a checkpoint carries it: libxl's JSON.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use revenant_core::store::CheckpointReader;
use revenant_xen_format::{XlHeader, names};
use serde_json::{Value, json};

use super::demands;
use super::restore::{RestoreError, RestoreRequest};
use crate::disk::AllowedDisks;

/// A domain configuration about to be used.
pub(super) struct Configuration {
    json: Value,
}

impl Configuration {
    pub(super) fn of(reader: &CheckpointReader) -> Result<Self, RestoreError> {
        let header = reader
            .records()
            .iter()
            .find(|record| record.name == names::XL_HEADER)
            .ok_or(RestoreError::NoConfiguration)?;
        let header = XlHeader::parse(&header.bytes)
            .map_err(|error| RestoreError::BadConfiguration(error.to_string()))?;
        let text = header.config();
        let text = text.strip_suffix(&[0]).unwrap_or(text);
        let json: Value = serde_json::from_slice(text)
            .map_err(|error| RestoreError::BadConfiguration(error.to_string()))?;
        if json["c_info"]["name"].is_string() && json["c_info"]["uuid"].is_string() {
            Ok(Configuration { json })
        } else {
            Err(RestoreError::BadConfiguration(
                "expected c_info with a name and a uuid".into(),
            ))
        }
    }

    pub(super) fn name(&self) -> &str {
        self.json["c_info"]["name"].as_str().unwrap_or_default()
    }

    pub(super) fn uuid(&self) -> Result<[u8; 16], RestoreError> {
        let text = self.json["c_info"]["uuid"].as_str().unwrap_or_default();
        parse_uuid(text).ok_or_else(|| RestoreError::BadConfiguration(format!("uuid {text:?}")))
    }

    pub(super) fn apply(&mut self, request: &RestoreRequest) -> io::Result<()> {
        if let Some(name) = &request.name {
            self.json["c_info"]["name"] = json!(name);
        }
        if request.copy {
            self.json["c_info"]["uuid"] = json!(random_uuid()?);
            // libxl draws a new address for an interface that has none.
            let nics = self.json.get_mut("nics").and_then(Value::as_array_mut);
            for nic in nics.into_iter().flatten().filter_map(Value::as_object_mut) {
                nic.remove("mac");
            }
        }
        if request.unattended {
            // A crashed domain stays to be seen, and is destroyed by who sees it.
            self.json["on_crash"] = json!("preserve");
        }
        // A guest that was given a generation id learns by a new one that it went back in time: Linux reseeds its random
        // numbers, Windows its directory services.
        if let Some(generation) = self.json.pointer_mut("/b_info/type.hvm/ms_vm_genid") {
            *generation = json!(random_bytes()?);
        }
        Ok(())
    }

    /// The block device behind a disk that the guest knows by this name.
    pub(super) fn disk(&self, name: &str) -> Option<PathBuf> {
        let disks = self.json.get("disks")?.as_array()?;
        let disk = disks.iter().find(|disk| disk["vdev"] == name)?;
        Some(PathBuf::from(disk["pdev_path"].as_str()?))
    }

    /// Fails if it names a disk of this host that `allowed` does not, whoever would write to it: we now, or the guest later;
    /// or anything else of this host that it does not know of.
    pub(super) fn check(&self, allowed: &AllowedDisks) -> Result<(), RestoreError> {
        for disk in self.json["disks"].as_array().into_iter().flatten() {
            let path = disk["pdev_path"].as_str().unwrap_or_default();
            // An empty drive has no path.
            if !path.is_empty() && !allowed.allows(Path::new(path)) {
                return Err(RestoreError::DiskNotAllowed {
                    disk: disk["vdev"].as_str().unwrap_or_default().to_owned(),
                    path: path.to_owned(),
                });
            }
        }
        match demands::unknown(&self.json, allowed) {
            Some(demand) => Err(RestoreError::NotAllowed {
                key: demand.key,
                value: demand.value,
                path: demand.path.filter(|path| Path::new(path).is_absolute()),
            }),
            None => Ok(()),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(&self.json).unwrap_or_default();
        text.extend(b"\n\0");
        text
    }
}

/// Allows what the configuration of a guest that this host runs asks for, besides its disks.
pub(super) fn allow_as_running(text: &[u8], allowed: &mut AllowedDisks) {
    let text = text.strip_suffix(&[0]).unwrap_or(text);
    if let Ok(json) = serde_json::from_slice(text) {
        demands::allow(&json, allowed);
    }
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.chars().filter(|&c| c != '-').collect();
    let number = (digits.len() == 32).then(|| u128::from_str_radix(&digits, 16).ok())??;
    Some(number.to_be_bytes())
}

fn random_bytes() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A random UUID (RFC 9562, version 4).
fn random_uuid() -> io::Result<String> {
    let mut bytes = random_bytes()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration() -> Configuration {
        Configuration {
            json: json!({
                "c_info": { "name": "web1", "uuid": "9983fb4e-e71d-11f1-ad69-ff71b4863435" },
                "b_info": { "memory": 1 },
                "nics": [{ "mac": "00:16:3e:01:02:03", "bridge": "xenbr0" }],
                "on_crash": "destroy",
            }),
        }
    }

    #[test]
    fn what_this_host_does_not_know_of_is_refused_by_name() {
        let mut allowed = AllowedDisks::default();
        allowed.add("/dev/vg/web1", "test").unwrap();
        let check = |json: Value| {
            let mut config = configuration();
            let map = config.json.as_object_mut().unwrap();
            map.extend(json.as_object().unwrap().clone());
            config.check(&allowed).map_err(|error| error.to_string())
        };
        let disk = |path: &str| json!({ "disks": [{ "vdev": "xvda", "pdev_path": "/dev/vg/web1" }, { "vdev": "xvdb", "pdev_path": path }] });
        check(json!({})).unwrap();
        check(disk("/dev/vg/web1")).unwrap();
        check(disk("")).unwrap();
        for path in ["/dev/sda", "/dev/vg/../sda", "web1"] {
            let refused = check(disk(path)).unwrap_err();
            let told = format!("--allow-disk {path}");
            assert!(refused.contains("xvdb") && refused.contains(&told), "{refused}");
        }
        for (asks, told) in [
            (
                json!({ "nics": [{ "script": "/tmp/evil" }] }),
                "--allow-disk /tmp/evil",
            ),
            (
                json!({ "pcidevs": [{ "bus": 3 }] }),
                "--allow-disk /sys/bus/pci/devices/0000:03:00.0",
            ),
            (json!({ "b_info": { "extra": ["-x"] } }), "device_model_args"),
        ] {
            let refused = check(asks).unwrap_err();
            assert!(refused.contains(told), "{refused}");
        }
    }

    #[test]
    fn the_same_guest_keeps_its_identity() {
        let mut config = configuration();
        config.apply(&RestoreRequest::default()).unwrap();
        assert_eq!(config.encode(), configuration().encode());
        assert_eq!(config.uuid().unwrap()[..4], [0x99, 0x83, 0xfb, 0x4e]);
    }

    #[test]
    fn a_copy_gets_an_identity_of_its_own() {
        let mut config = configuration();
        let request = RestoreRequest {
            name: Some("web2".into()),
            copy: true,
            unattended: true,
            ..RestoreRequest::default()
        };
        config.apply(&request).unwrap();
        assert_eq!(config.name(), "web2");
        assert_ne!(config.uuid().unwrap(), configuration().uuid().unwrap());
        assert_eq!(config.json["nics"], json!([{ "bridge": "xenbr0" }]));
        assert_eq!(config.json["on_crash"], "preserve");
        assert_eq!(config.json["b_info"], configuration().json["b_info"]);
    }

    #[test]
    fn a_uuid_is_32_digits() {
        for bad in ["", "9983fb4e", "x983fb4e-e71d-11f1-ad69-ff71b4863435"] {
            assert_eq!(parse_uuid(bad), None, "{bad}");
        }
    }
}

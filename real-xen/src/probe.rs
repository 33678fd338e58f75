//! What can be known about Xen on this host from files alone, plus the control interface where compiled in.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use crate::release::resume_is_broken;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// There and usable.
    Ok,
    /// Not there; live guests cannot be checkpointed without it.
    Missing,
    /// There, but this process may not use it.
    Denied,
    /// Could not be found out, because something before it is missing.
    Unknown,
    /// There, and known to harm guests.
    Broken,
}

/// One thing that live checkpointing of Xen guests needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What is checked, in a word or two.
    pub name: &'static str,
    /// The outcome.
    pub status: Status,
    /// What was seen.
    pub found: String,
    /// What to do about it; empty when all is well.
    pub remedy: &'static str,
}

impl Check {
    fn new(name: &'static str, status: Status, found: impl Into<String>, remedy: &'static str) -> Self {
        Check {
            name,
            status,
            found: found.into(),
            remedy,
        }
    }
}

/// Looks at this host.
pub fn probe() -> Vec<Check> {
    let mut checks = probe_root(Path::new("/"));
    checks.push(control_interface());
    checks
}

/// Looks at the host whose file system is mounted at `root`; all but the control interface.
pub fn probe_root(root: &Path) -> Vec<Check> {
    let hypervisor = hypervisor(root);
    let dom0 = control_domain(root, hypervisor.status);
    let privcmd = privileged_commands(root, dom0.status);
    let xenstore = xenstore(root, dom0.status);
    vec![hypervisor, dom0, privcmd, xenstore]
}

fn hypervisor(root: &Path) -> Check {
    const REMEDY: &str = "boot this machine under Xen (Debian: install xen-system-amd64 and reboot)";
    let sys = root.join("sys/hypervisor");
    match fs::read_to_string(sys.join("type")) {
        Ok(kind) if kind.trim() == "xen" => {
            let part = |name| fs::read_to_string(sys.join("version").join(name)).unwrap_or_default();
            let version = format!(
                "Xen {}.{}{}",
                part("major").trim(),
                part("minor").trim(),
                part("extra").trim()
            );
            release(version)
        }
        Ok(kind) => Check::new(
            "hypervisor",
            Status::Missing,
            format!("runs under {}", kind.trim()),
            REMEDY,
        ),
        Err(_) => Check::new("hypervisor", Status::Missing, "no Xen under this kernel", REMEDY),
    }
}

/// The hypervisor is there; is its release fit?
fn release(version: String) -> Check {
    if !resume_is_broken(version.trim_start_matches("Xen ")) {
        return Check::new("hypervisor", Status::Ok, version, "");
    }
    let found = format!("{version}: loses registers of a guest that is resumed in place");
    Check::new(
        "hypervisor",
        Status::Broken,
        found,
        "update to Xen 4.21.2 or 4.22; until then checkpoints are refused unless forced",
    )
}

fn control_domain(root: &Path, hypervisor: Status) -> Check {
    const NAME: &str = "control domain";
    if !matches!(hypervisor, Status::Ok | Status::Broken) {
        return Check::new(NAME, Status::Unknown, "needs a hypervisor first", "");
    }
    match fs::read_to_string(root.join("proc/xen/capabilities")) {
        Ok(caps) if caps.contains("control_d") => Check::new(NAME, Status::Ok, "this is dom0", ""),
        Ok(_) => Check::new(
            NAME,
            Status::Missing,
            "this is a guest, not dom0",
            "run in the control domain",
        ),
        Err(error) => Check::new(
            NAME,
            Status::Missing,
            format!("cannot read /proc/xen/capabilities: {error}"),
            "mount -t xenfs xenfs /proc/xen",
        ),
    }
}

fn privileged_commands(root: &Path, dom0: Status) -> Check {
    const NAME: &str = "hypercalls";
    if dom0 != Status::Ok {
        return Check::new(NAME, Status::Unknown, "needs the control domain first", "");
    }
    match OpenOptions::new()
        .read(true)
        .write(true)
        .open(root.join("dev/xen/privcmd"))
    {
        Ok(_) => Check::new(NAME, Status::Ok, "/dev/xen/privcmd opens", ""),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Check::new(
            NAME,
            Status::Denied,
            "/dev/xen/privcmd: permission denied",
            "run as root",
        ),
        Err(error) => Check::new(
            NAME,
            Status::Missing,
            format!("/dev/xen/privcmd: {error}"),
            "modprobe xen-privcmd",
        ),
    }
}

fn xenstore(root: &Path, dom0: Status) -> Check {
    const NAME: &str = "xenstore";
    const SOCKET: &str = "run/xenstored/socket";
    if dom0 != Status::Ok {
        return Check::new(NAME, Status::Unknown, "needs the control domain first", "");
    }
    if root.join(SOCKET).exists() || root.join("var").join(SOCKET).exists() {
        Check::new(NAME, Status::Ok, "xenstored answers at its socket", "")
    } else {
        Check::new(
            NAME,
            Status::Missing,
            "no xenstored socket",
            "start xenstored (Debian: service xen start)",
        )
    }
}

#[cfg(feature = "libxc")]
fn control_interface() -> Check {
    const NAME: &str = "libxc";
    let look = || -> Result<String, crate::XenError> {
        let xen = crate::XenControl::open()?;
        let domains = xen.domains()?;
        let guests = |assisted: bool| {
            let counted = |domain: &&crate::Domain| domain.id != 0 && domain.hardware_assisted == assisted;
            domains.iter().filter(counted).count()
        };
        Ok(format!(
            "Xen {}; guests with a dirty log (checkpointed live): {}, without (PV, stop-and-copy): {}",
            xen.version()?,
            guests(true),
            guests(false)
        ))
    };
    match look() {
        Ok(found) => Check::new(NAME, Status::Ok, found, ""),
        Err(error) => Check::new(
            NAME,
            Status::Missing,
            error.to_string(),
            "boot under Xen and run as root",
        ),
    }
}

#[cfg(not(feature = "libxc"))]
fn control_interface() -> Check {
    Check::new(
        "libxc",
        Status::Missing,
        "this binary was built without libxc",
        "build with --features libxc (needs libxen-dev and libclang-dev)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statuses(root: &Path) -> Vec<Status> {
        probe_root(root).into_iter().map(|check| check.status).collect()
    }

    #[test]
    fn tells_a_bare_machine_a_guest_and_a_control_domain_apart() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(
            statuses(root.path()),
            [Status::Missing, Status::Unknown, Status::Unknown, Status::Unknown]
        );

        write("sys/hypervisor/type", "xen\n");
        for (part, text) in [("major", "4\n"), ("minor", "17\n"), ("extra", ".5\n")] {
            write(&format!("sys/hypervisor/version/{part}"), text);
        }
        write("proc/xen/capabilities", "");
        assert_eq!(
            statuses(root.path()),
            [Status::Ok, Status::Missing, Status::Unknown, Status::Unknown]
        );
        assert_eq!(probe_root(root.path())[0].found, "Xen 4.17.5");

        write("proc/xen/capabilities", "control_d\n");
        write("dev/xen/privcmd", "");
        write("run/xenstored/socket", "");
        assert_eq!(statuses(root.path()), [Status::Ok; 4]);

        for (part, text) in [("minor", "21\n"), ("extra", ".1\n")] {
            write(&format!("sys/hypervisor/version/{part}"), text);
        }
        assert_eq!(
            statuses(root.path()),
            [Status::Broken, Status::Ok, Status::Ok, Status::Ok]
        );
    }
}

//! Hosts of the rig, and the guests on them.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use revenant_oracle::{Judge, Report, parse_reports};

use crate::machine::Machine;

/// How long a guest may take to boot or to say something: emulated processors are slow, and may be shared.
const PATIENCE: Duration = Duration::from_secs(240);

/// What a console's ring holds of a guest's output at most, before it gets into the log.
const CONSOLE_RING_BYTES: usize = 2048;

/// Time for a test: what is timed here is real.
#[expect(clippy::disallowed_methods, reason = "real machines go by real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// How many rounds of so many to do: `REVENANT_RIG_PERCENT` of them, one at least.
///
/// # Panics
/// If that is no number.
pub fn rounds(full: u32) -> u32 {
    let percent = std::env::var("REVENANT_RIG_PERCENT").map_or(100, |text| text.parse().expect("a number"));
    (full * percent).div_ceil(100).max(1)
}

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package is in the repository")
}

/// Builds what runs on a rig's host; the programs for dom0, and in the environment that of the guest.
pub fn programs() -> Vec<PathBuf> {
    let cargo = |arguments: &[&str], flags: &str| {
        let built = Command::new("cargo")
            .args(["build", "--release", "--locked", "--quiet"])
            .args(arguments)
            .env("RUSTFLAGS", flags)
            .current_dir(root())
            .status();
        assert!(built.expect("run cargo").success(), "cargo build {arguments:?}");
    };
    let target = "x86_64-unknown-linux-gnu";
    cargo(&["-p", "revenant", "--features", "libxc"], "");
    cargo(
        &[
            "-p",
            "revenant-xen",
            "--features",
            "check",
            "--example",
            "xen_check",
        ],
        "",
    );
    cargo(
        &["-p", "revenant-oracle", "--target", target],
        "-C target-feature=+crt-static -C strip=symbols",
    );
    let built = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    vec![
        built.join("release/revenant"),
        built.join("release/examples/xen_check"),
        built.join(target).join("release/oracle-guest"),
    ]
}

/// A running host of Xen.
#[derive(Debug)]
pub struct Host {
    machine: Machine,
}

impl Deref for Host {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.machine
    }
}

impl Host {
    /// Boots a host with `disk` as /dev/vda, and the programs in its path.
    pub fn boot(name: &str, programs: &[PathBuf], disk: &Path) -> Host {
        let disk = format!("{},4G", disk.display());
        Host::boot_with(name, programs, &["--disk", &disk])
    }

    /// The same, with a cable to another host; `network` and `nfs` in dom0 make use of it.
    pub fn boot_linked(name: &str, neighbour: &str, programs: &[PathBuf], disk: &Path) -> Host {
        let disk = format!("{},4G", disk.display());
        Host::boot_with(name, programs, &["--disk", &disk, "--link", neighbour])
    }

    fn boot_with(name: &str, programs: &[PathBuf], options: &[&str]) -> Host {
        let [revenant, check, guest_program] = programs else {
            panic!("three programs were built");
        };
        let rig = root().join("real-xen/rig/rig");
        let machine = Machine::boot(name, rig, &[("REVENANT_RIG_GUEST", guest_program)], options);
        machine.push(&[revenant.clone(), check.clone()]);
        Host { machine }
    }

    /// Creates a guest that runs the oracle program and waits for its first report.
    pub fn guest(&self, name: &str, kind: &str, mib: u32, arguments: &str) -> Guest<'_> {
        self.sh(&format!(
            "rm -f {}; guest {name} {kind} {mib} {arguments}",
            log_of(name)
        ));
        let mut guest = Guest::there(self, name);
        guest.reports(1);
        guest
    }
}

fn log_of(guest: &str) -> String {
    format!("/var/log/xen/console/guest-{guest}.log")
}

/// A guest on a host, and what it has been seen to compute.
#[derive(Debug)]
pub struct Guest<'a> {
    host: &'a Host,
    name: String,
    /// Bytes of the console log that were judged.
    judged: usize,
    judge: Judge,
    last: Option<Report>,
}

impl<'a> Guest<'a> {
    /// A guest that is there already.
    pub fn there(host: &'a Host, name: &str) -> Self {
        Guest {
            host,
            name: name.to_owned(),
            judged: 0,
            judge: Judge::new(),
            last: None,
        }
    }

    /// Reads and judges what the guest has printed since; how many reports.
    ///
    /// # Panics
    /// At the first report that is not what the program computes.
    pub fn look(&mut self) -> usize {
        self.look_at(&log_of(&self.name))
    }

    fn look_at(&mut self, log: &str) -> usize {
        let from = self.judged + 1;
        let (_, text) = self.host.try_sh(&format!("tail -c +{from} {log} 2>/dev/null"));
        // A last line without its end is left for the next time.
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        self.judged += whole;
        let reports = parse_reports(&text[..whole]);
        for report in &reports {
            if let Err(wrong) = self.judge.see(report) {
                panic!("{}: {wrong}", self.name);
            }
        }
        let seen = reports.len();
        self.last = reports.into_iter().next_back().or(self.last.take());
        seen
    }

    /// Waits for so many new reports and judges them.
    pub fn reports(&mut self, wanted: usize) -> &Report {
        let begun = now();
        let mut seen = self.look();
        while seen < wanted {
            assert!(
                begun.elapsed() < PATIENCE,
                "{} said {seen} times something in {PATIENCE:?}, {wanted} wanted: {}",
                self.name,
                self.host
                    .try_sh(&format!(
                        "xl list; tail -n 3 {}; xl dmesg | tail -n 3; tail -n 12 /tmp/{}.log 2>/dev/null",
                        log_of(&self.name),
                        self.name
                    ))
                    .1
            );
            sleep(Duration::from_millis(200));
            seen += self.look();
        }
        self.last.as_ref().expect("a report was seen")
    }

    /// Waits for so many reports that were printed from now on for sure. What is new in the log may be older: it lay in the
    /// console's ring, for as long as the daemon that empties it had to wait for a processor.
    pub fn new_reports(&mut self, wanted: usize) {
        self.look();
        let fresh = self.judged + CONSOLE_RING_BYTES;
        while self.judged < fresh {
            self.reports(1);
        }
        self.reports(wanted);
    }

    /// Destroys the guest's domain and judges what it had said to its end. Its log is put away, so that nothing that is still
    /// to come from the lost domain is taken for a word of the next one: what is judged from here on is that one's.
    pub fn lose(&mut self) {
        let log = log_of(&self.name);
        self.host
            .sh(&format!("xl destroy {}; mv {log} {log}.lost", self.name));
        self.look_at(&format!("{log}.lost"));
        self.judged = 0;
    }

    /// Passes over what was printed before now.
    pub fn skip(&mut self) {
        let (_, text) = self.host.try_sh(&format!("wc -c < {}", log_of(&self.name)));
        self.judged = text.trim().parse().unwrap_or(self.judged);
    }

    /// Types a line on the guest's console, which a domain that is being restored does not have yet.
    pub fn order(&self, line: &str) {
        self.host.sh(&format!(
            "for try in $(seq 100); do tty=$(xenstore-read /local/domain/$(xl domid {})/console/tty 2>/dev/null) && break; \
             sleep 0.1; done; echo {line} > \"$tty\"",
            self.name
        ));
    }

    /// Boots that were seen: one, unless the guest was started anew.
    pub fn boots(&self) -> usize {
        self.judge.verdict().boots.len()
    }

    /// How often it went back to an earlier state.
    pub fn went_back(&self) -> u64 {
        self.judge.verdict().went_back
    }
}

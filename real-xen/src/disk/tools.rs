//! The host's block device tools, and where its devices are.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, io};

/// A tool could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It could not be run.
    #[error("cannot run {tool}: is it installed?")]
    Run {
        /// Its name.
        tool: &'static str,
        /// The operating system's words.
        #[source]
        source: io::Error,
    },
    /// It said no.
    #[error("{command} failed ({status}): {stderr}")]
    Failed {
        /// The whole command.
        command: String,
        /// How it ended.
        status: String,
        /// What it said.
        stderr: String,
    },
}

/// Runs `dmsetup` and `losetup` on one host.
#[derive(Debug, Clone)]
pub struct Tools {
    path: OsString,
    dev: PathBuf,
    sys: PathBuf,
}

impl Tools {
    /// This host's. Administrators' directories are searched also if `PATH` leaves them out.
    pub fn of_host() -> Self {
        let mut path = env::var_os("PATH").unwrap_or_default();
        path.push(":/usr/sbin:/sbin:/usr/bin:/bin");
        Tools {
            path,
            dev: PathBuf::from("/dev"),
            sys: PathBuf::from("/sys"),
        }
    }

    /// The node of a device-mapper device with this number (`253:0`). The kernel makes it with the device; the names in
    /// `/dev/mapper` come later, from udev, or not at all.
    pub(super) fn node(&self, number: &str) -> PathBuf {
        let minor = number.rsplit(':').next().unwrap_or_default();
        self.dev.join(format!("dm-{minor}"))
    }

    /// What the kernel tells of the device with this number (`253:0`).
    pub(super) fn sys_block(&self, number: &str) -> PathBuf {
        self.sys.join("dev/block").join(number)
    }

    /// Runs `dmsetup` and gives what it printed.
    pub(super) fn dmsetup(&self, args: &[&str]) -> Result<String, ToolError> {
        self.run("dmsetup", args)
    }

    /// Runs `losetup` on a file and gives what it printed.
    pub(super) fn losetup(&self, args: &[&str], file: Option<&Path>) -> Result<String, ToolError> {
        let mut args: Vec<OsString> = args.iter().map(OsString::from).collect();
        args.extend(file.map(OsString::from));
        self.run_os("losetup", &args)
    }

    /// Suspends devices, runs `dmsetup` with `within`, resumes them, whatever came of it. All of it is one child process
    /// in a group of its own: if this process dies in the middle, no device stays suspended.
    pub(super) fn suspended(&self, devices: &[&str], within: &[&str]) -> Result<(), ToolError> {
        // $1 is the number of devices; they come first, then the arguments of the command.
        const SCRIPT: &str = r#"
            count=$1; shift; devices=
            while [ "$count" -gt 0 ]; do devices="$devices $1"; shift; count=$((count - 1)); done
            dmsetup suspend --nolockfs --noudevsync $devices && dmsetup --noudevsync "$@"
            status=$?
            dmsetup resume --noudevsync $devices || status=$?
            exit $status"#;
        let count = devices.len().to_string();
        let mut args = vec!["-c", SCRIPT, "suspended", &count];
        args.extend(devices);
        args.extend(within);
        self.run("sh", &args).map(drop)
    }

    fn run(&self, tool: &'static str, args: &[&str]) -> Result<String, ToolError> {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        self.run_os(tool, &args)
    }

    fn run_os(&self, tool: &'static str, args: &[OsString]) -> Result<String, ToolError> {
        let mut command = Command::new(tool);
        let output = command
            .args(args)
            .env("PATH", &self.path)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .process_group(0)
            .output()
            .map_err(|source| ToolError::Run { tool, source })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        // The script of `suspended` says nothing that its arguments do not.
        let shown = args.iter().skip(if tool == "sh" { 2 } else { 0 });
        let shown: Vec<_> = shown.map(|arg| arg.to_string_lossy()).collect();
        Err(ToolError::Failed {
            command: format!("{tool} {}", shown.join(" ")),
            status: output.status.to_string(),
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}

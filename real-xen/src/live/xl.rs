//! Xen's own toolstack, called where it owns what has to be done: domain configurations, and building a domain.

use std::ffi::OsStr;
use std::io;
use std::process::{Command, Output, Stdio};

use revenant_core::HypervisorError;
use serde_json::Value;

use crate::live::domain::{backend, invalid};

/// `xl` could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum XlError {
    /// It could not be started.
    #[error("cannot run xl: is it installed and in the PATH?")]
    Start(#[source] io::Error),
    /// It ended with an error.
    #[error("xl {command}: {message}")]
    Failed {
        /// Its subcommand.
        command: String,
        /// The last of what it said.
        message: String,
    },
}

/// Runs `xl` to its end and gives its output.
pub(crate) fn run<S: AsRef<OsStr>>(arguments: &[S]) -> Result<Output, XlError> {
    let output = Command::new("xl")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(XlError::Start)?;
    if output.status.success() {
        Ok(output)
    } else {
        Err(failed(arguments, &output.stderr))
    }
}

pub(crate) fn failed<S: AsRef<OsStr>>(arguments: &[S], stderr: &[u8]) -> XlError {
    const LINES: usize = 3;
    let text = String::from_utf8_lossy(stderr);
    let telling: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains("progress:") && !line.contains("info:") && !line.trim().is_empty())
        .collect();
    XlError::Failed {
        command: arguments
            .iter()
            .map(|argument| argument.as_ref().to_string_lossy())
            .collect::<Vec<_>>()
            .join(" "),
        message: telling[telling.len().saturating_sub(LINES)..].join("; "),
    }
}

/// A live domain's configuration in libxl's JSON, as a save file carries it. Guests that cannot be captured whole are
/// refused here.
pub(crate) fn configuration(id: u32) -> Result<Vec<u8>, HypervisorError> {
    const WHAT: &str = "read the domain's configuration";
    let output = run(&["list", "-l", &id.to_string()]).map_err(|error| backend(WHAT, error))?;
    let listed: Value = serde_json::from_slice(&output.stdout).map_err(|error| backend(WHAT, error))?;
    let config = listed
        .get(0)
        .and_then(|domain| domain.get("config"))
        .ok_or_else(|| {
            backend(
                WHAT,
                invalid("xl list -l: expected a list of domains with a config each"),
            )
        })?;
    if config["c_info"]["type"] == "hvm" {
        return Err(backend(
            WHAT,
            invalid(
                "it is an HVM guest with a device model, whose state is not captured: PVH and PV guests are",
            ),
        ));
    }
    let mut text = serde_json::to_vec_pretty(config).map_err(|error| backend(WHAT, error))?;
    // xl reads it back as a C string.
    text.extend(b"\n\0");
    Ok(text)
}

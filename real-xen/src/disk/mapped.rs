//! Device-mapper devices by name, and the conversion of one into a snapshot origin.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::error::DiskError;
use super::tools::Tools;

/// Follows the name of the device that takes over an origin's own table.
const REAL: &str = "-rvreal";
const NAME_MAX: usize = 80;

/// A table line of a device with one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) sectors: u64,
    pub(super) kind: String,
    pub(super) args: Vec<String>,
}

/// The device-mapper name of a device node.
pub(super) fn name_of(tools: &Tools, device: &Path) -> Result<String, DiskError> {
    let meta = fs::metadata(device).map_err(DiskError::io("look at", device))?;
    let not_mapped = || DiskError::NotMapped {
        device: device.to_owned(),
    };
    if !meta.file_type().is_block_device() {
        return Err(not_mapped());
    }
    let number = meta.rdev();
    let number = format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number));
    let path = tools.sys_block(&number).join("dm/name");
    let name = fs::read_to_string(path).map_err(|_| not_mapped())?;
    check_name(name.trim_end())
}

/// Names are put together with others and into tables: only harmless ones are taken.
pub(super) fn check_name(name: &str) -> Result<String, DiskError> {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    if (1..=NAME_MAX).contains(&name.len()) && name.chars().all(harmless) && !name.starts_with('-') {
        return Ok(name.to_owned());
    }
    Err(DiskError::Name {
        name: name.to_owned(),
    })
}

/// Names of all device-mapper devices.
pub(super) fn names(tools: &Tools) -> Result<Vec<String>, DiskError> {
    let listed = tools.dmsetup(&["ls"])?;
    let lines = listed.lines().filter(|line| line.contains('('));
    Ok(lines
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect())
}

pub(super) fn exists(tools: &Tools, name: &str) -> Result<bool, DiskError> {
    Ok(names(tools)?.iter().any(|other| other == name))
}

/// The number of a device (`253:0`).
pub(super) fn number_of(tools: &Tools, name: &str) -> Result<String, DiskError> {
    let args = [
        "info",
        "-c",
        "--noheadings",
        "--separator",
        ":",
        "-o",
        "major,minor",
        name,
    ];
    let found = tools.dmsetup(&args)?.trim().to_owned();
    let digits = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    match found.split_once(':') {
        Some((major, minor)) if digits(major) && digits(minor) => Ok(found),
        _ => Err(DiskError::Unexpected {
            what: "the number",
            name: name.to_owned(),
            found,
            expected: "major:minor",
        }),
    }
}

/// The single target of a device's live table; `None`: it has several, or none.
pub(super) fn single_target(tools: &Tools, name: &str) -> Result<Option<Target>, DiskError> {
    let table = tools.dmsetup(&["table", name])?;
    let mut lines = table.lines();
    match (lines.next(), lines.next()) {
        (Some(line), None) => parse_target(name, line).map(Some),
        _ => Ok(None),
    }
}

/// Start, length, type, arguments.
fn parse_target(name: &str, line: &str) -> Result<Target, DiskError> {
    let mut words = line.split_whitespace().map(str::to_owned);
    let (_start, sectors, kind) = (words.next(), words.next(), words.next());
    match (sectors.and_then(|sectors| sectors.parse().ok()), kind) {
        (Some(sectors), Some(kind)) => Ok(Target {
            sectors,
            kind,
            args: words.collect(),
        }),
        _ => Err(DiskError::Unexpected {
            what: "a table line",
            name: name.to_owned(),
            found: line.to_owned(),
            expected: "start, length and type of a target",
        }),
    }
}

/// The name of the device that has the origin's own table.
pub(super) fn real_name(name: &str) -> String {
    format!("{name}{REAL}")
}

/// Is the disk attached? Then its size in sectors.
pub(super) fn attached(tools: &Tools, name: &str) -> Result<Option<u64>, DiskError> {
    let real = real_name(name);
    let target = single_target(tools, name)?.filter(|target| target.kind == "snapshot-origin");
    Ok(match target {
        Some(target) if exists(tools, &real)? => Some(target.sectors),
        _ => None,
    })
}

/// Turns a device-mapper device into a snapshot origin while it is in use: its table moves to a device `NAME-rvreal` and
/// `NAME` becomes a `snapshot-origin` over that. Its size and number stay as they are; input and output wait for a moment.
/// A disk that is attached already is left as it is. Gives the device-mapper name.
pub fn attach(tools: &Tools, device: &Path) -> Result<String, DiskError> {
    let name = name_of(tools, device)?;
    attach_named(tools, &name)?;
    Ok(name)
}

/// As [`attach`], by device-mapper name.
pub(super) fn attach_named(tools: &Tools, name: &str) -> Result<(), DiskError> {
    if attached(tools, name)?.is_some() {
        return resume(tools, name);
    }
    let table = tools.dmsetup(&["table", name])?;
    let mut sectors = 0;
    for line in table.lines() {
        let target = parse_target(name, line)?;
        if !["linear", "striped"].contains(&target.kind.as_str()) {
            return Err(DiskError::Target {
                name: name.to_owned(),
                target: target.kind,
            });
        }
        sectors += target.sectors;
    }
    let real = real_name(name);
    if exists(tools, &real)? {
        // An attempt that died before the table was swapped.
        tools.dmsetup(&["remove", "--retry", &real])?;
    }
    let uuid = tools.dmsetup(&["info", "-c", "--noheadings", "-o", "uuid", name])?;
    let uuid = format!("{}{REAL}", uuid.trim());
    let mut create = vec!["create", &real, "--table", &table];
    if uuid != REAL {
        create.extend(["--uuid", &uuid]);
    }
    tools.dmsetup(&create)?;
    let origin = format!("0 {sectors} snapshot-origin {}", number_of(tools, &real)?);
    swap(tools, name, &origin)
}

/// Undoes [`attach`]. There must be no snapshots of the disk any more.
pub fn detach(tools: &Tools, device: &Path) -> Result<String, DiskError> {
    let name = name_of(tools, device)?;
    detach_named(tools, &name)?;
    Ok(name)
}

/// As [`detach`], by device-mapper name.
pub(super) fn detach_named(tools: &Tools, name: &str) -> Result<(), DiskError> {
    let real = real_name(name);
    if attached(tools, name)?.is_some() {
        let snapshots = super::snapshot::of_origin(tools, name)?;
        if !snapshots.is_empty() {
            return Err(DiskError::HasSnapshots {
                name: name.to_owned(),
                snapshots: snapshots.join(", "),
            });
        }
        let table = tools.dmsetup(&["table", &real])?;
        swap(tools, name, &table)?;
    }
    if exists(tools, &real)? {
        tools.dmsetup(&["remove", "--retry", &real])?;
    }
    Ok(())
}

/// Replaces a device's table. `resume` of a device with a new table lets what is in flight end, swaps and goes on, in one
/// request to the kernel: there is no moment at which this process could die and leave it suspended.
fn swap(tools: &Tools, name: &str, table: &str) -> Result<(), DiskError> {
    tools.dmsetup(&["load", name, "--table", table])?;
    tools.dmsetup(&["resume", "--nolockfs", name])?;
    Ok(())
}

/// Lets a device go on that was left suspended.
pub(super) fn resume(tools: &Tools, name: &str) -> Result<(), DiskError> {
    tools.dmsetup(&["resume", "--nolockfs", name])?;
    Ok(())
}

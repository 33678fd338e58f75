//! Notes for the manifest what this build is made of: revision, changes on top of it, compiler, target.

use std::process::Command;

fn main() {
    let revision = output("git", &["rev-parse", "HEAD"]);
    let changes = output("git", &["status", "--porcelain", "--untracked-files=no"]);
    let rustc = std::env::var("RUSTC")
        .ok()
        .and_then(|rustc| output(&rustc, &["--version"]));
    let dirty = changes.is_some_and(|changes| !changes.is_empty());
    println!(
        "cargo::rustc-env=REVENANT_REVISION={}",
        revision.as_deref().unwrap_or("unknown")
    );
    println!("cargo::rustc-env=REVENANT_DIRTY={dirty}");
    println!(
        "cargo::rustc-env=REVENANT_RUSTC={}",
        rustc.as_deref().unwrap_or("unknown")
    );
    println!(
        "cargo::rustc-env=REVENANT_TARGET={}",
        std::env::var("TARGET").unwrap_or_default()
    );
    // A commit moves HEAD's log; edits of what results depend on make the build dirty.
    if let Some(log) = output("git", &["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    for folder in ["../core/src", "../sim-hypervisor/src", "src", "build.rs"] {
        println!("cargo::rerun-if-changed={folder}");
    }
}

/// What a program prints, trimmed; `None` if it is missing or fails.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

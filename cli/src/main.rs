//! The command `revenant`.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod interrupt;
mod layout;
mod output;
mod target;

use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use revenant_core::store::{FindingKind, StoreError};
use revenant_experiments::RunError;

use crate::args::Cli;

/// How a command that did not fail came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// All is well.
    Done,
    /// The command worked and found damage in a store, or results that are not those published.
    DamageFound,
}

fn main() -> ExitCode {
    interrupt::survive_file_limit();
    let cli = Cli::try_parse().unwrap_or_else(|mut error| {
        advise(&mut error);
        error.exit()
    });
    match commands::dispatch(cli.command) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::DamageFound) => ExitCode::from(3),
        Err(error) => {
            output::error(&error);
            status(&error)
        }
    }
}

/// What is missing of a command line may be given in another way, or be there for a reason.
fn advise(error: &mut clap::Error) {
    if error.kind() != ErrorKind::MissingRequiredArgument {
        return;
    }
    let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg) else {
        return;
    };
    let lacks = |flag: &str| missing.iter().any(|missing| missing.contains(flag));
    let mut tips = Vec::new();
    if lacks("--store") {
        tips.push(
            "the environment variable REVENANT_STORE names a store, too; `revenant init --store DIR` makes one",
        );
    }
    if lacks("--keep-last") {
        tips.push("a prune is told what to keep: by one rule or both, of which either keeps a checkpoint");
    }
    if !tips.is_empty() {
        let tips = tips.into_iter().map(Into::into).collect();
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
}

/// Another process writes to the folder of results.
fn is_busy_run(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<RunError>();
    matches!(cause, Some(RunError::Busy { .. }))
}

/// The exit status of a command that failed.
fn status(error: &anyhow::Error) -> ExitCode {
    if let Some(signal) = interrupt::received() {
        // As a shell has it.
        return ExitCode::from(128 + signal);
    }
    let any = |is: fn(&StoreError) -> bool| {
        let mut causes = error.chain();
        causes.any(|cause| cause.downcast_ref::<StoreError>().is_some_and(is))
    };
    if any(|cause| {
        cause
            .finding()
            .is_some_and(|finding| finding.kind != FindingKind::Denied)
    }) {
        ExitCode::from(3)
    } else if any(|cause| matches!(cause, StoreError::Busy { .. })) || is_busy_run(error) {
        ExitCode::from(4)
    } else {
        ExitCode::FAILURE
    }
}

//! The only service of a test guest: computes, writes its disk, and says what it has become.

use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use clap::{Parser, Subcommand};
use revenant_oracle::{Disk, Judge, Report, parse_reports};
use revenant_sim::{Oracle, Program};

/// Steps between two looks at commands and disk.
const SLICE_STEPS: u64 = 64;
/// Slices between two reports.
const REPORT_SLICES: u64 = 64;
/// Blocks checked with each report, besides all of them now and then.
const CHECK_BLOCKS: u64 = 16;

/// A workload that shows every page and disk block that a restore got wrong.
#[derive(Debug, Parser)]
#[command(name = "oracle-guest", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Judge console logs of guests that ran the same program
    Judge {
        /// The logs, in the order of time
        logs: Vec<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
struct Run {
    /// What to compute
    #[arg(long, default_value = "hot-set")]
    program: Program,
    /// Pages to compute on
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(Program::PAGES_MIN..1 << 20))]
    pages: u64,
    /// The program's seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Also write this disk
    #[arg(long)]
    disk: Option<PathBuf>,
    /// Milliseconds to rest after each slice of 64 steps
    #[arg(long, default_value_t = 0)]
    rest_ms: u64,
    /// Slices between two reports
    #[arg(long, default_value_t = REPORT_SLICES, value_parser = clap::value_parser!(u64).range(1..))]
    report: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Some(Command::Judge { logs }) => judge(&logs),
        None => compute(&arguments.run),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("oracle-guest: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Orders that come in through the console.
#[derive(Debug, Default)]
struct Orders {
    hang: AtomicBool,
    rest_ms: AtomicU64,
}

fn listen(orders: &Arc<Orders>) {
    let orders = Arc::clone(orders);
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["hang"] => orders.hang.store(true, Ordering::Relaxed),
                // The kernel panics at once, if this is the guest it is made for and may.
                ["panic"] => drop(std::fs::write("/proc/sysrq-trigger", "c")),
                ["rest", ms] => {
                    if let Ok(ms) = ms.parse() {
                        orders.rest_ms.store(ms, Ordering::Relaxed);
                    }
                }
                _ => {}
            }
        }
    });
}

fn compute(run: &Run) -> io::Result<()> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let boot = u64::from_le_bytes(bytes);
    let orders = Arc::new(Orders::default());
    orders.rest_ms.store(run.rest_ms, Ordering::Relaxed);
    listen(&orders);
    let mut disk = run
        .disk
        .as_deref()
        .map(|path| Disk::open(path, boot))
        .transpose()?;
    let mut fault = None;
    let mut oracle = Oracle::new(run.program, run.pages, run.seed, u64::MAX);
    let mut step = 0;
    for slice in 1u64.. {
        while orders.hang.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
        step += SLICE_STEPS;
        oracle.advance_to(step);
        if let Some(disk) = &mut disk {
            // Once wrong it stays said.
            fault = fault.or_else(|| disk.write().err());
        }
        if slice % run.report == 0 {
            if let Some(disk) = &mut disk {
                let count = if slice % (run.report * 8) == 0 {
                    disk.blocks()
                } else {
                    CHECK_BLOCKS
                };
                fault = fault.or_else(|| disk.check(slice, count).err());
            }
            report(
                run,
                step,
                &mut oracle,
                disk.is_some(),
                fault.as_ref().map(ToString::to_string),
                boot,
            )?;
        }
        let rest_ms = orders.rest_ms.load(Ordering::Relaxed);
        if rest_ms > 0 {
            thread::sleep(Duration::from_millis(rest_ms));
        }
    }
    Ok(())
}

fn report(
    run: &Run,
    step: u64,
    oracle: &mut Oracle,
    has_disk: bool,
    fault: Option<String>,
    boot: u64,
) -> io::Result<()> {
    let mut digest = oracle.digest_at(step).to_hex().to_string();
    digest.truncate(32);
    let sound = if has_disk { "ok" } else { "none" };
    let report = Report {
        program: run.program,
        seed: run.seed,
        pages: run.pages,
        step,
        digest,
        // A word without blanks, whatever the system calls its errors.
        disk: fault.map_or_else(
            || sound.to_owned(),
            |fault| fault.replace(char::is_whitespace, "_"),
        ),
        boot,
    };
    let line = format!("{report}\n");
    let mut output = io::stdout().lock();
    output.write_all(line.as_bytes())?;
    output.flush()
}

fn judge(logs: &[PathBuf]) -> io::Result<()> {
    let mut judge = Judge::new();
    for log in logs {
        let text = String::from_utf8_lossy(&std::fs::read(log)?).into_owned();
        for report in parse_reports(&text) {
            judge
                .see(&report)
                .map_err(|wrong| io::Error::other(format!("{}: {wrong}", log.display())))?;
        }
    }
    let seen = judge.verdict();
    if seen.reports == 0 {
        return Err(io::Error::other("no reports: nothing was judged"));
    }
    println!(
        "{} reports, last step {}, {} boots, went back {} times: all right",
        seen.reports,
        seen.last_step,
        seen.boots.len(),
        seen.went_back
    );
    Ok(())
}

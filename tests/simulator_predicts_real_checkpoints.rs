//! The ladder: a cost profile calibrated on one guest that idles predicts live checkpoints of other guests, of other sizes
//! and workloads. Real guests on real Xen, in the rig; needs QEMU and Debian's packages, and minutes:
//!
//! ```sh
//! cargo test -p revenant-tests --test simulator_predicts_real_checkpoints -- --ignored --nocapture
//! ```
//!
//! `REVENANT_RIG_PERCENT` scales the number of guests; `REVENANT_RIG_RESULTS` names a directory for profile, table and
//! figures.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use revenant_tests::rig::{Host, now, programs, rounds};
use serde_json::Value;

/// A guest that the profile knows nothing of.
struct Workload {
    name: &'static str,
    mib: u32,
    program: &'static str,
    pages: u32,
    /// Milliseconds of rest after each 64 steps: how fast pages become dirty.
    rest_ms: u32,
}

const WORKLOADS: [Workload; 6] = [
    Workload {
        name: "hot-set 128 MiB",
        mib: 128,
        program: "hot-set",
        pages: 2048,
        rest_ms: 2,
    },
    Workload {
        name: "sliding 192 MiB",
        mib: 192,
        program: "sliding",
        pages: 4096,
        rest_ms: 5,
    },
    Workload {
        name: "key-value 160 MiB",
        mib: 160,
        program: "key-value",
        pages: 8192,
        rest_ms: 20,
    },
    Workload {
        name: "sort 128 MiB",
        mib: 128,
        program: "sort",
        pages: 1024,
        rest_ms: 1,
    },
    Workload {
        name: "stencil 96 MiB",
        mib: 96,
        program: "stencil",
        pages: 512,
        rest_ms: 5,
    },
    Workload {
        name: "idle 224 MiB",
        mib: 224,
        program: "idle",
        pages: 64,
        rest_ms: 20,
    },
];

/// Time between a checkpoint and the increment after it.
const INTERVALS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];
const SEED: u32 = 7;

#[test]
#[ignore = "boots real Xen in QEMU and takes minutes"]
fn simulator_predicts_real_checkpoints() {
    let scratch = tempfile::tempdir().expect("a directory");
    let results =
        std::env::var_os("REVENANT_RIG_RESULTS").map_or_else(|| scratch.path().to_owned(), PathBuf::from);
    fs::create_dir_all(&results).expect("make the directory");
    let programs = programs();
    let host = Host::boot("ladder", &programs, &scratch.path().join("disk.img"));
    host.sh("mkfs.ext4 -q /dev/vda && mount /dev/vda /store");
    // It says that it is there, and nothing else: no program runs in it.
    host.sh("guest plain pvh 128; while ! grep -q tick /var/log/xen/console/guest-plain.log; do usleep 200000; done");
    let profile = host.sh("sleep 5; revenant calibrate plain --dir /store; xl destroy plain");
    let profile_file = results.join("host.toml");
    fs::write(&profile_file, profile).expect("write the profile");

    let mut table = String::from(
        "source,guest,memory_mib,program,pages,seed,step_ns,steps,capture,interval_s,suspended_s,total_s,stored_bytes\n",
    );
    for workload in WORKLOADS.iter().take(rounds(6) as usize) {
        measure(&host, workload, &mut table);
    }
    let measured = scratch.path().join("measured.csv");
    fs::write(&measured, table).expect("write the measures");

    let ladder = Command::new(&programs[0])
        .arg("ladder")
        .arg(&measured)
        .arg("--profile")
        .arg(&profile_file)
        .arg("--out")
        .arg(&results)
        .output()
        .expect("run revenant");
    assert!(
        ladder.status.success(),
        "{}",
        String::from_utf8_lossy(&ladder.stderr)
    );
    let caption = fs::read_to_string(results.join("figures/ladder-wide.txt")).expect("the figure's caption");
    println!("{caption}");
    for line in caption.lines().filter(|line| line.contains("(median)")) {
        let ratio: f64 = line
            .split_whitespace()
            .take_while(|word| *word != "(median),")
            .last()
            .and_then(|word| word.parse().ok())
            .expect("a ratio");
        assert!((0.2..=5.0).contains(&ratio), "the prediction went astray: {line}");
    }
}

/// Full checkpoints and increments of a guest, as rows of the ladder's table.
fn measure(host: &Host, workload: &Workload, table: &mut String) {
    let Workload {
        mib,
        program,
        pages,
        rest_ms,
        ..
    } = workload;
    let arguments =
        format!("--program,{program},--pages,{pages},--seed,{SEED},--rest-ms,{rest_ms},--report,8");
    let mut guest = host.guest("climber", "pvh", *mib, &arguments);
    // How fast it works, seen without any checkpoint: between two reports, each at the instant at which it was seen.
    let mut seen = || {
        let step = guest.reports(1).step;
        (now(), step)
    };
    let first = seen();
    sleep(Duration::from_secs(10));
    let last = seen();
    let elapsed = last.0.duration_since(first.0);
    let step_ns = elapsed.as_nanos() as f64 / (last.1 - first.1) as f64;
    let steps_at = |instant: Instant| {
        let since = instant.duration_since(last.0).as_nanos() as f64;
        last.1 as f64 + since / step_ns
    };
    let mut row = |kind: &str, begun: Instant, interval: Duration| {
        let option = if kind == "full" { "--full" } else { "" };
        let said = host.sh(&format!(
            "revenant checkpoint climber --store /store/climber --init --json {option}"
        ));
        let json: Value = serde_json::from_str(&said).expect("JSON");
        let number = |path: &str| json.pointer(path).and_then(Value::as_f64).expect("a number");
        writeln!(
            table,
            "measured,\"{}\",{mib},{program},{pages},{SEED},{:.0},{:.0},{kind},{},{},{},{}",
            workload.name,
            step_ns,
            steps_at(begun),
            interval.as_secs_f64(),
            number("/timeline/suspended_s"),
            number("/timeline/total_s"),
            number("/stored_bytes"),
        )
        .expect("a string takes everything");
    };
    for interval in INTERVALS {
        let full = now();
        row("full", full, Duration::ZERO);
        let due = full + interval;
        sleep(due.saturating_duration_since(now()));
        let begun = now();
        row("increment", begun, begun.duration_since(full));
        // A store that holds another guest's checkpoint, or an earlier one, stores less of the next.
        host.sh("rm -rf /store/climber");
    }
    host.sh("xl destroy climber");
}

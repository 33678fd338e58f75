//! Real guests on real Xen, in the rig: checkpointed while they compute, killed in every way, restored, and asked what
//! they have become. Needs QEMU and Debian's packages, and minutes:
//!
//! ```sh
//! cargo test -p revenant-tests --test guests_on_real_xen_survive -- --ignored --nocapture
//! ```
//!
//! `REVENANT_RIG_PERCENT` scales the number of rounds, `REVENANT_RIG_ONLY=judge,kills` runs some parts only, and
//! `REVENANT_RIG_RESULTS` names a directory for the measures.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use revenant_tests::reliability::row;
use revenant_tests::rig::{Guest, Host, now, programs, rounds};
use serde_json::Value;

const BUSY: &str = "--program,hot-set,--pages,1024,--seed,7";
const IDLE: &str = "--program,idle,--pages,64,--seed,7,--rest-ms,20,--report,16";
/// Time between two checkpoints of a protected guest.
const INTERVAL_S: f64 = 3.0;
/// A guest that prints nothing for this long hangs.
const HANG_S: f64 = 20.0;

/// What was measured: one row a line, `what,unit,value`.
#[derive(Debug, Default)]
struct Measures {
    csv: String,
}

impl Measures {
    fn add(&mut self, what: &str, unit: &str, value: f64) {
        println!("{what}: {value:.4} {unit}");
        writeln!(self.csv, "\"{what}\",{unit},{value:.6}").expect("a string takes everything");
    }

    fn spread(&mut self, what: &str, unit: &str, mut values: Vec<f64>) {
        values.sort_by(f64::total_cmp);
        self.add(&format!("{what} (median)"), unit, values[values.len() / 2]);
        self.add(&format!("{what} (largest)"), unit, values[values.len() - 1]);
    }

    fn write(&self) {
        if let Some(dir) = std::env::var_os("REVENANT_RIG_RESULTS") {
            let dir = PathBuf::from(dir);
            fs::create_dir_all(&dir).expect("make the directory");
            fs::write(dir.join("measures.csv"), format!("what,unit,value\n{}", self.csv))
                .expect("write measures");
        }
    }
}

struct Lab {
    programs: Vec<PathBuf>,
    disk: PathBuf,
    draws: Xoshiro256PlusPlus,
    measures: Measures,
}

impl Lab {
    fn moment(&mut self, most_ms: u64) -> Duration {
        Duration::from_millis(self.draws.random_range(0..most_ms))
    }
}

/// One test, because all of it is one boot of emulated machines after the other.
#[test]
#[ignore = "boots real Xen in QEMU and takes a quarter of an hour"]
fn guests_on_real_xen_survive() {
    let scratch = tempfile::tempdir().expect("a directory");
    let mut lab = Lab {
        programs: programs(),
        disk: scratch.path().join("shared.img"),
        draws: Xoshiro256PlusPlus::seed_from_u64(20_061_117),
        measures: Measures::default(),
    };
    let host = Host::boot("one", &lab.programs, &lab.disk);
    host.sh("mkfs.ext4 -q /dev/vda && mount /dev/vda /store");
    let begun = now();
    let only = std::env::var("REVENANT_RIG_ONLY").ok();
    let timed = |name: &str, part: &mut dyn FnMut()| {
        if only
            .as_ref()
            .is_some_and(|only| !only.split(',').any(|wanted| wanted == name))
        {
            return;
        }
        part();
        println!("--- {name}: at {} s", begun.elapsed().as_secs());
    };
    timed("judge", &mut || the_judge_of_backends_is_content(&host));
    timed("measures", &mut || {
        the_guest_waits_less_than_for_xens_own_save(&host, &mut lab);
    });
    timed("moments", &mut || {
        every_checkpoint_of_a_busy_guest_goes_on_right(&host, &mut lab, scratch.path());
    });
    timed("disk", &mut || {
        memory_and_disk_are_of_one_instant(&host, &mut lab);
    });
    timed("kills", &mut || the_guest_outlives_our_process(&host, &mut lab));
    timed("full", &mut || a_full_store_stops_nothing(&host, &mut lab));
    timed("deaf", &mut || a_guest_that_does_not_answer_runs_on(&host));
    timed("protect", &mut || {
        a_protected_guest_comes_back_by_itself(&host, &mut lab);
    });
    timed("beside", &mut || {
        two_protectors_keep_what_is_theirs(&host, &mut lab);
    });
    host.kill();
    timed("power", &mut || {
        another_host_takes_over_after_a_power_loss(&mut lab);
    });
    timed("stand-by", &mut || {
        the_host_that_stands_by_takes_over(&mut lab, scratch.path());
    });
    lab.measures.write();
}

/// The contract of the core's door, clause by clause, on real guests.
fn the_judge_of_backends_is_content(host: &Host) {
    for (kind, mib) in [("pvh", 128), ("pv", 96)] {
        host.guest("judged", kind, mib, BUSY);
        let said = host.sh("xen_check conformance judged");
        assert!(said.contains("judged passes"), "{said}");
    }
    row_of(
        "judge",
        "the contract of a hypervisor, clause by clause, on a PVH and a PV guest",
        2,
        "all hold",
    );
}

/// A row of docs/reliability.md, which a part of this test prints.
fn row_of(part: &str, fault: &str, count: impl std::fmt::Display, outcome: &str) {
    row(
        fault,
        count,
        outcome,
        &format!("REVENANT_RIG_ONLY={part} .ci/full xen"),
    );
}

fn checkpoint(host: &Host, guest: &str, options: &str) -> Value {
    let said = host.sh(&format!(
        "revenant checkpoint {guest} --store /store/s --init --json {options}"
    ));
    serde_json::from_str(&said).expect("JSON")
}

fn number(value: &Value, path: &str) -> f64 {
    value
        .pointer(path)
        .and_then(Value::as_f64)
        .unwrap_or_else(|| panic!("no number at {path} in {value}"))
}

/// Seconds that a line of shell in dom0 takes, by dom0's own clock.
fn seconds(host: &Host, script: &str) -> f64 {
    let said = host.sh(&format!(
        "a=$(cut -d' ' -f1 /proc/uptime); {{ {script}; }} >/dev/null 2>&1 || exit 1; echo $a $(cut -d' ' -f1 /proc/uptime)"
    ));
    let times: Vec<f64> = said
        .split_whitespace()
        .map(|word| word.parse().expect("a time"))
        .collect();
    times[1] - times[0]
}

/// Suspended time beside `xl save -c` and libxc's own live save, increments beside full checkpoints, restore beside
/// `xl restore`.
fn the_guest_waits_less_than_for_xens_own_save(host: &Host, lab: &mut Lab) {
    const TRIES: usize = 3;
    let measures = &mut lab.measures;
    for (name, kind, mib, program) in [
        ("idle", "pvh", 128, IDLE),
        ("busy", "pvh", 128, BUSY),
        ("pv", "pv", 96, BUSY),
    ] {
        let mut guest = host.guest(name, kind, mib, program);
        let mut suspended = Vec::new();
        let (mut full, mut increments) = (0.0, Vec::new());
        for round in 0..TRIES {
            let seen = checkpoint(host, name, if round == 0 { "--full" } else { "" });
            suspended.push(number(&seen, "/timeline/suspended_s"));
            if round == 0 {
                full = number(&seen, "/stored_bytes");
            } else {
                increments.push(number(&seen, "/stored_bytes"));
            }
            guest.reports(1);
        }
        let ours = median(&mut suspended);
        let bytes = median(&mut increments) / full;
        let xl_save = seconds(host, &format!("xl save -c {name} /store/xl.save"));
        measures.add(&format!("{name}: suspended by a checkpoint"), "s", ours);
        measures.add(&format!("{name}: xl save -c"), "s", xl_save);
        measures.add(
            &format!("{name}: xl save -c over suspended"),
            "ratio",
            xl_save / ours,
        );
        measures.add(&format!("{name}: increment over full, bytes"), "ratio", bytes);
        if kind == "pvh" {
            let libxc = host.sh(&format!("xen_check libxc-live {name} 2>/dev/null"));
            let libxc = number(&serde_json::from_str(&libxc).expect("JSON"), "/suspended_s");
            measures.add(&format!("{name}: suspended by libxc's live save"), "s", libxc);
            measures.add(&format!("{name}: suspended over libxc's"), "ratio", ours / libxc);
            // One sample each on emulated processors: a guard against going astray, not the comparison itself.
            assert!(
                ours <= 3.0 * libxc,
                "{name}: suspended for {ours} s, by libxc for {libxc} s"
            );
            assert!(
                xl_save >= 50.0 * ours,
                "{name}: suspended for {ours} s, xl save -c takes {xl_save} s"
            );
        }
        if name == "idle" {
            an_increment_suspends_for_less_than_a_full_copy(host, measures, name, ours);
            assert!(
                bytes <= 0.05,
                "an increment of the idle guest is {bytes} of its full checkpoint"
            );
        }
        guest.lose();
        let ours = seconds(host, &format!("revenant restore {name} --store /store/s"));
        guest.reports(2);
        host.sh(&format!("xl destroy {name}"));
        let xl = seconds(host, "xl restore /store/xl.save");
        measures.add(&format!("{name}: restore"), "s", ours);
        measures.add(&format!("{name}: xl restore"), "s", xl);
        measures.add(&format!("{name}: restore over xl restore"), "ratio", ours / xl);
        host.sh(&format!("xl destroy {name}; rm /store/xl.save"));
    }
}

fn an_increment_suspends_for_less_than_a_full_copy(
    host: &Host,
    measures: &mut Measures,
    guest: &str,
    increment_s: f64,
) {
    let stopped = checkpoint(host, guest, "--stop --full");
    let full_s = number(&stopped, "/timeline/suspended_s");
    measures.add(
        &format!("{guest}: suspended by a full stop-and-copy"),
        "s",
        full_s,
    );
    measures.add(
        &format!("{guest}: live increment over full stop-and-copy, suspended"),
        "ratio",
        increment_s / full_s,
    );
    assert!(
        increment_s <= 0.05 * full_s,
        "an increment suspends for {increment_s} s, a full copy for {full_s} s"
    );
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Live checkpoints at random moments; each is restored after the guest was destroyed, and goes on as the program
/// demands. What is exported satisfies Xen's own checker.
fn every_checkpoint_of_a_busy_guest_goes_on_right(host: &Host, lab: &mut Lab, scratch: &Path) {
    let mut guest = host.guest("moments", "pvh", 128, BUSY);
    for round in 0..rounds(20) {
        sleep(lab.moment(1500));
        let seen = checkpoint(host, "moments", "--live");
        let id = seen["id"].as_str().expect("an id");
        guest.lose();
        host.sh(&format!("revenant restore {id} --store /store/s"));
        guest.reports(2);
        if round == 0 {
            host.sh(&format!(
                "revenant export {id} --store /store/s --output /tmp/stream"
            ));
            host.pull("/tmp/stream", scratch);
            host.sh("rm /tmp/stream");
            xens_checker_accepts(&scratch.join("stream"));
            host.sh("revenant prune --store /store/s --keep-last 2");
        }
    }
    assert_eq!(guest.boots(), 1, "the guest was started anew");
    host.sh("revenant verify --store /store/s && xl destroy moments");
    row_of(
        "moments",
        "a guest is destroyed after a live checkpoint at a random moment, and restored",
        rounds(20),
        "it goes on as its program demands; Xen's checker accepts the exported stream",
    );
}

/// A guest that writes its disk all the time and remembers what it wrote: after each restore, whichever of memory and disk
/// had gone on, both are of one instant again. The disks of PVH and PV guests alike.
fn memory_and_disk_are_of_one_instant(host: &Host, lab: &mut Lab) {
    host.sh("truncate -s 8M /tmp/disk.img && losetup /dev/loop7 /tmp/disk.img && dmsetup create gdisk --table '0 16384 linear /dev/loop7 0' && dmsetup mknodes gdisk && ls /dev/mapper/gdisk");
    for (name, kind, mib) in [("diskpvh", "pvh", 128), ("diskpv", "pv", 96)] {
        let arguments = format!("{BUSY},--disk,/dev/xvda /dev/mapper/gdisk");
        let mut guest = host.guest(name, kind, mib, &arguments);
        for round in 0..rounds(3) {
            let seen = checkpoint(host, name, "");
            assert_eq!(seen["disks"].as_array().map(Vec::len), Some(1), "{seen}");
            lab.measures.add(
                &format!("{name}: suspended with its disk"),
                "s",
                number(&seen, "/timeline/suspended_s"),
            );
            sleep(lab.moment(1500));
            guest.reports(1);
            guest.lose();
            if round == 0 {
                a_disk_is_written_only_if_all_is_well(host, name);
            }
            host.sh(&format!("revenant restore {name} --store /store/s"));
            guest.reports(3);
        }
        assert_eq!(guest.boots(), 1, "the guest was started anew");
        host.sh(&format!("xl destroy {name}"));
    }
    row_of(
        "disk",
        "a guest that writes its disk all the time is destroyed and restored, PVH and PV",
        2 * rounds(3),
        "memory and disk are of one instant; a disk that is not known here or is in use stays untouched",
    );
}

/// A disk that this host does not know to be the guest's, or that something else is on, is left alone, and no domain is left.
fn a_disk_is_written_only_if_all_is_well(host: &Host, name: &str) {
    let restore = |options: &str| {
        let said = host.try_sh(&format!("revenant restore {name} --store /store/s {options}"));
        let left = host.sh("xl list");
        assert!(!left.contains(name), "{left}");
        said
    };
    host.sh(&format!("mv /etc/xen/{name}.cfg /tmp/"));
    let (done, said) = restore("");
    assert!(!done && said.contains("--allow-disk /dev/mapper/gdisk"), "{said}");
    host.sh("dmsetup create holds --table '0 16384 linear /dev/mapper/gdisk 0'");
    let (done, said) = restore("--allow-disk '/dev/mapper/g*'");
    assert!(
        !done && said.contains("xvda (/dev/mapper/gdisk) is untouched"),
        "{said}"
    );
    host.sh(&format!("dmsetup remove holds; mv /tmp/{name}.cfg /etc/xen/"));
}

/// `verify-stream-v2` of Debian's xen-utils, where it can be had.
fn xens_checker_accepts(stream: &Path) {
    let Some(checker) = std::env::var_os("REVENANT_STREAM_CHECKER") else {
        println!("REVENANT_STREAM_CHECKER is not set: the stream was not checked by Xen's own checker");
        return;
    };
    let checked = std::process::Command::new(checker)
        .args(["-i".as_ref(), stream.as_os_str(), "-f".as_ref(), "xl".as_ref()])
        .output()
        .expect("run the checker");
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
}

/// Our process is killed at random moments of a capture: the guest goes on within 2 s, and the next checkpoint is right.
fn the_guest_outlives_our_process(host: &Host, lab: &mut Lab) {
    let mut guest = host.guest("outlives", "pvh", 128, BUSY);
    checkpoint(host, "outlives", "");
    let mut pauses = Vec::new();
    for round in 0..rounds(30) {
        let ms = lab.draws.random_range(0..4500);
        // The step of the last report when the process was killed, and how long until a later one was printed.
        let said = host.sh(&format!(
            "revenant checkpoint outlives --store /store/s --init >/dev/null 2>&1 & p=$!; usleep {us}; kill -9 $p 2>/dev/null
             l=/var/log/xen/console/guest-outlives.log; a=$(cut -d' ' -f1 /proc/uptime); n=$(wc -l < $l); i=0
             while [ $(wc -l < $l) -le $n ] && [ $i -lt 400 ]; do usleep 50000; i=$((i + 1)); done
             echo $a $(cut -d' ' -f1 /proc/uptime)",
            us = ms * 1000
        ));
        let times: Vec<f64> = said
            .split_whitespace()
            .map(|word| word.parse().expect("a time"))
            .collect();
        pauses.push(times[1] - times[0]);
        guest.look();
        checkpoint(host, "outlives", "");
        if round % 5 == 4 {
            guest.lose();
            host.sh("revenant restore outlives --store /store/s");
        }
        guest.reports(1);
    }
    let longest = pauses.iter().copied().fold(0.0, f64::max);
    lab.measures
        .spread("silence of the guest after our process was killed", "s", pauses);
    assert!(
        longest <= 2.0,
        "the guest was silent for {longest} s after our process was killed"
    );
    assert_eq!(guest.boots(), 1, "the guest was started anew");
    host.sh("revenant prune --store /store/s --keep-last 1; revenant verify --store /store/s; xl destroy outlives");
    row_of(
        "kills",
        "kill -9 of the checkpointing process at a random moment",
        rounds(30),
        "the guest goes on within 2 s, the next checkpoint is right",
    );
}

/// A store that is full: the capture fails, the guest runs on, what was there stays, and with room it works again.
fn a_full_store_stops_nothing(host: &Host, lab: &mut Lab) {
    let mut guest = host.guest("full", "pvh", 128, BUSY);
    host.sh("mkdir -p /full && mount -t tmpfs -o size=96m tmpfs /full && revenant checkpoint full --store /full/s --init");
    for _ in 0..rounds(10) {
        let kib = lab.draws.random_range(64..12_000);
        host.sh(&format!(
            "free=$(df -k /full | awk 'END {{ print $4 }}'); dd if=/dev/zero of=/full/ballast bs=1k count=$((free - {kib})) 2>/dev/null"
        ));
        let (done, said) = host.try_sh("revenant checkpoint full --store /full/s --init");
        assert!(!done, "a checkpoint was made on a full medium: {said}");
        assert!(said.contains("free") || said.contains("space"), "{said}");
        host.sh("revenant verify --store /full/s && rm /full/ballast");
        guest.reports(1);
    }
    host.sh("revenant checkpoint full --store /full/s --init");
    // What it says after the capture is what the restore takes back.
    guest.new_reports(2);
    guest.lose();
    host.sh("revenant restore full --store /full/s");
    guest.reports(2);
    assert_eq!(
        (guest.boots(), guest.went_back()),
        (1, 1),
        "restored once, never started anew"
    );
    host.sh("xl destroy full; umount /full");
    row_of(
        "full",
        "the store is full in the middle of a checkpoint",
        rounds(10),
        "the guest runs on, what was there stays whole, with room the next one works",
    );
}

/// A kernel that does not listen to suspend requests.
fn a_guest_that_does_not_answer_runs_on(host: &Host) {
    let arguments = format!("{BUSY} '' initcall_blacklist=xen_setup_shutdown_event");
    let mut guest = host.guest("deaf", "pv", 96, &arguments);
    for _ in 0..rounds(5) {
        let (done, said) =
            host.try_sh("revenant checkpoint deaf --store /store/s --init --suspend-timeout 2s");
        assert!(!done && said.contains("no answer"), "{said}");
        let left = host.sh("xenstore-read /local/domain/$(xl domid deaf)/control/shutdown");
        assert_eq!(left.trim(), "", "the request was not withdrawn");
        guest.reports(2);
    }
    host.sh("xl destroy deaf");
    row_of(
        "deaf",
        "a guest that does not answer a suspend request",
        rounds(5),
        "the checkpoint fails in time, the request is withdrawn, the guest runs on",
    );
}

/// Crash, destruction, hang: noticed, restarted from the newest checkpoint, no more lost than an interval and a capture.
fn a_protected_guest_comes_back_by_itself(host: &Host, lab: &mut Lab) {
    let mut guest = host.guest("kept", "pvh", 128, BUSY);
    host.sh(&format!(
        "rm -f /tmp/kept.log; setsid revenant protect kept --store /store/s --init --interval {INTERVAL_S}s --keep-last 2 \
         --hang-timeout {HANG_S}s --progress-file /var/log/xen/console/guest-kept.log --log /tmp/kept.log \
         </dev/null >/tmp/protect.out 2>&1 & echo $! > /tmp/kept.pid"
    ));
    let mut log = EventLog::of("kept");
    for blow in ["panic", "destroy", "hang"] {
        let (mut recoveries, mut lost_work) = (Vec::new(), Vec::new());
        for _ in 0..rounds(10) {
            log.wait(host, &mut guest, "captured");
            sleep(lab.moment(4000));
            guest.look();
            match blow {
                "destroy" => drop(host.sh("xl destroy kept")),
                order => guest.order(order),
            }
            let struck_after = log.wait(host, &mut guest, "lost");
            let restored = log.wait(host, &mut guest, "restored");
            let seen = number(&restored, "/since_noticed_s");
            recoveries.push(seen);
            let captured = log.capture_of(&restored);
            // The checkpoint is of an instant between the beginning and the end of its capture.
            let of = number(&captured, "/at") - number(&captured, "/total_s");
            let hang = if blow == "hang" { HANG_S } else { 0.0 };
            let lost = number(&struck_after, "/at") - hang - of;
            lost_work.push(lost);
            // The capture that the blow cut short is in no record, and may have been slower than those that are: by half, on a
            // machine that does other things besides.
            let most = INTERVAL_S + 1.0 + 3.0 * log.longest_capture();
            assert!(lost <= most, "{blow}: lost {lost} s of work, {most} s allowed");
            guest.reports(2);
        }
        lab.measures
            .spread(&format!("{blow}: from notice to running"), "s", recoveries);
        lab.measures.spread(&format!("{blow}: work lost"), "s", lost_work);
    }
    assert_eq!(guest.boots(), 1, "the guest was started anew");
    host.sh("kill $(cat /tmp/kept.pid); sleep 2; xl destroy kept");
    row_of(
        "protect",
        "a protected guest panics, is destroyed, or hangs",
        format!("{} of each", rounds(10)),
        "noticed and restarted, no more lost than an interval and a capture",
    );
}

/// A guest, the process that protects it, and what its rule keeps.
struct Kept<'a> {
    name: &'static str,
    keep_last: usize,
    guest: Guest<'a>,
    log: EventLog,
}

/// What happens to one of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    /// The guest panics.
    Panic,
    /// Its protector is killed, and started again.
    Killed,
    /// Its domain is destroyed.
    Destroyed,
    /// Somebody prunes its checkpoints by hand.
    Pruned,
}

impl Blow {
    const ALL: [Blow; 4] = [Blow::Panic, Blow::Killed, Blow::Destroyed, Blow::Pruned];

    fn takes_the_guest(self) -> bool {
        matches!(self, Blow::Panic | Blow::Destroyed)
    }
}

impl Kept<'_> {
    fn protect(&self, host: &Host) {
        let (name, keep_last) = (self.name, self.keep_last);
        host.sh(&format!(
            "setsid revenant protect {name} --store /store/both --init --interval {INTERVAL_S}s --keep-last {keep_last} \
             --log /tmp/{name}.log </dev/null >/tmp/{name}.out 2>&1 & echo $! > /tmp/{name}.pid"
        ));
    }

    fn strike(&self, host: &Host, lab: &mut Lab, blow: Blow) {
        match blow {
            Blow::Panic => self.guest.order("panic"),
            Blow::Destroyed => drop(host.sh(&format!("xl destroy {}", self.name))),
            Blow::Killed => {
                host.sh(&format!("kill -9 $(cat /tmp/{}.pid)", self.name));
                sleep(lab.moment(2000));
                self.protect(host);
            }
            Blow::Pruned => drop(host.sh(&format!(
                "revenant prune --store /store/both --guest {} --keep-last {} --wait 1min",
                self.name, self.keep_last
            ))),
        }
    }

    /// How many of its checkpoints in a catalogue are in no journal.
    fn untold(&self, listed: &str) -> usize {
        let json = &listed[listed.find('{').expect("a catalogue as JSON")..];
        let mut values = serde_json::Deserializer::from_str(json).into_iter::<Value>();
        let catalogue = values.next().expect("a value").expect("a catalogue as JSON");
        let there = catalogue["checkpoints"].as_array().expect("a list");
        let is_told = |info: &Value| {
            self.log
                .events
                .iter()
                .any(|event| event["checkpoint"] == info["id"])
        };
        let own = there.iter().filter(|info| info["guest"] == self.name);
        own.filter(|info| !is_told(info)).count()
    }

    /// The newest checkpoints that its rule keeps, oldest first.
    fn owed(&self) -> Vec<String> {
        let captured = self
            .log
            .events
            .iter()
            .filter(|event| event["event"] == "captured");
        let ids: Vec<String> = captured
            .filter_map(|event| event["checkpoint"].as_str().map(str::to_owned))
            .collect();
        ids[ids.len().saturating_sub(self.keep_last)..].to_vec()
    }
}

/// Two guests in one store, each protected by a process with rules of its own, while guests crash and are destroyed, and
/// protectors are killed: neither loses a checkpoint that its own rules keep.
fn two_protectors_keep_what_is_theirs(host: &Host, lab: &mut Lab) {
    let length = Duration::from_secs(u64::from(rounds(600)));
    let mut both =
        [("left", "pvh", 112, 2), ("right", "pv", 96, 5)].map(|(name, kind, mib, keep_last)| Kept {
            name,
            keep_last,
            guest: host.guest(name, kind, mib, BUSY),
            log: EventLog::of(name),
        });
    for kept in &both {
        host.sh(&format!("rm -f /tmp/{}.log", kept.name));
        kept.protect(host);
    }
    let begun = now();
    let (mut looks, mut blows) = (0, [0_u32; 4]);
    for round in 0.. {
        if begun.elapsed() > length && round >= 4 {
            break;
        }
        let (struck, blow) = (round % 2, (round / 2 + round) % 4);
        blows[blow] += 1;
        let blow = Blow::ALL[blow];
        let kept = &mut both[struck];
        kept.log.wait(host, &mut kept.guest, "captured");
        sleep(lab.moment(3000));
        kept.guest.look();
        kept.strike(host, lab, blow);
        if blow.takes_the_guest() {
            kept.log.wait(host, &mut kept.guest, "restored");
        }
        kept.guest.reports(1);
        looks += look_at_both(host, &mut both);
    }
    for kept in &mut both {
        kept.guest.reports(2);
        assert_eq!(kept.guest.boots(), 1, "{} was started anew", kept.name);
        host.sh(&format!(
            "kill $(cat /tmp/{}.pid); sleep 2; xl destroy {}",
            kept.name, kept.name
        ));
    }
    looks += look_at_both(host, &mut both);
    host.sh("revenant verify --store /store/both && rm -rf /store/both");
    let captured = |kept: &Kept<'_>| {
        kept.log
            .events
            .iter()
            .filter(|event| event["event"] == "captured")
            .count()
    };
    let [panics, kills, destroyed, prunes] = blows;
    row_of(
        "beside",
        "two guests in one store, protected at once with rules of their own",
        format!(
            "{} s: {} and {} checkpoints, {panics} panics, {destroyed} destroyed domains, {kills} killed protectors, {prunes} prunes by hand, {looks} looks",
            begun.elapsed().as_secs(),
            captured(&both[0]),
            captured(&both[1])
        ),
        "neither loses a checkpoint that its own rules keep; each guest comes back",
    );
}

/// Holds the store against what each protector has committed: the newest of each by its own rule are there. Gives how many
/// checkpoints were looked for.
fn look_at_both(host: &Host, both: &mut [Kept<'_>]) -> usize {
    for kept in both.iter_mut() {
        kept.log.read(host);
    }
    let before: Vec<Vec<String>> = both.iter().map(Kept::owed).collect();
    let listed = host.sh("revenant list --store /store/both --json --wait 1min");
    for kept in both.iter_mut() {
        kept.log.read(host);
    }
    let mut looked_for = 0;
    for (kept, before) in both.iter().zip(before) {
        // One that was pruned meanwhile is not among the newest any more; and a protector that was killed between a commit and
        // its entry in the journal has made one more than that tells of.
        let after = kept.owed();
        let untold = kept.untold(&listed);
        let still = |id: &&String| after.iter().skip(untold).any(|after| after == *id);
        for id in before.iter().filter(still) {
            assert!(
                listed.contains(id.as_str()),
                "{} lost {id}, of {after:?}: {listed}",
                kept.name
            );
            looked_for += 1;
        }
    }
    looked_for
}

/// The journal of `revenant protect`.
#[derive(Debug)]
struct EventLog {
    path: String,
    events: Vec<Value>,
    seen: usize,
}

impl EventLog {
    /// Of a guest's protection, from its beginning.
    fn of(guest: &str) -> Self {
        EventLog {
            path: format!("/tmp/{guest}.log"),
            events: Vec::new(),
            seen: 0,
        }
    }

    fn read(&mut self, host: &Host) {
        let (_, text) = host.try_sh(&format!("tail -n +{} {}", self.events.len() + 1, self.path));
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        self.events.extend(lines);
    }

    /// The next event of this kind after the last that was waited for.
    fn wait(&mut self, host: &Host, guest: &mut Guest<'_>, kind: &str) -> Value {
        let begun = now();
        loop {
            self.read(host);
            if let Some(at) = self.events[self.seen..]
                .iter()
                .position(|event| event["event"] == kind)
            {
                self.seen += at + 1;
                return self.events[self.seen - 1].clone();
            }
            assert!(
                begun.elapsed() < Duration::from_secs(120),
                "no {kind}: {:?}\n{}",
                self.events.iter().rev().take(5).collect::<Vec<_>>(),
                host.try_sh("tail -n 5 /tmp/*.out; xl list").1
            );
            guest.look();
            sleep(Duration::from_millis(300));
        }
    }

    /// The capture of the checkpoint that was restored.
    fn capture_of(&self, restored: &Value) -> Value {
        let is_it =
            |event: &&Value| event["event"] == "captured" && event["checkpoint"] == restored["checkpoint"];
        let found = self.events.iter().find(is_it);
        found.expect("it was captured in this protection").clone()
    }

    fn longest_capture(&self) -> f64 {
        self.events
            .iter()
            .filter_map(|event| event["total_s"].as_f64())
            .fold(0.0, f64::max)
    }
}

/// The host loses power at any moment, in the middle of capture or commit too: another host opens the disk, finds every
/// committed checkpoint whole, and the guest goes on there.
fn another_host_takes_over_after_a_power_loss(lab: &mut Lab) {
    let names = ["one", "two"];
    let mut host = Host::boot(names[0], &lab.programs, &lab.disk);
    host.sh("mount /dev/vda /store; rm -rf /store/s");
    drop(host.guest("moved", "pvh", 128, BUSY));
    let (mut committed, mut recoveries) = (0, Vec::new());
    for round in 1..=rounds(10) as usize {
        host.sh(
            "setsid revenant protect moved --store /store/s --init --interval 1s --keep-last 50 --log /store/moved.log \
             </dev/null >/tmp/moved.out 2>&1 & true",
        );
        let mut guest = Guest::there(&host, "moved");
        guest.skip();
        guest.reports(2);
        // Once one more than before is committed, any moment is as good as another.
        loop {
            let (_, said) = host.try_sh("revenant list --store /store/s --json");
            let listed = listed(&said);
            if listed > committed {
                committed = listed;
                break;
            }
            sleep(Duration::from_millis(300));
        }
        sleep(lab.moment(6000));
        guest.look();
        host.kill();
        let begun = now();
        drop(host);
        host = Host::boot(names[round % 2], &lab.programs, &lab.disk);
        host.sh("mount /dev/vda /store");
        let whole = host.sh("revenant verify --store /store/s --json && revenant list --store /store/s --json > /tmp/list && cat /tmp/list");
        let after = listed(whole.rsplit_once("}\n{").map_or(whole.as_str(), |(_, list)| list));
        assert!(
            after >= committed,
            "{committed} checkpoints were committed, {after} are there"
        );
        committed = after;
        host.sh("revenant restore moved --store /store/s");
        let mut guest = Guest::there(&host, "moved");
        guest.reports(2);
        assert_eq!(guest.boots(), 1);
        recoveries.push(begun.elapsed().as_secs_f64());
    }
    lab.measures.spread(
        "power loss: from the plug to the guest on a host that had to boot",
        "s",
        recoveries,
    );
    row_of(
        "power",
        "power loss of the host at a random moment of protection",
        rounds(10),
        "every committed checkpoint is whole on another host, and the guest goes on there",
    );
}

/// Two hosts share a store over NFS. The one that stands by, which serves it, does nothing while the other lives; when the other
/// has lost power it makes sure of that by its fence, and restarts the guest.
fn the_host_that_stands_by_takes_over(lab: &mut Lab, scratch: &Path) {
    const LEASE_S: u64 = 30;
    let disk = |name: &str| scratch.join(format!("{name}.img"));
    let second = Host::boot_linked("two", "one", &lab.programs, &disk("two"));
    second.sh(
        "mkfs.ext4 -q /dev/vda && mount /dev/vda /store && nfs serve /store && nfs mount 127.0.0.1 /share",
    );
    let first = Host::boot_linked("one", "two", &lab.programs, &disk("one"));
    first.sh("nfs mount 10.0.0.2 /share");
    drop(first.guest("shared", "pvh", 128, BUSY));
    let protect = |host: &Host, options: &str| {
        host.sh(&format!(
            "setsid revenant protect shared --store /share/s --init --interval {INTERVAL_S}s {options} </dev/null \
             >/tmp/protect.out 2>&1 & true"
        ));
    };
    protect(&first, "--log /tmp/kept.log");
    protect(
        &second,
        &format!("--stand-by --lease-timeout {LEASE_S}s --fence 'touch /share/fenced' --log /tmp/kept.log"),
    );
    let mut guest = Guest::there(&first, "shared");
    guest.skip();
    guest.reports(2);
    EventLog::of("kept").wait(&first, &mut guest, "captured");
    sleep(Duration::from_secs(LEASE_S + 5));
    guest.look();
    let is_fenced = || second.try_sh("test -e /share/fenced").0;
    assert!(!is_fenced(), "a living host was fenced");
    first.kill();
    let begun = now();
    let mut guest = Guest::there(&second, "shared");
    EventLog::of("kept").wait(&second, &mut guest, "restored");
    assert!(is_fenced(), "the lost host was not fenced");
    guest.reports(2);
    assert_eq!(guest.boots(), 1);
    lab.measures.add(
        "stand-by: from the plug to the guest on the other host, lease of 30 s",
        "s",
        begun.elapsed().as_secs_f64(),
    );
    // Now this host loses the lease: it ends, and leaves guest and store as they are.
    second.sh("echo 'holder host three' > /share/s/leases/shared.1000");
    let mut log = EventLog::of("kept");
    let lost = log.wait(&second, &mut guest, "lease-lost");
    let by = lost["by"].as_str().expect("who has it now");
    assert!(by.ends_with("(epoch 1000)"), "{by}");
    log.wait(&second, &mut guest, "stopped");
    let before = listed(&second.sh("revenant list --store /share/s --json"));
    guest.reports(2);
    let after = listed(&second.sh("revenant list --store /share/s --json"));
    assert_eq!(before, after, "a checkpoint was made without the lease");
    row_of(
        "stand-by",
        "power loss of a protecting host, the store on NFS; then somebody takes the lease from the one that stood by",
        1,
        "a living host is left alone, a lost one is fenced and its guest restarted; who lost the lease ends, and makes no checkpoint",
    );
}

/// Checkpoints in a catalogue printed as JSON.
fn listed(json: &str) -> usize {
    json.matches("\"committed\"").count()
}

//! Stores on real file systems, in the rig of machines that have them: what the medium promises, every command, writers
//! beside a prune, killed processes, power losses, and leases between clients of a server. Needs QEMU and Debian's packages, and minutes:
//!
//! ```sh
//! cargo test -p revenant-tests --test stores_on_real_file_systems -- --ignored --nocapture
//! ```
//!
//! `REVENANT_RIG_PERCENT` scales the number of rounds, `REVENANT_RIG_ONLY=conforms,power` runs some parts only. Each prints
//! the rows of docs/reliability.md that it is for.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use revenant_tests::machine::{Job, Machine};
use revenant_tests::reliability;
use revenant_tests::rig::{now, root, rounds};
use revenant_xen_format::testing::{Recipe, Shape};
use revenant_xen_format::{Container, GuestType};

/// The file systems, and where each is mounted a second time for another client; the same place if it is not.
const MOUNTS: [(&str, &str); 5] = [
    ("ext4", "ext4"),
    ("xfs", "xfs"),
    ("nfs", "nfs-other"),
    ("fuse", "fuse"),
    ("9p", "9p"),
];
/// Those whose disk is the machine's own, so that it loses power with it.
const DISKS: [&str; 3] = ["ext4", "xfs", "nfs"];
/// What a prune beside writers leaves of each guest.
const KEPT: u32 = 3;
/// How long a writer may take for its first commit: emulated processors are slow, and may be shared.
const PATIENCE: Duration = Duration::from_mins(10);
/// Exit status of a lock that another holds.
const BUSY: i32 = 4;
/// How long a lease may be silent. `protect` has half of it by default, but a renewal takes an emulated machine seconds if
/// other work is on its processors, too.
const TERM: Duration = Duration::from_secs(30);

struct Lab {
    scratch: tempfile::TempDir,
    programs: Vec<PathBuf>,
    draws: Xoshiro256PlusPlus,
}

impl Lab {
    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn moment(&mut self, most_ms: u64) -> Duration {
        Duration::from_millis(self.draws.random_range(0..most_ms))
    }

    /// Boots a machine of the rig with its disks as they are, linked to the other one.
    fn boot(&self, name: &str, other: &str, disks: &[&str]) -> Machine {
        let disks: Vec<String> = disks
            .iter()
            .map(|disk| format!("{},1G,lossy", self.path(disk).display()))
            .collect();
        let share = self.path("share").display().to_string();
        let mut options = vec!["--share", &share, "--link", other];
        for disk in &disks {
            options.extend(["--disk", disk]);
        }
        let state = self.path("rig");
        let rig = root().join("tests/rig-fs/rig");
        let machine = Machine::boot(name, rig, &[("REVENANT_RIG_STATE", &state)], &options);
        machine.push(&self.programs);
        machine
    }

    /// The machine with all file systems.
    fn server(&self) -> Machine {
        let machine = self.boot("one", "two", &["vda", "vdb", "vdc"]);
        machine.sh("file-systems local && file-systems serve");
        machine
    }
}

/// Builds what runs in the machines.
fn programs(into: &Path) -> Vec<PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo
        .args([
            "build",
            "--locked",
            "--quiet",
            "-p",
            "revenant",
            "-p",
            "revenant-tests",
        ])
        .args(["--bin", "revenant", "--example", "store_check"])
        .current_dir(root());
    assert!(cargo.status().expect("run cargo").success(), "cargo build");
    let built = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    // What a debugger would want of them is five times what runs, and the machines are small.
    let strip = |from: &str, name: &str| {
        let to = into.join(name);
        let mut strip = Command::new("strip");
        strip.arg("-o").arg(&to).arg(built.join(from));
        assert!(strip.status().expect("run strip").success(), "strip {from}");
        to
    };
    vec![
        strip("debug/revenant", "revenant"),
        strip("debug/examples/store_check", "store_check"),
    ]
}

/// A row of docs/reliability.md that a part of this test gives.
fn row(fault: &str, count: impl std::fmt::Display, outcome: &str, part: &str) {
    reliability::row(
        fault,
        count,
        outcome,
        &format!("REVENANT_RIG_ONLY={part} .ci/full file-systems"),
    );
}

/// One test, because all of it is one boot of emulated machines after the other.
#[test]
#[ignore = "boots machines in QEMU and takes minutes"]
fn stores_on_real_file_systems() {
    let scratch = tempfile::tempdir().expect("a directory");
    fs::create_dir(scratch.path().join("share")).expect("a directory");
    let mut lab = Lab {
        programs: programs(scratch.path()),
        scratch,
        draws: Xoshiro256PlusPlus::seed_from_u64(20_061_117),
    };
    let begun = now();
    let only = std::env::var("REVENANT_RIG_ONLY").ok();
    let wanted = |name: &str| {
        only.as_ref()
            .is_none_or(|only| only.split(',').any(|one| one == name))
    };
    let timed = |name: &str, part: &mut dyn FnMut()| {
        if wanted(name) {
            part();
            println!("--- {name}: at {} s", begun.elapsed().as_secs());
        }
    };
    if ["conforms", "commands", "beside", "kills"]
        .into_iter()
        .any(wanted)
    {
        let machine = lab.server();
        println!("--- booted: at {} s", begun.elapsed().as_secs());
        timed("conforms", &mut || the_contract_of_the_medium_holds(&machine));
        timed("commands", &mut || every_command_works(&machine, &lab));
        timed("beside", &mut || writers_and_prunes_get_on(&machine, &lab));
        timed("kills", &mut || {
            killed_writers_leave_nothing_half_made(&machine, &mut lab);
        });
    }
    timed("power", &mut || a_power_loss_takes_nothing_acknowledged(&mut lab));
    timed("careless", &mut || a_disk_that_lies_is_noticed(&mut lab));
    timed("clients", &mut || two_machines_share_an_export(&mut lab));
    timed("leases", &mut || a_guest_has_one_protector(&lab));
}

/// Each clause on each file system, and locks between processes and between clients.
fn the_contract_of_the_medium_holds(machine: &Machine) {
    for (mount, other) in MOUNTS {
        let (fine, said) = machine.try_sh(&format!("store_check conforms /fs/{mount}/conforms"));
        assert!(fine, "{mount}: {said}");
        row(
            &format!("{mount}: the contract of the medium, clause by clause"),
            said.lines().filter(|line| line.starts_with("holds")).count(),
            "all hold",
            "conforms",
        );
        let mut asked = 0;
        for (held, wanted, free) in [
            ("shared", "shared", true),
            ("shared", "exclusive", false),
            ("exclusive", "shared", false),
            ("exclusive", "exclusive", false),
        ] {
            let said = machine.sh(&format!(
                "mkdir -p /fs/{mount}/locks; store_check lock /fs/{mount}/locks {held} 600000 >/tmp/held & holder=$!
                 until grep -q held /tmp/held; do usleep 50000; kill -0 $holder || exit 1; done
                 store_check lock /fs/{other}/locks {wanted} 0 >/dev/null; echo $?
                 kill -9 $holder; wait $holder; rm /tmp/held
                 store_check lock /fs/{other}/locks exclusive 0 >/dev/null; echo $?"
            ));
            let expected = if free { 0 } else { BUSY };
            assert_eq!(
                said.split_whitespace().collect::<Vec<_>>(),
                [&expected.to_string(), "0"],
                "{mount}: {held} is held, {wanted} is asked for at {other}; then the holder is killed"
            );
            asked += 2;
        }
        row(
            &format!("{mount}: a lock is asked for that another process, at {other}, holds or died with"),
            asked,
            "taken or refused as it should be",
            "conforms",
        );
    }
}

/// Writes a save file that no Xen has written.
fn save_file(path: &Path, seed: u64) {
    let recipe = Recipe {
        guest: GuestType::Hvm,
        version: 3,
        container: Container::XlSaveFile,
        shape: Shape::Plain,
        frames: 600,
        per_record: 256,
        seed,
    };
    let mut file = fs::File::create(path).expect("make the file");
    file.write_all(&recipe.build().bytes).expect("write the file");
}

/// A life of a store by the commands, and what comes out is what went in.
fn every_command_works(machine: &Machine, lab: &Lab) {
    for (name, seed) in [("first", 2), ("second", 4)] {
        save_file(&lab.path("share").join(name), seed);
    }
    for (mount, other) in MOUNTS {
        let script = format!(
            "set -ex; cd /tmp; s=/fs/{mount}/store; o=/fs/{other}/copy; rm -rf $s $o
             id() {{ revenant list --store $1 | awk 'END {{ print $1 }}'; }}
             revenant import /share/first --store $s --name guest --init
             revenant import /share/first --store $s --name guest
             revenant import /share/second --store $s --name guest
             revenant verify --store $s
             revenant export $(id $s) --store $s --output /tmp/second
             revenant copy guest --store $s --to $o --init
             revenant verify --store $o
             revenant export $(id $o) --store $o --output /tmp/copied
             cmp /tmp/second /tmp/copied
             revenant prune --store $s --keep-last 1
             revenant verify --store $s
             revenant doctor --store $s >/tmp/doctor
             [ -z \"$(grep '^store' /tmp/doctor | grep -Ev '  ok  |does not sync directories')\" ]
             rm -f /tmp/second /fs/{mount}/out; revenant export $(id $s) --store $s --output /fs/{mount}/out
             cmp /fs/{mount}/out /tmp/copied
             revenant import /fs/{mount}/out --store $s --name guest | grep ', 0 new'
             rm -rf $s $o /fs/{mount}/out /tmp/copied"
        );
        let (fine, said) = machine.try_sh(&script);
        assert!(fine, "{mount}: {said}");
        row(
            &format!("{mount}: import, list, verify, export, copy, prune, doctor"),
            script.matches("revenant ").count(),
            "all succeed, what comes out is what went in",
            "commands",
        );
    }
}

/// Starts a writer; its acknowledgements go to a file of this machine.
fn writer(machine: &Machine, lab: &Lab, store: &str, guest: &str, count: u32) -> Job {
    let store_name = store.replace('/', "-");
    let output = lab.path(&format!("acknowledged{store_name}-{guest}"));
    machine.start(&format!("store_check commits {store} {guest} {count}"), &output)
}

fn acknowledged(said: &str) -> usize {
    said.lines()
        .filter(|line| line.starts_with("acknowledged "))
        .count()
}

/// Waits until a writer has committed something.
fn at_work(job: &mut Job) {
    let begun = now();
    while acknowledged(&job.said()) == 0 {
        assert!(
            job.runs() && begun.elapsed() < PATIENCE,
            "a writer: {}",
            job.said()
        );
        sleep(Duration::from_millis(50));
    }
}

/// All that was acknowledged is there, and right, and nothing else; what the judge said.
fn judge(machine: &Machine, lab: &Lab, store: &str, said: &str, kept: Option<u32>) -> (bool, String) {
    fs::write(lab.path("share").join("acknowledged"), said).expect("write the file");
    let kept = kept.map_or_else(String::new, |kept| kept.to_string());
    machine.try_sh(&format!("store_check judge {store} /share/acknowledged {kept}"))
}

/// Starts prunes of a store, one after the other.
fn pruner(machine: &Machine, lab: &Lab, store: &str) -> Job {
    let script = format!("store_check prunes {store} {KEPT} 10000");
    machine.start(&script, &lab.path("pruned"))
}

/// Two processes commit to one store, at two mounts if there are two, while a third prunes it.
fn writers_and_prunes_get_on(machine: &Machine, lab: &Lab) {
    let commits = rounds(100).max(12);
    for (mount, other) in MOUNTS {
        machine.sh(&format!("rm -rf /fs/{mount}/beside"));
        let mut first = writer(machine, lab, &format!("/fs/{mount}/beside"), "first", commits);
        at_work(&mut first);
        let mut pruner = pruner(machine, lab, &format!("/fs/{other}/beside"));
        let second = writer(machine, lab, &format!("/fs/{other}/beside"), "second", commits);
        let mut said = String::new();
        for job in [first, second] {
            let (status, lines) = job.end();
            assert_eq!(status, Some(0), "{mount}: {lines}");
            said += &lines;
        }
        // One more that sees all of them; then it is killed wherever it is.
        let prunes = |pruner: &Job| pruner.said().matches("pruned").count();
        let (before, begun) = (prunes(&pruner), now());
        while prunes(&pruner) < before + 2 {
            assert!(
                pruner.runs() && begun.elapsed() < PATIENCE,
                "{mount}: {}",
                pruner.said()
            );
            sleep(Duration::from_millis(50));
        }
        machine.sh("killall -9 store_check");
        let prunes = prunes(&pruner);
        let (fine, verdict) = judge(machine, lab, &format!("/fs/{mount}/beside"), &said, Some(KEPT));
        assert!(fine, "{mount}: {verdict}");
        row(
            &format!("{mount}: two processes commit, a third prunes, at {mount} and {other}"),
            format!("commits: {}, prunes: {prunes}", acknowledged(&said)),
            &format!("nothing lost, nothing damaged: {}", verdict.trim()),
            "beside",
        );
        machine.sh(&format!("rm -rf /fs/{mount}/beside"));
    }
}

/// `kill -9` at any moment of a commit.
fn killed_writers_leave_nothing_half_made(machine: &Machine, lab: &mut Lab) {
    let kills = rounds(40);
    for (mount, _) in MOUNTS {
        let store = format!("/fs/{mount}/killed");
        let mut said = String::new();
        for _ in 0..kills {
            let mut job = writer(machine, lab, &store, "guest", 10_000);
            at_work(&mut job);
            sleep(lab.moment(700));
            machine.sh("killall -9 store_check");
            said += &job.end().1;
        }
        let (fine, verdict) = judge(machine, lab, &store, &said, None);
        assert!(fine, "{mount}: {verdict}");
        machine.sh(&format!(
            "revenant prune --store {store} --keep-last 1 && [ -z \"$(ls {store}/tmp)\" ] && rm -rf {store}"
        ));
        row(
            &format!("{mount}: kill -9 of a writer"),
            kills,
            &format!(
                "nothing half-made is listed, remains are pruned: {}",
                verdict.trim()
            ),
            "kills",
        );
    }
}

/// Writers at work on every disk of the machine, and prunes; then the power goes. What each was told, by file system.
fn lose_power(machine: Machine, lab: &mut Lab) -> Vec<(&'static str, String)> {
    let mut jobs = Vec::new();
    for disk in DISKS {
        let store = format!("/fs/{disk}/power");
        jobs.push((disk, writer(&machine, lab, &store, "guest", 10_000)));
        drop(pruner(&machine, lab, &store));
    }
    for (_, job) in &mut jobs {
        at_work(job);
    }
    sleep(lab.moment(4000));
    drop(machine);
    jobs.into_iter().map(|(disk, job)| (disk, job.end().1)).collect()
}

/// The machine loses power again and again, while commits and prunes go on.
fn a_power_loss_takes_nothing_acknowledged(lab: &mut Lab) {
    let losses = rounds(50);
    let mut said = DISKS.map(|_| String::new());
    let mut last = DISKS.map(|_| String::new());
    for loss in 0..losses {
        let machine = lab.server();
        if loss > 0 {
            check_after_power_loss(&machine, lab, &said, &mut last);
        }
        for (all, (_, new)) in said.iter_mut().zip(lose_power(machine, lab)) {
            all.push_str(&new);
            all.push('\n');
        }
    }
    check_after_power_loss(&lab.server(), lab, &said, &mut last);
    for ((disk, said), last) in DISKS.into_iter().zip(said).zip(last) {
        row(
            &format!("{disk}: power loss of the machine during commits and prunes"),
            format!("power losses: {losses}, commits: {}", acknowledged(&said)),
            &format!(
                "every acknowledged one that the prunes keep is there and right, no other; at the end {}",
                last.trim()
            ),
            "power",
        );
    }
}

fn check_after_power_loss(machine: &Machine, lab: &Lab, said: &[String; 3], last: &mut [String; 3]) {
    for ((disk, said), last) in DISKS.into_iter().zip(said).zip(last) {
        let (fine, verdict) = judge(machine, lab, &format!("/fs/{disk}/power"), said, Some(KEPT));
        assert!(fine, "{disk}: after a power loss: {verdict}");
        *last = verdict;
    }
}

/// The counter-check: a file system that flushes nothing, on the same disk, loses what was acknowledged. If it did not,
/// the power losses above would show nothing.
fn a_disk_that_lies_is_noticed(lab: &mut Lab) {
    let tries = 5;
    for number in 1..=tries {
        let mount = "mkdir -p /fs/liar && mount -o barrier=0 /dev/vda /fs/liar";
        let machine = lab.boot("one", "two", &["liar"]);
        machine.sh(&format!("/usr/bin/mke2fs -q -F -t ext4 /dev/vda && {mount}"));
        let mut job = writer(&machine, lab, "/fs/liar/power", "guest", 10_000);
        at_work(&mut job);
        sleep(lab.moment(4000) + Duration::from_secs(2));
        drop(machine);
        let (_, said) = job.end();
        let machine = lab.boot("one", "two", &["liar"]);
        let (mounted, _) = machine.try_sh(mount);
        if !mounted || !judge(&machine, lab, "/fs/liar/power", &said, None).0 {
            row(
                "counter-check, ext4 without flushes: power loss during commits",
                number,
                &format!(
                    "{} commits were acknowledged, and the loss is noticed",
                    acknowledged(&said)
                ),
                "careless",
            );
            return;
        }
    }
    panic!("a disk that forgets what was not flushed forgot nothing in {tries} power losses");
}

/// A second machine uses the first one's export: the server loses power under it, then it loses power itself.
fn two_machines_share_an_export(lab: &mut Lab) {
    let losses = rounds(10);
    let store = "/fs/nfs/shared";
    let mut said = String::new();
    for _ in 0..losses {
        let server = lab.server();
        let client = lab.boot("two", "one", &[]);
        client.sh("file-systems client 10.0.0.1");
        let mut far = writer(&client, lab, store, "far", 10_000);
        let mut near = writer(&server, lab, store, "near", 10_000);
        drop(pruner(&client, lab, store));
        at_work(&mut far);
        at_work(&mut near);
        sleep(lab.moment(3000));
        drop(server);
        said += &near.end().1;
        said.push('\n');
        let before = acknowledged(&far.said());
        let server = lab.server();
        // The client's mount is a hard one: it waits, and goes on.
        let begun = now();
        while acknowledged(&far.said()) < before + 3 {
            assert!(far.runs(), "the server was away: {}", far.said());
            assert!(
                begun.elapsed() < PATIENCE,
                "the client did not go on: {}",
                far.said()
            );
            sleep(Duration::from_millis(100));
        }
        drop(client);
        said += &far.end().1;
        said.push('\n');
        let (fine, verdict) = judge(&server, lab, store, &said, Some(KEPT));
        assert!(fine, "the server and then the client lost power: {verdict}");
        // Its locks are gone with its lease.
        server.sh(&format!(
            "for try in $(seq 60); do revenant prune --store {store} --keep-last {KEPT} && exit 0; sleep 1; done; exit 1"
        ));
    }
    row(
        "nfs: power loss of the server under another machine's commits and prunes, then of that machine",
        format!("power losses: {losses} of each, commits: {}", acknowledged(&said)),
        "the client goes on when the server is back, its locks go with it; nothing lost, nothing half-made",
        "clients",
    );
}

/// The store of the leases, as the machine's first mount of the export shows it.
const LEASED: &str = "/fs/nfs/leased";

/// Leases over NFS: holders that take a guest from one another, and holders that are stopped or cut off for longer than
/// their term while another stands by.
fn a_guest_has_one_protector(lab: &Lab) {
    let server = lab.server();
    let mut said = String::new();
    take_over_in_turn(&server, lab, &mut said);
    stop_a_holder(&server, lab, &mut said);
    cut_a_holder_off(&server, lab, &mut said);
    locks_of_one_cut_off_are_lost(&server, lab);
}

/// A row of the leases, once everything that any holder was told is there and no epoch comes after a later one.
fn row_of_leases(machine: &Machine, lab: &Lab, said: &str, fault: &str, count: u32, outcome: &str) {
    let (fine, verdict) = judge(machine, lab, LEASED, said, None);
    assert!(fine, "{fault}: {verdict}");
    row(fault, count, &format!("{outcome}: {}", verdict.trim()), "leases");
}

/// Starts who protects the guest at a mount of the export: `takes` the lease or `stands-by`.
fn protector(machine: &Machine, lab: &Lab, mount: &str, how: &str, name: &str) -> Job {
    let script = format!(
        "store_check {how} /fs/{mount}/leased guest {} & echo $! >/tmp/{name}; wait $!",
        TERM.as_millis()
    );
    machine.start(&script, &lab.path(name))
}

/// Waits until a job has said a line that begins so; the rest of it.
fn hear(job: &mut Job, beginning: &str) -> String {
    let begun = now();
    loop {
        let said = job.said();
        if let Some(rest) = said.lines().find_map(|line| line.strip_prefix(beginning)) {
            return rest.trim().to_owned();
        }
        assert!(
            job.runs() && begun.elapsed() < PATIENCE,
            "no word of {beginning}: {said}"
        );
        sleep(Duration::from_millis(50));
    }
}

/// A holder that was deposed by this epoch knows it, and ends because its commit was refused; adds what it said.
fn deposed(job: Job, by: &str, said: &mut String) {
    let (status, last) = job.end();
    assert_eq!(status, Some(0), "{last}");
    for word in ["lost", "refused"] {
        let line = last.lines().find(|line| line.starts_with(word));
        assert!(
            line.is_some_and(|line| line.ends_with(&format!(" {by}"))),
            "deposed by {by}: {last}"
        );
    }
    said.push_str(&last);
}

/// Each takes the lease at the other mount, while its predecessor is at work.
fn take_over_in_turn(machine: &Machine, lab: &Lab, said: &mut String) {
    let turns = rounds(20).max(4);
    let mut holder: Option<Job> = None;
    for turn in 1..=turns {
        let mount = ["nfs", "nfs-other"][turn as usize % 2];
        let mut next = protector(machine, lab, mount, "takes", &format!("turn-{turn}"));
        let epoch = hear(&mut next, "took ");
        assert_eq!(epoch, turn.to_string(), "each epoch is given once");
        at_work(&mut next);
        if let Some(former) = holder.replace(next) {
            deposed(former, &epoch, said);
        }
    }
    machine.sh("killall -9 store_check");
    said.push_str(&holder.expect("somebody has it").end().1);
    row_of_leases(
        machine,
        lab,
        said,
        "nfs: two clients take the lease of a guest from one another, at nfs and nfs-other",
        turns,
        "each epoch is given once, the former holder sees the next one, its commit is refused",
    );
}

/// A holder's process is stopped for longer than its term; before that it is watched while it lives.
fn stop_a_holder(machine: &Machine, lab: &Lab, said: &mut String) {
    let stops = rounds(10);
    for _ in 0..stops {
        let mut holder = protector(machine, lab, "nfs", "takes", "stopped");
        at_work(&mut holder);
        let mut heir = protector(machine, lab, "nfs-other", "stands-by", "heir");
        hear(&mut heir, "watching");
        // Longer than a client lists a folder from memory.
        sleep(TERM * 3);
        assert!(
            !heir.said().contains("lapsed"),
            "its holder lives: {} {}",
            heir.said(),
            holder.said()
        );
        machine.sh("kill -STOP $(cat /tmp/stopped)");
        let begun = now();
        hear(&mut heir, "lapsed ");
        let silent = begun.elapsed();
        assert!(silent > TERM / 2, "taken over after {silent:?} of {TERM:?}");
        let epoch = hear(&mut heir, "took ");
        at_work(&mut heir);
        machine.sh("kill -CONT $(cat /tmp/stopped)");
        deposed(holder, &epoch, said);
        machine.sh("kill -9 $(cat /tmp/heir)");
        said.push_str(&heir.end().1);
    }
    row_of_leases(
        machine,
        lab,
        said,
        "nfs: a holder of a lease lives for three terms, then is stopped for longer than one; another client stands by",
        stops,
        "nobody is taken over who lives; who was stopped is, and when it goes on its commit is refused",
    );
}

/// A holder on another machine loses its network for longer than its term.
fn cut_a_holder_off(server: &Machine, lab: &Lab, said: &mut String) {
    let cuts = rounds(10);
    for _ in 0..cuts {
        let client = lab.boot("two", "one", &[]);
        client.sh("file-systems client 10.0.0.1");
        let mut holder = protector(&client, lab, "nfs", "takes", "cut-off");
        at_work(&mut holder);
        let mut heir = protector(server, lab, "nfs", "stands-by", "heir");
        hear(&mut heir, "watching");
        client.sh("ip link set eth0 down");
        hear(&mut heir, "lapsed ");
        // It knows by itself, and before another acts, that it may not be the holder any more.
        assert!(holder.said().contains("doubtful"), "{}", holder.said());
        let epoch = hear(&mut heir, "took ");
        at_work(&mut heir);
        client.sh("ip link set eth0 up");
        deposed(holder, &epoch, said);
        server.sh("kill -9 $(cat /tmp/heir)");
        said.push_str(&heir.end().1);
    }
    row_of_leases(
        server,
        lab,
        said,
        "nfs: a holder of a lease on another machine loses its network for longer than its term",
        cuts,
        "it doubts before another takes over, learns of it when the network is back, its commit is refused",
    );
}

/// A client that is cut off for longer than the server's lease loses its locks to others, and is told so when it asks.
fn locks_of_one_cut_off_are_lost(server: &Machine, lab: &Lab) {
    let client = lab.boot("two", "one", &[]);
    client.sh("file-systems client 10.0.0.1; mkdir -p /fs/nfs/shared-lock /fs/nfs/exclusive-lock");
    let modes = ["shared", "exclusive"];
    let mut holders = modes.map(|mode| {
        let script = format!("store_check lock /fs/nfs/{mode}-lock {mode} 120000");
        client.start(&script, &lab.path(&format!("{mode}-lock")))
    });
    for holder in &mut holders {
        hear(holder, "held");
    }
    client.sh("ip link set eth0 down");
    for mode in modes {
        server.sh(&format!(
            "for try in $(seq 60); do store_check lock /fs/nfs/{mode}-lock exclusive 0 && exit 0; sleep 1; done; exit 1"
        ));
    }
    client.sh("ip link set eth0 up");
    for holder in holders {
        let (status, said) = holder.end();
        assert_eq!((status, said.as_str()), (Some(0), "held\nlost\n"));
    }
    row(
        "nfs: a lock's holder on another machine loses its network for longer than the server's lease",
        modes.len(),
        "another gets the lock; the holder is told that it is lost before it counts on it again",
        "leases",
    );
}

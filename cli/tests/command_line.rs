//! The command as a person or a script meets it: exit status, what is printed, what is left on disk.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use revenant_xen_format::testing::{Recipe, Shape};
use revenant_xen_format::{Container, GuestType};

fn revenant(args: &[&str], store: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_revenant"))
        .args(args)
        .env("REVENANT_STORE", store)
        .output()
        .unwrap()
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A save file of a few pages, and a folder to work in.
fn save_file(seed: u64) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let recipe = Recipe {
        guest: GuestType::Hvm,
        version: 3,
        container: Container::XlSaveFile,
        shape: Shape::Plain,
        frames: 300,
        per_record: 128,
        seed,
    };
    let file = dir.path().join("guest.save");
    fs::write(&file, recipe.build().bytes).unwrap();
    (dir, file)
}

fn only_id(store: &Path) -> String {
    let listed = revenant(&["list", "--json"], store);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    listed["checkpoints"][0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_lost_checkpoint_and_an_older_copy_of_a_store_are_found() {
    let (dir, file) = save_file(4);
    let (store, backup) = (dir.path().join("store"), dir.path().join("backup"));
    let import = |name| {
        revenant(
            &["import", file.to_str().unwrap(), "--init", "--name", name],
            &store,
        )
    };
    let root = || {
        let verified = revenant(&["verify", "--json"], &store);
        assert_eq!(status(&verified), 0, "{}", stderr(&verified));
        let verified: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
        verified["log"]["root"].as_str().unwrap().to_owned()
    };
    assert_eq!(status(&import("first")), 0);
    let copied = Command::new("cp").arg("-r").args([&store, &backup]).status();
    assert!(copied.unwrap().success());
    let first = root();
    assert_eq!(status(&import("second")), 0);
    let second = root();
    for (root, at, expected) in [
        (&first, &store, 0),
        (&second, &store, 0),
        (&first, &backup, 0),
        (&second, &backup, 3),
    ] {
        let verified = revenant(&["verify", "--expect", root], at);
        assert_eq!(status(&verified), expected, "{}", stderr(&verified));
    }
    assert_eq!(status(&revenant(&["verify", "--expect", "7"], &store)), 2);

    let id = only_id(&store);
    fs::remove_file(store.join("checkpoints").join(&id)).unwrap();
    let verified = revenant(&["verify"], &store);
    assert_eq!(status(&verified), 3);
    assert!(stderr(&verified).contains(&id[..12]), "{}", stderr(&verified));
    let listed = revenant(&["list"], &store);
    assert_eq!(status(&listed), 3);
    assert!(stderr(&listed).contains(&id[..12]), "{}", stderr(&listed));
    let doctor = revenant(&["doctor"], &store);
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(said.contains("1 damaged or lost manifest,"), "{said}");
    assert_ne!(status(&revenant(&["prune", "--keep-last", "1"], &store)), 0);
    let dropped = revenant(&["prune", "--keep-last", "1", "--drop-damaged"], &store);
    assert_eq!(status(&dropped), 0, "{}", stderr(&dropped));
    assert_eq!(status(&revenant(&["verify", "--expect", &second], &store)), 0);
}

#[test]
fn a_save_file_comes_back_byte_for_byte() {
    let (dir, file) = save_file(2);
    let store = dir.path().join("store");
    let imported = revenant(
        &["import", file.to_str().unwrap(), "--init", "--name", "web"],
        &store,
    );
    assert_eq!(status(&imported), 0, "{}", stderr(&imported));
    assert_eq!(status(&revenant(&["verify"], &store)), 0);
    let listed = String::from_utf8(revenant(&["list"], &store).stdout).unwrap();
    assert!(listed.contains("web") && listed.contains("xen-hvm"), "{listed}");
    let id = only_id(&store);
    let back = dir.path().join("back.save");
    assert_eq!(
        status(&revenant(
            &["export", &id[..8], "-o", back.to_str().unwrap()],
            &store
        )),
        0
    );
    assert!(fs::read(&file).unwrap() == fs::read(&back).unwrap());
    // An existing file is not lost to a slip of the hand.
    let refused = revenant(&["export", &id, "-o", back.to_str().unwrap()], &store);
    assert_eq!(status(&refused), 1);
    assert!(stderr(&refused).contains("--force"), "{}", stderr(&refused));
    let piped = revenant(&["export", &id, "-o", "-"], &store);
    assert!(piped.stdout == fs::read(&file).unwrap());
}

#[test]
fn damage_ends_with_status_three_and_names_the_file() {
    let (dir, file) = save_file(4);
    let store = dir.path().join("store");
    revenant(&["import", file.to_str().unwrap(), "--init"], &store);
    let segment = fs::read_dir(store.join("segments"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let name = segment.file_name().unwrap().to_str().unwrap();
    for output in [
        revenant(&["verify"], &store),
        revenant(&["verify", "--json"], &store),
        revenant(&["export", &only_id(&store), "-o", "-"], &store),
    ] {
        assert_eq!(status(&output), 3, "{}", stderr(&output));
        let said = stderr(&output) + &String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(name), "{said}");
    }
    let out = dir.path().join("out.save");
    assert_eq!(
        status(&revenant(
            &["export", &only_id(&store), "-o", out.to_str().unwrap()],
            &store
        )),
        3
    );
    assert!(!out.exists(), "a failed export left a file");
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        2,
        "a failed export left remains"
    );
}

#[test]
fn rubbish_is_refused_with_a_reason() {
    let (dir, file) = save_file(6);
    let store = dir.path().join("store");
    let cut = dir.path().join("cut.save");
    let whole = fs::read(&file).unwrap();
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let import = ["import", cut.to_str().unwrap()];
    for args in [&import[..], &[import[0], import[1], "--init"]] {
        let refused = revenant(args, &store.join("below"));
        let said = stderr(&refused);
        assert_eq!(status(&refused), 1, "{said}");
        if args.len() == 3 {
            assert!(said.contains("cut.save") && said.contains("byte"), "{said}");
        } else {
            assert!(said.contains("revenant init --store"), "{said}");
        }
        assert!(!store.exists(), "a failed import left a store");
    }
    assert_eq!(status(&revenant(&["init"], &store)), 0);
    assert_eq!(status(&revenant(&import, &store)), 1);
    assert_eq!(status(&revenant(&["verify"], &store)), 0);
    let elsewhere = revenant(&["init"], dir.path());
    assert_eq!(status(&elsewhere), 1);
    assert!(stderr(&elsewhere).contains("not empty"), "{}", stderr(&elsewhere));

    let nowhere = revenant(&["list"], &dir.path().join("nowhere"));
    assert_eq!(status(&nowhere), 1);
    assert!(stderr(&nowhere).contains("nowhere"), "{}", stderr(&nowhere));
    assert_eq!(status(&revenant(&["show", "beef"], &store)), 1);
    assert_eq!(status(&revenant(&["prune"], &store)), 2);
    for usage in [&["list", "--wat"][..], &["export"], &[]] {
        assert_eq!(status(&revenant(usage, &store)), 2, "{usage:?}");
    }
    let unit = revenant(&["interval", "--mtbf", "24", "--cost", "5min"], &store);
    assert_eq!(status(&unit), 1);
    assert!(stderr(&unit).contains("--mtbf"), "{}", stderr(&unit));
}

#[test]
fn damage_is_healed_by_equal_content_or_from_another_store() {
    let (dir, file) = save_file(8);
    let (store, backup) = (dir.path().join("store"), dir.path().join("backup"));
    let import = || {
        revenant(
            &["import", file.to_str().unwrap(), "--init", "--name", "web"],
            &store,
        )
    };
    assert_eq!(status(&import()), 0);
    let id = only_id(&store);
    assert_eq!(
        status(&revenant(
            &["copy", &id, "--init", "--to", backup.to_str().unwrap()],
            &store
        )),
        0
    );
    let damage = || {
        let segments = fs::read_dir(store.join("segments")).unwrap();
        let longest = segments
            .map(|entry| entry.unwrap())
            .max_by_key(|entry| entry.metadata().unwrap().len());
        let segment = longest.unwrap().path();
        let mut bytes = fs::read(&segment).unwrap();
        bytes[50] ^= 1;
        fs::write(&segment, bytes).unwrap();
    };
    damage();
    let found = revenant(&["verify"], &store);
    assert_eq!(status(&found), 3, "{}", stderr(&found));
    let doctor = revenant(&["doctor", "--store", store.to_str().unwrap()], &store);
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(said.contains("1 known bad frame,"), "{said}");
    let again = import();
    assert!(stderr(&again).contains("healed"), "{}", stderr(&again));
    assert_eq!(status(&revenant(&["verify"], &store)), 0);

    damage();
    let alone = revenant(&["verify", "--from", backup.to_str().unwrap()], &store);
    assert_eq!(status(&alone), 2, "--from goes with --repair");
    let repaired = revenant(
        &["verify", "--repair", "--from", backup.to_str().unwrap(), "--json"],
        &store,
    );
    assert_eq!(status(&repaired), 0, "{}", stderr(&repaired));
    let said: serde_json::Value = serde_json::from_slice(&repaired.stdout).unwrap();
    assert_eq!(said["repaired"]["segments"], 1, "{said}");
    assert_eq!(said["repaired"]["left"], serde_json::json!([]), "{said}");
}

#[test]
fn prune_says_first_and_then_does() {
    let (dir, file) = save_file(8);
    let store = dir.path().join("store");
    for _ in 0..3 {
        revenant(
            &["import", file.to_str().unwrap(), "--init", "--name", "web"],
            &store,
        );
    }
    let count = || {
        let listed: serde_json::Value =
            serde_json::from_slice(&revenant(&["list", "--json"], &store).stdout).unwrap();
        listed["checkpoints"].as_array().unwrap().len()
    };
    assert_eq!(count(), 3);
    assert_eq!(
        status(&revenant(&["prune", "--keep-last", "1", "--dry-run"], &store)),
        0
    );
    assert_eq!(count(), 3);
    let stats = revenant(&["stats", "--json"], &store);
    let stats: serde_json::Value = serde_json::from_slice(&stats.stdout).unwrap();
    assert_eq!(stats["guests"][0]["checkpoints"], 3);
    assert_eq!(stats["unused_bytes"], 0);
    assert_eq!(status(&revenant(&["stats"], &store)), 0);
    for usage in ["101%", "-1", "some"] {
        let refused = revenant(&["prune", "--keep-last", "1", "--max-unused", usage], &store);
        assert_eq!(status(&refused), 2, "{usage}");
    }
    assert_eq!(
        status(&revenant(
            &["prune", "--keep-last", "1", "--max-unused", "5%"],
            &store
        )),
        0
    );
    assert_eq!(count(), 1);
    assert_eq!(status(&revenant(&["verify"], &store)), 0);
}

/// Takes a save file into a store; the id.
fn import(store: &Path, file: &Path, name: &str) -> String {
    let imported = revenant(
        &[
            "import",
            file.to_str().unwrap(),
            "--init",
            "--name",
            name,
            "--json",
        ],
        store,
    );
    assert_eq!(status(&imported), 0, "{}", stderr(&imported));
    let info: serde_json::Value = serde_json::from_slice(&imported.stdout).unwrap();
    info["id"].as_str().unwrap().to_owned()
}

fn segments(store: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(store.join("segments")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn what_does_not_read_is_named_and_stops_nobody() {
    let (dir, file) = save_file(8);
    let store = dir.path().join("store");
    let (_other, other_file) = save_file(10);
    // A guest whose name is the beginning of another's id.
    let good = import(&store, &file, "web");
    let before = segments(&store);
    let bad = import(&store, &other_file, "web");
    let looks_like_an_id = import(&store, &file, &good[..8]);
    let lost = segments(&store)
        .into_iter()
        .find(|path| !before.contains(path))
        .unwrap();
    fs::remove_file(&lost).unwrap();

    let listed = revenant(&["list"], &store);
    let table = String::from_utf8(listed.stdout.clone()).unwrap();
    assert_eq!(
        (status(&listed), table.matches("NOT WHOLE").count()),
        (3, 1),
        "{table}"
    );
    assert!(stderr(&listed).contains(lost.file_name().unwrap().to_str().unwrap()));
    let doctor = revenant(&["doctor", "--store", store.to_str().unwrap()], &store);
    assert_eq!(status(&doctor), 3);
    // The damaged one counts for no rule, the other guest is not touched.
    let pruned = revenant(&["prune", "--keep-last", "1", "--guest", "web", "--json"], &store);
    let said: serde_json::Value = serde_json::from_slice(&pruned.stdout).unwrap();
    assert_eq!(
        (status(&pruned), said["dropped"].as_array().unwrap().len()),
        (3, 0),
        "{said}"
    );
    assert_eq!(said["not_whole"][0]["checkpoints"][0], bad.as_str());
    for name in [&good, &"web~1".to_owned(), &good[..12].to_uppercase()] {
        let exported = revenant(&["export", name, "-o", "-"], &store);
        assert!(
            exported.stdout == fs::read(&file).unwrap(),
            "{name}: {}",
            stderr(&exported)
        );
    }
    let ambiguous = revenant(&["show", &good[..8]], &store);
    let choices = [format!("guest:{}", &good[..8]), format!("id:{}", &good[..12])];
    assert_eq!(status(&ambiguous), 1);
    assert!(
        choices.iter().all(|choice| stderr(&ambiguous).contains(choice)),
        "{}",
        stderr(&ambiguous)
    );
    let shown = revenant(&["show", &choices[0], "--json"], &store);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["id"], looks_like_an_id.as_str());
    let slips: [&[&str]; 4] = [
        &["prune", "--keep-last", "1", "--guest", "wbe"],
        &["list", "--guest", "wbe"],
        &["list", "--guest", "wbe", "--json"],
        &["show", "wbe"],
    ];
    for slip in slips {
        let refused = revenant(slip, &store);
        assert_eq!(status(&refused), 1, "{slip:?}");
        assert!(
            stderr(&refused).contains("guests: ") && stderr(&refused).contains("\"web\""),
            "{}",
            stderr(&refused)
        );
    }
    let dropped = revenant(&["prune", "--keep-last", "1", "--drop-damaged"], &store);
    assert_eq!(status(&dropped), 0, "{}", stderr(&dropped));
    assert_eq!(status(&revenant(&["list"], &store)), 0);
}

#[test]
fn what_stands_in_the_place_of_a_manifest_stops_nobody() {
    let (dir, file) = save_file(8);
    let store = dir.path().join("store");
    let (_other, other_file) = save_file(10);
    import(&store, &other_file, "web");
    let id = import(&store, &file, "other");
    // A link to itself.
    let manifest = store.join("checkpoints").join(&id);
    fs::remove_file(&manifest).unwrap();
    std::os::unix::fs::symlink(&id, &manifest).unwrap();
    let listed = revenant(&["list"], &store);
    assert_eq!(status(&listed), 3);
    assert!(stderr(&listed).contains(&id) && String::from_utf8(listed.stdout).unwrap().contains("web"));
    import(&store, &other_file, "new");
    let pruned = revenant(&["prune", "--keep-last", "1"], &store);
    assert_eq!(status(&pruned), 3);
    let said = String::from_utf8(pruned.stdout).unwrap();
    assert!(said.contains("may need") && said.contains(&id), "{said}");
}

#[test]
fn a_checkpoint_is_copied_once_and_not_after_a_later_one() {
    let (dir, file) = save_file(8);
    let (store, other) = (dir.path().join("store"), dir.path().join("other"));
    let import = || {
        revenant(
            &[
                "import",
                file.to_str().unwrap(),
                "--init",
                "--name",
                "web",
                "--json",
            ],
            &store,
        )
    };
    let id = |output: &Output| {
        let info: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        info["id"].as_str().unwrap().to_owned()
    };
    let first = id(&import());
    let second = id(&import());
    let copy = |which: &str, more: &[&str]| {
        let args = ["copy", which, "--init", "--to", other.to_str().unwrap(), "--json"];
        revenant(&[&args[..], more].concat(), &store)
    };
    // By the guest's name the newest; once more it is there.
    let copied = copy("web", &[]);
    assert_eq!(status(&copied), 0, "{}", stderr(&copied));
    let info: serde_json::Value = serde_json::from_slice(&copied.stdout).unwrap();
    assert_eq!(info["facts"]["copied_from"], second.as_str());
    assert_eq!(id(&copy(&second, &[])), id(&copied));
    let refused = copy(&first, &[]);
    assert_eq!(status(&refused), 1);
    assert!(stderr(&refused).contains("is later"), "{}", stderr(&refused));
    let forced = copy(&first, &["--force"]);
    let info: serde_json::Value = serde_json::from_slice(&forced.stdout).unwrap();
    assert_eq!((status(&forced), &info["new_pages"]), (0, &0.into()));
    assert_eq!(status(&revenant(&["verify"], &other)), 0);
    // What comes out of the copy is what went into the original.
    let out = dir.path().join("out.save");
    let export = ["export", &id(&copied), "-o", out.to_str().unwrap()];
    assert_eq!(status(&revenant(&export, &other)), 0);
    assert!(fs::read(&out).unwrap() == fs::read(&file).unwrap());
    assert_eq!(status(&copy("nobody", &[])), 1);
}

#[test]
fn documents_are_written_and_a_closed_pipe_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(
        status(&revenant(&["man", dir.path().to_str().unwrap()], dir.path())),
        0
    );
    assert!(dir.path().join("revenant-import.1").exists());
    let mut child = Command::new(env!("CARGO_BIN_EXE_revenant"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((status(&output), stderr(&output)), (0, String::new()));
}

#[test]
fn the_published_optimum_comes_out() {
    let dir = tempfile::tempdir().unwrap();
    for (mtbf, minutes) in [("24h", "116.7 min"), ("6h", "56.7 min"), ("15min", "9.14 min")] {
        let args = [
            "interval",
            "--mtbf",
            mtbf,
            "--cost",
            "5min",
            "--restart",
            "10min",
            "--work",
            "500h",
        ];
        let output = revenant(&args, dir.path());
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.lines().find(|line| line.starts_with("daly-higher")).unwrap();
        assert!(line.contains(minutes), "{line}");
    }
}

#[test]
fn policies_are_listed_with_what_they_can_be_told() {
    let dir = tempfile::tempdir().unwrap();
    let text = String::from_utf8(revenant(&["policies"], dir.path()).stdout).unwrap();
    assert!(text.lines().any(|line| line.starts_with("young  ")), "{text}");
    assert!(
        text.contains("lazy.shape: ") && text.contains("0.1 to 1, required"),
        "{text}"
    );
}

/// A run that is killed in the middle goes on where it was, and its files are those of a run that was not.
#[test]
fn a_killed_run_resumes_to_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let spec = dir.path().join("small.toml");
    fs::write(&spec, include_str!("small.toml")).unwrap();
    let spec = spec.to_str().unwrap();
    let (whole, killed) = (dir.path().join("whole"), dir.path().join("killed"));
    let whole_run = revenant(
        &["run", spec, "--out", whole.to_str().unwrap(), "--jobs", "2"],
        dir.path(),
    );
    assert_eq!(status(&whole_run), 0, "{}", stderr(&whole_run));
    let args = [
        "run",
        spec,
        "--out",
        killed.to_str().unwrap(),
        "--jobs",
        "1",
        "--no-figures",
    ];
    let kills = killed_until_done(|| {
        let mut args = args.to_vec();
        if killed.join("manifest.json").exists() {
            args.push("--resume");
        } else if killed.exists() {
            args.push("--overwrite");
        }
        args
    });
    assert!(kills > 0, "the run was too quick to be killed");
    assert_same(&whole, &killed);
    assert!(whole.join("figures/waste-by-interval.svg").exists());
}

/// Runs the command again and again, and kills it after a while that becomes longer, until it comes to its end. How often it was killed.
fn killed_until_done<'a>(args: impl Fn() -> Vec<&'a str>) -> u64 {
    for kills in 0.. {
        let mut child = Command::new(env!("CARGO_BIN_EXE_revenant"))
            .args(args())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(60 * (kills + 1)));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            return kills;
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    unreachable!()
}

fn assert_same(one: &Path, other: &Path) {
    for name in [
        "trials.csv",
        "summary.csv",
        "paired.csv",
        "theory.csv",
        "downtime.hlog",
        "recovery.hlog",
    ] {
        assert!(
            fs::read(one.join(name)).unwrap() == fs::read(other.join(name)).unwrap(),
            "{name} differs"
        );
    }
}

/// Of one cell, shared by three shards of which one is killed in the middle.
#[test]
fn shards_of_one_cell_survive_kills_and_merge_to_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (spec, whole, parts) = (path("one.toml"), path("whole"), path("parts"));
    // An interval that changes with every failure keeps trials from being shortened, so that a shard lasts.
    let text = "name = \"one\"\nseed = 4\ntrials = 5000\nlevels = [\"model\"]\n[job]\nwork = \"500h\"\n[failures]\n\
         law = { weibull = 0.7 }\nmtbf = \"5h\"\n[checkpoint]\ncost = \"3min\"\nrestart = \"3min\"\n[[policy]]\nkind = \"adaptive\"\n";
    fs::write(&spec, text).unwrap();
    let command = |args: &[&str]| {
        let output = revenant(args, dir.path());
        (status(&output), stderr(&output))
    };
    assert_eq!(command(&["run", &spec, "--out", &whole, "--no-figures"]).0, 0);

    let second = [
        "run", &spec, "--out", &parts, "--jobs", "1", "--shard", "2/3", "--resume",
    ];
    assert!(
        killed_until_done(|| second.to_vec()) > 0,
        "the shard was too quick to be killed"
    );
    assert_eq!(command(&["run", &spec, "--out", &parts, "--shard", "1/3"]).0, 0);
    let (ended, said) = command(&["merge", &spec, "--out", &parts]);
    assert!(ended == 1 && said.contains("shards 3/3 are missing"), "{said}");
    assert_eq!(command(&["run", &spec, "--out", &parts, "--shard", "3/3"]).0, 0);
    let (ended, said) = command(&["merge", &spec, "--out", &parts, "--no-figures"]);
    assert_eq!(ended, 0, "{said}");
    assert_same(Path::new(&whole), Path::new(&parts));

    let slurm = |tasks: &str| {
        command(&[
            "slurm",
            &spec,
            "--out",
            &parts,
            "--tasks",
            tasks,
            "--max-array-size",
            "9999",
        ])
    };
    assert_eq!(slurm("5000").0, 0);
    let array = fs::read_to_string(dir.path().join("parts/slurm/array.sbatch")).unwrap();
    assert!(array.contains("#SBATCH --array=1-5000\n") && array.contains("$SLURM_ARRAY_TASK_ID/5000"));
    let (ended, said) = slurm("5001");
    assert!(ended == 1 && said.contains("no more than 5000 trials"), "{said}");
}

/// A log that lies elsewhere: named with `--data`, in every command that reads it; missed, or another, it is no silent matter.
#[test]
fn a_recorded_log_drives_runs_that_others_can_make_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let specs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments/specs");
    fs::copy(specs.join("log-replay.toml"), path("log-replay.toml")).unwrap();
    let log = fs::read_to_string(specs.join("logs/made-lanl.csv")).unwrap();
    fs::create_dir_all(path("data/logs")).unwrap();
    fs::write(path("data/logs/made-lanl.csv"), &log).unwrap();
    let (spec, out, data, again) = (path("log-replay.toml"), path("run"), path("data"), path("again"));
    let command = |args: &[&str]| {
        let output = revenant(args, dir.path());
        (status(&output), stderr(&output))
    };

    let (ended, said) = command(&["run", &spec, "--out", &out]);
    assert_eq!(ended, 1);
    assert!(
        said.contains("made-lanl.csv") && said.contains("--data DIR"),
        "{said}"
    );
    let run = ["run", &spec, "--out", &out, "--data", &data, "--trials", "20"];
    assert_eq!(command(&run).0, 0);
    let (ended, said) = command(&["replay", &out, "--data", &data, "--trial", "3"]);
    assert_eq!(ended, 0, "{said}");
    let reproduce = ["reproduce", &out, "--data", &data, "--out", &again];
    let (ended, said) = command(&reproduce);
    assert_eq!(ended, 0, "{said}");

    fs::write(path("data/logs/made-lanl.csv"), log.replace("CPU", "Processor")).unwrap();
    let (ended, said) = command(&reproduce);
    assert_eq!(ended, 1);
    assert!(said.contains("made is another file"), "{said}");
}

/// A precision is asked for: each cell gets as many trials as it takes, and a cell that stays short of it is warned of.
#[test]
fn a_wanted_precision_is_reached_or_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let (spec, out) = (dir.path().join("wanted.toml"), dir.path().join("run"));
    let wanted = |most: u32| {
        include_str!("small.toml")
            .replace("trials = { model = 300, sim = 4 }", "trials = 100")
            .replace("[\"model\", \"sim\"]", "[\"model\"]")
            .replace("[[policy]]\nkind = \"never\"\n", "")
            .replace(
                "[job]",
                &format!("[precision]\nmakespan = 0.01\ntrials_max = {most}\n\n[job]"),
            )
    };
    for (most, short) in [(100_000, false), (120, true)] {
        fs::write(&spec, wanted(most)).unwrap();
        let args = [
            "run",
            spec.to_str().unwrap(),
            "--out",
            out.to_str().unwrap(),
            "--overwrite",
            "--no-figures",
        ];
        let ran = revenant(&args, dir.path());
        let said = stderr(&ran);
        assert_eq!(status(&ran), 0, "{said}");
        assert_eq!(said.contains("short of the precision"), short, "{said}");
    }
}

/// Who finds the store locked waits, and says after that with a status of its own who is in the way.
#[test]
fn a_locked_store_is_waited_for() {
    let (dir, file) = save_file(2);
    let store = dir.path().join("store");
    revenant(&["import", file.to_str().unwrap(), "--init"], &store);
    let mut child = Command::new(env!("CARGO_BIN_EXE_revenant"))
        .args(["import", "-", "--name", "piped"])
        .env("REVENANT_STORE", &store)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (bytes, mut stdin) = (fs::read(&file).unwrap(), child.stdin.take().unwrap());
    std::io::Write::write_all(&mut stdin, &bytes[..bytes.len() / 2]).unwrap();
    // Until the import has the lock.
    let prune = |wait: &str| revenant(&["prune", "--keep-last", "1", "--wait", wait], &store);
    let busy = (0..1000)
        .map(|_| prune("10ms"))
        .find(|output| status(output) != 0)
        .unwrap();
    assert_eq!(status(&busy), 4, "{}", stderr(&busy));
    assert!(
        stderr(&busy).contains(&child.id().to_string()),
        "{}",
        stderr(&busy)
    );
    let patient = std::thread::spawn({
        let store = store.clone();
        move || revenant(&["prune", "--keep-last", "1"], &store)
    });
    std::io::Write::write_all(&mut stdin, &bytes[bytes.len() / 2..]).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());
    let patient = patient.join().unwrap();
    assert_eq!(status(&patient), 0, "{}", stderr(&patient));
}

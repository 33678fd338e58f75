//! What the store commands say to people: what is wrong, what to do next, and that within the columns of their terminal.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use common::{Ended, copy_store, import, on_terminal, revenant, save_file};

/// A folder with a store in it, which has checkpoints of these guests, one each.
struct World {
    dir: tempfile::TempDir,
    store: PathBuf,
    ids: Vec<String>,
}

impl World {
    fn new(guests: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, file) = (dir.path().join("store"), dir.path().join("guest.save"));
        let ids = guests.iter().zip((2..).step_by(2)).map(|(guest, seed)| {
            save_file(&file, seed);
            import(&store, &file, guest)
        });
        World {
            ids: ids.collect(),
            store,
            dir,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Ended {
        revenant(&self.store, args)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The command ends with this status and says all of these, on whichever stream.
#[track_caller]
fn says(ended: &Ended, status: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&ended.stdout).into_owned() + &ended.stderr;
    assert_eq!(ended.status, Some(status), "{}: {said}", ended.command);
    for word in words {
        assert!(said.contains(word), "{}: no {word:?} in: {said}", ended.command);
    }
}

fn segments(store: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(store.join("segments")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn damage(segment: &Path) {
    let mut bytes = fs::read(segment).unwrap();
    bytes[50] ^= 1;
    fs::write(segment, bytes).unwrap();
}

#[test]
fn damage_comes_with_what_can_be_done_about_it() {
    let world = World::new(&["web"]);
    let backup = world.path("backup");
    copy_store(&world.store, &backup);
    says(
        &world.run(&["verify"]),
        0,
        &["no damage: 1 checkpoint, 1 segment, "],
    );
    damage(&segments(&world.store)[0]);
    let give_up = "prune --drop-damaged --keep-last N";
    says(
        &world.run(&["verify"]),
        3,
        &["verify --repair", "--from OTHER", give_up],
    );
    says(
        &world.run(&["verify", "--repair"]),
        3,
        &["--repair --from OTHER", give_up],
    );
    let healed = world.run(&["verify", "--repair", "--from", text(&backup)]);
    says(&healed, 0, &["healed: ", " in 1 segment\n", "no damage"]);
}

#[test]
fn an_expected_root_is_confirmed_and_another_explained() {
    let world = World::new(&["web"]);
    let root = |store: &Path| {
        let verified = revenant(store, &["verify", "--json"]).json();
        verified["log"]["root"].as_str().unwrap().to_owned()
    };
    let old = world.path("old");
    copy_store(&world.store, &old);
    let first = root(&world.store);
    let confirmed = "as expected: the store holds what it held at that root";
    let same = world.run(&["verify", "--expect", &first]);
    says(&same, 0, &[confirmed, "and nothing more\n"]);
    import(&world.store, &world.path("guest.save"), "web");
    let more = world.run(&["verify", "--expect", &first]);
    says(&more, 0, &[confirmed, "and 1 change more\n"]);
    let later = root(&world.store);
    let rolled_back = revenant(&old, &["verify", "--expect", &later]);
    says(
        &rolled_back,
        3,
        &[
            "not as expected",
            "put back to an older copy",
            "do not prune",
            "revenant copy --guest NAME",
        ],
    );
    assert!(!rolled_back.stderr.contains("--repair"), "{rolled_back:?}");
    let json = revenant(&old, &["verify", "--json", "--expect", &later]).json();
    assert_eq!(json["expected"]["met"], false, "{json}");
}

/// By any of its names, without waiting for a lock, and before anything is written.
#[test]
fn a_store_is_not_healed_from_itself_nor_copied_to_itself() {
    let world = World::new(&["web"]);
    let link = world.path("link");
    symlink(&world.store, &link).unwrap();
    let indirect = world.store.join("../store/.");
    for itself in [&world.store, &link, &indirect] {
        let itself = text(itself);
        for args in [
            &["verify", "--repair", "--wait", "1h", "--from", itself][..],
            &["copy", "web", "--wait", "1h", "--force", "--to", itself],
            &["copy", "--guest", "web", "--init", "--to", itself],
        ] {
            says(&world.run(args), 1, &[itself, "is the store itself"]);
        }
    }
    says(
        &world.run(&["list", "--json"]),
        0,
        &[&format!("\"id\": \"{}\"", world.ids[0])],
    );
}

#[test]
fn a_prune_without_a_rule_is_wrong_usage() {
    let world = World::new(&["web"]);
    for args in [&["prune"][..], &["prune", "--drop-damaged", "--guest", "web"]] {
        says(
            &world.run(args),
            2,
            &["--keep-last", "--keep-within", "what to keep"],
        );
    }
    says(&world.run(&["prune", "--keep-last", "0"]), 2, &["--keep-last"]);
    says(
        &world.run(&["prune", "--keep-last", "1"]),
        0,
        &["1 checkpoint kept"],
    );
}

#[test]
fn what_is_no_store_is_named_with_what_makes_one() {
    let world = World::new(&["web"]);
    let (nowhere, file) = (world.path("nowhere"), world.path("guest.save"));
    let strange = world.path("strange");
    fs::create_dir(&strange).unwrap();
    for (path, why) in [
        (&nowhere, "no such directory"),
        (&strange, "it has no file revenant-store"),
        (&file, "a store is a directory"),
    ] {
        let is_none = format!("{} is no store", path.display());
        let init = format!("`revenant init --store {}`", path.display());
        let all = [is_none.as_str(), why, &init, "--store or REVENANT_STORE"];
        for args in [
            &["list"][..],
            &["verify"],
            &["show", "web"],
            &["stats"],
            &["prune", "--keep-last=1"],
            &["import", text(&file)],
        ] {
            says(&revenant(path, args), 1, &all);
        }
        let copied = world.run(&["copy", "web", "--to", text(path)]);
        says(&copied, 1, &[&is_none, why, &init, "--init", "--to"]);
        let healed = world.run(&["verify", "--repair", "--from", text(path)]);
        says(&healed, 1, &[&is_none, why, "--from"]);
    }
    let mut unnamed = std::process::Command::new(env!("CARGO_BIN_EXE_revenant"));
    let unnamed = unnamed.arg("list").env_remove("REVENANT_STORE").output().unwrap();
    let said = String::from_utf8(unnamed.stderr).unwrap();
    assert_eq!(unnamed.status.code(), Some(2), "{said}");
    assert!(
        said.contains("REVENANT_STORE") && said.contains("revenant init"),
        "{said}"
    );
}

#[test]
fn an_unknown_guest_is_told_which_there_are() {
    let guests = ["web1", "db", "g1", "g2", "g3", "g4", "g5", "g6", "g7", "mail"];
    let world = World::new(&guests);
    let there = [r#""db", "g1""#, "and 2 more"];
    let near = r#"did you mean "web1"?"#;
    let other = world.path("other");
    for args in [
        &["show", "wbe1"][..],
        &["export", "web", "-o", "-"],
        &["verify", "Web1~2"],
        &["diff", "web1", "wen1"],
        &["copy", "we1", "--to", text(&other)],
        &["copy", "--guest", "wbe1", "--to", text(&other)],
        &["prune", "--keep-last=1", "--guest", "wbe1"],
    ] {
        says(&world.run(args), 1, &[there[0], there[1], near]);
    }
    says(&world.run(&["list", "--guest", "wbe1"]), 1, &[there[0], near]);
    let far = world.run(&["show", "nothing-like-it"]);
    says(&far, 1, &there);
    assert!(!far.stderr.contains("did you mean"), "{far:?}");
    let empty = world.path("empty");
    says(&revenant(&empty, &["init"]), 0, &[]);
    says(
        &revenant(&empty, &["show", "web1"]),
        1,
        &["has no checkpoint that reads"],
    );
}

#[test]
fn all_checkpoints_of_a_guest_are_copied_and_the_rest_of_them_later() {
    let world = World::new(&["web", "db", "web", "web"]);
    let (other, ids) = (world.path("other"), &world.ids);
    let copy = |more: &[&str]| {
        let args = ["copy", "--guest", "web", "--to", text(&other), "--init"];
        world.run(&[&args[..], more].concat())
    };
    // As an interrupted copy leaves it.
    let first = world.run(&["copy", &ids[0], "--to", text(&other), "--init"]);
    says(&first, 0, &["copied"]);
    says(&copy(&[]), 0, &["2 checkpoints copied, 1 there already\n"]);
    says(&copy(&[]), 0, &["0 checkpoints copied, 3 there already\n"]);
    let there = revenant(&other, &["list", "--json"]).json();
    let origins: Vec<&str> = there["checkpoints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|info| info["facts"]["copied_from"].as_str().unwrap())
        .collect();
    assert_eq!(
        origins,
        [&ids[0], &ids[2], &ids[3]],
        "in their order, and no other guest's"
    );
    // What is dropped there does not come back behind what is later.
    says(&revenant(&other, &["prune", "--keep-last=1"]), 0, &[]);
    let again = copy(&["--json"]).json();
    let counts = ["copied", "there", "behind", "damaged"].map(|what| again[what].as_array().unwrap().len());
    assert_eq!(counts, [0, 1, 2, 0], "{again}");
    says(&copy(&["--force"]), 2, &["--force"]);
    says(
        &world.run(&["copy", "--to", text(&other)]),
        2,
        &["<ID|--guest <NAME>>"],
    );
    says(&revenant(&other, &["verify"]), 0, &["no damage"]);
}

/// One that is damaged is named, and keeps no other from being copied.
#[test]
fn a_damaged_checkpoint_is_passed_over_by_a_copy_of_all() {
    let world = World::new(&["web"]);
    let (file, before) = (world.path("guest.save"), segments(&world.store));
    save_file(&file, 12);
    let bad = import(&world.store, &file, "web");
    let own = segments(&world.store);
    save_file(&file, 22);
    import(&world.store, &file, "web");
    damage(own.iter().find(|segment| !before.contains(segment)).unwrap());
    let other = world.path("other");
    let copied = world.run(&["copy", "--guest", "web", "--to", text(&other), "--init"]);
    says(
        &copied,
        3,
        &["2 checkpoints copied", "damaged: segments/", &bad[..12]],
    );
    says(&revenant(&other, &["verify"]), 0, &["no damage: 2 checkpoints,"]);
}

#[test]
fn output_fits_the_terminal_and_is_whole_elsewhere() {
    let guest = "web-frontend-012";
    let world = World::new(&[guest, "db"]);
    let file = world.path("guest.save");
    let file = text(&file);
    let commands: [&[&str]; 9] = [
        &["list"],
        &["list", "--guest", "no-such-guest-here"],
        &["show", guest],
        &["diff", guest, "db"],
        &["stats"],
        &["doctor"],
        &["verify"],
        &["import", file, "--name", guest],
        &["export", guest, "--force", "-o", file],
    ];
    for args in commands {
        for columns in [80, 100] {
            for line in on_terminal(&world.store, columns, args) {
                let chars = line.chars().count();
                assert!(
                    chars <= usize::from(columns),
                    "{args:?}: {chars} of {columns}: {line}"
                );
            }
        }
    }
    let narrow = on_terminal(&world.store, 40, &["import", file, "--name", guest]);
    let bars = narrow.iter().filter(|line| line.starts_with("import "));
    let widths: Vec<usize> = bars.map(|bar| bar.chars().count()).collect();
    assert!(
        !widths.is_empty() && widths.iter().all(|&width| width <= 40),
        "{narrow:?}"
    );
    let listed = on_terminal(&world.store, 80, &["list"]);
    assert!(
        listed[1].contains(guest) && listed[1].ends_with("whole"),
        "{listed:?}"
    );
    assert!(
        listed.last().unwrap().contains("no room for MACHINE"),
        "{listed:?}"
    );
    let piped = world.run(&["list"]);
    says(&piped, 0, &["MACHINE", "NEW PAGES", "BASE", "xen-hvm"]);
    assert_eq!(piped.stderr, "");
    // On a terminal that is wide enough it is the same.
    let wide = on_terminal(&world.store, 200, &["list"]);
    let piped = String::from_utf8(piped.stdout).unwrap();
    assert_eq!(wide, piped.lines().collect::<Vec<_>>());
}

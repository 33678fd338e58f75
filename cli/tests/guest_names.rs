//! Every shape of guest name × every command that takes one: a guest is found by its name, whatever its name looks like.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{Ended, import, revenant, save_file};

/// A guest of the store under test.
struct Guest {
    id: String,
    save: Vec<u8>,
}

/// Names that people give, and names that look like something else: an id, the beginning of one, an option, a path, `NAME~N`.
fn names(id_of_another: &str) -> Vec<String> {
    let beginnings = (1..=id_of_another.len()).map(|len| id_of_another[..len].to_owned());
    let upper = (1..=8).map(|len| id_of_another[..len].to_uppercase());
    let words = [
        "web1",
        "db",
        "cafe",
        "ad",
        "fe",
        "0",
        "all",
        "latest",
        "-x",
        "--all",
        "-",
        "a b",
        " lead",
        "trail ",
        "a/b",
        "..",
        ".",
        "~",
        "~1",
        "web1~1",
        "web1~",
        "web~x",
        "web1~18446744073709551616",
        "é",
        "名前",
        "a%2fb",
        "a:b",
        "a=b",
        "*",
        "?",
        "'",
        "\"",
        "\\",
        "$HOME",
    ];
    let long = [1, 63, 64, 65, 199, 200].map(|len| "n".repeat(len));
    let mut all: Vec<String> = beginnings
        .chain(upper)
        .chain(words.map(str::to_owned))
        .chain(long)
        .collect();
    all.sort();
    all.dedup();
    all
}

/// Is it about this guest's checkpoint?
type IsRight = fn(&Ended, &Guest) -> bool;

/// What a command said of the checkpoint of a guest: its id, or its bytes.
fn about(guest: &str, store: &Path, other: &str, scratch: &Path) -> Vec<(Ended, IsRight)> {
    let says_id = |ended: &Ended, guest: &Guest| ended.json()["id"] == guest.id.as_str();
    let is_old = |ended: &Ended, guest: &Guest| {
        ended.json()["a"]["id"] == guest.id.as_str() || ended.json()["old"] == guest.id.as_str()
    };
    let target = scratch.join("copies");
    let target = target.to_str().unwrap();
    let (name, guest) = (guest, &format!("guest:{guest}"));
    vec![
        (revenant(store, &["show", "--json", "--", guest]), says_id),
        (
            revenant(store, &["export", "-o", "-", "--", guest]),
            |ended, guest| ended.stdout == guest.save,
        ),
        (revenant(store, &["verify", "--json", "--", guest]), |ended, _| {
            ended.status == Some(0)
        }),
        (revenant(store, &["diff", "--json", "--", guest, other]), is_old),
        (
            revenant(store, &["copy", "--init", "--json", "--to", target, "--", guest]),
            |ended, guest| ended.json()["facts"]["copied_from"] == guest.id.as_str(),
        ),
        (
            revenant(store, &["list", "--json", &format!("--guest={name}")]),
            |ended, guest| {
                let listed = ended.json();
                let rows = listed["checkpoints"].as_array().unwrap();
                rows.len() == 1 && rows[0]["id"] == guest.id.as_str()
            },
        ),
    ]
}

#[test]
fn a_guest_is_found_by_its_name_whatever_the_name_looks_like() {
    let dir = tempfile::tempdir().unwrap();
    let (store, file) = (dir.path().join("store"), dir.path().join("guest.save"));
    save_file(&file, 2);
    let other = import(&store, &file, "other");
    let mut guests = BTreeMap::new();
    for (name, seed) in names(&other).into_iter().zip((4..).step_by(2)) {
        let save = save_file(&file, seed);
        let id = import(&store, &file, &name);
        guests.insert(name, Guest { id, save });
    }
    for (name, guest) in &guests {
        let shown = revenant(&store, &["show", "--json", "--", name]);
        let is_ambiguous = shown.status == Some(1) && shown.stderr.contains("could be any of these");
        assert!(
            is_ambiguous || shown.json()["id"] == guest.id.as_str(),
            "{name:?}: {shown:?}"
        );
        for (ended, is_right) in about(name, &store, "other", dir.path()) {
            assert!(
                ended.status == Some(0) && is_right(&ended, guest),
                "guest {name:?}, {}: {ended:?}",
                guest.id
            );
        }
    }
    // Pruned by its name, only that guest loses what its rule does not keep.
    let pruned = "db";
    let newest = import(&store, &file, pruned);
    let done = revenant(&store, &["prune", &format!("--guest={pruned}"), "--keep-last=1"]);
    assert_eq!(done.status, Some(0), "{done:?}");
    let listed = revenant(&store, &["list", "--json"]).json();
    let listed: Vec<&str> = listed["checkpoints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].as_str().unwrap())
        .collect();
    for (name, guest) in &guests {
        assert_eq!(listed.contains(&guest.id.as_str()), name != pruned, "{name:?}");
    }
    assert!(listed.contains(&newest.as_str()));
}

#[test]
fn a_name_that_nobody_could_read_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, file) = (dir.path().join("store"), dir.path().join("guest.save"));
    save_file(&file, 2);
    import(&store, &file, "other");
    let too_long = "n".repeat(201);
    for name in [
        "",
        " ",
        "\t",
        "a\nb",
        "\u{1b}[31mred",
        "a\u{7f}",
        "\u{85}",
        &too_long,
    ] {
        let refused = revenant(
            &store,
            &["import", file.to_str().unwrap(), &format!("--name={name}")],
        );
        assert!(matches!(refused.status, Some(1 | 2)), "{name:?}: {refused:?}");
        assert!(!refused.stderr.contains('\u{1b}'), "{refused:?}");
    }
    let listed = revenant(&store, &["list", "--json"]).json();
    assert_eq!(listed["checkpoints"].as_array().unwrap().len(), 1);
}

//! What a crash may leave, in cases small enough to be written down whole.

use std::collections::BTreeSet;

use revenant_core::Medium;
use revenant_core::medium::MediumErrorKind;
use revenant_sim::SimMedium;
use revenant_sim::medium::{Image, Moment};

use crate::{put, with_dirs};

/// Every outcome as one line: `path=content` of each file, or `dir/` of a directory that holds none.
fn outcomes(medium: &SimMedium) -> BTreeSet<String> {
    let images = medium.crash_images();
    let lines: BTreeSet<String> = images.iter().map(line).collect();
    assert_eq!(lines.len(), images.len(), "every image once");
    lines
}

fn line(image: &Image) -> String {
    let files = image
        .files
        .iter()
        .map(|(path, bytes)| format!("{path}={}", String::from_utf8_lossy(bytes)));
    files.collect::<Vec<_>>().join(" ")
}

fn assert_outcomes(medium: &SimMedium, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|&line| line.to_owned()).collect();
    assert_eq!(outcomes(medium), expected);
}

#[test]
fn bytes_are_durable_with_their_sync_and_names_with_that_of_their_directory() {
    let medium = with_dirs(&["d"]);
    let mut file = medium.create_new("d/x").unwrap();
    file.append(b"ab").unwrap();
    let torn = ["", "d/x=", "d/x=a", "d/x=ab", "d/x=\u{fffd}\u{fffd}"];
    assert_outcomes(&medium, &torn);
    medium.sync_dir("d").unwrap();
    assert_outcomes(&medium, &torn[1..]);
    file.sync().unwrap();
    assert_outcomes(&medium, &["d/x=ab"]);
    file.append(b"c").unwrap();
    assert_outcomes(&medium, &["d/x=ab", "d/x=abc", "d/x=ab\u{fffd}"]);
    medium.remove("d/x").unwrap();
    assert_outcomes(&medium, &["", "d/x=ab", "d/x=abc", "d/x=ab\u{fffd}"]);
    medium.sync_dir("d").unwrap();
    assert_outcomes(&medium, &[""]);
}

#[test]
fn names_of_one_directory_keep_their_order_and_directories_are_independent() {
    let medium = with_dirs(&["a", "b"]);
    for path in ["a/1", "a/2", "b/1"] {
        put(&medium, path, b"");
    }
    let expected = ["", "a/1=", "a/1= a/2=", "b/1=", "a/1= b/1=", "a/1= a/2= b/1="];
    assert_outcomes(&medium, &expected);
}

#[test]
fn a_directory_that_is_lost_takes_its_files_along() {
    let medium = SimMedium::default();
    medium.create_dir("d").unwrap();
    put(&medium, "d/x", b"1");
    medium.sync_dir("d").unwrap();
    assert_outcomes(&medium, &["", "d/x=1"]);
    medium.sync_dir("").unwrap();
    assert_outcomes(&medium, &["d/x=1"]);
}

/// All that is durable before a rename, what is synced after it, and every outcome.
#[test]
fn a_renamed_file_has_one_of_its_names_and_the_target_one_of_its_files() {
    let cases: [(&str, &str, &[&str], &[&str]); 10] = [
        (
            "a/x",
            "a/y",
            &[],
            &["a/x=new a/y=old", "a/x=new a/y=new", "a/y=new"],
        ),
        ("a/x", "a/y", &["a"], &["a/y=new"]),
        (
            "a/x",
            "b/y",
            &[],
            &["a/x=new b/y=old", "a/x=new b/y=new", "b/y=new"],
        ),
        ("a/x", "b/y", &["b"], &["a/x=new b/y=new", "b/y=new"]),
        ("a/x", "b/y", &["a"], &["b/y=new"]),
        ("a/x", "b/y", &["b", "a"], &["b/y=new"]),
        ("a/x", "b/y", &["a", "b"], &["b/y=new"]),
        ("a/x", "y", &[""], &["a/x=new y=new", "y=new"]),
        ("x", "b/y", &[""], &["b/y=new"]),
        ("x", "y", &[], &["x=new y=old", "x=new y=new", "y=new"]),
    ];
    for (from, to, synced, expected) in cases {
        let medium = with_dirs(&["a", "b"]);
        put(&medium, from, b"new");
        put(&medium, to, b"old");
        for dir in ["", "a", "b"] {
            medium.sync_dir(dir).unwrap();
        }
        medium.rename(from, to).unwrap();
        for dir in synced {
            medium.sync_dir(dir).unwrap();
        }
        let expected: BTreeSet<String> = expected.iter().map(|&line| line.to_owned()).collect();
        assert_eq!(outcomes(&medium), expected, "{from} to {to}, synced {synced:?}");
    }
}

/// The sync of the source's directory brings the new name along, and with it what precedes it in its own directory.
#[test]
fn the_end_of_an_old_name_waits_for_all_that_the_new_one_needs() {
    let medium = with_dirs(&["a", "b"]);
    put(&medium, "a/x", b"new");
    put(&medium, "b/x", b"old");
    medium.rename("a/x", "b/x").unwrap();
    medium.sync_dir("a").unwrap();
    medium.sync_dir("b").unwrap();
    assert_outcomes(&medium, &["b/x=new"]);

    let medium = with_dirs(&["a"]);
    put(&medium, "a/x", b"1");
    medium.sync_dir("a").unwrap();
    medium.create_dir("d").unwrap();
    medium.rename("a/x", "d/x").unwrap();
    medium.sync_dir("d").unwrap();
    assert_outcomes(&medium, &["a/x=1", "d/x=1", "a/x=1 d/x=1"]);
    medium.sync_dir("a").unwrap();
    assert_outcomes(&medium, &["d/x=1"]);
}

#[test]
fn two_names_of_one_file_have_the_same_bytes() {
    let medium = with_dirs(&["a", "b"]);
    let mut file = medium.create_new("a/x").unwrap();
    medium.sync_dir("a").unwrap();
    file.append(b"1").unwrap();
    medium.rename("a/x", "b/x").unwrap();
    medium.sync_dir("b").unwrap();
    let both: BTreeSet<String> = outcomes(&medium)
        .into_iter()
        .filter(|line| line.contains("a/x"))
        .collect();
    let expected = ["a/x= b/x=", "a/x=1 b/x=1", "a/x=\u{fffd} b/x=\u{fffd}"].map(String::from);
    assert_eq!(both, BTreeSet::from(expected));
}

#[test]
fn unsynced_files_are_torn_independently_up_to_three() {
    let counts = [1, 2, 3, 4].map(|files: usize| {
        let medium = SimMedium::default();
        for name in &["1", "2", "3", "4"][..files] {
            let mut file = medium.create_new(name).unwrap();
            file.append(b"0123456789").unwrap();
        }
        medium.sync_dir("").unwrap();
        medium.crash_images().len()
    });
    assert_eq!(counts, [4, 16, 64, 4]);
}

/// Old changes of names become durable by themselves, oldest first: what is pending stays bounded.
#[test]
fn no_more_than_sixty_four_changes_of_names_are_pending() {
    let medium = SimMedium::default();
    for number in 0..100 {
        medium.create_new(&format!("{number:03}")).unwrap();
    }
    let mut lengths: Vec<usize> = medium
        .crash_images()
        .iter()
        .map(|image| image.files.len())
        .collect();
    lengths.sort_unstable();
    assert_eq!(lengths, (36..=100).collect::<Vec<_>>());
}

/// Writes a file, gives it its place, and makes that durable: the steps of a commit.
fn commit(medium: &SimMedium) -> Result<(), revenant_core::MediumError> {
    let mut file = medium.create_new("tmp/0")?;
    file.append(b"abcd")?;
    file.sync()?;
    medium.rename("tmp/0", "done/x")?;
    medium.sync_dir("done")
}

#[test]
fn a_crash_can_be_put_at_every_operation_and_moment() {
    let (nothing, old) = ("", "done/x=old");
    let at = |nth, moment| {
        let medium = with_dirs(&["tmp", "done"]);
        put(&medium, "done/x", b"old");
        medium.sync_dir("done").unwrap();
        medium.crash_at(medium.operations() + nth, moment);
        let error = commit(&medium).unwrap_err();
        assert_eq!(error.kind, MediumErrorKind::Halted);
        outcomes(&medium)
    };
    let of = |lines: &[&str]| -> BTreeSet<String> {
        lines
            .iter()
            .map(|tmp| format!("{old} {tmp}").trim_end().to_owned())
            .collect()
    };
    let garbage = |n: usize| format!("tmp/0={}", "\u{fffd}".repeat(n));
    let created = of(&[nothing, "tmp/0="]);
    let half = of(&[nothing, "tmp/0=", "tmp/0=a", "tmp/0=ab", &garbage(2)]);
    let appended = of(&[nothing, "tmp/0=", "tmp/0=ab", "tmp/0=abcd", &garbage(4)]);
    let synced = of(&[nothing, "tmp/0=abcd"]);
    let mut renamed = synced.clone();
    renamed.extend(["done/x=abcd", "done/x=abcd tmp/0=abcd"].map(String::from));
    let committed = BTreeSet::from(["done/x=abcd", "done/x=abcd tmp/0=abcd"].map(String::from));
    let expected = [
        [of(&[nothing]), created.clone(), created.clone()],
        [created, half, appended.clone()],
        [appended.clone(), appended, synced.clone()],
        [synced, renamed.clone(), renamed.clone()],
        [renamed.clone(), renamed, committed],
    ];
    for (nth, expected) in (1..).zip(expected) {
        let moments = [Moment::Before, Moment::Torn, Moment::After];
        let found = moments.map(|moment| at(nth, moment));
        assert_eq!(found, expected, "operation {nth}");
    }
}

#[test]
fn images_can_be_damaged() {
    let medium = with_dirs(&["d"]);
    put(&medium, "d/x", &[1, 2, 3]);
    let whole = medium.image();
    let mut image = whole.clone();
    assert!(image.corrupt("d/x", 1, 0x80) && !image.corrupt("d/x", 3, 1) && !image.corrupt("y", 0, 1));
    assert_eq!(image.content("d/x"), Some(&[1, 0x82, 3][..]));
    assert!(image.truncate("d/x", 2) && !image.truncate("d/x", 2) && !image.truncate("y", 0));
    assert_eq!(image.content("d/x"), Some(&[1, 0x82][..]));
    assert!(image.files.remove("d/x").is_some());
    assert_eq!((image.files.len(), image.dirs.len()), (0, 1));
    assert_eq!(
        whole.content("d/x"),
        Some(&[1, 2, 3][..]),
        "other images keep their bytes"
    );
    image.insert("e/y", vec![9]);
    let medium = SimMedium::new(image);
    assert_eq!(medium.list("e").unwrap().len(), 1);
    let mut byte = [0];
    medium.open("e/y").unwrap().read_at(0, &mut byte).unwrap();
    assert_eq!(byte, [9]);
}

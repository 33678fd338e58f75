//! What is in the place of a store's folders, on a real directory.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::rc::Rc;

use super::support::*;
use crate::medium::{DirectoryMedium, MediumErrorKind};
use crate::store::{CollectOptions, Store, StoreError};

const FOLDERS: [&str; 3] = ["tmp", "segments", "checkpoints"];

fn store_in(dir: &tempfile::TempDir) -> (PathBuf, Store) {
    let root = dir.path().join("store");
    let medium = DirectoryMedium::create(&root).unwrap();
    (root, store_on(Rc::new(medium), options(0)))
}

fn commit(store: &Store) -> Result<(), StoreError> {
    let mut staging = store.begin(new("g", None))?;
    put(&mut staging, &[(0, 0, 1), (1, 0, 2)])?;
    staging.commit().map(drop)
}

#[test]
fn folders_that_a_copying_tool_left_out_are_made_again() {
    for lost in FOLDERS {
        let dir = tempfile::tempdir().unwrap();
        let (root, store) = store_in(&dir);
        fs::remove_dir(root.join(lost)).unwrap();
        assert_eq!(store.verify(None).unwrap().findings, [], "without {lost}");
        store.collect(CollectOptions::default()).unwrap();
        commit(&store).unwrap();
        let seen = store.verify(None).unwrap();
        assert_eq!(
            (seen.checkpoints, seen.findings),
            (1, Vec::new()),
            "without {lost}"
        );
    }
}

#[test]
fn a_link_in_the_place_of_a_folder_or_of_the_lock_is_refused_and_not_followed() {
    for linked in ["tmp", "segments", "checkpoints", "lock"] {
        let dir = tempfile::tempdir().unwrap();
        let (root, store) = store_in(&dir);
        commit(&store).unwrap();
        let victim = dir.path().join("victim");
        fs::create_dir(&victim).unwrap();
        fs::write(victim.join("7"), "precious").unwrap();
        fs::rename(root.join(linked), dir.path().join("elsewhere")).unwrap();
        symlink(&victim, root.join(linked)).unwrap();
        for refused in [store.collect(CollectOptions::default()).map(drop), commit(&store)] {
            let Err(StoreError::Medium(error)) = refused else {
                panic!("{linked}: {refused:?}");
            };
            assert_eq!(
                (error.kind, error.path.split('/').next()),
                (MediumErrorKind::NotAFile, Some(linked)),
                "{}",
                error.source
            );
        }
        let left: Vec<_> = fs::read_dir(&victim)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["7"], "{linked}");
    }
}

#[test]
fn whoever_has_the_store_is_named_to_others() {
    let dir = tempfile::tempdir().unwrap();
    let (root, store) = store_in(&dir);
    let staging = store.begin(new("g", None)).unwrap();
    let other = store_on(Rc::new(DirectoryMedium::open(root).unwrap()), options(0));
    let busy = other.collect(CollectOptions::default()).unwrap_err().to_string();
    let me = format!("(process {} on ", std::process::id());
    assert!(busy.contains(&me), "{busy}");
    drop(staging);
    other.collect(CollectOptions::default()).unwrap();
}

//! Parts of a run, and what they are put together to.

use super::*;

fn shards(out: &Path, of: u32) {
    for shard in Shard::all(of) {
        run_all(
            &spec(),
            &RunOptions {
                shard: Some(shard),
                ..options(out, 2)
            },
        )
        .unwrap();
    }
}

fn merge_all(out: &Path) -> Result<RunReport, RunError> {
    merge(&spec(), out, &[], &Still)
}

#[test]
fn shards_merge_to_the_bytes_of_the_whole() {
    let (_dir, files) = reference();
    for of in [1, 3, 8] {
        let out = tempfile::tempdir().unwrap();
        shards(out.path(), of);
        assert!(
            status(out.path())
                .unwrap()
                .iter()
                .all(|part| part.status == Status::Complete)
        );
        merge_all(out.path()).unwrap();
        assert!(outputs(out.path()) == files, "{of} shards");
        // A merge that was interrupted is done again.
        merge_all(out.path()).unwrap();
        assert!(outputs(out.path()) == files);
        assert_eq!(status(out.path()).unwrap().len(), 1 + of as usize);
    }
    let out = tempfile::tempdir().unwrap();
    let many = RunOptions {
        shard: Shard::new(1, 9),
        ..options(out.path(), 1)
    };
    assert!(
        run_all(&spec(), &many)
            .unwrap_err()
            .to_string()
            .contains("has 8 cells")
    );
}

#[test]
fn only_all_shards_of_one_run_are_merged() {
    let out = tempfile::tempdir().unwrap();
    let complaint = || {
        let shown = format!("{}/", out.path().display());
        merge_all(out.path())
            .unwrap_err()
            .to_string()
            .replace(&shown, "")
            .replace(shown.trim_end_matches('/'), "out")
    };
    assert_eq!(
        complaint(),
        "out holds no shards: expected folders such as shard-1-of-8"
    );
    shards(out.path(), 3);
    let part = |number: u32| out.path().join(format!("shard-{number}-of-3"));
    let aside = out.path().join("aside");
    fs::rename(part(2), &aside).unwrap();
    assert_eq!(complaint(), "out: shards 2/3 are missing");
    let other = RunOptions {
        shard: Shard::new(2, 3),
        seed: Some(99),
        ..options(out.path(), 1)
    };
    run_all(&spec(), &other).unwrap();
    assert_eq!(
        complaint(),
        "shard-2-of-3 is of another run: it was begun with seed 99, this is 11"
    );
    fs::remove_dir_all(part(2)).unwrap();
    let cancelled = RunOptions {
        shard: Shard::new(2, 3),
        ..options(out.path(), 1)
    };
    run(&spec(), &cancelled, &Still, &mut |_| {}, &AtomicBool::new(true)).unwrap();
    assert_eq!(
        complaint(),
        "shard-2-of-3 is not complete: 0 of 21 trials; resume it first"
    );
    fs::remove_dir_all(part(2)).unwrap();
    fs::rename(&aside, part(2)).unwrap();
    let trials = fs::read_to_string(part(2).join(TRIALS)).unwrap();
    fs::write(part(2).join(TRIALS), trials.replacen('7', "8", 1)).unwrap();
    assert_eq!(
        complaint(),
        "shard-2-of-3/trials.csv is damaged: its BLAKE3 is not that of the manifest"
    );
    fs::write(part(2).join(TRIALS), trials).unwrap();
    fs::create_dir(out.path().join("shard-1-of-5")).unwrap();
    assert_eq!(
        complaint(),
        "out holds shards of 3 and of 5 parts: remove those that do not belong"
    );
}

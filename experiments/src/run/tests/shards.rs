//! Parts of a run, and what they are put together to.

use super::*;

/// The bytes of all files of a shard but its manifest.
const GROWING: [&str; 3] = [TRIALS, DOWNTIME, RECOVERY];

fn run_shard(spec: &Spec, out: &Path, shard: Shard, resume: bool) -> Result<RunReport, RunError> {
    let part = RunOptions {
        shard: Some(shard),
        resume,
        ..options(out, 2)
    };
    run_all(spec, &part)
}

pub(super) fn run_and_merge(spec: &Spec, out: &Path, of: u32) {
    for shard in Shard::all(of) {
        let report = run_shard(spec, out, shard, false).unwrap();
        assert_eq!(report.status, Status::Complete);
    }
    merge(spec, out, &[], &Still).unwrap();
}

fn merge_all(out: &Path) -> Result<RunReport, RunError> {
    merge(&spec(), out, &[], &Still)
}

pub(super) fn manifest_of(folder: &Path) -> Manifest {
    serde_json::from_slice(&fs::read(folder.join(MANIFEST)).unwrap()).unwrap()
}

#[test]
fn shards_merge_to_the_bytes_of_the_whole() {
    let (_dir, files) = reference();
    // Whole cells, parts of cells, a trial each, and more than there are trials.
    for of in [1, 3, 8, 13, 56, 75] {
        let out = tempfile::tempdir().unwrap();
        run_and_merge(&spec(), out.path(), of);
        assert!(outputs(out.path()) == files, "{of} shards");
        // A merge that was interrupted is done again.
        merge_all(out.path()).unwrap();
        assert!(outputs(out.path()) == files);
        let found = status(out.path()).unwrap();
        let parts = &found[1..];
        assert!(found.iter().all(|part| part.status == Status::Complete));
        assert!(parts.iter().all(|part| part.trials_done == part.trials));
        assert_eq!(parts.iter().map(|part| part.trials).sum::<u64>(), 56);
        let share = 56 / u64::from(of);
        assert!(
            parts
                .iter()
                .all(|part| (share..=share + 1).contains(&part.trials))
        );
    }
}

/// One cell, large enough that threads read and run it in pieces.
#[test]
fn one_cell_is_shared_by_many() {
    let text = SPEC_TEXT
        .replace("trials = 7", "trials = 9001")
        .replace("[\"2h\", \"1000h\"]", "\"5h\"")
        .replace(
            "[[policy]]\nkind = \"daly-higher\"\n[[policy]]\nkind = \"never\"\n",
            "",
        )
        .replace("[\"10min\", \"1h\"]", "\"30min\"");
    let spec = Spec::parse(&text, Path::new("one.toml")).unwrap();
    let whole = tempfile::tempdir().unwrap();
    let report = run_all(&spec, &options(whole.path(), 2)).unwrap();
    assert_eq!((report.counts.cells, report.counts.trials_done), (1, 9001));
    for of in [2, 7] {
        let out = tempfile::tempdir().unwrap();
        run_and_merge(&spec, out.path(), of);
        assert!(outputs(out.path()) == outputs(whole.path()), "{of} shards");
    }
}

/// A sweep, with a number of trials that is given or comes from a pilot.
fn any_spec() -> impl Strategy<Value = Spec> {
    let policies = [
        "[[policy]]\nkind = \"fixed\"\ninterval = [\"10min\", \"1h\"]\n",
        "[[policy]]\nkind = \"daly-higher\"\n",
        "[[policy]]\nkind = \"never\"\n",
    ];
    let policies = proptest::sample::subsequence(policies.to_vec(), 1..=3);
    let mtbf = prop_oneof![Just("\"9h\""), Just("[\"2h\", \"1000h\"]")];
    let precision = prop_oneof![Just(""), Just("[precision]\nmakespan = 0.02\ntrials_max = 60\n")];
    (policies, mtbf, precision, 2u32..20, any::<u32>()).prop_map(
        |(policies, mtbf, precision, trials, seed)| {
            let first = SPEC_TEXT.find("[[policy]]").unwrap();
            let text = SPEC_TEXT[..first]
                .replace("trials = 7", &format!("trials = {trials}"))
                .replace("seed = 11", &format!("seed = {seed}"))
                .replace("[\"2h\", \"1000h\"]", mtbf)
                .replace("[job]", &format!("{precision}[job]"));
            Spec::parse(&(text + &policies.concat()), Path::new("any.toml")).unwrap()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn any_shards_of_any_run_merge_to_its_bytes(spec in any_spec(), of in prop_oneof![1u32..10, 1u32..100]) {
        let whole = tempfile::tempdir().unwrap();
        run_all(&spec, &options(whole.path(), 2)).unwrap();
        let parts = tempfile::tempdir().unwrap();
        run_and_merge(&spec, parts.path(), of);
        prop_assert!(outputs(parts.path()) == outputs(whole.path()));
    }

    /// Killed at any byte of any of its growing files, with or without rubbish at the end; where it begins and ends in the middle of cells,
    /// too, or has no trials at all.
    #[test]
    fn a_killed_shard_resumes_to_the_same_bytes(
        spec in any_spec(),
        (number, of) in (1u32..40).prop_flat_map(|of| (1..=of, Just(of))),
        cuts in [0usize..=1_000, 0usize..=1_000, 0usize..=1_000],
        rubbish in prop_oneof![Just(Vec::new()), proptest::collection::vec(any::<u8>(), 1..40)],
    ) {
        let dir = tempfile::tempdir().unwrap();
        let shard = Shard::new(number, of).unwrap();
        let files = || GROWING.map(|name| fs::read(shard.folder(dir.path()).join(name)).unwrap());
        run_shard(&spec, dir.path(), shard, false).unwrap();
        let finished = files();
        for ((name, cut), bytes) in GROWING.into_iter().zip(cuts).zip(&finished) {
            let kept = bytes[..bytes.len() * cut / 1_000].iter().chain(&rubbish).copied();
            fs::write(shard.folder(dir.path()).join(name), kept.collect::<Vec<u8>>()).unwrap();
        }
        let report = run_shard(&spec, dir.path(), shard, true).unwrap();
        prop_assert_eq!(report.status, Status::Complete);
        prop_assert_eq!(report.counts.trials_done, manifest_of(&report.out).identity.trials);
        prop_assert!(files() == finished);
    }
}

/// A sentence of a refusal, without the folder.
fn complaint(out: &Path) -> String {
    let shown = format!("{}/", out.display());
    merge_all(out)
        .unwrap_err()
        .to_string()
        .replace(&shown, "")
        .replace(shown.trim_end_matches('/'), "out")
}

#[test]
fn only_all_shards_of_one_run_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path();
    assert_eq!(
        complaint(out),
        "out holds no shards: expected folders such as shard-1-of-8"
    );
    for shard in Shard::all(3) {
        run_shard(&spec(), out, shard, false).unwrap();
    }
    let second = Shard::new(2, 3).unwrap();
    let part = second.folder(out);
    let aside = out.join("aside");
    fs::rename(&part, &aside).unwrap();
    assert_eq!(complaint(out), "out: shards 2/3 are missing");
    let other = RunOptions {
        shard: Some(second),
        seed: Some(99),
        ..options(out, 1)
    };
    run_all(&spec(), &other).unwrap();
    assert_eq!(
        complaint(out),
        "shard-2-of-3 is of another run: it was begun with seed 99, this is 11"
    );
    fs::remove_dir_all(&part).unwrap();
    let cancelled = RunOptions {
        shard: Some(second),
        ..options(out, 1)
    };
    run(&spec(), &cancelled, &Still, &mut |_| {}, &AtomicBool::new(true)).unwrap();
    assert_eq!(
        complaint(out),
        "shard-2-of-3 is not complete: 0 of 19 trials; resume it first"
    );
    let found = status(out).unwrap();
    let told: Vec<_> = found
        .iter()
        .map(|part| (part.status, part.trials_done, part.trials))
        .collect();
    let complete = Status::Complete;
    assert_eq!(
        told,
        [
            (complete, 18, 18),
            (Status::Interrupted, 0, 19),
            (complete, 19, 19)
        ]
    );
    fs::remove_dir_all(&part).unwrap();
    fs::rename(&aside, &part).unwrap();
    fs::create_dir(out.join("shard-1-of-5")).unwrap();
    assert_eq!(
        complaint(out),
        "out holds shards of 3 and of 5 parts: remove those that do not belong"
    );
}

#[test]
fn damaged_files_of_shards_are_named() {
    let dir = tempfile::tempdir().unwrap();
    run_and_merge(&spec(), dir.path(), 3);
    let part = Shard::new(2, 3).unwrap().folder(dir.path());
    for name in GROWING {
        let text = fs::read_to_string(part.join(name)).unwrap();
        let at = text.rfind(['7', 'A', '4']).unwrap();
        let damaged = text[..at].to_owned() + "x" + &text[at + 1..];
        fs::write(part.join(name), damaged).unwrap();
        let expected = format!("shard-2-of-3/{name} is damaged: its BLAKE3 is not that of the manifest");
        assert_eq!(complaint(dir.path()), expected);
        fs::write(part.join(name), text).unwrap();
    }
    merge_all(dir.path()).unwrap();
}

/// Even if its digest is put right: rows that are there twice, in another order, or are another run's are not added up. Two
/// processes that wrote to one folder left such shards.
#[test]
fn strange_rows_of_shards_are_named() {
    let dir = tempfile::tempdir().unwrap();
    run_and_merge(&spec(), dir.path(), 3);
    let part = Shard::new(2, 3).unwrap().folder(dir.path());
    let (text, manifest) = (fs::read_to_string(part.join(TRIALS)).unwrap(), manifest_of(&part));
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let strange = |change: &dyn Fn(&mut Vec<&str>)| {
        let mut lines = lines.clone();
        change(&mut lines);
        lines.concat()
    };
    let last = lines.len() - 1;
    for (text, expected) in [
        (strange(&|lines| lines.insert(3, lines[3])), "in row 4"),
        (
            strange(&|lines| lines.push(lines[last])),
            "no row behind that of the last",
        ),
        (strange(&|lines| lines.swap(1, 2)), "in row 1"),
        (strange(&|lines| lines.truncate(last)), "in row "),
        (text.clone() + "2", "no row behind that of the last"),
    ] {
        let mut manifest = manifest.clone();
        let digest = blake3::hash(text.as_bytes()).to_hex().to_string();
        manifest.outputs_blake3.insert(TRIALS.to_owned(), digest);
        fs::write(part.join(TRIALS), text).unwrap();
        fs::write(part.join(MANIFEST), manifest.to_json()).unwrap();
        let said = complaint(dir.path());
        assert!(
            said.contains("shard-2-of-3/trials.csv is not what one process writes")
                && said.contains(expected),
            "{said}"
        );
    }
}

/// Even if its digest is put right: a histogram that cannot be read, or is of something else, is not added up.
#[test]
fn strange_histograms_of_shards_are_named() {
    let dir = tempfile::tempdir().unwrap();
    run_and_merge(&spec(), dir.path(), 3);
    let part = Shard::new(2, 3).unwrap().folder(dir.path());
    let (text, manifest) = (
        fs::read_to_string(part.join(RECOVERY)).unwrap(),
        manifest_of(&part),
    );
    // It begins and ends in the middle of a cell, with one in between.
    let tags: Vec<_> = text
        .lines()
        .skip(3)
        .map(|line| line.split(',').next().unwrap())
        .collect();
    assert!(
        tags[0].starts_with("Tag=2.model+") && tags[0].ends_with("ns"),
        "{tags:?}"
    );
    assert!(tags[1] == "Tag=3.model" && tags.len() > 3, "{tags:?}");
    let (shared, alone) = (
        "shard-2-of-3/recovery.hlog is not as its shard writes it: expected the histogram of cell 2.model",
        "cell 3.model",
    );
    for (from, to, expected) in [
        ("HISTF", "HISTG", shared),
        ("Tag=2.", "Tag=1.", shared),
        ("ns,", ",", shared),
        ("Tag=3.", "Tag=4.", alone),
        ("Tag=3.model", "Tag=3.model+1ns", alone),
        ("1.3", "1.4", "expected the header of a histogram log"),
    ] {
        let mut manifest = manifest.clone();
        let strange = text.replacen(from, to, 1);
        assert_ne!(strange, text);
        let digest = blake3::hash(strange.as_bytes()).to_hex().to_string();
        manifest.outputs_blake3.insert(RECOVERY.to_owned(), digest);
        fs::write(part.join(RECOVERY), strange).unwrap();
        fs::write(part.join(MANIFEST), manifest.to_json()).unwrap();
        let said = complaint(dir.path());
        assert!(said.ends_with(expected), "{said}");
    }
}

/// A cell's trials come from a pilot in each shard that shares it. They agree, or are not of one run.
#[test]
fn shards_that_share_a_cell_say_the_same_of_it() {
    let precision = "[precision]\nmakespan = 0.01\ntrials_max = 60\n[job]";
    let text = SPEC_TEXT.replace("[job]", precision);
    let spec = Spec::parse(&text, Path::new("wanted.toml")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    run_and_merge(&spec, dir.path(), 3);
    let sizes = |number: u32| {
        manifest_of(&Shard::new(number, 3).unwrap().folder(dir.path()))
            .identity
            .trials_of_cells
    };
    assert_eq!(sizes(1)[2], sizes(2)[0]);
    assert!(sizes(1).iter().any(|&trials| trials > 7));
    let part = Shard::new(1, 3).unwrap().folder(dir.path());
    let mut manifest = manifest_of(&part);
    manifest.identity.trials_of_cells[2] += 1;
    fs::write(part.join(MANIFEST), manifest.to_json()).unwrap();
    let error = merge(&spec, dir.path(), &[], &Still).unwrap_err();
    assert!(
        matches!(
            error,
            RunError::ForeignShard { ref what, .. } if what == "trials of its cells"
        ),
        "{error}"
    );
}

/// A trial is found in the shard that has it, and in no other.
#[test]
fn trials_of_shards_are_replayed() {
    let precision = "[precision]\nmakespan = 0.01\ntrials_max = 60\n[job]";
    let text = SPEC_TEXT.replace("[job]", precision).replace("\"2h\", ", "");
    let spec = Spec::parse(&text, Path::new("wanted.toml")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let folder = |number: u32| Shard::new(number, 3).unwrap().folder(dir.path());
    run_and_merge(&spec, dir.path(), 3);
    // Four cells: the second part ends within the third.
    replay(&folder(2), None, &which(2, 3)).unwrap();
    let elsewhere = replay(&folder(2), None, &which(2, 45)).unwrap_err();
    assert!(matches!(elsewhere, RunError::NoSuchTrial { .. }), "{elsewhere}");
    replay(&folder(3), None, &which(2, 45)).unwrap();
}

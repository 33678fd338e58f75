mod shards;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use revenant_core::Timestamp;

use super::*;
use shards::manifest_of;

/// A clock that always says the same, so that manifests can be compared.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp(1_000_000_000)
    }
}

const SPEC_TEXT: &str = r#"
name = "small"
seed = 11
trials = 7
levels = ["model"]
[job]
work = "10h"
final_checkpoint = true
[failures]
law = "exponential"
mtbf = ["2h", "1000h"]
[checkpoint]
cost = "60s"
restart = "2min"
[limits]
failures = 40
[[policy]]
kind = "fixed"
interval = ["10min", "1h"]
[[policy]]
kind = "daly-higher"
[[policy]]
kind = "never"
"#;

const OUTPUTS: [&str; 7] = [SPEC, TRIALS, SUMMARY, PAIRED, THEORY, DOWNTIME, RECOVERY];

fn spec() -> Spec {
    Spec::parse(SPEC_TEXT, Path::new("small.toml")).unwrap()
}

fn options(out: &Path, jobs: usize) -> RunOptions {
    RunOptions {
        out: out.to_owned(),
        jobs,
        seed: None,
        trials: None,
        shard: None,
        resume: false,
        overwrite: false,
        command: vec![],
    }
}

fn run_all(spec: &Spec, options: &RunOptions) -> Result<RunReport, RunError> {
    run(spec, options, &Still, &mut |_| {}, &AtomicBool::new(false))
}

fn outputs(out: &Path) -> Vec<Vec<u8>> {
    OUTPUTS
        .iter()
        .map(|name| fs::read(out.join(name)).unwrap())
        .collect()
}

/// A finished run and its files.
fn reference() -> (tempfile::TempDir, Vec<Vec<u8>>) {
    let dir = tempfile::tempdir().unwrap();
    let report = run_all(&spec(), &options(dir.path(), 1)).unwrap();
    assert_eq!(report.status, Status::Complete);
    assert_eq!(report.counts.trials_done, 56);
    assert!(report.counts.failures > 0, "nothing struck");
    let files = outputs(dir.path());
    (dir, files)
}

#[test]
fn the_number_of_jobs_does_not_show() {
    let (_dir, files) = reference();
    for jobs in [2, 5] {
        let other = tempfile::tempdir().unwrap();
        run_all(&spec(), &options(other.path(), jobs)).unwrap();
        assert!(outputs(other.path()) == files, "{jobs} jobs");
    }
}

/// A small sweep at both levels, with suspensions.
fn simulated() -> Spec {
    let text = SPEC_TEXT
        .replace(
            "[\"model\"]",
            "[\"model\", \"sim\"]\n[guest]\nprograms = [\"sliding\", \"idle\"]",
        )
        .replace("\"60s\"", "\"measured\"")
        .replace("\"2min\"", "\"measured\"")
        .replace("trials = 7", "trials = 2")
        .replace("\"10h\"", "\"30min\"")
        .replace("interval = [\"10min\", \"1h\"]", "interval = [\"3min\"]")
        .replace(
            "mtbf = [\"2h\", \"1000h\"]",
            "mtbf = [\"12min\"]\nkinds = { guest-crash = 0.5, host-loss = 0.5 }",
        )
        .replace("[limits]", "[world]\nrepresents = 10000\n[limits]");
    Spec::parse(&text, Path::new("sim.toml")).unwrap()
}

#[test]
fn neither_jobs_nor_shards_show_in_simulated_worlds() {
    let spec = simulated();
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run_all(&spec, &options(one.path(), 1)).unwrap();
    run_all(&spec, &options(two.path(), 2)).unwrap();
    assert!(outputs(one.path()) == outputs(two.path()));
    let parts = tempfile::tempdir().unwrap();
    shards::run_and_merge(&spec, parts.path(), 9);
    assert!(outputs(one.path()) == outputs(parts.path()));
    let rows = fs::read_to_string(one.path().join(TRIALS)).unwrap();
    assert!(rows.contains(",sim,") && rows.contains(",true\n") && !rows.contains(",false\n"));
    let suspensions = fs::read_to_string(one.path().join(DOWNTIME)).unwrap();
    assert!(suspensions.contains("\nTag=0.sim,") && suspensions.contains("\n#[no values: 0.model]"));
}

/// Two long trials of different length: Student's t takes the makespan's interval far below zero.
#[test]
fn waste_stays_a_share_where_few_trials_say_little() {
    let plan = Plan::new(&spec(), &[vec![Costs::default()]]);
    let mut cell = crate::summary::CellSummary::new(2);
    for makespan_s in [37_000.0, 900_000.0] {
        cell.add(&crate::lines::Measured {
            completed: true,
            reason: None,
            makespan_s: Some(makespan_s),
            waste: Some(0.5),
            lost_s: Some(0.0),
            failures: 1,
            checkpoints: 0,
        });
    }
    let row = cell
        .finish(&plan, &plan.cells[0], |_| -> Result<(), ()> { Ok(()) })
        .unwrap();
    assert!(row.makespan_ci95_lo_s.unwrap() < 0.0);
    let (mean, high) = (row.waste_mean.unwrap(), row.waste_ci95_hi.unwrap());
    assert_eq!(row.waste_ci95_lo, Some(0.0));
    assert!(mean < high && high < 1.0, "{mean} {high}");
}

#[test]
fn a_summary_has_a_row_a_cell_and_tells_what_was_given_up() {
    let (dir, _) = reference();
    let text = fs::read_to_string(dir.path().join(SUMMARY)).unwrap();
    let rows: Vec<record::SummaryRow> = text
        .split_inclusive('\n')
        .skip(1)
        .map(|line| record::parse(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 8);
    let never = &rows[3];
    assert_eq!((never.policy.as_str(), never.mtbf_s), ("never", 7200.0));
    assert!(never.n_completed < never.n);
    assert_eq!(
        (never.waste_mean, never.makespan_mean_s, never.rel_err),
        (None, None, None)
    );
    let rare = &rows[7];
    assert_eq!((rare.n, rare.n_completed), (7, 7));
    assert!(rare.rel_err.unwrap().abs() < 0.1);
    let manifest: Manifest = serde_json::from_slice(&fs::read(dir.path().join(MANIFEST)).unwrap()).unwrap();
    assert!(
        manifest
            .warnings
            .iter()
            .any(|warning| warning.contains("(failure-limit)"))
    );
    let of_summary = blake3::hash(text.as_bytes()).to_hex().to_string();
    assert_eq!(manifest.outputs_blake3[SUMMARY], of_summary);
}

#[test]
fn an_interrupted_run_goes_on_to_the_same_bytes() {
    // Enough trials that a cancel comes long before the last one is begun.
    let long = SPEC_TEXT.replace("trials = 7", "trials = 600");
    let long = Spec::parse(&long, Path::new("long.toml")).unwrap();
    let whole = tempfile::tempdir().unwrap();
    run_all(&long, &options(whole.path(), 2)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path(), 2);
    let mut processes = 0;
    let mut done = 0;
    loop {
        let cancel = AtomicBool::new(false);
        let mut seen = 0;
        let mut progress = |progress: Progress| {
            assert!(progress.trials_done >= seen, "backwards");
            seen = progress.trials_done;
            cancel.store(seen >= done + 3, Ordering::Relaxed);
        };
        let report = run(&long, &options, &Still, &mut progress, &cancel).unwrap();
        processes += 1;
        assert!(report.counts.trials_done > done || report.status == Status::Complete);
        done = report.counts.trials_done;
        if report.status == Status::Complete {
            break;
        }
        options.resume = true;
    }
    assert!(processes > 2, "interrupted {} times", processes - 1);
    assert!(outputs(dir.path()) == outputs(whole.path()));
}

#[test]
fn only_the_run_that_was_begun_is_resumed_and_nothing_is_overwritten_unasked() {
    let (dir, files) = reference();
    let again = options(dir.path(), 1);
    assert!(matches!(run_all(&spec(), &again), Err(RunError::Exists { .. })));
    let resume = RunOptions {
        resume: true,
        ..again.clone()
    };
    let other = RunOptions {
        seed: Some(12),
        ..resume.clone()
    };
    let error = run_all(&spec(), &other).unwrap_err().to_string();
    assert!(
        error.ends_with("it was begun with seed 11, this is 12"),
        "{error}"
    );
    let other = RunOptions {
        trials: Some(8),
        ..resume.clone()
    };
    assert!(
        run_all(&spec(), &other)
            .unwrap_err()
            .to_string()
            .contains("with trials a cell")
    );
    let other = |text: &str| Spec::parse(text, Path::new("small.toml")).unwrap();
    let different = SPEC_TEXT.replace("daly-higher", "young");
    let error = run_all(&other(&different), &resume).unwrap_err().to_string();
    assert!(
        error.contains("policy[1].kind = \"daly-higher\", this is \"young\""),
        "{error}"
    );
    // What is only written otherwise is the same run.
    run_all(&other(&format!("# more\n{SPEC_TEXT}")), &resume).unwrap();
    run_all(&spec(), &resume).unwrap();
    let empty = tempfile::tempdir().unwrap();
    fs::write(empty.path().join("thesis.tex"), "precious").unwrap();
    let foreign = RunOptions {
        out: empty.path().to_owned(),
        overwrite: true,
        ..again.clone()
    };
    assert!(matches!(
        run_all(&spec(), &foreign),
        Err(RunError::NotARun { .. })
    ));
    run_all(&spec(), &resume).unwrap();
    assert!(outputs(dir.path()) == files);
    run_all(
        &spec(),
        &RunOptions {
            overwrite: true,
            ..again
        },
    )
    .unwrap();
    assert!(outputs(dir.path()) == files);
}

/// A run that was killed before it had a manifest, or whose folder was never made.
#[test]
fn a_resume_of_nothing_begins() {
    let (_, files) = reference();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a/b");
    let resume = RunOptions {
        resume: true,
        ..options(&out, 1)
    };
    run_all(&spec(), &resume).unwrap();
    assert!(outputs(&out) == files);
    fs::create_dir(dir.path().join("killed")).unwrap();
    fs::write(dir.path().join("killed/.manifest.json.new"), "{").unwrap();
    let killed = dir.path().join("killed");
    run_all(
        &spec(),
        &RunOptions {
            out: killed.clone(),
            ..resume
        },
    )
    .unwrap();
    assert!(outputs(&killed) == files);
}

/// Whatever one writer does, others are refused meanwhile and change nothing.
#[test]
fn a_second_writer_is_refused_and_the_first_comes_out_as_if_alone() {
    let (_, files) = reference();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path();
    let alone = options(out, 1);
    let others = [
        alone.clone(),
        RunOptions {
            resume: true,
            ..alone.clone()
        },
        RunOptions {
            overwrite: true,
            ..alone.clone()
        },
    ];
    let mut refused = 0;
    let mut progress = |_: Progress| {
        for other in &others {
            let error =
                thread::scope(|scope| scope.spawn(|| run_all(&spec(), other)).join().unwrap()).unwrap_err();
            let error = error.to_string();
            assert!(
                error.contains("is writing to") && error.contains(&std::process::id().to_string()),
                "{error}"
            );
            refused += 1;
        }
    };
    run(&spec(), &alone, &Still, &mut progress, &AtomicBool::new(false)).unwrap();
    assert!(refused > 3);
    assert!(outputs(out) == files);

    // Nor does a run that lost its lock say that it is complete.
    let mut lost = |_: Progress| drop(fs::remove_file(out.join(".lock")));
    let again = RunOptions {
        overwrite: true,
        ..alone
    };
    let error = run(&spec(), &again, &Still, &mut lost, &AtomicBool::new(false)).unwrap_err();
    assert!(matches!(error, RunError::LockLost { .. }), "{error}");
    assert_ne!(manifest_of(out).status, Status::Complete);
}

/// Each file of a complete run, changed in one byte, cut, longer, or gone.
#[test]
fn a_complete_run_that_was_changed_is_told_and_not_made_official() {
    let (dir, files) = reference();
    let out = dir.path();
    let resume = RunOptions {
        resume: true,
        ..options(out, 1)
    };
    assert_eq!(damaged(out).unwrap(), Vec::<String>::new());
    for (name, whole) in OUTPUTS.iter().zip(&files) {
        let middle = whole.len() / 2 + usize::from(whole[whole.len() / 2] == b'\n');
        let mut flipped = whole.clone();
        flipped[middle] ^= 1;
        let cut = whole[..whole.len() - 20].to_vec();
        let longer = [whole, &b"0,0\n"[..]].concat();
        for (how, bytes) in [("a byte", flipped), ("cut", cut), ("longer", longer)] {
            fs::write(out.join(name), bytes).unwrap();
            assert_eq!(damaged(out).unwrap(), [*name], "{name}: {how}");
            match run_all(&spec(), &resume) {
                // Whatever can be made again is.
                Ok(_) => assert!(outputs(out) == files, "{name}: {how}"),
                Err(error) => {
                    let told = error.to_string();
                    assert!(told.contains(name), "{name}: {how}: {told}");
                    // Not at the second attempt either.
                    assert_eq!(run_all(&spec(), &resume).unwrap_err().to_string(), told);
                    assert_ne!(manifest_of(out).status, Status::Complete);
                    let overwrite = RunOptions {
                        overwrite: true,
                        ..options(out, 1)
                    };
                    run_all(&spec(), &overwrite).unwrap();
                }
            }
            assert!(outputs(out) == files, "{name}: {how}");
            assert_eq!(damaged(out).unwrap(), Vec::<String>::new());
        }
    }
}

#[test]
fn a_row_that_comes_out_differently_is_not_built_upon() {
    let (dir, _) = reference();
    let path = dir.path().join(TRIALS);
    let text = fs::read_to_string(&path).unwrap();
    // The first cell is incomplete, and its second row says that it met one failure more.
    let mut lines: Vec<_> = text.split_inclusive('\n').take(4).map(str::to_owned).collect();
    let mut row: TrialRow = record::parse(&lines[2]).unwrap();
    row.failures += 1;
    lines[2] = record::line(&row);
    fs::write(&path, lines.concat()).unwrap();
    let resume = RunOptions {
        resume: true,
        ..options(dir.path(), 1)
    };
    let error = run_all(&spec(), &resume).unwrap_err();
    assert!(
        matches!(error, RunError::NotReproducible { row: 2, .. }),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Killed at any byte of any of the growing files, with or without rubbish at the end.
    #[test]
    fn a_killed_run_resumes_to_the_same_bytes(
        cuts in [0usize..=1_000, 0usize..=1_000, 0usize..=1_000],
        rubbish in prop_oneof![Just(Vec::new()), proptest::collection::vec(any::<u8>(), 1..40)],
        jobs in 1usize..3,
    ) {
        let (dir, files) = reference();
        for (name, cut) in [TRIALS, DOWNTIME, RECOVERY].into_iter().zip(cuts) {
            let path = dir.path().join(name);
            let mut bytes = fs::read(&path).unwrap();
            bytes.truncate(bytes.len() * cut / 1_000);
            bytes.extend_from_slice(&rubbish);
            fs::write(&path, bytes).unwrap();
        }
        fs::remove_file(dir.path().join(SUMMARY)).unwrap();
        let report = run_all(&spec(), &RunOptions { resume: true, ..options(dir.path(), jobs) }).unwrap();
        prop_assert_eq!(report.status, Status::Complete);
        prop_assert!(outputs(dir.path()) == files);
    }
}

fn which(point: u32, trial: u32) -> Which {
    Which {
        level: None,
        point,
        trial,
        jobs: 0..=999,
    }
}

#[test]
fn a_trial_is_replayed_as_its_row_has_it_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    run_all(
        &spec(),
        &RunOptions {
            seed: Some(5),
            trials: Some(3),
            ..options(&out, 1)
        },
    )
    .unwrap();
    let (path, timeline) = replay(&out, None, &which(0, 2)).unwrap();
    assert_eq!(path, out.join("replay/point-0-model-trial-2/timeline.json"));
    let read: Timeline = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(read, timeline);
    let (first, last) = (timeline.spans.first().unwrap(), timeline.spans.last().unwrap());
    assert_eq!((first.start_s, last.end_s), (0.0, timeline.makespan_s));
    let failures = timeline.events.iter().filter(|event| event.what == "failure");
    assert!(failures.count() > 0 && timeline.spans.iter().any(|span| span.phase == "lost"));
    assert_eq!(timeline.events.last().unwrap().what, "finished");
    for (point, trial) in [(0, 3), (99, 0)] {
        assert!(matches!(
            replay(&out, None, &which(point, trial)),
            Err(RunError::NoSuchTrial { .. })
        ));
    }
    let rows = fs::read_to_string(out.join(TRIALS)).unwrap();
    fs::write(out.join(TRIALS), rows.replacen(",true,,", ",true,,1", 3)).unwrap();
    assert!(matches!(
        replay(&out, None, &which(0, 2)),
        Err(RunError::ComesOutDifferently { row: 3, .. })
    ));
}

const CLUSTER_TEXT: &str = r#"
name = "many"
seed = 5
trials = 3
levels = ["model", "cluster"]
[job]
work = "5h"
[failures]
law = { weibull = 0.7 }
mtbf = "10h"
downtime = "1min"
kinds = { host-crash = 0.5, host-loss = 0.5 }
[checkpoint]
cost = "10s"
restart = "30s"
[cluster]
hosts = 4
slots_per_host = 2
repair = "1h"
jobs_csv = true
[cluster.workload]
jobs = 20
interarrival = "20min"
length = { weibull = 0.8 }
memory = "1GiB"
width = [1, 3]
[cluster.store.disk]
kind = "local"
bandwidth = "100MiB"
[cluster.store.nfs]
kind = "shared"
bandwidth = "50MiB"
[sweep]
"cluster.checkpoint_to" = [["disk"], ["nfs"], ["disk", "nfs"]]
[[policy]]
kind = "young"
[[policy]]
kind = "di"
"#;

/// Of clusters, too, the files depend on the spec alone: not on threads, shards or a process that died.
#[test]
fn a_cluster_leaves_the_same_bytes_however_it_is_run() {
    let spec = Spec::parse(CLUSTER_TEXT, Path::new("many.toml")).unwrap();
    let all = |out: &Path| {
        let tables = [CLUSTER, JOBS].into_iter().chain(OUTPUTS);
        tables
            .map(|name| fs::read(out.join(name)).unwrap())
            .collect::<Vec<_>>()
    };
    let whole = tempfile::tempdir().unwrap();
    let report = run_all(&spec, &options(whole.path(), 1)).unwrap();
    assert_eq!((report.status, report.counts.given_up), (Status::Complete, 0));
    let files = all(whole.path());
    let lines = |file: usize| files[file].split(|&byte| byte == b'\n').count() - 1;
    assert_eq!((lines(0), lines(1)), (1 + 6 * 3, 1 + 6 * 3 * 20));

    let of_jobs = |jobs| Which {
        level: Some(Level::Cluster),
        jobs,
        ..which(0, 2)
    };
    let (_, timeline) = replay(whole.path(), None, &of_jobs(5..=30)).unwrap();
    assert!(timeline.jobs.iter().map(|job| job.job).eq(5..20) && timeline.spans.is_empty());
    assert!(matches!(
        replay(whole.path(), None, &of_jobs(20..=30)),
        Err(RunError::NoSuchJobs { .. })
    ));

    let threads = tempfile::tempdir().unwrap();
    run_all(&spec, &options(threads.path(), 3)).unwrap();
    assert!(all(threads.path()) == files);

    for of in [5, 17] {
        let out = tempfile::tempdir().unwrap();
        shards::run_and_merge(&spec, out.path(), of);
        assert!(all(out.path()) == files, "{of} shards");
    }

    let trials = whole.path().join(TRIALS);
    let bytes = fs::read(&trials).unwrap();
    for kept in [0, bytes.len() / 5, bytes.len() / 2, bytes.len() - 3] {
        fs::write(&trials, &bytes[..kept]).unwrap();
        let resumed = RunOptions {
            resume: true,
            ..options(whole.path(), 2)
        };
        run_all(&spec, &resumed).unwrap();
        assert!(all(whole.path()) == files, "{kept} bytes were left");
    }
}

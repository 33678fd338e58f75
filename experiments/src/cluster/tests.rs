use proptest::prelude::*;
use revenant_core::policy::{Choice, IntervalPolicy};

use super::*;
use crate::failures::{FailureStream, Law};
use crate::model::{Costs, ModelJob, Phase, Rules, What};
use crate::outcome::{End, Reason};

const SECOND: Duration = Duration::from_secs(1);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn store(bandwidth: Option<u64>) -> StoreKind {
    StoreKind {
        bandwidth: bandwidth.map(|total| Bandwidth { total, stream: None }),
        latency: Duration::ZERO,
        count: 1,
        survives_host_loss: false,
    }
}

fn cluster(hosts: u32, jobs: u64) -> Cluster {
    Cluster {
        hosts,
        slots_per_host: 1,
        memory_per_host: u64::MAX,
        spares: 0,
        repair: Duration::ZERO,
        local: None,
        shared: Some(store(None)),
        shared_every: None,
        workload: Workload::Synthetic(Synthetic {
            jobs,
            arrivals: Arrivals::AtOnce,
            length: Spread::Constant,
            memory: 0,
            memory_law: Spread::Constant,
            width: vec![1],
        }),
        jobs_csv: false,
    }
}

/// A3 of Daly's model: W = 10⁶ s, C = 60 s, R = 120 s, M = 20,000 s.
fn run<'a>(cluster: &'a Cluster, process: &'a Process, kinds: Kinds) -> ClusterRun<'a> {
    ClusterRun {
        cluster,
        checkpoint: seconds(60),
        restart: seconds(120),
        work: seconds(1_000_000),
        final_checkpoint: false,
        process,
        kinds,
        mtbf: seconds(20_000),
        detection: Duration::ZERO,
        hang_detection: Duration::ZERO,
        downtime: Duration::ZERO,
        reboot: Duration::ZERO,
        shared_every: 1,
        limits: Limits {
            failures: 100_000,
            time: seconds(1_000_000_000),
        },
    }
}

fn policy(text: &str) -> impl Fn(Duration) -> Box<dyn IntervalPolicy> {
    let choice: Choice = text.parse().unwrap();
    move |work| choice.policy(work)
}

fn go(run: &ClusterRun<'_>, text: &str, seed: u64) -> (Outcome, Vec<JobRecord>) {
    let mut jobs = Vec::new();
    let outcome = run
        .run(&policy(text), false, TrialSeed(seed), &mut |job| jobs.push(*job))
        .unwrap();
    (outcome, jobs)
}

fn kinds(host_crash: f64, host_loss: f64) -> Kinds {
    Kinds {
        guest_crash: 1.0 - host_crash - host_loss,
        host_crash,
        host_loss,
        ..Kinds::default()
    }
}

static MEMORYLESS: Process = Process::EXPONENTIAL;

proptest! {
    /// One host, one job, a store as fast as one likes: the outcome is level `model`'s, to the nanosecond.
    #[test]
    fn a_cluster_of_one_is_the_single_job(
        seed in any::<u64>(),
        detection in 0u64..100,
        downtime in 0u64..100,
        weibull in prop::option::of(0.5f64..2.0),
        (text, final_checkpoint) in (prop::sample::select(
            vec!["fixed(interval=1600s)", "young", "never", "lazy(shape=0.6)", "adaptive", "fixed(interval=50000s)"],
        ), any::<bool>()),
        local in any::<bool>(),
    ) {
        let mut cluster = cluster(1, 1);
        if local {
            (cluster.local, cluster.shared) = (cluster.shared, None);
        }
        let process = Process::law(weibull.map_or(Law::Exponential, |shape| Law::Weibull { shape }));
        let run = ClusterRun {
            work: seconds(40_000),
            detection: seconds(detection),
            downtime: seconds(downtime),
            final_checkpoint,
            limits: Limits { failures: 1000, time: seconds(4_000_000) },
            ..run(&cluster, &process, Kinds::default())
        };
        let job = ModelJob {
            work: run.work,
            final_checkpoint,
            costs: Costs { checkpoint: run.checkpoint, restart: run.restart, ..Costs::default() },
            mtbf: run.mtbf,
            detection: run.detection,
            downtime: run.downtime,
            limits: run.limits,
            rules: Rules::default(),
        };
        let seed = TrialSeed(seed);
        let single = job.run(
            policy(text)(run.work),
            seed,
            FailureStream::new(seed, &process, run.mtbf, Kinds::default()),
        );
        let mut found = run.run(&policy(text), false, seed, &mut |_| {}).unwrap();
        found.cluster = None;
        if single.end == End::Completed {
            prop_assert_eq!(found, single);
        } else {
            prop_assert_eq!(found.end, single.end);
        }
    }

    /// The time of every job adds up, its work is done once, and the same seed gives the same jobs.
    #[test]
    fn time_adds_up(
        seed in any::<u64>(),
        hosts in 1u32..6,
        slots in 1u32..5,
        spares in 0u32..3,
        (local, shared) in prop::sample::select(vec![(true, false), (false, true), (true, true)]),
        (crash, loss) in prop::sample::select(vec![(0.0, 0.0), (0.5, 0.2), (0.0, 1.0), (1.0, 0.0)]),
        bandwidth in prop::option::of(1_000u64..50_000),
        survives in any::<bool>(),
    ) {
        let mut cluster = cluster(hosts, 25);
        cluster.slots_per_host = slots;
        cluster.spares = spares;
        cluster.repair = seconds(3000);
        cluster.local = local.then(|| StoreKind { survives_host_loss: survives, ..store(bandwidth) });
        cluster.shared = shared.then(|| StoreKind { count: 2, latency: SECOND, ..store(bandwidth) });
        cluster.workload = Workload::Synthetic(Synthetic {
            jobs: 25,
            arrivals: Arrivals::Gaps { mean: seconds(500), law: Spread::Law(Law::Exponential) },
            length: Spread::Law(Law::Weibull { shape: 0.7 }),
            memory: 1_000_000,
            memory_law: Spread::Law(Law::LogNormal { sigma: 0.5 }),
            width: (1..=slots * hosts.min(2)).collect(),
        });
        let process = Process::law(Law::Weibull { shape: 0.8 });
        let run = ClusterRun {
            work: seconds(5_000),
            detection: SECOND,
            downtime: seconds(10),
            reboot: seconds(100),
            shared_every: 3,
            ..run(&cluster, &process, kinds(crash, loss))
        };
        let (outcome, jobs) = go(&run, "young", seed);
        prop_assert_eq!(&outcome.end, &End::Completed);
        let mut numbers: Vec<u64> = jobs.iter().map(|job| job.number).collect();
        numbers.sort_unstable();
        prop_assert!(numbers.into_iter().eq(0..25));
        for job in &jobs {
            let spent = job.waiting + job.work + job.checkpointing + job.lost + job.restarting + job.down;
            prop_assert_eq!(job.end - job.submit, spent, "{:?}", job);
        }
        let totals = outcome.cluster.as_ref().unwrap();
        prop_assert_eq!(totals.interruptions, jobs.iter().map(|job| u64::from(job.failures)).sum::<u64>());
        prop_assert!(totals.local_busy.unwrap_or(0.0) <= 1.0 && totals.shared_busy.unwrap_or(0.0) <= 1.0);
        let mut watch = Watch::of(0..=24);
        let watched = run.observe(&policy("young"), false, TrialSeed(seed), &mut watch).unwrap();
        prop_assert_eq!(&watched, &outcome);
        let seen = watch.seen();
        for job in &jobs {
            told_as_recorded(&seen[&job.number], job);
        }
        prop_assert_eq!(go(&run, "young", seed), (outcome, jobs));
    }
}

/// What was seen of a job is what its record says.
fn told_as_recorded(seen: &Watched, job: &JobRecord) {
    let spans = &seen.recorder.spans;
    let spent = |phase| {
        let spans = spans.iter().filter(|span| span.phase == phase);
        spans.map(|span| ns(span.end.since(span.start))).sum::<u64>()
    };
    let told = [
        spent(Phase::Waiting),
        spent(Phase::Work),
        spent(Phase::Lost),
        spent(Phase::Checkpoint),
        spent(Phase::Restore),
        spent(Phase::Downtime),
    ];
    let recorded = [
        job.waiting,
        job.work,
        job.lost,
        job.checkpointing,
        job.restarting,
        job.down,
    ];
    assert_eq!(told, recorded);
    assert!(spans.windows(2).all(|pair| pair[0].end == pair[1].start));
    let moments = &seen.recorder.moments;
    let failed = |what: &What| matches!(what, What::Failure(_));
    let count = |of: &dyn Fn(&What) -> bool| moments.iter().filter(|moment| of(&moment.what)).count() as u64;
    assert_eq!(count(&failed), u64::from(job.failures));
    assert_eq!(count(&|what| *what == What::Checkpoint), job.checkpoints);
}

/// W = 10⁶ s, τ = 1600 s, C = 60 s, R = 120 s, D = 0, M = 20,000 s: 1,088,282.8 s are expected (Daly, FGCS 2006, equation 20).
#[test]
fn the_published_makespan_is_in_the_interval() {
    let cluster = cluster(1, 1);
    let run = run(&cluster, &MEMORYLESS, Kinds::default());
    let mut running = crate::stats::Running::default();
    for trial in 0..400 {
        let (outcome, _) = go(&run, "fixed(interval=1600s)", trial);
        assert!(outcome.failures > 20);
        running.add(outcome.makespan.as_secs_f64());
    }
    let (low, high) = running.moments().and_then(|moments| moments.ci95).unwrap();
    assert!(low < 1_088_282.8 && 1_088_282.8 < high, "{low} … {high}");
}

/// n jobs that checkpoint at once to one store take n times as long for it; to their own stores as long as one.
#[test]
fn writers_at_once_share_the_store() {
    for writers in [1, 2, 5, 16] {
        for (is_local, times) in [(false, u64::from(writers)), (true, 1)] {
            let mut cluster = cluster(writers, writers.into());
            let kind = store(Some(1_000_000));
            (cluster.local, cluster.shared) = if is_local {
                (Some(kind), None)
            } else {
                (None, Some(kind))
            };
            if let Workload::Synthetic(synthetic) = &mut cluster.workload {
                synthetic.memory = 10_000_000;
            }
            let run = ClusterRun {
                work: seconds(10_000),
                mtbf: seconds(1_000_000_000_000),
                ..run(&cluster, &MEMORYLESS, Kinds::default())
            };
            let (_, jobs) = go(&run, "fixed(interval=1000s)", 1);
            for job in jobs {
                assert_eq!(job.checkpoints, 9);
                let wanted = 9 * (60 + 10 * times) * 1_000_000_000;
                assert!(
                    job.checkpointing.abs_diff(wanted) <= 9 * u64::from(writers),
                    "{job:?}"
                );
            }
        }
    }
}

/// A failure may strike at any phase: each is seen, and each is charged with the time until then.
#[test]
fn every_phase_is_struck() {
    let mut cluster = cluster(2, 40);
    cluster.local = Some(store(Some(100_000)));
    cluster.shared = Some(store(Some(100_000)));
    cluster.slots_per_host = 2;
    cluster.repair = seconds(500);
    if let Workload::Synthetic(synthetic) = &mut cluster.workload {
        synthetic.memory = 20_000_000;
        synthetic.width = vec![1, 4];
    }
    let run = ClusterRun {
        work: seconds(5_000),
        mtbf: seconds(1_500),
        detection: seconds(20),
        downtime: seconds(30),
        reboot: seconds(400),
        shared_every: 2,
        limits: Limits {
            failures: 100_000,
            time: seconds(1_000_000_000),
        },
        ..run(&cluster, &MEMORYLESS, kinds(0.4, 0.3))
    };
    let make = policy("fixed(interval=300s)");
    let struck = engine::struck_phases(&run, &make, TrialSeed(3));
    for phase in [
        "working",
        "saving",
        "streaming out",
        "restoring",
        "streaming in",
        "down",
    ] {
        assert!(
            struck.contains(phase),
            "no failure struck while {phase}: {struck:?}"
        );
    }
}

#[test]
fn what_cannot_end_says_why() {
    let mut small = cluster(2, 1);
    if let Workload::Synthetic(synthetic) = &mut small.workload {
        synthetic.width = vec![3];
    }
    let (outcome, jobs) = go(&run(&small, &MEMORYLESS, Kinds::default()), "never", 1);
    assert_eq!(outcome.end, End::GivenUp(Reason::NoHostFits));
    assert_eq!((jobs[0].how, jobs[0].started), (JobEnd::NeverFits, None));

    let one = cluster(1, 3);
    let mut hopeless = run(&one, &MEMORYLESS, Kinds::default());
    hopeless.limits.time = seconds(3_000_000);
    let (outcome, _) = go(&hopeless, "never", 1);
    assert_eq!(outcome.end, End::GivenUp(Reason::TimeLimit));
    assert_eq!(outcome.cluster.unwrap().jobs_unfinished, 3);

    hopeless.limits.failures = 5;
    hopeless.limits.time = seconds(1_000_000_000);
    let (outcome, jobs) = go(&hopeless, "never", 1);
    assert_eq!(outcome.end, End::GivenUp(Reason::FailureLimit));
    assert!(
        jobs.iter()
            .all(|job| job.how == JobEnd::FailureLimit && job.failures == 6)
    );
}

/// Lost hosts: without a spare the job waits for the repair, with one it goes on after D. A local store takes the job's
/// checkpoints along unless it survives.
#[test]
fn a_spare_takes_the_place_of_a_lost_host() {
    let at = |spares: u32, local: Option<bool>| {
        let mut cluster = cluster(1, 1);
        cluster.repair = seconds(1_000_000);
        cluster.spares = spares;
        if let Some(survives_host_loss) = local {
            cluster.shared = None;
            cluster.local = Some(StoreKind {
                survives_host_loss,
                ..store(None)
            });
        }
        let run = ClusterRun {
            work: seconds(60_000),
            ..run(&cluster, &MEMORYLESS, kinds(0.0, 1.0))
        };
        go(&run, "fixed(interval=1600s)", 7).1[0]
    };
    let (alone, spare) = (at(0, None), at(1, None));
    assert!(alone.failures > 1 && alone.waiting >= 1_000_000_000_000_000 * u64::from(alone.failures));
    assert!(spare.failures > 1 && spare.waiting < alone.waiting);
    assert!(
        at(9, Some(false)).lost > spare.lost,
        "local checkpoints go with their host"
    );
    let kept = at(9, Some(true));
    assert!(
        kept.lost <= alone.lost && kept.down >= 1_000_000_000_000_000,
        "it waits for its disk"
    );
}

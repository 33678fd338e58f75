use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn drawn(law: Law, nodes: u64, rejuvenate: Rejuvenate, bursts: Option<Bursts>) -> Process {
    Process::Drawn {
        law,
        nodes,
        rejuvenate,
        bursts,
    }
}

fn gaps_h(process: &Process, count: usize) -> Vec<f64> {
    let mut stream = FailureStream::new(TrialSeed(9), process, HOUR, Kinds::default());
    (0..count)
        .map(|_| stream.draw().gap.as_secs_f64() / 3600.0)
        .collect()
}

fn mean(gaps: &[f64]) -> f64 {
    gaps.iter().sum::<f64>() / gaps.len() as f64
}

#[test]
fn the_mtbf_scales_the_same_draws() {
    let gaps = |mtbf_s| {
        let mtbf = Duration::from_secs(mtbf_s);
        let half = Kinds {
            guest_crash: 0.5,
            host_loss: 0.5,
            ..Kinds {
                guest_crash: 0.0,
                ..Kinds::default()
            }
        };
        let mut stream = FailureStream::new(TrialSeed(9), &Process::EXPONENTIAL, mtbf, half);
        (0..50).map(|_| stream.draw()).collect::<Vec<_>>()
    };
    for (short, long) in gaps(100).iter().zip(gaps(700)) {
        assert!((short.gap.as_secs_f64() * 7.0 - long.gap.as_secs_f64()).abs() < 1e-8);
        assert_eq!(short.kind, long.kind);
    }
}

#[test]
fn shares_of_kinds_are_met() {
    let kinds = Kinds {
        guest_crash: 0.4,
        host_crash: 0.1,
        host_loss: 0.2,
        hang: 0.25,
        store_loss: 0.05,
    };
    assert!(kinds.are_shares() && kinds.only().is_none());
    let mut stream = FailureStream::new(TrialSeed(9), &Process::EXPONENTIAL, HOUR, kinds);
    let mut seen = std::collections::HashMap::new();
    for _ in 0..10_000 {
        *seen.entry(stream.draw().kind).or_insert(0i32) += 1;
    }
    for (kind, share) in [
        (FailureKind::GuestCrash, 4_000),
        (FailureKind::HostCrash, 1_000),
        (FailureKind::HostLoss, 2_000),
        (FailureKind::Hang, 2_500),
        (FailureKind::StoreLoss, 500),
    ] {
        assert!((seen[&kind] - share).abs() < 150, "{kind:?}: {}", seen[&kind]);
    }
    assert!(
        !Kinds {
            hang: 0.1,
            ..Kinds::default()
        }
        .are_shares()
    );
}

/// The least of N Weibull gaps is a Weibull gap, N^{1/k} times shorter.
#[test]
fn renewing_all_nodes_gives_the_least_of_their_gaps() {
    let law = Law::Weibull { shape: 0.7 };
    let one = gaps_h(&Process::law(law), 500);
    let all = gaps_h(&drawn(law, 64, Rejuvenate::All, None), 500);
    for (one, all) in one.iter().zip(all) {
        let wanted = one * 64.0 / libm::pow(64.0, 1.0 / 0.7);
        assert!((all - wanted).abs() < 1e-9 * wanted + 1e-12, "{all} {wanted}");
    }
    let memoryless = gaps_h(&drawn(Law::Exponential, 64, Rejuvenate::All, None), 50);
    assert_eq!(memoryless, gaps_h(&Process::EXPONENTIAL, 50));
}

/// In the long run the whole fails once an MTBF; while all are new it fails more often, the hazard falling.
#[test]
fn renewing_the_failed_node_alone_keeps_the_mtbf() {
    let nodes = drawn(Law::Weibull { shape: 0.7 }, 100, Rejuvenate::Failed, None);
    let gaps = gaps_h(&nodes, 60_000);
    let late = mean(&gaps[40_000..]);
    assert!((late - 1.0).abs() < 0.05, "{late}");
    assert!(mean(&gaps[..20]) < 0.7, "{}", mean(&gaps[..20]));
}

#[test]
fn bursts_keep_the_mean_and_come_in_clusters() {
    let bursts = Bursts {
        probability: 0.6,
        delay: Duration::from_secs(60),
    };
    let gaps = gaps_h(&drawn(Law::Exponential, 1, Rejuvenate::All, Some(bursts)), 40_000);
    assert!((mean(&gaps) - 1.0).abs() < 0.03, "{}", mean(&gaps));
    let short = gaps.iter().filter(|&&gap| gap < 0.08).count() as f64 / gaps.len() as f64;
    // 99 % of the gaps inside bursts, and 3 % of those between.
    assert!((short - (0.6 * 0.992 + 0.4 * 0.032)).abs() < 0.02, "{short}");
}

fn recorded(mode: Replay) -> Process {
    let gaps_s = vec![10.0, 20.0, 0.0, 90.0];
    Process::Recorded(Recorded::new(gaps_s, mode, "made-up".into(), String::new()))
}

#[test]
fn a_log_is_replayed_over_and_over_at_the_mtbf() {
    // The mean of the log is 30 s; the MTBF an hour.
    let third = 1.0 / 3.0;
    for (start_s, wanted) in [
        (0, [third, 2.0 * third, 0.0, 3.0, third, 2.0 * third]),
        (15, [0.5, 0.0, 3.0, third, 2.0 * third, 0.0]),
        // The failures of that instant are past.
        (30, [3.0, third, 2.0 * third, 0.0, 3.0, third]),
    ] {
        let process = recorded(Replay::From(Duration::from_secs(start_s)));
        for (found, wanted) in gaps_h(&process, 6).iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-9, "{start_s}: {found} {wanted}");
        }
    }
    let drawn = gaps_h(&recorded(Replay::Bootstrap), 8_000);
    assert!((mean(&drawn) - 1.0).abs() < 0.05, "{}", mean(&drawn));
}

/// Three quarters of the log's time are one gap, so three quarters of the trials begin in it, and wait half of it on average.
#[test]
fn a_replay_begins_at_any_instant_of_the_log_alike() {
    let process = recorded(Replay::Anywhere);
    let firsts: Vec<f64> = (0..4_000)
        .map(|trial| {
            let seed = TrialSeed::derive(3, trial);
            let mut stream = FailureStream::new(seed, &process, HOUR, Kinds::default());
            stream.draw().gap.as_secs_f64() / 3600.0
        })
        .collect();
    let long = firsts.iter().filter(|&&first| first > 2.0 / 3.0).count() as f64 / firsts.len() as f64;
    // Of the three quarters, those that begin in the first 70 of the 90 seconds.
    assert!((long - 0.75 * 70.0 / 90.0).abs() < 0.03, "{long}");
    // (10² + 20² + 90²) / 2 / 120 s, in means of 30 s.
    assert!(
        (mean(&firsts) - 8600.0 / 240.0 / 30.0).abs() < 0.05,
        "{}",
        mean(&firsts)
    );
}

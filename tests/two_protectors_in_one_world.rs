//! Two guests for an hour in one simulated world, each with a protect loop and rules of its own, in one store: guests crash and
//! hang, hosts go, calls fail, the disk loses power under both and loses files. Neither loses a checkpoint that its own rules keep, nothing
//! is damaged that nothing has struck, and both guests compute what they would have computed alone.
//! Every case follows from one number.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use revenant_core::capture::Method;
use revenant_core::policy::Fixed;
use revenant_core::protect::Options;
use revenant_core::store::CheckpointId;
use revenant_sim::driver::{Member, Report, Rules, RunEnd, Scenario, Seen, Strike, run_together};
use revenant_sim::fault::{Call, FaultPlan, Verdict};
use revenant_sim::{CostProfile, GuestSpec, Program, SimMedium};
use revenant_tests::reliability::row;
use revenant_tests::stores::open;

const FIRST_SEED: u64 = 0x2065_7473;
const HOUR: Duration = Duration::from_hours(1);
const STEP: Duration = Duration::from_millis(200);
const NAMES: [&str; 2] = ["web1", "db1"];

/// How often what happened, over all cases.
#[derive(Debug, Default)]
struct Total {
    checkpoints: u64,
    losses: u64,
    restores: u64,
    faults: u64,
    store_losses: u64,
    dropped: u64,
    looks: u64,
}

fn scenario(rng: &mut Xoshiro256PlusPlus) -> Scenario {
    let interval = Duration::from_secs(rng.random_range(20..180));
    let mut faults = FaultPlan::random(rng, 30, HOUR);
    // What is written wrong is not written by these two: `every_damage_is_found` looks after that.
    faults
        .calls
        .retain(|fault| !(fault.call == Call::Append && matches!(fault.verdict, Verdict::Flip(_))));
    for fault in &mut faults.calls {
        // All over the hour, not only in its first minute.
        fault.nth = fault.nth.saturating_mul(rng.random_range(1..30));
    }
    Scenario {
        guest: GuestSpec {
            program: Program::ALL[rng.random_range(0..Program::ALL.len())],
            pages: rng.random_range(16..64),
            seed: rng.next_u64(),
            steps: u64::try_from(HOUR.as_nanos() / STEP.as_nanos()).unwrap(),
            step: STEP,
        },
        profile: CostProfile::default(),
        protect: Options {
            checkpoint_cost: Duration::from_millis(50),
            restart_cost: Duration::from_millis(50),
            downtime: Duration::from_millis(rng.random_range(0..5_000)),
            final_checkpoint: rng.random_bool(0.5),
            candidates_max: rng.random_range(2..6),
            retry_after: interval / 4,
            ..Options::default()
        },
        method: if rng.random_bool(0.5) {
            Method::PreCopy
        } else {
            Method::StopAndCopy
        },
        incremental: rng.random_bool(0.7),
        dirty_log: rng.random_bool(0.7),
        detection: Duration::from_millis(rng.random_range(0..3_000)),
        boot: Duration::from_secs(1),
        keep_last: rng.random_range(1..5),
        compression_level: 1,
        faults,
        seed: rng.next_u64(),
        time_limit: HOUR * 50,
        rules: Rules {
            hang_detection: rng.random_bool(0.5).then_some(Duration::from_secs(10)),
            reboot: Duration::from_secs(5),
            store_repair: Duration::from_secs(rng.random_range(0..120)),
            ..Rules::default()
        },
    }
}

fn losses(seed: u64) -> impl FnMut() -> Option<(Duration, Strike)> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mean_s = rng.random_range(120.0..900.0);
    move || {
        let gap = -f64::ln(1.0 - rng.random::<f64>()) * mean_s;
        let strikes = [
            Strike::GuestCrash,
            Strike::Hang,
            Strike::HostCrash,
            Strike::HostLoss,
            Strike::StoreLoss,
        ];
        Some((Duration::from_secs_f64(gap), strikes[rng.random_range(0..5)]))
    }
}

/// Holds what is in the store against what each loop was told, and its own rule.
struct Judge {
    keep_last: BTreeMap<&'static str, usize>,
    /// Seen at the last look, oldest first: those that a loop was told of, and those that it lost before it was told.
    there: BTreeMap<&'static str, Vec<CheckpointId>>,
    /// Who has been at work since the last look.
    at_work: BTreeSet<String>,
    /// Found damaged at the last look.
    damaged: BTreeSet<CheckpointId>,
    total: Total,
}

impl Judge {
    fn look(&mut self, seen: &Seen<'_>) {
        self.at_work.insert(seen.guest.to_owned());
        if let Some(id) = seen.committed {
            self.there.get_mut(seen.guest).unwrap().push(id);
            self.total.checkpoints += 1;
        }
        if seen.disk.is_halted() {
            return;
        }
        self.total.looks += 1;
        let store = open(&SimMedium::new(seen.disk.image())).unwrap();
        let listed = store.list().unwrap().checkpoints;
        let findings = store.verify(None).unwrap().findings;
        for finding in &findings {
            assert!(seen.damaged.contains(&finding.path), "nothing struck {finding:?}");
        }
        let damaged: BTreeSet<_> = findings
            .into_iter()
            .flat_map(|finding| finding.checkpoints)
            .collect();
        for (guest, there) in &mut self.there {
            let now = listed
                .iter()
                .filter(|info| info.guest == *guest)
                .map(|info| info.id);
            let now: Vec<_> = now.collect();
            // A prune knows of damage from before it, unless it is healed by then; of later damage it knows nothing.
            let is_healed = |id: &CheckpointId| now.contains(id) && !damaged.contains(id);
            let counts = |id: &&CheckpointId| !self.damaged.contains(id) || is_healed(id);
            let new = now.iter().filter(|id| !there.contains(id)).filter(counts).count();
            let mut gone = 0;
            for (at, id) in there.iter().enumerate().filter(|(_, id)| !now.contains(id)) {
                let newer = there[at + 1..].iter().filter(counts).count() + new;
                assert!(
                    newer >= self.keep_last[guest] || self.damaged.contains(id),
                    "{guest} lost {id}: its rule keeps {}, there are {newer} newer ones; {} was at work",
                    self.keep_last[guest],
                    seen.guest
                );
                assert!(
                    self.at_work.contains(*guest),
                    "another's loop dropped {id} of {guest}"
                );
                gone += 1;
            }
            self.total.dropped += gone;
            *there = now;
        }
        self.damaged = damaged;
        self.at_work.clear();
    }
}

/// Runs case `number` and looks at every step of it.
fn run_case(number: u64) -> (Vec<Report>, Total) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(FIRST_SEED + number);
    let scenarios = [scenario(&mut rng), scenario(&mut rng)];
    let mut losses = [losses(rng.next_u64()), losses(rng.next_u64())];
    let intervals = [(); 2].map(|()| Duration::from_secs(rng.random_range(20..180)));
    let mut judge = Judge {
        keep_last: NAMES
            .into_iter()
            .zip(scenarios.iter().map(|one| one.keep_last as usize))
            .collect(),
        there: NAMES.into_iter().map(|name| (name, Vec::new())).collect(),
        at_work: BTreeSet::new(),
        damaged: BTreeSet::new(),
        total: Total::default(),
    };
    let members = NAMES.into_iter().zip(&scenarios).zip(&mut losses).zip(intervals);
    let members = members.map(|(((name, scenario), losses), interval)| Member {
        name,
        scenario,
        policy: Box::new(Fixed(interval)),
        losses,
    });
    let reports = run_together(members.collect(), &mut |seen| judge.look(seen));
    for (name, report) in NAMES.iter().zip(&reports) {
        let replay = format!("{name} of case {number}");
        assert_eq!(
            (&report.end, report.digest_ok),
            (&RunEnd::Finished, Some(true)),
            "{replay}"
        );
        assert_eq!(report.makespan, report.accounted(), "{replay}");
        judge.total.losses += u64::from(report.tally.failures);
        judge.total.restores += report.tally.restores;
        judge.total.faults += report.applied.len() as u64;
        judge.total.store_losses += u64::from(report.store_losses);
    }
    (reports, judge.total)
}

#[test]
fn neither_loses_a_checkpoint_that_its_own_rules_keep() {
    let cases: u64 = std::env::var("REVENANT_WORLDS").map_or(20, |text| text.parse().expect("a number"));
    let mut all = Total::default();
    for number in 0..cases {
        let total = run_case(number).1;
        all.checkpoints += total.checkpoints;
        all.losses += total.losses;
        all.restores += total.restores;
        all.faults += total.faults;
        all.store_losses += total.store_losses;
        all.dropped += total.dropped;
        all.looks += total.looks;
    }
    row(
        "two guests in one store, protected at once for an hour of the simulated world, with rules of their own",
        format!(
            "{cases} worlds: {} checkpoints, {} pruned, {} failed calls, {} losses of guest or host, {} of files, {} looks",
            all.checkpoints, all.dropped, all.faults, all.losses, all.store_losses, all.looks
        ),
        "neither loses a checkpoint that its own rules keep, both reach what they compute alone",
        "cargo test -p revenant-tests --test two_protectors_in_one_world",
    );
    // It bites: a quiet hour would pass as well.
    let each = [all.losses, all.restores, all.faults, all.store_losses];
    assert!(each.iter().all(|&count| count > cases), "{all:?}");
    assert!(all.dropped > 10 * cases, "{all:?}");
}

/// A case is its number's and nothing else's.
#[test]
fn the_same_case_twice_is_the_same() {
    assert_eq!(run_case(0).0, run_case(0).0);
}

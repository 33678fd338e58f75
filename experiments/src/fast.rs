//! ③ A trial at level `model` by arithmetic: a step a failure, not a step a checkpoint.
//!
//! Where the interval does not change during a run, what happens between two failures follows from their distance: a
//! division says how many checkpoints were committed, its remainder what was lost. The outcome is that of the protect loop
//! ([`crate::model`]) over the same failures, to the nanosecond, whatever their law; a property test holds the two together.

use std::time::Duration;

use crate::failures::{FailureStream, Kinds};
use crate::model::{ModelJob, Rules};
use crate::outcome::{End, Outcome, Reason};

/// Whether [`run`] computes what the loop would do: the guest does not work beside its captures, and every failure takes
/// the guest and is noticed alike.
pub(crate) fn applies(job: &ModelJob, kinds: Kinds) -> bool {
    job.costs.lead.is_zero()
        && job.costs.commit_latency.is_zero()
        && job.rules == Rules::default()
        && kinds.store_loss <= 0.0
}

/// Runs one trial with a constant interval (`None`: no checkpoints on the way). `None` if it comes to its time limit: how far
/// it is then, the loop must say.
pub(crate) fn run(
    job: &ModelJob,
    interval: Option<Duration>,
    failures: &mut FailureStream,
) -> Option<Outcome> {
    let plain = Plain::new(job, interval)?;
    let mut outcome = Outcome::new();
    let mut sums = Sums::default();
    let mut now = 0u64;
    // All chunks but the last end in a checkpoint; the last holds what is left, a whole interval at most.
    let all_chunks = (plain.work - 1) / plain.interval;
    let last = plain.work - all_chunks * plain.interval;
    let mut chunks = all_chunks;
    let mut risk = failures.gap_ns();
    let end = loop {
        // The guest begins to run with `chunks` to do before the last; `risk` is the time until it is struck.
        let need = chunks
            .saturating_mul(plain.period)
            .saturating_add(last + plain.final_checkpoint);
        if need <= risk {
            now += need;
            sums.checkpointing += chunks * plain.checkpoint + plain.final_checkpoint;
            outcome.checkpoints += chunks + u64::from(job.final_checkpoint);
            outcome.useful = job.work;
            break End::Completed;
        }
        let done = plain.periods(risk).min(chunks);
        let into = risk - done * plain.period;
        let lost = into.min(if done < chunks { plain.interval } else { last });
        now += risk;
        chunks -= done;
        sums.checkpointing += done * plain.checkpoint + (into - lost);
        sums.lost += lost;
        outcome.checkpoints += done;
        let lost_at = now;
        // Until a restore is not struck.
        loop {
            outcome.failures += 1;
            risk = failures.gap_ns();
            now += plain.detection;
            sums.down += plain.detection;
            if now > plain.limit {
                return None;
            }
            if outcome.failures > plain.failures_max {
                break;
            }
            now += plain.downtime;
            sums.down += plain.downtime;
            let restarting = plain.restart.min(risk);
            now += restarting;
            if now > plain.limit {
                return None;
            }
            sums.restarting += restarting;
            risk -= restarting;
            if restarting == plain.restart {
                outcome.recoveries.push(Duration::from_nanos(now - lost_at));
                break;
            }
        }
        if outcome.failures > plain.failures_max {
            outcome.useful = Duration::from_nanos((all_chunks - chunks) * plain.interval);
            break End::GivenUp(Reason::FailureLimit);
        }
    };
    outcome.end = end;
    outcome.makespan = Duration::from_nanos(now);
    sums.write(&mut outcome);
    (now <= plain.limit).then_some(outcome)
}

/// The job in nanoseconds.
struct Plain {
    work: u64,
    interval: u64,
    period: u64,
    per_period: f64,
    checkpoint: u64,
    final_checkpoint: u64,
    restart: u64,
    detection: u64,
    downtime: u64,
    limit: u64,
    failures_max: u64,
}

/// Three hundred years: sums of a few such times still fit 64 bits.
const LONGEST_NS: u64 = u64::MAX / 2 / 5;

impl Plain {
    /// `None` where sums might not fit.
    fn new(job: &ModelJob, interval: Option<Duration>) -> Option<Plain> {
        let ns = |span: Duration| u64::try_from(span.as_nanos()).ok().filter(|&ns| ns <= LONGEST_NS);
        let (work, checkpoint) = (ns(job.work)?, ns(job.costs.checkpoint)?);
        // An interval beyond the work is none.
        let interval = ns(interval.unwrap_or(job.work).min(job.work))?;
        (work > 0 && interval > 0).then_some(())?;
        Some(Plain {
            work,
            interval,
            period: interval + checkpoint,
            per_period: 1.0 / (interval + checkpoint) as f64,
            checkpoint,
            final_checkpoint: if job.final_checkpoint { checkpoint } else { 0 },
            restart: ns(job.costs.restart)?,
            detection: ns(job.detection)?,
            downtime: ns(job.downtime)?,
            limit: ns(job.limits.time)?,
            failures_max: u64::from(job.limits.failures),
        })
    }
}

impl Plain {
    /// How many whole periods there are in a time: a multiplication, which is off by one at most, and put right.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the quotient of times below 2^61 ns by one of 1 ns at least"
    )]
    fn periods(&self, span: u64) -> u64 {
        if span >= EXACT_NS {
            return span / self.period;
        }
        let near = (span as f64 * self.per_period) as u64;
        let product = near * self.period;
        if product > span {
            near - 1
        } else if span - product >= self.period {
            near + 1
        } else {
            near
        }
    }
}

/// Below this times are exact as floats, and so is their quotient but for its last bit.
const EXACT_NS: u64 = 1 << 53;

/// What becomes of the time, in nanoseconds.
#[derive(Default)]
struct Sums {
    checkpointing: u64,
    lost: u64,
    restarting: u64,
    down: u64,
}

impl Sums {
    fn write(&self, outcome: &mut Outcome) {
        outcome.checkpointing = Duration::from_nanos(self.checkpointing);
        outcome.lost = Duration::from_nanos(self.lost);
        outcome.restarting = Duration::from_nanos(self.restarting);
        outcome.down = Duration::from_nanos(self.down);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use revenant_core::policy::{Fixed, IntervalPolicy, Never};

    use super::*;
    use crate::failures::{Law, Process};
    use crate::model::Costs;
    use crate::seed::TrialSeed;
    use crate::spec::Limits;

    fn short() -> impl Strategy<Value = Duration> {
        prop_oneof![Just(0), 1u64..5_000, 1u64..200_000_000_000].prop_map(Duration::from_nanos)
    }

    fn jobs() -> impl Strategy<Value = ModelJob> {
        let times = (
            1_000_000u64..4_000_000_000_000,
            short(),
            short(),
            short(),
            short(),
        );
        let limits = (
            prop_oneof![Just(u32::MAX), 0u32..6],
            prop_oneof![Just(1u32), 1u32..2_000],
        );
        (times, any::<bool>(), limits).prop_map(|(times, final_checkpoint, (failures, factor))| {
            let (work, checkpoint, restart, detection, downtime) = times;
            let work = Duration::from_nanos(work);
            ModelJob {
                work,
                final_checkpoint,
                costs: Costs {
                    checkpoint,
                    restart,
                    ..Costs::default()
                },
                mtbf: work,
                detection,
                downtime,
                limits: Limits {
                    failures,
                    time: work * factor,
                },
                rules: Rules::default(),
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]

        #[test]
        fn arithmetic_and_loop_agree_to_the_nanosecond(
            job in jobs(),
            interval in proptest::option::of(1_000_000u64..8_000_000_000_000),
            mtbf in 1_000_000u64..40_000_000_000_000,
            shape in prop_oneof![Just(1.0), 0.4f64..2.0],
            seed in any::<u64>(),
        ) {
            let process = Process::law(Law::Weibull { shape });
            let stream = || FailureStream::new(TrialSeed(seed), &process, Duration::from_nanos(mtbf), Kinds::default());
            let interval = interval.map(Duration::from_nanos);
            // A checkpoint every millisecond of an hour is the loop's business, but not of this test.
            let steps = job.limits.time.as_nanos() / interval.unwrap_or(job.work).as_nanos();
            prop_assume!(steps < 200_000);
            let policy: Box<dyn IntervalPolicy> = match interval {
                Some(interval) => Box::new(Fixed(interval)),
                None => Box::new(Never),
            };
            let looped = job.run(policy, TrialSeed(seed), stream());
            if let Some(outcome) = run(&job, interval, &mut stream()) {
                prop_assert_eq!(outcome, looped);
            } else {
                prop_assert_eq!(looped.end, End::GivenUp(Reason::TimeLimit));
            }
        }
    }
}

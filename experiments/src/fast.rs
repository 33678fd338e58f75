//! ③ A trial at level `model` by arithmetic: a step a failure, not a step a checkpoint.
//!
//! Where the interval does not change during a run, what happens between two failures follows from their distance: a
//! division says how many checkpoints were committed, its remainder what was lost. The outcome is that of the protect loop
//! ([`crate::model`]) over the same failures, to the nanosecond, whatever their law; a property test holds the two together.

use std::time::Duration;

use crate::failures::{FailureStream, Kinds};
use crate::model::{ModelJob, Rules};
use crate::outcome::{End, Outcome, Reason};

/// Whether a [`Shortcut`] computes what the loop would do: the guest does not work beside its captures, and every failure takes
/// the guest and is noticed alike.
fn applies(job: &ModelJob, kinds: Kinds) -> bool {
    job.costs.lead.is_zero()
        && job.costs.commit_latency.is_zero()
        && job.rules == Rules::default()
        && kinds.store_loss <= 0.0
}

/// A job with a constant interval, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Shortcut {
    work: u64,
    interval: u64,
    period: u64,
    per_period: f64,
    checkpoint: u64,
    final_checkpoint: Option<u64>,
    restart: u64,
    detection: u64,
    downtime: u64,
    limit: u64,
    failures_max: u64,
}

/// Three hundred years: sums of a few such times still fit 64 bits.
const LONGEST_NS: u64 = u64::MAX / 2 / 5;

impl Shortcut {
    /// With this interval (`None`: no checkpoints on the way). `None` where the loop must tell, or sums might not fit.
    pub(crate) fn of(job: &ModelJob, interval: Option<Duration>, kinds: Kinds) -> Option<Shortcut> {
        applies(job, kinds).then_some(())?;
        let ns = |span: Duration| u64::try_from(span.as_nanos()).ok().filter(|&ns| ns <= LONGEST_NS);
        let (work, checkpoint) = (ns(job.work)?, ns(job.costs.checkpoint)?);
        // An interval beyond the work is none.
        let interval = ns(interval.unwrap_or(job.work).min(job.work))?;
        (work > 0 && interval > 0).then_some(())?;
        Some(Shortcut {
            work,
            interval,
            period: interval + checkpoint,
            per_period: 1.0 / (interval + checkpoint) as f64,
            checkpoint,
            final_checkpoint: job.final_checkpoint.then_some(checkpoint),
            restart: ns(job.costs.restart)?,
            detection: ns(job.detection)?,
            downtime: ns(job.downtime)?,
            limit: ns(job.limits.time)?,
            failures_max: u64::from(job.limits.failures),
        })
    }

    /// Runs one trial. `None` if it comes to its time limit: how far it is then, the loop must say.
    pub(crate) fn run(&self, failures: &mut FailureStream) -> Option<Outcome> {
        let mut outcome = Outcome::new();
        let mut sums = Sums::default();
        let mut now = 0u64;
        // All chunks but the last end in a checkpoint; the last holds what is left, a whole interval at most.
        let all_chunks = (self.work - 1) / self.interval;
        let last = self.work - all_chunks * self.interval;
        let end = last + self.final_checkpoint.unwrap_or(0);
        let mut chunks = all_chunks;
        let mut risk = failures.gap_ns();
        outcome.end = loop {
            // The guest begins to run with `chunks` to do before the last; `risk` is the time until it is struck.
            let done = self.periods(risk).min(chunks);
            let into = risk - done * self.period;
            chunks -= done;
            sums.checkpointing += done * self.checkpoint;
            outcome.checkpoints += done;
            if chunks == 0 && into >= end {
                now += risk - into + end;
                sums.checkpointing += end - last;
                outcome.checkpoints += u64::from(self.final_checkpoint.is_some());
                outcome.useful = Duration::from_nanos(self.work);
                break End::Completed;
            }
            let lost = into.min(if chunks > 0 { self.interval } else { last });
            now += risk;
            sums.checkpointing += into - lost;
            sums.lost += lost;
            let lost_at = now;
            // Until a restore is not struck.
            loop {
                outcome.failures += 1;
                risk = failures.gap_ns();
                now += self.detection;
                sums.down += self.detection;
                if outcome.failures > self.failures_max {
                    break;
                }
                let restarting = self.restart.min(risk);
                now += self.downtime + restarting;
                sums.down += self.downtime;
                sums.restarting += restarting;
                if now > self.limit {
                    return None;
                }
                risk -= restarting;
                if restarting == self.restart {
                    outcome.recoveries.add(now - lost_at, 1);
                    break;
                }
            }
            if outcome.failures > self.failures_max {
                outcome.useful = Duration::from_nanos((all_chunks - chunks) * self.interval);
                break End::GivenUp(Reason::FailureLimit);
            }
        };
        outcome.makespan = Duration::from_nanos(now);
        sums.write(&mut outcome);
        (now <= self.limit).then_some(outcome)
    }

    /// How many whole periods there are in a time: a multiplication, which is off by one at most, and put right.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the quotient of times below 2^53 ns by one of 1 ns at least"
    )]
    fn periods(&self, span: u64) -> u64 {
        if span >= EXACT_NS {
            return span / self.period;
        }
        // Signed, for processors convert that in one step.
        let near = ((span.cast_signed() as f64 * self.per_period) as i64).cast_unsigned();
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
            if let Some(outcome) = Shortcut::of(&job, interval, Kinds::default()).and_then(|shortcut| shortcut.run(&mut stream())) {
                prop_assert_eq!(outcome, looped);
            } else {
                prop_assert_eq!(looped.end, End::GivenUp(Reason::TimeLimit));
            }
        }
    }
}

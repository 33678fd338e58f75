//! ① What a spec says beyond the plain case: kinds of failures, a second store, silent errors, epochs, replication.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::check::{PERIOD_MAX, PERIOD_MIN, within};
use super::error::Problem;
use super::raw::{Raw, RawCheckpoint};
use super::{Cost, Level, SharedCost};
use crate::model::{Epochs, Replicas, Rules, Shared, Verification};
use revenant_core::policy::{TwoLevel, Verified};
use revenant_core::quantity::Period;

type Complaint = (usize, Problem);

/// Verifications a checkpoint, and checkpoints a pattern, at most.
const COUNT_MAX: u64 = 1_000_000;
/// Each pair takes memory in every trial at a time.
const PAIRS_MAX: u64 = 10_000_000;

/// The keys beyond the plain case that level `sim` knows, too. It has one guest.
const AT_SIM: [&str; 6] = [
    "failures.reboot",
    "failures.hang_detection",
    "failures.store_repair",
    "failures.silent_mtbf",
    "checkpoint.verify",
    "checkpoint.shared",
];

/// `checkpoint.shared`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawShared {
    cost: Spanned<Cost>,
    restart: Spanned<Cost>,
    every: Option<Spanned<u64>>,
}

/// `checkpoint.epochs`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEpochs {
    length: Spanned<Period>,
    stop: Spanned<Period>,
    dirty_pages: Option<Spanned<u64>>,
    page: Option<Spanned<Period>>,
}

/// `job.replicas`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawReplicas {
    pairs: Spanned<u64>,
    restart: RestartReplicas,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RestartReplicas {
    AtCheckpoints,
    AtInterruptions,
}

/// The rules of a setting, and what policies are told of them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Checked {
    pub rules: Rules,
    pub shared: Option<SharedCost>,
    pub two_level: Option<TwoLevel>,
    pub verified: Option<Verified>,
}

/// Checks all of it. `host_loss` is the share of the failures that take the local store along.
pub(super) fn checked(raw: &Raw, levels: &[Level], host_loss: f64) -> Result<Checked, Complaint> {
    if levels.contains(&Level::Sim)
        && let Some((offset, key)) = given(raw).find(|(_, key)| !AT_SIM.contains(key))
    {
        return Err((offset, Problem::OnlyAtModel { key }));
    }
    let (failures, checkpoint) = (&raw.failures, &raw.checkpoint);
    let every = checkpoint
        .shared
        .as_ref()
        .and_then(|shared| shared.every.as_ref());
    let shared_every = every
        .map(|every| count(every, "checkpoint.shared.every", COUNT_MAX))
        .transpose()?;
    let costs = checked_shared(raw, levels)?;
    let shared = costs.map(|costs| Shared {
        cost: costs.cost.given().unwrap_or_default(),
        restart: costs.restart.given().unwrap_or_default(),
        every: shared_every.unwrap_or(1),
    });
    let silent_mtbf = failures.silent_mtbf.as_ref();
    let silent_mtbf = silent_mtbf
        .map(|mtbf| positive(mtbf, "failures.silent_mtbf"))
        .transpose()?;
    let hang_detection = failures.hang_detection.as_ref();
    let verification = checked_verification(checkpoint)?;
    let rules = Rules {
        reboot: zero_or(failures.reboot.as_ref(), "failures.reboot")?,
        hang_detection: hang_detection
            .map(|period| from_zero(period, "failures.hang_detection"))
            .transpose()?,
        store_repair: zero_or(failures.store_repair.as_ref(), "failures.store_repair")?,
        shared,
        silent_mtbf,
        verification,
        epochs: checkpoint.epochs.as_ref().map(checked_epochs).transpose()?,
        replicas: raw.job.replicas.as_ref().map(checked_replicas).transpose()?,
    };
    Ok(Checked {
        rules,
        shared: costs,
        two_level: shared.map(|shared| TwoLevel {
            shared_cost: shared.cost,
            host_loss_share: host_loss,
            shared_every,
        }),
        verified: silent_mtbf
            .zip(verification)
            .map(|(silent_mtbf, verification)| Verified {
                verification: verification.cost,
                silent_mtbf,
                verifications: verification.per_checkpoint,
            }),
    })
}

/// The keys that go beyond the plain case.
pub(super) fn given(raw: &Raw) -> impl Iterator<Item = (usize, &'static str)> {
    let (failures, checkpoint) = (&raw.failures, &raw.checkpoint);
    let at = |period: &Option<Spanned<Period>>| period.as_ref().map(|period| period.span().start);
    [
        (at(&failures.reboot), "failures.reboot"),
        (at(&failures.hang_detection), "failures.hang_detection"),
        (at(&failures.store_repair), "failures.store_repair"),
        (at(&failures.silent_mtbf), "failures.silent_mtbf"),
        (at(&checkpoint.verify), "checkpoint.verify"),
        (
            checkpoint.shared.as_ref().map(|shared| shared.cost.span().start),
            "checkpoint.shared",
        ),
        (
            checkpoint
                .epochs
                .as_ref()
                .map(|epochs| epochs.length.span().start),
            "checkpoint.epochs",
        ),
        (
            raw.job
                .replicas
                .as_ref()
                .map(|replicas| replicas.pairs.span().start),
            "job.replicas",
        ),
    ]
    .into_iter()
    .filter_map(|(offset, key)| Some((offset?, key)))
}

/// Both costs of the shared store are given, or both are found in a world that has such a store.
fn checked_shared(raw: &Raw, levels: &[Level]) -> Result<Option<SharedCost>, Complaint> {
    let world = raw.world.as_ref();
    let medium = world.filter(|world| world.get_ref().shared_medium.is_some());
    let unused = medium.map(|world| (world.span().start, Problem::SharedMediumUnused));
    let Some(shared) = &raw.checkpoint.shared else {
        return unused.map_or(Ok(None), Err);
    };
    for (cost, key) in [
        (&shared.cost, "checkpoint.shared.cost"),
        (&shared.restart, "checkpoint.shared.restart"),
    ] {
        let offset = cost.span().start;
        match cost.get_ref() {
            Cost::Given(_) if levels.contains(&Level::Sim) => {
                return Err((offset, Problem::CostNotMeasured { key }));
            }
            Cost::Given(given) => {
                within(Period(*given), offset, key, Period::default(), PERIOD_MAX)?;
            }
            Cost::Measured => {}
        }
    }
    let costs = SharedCost {
        cost: *shared.cost.get_ref(),
        restart: *shared.restart.get_ref(),
    };
    let offset = shared.cost.span().start;
    let measured = costs.cost == Cost::Measured;
    if measured != (costs.restart == Cost::Measured) {
        return Err((offset, Problem::SharedHalfMeasured));
    }
    if !measured {
        return unused.map_or(Ok(Some(costs)), Err);
    }
    if *raw.checkpoint.cost.get_ref() != Cost::Measured {
        return Err((offset, Problem::SharedMeasuredAlone));
    }
    if medium.is_none() {
        return Err((offset, Problem::SharedMediumMissing));
    }
    Ok(Some(costs))
}

fn checked_verification(checkpoint: &RawCheckpoint) -> Result<Option<Verification>, Complaint> {
    let per_checkpoint = match (&checkpoint.verify, &checkpoint.verifications) {
        (None, Some(given)) => return Err((given.span().start, Problem::VerificationsWithoutCost)),
        (_, Some(given)) => count(given, "checkpoint.verifications", COUNT_MAX)?,
        (_, None) => 1,
    };
    let verification = |cost: &Spanned<Period>| -> Result<Verification, Complaint> {
        Ok(Verification {
            cost: from_zero(cost, "checkpoint.verify")?,
            per_checkpoint,
        })
    };
    checkpoint.verify.as_ref().map(verification).transpose()
}

fn checked_replicas(replicas: &RawReplicas) -> Result<Replicas, Complaint> {
    Ok(Replicas {
        pairs: count(&replicas.pairs, "job.replicas.pairs", PAIRS_MAX)?,
        restart_at_checkpoints: replicas.restart == RestartReplicas::AtCheckpoints,
    })
}

/// s = s0 + pages · t.
fn checked_epochs(epochs: &RawEpochs) -> Result<Epochs, Complaint> {
    let base = from_zero(&epochs.stop, "checkpoint.epochs.stop")?;
    let pages = match (&epochs.dirty_pages, &epochs.page) {
        (None, None) => Duration::ZERO,
        (Some(pages), Some(page)) => {
            let pages = count(pages, "checkpoint.epochs.dirty_pages", u64::from(u32::MAX))?;
            from_zero(page, "checkpoint.epochs.page")?.saturating_mul(pages)
        }
        (Some(pages), None) => return Err((pages.span().start, Problem::HalfPages)),
        (None, Some(page)) => return Err((page.span().start, Problem::HalfPages)),
    };
    let key = "checkpoint.epochs.stop";
    Ok(Epochs {
        length: positive(&epochs.length, "checkpoint.epochs.length")?,
        stop: within(
            Period(base.saturating_add(pages)),
            epochs.stop.span().start,
            key,
            Period::default(),
            PERIOD_MAX,
        )?,
    })
}

fn zero_or(period: Option<&Spanned<Period>>, key: &'static str) -> Result<Duration, Complaint> {
    period.map_or(Ok(Duration::ZERO), |period| from_zero(period, key))
}

fn from_zero(period: &Spanned<Period>, key: &'static str) -> Result<Duration, Complaint> {
    within(
        *period.get_ref(),
        period.span().start,
        key,
        Period::default(),
        PERIOD_MAX,
    )
}

fn positive(period: &Spanned<Period>, key: &'static str) -> Result<Duration, Complaint> {
    within(
        *period.get_ref(),
        period.span().start,
        key,
        PERIOD_MIN,
        PERIOD_MAX,
    )
}

/// A count from 1 to `most`, which is no more than 32 bits hold.
fn count(given: &Spanned<u64>, key: &'static str, most: u64) -> Result<u32, Complaint> {
    let found = *given.get_ref();
    match u32::try_from(found) {
        Ok(count) if (1..=most).contains(&found) => Ok(count),
        _ => Err((
            given.span().start,
            Problem::OutOfRange {
                key,
                found,
                least: 1,
                most,
            },
        )),
    }
}

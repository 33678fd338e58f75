//! Which checkpoints to keep.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{CheckpointId, CheckpointInfo, StoreError};
use crate::units::Timestamp;

/// Whose checkpoints may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Those of every guest, each by itself.
    All,
    /// Those of this guest. Nothing of any other is dropped.
    Guest(String),
}

/// Rules that keep checkpoints, applied to each guest by itself, in the order of sequences. A checkpoint stays if any rule keeps
/// it.
///
/// Only checkpoints that are whole and not in quarantine use up a place in a rule; the others stay until the rules no longer reach
/// back to them. A guest that has none which is whole and not in quarantine loses nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Whose checkpoints may go.
    pub scope: Scope,
    /// The newest ones, this many.
    pub keep_last: Option<u32>,
    /// Those committed within this time before the guest's newest one: a guest that has not been checkpointed for long
    /// keeps its last. Instants that are still to come by the store's clock are those of a clock that was wrong: nothing is
    /// counted from them, and their checkpoints stay.
    pub keep_within: Option<Duration>,
    /// Checkpoints that restore, but that nobody should rely on: of a guest that hung, for example.
    pub quarantined: BTreeSet<CheckpointId>,
}

/// What rules make of a catalogue.
#[derive(Debug, Default)]
pub(super) struct Split {
    /// Oldest first.
    pub(super) kept: Vec<CheckpointInfo>,
    pub(super) dropped: Vec<CheckpointInfo>,
    /// Of the kept ones those whose instant is still to come.
    pub(super) doubted: Vec<CheckpointId>,
}

/// Tells whether a checkpoint is whole. Checkpoints that it is asked about stay, unless it says that they are dropped.
pub(super) trait Judge {
    fn is_whole(&mut self, info: &CheckpointInfo) -> Result<bool, StoreError>;
}

impl Scope {
    /// Is this guest among them?
    pub(super) fn covers(&self, guest: &str) -> bool {
        match self {
            Scope::All => true,
            Scope::Guest(name) => name == guest,
        }
    }
}

impl Retention {
    /// No rule yet.
    pub fn new(scope: Scope) -> Self {
        Retention {
            scope,
            keep_last: None,
            keep_within: None,
            quarantined: BTreeSet::new(),
        }
    }

    /// Splits checkpoints, oldest first, into those to keep and those to drop. `now` is asked for if instants matter.
    pub(super) fn split(
        &self,
        checkpoints: Vec<CheckpointInfo>,
        now: impl FnOnce() -> Timestamp,
        judge: &mut dyn Judge,
    ) -> Result<Split, StoreError> {
        if self.keep_last.is_none_or(|n| n == 0) && self.keep_within.is_none() {
            return Err(StoreError::EmptyRetention);
        }
        let now = self.keep_within.map(|within| (within, now()));
        let mut guests: BTreeMap<&str, Vec<&CheckpointInfo>> = BTreeMap::new();
        for info in checkpoints
            .iter()
            .rev()
            .filter(|info| self.scope.covers(&info.guest))
        {
            guests.entry(&info.guest).or_default().push(info);
        }
        let (mut dropped, mut doubted) = (BTreeSet::new(), BTreeSet::new());
        for newest_first in guests.values() {
            let reach = self.reach(newest_first, now, judge)?;
            for (at, info) in newest_first.iter().enumerate() {
                let is_doubted = now.is_some_and(|(_, now)| info.committed > now);
                if is_doubted {
                    doubted.insert(info.id);
                } else if at >= reach {
                    dropped.insert(info.id);
                }
            }
        }
        let mut split = Split::default();
        for info in checkpoints {
            if dropped.contains(&info.id) {
                split.dropped.push(info);
                continue;
            }
            if doubted.contains(&info.id) {
                split.doubted.push(info.id);
            }
            split.kept.push(info);
        }
        Ok(split)
    }

    /// How many of a guest's checkpoints, newest first, are not older than the last one that a rule keeps.
    fn reach(
        &self,
        newest_first: &[&CheckpointInfo],
        now: Option<(Duration, Timestamp)>,
        judge: &mut dyn Judge,
    ) -> Result<usize, StoreError> {
        let (mut places, mut reach) = (self.keep_last.unwrap_or(0), 0);
        let mut is_anchored = now.is_none();
        for (at, info) in newest_first.iter().enumerate() {
            if places == 0 && is_anchored && reach > 0 {
                return Ok(reach);
            }
            if self.quarantined.contains(&info.id) || !judge.is_whole(info)? {
                continue;
            }
            if places > 0 {
                places -= 1;
                reach = reach.max(at + 1);
            }
            if let Some((within, now)) = now.filter(|&(_, now)| !is_anchored && info.committed <= now) {
                is_anchored = true;
                let is_within = |other: &&CheckpointInfo| {
                    other.committed <= now && info.committed.since(other.committed) <= within
                };
                let oldest = newest_first.iter().rposition(is_within);
                reach = reach.max(oldest.map_or(0, |oldest| oldest + 1));
            }
        }
        // A rule with a place left reaches back to the beginning.
        Ok(if places == 0 && is_anchored {
            reach
        } else {
            newest_first.len()
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::guest::MachineKind;

    /// A checkpoint as the rules see it.
    #[derive(Debug, Clone)]
    struct Seen {
        info: CheckpointInfo,
        is_whole: bool,
        is_quarantined: bool,
    }

    impl Seen {
        fn counts(&self) -> bool {
            self.is_whole && !self.is_quarantined
        }
    }

    fn info(number: u8, guest: &str, committed_s: u64) -> CheckpointInfo {
        CheckpointInfo {
            id: CheckpointId([number; 32]),
            guest: guest.to_owned(),
            machine: MachineKind::new("test"),
            base: None,
            sequence: u64::from(number),
            begun: Timestamp(0),
            committed: at(committed_s),
            facts: BTreeMap::new(),
            pages: 0,
            zero_pages: 0,
            new_pages: 0,
            stored_bytes: 0,
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp(0) + Duration::from_secs(seconds)
    }

    const NOW: u64 = 100;

    struct Wholes<'a>(&'a [Seen]);

    impl Judge for Wholes<'_> {
        fn is_whole(&mut self, info: &CheckpointInfo) -> Result<bool, StoreError> {
            Ok(self.0.iter().any(|seen| seen.info.id == info.id && seen.is_whole))
        }
    }

    fn split(retention: &Retention, all: &[Seen], now_s: u64) -> Split {
        let infos = all.iter().map(|seen| seen.info.clone()).collect();
        let mut retention = retention.clone();
        let quarantined = all.iter().filter(|seen| seen.is_quarantined);
        retention.quarantined = quarantined.map(|seen| seen.info.id).collect();
        retention.split(infos, || at(now_s), &mut Wholes(all)).unwrap()
    }

    fn sequences(infos: &[CheckpointInfo]) -> Vec<u64> {
        infos.iter().map(|info| info.sequence).collect()
    }

    #[test]
    fn any_rule_keeps_and_each_guest_counts_for_itself() {
        let shapes = [
            (1, "a", 10),
            (2, "b", 20),
            (3, "a", 100),
            (4, "a", 109),
            (5, "a", 110),
        ];
        let all = shapes.map(|(n, guest, s)| Seen {
            info: info(n, guest, s),
            is_whole: true,
            is_quarantined: false,
        });
        let kept = |scope: Scope, keep_last, within_s: Option<u64>| {
            let retention = Retention {
                keep_last,
                keep_within: within_s.map(Duration::from_secs),
                ..Retention::new(scope)
            };
            sequences(&split(&retention, &all, 200).kept)
        };
        assert_eq!(kept(Scope::All, Some(1), None), [2, 5]);
        assert_eq!(kept(Scope::All, Some(2), None), [2, 4, 5]);
        assert_eq!(kept(Scope::All, None, Some(10)), [2, 3, 4, 5]);
        assert_eq!(kept(Scope::All, None, Some(0)), [2, 5]);
        assert_eq!(kept(Scope::All, Some(3), Some(1)), [2, 3, 4, 5]);
        assert_eq!(kept(Scope::All, Some(9), None), [1, 2, 3, 4, 5]);
        assert_eq!(kept(Scope::Guest("b".into()), Some(1), None), [1, 2, 3, 4, 5]);
        assert_eq!(kept(Scope::Guest("a".into()), Some(1), None), [2, 5]);
        for keep_last in [None, Some(0)] {
            let empty = Retention {
                keep_last,
                ..Retention::new(Scope::All)
            };
            let refused = empty.split(Vec::new(), || at(0), &mut Wholes(&[]));
            assert!(matches!(refused, Err(StoreError::EmptyRetention)));
        }
    }

    fn any_catalogue() -> impl Strategy<Value = Vec<Seen>> {
        // Instants in disorder, some still to come.
        let one = (
            0..2usize,
            0..130u64,
            prop::bool::weighted(0.7),
            prop::bool::weighted(0.2),
        );
        prop::collection::vec(one, 0..14).prop_map(|shapes| {
            let numbered = (1..).zip(shapes);
            numbered
                .map(|(n, (guest, s, is_whole, is_quarantined))| Seen {
                    info: info(n, ["a", "b"][guest], s),
                    is_whole,
                    is_quarantined,
                })
                .collect()
        })
    }

    proptest! {
        /// What a rule promises a guest it gets, whatever else is in the store and however wrong clocks were.
        #[test]
        fn what_the_rules_keep_stays(
            all in any_catalogue(), keep_last in prop::option::of(0..5u32), within_s in prop::option::of(0..40u64), of_one in any::<bool>(),
        ) {
            prop_assume!(keep_last.is_some_and(|n| n > 0) || within_s.is_some());
            let scope = if of_one { Scope::Guest("a".into()) } else { Scope::All };
            let retention = Retention { keep_last, keep_within: within_s.map(Duration::from_secs), ..Retention::new(scope) };
            let Split { kept, dropped, doubted } = split(&retention, &all, NOW);
            prop_assert_eq!(kept.len() + dropped.len(), all.len());
            prop_assert!(!of_one || dropped.iter().all(|info| info.guest == "a"));
            for guest in ["a", "b"] {
                let newest_first: Vec<&Seen> = all.iter().rev().filter(|seen| seen.info.guest == guest).collect();
                let is_kept = |seen: &Seen| kept.contains(&seen.info);
                let counting: Vec<&&Seen> = newest_first.iter().filter(|seen| seen.counts()).collect();
                // Nobody loses the last one that is of use; who has none loses nothing.
                prop_assert!(counting.first().is_none_or(|seen| is_kept(seen)));
                prop_assert!(!counting.is_empty() || newest_first.iter().all(|seen| is_kept(seen)));
                prop_assert!(counting.iter().take(keep_last.unwrap_or(0) as usize).all(|seen| is_kept(seen)));
                let anchor = counting.iter().map(|seen| seen.info.committed).find(|&committed| committed <= at(NOW));
                if let (Some(within_s), Some(anchor)) = (within_s, anchor) {
                    let within = Duration::from_secs(within_s);
                    prop_assert!(newest_first.iter().filter(|seen| anchor.since(seen.info.committed) <= within).all(|seen| is_kept(seen)));
                }
                // What is to come is kept where instants matter, and named.
                for seen in newest_first.iter().filter(|seen| seen.info.committed > at(NOW) && retention.scope.covers(guest)) {
                    prop_assert_eq!(doubted.contains(&seen.info.id), within_s.is_some());
                    prop_assert!(within_s.is_none() || is_kept(seen));
                }
                // No more than that is kept.
                if let (Some(keep_last), None) = (keep_last, within_s) {
                    let covered = retention.scope.covers(guest);
                    let last = counting.get(keep_last as usize - 1);
                    let surplus = |seen: &&&Seen| covered && last.is_some_and(|last| seen.info.sequence < last.info.sequence);
                    prop_assert!(newest_first.iter().all(|seen| is_kept(seen) != surplus(&seen)));
                }
            }
        }
    }

    #[test]
    fn a_clock_that_was_ahead_once_costs_nothing() {
        // The third was committed while the clock was years ahead.
        let all: Vec<Seen> = [(1, 80), (2, 90), (3, 1_000_000), (4, 95), (5, 99)]
            .map(|(n, s)| Seen {
                info: info(n, "a", s),
                is_whole: true,
                is_quarantined: false,
            })
            .into();
        let retention = Retention {
            keep_within: Some(Duration::from_secs(15)),
            ..Retention::new(Scope::All)
        };
        let seen = split(&retention, &all, 100);
        assert_eq!(sequences(&seen.kept), [2, 3, 4, 5]);
        assert_eq!(seen.doubted, [CheckpointId([3; 32])]);
        // Also while it is the newest.
        let seen = split(&retention, &all[..3], 100);
        assert_eq!(sequences(&seen.kept), [1, 2, 3]);
    }
}

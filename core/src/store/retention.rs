//! Which checkpoints to keep.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{CheckpointInfo, StoreError};

/// Rules that keep checkpoints, applied to each guest by itself. A checkpoint stays if any rule keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// The newest ones, this many.
    pub keep_last: Option<u32>,
    /// Those committed within this time before the guest's newest one: a guest that has not been checkpointed for long
    /// keeps its last.
    pub keep_within: Option<Duration>,
}

impl Retention {
    /// Splits checkpoints, oldest first, into those to keep and those to drop.
    pub(super) fn split(
        &self,
        checkpoints: Vec<CheckpointInfo>,
    ) -> Result<(Vec<CheckpointInfo>, Vec<CheckpointInfo>), StoreError> {
        if self.keep_last.is_none_or(|n| n == 0) && self.keep_within.is_none() {
            return Err(StoreError::EmptyRetention);
        }
        let mut newest = BTreeMap::new();
        for info in &checkpoints {
            newest.insert(info.guest.clone(), info.committed);
        }
        let mut newer: BTreeMap<String, u32> = BTreeMap::new();
        let mut keep = Vec::with_capacity(checkpoints.len());
        for info in checkpoints.iter().rev() {
            let newer = newer.entry(info.guest.clone()).or_default();
            let last = self.keep_last.is_some_and(|n| *newer < n);
            let within = self
                .keep_within
                .is_some_and(|within| newest[&info.guest].since(info.committed) <= within);
            keep.push(last || within);
            *newer += 1;
        }
        let (mut kept, mut dropped) = (Vec::new(), Vec::new());
        for (info, keep) in checkpoints.into_iter().zip(keep.into_iter().rev()) {
            if keep { kept.push(info) } else { dropped.push(info) }
        }
        Ok((kept, dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::MachineKind;
    use crate::store::CheckpointId;
    use crate::units::Timestamp;

    fn info(number: u8, guest: &str, committed_s: u64) -> CheckpointInfo {
        CheckpointInfo {
            id: CheckpointId([number; 32]),
            guest: guest.to_owned(),
            machine: MachineKind::new("test"),
            base: None,
            sequence: u64::from(number),
            begun: Timestamp(0),
            committed: Timestamp(0) + Duration::from_secs(committed_s),
            facts: BTreeMap::new(),
            pages: 0,
            zero_pages: 0,
            new_pages: 0,
            stored_bytes: 0,
        }
    }

    #[test]
    fn any_rule_keeps_and_each_guest_counts_for_itself() {
        let all: Vec<_> = [
            (1, "a", 10),
            (2, "b", 20),
            (3, "a", 100),
            (4, "a", 109),
            (5, "a", 110),
        ]
        .map(|(n, g, s)| info(n, g, s))
        .into();
        let kept = |keep_last, within_s: Option<u64>| {
            let retention = Retention {
                keep_last,
                keep_within: within_s.map(Duration::from_secs),
            };
            let (kept, dropped) = retention.split(all.clone()).unwrap();
            assert_eq!(kept.len() + dropped.len(), all.len());
            kept.iter().map(|info| info.sequence).collect::<Vec<_>>()
        };
        assert_eq!(kept(Some(1), None), [2, 5]);
        assert_eq!(kept(Some(2), None), [2, 4, 5]);
        assert_eq!(kept(None, Some(10)), [2, 3, 4, 5]);
        assert_eq!(kept(None, Some(0)), [2, 5]);
        assert_eq!(kept(Some(3), Some(1)), [2, 3, 4, 5]);
        assert_eq!(kept(Some(9), None), [1, 2, 3, 4, 5]);
        for empty in [
            Retention::default(),
            Retention {
                keep_last: Some(0),
                keep_within: None,
            },
        ] {
            assert!(matches!(
                empty.split(all.clone()),
                Err(StoreError::EmptyRetention)
            ));
        }
    }
}

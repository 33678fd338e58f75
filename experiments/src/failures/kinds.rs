//! ② What a failure takes away.

use serde::Deserialize;

/// What a failure takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The guest; the host stands.
    GuestCrash,
    /// The host with the guest's memory; it comes back with its disk.
    HostCrash,
    /// The host for good, with its disk.
    HostLoss,
    /// The guest stops working, and only a detector tells.
    Hang,
    /// The store's newest checkpoint, and the store until it is mended; the guest goes on.
    StoreLoss,
}

/// Shares of the failures, one in all.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Kinds {
    /// Share of [`FailureKind::GuestCrash`].
    #[serde(default)]
    pub guest_crash: f64,
    /// Share of [`FailureKind::HostCrash`].
    #[serde(default)]
    pub host_crash: f64,
    /// Share of [`FailureKind::HostLoss`].
    #[serde(default)]
    pub host_loss: f64,
    /// Share of [`FailureKind::Hang`].
    #[serde(default)]
    pub hang: f64,
    /// Share of [`FailureKind::StoreLoss`].
    #[serde(default)]
    pub store_loss: f64,
}

impl Default for Kinds {
    /// Crashes of the guest alone.
    fn default() -> Self {
        Kinds {
            guest_crash: 1.0,
            host_crash: 0.0,
            host_loss: 0.0,
            hang: 0.0,
            store_loss: 0.0,
        }
    }
}

/// Shares that were typed as decimals need not add up to the last bit.
const SUM_TOLERANCE: f64 = 1e-9;

impl Kinds {
    /// Whether these are shares of one.
    pub fn are_shares(&self) -> bool {
        let shares = [
            self.guest_crash,
            self.host_crash,
            self.host_loss,
            self.hang,
            self.store_loss,
        ];
        shares.iter().all(|&share| (0.0..=1.0).contains(&share))
            && (shares.iter().sum::<f64>() - 1.0).abs() < SUM_TOLERANCE
    }

    /// The kind, if there is but one.
    pub fn only(&self) -> Option<FailureKind> {
        let all = |share: f64| share >= 1.0 - SUM_TOLERANCE;
        [
            (self.guest_crash, FailureKind::GuestCrash),
            (self.host_crash, FailureKind::HostCrash),
            (self.host_loss, FailureKind::HostLoss),
            (self.hang, FailureKind::Hang),
            (self.store_loss, FailureKind::StoreLoss),
        ]
        .into_iter()
        .find_map(|(share, kind)| all(share).then_some(kind))
    }

    /// The kind at a place in (0, 1]. Losses of the host come first, so that sweeping their share against crashes of the guest
    /// changes the kind of as few failures as can be.
    pub fn at(&self, place: f64) -> FailureKind {
        let mut end = 0.0;
        for (share, kind) in [
            (self.host_loss, FailureKind::HostLoss),
            (self.host_crash, FailureKind::HostCrash),
            (self.hang, FailureKind::Hang),
            (self.store_loss, FailureKind::StoreLoss),
        ] {
            end += share;
            if place <= end {
                return kind;
            }
        }
        FailureKind::GuestCrash
    }
}

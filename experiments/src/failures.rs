//! ② When failures strike, and of what kind.
//!
//! Gaps are counted in time during which a failure can strike: from the start of the job, and after a failure from the
//! end of detection and downtime, as the closed forms have it (no failure strikes in D). For memoryless failures this
//! choice is only about D; for others it also says that a replaced host starts afresh.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use crate::seed::{Purpose, TrialSeed};
use crate::spec::Distribution;

/// The failures of one trial, in order.
#[derive(Debug)]
pub struct FailureStream {
    distribution: Distribution,
    mtbf_s: f64,
    host_loss_share: f64,
    times: ChaCha8Rng,
    kinds: ChaCha8Rng,
}

/// What a failure takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The guest; the host stands.
    GuestCrash,
    /// The host with the guest's memory and whatever the store had not made durable.
    HostLoss,
}

/// The next failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// Time at risk until it strikes.
    pub gap: Duration,
    /// What it takes away.
    pub kind: FailureKind,
}

impl FailureStream {
    /// The failures that trial meets at this MTBF.
    pub fn new(seed: TrialSeed, distribution: Distribution, mtbf: Duration, host_loss_share: f64) -> Self {
        FailureStream {
            distribution,
            mtbf_s: mtbf.as_secs_f64(),
            host_loss_share,
            times: seed.stream(Purpose::FailureTimes),
            kinds: seed.stream(Purpose::FailureKinds),
        }
    }

    /// Draws the next failure.
    pub fn draw(&mut self) -> Failure {
        let unit = match self.distribution {
            // Inversion, one draw a failure, so that every MTBF scales the same draws.
            Distribution::Exponential => -libm::log(open_unit(&mut self.times)),
        };
        let gap = Duration::try_from_secs_f64(unit * self.mtbf_s).unwrap_or(Duration::MAX);
        // One draw a failure whatever the share, so that the share does not shift later kinds.
        let kind = if open_unit(&mut self.kinds) <= self.host_loss_share {
            FailureKind::HostLoss
        } else {
            FailureKind::GuestCrash
        };
        Failure { gap, kind }
    }
}

/// Uniform in (0, 1], 53 bits.
fn open_unit(rng: &mut ChaCha8Rng) -> f64 {
    const SCALE: f64 = 1.0 / (1u64 << 53) as f64;
    ((rng.next_u64() >> 11) + 1) as f64 * SCALE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps(mtbf_s: u64, share: f64, count: usize) -> Vec<Failure> {
        let mtbf = Duration::from_secs(mtbf_s);
        let mut stream = FailureStream::new(TrialSeed(9), Distribution::Exponential, mtbf, share);
        (0..count).map(|_| stream.draw()).collect()
    }

    #[test]
    fn gaps_have_the_mean_and_the_spread_of_an_exponential() {
        let gaps: Vec<f64> = gaps(100, 0.0, 40_000)
            .iter()
            .map(|failure| failure.gap.as_secs_f64())
            .collect();
        let n = gaps.len() as f64;
        let mean = gaps.iter().sum::<f64>() / n;
        let variance = gaps.iter().map(|gap| (gap - mean) * (gap - mean)).sum::<f64>() / n;
        // Four standard errors: 100/sqrt(n) for the mean, sqrt(8) * 100²/sqrt(n) for the variance.
        assert!((mean - 100.0).abs() < 4.0 * 100.0 / n.sqrt(), "{mean}");
        assert!(
            (variance - 1e4).abs() < 4.0 * 8f64.sqrt() * 1e4 / n.sqrt(),
            "{variance}"
        );
    }

    #[test]
    fn the_mtbf_scales_the_same_draws() {
        for (short, long) in gaps(100, 0.5, 50).iter().zip(gaps(700, 0.5, 50)) {
            assert!((short.gap.as_secs_f64() * 7.0 - long.gap.as_secs_f64()).abs() < 1e-8);
            assert_eq!(short.kind, long.kind);
        }
    }

    #[test]
    fn the_share_is_met() {
        let lost = |share| {
            gaps(100, share, 10_000)
                .iter()
                .filter(|failure| failure.kind == FailureKind::HostLoss)
                .count()
        };
        assert_eq!(lost(0.0), 0);
        assert_eq!(lost(1.0), 10_000);
        assert!((2_300..2_700).contains(&lost(0.25)), "{}", lost(0.25));
    }
}

//! ② Where randomness comes from: one seed per trial, one stream per purpose.
//!
//! ```text
//! master seed, trial ─▶ trial seed (64 bits, a column of trials.csv) ─▶ stream of each purpose (ChaCha8)
//! ```
//!
//! Neither the policy, nor the interval, the MTBF, the program or the level enters: trial k of every cell meets the same
//! draws (common random numbers), so differences between cells are those of the cells. Failure times are drawn in
//! units of the MTBF and scaled. A row's own seed is enough to run its trial again.

use std::sync::LazyLock;

use blake3::Hasher;
use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Versioned: results depend on these strings.
const TRIAL_CONTEXT: &str = "revenant-experiments 2026-11 trial seed";
const HOST_CONTEXT: &str = "revenant-experiments 2026-11 host seed";
const STREAM_CONTEXT: &str = "revenant-experiments 2026-11 stream";

/// Contexts are hashed once, not for each trial.
static TRIAL_KEY: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context(TRIAL_CONTEXT));
static HOST_KEY: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context(HOST_CONTEXT));
static STREAM_KEY: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context(STREAM_CONTEXT));

fn derive_key(context: &ContextKey, material: &[u8]) -> [u8; 32] {
    let mut hasher = Hasher::new_from_context_key(context);
    hasher.update(material);
    *hasher.finalize().as_bytes()
}

/// The rule in words, for the manifest.
pub const RULE: &str = "trial seed = first 8 bytes, little-endian, of blake3 derive_key(\"revenant-experiments 2026-11 \
    trial seed\", master seed as u64 LE ++ trial as u32 LE); stream = ChaCha8 seeded with blake3 \
    derive_key(\"revenant-experiments 2026-11 stream\", trial seed as u64 LE ++ purpose)";

/// The seed of one trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrialSeed(pub u64);

/// What a stream is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// When failures strike.
    FailureTimes,
    /// What a failure takes with it.
    FailureKinds,
    /// Whether a failure brings another with it, and how soon.
    FailureBursts,
    /// When silent errors strike.
    SilentErrors,
    /// Which of the replicated processes a failure hits.
    Replicas,
    /// Which jobs are submitted to a cluster, and when.
    Workload,
    /// Which trials a bootstrap resamples.
    Bootstrap,
}

/// Bytes of the longest label.
const LABEL_MOST: usize = 14;

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Purpose::FailureTimes => b"failure times",
            Purpose::FailureKinds => b"failure kinds",
            Purpose::FailureBursts => b"failure bursts",
            Purpose::SilentErrors => b"silent errors",
            Purpose::Replicas => b"replicas",
            Purpose::Workload => b"workload",
            Purpose::Bootstrap => b"bootstrap",
        }
    }
}

impl TrialSeed {
    /// The seed of trial `trial` of a run with this master seed.
    pub fn derive(master: u64, trial: u32) -> Self {
        let mut material = [0; 12];
        material[..8].copy_from_slice(&master.to_le_bytes());
        material[8..].copy_from_slice(&trial.to_le_bytes());
        let key = derive_key(&TRIAL_KEY, &material);
        TrialSeed(u64::from_le_bytes([
            key[0], key[1], key[2], key[3], key[4], key[5], key[6], key[7],
        ]))
    }

    /// The seed of a host's own streams. The first host has the trial's, so that a cluster of one meets what a single job meets.
    #[must_use]
    pub fn host(self, host: u32) -> Self {
        if host == 0 {
            return self;
        }
        let mut material = [0; 12];
        material[..8].copy_from_slice(&self.0.to_le_bytes());
        material[8..].copy_from_slice(&host.to_le_bytes());
        let key = derive_key(&HOST_KEY, &material);
        TrialSeed(u64::from_le_bytes([
            key[0], key[1], key[2], key[3], key[4], key[5], key[6], key[7],
        ]))
    }

    /// The stream for a purpose, from its start.
    pub fn stream(self, purpose: Purpose) -> ChaCha8Rng {
        let label = purpose.label();
        let mut material = [0; 8 + LABEL_MOST];
        material[..8].copy_from_slice(&self.0.to_le_bytes());
        material[8..8 + label.len()].copy_from_slice(label);
        ChaCha8Rng::from_seed(derive_key(&STREAM_KEY, &material[..8 + label.len()]))
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::Rng;

    use super::*;

    /// Results are reproducible across versions only while these numbers stand.
    #[test]
    fn seeds_and_streams_are_pinned() {
        let seed = TrialSeed::derive(1, 0);
        assert_eq!(seed, TrialSeed(6_059_996_900_049_251_980));
        assert_eq!(
            seed.stream(Purpose::FailureTimes).next_u64(),
            17_253_685_280_229_721_846
        );
        assert_ne!(TrialSeed::derive(1, 1), seed);
        assert_ne!(TrialSeed::derive(2, 0), seed);
    }

    #[test]
    fn purposes_do_not_share_draws() {
        let seed = TrialSeed(5);
        let first = |purpose| seed.stream(purpose).next_u64();
        assert_ne!(first(Purpose::FailureTimes), first(Purpose::FailureKinds));
    }
}

//! A store that many write to at once, beside what was measured.

use super::Check;
use crate::cluster::{Bandwidth, simultaneous_writes_s};

const DI: &str = "Di et al., SC'13, tables 2 and 3";

/// Seconds that a checkpoint of 160 MB took through NFS, by one to five writers at once.
const MEASURED_S: [f64; 5] = [1.67, 2.67, 5.38, 6.25, 8.95];
const BYTES: u64 = 160_000_000;
/// What the lone writer had: 160 MB in 1.67 s.
const BYTES_PER_S: u64 = 95_808_383;

/// Nothing but the bandwidth is taken from the measurements, and that of the lone writer alone.
pub(super) fn checks() -> Vec<Check> {
    let bandwidth = Bandwidth {
        total: BYTES_PER_S,
        stream: None,
    };
    let mean = MEASURED_S.iter().sum::<f64>() / MEASURED_S.len() as f64;
    let (mut residual, mut total) = (0.0, 0.0);
    for (writers, measured_s) in (1..).zip(MEASURED_S) {
        let ours_s = simultaneous_writes_s(bandwidth, BYTES, writers);
        residual += (measured_s - ours_s).powi(2);
        total += (measured_s - mean).powi(2);
    }
    vec![Check::new(
        "A14",
        "R² (%) of a fairly shared store, checkpoints of 160 MB through NFS by 1 to 5 writers at once",
        (100.0, 5.0),
        100.0 * (1.0 - residual / total),
        DI,
    )]
}

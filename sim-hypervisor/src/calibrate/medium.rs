//! The disk that stores will be on.

use std::time::Duration;

use revenant_core::quantity::{Period, Size};

use super::{Bench, CalibrateError, REPEATS, median, whole};
use crate::profile::MediumCosts;

/// Bytes written and read to time a medium.
const TRANSFER_BYTES: usize = 32 << 20;
const PIECE_BYTES: usize = 1 << 20;
/// Large, so that the fixed part of a read does not count.
const READ_BYTES: usize = 16 << 20;
/// Folder of the files that a medium is timed with.
const FOLDER: &str = "calibrate";

/// Writes, syncs, reads back and removes files.
pub(super) fn measure(bench: &Bench<'_>) -> Result<MediumCosts, CalibrateError> {
    let (medium, clock) = (bench.medium, &*bench.clock);
    let path = |name: &str| format!("{FOLDER}/{name}");
    medium.create_dir(FOLDER)?;
    let (mut syncs, mut names) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        let mut file = medium.create_new(&path("small"))?;
        file.append(&[1; 64])?;
        let begun = clock.now();
        file.sync()?;
        let synced = clock.now();
        drop(file);
        medium.remove(&path("small"))?;
        names.push(clock.now().since(synced));
        syncs.push(synced.since(begun));
    }
    let sync = median(syncs);
    let piece: Vec<u8> = (0..=250).cycle().take(PIECE_BYTES).collect();
    let mut file = medium.create_new(&path("large"))?;
    let begun = clock.now();
    for _ in 0..TRANSFER_BYTES / PIECE_BYTES {
        file.append(&piece)?;
    }
    file.sync()?;
    let wrote = clock.now().since(begun).saturating_sub(sync);
    drop(file);
    let reader = medium.open(&path("large"))?;
    let mut read_back = vec![0; READ_BYTES];
    let begun = clock.now();
    for at in (0..TRANSFER_BYTES).step_by(READ_BYTES) {
        reader.read_at(at as u64, &mut read_back)?;
    }
    let read = clock.now().since(begun);
    drop(reader);
    medium.remove(&path("large"))?;
    Ok(MediumCosts {
        write_per_s: per_second(wrote),
        read_per_s: per_second(read),
        latency: Period(median(names)),
        sync: Period(sync),
        ..MediumCosts::default()
    })
}

fn per_second(took: Duration) -> Size {
    let bytes = TRANSFER_BYTES as f64 / took.as_secs_f64().max(1e-6);
    Size {
        bytes: whole(bytes).max(1),
    }
}

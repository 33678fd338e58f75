//! Stores made here as the kernel makes them, and damaged ones.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

impl ReadAt for Vec<u8> {
    fn len_bytes(&self) -> u64 {
        self.as_slice().len() as u64
    }

    fn read_at(&self, at: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        let at = usize::try_from(at).unwrap();
        buffer.copy_from_slice(&self[at..at + buffer.len()]);
        Ok(())
    }
}

/// Writes a store in which these chunks of the origin were saved, in this order: free chunks are handed out upwards,
/// leaving out metadata areas, and a full area is followed by a zeroed one, as in the kernel.
fn encode(sectors: u32, old_chunks: &[u64]) -> Vec<u8> {
    let chunk = sectors as usize * 512;
    let per_area = chunk / PAIR;
    let mut store = vec![0; chunk * 2];
    for (at, word) in [(0, MAGIC), (4, 1), (8, VERSION), (12, sectors)] {
        store[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
    let mut next_free = 2u64;
    for (i, &old) in old_chunks.iter().enumerate() {
        let area = 1 + i / per_area * (per_area + 1);
        let at = area * chunk + i % per_area * PAIR;
        store.resize(
            store.len().max((usize::try_from(next_free).unwrap() + 1) * chunk),
            0xEE,
        );
        store[at..at + 8].copy_from_slice(&old.to_le_bytes());
        store[at + 8..at + 16].copy_from_slice(&next_free.to_le_bytes());
        next_free += 1;
        if next_free % (per_area as u64 + 1) == 1 {
            let end = (usize::try_from(next_free).unwrap() + 1) * chunk;
            store.resize(end - chunk, 0xEE);
            store.resize(end, 0);
            next_free += 1;
        }
    }
    store
}

const ORIGIN_CHUNKS: u64 = 5000;

fn chunks(ranges: &[Range<u64>]) -> BTreeSet<u64> {
    assert!(
        ranges.windows(2).all(|two| two[0].end < two[1].start),
        "{ranges:?}"
    );
    ranges.iter().cloned().flatten().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever order chunks were written in, over several metadata areas, all of them come back and no other.
    #[test]
    fn what_the_kernel_writes_is_read(
        mut old in prop::collection::vec(0..ORIGIN_CHUNKS, 0..900),
        sectors in prop::sample::select(vec![8u32, 16]),
    ) {
        let mut seen = BTreeSet::new();
        old.retain(|&chunk| seen.insert(chunk));
        let store = encode(sectors, &old);
        let chunk_bytes = u64::from(sectors) * 512;
        let read = read_exceptions(&store, ORIGIN_CHUNKS * chunk_bytes).unwrap();
        let Exceptions::Chunks { chunk_bytes: found, changed } = read else { panic!("is valid") };
        prop_assert_eq!(found, chunk_bytes);
        prop_assert_eq!(chunks(&changed), seen);
    }

    /// A damaged store is refused with the place, or lists chunks of the origin; nothing panics.
    #[test]
    fn damage_is_located_or_harmless(
        count in 0..600u64,
        cut in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1..=255u8), 0..4),
    ) {
        let old: Vec<u64> = (0..count).map(|i| i * 7 % ORIGIN_CHUNKS).collect();
        let mut store = encode(8, &old);
        for (at, flip) in flips {
            // Mostly where it matters: header and first area.
            let at = at.index(8192);
            store[at] ^= flip;
        }
        store.truncate(cut.index(store.as_slice().len()) + 1);
        match read_exceptions(&store, ORIGIN_CHUNKS * 4096) {
            Ok(Exceptions::Chunks { changed, .. }) => {
                prop_assert!(chunks(&changed).iter().all(|&chunk| chunk < ORIGIN_CHUNKS));
            }
            Ok(Exceptions::Invalid) => prop_assert_eq!(store[4], 0),
            Err(error) => prop_assert!(error.to_string().starts_with("byte "), "{}", error),
        }
    }
}

#[test]
fn bounds_and_flags() {
    let origin = ORIGIN_CHUNKS * 4096;
    // Exactly one full area, then an empty one.
    let full = encode(8, &(0..256).collect::<Vec<u64>>());
    assert_eq!(
        read_exceptions(&full, origin).unwrap(),
        Exceptions::Chunks {
            chunk_bytes: 4096,
            changed: std::iter::once(0..256).collect()
        }
    );
    let says = |store: &Vec<u8>| read_exceptions(store, origin).unwrap_err().to_string();
    let mut cut = full.clone();
    cut.truncate(258 * 4096);
    assert_eq!(
        says(&cut),
        format!(
            "byte {0}: the exception store ends at byte {1}, expected a metadata area",
            258 * 4096,
            258 * 4096
        )
    );

    let mut store = encode(8, &[3]);
    store[4] = 0;
    assert_eq!(read_exceptions(&store, origin).unwrap(), Exceptions::Invalid);
    store[4] = 1;
    // A store that was never written: the kernel has not made it yet.
    assert!(says(&vec![0; 8192]).starts_with("byte 0: magic is 0x0"));
    store[12] = 9;
    assert!(says(&store).starts_with("byte 12: chunk size is 0x9"));
    store[12] = 8;
    store[4096..4104].copy_from_slice(&ORIGIN_CHUNKS.to_le_bytes());
    assert_eq!(
        says(&store),
        "byte 4096: old chunk is 0x1388, expected less than 5000"
    );
    store[4096..4104].copy_from_slice(&3u64.to_le_bytes());
    store[4104] = 1;
    assert!(says(&store).starts_with("byte 4104: new chunk is 0x1"));
}

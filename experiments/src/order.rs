//! ④ Order statistics of samples that are too large to be kept, exactly.
//!
//! [`Selection`] finds them while the sample goes by, where that succeeds; [`order_statistics`] by going through it four times more.

use std::ops::Range;

/// Values of a sample that are kept.
const KEPT_MAX: usize = 1 << 17;
/// How many standard deviations of an order statistic's place in the values so far it is looked for around.
const FENCE_DEVIATIONS: f64 = 6.0;

/// Finds the values of some ranks in one pass, in bounded memory: values are kept until there are too many; then they tell where each rank is
/// to be found, only such as lie there stay, and the others are counted. The more values have gone by, the closer the fences stand.
#[derive(Debug)]
pub(crate) struct Selection {
    n: u64,
    ranks: Vec<u64>,
    /// Values that may be kept.
    room: usize,
    seen: u64,
    /// None, once too many values lay where they are looked for: then nothing is found.
    fences: Vec<Fence>,
    /// Values inside fences.
    inside: usize,
}

/// Values, as keys, from `low` to `high`, both included.
#[derive(Debug)]
struct Fence {
    low: u64,
    high: u64,
    /// Which of the ranks are looked for here.
    ranks: Range<usize>,
    /// Values between the fence before and this one.
    below: u64,
    within: Vec<u64>,
}

impl Selection {
    /// For these ranks (from 1, ascending) in a sample of `n`.
    pub(crate) fn new(n: u64, ranks: Vec<u64>) -> Selection {
        Selection {
            n,
            room: KEPT_MAX,
            seen: 0,
            fences: vec![Fence::around(0..ranks.len(), u64::MIN, u64::MAX)],
            ranks,
            inside: 0,
        }
    }

    /// Takes in a value; one that is not known counts as larger than all.
    pub(crate) fn add(&mut self, value: Option<f64>) {
        self.seen += 1;
        let Some(value) = value else { return };
        let key = key(value);
        for fence in &mut self.fences {
            if key < fence.low {
                fence.below += 1;
                return;
            }
            if key <= fence.high {
                fence.within.push(key);
                self.inside += 1;
                if self.inside == self.room {
                    self.tighten();
                }
                return;
            }
        }
    }

    /// The values of these of the ranks; `None` if they must be looked for in another way.
    pub(crate) fn find(mut self, ranks: &[u64]) -> Option<Vec<f64>> {
        for fence in &mut self.fences {
            fence.within.sort_unstable();
        }
        ranks.iter().map(|&rank| self.value_of(rank)).collect()
    }

    fn value_of(&self, rank: u64) -> Option<f64> {
        let mut left = rank - 1;
        for fence in &self.fences {
            left = left.checked_sub(fence.below)?;
            match fence.within.get(usize::try_from(left).ok()?) {
                Some(&key) => return Some(value(key)),
                None => left -= fence.within.len() as u64,
            }
        }
        None
    }

    /// Replaces each fence by narrower ones around the places where its ranks are to be expected after what has been seen.
    fn tighten(&mut self) {
        let (mut before, mut skipped) = (0.0, 0);
        for mut old in std::mem::take(&mut self.fences) {
            old.within.sort_unstable();
            before += old.below as f64;
            skipped += old.below;
            let mut sorted_out = 0;
            for mut fence in self.narrower(&old, before) {
                let start = old.within.partition_point(|&key| key < fence.low);
                let end = old.within.partition_point(|&key| key <= fence.high);
                fence.below = std::mem::take(&mut skipped) + (start - sorted_out) as u64;
                fence.within.extend_from_slice(&old.within[start..end]);
                sorted_out = end;
                self.fences.push(fence);
            }
            before += old.within.len() as f64;
            skipped += (old.within.len() - sorted_out) as u64;
        }
        self.inside = self.fences.iter().map(|fence| fence.within.len()).sum();
        // Where many values are the same, all may be inside: then there is no end to them, or the next time comes too soon.
        if self.inside > self.room / 4 * 3 {
            self.fences.clear();
        }
    }

    /// Fences for the ranks of one, with nothing in them yet; so many values are smaller than those of the old one.
    fn narrower(&self, old: &Fence, before: f64) -> Vec<Fence> {
        let mut fences: Vec<Fence> = Vec::new();
        for rank in old.ranks.clone() {
            let share = self.ranks[rank] as f64 / self.n as f64;
            let place = share * self.seen as f64;
            let margin = FENCE_DEVIATIONS * libm::sqrt(place * (1.0 - share)) + FENCE_DEVIATIONS;
            let low = key_at(&old.within, place - margin - before).unwrap_or(old.low);
            let high = key_at(&old.within, place + margin - before).unwrap_or(old.high);
            match fences.last_mut() {
                Some(last) if low <= last.high => {
                    last.high = high.max(last.high);
                    last.ranks.end = rank + 1;
                }
                _ => fences.push(Fence::around(rank..rank + 1, low, high)),
            }
        }
        fences
    }
}

impl Fence {
    fn around(ranks: Range<usize>, low: u64, high: u64) -> Fence {
        Fence {
            low,
            high,
            ranks,
            below: 0,
            within: Vec::new(),
        }
    }
}

/// The key at a place among sorted ones; `None` outside.
fn key_at(sorted: &[u64], place: f64) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and casts from floats saturate"
    )]
    let index = (place >= 0.0).then_some(place as usize)?;
    sorted.get(index).copied()
}

/// Bits of a value's key that one pass looks at.
const DIGIT_BITS: u32 = 16;

/// The values of these ranks (from 1, none above the size of the sample) in a sample that is too large to be kept: `pass`
/// gives out the whole sample, always the same, as often as it is asked, here four times. Exact; memory is half a megabyte a rank.
pub(crate) fn order_statistics<E>(
    ranks: &[u64],
    mut pass: impl FnMut(&mut dyn FnMut(f64)) -> Result<(), E>,
) -> Result<Vec<f64>, E> {
    struct Search {
        prefix: u64,
        rank: u64,
    }
    let mut searches: Vec<Search> = ranks.iter().map(|&rank| Search { prefix: 0, rank }).collect();
    let mut shift = u64::BITS;
    while shift > 0 {
        shift -= DIGIT_BITS;
        let mut counts = vec![vec![0u64; 1 << DIGIT_BITS]; searches.len()];
        pass(&mut |value| {
            let key = key(value);
            for (search, counts) in searches.iter().zip(&mut counts) {
                if shift + DIGIT_BITS == u64::BITS || key >> (shift + DIGIT_BITS) == search.prefix {
                    #[expect(clippy::cast_possible_truncation, reason = "16 bits")]
                    let digit = (key >> shift) as u16;
                    counts[usize::from(digit)] += 1;
                }
            }
        })?;
        for (search, counts) in searches.iter_mut().zip(&counts) {
            let mut digit = 0;
            for &count in counts {
                if search.rank <= count {
                    break;
                }
                search.rank -= count;
                digit += 1;
            }
            search.prefix = (search.prefix << DIGIT_BITS) | digit;
        }
    }
    Ok(searches.iter().map(|search| value(search.prefix)).collect())
}

const SIGN: u64 = 1 << 63;

/// A number that is ordered as `f64::total_cmp` orders values.
fn key(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

/// The value of a key.
fn value(key: u64) -> f64 {
    f64::from_bits(if key & SIGN == 0 { !key } else { key & !SIGN })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value_at(sample: &[f64], rank: u64) -> u64 {
        let mut sorted = sample.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[usize::try_from(rank).unwrap() - 1].to_bits()
    }

    fn spread(n: usize) -> Vec<f64> {
        let mut state = 9u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 11) as f64
        };
        (0..n).map(|_| next() - 3e15).collect()
    }

    fn select(sample: &[f64], ranks: &[u64]) -> Option<Vec<f64>> {
        let mut selection = Selection::new(sample.len() as u64, ranks.to_vec());
        for &value in sample {
            selection.add(Some(value));
        }
        selection.find(ranks)
    }

    #[test]
    fn one_pass_finds_what_sorting_finds_in_a_sample_that_is_not_kept() {
        let sample = spread(3 * KEPT_MAX);
        let n = sample.len() as u64;
        let ranks = [
            1,
            n / 20,
            n / 20 + 1,
            n / 2 - 900,
            n / 2,
            n / 2 + 900,
            n - n / 20,
            n,
        ];
        let found = select(&sample, &ranks).unwrap();
        for (found, rank) in found.iter().zip(ranks) {
            assert_eq!(found.to_bits(), value_at(&sample, rank), "{rank}");
        }
    }

    #[test]
    fn fences_stand_closer_the_more_values_have_gone_by() {
        let sample = spread(40 * KEPT_MAX);
        let n = sample.len() as u64;
        let ranks = [n / 20, n / 2 - 2_000, n / 2, n / 2 + 2_000, n - n / 20];
        let found = select(&sample, &ranks).unwrap();
        let mut sorted = sample;
        sorted.sort_by(f64::total_cmp);
        let wanted = ranks.map(|rank| sorted[usize::try_from(rank).unwrap() - 1]);
        assert_eq!(found, wanted);
    }

    #[test]
    fn trials_given_up_are_the_largest() {
        let sample = spread(2 * KEPT_MAX);
        let n = sample.len() as u64 / 3 * 4;
        let mut selection = Selection::new(n, vec![n / 2, n / 10 * 9]);
        for (index, &value) in sample.iter().enumerate() {
            selection.add(Some(value));
            if index % 3 == 0 {
                selection.add(None);
            }
        }
        assert_eq!(
            selection.find(&[n / 2]).unwrap()[0].to_bits(),
            value_at(&sample, n / 2)
        );
    }

    #[test]
    fn a_sample_that_changes_on_the_way_or_is_all_the_same_is_left_to_more_passes() {
        let mut sample = spread(3 * KEPT_MAX);
        sample.sort_by(f64::total_cmp);
        assert_eq!(select(&sample, &[sample.len() as u64 / 2]), None);
        sample.fill(1.0);
        assert_eq!(select(&sample, &[7]), None);
    }

    proptest! {
        #[test]
        fn what_is_found_in_little_room_is_right(
            sample in proptest::collection::vec(prop_oneof![9 => (-1e3f64..1e3).prop_map(Some), 1 => Just(None)], 1..3_000),
            few in any::<bool>(),
            ranks in proptest::collection::btree_set(1u64..3_000, 1..5),
        ) {
            let mut sorted = Vec::new();
            let ranks: Vec<u64> = ranks.into_iter().filter(|&rank| rank <= sample.len() as u64).collect();
            let mut selection = Selection::new(sample.len() as u64, ranks.clone());
            selection.room = 400;
            for value in sample {
                let value = value.map(|value: f64| if few { value.round() } else { value });
                sorted.extend(value);
                selection.add(value);
            }
            let known: Vec<u64> = ranks.into_iter().filter(|&rank| rank <= sorted.len() as u64).collect();
            if let Some(found) = selection.find(&known) {
                let wanted: Vec<u64> = known.iter().map(|&rank| value_at(&sorted, rank)).collect();
                prop_assert_eq!(found.into_iter().map(f64::to_bits).collect::<Vec<_>>(), wanted);
            }
        }

        #[test]
        fn both_find_what_sorting_finds(
            mut sample in proptest::collection::vec(prop_oneof![-1e6f64..1e6, Just(0.0), Just(-0.0), any::<f64>()], 1..60)
        ) {
            let ranks: Vec<u64> = (1..=sample.len() as u64).collect();
            let passes = order_statistics(&ranks, |each| -> Result<(), ()> {
                for &value in &sample {
                    each(value);
                }
                Ok(())
            });
            let selected = select(&sample, &ranks);
            sample.sort_by(f64::total_cmp);
            let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&passes.unwrap()), bits(&sample));
            prop_assert_eq!(bits(&selected.unwrap()), bits(&sample));
        }
    }
}

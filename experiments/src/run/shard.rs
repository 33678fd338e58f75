//! A part of a run: a stretch of its trials, so that its files are stretches of the files of the whole.
//!
//! Each cell counts the same, however many trials it has: of `cells` cells, part i of N has those from (i − 1)/N to i/N of the way, and of a
//! cell that begins or ends within it that share of the trials. So a part needs to know how many trials its own cells take, and of no
//! others, and where all cells have as many, parts differ by one trial at most.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Part `number` of `of`, counted from 1; reads `2/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard {
    number: u32,
    of: u32,
}

/// More parts than any scheduler takes as one array.
const OF_MAX: u32 = 100_000;

impl Shard {
    /// `None` if there is no such part.
    pub fn new(number: u32, of: u32) -> Option<Shard> {
        ((1..=of).contains(&number) && of <= OF_MAX).then_some(Shard { number, of })
    }

    /// All parts of so many.
    pub fn all(of: u32) -> impl Iterator<Item = Shard> {
        (1..=of).map(move |number| Shard { number, of })
    }

    /// How many parts there are.
    pub fn of(self) -> u32 {
        self.of
    }

    /// The cells out of `cells` that it reaches into, at least one; of a cell with few trials it may have none.
    pub fn cells(self, cells: usize) -> Range<usize> {
        let (start, end) = self.stretch(cells);
        let of = u128::from(self.of);
        index(start / of)..index(end.div_ceil(of))
    }

    /// Which of the trials of cell `cell` out of `cells` are of this part; there may be none.
    pub fn trials(self, cell: usize, cells: usize, trials: u32) -> Range<u32> {
        let (start, end) = self.stretch(cells);
        let of = u128::from(self.of);
        let before = cell as u128 * of;
        let share = |at: u128| {
            let share = at.saturating_sub(before).min(of) * u128::from(trials) / of;
            u32::try_from(share).unwrap_or(trials)
        };
        share(start)..share(end)
    }

    /// From where to where it goes, a cell being as long as there are parts.
    fn stretch(self, cells: usize) -> (u128, u128) {
        let at = |number: u32| cells as u128 * u128::from(number);
        (at(self.number - 1), at(self.number))
    }

    /// Where its files are, in the folder of the whole.
    pub fn folder(self, whole: &Path) -> PathBuf {
        whole.join(format!("shard-{}-of-{}", self.number, self.of))
    }
}

fn index(number: u128) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

/// A text that names no part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected I/N with I from 1 to N and N at most 100000, such as 2/8")]
pub struct NoShard;

impl FromStr for Shard {
    type Err = NoShard;

    fn from_str(text: &str) -> Result<Shard, NoShard> {
        let (number, of) = text.split_once('/').ok_or(NoShard)?;
        let parse = |text: &str| text.parse().map_err(|_| NoShard);
        Shard::new(parse(number)?, parse(of)?).ok_or(NoShard)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parts_are_read() {
        assert_eq!("2/8".parse(), Ok(Shard { number: 2, of: 8 }));
        for bad in ["0/8", "9/8", "8", "/", "1/0", "a/2", "1/2/3", "-1/2", "1/100001"] {
            assert_eq!(bad.parse::<Shard>(), Err(NoShard), "{bad}");
        }
    }

    proptest! {
        /// Every trial of every cell is of one part, in order, and a part knows the cells of its own.
        #[test]
        fn parts_make_the_whole(sizes in proptest::collection::vec(1u32..40, 1..30), of in 1u32..90) {
            let mut parts = Vec::new();
            for shard in Shard::all(of) {
                let own = shard.cells(sizes.len());
                prop_assert!(!own.is_empty());
                for (cell, &size) in sizes.iter().enumerate() {
                    let trials = shard.trials(cell, sizes.len(), size);
                    prop_assert!(own.contains(&cell) || trials.is_empty());
                    parts.extend(trials.map(|trial| (cell, trial)));
                }
            }
            let whole = sizes.iter().enumerate().flat_map(|(cell, &size)| (0..size).map(move |trial| (cell, trial)));
            prop_assert!(whole.eq(parts));
        }

        #[test]
        fn parts_of_equal_cells_are_equal(cells in 1usize..30, size in 1u32..40, of in 1u32..90) {
            let length = |shard: Shard| (0..cells).map(|cell| shard.trials(cell, cells, size).len()).sum::<usize>();
            let lengths: Vec<_> = Shard::all(of).map(length).collect();
            prop_assert!(lengths.iter().max().unwrap() - lengths.iter().min().unwrap() <= 1);
        }
    }

    /// Numbers at the ends of what can be asked for.
    #[test]
    fn the_largest_parts_are_counted_out() {
        let last = Shard::new(OF_MAX, OF_MAX).unwrap();
        assert_eq!(
            last.cells(usize::MAX),
            usize::MAX - usize::MAX / OF_MAX as usize - 1..usize::MAX
        );
        assert_eq!(
            last.trials(0, 1, u32::MAX),
            u32::MAX - u32::MAX / OF_MAX - 1..u32::MAX
        );
        assert_eq!(Shard::new(1, OF_MAX).unwrap().trials(0, 1, 7), 0..0);
    }
}

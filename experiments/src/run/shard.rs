//! A part of a run: whole cells, so that its files are stretches of the files of the whole.

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

    /// The cells of this part out of `cells`; none is left out, and parts differ by one cell at most.
    pub fn cells(self, cells: usize) -> Range<usize> {
        let end = |number: u32| {
            let share = cells as u128 * u128::from(number) / u128::from(self.of);
            usize::try_from(share).unwrap_or(cells)
        };
        end(self.number - 1)..end(self.number)
    }

    /// Where its files are, in the folder of the whole.
    pub fn folder(self, whole: &Path) -> PathBuf {
        whole.join(format!("shard-{}-of-{}", self.number, self.of))
    }
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
        #[test]
        fn parts_make_the_whole(cells in 0usize..500, of in 1u32..60) {
            let parts: Vec<_> = Shard::all(of).map(|shard| shard.cells(cells)).collect();
            prop_assert_eq!(parts.iter().cloned().flatten().collect::<Vec<_>>(), (0..cells).collect::<Vec<_>>());
            let lengths: Vec<_> = parts.iter().map(Range::len).collect();
            prop_assert!(lengths.iter().max().unwrap() - lengths.iter().min().unwrap() <= 1);
        }
    }
}

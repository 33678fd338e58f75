//! Durations and sizes as people write them: `90s`, `1h30min`, `1.5h`, `4GiB`; and counted things: `1 page`, `2 pages`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

/// Units of time and their length in nanoseconds, longest first. A week and a day have their usual fixed length.
const TIME_UNITS: [(&str, u128); 8] = [
    ("w", 7 * 86_400_000_000_000),
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("min", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Units of size and their length in bytes, longest first.
const SIZE_UNITS: [(&str, u128); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// A duration that reads `90s`, `24h`, `1.5h`, `1h 30min`, `250ms`. A plain `0` needs no unit. At most 584 years, so
/// that nanoseconds fit 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Period(pub Duration);

impl Period {
    /// In seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0.as_secs_f64()
    }
}

/// A size that reads `512B`, `4KiB`, `1.5GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Size {
    /// In bytes.
    pub bytes: u64,
}

/// A number of things in words: `1 page`, `2 pages`, `0 entries`. `noun` is in the singular; only its last word is put into the
/// plural.
pub fn counted<T: Copy + fmt::Display + PartialEq + From<u8>>(count: T, noun: &str) -> String {
    if count == T::from(1) {
        return format!("1 {noun}");
    }
    match noun.strip_suffix('y') {
        Some(stem) => format!("{count} {stem}ies"),
        None => format!("{count} {noun}s"),
    }
}

/// A text is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Nothing there.
    #[error("empty")]
    Empty,
    /// A unit without a number before it.
    #[error("expected a number at {0:?}")]
    NoNumber(String),
    /// A number without a unit.
    #[error("{0:?} lacks a unit")]
    NoUnit(String),
    /// No such unit.
    #[error("unknown unit {0:?}")]
    UnknownUnit(String),
    /// Finer than the smallest unit, for example half a nanosecond.
    #[error("{0:?} is finer than the smallest unit")]
    TooFine(String),
    /// More than 64 bits hold.
    #[error("too large")]
    TooLarge,
}

impl FromStr for Period {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        parse(text, &TIME_UNITS).map(|nanos| Period(Duration::from_nanos(nanos)))
    }
}

impl FromStr for Size {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        parse(text, &SIZE_UNITS).map(|bytes| Size { bytes })
    }
}

/// The sum of the number-unit pairs in `text`, in the smallest unit; exact, no floating point.
fn parse(text: &str, units: &[(&str, u128)]) -> Result<u64, QuantityError> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(QuantityError::Empty);
    }
    if rest == "0" {
        return Ok(0);
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let number_end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(number_end);
        let tail = tail.trim_start();
        let unit_end = tail.find(|c: char| !c.is_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        if !number.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(QuantityError::NoNumber(rest.to_owned()));
        }
        if unit.is_empty() {
            return Err(QuantityError::NoUnit(number.to_owned()));
        }
        let (_, scale) = units
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(|| QuantityError::UnknownUnit(unit.to_owned()))?;
        total += scaled(number, *scale)?;
        if total > u128::from(u64::MAX) {
            return Err(QuantityError::TooLarge);
        }
        rest = tail.trim_start();
    }
    u64::try_from(total).map_err(|_| QuantityError::TooLarge)
}

/// A decimal number times `scale`, which must come out whole and below 2^64 or so.
fn scaled(number: &str, scale: u128) -> Result<u128, QuantityError> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (number.contains('.') && fraction.is_empty()) {
        return Err(QuantityError::NoNumber(number.to_owned()));
    }
    // Twenty digits already exceed 2^64; nine decimals are a nanosecond's worth of any unit up to seconds, and
    // eighteen keep every product below 2^128.
    let fraction = fraction.trim_end_matches('0');
    if whole.trim_start_matches('0').len() > 20 {
        return Err(QuantityError::TooLarge);
    }
    if fraction.len() > 18 {
        return Err(QuantityError::TooFine(number.to_owned()));
    }
    let digits = |text: &str| {
        text.bytes()
            .fold(0u128, |sum, digit| sum * 10 + u128::from(digit - b'0'))
    };
    let (whole, parts) = (digits(whole), digits(fraction));
    let denominator = 10u128.pow(u32::try_from(fraction.len()).unwrap_or(u32::MAX));
    if !(parts * scale).is_multiple_of(denominator) {
        return Err(QuantityError::TooFine(number.to_owned()));
    }
    whole
        .checked_mul(scale)
        .and_then(|whole| whole.checked_add(parts * scale / denominator))
        .ok_or(QuantityError::TooLarge)
}

/// Writes in the longest unit that needs no fraction; reading it back gives the same value.
fn write(value: u128, units: &[(&str, u128)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let whole = units
        .iter()
        .find(|(_, scale)| value > 0 && value.is_multiple_of(*scale));
    match whole {
        Some((name, scale)) => write!(f, "{}{name}", value / scale),
        None => f.write_str("0"),
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(self.0.as_nanos(), &TIME_UNITS, f)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(u128::from(self.bytes), &SIZE_UNITS, f)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads a quantity from a string, and says what one looks like when it finds something else.
struct Text<T> {
    example: &'static str,
    parsed: std::marker::PhantomData<T>,
}

impl<T: FromStr<Err = QuantityError>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.example)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse()
            .map_err(|error| E::custom(format_args!("{text:?}: {error}; expected {}", self.example)))
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXAMPLE: &str = r#"a duration with units (w d h min s ms us ns) such as "90s" or "1h30min""#;
        deserializer.deserialize_str(Text {
            example: EXAMPLE,
            parsed: std::marker::PhantomData,
        })
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXAMPLE: &str = r#"a size with a unit (B KiB MiB GiB TiB) such as "4MiB""#;
        deserializer.deserialize_str(Text {
            example: EXAMPLE,
            parsed: std::marker::PhantomData,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_thing_is_in_the_singular() {
        let seen: Vec<_> = [0_u64, 1, 2].map(|n| counted(n, "bad frame")).into();
        assert_eq!(seen, ["0 bad frames", "1 bad frame", "2 bad frames"]);
        assert_eq!(counted(2_usize, "entry"), "2 entries");
    }

    fn nanos(text: &str) -> Result<u128, QuantityError> {
        text.parse::<Period>().map(|period| period.0.as_nanos())
    }

    #[test]
    fn reads_what_people_write() {
        for (text, seconds) in [
            ("90s", 90.0),
            ("24h", 86_400.0),
            ("5min", 300.0),
            ("1.5h", 5_400.0),
            ("1h30min", 5_400.0),
            (" 1 h 30 min ", 5_400.0),
            ("250ms", 0.25),
            ("2w", 1_209_600.0),
            ("0.1d", 8_640.0),
            ("0", 0.0),
        ] {
            let expected = Duration::from_secs_f64(seconds);
            assert_eq!(text.parse::<Period>().unwrap().0, expected, "{text}");
        }
        assert_eq!("4GiB".parse::<Size>().unwrap().bytes, 4 << 30);
        assert_eq!("1.5KiB".parse::<Size>().unwrap().bytes, 1536);
    }

    #[test]
    fn refuses_what_is_no_quantity_and_says_why() {
        use QuantityError::{Empty, NoNumber, NoUnit, TooFine, TooLarge, UnknownUnit};
        assert_eq!(nanos(""), Err(Empty));
        assert_eq!(nanos("90"), Err(NoUnit("90".into())));
        assert_eq!(nanos("5m"), Err(UnknownUnit("m".into())));
        assert_eq!(nanos("-5s"), Err(NoNumber("-5s".into())));
        assert_eq!(nanos("1.2.3s"), Err(NoNumber("1.2.3".into())));
        assert_eq!(nanos("1.s"), Err(NoNumber("1.".into())));
        assert_eq!(nanos("0.5ns"), Err(TooFine("0.5".into())));
        assert_eq!(nanos("99999999999999999999999999s"), Err(TooLarge));
        assert_eq!(nanos("600000d"), Err(TooLarge));
        assert!(nanos("NaNs").is_err() && nanos("1e3s").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(nanos in any::<u64>()) {
            let period = Period(Duration::from_nanos(nanos));
            prop_assert_eq!(period.to_string().parse::<Period>(), Ok(period));
            let size = Size { bytes: nanos };
            prop_assert_eq!(size.to_string().parse::<Size>(), Ok(size));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9.]{0,40}( ?(h|min|s|ns|x)? ?[0-9.]{0,30}){0,3}") {
            let _ = text.parse::<Period>();
            let _ = text.parse::<Size>();
        }
    }
}

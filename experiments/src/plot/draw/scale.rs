//! How values become places along an axis.

/// A monotone map of a range of values onto 0 … 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scale {
    /// Evenly spaced values; `low` < `high`.
    Linear { low: f64, high: f64 },
    /// Evenly spaced ratios; 0 < `low` < `high`.
    Log { low: f64, high: f64 },
    /// Shares p of a whole, spaced as −log10(1 − p), so that every nine of a tail is as long as the one before.
    Tail { nines: f64 },
}

impl Scale {
    /// 0 at the low end, 1 at the high end, beyond for values outside; `None` where the scale has no place for the value.
    pub(crate) fn share(&self, value: f64) -> Option<f64> {
        let share = match *self {
            Scale::Linear { low, high } => (value - low) / (high - low),
            Scale::Log { low, high } => {
                if value <= 0.0 {
                    return None;
                }
                libm::log(value / low) / libm::log(high / low)
            }
            Scale::Tail { nines } => {
                if value >= 1.0 {
                    return None;
                }
                -libm::log10(1.0 - value) / nines
            }
        };
        share.is_finite().then_some(share)
    }

    /// The value at a share of the axis, or for [`Scale::Tail`], which no plotting program knows, the nines −log10(1 − p).
    pub(crate) fn coordinate(&self, share: f64) -> f64 {
        match *self {
            Scale::Linear { low, high } => low + share * (high - low),
            Scale::Log { low, high } => low * libm::pow(high / low, share),
            Scale::Tail { nines } => share * nines,
        }
    }

    /// A logarithmic scale that holds all the values with a margin, given as a factor. `None` without a positive value.
    pub(crate) fn log_around(values: impl Iterator<Item = f64>, margin: f64) -> Option<Scale> {
        let (low, high) = values
            .filter(|value| *value > 0.0)
            .fold((f64::INFINITY, 0.0f64), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        low.is_finite().then_some(Scale::Log {
            low: low / margin,
            high: high * margin,
        })
    }

    /// A linear scale from zero up to the values with a little room; not above `ceiling` if no value is.
    pub(crate) fn linear_from_zero(values: impl Iterator<Item = f64>, ceiling: f64) -> Scale {
        const ROOM: f64 = 1.05;
        let (low, high) = values.fold((0.0f64, 0.0f64), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        let room = high * ROOM;
        let high = if high <= ceiling { room.min(ceiling) } else { room };
        if high - low < 1e-12 {
            return Scale::Linear { low, high: low + 1.0 };
        }
        Scale::Linear {
            low: low * ROOM,
            high,
        }
    }
}

//! Scales and their ticks.

/// A scale from values to a stretch of the sheet.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    logarithmic: bool,
    /// What the axis shows, with its unit.
    pub(super) label: String,
    /// Values with a label.
    pub(super) ticks: Vec<(f64, String)>,
}

/// Times that people name, in seconds.
const NAMED_TIMES: [(f64, &str); 30] = [
    (1e-6, "1 µs"),
    (1e-5, "10 µs"),
    (1e-4, "100 µs"),
    (1e-3, "1 ms"),
    (1e-2, "10 ms"),
    (3e-2, "30 ms"),
    (0.1, "100 ms"),
    (0.3, "300 ms"),
    (1.0, "1 s"),
    (2.0, "2 s"),
    (5.0, "5 s"),
    (10.0, "10 s"),
    (20.0, "20 s"),
    (30.0, "30 s"),
    (60.0, "1 min"),
    (120.0, "2 min"),
    (300.0, "5 min"),
    (600.0, "10 min"),
    (1_200.0, "20 min"),
    (1_800.0, "30 min"),
    (3_600.0, "1 h"),
    (7_200.0, "2 h"),
    (18_000.0, "5 h"),
    (36_000.0, "10 h"),
    (86_400.0, "1 d"),
    (172_800.0, "2 d"),
    (432_000.0, "5 d"),
    (864_000.0, "10 d"),
    (2_592_000.0, "30 d"),
    (31_536_000.0, "1 y"),
];

impl Axis {
    /// A logarithmic axis of time with named ticks; the values are in seconds.
    pub(super) fn log_time(values: impl Iterator<Item = f64>, label: &str) -> Option<Self> {
        let (low, high) = range(values.filter(|&value| value > 0.0))?;
        let margin = libm::pow(high / low, 0.05).max(1.15);
        let (low, high) = (low / margin, high * margin);
        let inside = NAMED_TIMES.iter().filter(|(at, _)| (low..=high).contains(at));
        let axis = Axis {
            low,
            high,
            logarithmic: true,
            label: label.to_owned(),
            ticks: Vec::new(),
        };
        Some(axis.with_spaced(inside.map(|&(at, name)| (at, name.to_owned()))))
    }

    /// A logarithmic axis of shares.
    pub(super) fn log_share(values: impl Iterator<Item = f64>, label: &str) -> Option<Self> {
        const NAMED: [f64; 10] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0];
        let (low, high) = range(values.filter(|&value| value > 0.0))?;
        let (low, high) = (low / 1.3, high * 1.2);
        let axis = Axis {
            low,
            high,
            logarithmic: true,
            label: label.to_owned(),
            ticks: Vec::new(),
        };
        let inside = NAMED.into_iter().filter(|at| (low..=high).contains(at));
        Some(axis.with_spaced(inside.map(|at| (at, at.to_string()))))
    }

    /// Takes those of the ticks that leave room for the label of the one before.
    fn with_spaced(mut self, ticks: impl Iterator<Item = (f64, String)>) -> Self {
        const ROOM: f64 = 0.12;
        for (at, label) in ticks {
            let free = self
                .ticks
                .last()
                .is_none_or(|(last, _)| self.place(at) - self.place(*last) >= ROOM);
            if free {
                self.ticks.push((at, label));
            }
        }
        self
    }

    /// An axis of time for a distribution: logarithmic if it spans a decade, else from zero.
    pub(super) fn time_span(values: impl Iterator<Item = f64> + Clone, label: &str) -> Option<Self> {
        let (low, high) = range(values.clone())?;
        if low > 0.0 && high / low >= 10.0 {
            return Axis::log_time(values, label);
        }
        let (scale, unit) = match high {
            s if s < 0.001 => (1e-6, "µs"),
            s if s < 1.0 => (1e-3, "ms"),
            s if s < 300.0 => (1.0, "s"),
            s if s < 18_000.0 => (60.0, "min"),
            _ => (3_600.0, "h"),
        };
        let mut axis = Axis::linear(0.0, high * 1.06 / scale, &format!("{label}, {unit}"));
        axis.high *= scale;
        for (at, _) in &mut axis.ticks {
            *at *= scale;
        }
        Some(axis)
    }

    /// A linear axis from zero.
    pub(super) fn from_zero(values: impl Iterator<Item = f64>, label: &str) -> Option<Self> {
        let (_, high) = range(values)?;
        let high = if high > 0.0 { high * 1.06 } else { 1.0 };
        Some(Axis::linear(0.0, high, label))
    }

    /// A linear axis over exactly this range.
    pub(super) fn linear(low: f64, high: f64, label: &str) -> Self {
        let step = round_step((high - low) / 5.0);
        let first = (low / step).ceil();
        let decimals = if step < 0.0999 {
            2
        } else {
            usize::from(step < 0.999)
        };
        let ticks = (0..20)
            .map(|i| (first + f64::from(i)) * step)
            .take_while(|&at| at <= high + step * 1e-9)
            .map(|at| (at, format!("{at:.decimals$}")))
            .collect();
        Axis {
            low,
            high,
            logarithmic: false,
            label: label.to_owned(),
            ticks,
        }
    }

    /// An axis of categories, each one unit wide.
    pub(super) fn categories(names: &[String]) -> Self {
        let ticks = names
            .iter()
            .enumerate()
            .map(|(i, name)| (i as f64 + 0.5, name.clone()))
            .collect();
        Axis {
            low: 0.0,
            high: names.len().max(1) as f64,
            logarithmic: false,
            label: String::new(),
            ticks,
        }
    }

    /// Where a value stands between the low end (0) and the high end (1).
    pub(super) fn place(&self, value: f64) -> f64 {
        if self.logarithmic {
            libm::log(value / self.low) / libm::log(self.high / self.low)
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }

    /// Is the value between the ends?
    pub(super) fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values
        .filter(|value| value.is_finite())
        .fold(None, |range, value| {
            let (low, high) = range.unwrap_or((value, value));
            Some((value.min(low), value.max(high)))
        })
}

/// The next 1, 2 or 5 times a power of ten.
fn round_step(least: f64) -> f64 {
    let power = libm::pow(10.0, libm::floor(libm::log10(least.max(1e-12))));
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|&step| step >= least)
        .unwrap_or(power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_read_as_people_write_them() {
        let time = Axis::log_time([60.0, 1_920.0].into_iter(), "").unwrap();
        assert_eq!(labels(&time), ["1 min", "2 min", "5 min", "10 min", "20 min"]);
        let share = Axis::from_zero([0.1, 0.72].into_iter(), "").unwrap();
        assert_eq!(labels(&share), ["0.0", "0.2", "0.4", "0.6"]);
        assert_eq!(
            labels(&Axis::linear(0.0, 1.0, "")),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
        );
    }

    #[test]
    fn nothing_to_show_is_no_axis_and_one_value_is_one() {
        assert!(Axis::log_time([0.0, -1.0, f64::NAN].into_iter(), "").is_none());
        let single = Axis::log_time([60.0].into_iter(), "").unwrap();
        assert!(single.holds(60.0) && (single.place(60.0) - 0.5).abs() < 1e-9);
    }
}

//! Where an axis has ticks, and what stands beside them.

use super::scale::Scale;

/// A tick; only major ones have a label and a line of the grid.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tick {
    pub(crate) value: f64,
    pub(crate) label: Option<String>,
}

/// What the values of an axis are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// Shares, shown in per cent.
    Percent,
    /// Numbers as they are.
    Number,
    /// Numbers between which there are none.
    Whole,
    /// Seconds, shown in one unit along the whole axis.
    TimeIn(Unit),
    /// Seconds, each label with its own unit.
    Time,
}

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Unit {
    pub(crate) name: &'static str,
    pub(crate) seconds: f64,
}

const UNITS: [Unit; 7] = [
    Unit {
        name: "d",
        seconds: 86_400.0,
    },
    Unit {
        name: "h",
        seconds: 3600.0,
    },
    Unit {
        name: "min",
        seconds: 60.0,
    },
    Unit {
        name: "s",
        seconds: 1.0,
    },
    Unit {
        name: "ms",
        seconds: 1e-3,
    },
    Unit {
        name: "µs",
        seconds: 1e-6,
    },
    Unit {
        name: "ns",
        seconds: 1e-9,
    },
];

impl Unit {
    /// The largest unit of which `seconds` is at least `times`; the smallest there is for less.
    pub(crate) fn for_seconds(seconds: f64, times: f64) -> Unit {
        let fits = |unit: &&Unit| seconds >= times * unit.seconds * (1.0 - 1e-12);
        if seconds <= 0.0 {
            return UNITS[3];
        }
        *UNITS.iter().find(fits).unwrap_or(&UNITS[6])
    }
}

/// A duration as people write it: `90 s` is `1.5 min`. Three digits, unless a whole number of the next smaller unit says
/// exactly what they would round: `100 h`, not `4.17 d`.
pub(crate) fn duration(seconds: f64) -> String {
    const WHOLE_MAX: f64 = 9999.0;
    let unit = Unit::for_seconds(seconds, 1.0);
    let rounded = three_digits(seconds / unit.seconds);
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs();
    let exact = rounded
        .parse()
        .is_ok_and(|number: f64| close(number * unit.seconds, seconds));
    let smaller = UNITS.iter().find(|other| other.seconds < unit.seconds);
    if let Some(smaller) = smaller.filter(|_| !exact && unit.seconds > 1.0) {
        let whole = libm::round(seconds / smaller.seconds);
        if whole <= WHOLE_MAX && close(whole * smaller.seconds, seconds) {
            return format!("{whole} {}", smaller.name);
        }
    }
    format!("{rounded} {}", unit.name)
}

/// Labels from which values can be read off an axis.
const FEW: usize = 4;
/// Ratio of the ends of a logarithmic axis beyond which it has no minor ticks.
const MINOR_RATIO_MAX: f64 = 1e6;

/// A number with three significant digits, without trailing zeros; whole numbers whole.
pub(crate) fn three_digits(value: f64) -> String {
    let size = value.abs();
    let decimals = match size {
        _ if size >= 99.95 => 0,
        _ if size >= 9.995 => 1,
        _ if size >= 0.9995 => 2,
        _ => 3,
    };
    trimmed(&format!("{value:.decimals$}"))
}

fn trimmed(text: &str) -> String {
    if !text.contains('.') {
        return text.to_owned();
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Ticks of a scale: as many labels as fit. `gap_of` tells how much room along the axis a label takes, in points.
pub(crate) fn ticks(scale: Scale, kind: Kind, length: f64, room_of: impl Fn(&str) -> f64) -> Vec<Tick> {
    let labels = |levels: Vec<Vec<f64>>, label: &dyn Fn(f64) -> String| -> Vec<Tick> {
        let fitting = levels
            .into_iter()
            .map(|values| inside(scale, values))
            .find(|values| fits(scale, values, length, |value| room_of(&label(value))));
        fitting
            .unwrap_or_default()
            .into_iter()
            .map(|value| Tick {
                value,
                label: Some(label(value)),
            })
            .collect()
    };
    match scale {
        Scale::Linear { low, high } => linear(low, high, kind, length, &room_of),
        Scale::Log { low, high } => {
            let major = match kind {
                Kind::Time | Kind::TimeIn(_) => labels(time_levels(low, high), &duration),
                Kind::Percent => labels(decimal_levels(low, high), &percent),
                Kind::Number | Kind::Whole => labels(decimal_levels(low, high), &|value| {
                    trimmed(&format!("{value:.9}"))
                }),
            };
            if major.len() < FEW {
                // Less than a decade: as along a linear axis.
                let even = narrow(low, high, kind, length, &room_of);
                if major.len() < 2 || high / low < 10.0 && even.len() > major.len() {
                    return even;
                }
            }
            let minor = match kind {
                // They would run together.
                _ if high / low > MINOR_RATIO_MAX => Vec::new(),
                Kind::Time | Kind::TimeIn(_) => time_minor(low, high),
                Kind::Percent | Kind::Number | Kind::Whole => {
                    decades(low, high, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0])
                }
            };
            with_minor(major, inside(scale, minor))
        }
        Scale::Tail { nines } => labels(tail_levels(nines), &percent),
    }
}

/// Ticks at given values, in ascending order; a label that would touch the one before it is left out.
pub(crate) fn ticks_at(
    scale: Scale,
    kind: Kind,
    values: &[f64],
    length: f64,
    room_of: impl Fn(&str) -> f64,
) -> Vec<Tick> {
    let label_of = |value: f64| match kind {
        Kind::Time => duration(value),
        Kind::TimeIn(unit) => three_digits(value / unit.seconds),
        Kind::Percent => percent(value),
        Kind::Number | Kind::Whole => trimmed(&format!("{value:.9}")),
    };
    let mut free_from = f64::NEG_INFINITY;
    let mut all = Vec::new();
    for &value in values {
        let label = label_of(value);
        let (Some(share), room) = (scale.share(value), room_of(&label) / 2.0) else {
            continue;
        };
        let is_clear = share * length - room >= free_from;
        if is_clear {
            free_from = share * length + room;
        }
        all.push(Tick {
            value,
            label: is_clear.then_some(label),
        });
    }
    all
}

/// Ticks of a logarithmic axis over so short a range that powers of ten and their like are too few.
fn narrow(low: f64, high: f64, kind: Kind, length: f64, room_of: &impl Fn(&str) -> f64) -> Vec<Tick> {
    let (one, unit) = match kind {
        Kind::Percent => (0.01, None),
        Kind::Number | Kind::Whole => (1.0, None),
        Kind::Time => {
            let unit = Unit::for_seconds(low, 1.0);
            (unit.seconds, Some(unit.name))
        }
        Kind::TimeIn(unit) => (unit.seconds, None),
    };
    let scale = Scale::Log { low, high };
    for step in steps((high - low) / one) {
        let label = |value: f64| {
            let number = step_label(value / one, step.size);
            unit.map_or(number.clone(), |unit| format!("{number} {unit}"))
        };
        let values: Vec<f64> = multiples(low / one, high / one, step.size)
            .map(|value| value * one)
            .collect();
        if fits(scale, &values, length, |value| room_of(&label(value))) {
            let major = values.iter().map(|&value| Tick {
                value,
                label: Some(label(value)),
            });
            return major.collect();
        }
    }
    Vec::new()
}

/// Ticks of a linear axis, minor ones between.
fn linear(low: f64, high: f64, kind: Kind, length: f64, room_of: &impl Fn(&str) -> f64) -> Vec<Tick> {
    let unit = match kind {
        Kind::Percent => 0.01,
        Kind::TimeIn(unit) => unit.seconds,
        Kind::Time | Kind::Number | Kind::Whole => 1.0,
    };
    let scale = Scale::Linear { low, high };
    let (low, high) = (low / unit, high / unit);
    let least = if kind == Kind::Whole { 1.0 } else { 0.0 };
    for step in steps(high - low).filter(|step| step.size > least - 1e-9) {
        let label = |value: f64| step_label(value / unit, step.size);
        let values: Vec<f64> = multiples(low, high, step.size)
            .map(|value| value * unit)
            .collect();
        if values.len() >= 2 && fits(scale, &values, length, |value| room_of(&label(value))) {
            let minor = multiples(low, high, (step.size / step.parts).max(least)).map(|value| value * unit);
            let major = values
                .iter()
                .map(|&value| Tick {
                    value,
                    label: Some(label(value)),
                })
                .collect();
            return with_minor(major, minor.collect());
        }
    }
    Vec::new()
}

struct Step {
    size: f64,
    /// Into how many parts minor ticks divide it.
    parts: f64,
}

/// Steps of 1, 2 and 5 times a power of ten, the finest first; at most about twenty of them over the span.
fn steps(span: f64) -> impl Iterator<Item = Step> {
    let decade = libm::floor(libm::log10(span / 20.0));
    (0..9).map(move |index| {
        let (factor, parts) = [(1.0, 5.0), (2.0, 4.0), (5.0, 5.0)][index % 3];
        let power = decade + [0.0, 1.0, 2.0][index / 3];
        Step {
            size: factor * libm::pow(10.0, power),
            parts,
        }
    })
}

/// Multiples of a step from `low` to `high`; never many, since steps follow the span.
fn multiples(low: f64, high: f64, step: f64) -> impl Iterator<Item = f64> {
    const MANY: u32 = 400;
    let first = libm::ceil(low / step - 1e-9);
    let last = libm::floor(high / step + 1e-9);
    (0..MANY)
        .map(move |index| first + f64::from(index))
        .take_while(move |multiple| *multiple <= last)
        .map(move |multiple| multiple * step)
}

fn step_label(value: f64, step: f64) -> String {
    let decimals = (0..12)
        .find(|decimals| {
            let scaled = step * libm::pow(10.0, f64::from(*decimals));
            (scaled - libm::round(scaled)).abs() < 1e-6 * scaled
        })
        .unwrap_or(12);
    let decimals = usize::try_from(decimals).unwrap_or_default();
    let text = format!("{value:.decimals$}").replace('-', "−");
    if text
        .trim_start_matches('−')
        .chars()
        .all(|sign| matches!(sign, '0' | '.'))
    {
        return "0".to_owned();
    }
    text
}

fn percent(share: f64) -> String {
    trimmed(&format!("{:.9}", share * 100.0))
}

/// Values of `digits` in each decade of the range, with one decade to spare on both sides.
fn decades(low: f64, high: f64, digits: &[f64]) -> Vec<f64> {
    let mut values = Vec::new();
    let mut power = libm::floor(libm::log10(low)) - 1.0;
    while power <= libm::log10(high) + 1.0 {
        values.extend(digits.iter().map(|digit| digit * libm::pow(10.0, power)));
        power += 1.0;
    }
    values
}

fn decimal_levels(low: f64, high: f64) -> Vec<Vec<f64>> {
    let every = |skip: usize| -> Vec<f64> { decades(low, high, &[1.0]).into_iter().step_by(skip).collect() };
    let usual = decades(low, high, &[1.0, 2.0, 5.0]);
    let mut levels = Vec::new();
    if few(&usual, low, high) {
        levels.push(decades(low, high, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]));
        levels.push(decades(low, high, &[1.0, 2.0, 3.0, 4.0, 6.0, 8.0]));
        levels.push(decades(low, high, &[1.0, 2.0, 3.0, 5.0, 7.0]));
    }
    levels.extend([
        usual,
        decades(low, high, &[1.0, 3.0]),
        every(1),
        every(2),
        every(5),
        every(10),
    ]);
    levels
}

/// Whether so few labels fall into the range that it takes more digits to read values off the axis.
fn few(values: &[f64], low: f64, high: f64) -> bool {
    values
        .iter()
        .filter(|value| (low..=high).contains(*value))
        .count()
        < FEW
}

/// Round durations, from many to few. Above days and below seconds they go by decades.
fn time_levels(low: f64, high: f64) -> Vec<Vec<f64>> {
    let build = |below: &[f64], sixties: &[f64], hours: &[f64], days: &[f64]| -> Vec<f64> {
        let mut values: Vec<f64> = decades(1e-9, 0.5, below)
            .into_iter()
            .filter(|value| *value < 0.999)
            .collect();
        values.extend(sixties);
        values.extend(sixties.iter().map(|value| value * 60.0));
        values.extend(hours.iter().map(|value| value * 3600.0));
        let days = decades(1.0, 1e14, days);
        values.extend(
            days.into_iter()
                .filter(|value| *value > 0.999)
                .map(|value| value * 86_400.0),
        );
        values
            .into_iter()
            .filter(|value| *value >= low / 10.0 && *value <= high * 10.0)
            .collect()
    };
    let usual = build(
        &[1.0, 2.0, 5.0],
        &[1.0, 2.0, 5.0, 10.0, 20.0, 30.0],
        &[1.0, 2.0, 4.0, 6.0, 12.0],
        &[1.0, 2.0, 5.0],
    );
    let mut levels = Vec::new();
    if few(&usual, low, high) {
        levels.push(build(
            &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0],
            &[
                1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0,
            ],
            &[1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 18.0],
            &[1.0, 2.0, 3.0, 4.0, 6.0, 8.0],
        ));
        levels.push(build(
            &[1.0, 2.0, 3.0, 5.0],
            &[1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 40.0],
            &[1.0, 2.0, 3.0, 6.0, 12.0],
            &[1.0, 2.0, 3.0, 5.0],
        ));
    }
    levels.extend([
        usual,
        build(
            &[1.0, 2.0, 5.0],
            &[1.0, 2.0, 5.0, 10.0, 20.0],
            &[1.0, 2.0, 5.0, 10.0],
            &[1.0, 2.0, 5.0],
        ),
        build(
            &[1.0, 3.0],
            &[1.0, 3.0, 10.0, 30.0],
            &[1.0, 3.0, 8.0],
            &[1.0, 3.0],
        ),
        build(&[1.0], &[1.0, 10.0], &[1.0, 6.0], &[1.0]),
        build(&[1.0], &[1.0], &[1.0], &[1.0]),
        vec![1e-6, 1e-3, 1.0, 60.0, 3600.0, 86_400.0, 8_640_000.0],
        vec![1e-6, 1.0, 3600.0, 8_640_000.0, 8.64e9, 8.64e12],
        vec![1e-9, 3600.0, 8.64e9],
    ]);
    levels
}

fn time_minor(low: f64, high: f64) -> Vec<f64> {
    let tens = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
    let mut values = decades(1e-9, 0.05, &tens);
    for unit in [1.0, 60.0] {
        values.extend(tens.iter().map(|value| value * unit));
        values.extend([10.0, 20.0, 30.0, 40.0, 50.0].iter().map(|value| value * unit));
    }
    values.extend((1..24).map(|hours| f64::from(hours) * 3600.0));
    let days = decades(1.0, 1e14, &tens).into_iter().filter(|days| *days > 0.999);
    values.extend(days.map(|days| days * 86_400.0));
    values.retain(|value| *value >= low && *value <= high);
    values
}

/// Percentiles with one nine more each; the median too where it fits.
fn tail_levels(nines: f64) -> Vec<Vec<f64>> {
    let mut tail = vec![0.0];
    let mut power = 1.0;
    while power <= nines + 1e-9 {
        tail.push(1.0 - libm::pow(10.0, -power));
        power += 1.0;
    }
    let mut with_median = tail.clone();
    with_median.insert(1, 0.5);
    let sparse = tail.iter().copied().step_by(2).collect();
    vec![with_median, tail, sparse]
}

fn inside(scale: Scale, values: Vec<f64>) -> Vec<f64> {
    let within = |value: &f64| {
        scale
            .share(*value)
            .is_some_and(|share| (-1e-9..=1.0 + 1e-9).contains(&share))
    };
    values.into_iter().filter(within).collect()
}

/// Whether labels, each centred on its value, stay clear of each other.
fn fits(scale: Scale, values: &[f64], length: f64, room_of: impl Fn(f64) -> f64) -> bool {
    values.windows(2).all(|pair| {
        let places = scale.share(pair[0]).zip(scale.share(pair[1]));
        let Some((first, second)) = places else {
            return false;
        };
        (second - first) * length >= f64::midpoint(room_of(pair[0]), room_of(pair[1]))
    })
}

/// Adds minor ticks where no major one is.
fn with_minor(mut major: Vec<Tick>, minor: Vec<f64>) -> Vec<Tick> {
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
    let free: Vec<f64> = minor
        .into_iter()
        .filter(|value| !major.iter().any(|tick| near(tick.value, *value)))
        .collect();
    major.extend(free.into_iter().map(|value| Tick { value, label: None }));
    major
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: Scale, kind: Kind, length: f64) -> Vec<String> {
        let room = |label: &str| 4.0 * label.chars().count() as f64 + 4.0;
        let ticks = ticks(scale, kind, length, room);
        ticks.into_iter().filter_map(|tick| tick.label).collect()
    }

    #[test]
    fn labels_are_round_and_as_many_as_fit() {
        let interval = Scale::Log {
            low: 50.0,
            high: 5000.0,
        };
        assert_eq!(
            labels(interval, Kind::Time, 200.0),
            ["1 min", "2 min", "5 min", "10 min", "20 min", "1 h"]
        );
        assert_eq!(labels(interval, Kind::Time, 110.0), ["1 min", "10 min", "1 h"]);
        let short = Scale::Log {
            low: 1280.0,
            high: 3906.0,
        };
        assert_eq!(
            labels(short, Kind::Time, 200.0),
            ["30 min", "40 min", "50 min", "1 h"]
        );
        let waste = Scale::Linear { low: 0.0, high: 0.5 };
        assert_eq!(
            labels(waste, Kind::Percent, 100.0),
            ["0", "10", "20", "30", "40", "50"]
        );
        let share = Scale::Log { low: 0.02, high: 1.0 };
        assert_eq!(
            labels(share, Kind::Percent, 200.0),
            ["2", "5", "10", "20", "50", "100"]
        );
        let minutes = Kind::TimeIn(Unit::for_seconds(7000.0, 2.0));
        let lost = Scale::Linear {
            low: 0.0,
            high: 7000.0,
        };
        assert_eq!(labels(lost, minutes, 60.0), ["0", "50", "100"]);
        let tail = Scale::Tail { nines: 3.0 };
        assert_eq!(
            labels(tail, Kind::Percent, 200.0),
            ["0", "50", "90", "99", "99.9"]
        );
    }

    #[test]
    fn durations_read_as_people_write_them() {
        let shown = [
            90.0, 10.488_76, 3600.0, 0.0123, 0.0, 100_000.0, 1e18, 360_000.0, 1600.0,
        ]
        .map(duration);
        assert_eq!(
            shown,
            [
                "1.5 min",
                "10.5 s",
                "1 h",
                "12.3 ms",
                "0 s",
                "1.16 d",
                "11574074074074 d",
                "100 h",
                "1600 s"
            ]
        );
    }
}

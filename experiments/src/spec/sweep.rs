//! ① `[sweep]`: which keys of a spec take which values, and the document of each combination.
//!
//! Values are put into the document as parsed, with the place where they were written, so that a complaint about a swept
//! value names the line of the sweep. Keys are taken in the order of the file, the first being the outermost loop.

use std::borrow::Cow;
use std::collections::BTreeSet;

use revenant_core::quantity::{Period, Size};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::error::Problem;

type Complaint = (usize, Problem);
type Key<'i> = Spanned<Cow<'i, str>>;
type Value<'i> = Spanned<DeValue<'i>>;
type Entry<'a, 'i> = (&'a Key<'i>, &'a Value<'i>);

/// More settings than anybody means.
const SETTINGS_MAX: usize = 10_000;
/// Steps of a range at most.
const STEPS_MAX: usize = 1_000;
/// Lists of keys that vary together.
const ZIP: &str = "zip";
/// Keys that are of the whole run.
const WHOLE_RUN: [&str; 7] = [
    "name",
    "question",
    "seed",
    "trials",
    "precision",
    "levels",
    "figures",
];
/// Keys whose value is in a column of its own.
const COLUMNS: [&str; 6] = [
    "failures.law",
    "failures.nodes",
    "failures.mtbf",
    "checkpoint.cost",
    "checkpoint.restart",
    "job.work",
];

/// One combination: what it is called in rows, and what is put where.
#[derive(Debug)]
pub(super) struct Combination<'i> {
    /// `key=value` of each swept key without a column of its own, joined by `;`.
    pub name: String,
    values: Vec<(&'i str, Value<'i>)>,
}

/// The values of a key.
#[derive(Debug)]
struct Axis<'i> {
    key: &'i str,
    offset: usize,
    values: Vec<Value<'i>>,
}

/// The values of every range in the table, written out. They must outlive the combinations.
pub(super) fn ranges(sweep: &Value<'_>) -> Result<Vec<(String, Vec<String>)>, Complaint> {
    let mut ranges = Vec::new();
    for (key, value) in entries(sweep)? {
        if let DeValue::Table(range) = value.get_ref() {
            let values = steps(range).map_err(|problem| (value.span().start, problem.of(key.get_ref())))?;
            ranges.push((key.get_ref().to_string(), values));
        }
    }
    Ok(ranges)
}

/// All combinations, in order.
pub(super) fn combinations<'i>(
    sweep: &'i Value<'i>,
    ranges: &'i [(String, Vec<String>)],
) -> Result<Vec<Combination<'i>>, Complaint> {
    let groups = groups(sweep, axes(sweep, ranges)?)?;
    let count = groups.iter().try_fold(1usize, |product, group| {
        product
            .checked_mul(group[0].values.len())
            .filter(|&product| product <= SETTINGS_MAX)
    });
    let Some(count) = count else {
        return Err((
            sweep.span().start,
            Problem::TooManySettings { most: SETTINGS_MAX },
        ));
    };
    Ok((0..count).map(|number| combination(&groups, number)).collect())
}

impl<'i> Combination<'i> {
    /// The document with these values in it.
    pub(super) fn document(&self, base: &Spanned<DeTable<'i>>) -> Result<Spanned<DeTable<'i>>, Complaint> {
        let mut document = base.clone();
        for (key, value) in &self.values {
            put(document.get_mut(), key, value)?;
        }
        Ok(document)
    }
}

fn entries<'a, 'i>(sweep: &'a Value<'i>) -> Result<Vec<Entry<'a, 'i>>, Complaint> {
    let DeValue::Table(table) = sweep.get_ref() else {
        return Err((sweep.span().start, Problem::SweepNotATable));
    };
    let mut entries: Vec<_> = table.iter().filter(|(key, _)| key.get_ref() != ZIP).collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    Ok(entries)
}

fn axes<'i>(sweep: &'i Value<'i>, ranges: &'i [(String, Vec<String>)]) -> Result<Vec<Axis<'i>>, Complaint> {
    let mut axes = Vec::new();
    for (key, value) in entries(sweep)? {
        let offset = key.span().start;
        let key = key.get_ref().as_ref();
        let top = key.split('.').next().unwrap_or_default();
        if WHOLE_RUN.contains(&top) {
            return Err((offset, Problem::NotSwept { key: key.to_owned() }));
        }
        let values: Vec<Value<'i>> = match value.get_ref() {
            DeValue::Array(list) => list.iter().cloned().collect(),
            DeValue::Table(_) => {
                let texts = ranges
                    .iter()
                    .find(|(name, _)| name == key)
                    .map(|(_, texts)| texts);
                let parse = |text: &'i String| {
                    let parsed = DeValue::parse(text).expect("a literal that was written by this module");
                    Spanned::new(value.span(), parsed.into_inner())
                };
                texts.into_iter().flatten().map(parse).collect()
            }
            _ => return Err((value.span().start, Problem::NotAList { key: key.to_owned() })),
        };
        distinct(key, &values, value.span().start)?;
        axes.push(Axis { key, offset, values });
    }
    if axes.is_empty() {
        return Err((
            sweep.span().start,
            Problem::Empty {
                key: "sweep",
                what: "key",
            },
        ));
    }
    Ok(axes)
}

fn distinct(key: &str, values: &[Value<'_>], offset: usize) -> Result<(), Complaint> {
    if values.is_empty() {
        return Err((offset, Problem::EmptySweep { key: key.to_owned() }));
    }
    let mut seen = BTreeSet::new();
    for value in values {
        let shown = show(value.get_ref());
        if !seen.insert(shown.clone()) {
            let key = key.to_owned();
            return Err((value.span().start, Problem::SweptTwice { key, value: shown }));
        }
    }
    Ok(())
}

/// Axes that vary together, in the order of the first of each.
fn groups<'i>(sweep: &Value<'_>, axes: Vec<Axis<'i>>) -> Result<Vec<Vec<Axis<'i>>>, Complaint> {
    let mut groups: Vec<Vec<Axis<'i>>> = axes.into_iter().map(|axis| vec![axis]).collect();
    let DeValue::Table(table) = sweep.get_ref() else {
        return Ok(groups);
    };
    let Some(zips) = table.get(ZIP) else {
        return Ok(groups);
    };
    let malformed = || (zips.span().start, Problem::BadZip);
    for zip in list(zips).ok_or_else(malformed)? {
        let mut together: Option<usize> = None;
        for key in list(zip).ok_or_else(malformed)? {
            let DeValue::String(key_text) = key.get_ref() else {
                return Err(malformed());
            };
            let found = groups
                .iter()
                .position(|group| group.iter().any(|axis| axis.key == key_text));
            let unknown = || {
                (
                    key.span().start,
                    Problem::ZipUnknown {
                        key: key_text.to_string(),
                    },
                )
            };
            let found = found.ok_or_else(unknown)?;
            match together {
                None => together = Some(found),
                Some(first) if first == found => {
                    return Err((
                        key.span().start,
                        Problem::ZippedTwice {
                            key: key_text.to_string(),
                        },
                    ));
                }
                Some(first) => {
                    let joined = groups.remove(found);
                    let first = if found < first { first - 1 } else { first };
                    groups[first].extend(joined);
                    together = Some(first);
                }
            }
        }
    }
    for group in &mut groups {
        group.sort_by_key(|axis| axis.offset);
        let (first, rest) = (&group[0], &group[1..]);
        if let Some(other) = rest.iter().find(|axis| axis.values.len() != first.values.len()) {
            let problem = Problem::ZipLengths {
                key: other.key.to_owned(),
                found: other.values.len(),
                other: first.key.to_owned(),
                wanted: first.values.len(),
            };
            return Err((other.offset, problem));
        }
    }
    groups.sort_by_key(|group| group[0].offset);
    Ok(groups)
}

fn list<'a, 'i>(value: &'a Value<'i>) -> Option<&'a DeArray<'i>> {
    match value.get_ref() {
        DeValue::Array(list) => Some(list),
        _ => None,
    }
}

fn combination<'i>(groups: &[Vec<Axis<'i>>], mut number: usize) -> Combination<'i> {
    let mut values = Vec::new();
    for group in groups.iter().rev() {
        let length = group[0].values.len();
        let index = number % length;
        number /= length;
        values.extend(
            group
                .iter()
                .rev()
                .map(|axis| (axis.key, axis.values[index].clone())),
        );
    }
    values.reverse();
    let named = values.iter().filter(|(key, _)| !COLUMNS.contains(key));
    let name = named.map(|(key, value)| named_value(key, value.get_ref()));
    Combination {
        name: name.collect::<Vec<_>>().join(";"),
        values,
    }
}

/// `key=value` in base units, which the key then names: `failures.detection_s=5`.
fn named_value(key: &str, value: &DeValue<'_>) -> String {
    if let DeValue::String(text) = value {
        if let Ok(period) = text.parse::<Period>() {
            return format!("{key}_s={}", period.as_secs_f64());
        }
        if let Ok(size) = text.parse::<Size>() {
            return format!("{key}_bytes={}", size.bytes);
        }
    }
    format!("{key}={}", show(value))
}

fn show(value: &DeValue<'_>) -> String {
    let list = |items: Vec<String>| items.join(" ");
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(instant) => instant.to_string(),
        DeValue::Array(items) => list(items.iter().map(|item| show(item.get_ref())).collect()),
        DeValue::Table(table) => {
            let entry = |(key, value): Entry<'_, '_>| format!("{}:{}", key.get_ref(), show(value.get_ref()));
            list(table.iter().map(entry).collect())
        }
    }
}

/// Puts a value at a dotted key; a number in it is a place in a list, counted from 0. Tables that are not there are made:
/// whether the key means anything is seen when the document is read.
fn put<'i>(table: &mut DeTable<'i>, key: &'i str, value: &Value<'i>) -> Result<(), Complaint> {
    let unfit = || (value.span().start, Problem::SweptNowhere { key: key.to_owned() });
    let Some((parents, last)) = key.rsplit_once('.') else {
        table.insert(Spanned::new(value.span(), Cow::Borrowed(key)), value.clone());
        return Ok(());
    };
    let mut parents = parents.split('.');
    let first = parents.next().unwrap_or_default();
    let absent = || Spanned::new(value.span(), DeValue::Table(DeTable::new()));
    if !table.contains_key(first) {
        table.insert(Spanned::new(value.span(), Cow::Borrowed(first)), absent());
    }
    let mut place = table.get_mut(first).ok_or_else(unfit)?.get_mut();
    for parent in parents {
        place = step(place, parent).ok_or_else(unfit)?.get_mut();
    }
    match place {
        DeValue::Table(table) => {
            // The key keeps its old place otherwise, and with it the old line.
            table.remove(last);
            table.insert(Spanned::new(value.span(), Cow::Borrowed(last)), value.clone());
            Ok(())
        }
        _ => Err(unfit()),
    }
}

fn step<'a, 'i>(place: &'a mut DeValue<'i>, key: &str) -> Option<&'a mut Value<'i>> {
    match place {
        DeValue::Table(table) => table.get_mut(key),
        DeValue::Array(list) => list.get_mut(key.parse::<usize>().ok()?),
        _ => None,
    }
}

/// What is wrong with a range; the key is known further out.
enum BadRange {
    Shape,
    Ends,
    Points,
    Coincide,
}

impl BadRange {
    fn of(self, key: &str) -> Problem {
        let why = match self {
            BadRange::Shape => {
                "write { from = …, to = …, points = N, scale = \"log\" } or scale = \"linear\""
            }
            BadRange::Ends => {
                "from and to must be two durations, two sizes or two numbers, from less than to, and more than 0 for a \
                 logarithmic scale"
            }
            BadRange::Points => "points must be between 2 and 1000",
            BadRange::Coincide => "two points come out as the same whole number: take fewer points",
        };
        Problem::BadRange {
            key: key.to_owned(),
            why,
        }
    }
}

/// A scale on which a range is divided evenly.
#[derive(Clone, Copy, PartialEq)]
enum Scale {
    Linear,
    Log,
}

/// The values of a range as TOML literals.
fn steps(range: &DeTable<'_>) -> Result<Vec<String>, BadRange> {
    if range
        .keys()
        .any(|key| !["from", "to", "points", "scale"].contains(&key.get_ref().as_ref()))
    {
        return Err(BadRange::Shape);
    }
    let end = |key: &str| range.get(key).map(Spanned::get_ref).ok_or(BadRange::Shape);
    let (from, to) = (end("from")?, end("to")?);
    let points = match end("points")? {
        DeValue::Integer(points) => points
            .to_string()
            .parse::<usize>()
            .map_err(|_| BadRange::Points)?,
        _ => return Err(BadRange::Shape),
    };
    if !(2..=STEPS_MAX).contains(&points) {
        return Err(BadRange::Points);
    }
    let scale = match range.get("scale").map(Spanned::get_ref) {
        Some(DeValue::String(text)) if text == "log" => Scale::Log,
        Some(DeValue::String(text)) if text == "linear" => Scale::Linear,
        _ => return Err(BadRange::Shape),
    };
    let whole = |value: f64| format!("{value:.0}");
    let texts = match (from, to) {
        (DeValue::String(from), DeValue::String(to)) => {
            if let (Ok(from), Ok(to)) = (from.parse::<Period>(), to.parse::<Period>()) {
                let (from, to) = (from.0.as_nanos() as f64, to.0.as_nanos() as f64);
                spread(from, to, points, scale)?
                    .map(|nanos| format!("\"{}ns\"", whole(nanos)))
                    .collect()
            } else if let (Ok(from), Ok(to)) = (from.parse::<Size>(), to.parse::<Size>()) {
                let (from, to) = (from.bytes as f64, to.bytes as f64);
                spread(from, to, points, scale)?
                    .map(|bytes| format!("\"{}B\"", whole(bytes)))
                    .collect()
            } else {
                return Err(BadRange::Ends);
            }
        }
        (DeValue::Integer(from), DeValue::Integer(to)) => {
            let (from, to) = (number(&from.to_string())?, number(&to.to_string())?);
            spread(from, to, points, scale)?.map(whole).collect()
        }
        (DeValue::Integer(_) | DeValue::Float(_), DeValue::Integer(_) | DeValue::Float(_)) => {
            let (from, to) = (number(&show(from))?, number(&show(to))?);
            spread(from, to, points, scale)?
                .map(|value| format!("{value:?}"))
                .collect()
        }
        _ => return Err(BadRange::Ends),
    };
    let texts: Vec<String> = texts;
    if texts.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(BadRange::Coincide);
    }
    Ok(texts)
}

fn number(text: &str) -> Result<f64, BadRange> {
    text.replace('_', "").parse().map_err(|_| BadRange::Ends)
}

/// `points` values from `from` to `to`, both included to the last bit.
fn spread(from: f64, to: f64, points: usize, scale: Scale) -> Result<impl Iterator<Item = f64>, BadRange> {
    let positive = scale == Scale::Linear || from > 0.0;
    if !(from.is_finite() && to.is_finite() && from < to && positive) {
        return Err(BadRange::Ends);
    }
    Ok((0..points).map(move |index| {
        let share = index as f64 / (points - 1) as f64;
        match (index, scale) {
            (0, _) => from,
            (last, _) if last + 1 == points => to,
            (_, Scale::Linear) => from + (to - from) * share,
            (_, Scale::Log) => from * libm::exp(libm::log(to / from) * share),
        }
    }))
}

//! What differs between the cells of a run, read off its table: for axes, legends and maps.

use std::collections::BTreeMap;

use super::series::{
    FIXED, MEBIBYTE, Stands, key_name, law_name, plain, policy_name, same, split_unit, swept_text, within,
};
use crate::plot::data::Cell;
use crate::plot::draw::axis::AxisSpec;
use crate::plot::draw::scale::Scale;
use crate::plot::draw::ticks::{Kind, Unit, duration};

/// Beyond this ratio of the outermost values the axis is logarithmic.
const LOG_RATIO: f64 = 10.0;
/// Space left and right of the outermost values, as a factor.
const MARGIN: f64 = 1.25;

/// Something that differs between cells.
pub(super) struct Attribute {
    /// For file names.
    pub(super) key: String,
    /// For axes and legends.
    pub(super) name: String,
    /// Values are seconds.
    pub(super) time: bool,
    /// Values are mebibytes, in this unit.
    size: Option<&'static str>,
    pub(super) value: Box<dyn Fn(&Cell) -> Value>,
    /// Kinds of policies that are told it, if it is a key of a policy: to the others it means nothing.
    tellers: Vec<String>,
}

impl Attribute {
    /// The name with the unit that numbers stand for.
    fn label(&self) -> String {
        match self.size {
            Some(unit) => format!("{} ({unit})", self.name),
            None => self.name.clone(),
        }
    }

    /// Along a linear axis times have one unit, along a logarithmic one each its own.
    pub(super) fn axis(&self, scale: Scale, cells: &[&Cell]) -> AxisSpec {
        let (kind, label) = match scale {
            Scale::Linear { high, .. } if self.time => {
                let unit = Unit::for_seconds(high, 2.0);
                (Kind::TimeIn(unit), format!("{} ({})", self.name, unit.name))
            }
            _ if self.time => (Kind::Time, self.name.clone()),
            _ => {
                let whole = numbers(cells, self)
                    .iter()
                    .all(|number| same(libm::trunc(*number), *number));
                let kind = if whole { Kind::Whole } else { Kind::Number };
                (kind, self.label())
            }
        };
        AxisSpec { scale, kind, label }
    }
}

/// What a cell has of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Text(String),
    Nothing,
}

/// What a spec names: everything else may follow from it.
pub(super) fn primary(cells: &[&Cell]) -> Vec<Attribute> {
    let mut all = Vec::new();
    let mut keys: Vec<&str> = Vec::new();
    for (key, _) in cells.iter().flat_map(|cell| &cell.setting.swept) {
        if !keys.contains(&key.as_str()) {
            keys.push(key);
        }
    }
    for key in keys {
        let (name, unit) = split_unit(key);
        let (time, size) = (unit == Stands::Seconds, unit.of_size());
        let wanted = key.to_owned();
        all.push(Attribute {
            key: name.replace('.', "-"),
            name: key_name(name),
            tellers: tellers(cells, key),
            time,
            size,
            value: Box::new(move |cell| {
                let found = cell.setting.swept.iter().find(|(key, _)| *key == wanted);
                found.map_or(Value::Nothing, |(_, text)| match text.parse::<f64>() {
                    Ok(bytes) if size.is_some() => Value::Number(bytes / MEBIBYTE),
                    Ok(number) => Value::Number(number),
                    Err(_) => Value::Text(text.clone()),
                })
            }),
        });
    }
    let mut push = |key: &str, name: &str, time, value: Box<dyn Fn(&Cell) -> Value>| {
        all.push(Attribute {
            key: key.to_owned(),
            name: name.to_owned(),
            time,
            size: None,
            value,
            tellers: Vec::new(),
        });
    };
    push(
        "nodes",
        "Nodes",
        false,
        Box::new(|cell| Value::Number(cell.setting.nodes as f64)),
    );
    push(
        "shape",
        "Shape of the law",
        false,
        Box::new(|cell| cell.setting.shape.map_or(Value::Nothing, Value::Number)),
    );
    push("law", "Law", false, Box::new(|cell| Value::Text(law(cell))));
    push("mtbf", "MTBF", true, Box::new(|cell| Value::Number(cell.mtbf_s)));
    push(
        "program",
        "Program",
        false,
        Box::new(|cell| Value::Text(cell.setting.program.clone())),
    );
    push(
        "policy",
        "Policy",
        false,
        Box::new(|cell| Value::Text(policy(cell))),
    );
    all
}

/// The interval of a fixed policy, where it is a factor.
pub(super) fn interval() -> Attribute {
    Attribute {
        key: "interval".to_owned(),
        name: "Checkpoint interval τ".to_owned(),
        time: true,
        size: None,
        value: Box::new(|cell| cell.interval_s.map_or(Value::Nothing, Value::Number)),
        tellers: Vec::new(),
    }
}

/// The axis of a factor: logarithmic where its values span a decade.
pub(super) fn scale(least: f64, most: f64) -> Option<Scale> {
    if least > 0.0 && most / least >= LOG_RATIO {
        return Scale::log_around([least, most].into_iter(), MARGIN);
    }
    let room = (most - least) / 16.0;
    Some(Scale::Linear {
        low: least - room,
        high: most + room,
    })
}

fn law(cell: &Cell) -> String {
    law_name(&cell.setting.law, cell.setting.shape)
}

/// What a spec may name or what may follow.
pub(super) fn secondary() -> Vec<Attribute> {
    type Of = fn(&Cell) -> f64;
    let all: [(&str, &str, Of); 4] = [
        ("cost", "Checkpoint cost C", |cell| {
            cell.setting.costs.checkpoint_s
        }),
        ("restart", "Restart R", |cell| cell.setting.costs.restart_s),
        ("work", "Work W", |cell| cell.setting.work_s),
        ("downtime", "Downtime D", |cell| cell.setting.costs.downtime_s),
    ];
    let attribute = |(key, name, of): (&str, &str, Of)| Attribute {
        key: key.to_owned(),
        name: name.to_owned(),
        time: true,
        size: None,
        value: Box::new(move |cell| Value::Number(of(cell))),
        tellers: Vec::new(),
    };
    all.into_iter().map(attribute).collect()
}

/// The kinds of policies whose names in the table say that they were told a key of a policy.
fn tellers(cells: &[&Cell], key: &str) -> Vec<String> {
    let mut kinds: Vec<String> = Vec::new();
    let (Some(_), Some(told)) = (key.strip_prefix("policy."), key.rsplit('.').next()) else {
        return kinds;
    };
    for cell in cells {
        let Some((kind, all)) = cell
            .policy
            .strip_suffix(')')
            .and_then(|rest| rest.split_once('('))
        else {
            continue;
        };
        let is_told = all.split(',').any(|one| one.split('=').next() == Some(told));
        if is_told && !kinds.iter().any(|other| other == kind) {
            kinds.push(kind.to_owned());
        }
    }
    kinds
}

pub(super) fn policy(cell: &Cell) -> String {
    match cell.interval_s.filter(|_| cell.policy == FIXED) {
        Some(interval_s) => format!("τ = {}", duration(interval_s)),
        None => policy_name(&family(cell)),
    }
}

/// The policy without what is swept of it, as in `adaptive(prior=10)` where the prior is a factor of its own.
pub(super) fn family(cell: &Cell) -> String {
    let whole = || cell.policy.clone();
    let Some((name, told)) = cell
        .policy
        .strip_suffix(')')
        .and_then(|rest| rest.split_once('('))
    else {
        return whole();
    };
    let is_swept = |told: &&str| {
        let key = told.split('=').next().unwrap_or_default().trim();
        let mut keys = cell.setting.swept.iter().map(|(key, _)| key);
        keys.any(|swept| swept.rsplit('.').next() == Some(key))
    };
    let kept: Vec<&str> = told.split(',').filter(|told| !is_swept(told)).collect();
    if kept.is_empty() {
        name.to_owned()
    } else {
        format!("{name}({})", kept.join(","))
    }
}

pub(super) fn numbers(cells: &[&Cell], factor: &Attribute) -> Vec<f64> {
    let mut numbers: Vec<f64> = cells
        .iter()
        .filter_map(|cell| match (factor.value)(cell) {
            Value::Number(number) => Some(number),
            Value::Text(_) | Value::Nothing => None,
        })
        .collect();
    numbers.sort_by(f64::total_cmp);
    numbers.dedup_by(|a, b| same(*a, *b));
    numbers
}

/// Whether the attribute is the same in all cells that agree in `x` and the others.
pub(super) fn follows(
    cells: &[&Cell],
    attribute: &Attribute,
    x: Option<&Attribute>,
    others: &[Attribute],
) -> bool {
    let by: Vec<&Attribute> = others
        .iter()
        .filter(|other| other.key != attribute.key)
        .chain(x)
        .collect();
    determined(cells, attribute, &by)
}

/// Whether the attribute is the same in all cells that agree in these.
pub(super) fn determined(cells: &[&Cell], attribute: &Attribute, by: &[&Attribute]) -> bool {
    let mut seen = BTreeMap::new();
    cells.iter().all(|cell| {
        let key: Vec<String> = by
            .iter()
            .map(|other| format!("{:?}", (other.value)(cell)))
            .collect();
        let value = (attribute.value)(cell);
        *seen.entry(key).or_insert(value.clone()) == value
    })
}

/// The symbol at the end of a name, or the name.
fn symbol(name: &str) -> String {
    match name.rsplit_once(' ') {
        Some((_, last)) if last.chars().count() == 1 => last.to_owned(),
        _ => within(name),
    }
}

/// How a legend names what a cell has of an attribute.
pub(super) fn said(attribute: &Attribute, cell: &Cell) -> Option<String> {
    let kind = cell.policy.split('(').next().unwrap_or_default();
    if !attribute.tellers.is_empty() && !attribute.tellers.iter().any(|teller| teller == kind) {
        return None;
    }
    let bare = ["law", "policy", "program"].contains(&attribute.key.as_str());
    match (attribute.value)(cell) {
        Value::Number(number) if attribute.time => {
            Some(format!("{} = {}", symbol(&attribute.name), duration(number)))
        }
        Value::Number(number) => {
            let unit = attribute.size.map_or(String::new(), |unit| format!(" {unit}"));
            Some(format!("{} = {}{unit}", symbol(&attribute.name), plain(number)))
        }
        Value::Text(text) if bare => Some(text),
        Value::Text(text) => Some(swept_text(&attribute.key.replace('-', "."), &text)),
        Value::Nothing => None,
    }
    .filter(|text| !text.is_empty())
}

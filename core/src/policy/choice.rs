//! Policies by name: what there is, what each is told by its user, and a choice among them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::IntervalPolicy;
use crate::quantity::Period;

/// The parameter that rows tell in a column of its own, and labels therefore leave out.
const INTERVAL: &str = "interval";

/// A policy that can be chosen by name. Each is declared in the policy's own file.
#[derive(Debug)]
pub struct Kind {
    /// As specs, rows and the command line spell it.
    pub name: &'static str,
    /// Its interval τ as a formula, in one line.
    pub formula: &'static str,
    /// Where it is published.
    pub source: &'static str,
    /// What its user tells it.
    pub parameters: &'static [Parameter],
    /// Whether it must know the length of the job.
    pub needs_work: bool,
    /// What of an experiment's world it is for, as its spec spells it. It goes by that, and elsewhere has no use.
    pub needs_world: Option<&'static str>,
    /// Makes it.
    pub(super) make: fn(&Told<'_>) -> Box<dyn IntervalPolicy>,
}

/// A number that a policy is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameter {
    /// Its key.
    pub name: &'static str,
    /// What it means.
    pub about: &'static str,
    /// How it is written.
    pub unit: Unit,
    /// What holds where it is not given.
    pub preset: Preset,
    /// Least value; of a time in seconds.
    pub least: f64,
    /// Greatest value.
    pub most: f64,
}

/// How a parameter is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A plain number.
    Number,
    /// A duration, held in seconds.
    Time,
}

/// What holds where a parameter is not given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Preset {
    /// It must be given.
    Required,
    /// This value.
    Value(f64),
    /// What the policy finds by itself, in words.
    Derived(&'static str),
}

/// What a policy is made from. A policy asks only for its own parameters.
#[derive(Debug)]
pub(super) struct Told<'a> {
    choice: &'a Choice,
    /// Work of the job (W); only where [`Kind::needs_work`].
    pub(super) work: Duration,
}

impl Told<'_> {
    /// The parameter as given or preset; `None` if the policy is to find it by itself.
    pub(super) fn get(&self, name: &str) -> Option<f64> {
        let mut both = self.choice.kind.parameters.iter().zip(&self.choice.values);
        both.find(|(parameter, _)| parameter.name == name)
            .and_then(|(parameter, value)| value.or(parameter.preset()))
    }

    /// A parameter that is required or has a preset value.
    pub(super) fn number(&self, name: &str) -> f64 {
        self.get(name).expect("declared as required or with a value")
    }
}

impl Parameter {
    fn preset(&self) -> Option<f64> {
        match self.preset {
            Preset::Value(value) => Some(value),
            Preset::Required | Preset::Derived(_) => None,
        }
    }

    /// A value as its user writes it.
    pub fn show(&self, value: f64) -> String {
        match self.unit {
            Unit::Number => value.to_string(),
            Unit::Time => {
                Duration::try_from_secs_f64(value).map_or(value.to_string(), |time| Period(time).to_string())
            }
        }
    }

    /// The value if it is in range for this policy.
    pub fn within(&self, policy: &'static str, value: f64) -> Result<f64, ChoiceError> {
        if (self.least..=self.most).contains(&value) {
            return Ok(value);
        }
        Err(ChoiceError::OutOfRange {
            policy,
            key: self.name,
            least: self.show(self.least),
            most: self.show(self.most),
        })
    }

    fn read(&self, text: &str) -> Option<f64> {
        match self.unit {
            Unit::Number => text.parse().ok(),
            Unit::Time => text.parse().ok().map(Period::as_secs_f64),
        }
    }
}

/// A policy with its parameters, checked. Reads and writes itself as `lazy(shape=0.6)`, without what is
/// preset; an interval is written in the alternate form only, for rows have a column for it.
#[derive(Debug, Clone)]
pub struct Choice {
    kind: &'static Kind,
    /// One a parameter; `None` where it was not given or is the preset.
    values: Vec<Option<f64>>,
}

impl PartialEq for Choice {
    fn eq(&self, other: &Choice) -> bool {
        self.kind.name == other.kind.name && self.values == other.values
    }
}

impl Choice {
    /// A policy by name with what its user tells it; times in seconds.
    pub fn new(name: &str, given: &[(&str, f64)]) -> Result<Choice, ChoiceError> {
        let kind = kind(name)?;
        for (key, _) in given {
            kind.parameter(key)?;
        }
        let value_of = |parameter: &Parameter| {
            let value = given
                .iter()
                .find(|(key, _)| *key == parameter.name)
                .map(|(_, value)| *value);
            match value {
                None if parameter.preset == Preset::Required => Err(ChoiceError::Missing {
                    policy: kind.name,
                    key: parameter.name,
                    about: parameter.about,
                }),
                None => Ok(None),
                Some(value) => {
                    let value = parameter.within(kind.name, value)?;
                    Ok(Some(value).filter(|value| parameter.preset != Preset::Value(*value)))
                }
            }
        };
        let values = kind.parameters.iter().map(value_of).collect::<Result<_, _>>()?;
        Ok(Choice { kind, values })
    }

    /// The policy.
    pub fn kind(&self) -> &'static Kind {
        self.kind
    }

    /// Makes the policy for a job of this length.
    pub fn policy(&self, work: Duration) -> Box<dyn IntervalPolicy> {
        (self.kind.make)(&Told { choice: self, work })
    }
}

impl Kind {
    /// Its parameter of this name.
    pub fn parameter(&self, key: &str) -> Result<&'static Parameter, ChoiceError> {
        let mut all = self.parameters.iter();
        all.find(|parameter| parameter.name == key)
            .ok_or_else(|| ChoiceError::NotOfPolicy {
                policy: self.name,
                key: key.to_owned(),
                known: match self.parameters {
                    [] => "none".to_owned(),
                    all => names(all.iter().map(|parameter| parameter.name)),
                },
            })
    }
}

/// The policy of this name.
pub fn kind(name: &str) -> Result<&'static Kind, ChoiceError> {
    let mut all = super::POLICIES.iter().copied();
    all.find(|kind| kind.name == name)
        .ok_or_else(|| ChoiceError::Unknown {
            name: name.to_owned(),
            known: names(super::POLICIES.iter().map(|kind| kind.name)),
        })
}

fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    all.collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let both = self.kind.parameters.iter().zip(&self.values);
        let told: Vec<String> = both
            .filter(|(parameter, _)| f.alternate() || parameter.name != INTERVAL)
            .filter_map(|(parameter, value)| {
                Some(format!("{}={}", parameter.name, parameter.show((*value)?)))
            })
            .collect();
        f.write_str(self.kind.name)?;
        if told.is_empty() {
            return Ok(());
        }
        write!(f, "({})", told.join(";"))
    }
}

impl FromStr for Choice {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Choice, ChoiceError> {
        let syntax = || ChoiceError::Syntax(text.to_owned());
        let Some((name, rest)) = text.split_once('(') else {
            return Choice::new(text, &[]);
        };
        let kind = kind(name)?;
        let inside = rest.strip_suffix(')').ok_or_else(syntax)?;
        let mut given: Vec<(&str, f64)> = Vec::new();
        for pair in inside.split(';') {
            let (key, value) = pair.split_once('=').ok_or_else(syntax)?;
            let value = kind.parameter(key)?.read(value).ok_or_else(syntax)?;
            if given.iter().any(|(other, _)| *other == key) {
                return Err(syntax());
            }
            given.push((key, value));
        }
        Choice::new(name, &given)
    }
}

/// A policy that cannot be chosen so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// No such policy.
    #[error("there is no policy {name}; there are {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A parameter of another policy, or of none.
    #[error("policy {policy} has no parameter {key}; its parameters: {known}")]
    NotOfPolicy {
        /// The policy.
        policy: &'static str,
        /// What was given.
        key: String,
        /// What it has.
        known: String,
    },
    /// A parameter that must be given.
    #[error("policy {policy} needs {key}: {about}")]
    Missing {
        /// The policy.
        policy: &'static str,
        /// The parameter.
        key: &'static str,
        /// What it means.
        about: &'static str,
    },
    /// A parameter out of range.
    #[error("policy {policy}: {key} must be between {least} and {most}")]
    OutOfRange {
        /// The policy.
        policy: &'static str,
        /// The parameter.
        key: &'static str,
        /// Least value.
        least: String,
        /// Greatest value.
        most: String,
    },
    /// Neither a name nor a name with parameters.
    #[error("{0:?}: expected the name of a policy, or name(key=value;…)")]
    Syntax(String),
}

#[cfg(test)]
mod tests {
    use super::super::POLICIES;
    use super::*;

    #[test]
    fn a_choice_reads_what_it_writes() {
        for (text, shown) in [
            ("young", "young"),
            ("lazy(shape=0.6)", "lazy(shape=0.6)"),
            ("adaptive(prior=2;weight=1)", "adaptive(prior=2)"),
            ("fixed(interval=10min)", "fixed"),
        ] {
            let choice: Choice = text.parse().unwrap();
            assert_eq!(choice.to_string(), shown);
            assert_eq!(format!("{choice:#}").parse(), Ok(choice));
        }
        let equal = |a: &str, b: &str| a.parse::<Choice>() == b.parse::<Choice>();
        assert!(equal("adaptive(weight=1)", "adaptive"));
        assert!(!equal("fixed(interval=10min)", "fixed(interval=11min)"));
    }

    #[test]
    fn a_bad_choice_says_what_would_be_right() {
        for (text, complaint) in [
            ("yuong", "there is no policy yuong; there are fixed, young, "),
            ("lazy", "policy lazy needs shape: "),
            ("lazy(shape=7)", "policy lazy: shape must be between 0.1 and 1"),
            ("lazy(shape=nan)", "policy lazy: shape must be between 0.1 and 1"),
            (
                "lazy(k=0.6)",
                "policy lazy has no parameter k; its parameters: shape",
            ),
            (
                "young(shape=0.6)",
                "policy young has no parameter shape; its parameters: none",
            ),
            (
                "lazy(shape=0.6",
                "\"lazy(shape=0.6\": expected the name of a policy, or name(key",
            ),
            ("lazy(shape=0.6;shape=0.7)", "\"lazy(shape"),
            ("lazy()", "\"lazy()\": expected"),
            ("fixed(interval=10)", "\"fixed(interval=10)\": expected"),
            (
                "fixed(interval=0)",
                "policy fixed: interval must be between 1ms and",
            ),
        ] {
            let found = text.parse::<Choice>().unwrap_err().to_string();
            assert!(found.starts_with(complaint), "{found}");
        }
    }

    /// What is declared can be made: every required parameter is asked for by its declared name.
    #[test]
    fn every_policy_can_be_made() {
        for kind in POLICIES {
            let required = kind.parameters.iter().filter(|p| p.preset == Preset::Required);
            let given: Vec<_> = required
                .map(|parameter| (parameter.name, parameter.most))
                .collect();
            let choice = Choice::new(kind.name, &given).unwrap();
            let _ = choice.policy(Duration::from_hours(1));
            assert_eq!(POLICIES.iter().filter(|other| other.name == kind.name).count(), 1);
        }
    }
}

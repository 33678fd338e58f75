//! The spec as written: what serde reads, before it is checked. Spans are kept so that a complaint can name the line.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

use super::cluster::RawCluster;
use super::failures::RawFailures;
use super::rules::{RawEpochs, RawReplicas, RawShared};
use super::{Cost, FigureFormat, Level, Method};
use revenant_core::quantity::{Period, Size};
use revenant_sim::CostProfile;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub name: Spanned<String>,
    #[serde(default)]
    pub question: String,
    pub seed: u64,
    pub trials: Spanned<RawTrials>,
    pub precision: Option<RawPrecision>,
    pub levels: Spanned<Vec<Spanned<Level>>>,
    pub job: RawJob,
    pub guest: Option<Spanned<RawGuest>>,
    pub world: Option<Spanned<CostProfile>>,
    pub cluster: Option<Spanned<RawCluster>>,
    pub failures: RawFailures,
    pub checkpoint: RawCheckpoint,
    pub policy: Spanned<Vec<Spanned<RawPolicy>>>,
    #[serde(default)]
    pub limits: RawLimits,
    #[serde(default)]
    pub figures: RawFigures,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPrecision {
    pub makespan: Spanned<f64>,
    pub trials_max: Option<Spanned<u64>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawJob {
    pub work: Spanned<Period>,
    #[serde(default)]
    pub final_checkpoint: bool,
    pub replicas: Option<RawReplicas>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGuest {
    pub programs: Spanned<Vec<Spanned<String>>>,
    pub memory: Option<Spanned<Size>>,
    pub step: Option<Spanned<Period>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCheckpoint {
    pub cost: Spanned<Cost>,
    pub restart: Spanned<Cost>,
    pub method: Option<Method>,
    pub incremental: Option<bool>,
    pub shared: Option<RawShared>,
    pub verify: Option<Spanned<Period>>,
    pub verifications: Option<Spanned<u64>>,
    pub epochs: Option<RawEpochs>,
}

/// `kind`, and parameters by name: which there are, the policy knows.
pub(super) type RawPolicy = BTreeMap<String, Spanned<toml::Value>>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    pub failures: Option<Spanned<u64>>,
    pub time: Option<Spanned<Period>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFigures {
    pub formats: Option<Vec<FigureFormat>>,
}

/// `"1h"`, or `["1h", "2h"]`.
#[derive(Debug, Clone)]
pub(super) enum RawPeriods {
    One(Period),
    Many(Vec<Spanned<Period>>),
}

impl<'de> Deserialize<'de> for RawPeriods {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RawPeriods;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(r#"a duration with units such as "90s", or a list of durations"#)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RawPeriods, E> {
                Period::deserialize(de::value::StrDeserializer::new(text)).map(RawPeriods::One)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<RawPeriods, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(list)).map(RawPeriods::Many)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// `trials = 40`, or `trials = { model = 1000, sim = 40 }`.
#[derive(Debug, Clone, Copy)]
pub(super) enum RawTrials {
    Everywhere(u64),
    PerLevel {
        model: Option<u64>,
        sim: Option<u64>,
        cluster: Option<u64>,
    },
}

impl<'de> Deserialize<'de> for RawTrials {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct PerLevel {
            model: Option<u64>,
            sim: Option<u64>,
            cluster: Option<u64>,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RawTrials;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of trials such as 40, or { model = 1000, sim = 40 }")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<RawTrials, E> {
                let count = u64::try_from(value)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))?;
                Ok(RawTrials::Everywhere(count))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<RawTrials, E> {
                Ok(RawTrials::Everywhere(value))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawTrials, A::Error> {
                let PerLevel { model, sim, cluster } =
                    PerLevel::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(RawTrials::PerLevel { model, sim, cluster })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for Cost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Cost;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(r#"a duration such as "60s", or "measured""#)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Cost, E> {
                if text == "measured" {
                    return Ok(Cost::Measured);
                }
                let period: Period = text.parse().map_err(|error| {
                    E::custom(format_args!(
                        "{text:?}: {error}; expected a duration such as \"60s\", or \"measured\""
                    ))
                })?;
                Ok(Cost::Given(period.0))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

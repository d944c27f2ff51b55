//! Which value a key has, and where it comes from.
//!
//! Owns: the order of precedence: topic, broker, cluster-wide, static, default.
//! Never: checks values.
//! Invariants: the first candidate is the effective one.
//! Source: kafka.md 4.12.

use api::metadata::ConfigSource;

use super::super::Image;
use super::super::image::ConfigMap;
use super::{KeyDef, broker_keys};
use crate::config::BrokerConfig;

/// Milliseconds of one hour.
pub const MS_PER_HOUR: i64 = 3_600_000;

/// One place that gives a key a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The key there.
    pub name: &'static str,
    /// Its value there, in that key's unit.
    pub value: String,
    /// Units of the asked key in one unit of `name`.
    pub factor: i64,
    /// Which kind of place.
    pub source: ConfigSource,
}

impl Candidate {
    /// The value in the unit of the key that was asked for.
    #[must_use]
    pub fn scaled(&self) -> String {
        match self.value.trim().parse::<i64>() {
            Ok(number) if self.factor != 1 && number > 0 => {
                number.saturating_mul(self.factor).to_string()
            }
            Ok(_) | Err(_) => self.value.clone(),
        }
    }
}

/// Where values are looked up.
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'a> {
    /// Dynamic broker configs.
    pub image: &'a Image,
    /// Static configs.
    pub config: &'a BrokerConfig,
}

impl Lookup<'_> {
    /// Every place that gives a topic key a value, strongest first.
    #[must_use]
    pub fn topic_candidates(&self, def: &'static KeyDef, overrides: &ConfigMap) -> Vec<Candidate> {
        let mut found = Vec::new();
        let mut add = |name, value: Option<&str>, factor, source| {
            if let Some(value) = value {
                found.push(Candidate {
                    name,
                    value: value.to_owned(),
                    factor,
                    source,
                });
            }
        };
        add(
            def.name,
            overrides.get(def.name).map(String::as_str),
            1,
            ConfigSource::DynamicTopic,
        );
        for synonym in def.synonyms {
            let (name, factor) = (synonym.name, synonym.factor);
            add(
                name,
                self.dynamic(name),
                factor,
                ConfigSource::DynamicBroker,
            );
        }
        for synonym in def.synonyms {
            let (name, factor) = (synonym.name, synonym.factor);
            add(
                name,
                self.dynamic_default(name),
                factor,
                ConfigSource::DynamicDefaultBroker,
            );
        }
        for synonym in def.synonyms {
            let (name, factor) = (synonym.name, synonym.factor);
            add(name, self.fixed(name), factor, ConfigSource::StaticBroker);
        }
        match def.synonyms.last() {
            Some(last) => {
                add(
                    last.name,
                    last.default_of(def),
                    last.factor,
                    ConfigSource::Default,
                );
            }
            None => add(def.name, def.default, 1, ConfigSource::Default),
        }
        found
    }

    /// Every place that gives a broker key a value, strongest first.
    #[must_use]
    pub fn broker_candidates(&self, def: &KeyDef) -> Vec<Candidate> {
        let mut found = Vec::new();
        let mut add = |value: Option<String>, source| {
            if let Some(value) = value {
                found.push(Candidate {
                    name: def.name,
                    value,
                    factor: 1,
                    source,
                });
            }
        };
        add(
            self.dynamic(def.name).map(str::to_owned),
            ConfigSource::DynamicBroker,
        );
        add(
            self.dynamic_default(def.name).map(str::to_owned),
            ConfigSource::DynamicDefaultBroker,
        );
        match broker_keys::field(self.config, def.name) {
            Some(value) => {
                let is_set = self.fixed(def.name).is_some() || Some(value.as_str()) != def.default;
                if is_set {
                    add(Some(value), ConfigSource::StaticBroker);
                }
            }
            None => add(
                self.fixed(def.name).map(str::to_owned),
                ConfigSource::StaticBroker,
            ),
        }
        add(def.default.map(str::to_owned), ConfigSource::Default);
        found
    }

    /// The effective value of a topic key, in its own unit.
    #[must_use]
    pub fn topic_value(&self, def: &'static KeyDef, overrides: &ConfigMap) -> String {
        self.topic_candidates(def, overrides)
            .first()
            .map_or_else(String::new, Candidate::scaled)
    }

    /// What the broker's configuration file or flags say.
    #[must_use]
    pub fn fixed(&self, name: &str) -> Option<&str> {
        let values = &self.config.static_values;
        values
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    fn dynamic(&self, name: &str) -> Option<&str> {
        let configs = self.image.broker_configs(Some(self.config.broker))?;
        configs.get(name).map(String::as_str)
    }

    fn dynamic_default(&self, name: &str) -> Option<&str> {
        self.image
            .broker_configs(None)?
            .get(name)
            .map(String::as_str)
    }
}

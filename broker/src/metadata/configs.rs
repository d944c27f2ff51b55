//! The catalogue of configs: every key, typed, documented, with its default and where it may be set.
//!
//! Owns: definitions of topic and broker keys, their validation, resolution of values and sources.
//! Never: parses configuration files; the root package does and checks values with [`check_broker_value`].
//! Invariants: names are unique per table; every default passes its own check; documentation pages are
//! generated from these tables.
//! Source: kafka.md 4.12; Apache Kafka's documentation of topic and broker configs for names and defaults.

pub mod broker_keys;
pub mod change;
pub mod check;
pub mod describe;
pub mod topic_keys;
pub mod value;

use api::error::MetadataError;
use api::metadata::ConfigType;

use check::Check;

/// What a key does in this broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The broker acts by it.
    Applied,
    /// Accepted, checked, kept and returned, without effect here; the documentation says so.
    Stored,
    /// Gone from Kafka; accepted and kept so that old tools work, listed only where it is set.
    Dead,
}

/// When a broker key may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutability {
    /// Only in the configuration file, at start.
    ReadOnly,
    /// Per broker and cluster-wide, while running.
    Dynamic,
}

/// A broker key that gives a topic key its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// The broker key.
    pub name: &'static str,
    /// Units of the topic key in one unit of the broker key (hours to ms: 3,600,000).
    pub factor: i64,
}

/// Definition of one key.
#[derive(Clone, Copy, Debug)]
pub struct KeyDef {
    /// Name.
    pub name: &'static str,
    /// Type.
    pub kind: ConfigType,
    /// Built-in value; `None` if unset.
    pub default: Option<&'static str>,
    /// Which values are legal.
    pub check: Check,
    /// One sentence or two.
    pub documentation: &'static str,
    /// What it does here.
    pub effect: Effect,
    /// When it may be changed (always, for topic keys).
    pub mutability: Mutability,
    /// Broker keys that give a topic key its default, strongest first; empty for broker keys.
    pub synonyms: &'static [Synonym],
}

impl KeyDef {
    const fn topic(
        name: &'static str,
        kind: ConfigType,
        default: &'static str,
        documentation: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            default: Some(default),
            check: Check::of(kind),
            documentation,
            effect: Effect::Applied,
            mutability: Mutability::Dynamic,
            synonyms: &[],
        }
    }

    const fn broker(
        name: &'static str,
        kind: ConfigType,
        default: Option<&'static str>,
        documentation: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            default,
            check: Check::of(kind),
            documentation,
            effect: Effect::Applied,
            mutability: Mutability::ReadOnly,
            synonyms: &[],
        }
    }

    const fn checked(self, check: Check) -> Self {
        Self { check, ..self }
    }

    const fn stored(self) -> Self {
        Self {
            effect: Effect::Stored,
            ..self
        }
    }

    const fn dead(self) -> Self {
        Self {
            effect: Effect::Dead,
            ..self
        }
    }

    const fn defaults_from(self, synonyms: &'static [Synonym]) -> Self {
        Self { synonyms, ..self }
    }

    /// Checks a value of this key.
    ///
    /// # Errors
    /// [`MetadataError::InvalidConfig`] with the key, the value and the rule.
    pub fn check_value(&self, value: &str) -> Result<(), MetadataError> {
        if value.len() > check::VALUE_BYTES_MAX {
            let what = format!(
                "value of {} is longer than {} bytes",
                self.name,
                check::VALUE_BYTES_MAX
            );
            return Err(MetadataError::InvalidConfig(what));
        }
        self.check.check(value).map_err(|rule| {
            let what = format!(
                "invalid value {value} for configuration {}: {rule}",
                self.name
            );
            MetadataError::InvalidConfig(what)
        })
    }
}

/// Every topic key, in name order.
#[must_use]
pub fn topic_keys() -> &'static [KeyDef] {
    topic_keys::KEYS
}

/// Every broker key: the broker's own and those that give topic keys their defaults. In name order.
#[must_use]
pub fn broker_keys() -> Vec<KeyDef> {
    let derived = topic_keys().iter().flat_map(derived_keys);
    let mut all: Vec<KeyDef> = broker_keys::KEYS.iter().copied().chain(derived).collect();
    all.sort_by_key(|def| def.name);
    all
}

/// Definition of a topic key.
#[must_use]
pub fn topic_key(name: &str) -> Option<&'static KeyDef> {
    topic_keys().iter().find(|def| def.name == name)
}

/// Definition of a broker key.
#[must_use]
pub fn broker_key(name: &str) -> Option<KeyDef> {
    let own = broker_keys::KEYS
        .iter()
        .find(|def| def.name == name)
        .copied();
    own.or_else(|| {
        topic_keys()
            .iter()
            .flat_map(derived_keys)
            .find(|def| def.name == name)
    })
}

/// Checks a broker key that the operator set at start.
///
/// # Errors
/// [`MetadataError::InvalidConfig`]: unknown key or illegal value.
pub fn check_broker_value(name: &str, value: &str) -> Result<(), MetadataError> {
    let def = broker_key(name)
        .ok_or_else(|| MetadataError::InvalidConfig(format!("unknown broker config {name}")))?;
    def.check_value(value)
}

/// The broker keys behind a topic key. Only the strongest is dynamic; the weakest carries the default.
fn derived_keys(def: &'static KeyDef) -> impl Iterator<Item = KeyDef> {
    let last = def.synonyms.len().saturating_sub(1);
    def.synonyms
        .iter()
        .enumerate()
        .map(move |(position, synonym)| KeyDef {
            name: synonym.name,
            default: if position == last {
                synonym.default_of(def)
            } else {
                None
            },
            check: def.check.scaled(synonym.factor),
            mutability: if position == 0 {
                Mutability::Dynamic
            } else {
                Mutability::ReadOnly
            },
            synonyms: &[],
            ..*def
        })
}

impl Synonym {
    const fn same(name: &'static str) -> Self {
        Self { name, factor: 1 }
    }

    /// The topic key's default in this key's unit. The only scaled defaults are whole weeks and zero.
    fn default_of(&self, def: &KeyDef) -> Option<&'static str> {
        match (self.factor, def.default) {
            (1, default) => default,
            (value::MS_PER_HOUR, Some("604800000")) => Some("168"),
            (_, Some("0")) => Some("0"),
            (_, _) => None,
        }
    }
}

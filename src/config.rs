//! Configuration of a broker: defaults, then file, then environment, then flags.
//!
//! Owns: the table of keys, parsing, precedence, and where each value came from.
//! Never: guesses: an unknown key is an error with a suggestion.
//! Invariants: every key has a type, a default and a sentence; `docs/configuration.md` is made from the table.
//! Source: features.md 3.2, architecture.md section 10.

mod keys;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;
use std::path::Path;

pub(crate) use keys::{KEYS, markdown};

use crate::cli::failure::{Failure, Kind};

/// Where a value came from, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// Built in.
    Default,
    /// The configuration file.
    File,
    /// `RAPIDMQ_...`.
    Environment,
    /// The command line.
    Flag,
}

/// Values of every key, validated.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    values: BTreeMap<&'static str, (String, Origin)>,
}

impl Settings {
    /// Every key at its default.
    pub(crate) fn defaults() -> Self {
        let values = KEYS
            .iter()
            .map(|key| (key.name, (key.default.to_owned(), Origin::Default)));
        Self {
            values: values.collect(),
        }
    }

    /// Adds the keys of a TOML file.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, or has an unknown key or a bad value.
    pub(crate) fn read_file(&mut self, path: &Path) -> Result<(), Failure> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::new(
                Kind::Usage,
                format!("configuration file {shown} cannot be read"),
            )
            .why(error.to_string())
            .fix("give its path with -c FILE")
        })?;
        self.read_text(&text, &shown.to_string())
    }

    /// Adds the keys of TOML text that came from `shown`.
    ///
    /// # Errors
    /// It is not TOML, or has an unknown key or a bad value.
    pub(crate) fn read_text(&mut self, text: &str, shown: &str) -> Result<(), Failure> {
        let table = text.parse::<toml::Table>().map_err(|error| {
            Failure::new(Kind::Usage, format!("{shown} is not valid TOML")).why(error.to_string())
        })?;
        for (name, value) in value::flatten(&table) {
            self.set(&name, value, Origin::File)?;
        }
        Ok(())
    }

    /// Adds `RAPIDMQ_...` variables: `RAPIDMQ_DATA_DIR` is `data-dir`, `RAPIDMQ_TOPIC__NUM_PARTITIONS` is `topic.num-partitions`.
    ///
    /// # Errors
    /// An unknown key or a bad value.
    pub(crate) fn read_environment(
        &mut self,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<(), Failure> {
        for (variable, value) in variables {
            let Some(rest) = variable.strip_prefix("RAPIDMQ_") else {
                continue;
            };
            if RESERVED_VARIABLES.contains(&rest) {
                continue;
            }
            let name = rest
                .to_ascii_lowercase()
                .replace("__", ".")
                .replace('_', "-");
            self.set(&name, value, Origin::Environment)?;
        }
        Ok(())
    }

    /// Sets one key.
    ///
    /// # Errors
    /// There is no such key, or the value does not fit.
    pub(crate) fn set(&mut self, name: &str, value: String, origin: Origin) -> Result<(), Failure> {
        let key = keys::find(name)?;
        key.kind.check(&value).map_err(|why| {
            Failure::new(Kind::Usage, format!("`{value}` is no value for {name}"))
                .why(why)
                .fix(format!("for example {name} = {}", key.default))
        })?;
        self.values.insert(key.name, (value, origin));
        Ok(())
    }

    /// The value of a key in the table.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.values
            .get(name)
            .map_or("", |(value, _)| value.as_str())
    }

    /// Where the value of a key came from.
    pub(crate) fn origin(&self, name: &str) -> Origin {
        self.values
            .get(name)
            .map_or(Origin::Default, |(_, origin)| *origin)
    }

    /// As [`Self::text`]; `None` if empty.
    pub(crate) fn optional(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// A whole number, size or duration in its base unit.
    pub(crate) fn number(&self, name: &str) -> u64 {
        value::number(self.text(name)).unwrap_or(0)
    }

    /// As [`Self::number`], at most `u32::MAX`.
    pub(crate) fn small(&self, name: &str) -> u32 {
        u32::try_from(self.number(name)).unwrap_or(u32::MAX)
    }

    /// A switch.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.text(name) == "true"
    }

    /// Values that did not come from the defaults, under their Kafka names, for DescribeConfigs.
    pub(crate) fn kafka_values(&self) -> Vec<(String, String)> {
        let named = KEYS.iter().filter_map(|key| {
            let (value, origin) = self.values.get(key.name)?;
            let kafka = key.kafka?;
            (*origin != Origin::Default).then(|| (kafka.to_owned(), value.clone()))
        });
        named.collect()
    }
}

/// Variables with this prefix that are not configuration keys.
const RESERVED_VARIABLES: &[&str] = &["BOOTSTRAP", "LOG"];

//! Altering the configs of one resource.
//!
//! Owns: set, delete, append and subtract on a map of values.
//! Never: checks values; `plan` does before a change is proposed.
//! Invariants: deterministic: used by planning and by applying.
//! Source: kafka.md 4.12, KIP-339.

use api::error::MetadataError;
use api::metadata::{ConfigChange, ConfigOp};

use super::super::Image;
use super::super::image::ConfigMap;
use super::check::{VALUE_BYTES_MAX, elements};
use super::{broker_key, topic_key};

/// Values set on one resource; the catalogue has fewer keys, so only a broken proposer meets it.
pub const VALUES_MAX: usize = 1_000;

/// What a list is appended to where the resource sets nothing itself: the cluster-wide value, or the default.
/// A static value of the proposing broker is turned into a `Set` by `plan`: other brokers may not have it.
#[must_use]
pub fn list_base(image: &Image, key: &str) -> String {
    let dynamic = image.broker_configs(None);
    let cluster = |name: &str| dynamic.and_then(|map| map.get(name)).cloned();
    let (inherited, default) = match topic_key(key) {
        Some(def) => (
            def.synonyms
                .iter()
                .find_map(|synonym| cluster(synonym.name)),
            def.default,
        ),
        None => (cluster(key), broker_key(key).and_then(|def| def.default)),
    };
    inherited
        .or_else(|| default.map(str::to_owned))
        .unwrap_or_default()
}

/// The values after a change; `base` gives what an unset list starts from.
///
/// # Errors
/// [`MetadataError::InvalidRequest`]: a value is missing. [`MetadataError::LimitReached`]: too many or too long.
pub fn changed(
    present: &ConfigMap,
    wanted: &ConfigChange,
    base: impl Fn(&str) -> String,
) -> Result<ConfigMap, MetadataError> {
    let mut next = if wanted.is_replacement {
        ConfigMap::new()
    } else {
        present.clone()
    };
    for (key, op, value) in &wanted.changes {
        let old = || next.get(key).cloned().unwrap_or_else(|| base(key));
        let value = match op {
            ConfigOp::Delete => None,
            ConfigOp::Set => Some(given(key, value.as_ref())?.to_owned()),
            ConfigOp::Append => Some(appended(&old(), given(key, value.as_ref())?)),
            ConfigOp::Subtract => Some(subtracted(&old(), given(key, value.as_ref())?)),
        };
        match value {
            Some(value) if value.len() > VALUE_BYTES_MAX => {
                let what = format!("value of {key} is longer than {VALUE_BYTES_MAX} bytes");
                return Err(MetadataError::LimitReached(what));
            }
            Some(value) => next.insert(key.clone(), value),
            None => next.remove(key),
        };
    }
    if next.len() > VALUES_MAX {
        return Err(MetadataError::LimitReached(format!(
            "more than {VALUES_MAX} configs"
        )));
    }
    Ok(next)
}

fn given<'a>(key: &str, value: Option<&'a String>) -> Result<&'a str, MetadataError> {
    match value {
        Some(value) => Ok(value.trim()),
        None => Err(MetadataError::InvalidRequest(format!("no value for {key}"))),
    }
}

fn appended(old: &str, more: &str) -> String {
    let mut list: Vec<&str> = elements(old).collect();
    for element in elements(more) {
        if !list.contains(&element) {
            list.push(element);
        }
    }
    list.join(",")
}

fn subtracted(old: &str, less: &str) -> String {
    let unwanted: Vec<&str> = elements(less).collect();
    let kept: Vec<&str> = elements(old)
        .filter(|element| !unwanted.contains(element))
        .collect();
    kept.join(",")
}

//! Which values a config key accepts.
//!
//! Owns: [`Check`] and the parsing of config values.
//! Never: knows a key by name.
//! Invariants: a value that passed parses; parsing never panics.
//! Source: kafka.md 4.12.

use api::metadata::ConfigType;

/// Bytes of one config value; long throttled-replica lists are the only large ones.
pub const VALUE_BYTES_MAX: usize = 32 * 1024;

/// A rule for the values of one key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Check {
    /// Anything.
    Any,
    /// `true` or `false`, in any case.
    Boolean,
    /// A whole number in this range, ends included.
    Range(i64, i64),
    /// A number in this range, ends included.
    Fraction(f64, f64),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A comma-separated list of at least one of these words, none twice.
    Words(&'static [&'static str]),
    /// A comma-separated list.
    List,
    /// `*`, or a list of `partition:broker`.
    ThrottledReplicas,
    /// Only `false`: the feature does not exist here.
    NeverTrue(&'static str),
}

impl Check {
    /// The rule that the type alone gives.
    #[must_use]
    pub const fn of(kind: ConfigType) -> Self {
        match kind {
            ConfigType::Boolean => Self::Boolean,
            ConfigType::Short => Self::Range(i16::MIN as i64, i16::MAX as i64),
            ConfigType::Int => Self::Range(i32::MIN as i64, i32::MAX as i64),
            ConfigType::Long => Self::Range(i64::MIN, i64::MAX),
            ConfigType::Double => Self::Fraction(f64::MIN, f64::MAX),
            ConfigType::List => Self::List,
            ConfigType::String | ConfigType::Class | ConfigType::Password => Self::Any,
        }
    }

    /// At least `least`, at most what an `int` of Kafka holds.
    #[must_use]
    pub const fn int_from(least: i64) -> Self {
        Self::Range(least, i32::MAX as i64)
    }

    /// At least `least`.
    #[must_use]
    pub const fn long_from(least: i64) -> Self {
        Self::Range(least, i64::MAX)
    }

    /// The same rule for a key whose unit is `factor` times larger.
    #[must_use]
    pub const fn scaled(self, factor: i64) -> Self {
        match self {
            Self::Range(least, most) if factor > 1 => {
                Self::Range(least.signum() * (least != 0) as i64, most / factor)
            }
            other => other,
        }
    }

    /// Checks a value.
    ///
    /// # Errors
    /// The rule that is broken, as the end of a sentence.
    pub fn check(&self, value: &str) -> Result<(), String> {
        let value = value.trim();
        let is_legal = match self {
            Self::Any | Self::List => true,
            Self::Boolean => boolean(value).is_some(),
            Self::Range(least, most) => value
                .parse()
                .is_ok_and(|number: i64| (*least..=*most).contains(&number)),
            Self::Fraction(least, most) => value
                .parse()
                .is_ok_and(|number: f64| (*least..=*most).contains(&number)),
            Self::OneOf(words) => words.contains(&value),
            Self::Words(words) => are_words(value, words),
            Self::ThrottledReplicas => are_throttled_replicas(value),
            Self::NeverTrue(_) => boolean(value) == Some(false),
        };
        if is_legal {
            Ok(())
        } else {
            Err(self.to_string())
        }
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("any text"),
            Self::Boolean => f.write_str("must be true or false"),
            Self::Range(least, i64::MAX) => write!(f, "must be a number of at least {least}"),
            Self::Range(least, most) => write!(f, "must be a number in {least}..={most}"),
            Self::Fraction(least, most) => write!(f, "must be a number in {least}..={most}"),
            Self::OneOf(words) => write!(f, "must be one of {}", words.join(", ")),
            Self::Words(words) => write!(
                f,
                "must be a list of distinct words out of {}",
                words.join(", ")
            ),
            Self::List => f.write_str("a comma-separated list"),
            Self::ThrottledReplicas => f.write_str("must be * or a list of partition:broker"),
            Self::NeverTrue(why) => f.write_str(why),
        }
    }
}

/// Parses `true` or `false` as Kafka does.
#[must_use]
pub fn boolean(value: &str) -> Option<bool> {
    if value.eq_ignore_ascii_case("true") {
        Some(true)
    } else if value.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// The elements of a comma-separated list, trimmed, without empty ones.
pub fn elements(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(',')
        .map(str::trim)
        .filter(|element| !element.is_empty())
}

fn are_words(value: &str, words: &[&str]) -> bool {
    let mut present: Vec<&str> = elements(value).collect();
    let count = present.len();
    present.sort_unstable();
    present.dedup();
    count > 0 && present.len() == count && present.iter().all(|word| words.contains(word))
}

fn are_throttled_replicas(value: &str) -> bool {
    let is_pair = |element: &str| {
        element.split_once(':').is_some_and(|(partition, broker)| {
            partition.parse::<u32>().is_ok() && broker.parse::<u32>().is_ok()
        })
    };
    value == "*" || elements(value).all(is_pair)
}

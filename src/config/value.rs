//! Values as people write them.
//!
//! Owns: sizes, durations, numbers, switches; flattening of TOML tables.
//! Never: applies a default.
//! Invariants: a value that passes `check` parses.
//! Source: features.md 3.2 point 5.

/// Type of a key's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueKind {
    /// Any text.
    Text,
    /// `host:port`.
    Address,
    /// Whole number in a range.
    Number(u64, u64),
    /// `64MiB`; bytes in a range.
    Size(u64, u64),
    /// A size, or `auto` for one that follows from the machine.
    SizeOrAuto(u64, u64),
    /// `5m`; milliseconds in a range.
    Duration(u64, u64),
    /// `true` or `false`.
    Switch,
}

impl ValueKind {
    /// Whether `text` is a value of this type; the error is one sentence.
    pub(crate) fn check(self, text: &str) -> Result<(), String> {
        match self {
            Self::Text => Ok(()),
            Self::Address => check_address(text),
            Self::Switch => match text {
                "true" | "false" => Ok(()),
                _ => Err("it is true or false".to_owned()),
            },
            Self::Number(low, high) => check_range(text, (low, high), "a whole number"),
            Self::Size(low, high) => {
                check_range(text, (low, high), "a size such as 64MiB, in bytes")
            }
            Self::SizeOrAuto(low, high) => match text {
                "auto" => Ok(()),
                _ => check_range(
                    text,
                    (low, high),
                    "`auto`, or a size such as 64MiB, in bytes",
                ),
            },
            Self::Duration(low, high) => {
                check_range(text, (low, high), "a duration such as 10ms or 5m, in ms")
            }
        }
    }

    /// For the generated page.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Address => "host:port",
            Self::Number(..) => "number",
            Self::Size(..) => "size",
            Self::SizeOrAuto(..) => "size or auto",
            Self::Duration(..) => "duration",
            Self::Switch => "true or false",
        }
    }
}

fn check_address(text: &str) -> Result<(), String> {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    let port = port.map(|(_, port)| port.parse::<u16>());
    match (text, port) {
        ("", _) | (_, Some(Ok(_))) => Ok(()),
        _ => Err("it is HOST:PORT, for example 127.0.0.1:9092".to_owned()),
    }
}

fn check_range(text: &str, (low, high): (u64, u64), what: &str) -> Result<(), String> {
    match number(text) {
        Some(value) if (low..=high).contains(&value) => Ok(()),
        _ => Err(format!("it is {what} from {low} to {high}")),
    }
}

/// A number with an optional unit: bytes (`KiB MiB GiB`) or time (`ms s m h d`, in milliseconds).
pub(crate) fn number(text: &str) -> Option<u64> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor = match unit {
        "" | "ms" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// Keys of nested tables joined by dots, values as text.
pub(crate) fn flatten(table: &toml::Table) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for (name, value) in table {
        match value {
            toml::Value::Table(inner) => {
                out.extend(
                    flatten(inner)
                        .into_iter()
                        .map(|(key, value)| (format!("{name}.{key}"), value)),
                );
            }
            toml::Value::String(text) => out.push((name.clone(), text.clone())),
            other => out.push((name.clone(), other.to_string())),
        }
    }
    out
}

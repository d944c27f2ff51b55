//! Configuration files.
//!
//! Owns: the promises of the configuration parser about arbitrary text.
//! Never: reads a file or the environment.
//! Invariants: a text is refused with an error that says what, or every key has a value of its type afterwards.
//! Source: features.md 3.2.

use crate::config::{KEYS, Origin, Settings};

/// Parses the text as a file, then its lines as variables of the environment.
///
/// # Panics
/// If a promise of the parser is broken.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut settings = Settings::defaults();
    match settings.read_text(text, "fuzz.toml") {
        Ok(()) => every_key_reads(&settings),
        Err(failure) => assert!(!failure.to_string().is_empty(), "an error says what"),
    }
    let mut settings = Settings::defaults();
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let variables = lines.map(|(name, value)| (format!("RAPIDMQ_{name}"), value.to_owned()));
    if settings.read_environment(variables).is_ok() {
        every_key_reads(&settings);
    }
}

fn every_key_reads(settings: &Settings) {
    for key in KEYS {
        let value = settings.text(key.name);
        let is_default = value == key.default;
        assert!(
            is_default || key.kind.check(value).is_ok(),
            "{} = {value}",
            key.name
        );
        assert!(
            settings.origin(key.name) <= Origin::Flag,
            "it came from somewhere"
        );
    }
}

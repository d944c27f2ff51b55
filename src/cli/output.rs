//! Where results go: tables for people, JSON for programs.
//!
//! Owns: the only writer of standard output and the choice of format.
//! Never: colours when not a terminal; comfy-table decides by the same rule.
//! Invariants: a closed pipe ends the program quietly, as `head` expects.
//! Source: features.md 3.2 point 4.

use std::io::{self, Write};

use clap::ValueEnum;
use serde_json::Value;

use super::failure::Failure;

/// Output format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs: one JSON document.
    Json,
    /// Only the names, one a line.
    Name,
}

/// Rows with a heading each.
pub(crate) struct Listing {
    /// Column names; also the JSON keys.
    pub(crate) columns: &'static [&'static str],
    /// One value per column.
    pub(crate) rows: Vec<Vec<Value>>,
}

/// Writes one line to standard output.
///
/// # Errors
/// Standard output is gone.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    bytes(text.as_bytes())?;
    bytes(b"\n")
}

/// Writes raw bytes to standard output.
///
/// # Errors
/// Standard output is gone.
pub(crate) fn bytes(data: &[u8]) -> Result<(), Failure> {
    match io::stdout().lock().write_all(data) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(error.into()),
    }
}

/// Writes one line to standard error: remarks that are not results.
pub(crate) fn remark(text: &str) {
    // Nothing sensible is left to do if standard error is gone.
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Writes a listing in the chosen format.
///
/// # Errors
/// Standard output is gone.
pub(crate) fn listing(listing: &Listing, format: Format) -> Result<(), Failure> {
    match format {
        Format::Table => table(listing),
        Format::Json => json(&Value::Array(
            listing
                .rows
                .iter()
                .map(|row| object(listing, row))
                .collect(),
        )),
        Format::Name => listing
            .rows
            .iter()
            .filter_map(|row| row.first())
            .try_for_each(|name| line(&plain(name))),
    }
}

/// Writes one JSON document.
///
/// # Errors
/// Standard output is gone.
pub(crate) fn json(value: &Value) -> Result<(), Failure> {
    line(&format!("{value:#}"))
}

fn object(listing: &Listing, row: &[Value]) -> Value {
    let pairs = listing.columns.iter().zip(row);
    Value::Object(
        pairs
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
    )
}

fn table(listing: &Listing) -> Result<(), Failure> {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(listing.columns.iter().map(|name| name.to_uppercase()));
    for row in &listing.rows {
        table.add_row(row.iter().map(plain));
    }
    line(&table.trim_fmt())
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

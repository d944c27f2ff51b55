//! How a record is printed: `%` verbs as in kcat and rpk, and JSON.
//!
//! Owns: the format language.
//! Never: changes bytes: keys and values are written as they are.
//! Invariants: an unknown verb is a usage error before anything is read.
//! Source: features.md 3.2 point 5.

use serde_json::{Value, json};

use super::failure::{Failure, Kind};
use super::records::ReadRecord;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Key,
    KeyLen,
    Value,
    ValueLen,
    Timestamp,
    Headers,
}

/// A parsed format string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordFormat {
    pieces: Vec<Piece>,
}

impl RecordFormat {
    /// Parses `%t %p %o %k %K %v %s %S %T %h %%` with `\n \t \r \\ \0` escapes.
    ///
    /// # Errors
    /// An unknown verb or escape.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let mut pieces = Vec::new();
        let mut plain = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '%' => match chars.next() {
                    Some('%') => plain.push(b'%'),
                    next => {
                        let verb = verb(next)?;
                        pieces.extend(text_piece(&mut plain));
                        pieces.push(verb);
                    }
                },
                '\\' => plain.push(escape(chars.next())?),
                _ => plain.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        pieces.extend(text_piece(&mut plain));
        Ok(Self { pieces })
    }

    /// The bytes to be written for one record.
    pub(crate) fn render(&self, topic: &str, record: &ReadRecord) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Topic => out.extend_from_slice(topic.as_bytes()),
                Piece::Partition => out.extend_from_slice(record.partition.to_string().as_bytes()),
                Piece::Offset => out.extend_from_slice(record.offset.to_string().as_bytes()),
                Piece::Key => out.extend_from_slice(record.key.as_deref().unwrap_or_default()),
                Piece::KeyLen => out.extend_from_slice(len_of(record.key.as_deref()).as_bytes()),
                Piece::Value => out.extend_from_slice(record.value.as_deref().unwrap_or_default()),
                Piece::ValueLen => {
                    out.extend_from_slice(len_of(record.value.as_deref()).as_bytes())
                }
                Piece::Timestamp => out.extend_from_slice(record.timestamp.to_string().as_bytes()),
                Piece::Headers => out.extend_from_slice(&headers(record)),
            }
        }
        out
    }
}

fn text_piece(plain: &mut Vec<u8>) -> Option<Piece> {
    (!plain.is_empty()).then(|| Piece::Text(std::mem::take(plain)))
}

fn verb(c: Option<char>) -> Result<Piece, Failure> {
    Ok(match c {
        Some('t') => Piece::Topic,
        Some('p') => Piece::Partition,
        Some('o') => Piece::Offset,
        Some('k') => Piece::Key,
        Some('K') => Piece::KeyLen,
        Some('v' | 's') => Piece::Value,
        Some('S') => Piece::ValueLen,
        Some('T') => Piece::Timestamp,
        Some('h') => Piece::Headers,
        other => {
            let shown = other.map_or_else(|| "%".to_owned(), |c| format!("%{c}"));
            return Err(Failure::new(Kind::Usage, format!("unknown format verb `{shown}`"))
                .fix("use %t topic, %p partition, %o offset, %k key, %v value, %T timestamp, %h headers, %K %S lengths"));
        }
    })
}

fn escape(c: Option<char>) -> Result<u8, Failure> {
    match c {
        Some('n') => Ok(b'\n'),
        Some('t') => Ok(b'\t'),
        Some('r') => Ok(b'\r'),
        Some('\\') => Ok(b'\\'),
        Some('0') => Ok(0),
        _ => Err(Failure::new(Kind::Usage, "unknown escape in the format")
            .fix(r"use \n, \t, \r, \0 or \\")),
    }
}

/// One character given on the command line, possibly as an escape: a delimiter.
///
/// # Errors
/// Not one byte.
pub(crate) fn delimiter(text: &str) -> Result<u8, Failure> {
    match text.as_bytes() {
        [byte] => Ok(*byte),
        [b'\\', _] => escape(text.chars().nth(1)),
        _ => Err(Failure::new(
            Kind::Usage,
            format!("`{text}` is not one character"),
        )),
    }
}

fn len_of(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "-1".to_owned(), |bytes| bytes.len().to_string())
}

fn headers(record: &ReadRecord) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, (name, value)) in record.headers.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        out.extend_from_slice(value.as_deref().unwrap_or(b"NULL"));
    }
    out
}

/// A record as one JSON object, in kcat's field names; bytes that are not UTF-8 are shown lossily.
pub(crate) fn as_json(topic: &str, record: &ReadRecord) -> Value {
    let text = |bytes: &Option<Vec<u8>>| {
        bytes
            .as_ref()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    let headers: Vec<Value> = record
        .headers
        .iter()
        .flat_map(|(name, value)| [json!(name), json!(text(value))])
        .collect();
    json!({
        "topic": topic,
        "partition": record.partition,
        "offset": record.offset,
        "tstype": "create",
        "ts": record.timestamp,
        "headers": headers,
        "key": text(&record.key),
        "payload": text(&record.value),
    })
}

#[cfg(test)]
mod tests;

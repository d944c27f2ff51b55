//! The format language, verb by verb.

use super::{RecordFormat, as_json, delimiter};
use crate::cli::records::ReadRecord;

fn record() -> ReadRecord {
    ReadRecord {
        partition: 3,
        offset: 42,
        timestamp: 1_000,
        key: Some(b"k".to_vec()),
        value: None,
        headers: vec![
            ("a".to_owned(), Some(b"1".to_vec())),
            ("a".to_owned(), None),
        ],
    }
}

#[test]
fn every_verb_and_escape_is_rendered() {
    let format = RecordFormat::parse(r"%t %p %o %T %k %K %v %S %h %%\t\n").expect("format");
    let text = String::from_utf8(format.render("topic", &record())).expect("text");
    assert_eq!(text, "topic 3 42 1000 k 1  -1 a=1,a=NULL %\t\n");
}

#[test]
fn an_unknown_verb_is_refused() {
    assert!(RecordFormat::parse("%x").is_err());
    assert!(RecordFormat::parse("100%").is_err());
}

#[test]
fn json_keeps_null_and_duplicate_headers() {
    let value = as_json("t", &record());
    assert_eq!(value["payload"], serde_json::Value::Null);
    assert_eq!(value["headers"].as_array().map(Vec::len), Some(4));
}

#[test]
fn a_delimiter_is_one_byte_or_an_escape() {
    assert_eq!(delimiter(":"), Ok(b':'));
    assert_eq!(delimiter(r"\t"), Ok(b'\t'));
    assert!(delimiter("ab").is_err());
}

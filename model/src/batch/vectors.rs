//! Batches that other clients wrote, as known answers for tests.
//!
//! Owns: reading `vectors.txt`.
//! Never: part of the library; compiled for tests only.
//! Invariants: every data batch holds the same three records, see [`check_three_records`].
//! Source: kafka-clients 4.1.0 and librdkafka 2.16, each with its own encoder.

use super::{BatchInfo, Records};

/// The bytes of the named vector.
pub(super) fn vector(name: &str) -> Vec<u8> {
    all()
        .into_iter()
        .find(|(found, _)| found == name)
        .expect("the vector exists")
        .1
}

/// Every vector with its name.
pub(super) fn all() -> Vec<(String, Vec<u8>)> {
    include_str!("vectors.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (name, hex) = line.split_once(' ').expect("name and bytes");
            (name.to_owned(), bytes_of(hex))
        })
        .collect()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).expect("a digit")).unwrap();
    hex.as_bytes()
        .chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

/// Asserts that the batch holds the records that every producer of vectors was given.
pub(super) fn check_three_records(batch: &[u8]) {
    let info = BatchInfo::parse(batch).unwrap();
    let mut scratch = Vec::new();
    let records: Vec<_> = Records::open(batch, &info, &mut scratch)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let [first, second, third] = records.as_slice() else {
        panic!("three records")
    };
    let padding = b"value ".repeat(12);
    assert_eq!(
        (first.key, first.value),
        (Some(b"k1".as_slice()), Some(padding.as_slice()))
    );
    let headers: Vec<_> = first.headers.collect();
    assert_eq!(
        headers,
        [
            (b"trace".as_slice(), Some([0, 1, 0xff].as_slice())),
            (b"empty", None),
            (b"trace", Some([].as_slice())),
        ]
    );
    assert_eq!((second.key, second.value), (None, Some(b"v2".as_slice())));
    assert_eq!((third.key, third.value), (Some(b"k3".as_slice()), None));
    let times: Vec<_> = records
        .iter()
        .map(|record| record.timestamp(&info))
        .collect();
    assert_eq!(
        times,
        [1_700_000_000_000, 1_700_000_000_007, 1_700_000_000_003]
    );
    assert_eq!(info.max_timestamp, 1_700_000_000_007);
}

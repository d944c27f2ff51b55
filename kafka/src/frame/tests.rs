//! Frames and headers, good and bad.
//!
//! Owns: limits, other protocols, both header versions.
//! Never: part of the product.
//! Invariants: no clocks, no sleeps, no ports.
//! Source: kafka.md 2.1, 4.1.

use bytes::BufMut;

use super::*;

const CEILING: usize = 100 * 1024 * 1024;

fn header(key: i16, version: i16) -> BytesMut {
    let mut body = BytesMut::new();
    body.put_i16(key);
    body.put_i16(version);
    body.put_i32(-7);
    body
}

fn framed(body: &[u8]) -> BytesMut {
    let mut frame = BytesMut::new();
    frame.put_i32(i32::try_from(body.len()).expect("small"));
    frame.put_slice(body);
    frame
}

fn message(received: &[u8]) -> String {
    length(received, CEILING).expect_err("refused").to_string()
}

fn request(frame: BytesMut) -> Request {
    match parse(&frame) {
        Ok(Parsed::Request(header)) => Request { frame, header },
        other => panic!("a request, not {other:?}"),
    }
}

#[test]
fn a_length_is_known_once_key_and_version_are_there() {
    let mut body = header(3, 1);
    body.put_i16(-1);
    let frame = framed(&body);
    for have in 0..8 {
        assert_eq!(length(&frame[..have], CEILING), Ok(None), "{have} bytes");
    }
    assert_eq!(length(&frame[..8], CEILING), Ok(Some(14)));
    assert_eq!(length(&frame, CEILING), Ok(Some(14)));
}

#[test]
fn negative_short_and_oversized_lengths_are_refused() {
    assert!(matches!(
        length(&(-1_i32).to_be_bytes(), CEILING),
        Err(SessionError::Protocol(_))
    ));
    assert!(matches!(
        length(&[0, 0, 0, 7], CEILING),
        Err(SessionError::Protocol(_))
    ));
    assert_eq!(
        length(&[0x7f, 0, 0, 0], CEILING),
        Err(SessionError::FrameTooLarge {
            bytes: 0x7f00_0000,
            limit: 100 * 1024 * 1024
        })
    );
}

#[test]
fn only_records_may_use_the_whole_frame_limit() {
    let announce = |bytes: i32, key: i16| {
        let mut frame = BytesMut::new();
        frame.put_i32(bytes);
        frame.put_slice(&header(key, 5));
        length(&frame, CEILING).is_ok()
    };
    let mebibyte = 1024 * 1024;
    assert!(announce(100 * mebibyte, 0));
    assert!(announce(16 * mebibyte, 1) && !announce(16 * mebibyte + 1, 1));
    assert!(announce(4 * mebibyte, 18) && !announce(4 * mebibyte + 1, 18));
}

#[test]
fn other_protocols_are_named() {
    assert!(message(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).contains("TLS"));
    assert!(message(b"GET / HTTP/1.1\r\n").contains("HTTP"));
    assert!(message(b"POST /topics").contains("HTTP"));
    assert!(message(b"SSH-2.0-OpenSSH").contains("SSH"));
}

#[test]
fn the_client_id_keeps_its_short_length_in_flexible_headers() {
    let mut body = header(18, 3);
    body.put_i16(2);
    body.put_slice(b"me");
    body.put_slice(&[1, 9, 3, b'x', b'y', b'z']); // one unknown tagged field
    body.put_slice(b"rest");
    let request = request(framed(&body));
    assert_eq!(request.client_id(), "me");
    assert_eq!(request.header.correlation, -7);
    assert_eq!(request.into_body(), "rest");
}

#[test]
fn a_null_and_an_empty_client_id_are_legal() {
    for id in [&[0xff, 0xff][..], &[0, 0][..]] {
        let mut body = header(12, 0);
        body.put_slice(id);
        assert_eq!(request(framed(&body)).client_id(), "");
    }
}

#[test]
fn malformed_headers_are_refused() {
    let mut short = header(3, 1);
    short.put_i16(5);
    short.put_slice(b"four");
    let mut negative = header(3, 1);
    negative.put_i16(-2);
    let mut not_text = header(3, 1);
    not_text.put_i16(1);
    not_text.put_u8(0xff);
    for body in [short, negative, not_text, header(3, 1)] {
        assert!(matches!(
            parse(&framed(&body)),
            Err(SessionError::Protocol(_))
        ));
    }
}

#[test]
fn what_is_not_served_closes_except_a_newer_api_versions() {
    for (key, version) in [
        (0, 2),
        (0, 14),
        (1, 3),
        (4, 0),
        (-1, 0),
        (3, -1),
        (18, -1),
        (999, 0),
    ] {
        let mut body = header(key, version);
        body.put_i16(-1);
        assert!(parse(&framed(&body)).is_err(), "{key} v{version}");
    }
    assert!(matches!(
        parse(&framed(&header(18, 99))),
        Ok(Parsed::UnknownApiVersions { correlation: -7 })
    ));
}

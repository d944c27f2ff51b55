//! Requests as a server reads them, answers as a server writes them.

use serde_json::json;

use super::{accepted, parse, request};

#[test]
fn a_request_says_who_asks_and_how_long_it_is() {
    let body = json!({ "name": "s" });
    assert_eq!(
        request(("POST", "/streams"), "127.0.0.1:1", "T", Some(&body)),
        "POST /streams HTTP/1.1\r\nhost: 127.0.0.1:1\r\nconnection: close\r\nauthorization: Bearer T\r\n\
         content-type: application/json\r\ncontent-length: 12\r\n\r\n{\"name\":\"s\"}"
    );
    assert_eq!(
        request(("GET", "/ping"), "h", "", None),
        "GET /ping HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"
    );
}

#[test]
fn an_answer_that_was_cut_is_not_taken_for_a_whole_one() {
    let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    assert_eq!(parse(whole), Some((200, "{}".to_owned())));
    assert_eq!(
        parse(b"HTTP/1.1 404 Not Found\r\n\r\n"),
        Some((404, String::new()))
    );
    assert_eq!(parse(&whole[..whole.len() - 1]), None);
    assert_eq!(parse(b"HTTP/1.1 200 OK\r\ncontent-le"), None);
    assert_eq!(
        parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        None
    );
    assert_eq!(parse(b""), None);
}

#[test]
fn a_refusal_keeps_the_servers_own_words() {
    let refused = accepted("making a topic", (400, "unknown option".to_owned()));
    let error = refused.unwrap_err().to_string();
    assert_eq!(error, "making a topic: status 400: unknown option");
    assert_eq!(
        accepted("asking", (201, "[1]".to_owned())).unwrap(),
        json!([1])
    );
    assert!(accepted("asking", (200, "<html>".to_owned())).is_err());
}

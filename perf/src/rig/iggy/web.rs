//! Administration of Apache Iggy over its HTTP interface.
//!
//! Owns: [`Web`]: logging in, making streams and topics, counting records; one connection per request.
//! Never: is used while a load runs.
//! Invariants: an answer is bounded in bytes and in time; a refusal is an error with the server's own words.
//! Source: RFC 9112; core/server/src/http of apache/iggy.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::{PASSWORD, USER, settings};
use crate::error::BenchError;
use crate::rig::Mode;
use crate::setup::resolve;

/// The topic that `iggy-bench` uses in each of its streams.
const TOPIC: &str = "topic-1";
const ANSWER_BYTES_MAX: u64 = 16 << 20;
const TIMEOUT: Duration = Duration::from_secs(30);
const OK: u16 = 200;
const NOT_FOUND: u16 = 404;

/// A logged-in administrator.
#[derive(Debug)]
pub(super) struct Web {
    address: String,
    token: String,
}

/// Status and body of an answer.
type Answer = (u16, String);

/// Whether a server answers at `address`.
pub(super) fn is_up(address: &str) -> bool {
    call(address, "GET", "/ping", ("", None)).is_ok_and(|(status, _)| status == OK)
}

impl Web {
    pub(super) fn log_in(address: &str) -> Result<Self, BenchError> {
        let body = json!({ "username": USER, "password": PASSWORD });
        let answer = call(address, "POST", "/users/login", ("", Some(&body)))?;
        let identity = accepted("logging in to Iggy", answer)?;
        let token = identity
            .pointer("/access_token/token")
            .and_then(Value::as_str)
            .ok_or_else(|| BenchError::Garbage("Iggy's login gives no token".to_owned()))?;
        Ok(Self {
            address: address.to_owned(),
            token: token.to_owned(),
        })
    }

    /// Makes a stream with its topic of one partition, unless it is there.
    pub(super) fn make(&self, stream: &str, mode: Mode) -> Result<(), BenchError> {
        let (status, _) = self.call("GET", &format!("/streams/{stream}"), None)?;
        if status == OK {
            return Ok(());
        }
        if status != NOT_FOUND {
            return Err(BenchError::Wrong(format!(
                "looking for Iggy's stream {stream}: status {status}"
            )));
        }
        let body = json!({ "name": stream });
        accepted(
            "making a stream of Iggy",
            self.call("POST", "/streams", Some(&body))?,
        )?;
        let path = format!("/streams/{stream}/topics");
        let answer = self.call("POST", &path, Some(&settings::topic(TOPIC, mode)))?;
        settings::confirm(mode, &accepted("making a topic of Iggy", answer)?)
    }

    /// Records that a stream's topic holds.
    pub(super) fn records(&self, stream: &str) -> Result<u64, BenchError> {
        let path = format!("/streams/{stream}/topics/{TOPIC}");
        let topic = accepted("asking for a topic of Iggy", self.call("GET", &path, None)?)?;
        topic
            .get("messages_count")
            .and_then(Value::as_u64)
            .ok_or_else(|| {
                BenchError::Garbage("Iggy does not tell how many messages a topic has".to_owned())
            })
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, BenchError> {
        call(&self.address, method, path, (&self.token, body))
    }
}

fn accepted(what: &str, (status, body): Answer) -> Result<Value, BenchError> {
    if !(200..300).contains(&status) {
        return Err(BenchError::Wrong(format!(
            "{what}: status {status}: {body}"
        )));
    }
    serde_json::from_str(&body).map_err(|error| BenchError::Garbage(format!("{what}: {error}")))
}

fn call(
    address: &str,
    method: &str,
    path: &str,
    (token, body): (&str, Option<&Value>),
) -> Result<Answer, BenchError> {
    let failed = || BenchError::network(format!("{method} {path} at {address}"));
    let mut stream = TcpStream::connect_timeout(&resolve(address)?, TIMEOUT).map_err(failed())?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(failed())?;
    let request = request((method, path), address, token, body);
    stream.write_all(request.as_bytes()).map_err(failed())?;
    let mut bytes = Vec::new();
    stream
        .take(ANSWER_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(failed())?;
    parse(&bytes).ok_or_else(|| {
        BenchError::Garbage(format!(
            "{method} {path} at {address}: no whole HTTP answer"
        ))
    })
}

fn request((method, path): (&str, &str), host: &str, token: &str, body: Option<&Value>) -> String {
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    if !token.is_empty() {
        head.push_str(&format!("authorization: Bearer {token}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!(
            "content-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        ));
    }
    format!("{head}\r\n{body}")
}

/// Status and body of a whole answer whose connection was closed after it; `None` if it is cut or in chunks.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    for line in lines {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return None;
        }
        if name.eq_ignore_ascii_case("content-length")
            && value.trim().parse::<usize>().ok()? != body.len()
        {
            return None;
        }
    }
    Some((status, body.to_owned()))
}

#[cfg(test)]
mod tests;

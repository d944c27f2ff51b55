//! With which settings Apache Iggy is measured.
//!
//! Owns: the server's environment, the options of a topic, the check that the server took them.
//! Never: leaves a setting to a configuration file or to an environment that happens to be there.
//! Invariants: the two modes differ by the options of the topic only.
//! Source: core/server/config.toml, core/partitions/src/iggy_partition.rs (`commit_messages`) of apache/iggy.

use std::path::Path;

use serde_json::{Value, json};

use super::{PASSWORD, USER};
use crate::error::BenchError;
use crate::rig::Mode;

/// Ports and paths of one run, one shard as one core of ours (on `cpu`, if it is pinned), no file of logs; the rest is what is compiled in.
pub(super) fn environment(
    (tcp, http): (&str, &str),
    data: &Path,
    cpu: Option<usize>,
) -> Vec<(&'static str, String)> {
    vec![
        ("IGGY_SYSTEM_PATH", data.display().to_string()),
        ("IGGY_TCP_ADDRESS", tcp.to_owned()),
        ("IGGY_HTTP_ADDRESS", http.to_owned()),
        ("IGGY_QUIC_ENABLED", "false".to_owned()),
        ("IGGY_WEBSOCKET_ENABLED", "false".to_owned()),
        ("IGGY_SYSTEM_SHARDING_CPU_ALLOCATION", "1".to_owned()),
        ("IGGY_SYSTEM_SHARDING_PIN_CORES", cpu.is_some().to_string()),
        ("IGGY_SYSTEM_LOGGING_FILE_ENABLED", "false".to_owned()),
        ("IGGY_ROOT_USERNAME", USER.to_owned()),
        ("IGGY_ROOT_PASSWORD", PASSWORD.to_owned()),
        ("RUST_LOG", "warn".to_owned()),
    ]
}

/// Options of a topic. With `enforce_fsync` alone a record is acknowledged from memory and flushed with the 1024th
/// after it; only with a threshold of one record does the flush come before the acknowledgement.
pub(super) fn options(mode: Mode) -> &'static [(&'static str, &'static str)] {
    match mode {
        Mode::Shipped => &[],
        Mode::Durable => &[
            ("enforce_fsync", "true"),
            ("messages_required_to_save", "1"),
        ],
    }
}

/// The request that makes a topic of one partition; zero asks for what the server ships with.
pub(super) fn topic(name: &str, mode: Mode) -> Value {
    let options: serde_json::Map<String, Value> = options(mode)
        .iter()
        .map(|(key, value)| ((*key).to_owned(), Value::from(*value)))
        .collect();
    json!({
        "name": name,
        "partitions_count": 1,
        "compression_algorithm": "none",
        "message_expiry": 0,
        "max_topic_size": 0,
        "options": options,
    })
}

/// Whether the server says that the topic it made has the mode's options: another version may name them otherwise.
pub(super) fn confirm(mode: Mode, made: &Value) -> Result<(), BenchError> {
    for (key, wanted) in options(mode) {
        let path = format!("/options/{key}/value");
        let found = made.pointer(&path).and_then(Value::as_str);
        if found != Some(*wanted) {
            return Err(BenchError::Wrong(format!(
                "this version of Iggy says {key} = {found:?} where {wanted:?} was asked for, so its acknowledgements \
                 may not be durable: see perf/peers/iggy/README.md for the version whose settings are known"
            )));
        }
    }
    Ok(())
}

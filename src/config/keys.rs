//! The table of configuration keys.
//!
//! Owns: names, types, defaults, sentences, Kafka names; suggestions for misspelt keys.
//! Never: holds values.
//! Invariants: names are unique; `docs/configuration.md` equals `markdown()` (a test compares).
//! Source: features.md 3.2.

use super::value::ValueKind;
use crate::cli::failure::{Failure, Kind};

/// One configuration key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// As in the file; `.` separates tables.
    pub(crate) name: &'static str,
    /// Type and range.
    pub(crate) kind: ValueKind,
    /// Default.
    pub(crate) default: &'static str,
    /// Kafka's name for the same thing, if there is one.
    pub(crate) kafka: Option<&'static str>,
    /// One sentence.
    pub(crate) about: &'static str,
}

const GIB: u64 = 1 << 30;
const YEAR_MS: u64 = 366 * 86_400_000;

/// Every key.
pub(crate) const KEYS: &[Key] = &[
    key(
        "data-dir",
        ValueKind::Text,
        "rapidmq-data",
        Some("log.dirs"),
        "Directory that holds all data; created if missing.",
    ),
    key(
        "broker-id",
        ValueKind::Number(0, 1_000_000),
        "1",
        Some("node.id"),
        "Number of this broker; must stay the same.",
    ),
    key(
        "kafka-listen",
        ValueKind::Address,
        "127.0.0.1:9092",
        None,
        "Address and port of the Kafka listener; port 0 takes a free one.",
    ),
    key(
        "kafka-advertise",
        ValueKind::Address,
        "",
        Some("advertised.listeners"),
        "Address that clients are told to connect to; the listen address if empty.",
    ),
    key(
        "cores",
        ValueKind::Number(0, 512),
        "0",
        None,
        "Data cores; 0 takes as many as the machine has. Fixed when the data directory is first used.",
    ),
    key(
        "pin-cores",
        ValueKind::Switch,
        "false",
        None,
        "Pin each data core to a CPU.",
    ),
    key(
        "busy-poll",
        ValueKind::Duration(0, 1_000),
        "0",
        None,
        "How long a data core polls after its last work before it sleeps.",
    ),
    key(
        "ready-file",
        ValueKind::Text,
        "",
        None,
        "File that receives the bound addresses as JSON once the broker serves.",
    ),
    key(
        "rack",
        ValueKind::Text,
        "",
        Some("broker.rack"),
        "Rack of this broker, shown in metadata.",
    ),
    key(
        "topic.num-partitions",
        ValueKind::Number(1, 100_000),
        "1",
        Some("num.partitions"),
        "Partitions of a topic created without a count.",
    ),
    key(
        "topic.replication-factor",
        ValueKind::Number(1, 1),
        "1",
        Some("default.replication.factor"),
        "Replicas of a topic created without a factor; one broker holds one.",
    ),
    key(
        "topic.auto-create",
        ValueKind::Switch,
        "true",
        Some("auto.create.topics.enable"),
        "Create topics that clients ask for.",
    ),
    key(
        "topic.clamp-replication-factor",
        ValueKind::Switch,
        "false",
        None,
        "Accept a replication factor above the number of brokers and use what there is.",
    ),
    key(
        "group.offsets-partitions",
        ValueKind::Number(1, 1_000),
        "50",
        Some("offsets.topic.num.partitions"),
        "Partitions of __consumer_offsets; fixed when it is created.",
    ),
    key(
        "group.initial-rebalance-delay",
        ValueKind::Duration(0, 300_000),
        "3s",
        Some("group.initial.rebalance.delay.ms"),
        "How long an empty group waits for more members.",
    ),
    key(
        "group.session-timeout-min",
        ValueKind::Duration(1, 1_800_000),
        "6s",
        Some("group.min.session.timeout.ms"),
        "Shortest session timeout a member may ask for.",
    ),
    key(
        "group.session-timeout-max",
        ValueKind::Duration(1, 86_400_000),
        "30m",
        Some("group.max.session.timeout.ms"),
        "Longest session timeout a member may ask for.",
    ),
    key(
        "group.offsets-retention",
        ValueKind::Duration(60_000, 10 * YEAR_MS),
        "7d",
        Some("offsets.retention.minutes"),
        "How long commits of an empty group are kept.",
    ),
    key(
        "produce.validate-compressed",
        ValueKind::Switch,
        "false",
        None,
        "Decompress and check every compressed batch when it is produced.",
    ),
    key(
        "storage.journal-size",
        ValueKind::Size(1 << 20, GIB),
        "64MiB",
        None,
        "Size of one journal file.",
    ),
    key(
        "storage.tail-memory",
        ValueKind::SizeOrAuto(1 << 20, 64 * GIB),
        "auto",
        None,
        "Memory per data core for records that wait for their segment, used when there are any; `auto` is a tenth of \
         what the machine or the control group has for a core, from 64 MiB to 512 MiB. From twice as much on acknowledgements wait too, from four times as much on appends are refused.",
    ),
    key(
        "storage.cache-memory",
        ValueKind::Size(1 << 20, 1024 * GIB),
        "64MiB",
        None,
        "Memory per data core for the read cache.",
    ),
    key(
        "storage.stall-fence",
        ValueKind::Duration(1_000, 3_600_000),
        "30s",
        None,
        "How long a write may be on its way, or a data core stand still, before the disk counts as failed and the broker ends.",
    ),
    key(
        "storage.ballast",
        ValueKind::Size(0, 64 * GIB),
        "2GiB",
        None,
        "Size of the file `ballast` in the data directory, a fiftieth of the device at most; remove it to get room at \
         once on a full device. Made at a start with ample room; 0 for none. `dev` makes none.",
    ),
    key(
        "network.request-memory",
        ValueKind::Size(1 << 20, 1024 * GIB),
        "256MiB",
        None,
        "Memory per data core for requests being received and answered.",
    ),
];

const fn key(
    name: &'static str,
    kind: ValueKind,
    default: &'static str,
    kafka: Option<&'static str>,
    about: &'static str,
) -> Key {
    Key {
        name,
        kind,
        default,
        kafka,
        about,
    }
}

/// The key of that name.
///
/// # Errors
/// There is none; the nearest name is suggested.
pub(crate) fn find(name: &str) -> Result<&'static Key, Failure> {
    if let Some(key) = KEYS.iter().find(|key| key.name == name) {
        return Ok(key);
    }
    let failure = Failure::new(Kind::Usage, format!("unknown configuration key `{name}`"));
    let nearest = KEYS.iter().min_by_key(|key| distance(key.name, name));
    Err(match nearest.filter(|key| distance(key.name, name) <= 4) {
        Some(key) => failure.fix(format!("did you mean `{}`?", key.name)),
        None => failure.fix("docs/configuration.md lists every key"),
    })
}

/// Levenshtein distance, for suggestions.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = i;
        let mut last = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(&right) {
            let next = (diagonal + usize::from(a != *b))
                .min(last + 1)
                .min(*cell + 1);
            diagonal = *cell;
            last = next;
            *cell = next;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

/// The page `docs/configuration.md`.
pub(crate) fn markdown() -> String {
    let mut page = String::from(
        "# Configuration\n\n\
         Made from the table in `src/config/keys.rs` by `rapidmq config reference`; do not edit by hand.\n\n\
         Order of precedence, weakest first: default, file (`-c FILE`, TOML), environment, flags. A key `a.b-c` is \
         `b-c` in table `[a]` of the file, `RAPIDMQ_A__B_C` in the environment, and `--set a.b-c=VALUE` on the \
         command line. An unknown key is an error.\n\n\
         | key | type | default | Kafka name | what it is |\n| --- | --- | --- | --- | --- |\n",
    );
    for key in KEYS {
        let default = if key.default.is_empty() {
            "(none)"
        } else {
            key.default
        };
        let kafka = key
            .kafka
            .map_or_else(String::new, |name| format!("`{name}`"));
        page.push_str(&format!(
            "| `{}` | {} | {default} | {kafka} | {} |\n",
            key.name,
            key.kind.name(),
            key.about
        ));
    }
    page
}

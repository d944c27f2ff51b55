//! `rapidmq serve`, `rapidmq dev`, `rapidmq config`: from configuration to a running broker.
//!
//! Owns: the flags of a broker and their translation into settings.
//! Never: starts threads itself; `boot` does.
//! Invariants: a flag is the strongest source of its key.
//! Source: features.md 3.2, 3.3.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use broker::BrokerConfig;
use clap::{Args, Subcommand};
use model::ids::BrokerId;
use serde_json::json;

use super::failure::{Failure, Kind};
use super::output::{self, Format, Listing};
use super::start_failure;
use crate::boot::{self, ServeConfig};
use crate::config::{KEYS, Origin, Settings, markdown};

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Configuration file (TOML).
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: BrokerFlags,
}

#[derive(Debug, Args)]
pub(crate) struct Dev {
    #[command(flatten)]
    flags: BrokerFlags,
}

/// Flags that `serve` and `dev` share; each sets one configuration key.
#[derive(Debug, Args)]
struct BrokerFlags {
    /// Directory that holds all data.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Address and port of the Kafka listener; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT")]
    kafka_listen: Option<String>,
    /// Address that clients are told to connect to.
    #[arg(long, value_name = "HOST:PORT")]
    kafka_advertise: Option<String>,
    /// Data cores.
    #[arg(long, value_name = "N")]
    cores: Option<String>,
    /// How long a core polls after its last work before it sleeps, for example 50ms.
    #[arg(long, value_name = "DURATION")]
    busy_poll: Option<String>,
    /// File that receives the bound addresses as JSON once the broker serves.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<String>,
    /// Any other key of docs/configuration.md, repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// List every key with its default.
    List {
        /// Output format.
        #[arg(long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    /// Print docs/configuration.md.
    Reference,
}

impl BrokerFlags {
    fn apply(&self, settings: &mut Settings) -> Result<(), Failure> {
        let named = [
            ("data-dir", &self.data_dir),
            ("kafka-listen", &self.kafka_listen),
            ("kafka-advertise", &self.kafka_advertise),
            ("cores", &self.cores),
            ("busy-poll", &self.busy_poll),
            ("ready-file", &self.ready_file),
        ];
        for (name, value) in named {
            if let Some(value) = value {
                settings.set(name, value.clone(), Origin::Flag)?;
            }
        }
        for text in &self.set {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            settings.set(name, value.to_owned(), Origin::Flag)?;
        }
        Ok(())
    }
}

/// Runs `serve` until the process is told to stop.
///
/// # Errors
/// The configuration is wrong or the broker cannot start.
pub(crate) fn serve(args: &Serve) -> Result<(), Failure> {
    let mut settings = Settings::defaults();
    if let Some(path) = &args.config {
        settings.read_file(path)?;
    }
    settings.read_environment(std::env::vars())?;
    args.flags.apply(&mut settings)?;
    run(&serve_config(&settings)?)
}

/// Runs `dev`: as `serve`, with settings that suit one developer on one machine.
///
/// # Errors
/// The configuration is wrong or the broker cannot start.
pub(crate) fn dev(args: &Dev) -> Result<(), Failure> {
    let mut settings = Settings::defaults();
    for (name, value) in [
        ("topic.clamp-replication-factor", "true"),
        ("group.initial-rebalance-delay", "0"),
        ("cores", "1"),
        ("storage.ballast", "0"),
    ] {
        settings.set(name, value.to_owned(), Origin::Default)?;
    }
    settings.read_environment(std::env::vars())?;
    args.flags.apply(&mut settings)?;
    let mut config = serve_config(&settings)?;
    // Without a directory of the developer's choice the data go with the process.
    let temporary = match settings.origin("data-dir") {
        Origin::Default => Some(tempfile::Builder::new().prefix("rapidmq-dev-").tempdir()?),
        Origin::File | Origin::Environment | Origin::Flag => None,
    };
    if let Some(dir) = &temporary {
        config.data_dir = dir.path().join("data");
        output::remark(&format!(
            "data in {} until this process ends; keep them with --data-dir DIR",
            dir.path().display()
        ));
    }
    run(&config)
}

fn run(config: &ServeConfig) -> Result<(), Failure> {
    super::logging::start();
    boot::serve(config).map_err(|error| start_failure::of(&error))
}

/// From settings to what `boot` needs.
///
/// # Errors
/// An address that does not resolve.
fn serve_config(settings: &Settings) -> Result<ServeConfig, Failure> {
    let bytes = |name| usize::try_from(settings.number(name)).unwrap_or(usize::MAX);
    Ok(ServeConfig {
        data_dir: PathBuf::from(settings.text("data-dir")),
        kafka_listen: address(settings.text("kafka-listen"))?,
        kafka_advertise: settings.optional("kafka-advertise").and_then(host_and_port),
        rack: settings.optional("rack").map(str::to_owned),
        cores: u16::try_from(settings.number("cores")).unwrap_or(u16::MAX),
        pin_cores: settings.is_on("pin-cores"),
        ready_file: settings.optional("ready-file").map(PathBuf::from),
        busy_poll: Duration::from_millis(settings.number("busy-poll")),
        broker: broker_config(settings),
        journal_bytes: settings.number("storage.journal-size") / 4096 * 4096,
        // `auto` is no number.
        tail_bytes_max: Some(bytes("storage.tail-memory")).filter(|bytes| *bytes > 0),
        cache_bytes_max: bytes("storage.cache-memory"),
        stall_fence: Duration::from_millis(settings.number("storage.stall-fence")),
        ballast_bytes_max: settings.number("storage.ballast"),
        request_bytes_max: bytes("network.request-memory"),
        ..ServeConfig::default()
    })
}

fn broker_config(settings: &Settings) -> BrokerConfig {
    BrokerConfig {
        broker: BrokerId::new(settings.small("broker-id")),
        partitions_default: settings.small("topic.num-partitions"),
        replication_factor_default: u16::try_from(settings.number("topic.replication-factor"))
            .unwrap_or(1),
        auto_create_topics: settings.is_on("topic.auto-create"),
        clamp_replication_factor: settings.is_on("topic.clamp-replication-factor"),
        offsets_partitions: settings.small("group.offsets-partitions"),
        group_initial_rebalance_delay_ms: settings.small("group.initial-rebalance-delay"),
        group_session_timeout_min_ms: settings.small("group.session-timeout-min"),
        group_session_timeout_max_ms: settings.small("group.session-timeout-max"),
        offsets_retention_minutes: settings.small("group.offsets-retention") / 60_000,
        validate_compressed: settings.is_on("produce.validate-compressed"),
        static_values: settings.kafka_values(),
        ..BrokerConfig::default()
    }
}

fn address(text: &str) -> Result<SocketAddr, Failure> {
    let resolved = text
        .to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next());
    resolved.ok_or_else(|| {
        Failure::new(
            Kind::Usage,
            format!("kafka-listen `{text}` is no address of this machine"),
        )
        .fix("use an address and a port, for example 0.0.0.0:9092")
    })
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    Some((host.to_owned(), port.parse().ok()?))
}

/// Runs `config`.
///
/// # Errors
/// Standard output is gone.
pub(crate) fn config(verb: &ConfigVerb) -> Result<(), Failure> {
    match verb {
        ConfigVerb::Reference => output::bytes(markdown().as_bytes()),
        ConfigVerb::List { output: format } => {
            let rows = KEYS
                .iter()
                .map(|key| {
                    vec![
                        json!(key.name),
                        json!(key.kind.name()),
                        json!(key.default),
                        json!(key.about),
                    ]
                })
                .collect();
            output::listing(
                &Listing {
                    columns: &["key", "type", "default", "about"],
                    rows,
                },
                *format,
            )
        }
    }
}

//! From an opened voter to a registered broker.
//!
//! Owns: election, registration, the offsets topic.
//! Never: delivers anything: the image it ends with is what the data cores are born with.
//! Invariants: every entry that was committed before this start is applied before the broker registers.
//! Source: kafka.md 3.8 and 4.5, ADR-0007.

use api::error::MetadataError;
use api::metadata::NewTopic;
use broker::metadata::codec::encode_command;
use broker::metadata::{MetadataCommand, MetadataResult, OFFSETS_TOPIC, plan_create_all};
use model::prng::Prng;

use crate::settings::{ControlConfig, ControlError};
use crate::voter::Voter;

/// Configs of the offsets topic. Durability is named, so that a broker-wide default of memory does not reach
/// committed offsets.
const OFFSETS_CONFIGS: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("compression.type", "producer"),
    ("rapidmq.durability", "disk"),
    ("segment.bytes", "104857600"),
];

/// Makes the voter lead, registers the broker and makes sure that the offsets topic exists.
pub(crate) async fn boot(voter: &mut Voter, config: &ControlConfig) -> Result<(), ControlError> {
    let mut prng = Prng::new(config.seed);
    voter.campaign();
    voter.drive().await?;
    if !voter.is_leader() {
        return Err(voter.stuck_cause().unwrap_or(ControlError::NotElected));
    }
    register(voter, config, prng.bytes16()).await?;
    if voter.image().topic_by_name(OFFSETS_TOPIC).is_none() {
        create_offsets_topic(voter, config, &mut prng).await?;
    }
    tracing::info!(
        broker = config.broker.broker.get(),
        host = config.host,
        port = config.port,
        index = voter.image().index().get(),
        topics = voter.image().topic_count(),
        is_clean = config.is_clean,
        "broker registered"
    );
    Ok(())
}

async fn register(
    voter: &mut Voter,
    config: &ControlConfig,
    incarnation: [u8; 16],
) -> Result<(), ControlError> {
    let command = MetadataCommand::RegisterBroker {
        broker: config.broker.broker,
        incarnation,
        host: config.host.clone(),
        port: config.port,
        rack: config.rack.clone(),
        is_clean: config.is_clean,
    };
    commit(voter, &command, "registration of the broker").await
}

async fn create_offsets_topic(
    voter: &mut Voter,
    config: &ControlConfig,
    prng: &mut Prng,
) -> Result<(), ControlError> {
    const WHAT: &str = "creation of the offsets topic";
    let pair = |(key, value): (&str, &str)| (key.to_owned(), Some(value.to_owned()));
    let topic = NewTopic {
        name: OFFSETS_TOPIC.to_owned(),
        partitions: Some(config.broker.offsets_partitions),
        replication_factor: Some(1),
        assignment: Vec::new(),
        configs: OFFSETS_CONFIGS.into_iter().map(pair).collect(),
    };
    let planned = plan_create_all(voter.image(), &config.broker, &[topic], prng);
    let specs: Result<Vec<_>, MetadataError> = planned.into_iter().collect();
    let specs = specs.map_err(|source| ControlError::Refused { what: WHAT, source })?;
    commit(voter, &MetadataCommand::CreateTopics(specs), WHAT).await
}

/// Proposes one command and waits for it; nobody else proposes yet.
async fn commit(
    voter: &mut Voter,
    command: &MetadataCommand,
    what: &'static str,
) -> Result<(), ControlError> {
    let refused = |source| ControlError::Refused { what, source };
    let data = encode_command(command)
        .map_err(|error| refused(MetadataError::InvalidRequest(error.to_string())))?;
    let position = voter
        .propose(data)
        .map_err(|error| refused(MetadataError::LimitReached(error.to_string())))?;
    let progress = voter.drive().await?;
    let result = progress.results.into_iter().find(|(at, _)| *at == position);
    match result.map(|(_, result)| result) {
        Some(MetadataResult::Registered | MetadataResult::ProducerIds(_)) => Ok(()),
        Some(MetadataResult::Each(each)) => each
            .into_iter()
            .collect::<Result<(), MetadataError>>()
            .map_err(refused),
        None => Err(voter
            .stuck_cause()
            .unwrap_or_else(|| refused(MetadataError::TimedOut))),
    }
}

//! What a run needs before and after its load: a topic, the leaders of its partitions, the ends of its logs.
//!
//! Owns: [`Control`], a blocking connection with the full Kafka codec.
//! Never: is used while the load runs.
//! Invariants: one request in flight; every refusal is an error with its code.
//! Source: kafka.md 4.6, 4.7.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kafka_wire::api_versions_request::ApiVersionsRequest;
use kafka_wire::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use kafka_wire::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use kafka_wire::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use kafka_wire::metadata_request::{MetadataRequest, MetadataRequestTopic};
use kafka_wire::{
    KafkaMessage, OutboundFrameLimits, RequestResponsePair, encode_request,
    response_header_version_for,
};
use kafka_wire_core::{ApiVersion, DecodeLimits, Decoder, KafkaDecode, StrBytes};

use crate::clock;
use crate::error::BenchError;
use crate::load::Load;

const ANSWER_BYTES_MAX: usize = 64 << 20;
const TIMEOUT: Duration = Duration::from_secs(30);
const TOPIC_EXISTS: i16 = 36;
/// Unknown partition, leader not available, not the leader: a leader that was just named answers so for a moment.
const NOT_LEADER_YET: [i16; 3] = [3, 5, 6];
/// A topic that was just made has no leader for a moment: up to ten seconds.
const LEADER_TRIES: u32 = 500;

/// A blocking connection to one broker.
#[derive(Debug)]
pub struct Control {
    stream: TcpStream,
    address: SocketAddr,
    correlation: i32,
    versions: BTreeMap<i16, (i16, i16)>,
}

/// The partitions of a topic and where each is led.
pub type Leaders = BTreeMap<i32, SocketAddr>;

/// Resolves `HOST:PORT`.
///
/// # Errors
/// It names no address.
pub fn resolve(address: &str) -> Result<SocketAddr, BenchError> {
    let mut found = address
        .to_socket_addrs()
        .map_err(BenchError::network(format!("`{address}`")))?;
    found
        .next()
        .ok_or_else(|| BenchError::Usage(format!("`{address}` is no address")))
}

/// Connects with what every connection of the generator has set.
///
/// # Errors
/// Nobody listens there.
pub fn connect(address: SocketAddr) -> Result<TcpStream, BenchError> {
    let failed = || BenchError::network(format!("connecting to {address}"));
    let stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(failed())?;
    stream.set_nodelay(true).map_err(failed())?;
    Ok(stream)
}

impl Control {
    /// Connects and asks for versions.
    ///
    /// # Errors
    /// The broker cannot be reached or does not speak Kafka.
    pub fn open(address: SocketAddr) -> Result<Self, BenchError> {
        let stream = connect(address)?;
        let failed = || BenchError::network(format!("setting up {address}"));
        stream.set_read_timeout(Some(TIMEOUT)).map_err(failed())?;
        let mut control = Self {
            stream,
            address,
            correlation: 0,
            versions: BTreeMap::new(),
        };
        let mut request = ApiVersionsRequest::default();
        request.client_software_name = StrBytes::from("rapidmq-bench");
        request.client_software_version = StrBytes::from(env!("CARGO_PKG_VERSION"));
        let answer = control.call_at(&request, ApiVersion::new(3))?;
        BenchError::check("asking for versions", answer.error_code)?;
        control.versions = answer
            .api_keys
            .iter()
            .map(|key| (key.api_key, (key.min_version, key.max_version)))
            .collect();
        Ok(control)
    }

    /// Makes the load's topic unless it exists, and waits until every partition has a leader.
    ///
    /// # Errors
    /// The broker refuses, or no leader appears.
    pub fn prepare(&mut self, load: &Load) -> Result<Leaders, BenchError> {
        let mut topic = CreatableTopic::default();
        topic.name = StrBytes::from(load.topic.as_str());
        topic.num_partitions = i32::try_from(load.partitions).unwrap_or(i32::MAX);
        topic.replication_factor = -1;
        topic.configs = load.topic_config.iter().map(config).collect();
        let mut request = CreateTopicsRequest::default();
        request.timeout_ms = 30_000;
        request.topics = vec![topic];
        let answer = self.call(&request)?;
        for made in &answer.topics {
            if made.error_code != TOPIC_EXISTS {
                BenchError::check(&format!("making topic `{}`", load.topic), made.error_code)?;
            }
        }
        for _ in 0..LEADER_TRIES {
            let leaders = self.leaders(&load.topic)?;
            if leaders.len() >= load.partitions as usize {
                return Ok(leaders);
            }
            clock::pause(Duration::from_millis(20));
        }
        Err(BenchError::Wrong(format!(
            "topic `{}` does not have {} partitions with leaders",
            load.topic, load.partitions
        )))
    }

    /// Removes a topic.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn remove(&mut self, topic: &str) -> Result<(), BenchError> {
        let mut state = DeleteTopicState::default();
        state.name = Some(StrBytes::from(topic));
        let mut request = DeleteTopicsRequest::default();
        request.timeout_ms = 30_000;
        request.topics = vec![state];
        request.topic_names = vec![StrBytes::from(topic)];
        // Up to version 5 names, from 6 on states.
        if self.version_of::<DeleteTopicsRequest>()?.value() < 6 {
            request.topics.clear();
        } else {
            request.topic_names.clear();
        }
        let answer = self.call(&request)?;
        answer.responses.iter().try_for_each(|one| {
            BenchError::check(&format!("removing topic `{topic}`"), one.error_code)
        })
    }

    /// How many partitions of a topic have a leader; zero if there is no such topic.
    ///
    /// # Errors
    /// The broker does not answer.
    pub fn partitions(&mut self, topic: &str) -> Result<u32, BenchError> {
        let leaders = self.leaders(topic)?;
        Ok(u32::try_from(leaders.len()).unwrap_or(u32::MAX))
    }

    /// Partitions that have a leader now.
    fn leaders(&mut self, topic: &str) -> Result<Leaders, BenchError> {
        let mut wanted = MetadataRequestTopic::default();
        wanted.name = Some(StrBytes::from(topic));
        let mut request = MetadataRequest::default();
        request.allow_auto_topic_creation = false;
        request.topics = Some(vec![wanted]);
        let answer = self.call(&request)?;
        let mut brokers = BTreeMap::new();
        for broker in &answer.brokers {
            let address = resolve(&format!("{}:{}", broker.host.as_str(), broker.port))?;
            brokers.insert(broker.node_id, address);
        }
        let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        Ok(partitions
            .filter(|partition| partition.error_code == 0)
            .filter_map(|partition| {
                let leader = brokers.get(&partition.leader_id)?;
                Some((partition.partition_index, *leader))
            })
            .collect())
    }

    /// Ends of partitions that this broker leads: the first readable offset, or the one after the last.
    ///
    /// # Errors
    /// The broker refuses, also after ten seconds of becoming the leader.
    pub fn offsets(
        &mut self,
        topic: &str,
        partitions: &[i32],
        end: LogEnd,
    ) -> Result<BTreeMap<i32, i64>, BenchError> {
        let mut tries = 0;
        loop {
            match self.offsets_now(topic, partitions, end) {
                Err(BenchError::Refused { code, .. })
                    if NOT_LEADER_YET.contains(&code) && tries < LEADER_TRIES =>
                {
                    tries += 1;
                    clock::pause(Duration::from_millis(20));
                }
                answer => return answer,
            }
        }
    }

    fn offsets_now(
        &mut self,
        topic: &str,
        partitions: &[i32],
        end: LogEnd,
    ) -> Result<BTreeMap<i32, i64>, BenchError> {
        let mut of_topic = ListOffsetsTopic::default();
        of_topic.name = StrBytes::from(topic);
        of_topic.partitions = partitions
            .iter()
            .map(|index| {
                let mut wanted = ListOffsetsPartition::default();
                wanted.partition_index = *index;
                wanted.current_leader_epoch = -1;
                wanted.timestamp = end as i64;
                wanted
            })
            .collect();
        let mut request = ListOffsetsRequest::default();
        request.replica_id = -1;
        request.topics = vec![of_topic];
        let answer = self.call(&request)?;
        let mut offsets = BTreeMap::new();
        for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
            BenchError::check("looking up an offset", partition.error_code)?;
            offsets.insert(partition.partition_index, partition.offset);
        }
        if offsets.len() == partitions.len() {
            Ok(offsets)
        } else {
            Err(BenchError::Garbage("an offset is missing".to_owned()))
        }
    }

    fn version_of<R: RequestResponsePair>(&self) -> Result<ApiVersion, BenchError> {
        let missing = || BenchError::Wrong(format!("{} does not offer {}", self.address, R::NAME));
        let (low, high) = self
            .versions
            .get(&R::API_KEY.value())
            .copied()
            .ok_or_else(missing)?;
        let ours = <R as KafkaMessage>::SUPPORTED_VERSIONS;
        let version = high.min(ours.max().value());
        if version < low.max(ours.min().value()) {
            return Err(missing());
        }
        Ok(ApiVersion::new(version))
    }

    fn call<R: RequestResponsePair>(&mut self, request: &R) -> Result<R::Response, BenchError> {
        let version = self.version_of::<R>()?;
        self.call_at(request, version)
    }

    fn call_at<R: RequestResponsePair>(
        &mut self,
        request: &R,
        version: ApiVersion,
    ) -> Result<R::Response, BenchError> {
        let failed = || BenchError::network(format!("{} to {}", R::NAME, self.address));
        let garbage = |what: String| BenchError::Garbage(format!("{}: {what}", R::NAME));
        self.correlation += 1;
        let mut frame = BytesMut::new();
        let client = Some(StrBytes::from("rapidmq-bench"));
        let limits = OutboundFrameLimits::new(model::limits::FRAME_BYTES_MAX);
        encode_request(
            &mut frame,
            self.correlation,
            client,
            request,
            version,
            limits,
        )
        .map_err(|error| garbage(error.to_string()))?;
        self.stream.write_all(&frame).map_err(failed())?;
        let mut prefix = [0; 4];
        self.stream.read_exact(&mut prefix).map_err(failed())?;
        let len = usize::try_from(i32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
        if !(4..=ANSWER_BYTES_MAX).contains(&len) {
            return Err(garbage(format!("an answer of {len} bytes")));
        }
        let mut body = vec![0; len];
        self.stream.read_exact(&mut body).map_err(failed())?;
        let mut body = Bytes::from(body);
        if body.get_i32() != self.correlation {
            return Err(garbage("an answer to another request".to_owned()));
        }
        let header = response_header_version_for::<R>(version)
            .map_err(|error| garbage(error.to_string()))?;
        if header >= 1 && body.try_get_u8().is_err() {
            return Err(garbage("an answer without its header".to_owned()));
        }
        let mut decoder = Decoder::new(body, DecodeLimits::default())
            .map_err(|error| garbage(error.to_string()))?;
        R::Response::decode(&mut decoder, version).map_err(|error| garbage(error.to_string()))
    }
}

/// Which end of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEnd {
    /// The first readable offset.
    First = -2,
    /// The offset after the last.
    Last = -1,
}

fn config((name, value): (&String, &String)) -> CreatableTopicConfig {
    let mut config = CreatableTopicConfig::default();
    config.name = StrBytes::from(name.as_str());
    config.value = Some(StrBytes::from(value.as_str()));
    config
}

//! A small blocking Kafka client for the verbs of the command line.
//!
//! Owns: connections, version negotiation, request and response framing.
//! Never: batches in the background, retries, or talks to a broker other than the leader it was told.
//! Invariants: one request in flight per connection.
//! Source: kafka.md 2.1.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_wire::metadata_request::{MetadataRequest, MetadataRequestTopic};
use kafka_wire::metadata_response::{MetadataResponse, MetadataResponseTopic};
use kafka_wire::{
    KafkaMessage, KafkaRequest, OutboundFrameLimits, RequestResponsePair, encode_request,
    response_header_version_for,
};
use kafka_wire_core::{ApiVersion, DecodeLimits, Decoder, KafkaDecode, StrBytes};

use super::failure::{Failure, Kind};
use super::wire_error;

/// Bytes of one response that are accepted.
const RESPONSE_BYTES_MAX: usize = 128 * 1024 * 1024;

/// One connection with its negotiated versions.
pub(crate) struct Connection {
    address: String,
    stream: TcpStream,
    correlation: i32,
    versions: BTreeMap<i16, (i16, i16)>,
    client_id: String,
}

impl Connection {
    /// Connects and asks the broker what it speaks.
    ///
    /// # Errors
    /// The broker cannot be reached or does not speak Kafka.
    pub(crate) fn open(address: &str, client_id: &str, timeout: Duration) -> Result<Self, Failure> {
        let stream = connect(address, timeout)?;
        let mut connection = Self {
            address: address.to_owned(),
            stream,
            correlation: 0,
            versions: BTreeMap::new(),
            client_id: client_id.to_owned(),
        };
        connection.negotiate()?;
        Ok(connection)
    }

    fn negotiate(&mut self) -> Result<(), Failure> {
        let mut request = kafka_wire::api_versions_request::ApiVersionsRequest::default();
        request.client_software_name = StrBytes::from("rapidmq");
        request.client_software_version = StrBytes::from(env!("CARGO_PKG_VERSION"));
        let response = self.call_at(&request, ApiVersion::new(3))?;
        wire_error::check(response.error_code, "asking for the broker's versions")?;
        let ranges = response.api_keys.iter();
        self.versions = ranges
            .map(|key| (key.api_key, (key.min_version, key.max_version)))
            .collect();
        Ok(())
    }

    /// Sends a request at the highest version both sides speak and waits for its response.
    ///
    /// # Errors
    /// The broker does not offer the API, is gone, or answers garbage.
    pub(crate) fn call<R>(&mut self, request: &R) -> Result<R::Response, Failure>
    where
        R: RequestResponsePair,
    {
        let version = self.version_of::<R>()?;
        self.call_at(request, version)
    }

    /// The version `call` would use.
    ///
    /// # Errors
    /// There is none in common.
    pub(crate) fn version_of<R>(&self) -> Result<ApiVersion, Failure>
    where
        R: KafkaRequest,
    {
        let key = R::API_KEY.value();
        let (low, high) = self.versions.get(&key).copied().ok_or_else(|| {
            Failure::new(
                Kind::Failed,
                format!("the broker at {} does not offer {}", self.address, R::NAME),
            )
        })?;
        let ours = <R as KafkaMessage>::SUPPORTED_VERSIONS;
        let version = high.min(ours.max().value());
        if version < low.max(ours.min().value()) {
            let what = format!("no version of {} in common with {}", R::NAME, self.address);
            return Err(Failure::new(Kind::Failed, what));
        }
        Ok(ApiVersion::new(version))
    }

    fn call_at<R>(&mut self, request: &R, version: ApiVersion) -> Result<R::Response, Failure>
    where
        R: RequestResponsePair,
    {
        self.send(request, version)?;
        let body = self.receive::<R>(version)?;
        decode::<R>(body, version).map_err(|error| self.garbage(&error.to_string()))
    }

    /// Sends a request that has no response (a produce with acks=0).
    ///
    /// # Errors
    /// The broker is gone.
    pub(crate) fn send<R>(&mut self, request: &R, version: ApiVersion) -> Result<(), Failure>
    where
        R: KafkaRequest,
    {
        self.correlation = self.correlation.wrapping_add(1);
        let mut frame = BytesMut::new();
        let client_id = Some(StrBytes::from(self.client_id.as_str()));
        let limits = OutboundFrameLimits::new(model::limits::FRAME_BYTES_MAX);
        encode_request(
            &mut frame,
            self.correlation,
            client_id,
            request,
            version,
            limits,
        )
        .map_err(|error| {
            Failure::new(Kind::Failed, format!("request cannot be encoded: {error}"))
        })?;
        self.stream
            .write_all(&frame)
            .map_err(|error| self.lost(&error))
    }

    fn receive<R>(&mut self, version: ApiVersion) -> Result<Bytes, Failure>
    where
        R: KafkaRequest,
    {
        let mut prefix = [0; 4];
        self.stream
            .read_exact(&mut prefix)
            .map_err(|error| self.lost(&error))?;
        let len = usize::try_from(i32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
        if !(4..=RESPONSE_BYTES_MAX).contains(&len) {
            return Err(self.garbage(&format!("a response of {len} bytes")));
        }
        let mut body = vec![0; len];
        self.stream
            .read_exact(&mut body)
            .map_err(|error| self.lost(&error))?;
        let mut body = Bytes::from(body);
        let correlation = bytes::Buf::get_i32(&mut body);
        if correlation != self.correlation {
            return Err(self.garbage("a response to another request"));
        }
        let header = response_header_version_for::<R>(version)
            .map_err(|error| Failure::new(Kind::Failed, error.to_string()))?;
        // Version 1 of the response header adds a tagged section; ours and Kafka's is empty.
        if header >= 1 && bytes::Buf::try_get_u8(&mut body).is_err() {
            return Err(self.garbage("a response without its header"));
        }
        Ok(body)
    }

    fn lost(&self, error: &std::io::Error) -> Failure {
        let failure = Failure::from(std::io::Error::from(error.kind()));
        let what = format!("the connection to {} failed: {error}", self.address);
        Failure::new(failure.kind(), what)
            .fix("check that the broker runs: rapidmq doctor; its log says why it closed")
    }

    fn garbage(&self, what: &str) -> Failure {
        Failure::new(Kind::Failed, format!("{} sent {what}", self.address))
            .fix("check that this is the Kafka port of a broker")
    }
}

fn decode<R: RequestResponsePair>(
    body: Bytes,
    version: ApiVersion,
) -> Result<R::Response, kafka_wire_core::DecodeError> {
    let mut decoder = Decoder::new(body, DecodeLimits::default())?;
    R::Response::decode(&mut decoder, version)
}

fn connect(address: &str, timeout: Duration) -> Result<TcpStream, Failure> {
    let unreachable = |error: &std::io::Error| {
        Failure::new(Kind::Unavailable, format!("no broker answers at {address}"))
            .why(error.to_string())
            .fix("start one with `rapidmq dev`, or name another with --bootstrap HOST:PORT")
    };
    let candidates = address.to_socket_addrs().map_err(|error| {
        Failure::new(Kind::Usage, format!("`{address}` is not HOST:PORT"))
            .why(error.to_string())
            .fix("for example --bootstrap 127.0.0.1:9092")
    })?;
    let mut last = std::io::Error::from(std::io::ErrorKind::NotFound);
    for candidate in candidates {
        match TcpStream::connect_timeout(&candidate, timeout) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(unreachable(&last))
}

/// A cluster as the command line sees it: a bootstrap connection and one to each leader, opened on demand.
pub(crate) struct Cluster {
    bootstrap: Connection,
    leaders: BTreeMap<i32, Connection>,
    endpoints: BTreeMap<i32, String>,
    client_id: String,
    timeout: Duration,
}

impl Cluster {
    /// Connects to the first bootstrap address that answers.
    ///
    /// # Errors
    /// None answers.
    pub(crate) fn open(
        bootstrap: &str,
        client_id: &str,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let mut last = None;
        for address in bootstrap.split(',').map(str::trim) {
            match Connection::open(address, client_id, timeout) {
                Ok(bootstrap) => {
                    return Ok(Self {
                        bootstrap,
                        leaders: BTreeMap::new(),
                        endpoints: BTreeMap::new(),
                        client_id: client_id.to_owned(),
                        timeout,
                    });
                }
                Err(failure) => last = Some(failure),
            }
        }
        Err(last.unwrap_or_else(|| Failure::new(Kind::Usage, "no bootstrap address given")))
    }

    /// The bootstrap connection: for everything that any broker answers.
    pub(crate) fn any(&mut self) -> &mut Connection {
        &mut self.bootstrap
    }

    /// Asks for metadata; `None` for all topics.
    ///
    /// # Errors
    /// The broker is gone.
    pub(crate) fn metadata(
        &mut self,
        topics: Option<&[&str]>,
        creates: Creates,
    ) -> Result<MetadataResponse, Failure> {
        let mut request = MetadataRequest::default();
        request.allow_auto_topic_creation = creates == Creates::Missing;
        request.topics = topics.map(|names| names.iter().map(|name| named(name)).collect());
        let response = self.bootstrap.call(&request)?;
        for broker in &response.brokers {
            let endpoint = format!("{}:{}", broker.host.as_str(), broker.port);
            self.endpoints.insert(broker.node_id, endpoint);
        }
        Ok(response)
    }

    /// One topic's metadata; a missing one is an error unless it may be created.
    ///
    /// # Errors
    /// The topic does not exist or has no leader.
    pub(crate) fn topic(
        &mut self,
        name: &str,
        creates: Creates,
    ) -> Result<MetadataResponseTopic, Failure> {
        let mut tries = 0;
        loop {
            let mut response = self.metadata(Some(&[name]), creates)?;
            let topic = response.topics.pop().ok_or_else(|| {
                Failure::new(
                    Kind::Failed,
                    format!("the broker left topic `{name}` out of its answer"),
                )
            })?;
            // A topic that is just being created answers "unknown" or "no leader" for a moment.
            let is_transient = matches!(topic.error_code, 3 | 5) && creates == Creates::Missing;
            if !is_transient || tries == 20 {
                wire_error::check(topic.error_code, &format!("looking up topic `{name}`"))?;
                return Ok(topic);
            }
            tries += 1;
        }
    }

    /// A connection to a broker by id.
    ///
    /// # Errors
    /// The broker is unknown or cannot be reached.
    pub(crate) fn broker(&mut self, id: i32) -> Result<&mut Connection, Failure> {
        if !self.leaders.contains_key(&id) {
            let address = self.endpoints.get(&id).cloned().ok_or_else(|| {
                Failure::new(
                    Kind::Unavailable,
                    format!("broker {id} is not in the metadata"),
                )
            })?;
            let opened =
                Connection::open(&address, &self.client_id, self.timeout).map_err(|failure| {
                    let kind = failure.kind();
                    Failure::new(
                        kind,
                        format!("broker {id} advertises {address}, which cannot be reached"),
                    )
                    .why(failure.to_string())
                    .fix("start the broker with --kafka-advertise HOST:PORT that clients can reach")
                })?;
            self.leaders.insert(id, opened);
        }
        self.leaders
            .get_mut(&id)
            .ok_or_else(|| Failure::new(Kind::Failed, "connection vanished"))
    }
}

/// Whether asking for a topic may create it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Creates {
    /// Never.
    Nothing,
    /// If the broker is configured so.
    Missing,
}

fn named(name: &str) -> MetadataRequestTopic {
    let mut topic = MetadataRequestTopic::default();
    topic.name = Some(StrBytes::from(name));
    topic
}

//! Simulated Kafka clients: an idempotent producer and a reader, over real frames.
//!
//! Owns: requests, retries after a broken connection, sequence numbers, what was acknowledged.
//! Never: sees inside the broker.
//! Invariants: a producer resends unacknowledged batches in order, with the same sequences, as real ones do.
//! Source: KIP-98, kafka.md 4.9.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf, Bytes, BytesMut};
use kafka_wire::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use kafka_wire::init_producer_id_request::InitProducerIdRequest;
use kafka_wire::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use kafka_wire::{
    OutboundFrameLimits, RequestResponsePair, encode_request, response_header_version_for,
};
use kafka_wire_core::{ApiVersion, DecodeLimits, Decoder, KafkaDecode, StrBytes};
use model::batch::{BatchBuilder, BatchProducer, Batches, NewRecord, Records};
use model::ids::{BatchSequence, ConnectionId, ProducerEpoch, ProducerId};

use crate::world::World;

/// Version of Produce that names topics by name.
const PRODUCE: ApiVersion = ApiVersion::new(9);
/// Version of Fetch that names topics by name.
const FETCH: ApiVersion = ApiVersion::new(12);
/// Version of InitProducerId.
const INIT: ApiVersion = ApiVersion::new(2);
/// Requests one producer has under way, the ceiling of idempotence.
const IN_FLIGHT: usize = 5;

/// Refusals in a row of one producer that no honest run comes near: topics appear within milliseconds, and one
/// batch out of order takes at most [`IN_FLIGHT`] others with it.
const RETRIES_MAX: u32 = 2_000;

/// Makes one frame.
pub fn frame<R: RequestResponsePair>(request: &R, version: ApiVersion, correlation: i32) -> Bytes {
    let mut out = BytesMut::new();
    let limits = OutboundFrameLimits::new(model::limits::FRAME_BYTES_MAX);
    let name = Some(StrBytes::from("sim"));
    let encoded = encode_request(&mut out, correlation, name, request, version, limits);
    assert!(
        encoded.is_ok(),
        "the simulation makes valid requests: {encoded:?}"
    );
    out.freeze()
}

/// Takes one response off the front of an inbox, if it is whole.
pub fn response<R: RequestResponsePair>(
    inbox: &mut BytesMut,
    version: ApiVersion,
) -> Option<(i32, R::Response)> {
    let len = inbox
        .first_chunk::<4>()
        .map(|prefix| i32::from_be_bytes(*prefix))?;
    let len = usize::try_from(len).ok()?;
    if inbox.len() < 4 + len {
        return None;
    }
    inbox.advance(4);
    let mut body = inbox.split_to(len).freeze();
    let correlation = body.get_i32();
    if response_header_version_for::<R>(version).is_ok_and(|header| header >= 1) {
        body.advance(1);
    }
    let mut decoder = Decoder::new(body, DecodeLimits::default()).ok()?;
    let decoded = R::Response::decode(&mut decoder, version);
    assert!(
        decoded.is_ok(),
        "the broker sends valid responses: {:?}",
        decoded.as_ref().err()
    );
    decoded.ok().map(|response| (correlation, response))
}

/// Where a record was acknowledged, and what it holds.
pub type Acknowledged = BTreeMap<(i32, i64), Vec<u8>>;

#[derive(Clone, Debug)]
struct Unacknowledged {
    correlation: i32,
    partition: i32,
    sequence: u32,
    values: Vec<Vec<u8>>,
    timestamp: i64,
    is_sent: bool,
}

/// An idempotent producer.
#[derive(Debug)]
pub struct Producer {
    name: u32,
    topic: &'static str,
    partitions: i32,
    connection: Option<ConnectionId>,
    identity: Option<(i64, i16)>,
    is_asking: bool,
    next_correlation: i32,
    next_sequence: BTreeMap<i32, u32>,
    sent: u64,
    queue: VecDeque<Unacknowledged>,
    acknowledged: Acknowledged,
    retries: u32,
    finding: Option<String>,
}

impl Producer {
    /// A producer that writes to `partitions` partitions of `topic`; `name` distinguishes its records.
    #[must_use]
    pub fn new(name: u32, topic: &'static str, partitions: i32) -> Self {
        Self {
            name,
            topic,
            partitions,
            connection: None,
            identity: None,
            is_asking: false,
            next_correlation: 1,
            next_sequence: BTreeMap::new(),
            sent: 0,
            queue: VecDeque::new(),
            acknowledged: BTreeMap::new(),
            retries: 0,
            finding: None,
        }
    }

    /// What the broker acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> &Acknowledged {
        &self.acknowledged
    }

    /// The first thing the broker did that it must not do.
    #[must_use]
    pub fn finding(&self) -> Option<&str> {
        self.finding.as_deref()
    }

    fn find(&mut self, what: String) {
        self.finding.get_or_insert(what);
    }

    /// Whether every record that was sent is acknowledged.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Does what there is to do: connect, ask for an identity, take answers, send, resend.
    pub fn work(&mut self, world: &mut World, writes: Writes) {
        let connection = match self.connection.filter(|id| world.inbox(*id).is_some()) {
            Some(connection) => connection,
            None => self.reconnect(world),
        };
        self.take_answers(world, connection);
        if self.identity.is_none() {
            self.ask(world, connection);
            return;
        }
        if writes == Writes::More && self.queue.len() < IN_FLIGHT {
            self.make(world);
        }
        self.send_unsent(world, connection);
    }

    fn reconnect(&mut self, world: &mut World) -> ConnectionId {
        let connection = world.connect();
        self.connection = Some(connection);
        self.is_asking = false;
        self.queue
            .iter_mut()
            .for_each(|batch| batch.is_sent = false);
        connection
    }

    fn ask(&mut self, world: &mut World, connection: ConnectionId) {
        if !self.is_asking {
            self.is_asking = true;
            let mut request = InitProducerIdRequest::default();
            request.transactional_id = None;
            request.transaction_timeout_ms = 60_000;
            request.producer_id = -1;
            request.producer_epoch = -1;
            world.send(connection, frame(&request, INIT, 0));
        }
    }

    fn take_answers(&mut self, world: &mut World, connection: ConnectionId) {
        while let Some(inbox) = world.inbox(connection) {
            if self.identity.is_none() {
                let Some((_, answer)) = response::<InitProducerIdRequest>(inbox, INIT) else {
                    return;
                };
                self.is_asking = false;
                assert_eq!(answer.error_code, 0, "a plain producer gets an id");
                self.identity = Some((answer.producer_id, answer.producer_epoch));
            } else {
                let Some((correlation, answer)) = response::<ProduceRequest>(inbox, PRODUCE) else {
                    return;
                };
                let partition = answer
                    .responses
                    .first()
                    .and_then(|topic| topic.partition_responses.first());
                let outcome =
                    partition.map(|partition| (partition.error_code, partition.base_offset));
                self.settle(correlation, outcome.unwrap_or((-1, -1)));
            }
        }
    }

    fn settle(&mut self, correlation: i32, (error, base): (i16, i64)) {
        let Some(at) = self
            .queue
            .iter()
            .position(|batch| batch.correlation == correlation)
        else {
            return;
        };
        match error {
            0 => {
                let Some(batch) = self.queue.remove(at) else {
                    return;
                };
                self.retries = 0;
                for (offset, value) in (base..).zip(batch.values) {
                    let place = (batch.partition, offset);
                    if self.acknowledged.insert(place, value).is_some() {
                        self.find(format!("two records acknowledged at {place:?}"));
                    }
                }
            }
            // Not there yet, or not leading yet: the same again. Everything behind it of this partition is
            // refused as out of order and comes again too.
            3 | 5 | 6 | 7 | 45 => {
                if let Some(batch) = self.queue.get_mut(at) {
                    batch.is_sent = false;
                }
                self.retries += 1;
                if self.retries > RETRIES_MAX {
                    self.find(format!(
                        "refused with error {error}, however often it is tried"
                    ));
                }
            }
            fatal => self.find(format!("refused with error {fatal}")),
        }
    }

    fn make(&mut self, world: &mut World) {
        let partitions = u64::from(self.partitions.cast_unsigned());
        let partition = i32::try_from(world.prng().below(partitions)).unwrap_or(0);
        let records = 1 + world.prng().below(4);
        let mut values = Vec::new();
        for _ in 0..records {
            let padding = match world.prng().below(40) {
                0 => world.prng().below(60_000),
                _ => world.prng().below(600),
            };
            let mut value = format!("{}:{}:", self.name, self.sent).into_bytes();
            value.resize(value.len() + usize::try_from(padding).unwrap_or(0), b'.');
            self.sent += 1;
            values.push(value);
        }
        let next = self.next_sequence.entry(partition).or_default();
        let sequence = *next;
        *next += u32::try_from(values.len()).unwrap_or(0);
        let correlation = self.next_correlation;
        self.next_correlation += 1;
        let timestamp = world.now().wall.as_millis();
        self.queue.push_back(Unacknowledged {
            correlation,
            partition,
            sequence,
            values,
            timestamp,
            is_sent: false,
        });
    }

    fn send_unsent(&mut self, world: &mut World, connection: ConnectionId) {
        // In order: nothing overtakes an earlier batch of its partition that must be sent again.
        let Some(identity) = self.identity else {
            return;
        };
        for index in 0..self.queue.len() {
            let Some(batch) = self.queue.get(index) else {
                return;
            };
            if !batch.is_sent {
                let request = self.request(batch, identity);
                world.send(connection, frame(&request, PRODUCE, batch.correlation));
            }
            if let Some(batch) = self.queue.get_mut(index) {
                batch.is_sent = true;
            }
        }
    }

    fn request(&self, batch: &Unacknowledged, (id, epoch): (i64, i16)) -> ProduceRequest {
        let producer = BatchProducer {
            id: ProducerId::new(id.cast_unsigned()),
            epoch: ProducerEpoch::new(epoch.cast_unsigned()),
            base_sequence: Some(BatchSequence::new(batch.sequence)),
        };
        let mut builder = BatchBuilder::new(batch.timestamp).producer(producer);
        for value in &batch.values {
            let pushed = builder.push(&NewRecord::value(batch.timestamp, value));
            assert!(pushed.is_ok(), "a small record fits");
        }
        let mut partition = PartitionProduceData::default();
        partition.index = batch.partition;
        partition.records = Some(builder.build().freeze());
        let mut topic = TopicProduceData::default();
        topic.name = StrBytes::from(self.topic);
        topic.partition_data = vec![partition];
        let mut request = ProduceRequest::default();
        request.acks = -1;
        request.timeout_ms = 60_000;
        request.topic_data = vec![topic];
        request
    }
}

/// Whether a producer makes new records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// As many as it may have under way.
    More,
    /// Only what is unacknowledged.
    Nothing,
}

/// Reads one partition from its start to its end.
#[derive(Debug)]
pub struct Reader {
    topic: &'static str,
    partition: i32,
    connection: Option<ConnectionId>,
    is_asking: bool,
    next: i64,
    records: Vec<(i64, Vec<u8>)>,
    is_done: bool,
    finding: Option<String>,
}

impl Reader {
    /// A reader of one partition.
    #[must_use]
    pub fn new(topic: &'static str, partition: i32) -> Self {
        Self {
            topic,
            partition,
            connection: None,
            is_asking: false,
            next: 0,
            records: Vec::new(),
            is_done: false,
            finding: None,
        }
    }

    /// Whether the end was reached.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// What was read: (offset, value), in order.
    #[must_use]
    pub fn records(&self) -> &[(i64, Vec<u8>)] {
        &self.records
    }

    /// The first thing the broker did that it must not do.
    #[must_use]
    pub fn finding(&self) -> Option<&str> {
        self.finding.as_deref()
    }

    /// Does what there is to do.
    pub fn work(&mut self, world: &mut World) {
        let connection = match self.connection.filter(|id| world.inbox(*id).is_some()) {
            Some(connection) => connection,
            None => {
                self.is_asking = false;
                *self.connection.insert(world.connect())
            }
        };
        if let Some((_, answer)) = world
            .inbox(connection)
            .and_then(|inbox| response::<FetchRequest>(inbox, FETCH))
        {
            self.is_asking = false;
            let partition = answer
                .responses
                .first()
                .and_then(|topic| topic.partitions.first());
            if let Some(partition) = partition.filter(|partition| partition.error_code == 0) {
                self.take(partition.records.as_ref(), partition.high_watermark);
            } else {
                let code = partition.map_or(answer.error_code, |partition| partition.error_code);
                if !matches!(code, 3 | 5 | 6) {
                    let place = (self.partition, self.next);
                    self.finding
                        .get_or_insert(format!("reading at {place:?} gives error {code}"));
                }
            }
        }
        if !self.is_asking && !self.is_done {
            self.is_asking = true;
            world.send(connection, frame(&self.request(), FETCH, 0));
        }
    }

    fn take(&mut self, records: Option<&Bytes>, high_watermark: i64) {
        assert!(records.is_some(), "records are never null");
        let bytes = records.cloned().unwrap_or_default();
        let mut scratch = Vec::new();
        for batch in Batches::new(&bytes) {
            assert!(
                batch.is_ok(),
                "stored batches are whole and valid: {:?}",
                batch.as_ref().err()
            );
            let Ok((info, batch)) = batch else { return };
            let Ok(records) = Records::open(batch, &info, &mut scratch) else {
                return;
            };
            for record in records.filter_map(Result::ok) {
                let offset = record.offset(&info).to_wire();
                if offset >= self.next {
                    self.records
                        .push((offset, record.value.unwrap_or_default().to_vec()));
                }
            }
            self.next = self.next.max(info.last_offset().to_wire() + 1);
        }
        self.is_done = self.next >= high_watermark;
    }

    fn request(&self) -> FetchRequest {
        let mut partition = FetchPartition::default();
        partition.partition = self.partition;
        partition.current_leader_epoch = -1;
        partition.fetch_offset = self.next;
        partition.last_fetched_epoch = -1;
        partition.log_start_offset = -1;
        partition.partition_max_bytes = 1 << 20;
        let mut topic = FetchTopic::default();
        topic.topic = StrBytes::from(self.topic);
        topic.partitions = vec![partition];
        let mut request = FetchRequest::default();
        request.replica_id = -1;
        request.max_wait_ms = 10;
        request.min_bytes = 1;
        request.max_bytes = 1 << 20;
        request.session_epoch = -1;
        request.topics = vec![topic];
        request
    }
}

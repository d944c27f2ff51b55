//! Short forms of commands and replies.
//!
//! Owns: builders of batches and commands, and taking replies apart.
//! Never: asserts more than that a reply is of its command's kind.
//! Invariants: none.
//! Source: kafka.md section 4.

use api::command::{Acks, Append, Fetch, Isolation, ListOffset, OffsetQuery};
use api::error::{AppendError, MetadataError, ReadError};
use api::metadata::{ConfigChange, ConfigOp, ConfigResource, NewTopic, TopicKey};
use api::reply::{Appended, Fetched, ListedOffset};
use api::{Command, Origin, Reply};
use broker::metadata::{MetadataCommand, OFFSETS_TOPIC, TopicSpec};
use bytes::BytesMut;
use model::batch::{BatchBuilder, BatchInfo, BatchProducer, Batches, NewRecord};
use model::ids::{BatchSequence, ConnectionId, PartitionId, ProducerEpoch, ProducerId, TopicId};
use model::offset::Offset;
use model::time::Instant;

use crate::rig::{OWN, Rig};

pub(crate) const P0: PartitionId = PartitionId::new(0);

pub(crate) fn named(name: &str) -> TopicKey {
    TopicKey::Name(name.to_owned())
}

/// A batch of `count` records with keys, all of one time, ms.
pub(crate) fn batch(time_ms: i64, count: usize) -> BytesMut {
    let mut builder = BatchBuilder::new(time_ms);
    for _ in 0..count {
        builder
            .push(&NewRecord::keyed(time_ms, b"key", b"value"))
            .unwrap();
    }
    builder.build()
}

/// A batch of one record of this size.
pub(crate) fn large_batch(time_ms: i64, bytes: usize) -> BytesMut {
    let mut builder = BatchBuilder::new(time_ms);
    builder
        .push(&NewRecord::value(time_ms, &vec![7; bytes]))
        .unwrap();
    builder.build()
}

/// A batch of an idempotent producer.
pub(crate) fn sequenced(
    time_ms: i64,
    count: usize,
    (id, epoch, sequence): (u64, u16, u32),
) -> BytesMut {
    let producer = BatchProducer {
        id: ProducerId::new(id),
        epoch: ProducerEpoch::new(epoch),
        base_sequence: Some(BatchSequence::new(sequence)),
    };
    let mut builder = BatchBuilder::new(time_ms).producer(producer);
    for _ in 0..count {
        builder.push(&NewRecord::value(time_ms, b"value")).unwrap();
    }
    builder.build()
}

/// An append with ten seconds to become durable.
pub(crate) fn append(rig: &Rig, topic: &str, batch: BytesMut) -> Append {
    let info = BatchInfo::parse(&batch).unwrap();
    Append {
        topic: named(topic),
        partition: P0,
        acks: Acks::All,
        deadline: rig.deadline(10_000),
        batch,
        info,
        inspect_bytes_max: 1 << 20,
    }
}

/// A fetch that does not wait.
pub(crate) fn fetch(topic: &str, offset: u64) -> Fetch {
    Fetch {
        topic: named(topic),
        partition: P0,
        offset: Offset::new(offset),
        leader_epoch: None,
        last_fetched_epoch: None,
        isolation: Isolation::ReadUncommitted,
        bytes_max: 1 << 20,
        at_least_one: true,
        wait_until: None,
    }
}

/// Ranges of offsets of the batches in a fetched answer.
pub(crate) fn offsets(fetched: &Fetched) -> Vec<(u64, u64)> {
    let chunks = fetched.records.iter();
    let ranges: Vec<(u64, u64)> = chunks
        .flat_map(|chunk| Batches::new(chunk).map(Result::unwrap).collect::<Vec<_>>())
        .map(|(info, _)| (info.base_offset.get(), info.last_offset().get()))
        .collect();
    assert_eq!(
        fetched.bytes,
        fetched.records.iter().map(bytes::Bytes::len).sum::<usize>()
    );
    ranges
}

impl Rig {
    pub(crate) fn new_topic(name: &str, partitions: u32, configs: &[(&str, &str)]) -> NewTopic {
        let configs = configs.iter();
        NewTopic {
            name: name.to_owned(),
            partitions: Some(partitions),
            replication_factor: Some(1),
            assignment: Vec::new(),
            configs: configs
                .map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned())))
                .collect(),
        }
    }

    /// Creates a topic with one partition.
    pub(crate) fn create(&mut self, name: &str, configs: &[(&str, &str)]) -> TopicId {
        self.create_topic(Self::new_topic(name, 1, configs))
    }

    /// Creates a topic with several partitions.
    pub(crate) fn create_wide(&mut self, name: &str, partitions: u32) -> TopicId {
        self.create_topic(Self::new_topic(name, partitions, &[]))
    }

    fn create_topic(&mut self, topic: NewTopic) -> TopicId {
        let topics = vec![topic];
        let deadline = self.deadline(10_000);
        let created = self.ask(Command::CreateTopics {
            topics,
            validate_only: false,
            deadline,
        });
        let Reply::TopicsCreated(mut created) = created else {
            panic!("{created:?}")
        };
        created.remove(0).1.unwrap().id
    }

    /// Creates the offsets topic as the control core does at its first start.
    pub(crate) fn create_offsets_topic(&mut self) {
        let spec = TopicSpec {
            name: OFFSETS_TOPIC.to_owned(),
            id: TopicId::from_bytes([9; 16]),
            is_internal: true,
            assignment: vec![vec![OWN]; 2],
            configs: vec![("cleanup.policy".to_owned(), "compact".to_owned())],
        };
        self.commit(&MetadataCommand::CreateTopics(vec![spec]));
    }

    pub(crate) fn delete_topic(&mut self, key: TopicKey) -> Result<(), MetadataError> {
        let deadline = self.deadline(10_000);
        let reply = self.ask(Command::DeleteTopics {
            topics: vec![key],
            deadline,
        });
        let Reply::TopicsDeleted(mut deleted) = reply else {
            panic!("{reply:?}")
        };
        deleted.remove(0).result
    }

    pub(crate) fn alter(&mut self, topic: &str, key: &str, value: &str) {
        self.alter_resource(ConfigResource::Topic(topic.to_owned()), key, value);
    }

    /// Sets a default of all topics.
    pub(crate) fn alter_all(&mut self, key: &str, value: &str) {
        self.alter_resource(ConfigResource::Broker(None), key, value);
    }

    fn alter_resource(&mut self, resource: ConfigResource, key: &str, value: &str) {
        let changes = vec![ConfigChange {
            resource,
            is_replacement: false,
            changes: vec![(key.to_owned(), ConfigOp::Set, Some(value.to_owned()))],
        }];
        let deadline = self.deadline(10_000);
        let reply = self.ask(Command::AlterConfigs {
            changes,
            validate_only: false,
            deadline,
        });
        let Reply::ConfigsAltered(altered) = reply else {
            panic!("{reply:?}")
        };
        assert_eq!(altered, vec![Ok(())]);
    }

    /// Appends and expects the answer at once.
    pub(crate) fn append(&mut self, topic: &str, batch: BytesMut) -> Result<Appended, AppendError> {
        let command = Command::Append(append(self, topic, batch));
        let reply = self.ask(command);
        let Reply::Appended(result) = reply else {
            panic!("{reply:?}")
        };
        result
    }

    /// Appends `count` records of now and gives the first offset.
    pub(crate) fn fill(&mut self, topic: &str, count: usize) -> u64 {
        let batch = batch(self.now.wall.as_millis(), count);
        self.append(topic, batch).unwrap().base_offset.get()
    }

    pub(crate) fn send_append(&mut self, topic: &str, batch: BytesMut) -> Origin {
        let command = Command::Append(append(self, topic, batch));
        self.send(command)
    }

    pub(crate) fn appended(&mut self, origin: Origin) -> Option<Result<Appended, AppendError>> {
        let reply = self.answer(origin)?;
        let Reply::Appended(result) = reply else {
            panic!("{reply:?}")
        };
        Some(result)
    }

    pub(crate) fn fetch(&mut self, fetch: Fetch) -> Result<Fetched, ReadError> {
        let reply = self.ask(Command::Fetch(fetch));
        let Reply::Fetched(result) = reply else {
            panic!("{reply:?}")
        };
        result
    }

    /// Ranges of the batches from `offset` on.
    pub(crate) fn read(&mut self, topic: &str, offset: u64) -> Vec<(u64, u64)> {
        offsets(&self.fetch(fetch(topic, offset)).unwrap())
    }

    /// Ranges of all batches; one answer may end where a segment does.
    pub(crate) fn read_all(&mut self, topic: &str) -> Vec<(u64, u64)> {
        let mut ranges = Vec::new();
        let mut next = 0;
        loop {
            let mut more = self.read(topic, next);
            let Some((_, last)) = more.last() else {
                return ranges;
            };
            next = last + 1;
            ranges.append(&mut more);
        }
    }

    pub(crate) fn send_fetch(&mut self, fetch: Fetch, until: Instant) -> Origin {
        self.send(Command::Fetch(Fetch {
            wait_until: Some(until),
            ..fetch
        }))
    }

    /// The same from this connection.
    pub(crate) fn send_fetch_from(
        &mut self,
        connection: u64,
        fetch: Fetch,
        until: Instant,
    ) -> Origin {
        let origin = Origin {
            connection: ConnectionId::new(connection),
            ..self.origin()
        };
        let wait_until = Some(until);
        let fetch = Fetch {
            wait_until,
            ..fetch
        };
        self.send_as(origin, Command::Fetch(fetch));
        origin
    }

    pub(crate) fn fetched(&mut self, origin: Origin) -> Option<Result<Fetched, ReadError>> {
        let reply = self.answer(origin)?;
        let Reply::Fetched(result) = reply else {
            panic!("{reply:?}")
        };
        Some(result)
    }

    pub(crate) fn list(
        &mut self,
        topic: &str,
        query: OffsetQuery,
    ) -> Result<ListedOffset, ReadError> {
        let isolation = Isolation::ReadUncommitted;
        let topic = named(topic);
        let query = ListOffset {
            topic,
            partition: P0,
            leader_epoch: None,
            isolation,
            query,
        };
        let reply = self.ask(Command::ListOffset(query));
        let Reply::Offset(result) = reply else {
            panic!("{reply:?}")
        };
        result
    }
}

impl Rig {
    /// Another core's topic is created.
    pub(crate) fn create_other(&mut self, name: &str) {
        self.commit(&MetadataCommand::CreateTopics(vec![TopicSpec {
            name: name.to_owned(),
            id: TopicId::from_bytes([8; 16]),
            is_internal: false,
            assignment: vec![vec![OWN]],
            configs: Vec::new(),
        }]));
    }
}

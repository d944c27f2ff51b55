//! A simulated member of no group that commits offsets, as simple consumers do.
//!
//! Owns: what it tried to commit and what was acknowledged, per partition.
//! Never: has two commits under way, so at most one value per partition is in doubt.
//! Invariants: the values of one partition only grow; what is fetched in the end lies between the last
//! acknowledged and the last tried value.
//! Source: kafka.md 4.8, reliability.md 3.8 (H13, H18).

use std::collections::BTreeMap;

use kafka_wire::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_wire::offset_fetch_request::{OffsetFetchRequest, OffsetFetchRequestTopic};
use kafka_wire_core::{ApiVersion, StrBytes};
use model::ids::ConnectionId;

use crate::client::{frame, response};
use crate::world::World;

/// Newest version of OffsetCommit that names topics by name and needs no member.
const COMMIT: ApiVersion = ApiVersion::new(8);
/// Newest version of OffsetFetch for one group.
const FETCH: ApiVersion = ApiVersion::new(7);

/// What is being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    Commit { partition: i32, offset: i64 },
    Fetch,
}

/// What is known of one partition's committed offset.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    acknowledged: i64,
    tried: i64,
}

/// One partition of an answer.
#[derive(Clone, Copy, Debug)]
struct Fetched {
    partition: i32,
    offset: i64,
    error: i16,
}

/// Commits offsets in the name of one group.
#[derive(Debug)]
pub struct Committer {
    group: String,
    topic: &'static str,
    partitions: i32,
    connection: Option<ConnectionId>,
    asked: Asked,
    known: BTreeMap<i32, Known>,
    is_done: bool,
    finding: Option<String>,
}

impl Committer {
    /// A committer of group number `number` for `partitions` partitions of `topic`.
    #[must_use]
    pub fn new(number: u32, topic: &'static str, partitions: i32) -> Self {
        Self {
            group: format!("group-{number}"),
            topic,
            partitions,
            connection: None,
            asked: Asked::Nothing,
            known: BTreeMap::new(),
            is_done: false,
            finding: None,
        }
    }

    /// Commits acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        let total: i64 = self.known.values().map(|known| known.acknowledged).sum();
        total.unsigned_abs()
    }

    /// Whether the committed offsets were fetched and judged.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// The first thing the broker did that it must not do.
    #[must_use]
    pub fn finding(&self) -> Option<&str> {
        self.finding.as_deref()
    }

    /// Takes the answer and commits the next offset of some partition.
    pub fn commit(&mut self, world: &mut World) {
        let connection = self.take_answer(world);
        if self.asked != Asked::Nothing {
            return;
        }
        let partitions = u64::from(self.partitions.cast_unsigned());
        let partition = i32::try_from(world.prng().below(partitions)).unwrap_or(0);
        let known = self.known.entry(partition).or_default();
        known.tried += 1;
        let offset = known.tried;
        self.asked = Asked::Commit { partition, offset };
        let request = self.commit_request(partition, offset);
        world.send(connection, frame(&request, COMMIT, 0));
    }

    /// Fetches what is committed and judges it.
    pub fn fetch(&mut self, world: &mut World) {
        let connection = self.take_answer(world);
        if self.asked == Asked::Nothing && !self.is_done {
            self.asked = Asked::Fetch;
            let mut topic = OffsetFetchRequestTopic::default();
            topic.name = StrBytes::from(self.topic);
            topic.partition_indexes = (0..self.partitions).collect();
            let mut request = OffsetFetchRequest::default();
            request.group_id = StrBytes::from(self.group.as_str());
            request.topics = Some(vec![topic]);
            world.send(connection, frame(&request, FETCH, 0));
        }
    }

    fn commit_request(&self, partition: i32, offset: i64) -> OffsetCommitRequest {
        let mut entry = OffsetCommitRequestPartition::default();
        entry.partition_index = partition;
        entry.committed_offset = offset;
        entry.committed_leader_epoch = -1;
        let mut topic = OffsetCommitRequestTopic::default();
        topic.name = StrBytes::from(self.topic);
        topic.partitions = vec![entry];
        let mut request = OffsetCommitRequest::default();
        request.group_id = StrBytes::from(self.group.as_str());
        request.generation_id_or_member_epoch = -1;
        request.topics = vec![topic];
        request
    }

    /// The connection to ask on next; a broken one leaves its question open for ever.
    fn take_answer(&mut self, world: &mut World) -> ConnectionId {
        let Some(connection) = self.connection.filter(|id| world.inbox(*id).is_some()) else {
            self.asked = Asked::Nothing;
            return *self.connection.insert(world.connect());
        };
        let Some(inbox) = world.inbox(connection) else {
            return connection;
        };
        match self.asked {
            Asked::Nothing => {}
            Asked::Commit { partition, offset } => {
                if let Some((_, answer)) = response::<OffsetCommitRequest>(inbox, COMMIT) {
                    let topic = answer.topics.first();
                    let entry = topic.and_then(|topic| topic.partitions.first());
                    let code = entry.map_or(-1, |entry| entry.error_code);
                    self.asked = Asked::Nothing;
                    self.settle(partition, offset, code);
                }
            }
            Asked::Fetch => {
                if let Some((_, answer)) = response::<OffsetFetchRequest>(inbox, FETCH) {
                    self.asked = Asked::Nothing;
                    let topics = answer.topics.into_iter();
                    let entries = topics.flat_map(|topic| topic.partitions);
                    let fetched: Vec<Fetched> = entries
                        .map(|entry| Fetched {
                            partition: entry.partition_index,
                            offset: entry.committed_offset,
                            error: entry.error_code,
                        })
                        .collect();
                    self.judge(answer.error_code, &fetched);
                }
            }
        }
        connection
    }

    fn settle(&mut self, partition: i32, offset: i64, code: i16) {
        match code {
            0 => {
                if let Some(known) = self.known.get_mut(&partition) {
                    known.acknowledged = offset;
                }
            }
            3 | 14 | 15 | 16 => {}
            other => self.find(format!("commit refused with error {other}")),
        }
    }

    fn judge(&mut self, code: i16, fetched: &[Fetched]) {
        match code {
            0 => {}
            14..=16 => return,
            other => return self.find(format!("offsets refused with error {other}")),
        }
        self.is_done = true;
        if fetched.len() != usize::try_from(self.partitions).unwrap_or(0) {
            self.find(format!("offsets of {} partitions", fetched.len()));
        }
        for &Fetched {
            partition,
            offset,
            error,
        } in fetched
        {
            let known = self.known.get(&partition).copied().unwrap_or_default();
            // Nothing committed reads as -1.
            let lies_between = known.acknowledged <= offset.max(0) && offset <= known.tried;
            if error != 0 || !lies_between {
                self.find(format!(
                    "{}: partition {partition} is committed at {offset} (error {error}), not within {known:?}",
                    self.group
                ));
            }
        }
    }

    fn find(&mut self, what: String) {
        self.finding.get_or_insert(what);
    }
}

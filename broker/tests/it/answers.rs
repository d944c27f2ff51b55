//! Random histories of every kind of command: each is answered once, whatever happens around it.
//!
//! Owns: who asked and was not answered yet.
//! Never: judges what an answer says; the other modules do.
//! Invariants: the same seed gives the same history.
//! Source: architecture.md section 5 (one reply per command); kafka.md 4.3, 4.4.2, 4.8.

use std::collections::BTreeMap;
use std::time::Duration;

use api::command::{DeleteRecords, EpochEnd, Fetch, Isolation, ListOffset, OffsetQuery};
use api::error::GroupError;
use api::group::{CommittedQuery, Leave, MemberKey};
use api::metadata::TopicFilter;
use api::{Command, Origin, Reply};
use broker::CoreMessage;
use model::ids::ShardId;
use model::offset::{LeaderEpoch, Offset};
use model::prng::Prng;

use crate::ask::{P0, append, batch, fetch, large_batch, named, sequenced};
use crate::disk::Hold;
use crate::fetch::bump_epochs;
use crate::groups::{commit, join};
use crate::rig::{Quorum, Rig};

const STEPS: usize = 250;
const TOPICS: [&str; 3] = ["a", "b", "c"];

struct History {
    rig: Rig,
    prng: Prng,
    open: BTreeMap<Origin, String>,
    fetches: Vec<(Origin, &'static str)>,
    members: Vec<MemberKey>,
    answered: usize,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut rig = Rig::new();
        rig.create_offsets_topic();
        for topic in TOPICS {
            rig.create(topic, &[("segment.bytes", "65536")]);
        }
        Self {
            rig,
            prng: Prng::new(seed),
            open: BTreeMap::new(),
            fetches: Vec::new(),
            members: Vec::new(),
            answered: 0,
        }
    }

    fn topic(&mut self) -> &'static str {
        TOPICS[usize::try_from(self.prng.below(3)).unwrap()]
    }

    fn send(&mut self, command: Command) -> Origin {
        let text = format!("{command:.100?}");
        let origin = self.rig.send(command);
        self.open.insert(origin, text);
        origin
    }

    fn step(&mut self) {
        match self.prng.below(5) {
            0 => self.step_data(),
            1 => self.step_readers(),
            2 => self.step_groups(),
            3 => self.step_metadata(),
            _ => self.step_world(),
        }
        self.collect();
    }

    fn step_data(&mut self) {
        let (topic, millis) = (self.topic(), self.rig.now.wall.as_millis());
        let batch = match self.prng.below(4) {
            0 => {
                let size = self.prng.below(60_000);
                large_batch(millis, usize::try_from(size).unwrap())
            }
            1 => {
                let sequence = u32::try_from(self.prng.below(4)).unwrap();
                sequenced(millis, 1, (self.prng.below(3), 0, sequence))
            }
            _ => batch(millis, usize::try_from(self.prng.below(5) + 1).unwrap()),
        };
        let command = append(&self.rig, topic, batch);
        self.send(Command::Append(command));
    }

    fn step_readers(&mut self) {
        let topic = self.topic();
        let before = Offset::new(self.prng.below(40));
        match self.prng.below(5) {
            0 | 1 => {
                let wait = self.prng.below(20_000);
                let wait_until = (wait > 0).then(|| self.rig.deadline(wait));
                let one = Fetch {
                    wait_until,
                    ..fetch(topic, before.get())
                };
                let origin = self.send(Command::Fetch(one));
                self.fetches.push((origin, topic));
            }
            2 => {
                if let Some((origin, topic)) = self.fetches.pop() {
                    let ticket = origin.ticket;
                    let cancel = Command::CancelFetch {
                        topic: named(topic),
                        partition: P0,
                        ticket,
                    };
                    self.rig.send(cancel);
                    self.collect();
                    assert!(
                        !self.open.contains_key(&origin),
                        "a cancelled fetch is over"
                    );
                }
            }
            3 => {
                let query = match self.prng.below(3) {
                    0 => OffsetQuery::MaxTimestamp,
                    1 => OffsetQuery::AtTimestamp(self.rig.now.wall.as_millis() - 3_000),
                    _ => OffsetQuery::Latest,
                };
                self.send(Command::ListOffset(ListOffset {
                    topic: named(topic),
                    partition: P0,
                    leader_epoch: None,
                    isolation: Isolation::ReadUncommitted,
                    query,
                }));
            }
            _ => {
                self.send(Command::EpochEnd(EpochEnd {
                    topic: named(topic),
                    partition: P0,
                    current_epoch: None,
                    epoch: LeaderEpoch::ZERO,
                }));
                let before = self.prng.chance(1, 2).then_some(before);
                self.send(Command::DeleteRecords(DeleteRecords {
                    topic: named(topic),
                    partition: P0,
                    before,
                }));
            }
        }
    }

    fn step_groups(&mut self) {
        let key = self.members.last().cloned().unwrap_or(MemberKey {
            group: "g".to_owned(),
            generation: None,
            member: String::new(),
            instance: None,
        });
        let command = match self.prng.below(7) {
            0 => join(""),
            1 => join(&key.member),
            2 => Command::SyncGroup(api::group::Sync {
                key,
                protocol_type: None,
                protocol: None,
                assignments: Vec::new(),
            }),
            3 => Command::Heartbeat(key),
            4 => Command::LeaveGroup(Leave {
                group: key.group,
                members: vec![(key.member, None)],
            }),
            5 => commit("h", self.prng.below(100)),
            _ => Command::FetchCommitted(CommittedQuery {
                group: "h".to_owned(),
                partitions: None,
            }),
        };
        self.send(command);
    }

    fn step_metadata(&mut self) {
        let topic = self.topic();
        let deadline = self.rig.deadline(5_000);
        match self.prng.below(8) {
            0 | 1 => {
                let topics = vec![named(topic)];
                self.send(Command::DeleteTopics { topics, deadline });
            }
            2..=4 => {
                let topics = vec![Rig::new_topic(topic, 1, &[("segment.bytes", "65536")])];
                self.send(Command::CreateTopics {
                    topics,
                    validate_only: false,
                    deadline,
                });
            }
            5 => {
                let topics = TopicFilter::These(vec![named(topic)]);
                self.send(Command::Metadata {
                    topics,
                    auto_create: true,
                });
            }
            6 => {
                self.send(Command::InitProducerId { current: None });
            }
            _ => {
                self.send(Command::ListGroups {
                    shard: ShardId::new(0),
                });
            }
        }
    }

    fn step_world(&mut self) {
        match self.prng.below(13) {
            0 => self.rig.disk.hold = Hold::Writes,
            1 => self.rig.disk.hold = Hold::Reads,
            2 | 3 => self.rig.release(),
            4 => {
                self.rig.quorum = match self.prng.below(3) {
                    0 => Quorum::IsSilent,
                    1 => Quorum::Refuses,
                    _ => Quorum::Commits,
                };
            }
            5 => {
                if let Some(proposal) = self.rig.proposals.pop_front() {
                    self.rig.settle(&proposal);
                }
            }
            6 => {
                let [incarnation, ..] = self.prng.bytes16();
                bump_epochs(&mut self.rig, incarnation);
            }
            // What was read before must come from the device again.
            7 => self.restart(),
            8 => self.rig.disk.free = (1 << 20) << (20 * self.prng.below(2)),
            9 => self.rig.disk.is_unreadable = self.prng.chance(1, 3),
            _ => {
                let wait = Duration::from_millis(self.prng.below(9_000));
                self.rig.pass(wait);
            }
        }
    }

    fn restart(&mut self) {
        self.stop();
        self.rig.restart();
        self.rig.quorum = Quorum::Commits;
    }

    /// However reads went, a coordinator serves or says that it cannot; it does not load for ever.
    fn check_loads(&mut self) {
        self.rig.release();
        self.rig.pass(Duration::from_secs(2));
        self.collect();
        let reply = self.rig.ask(Command::ListGroups {
            shard: ShardId::new(0),
        });
        let is_loading = matches!(reply, Reply::Groups(Err(GroupError::Loading)));
        assert!(!is_loading, "a load never ends");
    }

    /// After an orderly stop nobody waits.
    fn stop(&mut self) {
        self.collect();
        if self.prng.chance(1, 2) {
            self.check_loads();
        }
        let stops = self.rig.stops;
        self.rig.control(CoreMessage::Shutdown);
        self.step_data();
        self.step_groups();
        self.step_readers();
        self.rig.release();
        self.rig.pass(Duration::from_secs(60));
        self.collect();
        assert_eq!(self.rig.stops, stops + 1);
        assert!(self.open.is_empty(), "never answered: {:?}", self.open);
        self.fetches.clear();
        self.members.clear();
    }

    fn collect(&mut self) {
        assert!(self.rig.fatal.is_none(), "{:?}", self.rig.fatal);
        for (origin, reply) in std::mem::take(&mut self.rig.replies) {
            let asked = self.open.remove(&origin);
            assert!(asked.is_some(), "answered twice: {origin:?} {reply:?}");
            self.answered += 1;
            if let Reply::Joined(Ok(joined)) = reply {
                self.members.push(MemberKey {
                    group: "g".to_owned(),
                    generation: Some(joined.generation),
                    member: joined.member,
                    instance: None,
                });
            }
        }
    }
}

#[test]
fn every_command_is_answered_once_in_random_histories() {
    for seed in 0..16 {
        let mut history = History::new(seed);
        for _ in 0..STEPS {
            history.step();
        }
        history.stop();
        assert!(history.answered > STEPS / 4, "seed {seed} asked something");
    }
}

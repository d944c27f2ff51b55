//! Tests of the control core with its real thread and files.
//!
//! Owns: fake data cores, directories that are copied as a crash would leave them.
//! Never: sleeps: every wait is for a message, with a deadline.
//! Invariants: none.
//! Source: reliability.md 1.12, ADR-0007.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::error::MetadataError;
use api::metadata::{BrokerEndpoint, ConfigChange, ConfigOp, ConfigResource};
use broker::metadata::{Change, Image, MetadataCommand, MetadataResult, OFFSETS_TOPIC, TopicSpec};
use broker::{BrokerConfig, ControlPort, CoreMessage, CorePort, Proposal};
use crossbeam_channel::{Receiver, Sender, unbounded};
use model::fatal::{Fatal, Reason};
use model::ids::{BrokerId, MetaIndex, ShardId, TopicId};
use raft_host::RestoreError;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use crate::directory::tests::{FULL, STUCK};
use crate::mailbox::{MAIL_MAX, mailbox};
use crate::{ControlConfig, ControlError, ControlHandle, Port, start};

const PATIENCE: Duration = Duration::from_secs(30);
/// How long an answer is waited for that may not come.
const SHORT: Duration = Duration::from_millis(200);
const SHARDS: u16 = 2;

type Answer = (u64, Result<MetadataResult, MetadataError>);

struct FakeCore(Sender<CoreMessage>);

impl CorePort for FakeCore {
    fn deliver(&self, message: CoreMessage) {
        self.0.send(message).unwrap();
    }
}

fn config(data_dir: &Path, seed: u64) -> ControlConfig {
    ControlConfig {
        data_dir: data_dir.to_owned(),
        broker: Arc::new(BrokerConfig {
            cluster_id: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
            offsets_partitions: 4,
            ..BrokerConfig::default()
        }),
        host: "localhost".to_owned(),
        port: 9092,
        rack: None,
        shards: SHARDS,
        is_clean: true,
        seed,
        snapshot_entries: 10_000,
        stall_fence: PATIENCE,
        on_fatal: Arc::new(|fatal: &Fatal| panic!("{fatal}")),
    }
}

/// A running control core with its fake data cores.
struct World {
    handle: ControlHandle,
    port: Port,
    image: Arc<Image>,
    cores: Vec<Receiver<CoreMessage>>,
    next: u64,
}

impl World {
    fn start(config: ControlConfig) -> Self {
        let mut world = Self::detached(config);
        world.attach();
        world
    }

    fn detached(config: ControlConfig) -> Self {
        let (handle, image, index) = start(config).unwrap();
        assert_eq!(image.index(), index);
        let port = handle.port();
        Self {
            handle,
            port,
            image,
            cores: Vec::new(),
            next: 0,
        }
    }

    fn attach(&mut self) {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..SHARDS).map(|_| unbounded()).unzip();
        let ports = senders
            .into_iter()
            .map(|sender| Arc::new(FakeCore(sender)) as Arc<dyn CorePort>);
        self.handle.attach(ports.collect());
        self.cores = receivers;
    }

    fn propose(&mut self, command: MetadataCommand) -> u64 {
        self.next += 1;
        let proposal = Proposal {
            shard: ShardId::new(1),
            id: self.next,
            command,
        };
        self.port.propose(proposal).unwrap();
        self.next
    }

    /// The next delta at a core, which applies it.
    fn apply(&mut self, shard: u16) -> (Arc<Image>, Arc<Vec<Change>>) {
        let message = self.cores[usize::from(shard)]
            .recv_timeout(PATIENCE)
            .unwrap();
        let CoreMessage::Delta {
            index,
            image,
            changes,
        } = message
        else {
            panic!("{message:?} is no delta");
        };
        assert_eq!(image.index(), index);
        self.port.applied(ShardId::new(shard), index);
        (image, changes)
    }

    fn answer(&mut self) -> Answer {
        self.answer_within(PATIENCE).unwrap()
    }

    fn answer_within(&mut self, time: Duration) -> Option<Answer> {
        let message = self.cores[1].recv_timeout(time).ok()?;
        let CoreMessage::Proposed { id, result } = message else {
            panic!("{message:?} is no answer");
        };
        Some((id, result))
    }

    /// Proposes large changes, one after the other, until one is not answered.
    fn propose_until_stuck(&mut self) -> u64 {
        for _ in 0..1_000 {
            let mut known = topic(OFFSETS_TOPIC, 1);
            if let MetadataCommand::CreateTopics(specs) = &mut known {
                specs[0].assignment = vec![vec![BrokerId::new(1)]; 10_000];
            }
            let id = self.propose(known);
            match self.answer_within(SHORT) {
                Some((answered, result)) => {
                    assert_eq!(answered, id);
                    assert!(matches!(result, Ok(MetadataResult::Each(each)) if each[0].is_err()));
                }
                None => return id,
            }
        }
        panic!("there is room");
    }

    /// Proposes until there is an answer.
    fn refusal_while_stuck(&mut self) -> MetadataError {
        for _ in 0..100 {
            self.propose(MetadataCommand::AllocateProducerIds(BrokerId::new(1)));
            if let Some((_, result)) = self.answer_within(SHORT) {
                return result.unwrap_err();
            }
        }
        panic!("no answer");
    }

    /// Proposes, applies everywhere, checks the answer.
    fn commit(&mut self, command: MetadataCommand) -> MetadataResult {
        let id = self.propose(command);
        for shard in 0..SHARDS {
            self.image = self.apply(shard).0;
        }
        let (answered, result) = self.answer();
        assert_eq!(answered, id);
        result.unwrap()
    }
}

fn topic(name: &str, number: u8) -> MetadataCommand {
    MetadataCommand::CreateTopics(vec![TopicSpec {
        name: name.to_owned(),
        id: TopicId::from_bytes([number; 16]),
        is_internal: false,
        assignment: vec![vec![BrokerId::new(1)]],
        configs: Vec::new(),
    }])
}

fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    fs::create_dir(to.path().join("raft")).unwrap();
    for entry in fs::read_dir(from.join("raft")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(
            &path,
            to.path().join("raft").join(path.file_name().unwrap()),
        )
        .unwrap();
    }
    to
}

fn refusal(config: ControlConfig) -> ControlError {
    start(config).err().unwrap()
}

#[test]
fn a_first_start_registers_the_broker_and_makes_the_offsets_topic() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::start(config(dir.path(), 1));
    let endpoint = BrokerEndpoint {
        id: BrokerId::new(1),
        host: "localhost".to_owned(),
        port: 9092,
        rack: None,
    };
    assert_eq!(world.image.brokers().collect::<Vec<_>>(), [&endpoint]);
    let offsets = world.image.topic_by_name(OFFSETS_TOPIC).unwrap();
    assert!(offsets.is_internal);
    assert_eq!(offsets.partitions.len(), 4);
    assert_eq!(offsets.configs["cleanup.policy"], "compact");
    world.handle.shutdown();
}

#[test]
fn a_proposal_is_answered_only_after_every_core_applied_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::start(config(dir.path(), 1));
    let id = world.propose(topic("orders", 7));
    let (image, changes) = world.apply(1);
    assert_eq!(
        *changes,
        [Change::TopicCreated(TopicId::from_bytes([7; 16]))]
    );
    assert!(image.topic_by_name("orders").is_some());
    // The other core has the delta but did not report it; the next message to this core can only be the
    // answer, and it comes after the report below.
    let late = world.cores[1].try_recv();
    assert!(late.is_err());
    world.apply(0);
    let (answered, result) = world.answer();
    assert_eq!(answered, id);
    assert_eq!(result, Ok(MetadataResult::Each(vec![Ok(())])));
}

#[test]
fn what_changes_nothing_is_answered_without_a_delta() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::start(config(dir.path(), 1));
    world.commit(topic("a", 1));
    let id = world.propose(topic("a", 2));
    let (answered, result) = world.answer();
    assert_eq!(answered, id);
    assert!(matches!(result, Ok(MetadataResult::Each(each)) if each[0].is_err()));
    world.propose(MetadataCommand::AllocateProducerIds(BrokerId::new(1)));
    assert!(matches!(
        world.answer().1,
        Ok(MetadataResult::ProducerIds(_))
    ));
}

#[test]
fn changes_between_start_and_attach_are_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::detached(config(dir.path(), 1));
    world.propose(topic("early", 3));
    world.attach();
    for shard in 0..SHARDS {
        let mut seen = world.apply(shard).0;
        while seen.topic_by_name("early").is_none() {
            seen = world.apply(shard).0;
        }
    }
    assert_eq!(world.answer().1, Ok(MetadataResult::Each(vec![Ok(())])));
}

#[test]
fn many_proposals_at_once_are_all_answered_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::start(config(dir.path(), 1));
    for number in 1..=100 {
        world.propose(topic(&format!("t{number}"), number));
    }
    let mut answered = Vec::new();
    while answered.len() < 100 {
        match world.cores[1].recv_timeout(PATIENCE).unwrap() {
            CoreMessage::Delta { index, .. } => {
                world.port.applied(ShardId::new(1), index);
                world.port.applied(ShardId::new(0), index);
            }
            CoreMessage::Proposed { id, result } => {
                assert_eq!(result, Ok(MetadataResult::Each(vec![Ok(())])));
                answered.push(id);
            }
            CoreMessage::Shutdown => panic!("nobody stops"),
        }
    }
    assert_eq!(answered, (1..=100).collect::<Vec<_>>());
    let mut last = MetaIndex::new(0);
    for message in world.cores[0].try_iter() {
        let CoreMessage::Delta { index, .. } = message else {
            panic!("{message:?}")
        };
        assert!(index > last);
        last = index;
    }
}

#[test]
fn a_restart_after_an_orderly_stop_sees_everything() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::start(config(dir.path(), 1));
    world.commit(topic("kept", 7));
    world.handle.shutdown();
    let world = World::start(config(dir.path(), 2));
    let kept = world.image.topic_by_name("kept").unwrap();
    assert_eq!(kept.partitions[0].leader_epoch.get(), 0);
    let offsets = world.image.topic_by_name(OFFSETS_TOPIC).unwrap();
    assert_eq!(offsets.partitions.len(), 4);
}

#[test]
fn a_restart_after_a_kill_sees_everything_that_was_answered() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::start(config(dir.path(), 1));
    world.commit(topic("kept", 7));
    let copied = copy(dir.path());
    let killed = ControlConfig {
        is_clean: false,
        ..config(copied.path(), 2)
    };
    let again = World::start(killed);
    let kept = again.image.topic_by_name("kept").unwrap();
    assert_eq!(kept.partitions[0].leader_epoch.get(), 1);
    drop(world.handle);
}

#[test]
fn snapshots_replace_the_log_and_are_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let short = |seed| ControlConfig {
        snapshot_entries: 5,
        ..config(dir.path(), seed)
    };
    let mut world = World::start(short(1));
    for number in 1..=40 {
        world.commit(topic(&format!("t{number}"), number));
    }
    world.handle.shutdown();
    let names: Vec<String> = fs::read_dir(dir.path().join("raft"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(
        names
            .iter()
            .filter(|name| name.starts_with("snapshot-"))
            .count(),
        2
    );
    let world = World::start(short(2));
    assert_eq!(world.image.topic_count(), 41);
}

#[test]
fn the_directory_of_another_cluster_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    World::start(config(dir.path(), 1)).handle.shutdown();
    let mut other = config(dir.path(), 2);
    other.broker = Arc::new(BrokerConfig {
        cluster_id: "other".to_owned(),
        ..BrokerConfig::default()
    });
    let refused = refusal(other);
    assert!(matches!(
        refused,
        ControlError::Restore(RestoreError::Foreign { .. })
    ));
}

#[test]
fn a_damaged_log_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::start(config(dir.path(), 1));
    world.commit(topic("a", 1));
    world.handle.shutdown();
    let log = dir.path().join("raft/log-0000000000000001");
    let mut bytes = fs::read(&log).unwrap();
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[last] ^= 1;
    fs::write(&log, bytes).unwrap();
    let refused = refusal(config(dir.path(), 2));
    assert!(
        matches!(refused, ControlError::Restore(RestoreError::Log(_))),
        "{refused}"
    );
}

#[test]
fn a_port_that_cannot_be_advertised_is_refused_at_start() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = ControlConfig {
        host: "h".repeat(5_000),
        ..config(dir.path(), 1)
    };
    assert!(matches!(refusal(wrong), ControlError::Refused { .. }));
}

#[test]
fn a_command_over_a_bound_is_refused_and_nothing_else_happens() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::start(config(dir.path(), 1));
    let value = Some("x".repeat(100_000));
    let change = ConfigChange {
        resource: ConfigResource::Topic(OFFSETS_TOPIC.to_owned()),
        is_replacement: false,
        changes: vec![("retention.ms".to_owned(), ConfigOp::Set, value)],
    };
    world.propose(MetadataCommand::AlterConfigs(vec![change]));
    let refused = world.answer().1;
    assert!(matches!(refused, Err(MetadataError::LimitReached(_))));
    world.commit(topic("still-works", 1));
}

#[test]
fn a_failed_write_is_fatal_and_nothing_is_answered_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let (fatal, fatals) = unbounded();
    let mut broken = config(dir.path(), 1);
    broken.snapshot_entries = 8;
    broken.on_fatal = Arc::new(move |reason: &Fatal| fatal.send(reason.clone()).unwrap());
    let mut world = World::start(broken);
    fs::remove_dir_all(dir.path().join("raft")).unwrap();
    for number in 1..=20 {
        world.propose(topic(&format!("t{number}"), number));
    }
    let reason = fatals.recv_timeout(PATIENCE).unwrap();
    assert_eq!(reason.reason, Reason::RaftStorageFailed);
    world.handle.shutdown();
    let answered = world.cores[1]
        .try_iter()
        .filter(|message| matches!(message, CoreMessage::Proposed { .. }));
    assert!(answered.count() < 20);
}

#[test]
fn a_full_device_refuses_changes_until_there_is_room_and_takes_them_then() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::start(config(dir.path(), 1));
    fs::write(dir.path().join(FULL), b"").unwrap();
    let first = world.propose_until_stuck();
    assert_eq!(world.refusal_while_stuck(), MetadataError::NoRoom);
    fs::remove_file(dir.path().join(FULL)).unwrap();
    let (answered, result) = world.answer();
    assert_eq!(answered, first, "what was proposed before is not lost");
    assert!(result.is_ok());
    while world.answer_within(SHORT).is_some() {}
    world.commit(topic("after", 1));
    world.handle.shutdown();
    let world = World::start(config(dir.path(), 2));
    assert!(world.image.topic_by_name("after").is_some());
}

#[test]
fn a_stop_does_not_wait_for_room_and_a_start_without_room_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::start(config(dir.path(), 1));
    world.commit(topic("before", 1));
    fs::write(dir.path().join(FULL), b"").unwrap();
    world.propose_until_stuck();
    world.handle.shutdown();
    let said = refusal(config(dir.path(), 2));
    assert!(said.is_no_room(), "{said}");
    fs::remove_file(dir.path().join(FULL)).unwrap();
    let world = World::start(config(dir.path(), 3));
    assert!(world.image.topic_by_name("before").is_some());
}

#[test]
fn a_first_start_without_room_leaves_a_directory_in_which_the_next_one_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(FULL), b"").unwrap();
    let said = refusal(config(dir.path(), 1));
    assert!(said.is_no_room(), "{said}");
    fs::remove_file(dir.path().join(FULL)).unwrap();
    World::start(config(dir.path(), 2)).commit(topic("works", 1));
}

#[test]
fn changes_go_on_while_a_snapshot_finds_no_room_and_it_is_written_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut short = config(dir.path(), 1);
    short.snapshot_entries = 5;
    let mut world = World::start(short);
    let count = |dir: &TempDir| {
        let entries = fs::read_dir(dir.path().join("raft")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| name.starts_with("snapshot-") && !name.ends_with(".tmp"))
            .count()
    };
    fs::write(dir.path().join(FULL), b"").unwrap();
    let before = count(&dir);
    for number in 1..=40 {
        world.commit(topic(&format!("t{number}"), number));
    }
    assert_eq!(count(&dir), before);
    fs::remove_file(dir.path().join(FULL)).unwrap();
    let tries = (0..1_000).take_while(|_| {
        world.propose(MetadataCommand::AllocateProducerIds(BrokerId::new(1)));
        assert!(world.answer().1.is_ok());
        let is_missing = count(&dir) == before;
        assert!(!is_missing || world.answer_within(SHORT).is_none());
        is_missing
    });
    assert!(tries.count() < 1_000, "the snapshot is written");
    assert!(count(&dir) > before);
}

#[test]
fn a_write_that_does_not_come_back_is_fatal() {
    let dir = tempfile::tempdir().unwrap();
    let (fatal, fatals) = unbounded();
    let (stuck, release) = (dir.path().join(STUCK), dir.path().join(STUCK));
    let mut stalling = config(dir.path(), 1);
    stalling.snapshot_entries = 8;
    stalling.stall_fence = SHORT;
    stalling.on_fatal = Arc::new(move |reason: &Fatal| {
        fatal.send(reason.clone()).unwrap();
        // The helper thread is to end with the test.
        fs::OpenOptions::new().write(true).open(&release).unwrap();
    });
    let mut world = World::start(stalling);
    mknodat(CWD, &stuck, FileType::Fifo, Mode::RWXU, 0).unwrap();
    for number in 1..=20 {
        world.propose(topic(&format!("t{number}"), number));
    }
    let reason = fatals.recv_timeout(PATIENCE).unwrap();
    assert_eq!(reason.reason, Reason::RaftStorageFailed);
    assert!(reason.detail.contains("has not come back"), "{reason}");
}

#[test]
fn a_full_mailbox_gives_the_proposal_back() {
    let (port, mailbox) = mailbox(SHARDS).unwrap();
    let proposal = |id: u64| Proposal {
        shard: ShardId::new(0),
        id,
        command: topic("t", 1),
    };
    for id in 0..MAIL_MAX as u64 {
        port.propose(proposal(id)).unwrap();
    }
    assert_eq!(port.propose(proposal(9_999)).unwrap_err().id, 9_999);
    drop(mailbox);
    assert!(port.propose(proposal(1)).is_err());
}

#[test]
fn what_all_cores_applied_is_the_least_of_them() {
    let (port, mailbox) = mailbox(SHARDS).unwrap();
    port.applied(ShardId::new(0), MetaIndex::new(5));
    assert_eq!(mailbox.applied_by_all(), MetaIndex::new(0));
    port.applied(ShardId::new(1), MetaIndex::new(3));
    port.applied(ShardId::new(1), MetaIndex::new(2));
    assert_eq!(mailbox.applied_by_all(), MetaIndex::new(3));
}

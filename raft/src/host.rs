//! One voter of the metadata quorum, sans I/O.
//!
//! Owns: the `raft` crate's node, its durable view, the planning of its writes.
//! Never: performs I/O; sends, applies or answers anything before what it rests on is durable.
//! Invariants: one `Ready` at a time, finished by `handle_persisted`; committed entries are handed out only
//! with or after the hard state that says so; the same inputs and seed give the same outputs.
//! Source: reliability.md 1.12, ADR-0006.

mod step;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use model::prng::Prng;
use raft::{Config, RawNode, ReadOnlyOption, StateRole};

use crate::entry::Entry;
use crate::files::{HARD_STATE_NAMES, Write, snapshot_name};
use crate::hard_state::{HardState, Identity};
use crate::limits;
use crate::log::LogWriter;
use crate::message;
use crate::restore::Restored;
use crate::snapshot::Snapshot;
use crate::view::LogView;
use crate::wire::DecodeError;

/// How a node runs.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Who it is.
    pub identity: Identity,
    /// Ticks without a leader before an election; the seeded timeout lies in `[ticks, 2 * ticks)`.
    pub election_ticks: usize,
    /// Ticks between heartbeats; below `election_ticks`.
    pub heartbeat_ticks: usize,
    /// Seed of election timeouts and file ids; differs per start.
    pub seed: u64,
    /// Entries after which a snapshot is due; `limits::SNAPSHOT_ENTRIES` in production.
    pub snapshot_entries: u64,
}

/// A message to another voter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Raft id of the receiver.
    pub to: u64,
    /// Encoded message.
    pub bytes: Bytes,
}

/// What is to be done, in the order of the fields.
#[derive(Clone, Debug, Default)]
pub struct Ready {
    /// Send now; a leader replicates while it writes.
    pub messages: Vec<Outgoing>,
    /// Carry out in order, each durable before the next; then call [`RaftHost::handle_persisted`].
    pub writes: Vec<Write>,
    /// Send after `handle_persisted`.
    pub messages_after: Vec<Outgoing>,
    /// Replace the state machine by this after `handle_persisted`.
    pub install: Option<Snapshot>,
    /// Apply in order after `handle_persisted` and `install`; report with [`RaftHost::handle_applied`].
    pub committed: Vec<Entry>,
}

/// Where a proposal stands in the log. It is committed if the entry at `index` has this term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Index.
    pub index: u64,
    /// Term.
    pub term: u64,
}

/// Why a proposal was refused; nothing was proposed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Another node leads, or none.
    #[error("not the leader; the leader is {leader:?}")]
    NotLeader {
        /// Who leads, if known.
        leader: Option<u64>,
    },
    /// Larger than `limits::ENTRY_BYTES_MAX`.
    #[error("proposal of {0} bytes is too large")]
    TooLarge(usize),
    /// Too much is uncommitted; try again later.
    #[error("too many proposals are not committed yet")]
    Busy,
}

/// Why a message was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// The bytes are not a message.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The sender is no voter, or the message is for somebody else.
    #[error("message from {from} to {to} does not concern this node")]
    Stranger {
        /// Sender.
        from: u64,
        /// Receiver.
        to: u64,
    },
    /// The message contradicts what this node knows; the sender is faulty.
    #[error("message contradicts this node's log: {0}")]
    Contradiction(&'static str),
    /// The `raft` crate refused it.
    #[error("refused: {0}")]
    Refused(String),
}

/// Why a node cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("raft configuration: {0}")]
pub struct HostError(pub String);

/// What `handle_persisted` has to take over.
#[derive(Default)]
struct Unfinished {
    ready: Option<raft::Ready>,
    entries: Vec<Entry>,
    install: Option<Snapshot>,
}

/// One voter.
pub struct RaftHost {
    node: RawNode<LogView>,
    config: HostConfig,
    writer: LogWriter,
    hard_state: HardState,
    unfinished: Unfinished,
    /// Last index handed out as committed.
    delivered: u64,
    /// Last index the state machine reported.
    applied: u64,
    /// Indexes of the snapshots on disk, newest first: at most two.
    snapshots: Vec<u64>,
    /// A snapshot that is being written.
    snapshot_planned: Option<Snapshot>,
}

impl std::fmt::Debug for RaftHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RaftHost")
            .field("node", &self.config.identity.node)
            .field("term", &self.term())
            .field("role", &self.node.raft.state)
            .field("commit", &self.node.raft.raft_log.committed)
            .field("applied", &self.applied)
            .finish_non_exhaustive()
    }
}

impl RaftHost {
    /// A node that goes on from its files. `restored.writes` are the caller's to carry out first, and
    /// `restored.snapshot` the caller's to load into the state machine.
    ///
    /// # Errors
    /// The configuration contradicts itself.
    pub fn new(config: HostConfig, restored: &Restored) -> Result<Self, HostError> {
        let view = view_of(restored);
        let applied = restored
            .snapshot
            .as_ref()
            .map_or(0, |snapshot| snapshot.index);
        let node_id = config.identity.node;
        if !restored.hard_state.voters.contains(&node_id) {
            return Err(HostError(format!("node {node_id} is no voter")));
        }
        let raft_config = raft_config(&config, applied);
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let node = RawNode::new(&raft_config, view, &logger)
            .map_err(|error| HostError(error.to_string()))?;
        let mut snapshots: Vec<u64> = Vec::new();
        snapshots.extend(restored.snapshot.as_ref().map(|snapshot| snapshot.index));
        snapshots.extend(restored.older_snapshot);
        let uid_seed = Prng::new(config.seed ^ restored.end.sequence).next_u64();
        let mut host = Self {
            node,
            writer: LogWriter::new(node_id, uid_seed, restored.end.clone()),
            hard_state: restored.hard_state.clone(),
            unfinished: Unfinished::default(),
            delivered: applied,
            applied,
            snapshots,
            snapshot_planned: None,
            config,
        };
        host.settle_election_timeout();
        Ok(host)
    }

    /// Lets one tick pass.
    pub fn tick(&mut self) {
        self.assert_idle();
        self.node.tick();
        self.settle_election_timeout();
    }

    /// Asks for an election now; a sole voter wins it at once.
    pub fn campaign(&mut self) {
        self.assert_idle();
        // An error means that this node may not campaign now; then it does not, and the timeout will.
        drop(self.node.campaign());
        self.settle_election_timeout();
    }

    /// Proposes an entry.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub fn propose(&mut self, data: Bytes) -> Result<Position, ProposeError> {
        self.assert_idle();
        if !self.is_leader() {
            return Err(ProposeError::NotLeader {
                leader: self.leader(),
            });
        }
        if data.len() > limits::ENTRY_BYTES_MAX {
            return Err(ProposeError::TooLarge(data.len()));
        }
        match self.node.propose(Vec::new(), data.to_vec()) {
            Ok(()) => {
                let index = self.node.raft.raft_log.last_index();
                Ok(Position {
                    index,
                    term: self.term(),
                })
            }
            Err(_) => Err(ProposeError::Busy),
        }
    }

    /// What is to be done next; `None` if nothing.
    pub fn poll_ready(&mut self) -> Option<Ready> {
        self.assert_idle();
        if !self.node.has_ready() {
            return None;
        }
        let mut ready = self.node.ready();
        let mut out = Ready {
            messages: encode_all(&ready.take_messages()),
            messages_after: encode_all(&ready.take_persisted_messages()),
            ..Ready::default()
        };
        if ready.snapshot().get_metadata().index > 0 {
            let snapshot = message::from_proto(ready.snapshot());
            out.writes.push(snapshot_write(&snapshot));
            self.delivered = snapshot.index;
            out.install = Some(snapshot);
        }
        let entries: Vec<Entry> = ready.entries().iter().map(Entry::from_proto).collect();
        out.writes
            .extend(self.writer.plan_append(&entries, self.hard_state.sequence));
        out.writes
            .extend(self.plan_hard_state(&ready, out.install.as_ref()));
        out.committed = ready
            .take_committed_entries()
            .iter()
            .map(Entry::from_proto)
            .collect();
        self.check_committed(&out.committed);
        self.unfinished = Unfinished {
            ready: Some(ready),
            entries,
            install: out.install.clone(),
        };
        Some(out)
    }

    /// Every write of the last `Ready` is durable.
    ///
    /// # Panics
    /// Without a `Ready` before it.
    pub fn handle_persisted(&mut self) {
        let unfinished = std::mem::take(&mut self.unfinished);
        assert!(
            unfinished.ready.is_some(),
            "there is a ready to be finished"
        );
        let Some(ready) = unfinished.ready else {
            return;
        };
        let store = self.node.mut_store();
        let installed = unfinished.install.as_ref().map(|snapshot| snapshot.index);
        if let Some(snapshot) = unfinished.install {
            store.install(snapshot);
        }
        store.append(unfinished.entries);
        store.term = self.hard_state.term;
        store.vote = self.hard_state.vote;
        store.commit = self.hard_state.commit;
        let number = ready.number();
        self.node.advance_append_async(ready);
        self.node.on_persist_ready(number);
        if let Some(index) = installed {
            self.snapshots.insert(0, index);
            self.handle_applied(index);
        }
        self.settle_election_timeout();
    }

    /// The state machine has applied everything up to `index`.
    ///
    /// # Panics
    /// If that was not handed out, or goes back.
    pub fn handle_applied(&mut self, index: u64) {
        assert!(index >= self.applied, "applied moves forward");
        assert!(
            index <= self.delivered,
            "only what was handed out can be applied"
        );
        self.applied = index;
        self.node.advance_apply_to(index);
    }

    /// Whether enough was applied, or enough files have gathered, for a snapshot.
    #[must_use]
    pub fn is_snapshot_due(&self) -> bool {
        let newest = self.snapshots.first().copied().unwrap_or(0);
        let entries = self.applied.saturating_sub(newest);
        let are_files_many = self.writer.file_count() > limits::LOG_FILES_MAX;
        self.snapshot_planned.is_none()
            && (entries >= self.config.snapshot_entries || (are_files_many && entries > 0))
    }

    /// Plans a snapshot of the state machine as of the last applied entry; call
    /// [`Self::handle_snapshot_written`] when it is durable.
    ///
    /// # Panics
    /// If one is being written, or nothing was applied yet.
    pub fn plan_snapshot(&mut self, data: Bytes) -> Write {
        assert!(self.snapshot_planned.is_none(), "one snapshot at a time");
        let index = self.applied;
        let term = self.node.store().term_at(index).unwrap_or(0);
        assert!(index > 0, "something was applied");
        assert!(term > 0, "the applied entry is still in the log");
        let voters = self.hard_state.voters.clone();
        let snapshot = Snapshot {
            index,
            term,
            voters,
            data,
        };
        let write = snapshot_write(&snapshot);
        self.snapshot_planned = Some(snapshot);
        write
    }

    /// The planned snapshot is durable: the log is compacted up to the one before it, so that either of the
    /// two can be used. Gives the removals, which may be carried out at leisure.
    ///
    /// # Panics
    /// If none was planned.
    pub fn handle_snapshot_written(&mut self) -> Vec<Write> {
        assert!(self.snapshot_planned.is_some(), "a snapshot was planned");
        let Some(snapshot) = self.snapshot_planned.take() else {
            return Vec::new();
        };
        self.snapshots.insert(0, snapshot.index);
        let mut removals = Vec::new();
        for old in self.snapshots.drain(2.min(self.snapshots.len())..) {
            removals.push(Write::Remove {
                name: snapshot_name(old),
            });
        }
        let store = self.node.mut_store();
        store.snapshot = Some(snapshot);
        if let Some(older) = self.snapshots.get(1) {
            store.compact(*older);
            removals.extend(self.writer.plan_compact(*older));
        }
        removals
    }

    /// Whether this node leads.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.node.raft.state == StateRole::Leader
    }

    /// Whether this node leads and everything committed before its term is known to it.
    #[must_use]
    pub fn is_ready_leader(&self) -> bool {
        self.is_leader() && self.node.raft.commit_to_current_term()
    }

    /// Who leads, if known.
    #[must_use]
    pub fn leader(&self) -> Option<u64> {
        Some(self.node.raft.leader_id).filter(|leader| *leader != 0)
    }

    /// Present term.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.node.raft.term
    }

    /// Last entry that is durable here.
    #[must_use]
    pub fn last_index(&self) -> u64 {
        self.node.store().last_index()
    }

    /// Last entry the state machine reported.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.applied
    }

    fn plan_hard_state(
        &mut self,
        ready: &raft::Ready,
        installed: Option<&Snapshot>,
    ) -> Option<Write> {
        let (mut term, mut vote) = (self.hard_state.term, self.hard_state.vote);
        let mut commit = self.hard_state.commit;
        if let Some(changed) = ready.hs() {
            (term, vote, commit) = (changed.term, changed.vote, changed.commit.max(commit));
        }
        commit = commit.max(installed.map_or(0, |snapshot| snapshot.index));
        let is_same = (term, vote, commit)
            == (
                self.hard_state.term,
                self.hard_state.vote,
                self.hard_state.commit,
            );
        if is_same {
            return None;
        }
        self.hard_state.sequence += 1;
        self.hard_state.log_sequence = self.writer.sequence();
        (self.hard_state.term, self.hard_state.vote) = (term, vote);
        self.hard_state.commit = commit;
        let name = HARD_STATE_NAMES[self.hard_state.slot()].to_owned();
        Some(Write::WriteAt {
            name,
            position: 0,
            bytes: self.hard_state.encode(),
        })
    }

    fn check_committed(&mut self, committed: &[Entry]) {
        if let (Some(first), Some(last)) = (committed.first(), committed.last()) {
            assert!(
                first.index == self.delivered + 1,
                "committed entries leave no gap"
            );
            assert!(
                last.index <= self.hard_state.commit,
                "the commit is durable before its use"
            );
            self.delivered = last.index;
        }
    }

    /// The crate draws election timeouts from the thread's generator; ours follow from seed, node, term and
    /// role, so that a run can be repeated. Two nodes that draw the same in one term differ in the next.
    fn settle_election_timeout(&mut self) {
        let raft = &mut self.node.raft;
        let mix = self.config.seed
            ^ raft.id.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ raft.term.wrapping_mul(0xd1b5_4a32_d192_ed03)
            ^ (raft.state as u64) << 60;
        let spread = Prng::new(mix).below(self.config.election_ticks as u64);
        let ticks = self.config.election_ticks + usize::try_from(spread).unwrap_or(0);
        raft.set_randomized_election_timeout(ticks);
    }

    fn assert_idle(&self) {
        assert!(
            self.unfinished.ready.is_none(),
            "the last ready was not finished"
        );
    }
}

fn raft_config(config: &HostConfig, applied: u64) -> Config {
    Config {
        id: config.identity.node,
        election_tick: config.election_ticks,
        heartbeat_tick: config.heartbeat_ticks,
        applied,
        max_size_per_msg: limits::APPEND_BYTES_MAX as u64,
        max_inflight_msgs: limits::APPENDS_INFLIGHT_MAX,
        check_quorum: true,
        pre_vote: true,
        read_only_option: ReadOnlyOption::Safe,
        max_uncommitted_size: limits::UNCOMMITTED_BYTES_MAX as u64,
        max_committed_size_per_ready: limits::COMMITTED_BYTES_MAX as u64,
        ..Config::default()
    }
}

fn view_of(restored: &Restored) -> LogView {
    let snapshot = restored.snapshot.as_ref();
    let compacted = snapshot.map_or((0, 0), |snapshot| (snapshot.index, snapshot.term));
    let state = &restored.hard_state;
    let kept = restored
        .entries
        .iter()
        .filter(|entry| entry.index > compacted.0);
    LogView {
        term: state.term,
        vote: state.vote,
        commit: state.commit.max(compacted.0),
        voters: state.voters.clone(),
        compacted,
        entries: kept.cloned().collect(),
        snapshot: restored.snapshot.clone(),
    }
}

fn snapshot_write(snapshot: &Snapshot) -> Write {
    Write::Replace {
        name: snapshot_name(snapshot.index),
        bytes: snapshot.encode(),
    }
}

fn encode_all(messages: &[raft::eraftpb::Message]) -> Vec<Outgoing> {
    messages
        .iter()
        .filter_map(|message| {
            Some(Outgoing {
                to: message.to,
                bytes: message::encode(message)?,
            })
        })
        .collect()
}

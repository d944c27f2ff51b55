//! Taking messages of other voters.
//!
//! Owns: the checks between the codec and the `raft` crate.
//! Never: lets a message through that makes the crate stop the process, as far as that can be seen.
//! Invariants: only voters are listened to.
//! Source: reliability.md 1.12 (inconsistencies are fatal inside the crate).

use raft::SnapshotStatus;
use raft::eraftpb::{Message, MessageType};

use super::{RaftHost, StepError};
use crate::message;

impl RaftHost {
    /// Feeds a message of another voter.
    ///
    /// # Errors
    /// It is malformed, not meant for this node, or contradicts its log. Nothing has changed then.
    pub fn step(&mut self, bytes: &[u8]) -> Result<(), StepError> {
        self.assert_idle();
        let message = message::decode(bytes)?;
        self.check(&message)?;
        let outcome = self.node.step(message);
        self.settle_election_timeout();
        outcome.map_err(|error| StepError::Refused(error.to_string()))
    }

    /// A message to `to` could not be delivered; a snapshot in it is sent again.
    pub fn handle_undelivered(&mut self, to: u64) {
        self.assert_idle();
        self.node.report_unreachable(to);
        self.node.report_snapshot(to, SnapshotStatus::Failure);
        self.settle_election_timeout();
    }

    fn check(&self, message: &Message) -> Result<(), StepError> {
        let (from, to) = (message.from, message.to);
        let own = self.config.identity.node;
        let is_voter = self.hard_state.voters.contains(&from) && from != own;
        if !is_voter || to != own {
            return Err(StepError::Stranger { from, to });
        }
        if message.term < self.term() {
            // Old news; the crate answers or drops it without looking further.
            return Ok(());
        }
        self.check_log(message)
    }

    fn check_log(&self, message: &Message) -> Result<(), StepError> {
        let raft_log = &self.node.raft.raft_log;
        let last = raft_log.last_index();
        let snapshot = message.get_snapshot().get_metadata();
        let voters = snapshot.get_conf_state().get_voters();
        let rule = match message.get_msg_type() {
            MessageType::MsgHeartbeat if message.commit > last => "it commits beyond the log",
            MessageType::MsgAppendResponse if !message.reject && message.index > last => {
                "it acknowledges entries that were never sent"
            }
            MessageType::MsgSnapshot if voters != self.hard_state.voters => {
                "its snapshot has other voters"
            }
            MessageType::MsgAppend if self.is_leader() && message.term == self.term() => {
                "two leaders in one term"
            }
            _ => return Ok(()),
        };
        Err(StepError::Contradiction(rule))
    }
}

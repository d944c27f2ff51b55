//! What the control core says.
//!
//! Owns: order of deltas, outcome of proposals.
//! Never: answers a metadata change before it is applied here (the control core waits for all cores).
//! Invariants: `Applied` follows everything the delta caused in the store.
//! Source: architecture.md section 1, reliability.md 1.11.

use model::ids::MetaIndex;
use model::time::Now;

use super::stop::Phase;
use super::{Output, Shard};
use crate::ports::CoreMessage;

impl Shard {
    pub(super) fn handle_control(&mut self, now: Now, message: CoreMessage) {
        match message {
            CoreMessage::Delta {
                index,
                image,
                changes,
            } => {
                if self.phase == Phase::Running {
                    self.apply_changes(now, image, &changes);
                }
                self.report_applied(index);
            }
            CoreMessage::Proposed { id, result } => self.handle_proposed(now, id, result),
            CoreMessage::Shutdown => self.begin_stop(now),
        }
    }

    fn report_applied(&mut self, index: MetaIndex) {
        self.outputs.push_back(Output::Applied(index));
    }
}

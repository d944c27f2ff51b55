//! LeaveGroup.
//!
//! Owns: removal of members on request, one result per member.
//! Never: rebalances more than once per request.
//! Invariants: the results are in the order of the request.
//! Source: kafka.md 4.8 (LeaveGroup), KIP-345.

use api::error::GroupError;
use model::time::Now;

use super::effects::Effects;
use super::state::{Group, Phase};

impl Group {
    /// Removes members.
    ///
    /// # Errors
    /// The group is being deleted.
    pub(super) fn leave(
        &mut self,
        effects: &mut Effects,
        now: Now,
        members: &[(String, Option<String>)],
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        if self.phase == Phase::Dead {
            return Err(GroupError::NotAvailable);
        }
        let before = self.members.len();
        let leave = |(id, instance): &(String, Option<String>)| {
            self.leave_one(effects, id, instance.as_deref())
        };
        let results: Vec<_> = members.iter().map(leave).collect();
        if self.members.len() < before {
            self.after_removal(effects, now);
        } else {
            // A pending member may have been the last one that a rebalance waited for.
            self.try_complete_join(effects, now);
        }
        Ok(results)
    }

    fn leave_one(
        &mut self,
        effects: &mut Effects,
        id: &str,
        instance: Option<&str>,
    ) -> Result<(), GroupError> {
        let by_instance = instance
            .filter(|_| id.is_empty())
            .and_then(|name| self.statics.get(name));
        if let Some(member) = by_instance.cloned() {
            self.expel(effects, &member);
            return Ok(());
        }
        if self.pending.contains_key(id) && instance.is_none() {
            self.forget_pending(effects, id);
            return Ok(());
        }
        self.validate_member(id, instance)?;
        self.expel(effects, id);
        Ok(())
    }
}

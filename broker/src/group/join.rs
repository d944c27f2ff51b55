//! JoinGroup.
//!
//! Owns: who may join, member ids, pending members, static replacement, and when a join rebalances.
//! Never: completes a rebalance; `rebalance` does.
//! Invariants: an accepted join is either parked in its member or answered, never both.
//! Source: kafka.md 4.8 (JoinGroup), KIP-345, KIP-394, KIP-814.

use std::collections::BTreeSet;
use std::time::Duration;

use api::error::GroupError;
use api::group::{Join, JoinRefused, Joined};
use api::{Origin, Reply};
use bytes::Bytes;
use model::time::Now;

use super::config::{GroupConfig, NEW_MEMBER_TIMEOUT, PROTOCOLS_MAX, TEXT_BYTES_MAX};
use super::effects::{Effects, Write};
use super::state::{Group, Member, Phase, protocol_bytes, refuse_join};
use super::subscription::subscribed_topics;
use super::timers::Deadline;

/// Bytes of a client id or address that are kept, and of a member id before its random part.
const CLIENT_TEXT_BYTES_MAX: usize = 1_024;

/// Checks what needs no group, and shortens texts that are only shown.
///
/// # Errors
/// The error to answer.
pub(super) fn check_join(config: &GroupConfig, join: &mut Join) -> Result<(), GroupError> {
    let is_text = |text: &str| !text.is_empty() && text.len() <= TEXT_BYTES_MAX;
    if !is_text(&join.group) || join.instance.as_deref().is_some_and(|text| !is_text(text)) {
        return Err(GroupError::InvalidGroupId);
    }
    let timeouts = config.session_timeout_min_ms..=config.session_timeout_max_ms;
    if !timeouts.contains(&join.session_timeout_ms) {
        return Err(GroupError::InvalidSessionTimeout);
    }
    let has_names =
        is_text(&join.protocol_type) && join.protocols.iter().all(|(name, _)| is_text(name));
    if !has_names || join.protocols.is_empty() || join.protocols.len() > PROTOCOLS_MAX {
        return Err(GroupError::InconsistentProtocol);
    }
    if protocol_bytes(&join.protocols) > config.protocol_bytes_max {
        return Err(GroupError::Full);
    }
    let mut seen = BTreeSet::new();
    join.protocols.retain(|(name, _)| seen.insert(name.clone()));
    clip(&mut join.client_id);
    clip(&mut join.client_host);
    Ok(())
}

fn clip(text: &mut String) {
    if text.len() > CLIENT_TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(CLIENT_TEXT_BYTES_MAX));
    }
}

impl Group {
    /// Carries out a join that passed [`check_join`].
    pub(super) fn join(&mut self, effects: &mut Effects, now: Now, origin: Origin, join: Join) {
        let member = join.member.clone();
        let outcome = if self.phase == Phase::Dead {
            Err(GroupError::NotAvailable)
        } else if member.is_empty() {
            self.join_unknown(effects, now, origin, join)
        } else if self.pending.contains_key(&member) {
            self.join_pending(effects, now, origin, join)
        } else {
            self.join_known(effects, now, origin, join)
        };
        if let Err(error) = outcome {
            refuse_join(effects, origin, error, &member);
        }
    }

    fn join_unknown(
        &mut self,
        effects: &mut Effects,
        now: Now,
        origin: Origin,
        join: Join,
    ) -> Result<(), GroupError> {
        let replaced = join
            .instance
            .as_ref()
            .and_then(|instance| self.statics.get(instance))
            .cloned();
        if replaced.is_none()
            && self.members.len() + self.pending.len() >= effects.config.members_max
        {
            return Err(GroupError::Full);
        }
        self.check_protocols(effects, &join, replaced.as_deref())?;
        let id = self.fresh_id(effects, &join);
        match replaced {
            Some(old) => self.replace_static(effects, now, Rejoin { origin, old, id }, join),
            None if join.requires_known_member && join.instance.is_none() => {
                self.expect(effects, now, id.clone(), join.session_timeout_ms);
                let refused = JoinRefused {
                    error: GroupError::MemberIdRequired,
                    member: id,
                };
                effects.reply(origin, Reply::Joined(Err(refused)));
            }
            None => self.admit(effects, now, Admission { origin, id }, join),
        }
        Ok(())
    }

    fn join_pending(
        &mut self,
        effects: &mut Effects,
        now: Now,
        origin: Origin,
        join: Join,
    ) -> Result<(), GroupError> {
        if join.instance.is_some() {
            return Err(GroupError::UnknownMember);
        }
        self.check_protocols(effects, &join, None)?;
        let id = join.member.clone();
        self.forget_pending(effects, &id);
        self.admit(effects, now, Admission { origin, id }, join);
        Ok(())
    }

    fn join_known(
        &mut self,
        effects: &mut Effects,
        now: Now,
        origin: Origin,
        join: Join,
    ) -> Result<(), GroupError> {
        let id = join.member.clone();
        self.validate_member(&id, join.instance.as_deref())?;
        self.check_protocols(effects, &join, Some(&id))?;
        let is_leader = self.leader.as_ref() == Some(&id);
        let is_same = self
            .members
            .get(&id)
            .is_some_and(|member| member.protocols == join.protocols);
        match self.phase {
            Phase::PreparingRebalance => {
                self.update(&id, join);
                self.park_join(effects, &id, origin);
                self.try_complete_join(effects, now);
            }
            Phase::CompletingRebalance if is_same => {
                self.supersede(effects, &id, GroupError::RebalanceInProgress);
                self.pending_sync.insert(id.clone());
                self.answer_present(effects, now, origin, &id);
            }
            Phase::Stable if is_same && !is_leader => {
                self.supersede(effects, &id, GroupError::RebalanceInProgress);
                self.answer_present(effects, now, origin, &id);
            }
            Phase::CompletingRebalance | Phase::Stable => {
                self.update(&id, join);
                self.park_join(effects, &id, origin);
                self.prepare_rebalance(effects, now);
            }
            Phase::Empty | Phase::Dead => return Err(GroupError::UnknownMember),
        }
        Ok(())
    }

    /// At least one of the protocols is offered by every other member, and there is room for the bytes.
    fn check_protocols(
        &self,
        effects: &Effects,
        join: &Join,
        own: Option<&str>,
    ) -> Result<(), GroupError> {
        let own_member = own.and_then(|id| self.members.get(id));
        let given_up = own_member.map_or(0, |member| member.weight);
        let held = effects.held.saturating_sub(given_up);
        if held + protocol_bytes(&join.protocols) > effects.config.held_bytes_max {
            return Err(GroupError::Full);
        }
        let others = self.members.len() - usize::from(own_member.is_some());
        if others == 0 {
            return Ok(());
        }
        let is_common = |name: &str| {
            let all = self.supported.get(name).copied().unwrap_or(0);
            let mine = own_member.is_some_and(|own| own.protocols.iter().any(|(n, _)| n == name));
            all - usize::from(mine) == others
        };
        let has_common = join.protocols.iter().any(|(name, _)| is_common(name));
        if self.protocol_type != join.protocol_type || !has_common {
            return Err(GroupError::InconsistentProtocol);
        }
        let bytes = self.metadata_bytes_without(own) + protocol_bytes(&join.protocols);
        if bytes > effects.config.group_bytes_max {
            Err(GroupError::Full)
        } else {
            Ok(())
        }
    }

    fn fresh_id(&self, effects: &mut Effects, join: &Join) -> String {
        let mut prefix = join
            .instance
            .clone()
            .unwrap_or_else(|| join.client_id.clone());
        clip(&mut prefix);
        loop {
            let id = effects.member_id(&prefix);
            if !self.members.contains_key(&id) && !self.pending.contains_key(&id) {
                return id;
            }
        }
    }

    /// Keeps a given-out id until its session ends.
    fn expect(&mut self, effects: &mut Effects, now: Now, id: String, session_timeout_ms: u32) {
        let due = now
            .instant
            .after(Duration::from_millis(u64::from(session_timeout_ms)));
        let key = self.session_key(&id);
        let mut deadline = Deadline::default();
        effects.timers.set(&mut deadline, due, || key);
        self.pending.insert(id, deadline);
    }

    /// Drops a given-out id.
    pub(super) fn forget_pending(&mut self, effects: &mut Effects, id: &str) {
        let key = self.session_key(id);
        if let Some(mut deadline) = self.pending.remove(id) {
            effects.timers.disarm(&mut deadline, key);
        }
    }

    fn admit(&mut self, effects: &mut Effects, now: Now, admission: Admission, join: Join) {
        let Admission { origin, id } = admission;
        if self.members.is_empty() {
            self.protocol_type.clone_from(&join.protocol_type);
        }
        self.insert(id.clone(), Member::new(join));
        self.park_join(effects, &id, origin);
        let key = self.session_key(&id);
        if let Some(member) = self.members.get_mut(&id) {
            effects.timers.set(
                &mut member.session,
                now.instant.after(NEW_MEMBER_TIMEOUT),
                || key,
            );
        }
        match self.phase {
            Phase::PreparingRebalance => {
                if let Some(initial) = &mut self.initial {
                    initial.has_grown = true;
                }
                self.try_complete_join(effects, now);
            }
            Phase::Empty | Phase::CompletingRebalance | Phase::Stable => {
                self.prepare_rebalance(effects, now);
            }
            Phase::Dead => {}
        }
    }

    /// Parks a join; an older request of the same member is answered first.
    pub(super) fn park_join(&mut self, effects: &mut Effects, id: &str, origin: Origin) {
        self.supersede(effects, id, GroupError::RebalanceInProgress);
        if let Some(member) = self.members.get_mut(id) {
            member.join = Some(origin);
            member.session.clear();
        }
    }

    /// Answers what a member has parked with an error.
    pub(super) fn supersede(&mut self, effects: &mut Effects, id: &str, error: GroupError) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        answer_parked(effects, member, id, error);
    }

    /// Answers a join with the present generation: the first answer was lost.
    fn answer_present(&mut self, effects: &mut Effects, now: Now, origin: Origin, id: &str) {
        self.refresh(effects, now.instant, id);
        effects.reply(origin, Reply::Joined(Ok(self.joined(id))));
    }

    /// A static member came back without its id: the old id is fenced.
    fn replace_static(&mut self, effects: &mut Effects, now: Now, rejoin: Rejoin, join: Join) {
        let Rejoin { origin, old, id } = rejoin;
        let leader = self.leader.clone().unwrap_or_default();
        let Some(mut member) = self.remove(effects, &old) else {
            return;
        };
        answer_parked(effects, &mut member, &old, GroupError::FencedInstance);
        let is_same = self.protocol_type == join.protocol_type
            && has_same_topics(&member, &join, &self.protocol);
        let can_skip = join.can_skip_assignment;

        member.is_new = false;
        if leader == old {
            self.leader = Some(id.clone());
        }
        self.insert(id.clone(), member);
        self.update(&id, join);
        self.park_join(effects, &id, origin);
        match self.phase {
            // Before v9 the old leader id goes out, so that nobody computes an assignment.
            Phase::Stable if is_same && self.select_protocol().as_ref() == Some(&self.protocol) => {
                let joined = if can_skip {
                    self.skipping_answer(&id)
                } else {
                    Joined {
                        leader,
                        members: Vec::new(),
                        ..self.joined(&id)
                    }
                };
                let record = self.record(None);
                let then = Write::Replacement {
                    group: self.name.clone(),
                    origin,
                    member: id,
                    joined: Box::new(joined),
                };
                self.has_records = true;
                effects.persist(self.partition, vec![record], then);
            }
            Phase::Stable | Phase::CompletingRebalance => self.prepare_rebalance(effects, now),
            Phase::PreparingRebalance => self.try_complete_join(effects, now),
            Phase::Empty | Phase::Dead => {}
        }
    }

    /// From v9 a replaced leader is told that the present assignment stands.
    fn skipping_answer(&self, id: &str) -> Joined {
        Joined {
            skip_assignment: self.leader.as_deref() == Some(id),
            ..self.joined(id)
        }
    }

    /// A replaced static member's record was written, or not.
    pub(super) fn replacement_written(
        &mut self,
        effects: &mut Effects,
        now: Now,
        origin: Origin,
        outcome: Result<Box<Joined>, String>,
    ) {
        let id = match &outcome {
            Ok(joined) => joined.member.clone(),
            Err(member) => member.clone(),
        };
        let is_stable = self.phase == Phase::Stable;
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        // In a rebalance that began meanwhile the parked join simply takes part.
        if member.join != Some(origin) || !is_stable {
            return;
        }
        member.join = None;
        match outcome {
            Ok(joined) => effects.reply(origin, Reply::Joined(Ok(*joined))),
            Err(_) => refuse_join(effects, origin, GroupError::NotAvailable, ""),
        }
        self.refresh(effects, now.instant, &id);
    }
}

/// A join that becomes a member.
struct Admission {
    origin: Origin,
    id: String,
}

/// A join that takes a static member's place.
struct Rejoin {
    origin: Origin,
    old: String,
    id: String,
}

/// Answers a member's parked requests with an error.
pub(super) fn answer_parked(
    effects: &mut Effects,
    member: &mut Member,
    id: &str,
    error: GroupError,
) {
    if let Some(origin) = member.join.take() {
        refuse_join(effects, origin, error, id);
    }
    if let Some(origin) = member.sync.take() {
        effects.reply(origin, Reply::Synced(Err(error)));
    }
}

/// Whether a static member wants what its predecessor wanted. For consumers that is the topics: user data
/// changes with every assignor run and must not cost a rebalance.
fn has_same_topics(member: &Member, join: &Join, protocol: &str) -> bool {
    let old = member.metadata(protocol);
    let new = join.protocols.iter().find(|(name, _)| name == protocol);
    let new = new.map_or_else(Bytes::new, |(_, metadata)| metadata.clone());
    match (subscribed_topics(&old), subscribed_topics(&new)) {
        (Some(old), Some(new)) => old == new,
        (None, _) | (_, None) => true,
    }
}

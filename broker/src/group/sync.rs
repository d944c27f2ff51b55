//! SyncGroup and Heartbeat.
//!
//! Owns: parking of followers, the leader's assignment and its record.
//! Never: interprets an assignment.
//! Invariants: an assignment is shown to nobody before its record is durable.
//! Source: kafka.md 4.8 (SyncGroup, Heartbeat).

use std::collections::BTreeMap;

use api::error::GroupError;
use api::group::{MemberKey, Sync, Synced};
use api::{Origin, Reply};
use bytes::Bytes;
use model::ids::Generation;
use model::time::Now;

use super::effects::{Effects, Write};
use super::state::{Group, Phase};

impl Group {
    /// Carries out a sync: parks it, or answers at once.
    pub(super) fn sync(&mut self, effects: &mut Effects, now: Now, origin: Origin, sync: Sync) {
        if let Err(error) = self.check_sync(&sync) {
            effects.reply(origin, Reply::Synced(Err(error)));
            return;
        }
        let id = sync.key.member;
        match self.phase {
            Phase::CompletingRebalance => {
                self.supersede(effects, &id, GroupError::RebalanceInProgress);
                self.pending_sync.remove(&id);
                if let Some(member) = self.members.get_mut(&id) {
                    member.sync = Some(origin);
                    member.session.clear();
                }
                if self.leader.as_ref() == Some(&id) {
                    self.assign(effects, now, sync.assignments);
                }
            }
            Phase::Stable => {
                self.pending_sync.remove(&id);
                self.refresh(effects, now.instant, &id);
                let synced = self.synced(&id);
                effects.reply(origin, Reply::Synced(Ok(synced)));
            }
            Phase::PreparingRebalance | Phase::Empty | Phase::Dead => {}
        }
    }

    fn check_sync(&self, sync: &Sync) -> Result<(), GroupError> {
        if self.phase == Phase::Dead {
            return Err(GroupError::NotAvailable);
        }
        self.validate_member(&sync.key.member, sync.key.instance.as_deref())?;
        if sync.key.generation != Some(self.generation) {
            return Err(GroupError::IllegalGeneration);
        }
        let differs = |asked: &Option<String>, ours: &String| {
            asked.as_ref().is_some_and(|asked| asked != ours)
        };
        if differs(&sync.protocol_type, &self.protocol_type)
            || differs(&sync.protocol, &self.protocol)
        {
            return Err(GroupError::InconsistentProtocol);
        }
        match self.phase {
            Phase::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            Phase::CompletingRebalance | Phase::Stable => Ok(()),
            Phase::Empty | Phase::Dead => Err(GroupError::UnknownMember),
        }
    }

    fn synced(&self, id: &str) -> Synced {
        let assignment = self.members.get(id).map(|member| member.assignment.clone());
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: assignment.unwrap_or_default(),
        }
    }

    /// Writes the leader's assignment; members it left out get none, ids it made up are ignored.
    fn assign(&mut self, effects: &mut Effects, now: Now, assignments: Vec<(String, Bytes)>) {
        if self.is_assigning {
            return;
        }
        let mut chosen = BTreeMap::new();
        for (id, assignment) in assignments {
            if self.members.contains_key(&id) {
                chosen.insert(id, assignment);
            }
        }
        let bytes = chosen.values().map(Bytes::len).sum::<usize>();
        let config = &effects.config;
        if bytes > config.group_bytes_max || effects.held + bytes > config.held_bytes_max {
            self.assignment_failed(effects, now, GroupError::Storage);
            return;
        }
        self.is_assigning = true;
        self.has_records = true;
        let record = self.record(Some(&chosen));
        let then = Write::Assignment {
            group: self.name.clone(),
            generation: self.generation,
            assignments: chosen,
        };
        effects.persist(self.partition, vec![record], then);
    }

    /// The assignment is durable: everyone who waits gets its part.
    pub(super) fn assignment_written(
        &mut self,
        effects: &mut Effects,
        now: Now,
        generation: Generation,
        mut assignments: BTreeMap<String, Bytes>,
    ) {
        if !self.is_awaiting(generation) {
            return;
        }
        self.is_assigning = false;
        self.enter(Phase::Stable, now.wall);
        for (id, member) in &mut self.members {
            member.assignment = assignments.remove(id).unwrap_or_default();
        }
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            self.reweigh(&id);
            let synced = self.synced(&id);
            let Some(origin) = self
                .members
                .get_mut(&id)
                .and_then(|member| member.sync.take())
            else {
                continue;
            };
            self.refresh(effects, now.instant, &id);
            effects.reply(origin, Reply::Synced(Ok(synced)));
        }
    }

    /// The assignment could not be written: nobody gets it, everyone joins again.
    pub(super) fn assignment_refused(
        &mut self,
        effects: &mut Effects,
        now: Now,
        generation: Generation,
    ) {
        if self.is_awaiting(generation) {
            self.assignment_failed(effects, now, GroupError::NotAvailable);
        }
    }

    fn assignment_failed(&mut self, effects: &mut Effects, now: Now, error: GroupError) {
        self.refuse_syncs(effects, now, error);
        self.prepare_rebalance(effects, now);
    }

    fn is_awaiting(&self, generation: Generation) -> bool {
        self.phase == Phase::CompletingRebalance
            && self.is_assigning
            && self.generation == generation
    }

    /// Carries out a heartbeat.
    ///
    /// # Errors
    /// What the member must know: rebalance, wrong generation, unknown or fenced member.
    pub(super) fn heartbeat(
        &mut self,
        effects: &mut Effects,
        now: Now,
        key: &MemberKey,
    ) -> Result<(), GroupError> {
        if self.phase == Phase::Dead {
            return Err(GroupError::NotAvailable);
        }
        self.validate_member(&key.member, key.instance.as_deref())?;
        if key.generation != Some(self.generation) {
            return Err(GroupError::IllegalGeneration);
        }
        self.refresh(effects, now.instant, &key.member);
        match self.phase {
            Phase::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            Phase::CompletingRebalance | Phase::Stable => Ok(()),
            Phase::Empty | Phase::Dead => Err(GroupError::UnknownMember),
        }
    }
}

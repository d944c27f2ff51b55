//! The join phase: when it begins, how long it lasts, who is dropped.
//!
//! Owns: the moves Stable/CompletingRebalance/Empty -> PreparingRebalance -> CompletingRebalance/Empty,
//! session ends and removals.
//! Never: reads a request.
//! Invariants: a generation begins only when every member in it has joined or is static; dynamic members that
//! did not rejoin before the rebalance timeout are gone.
//! Source: kafka.md 4.8 (JoinGroup, session refresh), KIP-134 (initial delay).

use std::time::Duration;

use api::Reply;
use api::error::GroupError;
use model::ids::Generation;
use model::time::{Instant, Now};

use super::effects::{Effects, Write};
use super::join::answer_parked;
use super::state::{Group, InitialDelay, Member, Phase};
use super::timers::TimerKey;

/// Shortest wait for static members whose sessions still run; keeps a zero timeout from spinning.
const POSTPONE_MIN: Duration = Duration::from_secs(1);

impl Group {
    /// Begins a join phase. Called in `Empty`, `CompletingRebalance` and `Stable`.
    pub(super) fn prepare_rebalance(&mut self, effects: &mut Effects, now: Now) {
        let was_empty = self.phase == Phase::Empty;
        self.refuse_syncs(effects, now, GroupError::RebalanceInProgress);
        self.pending_sync.clear();
        self.sync_phase.clear();
        self.is_assigning = false;
        self.enter(Phase::PreparingRebalance, now.wall);
        if was_empty {
            self.begin_initial_delay(effects, now);
        } else {
            self.set_rebalance_timer(effects, now.instant, self.rebalance_timeout());
            self.try_complete_join(effects, now);
        }
    }

    fn begin_initial_delay(&mut self, effects: &mut Effects, now: Now) {
        let timeout = self.rebalance_timeout();
        let delay = effects.config.initial_rebalance_delay.min(timeout);
        if delay.is_zero() {
            self.complete_join(effects, now);
            return;
        }
        self.initial = Some(InitialDelay {
            remaining: timeout - delay,
            has_grown: false,
        });
        self.set_rebalance_timer(effects, now.instant, delay);
    }

    fn set_rebalance_timer(&mut self, effects: &mut Effects, now: Instant, wait: Duration) {
        let group = &self.name;
        effects
            .timers
            .set(&mut self.rebalance, now.after(wait), || {
                TimerKey::Rebalance {
                    group: group.clone(),
                }
            });
    }

    fn set_sync_timer(&mut self, effects: &mut Effects, now: Instant) {
        let due = now.after(self.rebalance_timeout());
        let group = &self.name;
        effects
            .timers
            .set(&mut self.sync_phase, due, || TimerKey::PendingSync {
                group: group.clone(),
            });
    }

    /// Ends the join phase if everyone expected is there and no initial delay runs.
    pub(super) fn try_complete_join(&mut self, effects: &mut Effects, now: Now) {
        let is_complete = self.phase == Phase::PreparingRebalance
            && self.initial.is_none()
            && self.pending.is_empty()
            && self.members.values().all(|member| member.join.is_some());
        if is_complete {
            self.complete_join(effects, now);
        }
    }

    /// Ends the join phase with whoever is there.
    fn complete_join(&mut self, effects: &mut Effects, now: Now) {
        self.initial = None;
        self.rebalance.clear();
        self.drop_laggards(effects);
        if self.members.is_empty() {
            self.become_empty(effects, now);
        } else if self.elect_leader() {
            self.begin_generation(effects, now);
        } else {
            // Only static members that have not come back: their sessions decide.
            let wait = self.rebalance_timeout().max(POSTPONE_MIN);
            self.set_rebalance_timer(effects, now.instant, wait);
        }
    }

    /// Removes dynamic members that did not rejoin.
    fn drop_laggards(&mut self, effects: &mut Effects) {
        let is_laggard = |member: &Member| member.join.is_none() && member.instance.is_none();
        let laggards: Vec<String> = self
            .members
            .iter()
            .filter(|(_, member)| is_laggard(member))
            .map(|(id, _)| id.clone())
            .collect();
        for id in laggards {
            self.expel(effects, &id);
        }
    }

    /// Makes sure that the leader has joined; false if nobody has.
    fn elect_leader(&mut self) -> bool {
        let has_joined = |id: &String| {
            self.members
                .get(id)
                .is_some_and(|member| member.join.is_some())
        };
        if self.leader.as_ref().is_some_and(has_joined) {
            return true;
        }
        let mut joined = self
            .members
            .iter()
            .filter(|(_, member)| member.join.is_some());
        let Some((id, _)) = joined.next() else {
            return false;
        };
        self.leader = Some(id.clone());
        true
    }

    fn next_generation(&mut self) {
        let next = self
            .generation
            .get()
            .checked_add(1)
            .filter(|next| i32::try_from(*next).is_ok());
        self.generation = Generation::new(next.unwrap_or(1));
    }

    fn become_empty(&mut self, effects: &mut Effects, now: Now) {
        self.next_generation();
        self.leader = None;
        self.protocol.clear();
        self.enter(Phase::Empty, now.wall);
        self.has_records = true;
        let record = self.record(None);
        effects.persist(self.partition, vec![record], Write::Emptied);
        assert!(
            self.statics.is_empty() && self.supported.is_empty(),
            "indexes mirror the members"
        );
    }

    fn begin_generation(&mut self, effects: &mut Effects, now: Now) {
        self.next_generation();
        // Every admission checked that a common protocol remains.
        self.protocol = self.select_protocol().unwrap_or_default();
        self.enter(Phase::CompletingRebalance, now.wall);
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            self.answer_join(effects, now, &id);
        }
        self.set_sync_timer(effects, now.instant);
    }

    fn answer_join(&mut self, effects: &mut Effects, now: Now, id: &str) {
        let joined = self.joined(id);
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        let Some(origin) = member.join.take() else {
            return;
        };
        member.is_new = false;
        self.pending_sync.insert(id.to_owned());
        self.refresh(effects, now.instant, id);
        effects.reply(origin, Reply::Joined(Ok(joined)));
    }

    /// Answers every parked sync with an error.
    pub(super) fn refuse_syncs(&mut self, effects: &mut Effects, now: Now, error: GroupError) {
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let Some(member) = self.members.get_mut(&id) else {
                continue;
            };
            let Some(origin) = member.sync.take() else {
                continue;
            };
            effects.reply(origin, Reply::Synced(Err(error)));
            self.refresh(effects, now.instant, &id);
        }
    }

    /// Removes a member and answers what it has parked. The caller calls `after_removal`.
    pub(super) fn expel(&mut self, effects: &mut Effects, id: &str) {
        if let Some(mut member) = self.remove(effects, id) {
            answer_parked(effects, &mut member, id, GroupError::UnknownMember);
        }
    }

    /// Rebalances, or completes the rebalance that waited for whoever was removed.
    pub(super) fn after_removal(&mut self, effects: &mut Effects, now: Now) {
        match self.phase {
            Phase::Stable | Phase::CompletingRebalance => self.prepare_rebalance(effects, now),
            Phase::PreparingRebalance => self.try_complete_join(effects, now),
            Phase::Empty | Phase::Dead => {}
        }
    }

    /// A session's wake-up.
    pub(super) fn session_due(
        &mut self,
        effects: &mut Effects,
        now: Now,
        wake_up: (Instant, TimerKey),
        id: &str,
    ) {
        if let Some(deadline) = self.pending.get_mut(id) {
            if effects.timers.has_passed(deadline, wake_up, now.instant) {
                self.pending.remove(id);
                self.try_complete_join(effects, now);
            }
        } else if let Some(member) = self.members.get_mut(id)
            && effects
                .timers
                .has_passed(&mut member.session, wake_up, now.instant)
        {
            self.expel(effects, id);
            self.after_removal(effects, now);
        }
    }

    /// The join phase's wake-up.
    pub(super) fn rebalance_due(
        &mut self,
        effects: &mut Effects,
        now: Now,
        wake_up: (Instant, TimerKey),
    ) {
        if !effects
            .timers
            .has_passed(&mut self.rebalance, wake_up, now.instant)
            || self.phase != Phase::PreparingRebalance
        {
            return;
        }
        match self.initial {
            Some(initial) if initial.has_grown && !initial.remaining.is_zero() => {
                let delay = effects
                    .config
                    .initial_rebalance_delay
                    .min(initial.remaining);
                let remaining = initial.remaining - delay;
                self.initial = Some(InitialDelay {
                    remaining,
                    has_grown: false,
                });
                self.set_rebalance_timer(effects, now.instant, delay);
            }
            Some(_) | None => self.complete_join(effects, now),
        }
    }

    /// The sync phase's wake-up: whoever did not sync is gone.
    pub(super) fn sync_phase_due(
        &mut self,
        effects: &mut Effects,
        now: Now,
        wake_up: (Instant, TimerKey),
    ) {
        let has_passed = effects
            .timers
            .has_passed(&mut self.sync_phase, wake_up, now.instant);
        let is_waiting = matches!(self.phase, Phase::CompletingRebalance | Phase::Stable);
        if !has_passed || !is_waiting || self.pending_sync.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.pending_sync) {
            self.expel(effects, &id);
        }
        self.after_removal(effects, now);
    }
}

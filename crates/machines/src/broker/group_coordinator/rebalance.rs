//! Rebalances of a classic group: preparing, waiting for members, completing.
//!
//! Mirrors `GroupCoordinator.prepareRebalance`, `onCompleteJoin`, `DelayedJoin` and
//! `InitialDelayedJoin`; `GroupMetadataManager.prepareRebalance`, `completeClassicGroupJoin` and
//! `tryCompleteInitialRebalanceElseSchedule`. What the rule `EventLoopGroupCoordinator` changes is
//! said where it does.

use super::Operation;
use super::classic_group::JoinDeadline;
use super::deadlines::Deadline;
use super::write::{AfterStore, GroupStore};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{MemberId, NodeId};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::{GroupState, RebalanceReason, RemovalReason, TraceEvent};
use std::sync::Arc;

/// What comes after an initial delay in which somebody has joined: the next delay, and what is left
/// of the rebalance timeout after it. `None` if none is left.
pub(super) fn extended_delay(
    configured: SimDuration,
    delay: SimDuration,
    remaining: SimDuration,
) -> Option<(SimDuration, SimDuration)> {
    (remaining > SimDuration::ZERO)
        .then(|| (configured.min(remaining), remaining.saturating_sub(delay)))
}

impl Operation<'_, '_> {
    /// Begins a rebalance if the group is not in one; else looks whether the one under way is
    /// complete (`maybePrepareRebalanceOrCompleteJoin`).
    pub(super) fn maybe_prepare_rebalance(
        &mut self,
        reason: RebalanceReason,
        member: Option<MemberId>,
    ) -> Option<GroupStore> {
        if self.group.can_rebalance() {
            self.prepare_rebalance(reason, member)
        } else {
            self.maybe_complete_join()
        }
    }

    /// Begins a rebalance. Whoever waits for an assignment has to join again.
    pub(super) fn prepare_rebalance(
        &mut self,
        reason: RebalanceReason,
        member: Option<MemberId>,
    ) -> Option<GroupStore> {
        let (group, generation) = (self.group.id, self.group.generation);
        self.cx.trace(|| TraceEvent::RebalanceStarted { group, generation, reason, member });
        if self.group.state == GroupState::CompletingRebalance {
            self.reset_assignment(ErrorCode::RebalanceInProgress);
        }
        self.group.pending_sync.clear();
        self.deadlines.cancel(Deadline::Sync(group));
        let is_initial = self.group.state == GroupState::Empty;
        self.group.transition_to(self.cx, GroupState::PreparingRebalance);
        if is_initial {
            let delay = self.config.initial_rebalance_delay;
            let remaining = self.group.rebalance_timeout().saturating_sub(delay);
            self.set_join_deadline(JoinDeadline::Initial { delay, remaining }, delay);
            None
        } else if self.group.has_all_members_joined() {
            self.complete_join()
        } else {
            self.wait_for_members();
            None
        }
    }

    fn wait_for_members(&mut self) {
        let timeout = self.group.rebalance_timeout();
        self.set_join_deadline(JoinDeadline::Regular, timeout);
    }

    fn set_join_deadline(&mut self, kind: JoinDeadline, after: SimDuration) {
        self.group.join_deadline = Some(kind);
        let at = self.cx.now() + after;
        self.deadlines.set(self.cx, Deadline::Join(self.group.id), at);
    }

    /// Completes the rebalance if everybody has joined, unless members of a group that was empty
    /// are being given time (`maybeCompleteJoinPhase`, `tryCompleteJoin`).
    pub(super) fn maybe_complete_join(&mut self) -> Option<GroupStore> {
        let is_initial = if self.has(ProtocolRule::EventLoopGroupCoordinator) {
            self.group.previous_state == GroupState::Empty
        } else {
            matches!(self.group.join_deadline, Some(JoinDeadline::Initial { .. }))
        };
        let is_complete = self.group.state == GroupState::PreparingRebalance
            && !is_initial
            && self.group.has_all_members_joined();
        if is_complete { self.complete_join() } else { None }
    }

    /// A member that was awaited is gone. The event-loop coordinator does not keep to the initial
    /// delay then.
    pub(super) fn complete_join_without_member(&mut self) -> Option<GroupStore> {
        let is_complete = self.group.state == GroupState::PreparingRebalance
            && self.group.has_all_members_joined();
        if self.has(ProtocolRule::EventLoopGroupCoordinator) && is_complete {
            self.complete_join()
        } else {
            self.maybe_complete_join()
        }
    }

    /// The rebalance has waited long enough; in an initial delay, it may wait on.
    pub(super) fn on_join_deadline(&mut self) -> Option<GroupStore> {
        if let Some(JoinDeadline::Initial { delay, remaining }) = self.group.join_deadline {
            let configured = self.config.initial_rebalance_delay;
            let extended = extended_delay(configured, delay, remaining);
            if let Some((delay, remaining)) = extended.filter(|_| self.group.new_member_added) {
                self.group.new_member_added = false;
                self.set_join_deadline(JoinDeadline::Initial { delay, remaining }, delay);
                return None;
            }
        }
        self.complete_join()
    }

    /// Completes the rebalance with those who have joined, and the static members.
    fn complete_join(&mut self) -> Option<GroupStore> {
        self.deadlines.cancel(Deadline::Join(self.group.id));
        self.group.join_deadline = None;
        self.remove_members_that_have_not_joined();
        if self.group.state == GroupState::Dead {
            return None;
        }
        if !self.group.maybe_elect_joined_leader() && !self.group.members.is_empty() {
            // Only static members are left, and none has joined: their sessions may end.
            self.wait_for_members();
            return None;
        }
        self.begin_generation();
        if self.group.members.is_empty() {
            let record = self.group.record(&Vec::new());
            return Some(GroupStore { record, then: AfterStore::Nothing });
        }
        self.answer_joins();
        let timeout = self.group.rebalance_timeout();
        let at = self.cx.now() + timeout;
        self.deadlines.set(self.cx, Deadline::Sync(self.group.id), at);
        None
    }

    fn remove_members_that_have_not_joined(&mut self) {
        let members = self.group.members.iter();
        let missing: Vec<MemberId> = members
            .filter(|(_, member)| member.awaiting_join.is_none() && member.instance.is_none())
            .map(|(&id, _)| id)
            .collect();
        for id in missing {
            self.forget_member(id, RemovalReason::RebalanceTimeout);
        }
    }

    /// Removes a member and its deadline.
    pub(super) fn forget_member(&mut self, id: MemberId, reason: RemovalReason) {
        self.group.remove(self.cx, id, reason);
        self.deadlines.cancel(Deadline::Session(self.group.id, id));
    }

    fn begin_generation(&mut self) {
        self.group.generation = self.group.generation.next();
        let protocol = self.group.select_protocol();
        self.group.protocol = protocol;
        let (group, generation) = (self.group.id, self.group.generation);
        let leader = self.group.leader;
        let members = self.group.members.iter().map(|(&id, member)| (id, member.node));
        let members: Arc<[(MemberId, NodeId)]> = members.collect();
        self.cx.trace(|| TraceEvent::GenerationStarted {
            group,
            generation,
            protocol,
            leader,
            members,
        });
        let state = match self.group.members.is_empty() {
            true => GroupState::Empty,
            false => GroupState::CompletingRebalance,
        };
        self.group.transition_to(self.cx, state);
        self.group.pending_sync.clear();
    }

    /// Tells everybody the generation; each has to ask for its assignment.
    fn answer_joins(&mut self) {
        let ids: Vec<MemberId> = self.group.members.keys().copied().collect();
        for id in ids {
            let response = self.group.join_response(id);
            let Some(member) = self.group.members.get_mut(&id) else { continue };
            member.answer_join(self.cx, response);
            member.is_new = false;
            let timeout = member.session_timeout;
            self.set_session_deadline(id, timeout);
            self.group.pending_sync.insert(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(delay: u64, remaining: u64, expected: Option<(u64, u64)>) {
        let ms = SimDuration::from_millis;
        let extended = extended_delay(ms(3_000), ms(delay), ms(remaining));
        assert_eq!(extended, expected.map(|(delay, remaining)| (ms(delay), ms(remaining))));
    }

    #[test]
    fn an_initial_delay_is_extended_up_to_the_rebalance_timeout() {
        check(3_000, 0, None);
        check(3_000, 7_000, Some((3_000, 4_000)));
        check(3_000, 4_000, Some((3_000, 1_000)));
        check(3_000, 1_000, Some((1_000, 0)));
        check(0, 500, Some((500, 500)));
    }
}

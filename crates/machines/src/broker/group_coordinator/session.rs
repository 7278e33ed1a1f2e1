//! Sessions of members: who has not been heard of is removed.
//!
//! Mirrors `DelayedHeartbeat`, `GroupCoordinator.onExpireHeartbeat` and
//! `completeAndScheduleNextHeartbeatExpiration`;
//! `GroupMetadataManager.expireClassicGroupMemberHeartbeat`. A member whose JoinGroup or SyncGroup
//! is being worked on is not removed, and is not looked at again until that is answered.

use super::Operation;
use super::classic_group::join_error;
use super::deadlines::Deadline;
use super::write::GroupStore;
use acklab_vocab::api::LeaveReason;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::MemberId;
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::{GroupState, RebalanceReason, RemovalReason};

impl Operation<'_, '_> {
    /// The member has to be heard of within `timeout` from now.
    pub(super) fn set_session_deadline(&mut self, member: MemberId, timeout: SimDuration) {
        let at = self.cx.now() + timeout;
        self.deadlines.set(self.cx, Deadline::Session(self.group.id, member), at);
    }

    /// The member has been heard of.
    pub(super) fn restart_session(&mut self, member: MemberId) {
        let timeout = self.group.members.get(&member).map(|member| member.session_timeout);
        if let Some(timeout) = timeout {
            self.set_session_deadline(member, timeout);
        }
    }

    /// Nothing was heard of a member, or of a pending one, for too long.
    pub(super) fn expire_session(&mut self, member: MemberId) -> Option<GroupStore> {
        if self.group.pending_join.contains_key(&member) {
            self.group.remove(self.cx, member, RemovalReason::PendingExpired);
            return self.complete_join_without_member();
        }
        let known = self.group.members.get(&member)?;
        if known.has_satisfied_heartbeat() {
            return None;
        }
        self.remove_member_then_rebalance(member, RemovalReason::SessionExpired)
    }

    /// Removes a member, and has the others rebalance (`removeMemberAndUpdateGroup`).
    pub(super) fn remove_member_then_rebalance(
        &mut self,
        id: MemberId,
        reason: RemovalReason,
    ) -> Option<GroupStore> {
        if let Some(member) = self.group.members.get_mut(&id) {
            // A new member whose JoinGroup still waits may try again.
            member.answer_join(self.cx, join_error(None, ErrorCode::UnknownMemberId));
        }
        self.forget_member(id, reason);
        let reason = match reason {
            RemovalReason::Left(how) => RebalanceReason::MemberLeft(how),
            RemovalReason::SessionExpired => RebalanceReason::SessionExpired,
            RemovalReason::RebalanceTimeout
            | RemovalReason::SyncTimeout
            | RemovalReason::Replaced
            | RemovalReason::PendingExpired
            | RemovalReason::GroupFull => RebalanceReason::RebalanceTimeout,
        };
        let has_left = matches!(reason, RebalanceReason::MemberLeft(_));
        match self.group.state {
            GroupState::Stable | GroupState::CompletingRebalance => {
                self.maybe_prepare_rebalance(reason, Some(id))
            }
            GroupState::PreparingRebalance if has_left => self.maybe_complete_join(),
            GroupState::PreparingRebalance => self.complete_join_without_member(),
            GroupState::Empty
            | GroupState::Dead
            | GroupState::Assigning
            | GroupState::Reconciling => None,
        }
    }

    /// A member leaves by itself; a pending one too.
    pub(super) fn remove_leaving_member(
        &mut self,
        id: MemberId,
        how: LeaveReason,
    ) -> Option<GroupStore> {
        if self.group.pending_join.contains_key(&id) {
            self.forget_member(id, RemovalReason::Left(how));
            // The event-loop coordinator does not ask whether it was a member yet.
            let rebalances = self.has(ProtocolRule::EventLoopGroupCoordinator)
                && matches!(self.group.state, GroupState::Stable | GroupState::CompletingRebalance);
            return match rebalances {
                true => self.maybe_prepare_rebalance(RebalanceReason::MemberLeft(how), Some(id)),
                false => self.maybe_complete_join(),
            };
        }
        self.remove_member_then_rebalance(id, RemovalReason::Left(how))
    }
}

//! A static member comes back as another process (KIP-345).
//!
//! Mirrors `GroupCoordinator.updateStaticMemberAndRebalance` and
//! `GroupMetadataManager.updateStaticMemberThenRebalanceOrCompleteJoin`: the new process takes the
//! old one's place. In a stable group whose vote stays the same nobody rebalances; the new member
//! id is written, and only then told.

use super::Operation;
use super::classic_group::{Protocols, join_error};
use super::write::{AfterStore, GroupStore};
use crate::broker::Requester;
use acklab_vocab::api::{JoinGroupRequest, JoinGroupResponse, Response};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{GroupInstanceId, MemberId, NodeId};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::{GroupState, RebalanceReason};

/// What to go back to if the replacement cannot be written.
#[derive(Clone, Debug)]
pub(in crate::broker) struct Replacement {
    instance: GroupInstanceId,
    old: MemberId,
    new: MemberId,
    old_node: NodeId,
    old_protocols: Protocols,
    old_session_timeout: SimDuration,
    old_rebalance_timeout: SimDuration,
    /// Who led before.
    leader: Option<MemberId>,
    requester: Requester,
}

impl Operation<'_, '_> {
    /// Gives `old`'s place to `new`, as `request` describes it.
    pub(super) fn replace_static_member(
        &mut self,
        (instance, old, new): (GroupInstanceId, MemberId, MemberId),
        request: &JoinGroupRequest,
        requester: Requester,
    ) -> Option<GroupStore> {
        let leader = self.group.leader;
        let member = self.group.members.get(&old)?;
        let replacement = Replacement {
            instance,
            old,
            new,
            old_node: member.node,
            old_protocols: member.protocols.clone(),
            old_session_timeout: member.session_timeout,
            old_rebalance_timeout: member.rebalance_timeout,
            leader,
            requester,
        };
        self.group.replace_static_member(self.cx, (instance, old, new), requester.from);
        self.set_session_deadline(new, replacement.old_session_timeout);
        if let Some(member) = self.group.members.get_mut(&new) {
            member.update(request, requester);
        }
        match self.group.state {
            GroupState::Stable if self.group.select_protocol() == self.group.protocol => {
                let record = self.group.record(&self.group.current_assignment());
                let then = AfterStore::Replace(Box::new(replacement));
                Some(GroupStore { record, then })
            }
            // The leader may have been told the old id already: its assignment would miss the new.
            GroupState::Stable | GroupState::CompletingRebalance => {
                self.prepare_rebalance(RebalanceReason::StaticMemberReplaced, Some(new))
            }
            GroupState::PreparingRebalance => self.maybe_complete_join(),
            GroupState::Empty
            | GroupState::Dead
            | GroupState::Assigning
            | GroupState::Reconciling => None,
        }
    }

    /// The replacement has been written, or could not be.
    pub(super) fn on_replacement_stored(
        &mut self,
        replacement: &Replacement,
        result: Result<(), ErrorCode>,
    ) {
        match result {
            Ok(()) => self.tell_replacement(replacement),
            Err(error) => self.revert_replacement(replacement, error),
        }
    }

    fn tell_replacement(&mut self, replacement: &Replacement) {
        let id = replacement.new;
        let response = self.group.join_response(id);
        let response = if self.has(ProtocolRule::StaticLeaderSkipsAssignment) {
            JoinGroupResponse { skip_assignment: self.group.leader == Some(id), ..response }
        } else {
            // Told that the old id leads, it does not assign.
            JoinGroupResponse { leader: replacement.leader, members: Vec::new(), ..response }
        };
        if let Some(member) = self.group.members.get_mut(&id) {
            member.answer_join(self.cx, response);
        }
    }

    fn revert_replacement(&mut self, replacement: &Replacement, error: ErrorCode) {
        let Replacement { instance, old, new, old_node, requester, .. } = *replacement;
        let error = super::sync::store_error(self.rules, error);
        if let Some(member) = self.group.members.get_mut(&new) {
            member.awaiting_join = None;
            member.protocols.clone_from(&replacement.old_protocols);
            member.session_timeout = replacement.old_session_timeout;
            member.rebalance_timeout = replacement.old_rebalance_timeout;
            self.group.replace_static_member(self.cx, (instance, new, old), old_node);
            self.restart_session(old);
        }
        let response = JoinGroupResponse {
            generation: self.group.generation,
            protocol: self.group.protocol,
            leader: replacement.leader,
            ..join_error(None, error)
        };
        requester.answer(self.cx, Response::JoinGroup(response));
    }
}

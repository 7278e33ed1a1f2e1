//! SyncGroup: the leader brings the assignment, everybody gets its part.
//!
//! Mirrors `GroupCoordinator.doSyncGroup`, `onExpirePendingSync` and `propagateAssignment`;
//! `GroupMetadataManager.classicGroupSync` and `expirePendingSync`. Left out: the check of protocol
//! type and name, which the client repeats as it was told.

use super::classic_group::Assignment;
use super::deadlines::Deadline;
use super::write::{AfterStore, GroupStore};
use super::{Group, Operation};
use crate::broker::{Broker, BrokerCx, Requester};
use acklab_vocab::api::{Response, SyncGroupRequest, SyncGroupResponse};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{Generation, MemberId, TopicPartition};
use acklab_vocab::rules::{ProtocolRule, ProtocolRules};
use acklab_vocab::trace::{GroupState, RebalanceReason, RemovalReason, TraceEvent};
use std::sync::Arc;

/// What a member is told when the group could not be written (`storeGroup`,
/// `appendGroupMetadataErrorToResponseError`).
pub(super) fn store_error(rules: ProtocolRules, error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::UnknownTopicOrPartition
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::NotEnoughReplicasAfterAppend => ErrorCode::CoordinatorNotAvailable,
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::RequestTimedOut if rules.has(ProtocolRule::EventLoopGroupCoordinator) => {
            ErrorCode::CoordinatorNotAvailable
        }
        ErrorCode::RequestTimedOut => ErrorCode::RebalanceInProgress,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => ErrorCode::UnknownServerError,
        other => other,
    }
}

fn refusal(error: ErrorCode) -> Response {
    Response::SyncGroup(SyncGroupResponse { error, assignment: Arc::default() })
}

impl Broker {
    pub(super) fn on_sync_group(
        &mut self,
        cx: &mut BrokerCx<'_>,
        requester: Requester,
        request: &SyncGroupRequest,
    ) {
        let partition = match self.coordinated_group(request.group) {
            Ok(partition) => partition,
            Err(error) => {
                let error = match error {
                    // The rebalance is lost with the old coordinator: the member joins again.
                    ErrorCode::CoordinatorLoadInProgress => ErrorCode::RebalanceInProgress,
                    error => error,
                };
                requester.answer(cx, refusal(error));
                return;
            }
        };
        let known = self.group_coordinator.groups.get(&request.group);
        let Some(Group::Classic(_)) = known.map(|known| &known.group) else {
            requester.answer(cx, refusal(ErrorCode::UnknownMemberId));
            return;
        };
        let group = self.classic(cx, request.group);
        let store = group.and_then(|mut group| group.sync(request, requester));
        self.store_group(cx, request.group, store);
        self.fail_parked_with_writes(cx, (request.group, partition), requester);
    }
}

impl Operation<'_, '_> {
    fn sync(&mut self, request: &SyncGroupRequest, requester: Requester) -> Option<GroupStore> {
        match self.validate_sync(request) {
            Err(error) => requester.answer(self.cx, refusal(error)),
            Ok(member) if self.group.state == GroupState::CompletingRebalance => {
                return self.await_assignment(member, request, requester);
            }
            Ok(member) => {
                self.remove_pending_sync(member);
                if !self.has(ProtocolRule::EventLoopGroupCoordinator) {
                    self.restart_session(member);
                }
                let assignment = Arc::clone(&self.group.members[&member].assignment);
                let response = SyncGroupResponse { error: ErrorCode::None, assignment };
                requester.answer(self.cx, Response::SyncGroup(response));
            }
        }
        None
    }

    /// The member, if it may have its assignment, or wait for it.
    fn validate_sync(&self, request: &SyncGroupRequest) -> Result<MemberId, ErrorCode> {
        if self.group.state == GroupState::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        let member = self.group.validate_member(Some(request.member), request.instance)?;
        if request.generation != self.group.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        match self.group.state {
            GroupState::CompletingRebalance | GroupState::Stable => Ok(member),
            GroupState::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            GroupState::Empty
            | GroupState::Dead
            | GroupState::Assigning
            | GroupState::Reconciling => Err(ErrorCode::UnknownMemberId),
        }
    }

    /// Parks the request. The leader's brings the assignment, which is written first.
    fn await_assignment(
        &mut self,
        id: MemberId,
        request: &SyncGroupRequest,
        requester: Requester,
    ) -> Option<GroupStore> {
        if let Some(member) = self.group.members.get_mut(&id) {
            member.awaiting_sync = Some(requester.into());
        }
        self.remove_pending_sync(id);
        if self.group.leader != Some(id) {
            return None;
        }
        let assigned = |id: MemberId| {
            let mut given = request.assignments.iter();
            let given = given.find(|&&(member, _)| member == id);
            given.map(|(_, partitions)| Arc::clone(partitions)).unwrap_or_default()
        };
        let assignment: Assignment =
            self.group.members.keys().map(|&id| (id, assigned(id))).collect();
        let record = self.group.record(&assignment);
        let generation = self.group.generation;
        Some(GroupStore { record, then: AfterStore::Assign { generation, assignment } })
    }

    fn remove_pending_sync(&mut self, member: MemberId) {
        self.group.pending_sync.remove(&member);
        if self.group.pending_sync.is_empty() {
            self.deadlines.cancel(Deadline::Sync(self.group.id));
        }
    }

    /// The leader's assignment has been written, or could not be.
    pub(super) fn on_assignment_stored(
        &mut self,
        generation: Generation,
        assignment: &Assignment,
        result: Result<(), ErrorCode>,
    ) -> Option<GroupStore> {
        // Somebody may have joined meanwhile.
        if self.group.state != GroupState::CompletingRebalance
            || self.group.generation != generation
        {
            return None;
        }
        if let Err(error) = result {
            self.reset_assignment(store_error(self.rules, error));
            return self.maybe_prepare_rebalance(RebalanceReason::AssignmentNotStored, None);
        }
        let group = self.group.id;
        let stated: Arc<[(MemberId, Arc<[TopicPartition]>)]> = assignment.as_slice().into();
        self.cx.trace(|| TraceEvent::Assigned {
            group,
            generation,
            assignment: stated,
            partial: false,
        });
        self.group.transition_to(self.cx, GroupState::Stable);
        for (id, partitions) in assignment {
            if let Some(member) = self.group.members.get_mut(id) {
                member.assignment = Arc::clone(partitions);
            }
        }
        self.answer_syncs(ErrorCode::None);
        None
    }

    /// Nobody has an assignment any more; whoever waits for one is told why.
    pub(super) fn reset_assignment(&mut self, error: ErrorCode) {
        for member in self.group.members.values_mut() {
            member.assignment = Arc::default();
        }
        self.answer_syncs(error);
    }

    /// Answers every parked SyncGroup; the sessions begin anew.
    fn answer_syncs(&mut self, error: ErrorCode) {
        let ids: Vec<MemberId> = self.group.members.keys().copied().collect();
        for id in ids {
            let Some(member) = self.group.members.get_mut(&id) else { continue };
            if member.answer_sync(self.cx, error) {
                self.restart_session(id);
            }
        }
    }

    /// Whoever has not asked for its assignment within the rebalance timeout is removed.
    pub(super) fn expire_pending_sync(&mut self) -> Option<GroupStore> {
        let is_waiting =
            matches!(self.group.state, GroupState::CompletingRebalance | GroupState::Stable);
        if !is_waiting || self.group.pending_sync.is_empty() {
            return None;
        }
        let silent: Vec<MemberId> = self.group.pending_sync.iter().copied().collect();
        for &id in &silent {
            self.forget_member(id, RemovalReason::SyncTimeout);
        }
        self.prepare_rebalance(RebalanceReason::RebalanceTimeout, silent.first().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use acklab_vocab::version::KafkaVersion;

    #[test]
    fn a_failed_store_is_told_to_members_in_their_words() {
        let classic = ProtocolRules::of(KafkaVersion::new(3, 9, 0));
        let event_loop = ProtocolRules::of(KafkaVersion::new(4, 1, 0));
        use ErrorCode::{
            CoordinatorNotAvailable, InvalidRequest, KafkaStorageError, MessageTooLarge,
            NotCoordinator, NotEnoughReplicas, NotEnoughReplicasAfterAppend, NotLeaderOrFollower,
            RebalanceInProgress, RecordListTooLarge, RequestTimedOut, UnknownServerError,
            UnknownTopicOrPartition,
        };
        for (error, told, told_by_event_loop) in [
            (UnknownTopicOrPartition, CoordinatorNotAvailable, CoordinatorNotAvailable),
            (NotEnoughReplicas, CoordinatorNotAvailable, CoordinatorNotAvailable),
            (NotEnoughReplicasAfterAppend, CoordinatorNotAvailable, CoordinatorNotAvailable),
            (NotLeaderOrFollower, NotCoordinator, NotCoordinator),
            (KafkaStorageError, NotCoordinator, NotCoordinator),
            (RequestTimedOut, RebalanceInProgress, CoordinatorNotAvailable),
            (MessageTooLarge, UnknownServerError, UnknownServerError),
            (RecordListTooLarge, UnknownServerError, UnknownServerError),
            (InvalidRequest, InvalidRequest, InvalidRequest),
        ] {
            assert_eq!(store_error(classic, error), told, "{error}");
            assert_eq!(store_error(event_loop, error), told_by_event_loop, "{error}");
        }
    }
}

//! JoinGroup: becoming a member, or joining a rebalance as one.
//!
//! Mirrors `GroupCoordinator.handleJoinGroup` with `doNewMemberJoinGroup` and
//! `doCurrentMemberJoinGroup`, and `GroupMetadataManager.classicGroupJoin`. A JoinGroup that joins
//! a rebalance waits for its end.

use super::classic_group::{Member, join_error};
use super::write::{AfterStore, GroupStore};
use super::{CoordinatedGroup, Group, Operation};
use crate::broker::{Broker, BrokerCx, Requester};
use acklab_vocab::api::{JoinGroupRequest, JoinGroupResponse, Response};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{MemberId, TopicPartition};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::{GroupState, RebalanceReason, RemovalReason};

/// How long a new member's JoinGroup may wait: it cannot send heartbeats yet
/// (`NewMemberJoinTimeoutMs`).
pub(super) const NEW_MEMBER_JOIN_TIMEOUT: SimDuration = SimDuration::from_secs(300);

impl Broker {
    pub(super) fn on_join_group(
        &mut self,
        cx: &mut BrokerCx<'_>,
        requester: Requester,
        request: &JoinGroupRequest,
    ) {
        let partition = match self.check_join(request) {
            Ok(partition) => partition,
            Err(error) => {
                let response = join_error(request.member, error);
                requester.answer(cx, Response::JoinGroup(response));
                return;
            }
        };
        let coordinator = &mut self.group_coordinator;
        let is_new_group = !coordinator.groups.contains_key(&request.group);
        if is_new_group && request.member.is_some() {
            let response = join_error(request.member, ErrorCode::UnknownMemberId);
            requester.answer(cx, Response::JoinGroup(response));
            return;
        }
        if !self.may_join_as_classic(cx, request, partition) {
            let response = join_error(request.member, ErrorCode::InconsistentGroupProtocol);
            requester.answer(cx, Response::JoinGroup(response));
            return;
        }
        let operation = self.classic(cx, request.group);
        let mut store = operation.and_then(|mut group| group.join(request, requester));
        if store.is_none()
            && is_new_group
            && self.shared.has(ProtocolRule::EventLoopGroupCoordinator)
        {
            // A group that is new is written down at once.
            store = self.classic(cx, request.group).map(|group| {
                let record = group.group.record(&Vec::new());
                GroupStore { record, then: AfterStore::Nothing }
            });
        }
        self.store_group(cx, request.group, store);
        self.fail_parked_with_writes(cx, (request.group, partition), requester);
    }

    /// What is looked at before the group is. The event-loop coordinator looks at the session
    /// timeout first.
    fn check_join(&self, request: &JoinGroupRequest) -> Result<TopicPartition, ErrorCode> {
        let config = &self.shared.config.groups;
        let allowed = config.min_session_timeout..=config.max_session_timeout;
        let session = match allowed.contains(&request.session_timeout) {
            true => Ok(()),
            false => Err(ErrorCode::InvalidSessionTimeout),
        };
        let partition = self.coordinated_group(request.group);
        if self.shared.has(ProtocolRule::EventLoopGroupCoordinator) {
            session.and(partition)
        } else {
            partition.and_then(|partition| session.map(|()| partition))
        }
    }

    /// Makes the group a classic one if it is new, or a KIP-848 group without members. False if it
    /// is a KIP-848 group with members: no group changes its protocol here while it has members.
    fn may_join_as_classic(
        &mut self,
        cx: &mut BrokerCx<'_>,
        request: &JoinGroupRequest,
        partition: TopicPartition,
    ) -> bool {
        if self.consumer_group(request.group).is_some_and(|group| !group.is_empty()) {
            return false;
        }
        if self.consumer_group(request.group).is_some() {
            self.delete_empty_consumer_group(cx, request.group);
        }
        let known = self.group_coordinator.get_or_create(cx, request.group, partition);
        let CoordinatedGroup { group, .. } = known;
        matches!(group, Group::Classic(_))
    }
}

impl Operation<'_, '_> {
    /// A JoinGroup for a group that the coordinator knows.
    pub(super) fn join(
        &mut self,
        request: &JoinGroupRequest,
        requester: Requester,
    ) -> Option<GroupStore> {
        let store = if !self.accepts(request.member) {
            self.refuse_full(request, requester);
            None
        } else if self.group.state == GroupState::Dead {
            self.refuse_join(request, requester, ErrorCode::CoordinatorNotAvailable)
        } else if !self.group.supports_protocols(&request.protocols) {
            self.refuse_join(request, requester, ErrorCode::InconsistentGroupProtocol)
        } else {
            match request.member {
                None => self.join_as_new(request, requester),
                Some(member) if self.group.pending_join.contains_key(&member) => {
                    self.add_member_then_rebalance(member, request, requester)
                }
                Some(_) => self.join_as_member(request, requester),
            }
        };
        // `rebalancePurgatory.checkAndComplete` after every JoinGroup.
        if store.is_none() && !self.has(ProtocolRule::EventLoopGroupCoordinator) {
            return self.maybe_complete_join();
        }
        store
    }

    fn refuse_join(
        &mut self,
        request: &JoinGroupRequest,
        requester: Requester,
        error: ErrorCode,
    ) -> Option<GroupStore> {
        requester.answer(self.cx, Response::JoinGroup(join_error(request.member, error)));
        None
    }

    /// The group has room (`acceptJoiningMember`).
    fn accepts(&self, member: Option<MemberId>) -> bool {
        let max_size = self.config.max_size as usize;
        let known = member.and_then(|member| self.group.members.get(&member));
        match self.group.state {
            GroupState::Empty | GroupState::Dead => true,
            GroupState::PreparingRebalance => {
                known.is_some_and(|member| member.awaiting_join.is_some())
                    || self.group.awaiting_join_count() < max_size
            }
            GroupState::CompletingRebalance
            | GroupState::Stable
            | GroupState::Assigning
            | GroupState::Reconciling => known.is_some() || self.group.members.len() < max_size,
        }
    }

    fn refuse_full(&mut self, request: &JoinGroupRequest, requester: Requester) {
        if let Some(member) = request.member {
            self.forget_member(member, RemovalReason::GroupFull);
        }
        let response = join_error(None, ErrorCode::GroupMaxSizeReached);
        requester.answer(self.cx, Response::JoinGroup(response));
    }

    /// Nobody the coordinator knows: gets an id, and is a member at once or has to come again.
    fn join_as_new(
        &mut self,
        request: &JoinGroupRequest,
        requester: Requester,
    ) -> Option<GroupStore> {
        let id = MemberId(self.cx.rng().bits());
        if let Some(instance) = request.instance {
            return match self.group.static_member(instance) {
                Some(old) => self.replace_static_member((instance, old, id), request, requester),
                None => self.add_member_then_rebalance(id, request, requester),
            };
        }
        let comes_again =
            request.understands_member_id_required && self.has(ProtocolRule::MemberIdRequired);
        if !comes_again {
            return self.add_member_then_rebalance(id, request, requester);
        }
        self.group.pending_join.insert(id, requester.from);
        self.set_session_deadline(id, request.session_timeout);
        let response = join_error(Some(id), ErrorCode::MemberIdRequired);
        requester.answer(self.cx, Response::JoinGroup(response));
        None
    }

    fn add_member_then_rebalance(
        &mut self,
        id: MemberId,
        request: &JoinGroupRequest,
        requester: Requester,
    ) -> Option<GroupStore> {
        let is_initial = if self.has(ProtocolRule::EventLoopGroupCoordinator) {
            self.group.previous_state == GroupState::Empty
        } else {
            self.group.generation.0 == 0
        };
        if self.group.state == GroupState::PreparingRebalance && is_initial {
            self.group.new_member_added = true;
        }
        self.group.add(self.cx, id, Member::joining(request, requester));
        self.set_session_deadline(id, NEW_MEMBER_JOIN_TIMEOUT);
        self.maybe_prepare_rebalance(RebalanceReason::MemberJoined, Some(id))
    }

    /// One who says that it is a member.
    fn join_as_member(
        &mut self,
        request: &JoinGroupRequest,
        requester: Requester,
    ) -> Option<GroupStore> {
        let id = match self.group.validate_member(request.member, request.instance) {
            Ok(id) => id,
            Err(error) => return self.refuse_join(request, requester, error),
        };
        let is_changed = self.group.members[&id].protocols != request.protocols;
        match self.group.state {
            GroupState::PreparingRebalance => {
                self.update_member_then_rebalance(id, request, requester)
            }
            GroupState::CompletingRebalance if is_changed => {
                self.update_member_then_rebalance(id, request, requester)
            }
            // It has not received the answer to its JoinGroup.
            GroupState::CompletingRebalance => self.tell_generation(id, requester),
            // A leader that joins again wants partitions to be assigned anew.
            GroupState::Stable if is_changed || self.group.leader == Some(id) => {
                self.update_member_then_rebalance(id, request, requester)
            }
            GroupState::Stable => {
                let response = self.group.join_response(id);
                let members = Vec::new();
                let response = JoinGroupResponse { members, ..response };
                requester.answer(self.cx, Response::JoinGroup(response));
                None
            }
            GroupState::Empty
            | GroupState::Dead
            | GroupState::Assigning
            | GroupState::Reconciling => {
                self.refuse_join(request, requester, ErrorCode::UnknownMemberId)
            }
        }
    }

    fn tell_generation(&mut self, id: MemberId, requester: Requester) -> Option<GroupStore> {
        let response = self.group.join_response(id);
        requester.answer(self.cx, Response::JoinGroup(response));
        None
    }

    fn update_member_then_rebalance(
        &mut self,
        id: MemberId,
        request: &JoinGroupRequest,
        requester: Requester,
    ) -> Option<GroupStore> {
        let is_stable_leader =
            self.group.state == GroupState::Stable && self.group.leader == Some(id);
        let reason = if is_stable_leader {
            RebalanceReason::LeaderRejoined
        } else {
            RebalanceReason::MemberRejoined
        };
        let member = self.group.members.get_mut(&id).expect("it has just been found");
        member.update(request, requester);
        self.maybe_prepare_rebalance(reason, Some(id))
    }
}

//! A classic group and its members, as the coordinator holds them.
//!
//! Mirrors `ClassicGroup` and `ClassicGroupMember` (`GroupMetadata` and `MemberMetadata` up to
//! 3.9). Whatever Kafka leaves to the order of a hash map (who leads after the leader has gone, who
//! is answered first) goes by member id: ids are random, so the choice is as random as Kafka's. The
//! protocol type is always `consumer`; a group that only stores offsets has none.

use super::parked::Parked;
use super::vote::select_protocol;
use crate::broker::{BrokerCx, Requester};
use acklab_vocab::api::{
    JoinGroupMember, JoinGroupRequest, JoinGroupResponse, Response, SyncGroupResponse,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::group::{
    Assignor, GroupMetadata, GroupMetadataRecord, MemberMetadata, Subscription,
};
use acklab_vocab::ids::{
    Generation, GroupId, GroupInstanceId, MemberId, NodeId, TopicId, TopicPartition,
};
use acklab_vocab::time::{SimDuration, SimTime};
use acklab_vocab::trace::{GroupState, RemovalReason, TraceEvent};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a member can use, best first, with what it says of itself under each.
pub(super) type Protocols = SmallVec<[(Assignor, Arc<Subscription>); 2]>;

/// Who is to own what, by member, ascending.
pub(super) type Assignment = Vec<(MemberId, Arc<[TopicPartition]>)>;

/// A member of a classic group.
#[derive(Debug)]
pub(super) struct Member {
    /// `group.instance.id`
    pub instance: Option<GroupInstanceId>,
    /// Its process.
    pub node: NodeId,
    /// `session.timeout.ms`
    pub session_timeout: SimDuration,
    /// How long a rebalance may wait for it.
    pub rebalance_timeout: SimDuration,
    pub protocols: Protocols,
    /// What it was assigned last, ascending.
    pub assignment: Arc<[TopicPartition]>,
    /// Its JoinGroup that waits for an answer.
    pub awaiting_join: Option<Parked>,
    /// Its SyncGroup that waits for an answer.
    pub awaiting_sync: Option<Parked>,
    /// It has not yet been told that it is a member.
    pub is_new: bool,
}

impl Member {
    /// As it asks to join, by a request that is to be answered.
    pub fn joining(request: &JoinGroupRequest, requester: Requester) -> Self {
        Member {
            instance: request.instance,
            node: requester.from,
            session_timeout: request.session_timeout,
            rebalance_timeout: request.rebalance_timeout,
            protocols: request.protocols.clone(),
            assignment: Arc::default(),
            awaiting_join: Some(requester.into()),
            awaiting_sync: None,
            is_new: true,
        }
    }

    /// As a log has it.
    fn loaded(stored: &MemberMetadata, protocol: Option<Assignor>) -> Self {
        let said = protocol.map(|protocol| (protocol, Arc::clone(&stored.subscription)));
        Member {
            instance: stored.instance,
            node: stored.node,
            session_timeout: stored.session_timeout,
            rebalance_timeout: stored.rebalance_timeout,
            protocols: said.into_iter().collect(),
            assignment: Arc::clone(&stored.assignment),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
        }
    }

    /// It takes over what a request says of it, and waits for an answer.
    pub fn update(&mut self, request: &JoinGroupRequest, requester: Requester) {
        self.protocols.clone_from(&request.protocols);
        self.rebalance_timeout = request.rebalance_timeout;
        self.session_timeout = request.session_timeout;
        self.awaiting_join = Some(requester.into());
    }

    /// A request of its own is being worked on, which counts as a heartbeat. A new member's does
    /// not.
    pub fn has_satisfied_heartbeat(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }

    /// What it says of itself under `protocol`.
    pub fn subscription(&self, protocol: Option<Assignor>) -> Arc<Subscription> {
        let said = self.protocols.iter().find(|&&(known, _)| Some(known) == protocol);
        said.map(|(_, subscription)| Arc::clone(subscription)).unwrap_or_default()
    }

    /// Answers its parked JoinGroup, if it has one.
    pub fn answer_join(&mut self, cx: &mut BrokerCx<'_>, response: JoinGroupResponse) {
        if let Some(mut parked) = self.awaiting_join.take() {
            parked.answer(cx, Response::JoinGroup(response));
        }
    }

    /// Answers its parked SyncGroup. Returns whether it had one.
    pub fn answer_sync(&mut self, cx: &mut BrokerCx<'_>, error: ErrorCode) -> bool {
        let Some(mut parked) = self.awaiting_sync.take() else { return false };
        let assignment = Arc::clone(&self.assignment);
        parked.answer(cx, Response::SyncGroup(SyncGroupResponse { error, assignment }));
        true
    }
}

/// How a rebalance that has begun is to be completed at the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JoinDeadline {
    /// The group was empty: members are given time to come (`InitialDelayedJoin`).
    Initial {
        /// The delay that is running.
        delay: SimDuration,
        /// By how much it may be extended.
        remaining: SimDuration,
    },
    /// At the rebalance timeout (`DelayedJoin`).
    Regular,
}

/// A classic group.
#[derive(Debug)]
pub(super) struct ClassicGroup {
    pub id: GroupId,
    /// Never `Assigning` or `Reconciling`.
    pub state: GroupState,
    pub previous_state: GroupState,
    /// Since when it is in its state.
    pub state_since: SimTime,
    /// 0 until its first rebalance has completed.
    pub generation: Generation,
    /// It has had members; otherwise it only stores offsets.
    pub has_protocol_type: bool,
    /// What the members voted for.
    pub protocol: Option<Assignor>,
    pub leader: Option<MemberId>,
    pub members: BTreeMap<MemberId, Member>,
    /// Ids that were given out, and to which process: their owners have yet to join with them.
    pub pending_join: BTreeMap<MemberId, NodeId>,
    /// Members that have yet to ask for their assignment.
    pub pending_sync: BTreeSet<MemberId>,
    static_members: BTreeMap<GroupInstanceId, MemberId>,
    /// Somebody has joined since the initial delay began, or was last extended.
    pub new_member_added: bool,
    /// While the group prepares a rebalance.
    pub join_deadline: Option<JoinDeadline>,
}

impl ClassicGroup {
    /// A group that nobody has joined.
    pub fn new(id: GroupId, now: SimTime) -> Self {
        ClassicGroup {
            id,
            state: GroupState::Empty,
            previous_state: GroupState::Dead,
            state_since: now,
            generation: Generation(0),
            has_protocol_type: false,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            pending_join: BTreeMap::new(),
            pending_sync: BTreeSet::new(),
            static_members: BTreeMap::new(),
            new_member_added: false,
            join_deadline: None,
        }
    }

    /// A group as a log has it: Stable, or Empty without members.
    pub fn loaded(id: GroupId, stored: &GroupMetadata) -> Self {
        let members = stored.members.iter();
        let members: BTreeMap<MemberId, Member> = members
            .map(|member| (member.member, Member::loaded(member, stored.protocol)))
            .collect();
        let instance =
            |(&id, member): (&MemberId, &Member)| member.instance.map(|instance| (instance, id));
        ClassicGroup {
            state: if members.is_empty() { GroupState::Empty } else { GroupState::Stable },
            state_since: stored.at,
            generation: stored.generation,
            has_protocol_type: !members.is_empty() || stored.generation > Generation(0),
            protocol: stored.protocol,
            leader: stored.leader,
            static_members: members.iter().filter_map(instance).collect(),
            members,
            ..ClassicGroup::new(id, stored.at)
        }
    }

    /// The group as it is to be stored, with `assignment`; a member without one gets nothing.
    pub fn record(&self, assignment: &Assignment) -> GroupMetadataRecord {
        let assigned = |member: MemberId| {
            let at = assignment.binary_search_by_key(&member, |&(id, _)| id).ok()?;
            Some(Arc::clone(&assignment[at].1))
        };
        let members = self.members.iter().map(|(&id, member)| MemberMetadata {
            member: id,
            instance: member.instance,
            node: member.node,
            session_timeout: member.session_timeout,
            rebalance_timeout: member.rebalance_timeout,
            subscription: member.subscription(self.protocol),
            assignment: assigned(id).unwrap_or_default(),
        });
        let value = GroupMetadata {
            generation: self.generation,
            protocol: self.protocol,
            leader: self.leader,
            members: members.collect(),
            at: self.state_since,
        };
        GroupMetadataRecord { group: self.id, value: Some(value) }
    }

    /// What every member was assigned last.
    pub fn current_assignment(&self) -> Assignment {
        self.members.iter().map(|(&id, member)| (id, Arc::clone(&member.assignment))).collect()
    }

    /// Comes into a state, and says so.
    pub fn transition_to(&mut self, cx: &mut BrokerCx<'_>, state: GroupState) {
        self.previous_state = self.state;
        self.state = state;
        self.state_since = cx.now();
        let (group, generation) = (self.id, self.generation);
        cx.trace(|| TraceEvent::GroupStateChanged { group, state, generation });
    }

    /// No rebalance is under way. Whoever was given a member id and has not come back with it, nor
    /// ever may, changes nothing for the members.
    pub fn is_settled(&self) -> bool {
        match self.state {
            GroupState::Empty | GroupState::Stable | GroupState::Dead => true,
            GroupState::PreparingRebalance
            | GroupState::CompletingRebalance
            | GroupState::Assigning
            | GroupState::Reconciling => false,
        }
    }

    /// A rebalance can begin (`canRebalance`).
    pub fn can_rebalance(&self) -> bool {
        match self.state {
            GroupState::Empty | GroupState::CompletingRebalance | GroupState::Stable => true,
            GroupState::PreparingRebalance
            | GroupState::Dead
            | GroupState::Assigning
            | GroupState::Reconciling => false,
        }
    }

    /// How long a rebalance waits: the largest rebalance timeout of a member.
    pub fn rebalance_timeout(&self) -> SimDuration {
        let timeouts = self.members.values().map(|member| member.rebalance_timeout);
        timeouts.max().unwrap_or_default()
    }

    /// How many members wait for the answer to a JoinGroup.
    pub fn awaiting_join_count(&self) -> usize {
        self.members.values().filter(|member| member.awaiting_join.is_some()).count()
    }

    /// Every member has joined, and everybody who was given an id.
    pub fn has_all_members_joined(&self) -> bool {
        self.pending_join.is_empty()
            && self.members.values().all(|member| member.awaiting_join.is_some())
    }

    /// What the members vote for.
    pub fn select_protocol(&self) -> Option<Assignor> {
        let names: Vec<SmallVec<[Assignor; 4]>> = self
            .members
            .values()
            .map(|member| member.protocols.iter().map(|&(protocol, _)| protocol).collect())
            .collect();
        select_protocol(names.iter().map(SmallVec::as_slice))
    }

    /// One who says `protocols` may be a member: all others support one of them
    /// (`supportsProtocols`).
    pub fn supports_protocols(&self, protocols: &Protocols) -> bool {
        if self.state == GroupState::Empty {
            return !protocols.is_empty();
        }
        let supported = |protocol: Assignor| {
            let supports =
                |member: &Member| member.protocols.iter().any(|&(known, _)| known == protocol);
            self.members.values().all(supports)
        };
        protocols.iter().any(|&(protocol, _)| supported(protocol))
    }

    /// Some member subscribes to the topic (`isSubscribedToTopic`).
    pub fn is_subscribed_to(&self, topic: TopicId) -> bool {
        let protocol = self.protocol;
        let mut subscriptions = self.members.values().map(|member| member.subscription(protocol));
        subscriptions.any(|subscription| subscription.topics.contains(&topic))
    }

    /// Who is the static member `instance`.
    pub fn static_member(&self, instance: GroupInstanceId) -> Option<MemberId> {
        self.static_members.get(&instance).copied()
    }

    /// Whether a request comes from a member (`validateMember`).
    ///
    /// # Errors
    /// - UNKNOWN_MEMBER_ID: it does not, or its instance is no member.
    /// - FENCED_INSTANCE_ID: another process has its instance.
    pub fn validate_member(
        &self,
        member: Option<MemberId>,
        instance: Option<GroupInstanceId>,
    ) -> Result<MemberId, ErrorCode> {
        if let Some(instance) = instance {
            match self.static_member(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(current) if Some(current) != member => {
                    return Err(ErrorCode::FencedInstanceId);
                }
                Some(_) => {}
            }
        }
        member.filter(|id| self.members.contains_key(id)).ok_or(ErrorCode::UnknownMemberId)
    }

    /// Adds a member, and says so.
    pub fn add(&mut self, cx: &mut BrokerCx<'_>, id: MemberId, member: Member) {
        let (group, instance, member_node) = (self.id, member.instance, member.node);
        cx.trace(|| TraceEvent::MemberJoined { group, member: id, instance, member_node });
        if let Some(instance) = instance {
            self.static_members.insert(instance, id);
        }
        self.has_protocol_type = true;
        self.leader.get_or_insert(id);
        self.members.insert(id, member);
        self.pending_join.remove(&id);
    }

    /// Removes a member, or a pending one, and says so. Its parked requests must have been
    /// answered.
    pub fn remove(&mut self, cx: &mut BrokerCx<'_>, id: MemberId, reason: RemovalReason) {
        let group = self.id;
        let removed = self.members.remove(&id);
        if let Some(instance) = removed.as_ref().and_then(|member| member.instance) {
            self.static_members.remove(&instance);
        }
        if self.leader == Some(id) {
            self.leader = self.members.keys().next().copied();
        }
        let pending = self.pending_join.remove(&id);
        self.pending_sync.remove(&id);
        if let Some(member_node) = removed.map(|member| member.node).or(pending) {
            cx.trace(|| TraceEvent::MemberRemoved { group, member: id, member_node, reason });
        }
    }

    /// Gives a static member's place to another id, and says so (`replaceStaticMember`). Whoever
    /// still waits under the old id is fenced. If the old id has yet to ask for its assignment, it
    /// stays noted, as in Kafka.
    pub fn replace_static_member(
        &mut self,
        cx: &mut BrokerCx<'_>,
        (instance, old, new): (GroupInstanceId, MemberId, MemberId),
        node: NodeId,
    ) {
        let Some(mut member) = self.members.remove(&old) else { return };
        let fenced = ErrorCode::FencedInstanceId;
        let group = self.id;
        let reason = RemovalReason::Replaced;
        let old_node = std::mem::replace(&mut member.node, node);
        cx.trace(|| TraceEvent::MemberRemoved {
            group,
            member: old,
            member_node: old_node,
            reason,
        });
        let instance_id = Some(instance);
        cx.trace(|| TraceEvent::MemberJoined {
            group,
            member: new,
            instance: instance_id,
            member_node: node,
        });
        member.answer_join(cx, join_error(Some(old), fenced));
        if let Some(mut parked) = member.awaiting_sync.take() {
            let response = SyncGroupResponse { error: fenced, assignment: Arc::default() };
            parked.answer(cx, Response::SyncGroup(response));
        }
        member.is_new = false;
        self.members.insert(new, member);
        if self.leader == Some(old) {
            self.leader = Some(new);
        }
        self.static_members.insert(instance, new);
    }

    /// A request of `requester` waits for other members.
    pub fn has_parked(&self, requester: Requester) -> bool {
        let waits = |parked: &Parked| parked.waits_for(requester);
        let mut members = self.members.values();
        members.any(|member| {
            member.awaiting_join.as_ref().is_some_and(waits)
                || member.awaiting_sync.as_ref().is_some_and(waits)
        })
    }

    /// Tells `requester` of an error, if a request of its waits. To the group it goes on waiting.
    pub fn fail_parked(&mut self, cx: &mut BrokerCx<'_>, requester: Requester, error: ErrorCode) {
        for member in self.members.values_mut() {
            let join = member.awaiting_join.as_mut();
            if let Some(parked) = join.filter(|parked| parked.waits_for(requester)) {
                parked.answer(cx, Response::JoinGroup(join_error(None, error)));
            }
            let sync = member.awaiting_sync.as_mut();
            if let Some(parked) = sync.filter(|parked| parked.waits_for(requester)) {
                let response = SyncGroupResponse { error, assignment: Arc::default() };
                parked.answer(cx, Response::SyncGroup(response));
            }
        }
    }

    /// If the leader has not joined, another member that has becomes leader
    /// (`maybeElectNewJoinedLeader`). Returns whether somebody who has joined leads.
    pub fn maybe_elect_joined_leader(&mut self) -> bool {
        let has_joined = |member: &Member| member.awaiting_join.is_some();
        let leader = self.leader.and_then(|leader| self.members.get(&leader));
        if leader.is_none() || leader.is_some_and(has_joined) {
            return leader.is_some();
        }
        let joined = self.members.iter().find(|(_, member)| has_joined(member));
        let Some((&joined, _)) = joined else { return false };
        self.leader = Some(joined);
        true
    }

    /// Everybody, as the leader learns it.
    pub fn joined_members(&self) -> Vec<JoinGroupMember> {
        let members = self.members.iter().map(|(&id, member)| JoinGroupMember {
            member: id,
            instance: member.instance,
            subscription: member.subscription(self.protocol),
        });
        members.collect()
    }

    /// The answer to a JoinGroup of `member` in the group's generation.
    pub fn join_response(&self, member: MemberId) -> JoinGroupResponse {
        let is_leader = self.leader == Some(member);
        JoinGroupResponse {
            error: ErrorCode::None,
            generation: self.generation,
            protocol: self.protocol,
            leader: self.leader,
            member: Some(member),
            members: if is_leader { self.joined_members() } else { Vec::new() },
            skip_assignment: false,
        }
    }
}

/// A JoinGroup is refused. Kafka's generation -1 is 0 here.
pub(super) fn join_error(member: Option<MemberId>, error: ErrorCode) -> JoinGroupResponse {
    JoinGroupResponse {
        error,
        generation: Generation(0),
        protocol: None,
        leader: None,
        member,
        members: Vec::new(),
        skip_assignment: false,
    }
}

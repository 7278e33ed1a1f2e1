//! Joining, as the application's thread does it inside `poll()`: prepare, JoinGroup, assign,
//! SyncGroup, complete.
//!
//! Mirrors `AbstractCoordinator.joinGroupIfNeeded` with its response handlers, and
//! `ConsumerCoordinator.onJoinPrepare`, `onLeaderElected`, `onJoinComplete`. Nothing here waits:
//! every step is taken again by the next turn that finds the thread inside `poll()`.

use super::{Attempt, ClassicMember, Consumer, ConsumerCx, MemberState, Membership, Preparation};
use crate::consumer::assignor::{self, PartitionCounts};
use crate::consumer::coordinator::{GroupPurpose, Identity};
use crate::consumer::fetching::subscription::FetchState;
use crate::consumer::{Callback, ConsumerReport, GroupMembership};
use acklab_vocab::api::{
    JoinGroupRequest, JoinGroupResponse, Request, SyncGroupRequest, SyncGroupResponse,
};
use acklab_vocab::config::MemberConfig;
use acklab_vocab::error::ErrorCode;
use acklab_vocab::group::{Assignor, Subscription};
use acklab_vocab::ids::{MemberId, TopicId, TopicPartition};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::{CommitTrigger, TraceEvent};
use smallvec::SmallVec;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How far the thread has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::consumer) enum Joining {
    /// It is a member and has nothing to rejoin for.
    Done,
    /// An answer or the end of a wait is missing.
    Waiting,
    /// The application's listener is being called.
    InCallback,
    /// `poll()` throws.
    Failed(ErrorCode),
}

/// What a JoinGroup may take longer than the rebalance
/// (`AbstractCoordinator.JOIN_GROUP_TIMEOUT_LAPSE`).
const JOIN_GROUP_TIMEOUT_LAPSE: SimDuration = SimDuration::from_secs(5);

/// Members keep what they own through a rebalance: every assignor that is listed can do that
/// (`ConsumerCoordinator`'s constructor).
pub(in crate::consumer) fn protocol_is_cooperative(config: &MemberConfig) -> bool {
    config.assignors.iter().all(|assignor| assignor.supports_cooperative())
}

impl ClassicMember {
    /// The metadata that the leader assigned from is not what it is now
    /// (`MetadataSnapshot.matches`).
    fn metadata_has_changed(&self, count: impl Fn(TopicId) -> Option<usize>) -> bool {
        let snapshot = self.assigned_from.as_deref().unwrap_or_default();
        snapshot.iter().any(|&(topic, assigned)| count(topic).is_some_and(|now| now != assigned))
    }
}

impl Consumer {
    /// `ConsumerCoordinator.rejoinNeededOrPending`
    pub(in crate::consumer) fn needs_to_join(&mut self) -> bool {
        let metadata = self.client.metadata();
        let Membership::Classic(member) = &mut self.membership else { return false };
        let count = |topic| metadata.partitions(topic).map(<[_]>::len);
        if !member.is_rejoining() && member.metadata_has_changed(count) {
            member.request_rejoin();
        }
        member.is_rejoining()
    }

    /// `joinGroupIfNeeded`
    pub(in crate::consumer) fn join_if_needed(&mut self, cx: &mut ConsumerCx<'_>) -> Joining {
        loop {
            if !self.needs_to_join() {
                return Joining::Done;
            }
            if !self.knows_coordinator(cx) {
                return Joining::Waiting;
            }
            let Membership::Classic(member) = &mut self.membership else { return Joining::Done };
            match std::mem::replace(&mut member.attempt, Attempt::None) {
                Attempt::None if member.rejoin_at > cx.now() => return Joining::Waiting,
                Attempt::None if member.needs_join_prepare => {
                    if !self.prepare(cx) {
                        return Joining::Waiting;
                    }
                    self.give_up_before_joining(cx);
                    if self.callback.is_some() {
                        return Joining::InCallback;
                    }
                }
                Attempt::None => {
                    self.send_join(cx);
                    return Joining::Waiting;
                }
                Attempt::Waiting => {
                    member.attempt = Attempt::Waiting;
                    return Joining::Waiting;
                }
                Attempt::Leading(join, version) => {
                    self.lead(cx, join, version);
                    return Joining::Waiting;
                }
                Attempt::Succeeded(assignment) => {
                    let is_member = !member.is_reset() && member.state == MemberState::Stable;
                    if !is_member {
                        let prepares_anew = self.prepares_anew();
                        if let Membership::Classic(member) = &mut self.membership {
                            member.reset(false, prepares_anew);
                        }
                        continue;
                    }
                    self.on_join_complete(cx, assignment);
                    if self.callback.is_some() {
                        return Joining::InCallback;
                    }
                }
                Attempt::Failed(error) => match self.after_failed_join(cx, error) {
                    None => {}
                    Some(joining) => return joining,
                },
            }
        }
    }

    fn after_failed_join(&mut self, cx: &mut ConsumerCx<'_>, error: ErrorCode) -> Option<Joining> {
        let wait = self.config().client.retry_backoff;
        let Membership::Classic(member) = &mut self.membership else { return None };
        member.request_rejoin();
        match error {
            ErrorCode::UnknownMemberId
            | ErrorCode::IllegalGeneration
            | ErrorCode::RebalanceInProgress
            | ErrorCode::MemberIdRequired => None,
            error if error.is_retriable() => {
                member.rejoin_at = cx.now() + wait;
                Some(Joining::Waiting)
            }
            error => Some(Joining::Failed(error)),
        }
    }

    // ---- before ---------------------------------------------------------------------------------

    /// Auto-commit before partitions are given up: whether it is over.
    fn prepare(&mut self, cx: &mut ConsumerCx<'_>) -> bool {
        if self.setup.config.auto_commit.is_none() {
            return true;
        }
        let now = cx.now();
        let limit = now + self.rebalance_timeout();
        let Membership::Classic(member) = &mut self.membership else { return true };
        let is_late = *member.prepared_by.get_or_insert(limit) <= now;
        match member.preparation {
            Preparation::Done => return true,
            Preparation::Committing(_) | Preparation::Backoff(_) if is_late => return true,
            Preparation::Committing(_) => return false,
            Preparation::Backoff(until) if until > now => return false,
            Preparation::None | Preparation::Backoff(_) => {}
        }
        let id = self.commits.allocate();
        member.preparation = Preparation::Committing(id);
        if !protocol_is_cooperative(&self.setup.config) {
            self.fetching.mark_pending_revocation();
        }
        let offsets = self.offsets_to_commit();
        self.commit_async(cx, id, offsets, CommitTrigger::AutoRevocation);
        let Membership::Classic(member) = &self.membership else { return true };
        member.preparation == Preparation::Done
    }

    /// A commit is over: if it was that of the preparation, a retriable failure is tried again.
    pub(in crate::consumer) fn on_preparation_committed(
        &mut self,
        cx: &mut ConsumerCx<'_>,
        id: u32,
        is_retriable: bool,
    ) {
        let retry_at = cx.now() + self.config().client.retry_backoff;
        if let Membership::Classic(member) = &mut self.membership
            && member.preparation == Preparation::Committing(id)
        {
            member.preparation =
                if is_retriable { Preparation::Backoff(retry_at) } else { Preparation::Done };
        }
    }

    /// The rest of `onJoinPrepare`: what is lost or, with an eager protocol, everything is given
    /// up.
    fn give_up_before_joining(&mut self, cx: &mut ConsumerCx<'_>) {
        let Membership::Classic(member) = &mut self.membership else { return };
        member.needs_join_prepare = false;
        member.preparation = Preparation::None;
        member.prepared_by = None;
        let lost = member.is_reset();
        if !lost && protocol_is_cooperative(&self.setup.config) {
            return;
        }
        let partitions = self.owned();
        self.call_back(cx, Callback::Revoked { partitions, lost });
    }

    /// The listener has returned: the partitions are given up.
    pub(in crate::consumer) fn after_revoked(
        &mut self,
        cx: &mut ConsumerCx<'_>,
        partitions: Arc<[TopicPartition]>,
        lost: bool,
    ) {
        self.fetching.assign(&[], FetchState::Initializing);
        if !partitions.is_empty() {
            cx.trace(|| TraceEvent::PartitionsRevoked { partitions, lost });
        }
        self.on_lost_given_up();
    }

    // ---- JoinGroup ------------------------------------------------------------------------------

    fn send_join(&mut self, cx: &mut ConsumerCx<'_>) {
        let protocols = self.protocols();
        let rebalance_timeout = self.rebalance_timeout();
        let Membership::Classic(member) = &mut self.membership else { return };
        member.state = MemberState::PreparingRebalance;
        member.attempt = Attempt::Waiting;
        member.attempt_number += 1;
        let (number, identity) = (member.attempt_number, member.identity);
        let request = JoinGroupRequest {
            group: self.setup.group,
            member: identity.member,
            instance: self.setup.instance,
            session_timeout: self.setup.config.session_timeout,
            rebalance_timeout,
            protocols,
            understands_member_id_required: self
                .config()
                .client
                .rules
                .has(ProtocolRule::MemberIdRequired),
        };
        let timeout =
            self.config().client.request_timeout.max(rebalance_timeout + JOIN_GROUP_TIMEOUT_LAPSE);
        let purpose = GroupPurpose::JoinGroup(number, identity);
        self.send_to_coordinator(cx, Request::JoinGroup(request), purpose, timeout);
    }

    /// What it says of itself under each protocol (`ConsumerCoordinator.metadata`). An eager sticky
    /// assignor sends what it remembers of the last assignment, the others what the member owns.
    fn protocols(&self) -> SmallVec<[(Assignor, Arc<Subscription>); 2]> {
        let carries_generation =
            self.config().client.rules.has(ProtocolRule::OwnedPartitionsCarryGeneration);
        let Membership::Classic(member) = &self.membership else { return SmallVec::new() };
        let topics = self.setup.topics.clone();
        let (remembered, generation) = &member.remembered;
        let said = |assignor: &Assignor| {
            let (owned, generation) = match assignor {
                Assignor::Sticky => (remembered.to_vec(), *generation),
                Assignor::Range | Assignor::RoundRobin | Assignor::CooperativeSticky => {
                    (self.owned().to_vec(), generation.filter(|_| carries_generation))
                }
            };
            (*assignor, Arc::new(Subscription { topics: topics.clone(), owned, generation }))
        };
        self.setup.config.assignors.iter().map(said).collect()
    }

    fn rebalance_timeout(&self) -> SimDuration {
        let config = &self.setup.config;
        config.max_poll_interval.unwrap_or(config.session_timeout)
    }

    /// `JoinGroupResponseHandler`; a JoinGroup that was lost is a `NETWORK_EXCEPTION`.
    pub(in crate::consumer) fn on_joined(
        &mut self,
        cx: &mut ConsumerCx<'_>,
        number: u32,
        sent: Identity,
        result: Result<JoinGroupResponse, ErrorCode>,
    ) {
        let Membership::Classic(member) = &mut self.membership else { return };
        if member.attempt_number != number {
            return;
        }
        let is_unchanged = member.identity == sent;
        let error = match result {
            Ok(join) if join.error.is_none() => {
                self.on_joined_generation(cx, join);
                return;
            }
            Ok(join) => {
                if join.error == ErrorCode::MemberIdRequired {
                    member.identity = Identity { generation: None, member: join.member };
                }
                join.error
            }
            Err(error) => error,
        };
        member.attempt = Attempt::Failed(error);
        match error {
            ErrorCode::UnknownMemberId if is_unchanged => self.lose_membership(cx, error, false),
            ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator => {
                self.mark_coordinator_unknown(cx, false);
            }
            _ => {}
        }
    }

    fn on_joined_generation(&mut self, cx: &mut ConsumerCx<'_>, join: JoinGroupResponse) {
        let Membership::Classic(member) = &mut self.membership else { return };
        if member.state != MemberState::PreparingRebalance {
            // It was reset meanwhile (`UnjoinedGroupException`).
            member.attempt = Attempt::Failed(ErrorCode::NetworkException);
            return;
        }
        member.state = MemberState::CompletingRebalance;
        member.heartbeat.reset(&self.setup.config, cx.now());
        member.identity = Identity { generation: Some(join.generation), member: join.member };
        member.protocol = join.protocol;
        if join.leader.is_some() && join.leader == join.member {
            let version = self.client.metadata().version();
            let unknown = self.watch_topics(&join);
            if unknown {
                self.client.request_update();
            }
            let version = if unknown { version } else { 0 };
            self.lead(cx, Box::new(join), version);
        } else {
            member.assigned_from = None;
            self.send_sync(cx, Vec::new());
        }
    }

    // ---- the leader -----------------------------------------------------------------------------

    /// The leader watches every topic that a member subscribes to (`updateGroupSubscription`).
    /// Whether some are not known.
    fn watch_topics(&mut self, join: &JoinGroupResponse) -> bool {
        let mut unknown = false;
        for topic in subscribed(join) {
            self.client.add_topic(topic);
            unknown |= self.client.metadata().partitions(topic).is_none();
        }
        unknown
    }

    /// Assigns, once the metadata is newer than `version` (`onLeaderElected`).
    fn lead(&mut self, cx: &mut ConsumerCx<'_>, join: Box<JoinGroupResponse>, version: u64) {
        let metadata = self.client.metadata();
        let Membership::Classic(member) = &mut self.membership else { return };
        if version != 0 && metadata.version() <= version {
            member.attempt = Attempt::Leading(join, version);
            return;
        }
        member.attempt = Attempt::Waiting;
        let count = |topic| metadata.partitions(topic).map_or(0, <[_]>::len);
        let snapshot: Vec<(TopicId, usize)> =
            subscribed(&join).into_iter().map(|topic| (topic, count(topic))).collect();
        let counts: PartitionCounts =
            snapshot.iter().map(|&(topic, count)| (topic, count as u16)).collect();
        member.assigned_from = Some(snapshot);
        let rules = self.config().client.rules;
        let assignments = match join.protocol {
            Some(assignor) if !join.skip_assignment => {
                assignor::assign(assignor, &join.members, &counts, rules)
            }
            Some(_) | None => Vec::new(),
        };
        self.send_sync(cx, assignments);
    }

    // ---- SyncGroup ------------------------------------------------------------------------------

    fn send_sync(
        &mut self,
        cx: &mut ConsumerCx<'_>,
        assignments: Vec<(MemberId, Arc<[TopicPartition]>)>,
    ) {
        let Membership::Classic(member) = &mut self.membership else { return };
        let (number, identity) = (member.attempt_number, member.identity);
        let (Some(generation), Some(id)) = (identity.generation, identity.member) else {
            member.attempt = Attempt::Failed(ErrorCode::IllegalGeneration);
            return;
        };
        member.attempt = Attempt::Waiting;
        let (group, instance) = (self.setup.group, self.setup.instance);
        let request = SyncGroupRequest { group, generation, member: id, instance, assignments };
        let timeout = self.config().client.request_timeout;
        let purpose = GroupPurpose::SyncGroup(number, identity);
        self.send_to_coordinator(cx, Request::SyncGroup(request), purpose, timeout);
    }

    /// `SyncGroupResponseHandler`; a SyncGroup that was lost is a `NETWORK_EXCEPTION`.
    pub(in crate::consumer) fn on_synced(
        &mut self,
        cx: &mut ConsumerCx<'_>,
        number: u32,
        sent: Identity,
        result: Result<SyncGroupResponse, ErrorCode>,
    ) {
        let Membership::Classic(member) = &mut self.membership else { return };
        if member.attempt_number != number {
            return;
        }
        let is_unchanged = member.identity == sent;
        let error = match result {
            Ok(sync) if sync.error.is_none() => {
                let is_in = member.state == MemberState::CompletingRebalance && !member.is_reset();
                if is_in {
                    member.state = MemberState::Stable;
                    member.rejoin_needed = false;
                    member.attempt = Attempt::Succeeded(sync.assignment);
                } else {
                    member.attempt = Attempt::Failed(ErrorCode::IllegalGeneration);
                }
                return;
            }
            Ok(sync) => sync.error,
            Err(error) => error,
        };
        member.attempt = Attempt::Failed(error);
        match error {
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration if is_unchanged => {
                self.lose_membership(cx, error, error == ErrorCode::IllegalGeneration);
            }
            ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator => {
                self.mark_coordinator_unknown(cx, false);
            }
            _ => {}
        }
    }

    // ---- after ----------------------------------------------------------------------------------

    /// `onJoinComplete`, up to the first call of the listener.
    fn on_join_complete(&mut self, cx: &mut ConsumerCx<'_>, assignment: Arc<[TopicPartition]>) {
        let Membership::Classic(member) = &self.membership else { return };
        let Identity { generation, member } = member.identity;
        let (group, instance) = (self.setup.group, self.setup.instance);
        self.group_metadata = GroupMembership { group, generation, member, instance };
        let owned = self.owned();
        let revoked: Arc<[TopicPartition]> =
            owned.iter().copied().filter(|partition| !assignment.contains(partition)).collect();
        if protocol_is_cooperative(&self.setup.config) && !revoked.is_empty() {
            self.call_back(cx, Callback::RevokedByAssignment { partitions: revoked, assignment });
        } else {
            self.take_assignment(cx, assignment);
        }
    }

    /// The listener has returned: what the assignment does not have is given up, to be handed to
    /// others by the next rebalance (KIP-429).
    pub(in crate::consumer) fn after_revoked_by_assignment(
        &mut self,
        cx: &mut ConsumerCx<'_>,
        partitions: Arc<[TopicPartition]>,
        assignment: Arc<[TopicPartition]>,
    ) {
        let kept: Vec<TopicPartition> =
            self.owned().iter().copied().filter(|owned| !partitions.contains(owned)).collect();
        self.fetching.assign(&kept, FetchState::Initializing);
        cx.trace(|| TraceEvent::PartitionsRevoked { partitions, lost: false });
        if let Membership::Classic(member) = &mut self.membership {
            member.request_rejoin();
        }
        if !self.goes_on_reconciling() {
            return;
        }
        self.take_assignment(cx, assignment);
    }

    pub(in crate::consumer) fn take_assignment(
        &mut self,
        cx: &mut ConsumerCx<'_>,
        assignment: Arc<[TopicPartition]>,
    ) {
        let owned = self.owned();
        let added: Arc<[TopicPartition]> =
            assignment.iter().copied().filter(|partition| !owned.contains(partition)).collect();
        self.restart_auto_commit(cx.now());
        self.fetching.assign(&assignment, FetchState::Initializing);
        if let Membership::Classic(member) = &mut self.membership {
            member.remembered = (Arc::clone(&assignment), member.identity.generation);
        }
        let identity = self.group_metadata;
        self.call_back(cx, Callback::Assigned { owned: assignment, added, of: identity });
    }

    /// The listener has returned: the member owns its partitions.
    pub(in crate::consumer) fn after_assigned(
        &mut self,
        cx: &mut ConsumerCx<'_>,
        owned: Arc<[TopicPartition]>,
        added: Arc<[TopicPartition]>,
        of: GroupMembership,
    ) {
        let GroupMembership { generation, member, .. } = of;
        cx.trace(|| TraceEvent::PartitionsAssigned { generation, member, owned, added });
        if let Membership::Classic(member) = &mut self.membership {
            member.attempt = Attempt::None;
            member.needs_join_prepare = true;
        }
        self.on_reconciled();
    }

    /// Calls the application's listener, unless there is nothing to tell it.
    pub(in crate::consumer) fn call_back(&mut self, cx: &mut ConsumerCx<'_>, callback: Callback) {
        let report = match &callback {
            Callback::Revoked { partitions, lost } => {
                let (partitions, lost) = (Arc::clone(partitions), *lost);
                (!partitions.is_empty()).then_some(ConsumerReport::Revoked { partitions, lost })
            }
            Callback::RevokedByAssignment { partitions, .. } => {
                let partitions = Arc::clone(partitions);
                Some(ConsumerReport::Revoked { partitions, lost: false })
            }
            Callback::Assigned { added, .. } => {
                let partitions = Arc::clone(added);
                (!partitions.is_empty()).then_some(ConsumerReport::Assigned { partitions })
            }
        };
        match report {
            Some(report) => {
                self.callback = Some(callback);
                cx.report(report);
            }
            None => self.after_callback(cx, callback),
        }
    }

    /// The listener has returned.
    pub(in crate::consumer) fn after_callback(
        &mut self,
        cx: &mut ConsumerCx<'_>,
        callback: Callback,
    ) {
        match callback {
            Callback::Revoked { partitions, lost } => self.after_revoked(cx, partitions, lost),
            Callback::RevokedByAssignment { partitions, assignment } => {
                self.after_revoked_by_assignment(cx, partitions, assignment);
            }
            Callback::Assigned { owned, added, of } => self.after_assigned(cx, owned, added, of),
        }
    }
}

/// The topics that somebody in the group subscribes to.
fn subscribed(join: &JoinGroupResponse) -> BTreeSet<TopicId> {
    let each = |member: &acklab_vocab::api::JoinGroupMember| member.subscription.topics.clone();
    join.members.iter().flat_map(each).collect()
}

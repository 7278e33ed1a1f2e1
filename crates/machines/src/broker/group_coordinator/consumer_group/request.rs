//! The coordinator at work on KIP-848 groups: requests, deadlines, what is written and what is
//! read.
//!
//! Mirrors `GroupCoordinatorService.consumerGroupHeartbeat` and the session and rebalance timeouts
//! of `GroupMetadataManager`. A group changes as soon as its records are written, and is answered
//! when they are replicated.
//!
//! Groups change their protocol only while they have no members; the offsets stay. A KIP-848 member
//! that joins a classic group with members gets GROUP_ID_NOT_FOUND, as in Kafka under the migration
//! policies `disabled` (the default up to 3.9) and `downgrade` (`validateOnlineUpgrade`); under
//! `bidirectional` (the default since 4.0) and `upgrade` Kafka converts the group. A classic member
//! that joins a KIP-848 group with members gets INCONSISTENT_GROUP_PROTOCOL; Kafka since 3.8 takes
//! it in under every policy (`classicGroupJoinToConsumerGroup`), and under `bidirectional` and
//! `downgrade` makes the group a classic one when the last KIP-848 member has left. A scenario in
//! which that would come up is warned of.

use super::heartbeat::{Answered, Deadlines, HeartbeatContext, check_request};
use super::{ConsumerGroup, assignor::PartitionCounts};
use crate::broker::coordination::plain_batch;
use crate::broker::group_coordinator::classic_group::ClassicGroup;
use crate::broker::group_coordinator::deadlines::Deadline;
use crate::broker::group_coordinator::sync::store_error;
use crate::broker::group_coordinator::write::GroupWrite;
use crate::broker::group_coordinator::{Group, GroupCoordinator};
use crate::broker::{Broker, BrokerCx, Requester};
use acklab_vocab::api::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, MemberEpoch, Response,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::group::GroupMetadataRecord;
use acklab_vocab::ids::{Generation, GroupId, MemberId, NodeId, TopicPartition};
use acklab_vocab::record::Payload;
use acklab_vocab::time::SimDuration;
use acklab_vocab::trace::{GroupState, RemovalReason, TraceEvent};
use std::sync::Arc;

/// What goes on when changes of a KIP-848 group have been written.
#[derive(Debug)]
pub(in crate::broker) struct ConsumerGroupWrite {
    /// Who is answered, and what; nobody after a deadline.
    pub(in crate::broker) answer: Option<(Requester, ConsumerGroupHeartbeatResponse)>,
    /// What is true when it is replicated.
    pub(in crate::broker) stored: Vec<TraceEvent>,
}

/// An answer that is an error.
fn refusal(error: ErrorCode) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse {
        error,
        member: None,
        epoch: Generation(0),
        heartbeat_interval: SimDuration::ZERO,
        assignment: None,
    }
}

impl Broker {
    pub(in crate::broker::group_coordinator) fn on_consumer_group_heartbeat(
        &mut self,
        cx: &mut BrokerCx<'_>,
        requester: Requester,
        request: &ConsumerGroupHeartbeatRequest,
    ) {
        if let Err(error) = self.consumer_group_heartbeat(cx, requester, request) {
            requester.answer(cx, Response::ConsumerGroupHeartbeat(refusal(error)));
        }
    }

    fn consumer_group_heartbeat(
        &mut self,
        cx: &mut BrokerCx<'_>,
        requester: Requester,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<(), ErrorCode> {
        if !self.shared.config.groups.consumer_protocol {
            return Err(ErrorCode::UnsupportedVersion);
        }
        let partition = self.coordinated_group(request.group)?;
        check_request(request, &self.shared.config.groups)?;
        self.prepare_consumer_group(cx, request, partition)?;
        let member = match request.member {
            Some(member) => member,
            None => MemberId(cx.rng().bits()),
        };
        let answered = self.decide(request.group, requester.from, |group, heartbeat| {
            group.heartbeat(heartbeat, request, member)
        })?;
        self.apply_to_consumer_group(cx, request.group, answered, Some(requester));
        Ok(())
    }

    /// Makes the group a KIP-848 one if somebody joins and it is new, or a classic one without
    /// members.
    ///
    /// # Errors
    /// - GROUP_ID_NOT_FOUND: there is no such KIP-848 group.
    fn prepare_consumer_group(
        &mut self,
        cx: &mut BrokerCx<'_>,
        request: &ConsumerGroupHeartbeatRequest,
        partition: TopicPartition,
    ) -> Result<(), ErrorCode> {
        let joins = request.epoch == MemberEpoch::Joining;
        let had_group = match self.group_coordinator.groups.get(&request.group) {
            Some(known) => match &known.group {
                Group::Consumer(_) => return Ok(()),
                Group::Classic(classic) if joins && classic.state == GroupState::Empty => true,
                Group::Classic(_) => return Err(ErrorCode::GroupIdNotFound),
            },
            None if joins => false,
            None => return Err(ErrorCode::GroupIdNotFound),
        };
        let known = self.group_coordinator.get_or_create(cx, request.group, partition);
        known.group = Group::Consumer(ConsumerGroup::default());
        self.group_coordinator.deadlines.cancel_group(request.group);
        if had_group {
            let record = GroupMetadataRecord { group: request.group, value: None };
            let batch = plain_batch(Payload::Group(Arc::new(record)));
            self.write_for_group(cx, partition, batch, GroupWrite::Nothing);
        }
        Ok(())
    }

    /// Has a KIP-848 group decide. It is not changed.
    fn decide(
        &self,
        group: GroupId,
        from: NodeId,
        decision: impl FnOnce(&ConsumerGroup, &HeartbeatContext<'_>) -> Result<Answered, ErrorCode>,
    ) -> Result<Answered, ErrorCode> {
        let Some(known) = self.consumer_group(group) else {
            return Err(ErrorCode::GroupIdNotFound);
        };
        let (config, topics) = (&self.shared.config.groups, &self.partition_counts());
        decision(known, &HeartbeatContext { group, from, config, topics })
    }

    /// How many partitions each topic has, as far as this broker knows.
    fn partition_counts(&self) -> PartitionCounts {
        let image = &self.shared.image;
        let count = |topic| u16::try_from(image.partition_count(topic)).ok();
        image.topics().filter_map(|topic| Some((topic, count(topic)?))).collect()
    }

    /// Changes a group as it has decided, and writes that.
    fn apply_to_consumer_group(
        &mut self,
        cx: &mut BrokerCx<'_>,
        id: GroupId,
        answered: Answered,
        requester: Option<Requester>,
    ) {
        let GroupCoordinator { groups, deadlines, .. } = &mut self.group_coordinator;
        let Some(known) = groups.get_mut(&id) else { return };
        let (partition, Group::Consumer(group)) = (known.partition, &mut known.group) else {
            return;
        };
        let Answered { records, response, member, facts, stored, subscribed, .. } = answered;
        let before = (group.state(), group.epoch);
        for record in &records {
            group.replay(record);
        }
        if subscribed.is_some() {
            group.subscribed = subscribed;
        }
        facts.into_iter().for_each(|fact| cx.trace(|| fact));
        let (state, generation) = (group.state(), group.epoch);
        if (state, generation) != before {
            cx.trace(|| TraceEvent::GroupStateChanged { group: id, state, generation });
        }
        let config = &self.shared.config.groups;
        let session = cx.now() + config.consumer_session_timeout;
        match answered.deadlines {
            Deadlines::Keep => {}
            Deadlines::Cancel => {
                deadlines.cancel(Deadline::Session(id, member));
                deadlines.cancel(Deadline::Revocation(id, member));
            }
            Deadlines::Session { revocation } => {
                deadlines.set(cx, Deadline::Session(id, member), session);
                match revocation {
                    None => {}
                    Some(None) => deadlines.cancel(Deadline::Revocation(id, member)),
                    Some(Some(timeout)) => {
                        let at = cx.now() + timeout;
                        deadlines.set(cx, Deadline::Revocation(id, member), at);
                    }
                }
            }
        }
        let answer = requester.map(|requester| (requester, response));
        match (records.is_empty(), answer) {
            (true, None) => {}
            (true, Some((requester, response))) => {
                let response = Response::ConsumerGroupHeartbeat(response);
                self.answer_after_writes(cx, partition, requester, response);
            }
            (false, answer) => {
                let write = ConsumerGroupWrite { answer, stored };
                let batch = plain_batch(Payload::ConsumerGroup(records.into()));
                self.write_for_group(cx, partition, batch, GroupWrite::Consumer(Box::new(write)));
            }
        }
    }

    /// A member of a KIP-848 group was silent for its session timeout.
    pub(in crate::broker::group_coordinator) fn expire_consumer_session(
        &mut self,
        cx: &mut BrokerCx<'_>,
        group: GroupId,
        member: MemberId,
    ) {
        self.remove_consumer_member(cx, group, member, RemovalReason::SessionExpired);
    }

    /// A member of a KIP-848 group has not given up partitions within its rebalance timeout.
    pub(in crate::broker::group_coordinator) fn expire_revocation(
        &mut self,
        cx: &mut BrokerCx<'_>,
        group: GroupId,
        member: MemberId,
    ) {
        let known = self.consumer_group(group).and_then(|group| group.members.get(&member));
        if known.is_some_and(super::Member::is_revoking) {
            self.remove_consumer_member(cx, group, member, RemovalReason::RebalanceTimeout);
        }
    }

    fn remove_consumer_member(
        &mut self,
        cx: &mut BrokerCx<'_>,
        group: GroupId,
        member: MemberId,
        reason: RemovalReason,
    ) {
        let from = cx.node();
        let removed =
            self.decide(group, from, |known, heartbeat| known.remove(heartbeat, member, reason));
        if let Ok(removed) = removed {
            self.apply_to_consumer_group(cx, group, removed, None);
        }
    }

    /// Deletes a KIP-848 group that has no members, but not its offsets, so that it can become a
    /// classic one.
    pub(in crate::broker::group_coordinator) fn delete_empty_consumer_group(
        &mut self,
        cx: &mut BrokerCx<'_>,
        group: GroupId,
    ) {
        let Some(known) = self.consumer_group(group) else { return };
        let tombstones = known.tombstones(group);
        let Some(known) = self.group_coordinator.groups.get_mut(&group) else { return };
        let partition = known.partition;
        known.group = Group::Classic(ClassicGroup::new(group, cx.now()));
        let batch = plain_batch(Payload::ConsumerGroup(tombstones.into()));
        self.write_for_group(cx, partition, batch, GroupWrite::Nothing);
    }

    /// Nobody waits for a write of a KIP-848 group any longer. What it makes true, it makes true
    /// later.
    pub(in crate::broker::group_coordinator) fn on_consumer_group_write_timed_out(
        &mut self,
        cx: &mut BrokerCx<'_>,
        write: ConsumerGroupWrite,
    ) -> ConsumerGroupWrite {
        let ConsumerGroupWrite { answer, stored } = write;
        if let Some((requester, _)) = answer {
            let error = store_error(self.shared.config.rules, ErrorCode::RequestTimedOut);
            requester.answer(cx, Response::ConsumerGroupHeartbeat(refusal(error)));
        }
        ConsumerGroupWrite { answer: None, stored }
    }

    /// Changes of a KIP-848 group have been written, or not.
    pub(in crate::broker::group_coordinator) fn on_consumer_group_written(
        &mut self,
        cx: &mut BrokerCx<'_>,
        write: ConsumerGroupWrite,
        result: Result<(), ErrorCode>,
    ) {
        let ConsumerGroupWrite { answer, stored } = write;
        if result.is_ok() {
            stored.into_iter().for_each(|fact| cx.trace(|| fact));
        }
        if let Some((requester, mut response)) = answer {
            if let Err(error) = result {
                response = refusal(store_error(self.shared.config.rules, error));
            }
            requester.answer(cx, Response::ConsumerGroupHeartbeat(response));
        }
    }

    /// A KIP-848 group has been read from the log: the sessions of its members begin anew.
    pub(in crate::broker::group_coordinator) fn on_consumer_group_loaded(
        &mut self,
        cx: &mut BrokerCx<'_>,
        id: GroupId,
    ) {
        let GroupCoordinator { groups, deadlines, .. } = &mut self.group_coordinator;
        let Some(known) = groups.get(&id) else { return };
        let Group::Consumer(group) = &known.group else { return };
        let session = cx.now() + self.shared.config.groups.consumer_session_timeout;
        for (member, revocation) in group.loaded() {
            deadlines.set(cx, Deadline::Session(id, member), session);
            if let Some(timeout) = revocation {
                let at = cx.now() + timeout;
                deadlines.set(cx, Deadline::Revocation(id, member), at);
            }
        }
        let (state, generation) = (group.state(), group.epoch);
        cx.trace(|| TraceEvent::GroupStateChanged { group: id, state, generation });
    }
}

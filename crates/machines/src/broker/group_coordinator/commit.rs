//! OffsetCommit: who may commit, and what becomes of it.
//!
//! Mirrors `GroupCoordinator.handleCommitOffsets`, `handleTxnCommitOffsets` and
//! `validateOffsetCommit`; `OffsetMetadataManager.commitOffset`, `commitTransactionalOffset` and
//! `ClassicGroup.validateOffsetCommit`; `KafkaApis.handleOffsetCommitRequest` for partitions that
//! do not exist.

use super::classic_group::ClassicGroup;
use super::offsets::{StoredOffsets, stored, told};
use super::write::GroupWrite;
use super::{CoordinatedGroup, Group};
use crate::broker::coordination::{payload_bytes, plain_batch};
use crate::broker::log::CoordinatorBatch;
use crate::broker::log::verification::VerificationGuard;
use crate::broker::{Broker, BrokerCx, Requester};
use acklab_vocab::api::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetToCommit, Response, TxnOffsetCommitRequest,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::group::OffsetRecord;
use acklab_vocab::ids::{
    BaseSequence, Generation, GroupId, GroupInstanceId, MemberId, NodeId, ProducerId,
    TopicPartition,
};
use acklab_vocab::record::{Payload, ProducerStamp};
use acklab_vocab::rules::{ProtocolRule, ProtocolRules};
use acklab_vocab::trace::{GroupState, TraceEvent};
use acklab_vocab::transaction::TransactionResult;
use std::sync::Arc;

/// Who a commit says that it is from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CommitIdentity {
    /// `None` (−1) of a consumer that is no member.
    pub generation: Option<Generation>,
    pub member: Option<MemberId>,
    pub instance: Option<GroupInstanceId>,
}

/// Whether a commit to a classic group may be accepted, in Kafka's order
/// (`ClassicGroup.validateOffsetCommit`).
///
/// # Errors
/// - COORDINATOR_NOT_AVAILABLE: the group is dead.
/// - UNKNOWN_MEMBER_ID: no such member; or none was said, while the group has members.
/// - FENCED_INSTANCE_ID: another process has the instance.
/// - ILLEGAL_GENERATION: of another generation.
/// - REBALANCE_IN_PROGRESS: the member has been told the new generation, but not its assignment.
pub(super) fn validate_commit(
    group: &ClassicGroup,
    identity: CommitIdentity,
    is_transactional: bool,
) -> Result<(), ErrorCode> {
    let CommitIdentity { generation, member, instance } = identity;
    if group.state == GroupState::Dead {
        return Err(ErrorCode::CoordinatorNotAvailable);
    }
    if generation.is_none() && group.state == GroupState::Empty {
        return Ok(());
    }
    if generation.is_some() || member.is_some() || instance.is_some() {
        group.validate_member(member, instance)?;
        if generation != Some(group.generation) {
            return Err(ErrorCode::IllegalGeneration);
        }
    } else if !is_transactional && group.state != GroupState::Empty {
        return Err(ErrorCode::UnknownMemberId);
    }
    if !is_transactional && group.state == GroupState::CompletingRebalance {
        return Err(ErrorCode::RebalanceInProgress);
    }
    Ok(())
}

/// Whether a commit to a group that the coordinator does not know may be accepted: then it makes a
/// group that only stores offsets.
///
/// # Errors
/// - ILLEGAL_GENERATION, or GROUP_ID_NOT_FOUND for clients that understand it: of a member.
pub(super) fn validate_commit_to_unknown(
    rules: ProtocolRules,
    identity: CommitIdentity,
    understands_not_found: bool,
) -> Result<(), ErrorCode> {
    match identity.generation {
        None => Ok(()),
        Some(_) if understands_not_found && rules.has(ProtocolRule::UnknownGroupIsNotFound) => {
            Err(ErrorCode::GroupIdNotFound)
        }
        Some(_) => Err(ErrorCode::IllegalGeneration),
    }
}

/// What a member is told when its commit could not be written (`maybeConvertOffsetCommitError`,
/// `CoordinatorOperationExceptionHelper`).
pub(super) fn write_error(rules: ProtocolRules, error: ErrorCode) -> ErrorCode {
    let is_event_loop = rules.has(ProtocolRule::EventLoopGroupCoordinator);
    match error {
        ErrorCode::NetworkException => ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::UnknownTopicOrPartition
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::NotEnoughReplicasAfterAppend => ErrorCode::CoordinatorNotAvailable,
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::RequestTimedOut if is_event_loop => ErrorCode::CoordinatorNotAvailable,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge if is_event_loop => {
            ErrorCode::UnknownServerError
        }
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => {
            ErrorCode::InvalidCommitOffsetSize
        }
        other => other,
    }
}

/// A commit that has not been answered.
#[derive(Debug)]
pub(in crate::broker) struct CommitAnswer {
    requester: Requester,
    identity: CommitIdentity,
    /// As the request has them.
    requested: Arc<[OffsetToCommit]>,
    is_transactional: bool,
}

/// A commit that is being written.
#[derive(Debug)]
pub(in crate::broker) struct CommitWrite {
    group: GroupId,
    /// Whose transaction it belongs to.
    producer: Option<ProducerId>,
    offsets: StoredOffsets,
    from: NodeId,
    /// `None` once it has been answered.
    answer: Option<CommitAnswer>,
}

impl Broker {
    pub(super) fn on_offset_commit(
        &mut self,
        cx: &mut BrokerCx<'_>,
        requester: Requester,
        request: &OffsetCommitRequest,
    ) {
        let OffsetCommitRequest { group, generation, member, instance, .. } = *request;
        let identity = CommitIdentity { generation, member, instance };
        let requested = Arc::clone(&request.offsets);
        let answer = CommitAnswer { requester, identity, requested, is_transactional: false };
        let offsets = self.existing_partitions(&request.offsets);
        if offsets.is_empty() {
            self.answer_commit(cx, group, answer, ErrorCode::None);
            return;
        }
        let partition = match self.accept_commit(cx, request, identity) {
            Ok(partition) => partition,
            Err(error) => {
                self.answer_commit(cx, group, answer, error);
                return;
            }
        };
        self.write_commit(cx, (group, partition), offsets, answer);
    }

    /// Those offsets whose partitions exist.
    fn existing_partitions(&self, offsets: &Arc<[OffsetToCommit]>) -> Arc<[OffsetToCommit]> {
        let exists =
            |offset: &&OffsetToCommit| self.shared.image.partition(offset.partition).is_some();
        if offsets.iter().all(|offset| exists(&offset)) {
            return Arc::clone(offsets);
        }
        offsets.iter().filter(exists).copied().collect()
    }

    /// Judges a commit; an accepted one counts as a heartbeat.
    fn accept_commit(
        &mut self,
        cx: &mut BrokerCx<'_>,
        request: &OffsetCommitRequest,
        identity: CommitIdentity,
    ) -> Result<TopicPartition, ErrorCode> {
        let group = request.group;
        let partition = self.coordinated_group(group)?;
        let rules = self.shared.config.rules;
        match self.group_coordinator.groups.get(&group).map(|known| &known.group) {
            None => {
                let understands = request.understands_member_epochs;
                validate_commit_to_unknown(rules, identity, understands)?;
                self.group_coordinator.get_or_create(cx, group, partition);
            }
            Some(Group::Consumer(group)) => {
                group.validate_commit(identity.member, identity.generation)?;
            }
            Some(Group::Classic(known)) => {
                validate_commit(known, identity, false)?;
                if known.state != GroupState::Empty
                    && let Some(member) = identity.member
                    && let Some(mut operation) = self.classic(cx, group)
                {
                    operation.restart_session(member);
                }
            }
        }
        Ok(partition)
    }

    fn write_commit(
        &mut self,
        cx: &mut BrokerCx<'_>,
        (group, partition): (GroupId, TopicPartition),
        offsets: Arc<[OffsetToCommit]>,
        answer: CommitAnswer,
    ) {
        let number = self.group_coordinator.next_write();
        let offsets = stored(&offsets, number, cx.now());
        let batch = plain_batch(payload(group, &offsets));
        let is_event_loop = self.shared.has(ProtocolRule::EventLoopGroupCoordinator);
        if let Some(known) = self.group_coordinator.groups.get_mut(&group) {
            match is_event_loop {
                true => known.offsets.write(&offsets),
                false => known.offsets.stage(&offsets),
            }
        }
        let from = answer.requester.from;
        let write = CommitWrite { group, producer: None, offsets, from, answer: Some(answer) };
        self.write_for_group(cx, partition, batch, GroupWrite::Commit(Box::new(write)));
    }

    /// Commits offsets in a transaction, which may have been verified: `guard` is the proof. The
    /// offsets are pending until [`Broker::complete_transactional_offsets`].
    pub(in crate::broker) fn commit_transactional_offsets(
        &mut self,
        cx: &mut BrokerCx<'_>,
        requester: Requester,
        request: &TxnOffsetCommitRequest,
        guard: Option<VerificationGuard>,
    ) {
        let partition = match self.accept_transactional_commit(cx, request) {
            Ok(partition) => partition,
            Err(error) => {
                self.refuse_transactional_commit(cx, requester, request, error);
                return;
            }
        };
        let offsets = self.existing_partitions(&request.offsets);
        if offsets.is_empty() {
            self.refuse_transactional_commit(cx, requester, request, ErrorCode::None);
            return;
        }
        let number = self.group_coordinator.next_write();
        let offsets = stored(&offsets, number, cx.now());
        let payload = payload(request.group, &offsets);
        let batch = CoordinatorBatch {
            size: payload_bytes(&payload),
            payload,
            stamp: Some(ProducerStamp {
                id: request.producer_id,
                epoch: request.producer_epoch,
                base_sequence: BaseSequence(0),
            }),
            transactional: true,
            guard,
            version_2: false,
        };
        let from = requester.from;
        if let Some(known) = self.group_coordinator.groups.get_mut(&request.group) {
            known.offsets.prepare(request.producer_id, Some(from), &offsets);
        }
        let write = CommitWrite {
            group: request.group,
            producer: Some(request.producer_id),
            offsets,
            from,
            answer: Some(transactional_answer(requester, request)),
        };
        self.write_for_group(cx, partition, batch, GroupWrite::Commit(Box::new(write)));
    }

    /// Answers a TxnOffsetCommit of which nothing is written, with an error in a member's words.
    pub(in crate::broker) fn refuse_transactional_commit(
        &self,
        cx: &mut BrokerCx<'_>,
        requester: Requester,
        request: &TxnOffsetCommitRequest,
        error: ErrorCode,
    ) {
        let error = write_error(self.shared.config.rules, error);
        let answer = transactional_answer(requester, request);
        self.answer_commit(cx, request.group, answer, error);
    }

    fn accept_transactional_commit(
        &mut self,
        cx: &mut BrokerCx<'_>,
        request: &TxnOffsetCommitRequest,
    ) -> Result<TopicPartition, ErrorCode> {
        let TxnOffsetCommitRequest { group, generation, member, instance, .. } = *request;
        let partition = self.coordinated_group(group)?;
        let rules = self.shared.config.rules;
        let is_event_loop = rules.has(ProtocolRule::EventLoopGroupCoordinator);
        let is_known = self.group_coordinator.groups.contains_key(&group);
        if !is_known && is_event_loop && generation.is_some() {
            return Err(ErrorCode::IllegalGeneration);
        }
        let known = self.group_coordinator.get_or_create(cx, group, partition);
        if !rules.has(ProtocolRule::FenceTransactionalOffsets) {
            return Ok(partition);
        }
        let instance = instance.filter(|_| rules.has(ProtocolRule::StaticMembership));
        let identity = CommitIdentity { generation, member, instance };
        match &known.group {
            Group::Classic(group) => validate_commit(group, identity, true)?,
            Group::Consumer(_) if generation.is_none() && member.is_none() => {}
            Group::Consumer(group) => match group.validate_commit(member, generation) {
                // TxnOffsetCommit has no version that knows member epochs.
                Err(ErrorCode::StaleMemberEpoch) => return Err(ErrorCode::IllegalGeneration),
                judged => judged?,
            },
        }
        Ok(partition)
    }

    /// A commit has been written, or could not be.
    pub(super) fn on_commit_written(
        &mut self,
        cx: &mut BrokerCx<'_>,
        write: CommitWrite,
        result: Result<(), ErrorCode>,
    ) {
        let CommitWrite { group, producer, offsets, from, answer } = write;
        let rules = self.shared.config.rules;
        if let Some(known) = self.group_coordinator.groups.get_mut(&group) {
            if producer.is_none() {
                known.offsets.unstage(&offsets);
            }
            match (producer, result) {
                (None, Ok(())) => {
                    let newest = known.offsets.commit(&offsets);
                    let offsets = told(&newest);
                    let from = Some(from);
                    cx.trace(|| TraceEvent::OffsetsCommitted { group, from, offsets });
                }
                (None, Err(_)) => known.offsets.revert(&offsets),
                (Some(_), Ok(())) => {}
                (Some(producer), Err(_)) => known.offsets.fail(producer, &offsets),
            }
        }
        if let Some(answer) = answer {
            let error = result.err().map_or(ErrorCode::None, |error| write_error(rules, error));
            self.answer_commit(cx, group, answer, error);
        }
    }

    /// A commit of the event-loop coordinator has waited too long: it fails for the client, and
    /// counts when the high watermark passes it. What is left to do then is returned.
    pub(super) fn on_commit_timed_out(
        &mut self,
        cx: &mut BrokerCx<'_>,
        mut write: CommitWrite,
    ) -> CommitWrite {
        if let Some(answer) = write.answer.take() {
            let error = write_error(self.shared.config.rules, ErrorCode::RequestTimedOut);
            self.answer_commit(cx, write.group, answer, error);
        }
        write
    }

    /// Answers a commit, with one outcome for every partition that exists, and says what was
    /// answered.
    fn answer_commit(
        &self,
        cx: &mut BrokerCx<'_>,
        group: GroupId,
        answer: CommitAnswer,
        error: ErrorCode,
    ) {
        let CommitAnswer { requester, identity, requested, is_transactional } = answer;
        let image = &self.shared.image;
        let outcome = |offset: &OffsetToCommit| match image.partition(offset.partition) {
            Some(_) => (offset.partition, error),
            None => (offset.partition, ErrorCode::UnknownTopicOrPartition),
        };
        let partitions = requested.iter().map(outcome).collect();
        let response = OffsetCommitResponse { partitions };
        let exists = |offset: &OffsetToCommit| image.partition(offset.partition).is_some();
        let none_exists = !requested.is_empty() && !requested.iter().any(exists);
        requester.answer(
            cx,
            match is_transactional {
                true => Response::TxnOffsetCommit(response),
                false => Response::OffsetCommit(response),
            },
        );
        cx.trace(|| TraceEvent::CommitAnswered {
            group,
            member: identity.member,
            from: requester.from,
            generation: identity.generation,
            error: if none_exists { ErrorCode::UnknownTopicOrPartition } else { error },
            offsets: requested,
            transactional: is_transactional,
        });
    }

    /// A transaction's marker is about to be appended to a partition of `__consumer_offsets`, for
    /// the event-loop coordinator (`CoordinatorRuntime.completeTransaction`): what lingers is
    /// written before it.
    ///
    /// # Errors
    /// - NOT_LEADER_OR_FOLLOWER: the broker does not coordinate by it yet, or any more; a
    ///   transaction's coordinator knows no other word for that.
    pub(in crate::broker) fn prepare_group_marker(
        &mut self,
        cx: &mut BrokerCx<'_>,
        partition: TopicPartition,
    ) -> Result<(), ErrorCode> {
        let coordinates = self.coordinated_by_partition(partition);
        coordinates.map_err(|_| ErrorCode::NotLeaderOrFollower)?;
        self.flush_group_batch(cx, partition);
        Ok(())
    }

    /// A marker in a partition of `__consumer_offsets` is replicated: what its producer's
    /// transaction has committed is decided, and visible. Kafka's event-loop coordinator decides at
    /// the append, so that who asks for stable offsets between the two waits instead of coming
    /// again.
    pub(in crate::broker) fn complete_transactional_offsets(
        &mut self,
        cx: &mut BrokerCx<'_>,
        partition: TopicPartition,
        producer: ProducerId,
        result: TransactionResult,
    ) {
        let ended = self.end_transactions(partition, producer, result);
        self.show_ended_transactions(cx, ended);
    }

    /// Decides what a producer's transaction has committed, group by group.
    fn end_transactions(
        &mut self,
        partition: TopicPartition,
        producer: ProducerId,
        result: TransactionResult,
    ) -> Vec<EndedTransaction> {
        let groups = self.group_coordinator.groups.iter_mut();
        let here = groups.filter(|(_, known)| known.partition == partition);
        let ended = here.filter_map(|(&group, known)| {
            let (from, offsets) = known.offsets.end_transaction(producer, result)?;
            Some(EndedTransaction { group, from, offsets })
        });
        ended.collect()
    }

    /// What committed transactions have brought is visible from now on.
    pub(super) fn show_ended_transactions(
        &mut self,
        cx: &mut BrokerCx<'_>,
        ended: Vec<EndedTransaction>,
    ) {
        for EndedTransaction { group, from, offsets } in ended {
            let known = self.group_coordinator.groups.get_mut(&group);
            let Some(CoordinatedGroup { offsets: known, .. }) = known else { continue };
            let newest = known.commit(&offsets);
            let offsets = match from {
                Some(_) => told(&newest),
                None => known.told(),
            };
            cx.trace(|| TraceEvent::OffsetsCommitted { group, from, offsets });
        }
    }
}

/// What a committed transaction brings to a group.
#[derive(Debug)]
pub(in crate::broker) struct EndedTransaction {
    group: GroupId,
    /// Who asked for it; `None` if that was read from the log.
    from: Option<NodeId>,
    offsets: StoredOffsets,
}

impl EndedTransaction {
    /// What a transaction of `from` brings to `group`.
    pub(super) fn new(group: GroupId, from: Option<NodeId>, offsets: StoredOffsets) -> Self {
        EndedTransaction { group, from, offsets }
    }
}

fn transactional_answer(requester: Requester, request: &TxnOffsetCommitRequest) -> CommitAnswer {
    let TxnOffsetCommitRequest { generation, member, instance, .. } = *request;
    CommitAnswer {
        requester,
        identity: CommitIdentity { generation, member, instance },
        requested: Arc::clone(&request.offsets),
        is_transactional: true,
    }
}

fn payload(group: GroupId, offsets: &StoredOffsets) -> Payload {
    let record = |&(partition, stored): &(TopicPartition, super::offsets::StoredOffset)| {
        OffsetRecord { group, partition, committed: Some(stored.committed) }
    };
    Payload::Offsets(offsets.iter().map(record).collect())
}

#[cfg(test)]
mod tests;

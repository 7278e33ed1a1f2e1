//! The requests of a transactional producer and what it makes of the answers: `TxnRequestHandler`
//! and its subclasses (KIP-98, KIP-360, KIP-447, KIP-588, KIP-890).
//!
//! What an error code means is a pure table, [`reaction`] and [`reaction_to_commit`]. Left out:
//! codes of authorization.

use super::transaction_manager::{IdAndEpoch, TransactionManager};
use super::transaction_state::State;
use super::transactions::{Transactions, Waiter};
use crate::consumer::GroupMembership;
use acklab_vocab::api::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, CoordinatorKey,
    EndTxnRequest, EndTxnResponse, FindCoordinatorRequest, FindCoordinatorResponse,
    InitProducerIdRequest, InitProducerIdResponse, OffsetCommitResponse, OffsetToCommit, Request,
    Response, TxnOffsetCommitRequest,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::TopicPartition;
use acklab_vocab::rules::{ProtocolRule, ProtocolRules};
use acklab_vocab::time::SimDuration;
use acklab_vocab::transaction::TransactionResult;
use std::sync::Arc;

/// The pause before AddPartitionsToTxn is sent again when the previous transaction is still
/// completing (`ADD_PARTITIONS_RETRY_BACKOFF_MS`).
const ADD_PARTITIONS_RETRY_BACKOFF: SimDuration = SimDuration::from_millis(20);

/// What is asked. Ids and epochs are those of the moment at which the request was queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RequestKind {
    /// Of any broker.
    FindCoordinator(CoordinatorKey),
    /// For the first id and epoch, or for the epoch after `current`.
    InitProducerId { current: Option<IdAndEpoch> },
    /// Ascending.
    AddPartitions { id: IdAndEpoch, partitions: Vec<TopicPartition> },
    /// To be followed by `CommitOffsets`.
    AddOffsets { id: IdAndEpoch, offsets: Arc<[OffsetToCommit]>, membership: GroupMembership },
    /// Of the group's coordinator.
    CommitOffsets { id: IdAndEpoch, offsets: Arc<[OffsetToCommit]>, membership: GroupMembership },
    /// The end.
    EndTransaction { id: IdAndEpoch, result: TransactionResult },
}

/// A request that is queued, held back or in flight (`TxnRequestHandler`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TransactionRequest {
    pub kind: RequestKind,
    pub waiter: Waiter,
    /// It was put back before: a pause comes first.
    pub is_retry: bool,
    /// A pause shorter than `retry.backoff.ms`.
    short_pause: bool,
}

impl TransactionRequest {
    pub const fn new(kind: RequestKind, waiter: Waiter) -> Self {
        TransactionRequest { kind, waiter, is_retry: false, short_pause: false }
    }

    /// Smaller goes first (`TransactionManager.Priority`).
    pub const fn priority(&self) -> u8 {
        match self.kind {
            RequestKind::FindCoordinator(_) => 0,
            RequestKind::InitProducerId { current: None } => 1,
            RequestKind::AddPartitions { .. }
            | RequestKind::AddOffsets { .. }
            | RequestKind::CommitOffsets { .. } => 2,
            RequestKind::EndTransaction { .. } => 3,
            RequestKind::InitProducerId { current: Some(_) } => 4,
        }
    }

    pub const fn ends_transaction(&self) -> bool {
        matches!(self.kind, RequestKind::EndTransaction { .. })
    }

    /// How long the sender sleeps before it sends the request again.
    pub fn pause(&self, retry_backoff: SimDuration) -> SimDuration {
        match self.short_pause {
            true => retry_backoff.min(ADD_PARTITIONS_RETRY_BACKOFF),
            false => retry_backoff,
        }
    }
}

/// What an error code makes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// It is done.
    Done,
    /// Again, at the coordinator that is to be found first.
    FindCoordinator,
    /// Again, after `retry.backoff.ms`.
    Retry,
    /// Again, after a pause that depends on whether the transaction has partitions yet.
    RetryConcurrent,
    /// The transaction has to be aborted.
    Abortable,
    /// The same, if the producer can get another epoch.
    AbortableIfPossible,
    /// The producer has to be closed.
    Fatal(ErrorCode),
}

/// What the transaction's coordinator means.
pub(super) const fn reaction(
    kind: &RequestKind,
    error: ErrorCode,
    rules: ProtocolRules,
) -> Reaction {
    let adds_partitions = matches!(kind, RequestKind::AddPartitions { .. });
    let initializes = matches!(kind, RequestKind::InitProducerId { .. });
    match error {
        ErrorCode::None => Reaction::Done,
        ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator => Reaction::FindCoordinator,
        ErrorCode::ConcurrentTransactions if adds_partitions => Reaction::RetryConcurrent,
        retriable if retriable.is_retriable() => Reaction::Retry,
        ErrorCode::InvalidProducerEpoch | ErrorCode::ProducerFenced => {
            Reaction::Fatal(ErrorCode::ProducerFenced)
        }
        ErrorCode::TransactionAbortable if rules.has(ProtocolRule::TransactionAbortableError) => {
            Reaction::Abortable
        }
        ErrorCode::UnknownProducerId if !initializes => Reaction::AbortableIfPossible,
        ErrorCode::InvalidProducerIdMapping
            if !initializes && !rules.has(ProtocolRule::ProducerIdMappingErrorIsFatal) =>
        {
            Reaction::AbortableIfPossible
        }
        ErrorCode::InvalidTxnState | ErrorCode::InvalidProducerIdMapping => Reaction::Fatal(error),
        _ if adds_partitions => Reaction::Abortable,
        _ => Reaction::Fatal(error),
    }
}

/// What the group's coordinator means about one partition of TxnOffsetCommit.
pub(super) const fn reaction_to_commit(error: ErrorCode, rules: ProtocolRules) -> Reaction {
    match error {
        ErrorCode::None => Reaction::Done,
        ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator
        | ErrorCode::RequestTimedOut => Reaction::FindCoordinator,
        retriable if retriable.is_retriable() => Reaction::Retry,
        ErrorCode::FencedInstanceId | ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration
            if rules.has(ProtocolRule::FenceTransactionalOffsets) =>
        {
            Reaction::Abortable
        }
        ErrorCode::TransactionAbortable if rules.has(ProtocolRule::TransactionAbortableError) => {
            Reaction::Abortable
        }
        ErrorCode::InvalidProducerEpoch | ErrorCode::ProducerFenced => {
            Reaction::Fatal(ErrorCode::ProducerFenced)
        }
        _ => Reaction::Fatal(error),
    }
}

impl Transactions {
    /// Who answers a request; `None` if any broker does.
    pub fn coordinator_key(&self, request: &TransactionRequest) -> Option<CoordinatorKey> {
        match &request.kind {
            RequestKind::FindCoordinator(_) => None,
            RequestKind::CommitOffsets { membership, .. } => {
                Some(CoordinatorKey::Group(membership.group))
            }
            RequestKind::InitProducerId { .. }
            | RequestKind::AddPartitions { .. }
            | RequestKind::AddOffsets { .. }
            | RequestKind::EndTransaction { .. } => Some(CoordinatorKey::Transaction(self.id)),
        }
    }

    /// The request as it travels.
    pub fn build(&self, kind: &RequestKind) -> Request {
        let transactional_id = self.id;
        match kind {
            RequestKind::FindCoordinator(key) => {
                Request::FindCoordinator(FindCoordinatorRequest { key: *key })
            }
            RequestKind::InitProducerId { current } => {
                let transactional = Some((transactional_id, self.timeout));
                Request::InitProducerId(InitProducerIdRequest { transactional, current: *current })
            }
            RequestKind::AddPartitions { id, partitions } => {
                Request::AddPartitionsToTxn(AddPartitionsToTxnRequest {
                    transactional_id,
                    producer_id: id.0,
                    producer_epoch: id.1,
                    partitions: partitions.clone(),
                    verify_only: false,
                })
            }
            RequestKind::AddOffsets { id, membership, .. } => {
                Request::AddOffsetsToTxn(AddOffsetsToTxnRequest {
                    transactional_id,
                    producer_id: id.0,
                    producer_epoch: id.1,
                    group: membership.group,
                })
            }
            RequestKind::CommitOffsets { id, offsets, membership } => {
                let fences = self.rules().has(ProtocolRule::FenceTransactionalOffsets);
                Request::TxnOffsetCommit(TxnOffsetCommitRequest {
                    transactional_id,
                    group: membership.group,
                    producer_id: id.0,
                    producer_epoch: id.1,
                    generation: membership.generation.filter(|_| fences),
                    member: membership.member.filter(|_| fences),
                    instance: membership.instance.filter(|_| fences),
                    offsets: Arc::clone(offsets),
                    transaction_support: self.support(),
                })
            }
            RequestKind::EndTransaction { id, result } => Request::EndTxn(EndTxnRequest {
                transactional_id,
                producer_id: id.0,
                producer_epoch: id.1,
                result: *result,
                version_2: self.is_version_2(),
            }),
        }
    }

    /// The request in flight was lost with its connection.
    pub fn on_lost(&mut self) {
        let Some(request) = self.in_flight.take() else { return };
        self.look_up_and_retry(request);
    }

    /// Sends a request again, once its coordinator has been found anew.
    pub fn look_up_and_retry(&mut self, request: TransactionRequest) {
        if let Some(key) = self.coordinator_key(&request) {
            self.look_up(key);
        }
        self.retry(request);
    }

    fn fatal(&mut self, request: &TransactionRequest, error: ErrorCode) {
        self.transition_to_fatal_error(error);
        self.settle(request.waiter, Err(error));
    }

    fn abortable(&mut self, request: &TransactionRequest, error: ErrorCode) {
        self.transition_to_abortable_error(error);
        self.settle(request.waiter, Err(error));
    }

    /// Does what `reaction` says, but for [`Reaction::Done`].
    fn react(&mut self, mut request: TransactionRequest, reaction: Reaction, error: ErrorCode) {
        match reaction {
            Reaction::Done => {}
            Reaction::FindCoordinator => self.look_up_and_retry(request),
            Reaction::Retry => {
                request.short_pause = false;
                self.retry(request);
            }
            Reaction::RetryConcurrent => {
                request.short_pause = self.partitions.is_empty();
                self.retry(request);
            }
            Reaction::Abortable => self.abortable(&request, error),
            Reaction::AbortableIfPossible => {
                self.abortable_error_if_possible(error);
                self.settle(request.waiter, Err(error));
            }
            Reaction::Fatal(error) => self.fatal(&request, error),
        }
    }

    fn on_find_coordinator(
        &mut self,
        request: TransactionRequest,
        key: CoordinatorKey,
        answer: &FindCoordinatorResponse,
    ) {
        let error = answer.error;
        match (error, answer.coordinator) {
            (ErrorCode::None, Some((broker, _))) => match key {
                CoordinatorKey::Group(_) => self.group_coordinator = Some(broker),
                CoordinatorKey::Transaction(_) => self.coordinator = Some(broker),
            },
            _ if error.is_none() || error.is_retriable() => self.retry(request),
            (ErrorCode::TransactionAbortable, _) => self.abortable(&request, error),
            _ => self.fatal(&request, error),
        }
    }

    fn on_add_partitions(
        &mut self,
        request: TransactionRequest,
        answer: &AddPartitionsToTxnResponse,
    ) {
        let mut refused = None;
        for &(_, error) in &answer.partitions {
            match reaction(&request.kind, error, self.rules()) {
                Reaction::Done => {}
                // Other partitions may have an error that weighs more.
                Reaction::Abortable if error != ErrorCode::TransactionAbortable => {
                    refused = Some(error);
                }
                other => return self.react(request, other, error),
            }
        }
        for &(partition, _) in &answer.partitions {
            self.pending_partitions.remove(&partition);
        }
        match refused {
            Some(error) => self.abortable(&request, error),
            None => {
                self.partitions.extend(answer.partitions.iter().map(|&(partition, _)| partition));
                self.started = true;
            }
        }
    }

    fn on_add_offsets(&mut self, request: TransactionRequest, error: ErrorCode) {
        let reaction = reaction(&request.kind, error, self.rules());
        match request.kind {
            RequestKind::AddOffsets { id, ref offsets, membership }
                if reaction == Reaction::Done =>
            {
                self.commit_offsets(id, offsets, membership, request.waiter);
                self.started = true;
            }
            _ => self.react(request, reaction, error),
        }
    }

    fn on_commit_offsets(&mut self, request: TransactionRequest, answer: &OffsetCommitResponse) {
        let mut looked_up = false;
        for &(partition, error) in &answer.partitions {
            match reaction_to_commit(error, self.rules()) {
                Reaction::Done => {
                    self.pending_offsets.remove(&partition);
                }
                Reaction::FindCoordinator => {
                    if !std::mem::replace(&mut looked_up, true)
                        && let Some(key) = self.coordinator_key(&request)
                    {
                        self.look_up(key);
                    }
                }
                Reaction::Retry | Reaction::RetryConcurrent => {}
                failed @ (Reaction::Abortable
                | Reaction::AbortableIfPossible
                | Reaction::Fatal(_)) => {
                    self.pending_offsets.clear();
                    return self.react(request, failed, error);
                }
            }
        }
        match self.pending_offsets.is_empty() {
            true => self.settle(request.waiter, Ok(())),
            false => self.retry(request),
        }
    }
}

impl TransactionManager {
    /// The answer to the transactional request in flight. Returns the id and epoch that it brought.
    pub fn on_transactional_response(&mut self, response: &Response) -> Option<IdAndEpoch> {
        let transactions = self.transactions.as_mut()?;
        let request = transactions.in_flight.take()?;
        match (&request.kind, response) {
            (&RequestKind::FindCoordinator(key), Response::FindCoordinator(answer)) => {
                transactions.on_find_coordinator(request, key, answer);
            }
            (&RequestKind::InitProducerId { current }, Response::InitProducerId(answer)) => {
                return self.on_init(request, current.is_some(), answer);
            }
            (RequestKind::AddPartitions { .. }, Response::AddPartitionsToTxn(answer)) => {
                transactions.on_add_partitions(request, answer);
            }
            (RequestKind::AddOffsets { .. }, Response::AddOffsetsToTxn(answer)) => {
                transactions.on_add_offsets(request, answer.error);
            }
            (RequestKind::CommitOffsets { .. }, Response::TxnOffsetCommit(answer)) => {
                transactions.on_commit_offsets(request, answer);
            }
            (RequestKind::EndTransaction { .. }, Response::EndTxn(answer)) => {
                return self.on_end(request, *answer);
            }
            (asked, other) => unreachable!("answered {asked:?} with {other:?}"),
        }
        None
    }

    /// `InitProducerIdHandler`
    fn on_init(
        &mut self,
        request: TransactionRequest,
        is_epoch_bump: bool,
        answer: &InitProducerIdResponse,
    ) -> Option<IdAndEpoch> {
        let transactions = self.transactions.as_mut()?;
        let reaction = reaction(&request.kind, answer.error, transactions.rules());
        if reaction != Reaction::Done {
            transactions.react(request, reaction, answer.error);
            return None;
        }
        transactions.transition_to(State::Ready);
        transactions.settle(request.waiter, Ok(()));
        let id = (answer.producer_id, answer.producer_epoch);
        self.assign_id(id.0, id.1);
        if is_epoch_bump {
            self.reset_sequences();
        }
        Some(id)
    }

    /// `EndTxnHandler`
    fn on_end(
        &mut self,
        request: TransactionRequest,
        answer: EndTxnResponse,
    ) -> Option<IdAndEpoch> {
        let transactions = self.transactions.as_mut()?;
        let reaction = reaction(&request.kind, answer.error, transactions.rules());
        if reaction != Reaction::Done {
            transactions.react(request, reaction, answer.error);
            return None;
        }
        transactions.complete_transaction();
        if !transactions.has_fatal_error() {
            transactions.settle(request.waiter, Ok(()));
        }
        let next = answer.next.filter(|_| transactions.is_version_2())?;
        self.assign_id(next.0, next.1);
        self.reset_sequences();
        Some(next)
    }
}

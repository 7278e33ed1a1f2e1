//! AddPartitionsToTxn and AddOffsetsToTxn: the transaction begins, or grows.
//!
//! Mirrors `TransactionCoordinator.handleAddPartitionsToTransaction` and
//! `handleVerifyPartitionsInTransaction` (KIP-890), and what `KafkaApis` checks before. Left out:
//! authorization.

use super::{AfterWrite, StateWrite};
use crate::broker::{Broker, BrokerCx, Requester};
use acklab_vocab::api::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse, CoordinatorKey, Response,
};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{ProducerEpoch, ProducerId, TopicPartition, TransactionalId};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::transaction::{TransactionRecord, TransactionState};
use smallvec::SmallVec;
use std::sync::Arc;

type PartitionErrors = SmallVec<[(TopicPartition, ErrorCode); 4]>;

impl Broker {
    pub(in crate::broker) fn on_add_partitions_to_txn(
        &mut self,
        cx: &mut BrokerCx<'_>,
        requester: Requester,
        request: AddPartitionsToTxnRequest,
    ) {
        let exists = |partition: TopicPartition| self.shared.image.partition(partition).is_some();
        if !request.partitions.iter().all(|&partition| exists(partition)) {
            let each = |&partition: &TopicPartition| {
                let exists = exists(partition);
                let unknown = ErrorCode::UnknownTopicOrPartition;
                (partition, if exists { ErrorCode::OperationNotAttempted } else { unknown })
            };
            let partitions = request.partitions.iter().map(each).collect();
            let response = AddPartitionsToTxnResponse { partitions };
            requester.answer(cx, Response::AddPartitionsToTxn(response));
            return;
        }
        if request.verify_only {
            let partitions = self.verify_partitions(&request);
            let response = AddPartitionsToTxnResponse { partitions };
            requester.answer(cx, Response::AddPartitionsToTxn(response));
            return;
        }
        let AddPartitionsToTxnRequest {
            transactional_id,
            producer_id,
            producer_epoch,
            partitions,
            ..
        } = request;
        let then = AfterWrite::AddPartitions(requester, partitions.clone());
        let producer = (producer_id, producer_epoch);
        self.add_partitions(cx, transactional_id, producer, &partitions, then);
    }

    pub(in crate::broker) fn on_add_offsets_to_txn(
        &mut self,
        cx: &mut BrokerCx<'_>,
        requester: Requester,
        request: AddOffsetsToTxnRequest,
    ) {
        let key = CoordinatorKey::Group(request.group);
        let Some(partition) = self.coordinators.partition_of(&self.shared.image, key) else {
            self.answer_add_offsets(cx, requester, ErrorCode::CoordinatorNotAvailable);
            return;
        };
        let then = AfterWrite::AddOffsets(requester);
        let producer = (request.producer_id, request.producer_epoch);
        self.add_partitions(cx, request.transactional_id, producer, &[partition], then);
    }

    /// Adds partitions to a transaction, or begins it with them
    /// (`handleAddPartitionsToTransaction`).
    fn add_partitions(
        &mut self,
        cx: &mut BrokerCx<'_>,
        id: TransactionalId,
        producer: (ProducerId, ProducerEpoch),
        partitions: &[TopicPartition],
        then: AfterWrite,
    ) {
        let pending_first = self.shared.has(ProtocolRule::TransactionsVersion2);
        let now = cx.now();
        let prepared = self.transaction(id).and_then(|(place, transaction)| {
            let pending = transaction.pending.is_some();
            // Over the end of a producer id's epochs, the producer already knows the next id.
            if pending && pending_first {
                return Err(ErrorCode::ConcurrentTransactions);
            }
            if transaction.producer_id != producer.0 {
                return Err(ErrorCode::InvalidProducerIdMapping);
            }
            if transaction.producer_epoch != Some(producer.1) {
                return Err(ErrorCode::ProducerFenced);
            }
            let is_ending = super::end_of(transaction.state).is_some();
            if pending || is_ending {
                return Err(ErrorCode::ConcurrentTransactions);
            }
            let has = |partition: &TopicPartition| {
                transaction.partitions.binary_search(partition).is_ok()
            };
            if transaction.state == TransactionState::Ongoing && partitions.iter().all(has) {
                return Err(ErrorCode::None);
            }
            Ok((place, transaction.prepare_add_partitions(partitions, now)))
        });
        match prepared {
            Ok((place, value)) => {
                let record = TransactionRecord { transactional_id: id, value: Some(value) };
                self.append_transaction(cx, StateWrite { place, record: Arc::new(record), then });
            }
            Err(error) => match then {
                AfterWrite::AddOffsets(requester) => {
                    self.answer_add_offsets(cx, requester, error);
                }
                AfterWrite::AddPartitions(requester, partitions) => {
                    self.answer_add_partitions(cx, requester, &partitions, error);
                }
                _ => unreachable!("what follows an addition"),
            },
        }
    }

    /// Whether partitions are in the transaction. What is being written is not looked at: the
    /// append to the partition has the last word.
    fn verify_partitions(&mut self, request: &AddPartitionsToTxnRequest) -> PartitionErrors {
        let abortable = self.shared.has(ProtocolRule::TransactionAbortableError);
        let missing =
            if abortable { ErrorCode::TransactionAbortable } else { ErrorCode::InvalidTxnState };
        let all = |error: ErrorCode| -> PartitionErrors {
            request.partitions.iter().map(|&partition| (partition, error)).collect()
        };
        let transaction = match self.transaction(request.transactional_id) {
            Ok((_, transaction)) => transaction,
            Err(error) => return all(error),
        };
        if transaction.producer_id != request.producer_id {
            return all(ErrorCode::InvalidProducerIdMapping);
        }
        if transaction.producer_epoch != Some(request.producer_epoch) {
            return all(ErrorCode::ProducerFenced);
        }
        if super::end_of(transaction.state).is_some() {
            return all(ErrorCode::ConcurrentTransactions);
        }
        let each = |&partition: &TopicPartition| {
            let found = transaction.partitions.binary_search(&partition).is_ok();
            (partition, if found { ErrorCode::None } else { missing })
        };
        request.partitions.iter().map(each).collect()
    }

    pub(super) fn answer_add_partitions(
        &self,
        cx: &mut BrokerCx<'_>,
        requester: Requester,
        partitions: &[TopicPartition],
        error: ErrorCode,
    ) {
        let error = self.error_for_client(error);
        let partitions = partitions.iter().map(|&partition| (partition, error)).collect();
        let response = AddPartitionsToTxnResponse { partitions };
        requester.answer(cx, Response::AddPartitionsToTxn(response));
    }

    pub(super) fn answer_add_offsets(
        &self,
        cx: &mut BrokerCx<'_>,
        requester: Requester,
        error: ErrorCode,
    ) {
        let response = AddOffsetsToTxnResponse { error: self.error_for_client(error) };
        requester.answer(cx, Response::AddOffsetsToTxn(response));
    }
}

//! InitProducerId with a transactional id: a producer takes it over, or has its epoch raised.
//!
//! Mirrors `TransactionCoordinator.handleInitProducerId` (KIP-98, KIP-360). A transaction that the
//! last producer left open is aborted first; until that is done, the new one is told
//! CONCURRENT_TRANSACTIONS and comes again.

use super::end_transaction::EndWaiter;
use super::metadata::{CoordinatedTransaction, EndRequest};
use super::{AfterWrite, Place, StateWrite};
use crate::broker::{Broker, BrokerCx, Requester};
use acklab_vocab::api::{InitProducerIdRequest, InitProducerIdResponse, Response};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{ProducerEpoch, ProducerId, TransactionalId};
use acklab_vocab::rules::ProtocolRule;
use acklab_vocab::time::SimDuration;
use acklab_vocab::transaction::{
    TransactionMetadata, TransactionRecord, TransactionResult, TransactionState,
};
use std::sync::Arc;

/// What InitProducerId makes of a transactional id.
enum InitDecision {
    /// Its next epoch, or producer id, is to be written.
    Write(TransactionMetadata),
    /// An open transaction is to be aborted by this producer and epoch.
    Fence(ProducerId, ProducerEpoch),
}

impl Broker {
    pub(in crate::broker) fn on_init_producer_id(
        &mut self,
        cx: &mut BrokerCx<'_>,
        requester: Requester,
        request: InitProducerIdRequest,
    ) {
        let Some((id, timeout)) = request.transactional else {
            let taken = self.producer_ids.take().map(|id| (id, ProducerEpoch(0)));
            let taken = taken.ok_or(ErrorCode::CoordinatorLoadInProgress);
            self.answer_init(cx, requester, taken);
            self.replenish_producer_ids(cx);
            return;
        };
        let decided = self.decide_init(cx, id, timeout, request.current);
        match decided {
            Err(error) => self.answer_init(cx, requester, Err(error)),
            Ok((place, InitDecision::Write(value))) => {
                let record = TransactionRecord { transactional_id: id, value: Some(value) };
                let then = AfterWrite::InitProducerId(requester);
                self.append_transaction(cx, StateWrite { place, record: Arc::new(record), then });
            }
            Ok((_, InitDecision::Fence(producer_id, producer_epoch))) => {
                let end = EndRequest {
                    producer_id,
                    producer_epoch,
                    result: TransactionResult::Abort,
                    from_client: false,
                    version_2: self.shared.has(ProtocolRule::TransactionsVersion2),
                };
                self.end_transaction(cx, id, end, EndWaiter::InitProducerId(requester));
            }
        }
    }

    fn decide_init(
        &mut self,
        cx: &mut BrokerCx<'_>,
        id: TransactionalId,
        timeout: SimDuration,
        expected: Option<(ProducerId, ProducerEpoch)>,
    ) -> Result<(Place, InitDecision), ErrorCode> {
        let limit = self.shared.config.transactions.max_timeout;
        if timeout == SimDuration::ZERO || timeout > limit {
            return Err(ErrorCode::InvalidTransactionTimeout);
        }
        let place = self.transaction_place(id)?;
        if self.transaction_coordinator.get_mut(place).is_none() {
            let producer_id = self.take_producer_id(cx)?;
            let created = CoordinatedTransaction::new(producer_id, timeout, cx.now());
            let loaded = self.transaction_coordinator.partitions.get_mut(&place.partition);
            let loaded = loaded.ok_or(ErrorCode::NotCoordinator)?;
            loaded.transactions.insert(id, created);
        }
        let (_, transaction) = self.transaction(id)?;
        let rotates = match judge_init(transaction, expected)? {
            Judgement::Fence => {
                let epoch = transaction.prepare_fence();
                return Ok((place, InitDecision::Fence(transaction.producer_id, epoch)));
            }
            Judgement::Rotate => true,
            Judgement::Increment => false,
        };
        let producer_id = if rotates { Some(self.take_producer_id(cx)?) } else { None };
        let now = cx.now();
        let (_, transaction) = self.transaction(id)?;
        let value = match producer_id {
            Some(producer_id) => {
                transaction.prepare_rotation(producer_id, timeout, expected.is_some(), now)
            }
            None => transaction.prepare_increment_epoch(timeout, expected.map(|e| e.1), now)?,
        };
        Ok((place, InitDecision::Write(value)))
    }

    pub(super) fn answer_init(
        &self,
        cx: &mut BrokerCx<'_>,
        requester: Requester,
        result: Result<(ProducerId, ProducerEpoch), ErrorCode>,
    ) {
        let (producer_id, producer_epoch) = result.unwrap_or_default();
        let error = self.error_for_client(result.err().unwrap_or(ErrorCode::None));
        let response = InitProducerIdResponse { error, producer_id, producer_epoch };
        requester.answer(cx, Response::InitProducerId(response));
    }
}

/// What InitProducerId needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judgement {
    /// The next epoch.
    Increment,
    /// Another producer id.
    Rotate,
    /// The end of the open transaction.
    Fence,
}

/// `TransactionCoordinator.prepareInitProducerIdTransit`
///
/// # Errors
/// - CONCURRENT_TRANSACTIONS: another change is being written, or markers are on their way.
/// - PRODUCER_FENCED: `expected` is not the id's producer.
fn judge_init(
    transaction: &CoordinatedTransaction,
    expected: Option<(ProducerId, ProducerEpoch)>,
) -> Result<Judgement, ErrorCode> {
    if transaction.pending.is_some() {
        return Err(ErrorCode::ConcurrentTransactions);
    }
    if expected.is_some_and(|expected| !transaction.is_valid_producer(expected)) {
        return Err(ErrorCode::ProducerFenced);
    }
    match transaction.state {
        TransactionState::PrepareAbort | TransactionState::PrepareCommit => {
            Err(ErrorCode::ConcurrentTransactions)
        }
        TransactionState::CompleteAbort
        | TransactionState::CompleteCommit
        | TransactionState::Empty => {
            let matches = |(_, epoch)| Some(epoch) == transaction.producer_epoch;
            let rotates = transaction.is_exhausted() && expected.is_none_or(matches);
            Ok(if rotates { Judgement::Rotate } else { Judgement::Increment })
        }
        TransactionState::Ongoing => Ok(Judgement::Fence),
        TransactionState::Dead | TransactionState::PrepareEpochFence => {
            unreachable!("never the state of an id")
        }
    }
}

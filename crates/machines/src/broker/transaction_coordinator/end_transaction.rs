//! EndTxn: a transaction is decided.
//!
//! Mirrors `TransactionCoordinator.endTransaction`. The answer goes out when the decision is
//! replicated; the markers follow.

use super::metadata::{EndDecision, EndRequest};
use super::{AfterWrite, Place, StateWrite, end_of};
use crate::broker::{Broker, BrokerCx, Requester};
use acklab_vocab::api::{EndTxnRequest, EndTxnResponse, Response};
use acklab_vocab::error::ErrorCode;
use acklab_vocab::ids::{ProducerEpoch, ProducerId, TransactionalId};
use acklab_vocab::transaction::{TransactionRecord, TransactionResult};
use std::sync::Arc;

/// Who is told that a transaction is decided.
#[derive(Clone, Copy, Debug)]
pub(super) enum EndWaiter {
    /// The producer, with EndTxn; whether it wants to know its next epoch.
    Client(Requester, bool),
    /// A new producer, which is to come again.
    InitProducerId(Requester),
    /// Nobody: the transaction had timed out.
    Nobody,
}

impl Broker {
    pub(in crate::broker) fn on_end_txn(
        &mut self,
        cx: &mut BrokerCx<'_>,
        requester: Requester,
        request: EndTxnRequest,
    ) {
        let end = EndRequest {
            producer_id: request.producer_id,
            producer_epoch: request.producer_epoch,
            result: request.result,
            from_client: true,
            version_2: request.version_2,
        };
        let waiter = EndWaiter::Client(requester, request.version_2);
        self.end_transaction(cx, request.transactional_id, end, waiter);
    }

    /// Ends a transaction, if it may be ended so.
    pub(super) fn end_transaction(
        &mut self,
        cx: &mut BrokerCx<'_>,
        id: TransactionalId,
        request: EndRequest,
        waiter: EndWaiter,
    ) {
        match self.prepare_end(cx, id, request) {
            Err(error) => self.answer_end(cx, waiter, Err(error)),
            Ok(Prepared::AlreadyDone(next)) => self.answer_end(cx, waiter, Ok(next)),
            Ok(Prepared::Write(place, record)) => {
                let then = AfterWrite::End(waiter, request.result);
                self.append_transaction(cx, StateWrite { place, record, then });
            }
        }
    }

    fn prepare_end(
        &mut self,
        cx: &mut BrokerCx<'_>,
        id: TransactionalId,
        request: EndRequest,
    ) -> Result<Prepared, ErrorCode> {
        let (place, transaction) = self.transaction(id)?;
        let is_empty = match transaction.judge_end(request)? {
            EndDecision::AlreadyDone => {
                let epoch = transaction.producer_epoch.unwrap_or_default();
                return Ok(Prepared::AlreadyDone((transaction.producer_id, epoch)));
            }
            EndDecision::End { is_empty } => is_empty,
        };
        let rotates = request.version_2 && request.from_client && transaction.is_exhausted();
        let next_producer_id = if rotates { Some(self.take_producer_id(cx)?) } else { None };
        let now = cx.now();
        let (_, transaction) = self.transaction(id)?;
        let value = transaction.prepare_end(request, is_empty, next_producer_id, now);
        let record = TransactionRecord { transactional_id: id, value: Some(value) };
        Ok(Prepared::Write(place, Arc::new(record)))
    }

    /// The decision is replicated.
    pub(super) fn on_end_written(
        &mut self,
        cx: &mut BrokerCx<'_>,
        place: Place,
        waiter: EndWaiter,
        end: TransactionResult,
    ) {
        let now = cx.now();
        let Some(transaction) = self.transaction_coordinator.get_mut(place) else { return };
        let completion = transaction.prepare_complete(now);
        let next = (completion.producer_id, completion.producer_epoch);
        self.answer_end(cx, waiter, Ok(next));
        self.send_markers(cx, place, end, completion);
    }

    /// The decision could not be written.
    pub(super) fn on_end_not_written(
        &mut self,
        cx: &mut BrokerCx<'_>,
        place: Place,
        waiter: EndWaiter,
        error: ErrorCode,
    ) {
        if let Some(transaction) = self.transaction_coordinator.get_mut(place)
            && transaction.is_fenced
        {
            transaction.has_failed_epoch_fence = true;
        }
        self.answer_end(cx, waiter, Err(error));
    }

    /// A coordinator before this one has decided a transaction: its markers are sent again.
    pub(super) fn resume_end(&mut self, cx: &mut BrokerCx<'_>, place: Place) {
        let now = cx.now();
        let Some(transaction) = self.transaction_coordinator.get_mut(place) else { return };
        let Some(end) = end_of(transaction.state) else { return };
        let completion = transaction.prepare_complete(now);
        self.send_markers(cx, place, end, completion);
    }

    fn answer_end(
        &self,
        cx: &mut BrokerCx<'_>,
        waiter: EndWaiter,
        result: Result<(ProducerId, ProducerEpoch), ErrorCode>,
    ) {
        match waiter {
            EndWaiter::Client(requester, wants_next) => {
                let error = self.error_for_client(result.err().unwrap_or(ErrorCode::None));
                let next = result.ok().filter(|_| wants_next);
                requester.answer(cx, Response::EndTxn(EndTxnResponse { error, next }));
            }
            EndWaiter::InitProducerId(requester) => {
                let error = result.err().unwrap_or(ErrorCode::ConcurrentTransactions);
                self.answer_init(cx, requester, Err(error));
            }
            EndWaiter::Nobody => {}
        }
    }
}

/// What is to be done about the end of a transaction.
enum Prepared {
    /// Nothing: the producer has these now.
    AlreadyDone((ProducerId, ProducerEpoch)),
    /// The decision is to be written.
    Write(Place, Arc<TransactionRecord>),
}
